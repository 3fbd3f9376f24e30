"""Fixed effects, and those of a small rest, drawn for many variance parameters at once.

One compiled loop over the draws in the place of one factorisation after the other from
Python. Takes the arrays of `Statistics`, relative factors (s, ...) and sigma (s,), the
prior of beta, and standard normal numbers z (s, p + m); fills ``beta`` (s, p) and, with
crossed factors, ``rest`` (s, m).
"""

import math

import numpy as np

from bayeslmm.marginal.kernels.algebra import cholesky, solve_lower_transposed
from bayeslmm.marginal.kernels.blocked import eliminate_lead
from bayeslmm.marginal.kernels.compiling import compiled
from bayeslmm.marginal.kernels.crossed import eliminate_crossed, left_small
from bayeslmm.marginal.kernels.filled import eliminate_filled, solve_upper
from bayeslmm.marginal.kernels.pairs import pairs_gram
from bayeslmm.marginal.kernels.pooled import pooled_gram
from bayeslmm.marginal.kernels.single import condition


@compiled
def pooled_fixed(A, count, T, WW, relative, sigma, prior, mean, constants, z, beta):
    """One grouping factor whose levels share few different cross-products."""
    for s in range(sigma.size):
        G = WW.copy()
        log_det = pooled_gram(A, count, T, relative[s], G)
        draw_fixed(log_det, G, sigma[s], prior, mean, constants, z[s], beta[s])


@compiled
def pairs_fixed(A, F, WW, relative, sigma, prior, mean, constants, z, beta):
    """One grouping factor with two effects."""
    N = np.empty((4, A.shape[1]))
    for s in range(sigma.size):
        G = WW.copy()
        log_det = pairs_gram(A, F, relative[s], G, N)
        draw_fixed(log_det, G, sigma[s], prior, mean, constants, z[s], beta[s])


@compiled
def levels_fixed(A, F, WW, relative, sigma, prior, mean, constants, z, beta):
    """One grouping factor with any number of effects."""
    root, U = np.empty_like(A), np.empty_like(F)
    for s in range(sigma.size):
        G = WW.copy()
        log_det = eliminate_lead(A, F, relative[s], G, root, U)
        draw_fixed(log_det, G, sigma[s], prior, mean, constants, z[s], beta[s])


@compiled
def crossed_fixed(
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
    relative,
    sigma,
    prior,
    mean,
    constants,
    z,
    beta,
    rest,
):
    """Several grouping factors: beta, then the rest given it.

    With gamma = (-beta, 1): b = Lambda (S^-1 Lambda'Fr gamma + sigma chol(S)^-T z).
    """
    p, m = beta.shape[1], rest.shape[1]
    couplings, products = (indptr, columns, B), (R0, Fr0)
    u = np.empty((m, 1))
    for s in range(sigma.size):
        done = eliminate_crossed(
            *(A, F, couplings, products, block_of, start_of, sizes[0], WW, relative[s])
        )
        log_det, G, schur, kappa = done[0], done[1], done[2], done[3]
        draw_fixed(log_det, G, sigma[s], prior, mean, constants, z[s], beta[s])
        if not math.isfinite(log_det):
            rest[s] = np.nan
            continue
        for i in range(m):
            u[i, 0] = sigma[s] * z[s, p + i] + kappa[i, p]
            for c in range(p):
                u[i, 0] -= kappa[i, c] * beta[s, c]
        solve_lower_transposed(schur, u[:, 0], m)
        drawn = left_small(u, relative[s], block_of, start_of)
        for i in range(m):
            rest[s, i] = drawn[i, 0]


@compiled
def filled_fixed(
    A,
    F,
    B,
    R0,
    Fr0,
    block_of,
    start_of,
    sizes,
    cA,
    count,
    T,
    edges,
    WW,
    relative,
    sigma,
    prior,
    mean,
    constants,
    z,
    beta,
    rest,
):
    """As `crossed_fixed`, of couplings that are kept whole; `rest` may be means."""
    p, m = beta.shape[1], rest.shape[1]
    where, contrasts = (block_of, start_of, sizes), (cA, count, T, edges)
    u = np.empty(m)
    for s in range(sigma.size):
        done = eliminate_filled(A, F, B, R0, Fr0, where, contrasts, WW, relative[s])
        log_det, G, schur, kappa = done[0], done[1], done[2], done[3]
        draw_fixed(log_det, G, sigma[s], prior, mean, constants, z[s], beta[s])
        if not math.isfinite(log_det):
            rest[s] = np.nan
            continue
        for i in range(m):
            u[i] = sigma[s] * z[s, p + i] + kappa[p, i]
            for c in range(p):
                u[i] -= kappa[c, i] * beta[s, c]
        solve_upper(schur, u)
        drawn = left_small(u.reshape(m, 1), relative[s], block_of, start_of)
        for i in range(m):
            rest[s, i] = drawn[i, 0]


@compiled
def draw_fixed(log_det, G, sigma, prior, mean, constants, z, beta):
    """One draw of beta given the variances: its mean, plus chol(covariance) z.

    NaN where the factorisation broke down, as its log determinant is then.
    """
    p = beta.size
    _, center, covariance = condition(
        G, sigma, prior, mean, (constants[0], constants[1]), 0.0
    )
    fine = cholesky(covariance, p) and math.isfinite(log_det)
    for i in range(p):
        beta[i] = center[i] if fine else np.nan
        for c in range(i + 1):
            beta[i] += covariance[i, c] * z[c]
