"""Linear predictor + model frame -> model matrix, by R's rules.

Takes the expanded terms and the evaluated atoms; gives the columns that R's
``model.matrix`` gives, in its order, and bambi's name for each. A factor in a term is
coded by contrasts (treatment with the first level as reference, unless ``C()`` says
otherwise) if the term without it is part of an earlier term, else by an indicator for
each level; without an intercept the first factor gets all its levels. Ordered factors
are coded the same way (R would give them polynomial contrasts, a rotation of the same
columns: ``C(f, Poly)`` asks for them).
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Cell, EffectVariable
from bayeslmm.design.evaluate import AnyNumeric, Column, Described, NumericColumn
from bayeslmm.design.factor_coding import Contrast, contrast_of
from bayeslmm.design.frame import AnyFactor
from bayeslmm.errors import DataError
from bayeslmm.formula import Atom, LinearPredictor, Term

# Above this a matrix would not fit in the memory of an ordinary machine; a factor with
# very many levels among the predictors is the usual reason.
MAX_BYTES = 8e9


@dataclass(frozen=True, slots=True)
class CodedTerm:
    """A term and, for each of its atoms, whether it is coded by all its levels.

    If `plain`, the others are coded by treatment contrasts whatever the formula says.
    """

    term: Term
    full: tuple[bool, ...]
    plain: bool = False

    def contrasts(
        self, columns: Mapping[str, Described]
    ) -> tuple[Contrast | None, ...]:
        """Contrast of each atom; None for numbers and for indicators of levels."""
        found = []
        for atom, full in zip(self.term.atoms, self.full, strict=True):
            column = columns[atom.label]
            if self.plain or full or not isinstance(column, AnyFactor):
                found.append(None)
            else:
                found.append(contrast_of(atom, column.levels))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class MatrixVariable:
    """Columns of a model matrix that are one variable for bambi.

    ``coords`` is empty for a scalar; else one level, or combination, for each column.
    ``cells`` says what each column stands for; empty for the intercept.
    """

    name: str
    columns: tuple[int, ...]
    coords: tuple[str, ...] = ()
    cells: tuple[Cell, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """Label of each column, ``name`` or ``name[coord]``."""
        if not self.coords:
            return (self.name,)
        return tuple(f"{self.name}[{coord}]" for coord in self.coords)


# --- coding ---------------------------------------------------------------------------


def code_terms(
    predictor: LinearPredictor, columns: Mapping[str, Described]
) -> tuple[CodedTerm, ...]:
    """Coding of every factor in every term, as R's terms() and model.matrix() do it."""
    coded: list[CodedTerm] = []
    waiting = not predictor.intercept  # for the factor that stands in for it
    for i, term in enumerate(predictor.terms):
        full = []
        for atom in term.atoms:
            is_factor = isinstance(columns[atom.label], AnyFactor)
            rest = set(term.atoms) - {atom}
            full.append(
                is_factor and (waiting or not _is_margin(rest, predictor.terms[:i]))
            )
            waiting = waiting and not is_factor
        coded.append(CodedTerm(term, tuple(full)))
    return tuple(coded)


def _is_margin(atoms: set[Atom], earlier: tuple[Term, ...]) -> bool:
    """Whether a term is empty or part of one of the earlier terms."""
    return not atoms or any(atoms <= set(term.atoms) for term in earlier)


def matrix_variables(
    predictor: LinearPredictor,
    coded: tuple[CodedTerm, ...],
    columns: Mapping[str, Described],
) -> tuple[MatrixVariable, ...]:
    """Bambi's variables and the columns each owns, the intercept first."""
    found = [MatrixVariable("Intercept", (0,))] if predictor.intercept else []
    start = len(found)
    for coding in coded:
        cells = _column_cells(coding, columns)
        together = not any(coding.contrasts(columns))
        found += _group_cells(cells, start, together=together)
        start += len(cells)
    return tuple(found)


def _column_cells(coding: CodedTerm, columns: Mapping[str, Described]) -> list[Cell]:
    """What each column of a term stands for, the first atom varying fastest."""
    parts: list[list[tuple[str, str | None]]] = []
    given = zip(coding.term.atoms, coding.full, coding.contrasts(columns), strict=True)
    for atom, full, contrast in given:
        column = columns[atom.label]
        if isinstance(column, AnyNumeric):
            parts.append([(name, None) for name in column.names])
        elif contrast is not None:
            parts.append([(atom.label, name) for name in contrast.names])
        else:
            levels = column.levels[0 if full else 1 :]
            parts.append([(atom.label, level) for level in levels])
    return [cell[::-1] for cell in itertools.product(*reversed(parts))]


def _group_cells(
    cells: list[Cell], start: int, *, together: bool
) -> list[MatrixVariable]:
    """Neighbouring columns of one name as one variable.

    Where the columns of a name are apart (``poly(x, 2):f``) each is a scalar variable
    of its own, so that variables and columns keep one order; so it is where they are
    not to be together, as bambi would make others of them.
    """
    groups = [
        (name, list(own))
        for name, own in itertools.groupby(
            enumerate(cells, start), lambda c: ":".join(atom for atom, _ in c[1])
        )
    ]
    whole = together and len({name for name, _ in groups}) == len(groups)
    found = []
    for name, group in groups:
        at, own = (tuple(part) for part in zip(*group, strict=True))
        coords = tuple(
            ", ".join(level for _, level in cell if level is not None) for cell in own
        )
        if not any(coords):
            found.append(MatrixVariable(name, at, cells=own))
        elif whole:
            found.append(MatrixVariable(name, at, coords, own))
        else:
            found += [
                MatrixVariable(f"{name}[{coord}]", (c,), cells=(cell,))
                for c, coord, cell in zip(at, coords, own, strict=True)
            ]
    return found


def effect_variable(variable: MatrixVariable, group: str) -> EffectVariable:
    """Bambi's name of an effect that varies by group, ``1|g`` for the intercept."""
    expr = "1" if variable.name == "Intercept" else variable.name
    return EffectVariable(f"{expr}|{group}", expr, variable.columns, variable.coords)


# --- columns --------------------------------------------------------------------------


def model_matrix(
    predictor: LinearPredictor,
    coded: tuple[CodedTerm, ...],
    columns: Mapping[str, Column],
    n: int,
) -> Float[np.ndarray, "n p"]:
    """The model matrix, columns in R's order."""
    blocks = [np.ones((n, 1))] if predictor.intercept else []
    width = len(blocks)
    for coding in coded:
        width += n_columns(coding, columns)
        _check_size(coding, columns, n, width)
    blocks += [_term_matrix(coding, columns) for coding in coded]
    return np.hstack(blocks) if blocks else np.empty((n, 0))


def n_columns(coding: CodedTerm, columns: Mapping[str, Described]) -> int:
    """Number of columns of a term."""
    width = 1
    for atom, full in zip(coding.term.atoms, coding.full, strict=True):
        column = columns[atom.label]
        if isinstance(column, AnyNumeric):
            width *= len(column.names)
        else:
            width *= len(column.levels) - (not full)
    return width


def _check_size(
    coding: CodedTerm, columns: Mapping[str, Described], n: int, width: int
) -> None:
    """Raise before a term makes a column for each of very many levels, or none."""
    if 8.0 * n * width > MAX_BYTES:
        raise DataError(
            f"{coding.term.label!r} brings the model matrix to {width} columns for {n} "
            f"rows ({8e-9 * n * width:.0f} GB). A factor with so many levels is better "
            f"a grouping factor, (1 | {coding.term.label})."
        )
    for atom, full in zip(coding.term.atoms, coding.full, strict=True):
        column = columns[atom.label]
        if isinstance(column, AnyFactor) and len(column.levels) + full < 2:
            raise DataError(
                f"The factor {atom.label!r} has one level only in the rows used "
                f"({', '.join(map(repr, column.levels))}), so it has no effect to "
                f"estimate. Drop it from the formula."
            )


def _term_matrix(
    coding: CodedTerm, columns: Mapping[str, Column]
) -> Float[np.ndarray, "n c"]:
    """Products of the atoms' columns, the first atom varying fastest."""
    product: np.ndarray | None = None
    given = zip(coding.term.atoms, coding.full, coding.contrasts(columns), strict=True)
    for atom, full, contrast in given:
        block = _atom_matrix(columns[atom.label], full, contrast)
        if product is None:
            product = block
        else:
            product = (block[:, :, None] * product[:, None, :]).reshape(len(block), -1)
    assert product is not None  # a term has at least one atom
    return product


def _atom_matrix(
    column: Column, full: bool, contrast: Contrast | None
) -> Float[np.ndarray, "n c"]:
    """Values of a numeric atom, or the columns of the levels that are coded."""
    if isinstance(column, NumericColumn):
        return column.values
    if contrast is not None:
        return contrast.values[column.codes]
    first = 0 if full else 1
    levels = np.arange(first, len(column.levels))
    return (column.codes[:, None] == levels).astype(float)
