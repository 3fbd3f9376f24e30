"""Kernels of the blocked factorisation, one level of the leading block at a time.

Takes the arrays of `Statistics` and the relative factor Lambda of the leading block,
gives the pieces of the one factorisation ``M = Lambda'Z'WZ Lambda + I`` that everything
is read off. Lengths: J levels, k effects per level, w = p + 1 columns of [X y]. Results
are written into arrays given.
"""

import math

import numpy as np

from bayeslmm.marginal.kernels import plain
from bayeslmm.marginal.kernels.algebra import (
    cholesky,
    solve_lower,
    solve_lower_transposed,
)
from bayeslmm.marginal.kernels.compiling import compiled, compiled_after


@compiled_after(plain.eliminate_lead)
def eliminate_lead(A, F, Lam, G, root, U):
    """Factor every level and take its part out of ``G = [X y]'V0^-1[X y]``.

    root[j] = chol(Lambda'A_j Lambda + I), U[j] = root[j]^-1 Lambda'F_j; G -= U'U (lower
    triangle). Returns the log determinant; NaN where a level is not positive definite.
    """
    J, k = A.shape[0], A.shape[1]
    w = F.shape[2]
    log_det = 0.0
    AL = np.empty((k, k))
    for j in range(J):
        for a in range(k):
            for b in range(k):
                value = 0.0
                for c in range(b, k):
                    value += A[j, a, c] * Lam[c, b]
                AL[a, b] = value
        for a in range(k):
            for b in range(a + 1):
                value = 0.0
                for c in range(a, k):
                    value += Lam[c, a] * AL[c, b]
                root[j, a, b] = value
            root[j, a, a] += 1.0
        if not cholesky(root[j], k):
            return np.nan
        for a in range(k):
            log_det += 2.0 * math.log(root[j, a, a])
        for d in range(w):
            for a in range(k):
                value = 0.0
                for c in range(a, k):
                    value += Lam[c, a] * F[j, c, d]
                for c in range(a):
                    value -= root[j, a, c] * U[j, c, d]
                U[j, a, d] = value / root[j, a, a]
        for d in range(w):
            for e in range(d + 1):
                value = 0.0
                for a in range(k):
                    value += U[j, a, d] * U[j, a, e]
                G[d, e] -= value
    return log_det


@compiled_after(plain.eliminate_couplings)
def eliminate_couplings(indptr, columns, B, Lam, root, U, V, R, Fr):
    """Take the lead out of the rest: R -= V'V (lower triangle), Fr -= V'U.

    V[e] = root[j]^-1 Lambda'B[e] for the entries e of level j.
    """
    k, w = B.shape[1], U.shape[2]
    for j in range(indptr.size - 1):
        for e in range(indptr[j], indptr[j + 1]):
            for a in range(k):
                value = 0.0
                for c in range(a, k):
                    value += Lam[c, a] * B[e, c]
                for c in range(a):
                    value -= root[j, a, c] * V[e, c]
                V[e, a] = value / root[j, a, a]
            row = columns[e]
            for d in range(w):
                value = 0.0
                for a in range(k):
                    value += V[e, a] * U[j, a, d]
                Fr[row, d] -= value
            for f in range(indptr[j], e + 1):
                value = 0.0
                for a in range(k):
                    value += V[e, a] * V[f, a]
                R[row, columns[f]] -= value


@compiled_after(plain.lead_projections)
def lead_projections(A, F, Lam, root, U, Q, D):
    """Per level Q_j = Z_j'P[X y] and D_j = Z_j'P Z_j Lambda, with the rest left out.

    P is V0^-1 of the leading block alone: Q = F - A Lambda root^-T U,
    D = A Lambda root^-T root^-1.
    """
    J, k = A.shape[0], A.shape[1]
    w = F.shape[2]
    AT = np.empty((k, k))
    for j in range(J):
        spread(A[j], Lam, root[j], AT)
        for a in range(k):
            for b in range(k - 1, -1, -1):
                value = AT[a, b]
                for c in range(b + 1, k):
                    value -= D[j, a, c] * root[j, c, b]
                D[j, a, b] = value / root[j, b, b]
            for d in range(w):
                value = F[j, a, d]
                for c in range(k):
                    value -= AT[a, c] * U[j, c, d]
                Q[j, a, d] = value


@compiled_after(plain.couple_projections)
def couple_projections(A, Lam, root, indptr, columns, B, V, T, t, Q, D):
    """Add the rest's part: Q_j -= N_j t, D_j -= N_j T N_j' Lambda.

    N_j = B_j - A_j Lambda root^-T V_j are the couplings with the lead projected out,
    T = Lambda_r S^-1 Lambda_r' (lower triangle) and t = T Fr (of the eliminated rest).
    """
    k = B.shape[1]
    N = np.empty((most_couplings(indptr), k))
    NTN, AT = np.empty((k, k)), np.empty((k, k))
    for j in range(indptr.size - 1):
        first, size = indptr[j], indptr[j + 1] - indptr[j]
        spread(A[j], Lam, root[j], AT)
        project_couplings(first, size, columns, B, V, AT, t, N, Q[j])
        _quadratic(N, columns[first : first + size], T, NTN)
        take_product(NTN, Lam, D[j])


@compiled
def most_couplings(indptr):
    """Couplings of the level of the lead that has the most."""
    most = 0
    for j in range(indptr.size - 1):
        most = max(most, indptr[j + 1] - indptr[j])
    return most


@compiled
def project_couplings(first, size, columns, B, V, AT, t, N, Q):
    """N <- B - AT V for the couplings of one level, and Q -= N't."""
    k, w = B.shape[1], t.shape[1]
    for e in range(size):
        for a in range(k):
            value = B[first + e, a]
            for c in range(k):
                value -= AT[a, c] * V[first + e, c]
            N[e, a] = value
            for d in range(w):
                Q[a, d] -= value * t[columns[first + e], d]


@compiled
def take_product(NTN, Lam, D):
    """D -= NTN Lambda, for a lower-triangular Lambda."""
    k = Lam.shape[0]
    for a in range(k):
        for b in range(k):
            value = 0.0
            for c in range(b, k):
                value += NTN[a, c] * Lam[c, b]
            D[a, b] -= value


@compiled
def spread(A, Lam, root, AT):
    """AT <- A Lambda root^-T, row by row."""
    k = Lam.shape[0]
    for a in range(k):
        for b in range(k):
            value = 0.0
            for c in range(b, k):
                value += A[a, c] * Lam[c, b]
            for c in range(b):
                value -= AT[a, c] * root[b, c]
            AT[a, b] = value / root[b, b]


@compiled
def _quadratic(N, columns, T, NTN):
    """NTN <- N'TN for the rows of N at `columns`, T given by its lower triangle."""
    k = NTN.shape[0]
    NTN[:] = 0.0
    row = np.empty(k)
    for e in range(columns.size):
        row[:] = 0.0  # sum over f < e of T[e, f] N[f], plus half the diagonal
        for f in range(e):
            value = T[columns[e], columns[f]]
            for a in range(k):
                row[a] += value * N[f, a]
        value = 0.5 * T[columns[e], columns[e]]
        for a in range(k):
            row[a] += value * N[e, a]
        for a in range(k):
            for b in range(k):
                NTN[a, b] += N[e, a] * row[b] + row[a] * N[e, b]


@compiled_after(plain.mirror_in_place)
def mirror_in_place(matrix):
    """Copy the lower triangle to the upper, tile by tile."""
    m, tile = matrix.shape[0], 32
    for i0 in range(0, m, tile):
        for j0 in range(0, i0 + 1, tile):
            for i in range(i0, min(i0 + tile, m)):
                for j in range(j0, min(j0 + tile, i)):
                    matrix[j, i] = matrix[i, j]


@compiled_after(plain.sum_gradient)
def sum_gradient(Q, D, Lam, K, first, last, scale, gradient):
    """Gradient += sum_j (Q_j K Q_j') Lambda / scale - D_j, over levels and one term.

    K (w x w) is gamma gamma' plus the covariance of beta; only the rows and columns
    ``first .. last``, one bar term's, are summed.
    """
    k, w = Q.shape[1], Q.shape[2]
    QK = np.empty(w)
    H = np.zeros((k, k))
    for j in range(Q.shape[0]):
        for a in range(first, last):
            for d in range(w):
                value = 0.0
                for e in range(w):
                    value += Q[j, a, e] * K[e, d]
                QK[d] = value
            for b in range(first, last):
                value = 0.0
                for d in range(w):
                    value += QK[d] * Q[j, b, d]
                H[a, b] += value
                gradient[a - first, b - first] -= D[j, a, b]
    for a in range(first, last):
        for b in range(first, last):
            value = 0.0
            for c in range(b, last):
                value += H[a, c] * Lam[c, b]
            gradient[a - first, b - first] += value / scale


@compiled
def accumulate_levels(codes, Z, weights, W, A, F):
    """Add Z_j'WZ_j and Z_j'W[X y] of the rows given to those of their levels."""
    n, k = Z.shape
    w = W.shape[1]
    for r in range(n):
        j = codes[r]
        for a in range(k):
            value = weights[r] * Z[r, a]
            for b in range(k):
                A[j, a, b] += value * Z[r, b]
            for c in range(w):
                F[j, a, c] += value * W[r, c]


@compiled
def draw_levels(
    A, F, indptr, columns, B, Lam, sigma, gamma, rest_b, levels, first, z, out
):
    """Random effects of some levels of the lead, for every draw of the rest.

    With M = root root' = Lambda'A Lambda + I: b = Lambda root^-T (root^-1 Lambda'r
    + sigma z), where r = F gamma - B'b_rest is ``Z_j'W`` times what is left of y.
    """
    n_draws, k, w = sigma.size, A.shape[1], F.shape[2]
    root, u = np.empty((k, k)), np.empty(k)
    for i in range(levels.size):
        j = levels[i]
        for s in range(n_draws):
            for a in range(k):
                for b in range(a + 1):
                    value = 1.0 if a == b else 0.0
                    for c in range(a, k):
                        for d in range(b, k):
                            value += Lam[s, c, a] * A[j, c, d] * Lam[s, d, b]
                    root[a, b] = value
            cholesky(root, k)
            u[:] = 0.0
            for c in range(k):
                value = 0.0
                for d in range(w):
                    value += F[j, c, d] * gamma[s, d]
                for e in range(indptr[j], indptr[j + 1]):
                    value -= B[e, c] * rest_b[s, columns[e]]
                for a in range(c + 1):
                    u[a] += Lam[s, c, a] * value
            solve_lower(root, u, k)
            for a in range(k):
                u[a] += sigma[s] * z[j - first, s, a]
            solve_lower_transposed(root, u, k)
            for a in range(k):
                value = 0.0
                for c in range(a + 1):
                    value += Lam[s, a, c] * u[c]
                out[s, i, a] = value


@compiled
def couple_columns(indptr, columns, B, lead, rest, lead_out, rest_out):
    """Add the couplings' part of ``Z'WZ c``: lead += B rest, rest += B'lead."""
    k, n_columns = B.shape[1], lead.shape[2]
    for j in range(indptr.size - 1):
        for e in range(indptr[j], indptr[j + 1]):
            for a in range(k):
                for c in range(n_columns):
                    lead_out[j, a, c] += B[e, a] * rest[columns[e], c]
                    rest_out[columns[e], c] += B[e, a] * lead[j, a, c]


@compiled
def reduce_columns(indptr, columns, V, U, rest):
    """Take the lead out of more right-hand sides: rest -= V'U."""
    k, n_columns = V.shape[1], U.shape[2]
    for j in range(indptr.size - 1):
        for e in range(indptr[j], indptr[j + 1]):
            for a in range(k):
                for c in range(n_columns):
                    rest[columns[e], c] -= V[e, a] * U[j, a, c]


@compiled
def coupled_covariances(indptr, columns, Lam, root, V, T, between):
    """Add to ``between`` (nnz, k) the covariance of each coupled pair given beta.

    That of effects of a level of the lead with one of the rest is
    ``-Lambda root^-T sum_e V_e T[e]`` over the couplings e of the level; T (m, m) is
    the covariance of the rest.
    """
    k = root.shape[1]
    own = np.empty(k)
    for j in range(indptr.size - 1):
        for f in range(indptr[j], indptr[j + 1]):
            own[:] = 0.0
            for e in range(indptr[j], indptr[j + 1]):
                for a in range(k):
                    own[a] -= V[e, a] * T[columns[e], columns[f]]
            for a in range(k - 1, -1, -1):
                for b in range(a + 1, k):
                    own[a] -= root[j, b, a] * own[b]
                own[a] /= root[j, a, a]
            for a in range(k):
                for b in range(a + 1):
                    between[f, a] += Lam[a, b] * own[b]
