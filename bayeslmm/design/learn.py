"""What must be known of all rows: levels, and the state of scale() and poly().

Takes views of rows; each question has a learner for every thread that reads batches,
which is added to the others at the end. A frame is one view and has one of each.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import numpy as np
from jaxtyping import Int

from bayeslmm.data.numbers import check_holds_ids
from bayeslmm.design.coder import GroupCoder
from bayeslmm.design.distinct import NumberSet, TextSet
from bayeslmm.design.evaluate import (
    RawRows,
    argument_values,
    factor_node,
    factor_values,
)
from bayeslmm.design.frame import RawColumn
from bayeslmm.design.moments import ColumnMoments, column_moments
from bayeslmm.design.source import Batch
from bayeslmm.design.splines import check_df, n_quantiles, needs_quantiles
from bayeslmm.design.stateful import poly_basis
from bayeslmm.errors import DataError
from bayeslmm.formula import Atom, Call, Name, render

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class View:
    """A run of rows as learners see it: of a batch, or all those of a frame.

    ``columns`` are those read, with every row; ``kept`` says which rows are used, and
    ``rows`` are these: both are None where it is not known yet which are complete.
    ``batch`` is where text comes from whose levels are not known.
    """

    columns: Mapping[str, RawColumn]
    kept: Int[np.ndarray, " m"] | None
    rows: RawRows | None
    batch: Batch | None = None


@dataclass(slots=True)
class TextLearner:
    """Categories and values of a text column."""

    name: str
    found: TextSet

    def see(self, view: View) -> None:
        """Take in some rows."""
        assert view.batch is not None  # a frame knows the levels of its columns
        text = cast("pa.DictionaryArray", view.batch.columns[self.name])
        self.found.see(view.batch.order, text, view.kept)

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
            column = view.columns[node.name]
            missing = column.missing.any()
            values = column.values[~column.missing] if missing else column.values
            check_holds_ids(node.name, values, column.limit)
            self.flags = self.flags or column.kind == "flag"
            self.given.see(values)
        if view.rows is not None:
            used = factor_values(self.atom, view.rows)
            self.flags = self.flags or used.kind == "flag"
            if view.batch is None and used is view.columns.get(used.name):
                self.used = self.given  # a frame without a row dropped
            else:
                self.used.see(used.values)

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
class SplineLearner:
    """Range of the argument of bs() or ns(), and its values if knots are quantiles.

    These are kept for the rows of a frame alone: of batches nothing but sums is.
    """

    node: Call
    low: float = np.inf
    high: float = -np.inf
    values: np.ndarray = field(default_factory=lambda: np.empty(0))

    def see(self, view: View) -> None:
        """Take in some rows."""
        assert view.rows is not None  # a formula with bs() reads all its columns
        check_df(self.node)
        x = argument_values(self.node, view.rows)
        if not len(x):
            return
        self.low, self.high = min(self.low, x.min()), max(self.high, x.max())
        if not needs_quantiles(self.node):
            return
        if view.batch is not None:
            raise DataError(
                f"The knots of {render(self.node)} are quantiles of all rows, which "
                f"rows that are read in batches do not give. Write them down, "
                f"{self.node.function}({render(self.node.args[0])}, knots = c(...)): "
                f"{n_quantiles(self.node)} of them have as many columns."
            )
        self.values = x

    def add(self, other: "SplineLearner") -> None:
        """Take in what another thread has seen."""
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)


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
Learner = (
    TextLearner
    | NumberLearner
    | ScaleLearner
    | PolyLearner
    | SplineLearner
    | CellLearner
)
