"""Text files (CSV, TSV, compressed or not): what pandas would guess is checked.

Takes a path and options; gives a frame in which whole numbers are exact, or one message
that names the option with which the file can be read.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayeslmm.data.decimals import check_decimals
from bayeslmm.data.encodings import encoding_advice, garbled
from bayeslmm.data.header import clean, with_clean_names
from bayeslmm.data.numbers import EXACT
from bayeslmm.data.options import Options
from bayeslmm.data.origin import Table
from bayeslmm.data.shape import check_columns, more_fields, unparsed
from bayeslmm.data.textfile import TextFile
from bayeslmm.errors import InputFileError

if TYPE_CHECKING:
    import pandas as pd

WHOLE = r"[+-]?\d+"
# Whole numbers with points between thousands, as these would be read as decimals.
THOUSANDS = r"[+-]?[1-9]\d{0,2}\.\d{3}"
# Of numbers below 1000 that have no more than three decimals, times 1000.
NEARLY = 1e-6
# Digits from which a whole number may be more than 64 bits.
LONG = r"[+-]?\d{19,}"


def read_text(path: Path, options: Options) -> Table:
    """A text file with a header.

    Raises
    ------
    InputFileError
        If it is no text, or not of the separator, decimal mark or encoding given.
    """
    import pandas as pd

    text = TextFile(path, options)
    try:
        data, header = _read(text)
    except pd.errors.EmptyDataError as error:
        raise InputFileError(
            f"{str(path)!r} is empty. Give a file with a header and one row per "
            "observation."
        ) from error
    except UnicodeError as error:
        raise InputFileError(
            f"{str(path)!r} is not {text.encoding.upper()} text. "
            f"{encoding_advice(text.content, text.encoding)}"
        ) from error
    except (pd.errors.ParserError, OSError, ValueError) as error:
        if isinstance(error, InputFileError):
            raise
        raise unparsed(text, error) from error
    check_columns(text, data)
    data, renamed = with_clean_names(data, header, where=repr(path.name))
    check_decimals(path.name, data, decimal=options.decimal, sep=text.sep)
    return Table(data, renamed, _notes(text, data))


def _read(text: TextFile) -> "tuple[pd.DataFrame, list[object]]":
    """The columns, and their names in the first line."""
    settings: dict[str, Any] = {
        "decimal": text.options.decimal or ".",
        "na_values": text.options.missing,
    }
    data = text.read(**settings)
    header = _header(text)
    if header is None:
        raise more_fields(text, data)
    suspects = [i for i, name in enumerate(data) if _may_be_rounded(data[name])]
    if suspects:
        given = text.read(**settings, usecols=suspects, dtype=str)
        for name in given:
            data[name] = _whole_numbers(given[name], data[name])
    return data, header


def _notes(text: TextFile, data: "pd.DataFrame") -> list[str]:
    """What a user may want otherwise, though the file could be read."""
    notes = _maybe_thousands(text, data)
    encoding = text.options.encoding
    excerpt = garbled(text.content, encoding) if encoding else None
    if excerpt is not None:
        notes.append(
            f"{text.path.name!r} looks like UTF-8 and was read as {encoding}, in which "
            f"it says {excerpt!r}: if that is wrong, leave the encoding out"
        )
    return notes


def _header(text: TextFile) -> list[object] | None:
    """Names in the first line as they stand there; None if the next has more fields."""
    import pandas as pd

    try:
        lines = text.read(header=None, nrows=2, dtype=str)
    except pd.errors.ParserError:
        return None
    return lines.iloc[0].tolist()


# --- numbers --------------------------------------------------------------------------


def _maybe_thousands(text: TextFile, data: "pd.DataFrame") -> list[str]:
    """That the points of a semicolon file may separate thousands, 12.190.

    So German and French programs write whole numbers. All values have three digits
    after the point then, and no decimal mark was given.
    """
    if text.sep != ";" or text.options.decimal is not None:
        return []
    floats = data.select_dtypes("float")
    thousandths = ((floats * 1000.0).round() - floats * 1000.0).abs() < NEARLY
    names = set(floats.columns[(thousandths | floats.isna()).all()])
    if not names:
        return []
    given = text.read(usecols=lambda name: clean(name) in names, dtype=str)
    notes = []
    for name, column in given.items():
        values = column.dropna().str.strip()
        values = values[~values.isin(text.options.missing)]
        if len(values) > 1 and values.str.fullmatch(THOUSANDS).all():
            notes.append(
                f"every value of {clean(str(name))!r} has three digits after the "
                f"point, such as {values.iloc[0]!r}, which was read as a decimal "
                f"point: if it separates thousands, give the frame "
                f"pandas.read_csv(path, sep=';', decimal=',', thousands='.')"
            )
    return notes


def _may_be_rounded(column: "pd.Series") -> bool:
    """Whether whole numbers may have been read as floats that cannot hold them.

    So it is with missing values; numbers beyond 64 bits come as text then.
    """
    if column.dtype.kind == "f":
        return bool((column.abs() >= EXACT).any())
    if str(column.dtype) in ("str", "object"):
        return bool(column.dropna().astype(str).str.fullmatch(LONG).any())
    return False


def _whole_numbers(given: "pd.Series", read: "pd.Series") -> "pd.Series":
    """The column as whole numbers if all that is given are digits, else as read."""
    import pandas as pd

    there = given.notna()
    if not given[there].str.fullmatch(WHOLE).all():
        return read
    values = [int(text) if ok else None for text, ok in zip(given, there, strict=True)]
    return pd.Series(values, index=read.index, dtype=object)
