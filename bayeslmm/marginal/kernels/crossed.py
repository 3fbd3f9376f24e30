"""Several grouping factors, the rest small: density and gradient in one compiled call.

The algebra of `elimination` with the loops of `blocked`, and no LAPACK: with few
coordinates in the rest, calling it (and Python between the steps) costs more than the
work. Blocks come as one padded array of factors, the lead first; each coordinate of the
rest knows its block and the first coordinate of its level.
"""

import math

import numpy as np

from bayeslmm.marginal.kernels.algebra import (
    cholesky,
    solve_lower,
    solve_lower_transposed,
)
from bayeslmm.marginal.kernels.blocked import (
    couple_projections,
    eliminate_couplings,
    eliminate_lead,
    lead_projections,
    mirror_in_place,
    sum_gradient,
)
from bayeslmm.marginal.kernels.compiling import compiled
from bayeslmm.marginal.kernels.single import condition, slope_of_sigma, weight_of


@compiled
def crossed_density(
    A,
    F,
    indptr,
    columns,
    B,
    R0,
    Fr0,
    block_of,
    start_of,
    sizes,
    WW,
    factors,
    sigma,
    prior,
    mean,
    constants,
    slope,
    gradient,
):
    """Value and slope in log sigma; with `slope`, `gradient` is filled as well."""
    k, m, w = sizes[0], R0.shape[0], WW.shape[0]
    log_det, G, schur, kappa, inner, outer = eliminate_crossed(
        A,
        F,
        *((indptr, columns, B), (R0, Fr0)),
        *(block_of, start_of, k, WW, factors),
    )
    if not math.isfinite(log_det):
        return np.nan, np.nan
    lead, root, U, V = inner
    R, Fr, RL = outer
    value, beta, C = condition(G, sigma, prior, mean, constants, log_det)
    if not slope:
        return value, np.nan
    K = weight_of(beta, C)
    scale = sigma * sigma
    for c in range(w):
        column = kappa[:, c].copy()
        solve_lower_transposed(schur, column, m)
        for i in range(m):
            kappa[i, c] = column[i]
    inverse = _inverse(schur)
    t = left_small(kappa, factors, block_of, start_of)
    T = left_small(inverse, factors, block_of, start_of)
    T = left_small(T.T.copy(), factors, block_of, start_of)
    Q, D = np.empty_like(F), np.empty_like(A)
    lead_projections(A, F, lead, root, U, Q, D)
    couple_projections(A, lead, root, indptr, columns, B, V, T, t, Q, D)
    gradient[:] = 0.0
    part = np.zeros((k, k))
    sum_gradient(Q, D, lead, K, 0, k, scale, part)
    _put(part, gradient[0])
    rest = (R, Fr, RL, inverse, t)
    rest_gradients(rest, block_of, sizes, factors, K, scale, gradient)
    return value, absolute(G, K, sizes, factors, sigma, constants[0], gradient)


@compiled
def eliminate_crossed(A, F, couplings, products, block_of, start_of, k, WW, factors):
    """Eliminate the lead, then the rest, at given relative factors.

    Returns the log determinant (NaN if it breaks down), G, the Cholesky factor of the
    Schur complement S, ``chol(S)^-1 Lambda'Fr``, and what the gradient needs again of
    the lead (its factor, root, U, V) and of the rest (R, Fr, R Lambda, lead left out).
    """
    indptr, columns, B = couplings
    lead = factors[0, :k, :k].copy()
    G, R, Fr = WW.copy(), products[0].copy(), products[1].copy()
    m, w = Fr.shape
    root, U, V = np.empty_like(A), np.empty_like(F), np.empty_like(B)
    log_det = eliminate_lead(A, F, lead, G, root, U)
    eliminate_couplings(indptr, columns, B, lead, root, U, V, R, Fr)
    mirror_in_place(R)
    RL = left_transposed_small(R, factors, block_of, start_of).T.copy()
    schur = left_transposed_small(RL, factors, block_of, start_of)
    for i in range(m):
        schur[i, i] += 1.0
    if not cholesky(schur, m):
        log_det = np.nan
    kappa = left_transposed_small(Fr, factors, block_of, start_of)
    for i in range(m):
        log_det += 2.0 * math.log(schur[i, i])
    column = np.empty(m)
    for c in range(w):
        for i in range(m):
            column[i] = kappa[i, c]
        solve_lower(schur, column, m)
        for i in range(m):
            kappa[i, c] = column[i]
    for c in range(w):
        for d in range(c + 1):
            for i in range(m):
                G[c, d] -= kappa[i, c] * kappa[i, d]
    return log_det, G, schur, kappa, (lead, root, U, V), (R, Fr, RL)


@compiled
def _put(part, padded):
    """Copy a matrix into the corner of a larger one, entry by entry.

    Assigning a slice would compile numba's checks of shapes and their messages, 1 s.
    """
    for a in range(part.shape[0]):
        for b in range(part.shape[0]):
            padded[a, b] = part[a, b]


@compiled
def rest_gradients(rest, block_of, sizes, factors, K, scale, gradient):
    """Gradient with respect to the relative factor of each rest block."""
    R, Fr, RL, inverse, t = rest
    first = 0
    for b in range(1, sizes.size):
        k = sizes[b]
        count = 0
        while first + count < block_of.size and block_of[first + count] == b:
            count += 1
        Q, D = _rest_projections(R, Fr, RL, inverse, t, first, count // k, k)
        part = np.zeros((k, k))
        sum_gradient(Q, D, factors[b, :k, :k].copy(), K, 0, k, scale, part)
        _put(part, gradient[b])
        first += count


@compiled
def absolute(G, K, sizes, factors, sigma, n, gradient):
    """Scale the gradients to the absolute factors; slope in log sigma, these held."""
    slope = slope_of_sigma(G, K, sigma, n)
    for b in range(sizes.size):
        for i in range(sizes[b]):
            for j in range(sizes[b]):
                if j <= i:
                    slope -= gradient[b, i, j] * factors[b, i, j]
                gradient[b, i, j] /= sigma
    return slope


@compiled
def _rest_projections(R, Fr, RL, inverse, t, first, n_levels, k):
    """Q = Fr - R t and D = blocks of R Lambda S^-1, for one block of the rest."""
    m, w = Fr.shape
    Q, D = np.empty((n_levels, k, w)), np.empty((n_levels, k, k))
    for j in range(n_levels):
        for a in range(k):
            row = first + j * k + a
            for d in range(w):
                value = Fr[row, d]
                for c in range(m):
                    value -= R[row, c] * t[c, d]
                Q[j, a, d] = value
            for b in range(k):
                value = 0.0
                for c in range(m):
                    value += RL[row, c] * inverse[first + j * k + b, c]
                D[j, a, b] = value
    return Q, D


@compiled
def left_small(matrix, factors, block_of, start_of):
    """Lambda_r times `matrix`."""
    product = np.zeros_like(matrix)
    for i in range(matrix.shape[0]):
        start = start_of[i]
        for c in range(i - start + 1):
            value = factors[block_of[i], i - start, c]
            for d in range(matrix.shape[1]):
                product[i, d] += value * matrix[start + c, d]
    return product


@compiled
def left_transposed_small(matrix, factors, block_of, start_of):
    """Lambda_r' times `matrix`."""
    product = np.zeros_like(matrix)
    for i in range(matrix.shape[0]):
        start = start_of[i]
        for c in range(i - start + 1):
            value = factors[block_of[i], i - start, c]
            for d in range(matrix.shape[1]):
                product[start + c, d] += value * matrix[i, d]
    return product


@compiled
def _inverse(factor):
    """Both triangles of (L L')^-1."""
    m = factor.shape[0]
    inverse = np.zeros((m, m))
    for c in range(m):
        column = np.zeros(m)
        column[c] = 1.0
        solve_lower(factor, column, m)
        solve_lower_transposed(factor, column, m)
        inverse[c] = column
    return inverse
