"""The routes to the likelihood of several grouping factors; see `solvers`.

Loops over couplings where few levels meet, over whole arrays where most do, over one
level of each class where most are alike; steps with LAPACK where the rest is large.
"""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from bayeslmm.marginal.dense import DenseRest
from bayeslmm.marginal.exchangeable import Classes, no_contrasts
from bayeslmm.marginal.kernels.packed import Packed
from bayeslmm.marginal.layout import Layout
from bayeslmm.marginal.solvers import PER_CALL, PER_CLASS, PER_EVALUATION
from bayeslmm.marginal.statistics import (
    Statistics,
    lead_couplings,
    rest_columns,
)
from bayeslmm.marginal.sums import Sums

# Seconds of a multiplication in loops that vectorise, and in those that do not.
PER_PRODUCT, PER_SCALAR_PRODUCT = 2.5e-10, 1e-9


@dataclass(frozen=True, slots=True)
class Crossed:
    """Several grouping factors, the rest small, few of whose levels meet: plain loops.

    ``arrays`` are A and F, the couplings, R and Fr of the rest, and of its coordinates
    the block and the first one of their level, with the effects of each block.
    """

    arrays: Packed
    compiled: ClassVar[bool] = True

    @classmethod
    def of(cls, layout: Layout, *arrays: np.ndarray) -> "Crossed":
        """From all arrays but those of the coordinates."""
        return cls(Packed((*arrays, *_coordinates(layout))))

    def respond(
        self, F: Float[np.ndarray, "j k w"], Fr: Float[np.ndarray, "m w"]
    ) -> "Crossed":
        """The same for another response."""
        A, _, indptr, columns, B, R, _, *where = self.arrays
        return Crossed(Packed((A, F, indptr, columns, B, R, Fr, *where)))

    def seconds(self, stats: Statistics) -> float:
        """Expected time of the walk, and of factor and inverse by loops."""
        return PER_CALL + stats.coupling_seconds + 6e-10 * float(stats.m) ** 3


@dataclass(frozen=True, slots=True)
class Filled:
    """Several grouping factors, the rest small, most of whose levels meet.

    ``arrays`` are A, F and B (J, k, m) of the lead, R and Fr of the rest; of its
    coordinates the block and the first one of their level, with the effects of each
    block; and contrasts, of which there are none.
    """

    arrays: Packed
    compiled: ClassVar[bool] = True

    @classmethod
    def of(
        cls,
        layout: Layout,
        lead: tuple[np.ndarray, np.ndarray],
        coupling: tuple[np.ndarray, np.ndarray, np.ndarray],
        rest: tuple[np.ndarray, np.ndarray],
    ) -> "Filled":
        """From A and F, the couplings, R and Fr."""
        contrasts = no_contrasts(layout, lead[1].shape[2])
        own = (*lead, _whole(coupling, layout), *rest, *_coordinates(layout))
        return cls(Packed((*own, *contrasts.arrays)))

    def respond(
        self, F: Float[np.ndarray, "j k w"], Fr: Float[np.ndarray, "m w"]
    ) -> "Filled":
        """The same for another response."""
        A, _, B, R, _, *where = self.arrays
        return Filled(Packed((A, F, B, R, Fr, *where)))

    def seconds(self, stats: Statistics) -> float:
        """Expected time of all loops."""
        del stats
        return filled_seconds(*self.arrays[2].shape)


@dataclass(frozen=True, slots=True)
class Exchangeable:
    """Several grouping factors, few of whose levels differ: one level for each class.

    ``arrays`` are those of `Filled` for the means, with the contrasts; ``classes`` says
    which of the levels of ``layout`` are alike.
    """

    arrays: Packed
    layout: Layout
    classes: Classes
    compiled: ClassVar[bool] = True

    @classmethod
    def of(cls, sums: Sums, layout: Layout, classes: Classes) -> "Exchangeable":
        """From the sums over all levels."""
        means, own = classes.means(sums, layout), classes.layout(layout)
        lead = means.A[0], means.F[0], _whole(lead_couplings(means, own), own)
        rest = DenseRest.of(means, own).values, rest_columns(means, own)
        contrasts = classes.contrasts(sums.A, sums.F).arrays
        arrays = Packed((*lead, *rest, *_coordinates(own), *contrasts))
        return cls(arrays, layout, classes)

    def respond(
        self, F: Float[np.ndarray, "j k w"], Fr: Float[np.ndarray, "m w"]
    ) -> "Exchangeable":
        """The same for another response."""
        every = (F, *(block.levels(Fr) for block in self.layout.rest))
        lead, *rest = self.classes.mean_products(every)
        flat = np.vstack([own.reshape(-1, own.shape[2]) for own in rest])
        A, _, B, R, _, *where, _, edges = self.arrays
        products = self.classes.products(every)
        arrays = Packed((A, lead, B, R, flat, *where, products, edges))
        return Exchangeable(arrays, self.layout, self.classes)

    def seconds(self, stats: Statistics) -> float:
        """Expected time of the means, and of each class of contrasts."""
        del stats
        means = filled_seconds(*self.arrays[2].shape)
        return means + PER_CLASS * len(self.arrays[8])


def filled_seconds(n_levels: int, k: int, m: int) -> float:
    """Expected time of a walk over whole couplings."""
    products = n_levels * k * float(m) ** 2 + 0.5 * float(m) ** 3
    return PER_CALL + PER_PRODUCT * products


def _whole(
    coupling: tuple[np.ndarray, np.ndarray, np.ndarray], layout: Layout
) -> Float[np.ndarray, "j k m"]:
    """Couplings with their zeros."""
    indptr, columns, B = coupling
    level = np.repeat(np.arange(layout.lead.n_levels), np.diff(indptr))
    found = np.zeros((layout.lead.n_levels, layout.lead.k, layout.m))
    found[level, :, columns] = B
    return found


def _coordinates(layout: Layout) -> tuple[np.ndarray, ...]:
    """Block and first coordinate of the level of each of the rest; effects by block."""
    block_of, start_of = [], []
    for b, block in enumerate(layout.rest, start=1):
        starts = block.offset + block.k * np.arange(block.n_levels)
        start_of.append(np.repeat(starts, block.k))
        block_of.append(np.full(block.n_levels * block.k, b))
    sizes = np.array([block.k for block in layout.blocks])
    return np.concatenate(block_of), np.concatenate(start_of), sizes


@dataclass(frozen=True, slots=True)
class InSteps:
    """Several grouping factors, the rest large: the time goes into its matrix."""

    compiled: ClassVar[bool] = False
    arrays: Packed = field(default_factory=lambda: Packed(()))

    def respond(
        self, F: Float[np.ndarray, "j k w"], Fr: Float[np.ndarray, "m w"]
    ) -> "InSteps":
        """Itself: it keeps nothing of the response."""
        del F, Fr
        return self

    def seconds(self, stats: Statistics) -> float:
        """Expected time of the steps."""
        return PER_EVALUATION + stats.coupling_seconds + stats.R.seconds
