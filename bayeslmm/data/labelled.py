"""Files of Stata and SPSS, whose numbers may have labels.

Takes a path; gives a frame in which a column with a label for each of its values is a
categorical, in the order of the numbers. A column with labels for some values only
(the ends of a scale) stays numbers, and a note says so.
"""

from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from struct import error as StructError  # noqa: N812  # its name says nothing
from typing import TYPE_CHECKING, Any, cast

from bayeslmm.data.origin import Table
from bayeslmm.data.words import not_installed, unreadable
from bayeslmm.errors import listed

if TYPE_CHECKING:
    import pandas as pd


def read_stata(path: Path) -> Table:
    """A file of Stata; its columns and notes.

    Raises
    ------
    InputFileError
        If it is none.
    """
    import pandas as pd

    try:
        data = pd.read_stata(path, convert_categoricals=False)
    except (StructError, ValueError, OSError, KeyError) as error:
        raise unreadable(path, "a file of Stata", error) from error
    try:
        labelled = dict(pd.read_stata(path).items())
    except ValueError:  # two values with one label, in some column
        labelled = {name: _stata_column(path, name) for name in data}
    return _with_labels(data, labelled.items())


def _stata_column(path: Path, name: Hashable) -> "pd.Series | None":
    """One column with its labels, None if two values have the same one."""
    import pandas as pd

    try:
        return pd.read_stata(path, columns=[str(name)])[name]
    except ValueError:
        return None


def read_spss(path: Path) -> Table:
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
        found, meta = pyreadstat.read_sav(str(path))
    except (pyreadstat.ReadstatError, OSError, ValueError) as error:
        raise unreadable(path, "a file of SPSS", error) from error
    data = cast("pd.DataFrame", found)
    labelled = {
        name: _replaced(data[name], labels)
        for name, labels in meta.variable_value_labels.items()
        if name in data
    }
    return _with_labels(data, labelled.items())


def _replaced(column: "pd.Series", labels: Mapping[Any, str]) -> "pd.Series | None":
    """Labels in place of values, in the order of these; None if two are the same."""
    import pandas as pd

    values = [*labels, *(v for v in column.dropna().unique() if v not in labels)]
    values = sorted(values, key=lambda value: (isinstance(value, str), value))
    names = [labels.get(value, value) for value in values]
    if len(set(names)) < len(names):
        return None
    replaced = pd.Categorical(column, categories=values)
    renamed = replaced.rename_categories(dict(zip(values, names, strict=True)))
    return pd.Series(renamed, index=column.index)


def _first_label(values: "pd.Series", labels: "pd.Series") -> str:
    """A value that has a label, with it: ``-99 is 'no answer'``."""
    pairs = zip(values.dropna(), labels.dropna(), strict=True)
    value, label = min(pair for pair in pairs if isinstance(pair[1], str))
    return f"{value:g} is {label!r}"


def _with_labels(
    data: "pd.DataFrame", labelled: "Iterable[tuple[Hashable, pd.Series | None]]"
) -> Table:
    """The frame with labels in place of numbers where each number has its own."""
    import pandas as pd

    partly, twice = [], []
    for name, column in labelled:
        if column is None:
            twice.append(name)
        elif not isinstance(column.dtype, pd.CategoricalDtype):
            continue
        elif all(isinstance(v, str) for v in column.dropna().unique()):
            data[name] = column.cat.set_categories(
                [c for c in column.cat.categories if isinstance(c, str)], ordered=False
            )
        elif any(isinstance(v, str) for v in column.dropna().unique()):
            partly.append(f"{name!r} ({_first_label(data[name], column)})")
    notes = []
    if partly:
        notes.append(
            f"only some values have labels, so that these are read as numbers: "
            f"{', '.join(partly)}"
        )
    if twice:
        notes.append(f"two values of {listed(twice)} have one label: read as numbers")
    return Table(data, notes=notes)
