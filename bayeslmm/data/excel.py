"""One sheet of an Excel workbook.

Takes a path and the name of a sheet; gives a frame, or one message that lists the
sheets there are.
"""

from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

from bayeslmm.data.decimals import check_decimals
from bayeslmm.data.header import clean, with_clean_names
from bayeslmm.data.options import Options, option
from bayeslmm.data.origin import Table
from bayeslmm.data.words import not_installed, unreadable
from bayeslmm.errors import InputFileError, listed, nearest_names

if TYPE_CHECKING:
    import pandas as pd


def read_excel(path: Path, options: Options) -> Table:
    """One sheet, the first unless another is asked for.

    Raises
    ------
    InputFileError
        If it is no workbook, has no such sheet, or the sheet begins with no header.
    """
    import pandas as pd

    try:
        import openpyxl  # noqa: F401  # pandas reads workbooks with it
    except ImportError as error:
        raise not_installed(path, "openpyxl") from error
    try:
        with pd.ExcelFile(path, engine="openpyxl") as book:
            sheet = _sheet(path, [str(name) for name in book.sheet_names], options)
            data = pd.read_excel(
                book,
                sheet_name=sheet,
                decimal=options.decimal or ".",
                keep_default_na=False,
                na_values=options.missing,
            )
            header = pd.read_excel(
                book, sheet_name=sheet, header=None, nrows=1, dtype=str
            )
            others = [str(name) for name in book.sheet_names if name != sheet]
    except (BadZipFile, KeyError, ValueError, OSError) as error:
        if isinstance(error, InputFileError):
            raise
        raise unreadable(path, "an Excel workbook", error) from error
    first = header.iloc[0].tolist() if len(header) else []
    _check_rows(path, sheet, data)
    where = f"sheet {sheet!r} of {path.name!r}"
    data, renamed = with_clean_names(data, first, where=where)
    check_decimals(path.name, data, decimal=options.decimal, sep=None)
    return Table(data, renamed, _notes(path, sheet, others, data, options))


def _sheet(path: Path, names: list[str], options: Options) -> str:
    """The name of the sheet that is asked for."""
    asked = options.sheet
    if asked is None:
        return names[0]
    if str(asked) in names:
        return str(asked)
    if str(asked).isdecimal() and 1 <= int(asked) <= len(names):
        return names[int(asked) - 1]
    hint = nearest_names(str(asked), names) or f" Its sheets are {listed(names, 12)}."
    raise InputFileError(f"{path.name!r} has no sheet {asked!r}.{hint}")


def _check_rows(path: Path, sheet: str, data: "pd.DataFrame") -> None:
    """Raise unless a sheet has rows under its first."""
    if not len(data.columns) or not len(data):
        raise InputFileError(
            f"Sheet {sheet!r} of {path.name!r} has no rows under a header. Give the "
            f"sheet that holds the table: {option('sheet', 'name')}."
        )


def _notes(
    path: Path, sheet: str, others: list[str], data: "pd.DataFrame", options: Options
) -> list[str]:
    """That there were other sheets, if none was asked for; formulas without values."""
    notes = []
    if options.sheet is None and others:
        notes.append(
            f"sheet {sheet!r} was read, the first of {len(others) + 1}; the others are "
            f"{listed(others)}: for one of them use {option('sheet', others[0])}"
        )
    empty = [name for name in data if data[name].isna().all()]
    formulas = _formulas(path, sheet) if empty else set()
    unknown = [str(name) for name in empty if name in formulas]
    if unknown:
        notes.append(
            f"the formulas of {listed(unknown)} were never computed, so that no value "
            f"is there: open the workbook in Excel and save it"
        )
    return notes


def _formulas(path: Path, sheet: str) -> set[str]:
    """Names of the columns whose first cell is a formula."""
    from openpyxl import load_workbook

    rows = load_workbook(path, read_only=True)[sheet].iter_rows(max_row=2)
    header, first = ([cell.value for cell in row] for row in rows)
    pairs = zip(header, first, strict=False)
    return {clean(str(name)) for name, cell in pairs if str(cell).startswith("=")}
