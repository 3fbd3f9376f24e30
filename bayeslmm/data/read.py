"""A file as people have it -> a frame: text, Excel, Arrow, Stata, SPSS.

Takes a path and how it is to be read; gives a pandas frame that knows where it came
from, or one message that names the option with which it can be read.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from bayeslmm.data.checksums import has_checksums
from bayeslmm.data.options import Options, checked_options
from bayeslmm.data.origin import Origin, Table, file_hash, remember
from bayeslmm.errors import (
    DataWarning,
    InputFileError,
    as_path,
    nearest_paths,
    printable,
    warn_user,
)

if TYPE_CHECKING:
    import os

    import pandas as pd

PARQUET = (".parquet", ".pq", ".parq")
FEATHER = (".feather", ".ft", ".arrow")
EXCEL = (".xlsx", ".xlsm")
STATA = (".dta",)
SPSS = (".sav", ".zsav")
# What other programs can turn into one of the above.
OTHERS = {
    ".xls": "an old Excel file. Save it as .xlsx or CSV",
    ".ods": "an OpenDocument sheet. Save it as .xlsx or CSV",
    ".numbers": "a sheet of Numbers. Export it as .xlsx or CSV",
    ".sas7bdat": "a SAS file. Export it as CSV",
    ".por": "a portable SPSS file. Save it as .sav or CSV",
    ".rds": "an R object. Write it with write.csv(x, 'x.csv', row.names = FALSE)",
    ".rdata": "an R workspace. Write a frame of it with write.csv",
    ".rda": "an R workspace. Write a frame of it with write.csv",
    ".json": "JSON. Read it with pandas.read_json and give the frame",
    ".db": "a database. Query it with duckdb, and give the relation",
    ".sqlite": "a database. Query it with duckdb, and give the relation",
}
KINDS = "CSV, TSV, Excel, Parquet, Feather, Stata or SPSS"


def read(
    path: "str | os.PathLike[str]",
    *,
    sep: str | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
    na: object = None,
    sheet: str | int | None = None,
) -> "pd.DataFrame":
    r"""Read a file of rows, whatever program wrote it; its ending says what it is.

    Use it for the first look at a file: what would be read otherwise than it was meant
    is an error that names the option, or a warning. `Model` takes the frame, and the
    report then names the file.

    Parameters
    ----------
    path : str or Path
        Text (``.csv``, ``.tsv``, ``.txt``, also with ``.gz``, ``.bz2``, ``.xz`` or
        ``.zip``), Excel (``.xlsx``), Parquet, Feather, Stata (``.dta``) or SPSS
        (``.sav``). Excel needs openpyxl and SPSS pyreadstat, which come with
        ``pip install 'bayeslmm[files]'``.
    sep : str, optional
        What separates the columns of a text file, one character. By default a comma,
        a tab for ``.tsv``, a semicolon where the header has one and ``decimal=","``.
    decimal : {".", ","}, optional
        Decimal mark of text. By default a point, and an error if numbers have a comma;
        ``"."`` if these are no numbers.
    encoding : str, optional
        Encoding of a text file, UTF-8 by default: ``"cp1252"``, ``"utf-16"``.
    na : str or list of str, optional
        Texts that are missing values, beside empty cells, NA, NaN, NULL and their
        kin: ``na=".,?"`` or ``na=[".", "?"]``, ``na="-99"``. With ``na=""``
        empty cells alone are missing, so that a level may be called NA; with an empty
        text in a list, they and what else is in the list.
    sheet : str or int, optional
        Sheet of a workbook by its name, or its number from 1; the first by default.

    Returns
    -------
    DataFrame
        All rows and columns. Whole numbers stay exact, also beside missing values; a
        column of Stata or SPSS whose values all have labels is categorical. Where two
        columns have one name the second is ``name.1``. ``attrs`` hold the file's name
        and checksum.

    Raises
    ------
    InputFileError
        If the file is not there, is not what its ending says, or cannot be read with
        these options; the message names one that would work.
    ModelError
        If an option cannot be what it is given as.

    Warns
    -----
    DataWarning
        If reading had to decide something: which sheet, which labels.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import bayeslmm as lmm
    >>> path = pathlib.Path(tempfile.mkdtemp(), "pupils.csv")
    >>> _ = path.write_text("score;edu\n3,5;10\n-;12\n")
    >>> lmm.read(path, decimal=",", na="-")
       score  edu
    0    3.5   10
    1    NaN   12
    """
    data, origin = read_file(path, checked_options(sep, decimal, encoding, na, sheet))
    if origin.notes:
        warn_user("; ".join(origin.notes) + ".", DataWarning)
    return data


def read_file(
    path: "str | os.PathLike[str]", options: Options
) -> "tuple[pd.DataFrame, Origin]":
    """The same without the warning: the frame and its origin."""
    place = as_path(path, "path").expanduser()
    check_file(place)
    _check_options(place, options)
    found = _read(place, options)
    data = found.data
    if options.na and not _is_text(place):
        data = _without(data, options.na)
    origin = Origin(
        printable(place.name),
        file_hash(place),
        has_checksums(place) if place.suffix.lower() in PARQUET else None,
        tuple(found.notes),
        found.renamed,
    )
    remember(data, origin)
    return data, origin


def _read(path: Path, options: Options) -> Table:
    """The reader of a file's kind, with what it gives."""
    from bayeslmm.data import arrow, excel, labelled, text

    suffix = path.suffix.lower()
    if suffix in PARQUET:
        return Table(arrow.read_parquet(path))
    if suffix in FEATHER:
        return Table(arrow.read_feather(path))
    if suffix in EXCEL:
        return excel.read_excel(path, options)
    if suffix in STATA:
        return labelled.read_stata(path)
    if suffix in SPSS:
        return labelled.read_spss(path)
    return text.read_text(path, options)


def _is_text(path: Path) -> bool:
    """Whether the reader is that of text files."""
    binary = (*PARQUET, *FEATHER, *EXCEL, *STATA, *SPSS)
    return path.suffix.lower() not in binary


def _without(data: "pd.DataFrame", na: tuple[str, ...]) -> "pd.DataFrame":
    """The frame with given values missing, as text and as numbers."""
    import pandas as pd

    numbers = pd.to_numeric(pd.Series(na), errors="coerce").dropna().tolist()
    for name in data:
        column = data[name]
        is_number = pd.api.types.is_numeric_dtype(column)
        gone = column.isin(numbers if is_number else na)
        if gone.any():
            data[name] = column.mask(gone)
    return data


def check_file(path: Path) -> None:
    """Raise unless `path` is a file that could be a table."""
    if path.is_dir():
        raise InputFileError(f"{str(path)!r} is a folder. Give a file: {KINDS}.")
    if not path.exists():
        hint = nearest_paths(path)
        raise InputFileError(f"There is no file {str(path)!r}.{hint}")
    known = OTHERS.get(path.suffix.lower())
    if known:
        raise InputFileError(f"{path.name!r} is {known}. What is read here is {KINDS}.")


def _check_options(path: Path, options: Options) -> None:
    """Raise if an option is for files of another kind."""
    kinds = {"sep": "text", "encoding": "text", "sheet": "Excel"}
    is_excel = path.suffix.lower() in EXCEL
    for name, kind in kinds.items():
        fits = is_excel if kind == "Excel" else _is_text(path)
        if getattr(options, name) is not None and not fits:
            raise InputFileError(
                f"{name} is for {kind} files, and {path.name!r} is none. Leave it out."
            )
    if options.decimal is not None and not (is_excel or _is_text(path)):
        raise InputFileError(
            f"decimal is for text and Excel files; the numbers of {path.name!r} have "
            f"no decimal mark. Leave it out."
        )
