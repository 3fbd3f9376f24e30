"""Cross-products without some rows, from those of all: subtracted, no new design.

Takes the rows in safe coordinates and which of them go; gives the `Conditioned` model
of the others. A level of which no row is left has sums of exactly 0: it says nothing
any more, as if it were not there.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.marginal.conditioned import Conditioned
from bayeslmm.marginal.routes import (
    Parts,
    Route,
    choose_route,
    make_statistics,
    one_factor,
    small_rest,
)
from bayeslmm.marginal.saferows import SafeRows
from bayeslmm.marginal.several import Crossed, Filled
from bayeslmm.marginal.solvers import Levels, Pairs, Pooled
from bayeslmm.marginal.statistics import Statistics
from bayeslmm.marginal.sums import Cells, Sums

Chosen = Int[np.ndarray, " d"]
Products = Float[np.ndarray, "j k v"]


@dataclass(frozen=True, slots=True)
class Downdater:
    """Gives the model without some of its rows.

    Attributes
    ----------
    rows : SafeRows
        All rows with their model.
    sizes : tuple of ndarray of int, shape (J,)
        Rows of each level, for each block.
    route : callable
        That of the model of all rows.
    """

    rows: SafeRows
    sizes: tuple[Int[np.ndarray, " _j"], ...]
    route: Callable[[Parts], Route]

    @classmethod
    def of(cls, rows: SafeRows) -> "Downdater":
        """From all rows."""
        blocks = rows.conditioned.statistics.layout.blocks
        sizes = tuple(
            np.bincount(codes, minlength=block.n_levels)
            for codes, block in zip(rows.codes, blocks, strict=True)
        )
        return cls(rows, sizes, _same_route(rows.conditioned.statistics))

    def without(self, gone: Chosen) -> Conditioned:
        """The model of the rows that stay.

        Parameters
        ----------
        gone : ndarray of int, shape (d,)
            Which rows are left out, each once.

        Returns
        -------
        Conditioned
            Its sums are those over the other rows, up to rounding of sums over all.
        """
        stats = self.rows.conditioned.statistics
        sums = self._subtracted(stats.sums, gone)
        found = make_statistics(sums, stats.layout, self.route)
        return replace(self.rows.conditioned, statistics=found, twin=None)

    def _subtracted(self, old: Sums, gone: Chosen) -> Sums:
        """Sums of all rows less those of rows that go."""
        W, weights = self.rows.W[gone], self.rows.weights[gone]
        scaled = W * weights[:, None]
        A, F = [], []
        for b, Z in enumerate(self.rows.Z):
            z, codes = Z[gone], self.rows.codes[b][gone]
            levels, at = np.unique(codes, return_inverse=True)
            empty = levels[np.bincount(at) == self.sizes[b][levels]]
            for kept, whole, columns in (
                (A, old.A[b], z * weights[:, None]),
                (F, old.F[b], scaled),
            ):
                left = whole.copy()
                left[levels] -= _products(z, columns, at, len(levels))
                left[empty] = 0.0
                kept.append(left)
        return Sums(
            n=old.n - len(gone),
            log_weights=old.log_weights - float(np.log(weights).sum()),
            WW=old.WW - W.T @ scaled,
            A=tuple(A),
            F=tuple(F),
            cells=self._cells(old.cells, gone),
        )

    def _cells(self, old: tuple[Cells, ...], gone: Chosen) -> tuple[Cells, ...]:
        """Cells of all pairs of blocks; those without rows stay, at rounding of 0."""
        rows, found = self.rows, iter(old)
        kept, weights = [], rows.weights[gone]
        for a in range(len(rows.Z)):
            weighted = rows.Z[a][gone] * weights[:, None]
            for b in range(a + 1, len(rows.Z)):
                own = next(found)
                keys = rows.codes[a][gone].astype(np.int64) * len(self.sizes[b])
                at = np.searchsorted(own.keys, keys + rows.codes[b][gone])
                values = own.values.copy()
                products = np.einsum("nk,nl->nkl", weighted, rows.Z[b][gone])
                np.subtract.at(values, at, products)
                kept.append(Cells(own.keys, values))
        return tuple(kept)


def _products(
    z: Float[np.ndarray, "d k"],
    columns: Float[np.ndarray, "d v"],
    at: Int[np.ndarray, " d"],
    n_levels: int,
) -> Products:
    """Sums of z times each column over the rows of each level."""
    if n_levels == 1:
        return (z.T @ columns)[None]
    found = np.zeros((n_levels, z.shape[1], columns.shape[1]))
    np.add.at(found, at, np.einsum("dk,dv->dkv", z, columns))
    return found


def _same_route(stats: Statistics) -> Callable[[Parts], Route]:
    """The route of a model, for others with the same levels.

    One in steps is chosen again: its order of elimination is found for each model.
    """
    solver = type(stats.solver)
    if solver in (Pooled, Pairs, Levels):
        return partial(one_factor, solver=solver)
    return small_rest if solver in (Crossed, Filled) else choose_route
