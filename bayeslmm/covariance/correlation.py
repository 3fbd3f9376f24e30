"""Cholesky factors of correlation matrices, and their derivatives.

From one correlation (``cs``, ``ar1``) or from canonical partial correlations (``us``).
"""

import math

import numpy as np
from jaxtyping import Float

from bayeslmm.covariance.structures import Structure


def corr_low(structure: Structure, k: int) -> float:
    """Smallest correlation that a structure allows."""
    return -1.0 / (k - 1) if structure in ("cs", "homcs") and k > 1 else -1.0


def corr_factor(structure: Structure, rho: float, k: int) -> Float[np.ndarray, "k k"]:
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


def corr_factor_slope(
    structure: Structure, rho: float, k: int
) -> Float[np.ndarray, "k k"]:
    """Derivative of `corr_factor` with respect to rho, by its complex step.

    Both factors are analytic in rho inside the allowed range, so a complex step gives
    the derivative to rounding without a formula to maintain; at the boundary of the
    range it is taken just inside.
    """
    low = corr_low(structure, k)
    margin = 1e-9 * (1.0 - low)
    inside = min(max(rho, low + margin), 1.0 - margin)
    step = 1e-30
    return np.imag(_complex_corr_factor(structure, complex(inside, step), k)) / step


def _complex_corr_factor(structure: Structure, rho: complex, k: int) -> np.ndarray:
    """`corr_factor` at a complex rho."""
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


def partials_to_factor(
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


def factor_to_partials(
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


def partials_pullback(
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
