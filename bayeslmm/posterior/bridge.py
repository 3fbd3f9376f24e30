"""Ratios of normalising constants by bridge sampling.

Takes log ratios of two unnormalised densities at points of each; gives the log of the
ratio of their integrals, with its error.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from bayeslmm.errors import SamplingError

# Steps of the iteration, and the change of the log that ends it.
STEPS, ARRIVED = 1000, 1e-10


class Points(NamedTuple):
    """Points of one density: log ratio of the first to the second, weights, number.

    ``weights`` sum to 1; ``size`` is how many independent points these are worth.
    """

    log_ratio: Float[np.ndarray, " n"]
    weights: Float[np.ndarray, " n"]
    size: float


def equal_points(log_ratio: Float[np.ndarray, " n"], efficiency: float = 1.0) -> Points:
    """Points of equal weight, worth this share of their number."""
    n = len(log_ratio)
    return Points(log_ratio, np.full(n, 1.0 / n), n * efficiency)


def bridge(first: Points, second: Points) -> tuple[float, float]:
    """Log of the ratio of two integrals, first to second, with its standard error.

    Parameters
    ----------
    first, second : Points
        Points of the two densities, with the log ratio of these at each.

    Raises
    ------
    SamplingError
        If the densities do not overlap.

    References
    ----------
    .. [1] Meng and Wong (1996). Simulating ratios of normalizing constants via a simple
       identity. Stat. Sinica 6(4), 831-860.
    .. [2] Fruehwirth-Schnatter (2004). Estimating marginal likelihoods for mixture and
       Markov switching models using bridge sampling techniques. Econom. J. 7(1).
       https://doi.org/10.1111/j.1368-423X.2004.00125.x
    """
    share = first.size / (first.size + second.size)
    log_r = float(np.median(first.log_ratio))
    for _ in range(STEPS):
        above, below = _terms(first, second, log_r, share)
        step = math.log(second.weights @ above) - math.log(first.weights @ below)
        log_r += step
        if not math.isfinite(log_r):
            raise SamplingError(
                "Bridge sampling found no overlap of the posterior with the density "
                "that it is compared with. The posterior may have several modes."
            )
        if abs(step) < ARRIVED:
            break
    above, below = _terms(first, second, log_r, share)
    variance = _relative(second, above) + _relative(first, below)
    return log_r, math.sqrt(variance)


def _terms(
    first: Points, second: Points, log_r: float, share: float
) -> tuple[np.ndarray, np.ndarray]:
    """What is averaged over the points of the second and of the first density."""
    with np.errstate(over="ignore"):
        other = np.exp(log_r - second.log_ratio)
        own = np.exp(first.log_ratio - log_r)
    return 1.0 / (share + (1.0 - share) * other), 1.0 / (share * own + (1.0 - share))


def _relative(points: Points, values: np.ndarray) -> float:
    """Variance of a mean, relative to its square."""
    mean = float(points.weights @ values)
    spread = float(points.weights @ np.square(values - mean))
    return spread / (points.size * mean**2)
