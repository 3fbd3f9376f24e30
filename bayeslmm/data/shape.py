"""Whether the lines of a text file are a table, and what to do if they are none.

Takes a text file and what pandas made of it; gives nothing, or one message that says
what the first lines look like and which option or edit helps.
"""

import re
from typing import TYPE_CHECKING

from bayeslmm.data.options import option
from bayeslmm.data.textfile import CANDIDATES, TextFile
from bayeslmm.data.words import first_line
from bayeslmm.errors import InputFileError

if TYPE_CHECKING:
    import pandas as pd

# What pandas says of a line with more fields than those before, of an open quote.
LONGER = re.compile(r"Expected (\d+) fields in line (\d+), saw (\d+)")
OPEN = re.compile(r"EOF inside string starting at row (\d+)")
TITLE = (
    "If the first line is a title or a comment, delete the lines above the header: the "
    "first line must name the columns."
)


def more_fields(text: TextFile, data: "pd.DataFrame") -> InputFileError:
    """The error for rows that are longer than the header, which shifts all columns."""
    first = f"The rows of {str(text.path)!r} have {data.index.nlevels} more "
    first += "field" if data.index.nlevels == 1 else "fields"
    first += " than its first line"
    hint = _separator_hint(text)
    if hint and ";" in text.header() and text.sep == ",":
        return InputFileError(
            f"{first} if a comma separates them. Its first line suggests ';', so that "
            f"the comma is a decimal mark: use {option('decimal', ',')}."
        )
    if hint:
        return InputFileError(f"{first}.{hint}")
    if data.iloc[:, -1].isna().all():
        return InputFileError(
            f"{first}, empty in every row: each row ends in a {text.sep!r} that the "
            f"first line lacks. Remove it there, or add it to the first line."
        )
    title = f" {TITLE}" if data.shape[1] == 1 else ""
    return InputFileError(
        f"{first}, so it is not clear which column has which name.{title} If the rows "
        f"begin with their names or numbers (R's write.table does that), write it anew "
        f"without these (row.names=FALSE) or name that column too. If a comma in them "
        f"is a decimal mark, columns must be separated by something else."
    )


def unparsed(text: TextFile, error: BaseException) -> InputFileError:
    """The error for lines that are no table: too many fields, a quote that is open."""
    name, said = str(text.path), first_line(error)
    separator = CANDIDATES.get(text.sep, repr(text.sep))
    hint = _separator_hint(text)
    longer, opened = LONGER.search(said), OPEN.search(said)
    if opened:
        return InputFileError(
            f"In {name!r} a quotation mark in row {opened[1]} under the header is not "
            f"closed. Close it, or take it out."
        )
    if longer and not hint:
        expected, line, seen = longer.groups()
        advice = (
            TITLE
            if expected == "1"
            else "A text with the separator in it must stand in quotes; a decimal "
            f"comma needs another separator. {TITLE}"
        )
        return InputFileError(
            f"Line {line} of {name!r} has {seen} fields and the lines before it "
            f"{expected}, if columns are separated by {separator}. {advice}"
        )
    return InputFileError(
        f"{name!r} cannot be read as text with columns separated by {separator}: "
        f"{said}.{hint}"
    )


def check_columns(text: TextFile, data: "pd.DataFrame") -> None:
    """Raise if all columns seem to have been read as one."""
    if data.shape[1] > 1:
        return
    hint = _separator_hint(text, str(data.columns[0]))
    if hint:
        raise InputFileError(
            f"{str(text.path)!r} has one column, {str(data.columns[0])!r}, if columns "
            f"are separated by {CANDIDATES.get(text.sep, repr(text.sep))}.{hint}"
        )


def _separator_hint(text: TextFile, header: str | None = None) -> str:
    """Which separator the first line suggests instead, and how to say so.

    A space is one only where nothing else is: names of columns may have spaces.
    """
    line = (text.header() if header is None else header).strip(" \r\n")
    others = {c: line.count(c) for c in CANDIDATES if c not in (text.sep, " ")}
    best = max(others, key=lambda c: others[c])
    if not others[best] and header is not None and " " in line:
        return f" Its first line suggests spaces: use {option('sep', ' ')}."
    if others[best] == 0 or others[best] <= line.count(text.sep):
        return ""
    return f" Its first line suggests {CANDIDATES[best]}: use {option('sep', best)}."
