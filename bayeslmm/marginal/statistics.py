"""Cross-products of a design: all that the likelihood needs to know of the rows.

Takes a `Design` (or the `Sums` of its batches), gives `Statistics`: the sums over rows
in the layout of the kernels, so that the cost of one evaluation does not depend on the
number of rows.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.design.arrays import Design, rows_of
from bayeslmm.design.memory import SHARE, available_bytes
from bayeslmm.errors import DataError
from bayeslmm.marginal.columns import data_columns
from bayeslmm.marginal.kernels import couplings
from bayeslmm.marginal.kernels.pooled import pool_levels, pooling_pays
from bayeslmm.marginal.layout import Block, Layout, make_layout
from bayeslmm.marginal.panels import (
    PanelMatrix,
    Panels,
    find_pairs,
    find_panels,
    pair_bytes,
    place_products,
)
from bayeslmm.marginal.sums import Sums, block_pairs, sum_rows

Kernel = Literal["pooled", "pairs", "levels", "crossed", "blocked", "sparse"]

# Coordinates of the rest up to which plain loops beat calls of LAPACK with Python
# between them (measured: 0.1 ms against 0.2 at 30, even at about 120).
SMALL_REST = 100
# An evaluation with its gradient holds six matrices of the size of the rest; on the
# sparse route four, and the places of their entries, all of the factor's pattern.
DENSE_BYTES = 6 * 8.0
SPARSE_BYTES = 5 * 8.0
# A dense factor and its inverse cost as much as a sparse one of m**3 over this many
# multiplications (measured: 10 to 21 on crossed factors with a rest of 1000 to 3000).
SPARSE_COST = 20.0
# Multiplications of a sparse factor beyond which a model is refused where a dense one
# would not fit: some 100 s for each evaluation with its gradient.
MOST_OPERATIONS = 3e11


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
    R : ndarray, shape (m, m), or PanelMatrix
        ``Z_r'WZ_r`` of the rest; in panels on the sparse route.
    Fr : ndarray, shape (m, w)
        ``Z_r'W[X y]`` of the rest.
    kernel : {"pooled", "pairs", "levels", "crossed", "blocked", "sparse"}
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
    R: Float[np.ndarray, "m m"] | PanelMatrix
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
    def evaluation_bytes(self) -> float:
        """Memory that one evaluation with its gradient takes while it runs."""
        lead = self.lead
        own = 8.0 * 4 * lead.n_levels * lead.k * (lead.k + len(self.WW))
        if isinstance(self.R, PanelMatrix):
            return own + SPARSE_BYTES * self.R.values.size
        return own + DENSE_BYTES * self.m**2

    @property
    def in_steps(self) -> bool:
        """Whether an evaluation runs in steps, from which all else can be read.

        So it is with a large rest: an evaluation is dear, and density, curvature and a
        draw of the effects come from one factorisation. Other kernels give the density
        in one compiled call, much cheaper than anything else.
        """
        return self.kernel in ("blocked", "sparse")

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
        Memory is the number of levels times a few numbers, plus the entries of the
        Cholesky factor of the levels outside the largest grouping factor: with crossed
        factors up to the square of their number, with nested ones about as many.

    References
    ----------
    .. [1] Bates et al. (2015). J. Stat. Softw. 67(1). https://doi.org/10.18637/jss.v067.i01
    """
    layout = make_layout(design.groups)
    rows = rows_of(design, "cross-products")
    return make_statistics(sum_rows(rows, layout, data_columns(design)), layout)


def make_statistics(
    sums: Sums, layout: Layout, kernel: Kernel | None = None
) -> Statistics:
    """The sums over rows in the layout of the kernels.

    Parameters
    ----------
    sums : Sums
        Sums over all rows.
    layout : Layout
        Blocks of the model.
    kernel : str, optional
        Kernel to be used whatever it costs; by default `choose_kernel` chooses.

    Raises
    ------
    DataError
        If the matrices of the rest would not fit into memory.
    """
    indptr, columns, B = _couplings(sums, layout)
    panels = _panels(indptr, columns, layout, kernel)
    if kernel is None:
        kernel = choose_kernel(sums.A[0], sums.F[0], layout.m, panels)
    Fr = rest_columns(sums, layout)
    if kernel == "sparse":
        assert panels is not None, "no kernel is sparse without panels"
        couplings.sort_couplings(indptr, columns, B, panels.rank)
        in_panels = _rest_in_panels(sums, layout, panels, indptr, columns)
        return Statistics(
            sums, layout, indptr, columns, B, in_panels, Fr, kernel, arrays=()
        )
    R = _rest_products(sums, layout)
    if kernel == "crossed":
        rest = (indptr, columns, B, R, Fr, *_rest_coordinates(layout))
        arrays = (sums.A[0], sums.F[0], *rest)
    else:
        arrays = kernel_arrays(kernel, sums.A[0], sums.F[0])
    return Statistics(sums, layout, indptr, columns, B, R, Fr, kernel, arrays)


def choose_kernel(
    A: Float[np.ndarray, "j k k"],
    F: Float[np.ndarray, "j k w"],
    m: int,
    panels: Panels | None,
) -> Kernel:
    """How density and gradient are computed: the one place where it is decided.

    Parameters
    ----------
    A, F : ndarray, shapes (J, k, k), (J, k, w)
        Cross-products of the leading block.
    m : int
        Coordinates of the rest; 0 with one grouping factor.
    panels : Panels or None
        Sparse factor of the rest, if there is one that costs less than a dense one.

    Returns
    -------
    {"pooled", "pairs", "levels", "crossed", "blocked", "sparse"}
        With several grouping factors ``crossed`` where the rest is small, ``sparse``
        where its factor fills little, else ``blocked``; with one, ``pooled`` where
        levels share few different A, ``pairs`` for two effects, ``levels`` otherwise.
    """
    if m:
        if m <= SMALL_REST:
            return "crossed"
        return "blocked" if panels is None else "sparse"
    if pooling_pays(A, F.shape[2]):
        return "pooled"
    return "pairs" if A.shape[1] == 2 else "levels"


def _panels(
    indptr: Int[np.ndarray, " j1"],
    columns: Int[np.ndarray, " nnz"],
    layout: Layout,
    kernel: Kernel | None,
) -> Panels | None:
    """Sparse factor of the rest where it costs less than a dense one, or is forced.

    Raises
    ------
    DataError
        If neither a dense nor a sparse factor fits into memory.
    """
    if kernel == "sparse":
        return find_panels(
            indptr, columns, layout, most=math.inf, most_operations=math.inf
        )
    m = float(layout.m)
    if kernel is not None or m <= SMALL_REST:
        return None
    room = SHARE * available_bytes()
    most = (room - pair_bytes(indptr)) / SPARSE_BYTES
    most_operations, dense_fits = MOST_OPERATIONS, DENSE_BYTES * m**2 <= room
    if dense_fits:
        most, most_operations = min(most, m**2 / 8.0), m**3 / SPARSE_COST
    found = find_panels(
        indptr, columns, layout, most=most, most_operations=most_operations
    )
    if found is None and not dense_fits:
        raise DataError(
            f"The {layout.m:,} random effects outside the largest grouping factor "
            f"cannot be told apart one by one: their covariance would take "
            f"{DENSE_BYTES * m**2 / 1e9:.1f} GB, of {room / 1e9:.1f} GB that can be "
            f"had, and too much of it is not zero for a sparse one (at most "
            f"{max(most, 0.0):,.0f} entries or {most_operations:.0e} multiplications). "
            f"Group the smaller factors by coarser columns, or leave one out."
        )
    return found


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


def rest_columns(sums: Sums, layout: Layout) -> Float[np.ndarray, "m w"]:
    """``Z_r'W[X y]`` of all blocks but the lead."""
    Fr = np.empty((layout.m, len(sums.WW)))
    for block, F in zip(layout.rest, sums.F[1:], strict=True):
        Fr[block.span] = F.reshape(-1, F.shape[2])
    return Fr


def _rest_cells(
    sums: Sums, layout: Layout
) -> Iterator[tuple[Int[np.ndarray, " c"], Int[np.ndarray, " c"], np.ndarray]]:
    """Products of rest levels with the first coordinate of either level."""
    for block, A in zip(layout.rest, sums.A[1:], strict=True):
        first = block.offset + block.k * np.arange(block.n_levels, dtype=np.int64)
        yield first, first, A
    for (block, other), cells in zip(block_pairs(layout), sums.cells, strict=True):
        if block is not layout.lead:
            level, other_level = np.divmod(cells.keys, other.n_levels)
            rows = block.offset + level * block.k
            yield rows, other.offset + other_level * other.k, cells.values


def _rest_products(sums: Sums, layout: Layout) -> Float[np.ndarray, "m m"]:
    """``Z_r'WZ_r`` of all blocks but the lead, dense."""
    R = np.zeros((layout.m, layout.m))
    for first, other, values in _rest_cells(sums, layout):
        for a in range(values.shape[1]):
            for b in range(values.shape[2]):
                R[first + a, other + b] = values[:, a, b]
                R[other + b, first + a] = values[:, a, b]
    return R


def _rest_in_panels(
    sums: Sums,
    layout: Layout,
    panels: Panels,
    indptr: Int[np.ndarray, " j1"],
    columns: Int[np.ndarray, " nnz"],
) -> PanelMatrix:
    """The same in panels; every two levels with a row in common have a place there."""
    values = np.zeros(panels.n_values)
    for first, other, cells in _rest_cells(sums, layout):
        place_products(panels, first, other, cells, values)
    return PanelMatrix(panels, values, find_pairs(panels, indptr, columns))
