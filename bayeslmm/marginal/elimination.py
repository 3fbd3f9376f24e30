"""The one factorisation: random effects eliminated at given relative factors.

Takes `Statistics` and the relative factors Lambda_t = L_t / sigma, gives an
`Elimination`, the blocked Cholesky factor of ``Lambda'Z'WZ Lambda + I`` together with
``G = [X y]'V0^-1[X y]`` (V0 = V / sigma**2); and `projections`, the per-level pieces of
``Z'V0^-1[X y]`` and ``Z'V0^-1Z Lambda`` from which gradients and conditional moments
are read.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayeslmm.marginal.kernels import blocked
from bayeslmm.marginal.lapack import (
    cholesky_in_place,
    inverse_in_place,
    solve_in_place,
)
from bayeslmm.marginal.layout import Block
from bayeslmm.marginal.statistics import Statistics


@dataclass(frozen=True, slots=True)
class Elimination:
    """Blocked factorisation at given relative factors.

    Attributes
    ----------
    log_det : float
        ``log |Lambda'Z'WZ Lambda + I|``; NaN if it is not positive definite.
    G : ndarray, shape (w, w)
        ``[X y]'V0^-1[X y]``, both triangles.
    factors : tuple of ndarray, shape (k, k)
        Relative factor of each block, the terms of a block along the diagonal.
    root, U : ndarray, shapes (J, k, k), (J, k, w)
        Factor of each level of the lead and ``root^-1 Lambda'F``.
    V : ndarray, shape (nnz, k)
        ``root^-1 Lambda'B`` for each coupling.
    reduced, reduced_rhs : ndarray, shapes (m, m), (m, w)
        ``Z_r'PZ_r`` and ``Z_r'P[X y]`` of the rest, the lead eliminated; m may be 0.
    schur : ndarray, shape (m, m)
        Lower Cholesky factor of ``S = Lambda_r' reduced Lambda_r + I``.
    kappa : ndarray, shape (m, w)
        ``S^-1 Lambda_r' reduced_rhs``.
    """

    log_det: float
    G: Float[np.ndarray, "w w"]
    factors: tuple[Float[np.ndarray, "_k _k"], ...]
    root: Float[np.ndarray, "j k k"]
    U: Float[np.ndarray, "j k w"]
    V: Float[np.ndarray, "nnz k"]
    reduced: Float[np.ndarray, "m m"]
    reduced_rhs: Float[np.ndarray, "m w"]
    schur: Float[np.ndarray, "m m"]
    kappa: Float[np.ndarray, "m w"]


Projection = tuple[Float[np.ndarray, "_j _k _w"], Float[np.ndarray, "_j _k _k"]]


def eliminate(
    stats: Statistics, relative: Sequence[Float[np.ndarray, "_k _k"]]
) -> Elimination:
    """Eliminate the random effects at given relative factors.

    Parameters
    ----------
    stats : Statistics
        Cross-products of the design.
    relative : sequence of ndarray, shape (k_t, k_t)
        Lambda_t of each bar term, unit-free, in the order of the design.

    Returns
    -------
    Elimination
        The factorisation and the Gram matrix G.

    References
    ----------
    .. [1] Bates et al. (2015). J. Stat. Softw. 67(1). https://doi.org/10.18637/jss.v067.i01
    """
    blocks = (stats.lead, *stats.rest)
    factors = tuple(block_factor(block, relative) for block in blocks)
    root, U = np.empty_like(stats.A), np.empty_like(stats.F)
    G, V = stats.WW.copy(), np.empty_like(stats.B)
    log_det = blocked.eliminate_lead(stats.A, stats.F, factors[0], G, root, U)
    if not stats.rest:
        return Elimination(
            log_det,
            mirror(G),
            factors,
            root,
            U,
            V,
            stats.R,
            stats.Fr,
            stats.R,
            stats.Fr,
        )
    R, Fr = stats.R.copy(), stats.Fr.copy()
    blocked.eliminate_couplings(
        stats.indptr, stats.columns, stats.B, factors[0], root, U, V, R, Fr
    )
    R = mirror(R)
    schur = _sandwich(R, stats.rest, factors[1:])
    if cholesky_in_place(schur):
        log_det += 2.0 * np.log(np.diagonal(schur)).sum()
    else:
        log_det = np.nan
    kappa = left_transposed(Fr, stats.rest, factors[1:])
    solve_in_place(schur, kappa)
    G = mirror(G) - kappa.T @ kappa
    solve_in_place(schur, kappa, transposed=True)
    return Elimination(log_det, G, factors, root, U, V, R, Fr, schur, kappa)


def projections(stats: Statistics, done: Elimination) -> tuple[Projection, ...]:
    """Per block: Q_j = Z_j'V0^-1[X y], shape (J, k, w), D_j = Z_j'V0^-1Z_j Lambda.

    Only the diagonal blocks of ``Z'V0^-1Z`` are formed.
    """
    Q, D = np.empty_like(stats.F), np.empty_like(stats.A)
    lead = done.factors[0]
    blocked.lead_projections(stats.A, stats.F, lead, done.root, done.U, Q, D)
    if not stats.rest:
        return ((Q, D),)
    inverse = done.schur.copy()
    inverse_in_place(inverse)
    inverse = mirror(inverse)
    t = left(done.kappa, stats.rest, done.factors[1:])
    T = left(inverse, stats.rest, done.factors[1:])
    T = np.ascontiguousarray(left(T.T, stats.rest, done.factors[1:]))
    blocked.couple_projections(
        stats.A,
        lead,
        done.root,
        stats.indptr,
        stats.columns,
        stats.B,
        done.V,
        T,
        t,
        Q,
        D,
    )
    rest_Q = done.reduced_rhs - done.reduced @ t
    # rows of (Z_r'P Z_r) Lambda_r, to be met by the columns of S^-1 block by block
    scaled = left_transposed(done.reduced, stats.rest, done.factors[1:]).T
    found = [(Q, D)]
    for block in stats.rest:
        span = slice(block.offset, block.offset + block.n_levels * block.k)
        shape = (block.n_levels, block.k, -1)
        rows, columns = scaled[span].reshape(shape), inverse[span].reshape(shape)
        blocks = np.einsum("jac,jbc->jab", rows, columns)
        found.append((rest_Q[span].reshape(shape), blocks))
    return tuple(found)


def block_factor(
    block: Block, relative: Sequence[Float[np.ndarray, "_k _k"]]
) -> Float[np.ndarray, "k k"]:
    """Factors of the terms of one block along the diagonal."""
    if len(block.terms) == 1:
        return np.ascontiguousarray(relative[block.terms[0]], dtype=float)
    factor = np.zeros((block.k, block.k))
    for t, start in zip(block.terms, block.starts, strict=True):
        span = slice(start, start + relative[t].shape[0])
        factor[span, span] = relative[t]
    return factor


def mirror(lower: Float[np.ndarray, "a a"]) -> Float[np.ndarray, "a a"]:
    """Fill the upper triangle from the lower one, in place; the matrix itself."""
    blocked.mirror_in_place(lower)
    return lower


def left(
    matrix: Float[np.ndarray, "m c"],
    blocks: tuple[Block, ...],
    factors: Sequence[Float[np.ndarray, "_k _k"]],
) -> Float[np.ndarray, "m c"]:
    """Lambda_r times `matrix`, block-diagonal over the levels of each block."""
    product = np.empty((matrix.shape[0], matrix.shape[1]))
    for block, factor in zip(blocks, factors, strict=True):
        span = slice(block.offset, block.offset + block.n_levels * block.k)
        if block.k == 1:
            np.multiply(matrix[span], factor[0, 0], out=product[span])
            continue
        levels = matrix[span].reshape(block.n_levels, block.k, -1)
        product[span] = (factor @ levels).reshape(-1, matrix.shape[1])
    return product


def left_transposed(
    matrix: Float[np.ndarray, "m c"],
    blocks: tuple[Block, ...],
    factors: Sequence[Float[np.ndarray, "_k _k"]],
) -> Float[np.ndarray, "m c"]:
    """Lambda_r' times `matrix`."""
    return left(matrix, blocks, [factor.T for factor in factors])


def _sandwich(
    R: Float[np.ndarray, "m m"],
    blocks: tuple[Block, ...],
    factors: Sequence[Float[np.ndarray, "_k _k"]],
) -> Float[np.ndarray, "m m"]:
    """``Lambda_r' R Lambda_r + I`` for a symmetric R."""
    half = left_transposed(R, blocks, factors)
    S = left_transposed(half.T, blocks, factors)
    S[np.diag_indices_from(S)] += 1.0
    return S
