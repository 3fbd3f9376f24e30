"""Draws as ArviZ holds them, under bambi's names.

Takes the design and arrays of draws (coordinates of the variance parameters, fixed and
random effects), gives a DataTree with the names, dimensions and coordinates of
`graph.names`, the same that the joint model has.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design, GroupTerm
from bayeslmm.graph.names import by_variable, safe_name


def parameter_draws(
    design: Design,
    beta: Float[np.ndarray, "chain draw p"],
    factors: Sequence[Float[np.ndarray, "chain draw _k _k"]],
    scalars: Mapping[str, Float[np.ndarray, "chain draw"]],
) -> dict[str, Float[np.ndarray, "..."]]:
    """Draws of every scalar parameter, stacked by variable.

    Parameters
    ----------
    design : Design
        Arrays of the model.
    beta : ndarray, shape (chain, draw, p)
        Fixed effects, units of y per unit of x.
    factors : sequence of ndarray, shape (chain, draw, k, k)
        Cholesky factor of each bar term's covariance.
    scalars : dict of str to ndarray, shape (chain, draw)
        Parameters of no term by label: ``sigma``, units of y.

    Returns
    -------
    dict of str to ndarray
        ``(chain, draw)`` or ``(chain, draw, coordinate)`` for each variable.
    """
    spreads = [sd_corr_draws(factor) for factor in factors]

    found = {}
    for variable, members in by_variable(design).items():
        draws = [member.read(beta, spreads, scalars) for member in members]
        vector = members[0].coord is not None
        found[variable] = np.stack(draws, axis=-1) if vector else draws[0]
    return found


def sd_corr_draws(
    factors: Float[np.ndarray, "*s k k"],
) -> tuple[Float[np.ndarray, "*s k"], Float[np.ndarray, "*s k k"]]:
    """SDs and correlations of the covariances that the factors are roots of."""
    sd = np.sqrt(np.sum(factors**2, axis=-1))
    rows = factors / sd[..., None]
    return sd, rows @ rows.swapaxes(-1, -2)


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
