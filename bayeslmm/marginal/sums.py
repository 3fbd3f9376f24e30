"""Sums over rows: the part of the statistics that adds up over any split of the data.

Takes `Rows` (all, or those of a batch) and a `Layout`, gives `Sums`. With [X y] (y
less the offset) and the precision weights W these are ``[X y]'W[X y]``, ``Z_j'WZ_j``,
``Z_j'W[X y]`` and ``Z_j'WZ_l`` for the pairs of levels that occur together. Sums of
parts computed apart, in threads, batches or on other machines, add up to those of the
whole.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from operator import add

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.design.rows import Rows
from bayeslmm.marginal.columns import Columns
from bayeslmm.marginal.kernels.rows import accumulate_rows, sum_columns
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
        return self if not len(other.keys) else merge_cells([self, other])


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

    @property
    def p(self) -> int:
        """Number of fixed-effect columns; [X y] has w = p + 1."""
        return len(self.WW) - 1

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


def merge_cells(parts: list[Cells]) -> Cells:
    """Cells of any of the parts, equal ones added."""
    keys = np.concatenate([part.keys for part in parts])
    found, cell = np.unique(keys, return_inverse=True)
    values = np.zeros((len(found), *parts[0].values.shape[1:]))
    np.add.at(values, cell, np.concatenate([part.values for part in parts]))
    return Cells(found, values)


@dataclass(frozen=True, slots=True)
class Packed:
    """Sums while rows are added to them, in place.

    ``WW`` (w, w) is ``[X y]'W[X y]``; ``P`` has for each block an array (J, k, k + w),
    ``Z_j'WZ_j`` and ``Z_j'W[X y]`` side by side.
    """

    WW: Float[np.ndarray, "w w"]
    P: tuple[Float[np.ndarray, "_j _k _kw"], ...]

    def absorb(self, other: "Packed") -> None:
        """Add what another thread has added up."""
        self.WW[:] += other.WW
        for own, theirs in zip(self.P, other.P, strict=True):
            own += theirs

    def sums(self, n: int, log_weights: float, cells: tuple[Cells, ...]) -> Sums:
        """The sums, completed by what is not added to in place."""
        A = tuple(np.ascontiguousarray(P[:, :, : P.shape[1]]) for P in self.P)
        F = tuple(np.ascontiguousarray(P[:, :, P.shape[1] :]) for P in self.P)
        return Sums(n, log_weights, self.WW, A, F, cells)


def empty_packed(layout: Layout, w: int) -> Packed:
    """Sums over no rows; w is the width of [X y]."""
    blocks = layout.blocks
    P = tuple(np.zeros((b.n_levels, b.k, b.k + w)) for b in blocks)
    return Packed(np.zeros((w, w)), P)


def add_rows(
    packed: Packed, rows: Rows, layout: Layout, part: slice, columns: Columns
) -> tuple[float, tuple[Cells, ...]]:
    """Add a run of rows in place; gives their log weights and cells."""
    for chunk in chunks(part):
        weights = _weights(rows, chunk)
        W = _sum_columns(rows, chunk, columns, weights, packed.WW)
        for b, block in enumerate(layout.blocks):
            if not block.n_levels:  # no bar terms
                continue
            codes, Z = block_rows(rows, block, chunk, columns)
            accumulate_rows(codes, Z, weights, W, packed.P[b])
    log_weights = 0.0
    if rows.weights is not None:
        log_weights = float(np.log(rows.weights[part]).sum())
    return log_weights, tuple(
        _cells(rows, a, b, part, columns) for a, b in block_pairs(layout)
    )


def chunks(part: slice) -> Iterator[slice]:
    """Runs of rows whose columns stay in the second-level cache."""
    for start in range(part.start, part.stop, CHUNK):
        yield slice(start, min(start + CHUNK, part.stop))


def turn_sums(
    sums: Sums,
    layout: Layout,
    turn: Float[np.ndarray, "w v"],
    bases: Sequence[Float[np.ndarray, "_k _k"]],
) -> Sums:
    """Sums of ``[X y] turn`` and ``Z_t basis_t`` from those of [X y] and Z_t.

    Parameters
    ----------
    sums : Sums
        Sums of the columns of the data.
    layout : Layout
        Blocks of the model.
    turn : ndarray, shape (w, v)
        New columns of [X y] in terms of the old; may be fewer.
    bases : sequence of ndarray, shape (k_t, k_t)
        The same for every bar term.

    Returns
    -------
    Sums
        Equal to sums over rows of the new columns, up to rounding.
    """
    by_block = {b.terms: b.join(bases) for b in layout.blocks}
    own = [by_block[block.terms] for block in layout.blocks]
    return Sums(
        n=sums.n,
        log_weights=sums.log_weights,
        WW=turn.T @ sums.WW @ turn,
        A=tuple(T.T @ A @ T for A, T in zip(sums.A, own, strict=True)),
        F=tuple(T.T @ F @ turn for F, T in zip(sums.F, own, strict=True)),
        cells=tuple(
            Cells(part.keys, by_block[a.terms].T @ part.values @ by_block[b.terms])
            for (a, b), part in zip(block_pairs(layout), sums.cells, strict=True)
        ),
    )


def block_pairs(layout: Layout) -> Iterator[tuple[Block, Block]]:
    """Every pair of different blocks, the earlier one first."""
    blocks = layout.blocks
    for i, block in enumerate(blocks):
        for other in blocks[i + 1 :]:
            yield block, other


def sum_rows(
    rows: Rows, layout: Layout, columns: Columns, threads: int | None = None
) -> Sums:
    """Sums over all rows, in threads where there are many.

    Parameters
    ----------
    rows : Rows
        The rows; not every level of the layout need occur.
    layout : Layout
        Blocks of the whole model.
    columns : Columns
        Columns that are summed.
    threads : int, optional
        Threads at most; by default as many as there are processors.

    Returns
    -------
    Sums
        The same up to rounding for any number of threads.
    """
    most = os.cpu_count() or 1 if threads is None else threads
    n_parts = max(1, min(most, rows.n // ROWS_PER_THREAD))
    edges = np.linspace(0, rows.n, n_parts + 1).astype(int).tolist()
    parts = [slice(a, b) for a, b in pairwise(edges)]
    if n_parts == 1:
        return _sum_part(rows, layout, parts[0], columns)
    with ThreadPoolExecutor(n_parts) as pool:
        found = pool.map(lambda p: _sum_part(rows, layout, p, columns), parts)
        return reduce(add, found)


def _sum_part(rows: Rows, layout: Layout, part: slice, columns: Columns) -> Sums:
    """Sums over a run of rows."""
    packed = empty_packed(layout, rows.X.shape[1] + 1)
    log_weights, cells = add_rows(packed, rows, layout, part, columns)
    return packed.sums(part.stop - part.start, log_weights, cells)


def fixed_products(rows: Rows, columns: Columns) -> Float[np.ndarray, "w w"]:
    """``[X y]'W[X y]`` alone, over all rows."""
    w = rows.X.shape[1] + 1
    total = np.zeros((w, w))
    for chunk in chunks(slice(0, rows.n)):
        _sum_columns(rows, chunk, columns, _weights(rows, chunk), total)
    return total


def _sum_columns(
    rows: Rows,
    part: slice,
    columns: Columns,
    weights: Float[np.ndarray, " n"],
    WW: Float[np.ndarray, "w w"],
) -> Float[np.ndarray, "n w"]:
    """The columns of [X y] of a run of rows, their products added to WW in place."""
    X, y = rows.X[part], rows.y[part]
    if rows.offset is not None:
        y = y - rows.offset[part]
    turn = np.eye(len(WW)) if columns.turn is None else columns.turn
    W = np.empty((len(y), len(WW)))
    sum_columns(X, y, weights, columns.origin, np.ascontiguousarray(turn), W, WW)
    return W


def _weights(rows: Rows, part: slice) -> Float[np.ndarray, " n"]:
    """Precision weights of a run of rows."""
    if rows.weights is None:
        return np.ones(part.stop - part.start)
    return rows.weights[part]


def block_rows(
    rows: Rows, block: Block, part: slice, columns: Columns
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, "n k"]]:
    """Level codes and varying columns of a block."""
    codes = rows.codes[block.terms[0]][part]
    found = [columns.z(rows, t, part) for t in block.terms]
    Z = found[0] if len(found) == 1 else np.hstack(found)
    return codes, np.ascontiguousarray(Z)


def _cells(
    rows: Rows, block: Block, other: Block, part: slice, columns: Columns
) -> Cells:
    """Products of two blocks' columns for the cells that occur in a run of rows."""
    codes, Z = block_rows(rows, block, part, columns)
    other_codes, other_Z = block_rows(rows, other, part, columns)
    key = codes.astype(np.int64) * other.n_levels + other_codes
    keys, cell = _numbered(key, block.n_levels * other.n_levels)
    weighted = Z * _weights(rows, part)[:, None]
    values = np.empty((len(keys), block.k, other.k))
    for a in range(block.k):
        for b in range(other.k):
            product = weighted[:, a] * other_Z[:, b]
            values[:, a, b] = np.bincount(cell, product, len(keys))
    return Cells(keys, values)


def _numbered(
    key: Int[np.ndarray, " n"], size: int
) -> tuple[Int[np.ndarray, " c"], Int[np.ndarray, " n"]]:
    """The different keys, rising, and which of them each is; by a table if small."""
    if size > 4 * len(key):
        keys, cell = np.unique(key, return_inverse=True)
        return keys, cell
    keys = np.flatnonzero(np.bincount(key, minlength=size))
    place = np.empty(size, dtype=np.int64)
    place[keys] = np.arange(len(keys))
    return keys, place[key]
