"""Names of columns as people write them, and a first row that is no header.

Takes a frame as a reader gives it and the names that stand in the file; gives the frame
under clean names, or one message if the first row names few of the columns.
"""

from typing import TYPE_CHECKING

from bayeslmm.errors import InputFileError

if TYPE_CHECKING:
    import pandas as pd

NAMELESS = "Unnamed: "  # what pandas calls a column without a name


def with_clean_names(
    data: "pd.DataFrame", given: list[object], *, where: str
) -> "tuple[pd.DataFrame, dict[str, str]]":
    """The frame without spaces around names, and names that are not as in the file.

    Columns without a name and without a value, as a separator at the end of each line
    makes them, are left out.

    Raises
    ------
    InputFileError
        If most columns have no name; `where` says of what.
    """
    old = [
        clean(name) if isinstance(name, str) else str(name)
        for name in (*given, *data.columns[len(given) :])
    ]
    nameless = [str(name).startswith(NAMELESS) for name in data.columns]
    empty = data.isna().all().to_numpy() if len(data) else nameless
    keep = [not (a and b) for a, b in zip(nameless, empty, strict=True)]
    _check_header(len(keep) - sum(nameless), sum(keep), where)
    new: list[str] = []
    for name in map(str, data.columns):
        new.append(name if clean(name) in new else clean(name))
    renamed = {
        n: o
        for n, o, gone in zip(new, old, nameless, strict=True)
        if n != o and not gone
    }
    data.columns = new
    return data.loc[:, keep], renamed


def clean(name: str) -> str:
    """A name without spaces around it, and without line breaks."""
    return " ".join(name.split())


def _check_header(named: int, n: int, where: str) -> None:
    """Raise unless the first row names most columns."""
    if named < n / 2:
        raise InputFileError(
            f"The first row of {where} names {named} of {n} columns, so it is no "
            f"header. Delete the rows above the header (titles, notes), or save the "
            f"table as a file or sheet of its own."
        )
