"""The noise of new responses: sigma, precision weights, structured residuals.

Takes the draws of a posterior and what is known of rows; gives noise draw by draw. It
is drawn anew: residuals that were observed in the same series say nothing of it.
"""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from bayeslmm.design.residual import ResidualRows, ResidualStructure, Series
from bayeslmm.errors import DataError
from bayeslmm.posterior.places import label_draws, residual_draws
from bayeslmm.spec import ModelSpec

if TYPE_CHECKING:
    import xarray as xr

# Part of a step by which whole ones may be off: clock times are rounded.
SAME_STEP = 1e-3


def noise_draws(
    model: ModelSpec,
    tree: "xr.DataTree",
    m: int,
    weights: Float[np.ndarray, " m"] | None,
    rows: ResidualRows | None,
    rng: np.random.Generator,
) -> Float[np.ndarray, "chain draw m"]:
    """Noise of m rows with these precision weights and these strata and series."""
    design, structure = model.design, model.design.residual
    sigma = label_draws(design, tree, "sigma")[..., None]
    noise = rng.standard_normal((*sigma.shape[:2], m))
    if structure is not None and rows is not None:
        _structured(structure, rows, residual_draws(design, tree), noise)
    noise *= sigma
    return noise if weights is None else noise / np.sqrt(weights)


def _structured(
    structure: ResidualStructure,
    rows: ResidualRows,
    values: Float[np.ndarray, "chain draw r"],
    noise: Float[np.ndarray, "chain draw m"],
) -> None:
    """Correlate white noise within series, and scale it by stratum, in place."""
    if structure.series is not None:
        _check_series(structure.series, rows, float(values[..., -1].min()))
        for at in np.ndindex(noise.shape[:2]):
            noise[at] = structure.correlate(rows, values[at], noise[at])
    noise *= structure.scale(rows, values)


def _check_series(own: Series, rows: ResidualRows, least: float) -> None:
    """Raise where rows cannot have all of the correlations drawn, down to the least."""
    assert rows.series is not None, "cs and ar1 have series"
    if rows.time is None:
        most = int(np.bincount(rows.series).max(initial=0))
        if 1.0 + (most - 1) * least <= 0.0:
            raise DataError(
                f"A level of {own.group!r} has {most} rows, and so many cannot all be "
                f"correlated by {least:.3g}, as they are in a draw: the levels of the "
                f"data have {own.largest} at most. Predict fewer rows of a level at a "
                f"time, or kind='mean'."
            )
        return
    order = np.lexsort((rows.time, rows.series))
    far = np.diff(rows.time[order])[np.diff(rows.series[order]) == 0]
    off = np.abs(far / own.step - own.steps(far)) > SAME_STEP
    if own.regular and off.any():
        raise DataError(
            f"Rows of one {own.group} are {far[off][0]:g} of {own.time} apart, and in "
            f"the data all are whole steps of {own.step:g}: of others the model does "
            f"not know the correlation, which may be negative. Give times on those "
            f"steps, or predict kind='mean'."
        )
