"""Shares of variance, draw by draw.

Takes a model and an ArviZ DataTree of its draws; gives the draws of what
`reml.shares` computes variances from, and tables of what is read off these.
"""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design
from bayeslmm.design.moments import ColumnMoments
from bayeslmm.errors import ModelError
from bayeslmm.posterior.places import label_draws
from bayeslmm.posterior.predictions import factor_draws
from bayeslmm.posterior.tables import (
    IntervalKind,
    beta_draws,
    describe_draws,
    interval_bounds,
)
from bayeslmm.posterior.tails import Missing
from bayeslmm.reml.shares import Quantities, Values, mean_variance, quantity_table
from bayeslmm.spec import ModelSpec

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

# Share of a variance that may be lost to rounding.
LARGEST_ERROR = 1e-3


def draws_table(
    model: ModelSpec,
    tree: "xr.DataTree",
    rows: Quantities,
    prob: float,
    kind: IntervalKind,
) -> "pd.DataFrame":
    """Quantities draw by draw: mean, median, SD and interval."""
    draws = dict(rows.of(drawn_values(model, tree)))
    numbers = describe_draws(draws.pop("estimate"), prob, kind)
    for name, own in draws.items():
        numbers[name] = np.mean(own, axis=(0, 1))
        if name in rows.limited:
            lower, upper = interval_bounds(own, prob, kind)
            numbers |= {f"{name}_lower": lower, f"{name}_upper": upper}
    return quantity_table(rows, numbers)


def drawn_values(model: ModelSpec, tree: "xr.DataTree") -> Values:
    """Draws of the fixed effects, the covariances and the residual SD.

    Raises
    ------
    ModelError
        If the family has no residual variance, or the draws do not say how levels
        differ in the data.
    """
    if model.family != "gaussian":
        raise ModelError(
            f"The residual variance of family {model.family!r} is not one number, so "
            "shares of variance are given for Gaussian models only."
        )
    design = model.design
    roots = tuple(factor_draws(design, tree, t) for t in range(len(design.groups)))
    for term, columns, root in zip(design.groups, design.moments.Z, roots, strict=True):
        check_rounding(columns, root, term.label)
    beta, sigma = beta_draws(design, tree), label_draws(design, tree, "sigma")
    return Values(beta, roots, sigma)


def check_rounding(
    columns: ColumnMoments, root: Float[np.ndarray, "chain draw k k"], label: str
) -> None:
    """Raise where SDs and correlations at zero do not give the variance in the data.

    Far from x = 0 the SD of the intercepts is large and its correlation with that of
    the slopes nearly 1: what they say of the mean row is then lost in rounding.
    """
    found = mean_variance(columns, root)
    addends = np.square(np.einsum("cdia,i->cda", np.abs(root), np.abs(columns.mean)))
    rounding = np.finfo(float).eps * addends.sum(axis=-1)
    if np.median(rounding) > LARGEST_ERROR * np.median(found):
        raise ModelError(
            f"The shares of variance of {label} cannot be computed: its columns are so "
            f"far from zero that the SDs and correlations of their effects, which are "
            f"those at zero, do not say how the levels differ in the data. Center the "
            f"columns, center(x) for a column x."
        )


def with_fixed_part(design: Design, missing: Missing) -> Missing:
    """The moments that do not exist, of the SD of the fixed part too."""
    labels = {parameter.label for parameter in design.space.fixed}

    def also(names: tuple[str, ...], of: tuple[str, ...]) -> tuple[str, ...]:
        return (*names, "fixed") if labels & {*of} else names

    return Missing(
        also(missing.mean, missing.mean),
        also(missing.sd, missing.sd),
        also(missing.variance, missing.sd),
    )
