"""Profile-likelihood limits of one SD, where a Wald interval means nothing.

Near 0 the log of an SD has no normal likelihood: an SE of the size of the SD puts the
upper Wald limit anywhere. Takes the model in safe coordinates and an estimate; gives
the values of the SD at which twice the restricted log likelihood, everything else at
its best, has fallen by a given amount.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import solve_triangular
from scipy.optimize import minimize, root_scalar

from bayeslmm import covariance
from bayeslmm.fit.criterion import Shape
from bayeslmm.marginal import log_density_gradient
from bayeslmm.marginal.conditioned import Conditioned

# Natural log units of an SD: how far limits are searched, and to what they are found.
FARTHEST, FOUND = 40.0, 1e-6
# Below exp(-this) of the residual SD an SD is 0 to every digit of the likelihood.
ZERO = 9.0
# Where the factorisation breaks down.
WALL = 1e100


@dataclass(frozen=True, slots=True)
class DevianceProfile:
    """Minus twice the restricted log likelihood over all variance parameters.

    Coordinates are log sigma, then those of each term, the fixed effects integrated
    out over a flat prior.

    Attributes
    ----------
    conditioned : Conditioned
        The model, each term at the origin of the data.
    shapes : tuple of Shape
        Structure and effects of each term.
    """

    conditioned: Conditioned
    shapes: tuple[Shape, ...]

    def position(self, t: int, effect: int) -> int:
        """Coordinate of the SD of an effect of a term."""
        before = sum(covariance.n_theta(*shape) for shape in self.shapes[:t])
        shared = covariance.is_homogeneous(self.shapes[t][0])
        return 1 + before + (0 if shared else effect)

    def limits(
        self,
        factors: Sequence[Float[np.ndarray, "_k _k"]],
        sigma: float,
        at: int,
        fall: float,
    ) -> tuple[float, float]:
        """Lower and upper limit of the SD that is coordinate `at`.

        Parameters
        ----------
        factors : sequence of ndarray, shape (k_t, k_t)
            Estimated factors of the data's columns, units of y.
        sigma : float
            Estimated residual SD.
        at : int
            Position of the SD in `coordinates`, from 1.
        fall : float
            Fall of twice the log likelihood at the limits.

        Returns
        -------
        tuple of float
            Units of the SD; 0 and infinity where the likelihood does not fall so far.
        """
        best = self._coordinates(factors, sigma)
        lowest = self._deviance(best)[0]
        others = np.arange(best.size) != at
        held = best.copy()

        @cache  # a second search from elsewhere may end elsewhere
        def excess(value: float) -> float:
            """Fall of the profile at a value of log sd, less the one wanted."""
            held[at] = value
            held[others] = self._rest_at_best(held, others, best)
            return self._deviance(held)[0] - lowest - fall

        floor = min(best[0] - ZERO, best[at] - 1.0)
        lower = self._root(excess, best[at], floor, -1.0)
        held[:] = best
        upper = self._root(excess, best[at], best[at] + FARTHEST, 1.0)
        return (
            0.0 if lower is None else math.exp(lower),
            math.inf if upper is None else math.exp(upper),
        )

    def _root(
        self, excess: Callable[[float], float], start: float, end: float, step: float
    ) -> float | None:
        """Where the profile crosses, by steps that double; None if it does not."""
        near, far = start, start + step
        while not excess(far) > 0.0:
            if (far - end) * step >= 0.0:
                return None
            near, step = far, 2.0 * step
            far = min(far + step, end) if step > 0.0 else max(far + step, end)
        if not excess(near) < 0.0:  # the estimate is no minimum of the profile
            return near
        return float(root_scalar(excess, bracket=(near, far), xtol=FOUND).root)

    def _coordinates(
        self, factors: Sequence[Float[np.ndarray, "_k _k"]], sigma: float
    ) -> Float[np.ndarray, " m"]:
        """Log sigma, then the coordinates of each term."""
        parts = [
            covariance.factor_to_coordinates(structure, factor, inside=1.0 - 1e-9)
            for (structure, _), factor in zip(self.shapes, factors, strict=True)
        ]
        return np.concatenate([[math.log(sigma)], *parts])

    def _rest_at_best(
        self,
        x: Float[np.ndarray, " m"],
        others: Bool[np.ndarray, " m"],
        best: Float[np.ndarray, " m"],
    ) -> Float[np.ndarray, " r"]:
        """The other coordinates where they minimise the deviance, from those of x."""

        def deviance(rest: np.ndarray) -> tuple[float, np.ndarray]:
            """Deviance with its gradient over the others."""
            point = x.copy()
            point[others] = rest
            value, gradient = self._deviance(point)
            return value, gradient[others]

        bounds = np.column_stack([best - FARTHEST, best + FARTHEST])[others]
        found = minimize(
            deviance, x[others], jac=True, method="L-BFGS-B", bounds=bounds.tolist()
        )
        return np.asarray(found.x)

    def _deviance(
        self, x: Float[np.ndarray, " m"]
    ) -> tuple[float, Float[np.ndarray, " m"]]:
        """Minus twice the log likelihood, safe units, with its gradient."""
        safe, at = self.conditioned, 1
        factors: list[np.ndarray] = []
        owns: list[np.ndarray] = []
        for t, (structure, k) in enumerate(self.shapes):
            own = x[at : at + covariance.n_theta(structure, k)]
            at += own.size
            factor = covariance.coordinates_to_factor(structure, own, k)
            lifted = solve_triangular(safe.bases[t], factor, lower=True) / safe.unit
            factors.append(lifted)
            owns.append(own)
        sigma = math.exp(x[0]) / safe.unit
        value, d_factors, d_log_sigma = log_density_gradient(
            safe.statistics, factors, sigma
        )
        gradient = [np.array([d_log_sigma])]
        for t, ((structure, k), own) in enumerate(zip(self.shapes, owns, strict=True)):
            if not np.isfinite(d_factors[t]).all():
                return WALL, np.zeros_like(x)
            slope = np.tril(d_factors[t]) / safe.unit
            slope = solve_triangular(safe.bases[t].T, slope)
            gradient.append(covariance.coordinates_pullback(structure, own, k, slope))
        slopes = np.concatenate(gradient)
        if not (math.isfinite(value) and np.isfinite(slopes).all()):
            return WALL, np.zeros_like(slopes)
        return -2.0 * value, -2.0 * slopes
