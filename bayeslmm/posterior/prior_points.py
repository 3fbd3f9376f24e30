"""The prior of a variance component: in closed form, or averaged over prior points.

Under the priors of a `Target` its coordinates are independent: logs of SDs, and partial
correlations, each with a density of its own. What depends on one of them has that
density; what mixes several (an ICC; the SD of an intercept at x = 0 where the priors
refer to the mean of x) is averaged over points drawn from the prior by a Sobol
sequence.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy.integrate import cumulative_simpson
from scipy.interpolate import PchipInterpolator
from scipy.special import betaln
from scipy.stats import qmc

from bayeslmm.posterior.components import Component
from bayeslmm.posterior.lines import (
    WorkingDensity,
    density_along,
    kernel_density,
    normalised,
)
from bayeslmm.posterior.target import Target

# How far from the start of the searches a coordinate's prior is looked at, and its
# points; a density that has not fallen by so many log units there is improper, or so
# nearly that nothing can be drawn from it.
REACH, LOOKED_AT, FALLEN = 60.0, 4801, 12.0
# Points of the prior, a power of 2, and of each density averaged over them.
POINTS, NODES = 512, 160
# Points where there is no direction to average over.
MANY_POINTS = 8192
# Differences of a distribution function that are not rounding.
SMALLEST = 1e-12
# Tails of the prior left out at each end of the nodes.
TAIL = 1e-4

LogPrior = Callable[[Float[np.ndarray, " v"]], Float[np.ndarray, " v"]]


def prior_density(component: Component, target: Target) -> LogPrior | None:
    """Log prior density of a component on its working scale; None if there is none.

    Parameters
    ----------
    component : Component
        An SD, a correlation, sigma or the ICC.
    target : Target
        With the priors of its coordinates.

    Returns
    -------
    callable or None
        Normalised, unless it is that of a flat prior (density 1 on the SD). None where
        the component mixes coordinates of which one has an improper prior.
    """
    if component.place is not None:
        return _of_coordinate(target, component.place)
    parameter = component.parameter
    if parameter is not None and parameter.component == "corr":
        found = _lkj_margin(component, target)
        if found is not None:
            return found
    found = _averaged(component, target)
    return None if found is None else found.log_at


def _of_coordinate(target: Target, place: int) -> LogPrior:
    """The density of one coordinate, all Jacobians included."""
    if place in target.scale_logp:
        logp = target.scale_logp[place]
        return lambda values: np.array([logp(value)[0] for value in values.tolist()])
    grid, log_density = _looked_at(target, place)
    return normalised(grid, log_density).log_at


def _lkj_margin(component: Component, target: Target) -> LogPrior | None:
    """One correlation of k under LKJ(eta): Beta(b, b) on (-1, 1), b = eta + k/2 - 1.

    None where the priors refer to effects at another origin, or are not LKJ's.

    References
    ----------
    .. [1] Lewandowski, Kurowicka and Joe (2009). J. Multivar. Anal. 100(9).
       https://doi.org/10.1016/j.jmva.2009.04.008
    """
    parameter = component.parameter
    if parameter is None or parameter.term is None:
        return None
    term = target.terms[parameter.term]
    if not component.unmoved or not term.structure.unstructured:
        return None
    b = term.eta + 0.5 * (term.k - 2)

    def logp(values: Float[np.ndarray, " v"]) -> Float[np.ndarray, " v"]:
        """With r = tanh(value): density in r times 1 - r**2."""
        log_rest = 2.0 * (np.log(2.0) - np.logaddexp(values, -values))
        return b * log_rest - (2.0 * b - 1.0) * np.log(2.0) - betaln(b, b)

    return logp


def _averaged(component: Component, target: Target) -> WorkingDensity | None:
    """The density of what mixes coordinates, over points of the prior."""
    n = POINTS if component.direction is not None else MANY_POINTS
    points = prior_points(target, n)
    if points is None:
        return None
    values = component.working(points)
    low, high = np.quantile(values, [TAIL, 1.0 - TAIL])
    margin = 0.15 * (high - low)
    nodes = np.linspace(low - margin, high + margin, NODES)
    if component.direction is None:
        with np.errstate(divide="ignore"):
            return normalised(nodes, np.log(kernel_density(values)(nodes)))
    grids = [_looked_at(target, i) for i in range(target.space.size)]

    def log_prior(x: Float[np.ndarray, "k m"]) -> Float[np.ndarray, " k"]:
        """Interpolated coordinate by coordinate; only those that move matter."""
        assert component.direction is not None, "there is one here"
        moving = np.flatnonzero(component.direction)
        return sum((np.interp(x[:, i], *grids[i]) for i in moving), np.zeros(len(x)))

    weights = np.full(len(points), 1.0 / len(points))
    given = (points, weights, values, component.direction, nodes)
    return density_along(*given, log_prior)


def prior_points(target: Target, n: int) -> Float[np.ndarray, "n m"] | None:
    """Points drawn from the prior of all coordinates; None if one is improper."""
    inverses = []
    for i in range(target.space.size):
        grid, log_density = _looked_at(target, i)
        top = log_density.max()
        if max(log_density[0], log_density[-1]) > top - FALLEN:
            return None
        total = cumulative_simpson(np.exp(log_density - top), x=grid, initial=0.0)
        share = np.maximum.accumulate(total / total[-1])
        rising = np.concatenate([[True], np.diff(share) > SMALLEST])
        inverses.append(PchipInterpolator(share[rising], grid[rising]))
    sobol = qmc.Sobol(target.space.size, rng=0)
    u = np.clip(sobol.random(n), SMALLEST, 1.0 - SMALLEST)
    return np.column_stack([own(u[:, i]) for i, own in enumerate(inverses)])


def _looked_at(
    target: Target, place: int
) -> tuple[Float[np.ndarray, " g"], Float[np.ndarray, " g"]]:
    """Log prior density of one coordinate on a grid, up to a constant."""
    if place in target.scale_logp:
        grid = target.start[place] + np.linspace(-REACH, REACH, LOOKED_AT)
        logp = target.scale_logp[place]
        return grid, np.array([logp(value)[0] for value in grid.tolist()])
    term = next(t for t in target.terms if t.where.start <= place < t.where.stop)
    grid, x = np.linspace(-REACH, REACH, LOOKED_AT), target.start.tolist()
    found = []
    for value in grid.tolist():
        x[place] = value
        found.append(term.corr_logp(x)[0])
    return grid, np.array(found)
