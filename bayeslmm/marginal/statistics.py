"""Cross-products of a design: all that the likelihood needs to know of the rows.

Takes a `Design`, gives `Statistics`. With [X y] (y less the offset) and the precision
weights W, only ``[X y]'W[X y]``, ``Z_j'WZ_j``, ``Z_j'W[X y]`` and the couplings
``Z_j'WZ_l`` are kept, so that the cost of one evaluation does not depend on the number
of rows. Bar terms of one grouping factor are merged into one *block*; the block with
the most levels *leads* (it is eliminated level by level), all others form the *rest*,
whose coordinates run by block, level and effect. Needs numpy only.

The blocking is that of MixedModels.jl (Bates, Alday, Kleinschmidt et al.).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.design.arrays import Design, GroupTerm
from bayeslmm.marginal.kernels.pooled import Pool, pool_levels, pooling_pays

Kernel = Literal["pooled", "pairs", "levels", "blocked"]


@dataclass(frozen=True, slots=True)
class Block:
    """All bar terms of one grouping factor, side by side.

    ``terms`` are positions in ``design.groups``; ``starts`` the first column of each in
    the block; ``offset`` the block's first coordinate in the rest (0 for the lead).
    """

    terms: tuple[int, ...]
    starts: tuple[int, ...]
    n_levels: int
    k: int
    offset: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """Weighted cross-products of a design.

    Attributes
    ----------
    n, p : int
        Rows and fixed-effect columns; w = p + 1 columns in ``[X, y - offset]``.
    log_weights : float
        Sum of the logarithms of the weights.
    WW : ndarray, shape (w, w)
        ``[X y]'W[X y]``.
    A : ndarray, shape (J, k, k)
        ``Z_j'WZ_j`` of the leading block.
    F : ndarray, shape (J, k, w)
        ``Z_j'W[X y]`` of the leading block.
    indptr, columns, B : ndarray, shapes (J + 1,), (nnz,), (nnz, k)
        Coupling of lead and rest by rows of levels: for entry e of level j,
        ``B[e] = Z_j'W z`` with z the rest's column ``columns[e]``.
    R : ndarray, shape (m, m)
        ``Z_r'WZ_r`` of the rest.
    Fr : ndarray, shape (m, w)
        ``Z_r'W[X y]`` of the rest.
    lead : Block
        The leading block.
    rest : tuple of Block
        The other blocks; empty with one grouping factor.
    n_terms : int
        Number of bar terms.
    kernel : {"pooled", "pairs", "levels", "blocked"}
        How density and gradient are computed; see `choose_kernel`.
    arrays : tuple of ndarray
        What that kernel takes: the pool's A, count and T; the pairs' A (3, J) and
        F (2, w, J); A and F; nothing.
    """

    n: int
    p: int
    log_weights: float
    WW: Float[np.ndarray, "w w"]
    A: Float[np.ndarray, "j k k"]
    F: Float[np.ndarray, "j k w"]
    indptr: Int[np.ndarray, " j1"]
    columns: Int[np.ndarray, " nnz"]
    B: Float[np.ndarray, "nnz k"]
    R: Float[np.ndarray, "m m"]
    Fr: Float[np.ndarray, "m w"]
    lead: Block
    rest: tuple[Block, ...]
    n_terms: int
    kernel: Kernel
    arrays: tuple[np.ndarray, ...]

    @property
    def m(self) -> int:
        """Number of coordinates of the rest."""
        return self.R.shape[0]


def cross_products(design: Design) -> Statistics:
    """Cross-products of a design, computed once for all evaluations.

    Parameters
    ----------
    design : Design
        Arrays of the model.

    Returns
    -------
    Statistics
        Memory is the number of levels times a few numbers, plus the square of the
        number of levels outside the largest grouping factor.

    References
    ----------
    .. [1] Bates et al. (2015). J. Stat. Softw. 67(1). https://doi.org/10.18637/jss.v067.i01
    """
    weights = np.ones(design.n) if design.weights is None else design.weights
    y = design.y if design.offset is None else design.y - design.offset
    W = np.column_stack([design.X, y])
    lead, *rest = merge_blocks(design.groups)
    codes, Z = _block_arrays(design, lead)
    weighted = Z * weights[:, None]
    indptr, columns, B = _couplings(design, lead, rest, weights)
    R, Fr = _rest_products(design, rest, weights, W)
    A = _level_products(codes, weighted, Z, lead.n_levels)
    F = _level_products(codes, weighted, W, lead.n_levels)
    kernel = choose_kernel(A, F, crossed=bool(rest))
    return Statistics(
        n=design.n,
        p=design.p,
        log_weights=float(np.log(weights).sum()),
        WW=W.T @ (W * weights[:, None]),
        A=A,
        F=F,
        indptr=indptr,
        columns=columns,
        B=B,
        R=R,
        Fr=Fr,
        lead=lead,
        rest=tuple(rest),
        n_terms=len(design.groups),
        kernel=kernel,
        arrays=kernel_arrays(kernel, A, F),
    )


def choose_kernel(
    A: Float[np.ndarray, "j k k"], F: Float[np.ndarray, "j k w"], *, crossed: bool
) -> Kernel:
    """How density and gradient are computed: the one place where it is decided.

    Parameters
    ----------
    A, F : ndarray, shapes (J, k, k), (J, k, w)
        Cross-products of the leading block.
    crossed : bool
        Whether there are other blocks.

    Returns
    -------
    {"pooled", "pairs", "levels", "blocked"}
        ``blocked`` for several grouping factors; ``pooled`` where levels share few
        different A; ``pairs`` for two effects, ``levels`` otherwise.
    """
    if crossed:
        return "blocked"
    if pooling_pays(A, F.shape[2]):
        return "pooled"
    return "pairs" if A.shape[1] == 2 else "levels"


def kernel_arrays(
    kernel: Kernel, A: Float[np.ndarray, "j k k"], F: Float[np.ndarray, "j k w"]
) -> tuple[np.ndarray, ...]:
    """The statistics in the layout that a kernel takes."""
    if kernel == "pooled":
        pool: Pool = pool_levels(A, F)
        return pool.A, pool.count, pool.T
    if kernel == "pairs":
        triangle = np.stack([A[:, 0, 0], A[:, 1, 0], A[:, 1, 1]])
        return triangle, np.ascontiguousarray(F.transpose(1, 2, 0))
    return (A, F) if kernel == "levels" else ()


def merge_blocks(groups: tuple[GroupTerm, ...]) -> list[Block]:
    """Bar terms merged by grouping factor, the one with the most levels first."""
    members: dict[str, list[int]] = {}
    for t, term in enumerate(groups):
        members.setdefault(term.group, []).append(t)
    ordered = sorted(members.values(), key=lambda ts: -groups[ts[0]].n_levels)
    blocks, offset = [], 0
    for position, terms in enumerate(ordered):
        sizes = [groups[t].k for t in terms]
        starts = tuple(int(s) for s in np.cumsum([0, *sizes[:-1]]))
        n_levels, k = groups[terms[0]].n_levels, sum(sizes)
        blocks.append(Block(tuple(terms), starts, n_levels, k, offset))
        offset += n_levels * k if position else 0
    return blocks


def _block_arrays(
    design: Design, block: Block
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, "n k"]]:
    """Level codes and varying columns of a block."""
    terms = [design.groups[t] for t in block.terms]
    return terms[0].codes, np.hstack([term.Z for term in terms])


def _level_products(
    codes: Int[np.ndarray, " n"],
    left: Float[np.ndarray, "n a"],
    right: Float[np.ndarray, "n b"],
    n_levels: int,
) -> Float[np.ndarray, "j a b"]:
    """Sum over the rows of each level of the outer products left x right."""
    products = np.empty((n_levels, left.shape[1], right.shape[1]))
    for a in range(left.shape[1]):
        for b in range(right.shape[1]):
            product = left[:, a] * right[:, b]
            products[:, a, b] = np.bincount(codes, product, n_levels)
    return products


def _couplings(
    design: Design, lead: Block, rest: list[Block], weights: Float[np.ndarray, " n"]
) -> tuple[Int[np.ndarray, " j1"], Int[np.ndarray, " nnz"], Float[np.ndarray, "nnz k"]]:
    """Products of the lead's columns with the rest's, for the cells that occur."""
    lead_codes, lead_Z = _block_arrays(design, lead)
    weighted = lead_Z * weights[:, None]
    rows: list[np.ndarray] = [np.empty(0, np.int64)]
    columns: list[np.ndarray] = [np.empty(0, np.int64)]
    values: list[np.ndarray] = [np.empty((0, lead.k))]
    for block in rest:
        codes, Z = _block_arrays(design, block)
        key = lead_codes.astype(np.int64) * block.n_levels + codes
        cells, cell_of_row = np.unique(key, return_inverse=True)
        products = _level_products(cell_of_row, weighted, Z, len(cells))
        level, other = np.divmod(cells, block.n_levels)
        rows.append(np.repeat(level, block.k))
        first = block.offset + other * block.k
        columns.append((first[:, None] + np.arange(block.k)).ravel())
        values.append(products.transpose(0, 2, 1).reshape(-1, lead.k))
    row, column = np.concatenate(rows), np.concatenate(columns)
    order = np.lexsort((column, row))
    counts = np.bincount(row, minlength=lead.n_levels)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return indptr, column[order], np.ascontiguousarray(np.concatenate(values)[order])


def _rest_products(
    design: Design,
    rest: list[Block],
    weights: Float[np.ndarray, " n"],
    W: Float[np.ndarray, "n w"],
) -> tuple[Float[np.ndarray, "m m"], Float[np.ndarray, "m w"]]:
    """``Z_r'WZ_r`` and ``Z_r'W[X y]`` of all blocks but the lead."""
    m = sum(block.n_levels * block.k for block in rest)
    R, Fr = np.zeros((m, m)), np.zeros((m, W.shape[1]))
    for i, block in enumerate(rest):
        codes, Z = _block_arrays(design, block)
        weighted = Z * weights[:, None]
        span = slice(block.offset, block.offset + block.n_levels * block.k)
        products = _level_products(codes, weighted, W, block.n_levels)
        Fr[span] = products.reshape(-1, W.shape[1])
        for other in rest[i:]:
            _add_cross_block(R, design, block, other, weighted)
    return R, Fr


def _add_cross_block(
    R: Float[np.ndarray, "m m"],
    design: Design,
    block: Block,
    other: Block,
    weighted: Float[np.ndarray, "n k"],
) -> None:
    """Write the products of two rest blocks into R, both triangles."""
    codes, _ = _block_arrays(design, block)
    other_codes, other_Z = _block_arrays(design, other)
    key = codes.astype(np.int64) * other.n_levels + other_codes
    cells, cell_of_row = np.unique(key, return_inverse=True)
    products = _level_products(cell_of_row, weighted, other_Z, len(cells))
    level, other_level = np.divmod(cells, other.n_levels)
    for a in range(block.k):
        for b in range(other.k):
            row = block.offset + level * block.k + a
            column = other.offset + other_level * other.k + b
            R[row, column] = products[:, a, b]
            R[column, row] = products[:, a, b]
