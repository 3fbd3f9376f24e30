"""Shares of variance of a REML fit: ICC and R2.

Takes a `Design` with estimates, gives the variances of its parts and tables of them.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design
from bayeslmm.design.moments import ColumnMoments
from bayeslmm.tables.both import share_table

if TYPE_CHECKING:
    import pandas as pd

    from bayeslmm.reml.fit import RemlFit


class VarianceShares(NamedTuple):
    """Variances of the fixed part, the random part (mean over rows), the residual."""

    fixed: float
    random: float
    residual: float


def icc_table(fit: "RemlFit") -> "pd.DataFrame":
    """Random variance over random and residual, without and with the fixed part."""
    fixed, random, residual = _variances(fit)
    within = random + residual
    found = np.array([random / within, random / (fixed + within)])
    return share_table(("adjusted", "unadjusted"), {"estimate": found})


def r2_table(fit: "RemlFit") -> "pd.DataFrame":
    """Fixed, and fixed plus random, over the total variance."""
    fixed, random, residual = _variances(fit)
    found = np.array([fixed, fixed + random]) / (fixed + random + residual)
    return share_table(("marginal", "conditional"), {"estimate": found})


def _variances(fit: "RemlFit") -> VarianceShares:
    """Variances of the parts of a fit."""
    return variance_shares(fit.design, fit.beta, fit.factors, fit.sigma)


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
