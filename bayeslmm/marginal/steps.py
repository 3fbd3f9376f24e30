"""The likelihood in steps: eliminate, solve, project, one after the other from Python.

For a large rest, where every step is long; and for what the compiled walks leave out.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayeslmm.marginal.elimination import (
    Elimination,
    eliminate,
    factor_gradients,
    projections,
)
from bayeslmm.marginal.fixed import (
    BetaPrior,
    draw_beta,
    log_density_given,
    profile_given,
    solve_beta,
)
from bayeslmm.marginal.layout import left
from bayeslmm.marginal.statistics import Factors, Rest, Slopes, Statistics

# Seconds of an evaluation, one core of 2026: a dozen numpy calls on small arrays.
PER_EVALUATION = 3e-4


@dataclass(frozen=True, slots=True)
class InSteps:
    """Each evaluation is one factorisation, from which all else can be read."""

    rest: Rest

    @property
    def walk(self) -> None:
        """There is none."""
        return None

    @property
    def name(self) -> str:
        """That of the matrix of the rest."""
        return self.rest.name

    def density(
        self,
        stats: Statistics,
        factors: Factors,
        sigma: float,
        prior: BetaPrior | None,
        *,
        slope: bool,
    ) -> tuple[float, Slopes, float]:
        """Log density, its slopes by each L_t and by log sigma."""
        done = eliminate(stats, [factor / sigma for factor in factors])
        fixed = solve_beta(done.G, sigma, prior)
        value = log_density_given(stats.sums, done.log_det, fixed, sigma, prior)
        if not slope:
            return value, (), math.nan
        weight, projected = fixed.weight, projections(stats, done)
        slopes = factor_gradients(stats, done, projected, weight, sigma)
        trace = sum(
            float((d * np.tril(L)).sum()) for d, L in zip(slopes, factors, strict=True)
        )
        quad = float((weight * done.G).sum()) / sigma**2
        return value, slopes, quad - stats.n - trace

    def gram(
        self, stats: Statistics, relative: Factors
    ) -> tuple[float, Float[np.ndarray, "w w"]]:
        """``log |V0|`` but for weights, and ``G = [X y]'V0^-1[X y]``."""
        return gram_in_steps(stats, relative)

    def profiles(
        self,
        stats: Statistics,
        relative: Float[np.ndarray, "r b k k"],
        *,
        restricted: bool,
    ) -> tuple[Float[np.ndarray, " r"], Float[np.ndarray, "r b k k"]]:
        """Profiled criterion and its slopes by the relative factors, at r points."""
        return profiles_in_steps(stats, relative, restricted=restricted)

    def draw(
        self,
        stats: Statistics,
        relative: Float[np.ndarray, "s b k k"],
        sigma: Float[np.ndarray, " s"],
        prior: BetaPrior | None,
        z: Float[np.ndarray, "s pm"],
    ) -> tuple[Float[np.ndarray, "s p"], Float[np.ndarray, "s m"]]:
        """Fixed effects and those of the rest, one factorisation for each draw."""
        beta, rest = np.empty((len(z), stats.p)), np.empty((len(z), stats.m))
        for s, scale in enumerate(sigma.tolist()):
            done = eliminate(stats, stats.layout.cut_square(relative[s]))
            beta[s] = draw_beta(done.G, scale, z[s, : stats.p], prior)
            gamma = np.append(-beta[s], 1.0)
            rest[s] = draw_rest(stats, done, gamma, scale, z[s, stats.p :])
        return beta, rest

    def respond(
        self, F: Float[np.ndarray, "j k w"], Fr: Float[np.ndarray, "m w"]
    ) -> "InSteps":
        """Itself: it keeps nothing of the response."""
        del F, Fr
        return self

    def seconds(self, stats: Statistics) -> float:
        """Expected time of one log density with its gradient, one core."""
        return PER_EVALUATION + stats.coupling_seconds + self.rest.seconds


def gram_in_steps(
    stats: Statistics, relative: Factors
) -> tuple[float, Float[np.ndarray, "w w"]]:
    """``log |V0|`` but for weights, and ``G = [X y]'V0^-1[X y]``."""
    done = eliminate(stats, relative)
    return done.log_det, done.G


def profiles_in_steps(
    stats: Statistics, relative: Float[np.ndarray, "r b k k"], *, restricted: bool
) -> tuple[Float[np.ndarray, " r"], Float[np.ndarray, "r b k k"]]:
    """Profiled criterion and its slopes, the profile flat in sigma and beta.

    The slopes are those of the log density at their best values (envelope theorem).
    """
    values, slopes = np.empty(len(relative)), np.empty_like(relative)
    for r, padded in enumerate(relative):
        done = eliminate(stats, stats.layout.cut_square(padded))
        found = profile_given(stats.sums, done.log_det, done.G, restricted=restricted)
        projected = projections(stats, done)
        own = factor_gradients(stats, done, projected, found.weight, found.sigma)
        values[r] = found.criterion
        slopes[r] = -2.0 * found.sigma * stats.layout.join(own)
    return values, slopes


def draw_rest(
    stats: Statistics,
    done: Elimination,
    gamma: Float[np.ndarray, " w"],
    sigma: float,
    z: Float[np.ndarray, " m"],
) -> Float[np.ndarray, " m"]:
    """One draw of the random effects of all blocks but the lead, given beta.

    With gamma = (-beta, 1): b = Lambda (S^-1 Lambda'Fr gamma + sigma L^-T z).
    """
    spread = done.schur.solve_transposed(z[:, None])
    u = (done.kappa @ gamma)[:, None] + sigma * spread
    return left(u, stats.rest, done.factors[1:])[:, 0]
