"""A DuckDB query as a source of batches: CSV, joins, filters, databases of any size.

Takes a DuckDB relation; gives a `Source` that runs it anew for each pass, computes only
the columns that are read, and takes its result in batches, never as a whole. DuckDB
need not be installed for all other sources.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeGuard, runtime_checkable

from bayeslmm.design.batches import BATCH, Source, Stream, in_turns
from bayeslmm.design.frame import repeated_names
from bayeslmm.design.kinds import column_kinds
from bayeslmm.errors import DataError, listed, repeated

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "the query"


@runtime_checkable
class Relation(Protocol):
    """What is used of a DuckDB relation."""

    columns: list[str]

    def limit(self, n: int) -> "Relation":
        """The first n rows."""
        ...

    def project(self, columns: str) -> "Relation":
        """Some columns, in SQL."""
        ...


def is_relation(data: object) -> TypeGuard[Relation]:
    """Whether something is a DuckDB relation; without importing duckdb."""
    return _is_duckdb(data, "DuckDBPyRelation")


def is_connection(data: object) -> bool:
    """Whether something is a DuckDB connection, with or without a result."""
    return _is_duckdb(data, "DuckDBPyConnection")


def _is_duckdb(data: object, name: str) -> bool:
    """Whether an object has a class of DuckDB of that name."""
    return any(
        base.__name__ == name and "duckdb" in base.__module__
        for base in type(data).__mro__
    )


def relation_source(relation: Relation) -> Source:
    """The result of a query as a source.

    Parameters
    ----------
    relation : DuckDBPyRelation
        What ``duckdb.sql("SELECT ...")`` gives.

    Returns
    -------
    Source
        Rows in the order in which DuckDB gives them, which may differ between passes.

    Raises
    ------
    DataError
        If DuckDB cannot run the query.
    """
    _check_names(relation.columns)
    with _reader(relation.limit(0)) as reader:
        kinds, declared = column_kinds(reader.schema)

    def open(columns: tuple[str, ...], n: int) -> list[Stream]:
        quoted = ['"' + name.replace('"', '""') + '"' for name in columns]
        chosen = relation.project(", ".join(quoted))
        return in_turns(_batches(chosen), kinds, columns, n)

    return Source(NAME, kinds, declared, None, open)


def _check_names(names: list[str]) -> None:
    """Raise if two columns have one name for DuckDB, which does not look at case."""
    if len(set(names)) < len(names):
        raise repeated_names(names)
    lower = set(repeated(name.lower() for name in names))
    alike = [name for name in names if name.lower() in lower]
    if alike:
        raise DataError(
            f"The columns {listed(alike)} of the query differ in case only, and DuckDB "
            f"does not tell them apart. Rename them in the query: SELECT ... AS."
        )


def _batches(relation: Relation) -> "Generator[pa.RecordBatch]":
    """Batches of one run of a query."""
    with _reader(relation) as reader:
        yield from reader


@contextmanager
def _reader(relation: Relation) -> "Iterator[pa.RecordBatchReader]":
    """The result of a query, let go of at the end: a connection holds one at a time."""
    import pyarrow as pa
    from duckdb import Error

    try:
        new = hasattr(relation, "to_arrow_reader")  # the other name is deprecated
        run = getattr(relation, "to_arrow_reader" if new else "fetch_record_batch")
        with run(BATCH) as reader:
            yield reader
    except (Error, pa.ArrowException, OSError) as error:
        if isinstance(error, DataError):
            raise
        said = " ".join(str(error).split("\n\n")[0].split())
        raise DataError(
            f"DuckDB could not run the query. Run it by itself (relation.show()), and "
            f"close other results of its connection. DuckDB says: {said}"
        ) from error
