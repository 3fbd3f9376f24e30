"""The one marginal likelihood: its density, its gradient, its profile.

Takes `Statistics`, the factors of the random-effect covariances, sigma and a prior for
beta; gives ``log p(y | factors, sigma)`` with the fixed effects beta and the random
effects b integrated out exactly, and the exact gradient.
With V = sigma**2 W^-1 + Z Sigma Z' and a flat or Normal prior of precision P0 on beta:

    C = (X'V^-1X + P0)^-1,   bhat = C (X'V^-1y + P0 m0)
    -2 log p = (n - f) log 2 pi + log|V| + log|C^-1| - log|P0| + y'V^-1y + m0'P0m0
               - bhat'C^-1 bhat

where f counts the coefficients whose prior is flat. The gradient needs one k x k matrix
per term: with s_j = Z_j'V^-1(y - X bhat) and
``H = sum_j s_j s_j' - Z_j'V^-1Z_j + Z_j'V^-1X C X'V^-1Z_j``, ``dlogp/dL = H L``, which
stays right where Sigma is singular.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayeslmm.marginal.elimination import (
    Elimination,
    block_factor,
    eliminate,
    projections,
)
from bayeslmm.marginal.kernels import algebra, blocked, crossed, pairs, pooled, single
from bayeslmm.marginal.layout import Block
from bayeslmm.marginal.schur import Projection, mirror
from bayeslmm.marginal.statistics import Statistics

LOG_2PI = math.log(2.0 * math.pi)

Factors = Sequence[Float[np.ndarray, "_k _k"]]


@dataclass(frozen=True, slots=True)
class BetaPrior:
    """Normal prior of the fixed effects; directions of zero precision are flat.

    Attributes
    ----------
    mean : ndarray, shape (p,)
        Prior mean, units of the coefficients.
    precision : ndarray, shape (p, p)
        Inverse covariance; may be singular.
    log_det : float
        Log pseudo-determinant of the precision: log |S0^-1| of its proper part, in the
        coordinates in which the prior was stated.
    n_proper : int
        Number of coefficients whose prior is proper.
    """

    mean: Float[np.ndarray, " p"]
    precision: Float[np.ndarray, "p p"]
    log_det: float
    n_proper: int


@dataclass(frozen=True, slots=True)
class Coefficients:
    """Fixed effects given the covariance: mean, covariance, and what they cost.

    ``quad`` is ``y'V^-1y + m0'P0m0 - bhat'C^-1 bhat``; ``log_det`` is ``log|C^-1|``.
    """

    beta: Float[np.ndarray, " p"]
    covariance: Float[np.ndarray, "p p"]
    log_det: float
    quad: float


def log_density(
    stats: Statistics, factors: Factors, sigma: float, prior: BetaPrior | None = None
) -> float:
    """Log marginal density of y, fixed and random effects integrated out.

    Parameters
    ----------
    stats : Statistics
        Cross-products of the design.
    factors : sequence of ndarray, shape (k_t, k_t)
        Lower Cholesky factors L_t of the random-effect covariances, units of y.
    sigma : float
        Residual SD, units of y.
    prior : BetaPrior, optional
        Prior of beta; flat (the restricted likelihood) if None.

    Returns
    -------
    float
        ``log p(y | factors, sigma)``, a density of y that includes the weights;
        NaN where the factorisation breaks down.

    References
    ----------
    .. [1] Bates et al. (2015). J. Stat. Softw. 67(1). https://doi.org/10.18637/jss.v067.i01
    """
    if not stats.in_steps:
        return _compiled_density(stats, factors, sigma, prior, slope=False)[0]
    done = eliminate(stats, [factor / sigma for factor in factors])
    fixed = solve_beta(done.G, sigma, prior)
    return log_density_given(stats, done.log_det, fixed, sigma, prior)


def log_density_gradient(
    stats: Statistics, factors: Factors, sigma: float, prior: BetaPrior | None = None
) -> tuple[float, tuple[Float[np.ndarray, "_k _k"], ...], float]:
    """Log marginal density with its exact gradient.

    Parameters
    ----------
    stats, factors, sigma, prior
        As for `log_density`.

    Returns
    -------
    value : float
        The log density.
    d_factors : tuple of ndarray, shape (k_t, k_t)
        Derivatives with respect to the entries of each L_t; only the lower triangle
        is meaningful.
    d_log_sigma : float
        Derivative with respect to log sigma, the factors held.
    """
    if not stats.in_steps:
        return _compiled_density(stats, factors, sigma, prior, slope=True)
    done = eliminate(stats, [factor / sigma for factor in factors])
    fixed = solve_beta(done.G, sigma, prior)
    value = log_density_given(stats, done.log_det, fixed, sigma, prior)
    gamma = np.append(-fixed.beta, 1.0)
    weight = np.outer(gamma, gamma)
    weight[:-1, :-1] += fixed.covariance
    d_factors = factor_gradients(stats, done, projections(stats, done), weight, sigma)
    trace = sum(
        float((d * np.tril(L)).sum()) for d, L in zip(d_factors, factors, strict=True)
    )
    d_log_sigma = float((weight * done.G).sum()) / sigma**2 - stats.n - trace
    return value, d_factors, d_log_sigma


def solve_beta(
    G: Float[np.ndarray, "w w"], sigma: float, prior: BetaPrior | None
) -> Coefficients:
    """Fixed effects given the covariance, from ``G = [X y]'V0^-1[X y]``.

    NaN throughout if X has linearly dependent columns there (the design refuses those).
    """
    scaled = G / sigma**2
    precision, rhs, quad = scaled[:-1, :-1], scaled[:-1, -1], float(scaled[-1, -1])
    if prior is not None:
        shift = prior.precision @ prior.mean
        precision, rhs = precision + prior.precision, rhs + shift
        quad += float(prior.mean @ shift)
    covariance, beta = np.array(precision), np.array(rhs)
    log_det, quad = algebra.solve_normal(covariance, beta, quad)
    return Coefficients(beta, covariance, log_det, quad)


_DENSITY_OF = {
    "pooled": single.pooled_density,
    "pairs": single.pairs_density,
    "levels": single.levels_density,
    "crossed": crossed.crossed_density,
}


def _compiled_density(
    stats: Statistics,
    factors: Factors,
    sigma: float,
    prior: BetaPrior | None,
    *,
    slope: bool,
) -> tuple[float, tuple[Float[np.ndarray, "_k _k"], ...], float]:
    """Density and gradient in one compiled call."""
    precision, mean, constants = beta_arrays(stats, prior)
    relative = _kernel_factors(stats, factors, sigma)
    gradient = np.zeros_like(relative)
    fixed = (precision, mean, tuple(constants.tolist()))
    prepared = (stats.WW, relative, sigma, *fixed, slope, gradient)
    value, d_log_sigma = _DENSITY_OF[stats.kernel](*stats.arrays, *prepared)
    return value, by_term(stats, factors, gradient), d_log_sigma


def beta_arrays(
    stats: Statistics, prior: BetaPrior | None
) -> tuple[Float[np.ndarray, "p p"], Float[np.ndarray, " p"], Float[np.ndarray, " 2"]]:
    """Precision and mean of beta's prior as the kernels take them, and two constants.

    These are n and the terms of the log density that no parameter moves.
    """
    if prior is None:
        precision, mean = np.zeros((stats.p, stats.p)), np.zeros(stats.p)
    else:
        precision, mean = prior.precision, prior.mean
    n_flat = stats.p - (prior.n_proper if prior else 0)
    constant = stats.log_weights + (prior.log_det if prior else 0.0)
    own = 0.5 * (constant - (stats.n - n_flat) * LOG_2PI)
    return precision, mean, np.array([float(stats.n), own])


def _kernel_factors(
    stats: Statistics, factors: Factors, sigma: float
) -> Float[np.ndarray, "..."]:
    """Relative factor of the lead, or of all blocks in one padded array."""
    if not stats.rest:
        return block_factor(stats.lead, factors) / sigma
    widest = max(block.k for block in stats.layout.blocks)
    padded = np.zeros((len(stats.layout.blocks), widest, widest))
    for b, block in enumerate(stats.layout.blocks):
        padded[b, : block.k, : block.k] = block_factor(block, factors)
    return padded / sigma


def gram(
    stats: Statistics, relative: Factors
) -> tuple[
    float, Float[np.ndarray, "w w"], Elimination | Float[np.ndarray, "4 j"] | None
]:
    """Log determinant, ``G = [X y]'V0^-1[X y]``, and what the gradient needs again."""
    if stats.kernel not in ("pooled", "pairs"):
        done = eliminate(stats, relative)
        return done.log_det, done.G, done
    G, factor = stats.WW.copy(), block_factor(stats.lead, relative)
    if stats.kernel == "pooled":
        log_det, kept = pooled.pooled_gram(*stats.arrays, factor, G), None
    else:
        kept = np.empty((4, stats.lead.n_levels))
        log_det = pairs.pairs_gram(*stats.arrays, factor, G, kept)
    return log_det, mirror(G), kept


def by_term(
    stats: Statistics, factors: Factors, gradient: Float[np.ndarray, "..."]
) -> tuple[Float[np.ndarray, "_k _k"], ...]:
    """Gradient of the leading block, or of all blocks padded, cut into terms."""
    if stats.n_terms == 1:
        return (gradient,)
    of_blocks = gradient if gradient.ndim == 3 else gradient[None]
    found = {}
    for block, own in zip(stats.layout.blocks, of_blocks, strict=True):
        for t, start in zip(block.terms, block.starts, strict=True):
            span = slice(start, start + len(factors[t]))
            found[t] = own[span, span]
    return tuple(found[t] for t in range(stats.n_terms))


def log_density_given(
    stats: Statistics,
    log_det: float,
    fixed: Coefficients,
    sigma: float,
    prior: BetaPrior | None,
) -> float:
    """Log density from the pieces: the formula of the module paragraph."""
    n_flat = stats.p - (prior.n_proper if prior else 0)
    log_det_prior = prior.log_det if prior else 0.0
    log_det_V = log_det + 2.0 * stats.n * math.log(sigma) - stats.log_weights
    return -0.5 * (
        (stats.n - n_flat) * LOG_2PI
        + log_det_V
        + fixed.log_det
        - log_det_prior
        + fixed.quad
    )


def factor_gradients(
    stats: Statistics,
    done: Elimination,
    projected: Sequence[Projection],
    weight: Float[np.ndarray, "w w"],
    sigma: float,
) -> tuple[Float[np.ndarray, "_k _k"], ...]:
    """dlogp/dL_t = (sum_j Q_j K Q_j' Lambda / sigma**2 - D_j) / sigma, each term."""
    gradients: dict[int, Float[np.ndarray, "_k _k"]] = {}
    blocks: tuple[Block, ...] = (stats.lead, *stats.rest)
    for block, factor, (Q, D) in zip(blocks, done.factors, projected, strict=True):
        edges = (*block.starts, block.k)
        for i, t in enumerate(block.terms):
            gradient = np.zeros((edges[i + 1] - edges[i],) * 2)
            blocked.sum_gradient(
                Q, D, factor, weight, edges[i], edges[i + 1], sigma**2, gradient
            )
            gradients[t] = gradient / sigma
    return tuple(gradients[t] for t in range(stats.n_terms))
