"""Arrow arrays -> columns, without a copy where the values are plain numbers.

Takes the arrays of a batch; gives `RawColumn` as `frame.read_column` does for frames in
memory. Text is recoded by its dictionary, so that the cost is that of the different
values, not of the rows.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int

from bayeslmm.design.frame import RawColumn, level_name
from bayeslmm.design.kinds import Kind
from bayeslmm.design.source import Batch
from bayeslmm.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

# Sums of squares of smaller numbers stay finite for any number of rows.
LARGEST = 1e140

Codes = Int[np.ndarray, " n"]


# --- numbers --------------------------------------------------------------------------


def number_column(name: str, array: "pa.Array") -> RawColumn:
    """A column of numbers: integers keep their type, the rest is float64."""
    import pyarrow as pa
    import pyarrow.types as pt

    if pt.is_integer(array.type):
        if not array.null_count:
            return RawColumn(name, "number", array.to_numpy(), _none(len(array)))
        missing = array.is_null().to_numpy(zero_copy_only=False)
        return RawColumn(name, "number", array.fill_null(0).to_numpy(), missing)
    if not pt.is_float64(array.type):
        array = array.cast(pa.float64())
    values = array.to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):
        regular = np.isfinite(values @ values)  # one pass for values and squares
    if regular:
        return RawColumn(name, "number", values, _none(len(values)))
    finite = np.isfinite(values)
    missing = np.isnan(values)
    n_infinite = int((~finite & ~missing).sum())
    if n_infinite:
        raise DataError(
            f"Column {name!r} is infinite in {n_infinite} of {len(values)} rows. "
            f"Correct those values or drop the rows."
        )
    largest = float(np.abs(values[finite]).max(initial=0.0))
    if largest > LARGEST:
        raise DataError(
            f"Column {name!r} reaches {largest:.3g}, whose square is beyond what a "
            f"number can hold. If the file is corrupt, write it again; if the value "
            f"stands for a missing one, replace it."
        )
    return RawColumn(name, "number", values, missing)


def flag_column(name: str, array: "pa.Array") -> RawColumn:
    """A column of True and False."""
    missing = array.is_null().to_numpy(zero_copy_only=False)
    values = array.fill_null(False).to_numpy(zero_copy_only=False)
    return RawColumn(name, "flag", values, missing)


def _none(n: int) -> Bool[np.ndarray, " n"]:
    """No value missing."""
    return np.zeros(n, dtype=bool)


# --- text -----------------------------------------------------------------------------


def as_dictionary(array: "pa.Array") -> "pa.DictionaryArray":
    """A text column with its different values apart from the rows."""
    import pyarrow as pa
    import pyarrow.types as pt

    if pt.is_dictionary(array.type):
        return array  # pyright: ignore[reportReturnType]
    return array.cast(pa.large_string()).dictionary_encode()  # pyright: ignore


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


@dataclass(slots=True)
class TextCodes:
    """Turns the text of batches into codes of levels that are known.

    ``levels`` are the labels; the recoding of the last dictionary is kept.
    """

    levels: tuple[str, ...]
    _labels: "pa.Array | None" = None
    _last: "pa.Array | None" = None
    _recode: Codes = field(default_factory=lambda: np.array([-1]))

    def column(self, name: str, array: "pa.DictionaryArray") -> RawColumn:
        """The column as codes; a value that is no level is a `DataError`."""
        if not same_dictionary(self._last, array.dictionary):
            self._learn(array)
        position = dictionary_codes(array)
        codes = self._recode[position]
        missing = codes < 0
        unseen = missing & (position >= 0)
        if unseen.any() and not _null_entries(array, position[unseen]):
            value = array[int(np.flatnonzero(unseen)[0])].as_py()
            raise DataError(
                f"Column {name!r} has the value {str(value)!r}, which it had not when "
                f"the levels were read. The data changed between the two passes, or "
                f"the batches are not the same each time."
            )
        return RawColumn(name, "text", codes, missing, self.levels)

    def _learn(self, array: "pa.DictionaryArray") -> None:
        """Code of each entry of a dictionary, and -1 for what is missing."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if self._labels is None:
            self._labels = pa.array(self.levels, pa.large_string())
        labels = dictionary_labels(array)
        found = pc.call_function(
            "index_in", [labels], pc.SetLookupOptions(value_set=self._labels)
        )
        codes = found.fill_null(-1).to_numpy().astype(np.int64)
        self._recode = np.append(codes, -1)
        self._last = array.dictionary


def _null_entries(array: "pa.DictionaryArray", positions: Codes) -> bool:
    """Whether the dictionary itself holds null at all of these positions."""
    if not array.dictionary.null_count:
        return False
    null = array.dictionary.is_null().to_numpy(zero_copy_only=False)
    return bool(null[positions].all())


# --- batches --------------------------------------------------------------------------


def slices(batch: Batch, kinds: dict[str, Kind], size: int) -> "list[Batch]":
    """A batch in runs of rows that fit the cache, text as dictionaries."""
    arrays = {
        name: as_dictionary(array) if kinds[name] == "text" else array
        for name, array in batch.columns.items()
    }
    if batch.n <= size:
        return [Batch(batch.order, batch.where, arrays, batch.n)]
    return [
        Batch(
            batch.order,
            batch.where,
            {name: array.slice(start, size) for name, array in arrays.items()},
            min(size, batch.n - start),
        )
        for start in range(0, batch.n, size)
    ]


def read_raw(
    batch: Batch, name: str, kind: Kind, text: dict[str, TextCodes]
) -> RawColumn:
    """One column of a batch; text by the codes of its levels."""
    array = batch.columns[name]
    if kind == "text":
        return text[name].column(name, array)  # pyright: ignore[reportArgumentType]
    if kind == "flag":
        return flag_column(name, array.cast("bool"))
    return number_column(name, array)  # nulls alone are missing numbers


def finite_weights(column: RawColumn) -> Float[np.ndarray, " n"]:
    """Weights as floats, NaN where missing."""
    values = column.values.astype(float, copy=False)
    return np.where(column.missing, np.nan, values) if column.missing.any() else values
