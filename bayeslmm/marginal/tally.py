"""Sums and moments of batches, one thread at a time.

Takes encoded rows; gives a `Tally`, which adds up over threads, files and machines.
"""

import threading
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Int

from bayeslmm.design.arrays import Design
from bayeslmm.design.arrow import TextCodes
from bayeslmm.design.digits import Given
from bayeslmm.design.encode import EncodedRows, encode_batch
from bayeslmm.design.memory import check_fits
from bayeslmm.design.moments import Moments
from bayeslmm.design.rows import Rows, no_rows, rows_moments
from bayeslmm.design.scan import Scan
from bayeslmm.design.source import Batch
from bayeslmm.formula.markup import sentence_list
from bayeslmm.marginal.columns import (
    Columns,
    constant_of,
    data_columns,
    near_columns,
)
from bayeslmm.marginal.kernels.rows import count_levels
from bayeslmm.marginal.layout import Layout
from bayeslmm.marginal.sums import (
    Cells,
    Packed,
    Sums,
    add_rows,
    block_pairs,
    empty_packed,
    merge_cells,
    turn_sums,
)

# Cells of batches wait for each other until they are this many, as merging sorts.
# Bytes of a cell while cells are merged: key, value and their sorted copies.
CELL_BYTES = 64.0
CELLS_WAITING = 1 << 20


@dataclass(frozen=True, slots=True)
class Tally:
    """All that is kept of some rows; ``tally + tally`` is that of both.

    Attributes
    ----------
    sums : Sums
        Cross-products of the columns in ``columns``.
    moments : Moments
        Of the columns, with sizes of levels.
    n_rows : int
        Rows given, of which ``sums.n`` were used.
    missing : dict
        Missing values by column.
    layout : Layout
        Blocks of the model.
    columns : Columns
        Which columns were summed.
    frame : tuple
        Column of the intercept in X, and in each bar term, None where there is none.
    given : dict
        Columns whose digits those of the design do not show.
    """

    sums: Sums
    moments: Moments
    n_rows: int
    missing: dict[str, int]
    layout: Layout
    columns: Columns
    frame: tuple[int | None, tuple[int | None, ...]]
    given: dict[str, Given] = field(default_factory=dict)

    def __add__(self, other: "Tally") -> "Tally":
        """Tally of the rows of both; exact up to rounding, in any grouping."""
        counts = dict(self.missing)
        count_missing(counts, other.missing)
        return replace(
            self,
            sums=self.sums + other.moved_to(self.columns),
            moments=self.moments + other.moments,
            n_rows=self.n_rows + other.n_rows,
            missing=counts,
            given=add_given(self.given, other.given),
        )

    def _repr_html_(self) -> str:
        """How many rows, for a notebook."""
        blocks = self.layout.blocks
        said = [
            f"rows: {self.n_rows:,}, of which {self.sums.n:,} were used",
            *(f"missing values of {name!r}: {n:,}" for name, n in self.missing.items()),
            f"levels: {', '.join(f'{block.n_levels:,}' for block in blocks)}",
            "tally + tally is that of both; Model.from_tally(scan, tally) the model",
        ]
        return sentence_list("Sums of some rows", said)

    def moved_to(self, columns: Columns) -> Sums:
        """The sums of other columns: an intercept takes up what is taken off them."""
        intercept, constants = self.frame
        turn = self.columns.undone(columns.origin, intercept)
        if columns.turn is not None:
            turn = turn @ columns.turn
        bases = []
        for t, (origin, constant) in enumerate(
            zip(columns.origins, constants, strict=True)
        ):
            own = self.columns.undone_z(t, origin, constant)
            bases.append(own if columns.bases is None else own @ columns.bases[t])
        return turn_sums(self.sums, self.layout, turn, bases)


def count_missing(counts: dict[str, int], more: dict[str, int]) -> None:
    """Add counts of missing values to others, in place."""
    for name, n in more.items():
        counts[name] = counts.get(name, 0) + n


def add_given(one: dict[str, Given], other: dict[str, Given]) -> dict[str, Given]:
    """Columns as given, of the rows of both."""
    both = {name: one[name] + other[name] for name in one.keys() & other.keys()}
    return {**one, **other, **both}


@dataclass(slots=True)
class SumState:
    """Sums of one thread so far; packed sums and sizes are added to in place."""

    packed: Packed
    cells: tuple[Cells, ...]
    sizes: tuple[Int[np.ndarray, " _j"], ...]
    moments: Moments
    text: dict[str, TextCodes]
    n: int = 0
    log_weights: float = 0.0
    n_rows: int = 0
    missing: dict[str, int] = field(default_factory=dict)
    given: dict[str, Given] = field(default_factory=dict)
    waiting: list[tuple[Cells, ...]] = field(default_factory=list)

    def tally(self, layout: Layout, moved: "FirstRows") -> Tally:
        """What the thread has seen."""
        self.fold()
        sums = self.packed.sums(self.n, self.log_weights, self.cells)
        moments = replace(self.moments, sizes=self.sizes)
        skeleton = moved.skeleton
        frame = skeleton.intercept, tuple(constant_of(t) for t in skeleton.groups)
        counts = self.n_rows, self.missing
        columns = moved.columns, frame, self.given
        return Tally(sums, moments, *counts, layout, *columns)

    def fold(self) -> None:
        """Merge the cells that wait."""
        if self.waiting:
            parts = zip(self.cells, *self.waiting, strict=True)
            n_cells = sum(
                len(c.keys) for part in [self.cells, *self.waiting] for c in part
            )
            check_fits(
                CELL_BYTES * n_cells,
                f"The {n_cells:,} combinations of levels of different grouping factors "
                f"found so far",
                "Leave one of the factors out, or use a larger machine.",
            )
            self.cells = tuple(merge_cells(list(part)) for part in parts)
            self.waiting = []

    def absorb(self, other: "SumState") -> None:
        """Add what another thread has seen."""
        self.packed.absorb(other.packed)
        self.waiting += [other.cells, *other.waiting] if other.cells else []
        # terms of one grouping factor share their sizes: each array once
        pairs = zip(self.sizes, other.sizes, strict=True)
        for own, theirs in {id(own): (own, theirs) for own, theirs in pairs}.values():
            own += theirs
        self.moments = self.moments + other.moments
        self.n, self.n_rows = self.n + other.n, self.n_rows + other.n_rows
        self.log_weights += other.log_weights
        count_missing(self.missing, other.missing)
        self.given = add_given(self.given, other.given)


class FirstRows:
    """What the first rows that are seen say of the means, for all threads."""

    def __init__(self, skeleton: Design) -> None:
        """Nothing is seen yet: columns as they are."""
        self.skeleton, self.columns = skeleton, data_columns(skeleton)
        self._lock, self._seen = threading.Lock(), False

    def columns_of(self, rows: Rows) -> Columns:
        """The columns to be summed, decided by the rows of the first call."""
        if not self._seen:
            with self._lock:
                if not self._seen:
                    self.columns = near_columns(self.skeleton, rows)
                    self._seen = True
        return self.columns


def start_sums(scan: Scan, skeleton: Design, layout: Layout) -> SumState:
    """A thread that has seen nothing."""
    widths = [term.k for term in skeleton.groups]
    none = no_rows(skeleton.p, widths, len(skeleton.products.names))
    sizes = {b.terms[0]: np.zeros(b.n_levels, dtype=np.int64) for b in layout.blocks}
    first = {t: b.terms[0] for b in layout.blocks for t in b.terms}
    return SumState(
        packed=empty_packed(layout, skeleton.p + 1),
        cells=tuple(
            Cells(np.empty(0, dtype=np.int64), np.empty((0, a.k, b.k)))
            for a, b in block_pairs(layout)
        ),
        sizes=tuple(sizes[first[t]] for t in range(len(skeleton.groups))),
        moments=rows_moments(none, ()),
        text=scan.text_codes(),
    )


def see_batch(
    scan: Scan, layout: Layout, moved: "FirstRows", state: SumState, batch: Batch
) -> None:
    """Add a batch."""
    for part in encode_batch(scan, batch, state.text):
        _add(state, layout, moved, part)
    waiting = sum(len(cells.keys) for parts in state.waiting for cells in parts)
    merged = sum(len(cells.keys) for cells in state.cells)
    if waiting > max(CELLS_WAITING, merged):
        state.fold()


def _add(
    state: SumState, layout: Layout, moved: "FirstRows", part: EncodedRows
) -> None:
    """Add a run of rows."""
    state.n_rows += part.n_rows
    count_missing(state.missing, part.missing)
    rows = part.rows
    if rows is None:
        return
    whole, columns = slice(0, rows.n), moved.columns_of(rows)
    log_weights, cells = add_rows(state.packed, rows, layout, whole, columns)
    state.n += rows.n
    state.given = add_given(state.given, part.given)
    state.log_weights += log_weights
    if cells:
        state.waiting.append(cells)
    near = columns.near(moved.skeleton)
    state.moments = state.moments + rows_moments(rows, (), near)
    for block in layout.blocks:
        count_levels(rows.codes[block.terms[0]], state.sizes[block.terms[0]])
