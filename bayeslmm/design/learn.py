"""What the first pass asks of the rows: levels, and the state of scale() and poly().

Takes views of batches; each question has a learner for every thread, which sees the
batches and is added to the others at the end.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int

from bayeslmm.data.numbers import check_holds_ids
from bayeslmm.design.arrow import number_column
from bayeslmm.design.coder import GroupCoder
from bayeslmm.design.distinct import NumberSet, TextSet
from bayeslmm.design.evaluate import (
    RawRows,
    argument_values,
    factor_node,
    factor_values,
)
from bayeslmm.design.moments import ColumnMoments, column_moments
from bayeslmm.design.source import Batch
from bayeslmm.design.stateful import poly_basis
from bayeslmm.formula import Atom, Call, Name


@dataclass(frozen=True, slots=True)
class View:
    """A run of rows in the first pass.

    ``kept`` are the rows used and ``rows`` these rows, as in the second pass; both are
    None where it is not known yet which rows are complete.
    """

    part: Batch
    kept: Int[np.ndarray, " m"] | None
    rows: RawRows | None


@dataclass(slots=True)
class TextLearner:
    """Categories and values of a text column."""

    name: str
    found: TextSet

    def see(self, view: View) -> None:
        """Take in some rows."""
        self.found.see(view.part.order, view.part.columns[self.name], view.kept)

    def add(self, other: "TextLearner") -> None:
        """Take in what another thread has seen."""
        self.found.add(other.found)


@dataclass(slots=True)
class NumberLearner:
    """Different values of an atom that is read as a factor and is not text.

    ``given`` are those of a column where it is not missing; ``used`` those of the rows
    used.
    """

    atom: Atom
    flags: bool = False
    given: NumberSet = field(default_factory=NumberSet)
    used: NumberSet = field(default_factory=NumberSet)

    def see(self, view: View) -> None:
        """Take in some rows."""
        node = factor_node(self.atom)
        if isinstance(node, Name):
            self._see_given(view.part, node.name)
        if view.rows is not None:
            column = factor_values(self.atom, view.rows)
            self.flags = column.kind == "flag"
            self.used.see(column.values)

    def _see_given(self, part: Batch, name: str) -> None:
        """Take in a column as it was given."""
        array = part.columns[name]
        if str(array.type) == "bool":
            self.flags = True
            self.given.see(array.drop_null().to_numpy(zero_copy_only=False))
            return
        column = number_column(name, array)
        missing = column.missing.any()
        values = column.values[~column.missing] if missing else column.values
        check_holds_ids(name, values, column.limit)
        self.given.see(values)

    def add(self, other: "NumberLearner") -> None:
        """Take in what another thread has seen."""
        self.flags = self.flags or other.flags
        self.given.add(other.given)
        self.used.add(other.used)


@dataclass(slots=True)
class ScaleLearner:
    """Moments of the argument of scale() or center()."""

    node: Call
    moments: ColumnMoments = field(
        default_factory=lambda: column_moments(np.empty((0, 1)))
    )

    def see(self, view: View) -> None:
        """Take in some rows."""
        assert view.rows is not None  # a formula with scale() reads all its columns
        values = argument_values(self.node, view.rows)
        self.moments = self.moments + column_moments(values[:, None])

    def add(self, other: "ScaleLearner") -> None:
        """Take in what another thread has seen."""
        self.moments = self.moments + other.moments


@dataclass(slots=True)
class PolyLearner:
    """Next step of the recurrence of poly(): sums of P^2 and x P^2.

    ``alpha`` and ``norm`` are the steps known; ``values`` at most ``most`` different
    values of x, to tell if there are enough.
    """

    node: Call
    alpha: tuple[float, ...]
    norm: tuple[float, ...]
    most: int
    square: float = 0.0
    cross: float = 0.0
    values: np.ndarray = field(default_factory=lambda: np.empty(0))

    def see(self, view: View) -> None:
        """Take in some rows."""
        assert view.rows is not None  # a formula with poly() reads all its columns
        x = argument_values(self.node, view.rows)
        with np.errstate(over="ignore", invalid="ignore"):  # reported with the answer
            square = poly_basis(x, self.alpha, self.norm)[-1] ** 2
            self.square += float(square.sum())
            self.cross += float((x * square).sum())
        if len(self.values) < self.most:
            self.values = np.union1d(self.values, x)[: self.most]

    def add(self, other: "PolyLearner") -> None:
        """Take in what another thread has seen."""
        self.square += other.square
        self.cross += other.cross
        self.values = np.union1d(self.values, other.values)[: self.most]


@dataclass(slots=True)
class CellLearner:
    """Combinations of levels that occur, for a grouping factor of several columns."""

    coder: GroupCoder
    cells: NumberSet = field(default_factory=NumberSet)

    def see(self, view: View) -> None:
        """Take in some rows."""
        assert view.rows is not None  # levels of the columns are known by now
        self.cells.see(self.coder.cell(view.rows))

    def add(self, other: "CellLearner") -> None:
        """Take in what another thread has seen."""
        self.cells.add(other.cells)


# What sees every run of rows of one thread, and is added to the others' of its kind.
Learner = TextLearner | NumberLearner | ScaleLearner | PolyLearner | CellLearner
