"""Trying other fixed parts on the data of a design.

Takes a design and its fixed part; gives for a predictor of the same variables whether
its columns have full rank: from cross-products, which costs no look at the rows, and on
the rows themselves where they are in memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design
from bayeslmm.design.candidates import Combined
from bayeslmm.design.combinations import Combinations
from bayeslmm.design.evaluate import Column, Described
from bayeslmm.design.frame import FactorColumn, FactorLevels
from bayeslmm.design.matrices import CodedTerm, code_terms, model_matrix, n_columns
from bayeslmm.design.products import Cells, model_products
from bayeslmm.design.rank import (
    SURELY_INDEPENDENT,
    VANISHED_IN_ROOT,
    combined,
    combined_root,
    dependence_of_rows,
    dependent_columns,
    moments_tolerance,
    moved_root,
)
from bayeslmm.design.span import FixedPart, Span
from bayeslmm.errors import DataError
from bayeslmm.formula import Formula, LinearPredictor

# Trials of one search, and multiplications in them, which take about a second.
MOST_TRIED, MOST_WORK = 200, 6e9
# Singular values below its root are dependent by any tolerance.
SURELY_DEPENDENT = 1e-13


@dataclass(frozen=True, slots=True)
class Frame:
    """Variables of a candidate, and the cells that a combined factor's levels are."""

    variables: Mapping[str, Described]
    cells: Mapping[tuple[str, str], Cells] = field(default_factory=dict)


@dataclass(slots=True)
class Trials:
    """Trials on one design, whose columns have this `rank`; some work is `left`."""

    design: Design
    part: FixedPart
    span: Span
    left: float = field(init=False, default=MOST_WORK)
    rank: int = field(init=False)
    _root: Float[np.ndarray, "r p"] = field(init=False)
    _length: Float[np.ndarray, " p"] = field(init=False)
    _seen: dict[object, bool] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Root of the cross-products, with columns of length 1, and its rank."""
        design = self.design
        known, _ = design.moments.X.nearest(np.eye(design.p))
        self._root, self._length = moved_root(known, design.intercept)
        columns = combined_root(design.moments.X, design.intercept, design.fixed_turn)
        repeats = dependent_columns(columns, moments_tolerance(design.p))
        self.rank = design.p - len(repeats)

    def works(self, predictor: LinearPredictor, frame: Frame) -> bool:
        """Whether the columns of a predictor have full rank, by cross-products."""
        key = predictor.intercept, frozenset(predictor.terms)
        if key not in self._seen:
            if self.left < 0.0 or len(self._seen) == MOST_TRIED:
                return False
            self._seen[key] = self._is_independent(predictor, frame)
        return self._seen[key]

    def _is_independent(self, predictor: LinearPredictor, frame: Frame) -> bool:
        """The same, computed."""
        coding = code_terms(predictor, frame.variables)
        columns = self.span.columns(predictor, coding, frame.variables, frame.cells)
        if columns is None or not columns.shape[1]:
            return False
        turn = self._turn(predictor, coding, frame)
        if turn is not None:
            columns = columns @ turn
        self.left -= columns.size * len(columns)
        weights = self._length[:, None] * self.design.moments.X.nearest(columns)[1]
        found = combined(self._root, weights, VANISHED_IN_ROOT)
        smallest = np.linalg.eigvalsh(found.T @ found)[0]
        if not SURELY_DEPENDENT < smallest < SURELY_INDEPENDENT:
            return bool(smallest >= SURELY_INDEPENDENT)
        return not dependent_columns(found, moments_tolerance(found.shape[1]))

    def _turn(
        self, predictor: LinearPredictor, coding: tuple[CodedTerm, ...], frame: Frame
    ) -> np.ndarray | None:
        """The combinations of the candidate's columns that have variables centred."""
        formula = replace(self.part.coding.formula, fixed=predictor, random=())
        products = model_products(formula, (coding,), frame.variables)
        known = dict(zip(self.design.products.names, self.design.centres, strict=True))
        if not all(name in known for name in products.names):
            return None
        means = np.array([known[name] for name in products.names])
        size = sum(n_columns(coded, frame.variables) for coded in coding)
        return products.fixed.turn(size + predictor.intercept, means)

    def fits_rows(self, formula: Formula, frame: Frame) -> bool:
        """Whether a formula passes the check of the rank on the rows themselves."""
        predictor, n = formula.fixed, self.design.n
        coding = code_terms(predictor, frame.variables)
        columns = {k: v for k, v in frame.variables.items() if isinstance(v, Column)}
        try:
            X = model_matrix(predictor, coding, columns, n)
        except DataError:  # too many columns, or a factor of one level
            return False
        names = tuple(map(str, range(X.shape[1])))
        turn = self._turn(predictor, coding, frame)
        intercept = 0 if predictor.intercept else None
        return dependence_of_rows(X, names, intercept, turn) is None

    def frame(self, counted: Combinations | None, combined: Combined) -> Frame | None:
        """Variables with a combined factor, None if its levels are not known."""
        if counted is None:
            return None
        levels = tuple(":".join(cell) for cell in counted.filled)
        if len(set(levels)) < len(levels):
            return None
        label = combined.atom.label
        cells = {
            (label, level): frozenset(
                zip((atom.label for atom in combined.parts), cell, strict=True)
            )
            for level, cell in zip(levels, counted.filled, strict=True)
        }
        column = (
            FactorLevels(levels)
            if counted.codes is None
            else FactorColumn(counted.codes, levels)
        )
        return Frame({**self.part.coding.variables, label: column}, cells)
