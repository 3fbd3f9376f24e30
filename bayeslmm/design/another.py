"""The same rows with another response.

Takes a `Recipe` and what a user gives as y; gives the `Recipe` that the data would have
given with that response, or says why it cannot be one.
"""

from dataclasses import replace
from decimal import Decimal
from numbers import Real

import numpy as np
from jaxtyping import Float

from bayeslmm.data.numbers import to_floats
from bayeslmm.design.account import RowAccount
from bayeslmm.design.arrays import Design, rows_of
from bayeslmm.design.digits import coarse_response
from bayeslmm.design.evaluate import NumericColumn
from bayeslmm.design.labels import index_labels
from bayeslmm.design.moments import column_moments
from bayeslmm.design.recipe import Recipe
from bayeslmm.design.response import binomial_trials, check_varies
from bayeslmm.design.traps import missing_codes
from bayeslmm.errors import DataError, listed, shortened


def answer_recipe(recipe: Recipe, y: object, row_labels: np.ndarray | None) -> Recipe:
    """The recipe of another response of the same rows.

    Parameters
    ----------
    recipe : Recipe
        Of rows in memory.
    y : array_like, shape (n,)
        One number for each row used; a pandas Series goes by its labels.
    row_labels : ndarray or None
        Index of the rows used.

    Raises
    ------
    DataError
        If y is no response of these rows.
    """
    old, label = recipe.design, recipe.design.response
    given = _in_order(y, row_labels, label)
    design = answer_design(old, given)
    values = rows_of(design, "another response").y
    if recipe.response_levels and not np.isin(values, (0.0, 1.0)).all():
        raise DataError(
            f"The response {label!r} has the levels {listed(recipe.response_levels)}: "
            f"a new one must be 0 for the first and 1 for the second in every row."
        )
    if recipe.trials is not None:
        trials = recipe.formula.trials
        assert trials is not None, "trials come from the formula"
        counts = NumericColumn(recipe.trials[:, None], (trials.label,))
        binomial_trials(trials.label, counts, values)
    whole = frozenset([label] if given.dtype.kind in "iu" else [])
    column = NumericColumn(values[:, None], (label,))
    variables = {**recipe.coding.variables, label: column}
    coding = replace(recipe.coding, variables=variables)
    return replace(recipe, design=_accounted(design, column, whole), coding=coding)


def response_account(design: Design) -> RowAccount:
    """The part of the account that is of the response, for a warning."""
    label, account = design.response, design.account
    return RowAccount(
        account.n_rows,
        account.n_used,
        coarse={name: c for name, c in account.coarse.items() if name == label},
        traps=tuple(trap for trap in account.traps if _is_of(label, trap)),
    )


def answer_design(old: Design, y: np.ndarray) -> Design:
    """The design with another y and its moments; its account is still that of the old.

    Raises
    ------
    DataError
        Unless y has one finite number for each row, and varies.
    """
    values = _numbers(_as_array(y, old.response), old.n, old.response)
    moments, own = old.moments, column_moments(values[:, None])
    check_varies(old.response, float(own.low[0]), float(own.high[0]), old.n)
    rows = replace(rows_of(old, "another response"), y=values)
    net = own if rows.offset is None else column_moments(rows.net[:, None])
    return replace(old, rows=rows, recorded=replace(moments, y=own, net=net))


def _accounted(
    design: Design, column: NumericColumn, integers: frozenset[str]
) -> Design:
    """The design with what its account says of the response."""
    account, label, moments = design.account, design.response, design.moments
    coarse = {k: c for k, c in account.coarse.items() if k != label}
    found = coarse_response(label, moments.y, moments.net, integers)
    traps = tuple(trap for trap in account.traps if not _is_of(label, trap))
    traps = (*traps, *missing_codes(label, column))
    if account.coarse == (found | coarse) and account.traps == traps:
        return design
    account = replace(account, coarse=found | coarse, traps=traps)
    return replace(design, account=account, recorded=moments)


def _is_of(label: str, trap: str) -> bool:
    """Whether a sentence is on values of the response."""
    return trap.startswith(f"{label!r} is ")


def _in_order(y: object, row_labels: np.ndarray | None, label: str) -> np.ndarray:
    """The values in the order of the rows used."""
    import pandas as pd

    # a Series of another length is refused later, for its shape
    if (
        isinstance(y, pd.Series)
        and row_labels is not None
        and len(y) == len(row_labels)
    ):
        own = index_labels(y.index)
        if own is None:
            raise DataError(
                f"The new response of {label!r} is a Series with labels that occur "
                f"more than once, so that its rows cannot be found by them. Give "
                f"y.to_numpy() if it is in the order of the rows used."
            )
        at = pd.Index(own).get_indexer(pd.Index(row_labels))
        if (at < 0).any():
            raise DataError(
                f"The new response of {label!r} is a Series whose index is not that of "
                f"the rows used. Give y.to_numpy() if it is in their order."
            )
        return y.to_numpy()[at]
    return _as_array(y, label)


def _as_array(y: object, label: str) -> np.ndarray:
    """An array of what was given; what is masked is missing."""
    if isinstance(y, np.ma.MaskedArray):
        hidden = np.ma.getmaskarray(y)
        y = np.ma.getdata(y)
        y = np.where(hidden, np.nan, y.astype(object)) if hidden.any() else y
    try:
        return np.asarray(y)
    except ValueError as error:  # rows of different lengths
        raise DataError(
            f"A new response of {label!r} must have one number for each of the rows "
            f"used, and {shortened(y)} is no such list."
        ) from error


def _without_missing(given: np.ndarray) -> np.ndarray:
    """Objects, with NaN for None and all that pandas takes for missing."""
    import pandas as pd

    return np.where(pd.isna(given), np.nan, given)


def _numbers(given: np.ndarray, n: int, label: str) -> Float[np.ndarray, " n"]:
    """One finite number for each row, or a `DataError`."""
    strange = [] if given.dtype.kind in "iufb" else given.ravel()[:1].tolist()
    if given.dtype == object:
        given = _without_missing(given)
        strange = [v for v in given.flat if not isinstance(v, Real | Decimal)][:1]
    if strange:
        raise DataError(
            f"A new response of {label!r} must be numbers, one for each of the {n} "
            f"rows used, and values such as {shortened(strange)} were given. Convert "
            f"them."
        )
    if given.shape != (n,):
        raise DataError(
            f"A new response of {label!r} must have one number for each of the {n} "
            f"rows used, shape ({n},); it has shape {given.shape}. Rows that the model "
            f"left out have no place in it: see model.row_labels."
        )
    values = np.array(to_floats(label, given), dtype=float)
    n_bad = int((~np.isfinite(values)).sum())
    if n_bad:
        raise DataError(
            f"{n_bad} of {n} values of the new response of {label!r} are missing or "
            f"infinite. A model of these rows needs all of them: fill them in, or make "
            f"a new Model from the data, which leaves such rows out."
        )
    return values
