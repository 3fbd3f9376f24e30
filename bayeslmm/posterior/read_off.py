"""Densities and probabilities of any parameter of a posterior, read off its points.

Takes a `Posterior` and a label; variance components come with their prior and the
likelihood between, fixed and random effects are mixtures of Normals.
"""

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from bayeslmm.errors import (
    ModelError,
    check_text,
    is_number,
    nearest_names,
    shortened,
)
from bayeslmm.posterior.components import (
    Component,
    component_labels,
    make_component,
)
from bayeslmm.posterior.densities import ComponentCurves, component_curves
from bayeslmm.posterior.mixtures import (
    NormalMixture,
    find_effect,
    fixed_mixture,
    random_mixture,
)
from bayeslmm.posterior.weighted import WeightedPoints, weighted_points
from bayeslmm.tables import Table

if TYPE_CHECKING:
    import pandas as pd

    from bayeslmm.posterior.fit import Posterior

# Values of a table, and the tails of the posterior that it leaves out.
VALUES, LOW, HIGH = 201, 5e-4, 0.995
# An SD whose lower quantile is below this share of its upper one is shown from 0 on.
NEAR_ZERO = 0.15


class Curves(NamedTuple):
    """What stands behind a label: a component, or a mixture."""

    curves: ComponentCurves | None
    mixture: NormalMixture | None


def density_table(
    post: "Posterior", label: str, grid: object, at: str
) -> "pd.DataFrame":
    """Density of one parameter; see `Posterior.density`."""
    found = find_curves(post, weighted_points(post), label, at)
    if found.mixture is not None:
        own = found.mixture
        if grid is None:
            ends = own.quantiles(LOW, 1.0 - LOW)
            values = np.linspace(ends[0], ends[1], VALUES)
        else:
            values = checked_grid(grid)
        return Table({"value": values, "density": own.density(values)})
    assert found.curves is not None, "one of the two"
    values = shown_values(found.curves) if grid is None else checked_grid(grid)
    return curve_table(found.curves, values)


def probability(
    post: "Posterior", label: str, above: object, below: object, at: str
) -> float:
    """Probability of a range of one parameter; see `Posterior.probability`."""
    if above is None and below is None:
        raise ModelError(
            "Say of what range the probability is: above=0, below=0, or both for the "
            "range between them."
        )
    low = -math.inf if above is None else _end(above, "above")
    high = math.inf if below is None else _end(below, "below")
    if not low < high:
        raise ModelError(
            f"Nothing lies above {low:g} and below {high:g}. For the outside of a "
            f"range add the probabilities of both sides."
        )
    found = find_curves(post, weighted_points(post), label, at)
    if found.mixture is not None:
        own = found.mixture
        sides = own.below(low), own.above(high)
        whole = own.above(low) if high == math.inf else own.below(high)
        return whole if math.inf in (-low, high) else 1.0 - sides[0] - sides[1]
    assert found.curves is not None, "one of the two"
    return component_probability(found.curves, low, high)


def component_probability(curves: ComponentCurves, low: float, high: float) -> float:
    """Posterior probability that a component lies between two values."""
    component, density = curves.component, curves.posterior
    a, b = component.unbounded(_inside(component, np.array([low, high]))).tolist()
    if high == math.inf:
        return float(density.above(np.array([a]))[0])
    if low == -math.inf:
        return float(density.below(np.array([b]))[0])
    ends = density.below(np.array([a, b]))
    return float(ends[1] - ends[0])


def find_curves(
    post: "Posterior", points: WeightedPoints, label: str, at: str
) -> Curves:
    """The component or the mixture that a label names."""
    design = post.model.design
    check_text(label, "label")
    fixed = {p.label: p for p in design.space.fixed}
    if label in fixed:
        return Curves(None, fixed_mixture(points, fixed[label].index[0]))
    if label in component_labels(design):
        component = make_component(design, points.target, label, at)
        return Curves(component_curves(component, points), None)
    place = find_effect(design, label)
    if place is not None:
        return Curves(None, random_mixture(points, *place))
    names = [*fixed, *component_labels(design)]
    names += [f"{t.effects[0]}|{t.group}[{t.levels[0]}]" for t in design.groups]
    raise ModelError(
        f"No parameter or random effect {label!r} in this posterior."
        f"{nearest_names(label, names)}"
    )


def curve_table(
    curves: ComponentCurves, values: Float[np.ndarray, " v"]
) -> "pd.DataFrame":
    """Posterior, prior and likelihood of a component at values in its units."""
    component, density = curves.component, curves.posterior
    inside = _inside(component, values)
    possible = inside == values
    with np.errstate(invalid="ignore"):
        working = component.unbounded(inside)
    working = np.clip(working, *density.edges())
    log_slope = component.log_slope(working)
    log_posterior, log_prior = density.log_at(working), curves.prior(working)
    with np.errstate(over="ignore"):
        columns = {
            "density": np.exp(log_posterior - log_slope),
            "prior": np.exp(log_prior - log_slope),
            "likelihood": np.exp(log_posterior - log_prior),
        }
    for name, own in columns.items():
        columns[name] = np.where(possible, own, np.nan if name == "likelihood" else 0.0)
    return Table({"value": values, **columns})


def shown_values(curves: ComponentCurves) -> Float[np.ndarray, " v"]:
    """Values in the units of a component that hold nearly all of its posterior."""
    component = curves.component
    ends = curves.posterior.quantiles(np.array([LOW, HIGH]))
    low, high = component.natural(ends).tolist()
    if component.kind in ("sd", "sigma") and low < NEAR_ZERO * high:
        low = 0.0
    return np.linspace(low, high, VALUES)


def checked_grid(grid: object) -> Float[np.ndarray, " v"]:
    """Values at which a density is asked, as an array."""
    try:
        values = np.atleast_1d(np.asarray(grid, float))
    except (TypeError, ValueError):
        values = np.empty((0, 0))
    if values.ndim == 1 and values.size and np.isfinite(values).all():
        return values
    raise ModelError(
        f"grid must be numbers at which the density is asked, such as "
        f"np.linspace(0, 10, 200), not {shortened(grid)}."
    )


def _inside(
    component: Component, values: Float[np.ndarray, " v"]
) -> Float[np.ndarray, " v"]:
    """Values, those that cannot be moved to the end of the range."""
    bounds = (0.0, 1.0) if component.parameter is None else component.parameter.bounds
    return np.clip(values, *bounds)


def _end(value: object, name: str) -> float:
    """End of a range as a number."""
    if not is_number(value) or math.isnan(value):
        raise ModelError(f"{name} must be a number, not {value!r}.")
    return float(value)
