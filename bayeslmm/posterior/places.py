"""Where the draws of every scalar parameter are in a DataTree.

Takes a design and a DataTree; gives `Place`s, which find the draws without the design.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design
from bayeslmm.design.space import Parameter
from bayeslmm.errors import ModelError, is_choice, nearest_names
from bayeslmm.graph.names import by_variable, fixed_names, held_by, safe_name

if TYPE_CHECKING:
    import xarray as xr


def posterior_parameters(design: Design, tree: "xr.DataTree") -> tuple[Parameter, ...]:
    """The parameters that have draws, in the order of the space.

    A family other than the Gaussian has its own in place of sigma: ``alpha``, ``nu``.
    """
    held = tree["posterior"].data_vars
    fixed = fixed_names(design)
    known = [p for p in design.space.parameters if held_by(p, fixed) in held]
    names = {held_by(p, fixed) for p in known}
    others = [
        Parameter(str(name), "sigma", str(name))
        for name, variable in held.items()
        if name not in names and variable.dims == ("chain", "draw")
    ]
    effects = {safe_name(v.name) for t in design.groups for v in t.variables}
    return (*known, *(p for p in others if p.label not in effects))


class Place(NamedTuple):
    """A scalar parameter, and where its draws are: variable and position in it."""

    label: str
    component: str
    variable: str
    position: int | None

    def draws(self, tree: "xr.DataTree") -> Float[np.ndarray, "chain draw"]:
        """Its draws."""
        values = tree["posterior"][self.variable].to_numpy()
        return values if self.position is None else values[..., self.position]


def places(design: Design, tree: "xr.DataTree") -> tuple[Place, ...]:
    """Every scalar parameter that has draws, in the order of the tables."""
    fixed = fixed_names(design)
    positions = {
        p.label: i for held in by_variable(design).values() for i, p in enumerate(held)
    }
    return tuple(
        Place(
            p.label,
            p.component,
            held_by(p, fixed),
            None if p.coord is None else positions[p.label],
        )
        for p in posterior_parameters(design, tree)
    )


def label_draws(
    design: Design, tree: "xr.DataTree", label: str
) -> Float[np.ndarray, "chain draw"]:
    """Draws of one scalar parameter, by its label."""
    return draws_at(places(design, tree), tree, label)


def residual_draws(
    design: Design, tree: "xr.DataTree"
) -> Float[np.ndarray, "chain draw r"]:
    """Draws of ratios and rho of structured residuals; r = 0 without any."""
    own = design.residual.parameters if design.residual is not None else ()
    sizes = tree["posterior"].sizes
    found = np.empty((sizes["chain"], sizes["draw"], len(own)))
    for i, parameter in enumerate(own):
        found[..., i] = label_draws(design, tree, parameter.label)
    return found


def draws_at(
    known: Iterable[Place], tree: "xr.DataTree", label: str
) -> Float[np.ndarray, "chain draw"]:
    """Draws of one of the known parameters, by its label."""
    found = {place.label: place for place in known}
    if not is_choice(label, found):
        raise ModelError(
            f"No parameter {label!r} in this posterior."
            f"{nearest_names(str(label), found)}"
        )
    return found[label].draws(tree)
