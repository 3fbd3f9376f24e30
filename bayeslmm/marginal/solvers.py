"""The routes to the likelihood: one solver for each, `routes` chooses.

A solver is the statistics in the layout of its kernels, most of which walk over the
levels of the lead in one compiled call; with a large rest it is nothing, and all goes
in steps. To add one: its class here or in a file of its own, its condition in `routes`.
Seconds are of one core of 2026, measured on 20 designs, InstEval among them; the
largest error of their sum was a factor of 1.6.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from bayeslmm.marginal.kernels.packed import Packed
from bayeslmm.marginal.kernels.pooled import Alike, alike_levels, pooled_products
from bayeslmm.marginal.statistics import Factors, Lead, Projection, Statistics

# A call from Python. From nutpie's callback it is some microseconds less, which matters
# for no choice.
PER_CALL = 1e-5
# A class of levels that are alike.
PER_CLASS = 1.5e-7
# An evaluation in steps: a dozen numpy calls on small arrays.
PER_EVALUATION = 3e-4

# --- one grouping factor --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pooled:
    """Levels that share few different A: one factorisation for those alike.

    ``arrays`` are the different A (u, k, k), the count of each (u,), and T (u, kw, kw).
    """

    alike: Alike
    arrays: Packed
    compiled: ClassVar[bool] = True

    @classmethod
    def of(
        cls,
        A: Float[np.ndarray, "j k k"],
        F: Float[np.ndarray, "j k w"],
        alike: Alike | None = None,
    ) -> "Pooled":
        """From the products of the levels, and which of them are alike if known."""
        alike = alike_levels(A) if alike is None else alike
        count = np.diff(alike.edges).astype(float)
        different = np.ascontiguousarray(A[alike.first])
        return cls(alike, Packed((different, count, pooled_products(alike, F))))

    def respond(
        self, F: Float[np.ndarray, "j k w"], Fr: Float[np.ndarray, "m w"]
    ) -> "Pooled":
        """The same for another response."""
        del Fr
        A, count, _ = self.arrays
        T = pooled_products(self.alike, F)
        return Pooled(self.alike, Packed((A, count, T)))

    def seconds(self, stats: Statistics) -> float:
        """Expected time of the walk: each different A."""
        del stats
        return PER_CALL + PER_CLASS * len(self.arrays[0])


@dataclass(frozen=True, slots=True)
class Pairs:
    """Two effects for each level, structures of arrays that vectorise.

    ``arrays`` are A (3, J), the lower triangles, and F (2, w, J).
    """

    arrays: Packed
    compiled: ClassVar[bool] = True

    @classmethod
    def of(
        cls, A: Float[np.ndarray, "j k k"], F: Float[np.ndarray, "j k w"]
    ) -> "Pairs":
        """From the products of the levels."""
        triangle = np.stack([A[:, 0, 0], A[:, 1, 0], A[:, 1, 1]])
        return cls(Packed((triangle, _effects_first(F))))

    def respond(
        self, F: Float[np.ndarray, "j k w"], Fr: Float[np.ndarray, "m w"]
    ) -> "Pairs":
        """The same for another response."""
        del Fr
        return Pairs(Packed((self.arrays[0], _effects_first(F))))

    def seconds(self, stats: Statistics) -> float:
        """Expected time of the walk."""
        return PER_CALL + 2.1e-8 * stats.lead.n_levels


def _effects_first(F: Float[np.ndarray, "j k w"]) -> Float[np.ndarray, "k w j"]:
    """One contiguous vector over levels for each number."""
    return np.ascontiguousarray(F.transpose(1, 2, 0))


@dataclass(frozen=True, slots=True)
class Levels:
    """Any number of effects, level by level; ``arrays`` are A and F."""

    arrays: Packed
    compiled: ClassVar[bool] = True

    @classmethod
    def of(
        cls, A: Float[np.ndarray, "j k k"], F: Float[np.ndarray, "j k w"]
    ) -> "Levels":
        """From the products of the levels."""
        return cls(Packed((A, F)))

    def respond(
        self, F: Float[np.ndarray, "j k w"], Fr: Float[np.ndarray, "m w"]
    ) -> "Levels":
        """The same for another response."""
        del Fr
        return Levels(Packed((self.arrays[0], F)))

    def seconds(self, stats: Statistics) -> float:
        """Expected time of the walk."""
        return PER_CALL + 2.7e-8 * stats.lead.n_levels * stats.lead.k**2


@dataclass(frozen=True, slots=True)
class NoRest:
    """The rest of one grouping factor: nothing, neither a matrix nor its factor."""

    @property
    def bytes(self) -> float:
        """No memory."""
        return 0.0

    @property
    def seconds(self) -> float:
        """No time."""
        return 0.0

    def times(self, columns: Float[np.ndarray, "m c"]) -> Float[np.ndarray, "m c"]:
        """The columns, which have no rows."""
        return columns

    def reduce(
        self,
        stats: Statistics,
        lead: Lead,
        factors: Factors,
        Fr: Float[np.ndarray, "m w"],
    ) -> tuple["NoRest", float]:
        """Nothing, whose log determinant is 0."""
        del stats, lead, factors, Fr
        return self, 0.0

    def solve(self, rhs: Float[np.ndarray, "m c"]) -> Float[np.ndarray, "m c"]:
        """The right-hand sides, which have no rows."""
        return rhs

    solve_transposed = solve

    def project(
        self,
        stats: Statistics,
        lead: Lead,
        factors: Factors,
        t: Float[np.ndarray, "m w"],
        own: Projection,
    ) -> tuple[Float[np.ndarray, "m w"], list[Float[np.ndarray, "_j _k _k"]]]:
        """Nothing is added to the lead's own."""
        del stats, lead, factors, own
        return t, []
