"""Minimum of the profiled criterion, clean at the boundary.

Takes a `ProfiledProblem`, gives an `Optimum`. L-BFGS-B comes near, Newton steps with a
Hessian from differences of the exact gradient come close, and then the boundary is
settled by comparing criteria: an SD or a pivot that may as well be 0 is set to exactly
0, and one that stands at 0 is released if the criterion falls away from it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from jaxtyping import Bool, Float

from bayeslmm.marginal.objective import second_differences
from bayeslmm.reml.boundary import (
    active_bounds,
    canonical,
    escape_direction,
    null_columns,
    snap_candidates,
    zero_rows,
)
from bayeslmm.reml.criterion import ProfiledProblem
from bayeslmm.reml.descend import Descent, descend, descend_from
from bayeslmm.reml.newton import FLAT, Curvature, newton_step

# Fall of the criterion that a Newton step still promises: far below what a reader can
# see (lme4's optimisers stop at 1e-7 or so of their own), above rounding for n = 1e6.
DECREMENT = 1e-9
# A step that promises less is not taken: it would cost more than it could show.
ARRIVED = 1e-11
# What counts as a minimum at the end: a fall of 1e-6 is the tolerance of the peer
# tests.
ENOUGH = 1e-6
NEWTON_STEPS, DIFFERENCE = 40, 1e-4
# How far, in `units`, a direction that seems to curve downward is followed to see.
PROBES = (1.0, -1.0, 0.1, -0.1, 0.01, -0.01)
# A Hessian this near to the optimum is one at the optimum, to 1e-5 or so.
CLOSE = 1e-5
# Beyond this relative SD sigma has collapsed: the random effects fit every response.
MAX_THETA = 1e6
# Starting values as multiples of "every effect as large as the noise": the second is
# used where the first ends at the boundary or fails, the third where both fail.
STARTS = (1.0, 0.1, 10.0)
MAX_RELEASES = 5


@dataclass(frozen=True, slots=True)
class Optimum:
    """Where the search ended.

    Attributes
    ----------
    theta : ndarray, shape (m,)
        In the scaled units of the problem, canonical: pivots >= 0.
    criterion : float
        Minus twice the profiled (restricted) log likelihood.
    gradient : ndarray, shape (m,)
        Its gradient; 0 where a bound holds it.
    converged : bool
        Whether Newton's method promises no further fall.
    curvature : Curvature or None
        That over the free parameters, if it was taken within `CLOSE` of theta.
    """

    theta: Float[np.ndarray, " m"]
    criterion: float
    gradient: Float[np.ndarray, " m"]
    converged: bool
    curvature: Curvature | None


def minimise(problem: ProfiledProblem, near: Optimum | None = None) -> Optimum:
    """Lowest minimum that the starts lead to.

    Parameters
    ----------
    problem : ProfiledProblem
        Criterion over theta.
    near : Optimum, optional
        That of a criterion much like this one, of another response of the same rows:
        where the search starts, and its first curvature.

    Returns
    -------
    Optimum
        The first start's, unless another went lower; others are tried where it ended at
        the boundary or failed, or where a term has a shared correlation (cs, ar1).
    """
    starts = _starts(problem)
    best = _settle(problem, _near(problem, near) or descend(problem, next(starts)))
    shared = bool(problem.correlations().any())  # several minima are common
    doubtful = is_singular(problem, best.theta)
    while not best.converged or doubtful or shared:
        start, doubtful = next(starts, None), False
        if start is None:
            break
        found = _settle(problem, descend(problem, start))
        best = found if _is_better(found, best) else best
    best = _with_zero_rows(problem, best)
    return replace(best, theta=problem.at_bounds(best.theta))


def _near(problem: ProfiledProblem, near: Optimum | None) -> Descent | None:
    """Descent from another optimum, if none of its parameters was held."""
    if near is None or near.curvature is None or not near.curvature.free.all():
        return None
    return descend_from(problem, near.theta, near.curvature)


def _starts(problem: ProfiledProblem) -> Iterator[Float[np.ndarray, " m"]]:
    """Starting values: SDs by `STARTS`, shared correlations from both sides too.

    From about 0.8 of the way to either end of the range; of several in a term (toep)
    each by itself as well.
    """
    correlation = problem.correlations()
    together = [correlation] if correlation.any() else []
    for block in problem.blocks:
        own = np.arange(problem.m)[block.where][correlation[block.where]]
        together += [np.arange(problem.m) == at for at in own if own.size > 1]
    lower, upper = problem.bounds
    for scale in STARTS:
        start = np.where(correlation, 1.0, scale) * problem.start
        yield start
        for moved, end in product(together, (lower, upper)):
            yield np.where(moved, 0.4 * start + 0.6 * end, start)


def rounding(criterion: float) -> float:
    """Difference of two criteria that rounding alone may cause."""
    return 1e-12 * max(abs(criterion), 1.0)


def _is_better(one: Optimum, other: Optimum) -> bool:
    """Whether one optimum is preferred: converged, then lower by more than rounding."""
    if one.converged != other.converged:
        return one.converged
    return one.criterion < other.criterion - 10 * rounding(other.criterion)


def is_singular(problem: ProfiledProblem, theta: Float[np.ndarray, " m"]) -> bool:
    """Whether anything stands at its boundary."""
    lower, upper = problem.bounds
    at_bound = bool(((theta <= lower) | (theta >= upper)).any())
    return at_bound or bool(null_columns(problem, theta).any())


def _settle(problem: ProfiledProblem, descent: Descent) -> Optimum:
    """Newton steps, then the boundary, until nothing moves any more."""
    optimum = _polish_from(problem, descent)
    for _ in range(MAX_RELEASES):
        optimum = _snap(problem, optimum)
        if not optimum.converged:
            return optimum
        lower = _release(problem, optimum)
        if lower is None:
            return optimum
        optimum = _polish_from(problem, descend(problem, lower))
    return optimum


def _polish_from(problem: ProfiledProblem, descent: Descent) -> Optimum:
    """Newton's method where a descent ended, the pivots made positive."""
    theta = canonical(problem, descent.theta)
    same = np.array_equal(theta, descent.theta)
    return _polish(problem, theta, descent.known if same else None)


def _snap(problem: ProfiledProblem, optimum: Optimum) -> Optimum:
    """Set what may as well be 0 (or at its bound) to exactly that.

    After a candidate was taken the others are made anew: those of before would bring
    back what has just been set to 0. Newton's method may come back from a bound, so
    there are no more rounds than parameters.
    """
    for _ in range(problem.m):
        highest = optimum.criterion + rounding(optimum.criterion) + DECREMENT
        candidates = snap_candidates(problem, optimum.theta)
        taken = next((one for one in candidates if problem(one)[0] <= highest), None)
        if taken is None:
            break
        optimum = _polish(problem, canonical(problem, taken))
    return optimum


def _with_zero_rows(problem: ProfiledProblem, optimum: Optimum) -> Optimum:
    """The optimum with SDs of the data that may as well be 0 at exactly that.

    At the end: a Newton step would move them again, along what is flat.
    """
    theta = zero_rows(problem, optimum.theta)
    if theta is None or not optimum.converged:
        return optimum
    criterion, _ = problem(theta)
    if criterion > optimum.criterion + rounding(optimum.criterion) + DECREMENT:
        return optimum
    return replace(optimum, theta=theta, criterion=float(criterion))


def _release(
    problem: ProfiledProblem, optimum: Optimum
) -> Float[np.ndarray, " m"] | None:
    """A lower point off the boundary, if the criterion falls away from it."""
    direction = escape_direction(problem, optimum.theta)
    if direction is None:
        return None
    for length in (1.0, 0.3, 0.1, 0.03, 0.01, 0.003):
        theta = optimum.theta + length * direction
        if problem(theta)[0] < optimum.criterion - 10 * rounding(optimum.criterion):
            return theta
    return None


def _polish(
    problem: ProfiledProblem,
    theta: Float[np.ndarray, " m"],
    known: tuple[float, Float[np.ndarray, " m"]] | None = None,
) -> Optimum:
    """Newton's method, and what it says of where it ended."""
    value, gradient = known or problem(theta)
    theta, value, gradient, decrement, curvature = _newton(
        problem, theta, value, gradient
    )
    final = canonical(problem, theta)
    close, convex = None, True
    if curvature is not None:
        convex = not _falls(problem, theta, value, curvature)
        same = (final == theta).all() and np.array_equal(
            curvature.free, free_parameters(problem, theta, gradient)
        )
        if same and _distance(curvature, theta) < CLOSE:
            close = curvature
    return Optimum(
        theta=final,
        criterion=float(value),
        gradient=np.where(active_bounds(problem, theta, gradient), 0.0, gradient),
        converged=bool(np.isfinite(value) and decrement < ENOUGH and convex),
        curvature=close,
    )


def _distance(curvature: Curvature, theta: Float[np.ndarray, " m"]) -> float:
    """How many steps of its frame theta is from where a curvature was taken."""
    moved = theta - curvature.theta
    if not moved.any():
        return 0.0
    return float(np.abs(np.linalg.lstsq(curvature.frame, moved)[0]).max())


def _falls(
    problem: ProfiledProblem,
    theta: Float[np.ndarray, " m"],
    value: float,
    curvature: Curvature,
) -> bool:
    """Whether a direction that curves downward leads to a lower criterion.

    Where the criterion is flat its curvature is the rounding of the differences, of
    either sign: only what has been seen to be lower is lower.
    """
    least = max(FLAT * float(curvature.values.max()), 10.0 * ENOUGH)
    lower, upper = problem.bounds
    for direction in curvature.vectors.T[curvature.values < -least]:
        step = curvature.frame @ direction
        for length in PROBES:
            trial = np.clip(theta + length * step, lower, upper)
            if problem(trial)[0] < value - ENOUGH:
                return True
    return False


def _newton(
    problem: ProfiledProblem,
    theta: Float[np.ndarray, " m"],
    value: float,
    gradient: Float[np.ndarray, " m"],
) -> tuple[
    Float[np.ndarray, " m"], float, Float[np.ndarray, " m"], float, Curvature | None
]:
    """Newton steps over the parameters that no bound holds.

    The Hessian is kept as long as it brings the gradient down tenfold a step.
    """
    decrement, curvature = np.inf, None
    for _ in range(NEWTON_STEPS):
        if not (np.isfinite(value) and np.abs(theta).max() < MAX_THETA):
            return theta, value, gradient, np.inf, None
        free = free_parameters(problem, theta, gradient)
        if not free.any():
            return theta, value, gradient, 0.0, None
        if curvature is None or (curvature.free != free).any():
            curvature = curvature_at(problem, theta, free)
        if curvature is None:
            return theta, value, gradient, np.inf, None
        step, decrement = newton_step(curvature, gradient)
        if decrement < ARRIVED:
            break
        moved = _line_search(problem, theta, value, gradient, step)
        if moved is None:
            break
        before = np.abs(gradient[free]).max()
        theta, value, gradient = moved
        if decrement < DECREMENT:
            break
        if np.abs(gradient[free]).max() > 0.1 * before:
            curvature = None
    return theta, value, gradient, decrement, curvature


def free_parameters(
    problem: ProfiledProblem,
    theta: Float[np.ndarray, " m"],
    gradient: Float[np.ndarray, " m"],
) -> Bool[np.ndarray, " m"]:
    """Parameters that neither a bound nor a zero column holds."""
    return ~(active_bounds(problem, theta, gradient) | null_columns(problem, theta))


def curvature_at(
    problem: ProfiledProblem,
    theta: Float[np.ndarray, " m"],
    free: Bool[np.ndarray, " m"],
) -> Curvature | None:
    """Curvature of the criterion over the free parameters.

    Parameters
    ----------
    problem : ProfiledProblem
        The criterion.
    theta : ndarray, shape (m,)
        Where to take it.
    free : ndarray of bool, shape (m,)
        The f parameters to vary.

    Returns
    -------
    Curvature or None
        Exact where that costs less than differences of the exact gradient, which are
        central unless a bound is in the way; None where the criterion breaks down, or
        beside such a place.
    """
    frame = problem.frame(theta, free)
    if problem.has_exact_curvature:
        hessian = frame.T @ problem.hessian(theta) @ frame
    else:
        hessian = second_differences(
            lambda thetas: problem.at(thetas)[1],
            *(theta, frame, DIFFERENCE, problem.bounds),
        )
    if not np.isfinite(hessian).all():
        return None
    return Curvature(theta, frame, free, hessian, *np.linalg.eigh(hessian))


def _line_search(
    problem: ProfiledProblem,
    theta: Float[np.ndarray, " m"],
    value: float,
    gradient: Float[np.ndarray, " m"],
    step: Float[np.ndarray, " m"],
) -> tuple[Float[np.ndarray, " m"], float, Float[np.ndarray, " m"]] | None:
    """First of the halved steps that lowers the criterion, or the gradient at a tie."""
    lower, upper = problem.bounds
    for halving in range(12):
        trial = np.clip(theta + 0.5**halving * step, lower, upper)
        trial_value, trial_gradient = problem(trial)
        if trial_value < value - rounding(value):
            return trial, trial_value, trial_gradient
        tie = abs(trial_value - value) <= rounding(value)
        if tie and np.abs(trial_gradient).max() < np.abs(gradient).max():
            return trial, trial_value, trial_gradient
    return None
