"""`Table`: a DataFrame that holds all digits and shows those that can be read.

Takes whatever a DataFrame takes. Printed, and in a notebook, a row has as many decimals
as its SD or SE supports, the same that the terminal and the report show; what does not
exist is a hyphen; no column is hidden, however narrow the terminal. Without an SD or SE
in the table each parameter has three digits, and a column over levels or rows the
decimals that its spread supports, for each effect. What was rounded stays as it is.
"""

import html
import shutil
import textwrap
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from pandas.api.types import is_float_dtype

from bayeslmm.tables.numbers import (
    MISSING,
    count,
    decimals_for,
    degrees,
    number,
    p_value,
    row,
    significant,
)

# Columns whose entry is the error of the others in its row; the first there is counts.
SCALES = ("reml_se", "sd", "se")
# More decimals than this are not of rounding.
MOST_ROUNDED = 3
# Columns with a scale of their own.
OWN: dict[str, Callable[[float], str]] = {
    "ess_bulk": count,
    "ess_tail": count,
    "rhat": lambda value: number(value, 3),
    "k": lambda value: number(value, 2),
    "t": lambda value: number(value, 2),
    "F": lambda value: number(value, 2),
    "df": degrees,
    "num_df": degrees,
    "den_df": degrees,
    "p": p_value,
    "p_mixture": p_value,
    "p_exact": p_value,
    "p_boot": p_value,
    "p_below": p_value,
    "p_best": p_value,
    "p_top": p_value,
    **dict.fromkeys(("rank", "effective_levels"), lambda value: number(value, 1)),
    "levels": count,
    **dict.fromkeys(("contraction", "overlap"), lambda value: number(value, 2)),
    **dict.fromkeys(
        ("loglik", "deviance", "aic", "aicc", "bic"), lambda value: number(value, 1)
    ),
    "chisq": lambda value: number(value, 2),
    "bf": significant,
    **dict.fromkeys(("log_bf", "log_evidence"), lambda value: number(value, 2)),
    "zeta": lambda value: number(value, 2),
    "difference_in_se": lambda value: number(value, 2),
    "mcse_mean": lambda value: significant(value, 2),
    "error": lambda value: significant(value, 2),
    "variance": significant,
    "covariance": significant,
    **dict.fromkeys(
        ("share", "share_lower", "share_upper"), lambda value: number(value, 3)
    ),
}
# Among them those that are counted, however they were computed.
COUNTED = ("ess_bulk", "ess_tail")


class Table(pd.DataFrame):
    """A DataFrame that is rounded for reading where it is shown, and nowhere else."""

    @property
    def _constructor(self) -> Callable[..., "Table"]:
        """Parts of a table are tables."""
        return Table

    def __repr__(self) -> str:
        """Rounded, all columns, in blocks as wide as the terminal."""
        shown, cut = _shown(self)
        width = shutil.get_terminal_size().columns
        text = shown.to_string(line_width=width)
        notes = [line for note in _notes(self) for line in textwrap.wrap(note, width)]
        return "\n".join([text, *(["", _size(self)] if cut else []), *notes])

    def _repr_html_(self) -> str | None:
        """The same for notebooks."""
        if not pd.get_option("display.notebook_repr_html"):
            return None
        shown, cut = _shown(self)
        below = [_size(self)] if cut else []
        below += [html.escape(note) for note in _notes(self)]
        table = shown.to_html(notebook=True)
        return "\n".join([table, *(f"<p>{line}</p>" for line in below)])


def words(values: np.ndarray) -> pd.Series:
    """Names as a column of text; of objects where no encoding of text holds them."""
    try:
        return pd.Series(values, dtype="str")
    except UnicodeEncodeError:
        return pd.Series(values, dtype=object)


def square_table(labels: Sequence[str], values: Float[np.ndarray, "p p"]) -> Table:
    """A matrix with the same labels on both sides."""
    return Table(values, index=pd.Index(labels, name="label"), columns=list(labels))


def _notes(table: Table) -> Sequence[str]:
    """Sentences that belong to a table."""
    return table.attrs.get("notes", ())


def _size(table: Table) -> str:
    """Rows and columns of a table that is not shown whole."""
    return f"[{len(table):,} rows x {len(table.columns)} columns]"


def _shown(table: Table) -> tuple[pd.DataFrame, bool]:
    """Text of the rows that pandas would show, and whether there are more."""
    most = pd.get_option("display.max_rows") or len(table)
    if len(table) <= most:
        return as_text(table), False
    half = max(min(pd.get_option("display.min_rows") or most, most) // 2, 1)
    parts = [as_text(table.iloc[:half]), as_text(table.iloc[-half:])]
    dots: Any = ("...",) * table.index.nlevels if table.index.nlevels > 1 else "..."
    gap = pd.DataFrame("...", index=[dots], columns=parts[0].columns)
    return pd.concat([parts[0], gap, parts[1]]).rename_axis(table.index.names), True


def as_text(table: pd.DataFrame) -> pd.DataFrame:
    """The table with text for its numbers; columns and index as they are."""
    names = [name for name in SCALES if name in table.columns]
    scale = _first_finite(table[names].to_numpy(float)) if names else None
    numbers = table.drop(columns=[*COUNTED], errors="ignore").select_dtypes(float)
    rounded = _decimals_held(numbers.to_numpy()) <= MOST_ROUNDED
    texts = [_column(table, i, scale, rounded) for i in range(table.shape[1])]
    shown = pd.DataFrame(
        dict(enumerate(texts)), index=table.index, dtype=object, copy=True
    )
    shown.columns = table.columns
    return shown


def _first_finite(values: np.ndarray) -> np.ndarray:
    """First finite value of each row, NaN where there is none."""
    found = np.full(len(values), np.nan)
    for column in values.T[::-1]:
        found = np.where(np.isfinite(column) & (column > 0.0), column, found)
    return found


def _column(
    table: pd.DataFrame, i: int, scale: np.ndarray | None, rounded: bool
) -> list[str]:
    """Texts of one column."""
    name, column = table.columns[i], table.iloc[:, i]
    if not is_float_dtype(column.dtype):
        return ["" if value is None else str(value) for value in column]
    values = column.to_numpy(float)
    if rounded and name not in COUNTED:
        decimals = _decimals_held(values)
        return [number(value, decimals) for value in values.tolist()]
    if name in OWN:
        return [OWN[str(name)](value) for value in values.tolist()]
    if scale is not None:
        return [
            row([value], own)[0]
            for value, own in zip(values.tolist(), scale.tolist(), strict=True)
        ]
    if table.index.name == "label":
        return [significant(value) for value in values.tolist()]
    effects = table["effect"].tolist() if "effect" in table.columns else None
    return _by_spread(values, effects)


def _by_spread(values: np.ndarray, effects: list[Hashable] | None) -> list[str]:
    """Texts of a column without errors: of each effect, as its spread supports."""
    codes = pd.factorize(np.array(effects or [0] * len(values), dtype=object))[0]
    texts = np.full(len(values), MISSING, dtype=object)
    for code in np.unique(codes):
        own = codes == code
        finite = values[own & np.isfinite(values)]
        typical = float(np.median(np.abs(finite))) if len(finite) else 0.0
        spread = float(np.std(finite)) if len(finite) else 0.0
        decimals = decimals_for(min(s for s in (spread, typical, np.inf) if s > 0.0))
        texts[own] = [number(value, decimals) for value in values[own].tolist()]
    return texts.tolist()


def _decimals_held(values: np.ndarray) -> int:
    """Decimals that numbers were rounded to, one more than told apart if to none."""
    finite = values[np.isfinite(values)]
    for decimals in range(MOST_ROUNDED + 1):
        if np.array_equal(np.round(finite, decimals), finite):
            return decimals
    return MOST_ROUNDED + 1
