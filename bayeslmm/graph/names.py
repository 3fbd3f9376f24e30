"""Names, dimensions and coordinates of the posterior, as bambi has them.

Takes a `Design`; gives one `Layout` that PyMC models and DataTrees of draws share.
Neither accepts ``/`` in a name: there, and only there, a division slash (U+2215) stands
for it.
"""

from dataclasses import dataclass
from typing import Any

from bayeslmm.design.arrays import Design, Parameter, parameters

DIVISION_SLASH = "\u2215"

# Objects of libraries whose stubs are incomplete or absent.
Tensor = Any
"""A PyTensor variable."""
Foreign = Any
"""An object of bambi, PyMC or xarray."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Dimensions of every posterior variable, after chain and draw, and coordinates."""

    dims: dict[str, list[str]]
    coords: dict[str, list[str]]


def safe_name(name: str) -> str:
    """Name that PyMC and a DataTree accept."""
    return name.replace("/", DIVISION_SLASH)


def levels_dim(group: str) -> str:
    """Dimension of the levels of a grouping factor."""
    return safe_name(f"{group}__factor_dim")


def effect_dims(design: Design) -> dict[str, str]:
    """Dimension of each vector of effects: ``<expr>__expr_dim`` unless ambiguous."""
    vectors = [v for term in design.groups for v in term.variables if v.coords]
    meanings: dict[str, set[tuple[str, ...]]] = {}
    for vector in vectors:
        meanings.setdefault(vector.expr, set()).add(vector.coords)
    return {
        v.name: safe_name(
            f"{v.expr if len(meanings[v.expr]) == 1 else v.name}__expr_dim"
        )
        for v in vectors
    }


def by_variable(design: Design) -> dict[str, list[Parameter]]:
    """Scalar parameters by the posterior variable that holds them."""
    found: dict[str, list[Parameter]] = {}
    for parameter in parameters(design):
        found.setdefault(parameter.variable, []).append(parameter)
    return found


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
    vectors = effect_dims(design)
    for variable, members in by_variable(design).items():
        if members[0].coord is None:
            dims[safe_name(variable)] = []
            continue
        is_sd = members[0].component == "sd"
        vector = vectors.get(variable.removesuffix("_sigma"), "") if is_sd else ""
        dim = vector or safe_name(f"{variable}_dim")
        dims[safe_name(variable)] = [dim]
        coords[dim] = [str(member.coord) for member in members]
    for term in design.groups:
        coords[levels_dim(term.group)] = list(term.levels)
        for variable in term.variables:
            vector = [vectors[variable.name]] if variable.coords else []
            dims[safe_name(variable.name)] = [*vector, levels_dim(term.group)]
            if vector:
                coords[vector[0]] = list(variable.coords)
    return Layout(dims, coords)
