"""Sums over rows: the part of the statistics that adds up over any split of the data.

Takes rows (a `Design`, or a batch of one) and a `Layout`, gives `Sums`. With [X y] (y
less the offset) and the precision weights W these are ``[X y]'W[X y]``, ``Z_j'WZ_j``,
``Z_j'W[X y]`` and ``Z_j'WZ_l`` for the pairs of levels that occur together. Sums of
parts computed apart, in threads, batches or on other machines, add up to those of the
whole.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from operator import add

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.design.arrays import Design
from bayeslmm.marginal.kernels.blocked import accumulate_levels
from bayeslmm.marginal.layout import Block, Layout

# Rows handled at a time: [X y] of a chunk stays in the second-level cache.
CHUNK = 1 << 15
# Fewer rows than this for each thread cost more to hand out than to add up.
ROWS_PER_THREAD = 1_000_000


@dataclass(frozen=True, slots=True)
class Cells:
    """Products of two blocks for the pairs of levels that occur together.

    ``keys`` (c,) are ``level * n_levels_of_other + other_level``, rising; ``values``
    (c, k, k_other) the products.
    """

    keys: Int[np.ndarray, " c"]
    values: Float[np.ndarray, "c k other"]

    def __add__(self, other: "Cells") -> "Cells":
        """Cells of either, equal ones added."""
        if not len(other.keys):
            return self
        keys = np.concatenate([self.keys, other.keys])
        found, cell = np.unique(keys, return_inverse=True)
        values = np.zeros((len(found), *self.values.shape[1:]))
        np.add.at(values, cell, np.concatenate([self.values, other.values]))
        return Cells(found, values)


@dataclass(frozen=True, slots=True)
class Sums:
    """Weighted cross-products of some rows; ``sums + sums`` are those of all.

    Attributes
    ----------
    n : int
        Rows.
    log_weights : float
        Sum of the logarithms of the weights.
    WW : ndarray, shape (w, w)
        ``[X y]'W[X y]``.
    A, F : tuple of ndarray, shapes (J, k, k), (J, k, w)
        ``Z_j'WZ_j`` and ``Z_j'W[X y]`` of each block.
    cells : tuple of Cells
        Products of each pair of blocks, in the order of `block_pairs`.
    """

    n: int
    log_weights: float
    WW: Float[np.ndarray, "w w"]
    A: tuple[Float[np.ndarray, "_j _k _k"], ...]
    F: tuple[Float[np.ndarray, "_j _k _w"], ...]
    cells: tuple[Cells, ...]

    def __add__(self, other: "Sums") -> "Sums":
        """Sums of the rows of both; exact up to rounding, in any grouping."""
        return Sums(
            n=self.n + other.n,
            log_weights=self.log_weights + other.log_weights,
            WW=self.WW + other.WW,
            A=tuple(a + b for a, b in zip(self.A, other.A, strict=True)),
            F=tuple(a + b for a, b in zip(self.F, other.F, strict=True)),
            cells=tuple(a + b for a, b in zip(self.cells, other.cells, strict=True)),
        )


def block_pairs(layout: Layout) -> Iterator[tuple[Block, Block]]:
    """Every pair of different blocks, the earlier one first."""
    blocks = layout.blocks
    for i, block in enumerate(blocks):
        for other in blocks[i + 1 :]:
            yield block, other


def sum_rows(design: Design, layout: Layout, threads: int | None = None) -> Sums:
    """Sums over all rows of a design, in threads where there are many rows.

    Parameters
    ----------
    design : Design
        The rows; not every level of the layout need occur.
    layout : Layout
        Blocks of the whole model.
    threads : int, optional
        Threads at most; by default as many as there are processors.

    Returns
    -------
    Sums
        The same up to rounding for any number of threads.
    """
    most = os.cpu_count() or 1 if threads is None else threads
    n_parts = max(1, min(most, design.n // ROWS_PER_THREAD))
    edges = np.linspace(0, design.n, n_parts + 1).astype(int).tolist()
    parts = [slice(a, b) for a, b in pairwise(edges)]
    if n_parts == 1:
        return _sum_part(design, layout, parts[0])
    with ThreadPoolExecutor(n_parts) as pool:
        return reduce(add, pool.map(lambda p: _sum_part(design, layout, p), parts))


def _sum_part(design: Design, layout: Layout, part: slice) -> Sums:
    """Sums over a run of rows."""
    w = design.p + 1
    A = [np.zeros((b.n_levels, b.k, b.k)) for b in layout.blocks]
    F = [np.zeros((b.n_levels, b.k, w)) for b in layout.blocks]
    WW = np.zeros((w, w))
    for start in range(part.start, part.stop, CHUNK):
        rows = slice(start, min(start + CHUNK, part.stop))
        W, weights = _xy(design, rows), _weights(design, rows)
        WW += W.T @ (W * weights[:, None])
        for b, block in enumerate(layout.blocks):
            codes, Z = _block_rows(design, block, rows)
            accumulate_levels(codes, Z, weights, W, A[b], F[b])
    log_weights = 0.0
    if design.weights is not None:
        log_weights = float(np.log(design.weights[part]).sum())
    cells = tuple(_cells(design, a, b, part) for a, b in block_pairs(layout))
    n = part.stop - part.start
    return Sums(n, log_weights, WW, tuple(A), tuple(F), cells)


def _xy(design: Design, rows: slice) -> Float[np.ndarray, "n w"]:
    """[X y] of a run of rows, y less the offset."""
    y = design.y[rows]
    if design.offset is not None:
        y = y - design.offset[rows]
    return np.column_stack([design.X[rows], y])


def _weights(design: Design, rows: slice) -> Float[np.ndarray, " n"]:
    """Precision weights of a run of rows."""
    if design.weights is None:
        return np.ones(rows.stop - rows.start)
    return design.weights[rows]


def _block_rows(
    design: Design, block: Block, rows: slice
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, "n k"]]:
    """Level codes and varying columns of a block."""
    terms = [design.groups[t] for t in block.terms]
    if len(terms) == 1:
        return terms[0].codes[rows], np.ascontiguousarray(terms[0].Z[rows])
    return terms[0].codes[rows], np.hstack([term.Z[rows] for term in terms])


def _cells(design: Design, block: Block, other: Block, part: slice) -> Cells:
    """Products of two blocks' columns for the cells that occur in a run of rows."""
    codes, Z = _block_rows(design, block, part)
    other_codes, other_Z = _block_rows(design, other, part)
    key = codes.astype(np.int64) * other.n_levels + other_codes
    keys, cell = np.unique(key, return_inverse=True)
    weighted = Z * _weights(design, part)[:, None]
    values = np.empty((len(keys), block.k, other.k))
    for a in range(block.k):
        for b in range(other.k):
            product = weighted[:, a] * other_Z[:, b]
            values[:, a, b] = np.bincount(cell, product, len(keys))
    return Cells(keys, values)
