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
    copy_into,
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
from bayeslmm.marginal.kernels.calls import cut
from bayeslmm.marginal.kernels.compiling import compiled


@compiled
def rooms(A, F, B, m, columns, room):
    """What an evaluation keeps.

    Root, U and V of the lead; of the rest R, Fr and R Lambda, the lead left out, the
    Cholesky factor of the Schur complement S, and ``chol(S)^-1 Lambda'Fr``. Fr and the
    last are of the shape ``columns``: (m, w), or for `filled`, whose factor is the
    upper one, (w, m).
    """
    w = F.shape[2]
    at = A.size + F.size
    lead = (cut(room, 0, A.shape), cut(room, A.size, F.shape), cut(room, at, B.shape))
    at += B.size
    square = (m, m)
    R, RL, schur = (
        cut(room, at, square),
        cut(room, at + m * m, square),
        cut(room, at + 2 * m * m, square),
    )
    at += 3 * m * m
    Fr, kappa = cut(room, at, columns), cut(room, at + m * w, columns)
    return lead, (R, Fr, RL), schur, kappa


@compiled
def eliminate_crossed(lead, couplings, products, where, factors, G, given):
    """Eliminate the lead, then the rest, at given relative factors; log determinant."""
    indptr, columns, B = couplings
    block_of, start_of, sizes = where
    (root, U, V), (R, Fr, RL), schur, kappa = given
    k, m, w = sizes[0], R.shape[0], G.shape[0]
    own = factors[0, :k, :k].copy()
    copy_into(products[0], R)
    copy_into(products[1], Fr)
    log_det = eliminate_lead(lead[0], lead[1], own, G, root, U)
    eliminate_couplings(indptr, columns, B, own, root, U, V, R, Fr)
    mirror_in_place(R)
    copy_into(left_transposed_small(R, factors, block_of, start_of).T, RL)
    copy_into(left_transposed_small(RL, factors, block_of, start_of), schur)
    for i in range(m):
        schur[i, i] += 1.0
    if not cholesky(schur, m):
        return np.nan
    copy_into(left_transposed_small(Fr, factors, block_of, start_of), kappa)
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
    return log_det


@compiled
def slopes_crossed(A, F, couplings, where, factors, given, K, scale, gradient):
    """Fill ``sum_j (Q_j K Q_j') Lambda / scale - D_j`` of each block."""
    indptr, columns, B = couplings
    block_of, start_of, sizes = where
    (root, U, V), (R, Fr, RL), schur, kappa = given
    k, m = sizes[0], R.shape[0]
    lead, column = factors[0, :k, :k].copy(), np.empty(m)
    u = np.empty(kappa.shape)
    for c in range(kappa.shape[1]):
        for i in range(m):
            column[i] = kappa[i, c]
        solve_lower_transposed(schur, column, m)
        for i in range(m):
            u[i, c] = column[i]
    inverse = _inverse(schur)
    t = left_small(u, factors, block_of, start_of)
    T = left_small(inverse, factors, block_of, start_of)
    T = left_small(T.T.copy(), factors, block_of, start_of)
    Q, D = np.empty(F.shape), np.empty(A.shape)
    lead_projections(A, F, lead, root, U, Q, D)
    couple_projections(A, lead, root, indptr, columns, B, V, T, t, Q, D)
    gradient[:] = 0.0
    part = np.zeros((k, k))
    sum_gradient(Q, D, lead, K, 0, k, scale, part)
    copy_into(part, gradient[0])
    rest = (R, Fr, RL, inverse, t)
    rest_gradients(rest, block_of, sizes, factors, K, scale, gradient)


@compiled
def draw_crossed(where, factors, given, gamma, sigma, z, drawn):
    """Draw the rest: ``b = Lambda (S^-1 Lambda'Fr gamma + sigma chol(S)^-T z)``."""
    block_of, start_of, _ = where
    schur, kappa = given[2], given[3]
    m = drawn.size
    for i in range(m):
        drawn[i] = sigma * z[i]
        for c in range(gamma.size):
            drawn[i] += kappa[i, c] * gamma[c]
    solve_lower_transposed(schur, drawn, m)
    turn_small(drawn, factors, block_of, start_of)


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
        copy_into(part, gradient[b])
        first += count


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
def turn_small(x, factors, block_of, start_of):
    """X <- Lambda_r x; an entry needs those of its level before it alone."""
    for i in range(x.size - 1, -1, -1):
        start, value = start_of[i], 0.0
        for c in range(i - start + 1):
            value += factors[block_of[i], i - start, c] * x[start + c]
        x[i] = value


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
