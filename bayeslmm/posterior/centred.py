"""Draws of the covariances of the effects where the predictors stand at their means."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design, parameters
from bayeslmm.posterior.draws import sd_corr_draws
from bayeslmm.posterior.predictions import factor_draws
from bayeslmm.reml.centred import centred_factors

if TYPE_CHECKING:
    import xarray as xr


def centred_draws(
    design: Design, tree: "xr.DataTree"
) -> dict[str, Float[np.ndarray, "chain draw"]]:
    """Draws of every SD and correlation there, by label."""
    roots = [factor_draws(design, tree, t) for t in range(len(design.groups))]
    spreads = [sd_corr_draws(root) for root in centred_factors(design, roots)]
    found = {}
    for parameter in parameters(design):
        if parameter.term is not None:
            sd, corr = spreads[parameter.term]
            values = sd if parameter.component == "sd" else corr
            found[parameter.label] = values[..., *parameter.index]
    return found
