"""Columns of X that others determine: dropped, and what that leaves estimable.

Takes what `rank` found of the columns of a fixed part; gives the `Aliasing`, by which
the design, rows and new data are restricted to the columns kept, as lme4 does. A row of
new data is estimable if its dropped columns are the same combination of the others as
they are in every row of the fit.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from bayeslmm.design.arrays import Design, FixedVariable
from bayeslmm.design.centring import Centring, Entry, Products
from bayeslmm.design.moments import ColumnMoments, Near
from bayeslmm.errors import DataError, listed

# A new row whose dropped columns differ by this share of the addends is another.
SAME = 1e-6
# Columns that a message names.
MOST_NAMED = 4


@dataclass(frozen=True, slots=True, eq=False)
class Aliasing:
    """Columns of X that are kept, and all in terms of them.

    Attributes
    ----------
    names : tuple of str
        Labels of all columns that the formula asks for.
    kept : ndarray of int, shape (r,)
        Those kept, in their order: each that the ones before it do not determine.
    relation : ndarray, shape (r, p)
        Coefficients of the kept columns that add up to each column.
    sentence : str
        Which were dropped and why.
    advice : str
        What could be written instead.
    """

    names: tuple[str, ...]
    kept: Int[np.ndarray, " r"]
    relation: Float[np.ndarray, "r p"]
    sentence: str
    advice: str

    @property
    def dropped(self) -> tuple[str, ...]:
        """Labels of the columns that were dropped."""
        kept = set(self.kept.tolist())
        return tuple(name for i, name in enumerate(self.names) if i not in kept)

    def loose(self, X: Float[np.ndarray, "n p"]) -> Bool[np.ndarray, "n p"]:
        """Which columns of new rows are not the combination that they were."""
        own = X[:, self.kept]
        size = np.abs(own) @ np.abs(self.relation) + np.abs(X)
        return np.abs(X - own @ self.relation) > SAME * size

    def check_estimable(self, X: Float[np.ndarray, "n p"]) -> None:
        """Raise `DataError` if rows need an effect that cannot be estimated."""
        loose = self.loose(X)
        rows = np.flatnonzero(loose.any(axis=1))
        if not len(rows):
            return
        names = [self.names[i] for i in np.flatnonzero(loose.any(axis=0))]
        is_one = len(names) == 1
        raise DataError(
            f"{len(rows)} of the {len(X)} rows of the new data (the first is number "
            f"{rows[0] + 1}) need the effect{'' if is_one else 's'} "
            f"{listed(names, MOST_NAMED)}, which the data of the fit cannot tell from "
            f"others: the column{' was' if is_one else 's were'} dropped, so no mean "
            f"can be estimated there. Leave these rows out."
        )


def restrict_design(design: Design, aliasing: Aliasing) -> Design:
    """A design of all columns, without rows, with those kept.

    Columns of one variable become variables of their own, as bambi would make others of
    what is left of it.
    """
    place = {int(column): i for i, column in enumerate(aliasing.kept)}
    fixed = []
    for variable in design.fixed:
        for i, column in enumerate(variable.columns):
            if column in place:
                coord = f"[{variable.coords[i]}]" if variable.coords else ""
                name = f"{variable.name}{coord}"
                cells = variable.cells[i : i + 1]
                fixed.append(FixedVariable(name, (place[column],), cells=cells))
    coarse = design.account.coarse
    account = replace(
        design.account,
        aliased=aliasing.dropped,
        coarse={k: c for k, c in coarse.items() if k not in aliasing.dropped},
        dependence=aliasing.sentence,
        advice=aliasing.advice,
    )
    products = _restrict_products(design.products, aliasing, place)
    return replace(design, fixed=tuple(fixed), products=products, account=account)


def restrict_turn(
    turn: Float[np.ndarray, "p p"], aliasing: Aliasing, intercept: int | None
) -> Float[np.ndarray, "r r"]:
    """Combinations of columns moved by their means, in terms of those kept.

    Those of the columns kept; of what is taken off, an intercept has nothing.
    """
    relation = aliasing.relation.copy()
    if intercept is not None:
        gone = np.setdiff1d(np.arange(relation.shape[1]), aliasing.kept)
        relation[np.searchsorted(aliasing.kept, intercept), gone] = 0.0
    return relation @ turn[:, aliasing.kept]


def restrict_moments(
    moments: ColumnMoments, aliasing: Aliasing, intercept: int | None
) -> ColumnMoments:
    """Moments of the columns kept."""
    at, near = aliasing.kept, moments.near
    if near is not None:
        own = restrict_moments(near.moments, aliasing, intercept)
        turn = restrict_turn(near.turn, aliasing, intercept)
        near = Near(near.origin[at], turn, own)
    return ColumnMoments(
        moments.n,
        moments.mean[at],
        moments.products[np.ix_(at, at)],
        moments.low[at],
        moments.high[at],
        moments.unit[at],
        moments.whole[at],
        near,
    )


def _restrict_products(
    products: Products, aliasing: Aliasing, place: dict[int, int]
) -> Products:
    """What centring does to the columns kept, addends in terms of these too."""
    entries = []
    for entry in products.fixed.entries:
        if entry.column not in place:
            continue
        for row in np.flatnonzero(aliasing.relation[:, entry.row]):
            share = entry.coefficient * float(aliasing.relation[row, entry.row])
            entries.append(Entry(int(row), place[entry.column], share, entry.means))
    level = aliasing.relation[:, list(products.level)].sum(axis=1)
    found = tuple(np.flatnonzero(level).tolist())
    is_sum = bool((level[list(found)] == 1.0).all())
    return replace(
        products, fixed=Centring(tuple(entries)), level=found if is_sum else ()
    )
