"""Few levels that stand for many: what a density needs where levels have equal A.

Takes the stacked cross-products of the lead; gives `StandIns`. Levels whose A is the
same for every pattern have one factor, and of their F only sums of products count,
``sum_j F_pj' E F_qj`` for any E: any rows with the same products do. The R of their QR
are such rows, as many as F has numbers for a level, whatever the number of levels.
Products themselves would lose digits where patterns nearly cancel; R does not.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.marginal.kernels.packed import Packed
from bayeslmm.marginal.kernels.pooled import Alike, alike_levels
from bayeslmm.marginal.solvers import Pooled

# Stand-ins are used if there are at most this share of the levels.
MOST_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class StandIns:
    """Levels that stand for others in sums over levels, by pattern.

    Attributes
    ----------
    alike : Alike
        The levels of each group.
    edges : ndarray, shape (u + 1,)
        Stand-ins of each group.
    count : ndarray, shape (c,)
        Levels for each stand-in, where A alone is summed: need not be whole.
    A, F : ndarray, shapes (P, c, k, k), (P, c, k, w)
        As those of `Stack`.
    """

    alike: Alike
    edges: Int[np.ndarray, " u1"]
    count: Float[np.ndarray, " c"]
    A: Float[np.ndarray, "p c k k"]
    F: Float[np.ndarray, "p c k w"]

    @classmethod
    def of(
        cls, A: Float[np.ndarray, "p j k k"], F: Float[np.ndarray, "p j k w"]
    ) -> "StandIns | None":
        """Those of all levels; None where too few are alike to be worth it."""
        if not A.shape[1]:
            return None
        P, J, k, w = F.shape
        alike = alike_levels(A.transpose(1, 2, 0, 3).reshape(J, k, P * k))
        sizes = np.diff(alike.edges)
        fewer = np.minimum(sizes, P * k * w)
        if fewer.sum() > MOST_SHARE * J:
            return None
        flat = F.transpose(1, 0, 2, 3).reshape(J, -1)[alike.order]
        groups = np.split(flat, alike.edges[1:-1])
        rows = np.concatenate([np.linalg.qr(own, mode="r") for own in groups])
        few = np.ascontiguousarray(rows.reshape(-1, P, k, w).swapaxes(0, 1))
        return cls(
            alike,
            np.concatenate([[0], np.cumsum(fewer)]),
            np.repeat(sizes / fewer, fewer),
            np.repeat(A[:, alike.first], fewer, axis=1),
            few,
        )

    def turned(
        self, lead: Float[np.ndarray, "k k"], turn: Float[np.ndarray, "w v"]
    ) -> "StandIns":
        """Those of turned columns."""
        return replace(self, A=lead.T @ self.A @ lead, F=lead.T @ self.F @ turn)

    def solver(
        self, A: Float[np.ndarray, "c k k"], F: Float[np.ndarray, "c k w"]
    ) -> Pooled:
        """What evaluates densities, from their weighted sums over patterns."""
        flat, first = F.reshape(len(F), -1), self.edges[:-1]
        T = np.add.reduceat(flat[:, :, None] * flat[:, None, :], first, axis=0)
        count = np.diff(self.alike.edges).astype(float)
        return Pooled(self.alike, Packed((A[first], count, T)))

    def log_det(self, root: Float[np.ndarray, "c k k"]) -> float:
        """Log determinant of all levels from the factors of the stand-ins."""
        diagonal = np.diagonal(root, axis1=1, axis2=2)
        return 2.0 * float(self.count @ np.log(diagonal).sum(axis=1))
