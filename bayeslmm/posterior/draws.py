"""Draws as ArviZ holds them, under bambi's names.

Takes the design and arrays of draws (coordinates of the variance parameters, fixed and
random effects), gives a DataTree with the names, dimensions and coordinates of
`graph.names`, the same that the joint model has.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design, GroupTerm
from bayeslmm.graph.draws import (
    parameter_draws as parameter_draws,
    sd_corr_draws as sd_corr_draws,
)
from bayeslmm.graph.names import safe_name


def lower_factors(
    roots: Float[np.ndarray, "chain draw k k"],
) -> Float[np.ndarray, "chain draw k k"]:
    """Lower-triangular factors, diagonal >= 0, of the same covariances."""
    upper = np.linalg.qr(roots.swapaxes(-1, -2), mode="r")
    signs = np.where(np.diagonal(upper, axis1=-2, axis2=-1) < 0.0, -1.0, 1.0)
    return (upper * signs[..., None]).swapaxes(-1, -2)


def effect_draws(
    term: GroupTerm, b: Float[np.ndarray, "chain draw j k"]
) -> dict[str, Float[np.ndarray, "..."]]:
    """Draws of one term's effects by bambi variable, (chain, draw, [effect,] level)."""
    return {
        safe_name(variable.name): b[..., list(variable.effects)].swapaxes(-1, -2)
        if variable.coords
        else b[..., variable.effects[0]]
        for variable in term.variables
    }


def level_coefficients(
    design: Design,
    beta: Float[np.ndarray, "*s p"],
    b: Sequence[Float[np.ndarray, "*s j _k"]],
    names: Sequence[tuple[str, ...]],
) -> Float[np.ndarray, "*s j c"]:
    """Fixed plus random effects of each level: the fixed, then those that only vary."""
    columns = {
        name: np.broadcast_to(beta[..., [i]], b[0].shape[:-1])
        for i, name in enumerate(design.fixed_names)
    }
    for effects, values in zip(names, b, strict=True):
        for i, effect in enumerate(effects):
            columns[effect] = columns.get(effect, 0.0) + values[..., i]
    return np.stack(list(columns.values()), axis=-1)
