"""Margins of a posterior on a lattice: mean, SD and quantiles of one parameter.

Takes a `Lattice`; SDs and correlations are functions of one coordinate each, whose
margin is a sum over the others; fixed effects are mixtures of Normals.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.integrate import cumulative_simpson
from scipy.interpolate import PchipInterpolator, make_interp_spline
from scipy.optimize import root_scalar
from scipy.special import ndtr

from bayeslmm.design.space import Parameter
from bayeslmm.posterior.draws import sd_corr_draws
from bayeslmm.posterior.lattice import Lattice
from bayeslmm.posterior.smoothed import smoothed_quantiles
from bayeslmm.posterior.target import Target

# Points between two nodes at which a margin is interpolated for its quantiles.
BETWEEN = 32
# Points of less probability count for nothing in a mixture.
NEGLIGIBLE = 1e-16


@dataclass(frozen=True, slots=True)
class Margin:
    """Posterior of one coordinate.

    Attributes
    ----------
    nodes, weights : ndarray, shape (n,)
        Values on the lattice and their probabilities.
    quantile : callable
        Value of the coordinate below which a probability lies.
    """

    nodes: Float[np.ndarray, " n"]
    weights: Float[np.ndarray, " n"]
    quantile: Callable[[float], float]


def mean_sd(
    parameter: Parameter, target: Target, lattice: Lattice
) -> tuple[float, float]:
    """Posterior mean and SD of one parameter, over the lattice."""
    if parameter.component == "fixef":
        means, variances = (
            a[:, parameter.index[0]] for a in (lattice.beta, lattice.beta_var)
        )
        mean = float(lattice.weights @ means)
        return mean, math.sqrt(
            float(lattice.weights @ (variances + (means - mean) ** 2))
        )
    place = coordinate_of(parameter, target)
    if place is None:
        values, weights = values_at(parameter, target, lattice.x), lattice.weights
    else:
        margin = _margin(lattice, place)
        values = _along(parameter, target, place, margin.nodes)
        weights = margin.weights
    mean = float(weights @ values)
    return mean, math.sqrt(float(weights @ (values - mean) ** 2))


def quantiles(
    parameter: Parameter,
    target: Target,
    lattice: Lattice,
    probabilities: tuple[float, ...],
) -> list[float]:
    """Quantiles of one parameter."""
    if parameter.component == "fixef":
        own = parameter.index[0]
        means, sds = lattice.beta[:, own], np.sqrt(lattice.beta_var[:, own])
        return mixture_quantiles(lattice.weights, means, sds, probabilities)
    place = coordinate_of(parameter, target)
    if place is None:
        return _derived_quantiles(parameter, target, lattice, probabilities)
    margin = _margin(lattice, place)
    at = np.array([margin.quantile(probability) for probability in probabilities])
    return _along(parameter, target, place, at).tolist()


def mixture_quantiles(
    weights: Float[np.ndarray, " n"],
    means: Float[np.ndarray, " n"],
    sds: Float[np.ndarray, " n"],
    probabilities: tuple[float, ...],
) -> list[float]:
    """Quantiles of a mixture of Normals, by root finding on its distribution."""
    counts = weights > NEGLIGIBLE
    weights, means, sds = weights[counts], means[counts], sds[counts]
    low, high = float((means - 12 * sds).min()), float((means + 12 * sds).max())

    def excess(value: float, probability: float) -> float:
        """Probability below a value, less the one wanted."""
        return float(weights @ ndtr((value - means) / sds)) - probability

    # of a typical component: with a heavy tail the widest is 1e9 times wider
    size = math.exp(float(weights @ np.log(sds)) / float(weights.sum()))
    tolerance = {"bracket": (low, high), "xtol": 1e-9 * size}
    return [
        float(root_scalar(excess, args=(p,), **tolerance).root) for p in probabilities
    ]


def coordinate_margin(
    lattice: Lattice, axis: int
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Values of one coordinate and the log of their probabilities, summed over others.

    The trapezoid rule on the nodes of a smooth density: they are its log up to a
    constant.
    """
    steps, where = np.unique(lattice.nodes[:, axis], return_inverse=True)
    weights = np.bincount(where, lattice.weights)
    origin = lattice.x[0, axis] - lattice.nodes[0, axis] * lattice.step[axis]
    nodes = origin + steps * lattice.step[axis]
    return nodes, np.log(np.maximum(weights, 1e-300))


def _margin(lattice: Lattice, axis: int) -> Margin:
    """Posterior of one coordinate, interpolated in the log."""
    nodes, log_weights = coordinate_margin(lattice, axis)
    log_density = make_interp_spline(nodes, log_weights, k=5)
    fine = np.linspace(nodes[0], nodes[-1], BETWEEN * (len(nodes) - 1) + 1)
    below = cumulative_simpson(np.exp(log_density(fine)), x=fine, initial=0.0)
    rising = np.concatenate([[True], np.diff(np.maximum.accumulate(below)) > 0.0])
    inverse = PchipInterpolator(below[rising] / below[-1], fine[rising])
    return Margin(nodes, np.exp(log_weights), lambda p: float(inverse(p)))


def coordinate_of(parameter: Parameter, target: Target) -> int | None:
    """The coordinate that an SD, correlation or sigma is a function of.

    None if there are several, as at the origin of the data where a term's priors refer
    to the means: there the SDs and correlations of its intercept, and of lower orders,
    mix with the others.
    """
    place = target.space.place(parameter.label)
    if parameter.term is None:
        return place
    moved, own = target.conditioned.movers[parameter.term], list(parameter.index)
    return place if (moved[own] == np.eye(len(moved))[own]).all() else None


def values_at(
    parameter: Parameter, target: Target, x: Float[np.ndarray, "n m"]
) -> Float[np.ndarray, " n"]:
    """Values of an SD or a correlation of the data's columns, or sigma, at points."""
    spreads = [sd_corr_draws(factors) for factors in target.factors(x)]
    return parameter.read(np.empty(0), spreads, target.space.scalars(x))


def _derived_quantiles(
    parameter: Parameter,
    target: Target,
    lattice: Lattice,
    probabilities: tuple[float, ...],
) -> list[float]:
    """Quantiles of a function of several coordinates, on an unbounded scale."""

    def working(x: Float[np.ndarray, "n m"]) -> Float[np.ndarray, " n"]:
        """Values without bounds."""
        return parameter.working(values_at(parameter, target, x))

    assert parameter.term is not None, "others have a coordinate of their own"
    where = target.space.of_term(parameter.term)
    axes = range(where.start, where.stop)
    found = smoothed_quantiles(lattice, axes, working, probabilities)
    return parameter.natural(np.array(found)).tolist()


def _along(
    parameter: Parameter, target: Target, place: int, values: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """A parameter at values of its coordinate; increasing."""
    points = np.tile(target.start, (values.size, 1))
    points[:, place] = values
    return values_at(parameter, target, points)
