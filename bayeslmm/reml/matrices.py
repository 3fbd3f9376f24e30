"""The textbook's matrices for a few rows: y = X beta + Z u + e, and V = Z D Z' + R.

Takes a model, or its REML fit, and rows that a user names; gives `Matrices`, tables
with the labels of rows, columns and random effects. Nothing else here makes matrices of
rows by rows: the likelihood is read off cross-products.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.linalg import block_diag

from bayeslmm.design.arrays import Design, rows_of
from bayeslmm.design.rows import Rows
from bayeslmm.errors import ModelError, nearest_names, shortened
from bayeslmm.tables import Table
from bayeslmm.tables.entries import data_lines, estimate_lines
from bayeslmm.tables.notebook import fragment, lined
from bayeslmm.tables.numbers import counted

if TYPE_CHECKING:
    from bayeslmm.reml.fit import RemlFit
    from bayeslmm.spec import ModelSpec

Chosen = int | Sequence[Any] | np.ndarray | None
Places = Int[np.ndarray, " m"]

USUAL = 6  # rows, as textbooks show them
PER_LEVEL = 2  # of each level, so that V has blocks
LARGEST = 2_000  # rows: V has 32 MB
LOOKED_AT = 1_000  # row labels that a message looks for the nearest among


class Effect(NamedTuple):
    """A random effect of one level, ``edu|classroom[c0]``."""

    effect: str
    group: str
    level: str

    @property
    def label(self) -> str:
        """As draws are labelled."""
        return f"{self.effect}|{self.group}[{self.level}]"

    @property
    def short(self) -> str:
        """Where one grouping factor is all there is."""
        return f"{self.effect}[{self.level}]"


@dataclass(frozen=True, slots=True, repr=False)
class Known:
    """What stands in the data: y, X and Z of some rows, nothing estimated.

    Attributes
    ----------
    y : Table, shape (m, 1)
        Response less the offset; index: the labels of the rows in the data.
    X : Table, shape (m, p)
        Fixed-effect columns.
    Z : Table, shape (m, q)
        A column for each effect of each level that these rows have, level by level.
    effects : tuple of Effect, length q
        What the columns of Z belong to.
    """

    y: Table
    X: Table
    Z: Table
    effects: tuple[Effect, ...]

    def sections(self) -> dict[str, list[str]]:
        """Titles with lines of text."""
        rows = counted(len(self.y), "row")
        found = {f"y and X of {rows}": data_lines(pd.concat([self.y, self.X], axis=1))}
        if self.effects:
            title = f"Z of {rows}, a column for each effect of each {self._level}"
            found[title] = data_lines(self.Z.set_axis(self.names, axis=1))
        return found

    @property
    def _level(self) -> str:
        """What has effects: a classroom, or a level of one factor or another."""
        groups = {own.group for own in self.effects}
        return next(iter(groups)) if len(groups) == 1 else "level"

    @property
    def names(self) -> list[str]:
        """Labels of the effects, short where the factor goes without saying."""
        alone = self._level != "level"
        return [own.short if alone else own.label for own in self.effects]

    def __repr__(self) -> str:
        """Each matrix under its title."""
        pairs = self.sections().items()
        return "\n\n".join("\n".join([title, *lines]) for title, lines in pairs)

    def _repr_html_(self) -> str:
        """The same for notebooks, wide matrices in a frame that scrolls."""
        pairs = self.sections().items()
        return "\n".join(f"{fragment(title)}\n{lined(lines)}" for title, lines in pairs)


@dataclass(frozen=True, slots=True, repr=False)
class Matrices(Known):
    """The matrices of a mixed model for some of its rows, at its estimates.

    Attributes
    ----------
    y, X, Z, effects
        See `Known`.
    beta : Table, shape (p, 1)
        Fixed effects, of the fit to *all* rows.
    u : Table, shape (q, 1)
        BLUPs of the same.
    e : Table, shape (m, 1)
        What these leave of y.
    D : Table, shape (q, q)
        Covariance of u, a block for each level; units of y squared.
    R, V : Table, shape (m, m)
        Covariance of e, and of y: ``V = Z D Z' + R``; units of y squared.
    """

    beta: Table
    u: Table
    e: Table
    D: Table
    R: Table
    V: Table

    def sections(self) -> dict[str, list[str]]:
        """Titles with lines of text."""
        found, names = Known.sections(self), self.names
        if len(self.beta):
            found["beta, REML estimates from all rows"] = estimate_lines(self.beta.T)
        if self.effects:
            found["u, the best linear unbiased predictions"] = estimate_lines(
                self.u.T.set_axis(names, axis=1)
            )
        found["e = y - X beta - Z u"] = estimate_lines(self.e.T)
        if self.effects:
            D = self.D.set_axis(names, axis=0).set_axis(names, axis=1)
            found["D, covariance of u"] = estimate_lines(D)
        found["R, covariance of e"] = estimate_lines(self.R)
        found["V = Z D Z' + R, covariance of y"] = estimate_lines(self.V)
        return found


class MatrixMethods:
    """The matrices, as a method of `RemlFit`."""

    __slots__ = ()

    def matrices(self, rows: Chosen = None) -> Matrices:
        """X, Z, D, R and V of a few rows, at the estimates, as textbooks write them.

        Parameters
        ----------
        rows : int or sequence, optional
            How many rows, or the labels of some, which ``model.row_labels`` has. By
            default 6: two of each of the first levels of the first grouping factor.

        Returns
        -------
        Matrices
            ``y = X beta + Z u + e`` and ``V = Z D Z' + R`` as labelled tables.

        Raises
        ------
        ModelError
            If a row is unknown or comes twice, or there are more than 2,000.
        DataError
            If the rows were read in batches.

        References
        ----------
        .. [1] Laird and Ware (1982). Biometrics 38(4). https://doi.org/10.2307/2529876

        Examples
        --------
        >>> import bayeslmm as lmm
        >>> pupils = lmm.simulate_classrooms(seed=1).data
        >>> fit = lmm.Model("score ~ edu + (1 | classroom)", pupils).fit_reml()
        >>> found = fit.matrices(rows=[0, 1, 20])
        >>> found.X.shape, found.Z.shape, found.V.shape
        ((3, 2), (3, 2), (3, 3))
        """
        fit = cast("RemlFit", self)
        return _fitted(fit, find_rows(fit.model, rows))


def design_matrices(model: "ModelSpec", rows: Chosen = None) -> Known:
    """y, X and Z of chosen rows; nothing is fitted. See `RemlFit.matrices`."""
    return _known(model, find_rows(model, rows))


def residual_covariance(fit: "RemlFit", places: Places) -> Float[np.ndarray, "m m"]:
    """Covariance of the residuals of rows at some places, units of y squared."""
    rows, structure = _rows(fit.design), fit.design.residual
    own = np.ones(len(places)) if rows.weights is None else rows.weights[places]
    if structure is None or rows.residual is None:
        return np.diag(fit.sigma**2 / own)
    chosen = rows.residual.take(places)
    return fit.sigma**2 * structure.matrix(chosen, fit.residual_values, own)


def _fitted(fit: "RemlFit", places: Places) -> Matrices:
    """All matrices, at the estimates."""
    known, levels = _known(fit.model, places), _levels(fit.design, places)
    X, Z = known.X.to_numpy(), known.Z.to_numpy()
    pairs = zip(fit.factors, levels, strict=True)
    blocks = chain.from_iterable([L @ L.T] * len(own) for L, own in pairs)
    D = np.asarray(block_diag(*blocks)).reshape(Z.shape[1], Z.shape[1])
    R = residual_covariance(fit, places)
    b = [b[own].ravel() for b, own in zip(fit.effects.b, levels, strict=True)]
    u = np.concatenate([np.empty(0), *b])
    e = known.y.to_numpy()[:, 0] - X @ fit.beta - Z @ u
    row, effect = known.X.index, known.Z.columns
    return Matrices(
        y=known.y,
        X=known.X,
        Z=known.Z,
        effects=known.effects,
        beta=Table({"beta": fit.beta}, index=known.X.columns),
        u=Table({"u": u}, index=effect),
        e=Table({"e": e}, index=row),
        D=Table(D, index=effect, columns=effect),
        R=Table(R, index=row, columns=row),
        V=Table(Z @ D @ Z.T + R, index=row, columns=row),
    )


def _known(model: "ModelSpec", places: Places) -> Known:
    """What needs no fit."""
    design, rows = model.design, _rows(model.design)
    index = _labels(model)[places]
    parts, effects = [np.empty((len(places), 0))], []
    for t, levels in enumerate(_levels(design, places)):
        term, Z = design.groups[t], rows.Z[t][places]
        own = rows.codes[t][places][:, None] == levels
        parts.append((own[:, :, None] * Z[:, None, :]).reshape(len(places), -1))
        names = ["1" if effect == "Intercept" else effect for effect in term.effects]
        effects += [
            Effect(name, term.group, term.levels[j]) for j in levels for name in names
        ]
    columns = [own.label for own in effects]
    return Known(
        y=Table({design.response: rows.net[places]}, index=index),
        X=Table(rows.X[places], index=index, columns=list(design.fixed_names)),
        Z=Table(np.hstack(parts), index=index, columns=columns),
        effects=tuple(effects),
    )


def _levels(design: Design, places: Places) -> list[Int[np.ndarray, " j"]]:
    """Levels of each bar term that rows have, as they come."""
    codes = [own[places].tolist() for own in _rows(design).codes]
    return [np.array(list(dict.fromkeys(own)), int) for own in codes]


def _rows(design: Design) -> Rows:
    """The rows, or the error that says where they are."""
    return rows_of(design, "the matrices of some rows")


# --- which rows -----------------------------------------------------------------------


def find_rows(model: "ModelSpec", rows: Chosen = None) -> Places:
    """Places of the rows asked for among those used; see `RemlFit.matrices`."""
    n = _rows(model.design).n
    if rows is None or (
        isinstance(rows, int | np.integer) and not isinstance(rows, bool)
    ):
        return _spread(model.design, _checked(USUAL if rows is None else int(rows), n))
    if isinstance(rows, str) or not isinstance(rows, Iterable):
        raise ModelError(
            f"rows={shortened(rows)} is neither a number of rows nor a list of their "
            f"labels, rows=[0, 1, 5]; model.row_labels has those there are."
        )
    places = {label: i for i, label in enumerate(_labels(model).tolist())}
    wanted = [one.item() if isinstance(one, np.generic) else one for one in rows]
    _checked(len(wanted), n)
    for label in wanted:
        if label not in places:
            known = [str(own) for own in [*places][:LOOKED_AT]]
            raise ModelError(
                f"No row that was used has the label {label!r}."
                f"{nearest_names(str(label), known)} Rows with missing values are left "
                f"out; model.row_labels has the others."
            )
    if len(set(wanted)) < len(wanted):
        twice = next(one for one in wanted if wanted.count(one) > 1)
        raise ModelError(f"Row {twice!r} is asked for twice in rows=.")
    return np.array([places[label] for label in wanted])


def _checked(m: int, n: int) -> int:
    """A number of rows, at most those there are."""
    if m < 1:
        raise ModelError(f"rows asks for {m} rows; one is the least.")
    if m > LARGEST:
        raise ModelError(
            f"rows asks for {m:,} rows, whose covariance V would have {m:,} x {m:,} "
            f"entries. Ask for at most {LARGEST:,}; six show what there is to see."
        )
    return min(m, n)


def _spread(design: Design, m: int) -> Places:
    """Rows of the first levels of the first factor, two of each before a third."""
    rows = _rows(design)
    if not rows.codes:
        return np.arange(m)
    codes = rows.codes[0]
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    turn = np.arange(rows.n) - np.repeat(starts, np.diff(starts, append=rows.n))
    first = np.lexsort((np.arange(rows.n), turn // PER_LEVEL))[:m]
    return order[np.sort(first)]


def _labels(model: "ModelSpec") -> np.ndarray:
    """Labels of the rows used."""
    labels = model.row_labels
    return np.arange(model.design.n) if labels is None else np.asarray(labels)
