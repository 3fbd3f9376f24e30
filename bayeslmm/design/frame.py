"""Data frame -> columns: what kind each is, what is missing, which levels it has.

Takes a pandas, polars or Arrow frame (through narwhals) and gives a `RawColumn` for
each name that the formula reads, and factors: integer codes with labels in lme4's
order. Declared categories keep
their order (pandas categoricals, polars enums, Arrow dictionaries; a polars Categorical
has none of its own); other values are sorted, numbers as numbers.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from jaxtyping import Bool, Int

from bayeslmm.data.numbers import (
    EXACT,
    check_holds_ids,
    decimal_numbers,
    exact_numbers,
    level_name,
    number_in,
)
from bayeslmm.design.dictionaries import factor_codes
from bayeslmm.errors import DataError, listed, printable, repeated

if TYPE_CHECKING:
    import narwhals
    import pandas as pd

Kind = Literal["number", "flag", "text"]


@dataclass(frozen=True, slots=True)
class FactorColumn:
    """A factor: the level of each row, 0 .. len(levels) - 1, and the labels.

    A code of -1 is a value that is missing or, in new data, unseen. ``kind`` is what
    the values were before they were levels.
    """

    codes: Int[np.ndarray, " n"]
    levels: tuple[str, ...]
    kind: Kind = "text"


@dataclass(frozen=True, slots=True)
class FactorLevels:
    """What a `FactorColumn` is, without rows."""

    levels: tuple[str, ...]
    kind: Kind = "text"


AnyFactor = FactorColumn | FactorLevels


@dataclass(frozen=True, slots=True)
class RawColumn:
    """One column as given.

    Attributes
    ----------
    name : str
        Its name in the frame.
    kind : {"number", "flag", "text"}
        Numbers; True and False; strings and categoricals.
    values : ndarray, shape (n,)
        Numbers, held exactly (int64, uint64, float64, else objects); flags; or for text
        the codes.
    missing : ndarray of bool, shape (n,)
        Which values are missing.
    levels : tuple of str
        Labels of a text column: the declared categories, or its values sorted.
    limit : float
        Floats below this tell whole numbers apart: 2**53, 2**24 in single precision.
    """

    name: str
    kind: Kind
    values: np.ndarray
    missing: Bool[np.ndarray, " n"]
    levels: tuple[str, ...] = ()
    limit: float = EXACT

    def take(self, rows: Int[np.ndarray, " m"]) -> "RawColumn":
        """The column at the given rows."""
        if len(rows) == len(self.values):
            return self
        return replace(self, values=self.values[rows], missing=self.missing[rows])


# --- reading --------------------------------------------------------------------------


def open_frame(data: object) -> "narwhals.DataFrame[Any]":
    """The frame behind narwhals' interface, or a `DataError`."""
    import narwhals as nw
    from narwhals.exceptions import DuplicateError

    if isinstance(data, nw.DataFrame):
        return data
    try:
        return nw.from_native(cast("Any", data), eager_only=True)
    except DuplicateError as error:
        # The columns of an Arrow table are arrays.
        names = getattr(data, "column_names", None) or cast("Any", data).columns
        raise repeated_names(names) from error
    except TypeError as error:
        raise DataError(
            f"The data are a {type(data).__name__}, not a data frame. "
            f"{_frame_advice(data)}"
        ) from error


def _frame_advice(data: object) -> str:
    """What to do with something that is not a frame."""
    if isinstance(data, Mapping):
        return "Write pandas.DataFrame(data)."
    if hasattr(data, "collect"):
        return "Call its .collect() first."
    if isinstance(data, str):
        return (
            "Read the file first, with lmm.read(path), or with duckdb.read_csv if it "
            "is larger than memory."
        )
    return "Give a pandas, polars or Arrow data frame with named columns."


def repeated_names(names: Iterable[object]) -> DataError:
    """The error for columns of one name, of which a reader would take any."""
    return DataError(
        f"The data have more than one column named {listed(repeated(names))}, so it "
        f"is not clear which is meant. Rename them."
    )


def read_column(frame: "narwhals.DataFrame[Any]", name: str) -> RawColumn:
    """One column of the frame as a `RawColumn`; its name must be there."""
    import narwhals as nw

    numbers = _numpy_numbers(name, frame.to_native())
    if numbers is not None:
        return numbers
    series = frame.get_column(name)
    dtype = series.dtype
    if dtype.is_numeric():
        return _read_number(name, series)
    if dtype == nw.Boolean:
        return _read_flag(name, series)
    if isinstance(dtype, nw.Categorical | nw.Enum | nw.String):
        return _read_text(name, series)
    if dtype.is_temporal():
        raise DataError(
            f"Column {name!r} holds dates or times ({dtype}), which have no unit yet. "
            f"Convert it to a number (days since the first date, say) or to text."
        )
    return _read_object(name, series, str(dtype))


def _numpy_numbers(name: str, native: object) -> RawColumn | None:
    """A column of doubles or integers that a pandas frame holds as numpy does.

    What `_read_number` gives, at a third of its time.
    """
    import pandas as pd

    if not isinstance(native, pd.DataFrame):
        return None
    values = native[name]
    if not isinstance(values.dtype, np.dtype):
        return None
    if values.dtype.kind in "iu":
        return RawColumn(name, "number", values.to_numpy(), np.zeros(len(values), bool))
    if values.dtype == np.float64:
        numbers = values.to_numpy()
        return RawColumn(name, "number", numbers, np.isnan(numbers))
    return None


def _read_number(name: str, series: "narwhals.Series[Any]") -> RawColumn:
    """A numeric column; integers and decimals stay exact, so that ids stay distinct."""
    import narwhals as nw

    dtype = series.dtype
    if isinstance(dtype, nw.Decimal):
        values, missing = decimal_numbers(cast("Any", series.to_arrow()))
        return RawColumn(name, "number", values, missing)
    if dtype.is_integer():
        missing = series.is_null().to_numpy().astype(bool)
        given = series.fill_null(0) if missing.any() else series
        wide = isinstance(dtype, nw.Int128 | nw.UInt128)  # numpy has no such integers
        values = exact_numbers(given.to_list()) if wide else given.to_numpy()
        return RawColumn(name, "number", values, missing)
    values = series.to_numpy().astype(float, copy=False)
    bits = {nw.Float32: 24, nw.Float16: 11}.get(type(dtype), 53)
    return RawColumn(name, "number", values, np.isnan(values), limit=2.0**bits)


def _read_flag(name: str, series: "narwhals.Series[Any]") -> RawColumn:
    """A column of True and False."""
    missing = series.is_null().to_numpy().astype(bool)
    values = (series.fill_null(False) if missing.any() else series).to_numpy()
    return RawColumn(name, "flag", values.astype(bool), missing)


def _read_text(name: str, series: "narwhals.Series[Any]") -> RawColumn:
    """A string or categorical column as codes and labels."""
    import narwhals as nw
    import pandas as pd

    native = series.to_native()
    if str(getattr(native, "type", "")).startswith("dictionary"):
        codes, levels = factor_codes(name, native.chunks)
        return RawColumn(name, "text", codes, codes < 0, levels)
    values = native if isinstance(native, pd.Series) else native.to_pandas()
    polars_categorical = (
        series.implementation.is_polars() and series.dtype == nw.Categorical
    )
    if polars_categorical:  # its categories are ordered by a cache that columns share
        values = values.astype(str).where(values.notna())
    if isinstance(values.dtype, pd.CategoricalDtype):
        codes = values.cat.codes.to_numpy().astype(np.int64)
        if values.cat.categories.dtype.kind == "f":
            categories = values.cat.categories.to_numpy()
            bits = np.finfo(categories.dtype).nmant + 1
            check_holds_ids(name, categories, 2.0**bits)
        levels = tuple(level_name(value) for value in values.cat.categories)
        _check_printable(name, levels)
        if len(set(levels)) < len(levels):
            raise DataError(
                f"Categories of column {name!r} differ in type but not in name: "
                f"{listed(repeated(levels))}. Rename them."
            )
    else:
        codes, levels = _sorted_codes(values)
        _check_printable(name, levels)
    return RawColumn(name, "text", codes, codes < 0, levels)


def _check_printable(name: str, levels: tuple[str, ...]) -> None:
    """Raise `DataError` if a level can be neither printed, drawn nor saved."""
    joined = "".join(levels)
    if joined.isascii() or printable(joined) == joined:
        return
    odd = next(level for level in levels if printable(level) != level)
    raise DataError(
        f"Column {name!r} has the level {odd!r}, which holds half of a character (a "
        f"lone surrogate) and cannot be printed, drawn or saved. Read the file in its "
        f"own encoding, lmm.read(path, encoding=...), or write the halves out: "
        f"data[{name!r}].str.encode('utf-8', 'backslashreplace').str.decode('utf-8')."
    )


def _read_object(name: str, series: "narwhals.Series[Any]", dtype: str) -> RawColumn:
    """A column of Python objects, if they are all numbers or all flags."""
    import pandas as pd

    values = pd.Series(series.to_list(), dtype=object)
    missing = values.isna().to_numpy()
    found = pd.api.types.infer_dtype(values, skipna=True)
    if missing.all():
        return RawColumn(name, "number", np.full(len(values), np.nan), missing)
    if found == "boolean":
        return RawColumn(
            name, "flag", values.fillna(False).to_numpy().astype(bool), missing
        )
    if found in ("integer", "floating", "mixed-integer-float", "decimal"):
        zero = Decimal(0) if found == "decimal" else 0
        given = [zero if gone else v for v, gone in zip(values, missing, strict=True)]
        return RawColumn(name, "number", exact_numbers(given), missing)
    raise DataError(
        f"Column {name!r} ({dtype}) holds {found} values, neither all numbers nor all "
        f"text. Convert it to one type, for example with astype(float) or astype(str)."
    )


def _sorted_codes(
    values: "pd.Series | np.ndarray",
) -> tuple[Int[np.ndarray, " n"], tuple[str, ...]]:
    """Codes by sorted value, -1 where missing, and the labels."""
    import pandas as pd

    codes, found = pd.factorize(cast("Any", values), sort=False)
    found = np.asarray(found)
    order = np.argsort(found, kind="stable")
    rank = np.empty(len(order) + 1, dtype=np.int64)
    rank[order] = np.arange(len(order))
    rank[-1] = -1  # what a code of -1 picks
    return rank[codes], tuple(level_name(value) for value in found[order].tolist())


# --- factors --------------------------------------------------------------------------


def to_factor(column: RawColumn) -> FactorColumn:
    """A column as a factor with the levels that occur; a number becomes its label."""
    if column.kind == "text":
        return drop_unused(FactorColumn(column.values, column.levels))
    check_holds_ids(column.name, column.values[~column.missing], column.limit)
    codes, levels = _sorted_codes(column.values)
    codes = np.where(column.missing, -1, codes)
    return drop_unused(FactorColumn(codes, levels, column.kind))


def to_flag_factor(values: Bool[np.ndarray, " n"]) -> FactorColumn:
    """True and False as R has them: both are levels, whichever occur."""
    return FactorColumn(values.astype(np.int64), ("False", "True"), "flag")


def drop_unused(factor: FactorColumn) -> FactorColumn:
    """The factor without the levels that no row has."""
    used = used_levels(factor)
    if used.all():
        return factor
    rank = np.append(np.cumsum(used) - 1, -1)  # the last entry answers a code of -1
    levels = tuple(np.array(factor.levels, dtype=object)[used])
    return FactorColumn(rank[factor.codes], levels, factor.kind)


def used_levels(factor: FactorColumn) -> Bool[np.ndarray, " j"]:
    """Which levels occur."""
    present = factor.codes[factor.codes >= 0]
    return np.bincount(present, minlength=len(factor.levels)) > 0


def level_codes(
    name: str, factor: FactorColumn, levels: tuple[str, ...], kind: Kind
) -> Int[np.ndarray, " c"]:
    """Code that each level of new data has among those of the fit, -1 for none.

    The last entry, -1, is that of a value without a level. Where one was numbers and
    the other is text, ``"1.0"`` is the level ``1``.

    Parameters
    ----------
    name : str
        Its name, for messages.
    factor : FactorColumn
        New data.
    levels : tuple of str
        Labels of the fit.
    kind : {"number", "flag", "text"}
        What these labels were in the data of the fit.

    Raises
    ------
    DataError
        If numbers and text cannot be matched: flags, or two texts of one value.
    """
    position = {level: code for code, level in enumerate(levels)}
    recode = [position.get(level, -1) for level in factor.levels]
    if -1 in recode and factor.kind != kind:
        recode = _match_values(name, factor, levels, kind, recode)
    return np.array([*recode, -1])


def _match_values(
    name: str,
    factor: FactorColumn,
    levels: tuple[str, ...],
    kind: Kind,
    recode: list[int],
) -> list[int]:
    """Codes of levels where those without their label are found by their number."""
    if "flag" in (kind, factor.kind):
        unseen = [
            lv for lv, code in zip(factor.levels, recode, strict=True) if code < 0
        ]
        words = {"flag": "True and False", "number": "numbers", "text": "text"}
        raise DataError(
            f"{name!r} is {words[factor.kind]} in the new data and was {words[kind]} "
            f"in the data of the fit, which has no {listed(unseen)}. Convert it."
        )
    known: dict[Decimal | None, list[int]] = {}
    for code, level in enumerate(levels):
        known.setdefault(number_in(level), []).append(code)
    found = []
    for level, code in zip(factor.levels, recode, strict=True):
        number = number_in(level)
        same = [code] if code >= 0 or number is None else known.get(number, [-1])
        if len(same) > 1:
            raise DataError(
                f"{name!r} is the number {level} in the new data and was text in the "
                f"data of the fit, which have {len(same)} levels of that value: "
                f"{listed(levels[i] for i in same)}. Give the level as text."
            )
        found.append(same[0])
    return found
