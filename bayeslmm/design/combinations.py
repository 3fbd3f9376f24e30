"""Which combinations of the levels of factors have rows.

Takes factors with the rows, or the means of columns that span their indicators; gives
the combinations that occur and those that do not.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np

from bayeslmm.design.arrays import Design
from bayeslmm.design.frame import AnyFactor, FactorColumn
from bayeslmm.design.rows import Codes
from bayeslmm.design.span import FixedPart, Span
from bayeslmm.formula import Atom

# More combinations are not counted.
MOST_CELLS = 20_000
# Empty combinations that a message names.
MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Combinations:
    """Combinations of levels of some factors, with rows and without.

    ``codes`` says for each row which of those with rows it has, None where the rows are
    not in memory.
    """

    parts: tuple[Atom, ...]
    filled: tuple[tuple[str, ...], ...]
    empty: tuple[tuple[str, ...], ...]
    codes: Codes | None

    def __str__(self) -> str:
        """Sentence on those without rows."""
        n = len(self.empty)
        labels = " and ".join(repr(atom.label) for atom in self.parts)
        named = "; ".join(
            ", ".join(map(repr, levels)) for levels in self.empty[:MOST_NAMED]
        )
        more = f"; {n - MOST_NAMED} more" if n > MOST_NAMED else ""
        return (
            f"No row has {n:,} of the {n + len(self.filled):,} combinations of "
            f"{labels}: {named}{more}."
        )


def count_combinations(
    design: Design, part: FixedPart, span: Span, parts: tuple[Atom, ...]
) -> Combinations | None:
    """Combinations of the levels of `parts`, None if they cannot be counted."""
    columns = [part.coding.variables[atom.label] for atom in parts]
    factors = [column for column in columns if isinstance(column, FactorColumn)]
    levels = [column.levels for column in columns if isinstance(column, AnyFactor)]
    codes = None
    shape = tuple(map(len, levels))
    if math.prod(shape) > MOST_CELLS:
        return None
    if factors:
        at = np.ravel_multi_index([factor.codes for factor in factors], shape)
        filled = np.bincount(at, minlength=math.prod(shape)) > 0
        codes = (np.cumsum(filled) - 1)[at]
    else:
        shares = [
            _share(design, span, parts, cell) for cell in itertools.product(*levels)
        ]
        if None in shares:
            return None
        filled = np.array(shares) * design.n > 0.5
    cells = list(zip(itertools.product(*levels), filled.tolist(), strict=True))
    return Combinations(
        parts,
        tuple(cell for cell, occurs in cells if occurs),
        tuple(cell for cell, occurs in cells if not occurs),
        codes,
    )


def _share(
    design: Design, span: Span, parts: tuple[Atom, ...], cell: tuple[str, ...]
) -> float | None:
    """Share of the rows in one cell, None if the columns do not tell."""
    pairs = zip(parts, cell, strict=True)
    column = span.column(frozenset(), frozenset((a.label, lv) for a, lv in pairs))
    return None if column is None else float(design.moments.X.mean @ column)
