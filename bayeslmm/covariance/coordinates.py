"""Coordinates: unconstrained parameters of a covariance, for sampling.

Log SDs, then correlations through tanh of canonical partial correlations (Lewandowski,
Kurowicka and Joe 2009).
"""

import math

import numpy as np
from jaxtyping import Float

from bayeslmm.covariance.correlation import (
    corr_factor,
    corr_factor_slope,
    corr_low,
    factor_to_partials,
    partials_pullback,
    partials_to_factor,
)
from bayeslmm.covariance.structures import Structure, n_corr, n_sd
from bayeslmm.covariance.theta import factor_to_sd_corr, shared_corr

# Correlations enter the sampling coordinates through atanh; a fit at the boundary is
# started this far inside it. Only a starting point: the mode is searched from there.
MAX_CORR = 0.99


def coordinates_to_factor(
    structure: Structure, x: Float[np.ndarray, " m"], k: int
) -> Float[np.ndarray, "k k"]:
    """Cholesky factor of the covariance at unconstrained coordinates.

    Parameters
    ----------
    structure : {"us", "diag", "cs", "ar1", "homdiag", "homcs", "hetar1"}
        Structure of the covariance.
    x : ndarray, shape (m,)
        log SDs (log units of y per unit of the column), then atanh of the canonical
        partial correlations (``us``, by rows), or of the scaled correlation.
    k : int
        Effects per level.

    Returns
    -------
    ndarray, shape (k, k)
        L, with L L' the covariance.
    """
    sd, corr_factor = coordinates_to_sd_corr(structure, x, k)
    return sd[:, None] * corr_factor


def coordinates_to_sd_corr(
    structure: Structure, x: Float[np.ndarray, " m"], k: int
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, "k k"]]:
    """SDs, shape (k,), and Cholesky factor of the correlations, shape (k, k)."""
    m = n_sd(structure, k)
    sd = np.exp(x[:m]) if m == k else np.full(k, math.exp(x[0]))
    if structure == "us":
        return sd, partials_to_factor(np.tanh(x[m:]), k)
    if not n_corr(structure, k):
        return sd, np.eye(k)
    low = corr_low(structure, k)
    rho = low + (1.0 - low) * 0.5 * (1.0 + math.tanh(x[m]))
    return sd, corr_factor(structure, rho, k)


def factor_to_coordinates(
    structure: Structure,
    factor: Float[np.ndarray, "k k"],
    least: Float[np.ndarray, " _s"],
    *,
    inside: float = MAX_CORR,
) -> Float[np.ndarray, " m"]:
    """Coordinates of a factor, moved inside where it lies on the boundary.

    The inverse of `coordinates_to_factor` wherever no SD is below its entry of `least`,
    in its own units, and no partial correlation beyond `inside`.
    """
    k = factor.shape[0]
    sd, corr = factor_to_sd_corr(factor)
    log_sd = np.log(np.maximum(sd[: n_sd(structure, k)], least))
    if not n_corr(structure, k):
        return log_sd
    if structure == "us":
        partials = factor_to_partials(factor, k)
        return np.append(log_sd, np.arctanh(np.clip(partials, -inside, inside)))
    low, rho = corr_low(structure, k), shared_corr(structure, corr)
    rho = 0.0 if math.isnan(rho) else rho
    scaled = 2.0 * (rho - low) / (1.0 - low) - 1.0
    return np.append(log_sd, math.atanh(min(max(scaled, -inside), inside)))


def coordinates_pullback(
    structure: Structure,
    x: Float[np.ndarray, " m"],
    k: int,
    d_factor: Float[np.ndarray, "k k"],
) -> Float[np.ndarray, " m"]:
    """Gradient with respect to the coordinates from that with respect to L."""
    m = n_sd(structure, k)
    sd, corr_factor = coordinates_to_sd_corr(structure, x, k)
    d_corr = np.tril(d_factor) * sd[:, None]
    d_log_sd = (d_corr * corr_factor).sum(axis=1)
    gradient = d_log_sd if m == k else d_log_sd.sum(keepdims=True)
    if structure == "us":
        partials = np.tanh(x[m:])
        d_partials = partials_pullback(partials, corr_factor, d_corr, k)
        return np.append(gradient, d_partials * (1.0 - partials**2))
    if not n_corr(structure, k):
        return gradient
    low, t = corr_low(structure, k), math.tanh(x[m])
    rho = low + (1.0 - low) * 0.5 * (1.0 + t)
    slope = 0.5 * (1.0 - low) * (1.0 - t * t)
    d_rho = float((d_corr * corr_factor_slope(structure, rho, k)).sum())
    return np.append(gradient, d_rho * slope)


def corr_logp(
    structure: Structure, x: Float[np.ndarray, " m"], k: int, eta: float
) -> tuple[float, Float[np.ndarray, " m"]]:
    """Log prior density of the correlation coordinates, with its gradient.

    ``us``: LKJ(eta) on the correlation matrix; ``cs`` and ``ar1``: the symmetric Beta
    on the allowed range of rho whose exponent is eta, which is LKJ(eta) for k = 2.
    Normalised, and with the Jacobian of tanh.

    Returns
    -------
    logp : float
        Log density with respect to the coordinates.
    gradient : ndarray, shape (m,)
        Zero for the log SDs.

    References
    ----------
    .. [1] Lewandowski, Kurowicka and Joe (2009). J. Multivar. Anal. 100(9).
       https://doi.org/10.1016/j.jmva.2009.04.008
    """
    m, logp = n_sd(structure, k), 0.0
    gradient = np.zeros(len(x))
    n = n_corr(structure, k)
    for c, b in enumerate(
        partial_exponents(k, eta) if structure == "us" else [eta] * n
    ):
        t = math.tanh(x[m + c])
        logp += b * _log_sech2(x[m + c]) - log_beta_constant(b)
        gradient[m + c] = -2.0 * b * t
    return logp, gradient


def partial_exponents(k: int, eta: float) -> list[float]:
    """Exponent b of (1 - w**2)**(b - 1) of each partial correlation under LKJ(eta).

    By rows of the strict lower triangle, the order of the coordinates.
    """
    return [eta + 0.5 * (k - 2 - j) for i in range(1, k) for j in range(i)]


def _log_sech2(z: float) -> float:
    """log(1 - tanh(z)**2), exact where tanh rounds to 1."""
    return 2.0 * (math.log(2.0) - abs(z) - math.log1p(math.exp(-2.0 * abs(z))))


def log_beta_constant(b: float) -> float:
    """Log normaliser of (1 - w**2)**(b - 1) on (-1, 1)."""
    return (2 * b - 1) * math.log(2.0) + 2 * math.lgamma(b) - math.lgamma(2 * b)
