"""Where doubles end: columns whose values differ by little more than their rounding.

Takes the moments of columns; gives those of which digits were lost before anything is
fitted, or a `DataError` where nothing is left. A column 1e12 + x of SD 1 is known to
1e-4 of its SD. Whole numbers below 2**53 lose nothing, wherever they lie.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from bayeslmm.data.numbers import EXACT, to_floats
from bayeslmm.design.account import CoarseColumn
from bayeslmm.design.arrays import Design
from bayeslmm.design.evaluate import is_factor_call
from bayeslmm.design.frame import RawColumn
from bayeslmm.design.moments import ColumnMoments, column_moments
from bayeslmm.errors import DataError
from bayeslmm.formula import Formula, Name

# Steps between neighbouring numbers that an SD must have. Rounding then is 3% of the
# SD, and takes 0.1% off a slope.
LEAST_STEPS = 10.0
# With more nothing is said: rounding is below 1e-4 SD.
ENOUGH_STEPS = 1e4
# Whole numbers this much below the end of the type show that none was rounded: its
# steps there are eighths.
ROOM = 8.0

# Cross-products of a column keep an error of n eps (mean / SD)^2 in the criterion; this
# much may be lost. Measured, y = offset + noise of SD 1: an error of 0.01 left the
# posterior as it is without the offset, at 0.09 the sampler hardly moved.
LARGEST_ROUNDING = 0.02
# Squares of smaller numbers vanish, as those of numbers above its inverse are infinite.
SMALLEST = 1e-150


# --- columns as given -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Given:
    """A column of numbers as given: its moments, and how finely its type holds numbers.

    ``limit`` is where the type ceases to tell whole numbers apart (see `RawColumn`);
    ``integer`` whether it holds whole numbers only.
    """

    moments: ColumnMoments
    limit: float
    integer: bool

    def __add__(self, other: "Given") -> "Given":
        """That of the rows of both."""
        return replace(self, moments=self.moments + other.moments)


def given_numbers(
    formula: Formula, columns: Mapping[str, RawColumn]
) -> dict[str, Given]:
    """Columns of numbers whose digits the columns of the design do not show.

    Those that are computed with, and those in single precision.
    """
    bare, computed = _numbers_read(formula)
    found = {}
    for name in dict.fromkeys([*bare, *computed]):
        column = columns[name]
        if column.kind != "number" or not len(column.values):
            continue
        if name in computed or column.limit < EXACT:
            values = to_floats(name, column.values)[:, None]
            whole = np.array([bool((values % 1.0 == 0.0).all())])
            moments = replace(column_moments(values), whole=whole)
            integer = column.values.dtype.kind in "iu"
            found[name] = Given(moments, column.limit, integer)
    return found


def _numbers_read(formula: Formula) -> tuple[list[str], set[str]]:
    """Columns that stand alone as numbers, and those in expressions and offsets."""
    atoms = [formula.response, *formula.predictor_atoms]
    atoms = [atom for atom in atoms if not is_factor_call(atom)]
    bare = [atom.node.name for atom in atoms if isinstance(atom.node, Name)]
    others = [atom for atom in atoms if not isinstance(atom.node, Name)]
    return bare, {n for atom in [*others, *formula.offsets] for n in atom.columns}


# --- what is left of them -------------------------------------------------------------


def account_digits(
    design: Design, given: Mapping[str, Given], integers: frozenset[str]
) -> Design:
    """The design, its account with the columns that lost digits to where they lie.

    Parameters
    ----------
    design : Design
        Columns of the model, by their moments.
    given : mapping
        What `given_numbers` found of all rows.
    integers : frozenset of str
        Columns that are integers in the data.

    Returns
    -------
    Design
        The same, if there are none.

    Raises
    ------
    DataError
        If a column is nothing but rounding.
    """
    found: dict[str, CoarseColumn] = {}
    for name, column in given.items():
        moments, limit = column.moments, column.limit
        exact = _whole(moments, limit, np.array([column.integer]))
        step = np.where(exact | moments.constant, 0.0, moments.step * (EXACT / limit))
        found |= _coarse((name,), moments, moments.sd(), step, limit)
    moments = design.moments
    found |= coarse_response(design.response, moments.y, moments.net, integers)
    columns = [(design.fixed_names, moments.X)]
    columns += [(t.effects, Z) for t, Z in zip(design.groups, moments.Z, strict=True)]
    for names, own in columns:
        found |= _coarse(names, own, own.sd(), _steps(names, own, integers))
    found |= _coarse_products(design)
    if not found:
        return design
    account = replace(design.account, coarse=found)
    return replace(design, account=account, recorded=design.moments)


def coarse_response(
    label: str, y: ColumnMoments, net: ColumnMoments, integers: frozenset[str]
) -> dict[str, CoarseColumn]:
    """The same of the response alone, and of what it is beside the offset."""
    found, names = {}, (label,)
    for own in (y,) if net is y else (y, net):
        found |= _coarse(names, own, own.sd(), _steps(names, own, integers))
    return found


def _coarse_products(design: Design) -> dict[str, CoarseColumn]:
    """The same of products and powers: what they add to their lower orders.

    Of whole numbers too, as the lower orders are taken off in doubles.
    """
    moments, found = design.moments, {}
    parts = [(design.fixed_names, moments.X, design.fixed_turn, design.fixed_moments)]
    for t, term in enumerate(design.groups):
        turn, own = design.effect_turn(t), design.effect_moments(t)
        parts.append((term.effects, moments.Z[t], turn, own))
    for names, own, turn, centred in parts:
        if turn is not None:
            step = np.where(_is_turned(turn), np.abs(turn).T @ own.step, 0.0)
            found |= _coarse(names, own, centred.sd(), step)
    return found


def _is_turned(turn: Float[np.ndarray, "c c"]) -> Bool[np.ndarray, " c"]:
    """Which columns others are added to."""
    return (turn != np.eye(len(turn))).any(axis=0)


def _whole(
    moments: ColumnMoments, limit: float, integers: Bool[np.ndarray, " c"]
) -> Bool[np.ndarray, " c"]:
    """Which columns hold whole numbers that were surely given as such."""
    room = np.where(integers, EXACT, limit / ROOM)
    return (moments.whole | integers) & (moments.size < room)


def _steps(
    names: tuple[str, ...], moments: ColumnMoments, integers: frozenset[str]
) -> Float[np.ndarray, " c"]:
    """What the values of columns are rounded to; 0 where they are exact."""
    flags = np.array([name in integers for name in names], dtype=bool)
    return np.where(_whole(moments, EXACT, flags), 0.0, moments.step)


def _coarse(
    names: tuple[str, ...],
    moments: ColumnMoments,
    sd: Float[np.ndarray, " c"],
    step: Float[np.ndarray, " c"],
    limit: float = EXACT,
) -> dict[str, CoarseColumn]:
    """Those of some columns, none of which is nothing but rounding."""
    found = {}
    same = moments.constant & (moments.size < EXACT)  # beyond, whole numbers vanish
    for i in np.flatnonzero(~same & (step > 0.0) & (sd < ENOUGH_STEPS * step)):
        column = CoarseColumn(float(moments.mean[i]), float(sd[i]), float(step[i]))
        whole = moments.whole[i] and moments.size[i] < limit  # they may be so given
        if sd[i] < LEAST_STEPS * step[i] and not whole:
            raise DataError(
                f"{column.words(names[i])}: nothing is left of how its rows differ. "
                f"Subtract a constant from it where it is still exact, before it is "
                f"stored or multiplied; leave it out if it should be constant."
            )
        found[names[i]] = column
    return found


# --- columns that are summed ----------------------------------------------------------


def check_sums(design: Design) -> None:
    """Raise if a column is so far from zero that its sums say too little of it.

    For rows that are read in batches, which leave nothing but sums.
    """
    moments = design.moments
    _check_range(moments.net, (design.response,))
    _check_range(moments.X, design.fixed_names)
    for term, Z in zip(design.groups, moments.Z, strict=True):
        _check_range(Z, term.effects)
    # an intercept takes up what is taken off before the rows are summed
    if design.intercept is None:
        _check_rounding(moments.net, (design.response,), design.n)
        X = moments.X if moments.X.near is None else moments.X.near.moments
        _check_rounding(X, design.fixed_names, design.n)
    for term, Z in zip(design.groups, moments.Z, strict=True):
        if not term.is_closed:
            _check_rounding(Z, term.effects, design.n)


def _check_range(moments: ColumnMoments, names: tuple[str, ...]) -> None:
    """Raise for columns so close to zero that the sums of their squares are 0."""
    for i in np.flatnonzero((moments.size > 0.0) & (moments.size < SMALLEST)):
        raise DataError(
            f"{names[i]!r} reaches {moments.size[i]:.3g} only in rows that were read "
            f"in batches: its square is closer to 0 than a number can be. Give it in "
            f"larger units."
        )


def _check_rounding(moments: ColumnMoments, names: tuple[str, ...], n: int) -> None:
    """Raise for columns that vary little beside their mean; those of 0 and 1 are exact.

    Constant columns are left to the check of the rank.
    """
    exact = (moments.low == 0.0) & (moments.high == 1.0)
    sd = moments.sd()
    beyond = ~moments.constant & ~exact & (np.abs(moments.mean) > _reach(n) * sd)
    for i in np.flatnonzero(beyond):
        raise DataError(
            f"{names[i]!r} has mean {moments.mean[i]:.6g} and SD {sd[i]:.3g} in {n:,} "
            f"rows that were read in batches. Sums of squares of such numbers round "
            f"off what differs between rows. Count it from a value near the mean, in "
            f"the data or in the formula: center(a) or I(a - 1000) for a column a."
        )


def _reach(n: int) -> float:
    """SDs up to which a column of n rows may lie from zero, for its sums to keep it."""
    return math.sqrt(LARGEST_ROUNDING / (n * np.finfo(float).eps))
