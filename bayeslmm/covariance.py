"""Covariance of the random effects of one term: theta <-> Lambda <-> (sd, corr).

Takes the k x k structures of lme4 2.0 (``us``, ``diag``, ``cs``, ``ar1``, and their
``hom``/``het`` variants) and gives Cholesky factors, their inverses and pullbacks
(the chain rule from a gradient with respect to the factor). Two parametrisations:

* **theta**, for point estimates: lme4's relative parameters for ``us`` and ``diag``
  (entries of the factor, diagonal >= 0), so that the boundary is an ordinary point;
* **coordinates**, for sampling: log SDs, then correlations through tanh of canonical
  partial correlations (Lewandowski, Kurowicka and Joe 2009), so that the space is
  unbounded.

The loops are scalar on purpose: k is small, and numba compiles them as they stand.
Needs numpy only.
"""

import math
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float

Structure = Literal["us", "diag", "cs", "ar1", "homdiag", "homcs", "hetar1"]
STRUCTURES: tuple[Structure, ...] = get_args(Structure)

# Correlations enter the sampling coordinates through atanh; a fit at the boundary is
# started this far inside it. Only a starting point: the mode is searched from there.
MAX_CORR = 0.99
MIN_SD_RATIO = 1e-4


def is_homogeneous(structure: Structure) -> bool:
    """Whether all effects of a level share one SD."""
    return structure in ("homdiag", "homcs", "ar1")


def n_sd(structure: Structure, k: int) -> int:
    """Number of free SDs of a term with k effects."""
    return 1 if is_homogeneous(structure) else k


def n_corr(structure: Structure, k: int) -> int:
    """Number of free correlations of a term with k effects."""
    if k == 1 or structure in ("diag", "homdiag"):
        return 0
    return k * (k - 1) // 2 if structure == "us" else 1


def n_theta(structure: Structure, k: int) -> int:
    """Number of variance parameters of a term with k effects."""
    return n_sd(structure, k) + n_corr(structure, k)


# --- theta: relative covariance parameters, for point estimates ---------------------


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
    return bounds + [(_corr_low(structure, k), 1.0)] * n_corr(structure, k)


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
    return sd[:, None] * _corr_factor(structure, rho, k)


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
    corr_factor = _corr_factor(structure, rho, k)
    d_sd = (np.tril(d_factor) * corr_factor).sum(axis=1)
    gradient = [d_sd.sum()] if is_homogeneous(structure) else list(d_sd)
    if n_corr(structure, k):
        d_corr = np.tril(d_factor) * sd[:, None]
        gradient.append(float((d_corr * _corr_factor_slope(structure, rho, k)).sum()))
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


# --- coordinates: unconstrained, for sampling ---------------------------------------


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
        return sd, _partials_to_factor(np.tanh(x[m:]), k)
    if not n_corr(structure, k):
        return sd, np.eye(k)
    low = _corr_low(structure, k)
    rho = low + (1.0 - low) * 0.5 * (1.0 + math.tanh(x[m]))
    return sd, _corr_factor(structure, rho, k)


def factor_to_coordinates(
    structure: Structure, factor: Float[np.ndarray, "k k"]
) -> Float[np.ndarray, " m"]:
    """Coordinates of a factor, moved inside where it lies on the boundary.

    The inverse of `coordinates_to_factor` wherever no SD is below ``MIN_SD_RATIO`` of
    the largest and no partial correlation beyond ``MAX_CORR``.
    """
    k = factor.shape[0]
    sd, corr = factor_to_sd_corr(factor)
    sd = np.maximum(sd, MIN_SD_RATIO * max(sd.max(), MIN_SD_RATIO))
    log_sd = np.log(sd[: n_sd(structure, k)])
    if not n_corr(structure, k):
        return log_sd
    corr = np.nan_to_num(corr, nan=0.0)
    if structure == "us":
        partials = _factor_to_partials(factor, k)
        return np.append(log_sd, np.arctanh(np.clip(partials, -MAX_CORR, MAX_CORR)))
    low = _corr_low(structure, k)
    scaled = 2.0 * (corr[1, 0] - low) / (1.0 - low) - 1.0
    return np.append(log_sd, math.atanh(min(max(scaled, -MAX_CORR), MAX_CORR)))


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
        d_partials = _partials_pullback(partials, corr_factor, d_corr, k)
        return np.append(gradient, d_partials * (1.0 - partials**2))
    if not n_corr(structure, k):
        return gradient
    low, t = _corr_low(structure, k), math.tanh(x[m])
    rho = low + (1.0 - low) * 0.5 * (1.0 + t)
    slope = 0.5 * (1.0 - low) * (1.0 - t * t)
    d_rho = float((d_corr * _corr_factor_slope(structure, rho, k)).sum())
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
    for c in range(n_corr(structure, k)):
        b = eta + (0.5 * (k - 2 - _row_columns(k)[c][1]) if structure == "us" else 0.0)
        t = math.tanh(x[m + c])
        logp += b * _log_sech2(x[m + c]) - _log_beta_constant(b)
        gradient[m + c] = -2.0 * b * t
    return logp, gradient


def _log_sech2(z: float) -> float:
    """log(1 - tanh(z)**2), exact where tanh rounds to 1."""
    return 2.0 * (math.log(2.0) - abs(z) - math.log1p(math.exp(-2.0 * abs(z))))


def _log_beta_constant(b: float) -> float:
    """Log normaliser of (1 - w**2)**(b - 1) on (-1, 1)."""
    return (2 * b - 1) * math.log(2.0) + 2 * math.lgamma(b) - math.lgamma(2 * b)


# --- correlation factors --------------------------------------------------------------


def _columns(k: int) -> list[tuple[int, int]]:
    """(column, row) of the lower triangle by columns, lme4's order of theta."""
    return [(j, i) for j in range(k) for i in range(j, k)]


def _row_columns(k: int) -> list[tuple[int, int]]:
    """(row, column) of the strict lower triangle by rows, order of the partials."""
    return [(i, j) for i in range(1, k) for j in range(i)]


def _split(
    structure: Structure, theta: Float[np.ndarray, " m"], k: int
) -> tuple[Float[np.ndarray, " k"], float]:
    """SDs, shape (k,), and the one correlation of a structured theta."""
    m = n_sd(structure, k)
    sd = np.full(k, theta[0]) if m == 1 else np.asarray(theta[:m])
    return sd, float(theta[m]) if n_corr(structure, k) else 0.0


def _corr_low(structure: Structure, k: int) -> float:
    """Smallest correlation that a structure allows."""
    return -1.0 / (k - 1) if structure in ("cs", "homcs") else -1.0


def _corr_factor(structure: Structure, rho: float, k: int) -> Float[np.ndarray, "k k"]:
    """Cholesky factor of the cs or ar1 correlation matrix, closed form."""
    if structure in ("diag", "homdiag") or k == 1:
        return np.eye(k)
    if structure in ("ar1", "hetar1"):
        lag = np.subtract.outer(np.arange(k), np.arange(k))
        factor = np.tril(rho ** np.abs(lag)) * math.sqrt(max(1.0 - rho**2, 0.0))
        factor[:, 0] = rho ** np.arange(k)
        return factor
    return _cs_factor(rho, k)


def _cs_factor(rho: float, k: int) -> Float[np.ndarray, "k k"]:
    """Cholesky factor of (1 - rho) I + rho 11': constant below the diagonal."""
    factor = np.zeros((k, k))
    used = 0.0  # sum of squares to the left of the diagonal
    for j in range(k):
        pivot = math.sqrt(max(1.0 - used, 0.0))
        below = (rho - used) / pivot if pivot > 0.0 else 0.0
        factor[j, j] = pivot
        factor[j + 1 :, j] = below
        used += below**2
    return factor


def _corr_factor_slope(
    structure: Structure, rho: float, k: int
) -> Float[np.ndarray, "k k"]:
    """Derivative of `_corr_factor` with respect to rho, by its complex step.

    Both factors are analytic in rho inside the allowed range, so a complex step gives
    the derivative to rounding without a formula to maintain; at the boundary of the
    range it is taken just inside.
    """
    low = _corr_low(structure, k)
    margin = 1e-9 * (1.0 - low)
    inside = min(max(rho, low + margin), 1.0 - margin)
    step = 1e-30
    return np.imag(_complex_corr_factor(structure, complex(inside, step), k)) / step


def _complex_corr_factor(structure: Structure, rho: complex, k: int) -> np.ndarray:
    """`_corr_factor` at a complex rho."""
    corr = np.full((k, k), rho)
    if structure in ("ar1", "hetar1"):
        lag = np.abs(np.subtract.outer(np.arange(k), np.arange(k)))
        corr = rho**lag
    np.fill_diagonal(corr, 1.0)
    factor = np.zeros((k, k), complex)
    for j in range(k):
        left = factor[j:, :j] @ factor[j, :j]  # no conjugate: analytic in rho
        column = corr[j:, j] - left
        factor[j:, j] = column / np.sqrt(column[0])
    return factor


def _partials_to_factor(
    partials: Float[np.ndarray, " c"], k: int
) -> Float[np.ndarray, "k k"]:
    """Cholesky factor of a correlation matrix from canonical partial correlations."""
    factor = np.zeros((k, k))
    factor[0, 0] = 1.0
    c = 0
    for i in range(1, k):
        rest = 1.0
        for j in range(i):
            factor[i, j] = partials[c] * math.sqrt(rest)
            rest *= 1.0 - partials[c] ** 2
            c += 1
        factor[i, i] = math.sqrt(rest)
    return factor


def _factor_to_partials(
    factor: Float[np.ndarray, "k k"], k: int
) -> Float[np.ndarray, " c"]:
    """Canonical partial correlations of a factor; 0 where a row is used up or null."""
    partials = []
    for i in range(1, k):
        rest = float(factor[i, : i + 1] @ factor[i, : i + 1])
        for j in range(i):
            root = math.sqrt(max(rest, 0.0))
            partials.append(factor[i, j] / root if root > 0.0 else 0.0)
            rest -= factor[i, j] ** 2
    return np.clip(np.array(partials), -1.0, 1.0)


def _partials_pullback(
    partials: Float[np.ndarray, " c"],
    factor: Float[np.ndarray, "k k"],
    d_factor: Float[np.ndarray, "k k"],
    k: int,
) -> Float[np.ndarray, " c"]:
    """Gradient with respect to the partials, row by row.

    With L[i, j] = w_j prod_{m<j} sqrt(1 - w_m**2): the own entry moves with the product
    before it, every later entry of the row with -w_j / (1 - w_j**2) of itself.
    """
    gradient = np.zeros(len(partials))
    c = 0
    for i in range(1, k):
        product = 1.0
        for j in range(i):
            w = partials[c]
            one = max(1.0 - w * w, 1e-300)
            later = 0.0
            for m in range(j + 1, i + 1):
                later += d_factor[i, m] * factor[i, m]
            gradient[c] = d_factor[i, j] * product - later * w / one
            product *= math.sqrt(one)
            c += 1
    return gradient
