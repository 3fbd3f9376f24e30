"""Arrow arrays -> columns, without a copy where the values are plain numbers.

Takes the arrays of a batch; gives `RawColumn` as `frame.read_column` does for frames in
memory. Text is recoded by its dictionary, so that the cost is that of the different
values, not of the rows.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool

from bayeslmm.data.numbers import decimal_numbers
from bayeslmm.design.dictionaries import (
    Codes,
    as_dictionary,
    dictionary_codes,
    dictionary_labels,
    floats,
    same_dictionary,
)
from bayeslmm.design.frame import RawColumn
from bayeslmm.design.kinds import Kind
from bayeslmm.design.source import Batch
from bayeslmm.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

# Sums of squares of smaller numbers stay finite for any number of rows.
LARGEST = 1e140

# --- numbers --------------------------------------------------------------------------


def number_column(name: str, array: "pa.Array") -> RawColumn:
    """A column of numbers: integers and decimals stay exact, the rest is float64."""
    import pyarrow.types as pt

    if pt.is_integer(array.type):
        if not array.null_count:
            return RawColumn(name, "number", array.to_numpy(), _none(len(array)))
        missing = array.is_null().to_numpy(zero_copy_only=False)
        return RawColumn(name, "number", array.fill_null(0).to_numpy(), missing)
    if pt.is_decimal(array.type):
        return RawColumn(name, "number", *decimal_numbers(array))
    values, limit = floats(array)
    with np.errstate(over="ignore"):
        regular = np.isfinite(values @ values)  # one pass for values and squares
    if regular:
        return RawColumn(name, "number", values, _none(len(values)), limit=limit)
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
    return RawColumn(name, "number", values, missing, limit=limit)


def flag_column(name: str, array: "pa.Array") -> RawColumn:
    """A column of True and False."""
    missing = array.is_null().to_numpy(zero_copy_only=False)
    values = array.fill_null(False).to_numpy(zero_copy_only=False)
    return RawColumn(name, "flag", values, missing)


def _none(n: int) -> Bool[np.ndarray, " n"]:
    """No value missing."""
    return np.zeros(n, dtype=bool)


# --- text -----------------------------------------------------------------------------


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
        name: as_dictionary(name, array) if kinds[name] == "text" else array
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
    if kind == "flag" or str(array.type) == "bool":  # the first rows may be null
        return flag_column(name, array.cast("bool"))
    return number_column(name, array)  # nulls alone are missing numbers
