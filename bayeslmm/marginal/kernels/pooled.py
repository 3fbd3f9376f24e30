"""Kernel for one grouping factor whose levels share few different ``Z_j'WZ_j``.

Levels with equal A_j need one factorisation between them, and of their F_j only the sum
of outer products counts, ``T[(a, c), (b, d)] = sum_j F_j[a, c] F_j[b, d]``. The cost of
an evaluation then depends neither on the rows nor on the levels. Takes the pooled
arrays, gives the same sums as the kernels that walk over all levels.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.marginal.kernels.algebra import cholesky
from bayeslmm.marginal.kernels.compiling import compiled

# Entries of A that differ by less than this share of the largest are equal: the order
# of summation moves turned columns by some units of the last digit.
SAME = 2.0**-42


@dataclass(frozen=True, slots=True)
class Alike:
    """Levels of equal A: those of group u are ``order[edges[u] : edges[u + 1]]``."""

    first: Int[np.ndarray, " u"]
    order: Int[np.ndarray, " j"]
    edges: Int[np.ndarray, " u1"]


def alike_levels(A: Float[np.ndarray, "j k c"]) -> Alike:
    """Which levels have equal A, up to rounding."""
    return _gathered(*equal_rows(_rounded(A)))


def _gathered(first: Int[np.ndarray, " u"], group: Int[np.ndarray, " j"]) -> Alike:
    """Levels by the group of each."""
    order = np.argsort(group, kind="stable")
    edges = np.searchsorted(group[order], np.arange(len(first) + 1))
    return Alike(first, order, edges)


def pooled_products(
    alike: Alike, F: Float[np.ndarray, "j k w"]
) -> Float[np.ndarray, "u kw kw"]:
    """T, shape (u, k w, k w): for each A the sum over the levels that have it."""
    flat = F.reshape(len(F), -1)
    T = np.empty((len(alike.first), flat.shape[1], flat.shape[1]))
    for u in range(len(T)):
        members = flat[alike.order[alike.edges[u] : alike.edges[u + 1]]]
        T[u] = members.T @ members
    return T


def levels_to_pool(A: Float[np.ndarray, "j k k"], w: int) -> Alike | None:
    """Which levels have equal A; None if a walk over all is cheaper than pooled sums.

    Counted in multiplications: (k w)^2 for each different A against k w (k + w) for
    each level.
    """
    k = A.shape[1]
    first, group = equal_rows(_rounded(A))
    return _gathered(first, group) if len(first) * k * w < len(A) * (k + w) else None


def _rounded(A: Float[np.ndarray, "j k c"]) -> Float[np.ndarray, "j kc"]:
    """Entries as whole multiples of what counts as equal, one row for each level."""
    step = SAME * max(float(np.abs(A).max()), 1e-300)
    return np.round(A.reshape(len(A), -1) / step)


def equal_rows(
    rows: Float[np.ndarray, "j c"],
) -> tuple[np.ndarray, np.ndarray]:
    """First row of each distinct one, and which of them each row equals.

    Sorts one number per row, a fixed combination of its entries; should two different
    rows collide there, the rows themselves are compared.
    """
    key = rows @ np.sqrt(np.arange(2.0, 2.0 + rows.shape[1]))
    _, first, group = np.unique(key, return_index=True, return_inverse=True)
    if not np.array_equal(rows[first][group], rows):
        _, first, group = np.unique(
            rows, axis=0, return_index=True, return_inverse=True
        )
    return first, group.ravel()


@compiled
def pooled_gram(A, count, T, Lam, G):
    """``G -= sum_j F_j'E_j F_j`` (lower triangle), E = Lambda M^-1 Lambda'; log det."""
    k = Lam.shape[0]
    w = G.shape[0]
    root, E = np.empty((k, k)), np.empty((k, k))
    log_det = 0.0
    for u in range(count.size):
        if not _factor(A[u], Lam, root, E):
            return np.nan
        for a in range(k):
            log_det += 2.0 * count[u] * math.log(root[a, a])
            for b in range(k):
                for c in range(w):
                    for d in range(c + 1):
                        G[c, d] -= E[a, b] * T[u, a * w + c, b * w + d]
    return log_det


@compiled
def pooled_gradient(A, count, T, Lam, K, scale, gradient):
    """Fill ``sum_j (Q_j K Q_j') Lambda / scale - D_j`` with Q = (I - A E) F."""
    k, w = Lam.shape[0], K.shape[0]
    root, E = np.empty((k, k)), np.empty((k, k))
    H, R, N = np.zeros((k, k)), np.empty((k, k)), np.empty((k, k))
    gradient[:] = 0.0
    for u in range(count.size):
        _factor(A[u], Lam, root, E)
        for a in range(k):
            for b in range(k):
                value = 0.0
                for c in range(w):
                    for d in range(w):
                        value += K[c, d] * T[u, a * w + c, b * w + d]
                R[a, b] = value
                value = 1.0 if a == b else 0.0
                for c in range(k):
                    value -= A[u, a, c] * E[c, b]
                N[a, b] = value
        for a in range(k):
            for b in range(k):
                value = 0.0
                for c in range(k):
                    for d in range(k):
                        value += N[a, c] * R[c, d] * N[b, d]
                H[a, b] += value
                # D = (I - A E) A Lambda
                value = 0.0
                for c in range(k):
                    for d in range(k):
                        value += N[a, c] * A[u, c, d] * Lam[d, b]
                gradient[a, b] -= count[u] * value
    for a in range(k):
        for b in range(k):
            value = 0.0
            for c in range(k):
                value += H[a, c] * Lam[c, b]
            gradient[a, b] += value / scale


@compiled
def _factor(A, Lam, root, E):
    """Root of M = Lambda'A Lambda + I, and E = Lambda M^-1 Lambda'; False if not PD."""
    k = Lam.shape[0]
    for a in range(k):
        for b in range(a + 1):
            value = 1.0 if a == b else 0.0
            for c in range(a, k):
                for d in range(b, k):
                    value += Lam[c, a] * A[c, d] * Lam[d, b]
            root[a, b] = value
    if not cholesky(root, k):
        return False
    # half = root^-1 Lambda', E = half'half
    half = np.empty((k, k))
    for c in range(k):
        for a in range(k):
            value = Lam[c, a]
            for b in range(a):
                value -= root[a, b] * half[b, c]
            half[a, c] = value / root[a, a]
    for a in range(k):
        for b in range(k):
            value = 0.0
            for c in range(k):
                value += half[c, a] * half[c, b]
            E[a, b] = value
    return True
