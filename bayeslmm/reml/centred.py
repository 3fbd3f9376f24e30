"""Covariances of the effects where the predictors stand at their means.

Takes roots of the covariances of the data's columns, of an estimate or of draws; gives
those of columns less their means over the rows, as the default priors have them.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design
from bayeslmm.errors import ModelError, is_choice
from bayeslmm.marginal.conditioning import effect_movers

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
