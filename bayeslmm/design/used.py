"""Which rows of the data are used.

Takes the frame, the formula and the weights; gives the columns that are read, the
positions of the rows without missing values, and the account of the others.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.data.origin import notes_of, origin_of
from bayeslmm.design.frame import RawColumn, read_column
from bayeslmm.errors import DataError, FormulaError, nearest_names
from bayeslmm.formula import Formula
from bayeslmm.formula.nodes import names_in

if TYPE_CHECKING:
    import narwhals

Columns = dict[str, RawColumn]

# Powers of ten by which the geometric mean of the weights may differ from 1.
MOST_DECADES = 8.0
UNNAMED = ("None", "nan", "NaN", "NaT")


def read_columns(
    frame: "narwhals.DataFrame[Any]", formula: Formula, names: tuple[str, ...]
) -> Columns:
    """The columns of the given names, none of them infinite."""
    given = frame.columns
    for name in names:
        if name not in given:
            near = _nearest_columns(name, given)
            noted = notes_of(frame.to_native())
            raise unknown_column(formula, name, "the data", f"{near}{noted}")
    columns = {name: read_column(frame, name) for name in names}
    for name, column in columns.items():
        if column.values.dtype.kind == "f":
            n_infinite = int(np.isinf(column.values).sum())
            if n_infinite:
                raise DataError(
                    f"Column {name!r} is infinite in {n_infinite} of "
                    f"{len(column.values)} rows. Correct those values or drop the rows."
                )
    return columns


def check_not_renamed(frame: "narwhals.DataFrame[Any]", names: tuple[str, ...]) -> None:
    """Raise if a column that is read had a twin of the same name in the file."""
    origin = origin_of(frame.to_native())
    for twin, name in (origin.renamed if origin else {}).items():
        if name in names and {twin, name} <= set(frame.columns):
            raise DataError(
                f"The file has more than one column named {name!r}; here they are "
                f"{name!r} and {twin!r}, and it is not clear which is meant. Drop one "
                f"of them, or rename them."
            )


def _nearest_columns(name: str, columns: Sequence[object]) -> str:
    """Sentence that offers columns like `name`, or says why a formula has none.

    A formula names columns by text; a frame may name them by numbers, dates, tuples.
    """
    text = [column for column in columns if isinstance(column, str)]
    near = nearest_names(name, text)
    others = [column for column in columns if not isinstance(column, str)]
    # pandas makes NaN of the name None where the others are text
    same = [c for c in others if str(c) == name or (c != c and name in UNNAMED)]
    if not others or (near.startswith(" Did you mean") and not same):
        return near
    shown = same[0] if same else others[0]
    what = (
        f"The column {shown!r} has a name of type {type(shown).__name__}"
        if same
        else f"{len(others)} of {len(columns)} columns have names that are not text "
        f"({shown!r} is of type {type(shown).__name__})"
    )
    if shown != shown:
        what = f"One column has no name (it is called {shown!r})"
    names = (
        "['_'.join(map(str, name)) for name in data.columns]"
        if isinstance(shown, tuple)
        else "data.columns.map(str)"
    )
    return (
        f"{near} {what}, and a formula names columns by text. Write data.columns = "
        f"{names}, and back-quote a name that is not a word: `0`."
    )


def unknown_column(
    formula: Formula, name: str, where: str, advice: str
) -> FormulaError:
    """The error for a column that is not there, at its first use in the formula."""
    read = [atom for atom in formula.atoms if atom not in formula.residual_atoms]
    uses = (use for atom in read for use in names_in(atom.node))
    at = next((use.position for use in uses if use.name == name), None)
    return FormulaError(
        f"There is no column {name!r} in {where}.{advice}", formula.text, at
    )


def complete_rows(
    columns: Columns, formula: Formula, *, noted: str = ""
) -> Int[np.ndarray, " m"]:
    """Positions of the rows without a missing value in any column.

    `noted` is what reading the file decided, for the message if there are none.
    """
    if not columns or not len(next(iter(columns.values())).values):
        raise DataError(
            "The data have no rows, so there is nothing to fit. Check how they were "
            "read or filtered."
        )
    for name in formula.response.columns:
        if columns[name].missing.all():
            raise DataError(
                f"All {len(columns[name].missing)} values of the response column "
                f"{name!r} are missing, so there is nothing to fit. Check how it was "
                f"read, or choose another response.{noted}"
            )
    n = len(next(iter(columns.values())).values)
    kept = complete(list(columns.values()), n)
    if not len(kept):
        raise all_incomplete(n, missing_counts(columns), noted)
    return kept


def complete(columns: list[RawColumn], n: int) -> Int[np.ndarray, " m"]:
    """Rows without a missing value in any of the columns."""
    incomplete = [column.missing for column in columns if column.missing.any()]
    if not incomplete:
        return np.arange(n)
    return np.flatnonzero(~np.logical_or.reduce(incomplete))


def all_incomplete(n: int, missing: Mapping[str, int], noted: str = "") -> DataError:
    """The error for rows of which each misses a value."""
    worst = ", ".join(f"{name!r} {count}" for name, count in missing.items())
    return DataError(
        f"Each of the {n} rows misses a value in some column (missing: {worst}). Leave "
        f"a column out of the formula or fill it in.{noted}"
    )


def missing_counts(columns: Columns) -> dict[str, int]:
    """Number of missing values of each column that has some."""
    return {
        name: int(column.missing.sum())
        for name, column in columns.items()
        if column.missing.any()
    }


# --- weights --------------------------------------------------------------------------


def read_weights(
    frame: "narwhals.DataFrame[Any]", weights: object, kept: Int[np.ndarray, " m"]
) -> Float[np.ndarray, " m"] | None:
    """Weights of the rows kept, from a column name or an array over all rows."""
    if weights is None:
        return None
    label = f"The weights column {weights!r}" if isinstance(weights, str) else "weights"
    values = _weight_values(frame, _by_label(frame, weights), label)
    if len(values) != len(frame):
        raise DataError(
            f"There are {len(values)} weights for {len(frame)} rows. Give one for each "
            f"row of the data, or the name of a column."
        )
    check_weights(values[kept], label)
    check_weights_size(float(np.log(values[kept]).sum()), len(kept), label)
    return values[kept]


def _by_label(frame: "narwhals.DataFrame[Any]", weights: object) -> object:
    """A pandas Series in the order of the rows, by its labels; the rest as it is.

    Labels that are not the rows' are refused: by position they might go wrong silently.
    """
    import pandas as pd

    if not isinstance(weights, pd.Series):
        return weights
    native = frame.to_native()
    pandas = isinstance(native, pd.DataFrame)
    rows = native.index if pandas else pd.RangeIndex(len(frame))
    if rows.equals(weights.index):
        return weights
    without = int((~rows.isin(weights.index)).sum())
    if without or not (rows.is_unique and weights.index.is_unique):
        why = (
            f"{without} of {len(rows)} rows have no weight under their label"
            if without
            else "labels occur more than once, in another order than those of the rows"
        )
        raise DataError(
            f"weights are a Series whose index is not that of the data: {why}. Give "
            f"the name of a column, or weights.to_numpy() if they are in the order of "
            f"the rows."
        )
    return weights.reindex(rows)


def _weight_values(
    frame: "narwhals.DataFrame[Any]", weights: object, label: str
) -> Float[np.ndarray, " n"]:
    """Weights as numbers, NaN where missing."""
    if isinstance(weights, str):
        if weights not in frame.columns:
            raise DataError(
                f"There is no column {weights!r} in the data to take weights from."
                f"{_nearest_columns(weights, frame.columns)}"
            )
        column = read_column(frame, weights)
        if column.kind != "number":
            raise DataError(
                f"{label} does not hold numbers but {column.kind}. Choose another."
            )
        return column_weights(column)
    try:
        given = np.asarray(weights)
        if given.dtype.kind == "c":
            raise TypeError("complex numbers are not ordered")
        values = np.asarray(given, dtype=float)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"weights must be numbers, one for each row, or the name of a column; a "
            f"{type(weights).__name__} was given."
        ) from error
    if values.ndim != 1:
        raise DataError(
            f"weights have shape {values.shape}. Give one number for each row, or the "
            f"name of a column, which is text."
        )
    return values


def column_weights(column: RawColumn) -> Float[np.ndarray, " n"]:
    """Weights of a column as floats, NaN where missing."""
    values = column.values.astype(float, copy=False)
    return np.where(column.missing, np.nan, values) if column.missing.any() else values


def check_weights_size(log_weights: float, n: int, label: str) -> None:
    """Raise if the weights are so far from 1 that they drive the SDs apart.

    The residual SD is that of a row of weight 1. Measured on y with effects of its own
    size: REML's search loses digits at weights of 1e-8 and 1e8, and misses from 1e-12
    and 1e12.
    """
    decades = log_weights / (n * math.log(10.0))
    if abs(decades) > MOST_DECADES:
        raise DataError(
            f"{label}: the values are around 1e{decades:.0f}. The residual SD is that "
            f"of a row of weight 1, so it would be around 1e{decades / 2:.0f} times "
            f"that of the rows, too far from the other SDs to be computed with. Divide "
            f"the weights by their mean: the fit is the same, sigma that of a row of "
            f"average weight."
        )


def check_weights(values: Float[np.ndarray, " m"], label: str) -> None:
    """Raise unless every weight is positive and finite."""
    for word, bad, advice in (
        ("missing", np.isnan(values), "Fill them in or drop those rows."),
        ("infinite", np.isinf(values), "Correct them or drop those rows."),
        ("negative", values < 0.0, "A weight divides the residual variance."),
        ("zero", values == 0.0, "A row of weight zero says nothing: drop those rows."),
    ):
        if bad.any():
            raise DataError(
                f"{label}: {int(bad.sum())} of {len(values)} values "
                f"{'is' if bad.sum() == 1 else 'are'} {word}. {advice} Weights must be "
                f"positive and finite."
            )
