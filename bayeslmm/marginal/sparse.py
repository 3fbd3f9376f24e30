"""The rest as a sparse matrix: panels, once the lead is eliminated.

`SparseRest` is ``R = Z_r'WZ_r`` by its values in `Panels`, which gives the
`SparseSchur`, with the same answers as the dense one.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.marginal.kernels import couplings, panels as panel_kernels
from bayeslmm.marginal.layout import Layout
from bayeslmm.marginal.panels import Panels, find_pairs, place_products, times_panels
from bayeslmm.marginal.statistics import (
    Factors,
    Lead,
    Projection,
    Statistics,
    rest_cells,
)
from bayeslmm.marginal.sums import Sums

# An evaluation with its gradient holds four matrices, and the places of their entries,
# all of the factor's pattern.
SPARSE_BYTES = 5 * 8.0
# Seconds, one core of 2026: each entry that is kept, each multiplication of the
# factorisation (measured on 9 designs, nested and crossed, to a factor of 1.7).
PER_ENTRY, PER_OPERATION = 1.4e-7, 2.9e-10


@dataclass(frozen=True, slots=True)
class SparseRest:
    """``Z_r'WZ_r`` of the rest, (m, m), by its values in panels.

    ``pairs`` says where the block of each two levels of the rest that one level of the
    lead couples with begins; see `kernels.couplings`.
    """

    panels: Panels
    values: Float[np.ndarray, " v"]
    pairs: Int[np.ndarray, " c"]

    @classmethod
    def of(
        cls,
        sums: Sums,
        layout: Layout,
        panels: Panels,
        coupling: tuple[np.ndarray, np.ndarray, np.ndarray],
    ) -> "SparseRest":
        """From the sums over rows; the couplings are sorted by the panels in place.

        Every two levels with a row in common have a place in them.
        """
        couplings.sort_couplings(*coupling, panels.rank)
        values = np.zeros(panels.n_values)
        for first, other, cells in rest_cells(sums, layout):
            place_products(panels, first, other, cells, values)
        return cls(panels, values, find_pairs(panels, *coupling[:2]))

    @property
    def bytes(self) -> float:
        """Memory of an evaluation with its gradient."""
        return SPARSE_BYTES * self.values.size

    @property
    def seconds(self) -> float:
        """Expected time of factor and inverse."""
        return PER_ENTRY * self.values.size + PER_OPERATION * self.panels.operations

    def times(self, columns: Float[np.ndarray, "m c"]) -> Float[np.ndarray, "m c"]:
        """The matrix times some columns."""
        return times_panels(self.panels, self.values, columns)

    def reduce(
        self,
        stats: Statistics,
        lead: Lead,
        factors: Factors,
        Fr: Float[np.ndarray, "m w"],
    ) -> tuple["SparseSchur", float]:
        """Schur complement in panels, log determinant; V and Fr are filled in place."""
        panels, reduced = self.panels, self.values.copy()
        couplings.reduce_panels(
            *(*stats.coupling, lead.factor, lead.root, lead.U, lead.V),
            *(self.pairs, panels.width, panels.stride, reduced, Fr),
        )
        root = reduced.copy()
        where = (panels.shape, panels.kind, panels.lag)
        panel_kernels.scale_panels(*where, _pad(factors), panels.sizes, root)
        panel_kernels.add_identity(panels.shape, root)
        log_det = panel_kernels.factor_panels(panels.shape, root)
        return SparseSchur(self, reduced, root), log_det


@dataclass(frozen=True, slots=True)
class SparseSchur:
    """The same in the panels of ``R``; vectors change order on their way in and out.

    ``reduced`` and ``root`` are values in panels. With P the order of elimination,
    ``P S P' = L L'``; `solve` gives L^-1 P rhs and `solve_transposed` P'L^-T rhs.
    """

    R: SparseRest
    reduced: Float[np.ndarray, " v"]
    root: Float[np.ndarray, " v"]

    def solve(self, rhs: Float[np.ndarray, "m c"]) -> Float[np.ndarray, "m c"]:
        """L^-1 P rhs."""
        found = rhs[self.R.panels.order]
        panel_kernels.solve_panels(self.R.panels.shape, self.root, found)
        return found

    def solve_transposed(
        self, rhs: Float[np.ndarray, "m c"]
    ) -> Float[np.ndarray, "m c"]:
        """P'L^-T rhs."""
        found = rhs.copy()
        panel_kernels.solve_panels_transposed(self.R.panels.shape, self.root, found)
        return found[self.R.panels.rank]

    def project(
        self,
        stats: Statistics,
        lead: Lead,
        factors: Factors,
        t: Float[np.ndarray, "m w"],
        own: Projection,
    ) -> tuple[Float[np.ndarray, "m w"], list[Float[np.ndarray, "_j _k _k"]]]:
        """What gradients and conditional moments need of the inverse."""
        panels = self.R.panels
        inverse = np.empty_like(self.root)
        panel_kernels.invert_panels(panels.shape, self.root, inverse)
        where, padded = (panels.shape, panels.kind, panels.lag), _pad(factors)
        products = np.empty((stats.m, padded.shape[1]))
        panel_kernels.diagonal_products(
            *where, panels.sizes, padded, self.reduced, inverse, products
        )
        products = products[panels.rank]
        panel_kernels.scale_panels_back(*where, padded, inverse)
        couplings.couple_panels(
            *(stats.A, lead.factor, lead.root, *stats.coupling, lead.V),
            *(self.R.pairs, panels.width, panels.stride, inverse, t, *own),
        )
        shapes = [(block.span, block.k) for block in stats.rest]
        found = [products[span, :k].reshape(-1, k, k) for span, k in shapes]
        return times_panels(panels, self.reduced, t), found


def _pad(factors: Factors) -> Float[np.ndarray, "blocks k k"]:
    """Factors of several blocks in one array."""
    widest = max(len(factor) for factor in factors)
    padded = np.zeros((len(factors), widest, widest))
    for b, factor in enumerate(factors):
        padded[b, : len(factor), : len(factor)] = factor
    return padded
