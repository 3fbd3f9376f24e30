"""Codings of a factor other than by indicators: ``C(f, Sum)`` and its kin.

Takes the atom of a formula and the levels of its factor; gives the `Contrast`, a row of
numbers for each level, as R's ``contr.*`` functions give it. It depends on the formula
and the levels alone, so rows, batches and new data are coded by the same numbers.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayeslmm.errors import DataError, listed
from bayeslmm.formula import Atom
from bayeslmm.formula.codings import AskedCoding, factor_coding

# R's contr.poly() is refused beyond.
MOST_POLY = 95


@dataclass(frozen=True, slots=True, eq=False)
class Contrast:
    """How a factor of L levels becomes L - 1 columns.

    Attributes
    ----------
    names : tuple of str
        Name of each column, for ``C(f, Sum)[name]``.
    values : ndarray, shape (L, L - 1)
        Number of each level in each column, unit-free.
    words : tuple of str
        What the coefficient of each column compares: ``b less a``.
    zero : str
        Where all columns are 0: ``is a``, ``is at the mean of its levels``.
    is_indicator : bool
        Whether the columns are indicators of the levels that name them.
    """

    names: tuple[str, ...]
    values: Float[np.ndarray, "l c"]
    words: tuple[str, ...]
    zero: str
    is_indicator: bool = False

    @property
    def cells(self) -> tuple[str, ...]:
        """Names of the columns that no level has, unless they are its indicator."""
        mark = "" if self.is_indicator else "\x1f"
        return tuple(f"{mark}{name}" for name in self.names)

    def indicators(self) -> Float[np.ndarray, "l l"]:
        """Each level's indicator (a row) from the constant and the columns."""
        whole = np.column_stack([np.ones(len(self.values)), self.values])
        found = np.linalg.inv(whole).T
        return np.where(np.abs(found) < 1e-14, 0.0, found)


def contrast_of(atom: Atom, levels: tuple[str, ...]) -> Contrast | None:
    """The contrast that a formula asks for; None for indicators but of the first level.

    Parameters
    ----------
    atom : Atom
        A factor: a column, ``factor(x)``, ``C(x, ...)``.
    levels : tuple of str
        Its levels.

    Raises
    ------
    DataError
        If the reference is no level, or ``Poly`` has too many levels.
    """
    coding = factor_coding(atom.node)
    if coding is None or len(levels) < 2:
        return None
    if coding.kind in ("Treatment", "SAS"):
        last = coding.kind == "SAS"
        base = len(levels) - 1 if last else _base(atom, coding, levels)
        return _treatment(levels, base) if base else None
    if coding.kind == "Poly" and len(levels) > MOST_POLY:
        raise DataError(
            f"{atom.label!r} asks for polynomials of {len(levels)} levels, which "
            f"numbers cannot hold beyond {MOST_POLY}. Use poly() of the values."
        )
    names, values, words = _CODINGS[coding.kind](levels)
    return Contrast(names, values, words, "is at the mean of its levels")


def _treatment(levels: tuple[str, ...], base: int) -> Contrast:
    """Indicators of all levels but one."""
    kept = [i for i in range(len(levels)) if i != base]
    names = tuple(levels[i] for i in kept)
    words = tuple(f"{name} less {levels[base]}" for name in names)
    values = np.eye(len(levels))[:, kept]
    return Contrast(names, values, words, f"is {levels[base]}", is_indicator=True)


def _sum(levels: tuple[str, ...]) -> tuple[tuple[str, ...], np.ndarray, tuple]:
    """Each level but the last against the mean of all."""
    n, names = len(levels), levels[:-1]
    words = tuple(f"{name} less the mean of all levels" for name in names)
    return names, np.vstack([np.eye(n - 1), -np.ones(n - 1)]), words


def _helmert(levels: tuple[str, ...]) -> tuple[tuple[str, ...], np.ndarray, tuple]:
    """Each level but the first against the mean of those before it, R's scale."""
    n = len(levels)
    values = np.triu(-np.ones((n, n - 1)))
    values[np.arange(1, n), np.arange(n - 1)] = np.arange(1, n)
    words = tuple(
        f"{level} less the mean of the levels before it, divided by {i + 2}"
        for i, level in enumerate(levels[1:])
    )
    return tuple(f"H.{level}" for level in levels[1:]), values, words


def _poly(levels: tuple[str, ...]) -> tuple[tuple[str, ...], np.ndarray, tuple]:
    """Orthonormal polynomials of degree 1, 2, ... of levels with equal steps."""
    n = len(levels)
    q, r = np.linalg.qr(np.vander(np.linspace(-1.0, 1.0, n), n, increasing=True))
    names = ("L", "Q", "C", *(f"^{i}" for i in range(4, n)))[: n - 1]
    trends = ("linear", "quadratic", "cubic")
    words = tuple(
        f"{trends[i] if i < 3 else f'degree {i + 1}'} trend over the levels"
        for i in range(n - 1)
    )
    return names, (q * np.sign(np.diag(r)))[:, 1:], words


_CODINGS = {"Sum": _sum, "Helmert": _helmert, "Poly": _poly}


def _base(atom: Atom, coding: AskedCoding, levels: tuple[str, ...]) -> int:
    """Place of the level of reference."""
    if coding.level is not None and coding.level in levels:
        return levels.index(coding.level)
    if coding.level is None and coding.place <= len(levels):
        return coding.place - 1
    asked = f"the level {coding.level!r}" if coding.level else f"number {coding.place}"
    raise DataError(
        f"{atom.label!r} takes {asked} as the reference, which is not there. The "
        f"levels are {listed(levels)}."
    )
