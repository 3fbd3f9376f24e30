"""Factors: from the values of rows to codes of known levels.

Takes what was learnt of all rows; gives the level of each row of a frame or of a batch,
for atoms that are read as factors and for grouping factors of one or several columns,
observed cells only; and finds the levels of new rows. Never an indicator matrix.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int

from bayeslmm.data.numbers import level_name, number_in
from bayeslmm.design.distinct import NumberCodes, number_codes
from bayeslmm.design.evaluate import (
    Column,
    RawRows,
    evaluate_atom,
    evaluate_factor,
    factor_node,
    factor_values,
    is_factor,
)
from bayeslmm.design.frame import FactorColumn, Kind, level_codes
from bayeslmm.errors import DataError, repeated
from bayeslmm.formula import Atom, Name


@dataclass(frozen=True, slots=True)
class AtomCoder:
    """How an atom that is read as a factor is coded.

    ``levels`` are its labels, ``kind`` what its values are. ``numbers`` codes values
    that are not text; for text ``recode`` turns codes of the column's categories (and
    -1, at the end) into levels.
    """

    atom: Atom
    levels: tuple[str, ...]
    numbers: NumberCodes | None
    recode: Int[np.ndarray, " c"] | None
    kind: Kind = "text"

    def codes(self, rows: RawRows) -> Int[np.ndarray, " n"]:
        """Level of each row; the rows are complete."""
        column = factor_values(self.atom, rows)
        if self.numbers is not None:
            return self.numbers.codes(self.atom.label, column.values)
        return column.values if self.recode is None else self.recode[column.values]


def coded_column(atom: Atom, rows: RawRows, factors: Mapping[str, AtomCoder]) -> Column:
    """One atom on the rows given, a factor under the levels of all."""
    if not is_factor(atom, rows):
        return evaluate_atom(atom, rows)
    coder = factors[atom.label]
    return FactorColumn(coder.codes(rows), coder.levels, coder.kind)


@dataclass(frozen=True, slots=True)
class GroupCoder:
    """How a grouping factor is coded.

    ``parts`` are its crossed columns; ``levels`` the labels of the combinations that
    occur, ``A:a``, in the order of the columns' levels; ``cells`` codes these, as
    positions in the array of all combinations. It is None if the levels are those of
    the one column.
    """

    label: str
    parts: tuple[AtomCoder, ...]
    levels: tuple[str, ...]
    cells: NumberCodes | None

    @property
    def sizes(self) -> list[int]:
        """Number of levels of each crossed column."""
        return [len(part.levels) for part in self.parts]

    @property
    def observed(self) -> Int[np.ndarray, " j"]:
        """The combinations that occur, ascending."""
        return np.arange(len(self.levels)) if self.cells is None else self.cells.values

    def codes(self, rows: RawRows) -> Int[np.ndarray, " n"]:
        """Level of each row; the rows are complete."""
        cell = self.cell(rows)
        return cell if self.cells is None else self.cells.codes(self.label, cell)

    def cell(self, rows: RawRows) -> Int[np.ndarray, " n"]:
        """Combination of levels of each row as one integer."""
        return _cell([part.codes(rows) for part in self.parts], self.sizes)

    def restricted(self, kept: Bool[np.ndarray, " j"]) -> "GroupCoder":
        """The same with some of its levels only."""
        if kept.all():
            return self
        levels = tuple(np.array(self.levels, dtype=object)[kept].tolist())
        return replace(self, levels=levels, cells=number_codes(self.observed[kept]))

    def used_levels(self) -> dict[str, set[str]]:
        """Levels of each crossed column (not of expressions) in those of the factor."""
        at = np.unravel_index(self.observed, self.sizes)
        return {
            part.atom.columns[0]: {part.levels[i] for i in np.unique(positions)}
            for part, positions in zip(self.parts, at, strict=True)
            if isinstance(factor_node(part.atom), Name)
        }


def find_groups(
    coder: GroupCoder, rows: RawRows
) -> tuple[Int[np.ndarray, " m"], np.ndarray]:
    """Level of each row of new data, -1 if unseen, and its label (str objects)."""
    import pandas as pd

    parts = coder.parts
    given = [evaluate_factor(part.atom, rows) for part in parts]
    sizes = [len(factor.levels) for factor in given]
    check_combinations(coder.label, sizes)
    codes, cells = pd.factorize(_cell([factor.codes for factor in given], sizes))
    recodes = [
        level_codes(part.atom.label, factor, part.levels, part.kind)
        for factor, part in zip(given, parts, strict=True)
    ]
    known = [
        recode[factor.codes] for factor, recode in zip(given, recodes, strict=True)
    ]
    names = tuple(map(_names, given, recodes, parts))
    labels = cell_labels(np.asarray(cells), names)
    seen = np.logical_and.reduce([own >= 0 for own in known])
    cell = np.where(seen, _cell(known, coder.sizes), -1)
    at = np.minimum(np.searchsorted(coder.observed, cell), len(coder.levels) - 1)
    found = np.where(coder.observed[at] == cell, at, -1)
    return found, np.array(labels, dtype=object)[codes]


def _names(
    factor: FactorColumn, recode: Int[np.ndarray, " c"], part: AtomCoder
) -> tuple[str, ...]:
    """Names of the levels of new data: those of the fit, of others one for a value.

    So the texts "77" and "77.0" are the same new level of what was numbers.
    """
    names = []
    for level, code in zip(factor.levels, recode[:-1], strict=True):
        number = number_in(level) if part.kind == "number" else None
        own = level if number is None else level_name(number)
        names.append(part.levels[code] if code >= 0 else own)
    return tuple(names)


def _cell(
    codes: Sequence[Int[np.ndarray, " n"]], sizes: Sequence[int]
) -> Int[np.ndarray, " n"]:
    """Combination of the levels of each row as one integer, the last fastest."""
    cell = codes[0]
    for own, size in zip(codes[1:], sizes[1:], strict=True):
        cell = cell * size + own
    return cell


def check_combinations(label: str, sizes: list[int]) -> None:
    """Raise if the combinations of levels are too many to be numbered."""
    if math.prod(sizes) >= 2**62:
        raise DataError(
            f"The columns of the grouping factor {label!r} have too many combinations "
            f"to be numbered. Combine them into one column of the data first."
        )


def cell_labels(
    cells: Int[np.ndarray, " j"], parts: tuple[tuple[str, ...], ...]
) -> tuple[str, ...]:
    """Labels of combinations, the columns' labels joined by colons."""
    if len(parts) == 1:
        return tuple(parts[0][cell] for cell in cells)
    positions = np.unravel_index(cells, [len(levels) for levels in parts])
    columns = [
        [levels[i] for i in at] for levels, at in zip(parts, positions, strict=True)
    ]
    return tuple(":".join(cell) for cell in zip(*columns, strict=True))


def check_cell_labels(levels: tuple[str, ...], label: str) -> None:
    """Raise if two combinations have the same label, as A:b with c and A with b:c."""
    if len(set(levels)) < len(levels):
        raise DataError(
            f"Two levels of the grouping factor {label!r} would both be called "
            f"{repeated(levels)[0]!r}, because levels of its columns contain ':'. "
            f"Rename them."
        )
