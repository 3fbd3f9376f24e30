"""Theta: relative covariance parameters, for point estimates.

lme4's for ``us`` and ``diag`` (entries of the factor, diagonal >= 0), so that the
boundary is an ordinary point.
"""

import numpy as np
from jaxtyping import Float

from bayeslmm.covariance.correlation import corr_factor, corr_factor_slope, corr_low
from bayeslmm.covariance.structures import (
    Structure,
    is_homogeneous,
    n_corr,
    n_sd,
    n_theta,
)


def theta_start(structure: Structure, k: int) -> Float[np.ndarray, " m"]:
    """lme4's starting value: the identity factor."""
    if structure == "us":
        return np.eye(k)[np.triu_indices(k)]  # symmetric, so rows serve as columns
    start = np.zeros(n_theta(structure, k))
    start[: n_sd(structure, k)] = 1.0
    return start


def theta_bounds(structure: Structure, k: int) -> list[tuple[float, float]]:
    """Lower and upper bound of each theta; the lower bound of an SD is 0."""
    if structure == "us":
        return [(0.0, np.inf) if i == j else (-np.inf, np.inf) for j, i in _columns(k)]
    bounds = [(0.0, np.inf)] * n_sd(structure, k)
    return bounds + [(corr_low(structure, k), 1.0)] * n_corr(structure, k)


def theta_to_factor(
    structure: Structure, theta: Float[np.ndarray, " m"], k: int
) -> Float[np.ndarray, "k k"]:
    """Lower-triangular factor Lambda of the relative covariance, unit-free.

    Parameters
    ----------
    structure : {"us", "diag", "cs", "ar1", "homdiag", "homcs", "hetar1"}
        Structure of the covariance.
    theta : ndarray, shape (m,)
        For ``us`` the lower triangle by columns (lme4's order); else SDs relative to
        sigma, then the correlation of ``cs`` and ``ar1``.
    k : int
        Effects per level.

    Returns
    -------
    ndarray, shape (k, k)
        Lambda, with Lambda Lambda' the covariance in units of sigma**2.

    References
    ----------
    .. [1] Bates et al. (2015). J. Stat. Softw. 67(1). https://doi.org/10.18637/jss.v067.i01
    """
    if structure == "us":
        factor = np.zeros((k, k))
        for value, (j, i) in zip(theta, _columns(k), strict=True):
            factor[i, j] = value
        return factor
    sd, rho = _split(structure, theta, k)
    return sd[:, None] * corr_factor(structure, rho, k)


def theta_pullback(
    structure: Structure,
    theta: Float[np.ndarray, " m"],
    k: int,
    d_factor: Float[np.ndarray, "k k"],
) -> Float[np.ndarray, " m"]:
    """Gradient with respect to theta from the gradient with respect to Lambda."""
    if structure == "us":
        return np.array([d_factor[i, j] for j, i in _columns(k)])
    sd, rho = _split(structure, theta, k)
    d_sd = (np.tril(d_factor) * corr_factor(structure, rho, k)).sum(axis=1)
    gradient = [d_sd.sum()] if is_homogeneous(structure) else list(d_sd)
    if n_corr(structure, k):
        d_corr = np.tril(d_factor) * sd[:, None]
        gradient.append(float((d_corr * corr_factor_slope(structure, rho, k)).sum()))
    return np.array(gradient)


def factor_to_sd_corr(
    factor: Float[np.ndarray, "k k"],
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, "k k"]]:
    """SDs and correlations of the covariance that `factor` is a root of.

    A zero SD has no correlations: they are NaN, as in lme4.
    """
    covariance = factor @ factor.T
    sd = np.sqrt(np.diag(covariance))
    with np.errstate(invalid="ignore", divide="ignore"):
        corr = covariance / np.outer(sd, sd)
    np.fill_diagonal(corr, 1.0)
    return sd, corr


def shared_corr(structure: Structure, corr: Float[np.ndarray, "k k"]) -> float:
    """The one correlation of cs or ar1, from those of effects that have an SD.

    NaN without two of them. Where ``ar1`` has only effects an even number of steps
    apart, rho and -rho are the same covariance: it is the positive one.
    """
    row, column = np.tril_indices(len(corr), -1)
    held = np.isfinite(corr[row, column])
    if not held.any():
        return float("nan")
    lag, found = (row - column)[held], corr[row, column][held]
    if structure in ("cs", "homcs"):
        return float(found[0])
    nearest, odd = np.argmin(lag), found[lag % 2 == 1]
    size = abs(float(found[nearest])) ** (1.0 / lag[nearest])
    return -size if odd.size and odd[0] < 0.0 else size


def _columns(k: int) -> list[tuple[int, int]]:
    """(column, row) of the lower triangle by columns, lme4's order of theta."""
    return [(j, i) for j in range(k) for i in range(j, k)]


def _split(
    structure: Structure, theta: Float[np.ndarray, " m"], k: int
) -> tuple[Float[np.ndarray, " k"], float]:
    """SDs, shape (k,), and the one correlation of a structured theta."""
    m = n_sd(structure, k)
    sd = np.full(k, theta[0]) if m == 1 else np.asarray(theta[:m])
    return sd, float(theta[m]) if n_corr(structure, k) else 0.0
