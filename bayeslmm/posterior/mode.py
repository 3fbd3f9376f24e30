"""The mode of a target, and the coordinates whitened by the curvature there.

Takes a `Target`, gives its `Laplace` approximation: BFGS from the moment estimate, from
REML's and, where that is singular, from ML's; or, where an evaluation is dear, Newton's
steps from REML's, whose Hessian then serves for the whitening too. A density may have
several modes: the highest is taken, and others that hold probability are kept.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy import optimize

from bayeslmm.errors import SamplingError
from bayeslmm.marginal.objective import Objective, second_differences
from bayeslmm.posterior.target import Target
from bayeslmm.reml.criterion import safe_problem
from bayeslmm.reml.expense import EXPENSIVE
from bayeslmm.reml.optimise import is_singular, minimise

# A search that ends further than a factor exp(30) from the start has found no mode.
SEARCH = 30.0
# Step of the central differences of the gradient; coordinates are of order 1.
HESSIAN_STEP = 1e-4
# Whitened SDs are at most 1 / sqrt(this): where the curvature at the mode is less, or
# negative, it does not describe the density and adaptation finds the scale.
LEAST_CURVATURE = 0.05
# Most Newton steps, and the promised rise that ends them.
NEWTON_STEPS, ARRIVED = 8, 1e-6
# Searches that end within this many whitened units of each other have found one mode.
SAME_MODE = 0.5
# A mode with less of the probability of a Normal at each does not matter.
LEAST_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class _Found:
    """Where a search ended; minus the Hessian if one was taken near there."""

    x: Float[np.ndarray, " m"]
    value: float
    gradient: Float[np.ndarray, " m"]
    hessian: Float[np.ndarray, "m m"] | None


@dataclass(frozen=True, slots=True)
class OtherMode:
    """A further mode, and its share of the probability of a Normal at each."""

    x: Float[np.ndarray, " m"]
    share: float


@dataclass(frozen=True, slots=True)
class Laplace:
    """Normal approximation of a target at its mode: x = mode + basis z, z ~ N(0, I).

    Attributes
    ----------
    mode : ndarray, shape (m,)
        The highest mode that was found.
    basis : ndarray, shape (m, m)
        Whitens the curvature there.
    value : float
        Log density at the mode.
    gradient_norm : float
        Largest entry of the gradient there.
    best : float
        Highest log density that any search or estimate has seen.
    others : tuple of OtherMode
        Further modes that matter.
    """

    mode: Float[np.ndarray, " m"]
    basis: Float[np.ndarray, "m m"]
    value: float
    gradient_norm: float
    best: float
    others: tuple[OtherMode, ...] = ()


def laplace(target: Target) -> Laplace:
    """Mode of a target and the normal approximation there.

    Returns
    -------
    Laplace
        The mode is inside even where REML is singular: the density is that of log SDs
        and of partial correlations through tanh.

    Raises
    ------
    SamplingError
        If the search runs off: there is no mode.
    """
    estimates = point_estimates(target)
    quick = _newton(target, estimates[0] if estimates else target.start)
    found = (
        [quick] if quick else [_search(target, s) for s in (target.start, *estimates)]
    )
    ended = [own for own in found if math.isfinite(own.value)]
    inside = [own for own in ended if not _runs_off(target, own).any()]
    if not inside or max(own.value for own in ended) > _highest(inside).value + SEARCH:
        raise SamplingError(_unbounded(target, ended))
    best = _highest(inside)
    hessian = best.hessian
    if hessian is None:
        hessian = negative_hessian(target, best.x)
    basis = whitening_basis(hessian)
    seen = [best.value, *(target(x)[0] for x in estimates)]
    return Laplace(
        mode=best.x,
        basis=basis,
        value=best.value,
        gradient_norm=float(np.abs(best.gradient).max()),
        best=max(seen),
        others=_other_modes(target, best, basis, inside),
    )


def _highest(found: list[_Found]) -> _Found:
    """The end of a search that is highest; of equal ones the first."""
    return max(found, key=lambda own: own.value)


def _runs_off(target: Target, found: _Found) -> Bool[np.ndarray, " m"]:
    """Coordinates in which a search went too far to have found a mode."""
    return np.abs(found.x - target.start) >= SEARCH


def _unbounded(target: Target, ended: list[_Found]) -> str:
    """Message for a density that keeps growing."""
    runaway = ""
    if ended:
        off = np.flatnonzero(_runs_off(target, _highest(ended)))
        runaway = ", ".join(repr(target.space.coordinates[i].label) for i in off)
    return (
        f"The search for the posterior mode is unbounded in {runaway or 'x'}: the "
        "density keeps growing. Give it a proper prior, for example priors='weak', or "
        "simplify the random-effects term."
    )


def _other_modes(
    target: Target,
    best: _Found,
    basis: Float[np.ndarray, "m m"],
    found: list[_Found],
) -> tuple[OtherMode, ...]:
    """Ends of the other searches that are modes of their own and matter."""
    different: list[_Found] = []
    for own in found:
        known = [best.x, *(other.x for other in different)]
        away = [np.abs(np.linalg.solve(basis, own.x - x)).max() for x in known]
        if min(away) > SAME_MODE:
            different.append(own)
    if not different:
        return ()
    bases = [whitening_basis(negative_hessian(target, own.x)) for own in different]
    masses = [
        own.value - best.value + _log_volume(other) - _log_volume(basis)
        for own, other in zip(different, bases, strict=True)
    ]
    total = 1.0 + sum(math.exp(min(mass, SEARCH)) for mass in masses)
    shares = [math.exp(min(mass, SEARCH)) / total for mass in masses]
    return tuple(
        OtherMode(own.x, share)
        for own, share in zip(different, shares, strict=True)
        if share > LEAST_SHARE
    )


def _log_volume(basis: Float[np.ndarray, "m m"]) -> float:
    """Log determinant: the volume of a Normal but for a constant."""
    return float(np.linalg.slogdet(basis)[1])


def point_estimates(target: Target) -> list[Float[np.ndarray, " m"]]:
    """Coordinates of the REML estimate, and of ML's where that is singular.

    None of sigma alone, whose start is near enough.
    """
    found = []
    if target.space.size == 1:
        return found
    structures = [term.structure for term in target.terms]
    for restricted in (True, False):
        problem = safe_problem(
            target.space, structures, target.conditioned, restricted=restricted
        )
        optimum = minimise(problem)
        profile = problem.profile(optimum.theta)
        if math.isfinite(profile.criterion) and profile.sigma > 0.0:
            relative = problem.factors(optimum.theta)
            residual = optimum.theta[problem.residual]
            found.append(target.coordinates(relative, profile.sigma, residual))
        if optimum.converged and not is_singular(problem, optimum.theta):
            break
    return [x for x in found if np.isfinite(x).all()]


def _search(target: Objective, start: Float[np.ndarray, " m"]) -> _Found:
    """BFGS from a start."""
    found = optimize.minimize(
        lambda x: tuple(-part for part in target(x)),
        start,
        jac=True,
        method="BFGS",
        options={"gtol": 1e-6},
    )
    return _Found(found.x, -float(found.fun), -np.asarray(found.jac), None)


def _newton(target: Target, x: Float[np.ndarray, " m"]) -> _Found | None:
    """Newton with one Hessian, where an evaluation is dear; None if it fails.

    On InstEval 8 + 4 evaluations from REML, against 25 or more of BFGS and 8 for the
    Hessian; with 1e7 rows 10 against 202, as rounding ends no search by its gradient.
    """
    plain = not any(
        term.structure.homogeneous or term.structure.is_shared(term.k)
        for term in target.terms
    )
    stats = target.statistics
    if not (plain and (stats.in_steps or stats.seconds > EXPENSIVE)):
        return None
    value, gradient = target(x)
    hessian = negative_hessian(target, x)
    for _ in range(NEWTON_STEPS):
        if not (math.isfinite(value) and np.isfinite(hessian).all()):
            return None
        basis = whitening_basis(hessian)
        along = basis.T @ gradient
        if 0.5 * float(along @ along) < ARRIVED:
            return _Found(x, value, gradient, hessian)
        moved = x + basis @ along
        moved_value, moved_gradient = target(moved)
        if not moved_value > value:
            return None
        if np.abs(basis.T @ moved_gradient).max() > 0.3 * np.abs(along).max():
            hessian = negative_hessian(target, moved)
        x, value, gradient = moved, moved_value, moved_gradient
    return None


def negative_hessian(
    target: Objective, x: Float[np.ndarray, " m"]
) -> Float[np.ndarray, "m m"]:
    """Minus the Hessian at x, by central differences of the gradient."""

    def gradients(points: Float[np.ndarray, "r m"]) -> Float[np.ndarray, "r m"]:
        """Of the target, one after the other."""
        return np.array([target(point)[1] for point in points]).reshape(points.shape)

    return -second_differences(gradients, x, np.eye(x.size), HESSIAN_STEP)


def whitening_basis(hessian: Float[np.ndarray, "m m"]) -> Float[np.ndarray, "m m"]:
    """Root of the inverse curvature, with curvatures below the least one raised."""
    curvature, vectors = np.linalg.eigh(hessian)
    raised = (vectors * np.maximum(curvature, LEAST_CURVATURE)) @ vectors.T
    return np.linalg.inv(np.linalg.cholesky(raised)).T
