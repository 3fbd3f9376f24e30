"""Files of Stata and SPSS, whose numbers may have labels.

Takes a path; gives a frame in which a column with a label for each of its values is a
categorical, in the order of the numbers. A column with labels for some values only
(the ends of a scale) stays numbers, and a note says so.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayeslmm.data.words import not_installed, unreadable
from bayeslmm.errors import listed, repeated

if TYPE_CHECKING:
    import pandas as pd


def read_stata(path: Path) -> "tuple[pd.DataFrame, list[str]]":
    """A file of Stata; its columns and notes.

    Raises
    ------
    InputFileError
        If it is none.
    """
    from struct import error as StructError

    from pandas.io.stata import StataReader

    try:
        with StataReader(path, convert_categoricals=False) as reader:
            data = reader.read()
            sets = reader.value_labels()
            used = dict(zip(reader._varlist, reader._lbllist, strict=False))
    except (StructError, ValueError, OSError, KeyError) as error:
        raise unreadable(path, "a file of Stata", error) from error
    labels = {name: sets[used[name]] for name in used if used[name] in sets}
    return _with_labels(data, labels)


def read_spss(path: Path) -> "tuple[pd.DataFrame, list[str]]":
    """A file of SPSS; its columns and notes. Values that it calls missing are missing.

    Raises
    ------
    InputFileError
        If it is none, or pyreadstat is not installed.
    """
    try:
        import pyreadstat
    except ImportError as error:
        raise not_installed(path, "pyreadstat") from error
    try:
        data, meta = pyreadstat.read_sav(str(path))
    except (pyreadstat.ReadstatError, OSError, ValueError) as error:
        raise unreadable(path, "a file of SPSS", error) from error
    return _with_labels(data, meta.variable_value_labels)


def _with_labels(
    data: "pd.DataFrame", labels: Mapping[str, Mapping[Any, str]]
) -> "tuple[pd.DataFrame, list[str]]":
    """The frame with labels in place of numbers where each number has its own."""
    import pandas as pd

    partly, notes = [], []
    for name, found in labels.items():
        if name not in data:
            continue
        column = data[name]
        values = sorted(column.dropna().unique().tolist())
        if not set(values) <= set(found):
            partly.append(name)
            continue
        twice = repeated(found[value] for value in values)
        if twice:
            notes.append(
                f"two values of {name!r} have the label {twice[0]!r}, so it was read "
                f"as numbers"
            )
            continue
        order = [found[value] for value in sorted(found)]
        kinds = pd.CategoricalDtype(list(dict.fromkeys(order)))
        data[name] = column.map(dict(found)).astype(kinds)
    if partly:
        notes.append(
            f"some values of {listed(partly)} have labels and others have none, so "
            f"they were read as numbers"
        )
    return data, notes
