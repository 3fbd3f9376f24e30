"""Log priors draw by draw, for ArviZ's power-scaling.

Takes the model and an ArviZ DataTree of draws; gives the group ``log_prior``: of each
parameter the density that its prior states, on the parameter's own scale and without a
Jacobian, as `pymc.compute_log_prior` has it. The distribution of the random effects is
part of the likelihood here: its SDs and correlations have priors, its effects have not.
"""

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.errors import ModelError
from bayeslmm.graph.names import by_variable, safe_name
from bayeslmm.graph.trees import COORDINATES, UNCONSTRAINED
from bayeslmm.posterior.tables import beta_draws
from bayeslmm.priors.density import fixed_logp, natural_logp
from bayeslmm.spec import ModelSpec

if TYPE_CHECKING:
    import xarray as xr


def with_log_prior(model: ModelSpec, tree: "xr.DataTree") -> "xr.DataTree":
    """A copy of the tree with the group ``log_prior``."""
    import xarray as xr

    if UNCONSTRAINED not in tree.children:
        raise ModelError(
            f"{model.formula.text!r} was sampled through PyMC, with all its effects: "
            "its log prior is pymc.compute_log_prior(post.idata, "
            "model=model.to_pymc())."
        )
    design, posterior = model.design, tree["posterior"]
    beta = beta_draws(design, tree)
    shape = beta.shape[:2]
    x = tree[UNCONSTRAINED][COORDINATES].to_numpy().reshape(shape[0] * shape[1], -1)
    fixed = fixed_logp(model.priors, design, beta.reshape(len(x), design.p))
    known = natural_logp(model.priors, design, x)
    known |= {p.label: fixed[:, p.index[0]] for p in design.space.fixed}
    found, dims = {}, ("chain", "draw")
    for name, members in by_variable(design).items():
        labels = [p.label for p in members if p.label in known]
        if not labels:
            continue  # correlations, which have one density together
        values = [known.pop(label).reshape(shape) for label in labels]
        vector = len(posterior[name].dims) > len(dims)
        found[name] = (
            (posterior[name].dims, np.stack(values, axis=-1))
            if vector
            else (dims, values[0])
        )
    for label, values in known.items():
        found[safe_name(label)] = (dims, values.reshape(shape))
    coords = {name: posterior[name].to_numpy() for name in dims}
    coords |= {
        dim: posterior[dim].to_numpy()
        for name in found
        for dim in found[name][0][len(dims) :]
    }
    copy = tree.copy()
    copy["log_prior"] = xr.DataTree(xr.Dataset(found, coords=coords))
    return copy
