"""The fixed effects given the covariance, at many points and under several priors.

Takes what `gram` gives at each point; gives the log density and the law of the fixed
effects there. One factorisation of V serves every prior of the fixed effects.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayeslmm.marginal.fixed import BetaPrior, beta_arrays
from bayeslmm.marginal.sums import Sums


@dataclass(frozen=True, slots=True)
class Grams:
    """What is left of the data at n points, fixed effects still to be integrated.

    Attributes
    ----------
    log_det : ndarray, shape (n,)
        ``log |V0|`` but for weights.
    G : ndarray, shape (n, p + 1, p + 1)
        ``[X y]'V0^-1[X y]``.
    sigma : ndarray, shape (n,)
        Residual SD, with ``V = sigma**2 V0``.
    """

    log_det: Float[np.ndarray, " n"]
    G: Float[np.ndarray, "n w w"]
    sigma: Float[np.ndarray, " n"]


@dataclass(frozen=True, slots=True)
class ManyCoefficients:
    """Log density, and mean and covariance of the fixed effects, at n points."""

    log_density: Float[np.ndarray, " n"]
    beta: Float[np.ndarray, "n p"]
    covariance: Float[np.ndarray, "n p p"]


def many_coefficients(
    sums: Sums, grams: Grams, prior: BetaPrior | None
) -> ManyCoefficients:
    """The same as `density_with_coefficients`, at all points at once.

    Points whose precision of the fixed effects is not positive definite have a log
    density of minus infinity.
    """
    p = sums.p
    precision0, mean0, (n, constant) = beta_arrays(sums, prior)
    shift = precision0 @ mean0
    scaled = grams.G / (grams.sigma**2)[:, None, None]
    precision = scaled[:, :p, :p] + precision0
    rhs = scaled[:, :p, p] + shift
    quad = scaled[:, p, p] + float(mean0 @ shift)
    sign, log_det = np.linalg.slogdet(precision)
    good = (sign > 0.0) & np.isfinite(log_det)
    covariance = np.linalg.inv(np.where(good[:, None, None], precision, np.eye(p)))
    beta = (covariance @ rhs[..., None])[..., 0]
    quad = quad - np.einsum("np,np->n", beta, rhs)
    moving = grams.log_det + 2.0 * n * np.log(grams.sigma) + log_det + quad
    value = np.where(good & np.isfinite(moving), constant - 0.5 * moving, -math.inf)
    return ManyCoefficients(value, beta, covariance)
