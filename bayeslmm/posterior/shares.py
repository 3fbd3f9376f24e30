"""Shares of variance, draw by draw.

Takes a model and an ArviZ DataTree of its draws; gives the draws of what
`reml.shares` computes variances from, and tables of what is read off these.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design, rows_of
from bayeslmm.design.moments import ColumnMoments
from bayeslmm.design.shares import Values, mean_variance
from bayeslmm.errors import ModelError, listed
from bayeslmm.families import FAMILIES
from bayeslmm.posterior.places import residual_draws
from bayeslmm.posterior.predictions import factor_draws, other_draws, row_chunks
from bayeslmm.posterior.tables import (
    IntervalKind,
    beta_draws,
    describe_draws,
    interval_bounds,
)
from bayeslmm.posterior.tails import Missing
from bayeslmm.reml.shares import Quantities, quantity_table, with_notes
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
    own = draws.pop("estimate")
    numbers = describe_draws(own, prob, kind)
    known = np.ptp(own, axis=(0, 1)) == 0.0  # the logistic's: no SD but rounding
    numbers["sd"] = np.where(known, 0.0, numbers["sd"])
    for name, own in draws.items():
        numbers[name] = np.mean(own, axis=(0, 1))
        if name in rows.limited:
            lower, upper = interval_bounds(own, prob, kind)
            numbers |= {f"{name}_lower": lower, f"{name}_upper": upper}
    table = quantity_table(rows, numbers)
    notes = (*table.attrs.get("notes", ()), *latent_notes(model))
    return with_notes(table, notes)


def drawn_values(model: ModelSpec, tree: "xr.DataTree") -> Values:
    """Draws of the fixed effects, the covariances and the residual SD.

    Raises
    ------
    ModelError
        If the family has no residual variance, or the draws do not say how levels
        differ in the data.
    """
    check_latent(model.family)
    design = model.design
    roots = tuple(factor_draws(design, tree, t) for t in range(len(design.groups)))
    for term, columns, root in zip(design.groups, design.moments.Z, roots, strict=True):
        check_rounding(columns, root, term.label)
    beta = beta_draws(design, tree)
    sigma = np.sqrt(_residual(model, tree, beta, roots))
    return Values(beta, roots, sigma, residual_draws(design, tree))


def check_latent(family: str) -> None:
    """Raise `ModelError` if a family has no variance on the scale of its predictor."""
    if FAMILIES[family].latent is None:
        known = [name for name, own in FAMILIES.items() if own.latent is not None]
        raise ModelError(
            f"Shares of variance need the variance of a response on the scale of the "
            f"linear predictor. Family {family!r} has none that is agreed upon; "
            f"{listed(known, 9)} have one. bayesian_r2() is a share on the scale of "
            f"the response."
        )


def latent_notes(model: ModelSpec) -> tuple[str, ...]:
    """On which scale the shares of a model are, where that is not the response's."""
    family = FAMILIES[model.family]
    if model.family == "gaussian":
        return ()
    if family.is_chance:
        rest = "that of the logistic distribution, pi^2 / 3, of one trial"
    elif family.logged:
        rest = "that of the log of the response"
    else:
        rest = "ln(1 + variance / mean^2) of a count with the mean of all rows"
    return (f"On the scale of the {family.link_of_mean}; residual variance: {rest}.",)


def _residual(
    model: ModelSpec,
    tree: "xr.DataTree",
    beta: Float[np.ndarray, "chain draw p"],
    roots: Sequence[Float[np.ndarray, "chain draw _k _k"]],
) -> Float[np.ndarray, "chain draw"]:
    """Variance of one response on the scale of the linear predictor."""
    family, expected = FAMILIES[model.family], np.zeros(beta.shape[:2])
    assert family.latent is not None, "the border refuses families without"
    if family.link.name == "log":
        expected = expected_count(model, beta, roots)
    others = other_draws(model.family, tree).items()
    return family.latent(expected, {name: own[..., 0] for name, own in others})


def expected_count(
    model: ModelSpec,
    beta: Float[np.ndarray, "chain draw p"],
    roots: Sequence[Float[np.ndarray, "chain draw _k _k"]],
) -> Float[np.ndarray, "chain draw"]:
    """Mean over the rows of what is expected of any level, exp(X beta + z'Sigma z / 2).

    Without predictors exp(b0 + s2 / 2), as Nakagawa et al. have it of a null model;
    here the model itself says what the rows have on average.
    """
    rows = rows_of(model.design, "expected counts of all rows")
    total = np.zeros(beta.shape[:2])
    for part in row_chunks(total.size, model.design.n):
        eta = beta @ rows.X[part].T
        if rows.offset is not None:
            eta = eta + rows.offset[part]
        for Z, root in zip(rows.Z, roots, strict=True):
            eta += 0.5 * np.square(Z[part] @ root).sum(axis=-1)
        total += np.exp(eta).sum(axis=-1)
    return total / model.design.n


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
