"""Larger and smaller studies: the rows of a design with other numbers of levels."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bayeslmm.errors import ModelError, check_count, nearest_names


def resized(data: pd.DataFrame, groups: Mapping[str, int]) -> pd.DataFrame:
    """The rows with so many levels of some columns.

    Parameters
    ----------
    data : DataFrame
        Rows of a study.
    groups : mapping of str to int
        Number of levels wanted, by column. Levels are repeated in turn under new
        names, with all of their rows; fewer are the first of them.

    Raises
    ------
    ModelError
        If there is no such column, or a number is not at least 2.
    """
    for name, wanted in groups.items():
        if name not in data.columns:
            raise ModelError(
                f"There is no column {name!r} to have more levels."
                f"{nearest_names(name, data.columns)}"
            )
        count = check_count(wanted, f"groups[{name!r}]", 2)
        codes, levels = pd.factorize(data[name])
        rows = [np.flatnonzero(codes == own) for own in range(len(levels))]
        taken = [rows[i % len(levels)] for i in range(count)]
        at = np.repeat(np.arange(count), [len(own) for own in taken])
        data = data.iloc[np.concatenate(taken)].reset_index(drop=True)
        data[name] = [f"{name}{i + 1}" for i in at]
    return data


def repeated(data: pd.DataFrame, times: int) -> pd.DataFrame:
    """Every row so many times: more rows in each level, the same predictors."""
    times = check_count(times, "rows", 1)
    return pd.concat([data] * times, ignore_index=True)
