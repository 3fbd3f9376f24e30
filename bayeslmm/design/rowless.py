"""A recipe without its rows: what is known of them is kept, and their checksum.

Takes a `Recipe` with rows in memory, gives the one that a saved fit holds; and tells
whether rows that are given again are the same.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations

import numpy as np

from bayeslmm.design.arrays import Design
from bayeslmm.design.coding import Coding
from bayeslmm.design.describe import n_cells
from bayeslmm.design.evaluate import Described, NumericColumn, NumericNames
from bayeslmm.design.frame import FactorColumn, FactorLevels
from bayeslmm.design.moments import ColumnMoments, Moments
from bayeslmm.design.recipe import Recipe
from bayeslmm.errors import DataError, listed

# Means and SDs that differ by less, in SDs, are those of the same values.
SAME = 1e-9


def rows_checksum(recipe: Recipe) -> str | None:
    """SHA-256 of the rows used as the model has them; None for rows in batches.

    Of rows that were not saved it is the one that was.
    """
    design = recipe.design
    if design.rows is None:
        return design.unsaved or None
    digest = hashlib.sha256()
    rows = design.rows
    for array in (rows.y, rows.X, rows.weights, rows.offset, recipe.trials):
        if array is not None:
            digest.update(np.ascontiguousarray(array, np.float64).tobytes())
    for term, Z, codes in zip(design.groups, rows.Z, rows.codes, strict=True):
        digest.update(np.ascontiguousarray(Z, np.float64).tobytes())
        digest.update(np.ascontiguousarray(codes, np.int64).tobytes())
        digest.update("\0".join(term.levels).encode())
    if rows.residual is not None:
        own = rows.residual.stratum, rows.residual.series, rows.residual.time
        for array in own:
            if array is not None:
                digest.update(np.ascontiguousarray(array, np.float64).tobytes())
    return digest.hexdigest()


def without_rows(recipe: Recipe) -> Recipe:
    """The same without rows: names, levels, codings, moments, account, checksum.

    A recipe of rows that were read in batches is so already.
    """
    design = recipe.design
    if design.rows is None:
        return recipe
    pairs = permutations({term.group: term for term in design.groups}.values(), 2)
    cells = {(a.group, b.group): n_cells(design, a, b) for a, b in pairs}
    bare = replace(
        design,
        rows=None,
        recorded=replace(design.moments, cells=cells),
        has_weights=design.rows.weights is not None,
        unsaved=rows_checksum(recipe),
    )
    return replace(recipe, design=bare, coding=_names(recipe.coding), trials=None)


def _names(coding: Coding) -> Coding:
    """The coding with the names and levels of its variables alone."""
    found = {label: _described(own) for label, own in coding.variables.items()}
    return replace(coding, variables=found)


def _described(column: Described) -> Described:
    """What a column is, without its values."""
    if isinstance(column, NumericColumn):
        return NumericNames(column.names)
    if isinstance(column, FactorColumn):
        return FactorLevels(column.levels, column.kind)
    return column


def check_same_rows(saved: Recipe, given: Recipe) -> None:
    """Raise unless rows that are given again are those that a recipe was made of.

    Raises
    ------
    DataError
        If they are others; the message says where they differ.
    """
    if rows_checksum(given) == saved.design.unsaved:
        return
    differences = list(_differences(saved.design, given.design))
    found = "; ".join(differences) or (
        "counts, levels, means and SDs agree, so single values or the order of the "
        "rows differ"
    )
    raise DataError(
        f"The data given are not those of the saved fit: {found}. Give the rows that "
        f"were fitted, in their order, or load without data= for what needs no rows."
    )


def _differences(saved: Design, given: Design) -> Iterator[str]:
    """In words: rows, columns, levels, then values."""
    if saved.n != given.n:
        yield f"{saved.n} rows were used then and {given.n} of these can be"
    if saved.fixed_names != given.fixed_names:
        old, new = listed(saved.fixed_names), listed(given.fixed_names)
        yield f"the fixed effects were {old} and would be {new}"
    for old, new in zip(saved.groups, given.groups, strict=True):
        if old.levels != new.levels:
            others = sorted({*old.levels} ^ {*new.levels})
            words = f" ({listed(others[:4])})" if others else ", in another order"
            yield f"the levels of {old.group!r} are others{words}"
    if saved.fixed_names != given.fixed_names:
        return
    names = _other_columns(saved, saved.moments, given.moments)
    if names and saved.n == given.n:
        yield f"values of {listed(names)} are others"


def _other_columns(design: Design, old: Moments, new: Moments) -> list[str]:
    """Names of columns whose moments differ."""
    found = [] if _same(old.y, new.y).all() else [design.response]
    pairs = zip(design.fixed_names, _same(old.X, new.X), strict=True)
    return found + [name for name, same in pairs if not same]


def _same(old: ColumnMoments, new: ColumnMoments) -> np.ndarray:
    """Whether mean, SD and range of each column agree up to rounding."""
    size = SAME * np.maximum(old.sd(), np.abs(old.mean))
    near = [
        np.abs(a - b) <= size
        for a, b in (
            (old.mean, new.mean),
            (old.sd(), new.sd()),
            (old.low, new.low),
            (old.high, new.high),
        )
    ]
    return np.logical_and.reduce(near)
