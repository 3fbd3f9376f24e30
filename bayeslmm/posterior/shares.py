"""Shares of variance, draw by draw: fixed part, random part, residual.

Takes the model and an ArviZ DataTree of draws; gives draws of the three variances.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from bayeslmm.design.moments import ColumnMoments
from bayeslmm.errors import ModelError
from bayeslmm.posterior.places import label_draws
from bayeslmm.posterior.predictions import factor_draws
from bayeslmm.posterior.tables import beta_draws
from bayeslmm.spec import ModelSpec

if TYPE_CHECKING:
    import xarray as xr

# Share of a variance that may be lost to rounding.
LARGEST_ERROR = 1e-3


class VarianceDraws(NamedTuple):
    """Variance of fixed part, mean variance of random part, residual variance."""

    fixed: Float[np.ndarray, "chain draw"]
    random: Float[np.ndarray, "chain draw"]
    residual: Float[np.ndarray, "chain draw"]


def variance_draws(model: ModelSpec, tree: "xr.DataTree") -> VarianceDraws:
    """The three variances draw by draw, defined as in `RemlFit.icc`."""
    if model.family != "gaussian":
        raise ModelError(
            f"The residual variance of family {model.family!r} is not one number, so "
            "shares of variance are given for Gaussian models only."
        )
    design = model.design
    beta = beta_draws(design, tree)
    spread = design.moments.X.covariance(1)
    fixed = np.einsum("cdp,pq,cdq->cd", beta, spread, beta)
    random = np.zeros_like(fixed)
    for t, term in enumerate(design.groups):
        random += mean_variance(
            design.moments.Z[t], factor_draws(design, tree, t), term.label
        )
    return VarianceDraws(fixed, random, label_draws(design, tree, "sigma") ** 2)


def mean_variance(
    columns: ColumnMoments, root: Float[np.ndarray, "chain draw k k"], label: str
) -> Float[np.ndarray, "chain draw"]:
    """Mean of diag(Z Sigma Z') over the rows.

    Far from x = 0 the SD of the intercepts is large and its correlation with that of
    the slopes nearly 1: what they say of the mean row is then lost in rounding.
    """
    at_mean = np.square(np.einsum("cdia,i->cda", root, columns.mean)).sum(axis=-1)
    addends = np.square(np.einsum("cdia,i->cda", np.abs(root), np.abs(columns.mean)))
    around = np.einsum("cdia,ij,cdja->cd", root, columns.covariance(), root)
    found = at_mean + around
    rounding = np.finfo(float).eps * addends.sum(axis=-1)
    if np.median(rounding) > LARGEST_ERROR * np.median(found):
        raise ModelError(
            f"The shares of variance of {label} cannot be computed: its columns are so "
            f"far from zero that the SDs and correlations of their effects, which are "
            f"those at zero, do not say how the levels differ in the data. Center the "
            f"columns, center(x) for a column x."
        )
    return found
