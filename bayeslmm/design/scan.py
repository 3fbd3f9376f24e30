"""First pass over batches: what must be known before rows can be encoded.

Takes a formula and a `Source`; gives a `Scan`: the levels of factors, the state of
``scale()``, ``center()`` and ``poly()``, and the coding of every term. One reading is
enough unless a question waits for the answer to another (cells of nested factors,
higher degrees of ``poly``). A `Scan` can be pickled and sent to other machines.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from jaxtyping import Int

from bayeslmm.design.absent import absent_rows
from bayeslmm.design.arrow import (
    TextCodes,
    dictionary_codes,
    dictionary_labels,
    read_raw,
    slices,
)
from bayeslmm.design.coder import AtomCoder, GroupCoder, check_combinations
from bayeslmm.design.distinct import TextSet, number_codes, number_labels
from bayeslmm.design.evaluate import (
    Column,
    Memory,
    NumericColumn,
    Rows,
    calls_in,
    check_comparisons,
    check_poly,
    column_names,
    factor_node,
    is_factor_call,
    is_raw_poly,
    n_columns,
    poly_degree,
    scale_state,
)
from bayeslmm.design.frame import FactorColumn, RawColumn
from bayeslmm.design.groups import cell_labels, check_cell_labels
from bayeslmm.design.learn import (
    CellLearner,
    Learner,
    NumberLearner,
    PolyLearner,
    ScaleLearner,
    TextLearner,
    View,
)
from bayeslmm.design.matrices import CodedTerm, code_terms
from bayeslmm.design.reading import Progress, read_batches
from bayeslmm.design.rows import column_position
from bayeslmm.design.source import Batch, Kind, Source
from bayeslmm.errors import DataError, FormulaError, nearest_names
from bayeslmm.formula import Atom, Call, Formula, Name, Node, render

# Rows that are encoded at a time: their columns stay in the second-level cache.
SLICE = 1 << 16
STATEFUL = ("scale", "center", "poly")


@dataclass(frozen=True, slots=True)
class Scan:
    """What the first pass found; enough to encode any batch of the same columns.

    Attributes
    ----------
    formula : Formula
        The formula.
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
    text : dict
        Labels of every text column, in order.
    given : dict
        Levels that some row has, by column: text, and grouping columns.
    memory : dict
        What scale(), center() and poly() learnt.
    factors : dict
        Coder of every atom that is read as a factor, by its label.
    groups : dict
        Coder of every grouping factor, by its label.
    variables : dict
        Every atom but the grouping columns, without rows.
    fixed_coding, effect_codings : tuple
        Coding of the factors in the fixed part, and in each bar term.
    """

    formula: Formula
    source: str
    kinds: dict[str, Kind]
    weights: str | None
    n_rows: int
    exact: bool
    text: dict[str, tuple[str, ...]]
    given: dict[str, tuple[str, ...]]
    memory: Memory
    factors: dict[str, AtomCoder]
    groups: dict[str, GroupCoder]
    variables: dict[str, Column]
    fixed_coding: tuple[CodedTerm, ...]
    effect_codings: tuple[tuple[CodedTerm, ...], ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that are read."""
        return tuple(self.kinds)

    def text_codes(self) -> dict[str, TextCodes]:
        """What codes the text of batches; one for each thread."""
        return {name: TextCodes(levels) for name, levels in self.text.items()}


@dataclass(slots=True)
class _Found:
    """What is known so far in the first pass."""

    n_rows: int = 0
    text: dict[str, tuple[str, ...]] = field(default_factory=dict)
    given: dict[str, tuple[str, ...]] = field(default_factory=dict)
    used: dict[str, set[str]] = field(default_factory=dict)
    memory: Memory = field(default_factory=dict)
    poly: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = field(
        default_factory=dict
    )
    factors: dict[str, AtomCoder] = field(default_factory=dict)
    groups: dict[str, GroupCoder] = field(default_factory=dict)


@dataclass(slots=True)
class _State:
    """One thread of a reading: rows seen, and a learner for each question."""

    learners: dict[str, Learner]
    text: dict[str, TextCodes]
    n_rows: int = 0


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
    found = _Found()
    while questions := _questions(formula, kinds, found):
        states = read_batches(
            source,
            columns,
            lambda asked=questions: _State(
                {key: make() for key, make in asked.items()},
                {name: TextCodes(levels) for name, levels in found.text.items()},
            ),
            partial(_see, formula, kinds, exact, found.memory),
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
        for key, learner in _added(states).items():
            _answer(key, learner, source, exact, found)
    return _make_scan(formula, source, kinds, weights, exact, found)


# --- what is read ---------------------------------------------------------------------


def _needed_kinds(
    formula: Formula, source: Source, weights: str | None
) -> dict[str, Kind]:
    """Kind of every column that is read, all of them there and of use."""
    names = source.kinds
    for name in formula.columns:
        if name not in names:
            raise FormulaError(
                f"There is no column {name!r} in {source.name}."
                f"{nearest_names(name, names)}",
                formula.text,
                column_position(formula, name),
            )
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
    for atom in [*others, *_predictors(formula)]:
        if any(c.function in (*STATEFUL, "factor", "C") for c in calls_in(atom.node)):
            return True
        if any(kinds[name] == "text" for name in atom.columns):
            return True
    return False


def _predictors(formula: Formula) -> set[Atom]:
    """Atoms of the fixed part and of the effects that vary."""
    parts = [formula.fixed, *(bar.predictor for bar in formula.random)]
    return {atom for part in parts for term in part.terms for atom in term.atoms}


def _factor_atoms(formula: Formula, kinds: dict[str, Kind]) -> dict[str, Atom]:
    """Atoms that are read as factors, by label: text, factor(), grouping columns."""
    grouping = {atom.label for bar in formula.random for atom in bar.group}
    found = {}
    for atom in formula.atoms:
        node = atom.node
        text = isinstance(node, Name) and kinds[node.name] == "text"
        if text or is_factor_call(atom) or atom.label in grouping:
            found[atom.label] = atom
    return found


# --- questions and answers ------------------------------------------------------------


def _questions(
    formula: Formula, kinds: dict[str, Kind], found: _Found
) -> dict[str, Callable[[], Learner]]:
    """What is not known yet and can be asked now."""
    asked: dict[str, Callable[[], Learner]] = {}
    for name, kind in kinds.items():
        if kind == "text" and name not in found.text:
            asked[f"text {name}"] = partial(TextLearner, name)
    for atom in formula.atoms:
        for call in calls_in(atom.node):
            if _is_open(call, found) and _is_ready(call.args[0], found):
                asked[f"call {render(call)}"] = _call_learner(call, found)
    for label, atom in _factor_atoms(formula, kinds).items():
        node = factor_node(atom)
        name = node.name if isinstance(node, Name) else None
        if label in found.factors or not _is_ready(node, found):
            continue
        if name in found.text:
            found.factors[label] = _text_coder(atom, name, found)
        elif name is None or kinds[name] != "text":
            asked[f"number {label}"] = partial(NumberLearner, atom)
    for bar in formula.random:
        parts = [found.factors.get(atom.label) for atom in bar.group]
        if bar.group_label in found.groups or None in parts:
            continue
        known = tuple(part for part in parts if part is not None)
        coder = GroupCoder(bar.group_label, known, known[0].levels, None)
        if len(known) == 1:
            found.groups[bar.group_label] = coder
        else:
            check_combinations(bar, [len(part.levels) for part in known])
            asked[f"cells {bar.group_label}"] = partial(CellLearner, coder)
    return asked


def _is_open(call: Call, found: _Found) -> bool:
    """Whether a call has a state that is not known yet."""
    if call.function == "poly" and is_raw_poly(call):
        return False
    return call.function in STATEFUL and render(call) not in found.memory


def _is_ready(node: Node, found: _Found) -> bool:
    """Whether all calls below a node can be evaluated."""
    return not any(_is_open(call, found) for call in calls_in(node))


def _call_learner(call: Call, found: _Found) -> Callable[[], Learner]:
    """The learner of the next step of a call."""
    if call.function != "poly":
        return partial(ScaleLearner, call)
    alpha, norm = found.poly.get(render(call), ((), ()))
    return partial(PolyLearner, call, alpha, norm, poly_degree(call) + 1)


def _text_coder(atom: Atom, name: str, found: _Found) -> AtomCoder:
    """Coder of a text column as a factor: the categories that occur."""
    levels, used = found.text[name], found.used[name]
    if len(used) == len(levels):
        return AtomCoder(atom, levels, None, None)
    recode = np.full(len(levels) + 1, -1, dtype=np.int64)
    kept = [i for i, level in enumerate(levels) if level in used]
    recode[kept] = np.arange(len(kept))
    return AtomCoder(atom, tuple(levels[i] for i in kept), None, recode)


def _see(
    formula: Formula,
    kinds: dict[str, Kind],
    exact: bool,
    memory: Memory,
    state: _State,
    batch: Batch,
) -> None:
    """Show one batch to the learners of a thread."""
    state.n_rows += batch.n
    for part in slices(batch, kinds, SLICE):
        view = View(part, None, None)
        if exact or any(isinstance(q, CellLearner) for q in state.learners.values()):
            try:
                view = _view(part, formula, kinds, memory, state.text)
            except DataError as error:
                raise DataError(f"In {batch.where}: {error}") from error
        for learner in state.learners.values():
            learner.see(view)


def _view(
    part: Batch,
    formula: Formula,
    kinds: dict[str, Kind],
    memory: Memory,
    text: dict[str, TextCodes],
) -> View:
    """A run of rows with those that are complete in the columns read."""
    columns = {}
    for name in part.columns:
        if kinds[name] == "text" and name not in text:
            columns[name] = _local_text(part, name)
        else:
            columns[name] = read_raw(part, name, kinds[name], text)
    used = [columns[name] for name in columns if name in formula.columns]
    kept = complete(used, part.n)
    rows = Rows(
        {name: column.take(kept) for name, column in columns.items()},
        len(kept),
        memory,
        False,
        formula.text,
    )
    return View(part, kept, rows)


def complete(columns: list[RawColumn], n: int) -> Int[np.ndarray, " m"]:
    """Rows without a missing value in any of the columns."""
    incomplete = [column.missing for column in columns if column.missing.any()]
    if not incomplete:
        return np.arange(n)
    return np.flatnonzero(~np.logical_or.reduce(incomplete))


def _local_text(part: Batch, name: str) -> RawColumn:
    """A text column under the labels of its own batch, before all are known."""
    array = part.columns[name]
    codes = dictionary_codes(array).astype(np.int64)  # pyright: ignore
    labels = dictionary_labels(array)  # pyright: ignore
    levels = tuple(labels.to_pylist()) if len(labels) <= SLICE else ()
    return RawColumn(name, "text", codes, codes < 0, levels)


def _added(states: list[_State]) -> dict[str, Learner]:
    """The learners of all threads, added up."""
    first, *others = states
    for state in others:
        for key, learner in first.learners.items():
            learner.add(state.learners[key])  # pyright: ignore[reportArgumentType]
    return first.learners


def _answer(
    key: str, learner: Learner, source: Source, exact: bool, found: _Found
) -> None:
    """Put what a learner has seen with what is known."""
    if isinstance(learner, TextLearner):
        _answer_text(learner.name, learner.found, source, exact, found)
    elif isinstance(learner, NumberLearner):
        _answer_number(learner, exact, found)
    elif isinstance(learner, CellLearner):
        _answer_cells(learner, found)
    elif isinstance(learner, ScaleLearner):
        m = learner.moments
        found.memory[render(learner.node)] = scale_state(
            learner.node, m.n, float(m.mean[0]), float(m.products[0, 0])
        )
    elif isinstance(learner, PolyLearner):
        _answer_poly(key.removeprefix("call "), learner, found)


def _answer_text(
    name: str, values: TextSet, source: Source, exact: bool, found: _Found
) -> None:
    """Labels of a text column, and which of them occur."""
    levels = values.levels(declared=name in source.declared)
    given, used = values.present()
    found.text[name] = levels
    found.given[name] = tuple(level for level in levels if level in given)
    found.used[name] = used if exact else given


def _answer_number(learner: NumberLearner, exact: bool, found: _Found) -> None:
    """Levels of an atom that is not text."""
    given = learner.given.values()
    values = learner.used.values() if exact else given
    atom = learner.atom
    levels = number_labels(values, flags=learner.flags)
    if isinstance(factor_node(atom), Name):
        same = len(given) == len(values)
        labels = levels if same else number_labels(given, flags=learner.flags)
        found.given[atom.columns[0]] = labels
    found.factors[atom.label] = AtomCoder(atom, levels, number_codes(values), None)


def _answer_cells(learner: CellLearner, found: _Found) -> None:
    """Levels of a grouping factor of several columns: the combinations that occur."""
    coder, cells = learner.coder, learner.cells.values()
    levels = cell_labels(cells, tuple(part.levels for part in coder.parts))
    check_cell_labels(levels, coder.label)
    found.groups[coder.label] = GroupCoder(
        coder.label, coder.parts, levels, number_codes(cells)
    )


def _answer_poly(key: str, learner: PolyLearner, found: _Found) -> None:
    """The next step of the recurrence; the whole state after the last one."""
    alpha, norm = learner.alpha, (*learner.norm, learner.square)
    check_poly(learner.node, len(learner.values))
    if len(norm) == poly_degree(learner.node) + 1:
        found.memory[key] = (*alpha, *norm)
    else:
        found.poly[key] = ((*alpha, learner.cross / learner.square), norm)


# --- result ---------------------------------------------------------------------------


def _make_scan(
    formula: Formula,
    source: Source,
    kinds: dict[str, Kind],
    weights: str | None,
    exact: bool,
    found: _Found,
) -> Scan:
    """All that was found, with the coding of the terms."""
    variables = _variables(formula, source, kinds, found)
    return Scan(
        formula=formula,
        source=source.name,
        kinds=kinds,
        weights=weights,
        n_rows=found.n_rows,
        exact=exact,
        text=found.text,
        given=found.given,
        memory=found.memory,
        factors=found.factors,
        groups=found.groups,
        variables=variables,
        fixed_coding=code_terms(formula.fixed, variables),
        effect_codings=tuple(
            code_terms(bar.predictor, variables) for bar in formula.random
        ),
    )


def _variables(
    formula: Formula, source: Source, kinds: dict[str, Kind], found: _Found
) -> dict[str, Column]:
    """Every atom but the grouping columns, with its names or levels and no rows."""
    rows = _two_rows(formula, kinds, found)
    for atom in formula.atoms:
        check_comparisons(atom.node, found.text)
    grouping = {atom for bar in formula.random for atom in bar.group}
    predictors = _predictors(formula)
    variables: dict[str, Column] = {}
    for atom in formula.atoms:
        if atom in grouping and atom not in predictors:
            continue
        absent = absent_rows(source.name, f"{atom.label!r}")
        if _is_factor(atom, kinds):
            levels = found.factors[atom.label].levels
            variables[atom.label] = FactorColumn(absent, levels)
            continue
        c = n_columns(atom, rows)
        variables[atom.label] = (
            NumericColumn(absent, column_names(atom.label, c))
            if c
            else FactorColumn(absent, ("False", "True"))
        )
    return variables


def _is_factor(atom: Atom, kinds: dict[str, Kind]) -> bool:
    """Whether an atom is a factor among the predictors."""
    node = atom.node
    return is_factor_call(atom) or (
        isinstance(node, Name) and kinds[node.name] == "text"
    )


def _two_rows(formula: Formula, kinds: dict[str, Kind], found: _Found) -> Rows:
    """Two made-up rows, to see how many columns an atom has; values mean nothing."""
    missing = np.zeros(2, dtype=bool)
    columns = {}
    for name, kind in kinds.items():
        if kind == "text":
            codes = np.zeros(2, dtype=np.int64)
            columns[name] = RawColumn(name, "text", codes, missing, found.text[name])
        elif kind == "flag":
            columns[name] = RawColumn(name, "flag", missing, missing)
        else:
            columns[name] = RawColumn(name, "number", np.ones(2), missing)
    return Rows(columns, 2, found.memory, False, formula.text)
