"""Parquet and Feather files: whole numbers with missing values stay whole numbers."""

from pathlib import Path
from typing import TYPE_CHECKING

from bayeslmm.data.words import unreadable
from bayeslmm.errors import InputFileError, listed, repeated

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def read_parquet(path: Path) -> "pd.DataFrame":
    """A Parquet file; checksums of its pages, if it has any, are compared.

    Raises
    ------
    InputFileError
        If it is none, or two of its columns have one name.
    """
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, page_checksum_verification=True)
    except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise unreadable(path, "Parquet", error) from error
    return _frame(path, table)


def read_feather(path: Path) -> "pd.DataFrame":
    """A Feather file.

    Raises
    ------
    InputFileError
        If it is none, or two of its columns have one name.
    """
    from pyarrow import feather

    try:
        table = feather.read_table(path)
    except (OSError, ValueError) as error:
        raise unreadable(path, "Feather", error) from error
    return _frame(path, table)


def _frame(path: Path, table: "pa.Table") -> "pd.DataFrame":
    """A table as pandas has it; integers that it would make floats stay integers."""
    import pandas as pd
    import pyarrow.types as pt

    twice = repeated(table.schema.names)
    if twice:
        raise InputFileError(
            f"{str(path)!r} has more than one column named {listed(twice)}, so it is "
            f"not clear which is meant. Rename them."
        )
    data = table.to_pandas()
    for field in table.schema:
        if pt.is_integer(field.type) and field.name in data:
            if data[field.name].dtype.kind == "f":
                exact = table[field.name].to_pandas(types_mapper=_nullable)
                data[field.name] = pd.Series(exact.array, index=data.index)
    return data


def _nullable(kind: "pa.DataType") -> object:
    """pandas' integer type with missing values for an Arrow integer type."""
    import pandas as pd

    name = str(kind)
    wide = "U" + name[1:].capitalize() if name.startswith("u") else name.capitalize()
    return pd.api.types.pandas_dtype(wide)
