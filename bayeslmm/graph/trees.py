"""Draws -> ArviZ's DataTree, the same of the joint and of the marginal model."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design
from bayeslmm.graph.loading import load
from bayeslmm.graph.names import OBSERVATIONS, posterior_layout, response_name

if TYPE_CHECKING:
    import xarray as xr

# ArviZ's name of the group with the coordinates that a sampler moves in, and ours of
# the one variable in it.
UNCONSTRAINED, COORDINATES = "unconstrained_posterior", "coordinates"


def to_datatree(
    design: Design,
    posterior: Mapping[str, Float[np.ndarray, "..."]],
    sample_stats: Mapping[str, np.ndarray],
    attrs: Mapping[str, Any],
    row_labels: np.ndarray | None = None,
    coordinates: Float[np.ndarray, "chain draw m"] | None = None,
) -> "xr.DataTree":
    """DataTree of posterior, sample_stats and observed_data (rows in memory).

    Parameters
    ----------
    design : Design
        Arrays of the model.
    posterior : mapping of str to ndarray
        Draws by bambi variable.
    sample_stats : mapping of str to ndarray, shape (chain, draw)
        Statistics of the sampler, ArviZ's names.
    attrs : mapping
        What made the draws; put on the tree and on the posterior.
    row_labels : ndarray, shape (n,), optional
        Labels of the rows in the data; by default they are counted.
    coordinates : ndarray, shape (chain, draw, m), optional
        Draws of the coordinates of the model's space, of which ``lp`` is the density;
        group ``unconstrained_posterior``.

    Returns
    -------
    DataTree
        Names and coordinates as in `posterior_layout`; rows under their labels.
    """
    load("arviz_base")
    from arviz_base import from_dict

    layout = posterior_layout(design)
    dims = {name: own for name, own in layout.dims.items() if name in posterior}
    used = {dim for own in dims.values() for dim in own}
    coords = {dim: labels for dim, labels in layout.coords.items() if dim in used}
    tree = from_dict(
        {"posterior": dict(posterior)},
        dims=dims,
        coords=coords,
        attrs={"posterior": dict(attrs)},
    )
    # each group apart: a column may be called as a statistic is, ``energy``
    stats = from_dict({"sample_stats": dict(sample_stats)})
    tree["sample_stats"] = stats["sample_stats"]
    if coordinates is not None:
        moved = from_dict(
            {UNCONSTRAINED: {COORDINATES: coordinates}},
            dims={COORDINATES: ["coordinate"]},
            coords={"coordinate": [own.label for own in design.space.coordinates]},
        )
        tree[UNCONSTRAINED] = moved[UNCONSTRAINED]
    if design.rows is not None:
        response = response_name(design)
        rows = np.arange(design.n) if row_labels is None else row_labels
        observed = from_dict(
            {"observed_data": {response: design.rows.y}},
            dims={response: [OBSERVATIONS]},
            coords={OBSERVATIONS: rows},
        )
        tree["observed_data"] = observed["observed_data"]
    tree.attrs.update(attrs)
    return tree
