"""The fixed effects given the covariance: their law, and what is left without them.

Takes `Sums` and ``G = [X y]'V0^-1[X y]`` with the log determinant of V0 (V = sigma**2
V0), gives the coefficients under a Normal or flat prior with the log density, or sigma
and beta at their best: the profile.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayeslmm.marginal.kernels import algebra
from bayeslmm.marginal.sums import Sums

LOG_2PI = math.log(2.0 * math.pi)


@dataclass(frozen=True, slots=True)
class BetaPrior:
    """Normal prior of the fixed effects; directions of zero precision are flat.

    Attributes
    ----------
    mean : ndarray, shape (p,)
        Prior mean, units of the coefficients.
    precision : ndarray, shape (p, p)
        Inverse covariance; may be singular.
    log_det : float
        Log pseudo-determinant of the precision: log |S0^-1| of its proper part, in the
        coordinates in which the prior was stated.
    n_proper : int
        Number of coefficients whose prior is proper.
    """

    mean: Float[np.ndarray, " p"]
    precision: Float[np.ndarray, "p p"]
    log_det: float
    n_proper: int


@dataclass(frozen=True, slots=True)
class Coefficients:
    """Fixed effects given the covariance: mean, covariance, and what they cost.

    ``quad`` is ``y'V^-1y + m0'P0m0 - bhat'C^-1 bhat``; ``log_det`` is ``log|C^-1|``.
    """

    beta: Float[np.ndarray, " p"]
    covariance: Float[np.ndarray, "p p"]
    log_det: float
    quad: float

    @property
    def weight(self) -> Float[np.ndarray, "w w"]:
        """Gamma gamma' with gamma = (-beta, 1), the covariance of beta added."""
        gamma = np.append(-self.beta, 1.0)
        weight = np.outer(gamma, gamma)
        weight[:-1, :-1] += self.covariance
        return weight


@dataclass(frozen=True, slots=True)
class Profile:
    """Criterion with sigma and beta at their best for the given relative factors.

    ``weight`` is gamma gamma' with gamma = (-beta, 1), under REML with the covariance
    of beta added to it.
    """

    criterion: float
    sigma: float
    beta: Float[np.ndarray, " p"]
    weight: Float[np.ndarray, "w w"]


def solve_beta(
    G: Float[np.ndarray, "w w"], sigma: float, prior: BetaPrior | None
) -> Coefficients:
    """Fixed effects given the covariance, from ``G = [X y]'V0^-1[X y]``.

    NaN throughout if X has linearly dependent columns there (the design refuses those).
    """
    scaled = G / sigma**2
    precision, rhs, quad = scaled[:-1, :-1], scaled[:-1, -1], float(scaled[-1, -1])
    if prior is not None:
        shift = prior.precision @ prior.mean
        precision, rhs = precision + prior.precision, rhs + shift
        quad += float(prior.mean @ shift)
    covariance, beta = np.array(precision), np.array(rhs)
    log_det, quad = algebra.solve_normal(covariance, beta, quad)
    return Coefficients(beta, covariance, log_det, quad)


def draw_beta(
    G: Float[np.ndarray, "w w"],
    sigma: float,
    z: Float[np.ndarray, " p"],
    prior: BetaPrior | None,
) -> Float[np.ndarray, " p"]:
    """One draw of the fixed effects given the variances, from standard normals z."""
    fixed = solve_beta(G, sigma, prior)
    return fixed.beta + np.linalg.cholesky(fixed.covariance) @ z


def draw_betas(
    G: Float[np.ndarray, "s w w"],
    sigma: Float[np.ndarray, " s"],
    z: Float[np.ndarray, "s p"],
    prior: BetaPrior | None,
) -> Float[np.ndarray, "s p"]:
    """The same of many draws at once."""
    scaled = G / np.square(sigma)[:, None, None]
    precision, rhs = scaled[:, :-1, :-1], scaled[:, :-1, -1]
    if prior is not None:
        precision = precision + prior.precision
        rhs = rhs + prior.precision @ prior.mean
    if not z.shape[1]:
        return np.empty(z.shape)
    covariance = np.linalg.inv(precision)
    root = np.linalg.cholesky(0.5 * (covariance + covariance.swapaxes(1, 2)))
    return (covariance @ rhs[..., None] + root @ z[..., None])[..., 0]


def beta_arrays(
    sums: Sums, prior: BetaPrior | None
) -> tuple[Float[np.ndarray, "p p"], Float[np.ndarray, " p"], Float[np.ndarray, " 2"]]:
    """Precision and mean of beta's prior as the kernels take them, and two constants.

    These are n and the terms of the log density that no parameter moves.
    """
    if prior is None:
        precision, mean = np.zeros((sums.p, sums.p)), np.zeros(sums.p)
    else:
        precision, mean = prior.precision, prior.mean
    return precision, mean, np.array([float(sums.n), 0.5 * _constant(sums, prior)])


def _constant(sums: Sums, prior: BetaPrior | None) -> float:
    """Twice the terms of the log density that no parameter moves."""
    n_flat = sums.p - (prior.n_proper if prior else 0)
    log_det_prior = prior.log_det if prior else 0.0
    return sums.log_weights + log_det_prior - (sums.n - n_flat) * LOG_2PI


def log_density_given(
    sums: Sums,
    log_det: float,
    fixed: Coefficients,
    sigma: float,
    prior: BetaPrior | None,
) -> float:
    """Log density from the pieces: the formula of the module `likelihood`."""
    moving = log_det + 2.0 * sums.n * math.log(sigma) + fixed.log_det + fixed.quad
    return 0.5 * (_constant(sums, prior) - moving)


def profile_given(
    sums: Sums, log_det: float, G: Float[np.ndarray, "w w"], *, restricted: bool
) -> Profile:
    """Criterion, sigma and beta at their best, from the pieces."""
    w = len(G)
    dof = degrees_left(sums, restricted=restricted)
    beta, weight = np.empty(w - 1), np.empty((w, w))
    covariance = np.empty((w - 1, w - 1))
    log_det_beta, sigma2 = algebra.solve_profile(
        G, dof, restricted, beta, covariance, weight
    )
    if not sigma2 > 0.0:
        return Profile(math.nan, math.nan, beta, weight)
    criterion = log_det - sums.log_weights
    criterion += dof * (1.0 + LOG_2PI + math.log(sigma2))
    if restricted:
        criterion += log_det_beta
    return Profile(criterion, math.sqrt(sigma2), beta, weight)


def degrees_left(sums: Sums, *, restricted: bool) -> int:
    """Rows, under REML less the fixed effects."""
    return sums.n - sums.p if restricted else sums.n
