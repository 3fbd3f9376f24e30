"""Arrays together with the table by which compiled loops find them; needs no numba."""

from collections.abc import Iterable
from typing import Any

import numpy as np

# Address and up to three lengths of an array.
RECORD = 4


class Packed(tuple[np.ndarray, ...]):
    """Whole arrays of float64 or int64, as a tuple, and their `table`.

    Copies and pickles have a table of their own: addresses are of a process.
    """

    def __new__(cls, arrays: Iterable[np.ndarray]) -> "Packed":
        """Arrays that are not whole, or of other numbers, are copied."""
        return super().__new__(cls, map(_whole, arrays))

    def __reduce__(self) -> tuple[type["Packed"], tuple[tuple[np.ndarray, ...]]]:
        return Packed, (tuple(self),)

    @property
    def table(self) -> Any:
        """Addresses and shapes, int64; without the compiler the arrays themselves."""
        found = self.__dict__.get("table")
        if found is None:
            found = self.__dict__["table"] = _table(self)
        return found


def _whole(array: np.ndarray) -> np.ndarray:
    """The array, or a copy in one piece."""
    kind = np.int64 if array.dtype.kind in "iu" else np.float64
    return np.ascontiguousarray(array, kind)


def _table(arrays: tuple[np.ndarray, ...]) -> Any:
    """A record for each array: address, shape."""
    from numba import config

    if config.DISABLE_JIT:  # pyright: ignore[reportAttributeAccessIssue]
        return tuple(arrays)
    records = []
    for array in arrays:
        missing = RECORD - 1 - array.ndim
        records += [array.ctypes.data, *array.shape, *(1 for _ in range(missing))]
    return np.array(records, np.int64)
