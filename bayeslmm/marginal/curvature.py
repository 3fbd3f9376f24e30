"""The exact curvature of the profiled criterion of one grouping factor.

With P = V0^-1 - V0^-1X C X'V0^-1, ``M_jl = Z_j'PZ_l``, ``s_j = Z_j'Py``, sigma at its
best, and E = dOmega_i the change of Omega = Lambda Lambda' by parameter i, F that by
another one, the criterion ``log|V0| + log|C^-1| + dof log y'Py`` has

    slope      tr(E G),   G = sum_j [M_jj - s_j s_j' / sigma^2]
    curvature  -sum_jl tr(E M_jl F M_lj) + 2 sum_jl s_j'E M_jl F s_l / sigma^2
               - (sum_j s_j'Es_j) (sum_j s_j'Fs_j) / (dof sigma^4)
               + 2 tr(G dLambda_i dLambda_j'),

the last for Lambda that is linear in the parameters; ML has Z_j'V0^-1Z_l for M_jl in
the two traces. The sums over pairs of levels are forms in E and F whose matrices
(k^2 x k^2) are sums of products over single levels, because what is not of one level,
Z_j'V0^-1X C X'V0^-1Z_l, is a product. So the whole Hessian costs about as much as k
evaluations at LAPACK's speed, where differences take two for each of k(k+1)/2
parameters.

References
----------
.. [1] Lindstrom and Bates (1988). J. Am. Stat. Assoc. 83(404).
   https://doi.org/10.1080/01621459.1988.10478693
"""

import numpy as np
from jaxtyping import Float

from bayeslmm.marginal.elimination import Elimination, eliminate, projections
from bayeslmm.marginal.fixed import degrees_left, profile_given
from bayeslmm.marginal.statistics import Factors, Statistics

# Seconds, one core of 2026: some forty calls of numpy; of each level those on small
# matrices; of a multiplication.
PER_CURVATURE, PER_LEVEL, PER_PRODUCT = 1e-3, 3e-6, 2.5e-10


def curvature_seconds(stats: Statistics) -> float:
    """Expected time of the exact curvature, one core; infinite with several factors."""
    if stats.m:
        return float("inf")
    J, k, p = stats.lead.n_levels, float(stats.lead.k), float(stats.p)
    products = J * (3 * k**4 + (k * p) ** 2 + 8 * k**3) + (k**2 * p) ** 2
    return PER_CURVATURE + PER_LEVEL * J + PER_PRODUCT * products


def exact_curvature(
    stats: Statistics,
    relative: Factors,
    linear: Float[np.ndarray, "m k k"],
    *,
    restricted: bool,
) -> Float[np.ndarray, "m m"]:
    """Hessian of the profiled criterion over parameters that Lambda is linear in.

    Parameters
    ----------
    stats : Statistics
        Cross-products of a design with one grouping factor.
    relative : sequence of ndarray, shape (k_t, k_t)
        Where: the relative factor of each term, unit-free.
    linear : ndarray, shape (m, k, k)
        Derivative of the factor of all terms together by each of m parameters.
    restricted : bool
        REML rather than ML.

    Returns
    -------
    ndarray, shape (m, m)
        NaN where the criterion breaks down.
    """
    done = eliminate(stats, relative)
    found = profile_given(stats.sums, done.log_det, done.G, restricted=restricted)
    m, k, p = len(linear), stats.lead.k, stats.p
    if not np.isfinite(found.criterion):
        return np.full((m, m), np.nan)
    Q = projections(stats, done)[0][0]
    N = _projected_products(stats, done)
    s = Q @ np.append(-found.beta, 1.0)
    half = Q[:, :, :p] @ np.linalg.inv(np.linalg.cholesky(done.G[:p, :p])).T
    own = N - half @ half.swapaxes(1, 2)
    sigma2, dof = found.sigma**2, degrees_left(stats.sums, restricted=restricted)
    scatter = s.T @ s
    form = 2.0 / sigma2 * _seen_by_scores(s, N, half)
    form -= np.outer(scatter, scatter) / (dof * sigma2**2)
    form -= _traces(N, half, own) if restricted else square(quadratic(N))
    G = (own if restricted else N).sum(axis=0) - scatter / sigma2
    moves = linear @ done.factors[0].T
    moves = (moves + moves.swapaxes(1, 2)).reshape(m, k * k)
    inner = (G @ linear).reshape(m, k * k) @ linear.reshape(m, k * k).T
    hessian = moves @ form @ moves.T + 2.0 * inner
    return 0.5 * (hessian + hessian.T)


def _projected_products(
    stats: Statistics, done: Elimination
) -> Float[np.ndarray, "j k k"]:
    """``Z_j'V0^-1Z_j = A - A Lambda M^-1 Lambda'A`` of each level."""
    half = np.linalg.solve(done.lead.lower, done.lead.factor.T @ stats.A)
    return stats.A - half.swapaxes(1, 2) @ half


def _traces(
    N: Float[np.ndarray, "j k k"],
    half: Float[np.ndarray, "j k p"],
    own: Float[np.ndarray, "j k k"],
) -> Float[np.ndarray, "kk kk"]:
    """``sum_jl tr(E M_jl F M_lj)`` as a form in E and F: of levels, and of pairs."""
    total = outer_total(half)
    pairs = np.einsum("abpq,dcpq->abcd", total, total, optimize=True)
    return square(quadratic(own) + pairs - quadratic(N - own))


def _seen_by_scores(
    s: Float[np.ndarray, "j k"],
    N: Float[np.ndarray, "j k k"],
    half: Float[np.ndarray, "j k p"],
) -> Float[np.ndarray, "kk kk"]:
    """``sum_jl s_j'E M_jl F s_l`` as a form in E and F."""
    J, k = s.shape
    outer = (s[:, :, None] * s[:, None, :]).reshape(J, k * k)
    levels = (outer.T @ N.reshape(J, k * k)).reshape(k, k, k, k)  # a d, b c
    pairs = np.einsum("ja,jbp->abp", s, half, optimize=True).reshape(k * k, -1)
    whole = levels.transpose(0, 2, 3, 1).reshape(k * k, k * k)
    return whole - pairs @ pairs.reshape(k, k, -1).swapaxes(0, 1).reshape(k * k, -1).T


# --- forms in two matrices ------------------------------------------------------------


def outer_total(part: Float[np.ndarray, "j k p"]) -> Float[np.ndarray, "k k p p"]:
    """Sum over levels of the outer products of two rows."""
    j, k, p = part.shape
    flat = part.reshape(j, k * p)
    return (flat.T @ flat).reshape(k, p, k, p).transpose(0, 2, 1, 3)


def quadratic(G: Float[np.ndarray, "c k o"]) -> Float[np.ndarray, "k k o o"]:
    """``sum_c G[b, c] G[a, d]`` by a, b, c, d: tr(C G D G') is its form in C and D."""
    c, k, o = G.shape
    flat = G.reshape(c, k * o)
    return (flat.T @ flat).reshape(k, o, k, o).transpose(2, 0, 1, 3)


def square(form: Float[np.ndarray, "k k o o"]) -> Float[np.ndarray, "kk oo"]:
    """A form of two matrices as one of two vectors."""
    k, o = form.shape[1:3]
    return form.reshape(k * k, o * o)
