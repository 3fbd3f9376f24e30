"""Inverse and determinant of the residuals' covariance, as weights of few patterns.

The covariance of the residuals is sigma**2 R, and ``R^-1 = sum_p w_p S_p`` where the
patterns S_p are 0, 1 and -1 alone and do not depend on parameters. Takes coordinates
(logs of ratios of SDs, then the scaled atanh of rho) and what each pattern is; gives
the weights and log det R with their derivatives. Kinds of patterns, with r = rho**d for
rows d steps apart and m for the rows of a level:

    ALL    rows                             1
    ENDS   rows, for each neighbour d apart r**2 / (1 - r**2)
    LAG    products of neighbours           -r / (1 - r**2)
    EVEN   rows of levels of several        1 / (1 - rho)
    TOTAL  squares of totals of levels      -rho / ((1 - rho) (1 + (m - 1) rho))

each over the ratios of the strata of its rows. Neighbours alone are needed for ar1,
whose inverse is tridiagonal in the order of time.
"""

import math

import numpy as np

from bayeslmm.marginal.kernels.compiling import compiled

ALL, ENDS, LAG, EVEN, TOTAL = range(5)


@compiled
def natural_values(x, n_ratios, low, values, slopes):
    """Ratios, that of the first stratum 1, and rho at the end (0 without one)."""
    values[0], slopes[0] = 1.0, 0.0
    for i in range(n_ratios):
        values[i + 1] = slopes[i + 1] = math.exp(x[i])
    values[n_ratios + 1] = slopes[n_ratios + 1] = 0.0
    if x.size > n_ratios:
        rho = low + 0.5 * (1.0 - low) * (1.0 + math.tanh(x[n_ratios]))
        values[n_ratios + 1] = rho
        slopes[n_ratios + 1] = 2.0 * (rho - low) * (1.0 - rho) / (1.0 - low)


@compiled
def _weight(kind, number, rho):
    """Weight of a pattern without strata, and its derivative by rho."""
    if kind == 0:
        return 1.0, 0.0
    if kind <= 2:
        r = math.pow(rho, number)
        slope = number * math.pow(rho, number - 1.0)
        left = 1.0 - r * r
        if kind == 1:
            return r * r / left, slope * 2.0 * r / (left * left)
        return -r / left, -slope * (1.0 + r * r) / (left * left)
    away = 1.0 - rho
    if kind == 3:
        return 1.0 / away, 1.0 / (away * away)
    both = away * (1.0 + (number - 1.0) * rho)
    slope = away * (number - 1.0) - (1.0 + (number - 1.0) * rho)
    return -rho / both, -(both - rho * slope) / (both * both)


@compiled
def _log_det(kind, number, rho):
    """Log determinant that one pair of neighbours, or one level, adds; by rho too."""
    if kind == 2:
        r = math.pow(rho, number)
        left = 1.0 - r * r
        slope = -2.0 * r * number * math.pow(rho, number - 1.0)
        return math.log(left), slope / left
    away, whole = 1.0 - rho, 1.0 + (number - 1.0) * rho
    value = (number - 1.0) * math.log(away) + math.log(whole)
    return value, (number - 1.0) * (1.0 / whole - 1.0 / away)


@compiled
def pattern_weights(x, patterns, counts, low, weights, slopes, log_det_slopes):
    """Fill weights (P,), their slopes (r, P) and those of log det R (r,); log det R.

    ``patterns`` (P, 5) are kind, number, both strata, and how often the determinant
    has it; ``counts`` (s,) the rows of each stratum. NaN where R is singular.
    """
    n_ratios = counts.size - 1
    values, moves = np.empty(n_ratios + 2), np.empty(n_ratios + 2)
    natural_values(x, n_ratios, low, values, moves)
    rho = values[n_ratios + 1]
    slopes[:] = 0.0
    log_det_slopes[:] = 0.0
    if x.size > n_ratios and not (low < rho < 1.0):
        weights[:] = np.nan
        return np.nan
    log_det = 0.0
    for i in range(n_ratios):
        log_det += 2.0 * counts[i + 1] * x[i]
        log_det_slopes[i] = 2.0 * counts[i + 1]
    for p in range(weights.size):
        kind, number = int(patterns[p, 0]), patterns[p, 1]
        s, t = int(patterns[p, 2]), int(patterns[p, 3])
        plain, slope = _weight(kind, number, rho)
        over = 1.0 / (values[s] * values[t])
        weights[p] = plain * over
        if s > 0:
            slopes[s - 1, p] -= weights[p]
        if t > 0:
            slopes[t - 1, p] -= weights[p]
        if x.size > n_ratios:
            slopes[n_ratios, p] = slope * over * moves[n_ratios + 1]
        if patterns[p, 4] > 0.0:
            value, slope = _log_det(kind, number, rho)
            log_det += patterns[p, 4] * value
            log_det_slopes[n_ratios] += patterns[p, 4] * slope * moves[n_ratios + 1]
    return log_det
