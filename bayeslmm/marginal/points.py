"""Density and effects at one point, from one factorisation.

Takes `Statistics`, the factors, sigma and the prior of beta; gives the log density
together with the fixed effects given the variances, or with an exact draw of
``(beta, b)``. For methods that visit independent points: where a factorisation is
expensive, they pay for one instead of two.
"""

import math

import numpy as np
from jaxtyping import Float

from bayeslmm.marginal.effects import draw_rest, rest_levels
from bayeslmm.marginal.elimination import eliminate
from bayeslmm.marginal.fixed import (
    BetaPrior,
    Coefficients,
    draw_beta,
    log_density_given,
    solve_beta,
)
from bayeslmm.marginal.levels import draw_levels
from bayeslmm.marginal.likelihood import gram
from bayeslmm.marginal.statistics import Factors, Statistics


def density_with_coefficients(
    stats: Statistics, factors: Factors, sigma: float, prior: BetaPrior | None = None
) -> tuple[float, Coefficients]:
    """Log density with the distribution of the fixed effects given the variances.

    Parameters
    ----------
    stats, factors, sigma, prior
        As for `log_density`.

    Returns
    -------
    value : float
        The log density; NaN where the factorisation breaks down.
    fixed : Coefficients
        Mean and covariance of beta, shapes (p,) and (p, p).
    """
    log_det, G = gram(stats, [factor / sigma for factor in factors])
    fixed = solve_beta(G, sigma, prior)
    return log_density_given(stats.sums, log_det, fixed, sigma, prior), fixed


def density_with_effects(
    stats: Statistics,
    factors: Factors,
    sigma: float,
    rng: np.random.Generator,
    prior: BetaPrior | None = None,
    *,
    lead: bool = True,
) -> tuple[float, Float[np.ndarray, " p"], tuple[Float[np.ndarray, "_j _k"], ...]]:
    """Log density with one exact draw of the fixed and random effects.

    Parameters
    ----------
    stats, factors, sigma, prior
        As for `log_density`.
    rng : numpy.random.Generator
        Source of randomness.
    lead : bool, default True
        Whether to draw the effects of the leading block, which has the most levels; the
        other draws are the same either way.

    Returns
    -------
    value : float
        The log density; NaN where the factorisation breaks down, and so is the draw.
    beta : ndarray, shape (p,)
        Fixed effects, units of y per unit of x.
    b : tuple of ndarray, shape (J_t, k_t)
        Random effects of each bar term, units of y per unit of z; J_t = 0 for those of
        a lead left out.
    """
    done = eliminate(stats, [factor / sigma for factor in factors])
    fixed = solve_beta(done.G, sigma, prior)
    value = log_density_given(stats.sums, done.log_det, fixed, sigma, prior)
    if not math.isfinite(value):
        blank = [np.full((b.n_levels, b.k), np.nan) for b in stats.layout.blocks]
        return value, np.full(stats.p, np.nan), stats.layout.cut(blank)
    z = rng.standard_normal(stats.p + stats.m)
    beta = draw_beta(done.G, sigma, z[: stats.p], prior)
    gamma = np.append(-beta, 1.0)
    rest = draw_rest(stats, done, gamma, sigma, z[stats.p :])[None]
    own = np.empty((1, 0, stats.lead.k))
    if lead:
        relative, scale = done.factors[0][None], np.array([sigma])
        own = draw_levels(stats, relative, scale, beta[None], rest, rng)
    drawn = [b[0] for b in (own, *rest_levels(stats, rest))]
    return value, beta, stats.layout.cut(drawn)
