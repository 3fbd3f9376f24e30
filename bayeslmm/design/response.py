"""The response of a model, and the number of trials of a binomial one.

Takes the evaluated response and gives numbers that a likelihood can use, or says why it
cannot.
"""

import numpy as np
from jaxtyping import Float

from bayeslmm.design.evaluate import Column, NumericColumn
from bayeslmm.design.frame import FactorColumn, listed
from bayeslmm.errors import DataError

Vector = Float[np.ndarray, " n"]


def gaussian_response(label: str, column: Column) -> Vector:
    """The response of a Gaussian model: numbers that are not all the same."""
    if isinstance(column, FactorColumn):
        two = len(column.levels) == 2
        advice = (
            "Use family='bernoulli', or convert it to numbers."
            if two
            else "Convert it to numbers, or choose another response."
        )
        raise DataError(
            f"The response {label!r} is not numeric: it has the values "
            f"{listed(column.levels)}. A Gaussian model needs numbers. {advice}"
        )
    return _checked(label, column)


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
    if column.values.shape[1] != 1:
        raise DataError(
            f"The response {label!r} has {column.values.shape[1]} columns; it must "
            f"have one."
        )
    y = np.ascontiguousarray(column.values[:, 0])
    if y.min() == y.max():
        raise DataError(
            f"The response {label!r} is constant: it is {y[0]:.6g} in all {len(y)} "
            f"rows used, so there is nothing to explain. Choose another response."
        )
    return y


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
