"""The joint model in the coordinates that the sampler sees.

Takes the joint PyMC model; gives the same density over other coordinates: fixed effects
through orthonormal columns, and then in units of the curvature at a good start, so that
neither the units nor the zero of a predictor are felt. A linear change of coordinates
leaves the model and its priors what they are; draws come back under their own names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.design.arrays import FixedVariable, rows_of
from bayeslmm.families import FAMILIES
from bayeslmm.graph.blocks import at_reference
from bayeslmm.graph.fixed import free_names
from bayeslmm.graph.names import (
    REFERENCE,
    Foreign,
    Tensor,
    fixed_names,
    safe_name,
)
from bayeslmm.graph.start import Density, climb
from bayeslmm.priors.sets import linear_scales
from bayeslmm.spec import ModelSpec

if TYPE_CHECKING:
    import pymc as pm

BLOCK = "block"
# An SD starts where its effects move the linear predictor by this share of the spread
# that the response lets one expect; a heuristic, between none and all of it.
START_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Coordinates:
    """The joint model over ``block = start + basis z``, and over the offsets as such.

    Attributes
    ----------
    graph : pymc.Model
        Free variables ``block``, shape (d,), and the standardised random effects; one
        Deterministic ``out<i>`` for each name of `names`.
    names : tuple of str
        Variables of the joint model that are given.
    start, basis : pytensor shared variables
        Shapes (d,) and (d, d); may be set after compiling.
    climbed : ndarray of int
        Coordinates whose mode can be looked for at random effects of zero: fixed
        effects and parameters of the family.
    size : int
        Number of all coordinates.
    """

    graph: "pm.Model"
    names: tuple[str, ...]
    start: Foreign
    basis: Foreign
    climbed: Int[np.ndarray, " a"]
    size: int

    @property
    def outputs(self) -> tuple[str, ...]:
        """Internal names of the variables of the joint model, in their order."""
        return tuple(f"out{i}" for i in range(len(self.names)))


@dataclass(frozen=True, slots=True)
class _Part:
    """A free variable of the joint model.

    ``value`` is unconstrained and starts at ``first``; ``kind`` is "fixed" (without a
    bound), "family" (or a fixed effect with a bound), "spread" (SDs and correlations)
    or "offset" (standardised random effects).
    """

    name: str
    value: Tensor
    first: Float[np.ndarray, "..."]
    kind: str


def in_coordinates(
    model: ModelSpec, joint: "pm.Model", names: Sequence[str]
) -> Coordinates:
    """The joint model over the sampler's coordinates.

    Parameters
    ----------
    model : Model
        What the joint model was made of.
    joint : pymc.Model
        The joint model.
    names : sequence of str
        Its variables that are wanted as outputs.

    Returns
    -------
    Coordinates
        Start and basis are those of the design; `climb` betters them.
    """
    import pymc as pm
    import pytensor
    from pytensor.graph.replace import graph_replace

    parts = _parts(model, joint)
    block = [part for part in parts if part.kind != "offset"]
    first = np.concatenate([np.ravel(part.first) for part in block])
    start = pytensor.shared(first, name="start")
    basis = pytensor.shared(_first_basis(model, joint, block), name="basis")
    wanted = joint.replace_rvs_by_values([joint[name] for name in names])
    with pm.Model() as graph:
        z = pm.Flat(BLOCK, shape=first.size)
        # a dot would cost numba 20 s of compiling
        flat = start + (basis * z).sum(axis=1)
        replaced = _split(block, flat)
        for i, part in enumerate(p for p in parts if p.kind == "offset"):
            replaced[part.value] = pm.Flat(f"offset{i}", shape=part.first.shape)
        replaced = {
            value: value.type.filter_variable(new, allow_convert=True)
            for value, new in replaced.items()
        }
        outputs_of: Foreign = [joint.logp(), *wanted]
        logp, *outputs = graph_replace(outputs_of, replaced)
        pm.Potential("joint", logp)
        for i, output in enumerate(outputs):
            pm.Deterministic(f"out{i}", output)
    kinds = np.repeat(
        [part.kind for part in block], [part.first.size for part in block]
    )
    climbed = np.flatnonzero(np.isin(kinds, ("fixed", "family")))
    size = sum(part.first.size for part in parts)
    return Coordinates(graph, tuple(names), start, basis, climbed, size)


def settle(place: Coordinates, density: Density) -> None:
    """Move start and basis to a climbed point and the units of the curvature there.

    Parameters
    ----------
    place : Coordinates
        Its start and basis are changed.
    density : callable
        Log density and gradient of ``place.graph`` with the start and basis that are
        set, over all coordinates.
    """
    at, root = climb(density, np.zeros(place.size), place.climbed)
    start, basis = place.start.get_value(), place.basis.get_value()
    place.start.set_value(start + basis @ at[: start.size])
    basis[:, place.climbed] = basis[:, place.climbed] @ root
    place.basis.set_value(basis)


def _split(block: list[_Part], flat: Tensor) -> dict[Tensor, Tensor]:
    """Entries of the flat vector, in the shapes of the values they stand for."""
    found, at = {}, 0
    for part in block:
        end = at + part.first.size
        found[part.value] = flat[at:end].reshape(part.first.shape)
        at = end
    return found


def _parts(model: ModelSpec, joint: "pm.Model") -> list[_Part]:
    """Every free variable of the joint model with a start that does not overflow."""
    first = joint.initial_point()
    spreads = _spread_starts(model)
    slopes = _level(model, joint, _plain(joint, model))
    climbed = set(free_names(model).values())
    climbed |= set(FAMILIES[model.family].others)
    found = []
    for rv in joint.free_RVs:
        value, kind = joint.rvs_to_values[rv], "spread"
        begin = np.asarray(first[value.name], float)
        if rv.name in slopes:
            kind, begin = "fixed", slopes[rv.name].reshape(begin.shape)
        elif rv.name in climbed:
            kind = "family"
        elif rv.name.endswith("_offset"):
            kind, begin = "offset", np.zeros_like(begin)
        elif value.name == f"{rv.name}_log__":
            own = spreads[rv.name]
            # one SD may be shared by all effects of a homogeneous term
            begin = np.reshape(
                own if own.size == begin.size else own.min(), begin.shape
            )
        found.append(_Part(rv.name, value, begin, kind))
    return found


def _plain(joint: "pm.Model", model: ModelSpec) -> list[FixedVariable]:
    """Fixed variables that are sampled as they are, without a bound."""
    names = free_names(model)
    return [
        variable
        for variable, name in zip(model.design.fixed, names, strict=True)
        if joint.rvs_to_transforms[joint[names[name]]] is None
    ]


def _columns(
    model: ModelSpec, joint: "pm.Model", variables: Sequence[FixedVariable]
) -> Float[np.ndarray, "n c"]:
    """Columns of the free variables of the joint model, in its order."""
    design, found = model.design, [np.empty((model.design.n, 0))]
    names, stated = fixed_names(design), _stated_columns(model)
    for variable in variables:
        columns = list(variable.columns)
        if variable.coords:
            coords: Foreign = joint.coords
            labels = [str(c) for c in coords[f"{names[variable.name]}_dim"]]
            columns = [columns[variable.coords.index(label)] for label in labels]
        found.append(stated[:, columns])
    return np.hstack(found)


def _stated_columns(model: ModelSpec) -> Float[np.ndarray, "n p"]:
    """Columns of X whose coefficients have the priors, in the order of the design."""
    X = rows_of(model.design, "starting values").X
    intercept = model.design.intercept
    turn = model.priors.fixed_turn
    if intercept is not None and model.priors.center_predictors:
        means = X.mean(axis=0)
        means[intercept] = 0.0
        X = X - means
    return X if turn is None else X @ turn


def _level(
    model: ModelSpec, joint: "pm.Model", variables: Sequence[FixedVariable]
) -> dict[str, Float[np.ndarray, " c"]]:
    """Fixed effects whose linear predictor is everywhere near that of the mean of y."""
    X = _columns(model, joint, variables)
    sizes = np.sqrt(np.mean(X**2, axis=0))
    centre = linear_scales(model.design, model.family).centre
    beta = np.linalg.lstsq(X / sizes, np.full(len(X), centre), rcond=None)[0] / sizes
    fixed, free = fixed_names(model.design), free_names(model)
    found, at = {}, 0
    for variable in variables:
        end = at + len(variable.columns)
        found[free[fixed[variable.name]]] = beta[at:end]
        at = end
    return found


def _first_basis(
    model: ModelSpec, joint: "pm.Model", block: list[_Part]
) -> Float[np.ndarray, "d d"]:
    """Basis in which a step of 1 moves the linear predictor by the spread of y."""
    basis = np.eye(sum(part.first.size for part in block))
    fixed, free = fixed_names(model.design), free_names(model)
    by_name = {free[fixed[v.name]]: v for v in model.design.fixed}
    own = np.repeat([p.kind == "fixed" for p in block], [p.first.size for p in block])
    chosen = [by_name[p.name] for p in block if p.kind == "fixed"]
    X = _columns(model, joint, chosen)
    sizes = np.sqrt(np.mean(X**2, axis=0))
    R = np.linalg.qr(X / sizes, mode="r")
    spread = linear_scales(model.design, model.family).spread
    inverse = np.linalg.solve(R, np.eye(len(R)))
    basis[np.ix_(own, own)] = (
        spread * np.sqrt(len(X)) * inverse * np.sign(np.diag(R)) / sizes[:, None]
    )
    return basis


def _spread_starts(model: ModelSpec) -> dict[str, Float[np.ndarray, " e"]]:
    """Log SDs at which the effects of a term move the linear predictor moderately."""
    spread = linear_scales(model.design, model.family).spread
    rows = at_reference(rows_of(model.design, "starting values"), model.priors)
    found = {}
    for term, Z in zip(model.design.groups, rows.Z, strict=True):
        log_sd = np.log(START_SHARE * spread / np.sqrt(np.mean(Z**2, axis=0)))
        for variable in term.variables:
            own = log_sd[list(variable.effects)]
            for ending in ("", REFERENCE):
                found[f"{safe_name(variable.name)}_sigma{ending}"] = own
    return found
