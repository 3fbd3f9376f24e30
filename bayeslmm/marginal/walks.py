"""The likelihood in one compiled call: a walk over the levels of the lead.

For one grouping factor, or where the rest of them is small. A walk is the statistics in
the layout of its `Kernels`; `OneCall` is the solver on any of them. To add one: its
class here or in a file of its own, its place in `routes`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from bayeslmm.marginal.fixed import LOG_2PI, BetaPrior, beta_arrays, degrees_left
from bayeslmm.marginal.kernels import blocked, crossed, draws, pairs, pooled, single
from bayeslmm.marginal.kernels.pooled import Alike, alike_levels, pooled_products
from bayeslmm.marginal.layout import Layout
from bayeslmm.marginal.statistics import (
    Factors,
    Lead,
    Projection,
    Rest,
    Slopes,
    Statistics,
)
from bayeslmm.marginal.steps import gram_in_steps, profiles_in_steps

# Seconds of a call from Python, one core of 2026, measured with those of the levels
# below on 20 designs, InstEval among them; the largest error of the sum was a factor of
# 1.6. From nutpie's callback it is some microseconds less, which matters for no choice.
PER_CALL = 1e-5


class Kernels(NamedTuple):
    """Functions of the arrays of a walk and of what is the same for all.

    Those left out, of evaluations that only steps of the search take, go in steps.
    """

    density: Callable[..., tuple[float, float]]
    fixed: Callable[..., None]
    profiles: Callable[..., None] | None = None
    gram: Callable[..., float] | None = None


@runtime_checkable
class Walk(Protocol):
    """The statistics as the kernels of one route take them."""

    kernels: ClassVar[Kernels]
    name: ClassVar[str]

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """What the kernels take first."""
        ...

    def respond(
        self, F: Float[np.ndarray, "j k w"], Fr: Float[np.ndarray, "m w"]
    ) -> "Walk":
        """The same for another response."""
        ...

    def seconds(self, stats: Statistics) -> float:
        """Expected time of the walk."""
        ...


# --- one grouping factor --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pooled:
    """Levels that share few different A: one factorisation for those alike.

    ``arrays`` are the different A (u, k, k), the count of each (u,), and T (u, kw, kw).
    """

    alike: Alike
    arrays: tuple[np.ndarray, ...]
    name: ClassVar[str] = "pooled"
    kernels: ClassVar[Kernels] = Kernels(
        single.pooled_density,
        draws.pooled_fixed,
        single.pooled_profiles,
        pooled.pooled_gram,
    )

    @classmethod
    def of(
        cls, A: Float[np.ndarray, "j k k"], F: Float[np.ndarray, "j k w"]
    ) -> "Pooled":
        """From the products of the levels."""
        alike = alike_levels(A)
        count = np.diff(alike.edges).astype(float)
        different = np.ascontiguousarray(A[alike.first])
        return cls(alike, (different, count, pooled_products(alike, F)))

    def respond(
        self, F: Float[np.ndarray, "j k w"], Fr: Float[np.ndarray, "m w"]
    ) -> "Pooled":
        """The same for another response."""
        del Fr
        arrays = (*self.arrays[:2], pooled_products(self.alike, F))
        return replace(self, arrays=arrays)

    def seconds(self, stats: Statistics) -> float:
        """Expected time of the walk: each different A."""
        del stats
        return 1.5e-7 * len(self.arrays[0])


def _pairs_gram(
    A: Float[np.ndarray, "3 j"],
    F: Float[np.ndarray, "k w j"],
    factor: Float[np.ndarray, "k k"],
    G: Float[np.ndarray, "w w"],
) -> float:
    """Log determinant; G is filled."""
    return pairs.pairs_gram(A, F, factor, G, np.empty((4, A.shape[1])))


@dataclass(frozen=True, slots=True)
class Pairs:
    """Two effects for each level, structures of arrays that vectorise.

    ``arrays`` are A (3, J), the lower triangles, and F (2, w, J).
    """

    arrays: tuple[np.ndarray, ...]
    name: ClassVar[str] = "pairs"
    kernels: ClassVar[Kernels] = Kernels(
        single.pairs_density, draws.pairs_fixed, single.pairs_profiles, _pairs_gram
    )

    @classmethod
    def of(
        cls, A: Float[np.ndarray, "j k k"], F: Float[np.ndarray, "j k w"]
    ) -> "Pairs":
        """From the products of the levels."""
        triangle = np.stack([A[:, 0, 0], A[:, 1, 0], A[:, 1, 1]])
        return cls((triangle, _effects_first(F)))

    def respond(
        self, F: Float[np.ndarray, "j k w"], Fr: Float[np.ndarray, "m w"]
    ) -> "Pairs":
        """The same for another response."""
        del Fr
        return Pairs((self.arrays[0], _effects_first(F)))

    def seconds(self, stats: Statistics) -> float:
        """Expected time of the walk."""
        return 2.1e-8 * stats.lead.n_levels


def _effects_first(F: Float[np.ndarray, "j k w"]) -> Float[np.ndarray, "k w j"]:
    """One contiguous vector over levels for each number."""
    return np.ascontiguousarray(F.transpose(1, 2, 0))


@dataclass(frozen=True, slots=True)
class Levels:
    """Any number of effects, level by level; ``arrays`` are A and F."""

    arrays: tuple[np.ndarray, ...]
    name: ClassVar[str] = "levels"
    kernels: ClassVar[Kernels] = Kernels(
        single.levels_density, draws.levels_fixed, single.levels_profiles
    )

    @classmethod
    def of(
        cls, A: Float[np.ndarray, "j k k"], F: Float[np.ndarray, "j k w"]
    ) -> "Levels":
        """From the products of the levels."""
        return cls((A, F))

    def respond(
        self, F: Float[np.ndarray, "j k w"], Fr: Float[np.ndarray, "m w"]
    ) -> "Levels":
        """The same for another response."""
        del Fr
        return Levels((self.arrays[0], F))

    def seconds(self, stats: Statistics) -> float:
        """Expected time of the walk."""
        return 2.7e-8 * stats.lead.n_levels * stats.lead.k**2


@dataclass(frozen=True, slots=True)
class NoRest:
    """The rest of one grouping factor: nothing, neither a matrix nor its factor."""

    name: ClassVar[str] = "none"

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


# --- several --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Crossed:
    """Several grouping factors, all but the largest of them small: plain loops.

    ``arrays`` are A and F, the couplings, R and Fr of the rest, and of its coordinates
    the block and the first one of their level, with the effects of each block.
    """

    arrays: tuple[np.ndarray, ...]
    name: ClassVar[str] = "crossed"
    kernels: ClassVar[Kernels] = Kernels(crossed.crossed_density, draws.crossed_fixed)

    @classmethod
    def of(cls, layout: Layout, *arrays: np.ndarray) -> "Crossed":
        """From all arrays but those of the coordinates."""
        block_of, start_of = [], []
        for b, block in enumerate(layout.rest, start=1):
            starts = block.offset + block.k * np.arange(block.n_levels)
            start_of.append(np.repeat(starts, block.k))
            block_of.append(np.full(block.n_levels * block.k, b))
        sizes = np.array([block.k for block in layout.blocks])
        where = np.concatenate(block_of), np.concatenate(start_of), sizes
        return cls((*arrays, *where))

    def respond(
        self, F: Float[np.ndarray, "j k w"], Fr: Float[np.ndarray, "m w"]
    ) -> "Crossed":
        """The same for another response."""
        A, _, indptr, columns, B, R, _, *where = self.arrays
        return Crossed((A, F, indptr, columns, B, R, Fr, *where))

    def seconds(self, stats: Statistics) -> float:
        """Expected time of the walk, and of factor and inverse by loops."""
        return stats.coupling_seconds + 6e-10 * float(stats.m) ** 3


# --- the solver -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OneCall:
    """Density and gradient in one call, much cheaper than anything else."""

    walk: Walk
    rest: Rest

    @property
    def name(self) -> str:
        """That of the walk."""
        return self.walk.name

    def density(
        self,
        stats: Statistics,
        factors: Factors,
        sigma: float,
        prior: BetaPrior | None,
        *,
        slope: bool,
    ) -> tuple[float, Slopes, float]:
        """Log density, its slopes by each L_t and by log sigma."""
        precision, mean, constants = beta_arrays(stats.sums, prior)
        padded = stats.layout.join(factors) / sigma
        slopes = np.zeros_like(padded)
        value, d_log_sigma = self.walk.kernels.density(
            *(*self.walk.arrays, stats.WW, _lead_or_all(padded, 0), sigma),
            *(precision, mean, tuple(constants.tolist()), slope),
            _lead_or_all(slopes, 0),
        )
        return value, stats.layout.cut_square(slopes), d_log_sigma

    def gram(
        self, stats: Statistics, relative: Factors
    ) -> tuple[float, Float[np.ndarray, "w w"]]:
        """``log |V0|`` but for weights, and ``G = [X y]'V0^-1[X y]``."""
        kernel, G = self.walk.kernels.gram, stats.WW.copy()
        if kernel is None:
            return gram_in_steps(stats, relative)
        log_det = kernel(*self.walk.arrays, stats.lead.join(relative), G)
        blocked.mirror_in_place(G)
        return log_det, G

    def profiles(
        self,
        stats: Statistics,
        relative: Float[np.ndarray, "r b k k"],
        *,
        restricted: bool,
    ) -> tuple[Float[np.ndarray, " r"], Float[np.ndarray, "r b k k"]]:
        """Profiled criterion and its slopes by the relative factors, at r points."""
        kernel, sums = self.walk.kernels.profiles, stats.sums
        if kernel is None:
            return profiles_in_steps(stats, relative, restricted=restricted)
        dof = degrees_left(sums, restricted=restricted)
        values, slopes = np.empty(len(relative)), np.empty(relative.shape)
        points = relative[:, 0], dof, restricted
        kernel(*self.walk.arrays, sums.WW, *points, values, slopes[:, 0])
        return values + (dof * (1.0 + LOG_2PI) - sums.log_weights), slopes

    def draw(
        self,
        stats: Statistics,
        relative: Float[np.ndarray, "s b k k"],
        sigma: Float[np.ndarray, " s"],
        prior: BetaPrior | None,
        z: Float[np.ndarray, "s pm"],
    ) -> tuple[Float[np.ndarray, "s p"], Float[np.ndarray, "s m"]]:
        """Fixed effects and those of the rest, all draws in one call."""
        beta, rest = np.empty((len(z), stats.p)), np.empty((len(z), stats.m))
        self.walk.kernels.fixed(
            *(*self.walk.arrays, stats.WW, _lead_or_all(relative, 1), sigma),
            *(*beta_arrays(stats.sums, prior), z, beta),
            *((rest,) if stats.m else ()),
        )
        return beta, rest

    def respond(
        self, F: Float[np.ndarray, "j k w"], Fr: Float[np.ndarray, "m w"]
    ) -> "OneCall":
        """The same for another response."""
        return replace(self, walk=self.walk.respond(F, Fr))

    def seconds(self, stats: Statistics) -> float:
        """Expected time of one log density with its gradient, one core."""
        return PER_CALL + self.walk.seconds(stats)


def _lead_or_all(
    padded: Float[np.ndarray, "..."], axis: int
) -> Float[np.ndarray, "..."]:
    """Factors of the blocks; without that axis where there is one."""
    return padded.squeeze(axis) if padded.shape[axis] == 1 else padded
