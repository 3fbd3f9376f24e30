"""The profiled criteria of REML and ML: sigma and beta at their best.

Takes `Statistics` and relative factors, gives minus twice the profiled (restricted) log
likelihood, its exact gradient, and its curvature by average information. It is the
density of `likelihood` at its own sigma.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayeslmm.marginal.average import Direction, average_information
from bayeslmm.marginal.elimination import (
    Elimination,
    block_factor,
    eliminate,
    projections,
)
from bayeslmm.marginal.kernels import algebra, pairs, pooled
from bayeslmm.marginal.likelihood import (
    LOG_2PI,
    Factors,
    by_term,
    factor_gradients,
    gram,
)
from bayeslmm.marginal.statistics import Statistics


@dataclass(frozen=True, slots=True)
class Profile:
    """Criterion with sigma and beta at their best for the given relative factors.

    ``weight`` is gamma gamma' with gamma = (-beta, 1), under REML with the covariance
    of beta added to it.
    """

    criterion: float
    sigma: float
    beta: Float[np.ndarray, " p"]
    weight: Float[np.ndarray, "w w"]


def profiled_criterion(
    stats: Statistics, relative: Factors, *, restricted: bool = True
) -> Profile:
    """REML or ML criterion, sigma and beta profiled out.

    Parameters
    ----------
    stats : Statistics
        Cross-products of the design.
    relative : sequence of ndarray, shape (k_t, k_t)
        Relative factors Lambda_t = L_t / sigma, unit-free.
    restricted : bool, default True
        REML (beta integrated over a flat prior) rather than ML (beta maximised).

    Returns
    -------
    Profile
        ``criterion`` is minus twice the maximised (restricted) log likelihood, the
        density of y, weights included.

    References
    ----------
    .. [1] Bates et al. (2015). J. Stat. Softw. 67(1). https://doi.org/10.18637/jss.v067.i01
    """
    log_det, G, _ = gram(stats, relative)
    return _profile(stats, log_det, G, restricted)


def profiled_gradient(
    stats: Statistics, relative: Factors, *, restricted: bool = True
) -> tuple[float, tuple[Float[np.ndarray, "_k _k"], ...]]:
    """Profiled criterion with its gradient with respect to each Lambda_t.

    The profile is flat in sigma and beta, so the gradient is that of the log density
    at their best values (envelope theorem).
    """
    log_det, G, kept = gram(stats, relative)
    profile = _profile(stats, log_det, G, restricted)
    weight = profile.weight
    scale = profile.sigma**2
    if isinstance(kept, Elimination):
        projected = projections(stats, kept)
        gradients = factor_gradients(stats, kept, projected, weight, profile.sigma)
        return profile.criterion, tuple(-2.0 * profile.sigma * d for d in gradients)
    factor = block_factor(stats.lead, relative)
    gradient = np.empty_like(factor)
    if stats.kernel == "pooled":
        pooled.pooled_gradient(*stats.arrays, factor, weight, scale, gradient)
    else:
        covariance = weight[:-1, :-1] - np.outer(profile.beta, profile.beta)
        arguments = (factor, profile.beta, covariance, scale, gradient)
        pairs.pairs_gradient(*stats.arrays, kept, *arguments)
    return profile.criterion, by_term(stats, relative, -2.0 * gradient)


def profiled_curvature(
    stats: Statistics,
    relative: Factors,
    directions: Sequence[Direction],
    *,
    restricted: bool = True,
) -> tuple[float, tuple[Float[np.ndarray, "_k _k"], ...], Float[np.ndarray, "i i"]]:
    """Profiled criterion, its gradient, and its curvature by average information.

    Use it where an evaluation is expensive: all three come from one factorisation.

    Parameters
    ----------
    stats, relative, restricted
        As for `profiled_criterion`.
    directions : sequence of Direction
        The i parameters of the curvature.

    Returns
    -------
    criterion : float
        The profiled criterion.
    d_factors : tuple of ndarray, shape (k_t, k_t)
        Derivatives with respect to the entries of each Lambda_t.
    curvature : ndarray, shape (i, i)
        About the Hessian over the directions.

    References
    ----------
    .. [1] Gilmour, Thompson and Cullis (1995). Biometrics 51(4).
       https://doi.org/10.2307/2533274
    """
    done = eliminate(stats, relative)
    profile = _profile(stats, done.log_det, done.G, restricted)
    projected = projections(stats, done)
    weight = profile.weight
    sigma = profile.sigma
    gradients = factor_gradients(stats, done, projected, weight, sigma)
    curvature = average_information(
        *(stats, done, projected, relative, directions, profile.beta, sigma),
        restricted=restricted,
    )
    return profile.criterion, tuple(-2.0 * sigma * d for d in gradients), curvature


def log_sigma_gradient(
    stats: Statistics, relative: Factors, *, restricted: bool = True
) -> tuple[Float[np.ndarray, "_k _k"], ...]:
    """Gradient of the logarithm of the profiled sigma with respect to each Lambda_t.

    ``-(sum_j s_j s_j') Lambda_t / (dof sigma**2)`` with s_j = Z_j'V0^-1(y - X beta),
    by the envelope theorem: beta is at its best, and dof sigma**2 is the minimum of
    (y - X beta)'V0^-1(y - X beta).
    """
    done = eliminate(stats, relative)
    profile = _profile(stats, done.log_det, done.G, restricted)
    gamma = np.append(-profile.beta, 1.0)
    dof = stats.n - stats.p if restricted else stats.n
    found: dict[int, Float[np.ndarray, "_k _k"]] = {}
    for block, (Q, _) in zip(
        stats.layout.blocks, projections(stats, done), strict=True
    ):
        scores = Q @ gamma
        edges = (*block.starts, block.k)
        for i, t in enumerate(block.terms):
            own = scores[:, edges[i] : edges[i + 1]]
            found[t] = -(own.T @ own) @ relative[t] / (dof * profile.sigma**2)
    return tuple(found[t] for t in range(stats.n_terms))


def _profile(
    stats: Statistics, log_det: float, G: Float[np.ndarray, "w w"], restricted: bool
) -> Profile:
    """Criterion, sigma and beta from the factorisation."""
    w = len(G)
    dof = stats.n - w + 1 if restricted else stats.n
    beta, weight = np.empty(w - 1), np.empty((w, w))
    covariance = np.empty((w - 1, w - 1))
    log_det_beta, sigma2 = algebra.solve_profile(
        G, dof, restricted, beta, covariance, weight
    )
    if not sigma2 > 0.0:
        return Profile(math.nan, math.nan, beta, weight)
    criterion = log_det - stats.log_weights
    criterion += dof * (1.0 + LOG_2PI + math.log(sigma2))
    if restricted:
        criterion += log_det_beta
    return Profile(criterion, math.sqrt(sigma2), beta, weight)
