"""Posterior density of a variance component, with its prior and the likelihood between.

Takes `WeightedPoints` and a `Component`; gives its `ComponentCurves`. On a lattice the
density of a coordinate is the sum over all others, else an average over lines through
points (`lines`). Its likelihood is posterior over prior: the marginal likelihood
averaged over the other variance parameters, under their prior given the component.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.posterior.components import Component
from bayeslmm.posterior.lattice import Lattice
from bayeslmm.posterior.lines import (
    WorkingDensity,
    density_along,
    kernel_density,
    normalised,
)
from bayeslmm.posterior.margins import coordinate_margin
from bayeslmm.posterior.prior_points import LogPrior, prior_density
from bayeslmm.posterior.visits import log_target
from bayeslmm.posterior.weighted import WeightedPoints

# Lines that a density is averaged over, and seconds (by counts of operations) that its
# evaluations may take before there are fewer; what one costs at least without a
# compiled target; and from which cost on draws have to do, by a kernel density.
LINES, FEWEST_LINES, SECONDS = 384, 64, 0.5
UNCOMPILED, TOO_MUCH = 1e-4, 5e-4
# A node of a lattice is used where what is summed there falls this far, in log units,
# before the lattice ends; and so many at least.
DEPTH, FEWEST = 5.0, 8
# Share of the points in each tail, where a quarter of the lines goes, and in its
# thinnest stratum.
TAIL, THINNEST = 0.05, 1e-5
# Values at which it is computed, and how far beyond the points they reach, in SDs.
NODES, BEYOND = 48, 0.75


@dataclass(frozen=True, slots=True)
class ComponentCurves:
    """Prior and posterior of a component, on its scale without bounds.

    Attributes
    ----------
    component : Component
        What they are of.
    posterior : WorkingDensity
        Its density.
    log_prior : callable or None
        Log density of its prior; None where there is none.
    """

    component: Component
    posterior: WorkingDensity
    log_prior: LogPrior | None

    def prior(self, values: Float[np.ndarray, " v"]) -> Float[np.ndarray, " v"]:
        """Log prior density at working values; NaN without one."""
        if self.log_prior is None:
            return np.full(len(values), np.nan)
        return self.log_prior(values)


def component_curves(component: Component, points: WeightedPoints) -> ComponentCurves:
    """Prior and posterior of a component.

    Parameters
    ----------
    component : Component
        Of the same target.
    points : WeightedPoints
        Of the posterior.

    Returns
    -------
    ComponentCurves
        Both.
    """
    prior = prior_density(component, points.target)
    return ComponentCurves(component, posterior_density(component, points), prior)


def posterior_density(component: Component, points: WeightedPoints) -> WorkingDensity:
    """Posterior of a component on its working scale."""
    if points.lattice is not None and component.place is not None:
        return normalised(*_whole_margin(points.lattice, component.place))
    values = component.working(points.x)
    nodes = _nodes(values, points.weights)
    if component.direction is None or points.target.statistics.seconds > TOO_MUCH:
        kernels = kernel_density(values, points.weights)
        with np.errstate(divide="ignore"):
            return normalised(nodes, np.log(kernels(nodes)))
    kept, weights = _lines(points, values)
    given = (points.x[kept], weights, values[kept], component.direction, nodes)

    def log_density(x: Float[np.ndarray, "k m"]) -> Float[np.ndarray, " k"]:
        """Of the posterior, point by point."""
        return np.array([log_target(points.target, point) for point in x])

    return density_along(*given, log_density)


def _whole_margin(
    lattice: Lattice, axis: int
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """The margin of a coordinate where the lattice has what it is a sum of.

    A lattice ends where the density is low: at its outermost nodes most of the sum is
    missing, and the slope there, with which tails go on, would be wrong.
    """
    nodes, log_weights = coordinate_margin(lattice, axis)
    _, where = np.unique(lattice.nodes[:, axis], return_inverse=True)
    highest = np.full(len(nodes), -np.inf)
    np.maximum.at(highest, where, lattice.log_density)
    lowest = np.full(len(nodes), np.inf)
    np.minimum.at(lowest, where, lattice.log_density)
    whole = np.flatnonzero(highest - lowest > DEPTH)
    if len(whole) < FEWEST:  # one coordinate, with nothing to sum
        return nodes, log_weights
    kept = slice(whole[0], whole[-1] + 1)
    return nodes[kept], log_weights[kept]


def _nodes(
    values: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " v"]:
    """Values that hold nearly all of a posterior."""
    counts = weights > 1e-9 * weights.max()
    low, high = float(values[counts].min()), float(values[counts].max())
    mean = float(weights @ values)
    sd = math.sqrt(float(weights @ (values - mean) ** 2))
    return np.linspace(low - BEYOND * sd, high + BEYOND * sd, NODES)


def _lines(
    points: WeightedPoints, values: Float[np.ndarray, " n"]
) -> tuple[Int[np.ndarray, " s"], Float[np.ndarray, " s"]]:
    """Points that lines go through: all that count, or a sample even in the values.

    One of each stratum of the order of the component: an average over such a sample
    varies less than over as many of them in any order. Strata are thin in the tails,
    of which few lines through the middle know anything.
    """
    least = UNCOMPILED if points.target.compiled is None else 1e-6
    each = max(points.target.statistics.seconds, least)
    most = int(np.clip(SECONDS / (each * NODES), FEWEST_LINES, LINES))
    counts = np.flatnonzero(points.weights > 1e-7 * points.weights.max())
    if len(counts) <= most:
        weights = points.weights[counts]
        return counts, weights / weights.sum()
    order = np.argsort(values)
    total = np.cumsum(points.weights[order])
    tail = np.concatenate([[0.0], np.geomspace(THINNEST, TAIL, most // 4)])
    middle = np.linspace(TAIL, 1.0 - TAIL, most - 2 * len(tail) + 3)
    ends = np.concatenate([tail, middle[1:-1], 1.0 - tail[::-1]])
    places = total[-1] * 0.5 * (ends[1:] + ends[:-1])
    kept = order[np.minimum(np.searchsorted(total, places), len(total) - 1)]
    return kept, np.diff(ends)
