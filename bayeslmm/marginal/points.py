"""Density and effects at one point, from one factorisation.

Takes `Statistics`, the factors, sigma and the prior of beta; gives the log density
together with the fixed effects given the variances, or with an exact draw of
``(beta, b)``. For methods that visit independent points: where a factorisation is
expensive, they pay for one instead of two.
"""

import math

import numpy as np
from jaxtyping import Float

from bayeslmm.marginal.effects import _by_term, _draw_random
from bayeslmm.marginal.elimination import eliminate
from bayeslmm.marginal.likelihood import (
    BetaPrior,
    Coefficients,
    Factors,
    _log_density,
    gram,
    solve_beta,
)
from bayeslmm.marginal.statistics import Statistics


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
    log_det, G, _ = gram(stats, [factor / sigma for factor in factors])
    fixed = solve_beta(G, sigma, prior)
    return _log_density(stats, log_det, fixed, sigma, prior), fixed


def density_with_effects(
    stats: Statistics,
    factors: Factors,
    sigma: float,
    rng: np.random.Generator,
    prior: BetaPrior | None = None,
) -> tuple[float, Float[np.ndarray, " p"], tuple[Float[np.ndarray, "_j _k"], ...]]:
    """Log density with one exact draw of the fixed and random effects.

    Parameters
    ----------
    stats, factors, sigma, prior
        As for `log_density`.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    value : float
        The log density; NaN where the factorisation breaks down, and so is the draw.
    beta : ndarray, shape (p,)
        Fixed effects, units of y per unit of x.
    b : tuple of ndarray, shape (J_t, k_t)
        Random effects of each bar term, units of y per unit of z.
    """
    blocks = (stats.lead, *stats.rest)
    drawn = [np.full((1, block.n_levels, block.k), np.nan) for block in blocks]
    done = eliminate(stats, [factor / sigma for factor in factors])
    fixed = solve_beta(done.G, sigma, prior)
    value = _log_density(stats, done.log_det, fixed, sigma, prior)
    beta = np.full(stats.p, np.nan)
    if math.isfinite(value):
        root = np.linalg.cholesky(fixed.covariance)
        beta = fixed.beta + root @ rng.standard_normal(stats.p)
        gamma = np.append(-beta, 1.0)
        _draw_random(stats, done, gamma, sigma, rng, [b[0] for b in drawn])
    return value, beta, tuple(b[0] for b in _by_term(stats, blocks, drawn))
