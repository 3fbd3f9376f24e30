"""Variances of the fixed part, the random part and the residual.

Takes a `Design` with estimates, gives numbers.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design
from bayeslmm.design.moments import ColumnMoments


class VarianceShares(NamedTuple):
    """Variances of the fixed part, the random part (mean over rows), the residual."""

    fixed: float
    random: float
    residual: float


def variance_shares(
    design: Design,
    beta: Float[np.ndarray, " p"],
    factors: Sequence[Float[np.ndarray, "_k _k"]],
    sigma: float,
) -> VarianceShares:
    """Variances of the fixed and random part over the rows, and of the residual."""
    fixed = float(beta @ design.moments.X.covariance(1) @ beta)
    random = sum(
        mean_variance(columns, factor)
        for columns, factor in zip(design.moments.Z, factors, strict=True)
    )
    return VarianceShares(fixed, random, sigma**2)


def mean_variance(columns: ColumnMoments, factor: Float[np.ndarray, "k k"]) -> float:
    """Mean of diag(Z Sigma Z') over the rows, units of y squared.

    That at the mean row apart: far from x = 0 it is small beside its own addends.
    """
    at_mean = factor.T @ columns.mean
    around = factor.T @ columns.covariance() @ factor
    return float(at_mean @ at_mean + np.trace(around))
