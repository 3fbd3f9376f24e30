"""Coordinates: unconstrained parameters of a covariance, for sampling.

Log SDs, then correlations through the tanh of the cosine of their angles: for ``us``
canonical partial correlations (Lewandowski, Kurowicka and Joe 2009).
"""

import math

import numpy as np
from jaxtyping import Float

from bayeslmm.covariance.structure import Structure, atanh_inside
from bayeslmm.covariance.theta import factor_to_sd_corr
from bayeslmm.covariance.us import factor_to_partials

# Correlations enter the sampling coordinates through atanh; a fit at the boundary is
# started this far inside it. Only a starting point: the mode is searched from there.
MAX_CORR = 0.99
# Beyond this exp overflows, and a correlation is +-1 to all digits.
FARTHEST = 700.0


def coordinates_to_factor(
    structure: Structure, x: Float[np.ndarray, " m"], k: int
) -> Float[np.ndarray, "k k"]:
    """Cholesky factor of the covariance at unconstrained coordinates.

    Parameters
    ----------
    structure : Structure
        Structure of the covariance.
    x : ndarray, shape (m,)
        log SDs (log units of y per unit of the column), then atanh of the canonical
        partial correlations (``us``, by rows), or of the scaled correlations.
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
    m = structure.n_sd(k)
    sd = np.broadcast_to(np.exp(x[:m]), (k,))
    return sd, structure.corr_factor(_angles(x[m:]), k)


def _angles(x: Float[np.ndarray, " c"]) -> Float[np.ndarray, " c"]:
    """Angles whose cosine is tanh(x)."""
    return 2.0 * np.arctan(np.exp(-np.clip(x, -FARTHEST, FARTHEST)))


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
    log_sd = np.log(np.maximum(sd[: structure.n_sd(k)], least))
    if structure.unstructured:
        partials = factor_to_partials(factor, k)
    else:
        known = np.nan_to_num(structure.correlations.read(corr))
        partials = np.cos(structure.angles(known, k))
    return np.append(log_sd, [atanh_inside(w, inside) for w in partials.tolist()])


def coordinates_pullback(
    structure: Structure,
    x: Float[np.ndarray, " m"],
    k: int,
    d_factor: Float[np.ndarray, "k k"],
) -> Float[np.ndarray, " m"]:
    """Gradient with respect to the coordinates from that with respect to L."""
    m = structure.n_sd(k)
    angles = _angles(x[m:])
    sd, corr_factor = coordinates_to_sd_corr(structure, x, k)
    d_corr = np.tril(d_factor) * sd[:, None]
    d_log_sd = (d_corr * corr_factor).sum(axis=1)
    gradient = d_log_sd if m == k else d_log_sd.sum(keepdims=True)
    d_angles = structure.corr_pullback(angles, d_corr, k)
    return np.append(gradient, -np.sin(angles) * d_angles)


def corr_logp(
    structure: Structure, x: Float[np.ndarray, " m"], k: int, eta: float
) -> tuple[float, Float[np.ndarray, " m"]]:
    """Log prior density of the correlation coordinates, with its gradient.

    ``us``: LKJ(eta) on the correlation matrix; others: on each cosine of an angle the
    symmetric Beta whose exponent is eta, which is LKJ(eta) for k = 2. Normalised, and
    with the Jacobian of tanh.

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
    m, logp = structure.n_sd(k), 0.0
    gradient = np.zeros(len(x))
    for c, b in enumerate(structure.exponents(k, eta), start=m):
        logp += b * _log_sech2(x[c]) - log_beta_constant(b)
        gradient[c] = -2.0 * b * math.tanh(x[c])
    return logp, gradient


def _log_sech2(z: float) -> float:
    """log(1 - tanh(z)**2), exact where tanh rounds to 1."""
    return 2.0 * (math.log(2.0) - abs(z) - math.log1p(math.exp(-2.0 * abs(z))))


def log_beta_constant(b: float) -> float:
    """Log normaliser of (1 - w**2)**(b - 1) on (-1, 1)."""
    return (2 * b - 1) * math.log(2.0) + 2 * math.lgamma(b) - math.lgamma(2 * b)
