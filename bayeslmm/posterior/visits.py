"""Points of a target that are visited independently of each other, in threads.

Takes a `Target` and points; gives what importance sampling and quadrature need of each,
without the gradient that a sampler would pay for. The kernels release the GIL, so the
points are shared out over threads; results come in the order of the points, whatever
the number of threads.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Float

from bayeslmm.marginal import log_density
from bayeslmm.marginal.points import density_with_coefficients
from bayeslmm.posterior.kernels.coordinates import FARTHEST
from bayeslmm.posterior.target import Target

# Points that a thread takes at a time: few, so that all threads end together, but where
# there are many points, so many that handing them out costs nothing.
MOST_AT_A_TIME = 64
HANDS_PER_THREAD = 8


def is_far(target: Target, x: Float[np.ndarray, " m"]) -> bool:
    """Whether a point is so far from the start that its density counts as 0."""
    return not bool((np.abs(x - target.start) < FARTHEST).all())


def safe_point(
    target: Target, x: Float[np.ndarray, " m"]
) -> tuple[tuple[Float[np.ndarray, "_k _k"], ...], float, float]:
    """Safe factors and sigma at x, and what the density has beside the safe one.

    That is the log prior density and the change of units.
    """
    point = x.tolist()
    rest = target.log_prior(point)[0] + target.conditioned.log_jacobian
    factors = tuple(term.lift @ term.factor(point) for term in target.terms)
    return factors, float(target.safe_sigma(x)), float(rest)


def log_target(target: Target, x: Float[np.ndarray, " m"]) -> float:
    """Log posterior density at x without its gradient; minus infinity if impossible."""
    if target.compiled is not None:
        return target.compiled.density(x)
    if is_far(target, x):
        return -math.inf
    factors, sigma, rest = safe_point(target, x)
    value = log_density(target.statistics_at(x), factors, sigma, target.beta)
    return or_impossible(value + rest)


Fixed = tuple[float, Float[np.ndarray, " p"], Float[np.ndarray, " p"]]


def fixed_visitor(target: Target) -> Callable[[Float[np.ndarray, " m"]], Fixed]:
    """What computes, at a point, the log density, and the fixed effects given it.

    These are Normal: mean and variance of each, shape (p,), units of the data.
    """
    nothing, safe = np.zeros(target.statistics.p), target.conditioned
    base, turn = safe.coefficients(nothing), safe.coefficient_turn()

    def visit(x: Float[np.ndarray, " m"]) -> Fixed:
        """Density and fixed effects at a point."""
        if is_far(target, x):
            return -math.inf, nothing, nothing
        factors, sigma, rest = safe_point(target, x)
        value, fixed = density_with_coefficients(
            target.statistics_at(x), factors, sigma, target.beta
        )
        value = or_impossible(value + rest)
        if value == -math.inf:
            return value, nothing, nothing
        variance = ((turn @ fixed.covariance) * turn).sum(axis=1)
        return value, base + turn @ fixed.beta, variance

    return visit


def or_impossible(value: float) -> float:
    """A log density, minus infinity where it cannot be computed."""
    return value if math.isfinite(value) else -math.inf


def in_threads[Item, Result](
    visit: Callable[[Item], Result], items: Sequence[Item], cores: int
) -> list[Result]:
    """Results of all items in their order, by up to `cores` threads.

    Ctrl-C stops after the items at hand.
    """
    if cores == 1 or len(items) < 2 * cores:
        return [visit(item) for item in items]
    size = max(1, min(MOST_AT_A_TIME, len(items) // (HANDS_PER_THREAD * cores)))
    parts = [items[i : i + size] for i in range(0, len(items), size)]
    pool = ThreadPoolExecutor(cores)
    try:
        found = list(pool.map(lambda part: _all(visit, part), parts))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return [result for part in found for result in part]


def _all[Item, Result](
    visit: Callable[[Item], Result], part: Iterable[Item]
) -> list[Result]:
    """Results of the items that one thread took."""
    return [visit(item) for item in part]
