"""First pass over batches: what must be known before rows can be encoded.

Takes a formula and a `Source`; gives a `Scan`: the levels of factors, the state of
``scale()``, ``center()`` and ``poly()``, and the coding of every term. One reading is
enough unless a question waits for the answer to another (cells of nested factors,
higher degrees of ``poly``). A `Scan` can be pickled and sent to other machines.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from bayeslmm.data.origin import Origin
from bayeslmm.design.account import RowAccount
from bayeslmm.design.arrays import Design
from bayeslmm.design.arrow import TextCodes
from bayeslmm.design.coding import Coding, make_coding, make_design, variable_atoms
from bayeslmm.design.evaluate import (
    Described,
    NumericNames,
    RawRows,
    calls_in,
    check_comparisons,
    column_names,
    factor_node,
    is_factor,
    n_columns,
)
from bayeslmm.design.frame import FactorLevels, RawColumn
from bayeslmm.design.kinds import Kind
from bayeslmm.design.questions import (
    STATEFUL,
    Found,
    Levels,
    ScanState,
    added,
    answer,
    questions,
    see_batch,
)
from bayeslmm.design.reading import Progress, read_batches
from bayeslmm.design.source import Source
from bayeslmm.design.used import unknown_column
from bayeslmm.errors import DataError, nearest_names
from bayeslmm.formula import Formula, Name
from bayeslmm.formula.markup import sentence_list


@dataclass(frozen=True, slots=True)
class Scan:
    """What the first pass found; enough to encode any batch of the same columns.

    Attributes
    ----------
    coding : Coding
        Coding of the formula: its atoms by name or levels, without rows.
    source : str
        Name of the source, for messages.
    kinds : dict
        Kind of every column that is read.
    weights : str or None
        Column of the precision weights.
    n_rows : int
        Rows of the source.
    exact : bool
        Whether the levels are those of the rows used. If not, they are those of the
        grouping columns, and levels without a row are dropped at the end.
    levels : Levels
        Levels of text and grouping columns.
    origin : Origin or None
        The Parquet file or files, None for other sources.
    """

    coding: Coding
    source: str
    kinds: dict[str, Kind]
    weights: str | None
    n_rows: int
    exact: bool
    levels: Levels
    origin: Origin | None = None

    @property
    def formula(self) -> Formula:
        """The formula."""
        return self.coding.formula

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that are read."""
        return tuple(self.kinds)

    @property
    def design(self) -> Design:
        """The design of all rows of the source, without them."""
        return make_design(
            self.coding,
            RowAccount(self.n_rows, self.n_rows),
            source=self.source,
            has_weights=self.weights is not None,
        )

    def _repr_html_(self) -> str:
        """What was found, for a notebook."""
        codes = self.coding.groups
        groups = [f"{name}: {len(own.levels):,}" for name, own in codes.items()]
        said = [
            f"formula: {self.formula}",
            *(f"levels of {group}" for group in groups),
            *(f"column {name!r}: {kind}" for name, kind in self.kinds.items()),
            "sum_partition(scan, part) adds up a part; Model.from_tally takes the sums",
        ]
        return sentence_list(f"{self.source}: {self.n_rows:,} rows", said)

    def text_codes(self) -> dict[str, TextCodes]:
        """What codes the text of batches; one for each thread."""
        return {name: TextCodes(levels) for name, levels in self.levels.text.items()}


def scan_source(
    formula: Formula,
    source: Source,
    *,
    weights: str | None,
    threads: int,
    progress: Progress = "auto",
) -> Scan:
    """Read what must be known of all rows before the second pass.

    Parameters
    ----------
    formula : Formula
        What `bayeslmm.formula.parse_formula` gives.
    source : Source
        Rows.
    weights : str or None
        Column of the precision weights.
    threads : int
        Threads at most.
    progress : bool or "auto"
        Whether to show a bar.

    Returns
    -------
    Scan
        Levels, states and codings.

    Raises
    ------
    FormulaError
        If the formula names a column that is not there.
    DataError
        If columns hold what cannot be used, or batches do not fit together.
    """
    kinds = _needed_kinds(formula, source, weights)
    exact = _needs_all_columns(formula, kinds)
    grouping = [name for bar in formula.random for a in bar.group for name in a.columns]
    columns = tuple(kinds) if exact else tuple(dict.fromkeys(grouping))
    found = Found(source.declared)
    while asked := questions(formula, kinds, found):
        states = read_batches(
            source,
            columns,
            lambda asked=asked: ScanState(
                {key: make() for key, make in asked.items()},
                {name: TextCodes(levels) for name, levels in found.levels.text.items()},
            ),
            partial(see_batch, formula, kinds, exact, found.memory),
            threads=threads,
            title=f"Reading the levels in {source.name}",
            progress=progress,
        )
        found.n_rows = sum(state.n_rows for state in states)
        if not found.n_rows:
            raise DataError(
                f"{source.name[:1].upper()}{source.name[1:]} has no rows, so there is "
                f"nothing to fit. Check how the data were written or filtered."
            )
        for key, learner in added(states).items():
            answer(key, learner, exact, found)
    return _make_scan(formula, source, kinds, weights, exact, found)


# --- what is read ---------------------------------------------------------------------


def _needed_kinds(
    formula: Formula, source: Source, weights: str | None
) -> dict[str, Kind]:
    """Kind of every column that is read, all of them there and of use."""
    names = source.kinds
    for name in formula.columns:
        if name not in names:
            near = nearest_names(name, names)
            raise unknown_column(formula, name, source.name, near)
    if weights is not None and weights not in names:
        raise DataError(
            f"There is no column {weights!r} in {source.name} to take weights from."
            f"{nearest_names(weights, names)}"
        )
    needed = [*formula.columns, *([weights] if weights is not None else [])]
    for name in needed:
        if names[name] not in ("integer", "real", "flag", "text", "null"):
            raise DataError(
                f"Column {name!r} holds {names[name]}, which is neither numbers nor "
                f"text. Convert it to a number (days since the first date, say) or to "
                f"text."
            )
    if weights is not None and names[weights] not in ("integer", "real"):
        raise DataError(
            f"The weights column {weights!r} does not hold numbers but "
            f"{names[weights]}. Choose another."
        )
    return {name: names[name] for name in dict.fromkeys(needed)}


def _needs_all_columns(formula: Formula, kinds: dict[str, Kind]) -> bool:
    """Whether levels or states depend on which rows are complete in every column.

    Not so if grouping columns, as they stand, are the only factors: levels that no
    complete row has are then dropped after the second pass, and the first need read
    nothing but the grouping columns.
    """
    grouping = [atom for bar in formula.random for atom in bar.group]
    others = [atom for atom in formula.atoms if atom not in grouping]
    if any(not isinstance(factor_node(atom), Name) for atom in grouping):
        return True
    for atom in [*others, *formula.predictor_atoms]:
        if any(c.function in (*STATEFUL, "factor", "C") for c in calls_in(atom.node)):
            return True
        if any(kinds[name] == "text" for name in atom.columns):
            return True
    return False


# --- result ---------------------------------------------------------------------------


def _make_scan(
    formula: Formula,
    source: Source,
    kinds: dict[str, Kind],
    weights: str | None,
    exact: bool,
    found: Found,
) -> Scan:
    """All that was found, with the coding of the terms."""
    return Scan(
        coding=make_coding(formula, _variables(formula, kinds, found), found),
        source=source.name,
        kinds=kinds,
        weights=weights,
        n_rows=found.n_rows,
        exact=exact,
        levels=found.levels,
        origin=source.origin,
    )


def _variables(
    formula: Formula, kinds: dict[str, Kind], found: Found
) -> dict[str, Described]:
    """Every atom but the grouping columns, with its names or levels and no rows."""
    rows = _two_rows(formula, kinds, found)
    for atom in formula.atoms:
        check_comparisons(atom.node, found.levels.text)
    variables: dict[str, Described] = {}
    for atom in variable_atoms(formula):
        if is_factor(atom, rows):
            coder = found.factors[atom.label]
            variables[atom.label] = FactorLevels(coder.levels, coder.kind)
            continue
        c = n_columns(atom, rows)
        variables[atom.label] = (
            NumericNames(column_names(atom.label, c))
            if c
            else FactorLevels(("False", "True"), "flag")
        )
    return variables


def _two_rows(formula: Formula, kinds: dict[str, Kind], found: Found) -> RawRows:
    """Two made-up rows, to see how many columns an atom has; values mean nothing."""
    missing = np.zeros(2, dtype=bool)
    columns = {}
    for name, kind in kinds.items():
        if kind == "text":
            codes = np.zeros(2, dtype=np.int64)
            columns[name] = RawColumn(
                name, "text", codes, missing, found.levels.text[name]
            )
        elif kind == "flag":
            columns[name] = RawColumn(name, "flag", missing, missing)
        else:
            columns[name] = RawColumn(name, "number", np.ones(2), missing)
    return RawRows(columns, 2, found.memory, formula.text)
