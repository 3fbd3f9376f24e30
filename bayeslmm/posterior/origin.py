"""A lattice over the SDs and correlations of the data's columns.

Where the priors of a term refer to the means of its predictors, so do the coordinates:
the SD of an intercept at x = 0 is then a function of several of them. Its posterior is
a margin all the same, in the coordinates of the data's columns. Takes a model and its
`Target`, gives an `Origin`: the same density over those coordinates. Covariance
matrices of both are turns of each other whose determinant is 1, so that the densities
differ by how coordinates measure the volume of covariance matrices.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.design.space import Parameter
from bayeslmm.marginal.conditioned import is_identity
from bayeslmm.posterior.lattice import (
    LEAST_CURVATURE,
    Around,
    Lattice,
    grow_around,
    grow_lattice,
)
from bayeslmm.posterior.margins import coordinate_of
from bayeslmm.posterior.mode import Laplace
from bayeslmm.posterior.target import Target, make_target
from bayeslmm.posterior.visits import Visited, visit_many
from bayeslmm.priors import Priors
from bayeslmm.priors.density import log_volumes, moved_coordinates
from bayeslmm.spec import ModelSpec

# Of a coordinate's unit, for its second difference.
DIFFERENCE = 0.1


@dataclass(frozen=True, slots=True)
class Origin:
    """A posterior over the coordinates of the data's columns.

    Attributes
    ----------
    model : Model
        What was fitted.
    own : Target
        Its density, over its own coordinates.
    here : Target
        What the coordinates of the data's columns are; its density is not used.
    priors : Priors
        The model's, said of those columns: where the coordinates refer to.
    """

    model: ModelSpec
    own: Target
    here: Target
    priors: Priors

    @property
    def turned(self) -> list[int]:
        """Terms whose coordinates differ."""
        return [t for t, T in enumerate(self.model.priors.references) if T is not None]

    def visit(self, x: Float[np.ndarray, "n m"], cores: int) -> Visited:
        """Log density, and the fixed effects given it, at points of the new ones."""
        design, terms = self.model.design, self.turned
        roots = self.here.prior_factors(x)
        there = moved_coordinates(design, x, roots, self.priors, self.model.priors)
        found = visit_many(self.own, there, cores)
        volumes = log_volumes(design, x, terms) - log_volumes(design, there, terms)
        return replace(found, log_density=found.log_density + volumes)

    def mode(self, mode: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        """The new coordinates of a point of the old ones."""
        roots = self.own.factors(mode[None])
        given = (roots, self.model.priors, self.priors)
        return moved_coordinates(self.model.design, mode[None], *given)[0]

    def unit_steps(
        self, mode: Float[np.ndarray, " m"], unit: Float[np.ndarray, " m"]
    ) -> Float[np.ndarray, " m"]:
        """SD of each coordinate given the others; those of the old ones are `unit`."""
        moves = DIFFERENCE * np.diag(unit)
        x = mode + np.concatenate([np.zeros_like(moves[:1]), moves, -moves])
        value = self.visit(x, 1).log_density
        up, down = np.split(value[1:], 2)
        curvature = (2.0 * value[0] - up - down) / np.diag(moves) ** 2
        return 1.0 / np.sqrt(np.maximum(curvature, LEAST_CURVATURE))

    def lattice(
        self,
        mode: Float[np.ndarray, " m"],
        step: float,
        unit: Float[np.ndarray, " m"],
        moments: Int[np.ndarray, " m"],
        cut: float,
        cores: int,
    ) -> Lattice:
        """A lattice around a mode and with units of the old coordinates."""
        own = self.mode(mode)
        least = float(self.visit(own[None], 1).log_density[0]) - cut
        around = Around(own, least, step * self.unit_steps(own, unit), moments)
        return grow_around(around, lambda x: self.visit(x, cores))


@dataclass(frozen=True, slots=True)
class Views:
    """A lattice over the model's coordinates, and one over those of the data's columns.

    The second is there where these differ.
    """

    own: tuple[Target, Lattice]
    origin: tuple[Target, Lattice] | None

    def of(self, parameter: Parameter) -> tuple[Target, Lattice]:
        """That of which a parameter is a margin, with what its coordinates are."""
        if parameter.component == "fixef" or self.origin is None:
            return self.own
        here, there = (
            coordinate_of(parameter, target) for target, _ in (self.own, self.origin)
        )
        return self.origin if here is None and there is not None else self.own


def look(
    target: Target,
    origin: Origin | None,
    normal: Laplace,
    grid: tuple[float, Float[np.ndarray, " m"], Int[np.ndarray, " m"], float],
    cores: int,
) -> Views:
    """Both lattices; `grid` has step, unit, moments and cut.

    Raises
    ------
    ModelError
        If one has more than 500,000 points.
    """
    step, unit, moments, cut = grid
    own = grow_lattice(target, normal, step * unit, moments, cut, cores)
    if origin is None:
        return Views((target, own), None)
    there = origin.lattice(normal.mode, *grid, cores)
    return Views((target, own), (origin.here, there))


def find_origin(model: ModelSpec, target: Target) -> Origin | None:
    """The view from the data's columns; None where coordinates refer to them."""
    if all(is_identity(moved) for moved in target.conditioned.movers):
        return None
    priors = replace(model.priors, references=(None,) * len(target.terms))
    here = make_target(model.design, model.conditioned, priors)
    return Origin(model, target, here, priors)
