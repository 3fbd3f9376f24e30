"""The rest once the lead is eliminated: its Schur complement, dense or sparse.

Takes `Statistics`, relative factors and what is left of the rest; gives the Cholesky
factor of ``S = Lambda_r'R Lambda_r + I``, where ``R = Z_r'PZ_r`` is reduced by the
lead. `DenseSchur` (LAPACK) and `SparseSchur` (panels) answer the same questions:
``solve``, ``solve_transposed`` and ``project``, which reads the entries of the inverse
that gradients and conditional moments need.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayeslmm.marginal.kernels import blocked, couplings, panels as panel_kernels
from bayeslmm.marginal.kernels.scalars import project_scalars, scale_scalars
from bayeslmm.marginal.lapack import (
    cholesky_in_place,
    inverse_in_place,
    solve_in_place,
)
from bayeslmm.marginal.layout import Block
from bayeslmm.marginal.panels import PanelMatrix, times_panels
from bayeslmm.marginal.statistics import Statistics

BlockFactors = Sequence[Float[np.ndarray, "_k _k"]]
Projection = tuple[Float[np.ndarray, "_j _k _w"], Float[np.ndarray, "_j _k _k"]]


@dataclass(frozen=True, slots=True)
class Lead:
    """The lead eliminated at its relative factor.

    ``root`` (J, k, k) and ``U`` (J, k, w) are the factor of each level and
    ``root^-1 Lambda'F``; ``V`` (nnz, k) is ``root^-1 Lambda'B`` for each coupling.
    """

    factor: Float[np.ndarray, "k k"]
    root: Float[np.ndarray, "j k k"]
    U: Float[np.ndarray, "j k w"]
    V: Float[np.ndarray, "nnz k"]


# --- dense ----------------------------------------------------------------------------


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
        factors: BlockFactors,
        t: Float[np.ndarray, "m w"],
        own: Projection,
    ) -> tuple[Float[np.ndarray, "m w"], list[Float[np.ndarray, "_j _k _k"]]]:
        """See `SparseSchur.project`."""
        inverse = self.root.copy()
        inverse_in_place(inverse)
        if self.scale is None:
            inverse = mirror(inverse)
            Rt, found = self._several_effects(stats, factors, inverse, t)
            T = left(inverse, stats.rest, factors)
            T = np.ascontiguousarray(left(T.T, stats.rest, factors))
        else:
            T, Rt, found = self._one_effect(stats, self.scale, inverse, t)
        coupling = stats.indptr, stats.columns, stats.B
        blocked.couple_projections(
            stats.A, lead.factor, lead.root, *coupling, lead.V, T, t, *own
        )
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
        factors: BlockFactors,
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


def dense_schur(
    stats: Statistics, lead: Lead, factors: BlockFactors, Fr: Float[np.ndarray, "m w"]
) -> tuple[DenseSchur, float]:
    """Schur complement by LAPACK, log determinant; V and Fr are filled in place."""
    assert isinstance(stats.R, np.ndarray), "the dense route has R dense"
    R = stats.R.copy()
    blocked.eliminate_couplings(
        *(stats.indptr, stats.columns, stats.B),
        *(lead.factor, lead.root, lead.U, lead.V, R, Fr),
    )
    scale = _scalars(stats.rest, factors)
    if scale is None:
        R = mirror(R)
        root = _sandwich(R, stats.rest, factors)
    else:
        root = np.empty_like(R)
        scale_scalars(R, scale, root)
    positive = cholesky_in_place(root)
    log_det = 2.0 * float(np.log(np.diagonal(root)).sum()) if positive else np.nan
    return DenseSchur(R, root, scale), log_det


def _scalars(
    blocks: tuple[Block, ...], factors: BlockFactors
) -> Float[np.ndarray, " m"] | None:
    """Relative factor of each coordinate; None where a block has several effects."""
    if any(block.k > 1 for block in blocks):
        return None
    sizes = [block.n_levels for block in blocks]
    return np.repeat([float(factor[0, 0]) for factor in factors], sizes)


# --- sparse ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SparseSchur:
    """The same in the panels of ``R``; vectors change order on their way in and out.

    ``reduced`` and ``root`` are values in panels. With P the order of elimination,
    ``P S P' = L L'``; `solve` gives L^-1 P rhs and `solve_transposed` P'L^-T rhs.
    """

    R: PanelMatrix
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
        factors: BlockFactors,
        t: Float[np.ndarray, "m w"],
        own: Projection,
    ) -> tuple[Float[np.ndarray, "m w"], list[Float[np.ndarray, "_j _k _k"]]]:
        """What gradients and conditional moments need of the inverse.

        Parameters
        ----------
        stats : Statistics
            Cross-products.
        lead : Lead
            The lead eliminated.
        factors : sequence of ndarray, shape (k, k)
            Relative factor of each block of the rest.
        t : ndarray, shape (m, w)
            ``Lambda_r S^-1 Lambda_r'`` times the reduced right-hand sides.
        own : tuple of ndarray
            Q and D of the lead with the rest left out; the rest's part is added.

        Returns
        -------
        Rt : ndarray, shape (m, w)
            ``R t``.
        D : list of ndarray, shape (J, k, k)
            For each block of the rest, level with itself, ``R Lambda_r S^-1``.
        """
        panels = self.R.panels
        inverse = np.empty_like(self.root)
        panel_kernels.invert_panels(panels.shape, self.root, inverse)
        where, padded = (panels.shape, panels.kind, panels.lag), pad(factors)
        products = np.empty((stats.m, padded.shape[1]))
        panel_kernels.diagonal_products(
            *where, panels.sizes, padded, self.reduced, inverse, products
        )
        products = products[panels.rank]
        panel_kernels.scale_panels_back(*where, padded, inverse)
        couplings.couple_panels(
            *(stats.A, lead.factor, lead.root),
            *(stats.indptr, stats.columns, stats.B, lead.V),
            *(self.R.pairs, panels.width, panels.stride, inverse, t, *own),
        )
        shapes = [(block.span, block.k) for block in stats.rest]
        found = [products[span, :k].reshape(-1, k, k) for span, k in shapes]
        return times_panels(panels, self.reduced, t), found


def sparse_schur(
    stats: Statistics, lead: Lead, factors: BlockFactors, Fr: Float[np.ndarray, "m w"]
) -> tuple[SparseSchur, float]:
    """Schur complement in panels, log determinant; V and Fr are filled in place."""
    R = stats.R
    assert isinstance(R, PanelMatrix), "the sparse route has R in panels"
    panels, reduced = R.panels, R.values.copy()
    couplings.reduce_panels(
        *(stats.indptr, stats.columns, stats.B),
        *(lead.factor, lead.root, lead.U, lead.V),
        *(R.pairs, panels.width, panels.stride, reduced, Fr),
    )
    root = reduced.copy()
    where = (panels.shape, panels.kind, panels.lag)
    panel_kernels.scale_panels(*where, pad(factors), panels.sizes, root)
    panel_kernels.add_identity(panels.shape, root)
    log_det = panel_kernels.factor_panels(panels.shape, root)
    return SparseSchur(R, reduced, root), log_det


# --- both -----------------------------------------------------------------------------


def mirror(lower: Float[np.ndarray, "a a"]) -> Float[np.ndarray, "a a"]:
    """Fill the upper triangle from the lower one, in place; the matrix itself."""
    blocked.mirror_in_place(lower)
    return lower


def pad(factors: BlockFactors) -> Float[np.ndarray, "blocks k k"]:
    """Factors of several blocks in one array."""
    widest = max(len(factor) for factor in factors)
    padded = np.zeros((len(factors), widest, widest))
    for b, factor in enumerate(factors):
        padded[b, : len(factor), : len(factor)] = factor
    return padded


def left(
    matrix: Float[np.ndarray, "m c"],
    blocks: tuple[Block, ...],
    factors: Sequence[Float[np.ndarray, "_k _k"]],
) -> Float[np.ndarray, "m c"]:
    """Lambda_r times `matrix`, block-diagonal over the levels of each block."""
    product = np.empty((matrix.shape[0], matrix.shape[1]))
    for block, factor in zip(blocks, factors, strict=True):
        span = block.span
        if block.k == 1:
            np.multiply(matrix[span], factor[0, 0], out=product[span])
            continue
        levels = matrix[span].reshape(block.n_levels, block.k, -1)
        product[span] = (factor @ levels).reshape(-1, matrix.shape[1])
    return product


def left_transposed(
    matrix: Float[np.ndarray, "m c"],
    blocks: tuple[Block, ...],
    factors: Sequence[Float[np.ndarray, "_k _k"]],
) -> Float[np.ndarray, "m c"]:
    """Lambda_r' times `matrix`."""
    return left(matrix, blocks, [factor.T for factor in factors])


def _sandwich(
    R: Float[np.ndarray, "m m"],
    blocks: tuple[Block, ...],
    factors: Sequence[Float[np.ndarray, "_k _k"]],
) -> Float[np.ndarray, "m m"]:
    """``Lambda_r' R Lambda_r + I`` for a symmetric R."""
    half = left_transposed(R, blocks, factors)
    S = left_transposed(half.T, blocks, factors)
    S[np.diag_indices_from(S)] += 1.0
    return S
