"""The bytes of a text file, uncompressed, and how they are to be read.

Takes a path and options; gives what pandas makes of it, whole or in part, or one
message if it is no text.
"""

import bz2
import gzip
import io
import lzma
import re
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayeslmm.data.encodings import encoding_advice, wide_encoding
from bayeslmm.data.options import Options
from bayeslmm.data.words import first_line
from bayeslmm.errors import InputFileError, listed

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = {".tsv": "\t", ".tab": "\t"}
CANDIDATES = {";": "';'", "\t": "a tab", "|": "'|'", ",": "a comma", " ": "a space"}
COMPRESSED = (".gz", ".bz2", ".xz", ".zip")
# The line with which Excel is told the separator of a CSV file.
SEP_LINE = re.compile(rb"(?:\xef\xbb\xbf)?\"?sep=(.)\"?\r?\n", re.IGNORECASE)


class TextFile:
    """The bytes of a text file, uncompressed, and how they are to be read."""

    def __init__(self, path: Path, options: Options):
        self.path, self.options = path, options
        self.content, self.said = _without_sep_line(_content(path))
        self.encoding = options.encoding or "utf-8"
        if options.encoding is None:
            _check_is_text(path, self.content)
        self.sep = self._separator()

    def _separator(self) -> str:
        """What separates columns: as asked or said, else by ending and decimal mark."""
        if self.options.sep or self.said:
            return self.options.sep or self.said or ","
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
    if content.startswith(b"PK\3\4"):
        raise InputFileError(
            f"{str(path)!r} is not text but an Excel workbook or a zip archive: give "
            f"it the ending .xlsx or .zip."
        )
    if b"\0" in content[:65536]:
        raise InputFileError(
            f"{str(path)!r} is not text (it holds zero bytes). Give CSV, TSV or, with "
            "the ending .parquet, Parquet."
        )


def _without_sep_line(content: bytes) -> tuple[bytes, str | None]:
    """The rows, and the separator if a line above the header says it: ``sep=;``."""
    found = SEP_LINE.match(content)
    if found is None:
        return content, None
    return content[found.end() :], found[1].decode("latin-1")
