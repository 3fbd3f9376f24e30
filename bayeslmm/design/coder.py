"""Factors of a streamed design: from the values of a batch to codes of known levels.

Takes what the first pass found; gives the level of each row, for atoms that are read as
factors and for grouping factors of one or several columns.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from bayeslmm.design.distinct import NumberCodes
from bayeslmm.design.evaluate import RawRows, factor_node, factor_values
from bayeslmm.design.frame import Kind
from bayeslmm.errors import DataError
from bayeslmm.formula import Atom, Name, RandomTerm


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


@dataclass(frozen=True, slots=True)
class GroupCoder:
    """How a grouping factor is coded.

    ``parts`` are its crossed columns; ``cells`` codes their combinations, None for a
    factor of one column.
    """

    label: str
    parts: tuple[AtomCoder, ...]
    levels: tuple[str, ...]
    cells: NumberCodes | None

    def codes(self, rows: RawRows) -> Int[np.ndarray, " n"]:
        """Level of each row; the rows are complete."""
        if self.cells is None:
            return self.parts[0].codes(rows)
        return self.cells.codes(self.label, self.cell(rows))

    def used_levels(self, kept: Bool[np.ndarray, " j"]) -> dict[str, set[str]]:
        """Levels of each crossed column (not of expressions) in the levels kept."""
        at: tuple[np.ndarray, ...] = (np.flatnonzero(kept),)
        if self.cells is not None:
            shape = [len(part.levels) for part in self.parts]
            at = np.unravel_index(self.cells.values[kept], shape)
        return {
            part.atom.columns[0]: {part.levels[i] for i in np.unique(positions)}
            for part, positions in zip(self.parts, at, strict=True)
            if isinstance(factor_node(part.atom), Name)
        }

    def cell(self, rows: RawRows) -> Int[np.ndarray, " n"]:
        """Combination of levels of each row as one integer, the last fastest."""
        cell = self.parts[0].codes(rows)
        for part in self.parts[1:]:
            cell = cell * len(part.levels) + part.codes(rows)
        return cell


def check_combinations(bar: RandomTerm, sizes: list[int]) -> None:
    """Raise if the combinations of levels are too many to be numbered."""
    if math.prod(sizes) >= 2**62:
        raise DataError(
            f"The columns of the grouping factor {bar.group_label!r} have too many "
            f"combinations to be numbered. Combine them into one column of the data "
            f"first."
        )
