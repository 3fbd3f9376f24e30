"""Cross-products of a design: all that the likelihood needs to know of the rows.

`Statistics` are the sums over rows in the layout of the kernels, so that the cost of
one evaluation does not depend on the number of rows, with the `Solver` that computes
the likelihood from them. What differs between the ways to do so (`routes` chooses one)
is asked of two objects: the solver, and the `Rest`, the matrix of the levels outside
the largest grouping factor.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.marginal.kernels.packed import Packed
from bayeslmm.marginal.layout import Block, Layout
from bayeslmm.marginal.sums import Sums, block_pairs

Factors = Sequence[Float[np.ndarray, "_k _k"]]
Slopes = tuple[Float[np.ndarray, "_k _k"], ...]
Projection = tuple[Float[np.ndarray, "_j _k _w"], Float[np.ndarray, "_j _k _k"]]

# Seconds, one core of 2026: each level of the lead with couplings, each pair of the
# couplings of one level, added into the m x m matrix; see `Statistics.seconds`.
PER_LEVEL, PER_PAIR_OF_COUPLINGS = 2e-7, 4.3e-9


@dataclass(frozen=True, slots=True)
class Statistics:
    """Weighted cross-products of a design.

    Attributes
    ----------
    sums : Sums
        The sums over rows.
    layout : Layout
        Which bar terms form the lead and the rest.
    indptr, columns, B : ndarray, shapes (J + 1,), (nnz,), (nnz, k)
        Coupling of lead and rest by rows of levels: for entry e of level j,
        ``B[e] = Z_j'W z`` with z the rest's column ``columns[e]``.
    R : Rest
        ``Z_r'WZ_r`` of the rest, shape (m, m).
    Fr : ndarray, shape (m, w)
        ``Z_r'W[X y]`` of the rest.
    solver : Solver
        How density and gradient are computed, with what it needs of all these.
    """

    sums: Sums
    layout: Layout
    indptr: Int[np.ndarray, " j1"]
    columns: Int[np.ndarray, " nnz"]
    B: Float[np.ndarray, "nnz k"]
    R: "Rest"
    Fr: Float[np.ndarray, "m w"]
    solver: "Solver"

    def respond(
        self, Wy: Float[np.ndarray, " w"], Fy: Sequence[Float[np.ndarray, "_j _k"]]
    ) -> "Statistics":
        """The statistics of another response of the same rows.

        Products of X and Z, couplings, orderings and the solver's choice are shared.

        Parameters
        ----------
        Wy : ndarray, shape (w,)
            ``[X y]'Wy`` of the new one.
        Fy : sequence of ndarray, shape (J, k)
            ``Z_j'Wy`` of each block.
        """
        WW, F = self.WW.copy(), tuple(F.copy() for F in self.sums.F)
        WW[-1], WW[:, -1] = Wy, Wy
        for own, y in zip(F, Fy, strict=True):
            own[:, :, -1] = y
        old, layout = self.sums, self.layout
        sums = Sums(old.n, old.log_weights, WW, old.A, F, old.cells)
        Fr = rest_columns(sums, layout)
        solver = self.solver.respond(F[0], Fr)
        return Statistics(sums, layout, *self.coupling, self.R, Fr, solver)

    @property
    def seconds(self) -> float:
        """Expected time of one log density with its gradient, one core.

        From counts of operations, right to a factor of about 2.
        """
        return self.solver.seconds(self)

    @property
    def evaluation_bytes(self) -> float:
        """Memory that one evaluation with its gradient takes while it runs."""
        lead = self.lead
        own = 8.0 * 4 * lead.n_levels * lead.k * (lead.k + len(self.WW))
        return own + self.R.bytes

    @property
    def in_steps(self) -> bool:
        """Whether an evaluation runs in steps, from which all else can be read.

        So it is with a large rest: an evaluation is dear, and density, curvature and a
        draw of the effects come from one factorisation. Other solvers give the density
        in one compiled call, much cheaper than anything else.
        """
        return not self.solver.compiled

    @property
    def n(self) -> int:
        """Number of rows."""
        return self.sums.n

    @property
    def p(self) -> int:
        """Number of fixed-effect columns; [X y] has w = p + 1."""
        return self.sums.p

    @property
    def log_weights(self) -> float:
        """Sum of the logarithms of the weights."""
        return self.sums.log_weights

    @property
    def WW(self) -> Float[np.ndarray, "w w"]:
        """``[X y]'W[X y]``."""
        return self.sums.WW

    @property
    def A(self) -> Float[np.ndarray, "j k k"]:
        """``Z_j'WZ_j`` of the leading block."""
        return self.sums.A[0]

    @property
    def F(self) -> Float[np.ndarray, "j k w"]:
        """``Z_j'W[X y]`` of the leading block."""
        return self.sums.F[0]

    @property
    def lead(self) -> Block:
        """The leading block."""
        return self.layout.lead

    @property
    def rest(self) -> tuple[Block, ...]:
        """The other blocks."""
        return self.layout.rest

    @property
    def m(self) -> int:
        """Number of coordinates of the rest."""
        return self.layout.m

    @property
    def coupling(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The arrays of the couplings, as kernels take them."""
        return self.indptr, self.columns, self.B

    @property
    def coupling_seconds(self) -> float:
        """Expected time of a walk over the lead that takes it out of the rest."""
        return coupling_seconds(self.indptr)


# --- what every route answers ---------------------------------------------------------


@runtime_checkable
class Solver(Protocol):
    """A route to the likelihood: the statistics as its kernels take them."""

    # Whether it has functions in `kernels.entries`; else it goes in steps.
    compiled: ClassVar[bool]

    @property
    def arrays(self) -> Packed:
        """What they read."""
        ...

    def respond(
        self, F: Float[np.ndarray, "j k w"], Fr: Float[np.ndarray, "m w"]
    ) -> "Solver":
        """The same for another response, F and Fr its products."""
        ...

    def seconds(self, stats: Statistics) -> float:
        """Expected time of one log density with its gradient, one core."""
        ...


@runtime_checkable
class Rest(Protocol):
    """``Z_r'WZ_r`` of the rest, (m, m)."""

    @property
    def bytes(self) -> float:
        """Memory of an evaluation with its gradient."""
        ...

    @property
    def seconds(self) -> float:
        """Expected time of factor and inverse."""
        ...

    def times(self, columns: Float[np.ndarray, "m c"]) -> Float[np.ndarray, "m c"]:
        """The matrix times some columns."""
        ...

    def reduce(
        self,
        stats: Statistics,
        lead: "Lead",
        factors: Factors,
        Fr: Float[np.ndarray, "m w"],
    ) -> tuple["Schur", float]:
        """Factor of what the lead leaves; its log determinant; V and Fr are filled."""
        ...


@runtime_checkable
class Schur(Protocol):
    """Cholesky factor of ``S = Lambda_r'R Lambda_r + I``, R reduced by the lead.

    Up to an order of the coordinates P, ``P S P' = L L'``.
    """

    def solve(self, rhs: Float[np.ndarray, "m c"]) -> Float[np.ndarray, "m c"]:
        """L^-1 P rhs; rhs may be overwritten."""
        ...

    def solve_transposed(
        self, rhs: Float[np.ndarray, "m c"]
    ) -> Float[np.ndarray, "m c"]:
        """P'L^-T rhs; rhs may be overwritten."""
        ...

    def project(
        self,
        stats: Statistics,
        lead: "Lead",
        factors: Factors,
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
        ...


@dataclass(frozen=True, slots=True)
class Lead:
    """The lead eliminated at its relative factor.

    ``root`` (J, k, k) and ``U`` (J, k, w) are the factor of each level and
    ``root^-1 Lambda'F``; ``V`` (nnz, k) is ``root^-1 Lambda'B`` for each coupling.
    Above its diagonal ``root`` is not filled: whatever was in memory.
    """

    factor: Float[np.ndarray, "k k"]
    root: Float[np.ndarray, "j k k"]
    U: Float[np.ndarray, "j k w"]
    V: Float[np.ndarray, "nnz k"]

    @property
    def lower(self) -> Float[np.ndarray, "j k k"]:
        """The roots with 0 above the diagonal."""
        return np.tril(self.root)


# --- sums in the layout of the kernels ------------------------------------------------


def coupling_seconds(indptr: Int[np.ndarray, " j1"]) -> float:
    """Expected time of a walk over levels with their couplings."""
    counts = np.diff(indptr).astype(float)
    return PER_LEVEL * len(counts) + PER_PAIR_OF_COUPLINGS * float(counts @ counts)


def lead_couplings(
    sums: Sums, layout: Layout
) -> tuple[Int[np.ndarray, " j1"], Int[np.ndarray, " nnz"], Float[np.ndarray, "nnz k"]]:
    """Products of the lead's columns with the rest's, by rows of the lead's levels."""
    lead = layout.lead
    rows: list[np.ndarray] = [np.empty(0, np.int64)]
    columns: list[np.ndarray] = [np.empty(0, np.int64)]
    values: list[np.ndarray] = [np.empty((0, lead.k))]
    for (block, other), cells in zip(block_pairs(layout), sums.cells, strict=True):
        if block is not lead:
            continue
        level, other_level = np.divmod(cells.keys, other.n_levels)
        rows.append(np.repeat(level, other.k))
        first = other.offset + other_level * other.k
        columns.append((first[:, None] + np.arange(other.k)).ravel())
        values.append(cells.values.transpose(0, 2, 1).reshape(-1, lead.k))
    row, column = np.concatenate(rows), np.concatenate(columns)
    order = np.lexsort((column, row))
    counts = np.bincount(row, minlength=lead.n_levels)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return indptr, column[order], np.ascontiguousarray(np.concatenate(values)[order])


def rest_columns(sums: Sums, layout: Layout) -> Float[np.ndarray, "m w"]:
    """``Z_r'W[X y]`` of all blocks but the lead."""
    Fr = np.empty((layout.m, len(sums.WW)))
    for block, F in zip(layout.rest, sums.F[1:], strict=True):
        Fr[block.span] = F.reshape(-1, F.shape[2])
    return Fr


def rest_cells(
    sums: Sums, layout: Layout
) -> Iterator[tuple[Int[np.ndarray, " c"], Int[np.ndarray, " c"], np.ndarray]]:
    """Products of rest levels with the first coordinate of either level."""
    for block, A in zip(layout.rest, sums.A[1:], strict=True):
        first = block.offset + block.k * np.arange(block.n_levels, dtype=np.int64)
        yield first, first, A
    for (block, other), cells in zip(block_pairs(layout), sums.cells, strict=True):
        if block is not layout.lead:
            level, other_level = np.divmod(cells.keys, other.n_levels)
            rows = block.offset + level * block.k
            yield rows, other.offset + other_level * other.k, cells.values
