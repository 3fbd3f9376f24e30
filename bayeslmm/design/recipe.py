"""How a design was made, so that new data can be put the same way.

Takes what `build_design` learnt (codings, levels, means of ``scale``) and gives the
rows of X and Z, and the levels, of a new data frame.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.design.arrays import Design
from bayeslmm.design.coder import find_groups
from bayeslmm.design.coding import Coding, effect_matrices, encode_predictors
from bayeslmm.design.evaluate import (
    AnyNumeric,
    Column,
    NumericColumn,
    RawRows,
    argument_values,
    evaluate_atom,
)
from bayeslmm.design.frame import FactorColumn, level_codes, open_frame
from bayeslmm.design.known import LevelWord
from bayeslmm.design.residual import ResidualRows
from bayeslmm.design.series import new_residual
from bayeslmm.design.splines import SPLINES, n_outside
from bayeslmm.design.typical import Typical
from bayeslmm.design.used import read_columns
from bayeslmm.errors import (
    DataError,
    DataWarning,
    listed,
    nearest_names,
    warn_user,
)
from bayeslmm.formula import Atom, Call, Formula, RandomTerm, render


@dataclass(frozen=True, slots=True)
class NewGroup:
    """The rows of new data under one bar term.

    ``Z``, shape (m, k), units of the predictors; ``codes``, shape (m,), the level in
    the design or -1 for one that it has not; ``labels``, shape (m,), the level's label,
    empty where nobody asked.
    """

    Z: Float[np.ndarray, "m k"]
    codes: Int[np.ndarray, " m"]
    labels: np.ndarray


@dataclass(frozen=True, slots=True)
class NewRows:
    """New data as the design has its own: X, one `NewGroup` per bar term, offset.

    A bar term that is not wanted has None.
    """

    X: Float[np.ndarray, "m p"]
    groups: tuple[NewGroup | None, ...]
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
    design : Design
        Names, levels and rows.
    coding : Coding
        Coding of the factors; its variables are evaluated on the rows used, or names
        and levels alone if rows are not in memory.
    trials : ndarray, shape (n,), or None
        Number of trials of a binomial response.
    response_levels : tuple of str
        The two levels of a response that is a factor, 0 and 1; else empty.
    typical : mapping of str to Typical
        Where each numeric predictor is; empty for rows that were read in batches.
    """

    design: Design
    coding: Coding
    trials: Float[np.ndarray, " n"] | None = None
    response_levels: tuple[str, ...] = ()
    typical: Mapping[str, Typical] = field(default_factory=dict)

    @property
    def formula(self) -> Formula:
        """The formula."""
        return self.coding.formula

    def encode(
        self,
        new_data: object,
        *,
        words: Sequence[LevelWord] | None = None,
        estimable: bool = True,
    ) -> NewRows:
        """Put new data into the columns of the design.

        Parameters
        ----------
        new_data : DataFrame
            pandas, polars or Arrow frame with the columns of the predictors and of the
            grouping factors that `words` need. The response is not needed.
        words : sequence of str, optional
            What is known of the levels of each bar term; by default ``"group"``.
            ``"unknown"`` needs the columns whose effects vary and no levels,
            ``"population"`` neither. See `bayeslmm.design.known`.
        estimable : bool
            Whether a row whose mean is not estimable is an error; else its X is NaN.

        Returns
        -------
        NewRows
            ``X``, ``groups``, ``offset``.

        Raises
        ------
        DataError
            If a column is not there, a value is missing, a predictor has a level
            that the design has not, or the mean of a row is not estimable.
            An unseen level of a grouping factor is no error: its code is -1.
        """
        bars = self.formula.random
        words = ("group",) * len(bars) if words is None else tuple(words)
        atoms = _fixed_atoms(self.formula) + _random_atoms(bars, words)
        rows = self._read(new_data, atoms)
        return self._encode_rows(rows, words, new=estimable or "nan")

    def encode_effects(self, new_data: object) -> tuple[Float[np.ndarray, "m _k"], ...]:
        """Columns of each bar term of new rows, which need no other column.

        Parameters
        ----------
        new_data : DataFrame
            pandas, polars or Arrow frame with the predictors of the random part.

        Returns
        -------
        tuple of ndarray, shape (m, k)
            Units of the predictors.

        Raises
        ------
        DataError
            As `encode`.
        """
        terms = [t for bar in self.formula.random for t in bar.predictor.terms]
        atoms = [atom for term in terms for atom in term.atoms]
        rows = self._read(new_data, atoms)
        labels = {atom: atom.label for atom in atoms}
        columns = {a.label: self._new_column(a, rows) for a in labels}
        self._warn_outside(labels, rows)
        return effect_matrices(self.coding, columns, rows.n)

    def _read(self, new_data: object, atoms: Sequence[Atom]) -> RawRows:
        """The columns that some atoms read, which must be there and complete."""
        frame = open_frame(new_data)
        names = dict.fromkeys(name for atom in atoms for name in atom.columns)
        self._check_there(frame.columns, names)
        columns = read_columns(frame, self.formula, tuple(names))
        for name, column in columns.items():
            if column.missing.any():
                raise DataError(
                    f"Column {name!r} of the new data is missing in "
                    f"{int(column.missing.sum())} of {len(frame)} rows. Fill it in or "
                    f"drop those rows."
                )
        return RawRows(columns, len(frame), self.coding.memory, self.formula.text)

    def encode_residual(self, new_data: object) -> ResidualRows | None:
        """Strata and series of the residuals of new data; None without a structure.

        Raises
        ------
        DataError
            If a column is not there, a value is missing, or a stratum is new.
        """
        atoms = self.formula.residual_atoms
        if not atoms:
            return None
        return new_residual(self.coding, self._read(new_data, atoms))

    def _check_there(self, given: Sequence[object], names: Iterable[str]) -> None:
        """Raise unless new data have the columns that a prediction needs."""
        missing = [name for name in names if name not in given]
        if not missing:
            return
        atoms = (
            *_fixed_atoms(self.formula),
            *self.formula.predictor_atoms,
            *self.formula.residual_atoms,
        )
        predictors = {name for atom in atoms for name in atom.columns}
        advice = (
            nearest_names(missing[0], [c for c in given if isinstance(c, str)])
            if predictors & set(missing)
            else " level='unknown' predicts for a row whose level is not known, "
            "level='population' without random effects; neither needs it."
        )
        raise DataError(
            f"The new data have no column {missing[0]!r}, which {self.formula.text!r} "
            f"needs.{advice}"
        )

    def _encode_rows(
        self, rows: RawRows, words: Sequence[LevelWord], *, new: Literal[True, "nan"]
    ) -> NewRows:
        """X, bar terms and offset on rows that are complete."""
        bars = self.formula.random
        wanted = [t for t, word in enumerate(words) if word != "population"]
        predictors = [self.formula.fixed, *(bars[t].predictor for t in wanted)]
        labels = {a: a.label for p in predictors for t in p.terms for a in t.atoms}
        columns = {
            label: self._new_column(atom, rows) for atom, label in labels.items()
        }
        self._warn_outside(labels, rows)
        X, Zs, offset = encode_predictors(
            self.coding, columns, rows, bars=wanted, new=new
        )
        groups: list[NewGroup | None] = [None] * len(bars)
        found = {}
        for t, Z in zip(wanted, Zs, strict=True):
            group = bars[t].group_label
            if words[t] == "unknown":
                found[group] = np.full(rows.n, -1), np.broadcast_to("", rows.n)
            elif group not in found:
                found[group] = find_groups(self.coding.groups[group], rows)
            groups[t] = NewGroup(Z, *found[group])
        return NewRows(X, tuple(groups), offset)

    def _warn_outside(self, atoms: Iterable[Atom], rows: RawRows) -> None:
        """Say how many rows lie beyond the boundary knots of a spline."""
        for atom in atoms:
            node = atom.node
            if not isinstance(node, Call) or node.function not in SPLINES:
                continue
            x = argument_values(node, rows)
            n = n_outside(x, self.coding.memory[atom.label])
            if n:
                warn_user(
                    f"{n} of {rows.n} values of {render(node.args[0])} in the new data "
                    f"lie beyond the boundary knots of {atom.label}: the spline is "
                    f"extrapolated there.",
                    DataWarning,
                )

    def _new_column(self, atom: Atom, rows: RawRows) -> Column:
        """One atom on new rows, a factor with the levels of the design."""
        column, known = evaluate_atom(atom, rows), self.coding.variables[atom.label]
        if isinstance(column, AnyNumeric) != isinstance(known, AnyNumeric):
            was, now = (
                "numeric" if isinstance(c, AnyNumeric) else "a factor"
                for c in (known, column)
            )
            raise DataError(
                f"{atom.label!r} is {now} in the new data and was {was} in the data of "
                f"the fit. Convert it."
            )
        if isinstance(column, NumericColumn) or isinstance(known, AnyNumeric):
            return column
        recode = level_codes(atom.label, column, known.levels, known.kind)
        matched = FactorColumn(recode[column.codes], known.levels, known.kind)
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


def _random_atoms(bars: Sequence[RandomTerm], words: Sequence[LevelWord]) -> list[Atom]:
    """Atoms of the bar terms that words need, grouping columns too."""
    found: list[Atom] = []
    for bar, word in zip(bars, words, strict=True):
        if word != "population":
            found += [atom for term in bar.predictor.terms for atom in term.atoms]
        if word in ("group", "new"):
            found += bar.group
    return found
