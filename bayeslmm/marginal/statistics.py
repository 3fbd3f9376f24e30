"""Cross-products of a design: all that the likelihood needs to know of the rows.

Takes a `Design` (or the `Sums` of its batches), gives `Statistics`: the sums over rows
in the layout of the kernels, so that the cost of one evaluation does not depend on the
number of rows.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.design.arrays import Design
from bayeslmm.design.memory import check_fits
from bayeslmm.marginal.kernels.pooled import pool_levels, pooling_pays
from bayeslmm.marginal.layout import Block, Layout, make_layout
from bayeslmm.marginal.sums import Cells, Sums, block_pairs, sum_rows

Kernel = Literal["pooled", "pairs", "levels", "crossed", "blocked"]

# Coordinates of the rest up to which plain loops beat calls of LAPACK with Python
# between them (measured: 0.1 ms against 0.2 at 30, even at about 120).
SMALL_REST = 100
# Matrices of the size of the rest that an evaluation with its gradient holds.
MATRICES = 6


@dataclass(frozen=True, slots=True)
class Statistics:
    """Weighted cross-products of a design.

    Attributes
    ----------
    sums : Sums
        The sums over rows; ``statistics + statistics`` adds them.
    layout : Layout
        Which bar terms form the lead and the rest.
    indptr, columns, B : ndarray, shapes (J + 1,), (nnz,), (nnz, k)
        Coupling of lead and rest by rows of levels: for entry e of level j,
        ``B[e] = Z_j'W z`` with z the rest's column ``columns[e]``.
    R : ndarray, shape (m, m)
        ``Z_r'WZ_r`` of the rest.
    Fr : ndarray, shape (m, w)
        ``Z_r'W[X y]`` of the rest.
    kernel : {"pooled", "pairs", "levels", "crossed", "blocked"}
        How density and gradient are computed; see `choose_kernel`.
    arrays : tuple of ndarray
        What that kernel takes: the pool's A, count and T; the pairs' A (3, J) and
        F (2, w, J); A and F; these with the couplings and the rest; nothing.
    """

    sums: Sums
    layout: Layout
    indptr: Int[np.ndarray, " j1"]
    columns: Int[np.ndarray, " nnz"]
    B: Float[np.ndarray, "nnz k"]
    R: Float[np.ndarray, "m m"]
    Fr: Float[np.ndarray, "m w"]
    kernel: Kernel
    arrays: tuple[np.ndarray, ...]

    def __add__(self, other: "Statistics") -> "Statistics":
        """Statistics of the rows of both, which must have the same levels."""
        return make_statistics(self.sums + other.sums, self.layout)

    @property
    def n(self) -> int:
        """Number of rows."""
        return self.sums.n

    @property
    def p(self) -> int:
        """Number of fixed-effect columns; [X y] has w = p + 1."""
        return self.WW.shape[0] - 1

    @property
    def log_weights(self) -> float:
        """Sum of the logarithms of the weights."""
        return self.sums.log_weights

    @property
    def WW(self) -> Float[np.ndarray, "w w"]:
        """``[X y]'W[X y]``."""
        return self.sums.WW

    @property
    def A(self) -> Float[np.ndarray, "j k k"]:
        """``Z_j'WZ_j`` of the leading block."""
        return self.sums.A[0]

    @property
    def F(self) -> Float[np.ndarray, "j k w"]:
        """``Z_j'W[X y]`` of the leading block."""
        return self.sums.F[0]

    @property
    def lead(self) -> Block:
        """The leading block."""
        return self.layout.lead

    @property
    def rest(self) -> tuple[Block, ...]:
        """The other blocks."""
        return self.layout.rest

    @property
    def n_terms(self) -> int:
        """Number of bar terms."""
        return self.layout.n_terms

    @property
    def m(self) -> int:
        """Number of coordinates of the rest."""
        return self.layout.m


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
    layout = make_layout(design.groups)
    return make_statistics(sum_rows(design, layout), layout)


def make_statistics(sums: Sums, layout: Layout) -> Statistics:
    """The sums over rows in the layout of the kernels.

    Raises
    ------
    DataError
        If the matrices of the rest would not fit into memory.
    """
    check_fits(
        8.0 * MATRICES * layout.m**2,
        f"The {layout.m:,} random effects outside the largest grouping factor",
        "Their covariance is dense: group the smaller factors by coarser columns, or "
        "leave one out.",
    )
    kernel = choose_kernel(sums.A[0], sums.F[0], layout.m)
    coupling = indptr, columns, B = _couplings(sums, layout)
    R, Fr = _rest_products(sums, layout)
    if kernel == "crossed":
        rest = (*coupling, R, Fr, *_rest_coordinates(layout))
        arrays = (sums.A[0], sums.F[0], *rest)
    else:
        arrays = kernel_arrays(kernel, sums.A[0], sums.F[0])
    return Statistics(sums, layout, indptr, columns, B, R, Fr, kernel, arrays)


def choose_kernel(
    A: Float[np.ndarray, "j k k"], F: Float[np.ndarray, "j k w"], m: int
) -> Kernel:
    """How density and gradient are computed: the one place where it is decided.

    Parameters
    ----------
    A, F : ndarray, shapes (J, k, k), (J, k, w)
        Cross-products of the leading block.
    m : int
        Coordinates of the rest; 0 with one grouping factor.

    Returns
    -------
    {"pooled", "pairs", "levels", "crossed", "blocked"}
        With several grouping factors ``crossed`` where the rest is small, else
        ``blocked``; with one, ``pooled`` where levels share few different A, ``pairs``
        for two effects, ``levels`` otherwise.
    """
    if m:
        return "crossed" if m <= SMALL_REST else "blocked"
    if pooling_pays(A, F.shape[2]):
        return "pooled"
    return "pairs" if A.shape[1] == 2 else "levels"


def kernel_arrays(
    kernel: Kernel, A: Float[np.ndarray, "j k k"], F: Float[np.ndarray, "j k w"]
) -> tuple[np.ndarray, ...]:
    """The statistics in the layout that a kernel takes."""
    if kernel == "pooled":
        pool = pool_levels(A, F)
        return pool.A, pool.count, pool.T
    if kernel == "pairs":
        triangle = np.stack([A[:, 0, 0], A[:, 1, 0], A[:, 1, 1]])
        return triangle, np.ascontiguousarray(F.transpose(1, 2, 0))
    return (A, F) if kernel == "levels" else ()


def _rest_coordinates(
    layout: Layout,
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"], Int[np.ndarray, " blocks"]]:
    """Block and first coordinate of the level of each; effects of each block."""
    block_of, start_of = [], []
    for b, block in enumerate(layout.rest, start=1):
        starts = block.offset + block.k * np.arange(block.n_levels)
        start_of.append(np.repeat(starts, block.k))
        block_of.append(np.full(block.n_levels * block.k, b))
    sizes = np.array([block.k for block in layout.blocks])
    return np.concatenate(block_of), np.concatenate(start_of), sizes


def _couplings(
    sums: Sums, layout: Layout
) -> tuple[Int[np.ndarray, " j1"], Int[np.ndarray, " nnz"], Float[np.ndarray, "nnz k"]]:
    """Products of the lead's columns with the rest's, by rows of the lead's levels."""
    lead = layout.lead
    rows: list[np.ndarray] = [np.empty(0, np.int64)]
    columns: list[np.ndarray] = [np.empty(0, np.int64)]
    values: list[np.ndarray] = [np.empty((0, lead.k))]
    for (block, other), cells in zip(block_pairs(layout), sums.cells, strict=True):
        if block is not lead:
            continue
        level, other_level = np.divmod(cells.keys, other.n_levels)
        rows.append(np.repeat(level, other.k))
        first = other.offset + other_level * other.k
        columns.append((first[:, None] + np.arange(other.k)).ravel())
        values.append(cells.values.transpose(0, 2, 1).reshape(-1, lead.k))
    row, column = np.concatenate(rows), np.concatenate(columns)
    order = np.lexsort((column, row))
    counts = np.bincount(row, minlength=lead.n_levels)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return indptr, column[order], np.ascontiguousarray(np.concatenate(values)[order])


def _rest_products(
    sums: Sums, layout: Layout
) -> tuple[Float[np.ndarray, "m m"], Float[np.ndarray, "m w"]]:
    """``Z_r'WZ_r`` and ``Z_r'W[X y]`` of all blocks but the lead."""
    R, Fr = np.zeros((layout.m, layout.m)), np.zeros((layout.m, len(sums.WW)))
    for block, A, F in zip(layout.rest, sums.A[1:], sums.F[1:], strict=True):
        Fr[block.span] = F.reshape(-1, F.shape[2])
        keys = np.arange(block.n_levels, dtype=np.int64) * (block.n_levels + 1)
        _place(R, block, block, Cells(keys, A))
    for (block, other), cells in zip(block_pairs(layout), sums.cells, strict=True):
        if block is not layout.lead:
            _place(R, block, other, cells)
    return R, Fr


def _place(
    R: Float[np.ndarray, "m m"], block: Block, other: Block, cells: Cells
) -> None:
    """Write the products of two rest blocks into R, both triangles."""
    level, other_level = np.divmod(cells.keys, other.n_levels)
    for a in range(block.k):
        for b in range(other.k):
            row = block.offset + level * block.k + a
            column = other.offset + other_level * other.k + b
            R[row, column] = cells.values[:, a, b]
            R[column, row] = cells.values[:, a, b]
