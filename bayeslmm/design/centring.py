"""Columns of a model matrix whose products are of centred variables.

The coefficient of z beside ``x:z`` is its slope where x = 0. With every variable of a
product less its mean the columns span the same space, if the lower orders are there,
and no coefficient depends on where x is 0. Holds for each matrix the combinations of
its columns that are such products. Needs numpy only.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, slots=True)
class Entry:
    """One addend of a combination: ``coefficient * prod(-mean ** exponent)``."""

    row: int
    column: int
    coefficient: float
    means: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Centring:
    """Which combinations of the columns of a matrix are products of centred variables.

    A column whose lower orders the matrix lacks stays as it is, and an intercept is
    left alone: whoever needs columns without means takes those off.
    """

    entries: tuple[Entry, ...] = ()

    def turn(self, size: int, means: Float[np.ndarray, " a"]) -> np.ndarray | None:
        """B for which ``X B`` are the columns of centred variables, shape (c, c).

        None where that is X itself. `means` are those of the multiplied variables.
        """
        if not self.entries:
            return None
        found = np.eye(size)
        for entry in self.entries:
            moved = math.prod((-float(means[v])) ** e for v, e in entry.means)
            found[entry.row, entry.column] += entry.coefficient * moved
        return found

    def moves(self, column: int) -> tuple[int, ...]:
        """Multiplied variables whose centring changes what a column's effect means."""
        found = {v for e in self.entries if e.row == column for v, _ in e.means}
        return tuple(sorted(found))


@dataclass(frozen=True, slots=True)
class Products:
    """Numeric variables of a model that are multiplied, and what centring them does.

    Attributes
    ----------
    names : tuple of str
        The variables, as the formula has them.
    fixed : Centring
        That of X.
    effects : tuple of Centring
        That of the columns of each bar term; empty if no variable is multiplied.
    level : tuple of int
        Columns of X that add up to 1 where X has no intercept: indicators of all levels
        of a factor.
    sources : tuple of (str, int)
        For each variable the atom that holds its values, and which column of it.
    """

    names: tuple[str, ...] = ()
    fixed: Centring = Centring()
    effects: tuple[Centring, ...] = ()
    level: tuple[int, ...] = ()
    sources: tuple[tuple[str, int], ...] = ()

    def of_term(self, t: int) -> Centring:
        """The centring of the columns of bar term number t."""
        return self.effects[t] if self.effects else Centring()


NO_PRODUCTS = Products()
