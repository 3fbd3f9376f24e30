"""The mode of a target, and the coordinates whitened by the curvature there.

Takes a `Target`, gives its `Laplace` approximation: BFGS from the moment estimate; or,
where an evaluation is dear, steps of EM to the neighbourhood and Newton's from there,
whose Hessian then serves for the whitening too.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import optimize

from bayeslmm.covariance import factor_to_coordinates
from bayeslmm.errors import SamplingError
from bayeslmm.fit.target import Target
from bayeslmm.marginal import profiled_criterion, profiled_gradient

# A search that ends further than a factor exp(30) from the start has found no mode.
SEARCH = 30.0
# Step of the central differences of the gradient; coordinates are of order 1.
HESSIAN_STEP = 1e-4
# Whitened SDs are at most 1 / sqrt(this): where the curvature at the mode is less, or
# negative, it does not describe the density and adaptation finds the scale.
LEAST_CURVATURE = 0.05
# Steps of EM, most Newton steps, and the promised rise that ends them.
EM_STEPS, NEWTON_STEPS, ARRIVED = 3, 8, 1e-6


@dataclass(frozen=True, slots=True)
class _Found:
    """Where a search ended; minus the Hessian if one was taken near there."""

    x: Float[np.ndarray, " m"]
    value: float
    gradient: Float[np.ndarray, " m"]
    hessian: Float[np.ndarray, "m m"] | None


@dataclass(frozen=True, slots=True)
class Laplace:
    """Normal approximation of a target at its mode: x = mode + basis z, z ~ N(0, I).

    ``value`` is the log density at the mode, ``gradient_norm`` the largest entry of the
    gradient there.
    """

    mode: Float[np.ndarray, " m"]
    basis: Float[np.ndarray, "m m"]
    value: float
    gradient_norm: float


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
    found = _newton(target) or _search(target)
    off = np.abs(found.x - target.start) >= SEARCH
    if off.any() or not math.isfinite(found.value):
        runaway = ", ".join(repr(target.labels[i]) for i in np.flatnonzero(off))
        raise SamplingError(
            f"The search for the posterior mode is unbounded in {runaway or 'x'}: the "
            "density keeps growing. Give it a proper prior, for example "
            "priors='weak', or simplify the random-effects term."
        )
    hessian = found.hessian
    if hessian is None:
        hessian = negative_hessian(target, found.x)
    norm = float(np.abs(found.gradient).max())
    return Laplace(found.x, whitening_basis(hessian), found.value, norm)


def _search(target: Target) -> _Found:
    """BFGS from the moment estimate."""
    found = optimize.minimize(
        lambda x: tuple(-part for part in target(x)),
        target.start,
        jac=True,
        method="BFGS",
        options={"gtol": 1e-6},
    )
    return _Found(found.x, -float(found.fun), -np.asarray(found.jac), None)


def _newton(target: Target) -> _Found | None:
    """EM, then Newton with one Hessian, where an evaluation is dear; None if it fails.

    On InstEval 3 + 8 + 4 evaluations, against 25 or more of BFGS and 8 for the Hessian.
    """
    plain = all(term.structure in ("us", "diag") for term in target.terms)
    if not (target.statistics.in_steps and plain):
        return None
    x = _expectation_start(target)
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


def _expectation_start(target: Target) -> Float[np.ndarray, " m"]:
    """Coordinates after some steps of EM on the restricted likelihood.

    ``Sigma + Sigma H Sigma / J`` from the moment estimate, H of `marginal.likelihood`.
    """
    stats = target.statistics
    levels = {t: b.n_levels for b in stats.layout.blocks for t in b.terms}
    sigma = math.exp(target.start[0])
    relative = [factor[0] / sigma for factor in target.factors(target.start[None])]
    for _ in range(EM_STEPS):
        _, slopes = profiled_gradient(stats, relative)
        for t, (factor, slope) in enumerate(zip(relative, slopes, strict=True)):
            inner = factor.T @ slope / (2 * levels[t])
            inner = np.eye(len(factor)) - 0.5 * (inner + inner.T)
            if target.terms[t].structure == "diag":
                inner = np.diag(np.diag(inner))
            relative[t] = factor @ np.linalg.cholesky(inner)
    sigma = profiled_criterion(stats, relative).sigma
    parts = [
        factor_to_coordinates(term.structure, sigma * factor)
        for term, factor in zip(target.terms, relative, strict=True)
    ]
    return np.concatenate([[math.log(sigma)], *parts])


def negative_hessian(
    target: Target, x: Float[np.ndarray, " m"]
) -> Float[np.ndarray, "m m"]:
    """Minus the Hessian at x, by central differences of the gradient."""
    rows = []
    for i in range(x.size):
        step = np.zeros(x.size)
        step[i] = HESSIAN_STEP
        rows.append((target(x - step)[1] - target(x + step)[1]) / (2 * HESSIAN_STEP))
    hessian = np.array(rows)
    return 0.5 * (hessian + hessian.T)


def whitening_basis(hessian: Float[np.ndarray, "m m"]) -> Float[np.ndarray, "m m"]:
    """Root of the inverse curvature, with curvatures below the least one raised."""
    curvature, vectors = np.linalg.eigh(hessian)
    raised = (vectors * np.maximum(curvature, LEAST_CURVATURE)) @ vectors.T
    return np.linalg.inv(np.linalg.cholesky(raised)).T
