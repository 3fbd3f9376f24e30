"""Questions of the first pass over batches, and their answers.

Takes a formula and what is known so far; gives the learners of what can be asked now.
A question may wait for the answer to another: cells of nested factors for the levels of
their columns, a degree of ``poly`` for the one below.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from jaxtyping import Int

from bayeslmm.design.arrow import (
    TextCodes,
    read_raw,
    slices,
)
from bayeslmm.design.coder import AtomCoder, GroupCoder, check_combinations
from bayeslmm.design.dictionaries import dictionary_codes, factor_codes
from bayeslmm.design.distinct import TextSet, number_codes, number_labels
from bayeslmm.design.evaluate import (
    Memory,
    RawRows,
    calls_in,
    factor_node,
    is_factor_call,
)
from bayeslmm.design.frame import RawColumn
from bayeslmm.design.groups import cell_labels, check_cell_labels
from bayeslmm.design.kinds import Kind
from bayeslmm.design.learn import (
    CellLearner,
    Learner,
    NumberLearner,
    PolyLearner,
    ScaleLearner,
    TextLearner,
    View,
)
from bayeslmm.design.source import Batch
from bayeslmm.design.stateful import (
    check_poly,
    check_powers,
    is_raw_poly,
    poly_degree,
    scale_state,
)
from bayeslmm.errors import DataError
from bayeslmm.formula import Atom, Call, Formula, Name, Node, render

# Rows that are encoded at a time: their columns stay in the second-level cache.
SLICE = 1 << 16
STATEFUL = ("scale", "center", "poly")


@dataclass(slots=True)
class Found:
    """What is known so far in the first pass."""

    declared: frozenset[str] = frozenset()
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
class ScanState:
    """One thread of a reading: rows seen, and a learner for each question."""

    learners: dict[str, Learner]
    text: dict[str, TextCodes]
    n_rows: int = 0


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


def questions(
    formula: Formula, kinds: dict[str, Kind], found: Found
) -> dict[str, Callable[[], Learner]]:
    """What is not known yet and can be asked now."""
    asked: dict[str, Callable[[], Learner]] = {}
    for name, kind in kinds.items():
        if kind == "text" and name not in found.text:
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
    if call.function != "poly":
        return partial(ScaleLearner, call)
    alpha, norm = found.poly.get(render(call), ((), ()))
    return partial(PolyLearner, call, alpha, norm, poly_degree(call) + 1)


def _text_coder(atom: Atom, name: str, found: Found) -> AtomCoder:
    """Coder of a text column as a factor: the categories that occur."""
    levels, used = found.text[name], found.used[name]
    if len(used) == len(levels):
        return AtomCoder(atom, levels, None, None)
    recode = np.full(len(levels) + 1, -1, dtype=np.int64)
    kept = [i for i, level in enumerate(levels) if level in used]
    recode[kept] = np.arange(len(kept))
    return AtomCoder(atom, tuple(levels[i] for i in kept), None, recode)


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
    rows = RawRows(
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
    elif isinstance(learner, PolyLearner):
        _answer_poly(key.removeprefix("call "), learner, found)


def _answer_text(name: str, values: TextSet, exact: bool, found: Found) -> None:
    """Labels of a text column, and which of them occur."""
    levels = values.levels()
    given, used = values.present()
    found.text[name] = levels
    found.given[name] = tuple(level for level in levels if level in given)
    found.used[name] = used if exact else given


def _answer_number(learner: NumberLearner, exact: bool, found: Found) -> None:
    """Levels of an atom that is not text."""
    given = learner.given.values()
    values = learner.used.values() if exact else given
    atom = learner.atom
    levels = number_labels(values, flags=learner.flags)
    if isinstance(factor_node(atom), Name):
        same = len(given) == len(values)
        labels = levels if same else number_labels(given, flags=learner.flags)
        found.given[atom.columns[0]] = labels
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
