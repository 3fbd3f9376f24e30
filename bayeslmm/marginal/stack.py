"""Cross-products by pattern of the residuals: an ordinary likelihood at every point.

``R^-1`` is a weighted sum of patterns (see `patterns`), and cross-products are linear
in it. A `Stack` keeps them for each pattern; at given parameters of the residuals their
weighted sum is an ordinary `Statistics` whose log weights are ``-log det R``, and
everything that is read off one is read off it. So an evaluation costs as many times
that of independent residuals as there are patterns, whatever the number of rows; where
many levels are alike, as in balanced data, `StandIns` make it as cheap as a few levels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from bayeslmm.design.arrays import Design, rows_of
from bayeslmm.design.memory import check_fits
from bayeslmm.design.rows import Rows
from bayeslmm.marginal.columns import Columns
from bayeslmm.marginal.kernels.rows import accumulate_rows
from bayeslmm.marginal.layout import Layout
from bayeslmm.marginal.patterns import Fold, Law, Pattern, find_patterns, make_law
from bayeslmm.marginal.routes import weighted_route
from bayeslmm.marginal.solvers import NoRest
from bayeslmm.marginal.standins import StandIns
from bayeslmm.marginal.statistics import Statistics
from bayeslmm.marginal.sums import Sums, block_rows

# Seconds, one core of 2026: the steps of an evaluation, each entry of the sums of the
# lead of a pattern, each multiplication of a dense rest.
PER_STEP, PER_ENTRY, PER_CUBED = 3e-4, 1.4e-8, 1e-10


@dataclass(frozen=True, slots=True)
class Stack:
    """Cross-products of each of P patterns, in the layout of `Statistics`.

    Attributes
    ----------
    law : Law
        Weights of the patterns at given parameters.
    layout : Layout
        Lead and rest; the series lie within the levels of the lead.
    n : int
        Rows.
    log_weights : float
        Sum of the logarithms of the precision weights.
    WW, A, F : ndarray, shapes (P, w, w), (P, J, k, k), (P, J, k, w)
        ``[X y]'S[X y]``, and those of the lead.
    indptr, columns, B : ndarray, shapes (J + 1,), (nnz,), (P, nnz, k)
        Couplings of lead and rest.
    R, Fr : ndarray, shapes (P, m, m), (P, m, w)
        Those of the rest; rows of one series may be in several of its levels.
    few : StandIns or None
        Levels that stand for all of the lead, where many have equal A.
    """

    law: Law
    layout: Layout
    n: int
    log_weights: float
    WW: Float[np.ndarray, "p w w"]
    A: Float[np.ndarray, "p j k k"]
    F: Float[np.ndarray, "p j k w"]
    indptr: Int[np.ndarray, " j1"]
    columns: Int[np.ndarray, " nnz"]
    B: Float[np.ndarray, "p nnz k"]
    R: Float[np.ndarray, "p m m"]
    Fr: Float[np.ndarray, "p m w"]
    few: StandIns | None

    @property
    def seconds(self) -> float:
        """Expected time of one log density with its gradient, one core.

        Steps in Python, and a walk over the levels for each pattern; measured on 18
        levels (0.3 ms) and on 10,000 (2 ms), all different.
        """
        lead, m = self.layout.lead, self.layout.m
        n_levels = lead.n_levels if self.few is None else len(self.few.count)
        walk = PER_ENTRY * n_levels * lead.k * (lead.k + self.WW.shape[1])
        return (
            PER_STEP
            + len(self.WW) * (walk + PER_CUBED * float(m) ** 2)
            + (PER_CUBED * float(m) ** 3)
        )

    def at(self, x: Float[np.ndarray, " r"]) -> Statistics:
        """Statistics of the model at coordinates x of the residuals' parameters."""
        found = self.law.at(x)
        WW, A, F, B, R, Fr = (
            np.tensordot(found.values, own, 1)
            for own in (self.WW, self.A, self.F, self.B, self.R, self.Fr)
        )
        log_weights = self.log_weights - found.log_det
        sums = Sums(self.n, log_weights, WW, (A,), (F,), ())
        coupling = self.indptr, self.columns, B
        rest, solver = weighted_route(self.layout, (A, F), coupling, R, Fr)
        return Statistics(sums, self.layout, *coupling, rest, Fr, solver)

    def summed(self, x: Float[np.ndarray, " r"]) -> Statistics:
        """The same for sums over levels alone, such as densities: `few` for the lead.

        Of the levels of the lead it has nothing else.
        """
        few = self.few
        if few is None:
            return self.at(x)
        found = self.law.at(x)
        WW, A, F = (
            (found.values @ own.reshape(len(own), -1)).reshape(own.shape[1:])
            for own in (self.WW, few.A, few.F)
        )
        sums = Sums(self.n, self.log_weights - found.log_det, WW, (A,), (F,), ())
        nothing = self.indptr, self.columns, self.B[0]
        solver = few.solver(A, F)
        return Statistics(sums, self.layout, *nothing, NoRest(), self.Fr[0], solver)

    def turned(
        self,
        turn: Float[np.ndarray, "w v"],
        bases: Sequence[Float[np.ndarray, "_k _k"]],
    ) -> "Stack":
        """The stack of ``[X y] turn`` and ``Z_t basis_t``, as `turn_sums` has it."""
        lead, rest = self.layout.lead.join(bases), self.layout.rest
        whole = np.zeros((self.layout.m, self.layout.m))
        for block in rest:
            own = block.join(bases)
            whole[block.span, block.span] = np.kron(np.eye(block.n_levels), own)
        B = np.einsum("ab,pea->peb", lead, self.B)
        return replace(
            self,
            WW=turn.T @ self.WW @ turn,
            A=lead.T @ self.A @ lead,
            F=lead.T @ self.F @ turn,
            B=self._turned_couplings(B, bases),
            R=whole.T @ self.R @ whole,
            Fr=whole.T @ self.Fr @ turn,
            few=self.few and self.few.turned(lead, turn),
        )

    def _turned_couplings(
        self, B: Float[np.ndarray, "p nnz k"], bases: Sequence[np.ndarray]
    ) -> Float[np.ndarray, "p nnz k"]:
        """Couplings with the rest's columns turned: those of a level lie together."""
        found = B.copy()
        for block in self.layout.rest:
            own = block.join(bases)
            inside = (self.columns >= block.span.start) & (
                self.columns < block.span.stop
            )
            part = B[:, inside].reshape(len(B), -1, block.k, B.shape[2])
            found[:, inside] = np.einsum("pcab,ad->pcdb", part, own).reshape(
                len(B), -1, B.shape[2]
            )
        return found


# --- from rows ------------------------------------------------------------------------


def make_stack(design: Design, layout: Layout, columns: Columns) -> Stack | None:
    """Cross-products of all patterns; None if the residuals have no structure.

    Parameters
    ----------
    design : Design
        The model, its rows in memory.
    layout : Layout
        Its blocks.
    columns : Columns
        The columns that are summed.

    Raises
    ------
    DataError
        If the sums do not fit into memory.
    """
    structure = design.residual
    if structure is None:
        return None
    rows = rows_of(design, "sums by pattern of the residuals")
    assert rows.residual is not None, "a design with a structure has coded its rows"
    patterns = find_patterns(structure, rows.residual)
    _check_room(layout, design.p + 1, len(patterns))
    law = make_law(structure, rows.residual, patterns)
    log_weights = 0.0 if rows.weights is None else float(np.log(rows.weights).sum())
    folder = Folder.of(rows, layout, columns)
    kept: dict[int, _Products] = {}
    found = [folder.pattern(pattern, kept) for pattern in patterns]
    indptr, at, B = _couplings([own.LR for own in found], layout)
    stacked = (np.array([getattr(own, name) for own in found]) for name in "WAFRr")
    WW, A, F, R, Fr = stacked
    few = None if layout.m else StandIns.of(A, F)
    return Stack(
        *(law, layout, rows.n, log_weights, WW, A, F, indptr, at, B, R, Fr, few),
    )


def _check_room(layout: Layout, w: int, n_patterns: int) -> None:
    """Raise if the sums of so many patterns would not fit."""
    lead, m = layout.lead, layout.m
    own = lead.n_levels * lead.k * (lead.k + w) + m * (m + w)
    check_fits(
        8.0 * 3.0 * own * n_patterns,
        f"The cross-products of {n_patterns} patterns of the residuals "
        f"({lead.n_levels:,} levels of {lead.k} effects, {m:,} other effects)",
        "Group by a coarser column, round times to a coarser grid, or use a larger "
        "machine.",
    )


@dataclass(frozen=True, slots=True)
class _Products:
    """Cross-products of one fold or pattern; ``r`` is Fr, LR lead times rest."""

    W: Float[np.ndarray, "w w"]
    A: Float[np.ndarray, "j k k"]
    F: Float[np.ndarray, "j k w"]
    R: Float[np.ndarray, "m m"]
    r: Float[np.ndarray, "m w"]
    LR: csr_array

    def plus(self, sign: float, other: "_Products") -> "_Products":
        """These and, times a sign, others."""
        return _Products(
            *(self.W + sign * other.W, self.A + sign * other.A),
            *(self.F + sign * other.F, self.R + sign * other.R),
            *(self.r + sign * other.r, csr_array(self.LR + sign * other.LR)),
        )


@dataclass(frozen=True, slots=True)
class Folder:
    """Columns of all rows, each row times the root of its weight."""

    layout: Layout
    W: Float[np.ndarray, "n w"]
    codes: Int[np.ndarray, " n"]
    Z: Float[np.ndarray, "n k"]
    rest: csr_array

    @classmethod
    def of(cls, rows: Rows, layout: Layout, columns: Columns) -> "Folder":
        """The safe columns of some rows."""
        everything = slice(0, rows.n)
        W = columns.xy(rows, everything)
        codes, Z = np.zeros(rows.n, np.int64), np.zeros((rows.n, 1))
        if layout.lead.terms:
            codes, Z = block_rows(rows, layout.lead, everything, columns)
        root = None if rows.weights is None else np.sqrt(rows.weights)[:, None]
        if root is not None:
            W, Z = W * root, Z * root
        rest = _indicator(rows, layout, columns, root)
        return cls(layout, W, codes, Z, rest)

    def pattern(self, pattern: Pattern, kept: dict[int, _Products]) -> _Products:
        """Its products; those of folds that patterns share are kept."""
        total: _Products | None = None
        for sign, fold in pattern.folds:
            if id(fold) not in kept:
                kept[id(fold)] = self.fold(fold)
            own = kept[id(fold)]
            total = own if total is None else total.plus(sign, own)
        assert total is not None, "a pattern has folds"
        return total

    def fold(self, fold: Fold) -> _Products:
        """Products of folded rows."""
        lead, w = self.layout.lead, self.W.shape[1]
        W, Z, codes = fold.T @ self.W, fold.T @ self.Z, self.codes[fold.first]
        rest = csr_array(fold.T @ self.rest)
        packed = np.zeros((lead.n_levels, lead.k, lead.k + w))
        if lead.n_levels:
            Z = np.ascontiguousarray(Z)
            accumulate_rows(codes, Z, np.ones(len(W)), np.ascontiguousarray(W), packed)
        k, n = lead.k, len(W)
        at = (codes[:, None] * k + np.arange(k)).ravel()
        shape = (n, max(lead.n_levels, 1) * k)
        own = csr_array((Z.ravel(), at, np.arange(0, n * k + 1, k)), shape=shape)
        A, F = packed[:, :, :k], packed[:, :, k:]
        R, LR = (rest.T @ rest).toarray(), csr_array(own.T @ rest)
        return _Products(W.T @ W, A, F, R, rest.T @ W, LR)


def _indicator(
    rows: Rows, layout: Layout, columns: Columns, root: np.ndarray | None
) -> csr_array:
    """Columns of the rest, sparse: shape (n, m)."""
    n, values, at = rows.n, [np.empty((rows.n, 0))], [np.empty((rows.n, 0), np.int64)]
    for block in layout.rest:
        codes, Z = block_rows(rows, block, slice(0, n), columns)
        values.append(Z if root is None else Z * root)
        first = block.offset + codes.astype(np.int64) * block.k
        at.append(first[:, None] + np.arange(block.k))
    data, indices = np.hstack(values), np.hstack(at)
    edges = np.arange(0, data.size + 1, max(data.shape[1], 1))
    edges = edges if data.size else np.zeros(n + 1, np.int64)
    return csr_array((data.ravel(), indices.ravel(), edges), shape=(n, layout.m))


def _couplings(
    parts: Sequence[csr_array], layout: Layout
) -> tuple[Int[np.ndarray, " j1"], Int[np.ndarray, " nnz"], np.ndarray]:
    """Lead times rest of all patterns over the pairs that any of them has.

    Whole levels of the rest: their columns lie together.
    """
    k, m, n_levels = layout.lead.k, layout.m, layout.lead.n_levels
    if not m:
        nothing = np.zeros(n_levels + 1, np.int64), np.empty(0, np.int64)
        return *nothing, np.empty((len(parts), 0, k))
    start, size = np.empty(m, np.int64), np.empty(m, np.int64)
    for block in layout.rest:
        firsts = block.offset + block.k * np.arange(block.n_levels)
        start[block.span] = np.repeat(firsts, block.k)
        size[block.span] = block.k
    entries = [part.tocoo() for part in parts]
    cells = [
        e.coords[0].astype(np.int64) // k * m + start[e.coords[1]] for e in entries
    ]
    level, first = np.divmod(np.unique(np.concatenate(cells)), m)
    widths = size[first]
    level, within = np.repeat(level, widths), np.arange(widths.sum())
    within = within - np.repeat(np.cumsum(widths) - widths, widths)
    columns = np.repeat(first, widths) + within
    keys, B = level * m + columns, np.zeros((len(parts), len(columns), k))
    for p, own in enumerate(entries):
        row, column = (c.astype(np.int64) for c in own.coords)
        place = np.searchsorted(keys, row // k * m + column)
        B[p, place, row % k] = own.data
    counts = np.bincount(level, minlength=n_levels)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), columns, B
