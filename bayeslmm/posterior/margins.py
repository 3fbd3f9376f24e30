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

from bayeslmm.design.arrays import Parameter
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
    if _is_coordinate(parameter, target):
        margin = _margin(lattice, _coordinate_of(parameter, target))
        values, weights = _natural(parameter, target, margin.nodes), margin.weights
    else:
        values, weights = values_at(parameter, target, lattice.x), lattice.weights
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
        return _mixture_quantiles(lattice.weights, means, sds, probabilities)
    if not _is_coordinate(parameter, target):
        return _derived_quantiles(parameter, target, lattice, probabilities)
    margin = _margin(lattice, _coordinate_of(parameter, target))
    at = np.array([margin.quantile(probability) for probability in probabilities])
    return _natural(parameter, target, at).tolist()


def _mixture_quantiles(
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


def _margin(lattice: Lattice, axis: int) -> Margin:
    """Posterior of one coordinate: sums over the others, interpolated in the log."""
    steps, where = np.unique(lattice.nodes[:, axis], return_inverse=True)
    weights = np.bincount(where, lattice.weights)
    origin = lattice.x[0, axis] - lattice.nodes[0, axis] * lattice.step[axis]
    nodes = origin + steps * lattice.step[axis]
    log_density = make_interp_spline(nodes, np.log(np.maximum(weights, 1e-300)), k=5)
    fine = np.linspace(nodes[0], nodes[-1], BETWEEN * (len(nodes) - 1) + 1)
    below = cumulative_simpson(np.exp(log_density(fine)), x=fine, initial=0.0)
    rising = np.concatenate([[True], np.diff(np.maximum.accumulate(below)) > 0.0])
    inverse = PchipInterpolator(below[rising] / below[-1], fine[rising])
    return Margin(nodes, weights, lambda probability: float(inverse(probability)))


def _coordinate_of(parameter: Parameter, target: Target) -> int:
    """The coordinate that an SD, correlation or sigma is a function of."""
    if parameter.term is None:
        return 0
    term = target.terms[parameter.term]
    n_sds = len(term.sd_logp)
    if parameter.component == "corr":
        return term.first + n_sds
    return term.first + (parameter.index[0] if n_sds > 1 else 0)


def _is_coordinate(parameter: Parameter, target: Target) -> bool:
    """Whether a parameter is a function of one coordinate alone.

    Not so at the origin of the data where a term's priors refer to the means: there
    the SDs and correlations of its intercept, and of lower orders, mix with the others.
    """
    if parameter.term is None:
        return True
    moved, own = target.conditioned.movers[parameter.term], list(parameter.index)
    return bool((moved[own] == np.eye(len(moved))[own]).all())


def values_at(
    parameter: Parameter, target: Target, x: Float[np.ndarray, "n m"]
) -> Float[np.ndarray, " n"]:
    """Values of an SD or a correlation of the data's columns at points."""
    assert parameter.term is not None, "SDs and correlations belong to a term"
    sd, corr = sd_corr_draws(target.factors(x)[parameter.term][None])
    return (sd if parameter.component == "sd" else corr)[0][:, *parameter.index]


def _derived_quantiles(
    parameter: Parameter,
    target: Target,
    lattice: Lattice,
    probabilities: tuple[float, ...],
) -> list[float]:
    """Quantiles of a function of several coordinates, on an unbounded scale."""
    is_sd = parameter.component == "sd"

    def working(x: Float[np.ndarray, "n m"]) -> Float[np.ndarray, " n"]:
        """Log of an SD, atanh of a correlation."""
        values = values_at(parameter, target, x)
        return np.log(values) if is_sd else np.arctanh(np.clip(values, -1.0, 1.0))

    assert parameter.term is not None, "SDs and correlations belong to a term"
    term = target.terms[parameter.term]
    axes = range(term.first, term.last)
    found = smoothed_quantiles(lattice, axes, working, probabilities)
    return [math.exp(value) if is_sd else math.tanh(value) for value in found]


def _natural(
    parameter: Parameter, target: Target, coordinate: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Values of a parameter at values of its coordinate; increasing."""
    if parameter.component != "corr":
        return np.exp(coordinate)
    assert parameter.term is not None, "correlations belong to a term"
    points = np.tile(target.start, (coordinate.size, 1))
    points[:, _coordinate_of(parameter, target)] = coordinate
    factors = target.factors(points)[parameter.term]
    return sd_corr_draws(factors[None])[1][0][:, *parameter.index]
