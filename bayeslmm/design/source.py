"""Where batches of rows come from: Parquet files, Arrow data sets, queries, iterables.

Takes what a user gives as data; gives a `Source`, which can be read more than once, a
few columns at a time, by several threads; or None for a frame in memory. Files that
cannot be read and batches that do not fit together are errors that name the place.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayeslmm.data.checksums import has_checksums
from bayeslmm.data.origin import Origin
from bayeslmm.data.read import PARQUET
from bayeslmm.design.batches import (
    BATCH,
    TWO_PASSES,
    Batch,
    Source,
    Stream,
    batch_source,
    is_frame,
    missing_column,
)
from bayeslmm.design.frame import open_frame
from bayeslmm.design.kinds import Kind, check_kind, column_kinds, is_string
from bayeslmm.design.query import is_connection, is_relation, relation_source
from bayeslmm.errors import DataError, InputFileError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds

# Bytes on disk from which `is_large` asks for batches.
LARGE = 500_000_000


def open_source(data: object) -> Source | None:
    """The source behind what was given as data, None if it is a frame (or unknown).

    Parameters
    ----------
    data : object
        Path of a Parquet file or of a folder of them, pyarrow Dataset, DuckDB relation,
        list of Arrow batches, other iterable of them that can be read again, or a
        function that gives an iterable.

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
    if is_relation(data):
        return relation_source(data)
    if is_connection(data):
        raise DataError(
            f"A {type(data).__name__} holds a result that can be read only once. "
            f"{TWO_PASSES}. Give a relation, which is run again for each: "
            f"connection.sql(...) instead of connection.execute(...)."
        )
    if callable(data) and not isinstance(data, type):
        return batch_source(data, "the batches")
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
        return batch_source(lambda: iter(data), "the batches")
    return None


def column_names(data: object, source: Source | None) -> list[object]:
    """Names of the columns of a source, or of a frame if there is no source."""
    return list(open_frame(data).columns if source is None else source.kinds)


def is_large(path: Path) -> bool:
    """Whether a Parquet file, or a folder of them, is better read in batches.

    Above 500 MB on disk, which may be several times as much in memory; False for other
    files.
    """
    if path.suffix.lower() not in PARQUET and not path.is_dir():
        return False
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file()) > LARGE


def frame_source(data: object) -> Source:
    """One data frame in memory as a source of its rows."""
    open_frame(data)  # raises if it is none
    return batch_source(lambda: data, "the data frame")


def _of_batches(data: Iterable) -> bool:
    """Whether an iterable (no frame itself) gives Arrow batches or frames."""
    if is_frame(data) or hasattr(data, "dtype"):
        return False
    first = next(iter(data), None)
    return first is not None and is_frame(first)


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
            if file.suffix.lower() in PARQUET and file.name[:1] not in "._"
        ]
        if not files:
            raise InputFileError(
                f"The folder '{path}' holds no Parquet file ({', '.join(PARQUET)})."
            )
    elif path.suffix.lower() in PARQUET:
        files = [path]
    else:
        return None
    source = _dataset_source(_open_files(files), f"'{path.name}'")
    name = path.name if not path.is_dir() else None
    return replace(source, origin=Origin(name, None, all(map(has_checksums, files))))


def _open_files(files: list[Path]) -> "ds.Dataset":
    """The files as one data set; strings come as dictionaries, as they are stored."""
    import pyarrow as pa
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq

    at = files[0]
    try:
        strings = [field.name for field in pq.read_schema(at) if is_string(field.type)]
        checked = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
        format = ds.ParquetFileFormat(
            dictionary_columns=strings, default_fragment_scan_options=checked
        )
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
            raise missing_column(name, physical.names, where)
    return pa.schema(fields)
