"""From a start to the neighbourhood of a minimum of the profiled criterion.

Takes a `ProfiledProblem` and a start, gives a `Descent` to a theta near a minimum: by
EM where Newton's method has the exact curvature, by quasi-Newton steps of our own where
parameters are few, by average information where an evaluation is dear, else by
L-BFGS-B. None is trusted to have arrived.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayeslmm.marginal.objective import Objective
from bayeslmm.reml.criterion import ProfiledProblem
from bayeslmm.reml.newton import MAX_STEP, Curvature, newton_step

# L-BFGS-B only has to come near: the Newton steps do the rest.
# The gradient is asked for per row, as its rounding is.
ROUGH = {"ftol": 1e-12, "maxiter": 500, "maxcor": 20}
ROUGH_GRADIENT = 1e-6
# Fall that ends the steps by average information: so near that the Hessian is that at
# the optimum, and that Newton's method has nothing to do but to check.
NEAR = 1e-8
# Steps of EM at the start, and most steps by average information. Entries below the
# small one may change by more than their half. Before steps by exact curvature, which
# go astray from afar, more (measured with 210 parameters, at the optimum or on its
# boundary: 3 take twice the time of 8, and 25 no less than that).
EM_STEPS, MORE_EM_STEPS, INFORMATION_STEPS, SMALL = 3, 8, 10, 0.05
# Fall that ends the quasi-Newton steps, how many there are at most, and how often one
# of them is halved.
ARRIVED, QUASI_NEWTON_STEPS, HALVINGS = 1e-12, 30, 8
# Parameters up to which they take no more evaluations than L-BFGS-B from a plain start
# (measured: 9 against 10 with three, 35 against 18 with six). That saves its import,
# which takes longer than many a fit, and half of the time of the descent.
FEW = 3


@dataclass(frozen=True, slots=True)
class Descent:
    """Where a descent ended; criterion and gradient there, if they were taken."""

    theta: Float[np.ndarray, " m"]
    known: tuple[float, Float[np.ndarray, " m"]] | None


def descend(problem: ProfiledProblem, start: Float[np.ndarray, " m"]) -> Descent:
    """Near a minimum, by the way that costs less."""
    if problem.has_exact_curvature:
        return Descent(_expectation_steps(problem, start, MORE_EM_STEPS), None)
    dear = problem.statistics.in_steps and problem.stack is None
    if dear and not problem.correlations().any():
        near = _descend_by_information(problem, start)
        if near is not None:
            return near
    elif problem.m <= FEW and not np.isfinite(problem.bounds).any():
        near = _quasi_newton(problem, start, np.diag(1.0 / problem.steepness()), None)
        if near is not None:
            return near
    return Descent(_descend_by_gradient(problem, start), None)


def descend_from(
    problem: Objective, theta: Float[np.ndarray, " m"], known: Curvature
) -> Descent | None:
    """By quasi-Newton steps from a theta with its curvature; None if they go astray.

    Use it where both are those of a criterion much like this one: the updates of
    Broyden, Fletcher, Goldfarb and Shanno then only correct them.
    """
    return _quasi_newton(problem, theta, known.frame, np.linalg.inv(known.hessian))


def _quasi_newton(
    problem: Objective,
    theta: Float[np.ndarray, " m"],
    frame: Float[np.ndarray, "m f"],
    inverse: Float[np.ndarray, "f f"] | None,
) -> Descent | None:
    """Steps in a frame with an inverse Hessian; None if they go astray.

    Without an inverse the first step goes down the slope, and sets its scale.
    """
    value, gradient = problem(theta)
    slope = gradient @ frame
    for _ in range(QUASI_NEWTON_STEPS):
        down = -slope / max(1.0, math.sqrt(float(slope @ slope)))
        step = down if inverse is None else -(inverse @ slope)
        promised = -0.5 * float(step @ slope)
        if not 0.0 <= promised < np.inf:
            return None
        if promised < ARRIVED:
            return Descent(theta, (value, gradient))
        step *= min(1.0, MAX_STEP / math.sqrt(float(step @ step)))
        trial, found = theta + frame @ step, None
        for _ in range(HALVINGS):
            found = problem(trial)
            if found[0] < value:
                break
            step *= 0.5
            trial = theta + frame @ step
        else:
            return Descent(theta, (value, gradient))
        theta, (value, gradient) = trial, found
        before, slope = slope, gradient @ frame
        inverse = _updated(inverse, step, slope - before)
    return None


def _updated(
    inverse: Float[np.ndarray, "f f"] | None,
    step: Float[np.ndarray, " f"],
    change: Float[np.ndarray, " f"],
) -> Float[np.ndarray, "f f"] | None:
    """Inverse Hessian after a step and the change of the gradient along it."""
    along = float(step @ change)
    if along <= 0.0:
        return inverse
    if inverse is None:
        inverse = np.eye(len(step)) * (along / float(change @ change))
    moved = inverse @ change
    twice = (1.0 + float(change @ moved) / along) * step - moved
    return inverse + (twice[:, None] * step - step[:, None] * moved) / along


def _expectation_steps(
    problem: ProfiledProblem, start: Float[np.ndarray, " m"], steps: int
) -> Float[np.ndarray, " m"]:
    """Some steps of EM."""
    theta = start
    for _ in range(steps):
        theta = problem.expectation_step(theta)
    return theta


def _descend_by_information(
    problem: ProfiledProblem, start: Float[np.ndarray, " m"]
) -> Descent | None:
    """Steps of EM from afar, then Newton's with average information.

    For evaluations that are dear: 8 on InstEval, where L-BFGS-B takes 14 and is less
    near. None where they do not come near.
    """
    theta = _expectation_steps(problem, start, EM_STEPS)
    free = np.ones(start.size, bool)
    value, gradient, matrix = problem.with_curvature(theta)
    for _ in range(INFORMATION_STEPS):
        if not np.isfinite(matrix).all():
            return None
        units = problem.units(theta)
        scaled = matrix * np.outer(units, units)
        frame = np.diag(units)
        curvature = Curvature(theta, frame, free, scaled, *np.linalg.eigh(scaled))
        step, decrement = newton_step(curvature, gradient)
        if decrement < NEAR:
            return Descent(theta, (value, gradient))
        # no further than to half or one and a half of what each entry is
        longest = np.max(np.abs(step) / np.maximum(np.abs(theta), SMALL))
        trial = theta + min(1.0, 0.5 / max(longest, 1e-300)) * step
        before = value
        value, gradient, matrix = problem.with_curvature(trial)
        if not value < before:
            return None
        theta = trial
    return None


def _descend_by_gradient(
    problem: ProfiledProblem, start: Float[np.ndarray, " m"]
) -> Float[np.ndarray, " m"]:
    """L-BFGS-B from a start, with whatever it says ignored: what follows checks.

    It works on theta times `steepness`: half the evaluations on InstEval.
    """
    from scipy.optimize import minimize

    lower, upper = problem.bounds
    scale = problem.steepness()

    def scaled(x: Float[np.ndarray, " m"]) -> tuple[float, Float[np.ndarray, " m"]]:
        criterion, gradient = problem(x / scale)
        if np.isfinite(criterion) and np.isfinite(gradient).all():
            return criterion, gradient / scale
        return 1e100, np.zeros_like(x)  # a wall where the factorisation breaks down

    found = minimize(
        scaled,
        start * scale,
        jac=True,
        method="L-BFGS-B",
        bounds=list(zip(lower * scale, upper * scale, strict=True)),
        options={**ROUGH, "gtol": ROUGH_GRADIENT * problem.statistics.n},
    )
    return np.clip(found.x / scale, lower, upper)
