"""Numbers as they were given: held exactly, compared exactly, named as levels.

Takes Python numbers, decimals and arrays of any numeric type; gives arrays in the
narrowest type that holds each value (int64, uint64, float64, else objects), and puts
arrays of different types on one in which no two values become one. A float that cannot
tell whole numbers apart is refused where these are levels.
"""

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool

from bayeslmm.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

# Below this, doubles tell all whole numbers apart.
EXACT = 2.0**53
# Significant digits that a double gives back as they were.
DIGITS = 15
# Powers of ten up to this one are exact doubles, so that a division rounds once.
LARGEST_POWER = 22


# --- from what was given --------------------------------------------------------------


def exact_numbers(values: Sequence[object]) -> np.ndarray:
    """Python numbers (none missing) in the narrowest type that holds each exactly."""
    if all(isinstance(value, Decimal) for value in values):
        return _exact_decimals([v for v in values if isinstance(v, Decimal)])
    if any(isinstance(value, float | np.floating) for value in values):
        floats = np.array([float(value) for value in values])  # pyright: ignore
        whole = [v for v in values if not isinstance(v, float | np.floating)]
        if all(abs(value) < EXACT for value in whole):  # pyright: ignore
            return floats
        return np.array(values, dtype=object) if np.isfinite(floats).all() else floats
    return _exact_integers([int(value) for value in values])  # pyright: ignore


def _exact_integers(values: list[int]) -> np.ndarray:
    """Whole numbers of any size."""
    low, high = min(values, default=0), max(values, default=0)
    for dtype in (np.int64, np.uint64):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return np.array(values, dtype=dtype)
    return np.array(values, dtype=object)


def _exact_decimals(values: list[Decimal]) -> np.ndarray:
    """Decimals: whole ones as integers, short ones as floats, else as they are."""
    if not all(value.is_finite() for value in values):
        return np.array([float(value) for value in values])
    if all(is_whole_number(value) for value in values):
        return _exact_integers([int(value) for value in values])
    if all(len(value.as_tuple().digits) <= DIGITS for value in values):
        return np.array([float(value) for value in values])
    return np.array(values, dtype=object)


def decimal_numbers(
    array: "pa.Array",
) -> tuple[np.ndarray, Bool[np.ndarray, " n"]]:
    """An Arrow array of decimals, 0 where missing, and what is missing."""
    import pyarrow as pa

    missing = array.is_null().to_numpy(zero_copy_only=False)
    if array.null_count:
        array = array.fill_null(pa.scalar(Decimal(0), array.type))
    try:
        return array.cast(pa.int64()).to_numpy(), missing
    except pa.ArrowInvalid:  # fractions, or beyond 64 bits
        pass
    power = 10.0**array.type.scale
    units = array.cast(pa.float64()).to_numpy() * power
    short = np.abs(units).max(initial=0.0) < 10.0**DIGITS
    if short and 0 <= array.type.scale <= LARGEST_POWER:
        return np.rint(units) / power, missing  # Arrow's own division is off by an ulp
    return exact_numbers(array.to_pylist()), missing


def to_floats(name: str, values: np.ndarray) -> np.ndarray:
    """The values for arithmetic; a number beyond the range is a `DataError`."""
    try:
        return values.astype(float, copy=False)
    except OverflowError as error:
        raise DataError(
            f"Column {name!r} holds a number beyond 1.8e308, with which nothing can be "
            f"computed. Rescale it, or use it as a factor: factor({name})."
        ) from error


# --- different types together ---------------------------------------------------------


def alike(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Arrays of numbers in one type that holds all their values exactly.

    numpy's own common type of int64 and float64, and of int64 and uint64, is float64,
    in which whole numbers beyond 2**53 become equal. Beside decimals a float is the
    shortest decimal that it is read from, 0.1, as in its label.
    """
    kinds = {array.dtype.kind for array in arrays if len(array)}
    if len(kinds) < 2:
        return list(arrays)
    if kinds == {"i", "u"} and _reach(arrays) <= np.iinfo(np.int64).max:
        return [array.astype(np.int64) for array in arrays]
    if "O" not in kinds and _reach([a for a in arrays if a.dtype.kind in "iu"]) < EXACT:
        return [array.astype(float) for array in arrays]
    return [_objects(array) for array in arrays]


def _objects(array: np.ndarray) -> np.ndarray:
    """Numbers as Python's integers and decimals, which compare exactly."""
    if array.dtype.kind != "f":
        return array.astype(object)
    return np.array([Decimal(repr(value)) for value in array.tolist()], dtype=object)


def union(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """The different values of several arrays, ascending."""
    return np.unique(np.concatenate(alike(arrays)))


def _reach(arrays: Sequence[np.ndarray]) -> int:
    """Largest absolute value of arrays of integers."""
    full = [array for array in arrays if len(array)]
    return max((max(abs(int(a.min())), abs(int(a.max()))) for a in full), default=0)


# --- as levels ------------------------------------------------------------------------


def check_holds_ids(
    name: str, values: np.ndarray, limit: float, *, computed: bool = False
) -> None:
    """Raise if floats that are to be levels may have lost what tells these apart.

    Parameters
    ----------
    name : str
        Column or expression.
    values : ndarray
        Its values; integers, decimals and flags are exact and always fine.
    limit : float
        Below this the type tells whole numbers apart, 2**53 for doubles.
    computed : bool
        Whether the values come from an expression.
    """
    if values.dtype == object:
        values = np.array([value for value in values if isinstance(value, float)])
    if values.dtype.kind != "f":
        return
    if -limit < values.min(initial=0.0) <= values.max(initial=0.0) < limit:
        return
    finite = np.abs(values[np.isfinite(values)])
    n_beyond = int((finite >= limit).sum())
    if not n_beyond:
        return
    digits = round(math.log2(limit))
    advice = (
        f"Group by the column itself, or compute the code in the data, as whole "
        f"numbers: {name!r} is computed with floats."
        if computed
        else "Read it as whole numbers or as text: pandas.read_csv(..., "
        f"dtype={{{name!r}: 'Int64'}}), or dtype_backend='numpy_nullable' for a file "
        "with missing values."
    )
    raise DataError(
        f"{name!r} is a factor whose values are floats beyond 2**{digits} "
        f"({n_beyond} of {len(values)} values, the largest {finite.max():.15g}). "
        f"Floats cannot tell whole numbers of that size apart, so that different codes "
        f"would become one level. {advice}"
    )


def is_whole(values: np.ndarray) -> bool:
    """Whether all numbers are whole."""
    if values.dtype == object:
        return all(is_whole_number(value) for value in values)
    return bool((values % 1 == 0).all())


def is_whole_number(value: object) -> bool:
    """Whether one number is whole; decimals of any length."""
    if isinstance(value, Decimal):
        return value == value.to_integral_value()
    return value == int(value)  # pyright: ignore[reportArgumentType]


def level_name(value: object) -> str:
    """Label of a level: whole numbers without a decimal point, as in R."""
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
        return str(int(value))
    if isinstance(value, Decimal):
        plain = format(value, "f")
        return plain.rstrip("0").rstrip(".") if "." in plain else plain
    return str(value)


def number_in(text: str) -> Decimal | None:
    """The number that a label says, exactly; None if it says none."""
    try:
        number = Decimal(text.strip())
    except ArithmeticError:
        return None
    return number if number.is_finite() and "_" not in text else None
