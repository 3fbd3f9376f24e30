"""Sums of the levels and the columns that a model keeps.

Takes `Sums` over all levels of the data and all columns of the formula; gives those
without the levels that no row used has, and without the columns of X that others
determine. Needs numpy only.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool

from bayeslmm.design.aliasing import (
    Aliasing,
    restrict_design,
    restrict_moments,
    restrict_turn,
)
from bayeslmm.design.arrays import Design
from bayeslmm.marginal.columns import Columns
from bayeslmm.marginal.layout import Layout
from bayeslmm.marginal.sums import Cells, Sums, block_pairs, turn_sums

# Combinations of columns whose determinant is less have no inverse; it is 1 unless
# columns were dropped.
SINGULAR = 1e-6


def without_empty(
    layout: Layout, sums: Sums, keep: list[Bool[np.ndarray, " _j"]]
) -> tuple[Layout, Sums]:
    """Layout and sums without the levels that no row used has."""
    if all(kept.all() for kept in keep):
        return layout, sums
    blocks, offset = [], 0
    for position, (block, kept) in enumerate(zip(layout.blocks, keep, strict=True)):
        n_levels = int(kept.sum())
        blocks.append(replace(block, n_levels=n_levels, offset=offset))
        offset += n_levels * block.k if position else 0
    small = Layout(blocks[0], tuple(blocks[1:]), layout.n_terms)
    rank = [np.cumsum(kept) - 1 for kept in keep]
    at = {block.terms: position for position, block in enumerate(layout.blocks)}
    cells = []
    for (block, other), part in zip(block_pairs(layout), sums.cells, strict=True):
        level, other_level = np.divmod(part.keys, other.n_levels)
        first, second = at[block.terms], at[other.terms]
        keys = rank[first][level] * blocks[second].n_levels + rank[second][other_level]
        cells.append(Cells(keys, part.values))
    A = tuple(a[kept] for a, kept in zip(sums.A, keep, strict=True))
    F = tuple(f[kept] for f, kept in zip(sums.F, keep, strict=True))
    return small, replace(sums, A=A, F=F, cells=tuple(cells))


def keep_columns(
    design: Design, sums: Sums, layout: Layout, columns: Columns, aliasing: Aliasing
) -> tuple[Design, Sums, Columns]:
    """The same of the columns of X that others do not determine."""
    moments, intercept, turn = design.moments, design.intercept, columns.turn
    X, at = moments.X, np.append(aliasing.kept, sums.p)
    if turn is not None:
        small = np.eye(len(at))
        small[:-1, :-1] = restrict_turn(turn[:-1, :-1], aliasing, intercept)
        if abs(np.linalg.det(small)) > SINGULAR:
            turn = small
        else:  # a product that its own lower order stands for: (x - 1/2)^2 of 0 and 1
            bases = [np.eye(term.k) for term in design.groups]
            sums = turn_sums(sums, layout, np.linalg.inv(turn), bases)
            X, turn = replace(X, near=None), None
    own = replace(moments, X=restrict_moments(X, aliasing, intercept))
    F = tuple(np.ascontiguousarray(one[:, :, at]) for one in sums.F)
    return (
        replace(restrict_design(design, aliasing), recorded=own),
        replace(sums, WW=sums.WW[np.ix_(at, at)], F=F),
        replace(columns, origin=columns.origin[at], turn=turn),
    )
