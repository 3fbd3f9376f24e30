"""Where batches of rows come from: Parquet files, Arrow data sets, iterables.

Takes what a user gives as data; gives a `Source`, which can be read more than once, a
few columns at a time, by several threads; or None for a frame in memory. Files that
cannot be read and batches that do not fit together are errors that name the place.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from bayeslmm.design.frame import open_frame
from bayeslmm.design.kinds import Kind, check_kind, column_kinds, is_string
from bayeslmm.errors import DataError, InputFileError, nearest_names

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds

# Rows that one thread has in memory at a time: a few MB for each column.
BATCH = 1 << 20
# Bytes on disk from which `is_large` asks for batches.
LARGE = 500_000_000
SUFFIXES = (".parquet", ".pq", ".parq")

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
    """

    name: str
    kinds: dict[str, Kind]
    declared: frozenset[str]
    n_rows: int | None
    open: Callable[[tuple[str, ...], int], list[Stream]]


def open_source(data: object) -> Source | None:
    """The source behind what was given as data, None if it is a frame (or unknown).

    Parameters
    ----------
    data : object
        Path of a Parquet file or of a folder of them, pyarrow Dataset, list of Arrow
        batches, other iterable of them that can be read again, or a function that gives
        an iterable.

    Returns
    -------
    Source or None
        None for what is not read in batches.

    Raises
    ------
    InputFileError
        If a file is not there or cannot be read.
    DataError
        If an iterator can be read once only, or batches hold what cannot be used.
    """
    if isinstance(data, str | Path):
        return _open_path(Path(data))
    if _is_dataset(data):
        return _dataset_source(data, "the data set")
    if callable(data) and not isinstance(data, type):
        return _batch_source(data, "the batches")
    if hasattr(data, "__next__") or type(data).__name__ == "RecordBatchReader":
        raise DataError(
            f"A {type(data).__name__} can be read only once. {TWO_PASSES}. Give a "
            f"function that opens it anew (lambda: open_batches()), a list of the "
            f"batches, or the path of a Parquet file."
        )
    if (
        isinstance(data, Iterable)
        and not isinstance(data, Mapping)
        and _of_batches(data)
    ):
        return _batch_source(lambda: iter(data), "the batches")
    return None


def is_large(path: Path) -> bool:
    """Whether a Parquet file, or a folder of them, is better read in batches.

    Above 500 MB on disk, which may be several times as much in memory; False for other
    files.
    """
    if path.suffix.lower() not in SUFFIXES and not path.is_dir():
        return False
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file()) > LARGE


def frame_source(data: object) -> Source:
    """One data frame in memory as a source of its rows."""
    open_frame(data)  # raises if it is none
    return _batch_source(lambda: data, "the data frame")


def _of_batches(data: Iterable) -> bool:
    """Whether an iterable (no frame itself) gives Arrow batches or frames."""
    if _is_frame(data) or hasattr(data, "dtype"):
        return False
    first = next(iter(data), None)
    return first is not None and _is_frame(first)


def _is_frame(data: object) -> bool:
    """Whether something is a data frame or an Arrow batch."""
    return hasattr(data, "columns") and hasattr(data, "shape")


def _is_dataset(data: object) -> bool:
    """Whether something is a pyarrow Dataset; without importing pyarrow."""
    return any(
        base.__module__ == "pyarrow._dataset" and base.__name__ == "Dataset"
        for base in type(data).__mro__
    )


# --- Parquet --------------------------------------------------------------------------


def _open_path(path: Path) -> Source | None:
    """A Parquet file or a folder of them; None for a file of another kind."""
    if path.is_dir():
        files = [
            file
            for file in sorted(path.rglob("*"))
            if file.suffix.lower() in SUFFIXES and file.name[:1] not in "._"
        ]
        if not files:
            raise InputFileError(
                f"The folder '{path}' holds no Parquet file ({', '.join(SUFFIXES)})."
            )
    elif path.suffix.lower() in SUFFIXES:
        files = [path]
    else:
        return None
    return _dataset_source(_open_files(files), f"'{path.name}'")


def _open_files(files: list[Path]) -> "ds.Dataset":
    """The files as one data set; strings come as dictionaries, as they are stored."""
    import pyarrow as pa
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq

    at = files[0]
    try:
        strings = [field.name for field in pq.read_schema(at) if is_string(field.type)]
        format = ds.ParquetFileFormat(dictionary_columns=strings)
        found = ds.dataset(
            [str(file) for file in files], format=format, partitioning="hive"
        )
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(str(at), error) from error
    metadata = {"bayeslmm_strings": "\n".join(strings)}
    return found.replace_schema(found.schema.with_metadata(metadata))


def _unreadable(path: str, error: Exception) -> InputFileError:
    """The error for a file that Arrow cannot read."""
    if isinstance(error, FileNotFoundError):
        return InputFileError(f"There is no file '{path}'.")
    return InputFileError(
        f"'{path}' cannot be read as Parquet; it may be cut off or corrupt. Write it "
        f"again. Arrow says: {str(error).strip().splitlines()[0]}"
    )


def _dataset_source(dataset: "ds.Dataset", name: str) -> Source:
    """An Arrow data set as a source; its pieces are row groups where it has them."""
    import pyarrow as pa

    pieces: list[tuple[Any, int]] = []
    for fragment in dataset.get_fragments():
        path = getattr(fragment, "path", name)
        try:
            groups = (
                fragment.split_by_row_group()
                if hasattr(fragment, "split_by_row_group")
                else [fragment]
            )
            pieces += [(group, group.count_rows()) for group in groups]
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(path, error) from error
    kinds, declared = column_kinds(dataset.schema)

    def open(columns: tuple[str, ...], n: int) -> list[Stream]:
        filled = [piece for piece, n_rows in pieces if n_rows]
        n = max(1, min(n, len(filled)))
        shares = [list(enumerate(filled))[t::n] for t in range(n)]
        return [
            lambda share=share: _read_pieces(dataset.schema, kinds, columns, share)
            for share in shares
        ]

    return Source(name, kinds, declared, sum(n for _, n in pieces), open)


def _read_pieces(
    schema: "pa.Schema",
    kinds: dict[str, Kind],
    columns: tuple[str, ...],
    share: list[tuple[int, Any]],
) -> Iterator[Batch]:
    """Batches of some row groups."""
    import pyarrow as pa

    for position, fragment in share:
        path = getattr(fragment, "path", "the data set")
        where = f"row group {_row_group(fragment)} of '{Path(path).name}'"
        try:
            physical = _physical_schema(fragment, schema, kinds, columns, where)
            scanner = fragment.scanner(
                schema=physical,
                columns=list(columns),
                batch_size=BATCH,
                use_threads=False,
            )
            for i, batch in enumerate(scanner.to_batches()):
                if batch.num_rows:
                    arrays = dict(zip(columns, batch.columns, strict=True))
                    yield Batch((position, i), where, arrays, batch.num_rows)
        except (OSError, pa.ArrowException) as error:
            if isinstance(error, InputFileError):
                raise
            raise _unreadable(path, error) from error


def _row_group(fragment: "ds.Fragment") -> int:
    """Number of the row group of a piece."""
    groups = getattr(fragment, "row_groups", None)
    return groups[0].id if groups else 0


def _physical_schema(
    fragment: "ds.Fragment",
    schema: "pa.Schema",
    kinds: dict[str, Kind],
    columns: tuple[str, ...],
    where: str,
) -> "pa.Schema":
    """The columns with the types they have in this file, if these fit the first's."""
    import pyarrow as pa

    physical = fragment.physical_schema
    partition = str(fragment.partition_expression)
    fields = []
    for name in columns:
        if name in physical.names:
            own = physical.field(name)
            check_kind(name, own.type, kinds[name], where)
            fields.append(own)
        elif name in partition:
            fields.append(schema.field(name))
        else:
            raise _missing_column(name, physical.names, where)
    return pa.schema(fields)


# --- iterables ------------------------------------------------------------------------


@dataclass(slots=True)
class _Turns:
    """One iterator that several threads take batches from in turn."""

    batches: Iterator["pa.RecordBatch"]
    taken: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> "tuple[int, pa.RecordBatch] | None":
        """The next batch and its number, None at the end."""
        with self.lock:
            batch = next(self.batches, None)
            self.taken += 1
            return None if batch is None else (self.taken - 1, batch)


def _batch_source(make: Callable[[], object], name: str) -> Source:
    """Batches from a function that gives them anew each time."""
    first = next(_record_batches(make), None)
    if first is None:
        raise DataError(
            "There are no batches, so there is nothing to fit. Check how they are made."
        )
    kinds, declared = column_kinds(first.schema)

    def open(columns: tuple[str, ...], n: int) -> list[Stream]:
        turns = _Turns(_record_batches(make))
        return [lambda: _take_turns(turns, kinds, columns)] * n

    return Source(name, kinds, declared, None, open)


def _record_batches(make: Callable[[], object]) -> Iterator["pa.RecordBatch"]:
    """Arrow batches of whatever frames an iterable gives."""
    import pyarrow as pa

    given = make()
    items: object = [given] if _is_frame(given) else given
    if not isinstance(items, Iterable):
        raise DataError(
            f"The function gave a {type(given).__name__}, not an iterable of batches."
        )
    for item in cast("Iterable[Any]", items):
        if isinstance(item, pa.RecordBatch):
            yield item
        elif isinstance(item, pa.Table):
            yield from item.to_batches()
        elif _is_frame(item):
            yield from cast("pa.Table", open_frame(item).to_arrow()).to_batches()
        else:
            raise DataError(
                f"A batch is a {type(item).__name__}, not an Arrow batch or data frame."
            )


def _take_turns(
    turns: _Turns, kinds: dict[str, Kind], columns: tuple[str, ...]
) -> Iterator[Batch]:
    """The batches that this thread gets, their columns checked against the first's."""
    while taken := turns.take():
        i, batch = taken
        where = f"batch {i + 1}"
        names = batch.schema.names
        for name in columns:
            if name not in names:
                raise _missing_column(name, names, where)
            check_kind(name, batch.schema.field(name).type, kinds[name], where)
        if batch.num_rows:
            arrays = {name: batch.column(name) for name in columns}
            yield Batch((i, 0), where, arrays, batch.num_rows)


def _missing_column(name: str, names: list[str], where: str) -> DataError:
    """The error for a column that the first batch has and another lacks."""
    return DataError(
        f"Column {name!r} is missing from {where}, though the first rows have it."
        f"{nearest_names(name, names)} All files and batches must have the same "
        f"columns."
    )


# --- kinds ----------------------------------------------------------------------------
