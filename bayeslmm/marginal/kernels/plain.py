"""Plain numpy twins of the kernels that a small fit calls, all levels at once.

Same arguments and same numbers but for rounding; they work until the compiler has paid
for itself (`compiling`). Results are written into the arrays given.
"""

import math

import numpy as np


def sum_columns(X, y, weights, origin, turn, W, WW):
    """Twin of `rows.sum_columns`, and that itself where there are more columns."""
    W[:, :-1], W[:, -1] = X, y
    if origin.any():
        W -= origin
    W[:] = W @ turn
    WW += W.T @ (W * weights[:, None])


def add_rows(codes, Z, weights, W, P):
    """Twin of the kernels of `accumulate_rows`: one sum by level for each product."""
    J, k = P.shape[:2]
    columns = np.hstack([Z, W])
    for a in range(k):
        products = (weights * Z[:, a])[:, None] * columns
        for c in range(columns.shape[1]):
            P[:, a, c] += np.bincount(codes, products[:, c], J)


def eliminate_lead(A, F, Lam, G, root, U):
    """Twin of `blocked.eliminate_lead`."""
    try:
        root[:] = np.linalg.cholesky(Lam.T @ A @ Lam + np.eye(len(Lam)))
    except np.linalg.LinAlgError:
        return math.nan
    U[:] = np.linalg.solve(root, Lam.T @ F)
    flat = U.reshape(-1, U.shape[2])
    G -= flat.T @ flat
    return 2.0 * float(np.log(np.diagonal(root, axis1=1, axis2=2)).sum())


def lead_projections(A, F, Lam, root, U, Q, D):
    """Twin of `blocked.lead_projections`."""
    inverse = np.linalg.inv(np.tril(root))
    AT = A @ Lam @ inverse.swapaxes(1, 2)
    Q[:] = F - AT @ U
    D[:] = AT @ inverse


def eliminate_couplings(indptr, columns, B, Lam, root, U, V, R, Fr):
    """Twin of `blocked.eliminate_couplings`: zeros between the couplings are kept."""
    half = np.linalg.inv(np.tril(root)) @ Lam.T
    V[:] = (half[_levels(indptr)] @ B[:, :, None])[:, :, 0]
    spread = _spread(indptr, columns, V, len(R)).reshape(-1, len(R))
    R -= spread.T @ spread
    Fr -= spread.T @ U.reshape(-1, U.shape[2])


def couple_projections(A, Lam, root, indptr, columns, B, V, T, t, Q, D):
    """Twin of `blocked.couple_projections`."""
    AT = A @ Lam @ np.linalg.inv(np.tril(root)).swapaxes(1, 2)
    own = B - (AT[_levels(indptr)] @ V[:, :, None])[:, :, 0]
    N = _spread(indptr, columns, own, len(T))
    Q -= N @ t
    D -= N @ _mirrored(T) @ N.swapaxes(1, 2) @ Lam


def _levels(indptr):
    """Level of each coupling."""
    return np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))


def _spread(indptr, columns, values, m):
    """Couplings (nnz, k) with the zeros between them, (J, k, m)."""
    whole = np.zeros((len(indptr) - 1, values.shape[1], m))
    whole[_levels(indptr), :, columns] = values
    return whole


def sum_gradient(Q, D, Lam, K, first, last, scale, gradient):
    """Twin of `blocked.sum_gradient`."""
    own = slice(first, last)
    rows = Q[:, own].swapaxes(0, 1)
    flat = rows.reshape(last - first, -1)
    H = (rows @ K).reshape(last - first, -1) @ flat.T
    gradient += H @ Lam[own, own] / scale - D[:, own, own].sum(axis=0)


def mirror_in_place(matrix):
    """Twin of `blocked.mirror_in_place`."""
    matrix[:] = _mirrored(matrix)


def _mirrored(matrix):
    """The symmetric matrix that has this lower triangle."""
    return np.tril(matrix) + np.tril(matrix, -1).T


def scale_scalars(R, scale, S):
    """Twin of `scalars.scale_scalars`."""
    S[:] = scale[:, None] * R * scale + np.eye(len(R))


def project_scalars(R, scale, t, inverse, Rt, D):
    """Twin of `scalars.project_scalars`."""
    R, whole = _mirrored(R), _mirrored(inverse)
    Rt[:] = t @ R
    D[:] = (R * whole) @ scale
    inverse[:] = scale[:, None] * whole * scale


def solve_normal(precision, rhs, quad):
    """Twin of `algebra.solve_normal`."""
    try:
        root = np.linalg.cholesky(precision)
    except np.linalg.LinAlgError:
        precision[:] = math.nan
        rhs[:] = math.nan
        return math.nan, math.nan
    inverse = np.linalg.inv(root)
    half = inverse @ rhs
    precision[:] = inverse.T @ inverse
    rhs[:] = inverse.T @ half
    return 2.0 * float(np.log(np.diagonal(root)).sum()), quad - float(half @ half)


def solve_profile(G, dof, restricted, beta, covariance, weight):
    """Twin of `algebra.solve_profile`."""
    p = len(beta)
    beta[:], covariance[:] = G[:p, p], G[:p, :p]
    log_det, quad = solve_normal(covariance, beta, float(G[p, p]))
    sigma2 = quad / dof
    gamma = np.append(-beta, 1.0)
    weight[:] = np.outer(gamma, gamma)
    if restricted:
        weight[:p, :p] += sigma2 * covariance
    return log_det, sigma2


def levels_profiles(A, F, WW, factors, dof, restricted, values, slopes):
    """Twin of `generic.profiles` of one factor, all points at once: (r, k, k)."""
    (J, k, w), r, p = F.shape, len(factors), len(WW) - 1
    try:
        upward, log_det = _roots(A, factors)
        whitened = upward @ factors[:, None].swapaxes(2, 3)
        own_U = whitened @ F
        U = own_U.reshape(r, J * k, w)
        G = WW - U.swapaxes(1, 2) @ U
        root = np.linalg.cholesky(G[:, :p, :p])
    except np.linalg.LinAlgError:  # where, its own kernel would have to say
        _one_by_one(A, F, WW, factors, dof, restricted, values, slopes)
        return
    inverse = np.linalg.inv(root)
    half = inverse @ G[:, :p, p:]
    gamma = np.ones((r, w, 1))
    gamma[:, :p] = -inverse.swapaxes(1, 2) @ half
    scale = (G[:, p, p] - (half * half).sum(axis=(1, 2))) / dof
    values[:] = log_det + dof * np.log(np.where(scale > 0.0, scale, math.nan))
    K = gamma @ gamma.swapaxes(1, 2)
    if restricted:
        values += 2.0 * np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
        K[:, :p, :p] += scale[:, None, None] * (inverse.swapaxes(1, 2) @ inverse)
    AT = A @ whitened.swapaxes(2, 3)
    Q = F - AT @ own_U
    rows = Q.swapaxes(1, 2)  # (r, k, J, w)
    flat = rows.reshape(r, k, J * w)
    H = (rows @ K[:, None]).reshape(flat.shape) @ flat.swapaxes(1, 2)
    slopes += H @ factors / scale[:, None, None] - (AT @ upward).sum(axis=1)


def _roots(A, factors):
    """Inverse root of each level at each point, (r, J, k, k), and log determinants."""
    L = factors[:, None]
    root = np.linalg.cholesky(L.swapaxes(2, 3) @ A @ L + np.eye(A.shape[1]))
    log_det = 2.0 * np.log(np.diagonal(root, axis1=2, axis2=3)).sum(axis=(1, 2))
    return np.linalg.inv(root), log_det


def _one_by_one(A, F, WW, factors, dof, restricted, values, slopes):
    """NaN at the one point that breaks down, the others one after the other."""
    if len(factors) == 1:
        values[:] = math.nan
        return
    for i in range(len(factors)):
        one = slice(i, i + 1)
        given = factors[one], dof, restricted, values[one], slopes[one]
        levels_profiles(A, F, WW, *given)
