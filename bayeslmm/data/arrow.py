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
        _check_names(path, pq.read_schema(path).names)
        table = pq.read_table(path, page_checksum_verification=True)
    except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
        if isinstance(error, InputFileError):
            raise
        raise unreadable(path, "Parquet", error) from error
    return _frame(table)


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
    _check_names(path, table.schema.names)
    return _frame(table)


def _check_names(path: Path, names: list[str]) -> None:
    """Raise if two columns have one name."""
    twice = repeated(names)
    if twice:
        raise InputFileError(
            f"{str(path)!r} has more than one column named {listed(twice)}, so it is "
            f"not clear which is meant. Rename them."
        )


def _frame(table: "pa.Table") -> "pd.DataFrame":
    """A table as pandas has it; integers that it would make floats stay integers."""
    import pandas as pd
    import pyarrow.types as pt

    data = table.to_pandas()
    for field in table.schema:
        name = field.name
        if not pt.is_integer(field.type) or name not in data:
            continue
        if data[name].dtype.kind == "f":
            exact = table[name].to_pandas(types_mapper=_nullable)
            data[name] = pd.Series(exact.array, index=data.index)
    return data


def _nullable(kind: "pa.DataType") -> object:
    """The integer type of pandas with missing values, for one of Arrow."""
    import pandas as pd

    name = str(kind)
    wide = "U" + name[1:].capitalize() if name.startswith("u") else name.capitalize()
    return pd.api.types.pandas_dtype(wide)
