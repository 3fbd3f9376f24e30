"""Density, profile, sums and draws of any solver, whose own functions come by address.

Takes the address of the solver's functions (`entries`), its table of arrays, how much
room an evaluation needs, and relative factors of the blocks, padded; results are
written into arrays given. Compiled once for all solvers.
"""

import math

import numpy as np

from bayeslmm.marginal.kernels.algebra import (
    cholesky,
    copy_into,
    solve_normal,
    solve_profile,
)
from bayeslmm.marginal.kernels.blocked import mirror_in_place
from bayeslmm.marginal.kernels.calls import GRAM, REST, SLOPES, by_address
from bayeslmm.marginal.kernels.compiling import compiled

call_gram, call_slopes, call_rest = map(by_address, (GRAM, SLOPES, REST))


@compiled
def density(
    gram,
    slopes,
    table,
    size,
    WW,
    factors,
    sigma,
    prior,
    mean,
    constants,
    slope,
    gradient,
):
    """Value and slope in log sigma; with `slope`, `gradient` is filled as well.

    The gradient is by the absolute factors. NaN where the factorisation breaks down.
    """
    G, room = np.empty(WW.shape), np.empty(size)
    copy_into(WW, G)
    log_det = call_gram(gram, (table, factors, G, room))
    if not math.isfinite(log_det):
        return np.nan, np.nan
    value, beta, C = condition(G, sigma, prior, mean, constants, log_det)
    if not slope:
        return value, np.nan
    K = weight_of(beta, C)
    call_slopes(slopes, (table, factors, K, C, sigma * sigma, room, gradient))
    return value, absolute(G, K, factors, sigma, constants[0], gradient)


@compiled
def grams(gram, table, size, WW, factors, log_dets, G):
    """Log determinants and ``[X y]'V0^-1[X y]`` at several relative factors."""
    room = np.empty(size)
    for r in range(log_dets.size):
        copy_into(WW, G[r])
        log_dets[r] = call_gram(gram, (table, factors[r], G[r], room))
        mirror_in_place(G[r])


@compiled
def profiles(
    gram, slopes, table, size, WW, factors, dof, restricted, room, values, gradients
):
    """Profiled criteria at several relative factors, and minus half their slopes.

    ``dof`` are the rows, under REML (`restricted`) less the fixed effects; ``room`` are
    arrays for beta, its covariance, the weights of the gradient, and the sums.
    """
    beta, C, K, G = room
    own = np.empty(size)
    for r in range(values.size):
        copy_into(WW, G)
        log_det = call_gram(gram, (table, factors[r], G, own))
        mirror_in_place(G)
        log_det_beta, scale = solve_profile(G, dof, restricted, beta, C, K)
        values[r] = profile_value(log_det, log_det_beta, scale, dof, restricted)
        for c in range(beta.size):  # under ML beta is at its best, and not integrated
            for d in range(beta.size):
                C[c, d] = scale * C[c, d] if restricted else 0.0
        if math.isfinite(values[r]):
            given = (table, factors[r], K, C, scale, own, gradients[r])
            call_slopes(slopes, given)


@compiled
def fixed(
    gram,
    rest,
    table,
    size,
    WW,
    factors,
    sigma,
    prior,
    mean,
    constants,
    z,
    beta,
    drawn,
):
    """Fixed effects, then those of a small rest given them, at many points.

    Takes standard normal numbers z (s, p + m); fills ``beta`` (s, p), ``drawn`` (s, m).
    A point that is that of the draw before, where a chain stood, is eliminated once.
    """
    p, G, room = beta.shape[1], np.empty(WW.shape), np.empty(size)
    gamma, log_det = np.empty(p + 1), np.nan
    for s in range(sigma.size):
        if s == 0 or not is_same(factors[s], factors[s - 1]):
            copy_into(WW, G)
            log_det = call_gram(gram, (table, factors[s], G, room))
        draw_fixed(log_det, G, sigma[s], prior, mean, constants, z[s], beta[s])
        if drawn.shape[1] == 0:
            continue
        if not math.isfinite(log_det):
            for i in range(drawn.shape[1]):
                drawn[s, i] = np.nan
            continue
        for c in range(p):
            gamma[c] = -beta[s, c]
        gamma[p] = 1.0
        given = (table, factors[s], gamma, sigma[s], z[s, p:], room, drawn[s])
        call_rest(rest, given)


@compiled
def is_same(left, right):
    """Whether two stacks of factors have the same numbers."""
    for b in range(left.shape[0]):
        for i in range(left.shape[1]):
            for j in range(i + 1):
                if left[b, i, j] != right[b, i, j]:
                    return False
    return True


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
def absolute(G, K, factors, sigma, n, gradient):
    """Scale the gradients to the absolute factors; slope in log sigma, these held.

    The slope is the trace of Sigma H, less what the factors contribute to it.
    """
    slope = -n
    for c in range(G.shape[0]):
        for d in range(G.shape[0]):
            slope += K[c, d] * G[c, d] / (sigma * sigma)
    for b in range(factors.shape[0]):
        for i in range(factors.shape[1]):
            for j in range(factors.shape[1]):
                if j <= i:
                    slope -= gradient[b, i, j] * factors[b, i, j]
                gradient[b, i, j] /= sigma
    return slope


@compiled
def draw_fixed(log_det, G, sigma, prior, mean, constants, z, beta):
    """One draw of beta given the variances: its mean, plus chol(covariance) z.

    NaN where the factorisation broke down, as its log determinant is then.
    """
    p = beta.size
    _, center, covariance = condition(G, sigma, prior, mean, constants, 0.0)
    fine = cholesky(covariance, p) and math.isfinite(log_det)
    for i in range(p):
        beta[i] = center[i] if fine else np.nan
        for c in range(i + 1):
            beta[i] += covariance[i, c] * z[c]
