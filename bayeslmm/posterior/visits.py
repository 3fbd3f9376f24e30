"""Points of a target that are visited independently of each other, in threads.

Takes a `Target` and points; gives what importance sampling and quadrature need of each,
without the gradient that a sampler would pay for. The kernels release the GIL, so the
points are shared out over threads; results come in the order of the points, whatever
the number of threads.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from jaxtyping import Float

from bayeslmm.marginal import log_density
from bayeslmm.marginal.likelihood import grams
from bayeslmm.marginal.many import Grams, ManyCoefficients, many_coefficients
from bayeslmm.marginal.points import density_with_coefficients
from bayeslmm.posterior.kernels.coordinates import FARTHEST, log_priors
from bayeslmm.posterior.target import Target

# Points that a thread takes at a time: few, so that all threads end together, but where
# there are many points, so many that handing them out costs nothing.
MOST_AT_A_TIME = 64
HANDS_PER_THREAD = 8
# Points of one run of `visit_many`: their matrices stay in the cache.
MANY = 1024


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


@dataclass(frozen=True, slots=True)
class Visited:
    """What is known at n points.

    ``log_density`` (n,), minus infinity where impossible; mean ``beta`` and variance
    ``beta_var`` (n, p) of the fixed effects given each point, units of the data.
    """

    log_density: Float[np.ndarray, " n"]
    beta: Float[np.ndarray, "n p"]
    beta_var: Float[np.ndarray, "n p"]


def visit_many(target: Target, x: Float[np.ndarray, "n m"], cores: int) -> Visited:
    """Log density, and the fixed effects given it, at many points.

    Runs of points in compiled loops where there is a kernel, else one by one; in
    threads either way.
    """
    if target.compiled is None:
        found = in_threads(fixed_visitor(target), list(x), cores)
        logp, beta, variance = zip(*found, strict=True)
        return Visited(np.array(logp), np.array(beta), np.array(variance))
    parts = [x[i : i + MANY] for i in range(0, len(x), MANY)]
    done = in_threads(partial(_visit_run, target), parts, cores)
    return Visited(*map(np.concatenate, zip(*done, strict=True)))


def densities_with_grams(
    target: Target, x: Float[np.ndarray, "n m"], cores: int
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n w w"]]:
    """Log density, and what draws of the fixed effects need, at points; in threads.

    The latter are the ``G`` of `Grams`, in which most of the work lies.
    """
    parts = [x[run] for run in _runs(len(x), cores)]
    done = in_threads(partial(_grams_run, target), parts, cores)
    value = np.concatenate([many.log_density for many, _ in done])
    return value, np.concatenate([own.G for _, own in done])


def _visit_run(
    target: Target, x: Float[np.ndarray, "n m"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n p"], Float[np.ndarray, "n p"]]:
    """The same as `visit_many` for as many points as are handed out at a time."""
    many, _ = _grams_run(target, x)
    return many.log_density, *in_units(target, many)


def _grams_run(
    target: Target, x: Float[np.ndarray, "n m"]
) -> tuple[ManyCoefficients, Grams]:
    """Log density of some points, and what it is made of, safe coordinates."""
    plan, stats = target.plan, target.statistics
    assert plan is not None, "what is compiled has a plan"
    value = np.empty(len(x))
    log_priors(np.ascontiguousarray(x), plan.forms, plan.tables, plan.start, value)
    possible = np.isfinite(value)
    points = np.where(possible[:, None], x, plan.start)
    sigma = target.safe_sigma(points)
    factors = stats.layout.join(target.safe_factors(points))  # one without bar terms
    factors = np.broadcast_to(factors, (len(x), *factors.shape[-3:]))
    given = Grams(*grams(stats, factors / sigma[:, None, None, None]), sigma)
    many = many_coefficients(stats.sums, given, target.beta)
    value += many.log_density + target.conditioned.log_jacobian
    value[~np.isfinite(value)] = -math.inf
    return replace(many, log_density=value), given


def in_units(
    target: Target, many: ManyCoefficients
) -> tuple[Float[np.ndarray, "n p"], Float[np.ndarray, "n p"]]:
    """Mean and variance of each fixed effect at n points, units of the data."""
    safe = target.conditioned
    turn, base = (
        safe.coefficient_turn(),
        safe.coefficients(np.zeros(many.beta.shape[1])),
    )
    variance = np.einsum("ij,njk,ik->ni", turn, many.covariance, turn)
    return base + many.beta @ turn.T, variance


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
    parts = [items[run] for run in _runs(len(items), cores)]
    pool = ThreadPoolExecutor(cores)
    try:
        found = list(pool.map(lambda part: _all(visit, part), parts))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return [result for part in found for result in part]


def _runs(n: int, cores: int) -> list[slice]:
    """Where n items are cut into what a thread takes at a time."""
    size = max(1, min(MOST_AT_A_TIME, n // (HANDS_PER_THREAD * cores)))
    return [slice(i, i + size) for i in range(0, n, size)]


def _all[Item, Result](
    visit: Callable[[Item], Result], part: Iterable[Item]
) -> list[Result]:
    """Results of the items that one thread took."""
    return [visit(item) for item in part]
