"""Sums of rows that are read in batches, and the model's design without rows.

Takes a source and a formula; gives what a model needs of the rows: `Conditioned` sums,
and a `Recipe` whose design has moments instead of rows. `scan_rows` (first pass),
`sum_source` (second pass; `sum_partition` for a part of the data on any machine) and
`finish` are the three steps. Memory is the number of levels times a few numbers.
"""

import time
from dataclasses import dataclass, replace
from functools import partial

from bayeslmm.design.again import Rereader
from bayeslmm.design.arrays import Design
from bayeslmm.design.checks import check_not_swapped, checked_design
from bayeslmm.design.coding import Coding, make_design
from bayeslmm.design.notes import account_rows, mixed_columns, naming_causes
from bayeslmm.design.reading import Progress, n_threads, read_batches
from bayeslmm.design.recipe import Recipe
from bayeslmm.design.response import check_numeric
from bayeslmm.design.scan import Scan, scan_source
from bayeslmm.design.source import Source, frame_source, open_source
from bayeslmm.design.span import FixedPart
from bayeslmm.design.traps import text_traps
from bayeslmm.design.used import all_incomplete, check_weights_size
from bayeslmm.errors import DataError, ModelError, check_made, check_progress
from bayeslmm.formula import Formula, parse_formula
from bayeslmm.marginal.conditioned import Conditioned
from bayeslmm.marginal.conditioning import condition_sums
from bayeslmm.marginal.kept import keep_columns, without_empty
from bayeslmm.marginal.layout import Layout, make_layout
from bayeslmm.marginal.plan import Plan, make_plan
from bayeslmm.marginal.sums import Sums, block_pairs
from bayeslmm.marginal.tally import FirstRows, Tally, see_batch, start_sums


@dataclass(frozen=True, slots=True)
class Streamed:
    """A model's data after both passes: recipe, sums in safe coordinates, the plan.

    ``rereader`` reads the rows once more.
    """

    recipe: Recipe
    conditioned: Conditioned
    plan: Plan
    rereader: Rereader


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
    scan = scan_for_sums(
        formula, source, weights=weights, threads=threads, progress=progress
    )
    plan = make_plan(scan, threads)
    tally = sum_source(scan, source, plan=plan, progress=progress)
    recipe, conditioned = finish(scan, tally)
    plan = replace(
        plan,
        levels={t.group: t.n_levels for t in recipe.design.groups},
        seconds=time.monotonic() - started,
    )
    return Streamed(recipe, conditioned, plan, Rereader(scan, source))


def scan_rows(
    formula: str | Formula,
    data: object,
    *,
    weights: object = None,
    threads: int | None = None,
    progress: Progress = "auto",
) -> Scan:
    """First pass over all the data, before its parts are summed apart.

    Use it with `sum_partition` and `bayeslmm.Model.from_tally` to spread the second
    pass over machines; `bayeslmm.Model` does all three by itself.

    Parameters
    ----------
    formula : str or Formula
        lme4's grammar.
    data : object
        All the data: path of a Parquet file or of a folder of them, pyarrow Dataset,
        list of batches or a function that gives them, or a data frame.
    weights : str, optional
        Column of the precision weights.
    threads : int, optional
        Threads at most; by default as many as there are processors.
    progress : bool or "auto"
        Whether to show a bar.

    Returns
    -------
    Scan
        Levels, state of scale() and poly(), and coding of the terms; can be pickled.

    Raises
    ------
    FormulaError
        If the formula cannot be read, or names a column that is not there.
    DataError
        If columns hold what cannot be used, or batches do not fit together.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> parts = pupils[:60], pupils[60:]
    >>> scan = lmm.scan_rows("score ~ edu + (1 | classroom)", pupils)
    >>> tallies = [lmm.sum_partition(scan, part) for part in parts]
    >>> lmm.Model.from_tally(scan, tallies[0] + tallies[1]).design.n
    120
    """
    check_progress(progress)
    source = open_source(data) or frame_source(data)
    if not isinstance(formula, Formula):
        formula = parse_formula(formula, columns=source.kinds)
    most = n_threads(source, threads)
    return scan_for_sums(
        formula, source, weights=weights, threads=most, progress=progress
    )


def scan_for_sums(
    formula: Formula,
    source: Source,
    *,
    weights: object,
    threads: int,
    progress: Progress,
) -> Scan:
    """First pass, and what can be refused before the second."""
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
    check_not_swapped(formula, scan.coding.factors, scan.n_rows)
    check_numeric(formula.response.label, scan.coding.variables[formula.response.label])
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

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> scan = lmm.scan_rows("score ~ edu + (1 | classroom)", pupils)
    >>> parts = [lmm.sum_partition(scan, part) for part in (pupils[:60], pupils[60:])]
    >>> whole = lmm.Model("score ~ edu + (1 | classroom)", pupils).fit_reml().criterion
    >>> apart = lmm.Model.from_tally(scan, parts[0] + parts[1]).fit_reml().criterion
    >>> abs(whole - apart) < 1e-8
    True
    """
    check_made(scan, Scan, "scan", "bayeslmm.scan_rows")
    source = open_source(data) or frame_source(data)
    return sum_source(scan, source, plan=make_plan(scan, 1), progress=False)


def sum_source(
    scan: Scan, source: Source, *, plan: Plan, progress: Progress = "auto"
) -> Tally:
    """Second pass: sums of all batches, by several threads."""
    skeleton = scan.design
    layout = make_layout(skeleton)
    moved = FirstRows(skeleton)
    states = read_batches(
        source,
        scan.columns,
        partial(start_sums, scan, skeleton, layout),
        partial(see_batch, scan, layout, moved),
        threads=plan.threads,
        n_rows=source.n_rows or scan.n_rows,
        title=f"Adding up {scan.source}",
        note=str(plan),
        progress=progress,
    )
    first = states.pop(0)
    while states:
        first.absorb(states.pop())
    return first.tally(layout, moved)


def finish(scan: Scan, tally: Tally) -> tuple[Recipe, Conditioned]:
    """Recipe without rows, and sums in safe coordinates, from the tally of all rows.

    Parameters
    ----------
    scan : Scan
        What the first pass found.
    tally : Tally
        Sums over all rows of the same data.

    Returns
    -------
    tuple of Recipe, Conditioned
        Levels that no row used has are left out of both.

    Raises
    ------
    DataError
        If rows were lost between the passes, or the design carries no model.
    """
    _check_complete(scan, tally)
    skeleton = scan.design
    layout = make_layout(skeleton)
    keep = [tally.moments.sizes[block.terms[0]] > 0 for block in layout.blocks]
    small, sums = without_empty(layout, tally.sums, keep)
    coding = _with_rows_only(scan.coding, tally)
    design = _streamed_design(scan, coding, tally, small, sums)
    part, variables = FixedPart(coding, scan.columns), coding.variables
    integers = frozenset(n for n, kind in scan.kinds.items() if kind == "integer")
    with naming_causes(design.account.mixed, text_traps(scan.formula, variables)):
        design, aliasing = checked_design(
            design, part, tally.given, integers, gaussian=True
        )
    columns = tally.columns
    if aliasing is not None:
        coding = replace(coding, aliasing=aliasing)
        design, sums, columns = keep_columns(design, sums, small, columns, aliasing)
    if scan.weights is not None:
        label = f"The weights column {scan.weights!r}"
        check_weights_size(sums.log_weights, sums.n, label)
    recipe = Recipe(design, coding)
    return recipe, condition_sums(design, sums, small, columns)


def check_streamable(family: str, source: Source) -> None:
    """Raise unless a family can be fitted to sums of batches."""
    if family != "gaussian":
        raise ModelError(
            f"The rows of {source.name} are read in batches and summed, which only a "
            f"Gaussian model can do with. For family {family!r} read them into a data "
            f"frame (pandas.read_parquet), a sample if they are too many."
        )


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
        raise all_incomplete(tally.n_rows, tally.missing)


def _with_rows_only(coding: Coding, tally: Tally) -> Coding:
    """The coding without the levels of grouping factors that no row used has."""
    kept = {
        bar.group_label: size > 0
        for bar, size in zip(coding.formula.random, tally.moments.sizes, strict=True)
    }
    groups = {
        label: coder.restricted(kept[label]) for label, coder in coding.groups.items()
    }
    return replace(coding, groups=groups)


def _streamed_design(
    scan: Scan, coding: Coding, tally: Tally, layout: Layout, sums: Sums
) -> Design:
    """The design without rows: levels that occur, moments, account."""
    mixed = mixed_columns(scan.formula, coding.variables, scan.levels.given)
    account = account_rows(
        coding,
        scan.levels,
        sums.n,
        tally.missing,
        mixed,
        n_rows=scan.n_rows,
        origin=scan.origin,
    )
    has_weights = scan.weights is not None
    design = make_design(coding, account, source=scan.source, has_weights=has_weights)
    groups, cells = design.groups, {}
    for (block, other), part in zip(block_pairs(layout), sums.cells, strict=True):
        pair = groups[block.terms[0]].group, groups[other.terms[0]].group
        cells[pair] = cells[pair[::-1]] = len(part.keys)
    sizes = tuple(size[size > 0] for size in tally.moments.sizes)
    return replace(design, recorded=replace(tally.moments, sizes=sizes, cells=cells))
