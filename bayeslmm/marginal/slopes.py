"""Likelihood and criterion of structured residuals, with their gradients.

Takes a `Stack`, coordinates of the residuals' parameters, and what the likelihood of
independent residuals takes. With r = y - X beta - Z b and ``R^-1 = sum_p w_p S_p``,
Fisher's identity gives

    dlogp/dx = -1/2 [ dlog|R|/dx + sum_p dw_p/dx E(r'S_p r | y) / sigma**2 ],

the expectation over beta and b given y: the squares at their means, and traces of their
covariances, all from the cross-products of the pattern.
"""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from bayeslmm.marginal.elimination import (
    Elimination,
    eliminate,
    factor_gradients,
    projections,
)
from bayeslmm.marginal.fixed import (
    BetaPrior,
    degrees_left,
    log_density_given,
    profile_given,
    solve_beta,
)
from bayeslmm.marginal.kernels.blocked import coupled_covariances
from bayeslmm.marginal.layout import left
from bayeslmm.marginal.patterns import Weights
from bayeslmm.marginal.profile import profiled_criterion
from bayeslmm.marginal.stack import Stack
from bayeslmm.marginal.statistics import Factors, Projection, Slopes, Statistics


class Eliminated(NamedTuple):
    """One factorisation at a point, with what gradients need of it.

    Levels of the lead may be stand-ins: ``A`` and ``F`` are theirs by pattern, shapes
    (P, c, k, k) and (P, c, k, w), ``count`` how many levels each stands for.
    """

    stats: Statistics
    done: Elimination
    projected: tuple[Projection, ...]
    A: Float[np.ndarray, "p c k k"]
    F: Float[np.ndarray, "p c k w"]
    count: Float[np.ndarray, " c"]

    @classmethod
    def at(
        cls, stack: Stack, residual: Float[np.ndarray, " r"], relative: Factors
    ) -> "Eliminated":
        """At coordinates of the residuals and relative factors."""
        stats, few = stack.summed(residual), stack.few
        done = eliminate(stats, relative)
        projected = projections(stats, done)
        if few is None:
            ones = np.ones(len(stats.A))
            return cls(stats, done, projected, stack.A, stack.F, ones)
        if math.isfinite(done.log_det):
            done = replace(done, log_det=few.log_det(done.lead.root))
        Q, D = projected[0]
        projected = ((Q, few.count[:, None, None] * D),)
        return cls(stats, done, projected, few.A, few.F, few.count)

    @property
    def lead_response(self) -> Float[np.ndarray, "j k w"]:
        """Mean of the lead's effects given beta, by [X y]."""
        factor = self.done.factors[0]
        return (factor @ factor.T) @ self.projected[0][0]

    @property
    def rest_response(self) -> Float[np.ndarray, "m w"]:
        """The same of the rest."""
        return left(self.done.kappa, self.stats.rest, self.done.factors[1:])

    def lead_covariance(self) -> Float[np.ndarray, "j k k"]:
        """Covariance of the lead's effects of each level given beta, over sigma**2.

        Of a stand-in the sum over its levels.
        """
        factor = self.done.factors[0]
        spread = factor @ factor.T
        whole = self.count[:, None, None] * spread
        return whole - spread @ self.projected[0][1] @ factor.T

    def rest_covariance(self) -> Float[np.ndarray, "m m"]:
        """The same of all effects of the rest."""
        stats, factors = self.stats, self.done.factors[1:]
        schur = self.done.schur
        inverse = schur.solve_transposed(schur.solve(np.eye(stats.m)))
        half = left(inverse, stats.rest, factors)
        return left(half.T, stats.rest, factors)


def expected_squares(
    stack: Stack, at: Eliminated, weight: Float[np.ndarray, "w w"], sigma: float
) -> Float[np.ndarray, " p"]:
    """``E(r'S_p r | y) / sigma**2`` of each pattern.

    `weight` is the mean of gamma gamma', gamma = (-beta, 1).
    """
    K = weight / sigma**2
    B = at.lead_response
    BK = B @ K
    A = at.lead_covariance() + BK @ B.swapaxes(1, 2)
    found = _dots(stack.WW, K) - 2.0 * _dots(at.F, BK) + _dots(at.A, A)
    if not stack.layout.m:
        return found
    b = at.rest_response
    bK, rest = b @ K, at.rest_covariance()
    found -= 2.0 * _dots(stack.Fr, bK)
    found += _dots(stack.R, rest + bK @ b.T)
    rows = np.repeat(np.arange(len(B)), np.diff(stack.indptr))
    between = np.einsum("ekw,ew->ek", B[rows], bK[stack.columns])
    coupled_covariances(
        *(stack.indptr, stack.columns, at.done.lead.factor, at.done.lead.root),
        *(at.done.lead.V, np.ascontiguousarray(rest), between),
    )
    return found + 2.0 * _dots(stack.B, between)


def _dots(
    stacked: Float[np.ndarray, "p ..."], other: Float[np.ndarray, "..."]
) -> Float[np.ndarray, " p"]:
    """Inner product of each with the same array."""
    return stacked.reshape(len(stacked), -1) @ other.ravel()


def pattern_grams(stack: Stack, at: Eliminated) -> Float[np.ndarray, "p w w"]:
    """Derivative of ``[X y]'V0^-1[X y]`` by the weight of each pattern."""
    P, w, B = len(stack.WW), stack.WW.shape[1], at.lead_response
    flat = B.reshape(-1, w)
    half = at.F.reshape(P, -1, w).swapaxes(1, 2) @ flat
    AB = (at.A @ B).reshape(P, -1, w)
    found = stack.WW - half - half.swapaxes(1, 2) + flat.T @ AB
    if not stack.layout.m:
        return found
    b = at.rest_response
    half = stack.Fr.swapaxes(1, 2) @ b
    found += b.T @ stack.R @ b - half - half.swapaxes(1, 2)
    rows = np.repeat(np.arange(len(B)), np.diff(stack.indptr))
    half = np.einsum("pek,ekv,ew->pvw", stack.B, B[rows], b[stack.columns])
    return found + half + half.swapaxes(1, 2)


def residual_grams(
    stack: Stack, residual: Float[np.ndarray, " r"], relative: Factors
) -> Float[np.ndarray, "r w w"]:
    """Derivative of ``[X y]'V0^-1[X y]`` by each of the residuals' coordinates."""
    grams = pattern_grams(stack, Eliminated.at(stack, residual, relative))
    return np.tensordot(stack.law.at(residual).slopes, grams, 1)


def residual_slopes(
    law: Weights, squares: Float[np.ndarray, " p"]
) -> Float[np.ndarray, " r"]:
    """Derivative of minus twice the log density by the residuals' coordinates."""
    return law.log_det_slopes + law.slopes @ squares


def structured_density_gradient(
    stack: Stack,
    residual: Float[np.ndarray, " r"],
    factors: Factors,
    sigma: float,
    prior: BetaPrior | None = None,
) -> tuple[float, Slopes, float, Float[np.ndarray, " r"]]:
    """Log marginal density with its gradient, as `log_density_gradient` has it.

    Parameters
    ----------
    stack : Stack
        Cross-products by pattern.
    residual : ndarray, shape (r,)
        Coordinates of the residuals' parameters.
    factors, sigma, prior
        As for `log_density`.

    Returns
    -------
    value : float
        The log density; NaN where a factorisation breaks down.
    d_factors : tuple of ndarray, shape (k_t, k_t)
        Derivatives by the entries of each L_t.
    d_log_sigma : float
        Derivative by log sigma.
    d_residual : ndarray, shape (r,)
        Derivatives by the residuals' coordinates.
    """
    at = Eliminated.at(stack, residual, [factor / sigma for factor in factors])
    stats, done = at.stats, at.done
    fixed = solve_beta(done.G, sigma, prior)
    value = log_density_given(stats.sums, done.log_det, fixed, sigma, prior)
    slopes = factor_gradients(stats, done, at.projected, fixed.weight, sigma)
    trace = sum(
        float((d * np.tril(L)).sum()) for d, L in zip(slopes, factors, strict=True)
    )
    quad = float((fixed.weight * done.G).sum()) / sigma**2
    squares = expected_squares(stack, at, fixed.weight, sigma)
    own = -0.5 * residual_slopes(stack.law.at(residual), squares)
    return value, slopes, quad - stats.n - trace, own


def structured_profile_gradient(
    stack: Stack,
    residual: Float[np.ndarray, " r"],
    relative: Factors,
    *,
    restricted: bool,
) -> tuple[float, Slopes, Float[np.ndarray, " r"]]:
    """Profiled criterion with its gradient, as `profiled_gradient` has it.

    Last are the derivatives by the residuals' coordinates.
    """
    at = Eliminated.at(stack, residual, relative)
    stats, done = at.stats, at.done
    found = profile_given(stats.sums, done.log_det, done.G, restricted=restricted)
    own = factor_gradients(stats, done, at.projected, found.weight, found.sigma)
    squares = expected_squares(stack, at, found.weight, found.sigma)
    last = residual_slopes(stack.law.at(residual), squares)
    return found.criterion, tuple(-2.0 * found.sigma * d for d in own), last


def residual_log_sigma_slopes(
    stack: Stack,
    residual: Float[np.ndarray, " r"],
    relative: Factors,
    *,
    restricted: bool,
) -> Float[np.ndarray, " r"]:
    """Derivative of the log of the profiled sigma by the residuals' coordinates."""
    found = profiled_criterion(stack.at(residual), relative, restricted=restricted)
    gamma = np.append(-found.beta, 1.0)
    dof = degrees_left(stack.at(residual).sums, restricted=restricted)
    moved = residual_grams(stack, residual, relative)
    return gamma @ moved @ gamma / (2.0 * dof * found.sigma**2)
