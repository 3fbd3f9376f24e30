"""Whether the pages of a Parquet file carry checksums.

Takes a path; gives an answer from the page headers themselves, because neither the
file's footer nor Arrow says so. Without checksums a flipped bit can decode to another
number, and nobody is told.
"""

from pathlib import Path
from typing import BinaryIO

# Bytes that hold the first fields of a page header.
HEAD = 64
# Where the three numbers before the checksum end at the latest; a number has 5 bytes.
LAST = 20
# Thrift's compact protocol: a field of type i32 whose number is one more than the last.
NEXT_I32 = 0x15


def has_checksums(path: Path) -> bool:
    """Whether the first page of every column of the first row group has a checksum.

    Writers give one to every page or to none.
    """
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(path)
    if not metadata.num_row_groups:
        return False
    group = metadata.row_group(0)
    chunks = [group.column(i) for i in range(group.num_columns)]
    starts = [
        min(at for at in (c.dictionary_page_offset, c.data_page_offset) if at)
        for c in chunks
    ]
    with path.open("rb") as stream:
        return bool(starts) and all(_has_crc(stream, start) for start in starts)


def _has_crc(stream: BinaryIO, start: int) -> bool:
    """Whether the page header at an offset has its fourth field, the checksum.

    The first three, page type and two sizes, are required: a field header and a number
    of variable length each.
    """
    stream.seek(start)
    head = stream.read(HEAD).ljust(HEAD, b"\0")
    at = 0
    for _ in range(3):
        if head[at] != NEXT_I32:
            return False
        at += 1
        while head[at] & 0x80 and at < LAST:  # more bytes of the number follow
            at += 1
        at += 1
    return head[at] == NEXT_I32
