"""Draws as ArviZ holds them: names, dimensions and coordinates of every variable.

Takes the design and arrays of draws (coordinates of the variance parameters, fixed and
random effects), gives a DataTree with bambi's names: ``Intercept``, ``edu``,
``1|classroom``, ``edu|classroom_sigma``, ``sigma``, and ``classroom_corr`` over named
pairs. A DataTree allows no ``/`` in a name: there, and only there, a division slash
(U+2215) stands for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import (
    Design,
    EffectVariable,
    GroupTerm,
    Parameter,
    parameters,
)

if TYPE_CHECKING:
    import xarray as xr

DIVISION_SLASH = "\u2215"
OBSERVATIONS = "__obs__"


@dataclass(frozen=True, slots=True)
class Layout:
    """Dimensions of every posterior variable, after chain and draw, and coordinates."""

    dims: dict[str, list[str]]
    coords: dict[str, list[str]]


def safe_name(name: str) -> str:
    """Name that a DataTree accepts."""
    return name.replace("/", DIVISION_SLASH)


def posterior_layout(design: Design) -> Layout:
    """Names, dimensions and coordinates of the posterior of a design.

    Parameters
    ----------
    design : Design
        Arrays of the model.

    Returns
    -------
    Layout
        Scalars have no dimensions; effects end in the dimension of their levels.
    """
    dims: dict[str, list[str]] = {}
    coords: dict[str, list[str]] = {}
    effect_dims = _effect_dims(design)
    for variable, members in by_variable(design).items():
        if members[0].coord is None:
            dims[safe_name(variable)] = []
            continue
        is_sd = members[0].component == "sd"
        vector = variable.removesuffix("_sigma")
        dim = effect_dims[vector] if is_sd else f"{variable}_dim"
        dims[safe_name(variable)] = [safe_name(dim)]
        coords[safe_name(dim)] = [str(member.coord) for member in members]
    for term in design.groups:
        levels = safe_name(f"{term.group}__factor_dim")
        coords[levels] = list(term.levels)
        for variable in term.variables:
            dims[safe_name(variable.name)] = [levels]
            if variable.coords:
                dim = safe_name(effect_dims[variable.name])
                dims[safe_name(variable.name)] = [dim, levels]
                coords[dim] = list(variable.coords)
    return Layout(dims, coords)


def _effect_dims(design: Design) -> dict[str, str]:
    """Dimension of each vector of effects: ``<expr>__expr_dim`` unless ambiguous."""
    vectors = [v for term in design.groups for v in term.variables if v.coords]
    meanings: dict[str, set[tuple[str, ...]]] = {}
    for vector in vectors:
        meanings.setdefault(vector.expr, set()).add(vector.coords)
    return {v.name: f"{_dim_stem(v, meanings)}__expr_dim" for v in vectors}


def _dim_stem(
    vector: EffectVariable, meanings: Mapping[str, set[tuple[str, ...]]]
) -> str:
    """The expression, or the whole name if terms disagree on its coordinates."""
    return vector.expr if len(meanings[vector.expr]) == 1 else vector.name


def by_variable(design: Design) -> dict[str, list[Parameter]]:
    """Scalar parameters by the posterior variable that holds them."""
    found: dict[str, list[Parameter]] = {}
    for parameter in parameters(design):
        found.setdefault(parameter.variable, []).append(parameter)
    return found


def parameter_draws(
    design: Design,
    beta: Float[np.ndarray, "chain draw p"],
    factors: Sequence[Float[np.ndarray, "chain draw _k _k"]],
    sigma: Float[np.ndarray, "chain draw"],
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
    sigma : ndarray, shape (chain, draw)
        Residual SD, units of y.

    Returns
    -------
    dict of str to ndarray
        ``(chain, draw)`` or ``(chain, draw, coordinate)`` for each variable.
    """
    spreads = [sd_corr_draws(factor) for factor in factors]

    def one(parameter: Parameter) -> Float[np.ndarray, "chain draw"]:
        """Draws of one scalar."""
        if parameter.component == "sigma":
            return sigma
        if parameter.component == "fixef":
            return beta[..., parameter.index[0]]
        assert parameter.term is not None, "SDs and correlations belong to a term"
        sd, corr = spreads[parameter.term]
        return (sd if parameter.component == "sd" else corr)[..., *parameter.index]

    return {
        variable: np.stack([one(member) for member in members], axis=-1)
        if members[0].coord is not None
        else one(members[0])
        for variable, members in by_variable(design).items()
    }


def sd_corr_draws(
    factors: Float[np.ndarray, "chain draw k k"],
) -> tuple[Float[np.ndarray, "chain draw k"], Float[np.ndarray, "chain draw k k"]]:
    """SDs and correlations of the covariances that the factors are roots of."""
    sd = np.sqrt(np.sum(factors**2, axis=-1))
    rows = factors / sd[..., None]
    return sd, rows @ rows.swapaxes(-1, -2)


def effect_draws(
    term: GroupTerm, b: Float[np.ndarray, "chain draw j k"]
) -> dict[str, Float[np.ndarray, "..."]]:
    """Draws of one term's effects by bambi variable, (chain, draw, [effect,] level)."""
    return {
        variable.name: b[..., list(variable.effects)].swapaxes(-1, -2)
        if variable.coords
        else b[..., variable.effects[0]]
        for variable in term.variables
    }


def to_datatree(
    design: Design,
    posterior: Mapping[str, Float[np.ndarray, "..."]],
    sample_stats: Mapping[str, np.ndarray],
    attrs: Mapping[str, Any],
) -> "xr.DataTree":
    """DataTree of posterior, sample_stats and observed_data.

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

    Returns
    -------
    DataTree
        Names and coordinates as in `posterior_layout`.
    """
    import arviz as az

    layout = posterior_layout(design)
    response = safe_name(design.response)
    tree = az.from_dict(
        {
            "posterior": {safe_name(name): draws for name, draws in posterior.items()},
            "sample_stats": dict(sample_stats),
            "observed_data": {response: design.y},
        },
        dims={**layout.dims, response: [OBSERVATIONS]},
        coords={**layout.coords, OBSERVATIONS: np.arange(design.n)},
        attrs={"posterior": dict(attrs)},
    )
    tree.attrs.update(attrs)
    return tree
