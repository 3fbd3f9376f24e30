"""Draws of the covariances of the effects where the predictors stand at their means."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design
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
    nothing = np.empty(0)
    of_terms = (p for p in design.space.variances if p.term is not None)
    return {p.label: p.read(nothing, spreads, {}) for p in of_terms}
