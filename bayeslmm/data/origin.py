"""Where rows came from: the file, its checksum, and what reading it had to decide.

Takes a file that was read; gives an `Origin`, which travels among the ``attrs`` of the
frame so that the account of the rows and the report can say it.
"""

import hashlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# Where a frame keeps its origin, as plain values: pandas writes `attrs` to Parquet.
ATTRIBUTE = "bayeslmm_origin"


@dataclass(frozen=True, slots=True)
class Origin:
    """A file of rows.

    Attributes
    ----------
    file : str or None
        Its name, None where there are several.
    sha256 : str or None
        Checksum of its bytes; None if it was not computed.
    checksums : bool or None
        Whether the pages of a Parquet file had checksums, which were compared; None for
        other files.
    notes : tuple of str
        What reading decided that a user may want otherwise: the sheet, the labels.
    renamed : dict of str to str
        Columns that have another name than in the file, where two had one name.
    """

    file: str | None = None
    sha256: str | None = None
    checksums: bool | None = None
    notes: tuple[str, ...] = ()
    renamed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Table:
    """What a reader of files gives: columns, names that changed, what it decided.

    `renamed` and `notes` are those of `Origin`.
    """

    data: "pd.DataFrame"
    renamed: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def remember(data: "pd.DataFrame", origin: Origin) -> None:
    """Let a frame carry its origin."""
    data.attrs[ATTRIBUTE] = asdict(origin) | {"notes": list(origin.notes)}


def origin_of(frame: object) -> Origin | None:
    """The origin that a frame carries; None for a frame that came from no file."""
    found = getattr(frame, "attrs", {}).get(ATTRIBUTE)
    if found is None:
        return None
    return Origin(**{**found, "notes": tuple(found["notes"])})


def notes_of(frame: object) -> str:
    """What reading the file decided, as the end of a message; empty for most frames."""
    origin = origin_of(frame)
    return f" On reading: {'; '.join(origin.notes)}." if origin and origin.notes else ""


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
