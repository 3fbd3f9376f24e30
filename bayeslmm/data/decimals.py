"""Columns that are text, or other numbers, for the marks in their numbers.

Takes a frame that was read with one decimal mark; gives nothing, or one message that
says whether the other mark is decimal or separates thousands, and how to read it.
"""

from typing import TYPE_CHECKING

from bayeslmm.data.options import option
from bayeslmm.errors import InputFileError

if TYPE_CHECKING:
    import pandas as pd

NAMES = {".": "point", ",": "comma", " ": "space", "'": "quote"}
# Thousands separated, also by the spaces of French Excel: 12,190 or 12.190,5.
GROUPED = r"[+-]?\d{1,3}([.,' \xa0\u202f])\d{3}(\1\d{3})*((?!\1)[.,]\d+)?"
TEXTS = f" If these are texts, say so: {option('decimal', '.')}."


def check_decimals(
    name: str, data: "pd.DataFrame", *, decimal: str | None, sep: str | None
) -> None:
    """Raise if a column is text because its numbers have other marks.

    Not if the decimal mark was given and has made numbers, or is a point: then these
    are texts, such as "1,3". `sep` is None for a workbook, whose numbers have no mark.
    """
    mark = decimal or "."
    is_done = decimal == "," and (sep is None or _has_fractions(data))
    if decimal == "." or is_done:
        return
    for column in data:
        cells = _number_like(data[column], mark)
        if cells is None:
            continue
        grouped = cells.str.fullmatch(GROUPED)
        if grouped.all():
            error = _thousands(name, column, str(cells.iloc[0]), mark, sep)
            raise InputFileError(f"{error}{'' if decimal else TEXTS}")
        other = "," if mark == "." else "."
        cells = cells[~grouped]
        advice = f"use {option('decimal', ',')}.{TEXTS}"
        if decimal == ",":
            advice = "leave decimal=',' out."
        raise InputFileError(
            f"Column {column!r} of {name!r} holds numbers with a decimal "
            f"{NAMES[other]}, {cells.iloc[0]!r}, and would be read as text: {advice}"
        )


def _thousands(name: str, column: object, cell: str, mark: str, sep: str | None) -> str:
    """What is to be done about numbers like 12,190 or 12.190,50."""
    digits = cell.lstrip("+-")
    between = next(letter for letter in digits if not letter.isdigit())
    last = next(letter for letter in reversed(digits) if not letter.isdigit())
    other = last if last != between else {",": ".", ".": ","}.get(between, mark)
    reader = "pandas.read_excel(path" if sep is None else "pandas.read_csv(path"
    reader += f", sep={sep!r}" if sep not in (None, ",") else ""
    reader += f", decimal={other!r}" if other != "." else ""
    reader += ", engine='python'" if sep and not between.isascii() else ""
    either = (
        f" If it is a decimal mark, use {option('decimal', ',')}."
        if between == "," and digits.count(",") == 1 and last == ","
        else ""
    )
    what = NAMES.get(between, "space")
    return (
        f"Column {column!r} of {name!r} holds numbers with a {what} before three "
        f"digits, {cell!r}, and would be read as text. If it separates thousands, take "
        f"it out, or give the frame {reader}, thousands={between!r}).{either}"
    )


def _has_fractions(data: "pd.DataFrame") -> bool:
    """Whether a column has numbers that are not whole."""
    floats = data.select_dtypes("float")
    return bool(((floats % 1).fillna(0.0) != 0.0).any(axis=None))


def _number_like(column: "pd.Series", mark: str) -> "pd.Series | None":
    """Texts that are numbers with other marks, if numbers are most of a column."""
    if str(column.dtype) not in ("str", "object"):
        return None
    values = column.dropna().astype(str).drop_duplicates().str.strip()
    other = "," if mark == "." else "."
    plain = values.str.fullmatch(rf"[+-]?\d+([{mark}]\d+)?")
    decimal = values.str.fullmatch(rf"[+-]?\d*[{other}]\d+(e[+-]?\d+)?")
    marked = (decimal | values.str.fullmatch(GROUPED)) & ~plain
    most = marked.any() and (marked | plain).sum() > len(values) / 2
    return values[marked] if most else None
