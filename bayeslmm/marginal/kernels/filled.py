"""Several grouping factors of which most levels meet: density and gradient in one call.

The algebra of `elimination` for couplings that are kept whole, B (J, k, m), in loops
over rows that lie side by side, so that they vectorise. The factor of S is kept as its
transpose, ``S = U'U``, for the same reason. Levels that are alike are one, and their
contrasts are pooled sums of each block (see `exchangeable`).
"""

import math

import numpy as np

from bayeslmm.marginal.kernels.algebra import copy_into
from bayeslmm.marginal.kernels.blocked import (
    eliminate_lead,
    lead_projections,
    mirror_in_place,
    spread,
    sum_gradient,
)
from bayeslmm.marginal.kernels.compiling import compiled, compiled_fast
from bayeslmm.marginal.kernels.crossed import (
    left_small,
    left_transposed_small,
    rest_gradients,
    turn_small,
)
from bayeslmm.marginal.kernels.pooled import pooled_gradient, pooled_gram


@compiled
def eliminate_filled(lead, products, where, contrasts, factors, G, given):
    """Eliminate the lead, then the rest, at given relative factors; log determinant."""
    A, F, B = lead
    block_of, start_of, sizes = where
    (root, U, V), (R, Fr, RL), schur, kappa = given
    k, m, w = sizes[0], R.shape[0], G.shape[0]
    own = factors[0, :k, :k].copy()
    copy_into(products[0], R)
    copy_into(products[1].T, Fr)
    log_det = eliminate_lead(A, F, own, G, root, U)
    _couple(B, own, root, U, V, Fr)
    _take_squares(V.reshape(V.shape[0] * k, m), R)
    mirror_in_place(R)
    copy_into(left_transposed_small(R, factors, block_of, start_of).T, RL)
    copy_into(left_transposed_small(RL, factors, block_of, start_of), schur)
    for i in range(m):
        schur[i, i] += 1.0
    if not _upper_cholesky(schur):
        return np.nan
    columns = left_transposed_small(Fr.T.copy(), factors, block_of, start_of)
    copy_into(columns.T, kappa)
    for i in range(m):
        log_det += 2.0 * math.log(schur[i, i])
    _solve_rows(schur, kappa)
    for c in range(w):
        for d in range(c + 1):
            G[c, d] -= _dot(kappa[c], kappa[d])
    cA, count, T, edges = contrasts
    for b in range(edges.size - 1):
        first, last = edges[b], edges[b + 1]
        if first < last:
            part = (cA[first:last], count[first:last], T[first:last])
            log_det += pooled_gram(part[0], part[1], part[2], factors[b], G)
    return log_det


@compiled
def slopes_filled(lead, where, contrasts, factors, given, K, scale, gradient):
    """Fill ``sum_j (Q_j K Q_j') Lambda / scale - D_j`` of each block."""
    A, F, B = lead
    block_of, start_of, sizes = where
    (root, U, V), (R, Fr, RL), schur, kappa = given
    k, m = sizes[0], R.shape[0]
    own = factors[0, :k, :k].copy()
    W, inverse = _inverses(schur)
    t = left_small(_multiply_lower(W, kappa), factors, block_of, start_of)
    Q, D = np.empty(F.shape), np.empty(A.shape)
    lead_projections(A, F, own, root, U, Q, D)
    N = np.empty(B.shape)
    _project(A, B, own, root, V, t.T.copy(), N, Q)
    turned = N.reshape(N.shape[0] * k, m).T.copy()
    turned = left_transposed_small(turned, factors, block_of, start_of)
    gradient[:] = 0.0
    part, NTN = np.zeros((k, k)), np.zeros((k, k))
    _add_squares(_times_lower(W, turned), NTN)
    sum_gradient(Q, D, own, K, 0, k, scale, part)
    for a in range(k):
        for b in range(k):
            for c in range(b, k):
                part[a, b] += NTN[a, c] * own[c, b]
            gradient[0, a, b] = part[a, b]
    rest = (R, Fr.T.copy(), RL, inverse, t)
    rest_gradients(rest, block_of, sizes, factors, K, scale, gradient)
    _add_contrasts(contrasts, factors, K, scale, gradient)


@compiled
def draw_filled(where, factors, given, gamma, sigma, z, drawn):
    """As `crossed.draw_crossed`; what is drawn may be means of classes."""
    block_of, start_of, _ = where
    schur, kappa = given[2], given[3]
    for i in range(drawn.size):
        drawn[i] = sigma * z[i]
        for c in range(gamma.size):
            drawn[i] += kappa[c, i] * gamma[c]
    _solve_upper(schur, drawn)
    turn_small(drawn, factors, block_of, start_of)


@compiled
def _add_contrasts(contrasts, factors, K, scale, gradient):
    """Add what the contrasts of each block give to its gradient."""
    cA, count, T, edges = contrasts
    part = np.empty_like(gradient[0])
    for b in range(edges.size - 1):
        first, last = edges[b], edges[b + 1]
        if first < last:
            own = (cA[first:last], count[first:last], T[first:last])
            pooled_gradient(own[0], own[1], own[2], factors[b], K, scale, part)
            for i in range(part.shape[0]):
                for j in range(part.shape[0]):
                    gradient[b, i, j] += part[i, j]


@compiled_fast
def _couple(B, Lam, root, U, V, Fr):
    """V[j] = root[j]^-1 Lambda'B[j]; Fr (w, m) -= U'V."""
    J, k, m = B.shape
    w = U.shape[2]
    for j in range(J):
        for a in range(k):
            for i in range(m):
                V[j, a, i] = Lam[a, a] * B[j, a, i]
            for c in range(a + 1, k):
                for i in range(m):
                    V[j, a, i] += Lam[c, a] * B[j, c, i]
            for c in range(a):
                for i in range(m):
                    V[j, a, i] -= root[j, a, c] * V[j, c, i]
            for i in range(m):
                V[j, a, i] /= root[j, a, a]
            for d in range(w):
                for i in range(m):
                    Fr[d, i] -= U[j, a, d] * V[j, a, i]


@compiled_fast
def _take_squares(V, R):
    """R -= V'V, lower triangle, four rows of V at a time."""
    n, m = V.shape
    whole = n - n % 4
    for r in range(0, whole, 4):
        for i in range(m):
            x0, x1, x2, x3 = V[r, i], V[r + 1, i], V[r + 2, i], V[r + 3, i]
            for c in range(i + 1):
                R[i, c] -= (x0 * V[r, c] + x1 * V[r + 1, c]) + (
                    x2 * V[r + 2, c] + x3 * V[r + 3, c]
                )
    for r in range(whole, n):
        for i in range(m):
            for c in range(i + 1):
                R[i, c] -= V[r, i] * V[r, c]


@compiled_fast
def _upper_cholesky(S):
    """U over the upper triangle of S = U'U; False if not positive definite."""
    m = S.shape[0]
    for j in range(m):
        if not S[j, j] > 0.0:
            return False
        pivot = math.sqrt(S[j, j])
        for c in range(j, m):
            S[j, c] /= pivot
        for i in range(j + 1, m):
            x = S[j, i]
            for c in range(i, m):
                S[i, c] -= x * S[j, c]
    return True


@compiled_fast
def _solve_rows(U, rows):
    """Every row x of `rows` becomes U^-T x."""
    m = U.shape[0]
    for d in range(rows.shape[0]):
        for i in range(m):
            x = rows[d, i] / U[i, i]
            rows[d, i] = x
            for c in range(i + 1, m):
                rows[d, c] -= x * U[i, c]


@compiled_fast
def _solve_upper(U, x):
    """X <- U^-1 x."""
    m = U.shape[0]
    for i in range(m - 1, -1, -1):
        value = x[i]
        for c in range(i + 1, m):
            value -= U[i, c] * x[c]
        x[i] = value / U[i, i]


@compiled_fast
def _dot(x, y):
    """Sum of products."""
    value = 0.0
    for i in range(x.size):
        value += x[i] * y[i]
    return value


@compiled_fast
def _inverses(U):
    """W = U^-T, lower, and both triangles of (U'U)^-1 = W'W."""
    m = U.shape[0]
    W, inverse = np.zeros((m, m)), np.zeros((m, m))
    for i in range(m):
        W[i, i] = 1.0
        for c in range(i):
            x = U[c, i]
            for d in range(c + 1):
                W[i, d] -= x * W[c, d]
        for d in range(i + 1):
            W[i, d] /= U[i, i]
    for r in range(m):
        for i in range(r + 1):
            x = W[r, i]
            for c in range(i + 1):
                inverse[i, c] += x * W[r, c]
    mirror_in_place(inverse)
    return W, inverse


@compiled_fast
def _multiply_lower(W, rows):
    """W'x for every row x of `rows`, side by side (m, w)."""
    m, w = W.shape[0], rows.shape[0]
    found, column = np.empty((m, w)), np.empty(m)
    for d in range(w):
        column[:] = 0.0
        for i in range(m):
            x = rows[d, i]
            for c in range(i + 1):
                column[c] += x * W[i, c]
        for i in range(m):
            found[i, d] = column[i]
    return found


@compiled_fast
def _times_lower(W, X):
    """W X for a lower triangular W, four rows of X at a time."""
    m, n = X.shape
    found = np.zeros((m, n))
    for i in range(m):
        whole = (i + 1) - (i + 1) % 4
        for r in range(0, whole, 4):
            x0, x1, x2, x3 = W[i, r], W[i, r + 1], W[i, r + 2], W[i, r + 3]
            for c in range(n):
                found[i, c] += (x0 * X[r, c] + x1 * X[r + 1, c]) + (
                    x2 * X[r + 2, c] + x3 * X[r + 3, c]
                )
        for r in range(whole, i + 1):
            x0 = W[i, r]
            for c in range(n):
                found[i, c] += x0 * X[r, c]
    return found


@compiled_fast
def _add_squares(Y, total):
    """Total (k, k) += sum over j of Y_j'Y_j, Y_j the k columns of level j."""
    m, k = Y.shape[0], total.shape[0]
    for i in range(m):
        for j in range(0, Y.shape[1], k):
            for a in range(k):
                for b in range(k):
                    total[a, b] += Y[i, j + a] * Y[i, j + b]


@compiled_fast
def _project(A, B, Lam, root, V, t, N, Q):
    """N_j = B_j - A_j Lambda root^-T V_j, and Q_j -= N_j t; t by columns (w, m)."""
    J, k, m = B.shape
    w = t.shape[0]
    AT = np.empty((k, k))
    for j in range(J):
        spread(A[j], Lam, root[j], AT)
        for a in range(k):
            for i in range(m):
                N[j, a, i] = B[j, a, i]
            for c in range(k):
                x = AT[a, c]
                for i in range(m):
                    N[j, a, i] -= x * V[j, c, i]
            for d in range(w):
                value = 0.0
                for i in range(m):
                    value += N[j, a, i] * t[d, i]
                Q[j, a, d] -= value
