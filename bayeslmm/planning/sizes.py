"""Larger and smaller studies: the rows of a design with other numbers of levels."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Int

from bayeslmm.errors import ModelError, listed, nearest_names
from bayeslmm.formula import Formula


def resized(
    data: pd.DataFrame, groups: Mapping[str, int], formula: Formula
) -> pd.DataFrame:
    """The rows with so many levels of some columns.

    Parameters
    ----------
    data : DataFrame
        Rows of a study.
    groups : mapping of str to int
        Number of levels wanted, by column. Each gets a new name; a level that is there
        several times has all of its rows each time. Those taken are spread evenly over
        the levels in the order of the columns that are constant within them, the
        columns of fewest values first: a treatment between levels keeps its
        proportions as well as can be.
    formula : Formula
        Says which columns are predictors and which group. A grouping column whose
        levels each lie in one of the levels repeated has other levels in each copy.

    Raises
    ------
    ModelError
        If there is no such column, or it is a predictor that groups no rows.
    """
    for name, count in groups.items():
        if name not in data.columns:
            raise ModelError(
                f"There is no column {name!r} to have more levels."
                f"{nearest_names(name, data.columns)}"
            )
        if name in formula.columns and name not in _grouping(formula):
            raise ModelError(
                f"{name!r} does not group rows in {formula.text!r}, so it cannot have "
                f"more levels. groups= is for grouping columns: "
                f"{listed(_grouping(formula))}."
            )
        data = _resized(data, name, count, formula)
    return data


def _resized(
    data: pd.DataFrame, name: str, count: int, formula: Formula
) -> pd.DataFrame:
    """The rows with so many levels of one column."""
    codes, levels = pd.factorize(data[name])
    if not len(levels):
        raise ModelError(f"The column {name!r} has no levels: all values are missing.")
    grouping = _grouping(formula)
    others = [c for c in formula.columns if c in data.columns and c != name]
    inner = [c for c in others if c in grouping and _is_constant(data, name, within=c)]
    outer = set(others) - {*inner, *formula.response.columns}
    between = [c for c in others if c in outer and _is_constant(data, c, within=name)]
    order = _order(
        data.iloc[np.unique(codes[codes >= 0], return_index=True)[1]], between
    )
    taken = _spread(order, count)
    rows = [np.flatnonzero(codes == own) for own in range(len(levels))]
    at = np.repeat(np.arange(count), [len(rows[own]) for own in taken])
    copy = np.arange(count) // len(levels)
    data = data.iloc[np.concatenate([rows[own] for own in taken])]
    data = data.reset_index(drop=True)
    data[name] = [f"{name}{i + 1}" for i in at]
    if count > len(levels):
        for column in inner:
            pairs = zip(data[column], copy[at], strict=True)
            data[column] = [v if pd.isna(v) else f"{v}.{i + 1}" for v, i in pairs]
    return data


def _grouping(formula: Formula) -> tuple[str, ...]:
    """Columns that group rows."""
    found = (c for own in formula.groupings for a in own.group for c in a.columns)
    return tuple(dict.fromkeys(found))


def _is_constant(data: pd.DataFrame, column: str, *, within: str) -> bool:
    """Whether a column has one value in each level of another."""
    return bool((data.groupby(within, observed=True)[column].nunique() <= 1).all())


def _order(first: pd.DataFrame, between: list[str]) -> Int[np.ndarray, " j"]:
    """Levels, of which the first rows are given, in the order of some columns."""
    keys = [
        first[c].to_numpy()
        if pd.api.types.is_numeric_dtype(first[c])
        else pd.factorize(first[c].astype(str), sort=True)[0]
        for c in sorted(between, key=lambda c: first[c].nunique())
    ]
    return np.lexsort(keys[::-1]) if keys else np.arange(len(first))


def _spread(order: Int[np.ndarray, " j"], count: int) -> Int[np.ndarray, " m"]:
    """So many levels: all of them again and again, then some, evenly spread."""
    times, rest = divmod(count, len(order))
    some = np.floor((np.arange(rest) + 0.5) * len(order) / max(rest, 1)).astype(int)
    return np.concatenate([np.tile(np.sort(order), times), np.sort(order[some])])


def repeated(data: pd.DataFrame, times: int) -> pd.DataFrame:
    """Every row so many times: more rows in each level, the same predictors."""
    return pd.concat([data] * times, ignore_index=True)
