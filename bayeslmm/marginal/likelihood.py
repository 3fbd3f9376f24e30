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

import numpy as np
from jaxtyping import Float

from bayeslmm.marginal.elimination import eliminate, factor_gradients, projections
from bayeslmm.marginal.fixed import (
    BetaPrior,
    beta_arrays,
    log_density_given,
    solve_beta,
)
from bayeslmm.marginal.kernels.compiling import (
    LOADING_ONE,
    PLAIN,
    Ledger,
    is_plain,
)
from bayeslmm.marginal.statistics import Factors, Slopes, Statistics

# Of the plain steps in the place of `generic.grams`.
_OWN = Ledger(LOADING_ONE)


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
    return _density(stats, factors, sigma, prior, slope=False)[0]


def log_density_gradient(
    stats: Statistics, factors: Factors, sigma: float, prior: BetaPrior | None = None
) -> tuple[float, Slopes, float]:
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
    return _density(stats, factors, sigma, prior, slope=True)


def _density(
    stats: Statistics,
    factors: Factors,
    sigma: float,
    prior: BetaPrior | None,
    *,
    slope: bool,
) -> tuple[float, Slopes, float]:
    """Both, in one compiled call if the solver has it."""
    if stats.in_steps:
        return _density_in_steps(stats, factors, sigma, prior, slope=slope)
    from bayeslmm.marginal.kernels import generic
    from bayeslmm.marginal.kernels.entries import entries_of

    relative = stats.layout.join(factors) / sigma
    slopes = np.zeros(relative.shape)
    given = (stats.WW, relative, sigma, *beta_arrays(stats.sums, prior))
    own = entries_of(stats.solver).with_slopes
    value, d_log_sigma = generic.density(*own, *given, slope, slopes)
    return value, stats.layout.cut_square(slopes), d_log_sigma


def _density_in_steps(
    stats: Statistics,
    factors: Factors,
    sigma: float,
    prior: BetaPrior | None,
    *,
    slope: bool,
) -> tuple[float, Slopes, float]:
    """The same from one factorisation."""
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
    stats: Statistics, relative: Factors
) -> tuple[float, Float[np.ndarray, "w w"]]:
    """``log |V0|`` but for weights, and ``G = [X y]'V0^-1[X y]``."""
    if stats.in_steps:
        done = eliminate(stats, relative)
        return done.log_det, done.G
    log_dets, G = grams(stats, stats.layout.join(relative)[None])
    return float(log_dets[0]), G[0]


def grams(
    stats: Statistics, relative: Float[np.ndarray, "r b k k"]
) -> tuple[Float[np.ndarray, " r"], Float[np.ndarray, "r w w"]]:
    """The same at r points, in one compiled call if the solver has it, and it pays.

    Points are relative factors of the blocks, padded (`Layout.join`).
    """
    r = len(relative)
    log_dets, G = np.empty(r), np.empty((r, *stats.WW.shape))
    if not stats.in_steps and not is_plain_at(stats, _OWN, r):
        from bayeslmm.marginal.kernels import generic
        from bayeslmm.marginal.kernels.entries import entries_of

        points, own = np.ascontiguousarray(relative), entries_of(stats.solver)
        generic.grams(*own.alone, stats.WW, points, log_dets, G)
        return log_dets, G
    for i, own in enumerate(relative):
        done = eliminate(stats, stats.layout.cut_square(own))
        log_dets[i], G[i] = done.log_det, done.G
    return log_dets, G


def is_plain_at(stats: Statistics, own: Ledger, points: int) -> bool:
    """Whether compiled code does not pay yet, at so many points.

    Several factors are at work in compiled code once there is any.
    """
    single = not stats.layout.rest
    if not (PLAIN.open or (single and own.open)):  # nothing to be asked
        return False
    size = stats.A.size + stats.F.size + stats.B.size + stats.m**2
    if single:
        return is_plain(own, points * size, points)
    return PLAIN.affords(points * size)
