"""Text files (CSV, TSV, compressed or not): what pandas would guess is checked.

Takes a path and options; gives a frame in which whole numbers are exact, or one message
that names the option with which the file can be read.
"""

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayeslmm.data.encodings import encoding_advice, garbled, wide_encoding
from bayeslmm.data.numbers import EXACT
from bayeslmm.data.options import Options, option
from bayeslmm.data.words import first_line
from bayeslmm.errors import InputFileError, listed

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = {".tsv": "\t", ".tab": "\t"}
CANDIDATES = {";": "';'", "\t": "a tab", "|": "'|'", ",": "a comma"}
COMPRESSED = (".gz", ".bz2", ".xz", ".zip")
THOUSANDS = r"[+-]?\d{{1,3}}({mark}\d{{3}})+"
WHOLE = r"[+-]?\d+"
# Digits from which a whole number may be more than 64 bits.
LONG = r"[+-]?\d{19,}"


class _Text:
    """The bytes of a text file, uncompressed, and how they are to be read."""

    def __init__(self, path: Path, options: Options):
        self.path, self.options = path, options
        self.content = _content(path)
        self.encoding = options.encoding or "utf-8"
        if options.encoding is None:
            _check_is_text(path, self.content)
        self.sep = self._separator()

    def _separator(self) -> str:
        """What separates columns: as asked, else by the ending and the decimal mark."""
        if self.options.sep:
            return self.options.sep
        packed = self.path.suffix.lower() in COMPRESSED
        plain = Path(self.path.stem) if packed else self.path
        if plain.suffix.lower() in SEPARATORS:
            return SEPARATORS[plain.suffix.lower()]
        many = ";" in self.header() and self.options.decimal == ","
        return ";" if many else ","

    def header(self) -> str:
        """The first line as it stands."""
        first = self.content[: self.content.find(b"\n") + 1 or None]
        wide = "\n".encode(self.encoding)
        if len(wide) > 1:  # a line of UTF-16 ends elsewhere
            return self.content.decode(self.encoding, errors="replace").split("\n")[0]
        return first.decode(self.encoding, errors="replace")

    def read(self, **settings: Any) -> "pd.DataFrame":  # noqa: ANN401
        """What pandas makes of it."""
        import pandas as pd

        return pd.read_csv(
            io.BytesIO(self.content),
            sep=self.sep,
            encoding=self.encoding,
            skipinitialspace=True,
            low_memory=False,  # or a column is numbers in one part and text in another
            keep_default_na=False,
            **settings,
        )


def read_text(
    path: Path, options: Options
) -> "tuple[pd.DataFrame, dict[str, str], list[str]]":
    """A text file with a header.

    Returns
    -------
    tuple of DataFrame, dict, list
        Its columns; those that have another name than in the file; notes.

    Raises
    ------
    InputFileError
        If it is no text, or not of the separator, decimal mark or encoding given.
    """
    import pandas as pd

    text = _Text(path, options)
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
        raise InputFileError(
            f"{str(path)!r} cannot be read as text with columns separated by "
            f"{CANDIDATES.get(text.sep, repr(text.sep))}: {first_line(error)}."
            f"{_separator_hint(text)}"
        ) from error
    _check_columns(text, data)
    _check_decimals(path, data, options)
    names = zip(map(str, data.columns), header, strict=False)
    renamed = {new: old for new, old in names if old and new != old}
    return data, renamed, _notes(text)


def _read(text: _Text) -> "tuple[pd.DataFrame, list[str]]":
    """The columns, and their names in the first line."""
    settings: dict[str, Any] = {
        "decimal": text.options.decimal or ".",
        "na_values": text.options.missing,
    }
    data = text.read(**settings)
    header = _header(text)
    if header is None:
        raise _more_fields(text, data)
    suspects = [i for i, name in enumerate(data) if _may_be_rounded(data[name])]
    if suspects:
        given = text.read(**settings, usecols=suspects, dtype=str)
        for name in given:
            data[name] = _whole_numbers(given[name], data[name])
    return data, header


def _notes(text: _Text) -> list[str]:
    """What a user may want otherwise, though the file could be read."""
    if text.options.encoding is None:
        return []
    excerpt = garbled(text.content, text.options.encoding)
    if excerpt is None:
        return []
    return [
        f"{text.path.name!r} looks like UTF-8 and was read as "
        f"{text.options.encoding}, in which it says {excerpt!r}: if that is wrong, "
        f"leave the encoding out"
    ]


# --- bytes ----------------------------------------------------------------------------


def _content(path: Path) -> bytes:
    """The bytes of a file, uncompressed if its ending says that it is compressed."""
    unpack = {".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress}
    suffix = path.suffix.lower()
    try:
        if suffix == ".zip":
            return _only_member(path)
        content = path.read_bytes()
        return unpack[suffix](content) if suffix in unpack else content
    except (EOFError, lzma.LZMAError, zlib.error, zipfile.BadZipFile) as error:
        raise InputFileError(
            f"{str(path)!r} cannot be uncompressed ({first_line(error)}): it may be "
            f"cut off, or its ending {suffix} is wrong."
        ) from error
    except OSError as error:
        raise InputFileError(
            f"{str(path)!r} cannot be opened: {error.strerror or first_line(error)}."
        ) from error


def _only_member(path: Path) -> bytes:
    """The one file of a zip archive."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        if len(names) != 1:
            raise InputFileError(
                f"{str(path)!r} holds {len(names)} files ({listed(names, 3)}), so it "
                f"is not clear which is meant. Unpack it and give one of them."
            )
        return archive.read(names[0])


def _check_is_text(path: Path, content: bytes) -> None:
    """Raise if there are bytes that no text in UTF-8 has."""
    if wide_encoding(content):
        raise InputFileError(
            f"{str(path)!r} is not UTF-8 text. {encoding_advice(content, 'utf-8')}"
        )
    if b"\0" in content[:65536]:
        raise InputFileError(
            f"{str(path)!r} is not text (it holds zero bytes). Give CSV, TSV or, with "
            "the ending .parquet, Parquet."
        )


# --- columns --------------------------------------------------------------------------


def _header(text: _Text) -> list[str] | None:
    """Names in the first line as they stand there; None if the next has more fields."""
    import pandas as pd

    try:
        lines = text.read(header=None, nrows=2, dtype=str)
    except pd.errors.ParserError:
        return None
    return lines.iloc[0].tolist()


def _more_fields(text: _Text, data: "pd.DataFrame") -> InputFileError:
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
    return InputFileError(
        f"{first}, so it is not clear which column has which name. If the rows begin "
        f"with their names or numbers (R's write.table does that), write it anew "
        f"without these (row.names=FALSE) or name that column too. If a comma in them "
        f"is a decimal mark, columns must be separated by something else."
    )


def _check_columns(text: _Text, data: "pd.DataFrame") -> None:
    """Raise if all columns seem to have been read as one."""
    if data.shape[1] > 1:
        return
    hint = _separator_hint(text, str(data.columns[0]))
    if hint:
        raise InputFileError(
            f"{str(text.path)!r} has one column, {str(data.columns[0])!r}, if columns "
            f"are separated by {CANDIDATES.get(text.sep, repr(text.sep))}.{hint}"
        )


def _separator_hint(text: _Text, header: str | None = None) -> str:
    """Which separator the first line suggests instead, and how to say so."""
    line = text.header() if header is None else header
    others = {c: line.count(c) for c in CANDIDATES if c != text.sep}
    best = max(others, key=lambda c: others[c])
    if others[best] == 0 or others[best] <= line.count(text.sep):
        return ""
    return f" Its first line suggests {CANDIDATES[best]}: use {option('sep', best)}."


# --- numbers --------------------------------------------------------------------------


def _check_decimals(path: Path, data: "pd.DataFrame", options: Options) -> None:
    """Raise if a column is text because its numbers have another decimal mark.

    Not if the mark was given and none has it: then these are texts, such as "1,3".
    """
    given = options.decimal
    other, name = (r"\.", "point") if given == "," else (",", "comma")
    if given == ".":
        return
    for column in data:
        cells = _number_like(data[column], other)
        if cells is None:
            continue
        advice = f"use {option('decimal', ',')}."
        if given == ",":
            advice = "leave decimal=',' out."
        if cells.str.fullmatch(THOUSANDS.format(mark=other)).all():
            advice += " If it separates thousands, take it out of the file."
        if given is None:
            advice += " If these are texts, say so: decimal='.'."
        raise InputFileError(
            f"Column {column!r} of {path.name!r} holds numbers with a decimal {name}, "
            f"{cells.iloc[0]!r}, and would be read as text: {advice}"
        )


def _number_like(column: "pd.Series", mark: str) -> "pd.Series | None":
    """Texts that are numbers with a decimal mark, if they are most of a column."""
    if str(column.dtype) not in ("str", "object"):
        return None
    values = column.dropna().astype(str).drop_duplicates().str.strip()
    number = rf"[+-]?\d*{mark}\d+(e[+-]?\d+)?|{THOUSANDS.format(mark=mark)}"
    marked = values[values.str.fullmatch(number)]
    whole = values.str.fullmatch(WHOLE).sum()
    return marked if len(marked) and len(marked) + whole > len(values) / 2 else None


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
