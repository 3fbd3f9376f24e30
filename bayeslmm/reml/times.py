"""When the rows were taken: their order by a given time, or as they stand.

Takes a model and what a user gives as time; gives the place of each row used.
"""

import numpy as np
from jaxtyping import Int

from bayeslmm.design.arrays import Design, rows_of
from bayeslmm.design.labels import index_labels
from bayeslmm.errors import DataError, ModelError, nearest_names, shortened
from bayeslmm.spec import ModelSpec


def time_order(model: ModelSpec, time: object) -> Int[np.ndarray, " n"]:
    """Rank of each row used in time; equal times are equal ranks.

    Parameters
    ----------
    model : ModelSpec
        Whose rows are in memory.
    time : None, str or array_like
        The order of the rows; a numeric column of the fixed or random part; or values,
        one for each row used or for each row of the data.

    Raises
    ------
    ModelError, DataError
        If there is no such column, or the values are not of these rows.
    """
    n = model.design.n
    if time is None:
        return np.arange(n)
    values = _column(model.design, time) if isinstance(time, str) else None
    values = _values(model, time) if values is None else values
    if _is_missing(values):
        raise DataError(
            "time has missing values in rows that the model used, whose place is then "
            "unknown. Fill them in, or leave time out for the order of the rows."
        )
    try:
        return np.unique(values, return_inverse=True)[1].reshape(n)
    except TypeError as error:
        raise DataError(
            f"time has values that cannot be ordered, such as {shortened(values[0])}. "
            f"Give numbers or dates."
        ) from error


def _column(design: Design, name: str) -> np.ndarray:
    """A column of X or Z by its label."""
    rows = rows_of(design, "checks of all rows")
    found = {
        effect: Z[:, k]
        for term, Z in zip(design.groups, rows.Z, strict=True)
        for k, effect in enumerate(term.effects)
    }
    found |= {label: rows.X[:, i] for i, label in enumerate(design.fixed_names)}
    found.pop("Intercept", None)
    if name not in found:
        near = nearest_names(name, found)
        raise ModelError(
            f"time={name!r} is no numeric column of the model.{near} Of another "
            f"column of the data give the values: time=data[{name!r}]."
        )
    return found[name]


def _values(model: ModelSpec, time: object) -> np.ndarray:
    """Values of the rows used, of a Series by its labels."""
    import pandas as pd

    labels, account = model.row_labels, model.design.account
    if isinstance(time, pd.Series) and labels is not None:
        own = index_labels(time.index)
        at = None if own is None else pd.Index(own).get_indexer(pd.Index(labels))
        if at is not None and (at >= 0).all():
            return time.to_numpy()[at]
    values = np.asarray(time)
    if values.shape == (account.n_rows,):
        return values[rows_of(model.design, "checks of all rows").position]
    if values.shape == (account.n_used,):
        return values
    raise DataError(
        f"time must be a column of the model, or one value for each of the "
        f"{account.n_used:,} rows used (or the {account.n_rows:,} given), not "
        f"{shortened(time)} of shape {values.shape}."
    )


def _is_missing(values: np.ndarray) -> bool:
    """Whether any value is missing."""
    import pandas as pd

    return bool(pd.isna(values).any())
