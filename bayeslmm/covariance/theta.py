"""Theta: relative covariance parameters, for point estimates.

lme4's for ``us`` and ``diag`` (entries of the factor, diagonal >= 0), so that the
boundary is an ordinary point. Others have SDs relative to sigma, then the correlations
as lme4 reports them, or, in the functions of angles, their angles.
"""

import math

import numpy as np
from jaxtyping import Float

from bayeslmm.covariance.structure import Structure


def theta_to_factor(
    structure: Structure, theta: Float[np.ndarray, " m"], k: int
) -> Float[np.ndarray, "k k"]:
    """Lower-triangular factor Lambda of the relative covariance, unit-free.

    Parameters
    ----------
    structure : Structure
        Structure of the covariance.
    theta : ndarray, shape (m,)
        For ``us`` the lower triangle by columns (lme4's order); else SDs relative to
        sigma, then the free correlations.
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
    if not structure.is_shared(k):
        return angle_to_factor(structure, theta, k)
    m = structure.n_sd(k)
    angles = structure.angles(theta[m:], k)
    return angle_to_factor(structure, np.append(theta[:m], angles), k)


def angle_start(structure: Structure, k: int) -> Float[np.ndarray, " m"]:
    """lme4's starting value: the identity factor."""
    if structure.unstructured:
        return np.eye(k)[np.triu_indices(k)]  # symmetric, so rows serve as columns
    angles = structure.angles(np.zeros(structure.n_corr(k)), k)
    return np.append(np.ones(structure.n_sd(k)), angles)


def angle_bounds(structure: Structure, k: int) -> list[tuple[float, float]]:
    """Lower and upper bound of each; the lower bound of an SD is 0."""
    if structure.unstructured:
        return [(0.0, np.inf) if i == j else (-np.inf, np.inf) for j, i in _columns(k)]
    bounds = [(0.0, np.inf)] * structure.n_sd(k)
    return bounds + [(0.0, math.pi)] * structure.n_corr(k)


def angle_to_factor(
    structure: Structure, theta: Float[np.ndarray, " m"], k: int
) -> Float[np.ndarray, "k k"]:
    """`theta_to_factor` of a theta that ends with the angles of its correlations."""
    if structure.unstructured:
        factor = np.zeros((k, k))
        for value, (j, i) in zip(theta, _columns(k), strict=True):
            factor[i, j] = value
        return factor
    sd, corr_factor = _split(structure, theta, k)
    return sd[:, None] * corr_factor


def angle_pullback(
    structure: Structure,
    theta: Float[np.ndarray, " m"],
    k: int,
    d_factor: Float[np.ndarray, "k k"],
) -> Float[np.ndarray, " m"]:
    """Gradient with respect to such a theta from that with respect to the factor."""
    if structure.unstructured:
        return np.array([d_factor[i, j] for j, i in _columns(k)])
    sd, corr_factor = _split(structure, theta, k)
    d_sd = (np.tril(d_factor) * corr_factor).sum(axis=1)
    if structure.homogeneous:
        d_sd = d_sd.sum(keepdims=True)
    d_corr = np.tril(d_factor) * sd[:, None]
    angles = theta[structure.n_sd(k) :]
    return np.append(d_sd, structure.corr_pullback(angles, d_corr, k))


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


def _columns(k: int) -> list[tuple[int, int]]:
    """(column, row) of the lower triangle by columns, lme4's order of theta."""
    return [(j, i) for j in range(k) for i in range(j, k)]


def _split(
    structure: Structure, theta: Float[np.ndarray, " m"], k: int
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, "k k"]]:
    """SDs, shape (k,), and factor of the correlations."""
    m = structure.n_sd(k)
    return np.broadcast_to(theta[:m], (k,)), structure.corr_factor(theta[m:], k)
