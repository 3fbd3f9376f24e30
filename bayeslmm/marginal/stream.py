"""Sums of rows that are read in batches, and the model's design without rows.

Takes a source and a formula; gives what a model needs of the rows: `Statistics`, and a
`Recipe` whose design has moments instead of rows. `scan_rows` (first pass),
`sum_source` (second pass; `sum_partition` for a part of the data on any machine) and
`finish` are the three steps. Memory is the number of levels times a few numbers.
"""

import time
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from jaxtyping import Bool, Int

from bayeslmm.design.absent import absent_rows
from bayeslmm.design.arrays import Design, RowAccount
from bayeslmm.design.arrow import TextCodes
from bayeslmm.design.checks import check_scan_not_swapped, check_streamed
from bayeslmm.design.coder import GroupCoder
from bayeslmm.design.encode import EncodedRows, empty_design, encode_batch
from bayeslmm.design.frame import FactorColumn
from bayeslmm.design.groups import GroupIndex
from bayeslmm.design.memory import available_bytes, check_fits
from bayeslmm.design.moments import ColumnMoments, Moments, column_moments
from bayeslmm.design.reading import Progress, n_threads, read_batches
from bayeslmm.design.recipe import ModelFrame, Recipe
from bayeslmm.design.response import check_numeric
from bayeslmm.design.scan import Scan, scan_source
from bayeslmm.design.source import Batch, Source, frame_source, open_source
from bayeslmm.errors import DataError
from bayeslmm.formula import Formula
from bayeslmm.marginal.kernels.rows import count_levels
from bayeslmm.marginal.layout import Block, Layout, make_layout
from bayeslmm.marginal.statistics import Statistics, make_statistics
from bayeslmm.marginal.sums import (
    Cells,
    Packed,
    Sums,
    add_rows,
    block_pairs,
    empty_packed,
    merge_cells,
)

# Cells of batches wait for each other until they are this many, as merging sorts.
CELLS_WAITING = 1 << 20
# Copies of A and F: the statistics, their layout for the kernel, one factorisation.
COPIES = 3.0


@dataclass(frozen=True, slots=True)
class Tally:
    """All that is kept of some rows; ``tally + tally`` is that of both.

    Attributes
    ----------
    sums : Sums
        Cross-products.
    moments : Moments
        Of the columns, with sizes of levels.
    n_rows : int
        Rows given, of which ``sums.n`` were used.
    missing : dict
        Missing values by column.
    """

    sums: Sums
    moments: Moments
    n_rows: int
    missing: dict[str, int]

    def __add__(self, other: "Tally") -> "Tally":
        """Tally of the rows of both; exact up to rounding, in any grouping."""
        counts = dict(self.missing)
        count_missing(counts, other.missing)
        return Tally(
            self.sums + other.sums,
            self.moments + other.moments,
            self.n_rows + other.n_rows,
            counts,
        )


def count_missing(counts: dict[str, int], more: dict[str, int]) -> None:
    """Add counts of missing values to others, in place."""
    for name, n in more.items():
        counts[name] = counts.get(name, 0) + n


@dataclass(frozen=True, slots=True)
class Plan:
    """What a model read in batches takes, known before the second pass.

    Attributes
    ----------
    source : str
        Name of the source.
    n_rows : int
        Rows.
    levels : dict
        Levels of each grouping factor.
    blocks : tuple of str
        Blocks of the cross-products, the one that is eliminated first.
    bytes : float
        Memory of the statistics and of the sums of all threads.
    threads : int
        Threads that read.
    seconds : float
        Time that the reading took, both passes.
    """

    source: str
    n_rows: int
    levels: dict[str, int]
    blocks: tuple[str, ...]
    bytes: float
    threads: int
    seconds: float = float("nan")

    def __str__(self) -> str:
        """The plan in a few words."""
        levels = ", ".join(f"{name}: {j:,}" for name, j in self.levels.items())
        text = (
            f"{self.source}: {self.n_rows:,} rows in batches, {self.threads} threads; "
            f"levels {levels}; {' + '.join(self.blocks)}; {self.bytes / 1e6:,.0f} MB"
        )
        done = f"; read in {self.seconds:.1f} s" if self.seconds == self.seconds else ""
        return text + done


@dataclass(frozen=True, slots=True)
class Streamed:
    """A model's data after both passes: recipe, statistics and how they were read."""

    recipe: Recipe
    statistics: Statistics
    plan: Plan


# --- the three steps ------------------------------------------------------------------


def stream_model(
    formula: Formula,
    source: Source,
    *,
    weights: object = None,
    threads: int | None = None,
    progress: Progress = "auto",
) -> Streamed:
    """Recipe and statistics of a Gaussian model whose rows are read in batches.

    Parameters
    ----------
    formula : Formula
        What `bayeslmm.formula.parse_formula` gives.
    source : Source
        What `bayeslmm.design.source.open_source` gives.
    weights : str, optional
        Column of the precision weights.
    threads : int, optional
        Threads at most; by default as many as there are processors.
    progress : bool or "auto"
        Whether to show a bar; "auto" for reads of more than 5 s.

    Returns
    -------
    Streamed
        The same numbers as from a frame in memory, up to rounding.

    Raises
    ------
    DataError, FormulaError, InputFileError
        If the data cannot be read or used.
    """
    started = time.monotonic()
    threads = n_threads(source, threads)
    scan = scan_rows(
        formula, source, weights=weights, threads=threads, progress=progress
    )
    plan = make_plan(scan, threads)
    tally = sum_source(scan, source, plan=plan, progress=progress)
    recipe, statistics = finish(scan, tally)
    plan = replace(
        plan,
        levels={t.group: t.n_levels for t in recipe.design.groups},
        seconds=time.monotonic() - started,
    )
    return Streamed(recipe, statistics, plan)


def scan_rows(
    formula: Formula,
    source: Source,
    *,
    weights: object = None,
    threads: int = 1,
    progress: Progress = "auto",
) -> Scan:
    """First pass: levels, states of scale() and poly(), coding of the terms."""
    if formula.trials is not None:
        raise DataError(
            "Rows that are read in batches are summed for a Gaussian model, which has "
            "no trials. Read the data into a frame for another family."
        )
    if weights is not None and not isinstance(weights, str):
        raise DataError(
            f"weights= is a {type(weights).__name__}. Of rows that are read in batches "
            f"weights are a column: give its name."
        )
    scan = scan_source(
        formula, source, weights=weights, threads=threads, progress=progress
    )
    check_scan_not_swapped(scan)
    check_numeric(formula.response.label, scan.variables[formula.response.label])
    return scan


def sum_partition(scan: Scan, data: object) -> Tally:
    """Second pass over a part of the data: pure, so that it may run on any machine.

    Use it with ``client.map`` of Dask or with joblib; add the results up and give them
    to `bayeslmm.Model.from_tally`.

    Parameters
    ----------
    scan : Scan
        What the first pass over all data found.
    data : object
        A part of the same data: path of a Parquet file or folder, Dataset, list of
        batches, or data frame.

    Returns
    -------
    Tally
        Sums and moments of the part.

    Raises
    ------
    DataError
        If the part has other columns, types or levels than the whole.
    """
    source = open_source(data) or frame_source(data)
    return sum_source(scan, source, plan=make_plan(scan, 1), progress=False)


def sum_source(
    scan: Scan, source: Source, *, plan: Plan, progress: Progress = "auto"
) -> Tally:
    """Second pass: sums of all batches, by several threads."""
    skeleton = empty_design(scan)
    layout = make_layout(skeleton.groups)
    states = read_batches(
        source,
        scan.columns,
        partial(_start, scan, skeleton, layout),
        partial(_see, scan, skeleton, layout),
        threads=plan.threads,
        n_rows=source.n_rows or scan.n_rows,
        title=f"Adding up {scan.source}",
        progress=progress,
    )
    first = states.pop(0)
    while states:
        first.absorb(states.pop())
    return first.tally()


def finish(scan: Scan, tally: Tally) -> tuple[Recipe, Statistics]:
    """Recipe without rows, and statistics, from the tally of all rows.

    Parameters
    ----------
    scan : Scan
        What the first pass found.
    tally : Tally
        Sums over all rows of the same data.

    Returns
    -------
    tuple of Recipe, Statistics
        Levels that no row used has are left out of both.

    Raises
    ------
    DataError
        If rows were lost between the passes, or the design carries no model.
    """
    _check_complete(scan, tally)
    skeleton = empty_design(scan)
    layout = make_layout(skeleton.groups)
    keep = [tally.moments.sizes[block.terms[0]] > 0 for block in layout.blocks]
    small, sums = _without_empty(layout, tally.sums, keep)
    design = _streamed_design(scan, skeleton, tally, small, sums)
    check_streamed(design)
    groups = {t.group: FactorColumn(t.codes, t.levels) for t in design.groups}
    recipe = Recipe(
        formula=scan.formula,
        design=design,
        frame=ModelFrame(design.n, scan.variables, groups),
        kept=absent_rows(scan.source, "the positions of the rows used"),
        trials=None,
        response_levels=(),
        fixed_coding=scan.fixed_coding,
        effect_codings=scan.effect_codings,
        group_indices=tuple(
            _group_index(scan.groups[term.group], term.levels, size > 0)
            for term, size in zip(design.groups, tally.moments.sizes, strict=True)
        ),
        memory=scan.memory,
    )
    return recipe, make_statistics(sums, small)


# --- plan -----------------------------------------------------------------------------


def make_plan(scan: Scan, threads: int) -> Plan:
    """Blocks and memory; fewer threads if their sums would not fit beside each other.

    Raises
    ------
    DataError
        If the statistics themselves are beyond memory.
    """
    skeleton = empty_design(scan)
    layout = make_layout(skeleton.groups)
    w = skeleton.p + 1
    own = 8.0 * sum(b.n_levels * b.k * (b.k + w) for b in layout.blocks)
    dense = 8.0 * COPIES * layout.m**2
    levels = {term.group: term.n_levels for term in skeleton.groups}
    said = ", ".join(f"{name!r} {count:,}" for name, count in levels.items())
    check_fits(
        own * (COPIES + 1.0) + dense,
        f"The cross-products of the levels ({said}; {w} columns)",
        "The square of the levels of all grouping factors but the largest counts. "
        "Group by a coarser column, let fewer effects vary, or use a larger machine."
        if dense > own
        else "",
    )
    room = available_bytes() - own * COPIES - dense
    threads = max(1, min(threads, int(room / max(2.0 * own, 1.0))))
    return Plan(
        scan.source,
        scan.n_rows,
        levels,
        tuple(_block_words(skeleton, block) for block in layout.blocks),
        own * (COPIES + threads) + dense,
        threads,
    )


def _block_words(design: Design, block: Block) -> str:
    """A block as ``g (1,000 x 2)``."""
    return f"{design.groups[block.terms[0]].group} ({block.n_levels:,} x {block.k})"


# --- one thread -----------------------------------------------------------------------


@dataclass(slots=True)
class _State:
    """Sums of one thread so far; packed sums and sizes are added to in place."""

    packed: Packed
    cells: tuple[Cells, ...]
    sizes: tuple[Int[np.ndarray, " _j"], ...]
    y: ColumnMoments
    net: ColumnMoments
    X: ColumnMoments
    Z: list[ColumnMoments]
    text: dict[str, TextCodes]
    n: int = 0
    log_weights: float = 0.0
    n_rows: int = 0
    missing: dict[str, int] = field(default_factory=dict)
    waiting: list[tuple[Cells, ...]] = field(default_factory=list)

    def tally(self) -> Tally:
        """What the thread has seen."""
        self.fold()
        sums = self.packed.sums(self.n, self.log_weights, self.cells)
        moments = Moments(self.y, self.net, self.X, tuple(self.Z), self.sizes)
        return Tally(sums, moments, self.n_rows, self.missing)

    def fold(self) -> None:
        """Merge the cells that wait."""
        if self.waiting:
            parts = zip(self.cells, *self.waiting, strict=True)
            self.cells = tuple(merge_cells(list(part)) for part in parts)
            self.waiting = []

    def absorb(self, other: "_State") -> None:
        """Add what another thread has seen."""
        self.packed.absorb(other.packed)
        self.waiting += [other.cells, *other.waiting] if other.cells else []
        # terms of one grouping factor share their sizes: each array once
        pairs = zip(self.sizes, other.sizes, strict=True)
        for own, theirs in {id(own): (own, theirs) for own, theirs in pairs}.values():
            own += theirs
        self.y, self.net = self.y + other.y, self.net + other.net
        self.X = self.X + other.X
        self.Z = [a + b for a, b in zip(self.Z, other.Z, strict=True)]
        self.n, self.n_rows = self.n + other.n, self.n_rows + other.n_rows
        self.log_weights += other.log_weights
        count_missing(self.missing, other.missing)


def _start(scan: Scan, skeleton: Design, layout: Layout) -> _State:
    """A thread that has seen nothing."""
    none = column_moments(np.empty((0, 1)))
    sizes = {b.terms[0]: np.zeros(b.n_levels, dtype=np.int64) for b in layout.blocks}
    first = {t: b.terms[0] for b in layout.blocks for t in b.terms}
    return _State(
        packed=empty_packed(layout, skeleton.p + 1),
        cells=tuple(
            Cells(np.empty(0, dtype=np.int64), np.empty((0, a.k, b.k)))
            for a, b in block_pairs(layout)
        ),
        sizes=tuple(sizes[first[t]] for t in range(len(skeleton.groups))),
        y=none,
        net=none,
        X=column_moments(np.empty((0, skeleton.p))),
        Z=[column_moments(np.empty((0, term.k))) for term in skeleton.groups],
        text=scan.text_codes(),
    )


def _see(
    scan: Scan, skeleton: Design, layout: Layout, state: _State, batch: Batch
) -> None:
    """Add a batch."""
    for rows in encode_batch(scan, skeleton, batch, state.text):
        _add(state, layout, rows)
    waiting = sum(len(cells.keys) for parts in state.waiting for cells in parts)
    merged = sum(len(cells.keys) for cells in state.cells)
    if waiting > max(CELLS_WAITING, merged):
        state.fold()


def _add(state: _State, layout: Layout, rows: EncodedRows) -> None:
    """Add a run of rows."""
    state.n_rows += rows.n_rows
    count_missing(state.missing, rows.missing)
    design = rows.design
    if design is None:
        return
    log_weights, cells = add_rows(state.packed, design, layout, slice(0, design.n))
    state.n += design.n
    state.log_weights += log_weights
    if cells:
        state.waiting.append(cells)
    y = column_moments(design.y[:, None])
    net = y
    if design.offset is not None:
        net = column_moments((design.y - design.offset)[:, None])
    state.y, state.net = state.y + y, state.net + net
    state.X = state.X + column_moments(design.X)
    for t, term in enumerate(design.groups):
        state.Z[t] = state.Z[t] + column_moments(term.Z)
    for block in layout.blocks:
        count_levels(design.groups[block.terms[0]].codes, state.sizes[block.terms[0]])


# --- after all rows -------------------------------------------------------------------


def _check_complete(scan: Scan, tally: Tally) -> None:
    """Raise if the two passes saw different rows, or no row can be used."""
    if tally.n_rows != scan.n_rows:
        raise DataError(
            f"The first pass over {scan.source} saw {scan.n_rows:,} rows, the second "
            f"{tally.n_rows:,}. The data changed between them, or the batches can be "
            f"read only once: give a function that opens them anew, or a list."
        )
    if not tally.sums.n:
        worst = ", ".join(f"{name!r} {n}" for name, n in tally.missing.items())
        raise DataError(
            f"Each of the {tally.n_rows} rows misses a value in some column (missing: "
            f"{worst}). Leave a column out of the formula or fill it in."
        )


def _without_empty(
    layout: Layout, sums: Sums, keep: list[Bool[np.ndarray, " _j"]]
) -> tuple[Layout, Sums]:
    """Layout and sums without the levels that no row used has."""
    if all(kept.all() for kept in keep):
        return layout, sums
    blocks, offset = [], 0
    for position, (block, kept) in enumerate(zip(layout.blocks, keep, strict=True)):
        n_levels = int(kept.sum())
        blocks.append(replace(block, n_levels=n_levels, offset=offset))
        offset += n_levels * block.k if position else 0
    small = Layout(blocks[0], tuple(blocks[1:]), layout.n_terms)
    rank = [np.cumsum(kept) - 1 for kept in keep]
    at = {block.terms: position for position, block in enumerate(layout.blocks)}
    cells = []
    for (block, other), part in zip(block_pairs(layout), sums.cells, strict=True):
        level, other_level = np.divmod(part.keys, other.n_levels)
        first, second = at[block.terms], at[other.terms]
        keys = rank[first][level] * blocks[second].n_levels + rank[second][other_level]
        cells.append(Cells(keys, part.values))
    A = tuple(a[kept] for a, kept in zip(sums.A, keep, strict=True))
    F = tuple(f[kept] for f, kept in zip(sums.F, keep, strict=True))
    return small, replace(sums, A=A, F=F, cells=tuple(cells))


def _group_index(
    coder: GroupCoder, levels: tuple[str, ...], kept: Bool[np.ndarray, " _j"]
) -> GroupIndex:
    """What finds the level of new rows, among the levels that are kept."""
    if coder.cells is None:
        return GroupIndex((levels,), np.arange(len(levels)), levels)
    parts = tuple(part.levels for part in coder.parts)
    return GroupIndex(parts, coder.cells.values[kept], levels)


def _streamed_design(
    scan: Scan, skeleton: Design, tally: Tally, layout: Layout, sums: Sums
) -> Design:
    """The design without rows: levels that occur, moments, account."""
    sizes = tally.moments.sizes
    groups = tuple(
        term
        if (size > 0).all()
        else replace(
            term,
            levels=tuple(np.array(term.levels, dtype=object)[size > 0].tolist()),
        )
        for term, size in zip(skeleton.groups, sizes, strict=True)
    )
    cells = {}
    for (block, other), part in zip(block_pairs(layout), sums.cells, strict=True):
        pair = groups[block.terms[0]].group, groups[other.terms[0]].group
        cells[pair] = cells[pair[::-1]] = len(part.keys)
    moments = replace(
        tally.moments, sizes=tuple(size[size > 0] for size in sizes), cells=cells
    )
    kept = {t.group: size > 0 for t, size in zip(groups, sizes, strict=True)}
    account = RowAccount(
        scan.n_rows,
        sums.n,
        {name: n for name, n in tally.missing.items() if n},
        _levels_lost(scan, kept) if sums.n < scan.n_rows else {},
        _levels_unused(scan),
    )
    return replace(skeleton, groups=groups, account=account, recorded=moments)


def _levels_lost(
    scan: Scan, kept: dict[str, Bool[np.ndarray, " _j"]]
) -> dict[str, tuple[str, ...]]:
    """Levels of text and grouping columns that some row has, and no row used."""
    left: dict[str, set[str]] = {}
    for factor in scan.factors.values():
        for name in factor.atom.columns if scan.exact else ():
            if scan.kinds[name] == "text":
                left.setdefault(name, set(factor.levels))
    for label, coder in scan.groups.items():
        left.update(coder.used_levels(kept[label]))
    lost = {
        name: tuple(level for level in given if level not in left[name])
        for name, given in scan.given.items()
        if name in left
    }
    return {name: levels for name, levels in lost.items() if levels}


def _levels_unused(scan: Scan) -> dict[str, tuple[str, ...]]:
    """Declared categories that no row has."""
    found = {}
    for name, levels in scan.text.items():
        given = set(scan.given[name])
        found[name] = tuple(level for level in levels if level not in given)
    return {name: levels for name, levels in found.items() if levels}
