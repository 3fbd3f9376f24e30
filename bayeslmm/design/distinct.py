"""The different values of a column, gathered batch by batch.

Takes values; gives them sorted, without ever holding the rows. Whole numbers in a
moderate range are marked in a table; other numbers and text are kept as runs of
different values that are merged when they have grown.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Int

from bayeslmm.data.numbers import EXACT, alike, level_name, union
from bayeslmm.design.dictionaries import (
    dictionary_codes,
    dictionary_labels,
    same_dictionary,
)
from bayeslmm.design.memory import check_fits
from bayeslmm.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

# Widest range of whole numbers that is marked in a table, 64 MB of flags.
SPAN = 1 << 26
# Runs are merged when they have this many values more than twice those merged before.
GROWTH = 1 << 20
# Bytes that a level takes at least: label, entry of a tuple, a few sums.
LEVEL_BYTES = 150.0
# So few levels fit anywhere, and to ask what memory is free takes 0.3 ms.
FEW = 10_000


@dataclass(slots=True)
class NumberSet:
    """Different numbers: ``seen[i]`` marks ``low + i``; ``runs`` hold the others."""

    low: int = 0
    seen: Bool[np.ndarray, " s"] = field(default_factory=lambda: np.zeros(0, bool))
    runs: list[np.ndarray] = field(default_factory=list)
    merged: int = 0

    def see(self, values: np.ndarray) -> None:
        """Take in the values of a batch."""
        import pandas as pd

        if not len(values):
            return
        whole = None if self.runs else whole_numbers(values)
        if whole is not None:
            low, high = int(whole.min()), int(whole.max())
            if self._cover(low, high):
                self.seen[whole.astype(np.int64, copy=False) - self.low] = True
                return
        if len(self.seen):
            self._leave_table()
        self.runs.append(np.sort(pd.unique(values)))
        if sum(map(len, self.runs)) > 2 * self.merged + GROWTH:
            self._merge()

    def add(self, other: "NumberSet") -> None:
        """Take in what another thread has seen."""
        self.see(other.values())

    def values(self) -> np.ndarray:
        """All different values, ascending."""
        if not self.runs:
            return np.flatnonzero(self.seen) + self.low
        self._merge()
        return self.runs[0]

    def _cover(self, low: int, high: int) -> bool:
        """Make the table reach from low to high; False if that is too far."""
        if not len(self.seen):
            self.low = low
        new_low = min(low, self.low)
        stop = max(high + 1, self.low + len(self.seen))
        if stop - new_low > SPAN or not _moderate(new_low, stop):
            return False
        if new_low < self.low or stop > self.low + len(self.seen):
            grown = np.zeros(stop - new_low, dtype=bool)
            start = self.low - new_low
            grown[start : start + len(self.seen)] = self.seen
            self.low, self.seen = new_low, grown
        return True

    def _leave_table(self) -> None:
        """Keep what the table marks as a run."""
        self.runs.append(np.flatnonzero(self.seen) + self.low)
        self.seen = np.zeros(0, dtype=bool)

    def _merge(self) -> None:
        """One run of all."""
        self.runs = [union(self.runs)]
        self.merged = len(self.runs[0])
        check_levels(self.merged)


def whole_numbers(values: np.ndarray) -> np.ndarray | None:
    """The values as integers, as they are or from whole floats; None if they are not.

    Ids are floats where one was missing when the file was read.
    """
    if values.dtype.kind in "iu":
        return values
    if values.dtype.kind != "f" or not -EXACT < values.min() <= values.max() < EXACT:
        return None
    whole = values.astype(np.int64)
    return whole if (whole == values).all() else None


def _moderate(low: int, high: int) -> bool:
    """Whether numbers, and their differences, are far from the limits of int64."""
    return -(2**62) < low <= high < 2**62


@dataclass(slots=True)
class TextSet:
    """Different values of a text column: those given, and those of the rows used.

    ``declared`` holds the dictionaries, each different one once, with its place in the
    order of the rows; only if ``ordered``, where categories are declared.
    """

    ordered: bool = True
    declared: "list[tuple[tuple[int, int], pa.Array]]" = field(default_factory=list)
    given: "list[pa.Array]" = field(default_factory=list)
    used: "list[pa.Array]" = field(default_factory=list)
    merged: int = 0
    _last: "pa.Array | None" = None
    _labels: "pa.Array | None" = None
    _marks: Bool[np.ndarray, "2 d"] = field(
        default_factory=lambda: np.zeros((2, 0), bool)
    )

    def see(
        self,
        order: tuple[int, int],
        array: "pa.DictionaryArray",
        kept: Int[np.ndarray, " m"] | None,
    ) -> None:
        """Take in the values of a batch; `kept` are the rows used, None for unknown."""
        if not same_dictionary(self._last, array.dictionary):
            self.flush()
            self._last = array.dictionary
            self._marks = np.zeros((2, len(array.dictionary) + 1), dtype=bool)
            self._labels = labels = dictionary_labels(array)
            last = self.declared[-2:]
            if self.ordered and not any(labels.equals(known) for _, known in last):
                self.declared.append((order, labels))
                check_levels(sum(len(known) for _, known in self.declared))
        codes = dictionary_codes(array)
        self._marks[0, codes] = True  # -1, missing, marks the last entry
        if kept is not None:
            self._marks[1, codes[kept]] = True

    def flush(self) -> None:
        """Put what was marked in the last dictionary with the rest."""
        if self._labels is None:
            return
        for found, marks in zip((self.given, self.used), self._marks, strict=True):
            found.append(self._labels.filter(_arrow(marks[:-1])))
        self._last = self._labels = None
        if sum(map(len, self.given)) > 2 * self.merged + GROWTH:
            self.given, self.used = [_unique(self.given)], [_unique(self.used)]
            self.merged = len(self.given[0])
            check_levels(self.merged)

    def add(self, other: "TextSet") -> None:
        """Take in what another thread has seen."""
        self.flush()
        other.flush()
        self.declared += other.declared
        self.given += other.given
        self.used += other.used

    def levels(self) -> tuple[str, ...]:
        """Labels of the column: its categories in their order, or values sorted."""
        self.flush()
        if self.ordered:
            ordered = [labels for _, labels in sorted(self.declared, key=_first)]
            return tuple(_unique(ordered).drop_null().to_pylist())
        return tuple(sorted(_unique(self.given).drop_null().to_pylist()))

    def present(self) -> tuple[set[str], set[str]]:
        """Values that some row has, and that some row used has."""
        self.flush()
        given, used = (_unique(found).drop_null() for found in (self.given, self.used))
        return set(given.to_pylist()), set(used.to_pylist())


def _first(entry: "tuple[tuple[int, int], pa.Array]") -> tuple[int, int]:
    """Place of a dictionary in the order of the rows."""
    return entry[0]


def _arrow(marks: Bool[np.ndarray, " d"]) -> "pa.Array":
    """Flags as an Arrow array."""
    import pyarrow as pa

    return pa.array(np.ascontiguousarray(marks))


def _unique(arrays: "list[pa.Array]") -> "pa.Array":
    """Different values of several arrays, in order of appearance."""
    import pyarrow as pa
    import pyarrow.compute as pc

    together = pa.chunked_array(arrays, pa.large_string())
    return pc.call_function("unique", [together])


def check_levels(n_levels: int) -> None:
    """Raise before so many levels are gathered that the memory cannot hold them."""
    if n_levels < FEW:
        return
    check_fits(
        LEVEL_BYTES * n_levels,
        f"The {n_levels:,} different values found so far in a factor",
    )


def number_labels(values: np.ndarray, *, flags: bool) -> tuple[str, ...]:
    """Level names of numbers; of True and False where the column holds flags."""
    if flags:
        return tuple(str(bool(value)) for value in values)
    if values.dtype.kind in "iu":
        return tuple(map(str, values.tolist()))
    return tuple(level_name(value) for value in values.tolist())


@dataclass(frozen=True, slots=True)
class NumberCodes:
    """Codes of numbers: ``values`` ascending; a table where their range is moderate."""

    values: np.ndarray
    table: Int[np.ndarray, " s"]

    def codes(self, name: str, given: np.ndarray) -> Int[np.ndarray, " n"]:
        """Code of each number; one that is no level is a `DataError`."""
        import pandas as pd

        if not len(given):
            return np.empty(0, dtype=np.int64)
        whole = whole_numbers(given) if len(self.table) else None
        if whole is not None:
            low, high = int(whole.min()), int(whole.max())
            first = int(self.values[0])
            if first <= low and high <= int(self.values[-1]):
                at = whole.astype(np.int64, copy=whole is given)
                at -= first
                codes = self.table[at]
                if codes.min() >= 0:
                    return codes
        known, given = alike([self.values, given])
        levels = pd.Index(known, dtype=known.dtype)
        at = levels.get_indexer(pd.Index(given, dtype=given.dtype))
        unseen = at < 0
        if unseen.any():
            raise DataError(
                f"{name!r} has the value {given[unseen][0]!s}, which it had not when "
                f"the levels were read. The data changed between the two passes, or "
                f"the batches are not the same each time."
            )
        return at


def number_codes(values: np.ndarray) -> NumberCodes:
    """How numbers are coded, from all their different values, ascending."""
    table = np.empty(0, dtype=np.int64)
    if len(values) and values.dtype.kind in "iu":
        low, high = int(values[0]), int(values[-1])
        span = high - low + 1
        if span <= max(4 * len(values), 1 << 16) and _moderate(low, high):
            table = np.full(span, -1, dtype=np.int64)
            table[values - values[0]] = np.arange(len(values))
    return NumberCodes(values, table)
