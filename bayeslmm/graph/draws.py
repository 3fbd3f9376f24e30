"""Draws of parameters, of a posterior or a prior, under bambi's names.

Takes a design and arrays of draws (fixed effects, roots of covariances, scalars); gives
the variables of `graph.names`, the same that the joint model has.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design
from bayeslmm.graph.names import by_variable


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
