"""The noise of new responses: sigma, precision weights, structured residuals.

Takes the draws of a posterior and what is known of rows; gives noise draw by draw. It
is drawn anew: residuals that were observed in the same series say nothing of it.
"""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from bayeslmm.design.residual import ResidualRows, ResidualStructure
from bayeslmm.posterior.places import label_draws, residual_draws
from bayeslmm.spec import ModelSpec

if TYPE_CHECKING:
    import xarray as xr


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
        for at in np.ndindex(noise.shape[:2]):
            noise[at] = structure.correlate(rows, values[at], noise[at])
    noise *= structure.scale(rows, values)
