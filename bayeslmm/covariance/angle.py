"""The one correlation of cs and ar1 as an angle, for point estimates.

``rho = low + (1 - low) (1 + cos angle) / 2``, so that 0 is a correlation of 1 and pi
the lowest one. The factor is a smooth function of the angle up to both ends, where as a
function of rho it has an infinite slope, and near them the angle keeps the digits of
1 - rho and of rho - low.
"""

import math

import numpy as np
from jaxtyping import Complex, Float

from bayeslmm.covariance.correlation import corr_low
from bayeslmm.covariance.structures import Structure, is_homogeneous, n_corr, n_sd

# Complex step: its square is no number beside 1.
STEP = 1e-30


def corr_to_angle(structure: Structure, rho: float, k: int) -> float:
    """Angle of the correlation of cs or ar1, between 0 and pi."""
    low = corr_low(structure, k)
    share = min(max((rho - low) / (1.0 - low), 0.0), 1.0)
    return 2.0 * math.acos(math.sqrt(share))


def angle_to_factor(
    structure: Structure, theta: Float[np.ndarray, " m"], k: int
) -> Float[np.ndarray, "k k"]:
    """`theta_to_factor` of a theta that ends with the angle of its correlation."""
    sd = _sds(structure, theta, k)
    if not n_corr(structure, k):
        return np.diag(sd)
    return sd[:, None] * np.real(_corr_factor(structure, complex(theta[-1]), k))


def angle_pullback(
    structure: Structure,
    theta: Float[np.ndarray, " m"],
    k: int,
    d_factor: Float[np.ndarray, "k k"],
) -> Float[np.ndarray, " m"]:
    """Gradient with respect to such a theta from that with respect to the factor."""
    sd = _sds(structure, theta, k)
    if not n_corr(structure, k):
        d_sd = np.diag(d_factor)
        return d_sd.sum(keepdims=True) if is_homogeneous(structure) else d_sd.copy()
    both = _corr_factor(structure, complex(theta[-1], STEP), k)
    d_sd = (np.tril(d_factor) * np.real(both)).sum(axis=1)
    d_angle = (np.tril(d_factor) * sd[:, None] * np.imag(both) / STEP).sum()
    if is_homogeneous(structure):
        d_sd = d_sd.sum(keepdims=True)
    return np.append(d_sd, d_angle)


def _sds(
    structure: Structure, theta: Float[np.ndarray, " m"], k: int
) -> Float[np.ndarray, " k"]:
    """SD of each effect."""
    return np.broadcast_to(theta[: n_sd(structure, k)], (k,))


def _corr_factor(
    structure: Structure, angle: complex, k: int
) -> Complex[np.ndarray, "k k"]:
    """Cholesky factor of the correlations, analytic in the angle."""
    half, low = angle / 2.0, corr_low(structure, k)
    up = math.sqrt(1.0 - low) * np.sin(half)  # root of 1 - rho
    down = math.sqrt(1.0 - low) * np.cos(half)  # root of rho - low
    rho = low + down**2
    factor = np.zeros((k, k), complex)
    if structure in ("ar1", "hetar1"):
        for i in range(k):
            factor[i, 0] = rho**i
            factor[i, 1 : i + 1] = rho ** np.arange(i - 1, -1, -1) * up * down
        return factor
    factor[:, 0] = rho
    factor[0, 0] = 1.0
    # roots of 1 + j rho; the last is that of (k - 1) (rho - low)
    roots = [np.sqrt(1.0 + j * rho) for j in range(k - 1)] + [math.sqrt(k - 1) * down]
    for j in range(1, k):
        factor[j, j] = up * roots[j] / roots[j - 1]
        if j < k - 1:
            factor[j + 1 :, j] = rho * up / (roots[j - 1] * roots[j])
    return factor
