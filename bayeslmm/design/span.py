"""Columns of other formulas as combinations of the columns of a fixed part.

Takes the coded fixed part of a model; gives, for a formula of the same variables, the
matrix T with X T for its columns. So another formula is tried on cross-products, and
the rows are not needed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from bayeslmm.design.coding import Coding
from bayeslmm.design.evaluate import Described
from bayeslmm.design.frame import AnyFactor
from bayeslmm.design.matrices import CodedTerm
from bayeslmm.design.products import (
    Cells,
    Matrix,
    Powers,
    Variable,
    known_levels,
    matrix_columns,
    plain_variables,
)
from bayeslmm.formula import Atom, LinearPredictor


@dataclass(frozen=True, slots=True)
class FixedPart:
    """A fixed part as the formula has it.

    Attributes
    ----------
    coding : Coding
        How its factors are coded.
    taken : tuple of str
        Names of the columns of the data.
    """

    coding: Coding
    taken: tuple[str, ...]

    @property
    def factors(self) -> tuple[Atom, ...]:
        """Atoms of the fixed part that are factors."""
        atoms = (a for term in self.coding.formula.fixed.terms for a in term.atoms)
        return tuple(
            atom
            for atom in dict.fromkeys(atoms)
            if isinstance(self.coding.variables[atom.label], AnyFactor)
        )


@dataclass(frozen=True, slots=True)
class Span:
    """The columns of a fixed part as products of variables and indicators."""

    matrix: Matrix
    plain: Mapping[Variable, tuple[str, int]]
    _known: dict[tuple[Powers, Cells], np.ndarray | None] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Number of columns."""
        return len(self.matrix.columns)

    def column(self, powers: Powers, cells: Cells) -> Float[np.ndarray, " p"] | None:
        """Coefficients of the columns that add up to a product, None if none do."""
        key = powers, cells
        if key not in self._known:
            found = self.matrix.combination(powers, cells, frozenset())
            column = None if found is None else np.zeros(self.size)
            if found is not None and column is not None:
                column[list(found)] = list(found.values())
            self._known[key] = column
        return self._known[key]

    def columns(
        self,
        predictor: LinearPredictor,
        coding: tuple[CodedTerm, ...],
        variables: Mapping[str, Described],
        cells: Mapping[tuple[str, str], Cells],
    ) -> Float[np.ndarray, "p c"] | None:
        """T for the columns of another predictor, None if some are out of reach.

        `cells` says which levels of other factors a level of a combined factor stands
        for.
        """
        found = []
        for powers, own in matrix_columns(
            predictor.intercept, coding, variables, self.plain
        ):
            single = [cells.get(cell, frozenset({cell})) for cell in own]
            column = self.column(powers, frozenset().union(*single))
            if column is None:
                return None
            found.append(column)
        return np.column_stack(found) if found else np.empty((self.size, 0))


def make_span(part: FixedPart) -> Span:
    """The span of a fixed part; of the variables only names and levels count."""
    predictor, variables = part.coding.formula.fixed, part.coding.variables
    coding = part.coding.fixed
    atoms = {a.label: a for coded in coding for a in coded.term.atoms}
    plain = dict(plain_variables(atoms.values(), variables))
    levels = known_levels(atoms.values(), variables)
    columns = matrix_columns(predictor.intercept, coding, variables, plain)
    return Span(Matrix(list(columns), levels), plain)
