"""Profile-likelihood limits of one SD, where a Wald interval means nothing.

Near 0 the log of an SD has no normal likelihood: an SE of the size of the SD puts the
upper Wald limit anywhere. Takes a `ProfiledProblem` and an estimate; gives the values
of the SD at which twice the (restricted) log likelihood, everything else at its best,
has fallen by a given amount.

The columns of an unstructured term are turned so that the SD is the first pivot of its
factor: the other entries stay free of bounds, and nothing is lost where a correlation
is +-1. With sigma_hat the best sigma at a relative factor, the deviance at another is
``criterion + dof (log(sigma^2 / sigma_hat^2) + sigma_hat^2 / sigma^2 - 1)``.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize, root_scalar

from bayeslmm.reml.criterion import ProfiledProblem, sd_positions
from bayeslmm.reml.turned import flat_theta, turned_problem

# Natural log units of an SD: how far limits are searched, and to what they are found.
FARTHEST, FOUND = 40.0, 1e-5
# A pivot below the first, relative to sigma, is also tried from the second: it may be
# wanted once another SD is held, and the criterion is even in it.
SMALL, LIFTED = 0.01, 0.2
# Where the factorisation breaks down.
WALL = 1e100
# Logarithm below which an exponential is finite.
LARGEST = 700.0
TIGHT = {"ftol": 1e-13, "gtol": 1e-7, "maxiter": 300}


@dataclass(frozen=True, slots=True)
class DevianceProfile:
    """The deviance over one SD, everything else at its best.

    Attributes
    ----------
    problem : ProfiledProblem
        The criterion; its first pivot of the term, or one of its SDs, is the one held.
    at : int
        Position of that in theta.
    scale : float
        The SD, units of y per unit of the column, where theta and sigma are 1.
    best : ndarray, shape (m,)
        Theta at the estimate.
    """

    problem: ProfiledProblem
    at: int
    scale: float
    best: Float[np.ndarray, " m"]

    def limits(self, fall: float) -> tuple[float, float]:
        """Lower and upper limit of the SD.

        Parameters
        ----------
        fall : float
            Fall of twice the log likelihood at the limits.

        Returns
        -------
        tuple of float
            Units of the SD; 0 and infinity where the likelihood does not fall so far.
        """
        lowest, _ = self.problem(self.best)
        sigma = self.problem.profile(self.best).sigma
        start = np.append(np.delete(self.best, self.at), math.log(sigma))
        log_estimate = math.log(float(self.best[self.at]) * sigma)

        def search(step: float) -> float | None:
            """Where the profile has fallen, downward or upward, log of theta sigma."""
            last = start

            @cache  # a second search from elsewhere may end elsewhere
            def excess(log_held: float) -> float:
                """Fall of the profile, less the one wanted."""
                nonlocal last
                if log_held == log_estimate:
                    return -fall
                value, last = self._lowest(math.exp(log_held), last)
                return value - lowest - fall

            return _crossing(excess, log_estimate, step)

        at_zero = self._lowest(0.0, start)[0] - lowest
        lower = None if at_zero <= fall else search(-1.0)
        upper = search(1.0)
        return (
            0.0 if lower is None else self.scale * math.exp(lower),
            math.inf if upper is None else self.scale * math.exp(upper),
        )

    def _lowest(
        self, held: float, start: Float[np.ndarray, " m"]
    ) -> tuple[float, Float[np.ndarray, " m"]]:
        """Deviance where the SD is held, and the rest of theta and log sigma there."""
        lower, upper = self.problem.bounds
        free = np.arange(self.best.size) != self.at
        bounds = list(zip(lower[free], upper[free], strict=True))
        bounds.append((start[-1] - FARTHEST, start[-1] + FARTHEST))
        found = [
            minimize(
                lambda rest: self._deviance(held, rest),
                point,
                jac=True,
                method="L-BFGS-B",
                bounds=bounds,
                options=TIGHT,
            )
            for point in self._starts(start)
        ]
        best = min(found, key=lambda end: end.fun)
        return float(best.fun), np.asarray(best.x)

    def _starts(self, start: Float[np.ndarray, " m"]) -> list[Float[np.ndarray, " m"]]:
        """Where to begin: where the last search ended, and with no SD near 0."""
        pivots = [at for b in self.problem.blocks for at in sd_positions(b)]
        places = [at - (at > self.at) for at in pivots if at != self.at]
        small = [at for at in places if abs(start[at]) < SMALL]
        lifted = start.copy()
        lifted[small] = LIFTED
        return [start, lifted] if small else [start]

    def _deviance(
        self, held: float, rest: Float[np.ndarray, " m"]
    ) -> tuple[float, Float[np.ndarray, " m"]]:
        """Deviance with its gradient over the rest of theta and log sigma."""
        problem, log_sigma = self.problem, float(rest[-1])
        theta = np.insert(rest[:-1], self.at, held * math.exp(-log_sigma))
        criterion, gradient = problem(theta)
        if not (math.isfinite(criterion) and np.isfinite(gradient).all()):
            return WALL, np.zeros_like(rest)
        dof = problem.dof
        apart = 2.0 * (math.log(problem.profile(theta).sigma) - log_sigma)
        ratio = math.exp(min(apart, LARGEST))
        slope = gradient + 2.0 * dof * (ratio - 1.0) * problem.log_sigma_slope(theta)
        by_sigma = -theta[self.at] * slope[self.at] - 2.0 * dof * (ratio - 1.0)
        value = criterion + dof * (ratio - 1.0 - apart)
        return value, np.append(np.delete(slope, self.at), by_sigma)


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
        lme4's theta of each term.
    t, effect : int
        The term, and the effect whose SD it is.
    """
    block, unit = problem.blocks[t], problem.conditioned.unit
    places = sd_positions(block)
    if block.structure.unstructured:
        own = np.eye(block.k)[[effect]]
        found = turned_problem(problem, relative, theta, t, own)
        scale = unit * float(found.lead[0, 0])
        return DevianceProfile(found.problem, places[0], scale, found.best)
    best = flat_theta(problem, relative, theta)
    scale = unit / float(block.size[effect])
    return DevianceProfile(problem, places[effect % len(places)], scale, best)


def _crossing(
    excess: Callable[[float], float], start: float, step: float
) -> float | None:
    """Where the excess, negative at the start, is 0, by steps that double."""
    near, far = start, start + step
    while not excess(far) > 0.0:
        if abs(far - start) >= FARTHEST:
            return None
        near, step = far, 2.0 * step
        far += step
    return float(root_scalar(excess, bracket=(near, far), xtol=FOUND).root)
