"""Compiled linear algebra on small matrices.

Loops written out for matrices of a few rows, where a call to LAPACK costs more than the
work. Results overwrite what is given.
"""

import math

import numpy as np

from bayeslmm.marginal.kernels import plain
from bayeslmm.marginal.kernels.compiling import compiled, compiled_after


@compiled
def copy_into(matrix, out):
    """Copy a matrix into the corner of another one, entry by entry.

    Assigning a slice would compile numba's checks of shapes and their messages, 1 s.
    """
    for i in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            out[i, j] = matrix[i, j]


@compiled
def cholesky(matrix, n):
    """Lower Cholesky factor in place (upper triangle untouched); False if not PD."""
    for j in range(n):
        pivot = matrix[j, j]
        for c in range(j):
            pivot -= matrix[j, c] * matrix[j, c]
        if not pivot > 0.0:
            return False
        root = math.sqrt(pivot)
        matrix[j, j] = root
        for i in range(j + 1, n):
            value = matrix[i, j]
            for c in range(j):
                value -= matrix[i, c] * matrix[j, c]
            matrix[i, j] = value / root
    return True


@compiled
def solve_lower(L, b, n):
    """B <- L^-1 b for one right-hand side."""
    for i in range(n):
        value = b[i]
        for c in range(i):
            value -= L[i, c] * b[c]
        b[i] = value / L[i, i]


@compiled
def solve_lower_transposed(L, b, n):
    """B <- L^-T b for one right-hand side."""
    for i in range(n - 1, -1, -1):
        value = b[i]
        for c in range(i + 1, n):
            value -= L[c, i] * b[c]
        b[i] = value / L[i, i]


@compiled_after(plain.solve_normal)
def solve_normal(precision, rhs, quad):
    """Solve ``precision beta = rhs``; both are overwritten: covariance and beta.

    Returns the log determinant of the precision and ``quad - beta'precision beta``.
    """
    p = rhs.size
    L = precision.copy()
    if not cholesky(L, p):
        precision[:] = np.nan
        rhs[:] = np.nan
        return np.nan, np.nan
    log_det = 0.0
    solve_lower(L, rhs, p)
    for i in range(p):
        log_det += 2.0 * math.log(L[i, i])
        quad -= rhs[i] * rhs[i]
    solve_lower_transposed(L, rhs, p)
    column = np.empty(p)
    for c in range(p):
        column[:] = 0.0
        column[c] = 1.0
        solve_lower(L, column, p)
        solve_lower_transposed(L, column, p)
        for i in range(p):  # assigning a slice would compile numba's messages, 1 s
            precision[i, c] = column[i]
    return log_det, quad


@compiled_after(plain.solve_profile)
def solve_profile(G, dof, restricted, beta, covariance, weight):
    """Beta and sigma at their best for ``G = [X y]'V0^-1[X y]``.

    Fills beta, its covariance at sigma 1, and gamma gamma' with gamma = (-beta, 1), to
    which the covariance of beta is added if `restricted`. Returns the log determinant
    of beta's precision at sigma 1 and sigma squared.
    """
    p = beta.size
    for i in range(p):
        beta[i] = G[i, p]
        for c in range(p):
            covariance[i, c] = G[i, c]
    log_det, quad = solve_normal(covariance, beta, G[p, p])
    sigma2 = quad / dof
    for i in range(p):
        weight[i, p] = weight[p, i] = -beta[i]
        for c in range(p):
            weight[i, c] = beta[i] * beta[c]
            if restricted:
                weight[i, c] += sigma2 * covariance[i, c]
    weight[p, p] = 1.0
    return log_det, sigma2
