"""Names, dimensions and coordinates of the posterior, as bambi has them.

Takes a `Design`; gives one `Layout` that PyMC models and DataTrees of draws share.
Neither accepts ``/`` in a name: there, and only there, a division slash (U+2215) stands
for it. A fixed variable or response whose name a library or another variable needs
(``chain``, ``g__factor_dim``) has underscores added; its label in tables stays.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from bayeslmm.design.arrays import Design, FixedVariable
from bayeslmm.design.space import Parameter
from bayeslmm.priors import Priors

DIVISION_SLASH = "\u2215"
OBSERVATIONS = "__obs__"
# Ends the name of the SD that has the prior, where it is not the one reported.
REFERENCE = "_reference"
# Dimensions of every posterior, bambi's name of a mean, and paths in a DataTree.
_OTHERS_NEED = ("chain", "draw", "sample", OBSERVATIONS, "mu", ".", "..")

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


def fixed_names(design: Design) -> dict[str, str]:
    """Name in graphs and draws of every fixed variable, by its name in the design."""
    taken = _taken(design)
    used = {safe_name(v.name) for v in design.fixed} - taken
    found = {}
    for variable in design.fixed:
        name = safe_name(variable.name)
        if name in taken or name in found.values():
            name = _renamed(name, taken | used)
            used.add(name)
        found[variable.name] = name
    return found


def free_name(variable: FixedVariable, fixed: dict[str, str], priors: Priors) -> str:
    """Name in graphs of the coefficients that have the prior, given `fixed_names`.

    That of the variable, or with `REFERENCE` where the prior is meant for products of
    centred variables.
    """
    name = fixed[variable.name]
    return f"{name}{REFERENCE}" if is_moved(variable, priors) else name


def is_moved(variable: FixedVariable, priors: Priors) -> bool:
    """Whether the prior of a fixed variable is not of the coefficients reported."""
    turn = priors.fixed_turn
    if turn is None:
        return False
    own = list(variable.columns)
    return bool((turn[own] != np.eye(len(turn))[own]).any())


def response_name(design: Design) -> str:
    """Name in graphs and draws of the response."""
    taken = _taken(design) | set(fixed_names(design).values()) | {"sigma"}
    taken |= {f"{safe_name(variable.name)}_dim" for variable in design.fixed}
    name = safe_name(design.response)
    return _renamed(name, taken) if name in taken else name


def _renamed(name: str, taken: set[str]) -> str:
    """The name with as many underscores as make it new."""
    while name in taken:
        name += "_"
    return name


def _taken(design: Design) -> set[str]:
    """Names that a fixed variable cannot have: of libraries, effects and dimensions."""
    found = {*_OTHERS_NEED, *effect_dims(design).values()}
    found |= {f"{safe_name(v.name)}_dim" for v in design.fixed if v.coords}
    moves = design.products.fixed.moves
    for variable in design.fixed:
        if any(moves(column) for column in variable.columns):
            found.add(f"{safe_name(variable.name)}{REFERENCE}")
    for term in design.groups:
        found.add(levels_dim(term.group))
        for variable in term.variables:
            name = safe_name(variable.name)
            found |= {name, f"{name}_sigma", f"{name}_sigma{REFERENCE}"}
        group = safe_name(term.group)
        found |= {f"{group}_corr", f"{group}_corr_dim"}
        for i in range(len(design.groups)):
            found |= {f"{group}{f'_{i + 1}' if i else ''}_offset"}
            found |= {f"{group}_corr_partial{f'_{i + 1}' if i else ''}"}
    return found


def by_variable(design: Design) -> dict[str, list[Parameter]]:
    """Scalar parameters by the posterior variable that holds them."""
    fixed, found = fixed_names(design), {}
    for parameter in design.space.parameters:
        found.setdefault(held_by(parameter, fixed), []).append(parameter)
    return found


def held_by(parameter: Parameter, fixed: dict[str, str]) -> str:
    """Posterior variable that holds a parameter, given `fixed_names`."""
    if parameter.component == "fixef":
        return fixed[parameter.variable]
    return safe_name(parameter.variable)


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
            dims[variable] = []
            continue
        is_sd = members[0].component == "sd"
        effect = members[0].variable.removesuffix("_sigma")
        dim = (vectors.get(effect, "") if is_sd else "") or f"{variable}_dim"
        dims[variable] = [dim]
        coords[dim] = [str(member.coord) for member in members]
    for term in design.groups:
        coords[levels_dim(term.group)] = list(term.levels)
        for variable in term.variables:
            vector = [vectors[variable.name]] if variable.coords else []
            dims[safe_name(variable.name)] = [*vector, levels_dim(term.group)]
            if vector:
                coords[vector[0]] = list(variable.coords)
    return Layout(dims, coords)
