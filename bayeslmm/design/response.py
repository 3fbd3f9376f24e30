"""The response of a model, and the number of trials of a binomial one.

Takes the evaluated response and gives numbers that a likelihood can use, or says why it
cannot.
"""

import numpy as np
from jaxtyping import Float

from bayeslmm.data.numbers import EXACT
from bayeslmm.data.options import option
from bayeslmm.design.evaluate import Column, Described, NumericColumn
from bayeslmm.design.frame import AnyFactor, FactorColumn
from bayeslmm.design.notes import mixed_column
from bayeslmm.design.textual import conversion
from bayeslmm.errors import DataError, listed

MOST_NAMED = 6  # values that are to be missing, in one option
Vector = Float[np.ndarray, " n"]


def gaussian_response(label: str, column: Column) -> Vector:
    """The response of a Gaussian model: numbers that are not all the same."""
    check_numeric(label, column)
    assert isinstance(column, NumericColumn)
    return _checked(label, column)


def check_numeric(
    label: str, column: Described, given: tuple[str, ...] | None = None
) -> None:
    """Raise if the response of a Gaussian model is a factor.

    `given` are its values in any row: one that is no number makes all of them text,
    even if its row is not used.
    """
    if not isinstance(column, AnyFactor):
        return
    levels = given or column.levels
    mixed, how = mixed_column(levels), conversion(levels)
    advice = "Convert it to numbers, or choose another response."
    if mixed is not None:
        na = ",".join(mixed.others)
        how = option("na", na) if len(mixed.others) <= MOST_NAMED else "na"
        advice = (
            f"All but {len(mixed.others)} of its {len(levels)} different values "
            f"are numbers; make {listed(mixed.others)} missing: {how}."
        )
    elif how is not None:
        advice = f"Its values are numbers that are text: {how}."
    elif len(column.levels) == 2:
        advice = "Use family='bernoulli', or convert it to numbers."
    raise DataError(
        f"The response {label!r} is not numeric: it has the values "
        f"{listed(column.levels)}. A Gaussian model needs numbers. {advice}"
    )


def count_response(label: str, column: Column) -> tuple[Vector, tuple[str, ...]]:
    """The response of another family, and its two levels if it is a factor.

    A factor with two levels becomes 0 for the first and 1 for the second.
    """
    if isinstance(column, NumericColumn):
        return _checked(label, column), ()
    if len(column.levels) != 2:
        raise DataError(
            f"The response {label!r} has the {len(column.levels)} values "
            f"{listed(column.levels)}. A response that is not numeric must have two: "
            f"the first counts as failure, the second as success."
        )
    numbers = NumericColumn(column.codes.astype(float)[:, None], (label,))
    return _checked(label, numbers), column.levels


def _checked(label: str, column: NumericColumn) -> Vector:
    """The one column of a response that varies."""
    y = response_column(label, column)
    check_varies(label, float(y.min()), float(y.max()), len(y))
    return y


def response_column(label: str, column: Column) -> Vector:
    """The one column of a numeric response."""
    check_numeric(label, column)
    assert isinstance(column, NumericColumn)
    if column.values.shape[1] != 1:
        raise DataError(
            f"The response {label!r} has {column.values.shape[1]} columns; it must "
            f"have one."
        )
    return np.ascontiguousarray(column.values[:, 0])


def check_varies(label: str, low: float, high: float, n: int) -> None:
    """Raise if the response is the same in all n rows used."""
    if low == high:
        raise DataError(
            f"The response {label!r} is constant: it is {low:.6g} in all {n} rows "
            f"used, so there is nothing to explain. {_lost(low)}Choose another "
            f"response."
        )


def _lost(value: float) -> str:
    """Sentence on a constant so large that whole numbers beside it become it."""
    if abs(value) < EXACT:
        return ""
    return (
        f"Numbers of that size are kept to {np.spacing(abs(value)):.2g}: if it should "
        f"vary, subtract a constant before it is stored. "
    )


def binomial_trials(label: str, column: Column, y: Vector) -> Vector:
    """Number of trials, whole numbers no smaller than the successes."""
    if isinstance(column, FactorColumn):
        raise DataError(f"The number of trials, {label!r}, is not numeric.")
    trials = column.values[:, 0]
    for values, what in ((y, "successes"), (trials, "trials")):
        n_bad = int(((values < 0) | (values % 1 != 0)).sum())
        if n_bad:
            raise DataError(
                f"The numbers of {what} must be whole and not negative; {n_bad} of "
                f"{len(values)} are not."
            )
    n_over = int((y > trials).sum())
    if n_over:
        raise DataError(
            f"There are more successes than trials in {n_over} of {len(y)} rows. "
            f"cbind() takes successes and failures, p() successes and trials."
        )
    return trials
