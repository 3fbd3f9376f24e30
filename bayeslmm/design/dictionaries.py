"""Arrow dictionaries: text as positions in a list of its different values.

Takes Arrow arrays; gives positions, and labels as levels are named. A value may stand
in a dictionary more than once, and so may a null: levels are told apart by label, never
by position.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from bayeslmm.data.numbers import check_holds_ids, level_name

if TYPE_CHECKING:
    import pyarrow as pa

Codes = Int[np.ndarray, " n"]


def as_dictionary(name: str, array: "pa.Array") -> "pa.DictionaryArray":
    """A text column with its different values apart from the rows."""
    import pyarrow as pa
    import pyarrow.types as pt

    if pt.is_dictionary(array.type):
        _check_categories(name, array)  # pyright: ignore[reportArgumentType]
        return array  # pyright: ignore[reportReturnType]
    return array.cast(pa.large_string()).dictionary_encode()  # pyright: ignore


def _check_categories(name: str, array: "pa.DictionaryArray") -> None:
    """Raise if the categories are floats that may stand for more than one code."""
    import pyarrow.types as pt

    if pt.is_floating(array.type.value_type):
        check_holds_ids(name, *floats(array.dictionary))


def floats(array: "pa.Array") -> tuple[np.ndarray, float]:
    """Floats of any width as doubles, and below what they tell whole numbers apart."""
    import pyarrow as pa

    bits = {"float": 24, "halffloat": 11}.get(str(array.type), 53)
    doubles = array if array.type == pa.float64() else array.cast(pa.float64())
    return doubles.to_numpy(zero_copy_only=False), 2.0**bits


def factor_codes(
    name: str, chunks: "Sequence[pa.DictionaryArray]"
) -> tuple[Codes, tuple[str, ...]]:
    """Level of each row, -1 where missing; each category once, in their order.

    The rows are those of all chunks, each with a dictionary of its own.
    """
    import pandas as pd

    labels: list[str | None] = []
    positions = [np.empty(0, dtype=np.int64)]
    for chunk in chunks:
        _check_categories(name, chunk)
        at = dictionary_codes(chunk).astype(np.int64)
        positions.append(np.where(at < 0, -1, at + len(labels)))
        labels += dictionary_labels(chunk).to_pylist()
    recode, levels = pd.factorize(np.array(labels, dtype=object))
    codes = np.append(recode, -1).astype(np.int64)[np.concatenate(positions)]
    return codes, tuple(np.asarray(levels).tolist())


def dictionary_codes(array: "pa.DictionaryArray") -> Codes:
    """Position of each row in the dictionary, -1 where missing."""
    indices = array.indices
    if indices.null_count:
        indices = indices.cast("int64").fill_null(-1)
    return indices.to_numpy()


def dictionary_labels(array: "pa.DictionaryArray") -> "pa.Array":
    """The entries of a dictionary as level names."""
    import pyarrow as pa
    import pyarrow.types as pt

    entries = array.dictionary
    text = pt.is_string(entries.type) or pt.is_large_string(entries.type)
    if text or pt.is_binary_view(entries.type) or str(entries.type) == "string_view":
        return entries.cast(pa.large_string())
    names = [None if v is None else level_name(v) for v in entries.to_pylist()]
    return pa.array(names, pa.large_string())


def same_dictionary(one: "pa.Array | None", other: "pa.Array") -> bool:
    """Whether two dictionaries share their memory, as those of one row group do."""
    return one is not None and _address(one) == _address(other)


def _address(array: "pa.Array") -> tuple[int, ...]:
    """Where the values of an array lie, and how many."""
    buffers = [b.address for b in array.buffers() if b is not None]
    return (*buffers, array.offset, len(array))
