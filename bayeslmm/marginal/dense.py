"""The rest as a dense matrix: LAPACK, once the lead is eliminated.

`DenseRest` is ``R = Z_r'WZ_r``, (m, m), which gives the `DenseSchur`: the Cholesky
factor of ``S = Lambda_r'R Lambda_r + I`` with R reduced by the lead.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayeslmm.marginal.kernels import blocked
from bayeslmm.marginal.kernels.scalars import project_scalars, scale_scalars
from bayeslmm.marginal.lapack import (
    cholesky_in_place,
    inverse_in_place,
    solve_in_place,
)
from bayeslmm.marginal.layout import Block, Layout, left, left_transposed
from bayeslmm.marginal.statistics import (
    Factors,
    Lead,
    Projection,
    Statistics,
    rest_cells,
)
from bayeslmm.marginal.sums import Sums

# An evaluation with its gradient holds six matrices of the size of the rest.
DENSE_BYTES = 6 * 8.0
# Factor and inverse by LAPACK, seconds of one core of 2026, times m**3.
PER_CUBED_EFFECT = 2.5e-11


@dataclass(frozen=True, slots=True)
class DenseRest:
    """``Z_r'WZ_r`` of the rest; (0, 0) with one grouping factor."""

    values: Float[np.ndarray, "m m"]

    @classmethod
    def of(cls, sums: Sums, layout: Layout) -> "DenseRest":
        """From the sums over rows."""
        R = np.zeros((layout.m, layout.m))
        for first, other, values in rest_cells(sums, layout):
            for a in range(values.shape[1]):
                for b in range(values.shape[2]):
                    R[first + a, other + b] = values[:, a, b]
                    R[other + b, first + a] = values[:, a, b]
        return cls(R)

    @property
    def bytes(self) -> float:
        """Memory of an evaluation with its gradient."""
        return dense_bytes(len(self.values))

    @property
    def seconds(self) -> float:
        """Expected time of factor and inverse."""
        return PER_CUBED_EFFECT * float(len(self.values)) ** 3

    def times(self, columns: Float[np.ndarray, "m c"]) -> Float[np.ndarray, "m c"]:
        """The matrix times some columns."""
        return self.values @ columns

    def reduce(
        self,
        stats: Statistics,
        lead: Lead,
        factors: Factors,
        Fr: Float[np.ndarray, "m w"],
    ) -> tuple["DenseSchur", float]:
        """Schur complement by LAPACK, log determinant; V and Fr are filled in place."""
        R = self.values.copy()
        blocked.eliminate_couplings(
            *(*stats.coupling, lead.factor, lead.root, lead.U, lead.V, R, Fr)
        )
        scale = _scalars(stats.rest, factors)
        if scale is None:
            blocked.mirror_in_place(R)
            root = _sandwich(R, stats.rest, factors)
        else:
            root = np.empty_like(R)
            scale_scalars(R, scale, root)
        positive = cholesky_in_place(root)
        log_det = 2.0 * float(np.log(np.diagonal(root)).sum()) if positive else np.nan
        return DenseSchur(R, root, scale), log_det


def dense_bytes(m: int) -> float:
    """Memory of an evaluation with a dense rest of m coordinates."""
    return DENSE_BYTES * float(m) ** 2


@dataclass(frozen=True, slots=True)
class DenseSchur:
    """Factor ``root`` of S and reduced matrix R, both (m, m); m may be 0.

    ``scale`` (m,) has the relative factors where every block has one effect; of R only
    the lower triangle is then there.
    """

    reduced: Float[np.ndarray, "m m"]
    root: Float[np.ndarray, "m m"]
    scale: Float[np.ndarray, " m"] | None = None

    def solve(self, rhs: Float[np.ndarray, "m c"]) -> Float[np.ndarray, "m c"]:
        """L^-1 rhs; rhs may be overwritten."""
        solve_in_place(self.root, rhs)
        return rhs

    def solve_transposed(
        self, rhs: Float[np.ndarray, "m c"]
    ) -> Float[np.ndarray, "m c"]:
        """L^-T rhs; rhs may be overwritten."""
        solve_in_place(self.root, rhs, transposed=True)
        return rhs

    def project(
        self,
        stats: Statistics,
        lead: Lead,
        factors: Factors,
        t: Float[np.ndarray, "m w"],
        own: Projection,
    ) -> tuple[Float[np.ndarray, "m w"], list[Float[np.ndarray, "_j _k _k"]]]:
        """What gradients and conditional moments need of the inverse."""
        inverse = self.root.copy()
        inverse_in_place(inverse)
        if self.scale is None:
            blocked.mirror_in_place(inverse)
            Rt, found = self._several_effects(stats, factors, inverse, t)
            T = left(inverse, stats.rest, factors)
            T = np.ascontiguousarray(left(T.T, stats.rest, factors))
        else:
            T, Rt, found = self._one_effect(stats, self.scale, inverse, t)
        where = (stats.A, lead.factor, lead.root, *stats.coupling, lead.V)
        blocked.couple_projections(*where, T, t, *own)
        return Rt, found

    def _one_effect(
        self,
        stats: Statistics,
        scale: Float[np.ndarray, " m"],
        inverse: Float[np.ndarray, "m m"],
        t: Float[np.ndarray, "m w"],
    ) -> tuple[
        Float[np.ndarray, "m m"],
        Float[np.ndarray, "m w"],
        list[Float[np.ndarray, "_j 1 1"]],
    ]:
        """T (lower triangle), R t, and the diagonal of R Lambda S^-1."""
        Rt, diagonal = np.empty(t.shape[::-1]), np.zeros(stats.m)
        project_scalars(
            self.reduced, scale, np.ascontiguousarray(t.T), inverse, Rt, diagonal
        )
        found = [diagonal[block.span].reshape(-1, 1, 1) for block in stats.rest]
        return inverse, Rt.T, found

    def _several_effects(
        self,
        stats: Statistics,
        factors: Factors,
        inverse: Float[np.ndarray, "m m"],
        t: Float[np.ndarray, "m w"],
    ) -> tuple[Float[np.ndarray, "m w"], list[Float[np.ndarray, "_j _k _k"]]]:
        """R t, and the blocks of R Lambda S^-1: rows and columns of two matrices."""
        scaled = left_transposed(self.reduced, stats.rest, factors).T
        found = []
        for block in stats.rest:
            shape = (block.n_levels, block.k, -1)
            rows, columns = scaled[block.span], inverse[block.span]
            rows, columns = rows.reshape(shape), columns.reshape(shape)
            found.append(np.einsum("jac,jbc->jab", rows, columns))
        return self.reduced @ t, found


def _scalars(
    blocks: tuple[Block, ...], factors: Factors
) -> Float[np.ndarray, " m"] | None:
    """Relative factor of each coordinate; None where a block has several effects."""
    if any(block.k > 1 for block in blocks):
        return None
    sizes = [block.n_levels for block in blocks]
    return np.repeat([float(factor[0, 0]) for factor in factors], sizes)


def _sandwich(
    R: Float[np.ndarray, "m m"],
    blocks: tuple[Block, ...],
    factors: Factors,
) -> Float[np.ndarray, "m m"]:
    """``Lambda_r' R Lambda_r + I`` for a symmetric R."""
    half = left_transposed(R, blocks, factors)
    S = left_transposed(half.T, blocks, factors)
    S[np.diag_indices_from(S)] += 1.0
    return S
