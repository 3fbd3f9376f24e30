"""Tables from files: what pandas would guess is checked, and whole numbers stay exact.

Takes the path of a text or Parquet file; gives a frame, or one message about the file.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayeslmm.design.checksums import ATTRIBUTE, has_checksums
from bayeslmm.design.frame import listed, repeated
from bayeslmm.design.numbers import EXACT
from bayeslmm.errors import InputFileError

if TYPE_CHECKING:
    import pandas as pd

WHOLE = r"[+-]?\d+"
# Digits from which a whole number may be more than 64 bits.
LONG = r"[+-]?\d{19,}"


# --- text -----------------------------------------------------------------------------


def check_separator(sep: str | None) -> None:
    """Raise unless a separator is one character that can be one.

    Raises
    ------
    InputFileError
        For several characters, which pandas takes for a regular expression.
    """
    if sep is None:
        return
    if len(sep) != 1 or not sep.isascii() or sep in "\r\n\"'":
        raise InputFileError(
            f"--sep {sep!r} is not a separator: give one character, ',' ';' '|' or a "
            f"tab '\\t'. Regular expressions are not taken; write a file with other "
            f"separators anew."
        )


def read_text(path: Path, sep: str) -> "pd.DataFrame":
    """A text file with a header; errors of the parser are left to the caller."""
    import pandas as pd

    data = pd.read_csv(path, sep=sep)
    header = _header(path, sep)
    if header is None:
        raise _more_fields(path, data, sep)
    twice = repeated(header)
    if twice:
        raise InputFileError(
            f"{str(path)!r} has more than one column named {listed(twice)}, so it is "
            f"not clear which is meant. Rename them in its first line."
        )
    suspects = [i for i, name in enumerate(data) if _may_be_rounded(data[name])]
    if suspects:
        given = pd.read_csv(path, sep=sep, usecols=suspects, dtype=str)
        for name in given:
            data[name] = _whole_numbers(given[name], data[name])
    return data


def _header(path: Path, sep: str) -> list[str] | None:
    """Names in the first line as they stand there; None if the next has more fields."""
    import pandas as pd

    settings: dict[str, Any] = {"sep": sep, "dtype": str, "keep_default_na": False}
    try:
        lines = pd.read_csv(path, header=None, nrows=2, **settings)
    except pd.errors.ParserError:
        return None
    return [name for name in lines.iloc[0].tolist() if name]


def _more_fields(path: Path, data: "pd.DataFrame", sep: str) -> InputFileError:
    """The error for rows that are longer than the header, which shifts all columns."""
    first = f"The rows of {str(path)!r} have {data.index.nlevels} more "
    fields = "field" if data.index.nlevels == 1 else "fields"
    if data.iloc[:, -1].isna().all():
        return InputFileError(
            f"{first}{fields} than its first line, empty in every row: each row ends "
            f"in a {sep!r} that the first line lacks. Remove it there, or add it to "
            f"the first line."
        )
    return InputFileError(
        f"{first}{fields} than its first line, so it is not clear which column has "
        f"which name. If the rows begin with their names or numbers (R's write.table "
        f"does that), write it anew without these (row.names=FALSE) or name that "
        f"column too."
    )


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


# --- Parquet --------------------------------------------------------------------------


def read_parquet(path: Path) -> "pd.DataFrame":
    """A Parquet file; integers with missing values stay integers.

    ``attrs`` say whether its pages had checksums, which are compared.
    """
    import pandas as pd
    import pyarrow.parquet as pq
    import pyarrow.types as pt

    schema = pq.read_schema(path)
    twice = repeated(schema.names)
    if twice:
        raise InputFileError(
            f"{str(path)!r} has more than one column named {listed(twice)}, so it is "
            f"not clear which is meant. Rename them."
        )
    data = pd.read_parquet(path, page_checksum_verification=True)
    rounded = [
        field.name
        for field in schema
        if pt.is_integer(field.type)
        and field.name in data
        and data[field.name].dtype.kind == "f"
    ]
    if rounded:
        exact = pd.read_parquet(path, columns=rounded, dtype_backend="numpy_nullable")
        for name in rounded:
            data[name] = exact[name]
    data.attrs[ATTRIBUTE] = has_checksums(path)
    return data
