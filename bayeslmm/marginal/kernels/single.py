"""One grouping factor: density and gradient in one compiled call.

Takes the arrays of a solver, the relative factor of the leading block, sigma and the
prior of beta as plain numbers; gives the log density, and the gradient with respect to
the block's factor and to log sigma. Or several factors, and gives the profiled
criterion at each but for its constants, with its gradient. The solvers are ``pooled``
(levels with equal A share the work), ``pairs`` (two effects, vectorised), and
``levels`` (any number of effects).
"""

import math

import numpy as np

from bayeslmm.marginal.kernels.algebra import solve_normal, solve_profile
from bayeslmm.marginal.kernels.blocked import (
    eliminate_lead,
    lead_projections,
    mirror_in_place,
    sum_gradient,
)
from bayeslmm.marginal.kernels.compiling import compiled
from bayeslmm.marginal.kernels.pairs import pairs_gradient, pairs_gram
from bayeslmm.marginal.kernels.pooled import pooled_gradient, pooled_gram


@compiled
def pooled_density(
    A, count, T, WW, Lam, sigma, prior, mean, constants, slope, gradient
):
    """Value and slope in log sigma; with `slope`, `gradient` is filled as well."""
    G = WW.copy()
    log_det = pooled_gram(A, count, T, Lam, G)
    value, beta, C = condition(G, sigma, prior, mean, constants, log_det)
    if not slope:
        return value, np.nan
    K = weight_of(beta, C)
    pooled_gradient(A, count, T, Lam, K, sigma * sigma, gradient)
    return value, _finish(G, K, Lam, sigma, constants[0], gradient)


@compiled
def pairs_density(A, F, WW, Lam, sigma, prior, mean, constants, slope, gradient):
    """As `pooled_density`, for two effects as structure of arrays."""
    G = WW.copy()
    N = np.empty((4, A.shape[1]))
    log_det = pairs_gram(A, F, Lam, G, N)
    value, beta, C = condition(G, sigma, prior, mean, constants, log_det)
    if not slope:
        return value, np.nan
    pairs_gradient(A, F, N, Lam, beta, C, sigma * sigma, gradient)
    return value, _finish(G, weight_of(beta, C), Lam, sigma, constants[0], gradient)


@compiled
def levels_density(A, F, WW, Lam, sigma, prior, mean, constants, slope, gradient):
    """As `pooled_density`, level by level, any number of effects."""
    G = WW.copy()
    root, U = np.empty_like(A), np.empty_like(F)
    log_det = eliminate_lead(A, F, Lam, G, root, U)
    value, beta, C = condition(G, sigma, prior, mean, constants, log_det)
    if not slope:
        return value, np.nan
    K = weight_of(beta, C)
    Q, D = np.empty_like(F), np.empty_like(A)
    lead_projections(A, F, Lam, root, U, Q, D)
    gradient[:] = 0.0
    sum_gradient(Q, D, Lam, K, 0, Lam.shape[0], sigma * sigma, gradient)
    return value, _finish(G, K, Lam, sigma, constants[0], gradient)


@compiled
def pooled_grams(A, count, T, WW, factors, log_dets, G):
    """Log determinants and ``[X y]'V0^-1[X y]`` at several relative factors."""
    for r in range(log_dets.size):
        _fill(WW, G[r])
        log_dets[r] = pooled_gram(A, count, T, factors[r], G[r])
        mirror_in_place(G[r])


@compiled
def pairs_grams(A, F, WW, factors, log_dets, G):
    """As `pooled_grams`, for two effects as structure of arrays."""
    N = np.empty((4, A.shape[1]))
    for r in range(log_dets.size):
        _fill(WW, G[r])
        log_dets[r] = pairs_gram(A, F, factors[r], G[r], N)
        mirror_in_place(G[r])


@compiled
def levels_grams(A, F, WW, factors, log_dets, G):
    """As `pooled_grams`, level by level, any number of effects."""
    root, U = np.empty_like(A), np.empty_like(F)
    for r in range(log_dets.size):
        _fill(WW, G[r])
        log_dets[r] = eliminate_lead(A, F, factors[r], G[r], root, U)
        mirror_in_place(G[r])


@compiled
def _fill(matrix, out):
    """Copy a matrix, entry by entry: assigning a slice would compile messages, 1 s."""
    for i in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            out[i, j] = matrix[i, j]


@compiled
def pooled_profiles(A, count, T, WW, factors, dof, restricted, room, values, slopes):
    """Profiled criteria at several relative factors, and minus half their slopes.

    ``dof`` are the rows, under REML (`restricted`) less the fixed effects; ``room`` are
    arrays for beta, its covariance, and the weights of the gradient.
    """
    beta, C, K = room
    for r in range(values.size):
        G = WW.copy()
        log_det = pooled_gram(A, count, T, factors[r], G)
        mirror_in_place(G)
        log_det_beta, scale = solve_profile(G, dof, restricted, beta, C, K)
        values[r] = profile_value(log_det, log_det_beta, scale, dof, restricted)
        pooled_gradient(A, count, T, factors[r], K, scale, slopes[r])


@compiled
def pairs_profiles(A, F, WW, factors, dof, restricted, room, values, slopes):
    """As `pooled_profiles`, for two effects as structure of arrays."""
    beta, C, K = room
    N = np.empty((4, A.shape[1]))
    for r in range(values.size):
        G = WW.copy()
        log_det = pairs_gram(A, F, factors[r], G, N)
        mirror_in_place(G)
        log_det_beta, scale = solve_profile(G, dof, restricted, beta, C, K)
        values[r] = profile_value(log_det, log_det_beta, scale, dof, restricted)
        for c in range(beta.size):  # under ML beta is at its best, and not integrated
            for d in range(beta.size):
                C[c, d] = scale * C[c, d] if restricted else 0.0
        pairs_gradient(A, F, N, factors[r], beta, C, scale, slopes[r])


@compiled
def levels_profiles(A, F, WW, factors, dof, restricted, room, values, slopes):
    """As `pooled_profiles`, level by level, any number of effects."""
    beta, C, K = room
    root, U = np.empty_like(A), np.empty_like(F)
    Q, D = np.empty_like(F), np.empty_like(A)
    for r in range(values.size):
        G = WW.copy()
        log_det = eliminate_lead(A, F, factors[r], G, root, U)
        mirror_in_place(G)
        log_det_beta, scale = solve_profile(G, dof, restricted, beta, C, K)
        values[r] = profile_value(log_det, log_det_beta, scale, dof, restricted)
        lead_projections(A, F, factors[r], root, U, Q, D)
        sum_gradient(Q, D, factors[r], K, 0, A.shape[1], scale, slopes[r])


@compiled
def profile_value(log_det, log_det_beta, scale, dof, restricted):
    """The criterion but for its constants; NaN where there is no sigma."""
    if not scale > 0.0:
        return np.nan
    value = log_det + dof * math.log(scale)
    return value + log_det_beta if restricted else value


@compiled
def condition(G, sigma, prior, mean, constants, log_det):
    """Log density, and mean and covariance of beta; G's upper triangle is filled.

    ``constants`` are n and the terms of the log density that no parameter moves.
    """
    p = G.shape[0] - 1
    for c in range(p + 1):
        for d in range(c):
            G[d, c] = G[c, d]
    scale = sigma * sigma
    C, beta = np.empty((p, p)), np.empty(p)
    quad = G[p, p] / scale
    for c in range(p):
        beta[c] = G[p, c] / scale
        for d in range(p):
            C[c, d] = G[c, d] / scale + prior[c, d]
            beta[c] += prior[c, d] * mean[d]
            quad += mean[c] * prior[c, d] * mean[d]
    log_det_C, quad = solve_normal(C, beta, quad)
    value = constants[1] - 0.5 * (log_det + log_det_C + quad)
    return value - constants[0] * math.log(sigma), beta, C


@compiled
def weight_of(beta, C):
    """Outer product of gamma = (-beta, 1), plus C."""
    p = beta.size
    K = np.empty((p + 1, p + 1))
    K[p, p] = 1.0
    for c in range(p):
        K[p, c] = K[c, p] = -beta[c]
        for d in range(p):
            K[c, d] = beta[c] * beta[d] + C[c, d]
    return K


@compiled
def slope_of_sigma(G, K, sigma, n):
    """Slope in log sigma but for what the factors contribute: the trace of Sigma H."""
    slope = -n
    for c in range(G.shape[0]):
        for d in range(G.shape[0]):
            slope += K[c, d] * G[c, d] / (sigma * sigma)
    return slope


@compiled
def _finish(G, K, Lam, sigma, n, gradient):
    """Scale the gradient to the absolute factor; slope in log sigma, that one held."""
    slope = slope_of_sigma(G, K, sigma, n)
    for a in range(Lam.shape[0]):
        for b in range(Lam.shape[0]):
            if b <= a:
                slope -= gradient[a, b] * Lam[a, b]
            gradient[a, b] /= sigma
    return slope
