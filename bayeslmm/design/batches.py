"""Batches of rows, and iterables as a source of them.

Takes an iterable that can be read again; gives a `Source`, which hands its batches to
several threads in turn. Batches that do not fit together are errors that name the
place.
"""

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from bayeslmm.data.origin import Origin
from bayeslmm.design.frame import open_frame
from bayeslmm.design.kinds import Kind, check_kind, column_kinds
from bayeslmm.errors import DataError, nearest_names

if TYPE_CHECKING:
    import narwhals
    import pyarrow as pa

# Rows that one thread has in memory at a time: a few MB for each column.
BATCH = 1 << 20

TWO_PASSES = (
    "Batches are read twice: once for the levels of the factors, once for the sums"
)


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows: Arrow arrays by column, their place in the order, and in words."""

    order: tuple[int, int]
    where: str
    columns: "dict[str, pa.Array]"
    n: int


Stream = Callable[[], Iterator[Batch]]


@dataclass(frozen=True, slots=True)
class Source:
    """Rows that can be read in batches, more than once.

    Attributes
    ----------
    name : str
        For messages, ``'data.parquet'``.
    kinds : dict
        What each column holds.
    declared : frozenset of str
        Text columns that declare their categories (Arrow dictionaries).
    n_rows : int or None
        Rows in all, where that is known before reading.
    open : callable
        ``open(columns, n)`` gives at most n streams, which together yield every batch
        once; each may run in a thread of its own.
    origin : Origin or None
        The Parquet file or files, None for other sources.
    """

    name: str
    kinds: dict[str, Kind]
    declared: frozenset[str]
    n_rows: int | None
    open: Callable[[tuple[str, ...], int], list[Stream]]
    origin: Origin | None = None


# --- iterables ------------------------------------------------------------------------


@dataclass(slots=True)
class _Turns:
    """One generator that several threads take batches from in turn."""

    batches: "Generator[pa.RecordBatch]"
    taken: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> "tuple[int, pa.RecordBatch] | None":
        """The next batch and its number, None at the end."""
        with self.lock:
            batch = next(self.batches, None)
            self.taken += 1
            return None if batch is None else (self.taken - 1, batch)

    def close(self) -> None:
        """End the generator, so that it lets go of files and connections."""
        with self.lock:
            self.batches.close()


def batch_source(make: Callable[[], object], name: str) -> Source:
    """Batches from a function that gives them anew each time."""
    make = _anew(make)
    first = next(_record_batches(make), None)
    if first is None:
        raise DataError(
            "There are no batches, so there is nothing to fit. Check how they are made."
        )
    kinds, declared = column_kinds(first.schema)

    def open(columns: tuple[str, ...], n: int) -> list[Stream]:
        return in_turns(_record_batches(make), kinds, columns, n)

    return Source(name, kinds, declared, None, open)


def _anew(make: Callable[[], object]) -> Callable[[], object]:
    """The same function, which may not give one iterator twice: it would be empty."""
    last: object = None

    def made() -> object:
        nonlocal last
        before, last = last, make()
        if last is before and hasattr(last, "__next__"):
            raise DataError(
                f"The function gave the same {type(last).__name__} twice, which can be "
                f"read only once. {TWO_PASSES}. Make the iterator inside the function."
            )
        return last

    return made


def in_turns(
    batches: "Generator[pa.RecordBatch]",
    kinds: dict[str, Kind],
    columns: tuple[str, ...],
    n: int,
) -> list[Stream]:
    """A stream for each of n threads, which take the batches in turn."""
    turns = _Turns(batches)
    return [lambda: _take_turns(turns, kinds, columns)] * n


def _record_batches(make: Callable[[], object]) -> "Generator[pa.RecordBatch]":
    """Arrow batches of whatever frames an iterable gives."""
    import pyarrow as pa

    given = make()
    items: object = [given] if is_frame(given) else given
    if not isinstance(items, Iterable):
        raise DataError(
            f"The function gave a {type(given).__name__}, not an iterable of batches."
        )
    for item in cast("Iterable[Any]", items):
        if isinstance(item, pa.RecordBatch):
            yield item
        elif isinstance(item, pa.Table):
            yield from item.to_batches()
        elif is_frame(item):
            yield from _arrow_table(open_frame(item)).to_batches()
        else:
            raise DataError(
                f"A batch is a {type(item).__name__}, not an Arrow batch or data frame."
            )


def _arrow_table(frame: "narwhals.DataFrame[Any]") -> "pa.Table":
    """A frame as an Arrow table; whole numbers beyond 64 bits become its decimals."""
    import narwhals as nw
    import pyarrow as pa

    found = {}
    for name, dtype in frame.schema.items():
        unknown = isinstance(dtype, nw.Int128 | nw.UInt128)  # to Arrow
        if unknown or isinstance(dtype, nw.Object):
            values = frame.get_column(name).to_list()
            if unknown or _are_long(values):
                found[name] = _decimals(values)
    try:
        table = cast("pa.Table", frame.drop(*found).to_arrow())
    except (UnicodeEncodeError, pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(
            f"A data frame cannot be read in batches, because Arrow cannot hold one of "
            f"its columns: {error}. Convert the column to one type, or drop it."
        ) from error
    for name, array in found.items():
        table = table.append_column(name, array)
    return table


def _are_long(values: list[Any]) -> bool:
    """Whether Python objects are integers, some of which 64 bits do not hold."""
    import pandas as pd

    if pd.api.types.infer_dtype(values, skipna=True) != "integer":
        return False
    return not all(pd.isna(v) or -(2**63) <= v < 2**63 for v in values)


def _decimals(values: list[Any]) -> "pa.Array":
    """Integers of any size, some of them missing, as decimals."""
    import pandas as pd
    import pyarrow as pa

    return pa.array([None if pd.isna(v) else Decimal(int(v)) for v in values])


def _take_turns(
    turns: _Turns, kinds: dict[str, Kind], columns: tuple[str, ...]
) -> Iterator[Batch]:
    """The batches that this thread gets, their columns checked against the first's."""
    try:
        while taken := turns.take():
            i, batch = taken
            where = f"batch {i + 1}"
            names = batch.schema.names
            for name in columns:
                if name not in names:
                    raise missing_column(name, names, where)
                check_kind(name, batch.schema.field(name).type, kinds[name], where)
            if batch.num_rows:
                arrays = {name: batch.column(name) for name in columns}
                yield Batch((i, 0), where, arrays, batch.num_rows)
    finally:  # one thread stops early only if all do
        turns.close()


def is_frame(data: object) -> bool:
    """Whether something is a data frame or an Arrow batch."""
    return hasattr(data, "columns") and hasattr(data, "shape")


def missing_column(name: str, names: list[str], where: str) -> DataError:
    """The error for a column that the first batch has and another lacks."""
    return DataError(
        f"Column {name!r} is missing from {where}, though the first rows have it."
        f"{nearest_names(name, names)} All files and batches must have the same "
        f"columns."
    )
