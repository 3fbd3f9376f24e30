"""Rows to predict, those that were fitted or new ones, as far as they are asked for."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.design.arrays import rows_of
from bayeslmm.design.frame import open_frame
from bayeslmm.design.known import LevelWord, refuse_unseen
from bayeslmm.design.recipe import NewGroup, NewRows, Recipe

if TYPE_CHECKING:
    import pandas as pd


def rows_to_predict(
    recipe: Recipe, new_data: object, words: Sequence[LevelWord]
) -> NewRows:
    """Fixed columns, and of each bar term what its word asks for.

    Parameters
    ----------
    recipe : Recipe
        How the design was made.
    new_data : DataFrame or None
        New rows; the rows used if None.
    words : sequence of str
        What is known of the levels, for each bar term; see `bayeslmm.design.known`.

    Returns
    -------
    NewRows
        ``groups`` has one entry for each bar term: None for ``"population"``, codes -1
        throughout for ``"unknown"``.

    Raises
    ------
    DataError
        If the new data lack something, or have a level that was not in the data and
        the word is ``"group"``.
    """
    if new_data is None:
        return _rows_used(recipe, words)
    rows = recipe.encode(new_data, words=words)
    for term, word, own in zip(recipe.design.groups, words, rows.groups, strict=True):
        if word == "group" and own is not None and (own.codes < 0).any():
            refuse_unseen(term, own.labels[own.codes < 0])
    return rows


def _rows_used(recipe: Recipe, words: Sequence[LevelWord]) -> NewRows:
    """The rows that were fitted."""
    rows = rows_of(recipe.design, "fitted values of all rows")
    nobody, unnamed = np.full(rows.n, -1), np.broadcast_to("", rows.n)
    groups = [
        None
        if word == "population"
        else NewGroup(Z, nobody if word == "unknown" else codes, unnamed)
        for word, Z, codes in zip(words, rows.Z, rows.codes, strict=True)
    ]
    return NewRows(rows.X, tuple(groups), rows.offset)


def predicted_index(
    new_data: object, row_labels: np.ndarray | None, n: int
) -> "pd.Index":
    """Index of a table of predictions: that of the rows, so that a column of it fits.

    Parameters
    ----------
    new_data : DataFrame or None
        New rows; those of pandas have an index.
    row_labels : ndarray, shape (n,), or None
        Labels of the rows used.
    n : int
        Number of rows.
    """
    import pandas as pd

    if new_data is None:
        return pd.RangeIndex(n) if row_labels is None else pd.Index(row_labels)
    native = open_frame(new_data).to_native()
    return native.index if isinstance(native, pd.DataFrame) else pd.RangeIndex(n)
