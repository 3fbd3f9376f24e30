"""Covariances of the effects where the predictors stand at their means.

Takes roots of the covariances of the data's columns, of an estimate or of draws; gives
those of columns less their means over the rows, as the default priors have them.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design, parameters
from bayeslmm.errors import ModelError, is_choice
from bayeslmm.fit.draws import sd_corr_draws
from bayeslmm.fit.posterior_predictions import factor_draws
from bayeslmm.marginal.conditioning import effect_movers

if TYPE_CHECKING:
    import xarray as xr

At = Literal["zero", "mean"]


def is_at_mean(at: str) -> bool:
    """Whether the means are asked for; `ModelError` for another word."""
    if not is_choice(at, get_args(At)):
        raise ModelError(f"Unknown at={at!r}: use 'zero' or 'mean'.")
    return at == "mean"


def centred_factors(
    design: Design, factors: Sequence[Float[np.ndarray, "... _k _k"]]
) -> tuple[Float[np.ndarray, "... _k _k"], ...]:
    """Roots of the covariances of effects of columns less their means."""
    return tuple(
        np.linalg.inv(moved) @ factor
        for moved, factor in zip(effect_movers(design), factors, strict=True)
    )


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
