"""A small matrix as lines of text: right-aligned, what is exactly 0 as a dot."""

import pandas as pd

from bayeslmm.tables.numbers import counted

MOST_COLUMNS = 8  # that fit beside each other on a terminal
ZERO = "."  # so that blocks are seen


def data_lines(matrix: pd.DataFrame) -> list[str]:
    """Numbers as they stand in the data, six significant digits at most."""
    return _lines(matrix.map("{:.6g}".format))


def estimate_lines(matrix: pd.DataFrame) -> list[str]:
    """Estimates to five significant digits, and a dot for what is not there."""
    return _lines(matrix.map(lambda one: ZERO if one == 0.0 else f"{one:#.5g}"))


def _lines(matrix: pd.DataFrame) -> list[str]:
    """As many columns as fit, and how many do not."""
    cut = matrix.iloc[:, :MOST_COLUMNS]
    lines = cut.to_string(index_names=False).splitlines()
    hidden = matrix.shape[1] - cut.shape[1]
    return lines + ([f"and {counted(hidden, 'more column')}"] if hidden else [])
