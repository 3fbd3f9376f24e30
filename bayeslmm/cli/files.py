"""Data files in."""

from pathlib import Path
from typing import TYPE_CHECKING

from bayeslmm.cli.reading import check_separator, read_parquet, read_text
from bayeslmm.design.source import is_large
from bayeslmm.errors import InputFileError, nearest_names

if TYPE_CHECKING:
    import pandas as pd

PARQUET = (".parquet", ".pq")
SEPARATORS = {".tsv": "\t", ".tab": "\t"}
SPREADSHEETS = (".xls", ".xlsx", ".xlsm", ".ods", ".sav", ".dta", ".sas7bdat", ".rds")
CANDIDATES = {";": "';'", "\t": "a tab", "|": "'|'", ",": "a comma"}
PEEK = 65536  # bytes that are looked at to tell text from binary


def read_table(path: Path, sep: str | None = None) -> "pd.DataFrame | Path":
    """Data frame from a CSV, TSV or Parquet file; a large Parquet file stays a path.

    `Model` reads a path in batches.

    Parameters
    ----------
    path : Path
        File; its ending says what it is.
    sep : str, optional
        What separates the columns of a text file; by its ending otherwise.

    Returns
    -------
    DataFrame or Path
        All columns, or the path as it is.

    Raises
    ------
    InputFileError
        If there is no such file, or it is not what its ending says.
    """
    _check_file(path)
    if is_large(path):
        return path
    if path.suffix.lower() in PARQUET:
        return _read_parquet(path)
    return _read_text(path, sep)


def _check_file(path: Path) -> None:
    """Raise unless `path` is a file that could be a table."""
    if path.is_dir():
        raise InputFileError(
            f"{str(path)!r} is a folder. Give a file: CSV, TSV or Parquet."
        )
    if not path.exists():
        parent = path.parent
        names = [p.name for p in parent.iterdir()] if parent.is_dir() else []
        hint = nearest_names(path.name, names) if len(names) < 1000 else ""
        raise InputFileError(f"There is no file {str(path)!r}.{hint}")
    if path.suffix.lower() in SPREADSHEETS:
        raise InputFileError(
            f"{path.name!r} is a {path.suffix} file, which is not read here. Save it "
            "as CSV or Parquet."
        )


def _read_parquet(path: Path) -> "pd.DataFrame":
    """A Parquet file."""
    try:
        return read_parquet(path)
    except InputFileError:
        raise
    except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise InputFileError(
            f"{str(path)!r} cannot be read as Parquet; it may be cut off or corrupt. "
            f"Write it again. Arrow says: {_first_line(error)}."
        ) from error


def _read_text(path: Path, sep: str | None) -> "pd.DataFrame":
    """A text file with a header, columns separated by `sep`."""
    import pandas as pd

    check_separator(sep)
    _check_text(path)
    separator = sep or SEPARATORS.get(Path(path.stem).suffix.lower(), ",")
    separator = sep or SEPARATORS.get(path.suffix.lower(), separator)
    try:
        data = read_text(path, separator)
    except InputFileError:
        raise
    except pd.errors.EmptyDataError as error:
        raise InputFileError(
            f"{str(path)!r} is empty. Give a file with a header and one row per "
            "observation."
        ) from error
    except UnicodeDecodeError as error:
        raise InputFileError(
            f"{str(path)!r} is not UTF-8 text (byte {error.start}). Save it as UTF-8."
        ) from error
    except (pd.errors.ParserError, OSError, ValueError) as error:
        raise InputFileError(
            f"{str(path)!r} cannot be read as text with columns separated by "
            f"{CANDIDATES.get(separator, repr(separator))}: {_first_line(error)}."
            f"{_separator_hint(path, separator)}"
        ) from error
    _check_columns(path, data, separator)
    return data


def _check_text(path: Path) -> None:
    """Raise if a file cannot be opened, or has bytes that no text has."""
    try:
        with path.open("rb") as stream:
            start = stream.read(PEEK)
    except OSError as error:
        raise InputFileError(
            f"{str(path)!r} cannot be opened: {error.strerror}."
        ) from (error)
    if path.suffix.lower() not in (".gz", ".bz2", ".xz", ".zip") and b"\0" in start:
        raise InputFileError(
            f"{str(path)!r} is not text (it holds zero bytes). Give CSV, TSV or, with "
            "the ending .parquet, Parquet."
        )


def _check_columns(path: Path, data: "pd.DataFrame", separator: str) -> None:
    """Raise if all columns seem to have been read as one."""
    if data.shape[1] > 1:
        return
    only = str(data.columns[0])
    hint = _separator_hint(path, separator, only)
    if hint:
        raise InputFileError(
            f"{str(path)!r} has one column, {only!r}, if columns are separated by "
            f"{CANDIDATES.get(separator, repr(separator))}.{hint}"
        )


def _separator_hint(path: Path, separator: str, header: str | None = None) -> str:
    """Which separator the first line suggests instead, and how to say so."""
    if header is None:
        with path.open("rb") as stream:
            header = stream.readline(PEEK).decode("utf-8", errors="replace")
    others = {c: header.count(c) for c in CANDIDATES if c != separator}
    best = max(others, key=lambda c: others[c])
    if others[best] == 0 or others[best] <= header.count(separator):
        return ""
    shown = "'\\t'" if best == "\t" else f"'{best}'"
    return f" Its first line suggests {CANDIDATES[best]}: use --sep {shown}."


def _first_line(error: BaseException) -> str:
    """The first line of another library's message, without its full stop."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
