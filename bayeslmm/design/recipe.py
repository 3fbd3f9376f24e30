"""How a design was made, so that new data can be put the same way.

Takes what `build_design` learnt (codings, levels, means of ``scale``) and gives the
rows of X and Z, and the levels, of a new data frame.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.design.arrays import Codes, Design
from bayeslmm.design.evaluate import (
    Column,
    Memory,
    NumericColumn,
    Rows,
    evaluate_atom,
)
from bayeslmm.design.frame import FactorColumn, match_levels, open_frame
from bayeslmm.design.groups import GroupIndex, find_groups
from bayeslmm.design.matrices import CodedTerm, model_matrix
from bayeslmm.design.rows import read_columns
from bayeslmm.errors import DataError, listed, nearest_names
from bayeslmm.formula import Atom, Formula, RandomTerm


@dataclass(frozen=True, slots=True)
class ModelFrame:
    """The variables of a model on the rows used, evaluated.

    Attributes
    ----------
    n : int
        Number of rows.
    columns : dict
        `NumericColumn` or `FactorColumn` of every atom (response, trials, fixed part,
        offsets, effects that vary) by its label.
    groups : dict of str to FactorColumn
        Grouping factors by their label, ``Subject`` or ``a:b``.
    """

    n: int
    columns: dict[str, Column]
    groups: dict[str, FactorColumn]


@dataclass(frozen=True, slots=True)
class NewGroup:
    """The rows of new data under one bar term.

    ``Z``, shape (m, k), units of the predictors; ``codes``, shape (m,), the level in
    the design or -1 for one that it has not; ``labels``, shape (m,), the level's label.
    """

    Z: Float[np.ndarray, "m k"]
    codes: Int[np.ndarray, " m"]
    labels: np.ndarray


@dataclass(frozen=True, slots=True)
class NewRows:
    """New data as the design has its own: X, one `NewGroup` per bar term, offset."""

    X: Float[np.ndarray, "m p"]
    groups: tuple[NewGroup, ...]
    offset: Float[np.ndarray, " m"] | None

    @property
    def n(self) -> int:
        """Number of rows."""
        return self.X.shape[0]


@dataclass(frozen=True, slots=True)
class Recipe:
    """A design with everything that made it.

    Attributes
    ----------
    formula : Formula
        The formula.
    design : Design
        The arrays.
    frame : ModelFrame
        The evaluated variables on the rows used.
    kept : ndarray of int, shape (n,)
        Positions of the rows used in the data given.
    trials : ndarray, shape (n,), or None
        Number of trials of a binomial response.
    response_levels : tuple of str
        The two levels of a response that is a factor, 0 and 1; else empty.
    fixed_coding, effect_codings : tuple
        Coding of the factors in the fixed part, and in each bar term.
    group_indices : tuple of GroupIndex
        What finds the level of a row, for each bar term.
    memory : dict
        What scale(), center() and poly() learnt.
    """

    formula: Formula
    design: Design
    frame: ModelFrame
    kept: Codes
    trials: Float[np.ndarray, " n"] | None
    response_levels: tuple[str, ...]
    fixed_coding: tuple[CodedTerm, ...]
    effect_codings: tuple[tuple[CodedTerm, ...], ...]
    group_indices: tuple[GroupIndex, ...]
    memory: Memory

    def encode(self, new_data: object, *, random: bool = True) -> NewRows:
        """Put new data into the columns of the design.

        Parameters
        ----------
        new_data : DataFrame
            pandas, polars or Arrow frame with the columns of the predictors and, unless
            ``random`` is False, of the grouping factors. The response is not needed.
        random : bool
            Whether to encode the bar terms too.

        Returns
        -------
        NewRows
            ``X``, ``groups`` (empty if not ``random``), ``offset``.

        Raises
        ------
        DataError
            If a column is not there, a value is missing, or a predictor has a level
            that the design has not.
            An unseen level of a grouping factor is no error: its code is -1.
        """
        atoms = _fixed_atoms(self.formula)
        if random:
            atoms += _random_atoms(self.formula)
        names = dict.fromkeys(name for atom in atoms for name in atom.columns)
        frame = open_frame(new_data)
        self._check_there(frame.columns, names, random=random)
        columns = read_columns(frame, self.formula, tuple(names))
        for name, column in columns.items():
            if column.missing.any():
                raise DataError(
                    f"Column {name!r} of the new data is missing in "
                    f"{int(column.missing.sum())} of {len(frame)} rows. Fill it in or "
                    f"drop those rows."
                )
        rows = Rows(columns, len(frame), self.memory, False, self.formula.text)
        return self._encode_rows(rows, random=random)

    def _check_there(
        self, given: Sequence[object], names: Iterable[str], *, random: bool
    ) -> None:
        """Raise unless new data have the columns that a prediction needs."""
        missing = [name for name in names if name not in given]
        if not missing:
            return
        needed = {name for atom in _fixed_atoms(self.formula) for name in atom.columns}
        advice = (
            " random=False predicts for the average level, without it."
            if random and not needed & set(missing)
            else nearest_names(missing[0], [c for c in given if isinstance(c, str)])
        )
        raise DataError(
            f"The new data have no column {missing[0]!r}, which {self.formula.text!r} "
            f"needs.{advice}"
        )

    def _encode_rows(self, rows: Rows, *, random: bool) -> NewRows:
        """X, bar terms and offset on rows that are complete."""
        bars = self.formula.random if random else ()
        predictors = [self.formula.fixed, *(bar.predictor for bar in bars)]
        labels = {a: a.label for p in predictors for t in p.terms for a in t.atoms}
        columns = {
            label: self._new_column(atom, rows) for atom, label in labels.items()
        }
        X = model_matrix(self.formula.fixed, self.fixed_coding, columns, rows.n)
        groups = [self._new_group(t, bar, columns, rows) for t, bar in enumerate(bars)]
        return NewRows(X, tuple(groups), sum_offsets(self.formula, rows))

    def _new_group(
        self, t: int, bar: RandomTerm, columns: Mapping[str, Column], rows: Rows
    ) -> NewGroup:
        """Rows of bar term number t."""
        Z = model_matrix(bar.predictor, self.effect_codings[t], columns, rows.n)
        codes, labels = find_groups(self.group_indices[t], bar, rows)
        return NewGroup(Z, codes, labels)

    def _new_column(self, atom: Atom, rows: Rows) -> Column:
        """One atom on new rows, a factor with the levels of the design."""
        column, known = evaluate_atom(atom, rows), self.frame.columns[atom.label]
        if isinstance(column, NumericColumn) != isinstance(known, NumericColumn):
            was, now = (
                "numeric" if isinstance(c, NumericColumn) else "a factor"
                for c in (known, column)
            )
            raise DataError(
                f"{atom.label!r} is {now} in the new data and was {was} in the data of "
                f"the fit. Convert it."
            )
        if isinstance(column, NumericColumn) or isinstance(known, NumericColumn):
            return column
        matched = match_levels(atom.label, column, known.levels, known.kind)
        codes = np.unique(column.codes[matched.codes < 0])
        if len(codes):
            unseen = [column.levels[code] for code in codes]
            raise DataError(
                f"The factor {atom.label!r} has in the new data the level"
                f"{'s' if len(unseen) > 1 else ''} {listed(unseen)}, for which no "
                f"effect was estimated. It may have {listed(known.levels)}."
            )
        return matched


def _fixed_atoms(formula: Formula) -> list[Atom]:
    """Atoms of the fixed part and the offsets."""
    terms = [atom for term in formula.fixed.terms for atom in term.atoms]
    return terms + list(formula.offsets)


def _random_atoms(formula: Formula) -> list[Atom]:
    """Atoms of the bar terms, grouping columns too."""
    found: list[Atom] = []
    for bar in formula.random:
        found += [atom for term in bar.predictor.terms for atom in term.atoms]
        found += bar.group
    return found


def sum_offsets(formula: Formula, rows: Rows) -> Float[np.ndarray, " n"] | None:
    """The known part of the mean, None without one; units of y."""
    if not formula.offsets:
        return None
    total = np.zeros(rows.n)
    for atom in formula.offsets:
        column = evaluate_atom(atom, rows)
        if isinstance(column, FactorColumn) or column.values.shape[1] != 1:
            raise DataError(
                f"offset({atom.label}) is not one column of numbers. An offset is "
                f"added to the mean as it stands."
            )
        total += column.values[:, 0]
    return total
