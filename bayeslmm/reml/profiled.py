"""Profile likelihood of one parameter: limits, and the curve.

Near 0 the log of an SD has no normal likelihood: an SE of the size of the SD puts the
upper Wald limit anywhere. Takes a parameter as `held` holds it and an estimate; gives
the values at which twice the (restricted) log likelihood, everything else at its best,
has fallen by a given amount, and the fall on the way.

With sigma_hat the best sigma at a relative factor, the deviance at another is
``criterion + dof (log(sigma^2 / sigma_hat^2) + sigma_hat^2 / sigma^2 - 1)``.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float

from bayeslmm.reml.criterion import ProfiledProblem, sd_positions
from bayeslmm.reml.held import FARTHEST, Held, HeldEffect, HeldSd
from bayeslmm.reml.turned import flat_theta, turned_problem

# To how much of a working unit limits are found.
FOUND = 1e-5
# A pivot below the first, relative to sigma, is also tried from the second: it may be
# wanted once another SD is held, and the criterion is even in it.
SMALL, LIFTED = 0.01, 0.2
# Where the factorisation breaks down.
WALL = 1e100
# Logarithm below which an exponential is finite.
LARGEST = 700.0
TIGHT = {"ftol": 1e-13, "gtol": 1e-7, "maxiter": 300}
# Between points of a curve: zeta; first step, working units; points a side.
STEP, FIRST, MOST = 0.4, 0.1, 40


@dataclass(frozen=True, slots=True)
class DevianceProfile:
    """The deviance over one parameter, everything else at its best.

    Attributes
    ----------
    held : Held
        The parameter.
    scale : float
        Its value, units of the data, where the held one is 1.
    best : ndarray, shape (m,)
        Theta at the estimate.
    estimate : float
        Its working value there; a small SD for one of 0.
    """

    held: Held
    scale: float
    best: Float[np.ndarray, " m"]
    estimate: float

    def limits(self, fall: float) -> tuple[float, float]:
        """Lower and upper limit.

        Parameters
        ----------
        fall : float
            Fall of twice the log likelihood at the limits.

        Returns
        -------
        tuple of float
            Units of the data; the end of the parameter space where the likelihood does
            not fall so far.
        """
        ends = []
        for edge, step in zip(self.held.edges, (-1.0, 1.0), strict=True):
            if math.isfinite(edge) and self.fall_at(edge) <= fall:
                ends.append(self.scale * edge)
                continue
            at = _crossing(self._falls(fall), self.estimate, step)
            found = step * math.inf if at is None else self.held.natural(at)
            if at is None and math.isfinite(edge):
                found = edge
            ends.append(self.scale * found)
        return ends[0], ends[1]

    def curve(self, most: float) -> tuple[list[float], list[float]]:
        """Values, and the signed root of the fall there, until it is `most`."""
        sides = []
        for edge, sign in zip(self.held.edges, (-1.0, 1.0), strict=True):
            fall, at, zeta, step = self._falls(0.0), self.estimate, 0.0, FIRST
            side: list[tuple[float, float]] = []
            while zeta < most and len(side) < MOST:
                at += sign * step
                new = math.sqrt(max(fall(at), 0.0))
                step *= min(max(STEP / max(new - zeta, 1e-6), 0.25), 2.0)
                zeta = new
                side.append((self.held.natural(at), sign * zeta))
            if zeta < most and math.isfinite(edge):
                side.append((edge, sign * math.sqrt(max(self.fall_at(edge), 0.0))))
            sides.append(side)
        middle = (self.held.natural(self.estimate), 0.0)
        points = [*reversed(sides[0]), middle, *sides[1]]
        return [self.scale * value for value, _ in points], [z for _, z in points]

    def fall_at(self, value: float) -> float:
        """Fall of the profile at a held value."""
        return self._lowest(value, self.held.start(self.best))[0] - self._top()

    def falls_along(self, values: Sequence[float]) -> list[float]:
        """The same at several held values, each search from where the last ended."""
        start, top, found = self.held.start(self.best), self._top(), []
        for value in values:
            lowest, start = self._lowest(value, start, self._starts(start)[:1])
            found.append(max(lowest - top, 0.0))
        return found

    def _top(self) -> float:
        """Deviance at the estimate."""
        return self.held.problem(self.best)[0]

    def _falls(self, fall: float) -> Callable[[float], float]:
        """Fall of the profile over the working value, less the one wanted."""
        last, lowest = self.held.start(self.best), self._top()

        @cache  # a second search from elsewhere may end elsewhere
        def excess(working: float) -> float:
            """The same; starts where the last search ended."""
            nonlocal last
            if working == self.estimate:
                return -fall
            value, last = self._lowest(self.held.natural(working), last)
            return value - lowest - fall

        return excess

    def _lowest(
        self,
        value: float,
        start: Float[np.ndarray, " r"],
        starts: list[Float[np.ndarray, " r"]] | None = None,
    ) -> tuple[float, Float[np.ndarray, " r"]]:
        """Deviance where the parameter is held, and the rest there."""
        from scipy.optimize import minimize

        held = self.held
        problem = held.held_problem(value) if isinstance(held, HeldEffect) else None
        found = [
            minimize(
                lambda rest: self._deviance(value, rest, problem),
                point,
                jac=True,
                method="L-BFGS-B",
                bounds=held.bounds(start),
                options=TIGHT,
            )
            for point in (self._starts(start) if starts is None else starts)
        ]
        if not found:
            return self._deviance(value, start, problem)[0], start
        best = min(found, key=lambda end: end.fun)
        return float(best.fun), np.asarray(best.x)

    def _starts(self, start: Float[np.ndarray, " r"]) -> list[Float[np.ndarray, " r"]]:
        """Where to begin: where the last search ended, the estimate, no SD near 0.

        From the last point alone, far from here, a line search may break down.
        """
        if not len(start):
            return []
        estimate = self.held.start(self.best)
        known = [start] if np.array_equal(start, estimate) else [start, estimate]
        slope = self.held.place(0.5, start).slope[:-1]
        pivots = [at for b in self.held.problem.blocks for at in sd_positions(b)]
        places = [int(slope[at].argmax()) for at in pivots if slope[at].max() == 1.0]
        small = [at for at in places if abs(start[at]) < SMALL]
        lifted = start.copy()
        lifted[small] = LIFTED
        return [*known, lifted] if small else known

    def _deviance(
        self,
        value: float,
        rest: Float[np.ndarray, " r"],
        problem: ProfiledProblem | None,
    ) -> tuple[float, Float[np.ndarray, " r"]]:
        """Deviance with its gradient over the rest."""
        place = self.held.place(value, rest)
        problem, theta = problem or place.problem, place.theta
        criterion, gradient = problem(theta)
        if not (math.isfinite(criterion) and np.isfinite(gradient).all()):
            return WALL, np.zeros_like(rest)
        if place.log_sigma is None:
            return criterion, gradient @ place.slope[:-1]
        dof = problem.dof
        apart = 2.0 * (math.log(problem.profile(theta).sigma) - place.log_sigma)
        ratio = math.exp(min(apart, LARGEST))
        slope = gradient + 2.0 * dof * (ratio - 1.0) * problem.log_sigma_slope(theta)
        whole = np.append(slope, -2.0 * dof * (ratio - 1.0))
        return criterion + dof * (ratio - 1.0 - apart), whole @ place.slope


def sd_profile(
    problem: ProfiledProblem,
    relative: Sequence[Float[np.ndarray, "_k _k"]],
    theta: Sequence[Float[np.ndarray, " _m"]],
    t: int,
    effect: int,
) -> DevianceProfile:
    """The profile of the SD of an effect.

    Parameters
    ----------
    problem : ProfiledProblem
        The criterion, terms at the origin of the data.
    relative : sequence of ndarray, shape (k_t, k_t)
        Estimated factors of the data's columns, relative to sigma.
    theta : sequence of ndarray, shape (m_t,)
        `RemlFit.theta`.
    t, effect : int
        The term, and the effect whose SD it is.
    """
    block, unit = problem.blocks[t], problem.conditioned.unit
    places = sd_positions(block)
    at, best = places[effect % len(places)], flat_theta(problem, relative, theta)
    scale = unit / float(block.size[effect])
    if block.structure.unstructured:
        own = np.eye(block.k)[[effect]]
        return combination_profile(problem, relative, theta, t, own)
    sigma = problem.profile(best).sigma
    estimate = math.log(max(float(best[at]), 1e-3) * sigma)
    return DevianceProfile(HeldSd(problem, at), scale, best, estimate)


def combination_profile(
    problem: ProfiledProblem,
    relative: Sequence[Float[np.ndarray, "_k _k"]],
    theta: Sequence[Float[np.ndarray, " _m"]],
    t: int,
    own: Float[np.ndarray, "1 k"],
) -> DevianceProfile:
    """The profile of the SD of a combination of the effects of an unstructured term."""
    found = turned_problem(problem, relative, theta, t, own)
    at = sd_positions(problem.blocks[t])[0]
    scale = problem.conditioned.unit * float(found.lead[0, 0])
    sigma = found.problem.profile(found.best).sigma
    estimate = math.log(max(float(found.best[at]), 1e-3) * sigma)
    return DevianceProfile(HeldSd(found.problem, at), scale, found.best, estimate)


def _crossing(
    excess: Callable[[float], float], start: float, step: float
) -> float | None:
    """Where the excess, negative at the start, is 0, by steps that double."""
    from scipy.optimize import root_scalar

    near, far = start, start + step
    while not excess(far) > 0.0:
        if abs(far - start) >= FARTHEST:
            return None
        near, step = far, 2.0 * step
        far += step
    return float(root_scalar(excess, bracket=(near, far), xtol=FOUND).root)
