"""Questions that only all rows can answer, and their answers.

Takes a formula and what is known so far; gives the learners of what can be asked now.
A question may wait for the answer to another: cells of nested factors for the levels of
their columns, a degree of ``poly`` for the one below.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from bayeslmm.design.arrow import TextCodes, read_raw, slices
from bayeslmm.design.coder import (
    AtomCoder,
    GroupCoder,
    cell_labels,
    check_cell_labels,
    check_combinations,
)
from bayeslmm.design.dictionaries import dictionary_codes, factor_codes
from bayeslmm.design.distinct import TextSet, number_codes, number_labels
from bayeslmm.design.evaluate import (
    Memory,
    RawRows,
    calls_in,
    check_comparisons,
    factor_node,
    is_factor_call,
)
from bayeslmm.design.frame import FactorColumn, RawColumn, drop_unused
from bayeslmm.design.kinds import Kind
from bayeslmm.design.learn import (
    CellLearner,
    Learner,
    NumberLearner,
    PolyLearner,
    ScaleLearner,
    SplineLearner,
    TextLearner,
    View,
)
from bayeslmm.design.source import Batch
from bayeslmm.design.splines import SPLINES, spline_state
from bayeslmm.design.stateful import (
    check_poly,
    check_powers,
    is_raw_poly,
    poly_degree,
    scale_state,
)
from bayeslmm.design.used import complete
from bayeslmm.errors import DataError
from bayeslmm.formula import Atom, Call, Formula, Name, Node, render

# Rows that are encoded at a time: their columns stay in the second-level cache.
SLICE = 1 << 16
STATEFUL = ("scale", "center", "poly", *SPLINES)


@dataclass(frozen=True, slots=True)
class Levels:
    """Levels of the columns of the data.

    ``text`` are the labels of every text column, in order; ``given`` those that some
    row has, of text and of grouping columns; ``used`` those of text columns that some
    row used has (or given, if it is not known yet which rows are used).
    """

    text: dict[str, tuple[str, ...]] = field(default_factory=dict)
    given: dict[str, tuple[str, ...]] = field(default_factory=dict)
    used: dict[str, set[str]] = field(default_factory=dict)


@dataclass(slots=True)
class Found:
    """What is known so far."""

    declared: frozenset[str] = frozenset()
    n_rows: int = 0
    levels: Levels = field(default_factory=Levels)
    memory: Memory = field(default_factory=dict)
    poly: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = field(
        default_factory=dict
    )
    factors: dict[str, AtomCoder] = field(default_factory=dict)
    groups: dict[str, GroupCoder] = field(default_factory=dict)


@dataclass(slots=True)
class ScanState:
    """One thread of a reading: rows seen, and a learner for each question."""

    learners: dict[str, Learner]
    text: dict[str, TextCodes]
    n_rows: int = 0


def _factor_atoms(formula: Formula, kinds: Mapping[str, str]) -> dict[str, Atom]:
    """Atoms that are read as factors, by label: text, factor(), grouping columns."""
    grouping = {atom.label for own in formula.groupings for atom in own.group}
    found = {}
    for atom in formula.atoms:
        node = atom.node
        text = isinstance(node, Name) and kinds[node.name] == "text"
        if text or is_factor_call(atom) or atom.label in grouping:
            found[atom.label] = atom
    return found


def questions(
    formula: Formula, kinds: Mapping[str, str], found: Found
) -> dict[str, Callable[[], Learner]]:
    """What is not known yet and can be asked now."""
    asked: dict[str, Callable[[], Learner]] = {}
    for name, kind in kinds.items():
        if kind == "text" and name not in found.levels.text:
            asked[f"text {name}"] = partial(_text_learner, name, name in found.declared)
    for atom in formula.atoms:
        for call in calls_in(atom.node):
            if _is_open(call, found) and _is_ready(call.args[0], found):
                asked[f"call {render(call)}"] = _call_learner(call, found)
    for label, atom in _factor_atoms(formula, kinds).items():
        node = factor_node(atom)
        name = node.name if isinstance(node, Name) else None
        if label in found.factors or not _is_ready(node, found):
            continue
        if name in found.levels.text:
            found.factors[label] = _text_coder(atom, name, found)
        elif name is None or kinds[name] != "text":
            asked[f"number {label}"] = partial(NumberLearner, atom)
    for bar in formula.groupings:
        parts = [found.factors.get(atom.label) for atom in bar.group]
        if bar.group_label in found.groups or None in parts:
            continue
        known = tuple(part for part in parts if part is not None)
        coder = GroupCoder(bar.group_label, known, known[0].levels, None)
        if len(known) == 1:
            found.groups[bar.group_label] = coder
        else:
            check_combinations(coder.label, coder.sizes)
            asked[f"cells {bar.group_label}"] = partial(CellLearner, coder)
    return asked


def _text_learner(name: str, ordered: bool) -> TextLearner:
    """The learner of a text column, which may declare its categories."""
    return TextLearner(name, TextSet(ordered))


def _is_open(call: Call, found: Found) -> bool:
    """Whether a call has a state that is not known yet."""
    if call.function == "poly" and is_raw_poly(call):
        return False
    return call.function in STATEFUL and render(call) not in found.memory


def _is_ready(node: Node, found: Found) -> bool:
    """Whether all calls below a node can be evaluated."""
    return not any(_is_open(call, found) for call in calls_in(node))


def _call_learner(call: Call, found: Found) -> Callable[[], Learner]:
    """The learner of the next step of a call."""
    if call.function in SPLINES:
        return partial(SplineLearner, call)
    if call.function != "poly":
        return partial(ScaleLearner, call)
    alpha, norm = found.poly.get(render(call), ((), ()))
    return partial(PolyLearner, call, alpha, norm, poly_degree(call) + 1)


def _text_coder(atom: Atom, name: str, found: Found) -> AtomCoder:
    """Coder of a text column as a factor: the categories that occur."""
    levels, used = found.levels.text[name], found.levels.used[name]
    if len(used) == len(levels):
        return AtomCoder(atom, levels, None, None)
    recode = np.full(len(levels) + 1, -1, dtype=np.int64)
    kept = [i for i, level in enumerate(levels) if level in used]
    recode[kept] = np.arange(len(kept))
    return AtomCoder(atom, tuple(levels[i] for i in kept), None, recode)


def learn_frame(
    formula: Formula, columns: Mapping[str, RawColumn], rows: RawRows
) -> Found:
    """All that must be known of the rows of a frame.

    Parameters
    ----------
    formula : Formula
        The formula.
    columns : mapping
        The columns that it reads, with every row.
    rows : RawRows
        The rows used; what scale(), center() and poly() learn goes into their memory.
    """
    found = Found(memory=rows.memory)
    for name, column in columns.items():
        if column.kind == "text":
            given = _present(column)
            found.levels.text[name] = column.levels
            found.levels.given[name] = given
            same = len(rows.columns[name].values) == len(column.values)
            found.levels.used[name] = set(
                given if same else _present(rows.columns[name])
            )
    for atom in formula.atoms:
        check_comparisons(atom.node, found.levels.text)
    kinds = {name: column.kind for name, column in columns.items()}
    while asked := questions(formula, kinds, found):
        for key, make in asked.items():
            learner = make()
            learner.see(View(columns, None, rows))
            answer(key, learner, True, found)
    return found


def _present(column: RawColumn) -> tuple[str, ...]:
    """Labels of a text column that some row has."""
    return drop_unused(FactorColumn(column.values, column.levels)).levels


def see_batch(
    formula: Formula,
    kinds: dict[str, Kind],
    exact: bool,
    memory: Memory,
    state: ScanState,
    batch: Batch,
) -> None:
    """Show one batch to the learners of a thread."""
    state.n_rows += batch.n
    for part in slices(batch, kinds, SLICE):
        exact |= any(isinstance(q, CellLearner) for q in state.learners.values())
        try:
            view = _view(part, formula, kinds, memory, state.text, exact=exact)
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
    *,
    exact: bool,
) -> View:
    """A run of rows; if `exact` with those that are complete in the columns read."""
    columns = {}
    for name in part.columns:
        if kinds[name] != "text" or name in text:
            columns[name] = read_raw(part, name, kinds[name], text)
        elif exact:
            columns[name] = _local_text(part, name)
    if not exact:
        return View(columns, None, None, part)
    used = [columns[name] for name in columns if name in formula.columns]
    kept = complete(used, part.n)
    taken = {name: column.take(kept) for name, column in columns.items()}
    return View(columns, kept, RawRows(taken, len(kept), memory, formula.text), part)


def _local_text(part: Batch, name: str) -> RawColumn:
    """A text column under the labels of its own batch, before all are known."""
    array = part.columns[name]
    if len(array.dictionary) <= SLICE:  # pyright: ignore[reportAttributeAccessIssue]
        codes, levels = factor_codes(name, [array])  # pyright: ignore
        return RawColumn(name, "text", codes, codes < 0, levels)
    codes = dictionary_codes(array).astype(np.int64)  # pyright: ignore
    return RawColumn(name, "text", codes, codes < 0)


def added(states: list[ScanState]) -> dict[str, Learner]:
    """The learners of all threads, added up."""
    first, *others = states
    for state in others:
        for key, learner in first.learners.items():
            learner.add(state.learners[key])  # pyright: ignore[reportArgumentType]
    return first.learners


def answer(key: str, learner: Learner, exact: bool, found: Found) -> None:
    """Put what a learner has seen with what is known."""
    if isinstance(learner, TextLearner):
        _answer_text(learner.name, learner.found, exact, found)
    elif isinstance(learner, NumberLearner):
        _answer_number(learner, exact, found)
    elif isinstance(learner, CellLearner):
        _answer_cells(learner, found)
    elif isinstance(learner, ScaleLearner):
        m = learner.moments
        found.memory[render(learner.node)] = scale_state(
            learner.node, m.n, float(m.mean[0]), float(m.sd()[0])
        )
    elif isinstance(learner, SplineLearner):
        found.memory[render(learner.node)] = spline_state(
            learner.node, learner.values, float(learner.low), float(learner.high)
        )
    elif isinstance(learner, PolyLearner):
        _answer_poly(key.removeprefix("call "), learner, found)


def _answer_text(name: str, values: TextSet, exact: bool, found: Found) -> None:
    """Labels of a text column, and which of them occur."""
    levels = values.levels()
    given, used = values.present()
    found.levels.text[name] = levels
    found.levels.given[name] = tuple(level for level in levels if level in given)
    found.levels.used[name] = used if exact else given


def _answer_number(learner: NumberLearner, exact: bool, found: Found) -> None:
    """Levels of an atom that is not text."""
    given = learner.given.values()
    values = learner.used.values() if exact else given
    atom = learner.atom
    levels = number_labels(values, flags=learner.flags)
    if isinstance(factor_node(atom), Name):
        same = len(given) == len(values)
        labels = levels if same else number_labels(given, flags=learner.flags)
        found.levels.given[atom.columns[0]] = labels
    kind = "flag" if learner.flags else "number"
    codes = number_codes(values)
    found.factors[atom.label] = AtomCoder(atom, levels, codes, None, kind)


def _answer_cells(learner: CellLearner, found: Found) -> None:
    """Levels of a grouping factor of several columns: the combinations that occur."""
    coder, cells = learner.coder, learner.cells.values()
    levels = cell_labels(cells, tuple(part.levels for part in coder.parts))
    check_cell_labels(levels, coder.label)
    found.groups[coder.label] = GroupCoder(
        coder.label, coder.parts, levels, number_codes(cells)
    )


def _answer_poly(key: str, learner: PolyLearner, found: Found) -> None:
    """The next step of the recurrence; the whole state after the last one."""
    alpha, norm = learner.alpha, (*learner.norm, learner.square)
    check_poly(learner.node, len(learner.values))
    check_powers(norm)
    if len(norm) == poly_degree(learner.node) + 1:
        found.memory[key] = (*alpha, *norm)
    else:
        found.poly[key] = ((*alpha, learner.cross / learner.square), norm)
