"""One variance component as a function of the coordinates: SD, correlation, sigma, ICC.

Takes a `Target` and a label; gives its `Component`: values at points on a scale without
bounds (log of an SD, atanh of a correlation, logit of an ICC), and a direction along
which this value rises as fast as one moves, where there is one. Posterior and prior of
a component are then averages over lines in that direction (`lines`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import expit, log_expit, logit

from bayeslmm.design.arrays import Design
from bayeslmm.design.space import POSITIVE, Parameter
from bayeslmm.errors import ModelError, nearest_names
from bayeslmm.posterior.draws import sd_corr_draws
from bayeslmm.posterior.target import Target
from bayeslmm.reml.centred import centred_factors, is_at_mean
from bayeslmm.reml.shares import Values, variance_parts

Points = Float[np.ndarray, "n m"]
Numbers = Float[np.ndarray, " n"]

ICC = "icc"
"""Label of the share of the variance between levels, `Posterior.icc`'s ``adjusted``."""


@dataclass(frozen=True, slots=True)
class Component:
    """A variance component, at points of the coordinates.

    Attributes
    ----------
    label : str
        As in the index of `Posterior.summary`, or ``"icc"``.
    kind : {"sd", "corr", "sigma", "icc"}
        What it is; other parameters of residuals are ``"sigma"``.
    working : callable
        Coordinates, shape (n, m), to values without bounds, shape (n,).
    place : int or None
        The coordinate that it alone is a function of.
    direction : ndarray, shape (m,), or None
        Along which ``working(x + a direction) = working(x) + a``; None without one.
    parameter : Parameter or None
        Of the model's space; None for the ICC.
    at_mean : bool
        Whether predictors stand at their means.
    unmoved : bool
        Whether it is one of the parameters that the priors refer to.
    """

    label: str
    kind: str
    working: Callable[[Points], Numbers]
    place: int | None
    direction: Float[np.ndarray, " m"] | None
    parameter: Parameter | None
    at_mean: bool
    unmoved: bool = True

    def natural(self, working: Numbers) -> Numbers:
        """Values in the units of the parameter."""
        if self.parameter is None:
            return expit(working)
        return self.parameter.natural(working)

    def unbounded(self, value: Numbers) -> Numbers:
        """The inverse of `natural`."""
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.parameter is None:
                return logit(value)
            return self.parameter.working(value)

    def log_slope(self, working: Numbers) -> Numbers:
        """Log of the derivative of `natural`, at working values."""
        if self.parameter is None:
            return log_expit(working) + log_expit(-working)
        if self.parameter.bounds == POSITIVE:
            return working
        ends = self.parameter.natural(np.array([-np.inf, np.inf]))
        half = 0.5 * float(ends[1] - ends[0])
        sech = np.log(2.0) - np.logaddexp(working, -working)
        return np.log(half) + 2.0 * sech


def component_labels(design: Design) -> tuple[str, ...]:
    """Every SD, correlation, sigma, and the ICC where there are levels."""
    own = tuple(p.label for p in design.space.variances)
    return (*own, ICC) if design.groups else own


def make_component(design: Design, target: Target, label: str, at: str) -> Component:
    """The component with a label.

    Parameters
    ----------
    design : Design
        Of the model.
    target : Target
        Its density.
    label : str
        As in the index of `Posterior.summary`, or ``"icc"``.
    at : {"zero", "mean"}
        Where predictors whose effects vary stand for the SDs and correlations of the
        effects beside them.

    Raises
    ------
    ModelError
        If there is no such component.
    """
    at_mean = is_at_mean(at)
    if label == ICC and design.groups:
        return _icc(design, target)
    known = {p.label: p for p in design.space.variances}
    if label not in known:
        names = component_labels(design)
        raise ModelError(
            f"No variance component {label!r} in this model."
            f"{nearest_names(label, names)}"
        )
    parameter = known[label]

    def working(x: Points) -> Numbers:
        factors = target.factors(x)
        if at_mean:
            factors = centred_factors(design, factors)
        spreads = [sd_corr_draws(own) for own in factors]
        value = parameter.read(np.empty(0), spreads, target.space.scalars(x))
        with np.errstate(divide="ignore"):
            return np.asarray(parameter.working(value))

    unmoved = _is_unmoved(design, target, parameter, at_mean)
    place = target.space.place(label) if unmoved else None
    return Component(
        label=label,
        kind=parameter.component,
        working=working,
        place=place,
        direction=_direction(target, parameter, place),
        parameter=parameter,
        at_mean=at_mean,
        unmoved=unmoved,
    )


def _is_unmoved(
    design: Design, target: Target, parameter: Parameter, at_mean: bool
) -> bool:
    """Whether it is a parameter of effects at the origin that the priors refer to."""
    if parameter.term is None:
        return True
    moved = target.conditioned.movers[parameter.term]
    if at_mean:  # from the origin of the priors to the means
        asked = centred_factors(design, [np.eye(t.k) for t in design.groups])
        moved = asked[parameter.term] @ moved
    own = list(parameter.index)
    return bool(np.allclose(moved[own], np.eye(len(moved))[own]))


def _direction(
    target: Target, parameter: Parameter, place: int | None
) -> Float[np.ndarray, " m"] | None:
    """Along its own coordinate; for another SD along all SDs of its term."""
    found = np.zeros(target.space.size)
    if place is not None:
        found[place] = 1.0
        return found
    if parameter.component != "sd" or parameter.term is None:
        return None
    found[target.space.scales_of(parameter.term)] = 1.0
    return found


def _icc(design: Design, target: Target) -> Component:
    """Random over random and residual variance, averaged over the rows."""

    def working(x: Points) -> Numbers:
        own, sigma = design.residual, target.space.scalars(x)["sigma"]
        residual = None if own is None else own.natural(x[:, target.residual])
        nothing = np.zeros((len(x), design.p))  # beta, which has no part in it
        values = Values(nothing, target.factors(x), sigma, residual)
        parts = variance_parts(design, values)
        return np.log(parts.random) - np.log(parts.residual)

    # along all SDs rather than sigma, which data say more of: lines are longer
    direction = np.zeros(target.space.size)
    for t in range(len(design.groups)):
        direction[target.space.scales_of(t)] = 0.5
    return Component(ICC, "icc", working, None, direction, None, at_mean=False)
