"""Grouping factors: which level each row belongs to.

Takes the crossed columns of a bar term and gives integer codes and labels, observed
cells only, in the order of the columns' levels; and finds the levels of new rows. Never
an indicator matrix.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from bayeslmm.data.numbers import level_name, number_in
from bayeslmm.design.evaluate import RawRows, evaluate_factor
from bayeslmm.design.frame import FactorColumn, Kind, level_codes, recoded
from bayeslmm.design.rows import Codes
from bayeslmm.errors import DataError, repeated
from bayeslmm.formula import RandomTerm


@dataclass(frozen=True, slots=True)
class GroupIndex:
    """What finds the level of a row.

    Attributes
    ----------
    parts : tuple of tuple of str
        Levels of each crossed column.
    kinds : tuple of {"number", "flag", "text"}
        What each crossed column held.
    cells : ndarray of int, shape (J,)
        Observed combinations, ascending, as positions in the array of all of them.
    levels : tuple of str
        Labels of the observed combinations, ``A:a``.
    """

    parts: tuple[tuple[str, ...], ...]
    kinds: tuple[Kind, ...]
    cells: Int[np.ndarray, " j"]
    levels: tuple[str, ...]


def learn_groups(term: RandomTerm, rows: RawRows) -> tuple[GroupIndex, Codes]:
    """Levels of a bar term, and the level of each row."""
    import pandas as pd

    factors = [evaluate_factor(atom, rows) for atom in term.group]
    parts = tuple(factor.levels for factor in factors)
    kinds: tuple[Kind, ...] = tuple(factor.kind for factor in factors)
    if len(factors) == 1:
        cells = np.arange(len(parts[0]))
        return GroupIndex(parts, kinds, cells, parts[0]), factors[0].codes
    codes, cells = pd.factorize(_cell(factors, term.group_label), sort=True)
    levels = cell_labels(np.asarray(cells), parts)
    check_cell_labels(levels, term.group_label)
    index = GroupIndex(parts, kinds, np.asarray(cells), levels)
    return index, codes.astype(np.int64, copy=False)


def find_groups(
    index: GroupIndex, term: RandomTerm, rows: RawRows
) -> tuple[Int[np.ndarray, " m"], np.ndarray]:
    """Level of each new row, -1 if unseen, and its label (array of str objects)."""
    import pandas as pd

    given = [evaluate_factor(atom, rows) for atom in term.group]
    codes, cells = pd.factorize(_cell(given, term.group_label))
    recodes = [
        level_codes(atom.label, factor, levels, kind)
        for atom, factor, levels, kind in zip(
            term.group, given, index.parts, index.kinds, strict=True
        )
    ]
    known = [
        recoded(*own)
        for own in zip(given, recodes, index.parts, index.kinds, strict=True)
    ]
    names = tuple(map(_names, given, recodes, index.parts, index.kinds))
    labels = cell_labels(np.asarray(cells), names)
    seen = np.logical_and.reduce([factor.codes >= 0 for factor in known])
    cell = np.where(seen, _cell(known, term.group_label), -1)
    at = np.minimum(np.searchsorted(index.cells, cell), len(index.cells) - 1)
    found = np.where(index.cells[at] == cell, at, -1)
    return found, np.array(labels, dtype=object)[codes]


def _names(
    factor: FactorColumn, recode: list[int], levels: tuple[str, ...], kind: Kind
) -> tuple[str, ...]:
    """Names of the levels of new data: those of the fit, of others one for a value.

    So the texts "77" and "77.0" are the same new level of what was numbers.
    """
    names = []
    for level, code in zip(factor.levels, recode, strict=True):
        number = number_in(level) if kind == "number" else None
        own = level if number is None else level_name(number)
        names.append(levels[code] if code >= 0 else own)
    return tuple(names)


def _cell(factors: list[FactorColumn], label: str) -> Int[np.ndarray, " n"]:
    """Combination of the levels of each row as one integer, the last fastest."""
    if math.prod(len(factor.levels) for factor in factors) >= 2**62:
        raise DataError(
            f"The columns of the grouping factor {label!r} have too many combinations "
            f"to be numbered. Combine them into one column of the data first."
        )
    cell = factors[0].codes
    for factor in factors[1:]:
        cell = cell * len(factor.levels) + factor.codes
    return cell


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
