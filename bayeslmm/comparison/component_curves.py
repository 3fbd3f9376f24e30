"""The curves of a variance component where they are shown, at heights that compare.

Takes a `ComponentPanel`; gives values that hold most of the posterior and the
intervals, with prior, likelihood and posterior there.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    from bayeslmm.comparison.components import ComponentPanel

POINTS = 400  # of a curve
TAILS = (0.001, 0.99)  # of the posterior, which a panel holds at least
HEAVY = 5.0  # interquartile ranges from the median on, beyond which a tail is cut
TALLEST = 5.0  # times the density at the median, beyond which a spike is cut
WIDEST = 1.6  # of these: ends of intervals beyond are cut, with an arrow
NEAR_ZERO = 0.15  # lower end over upper one, below which a panel begins at 0
KERNEL_TAILS = (0.01, 0.99)  # beyond these a kernel density has too few draws
FLAT_HEIGHT = 0.12  # of a flat prior, which has none of its own


@dataclass(frozen=True, slots=True)
class ShownCurves:
    """Curves of a component.

    Attributes
    ----------
    values : ndarray, shape (v,)
        Of the component, units of its row.
    posterior, prior, likelihood : ndarray, shape (v,), or None
        Densities; the likelihood at the height of the posterior, NaN where it is not
        known. None where there is no prior in closed form.
    height : float
        Of the posterior, a spike at an end cut.
    proper : bool
        Whether the prior has a height of its own.
    """

    values: Float[np.ndarray, " v"]
    posterior: Float[np.ndarray, " v"]
    prior: Float[np.ndarray, " v"] | None
    likelihood: Float[np.ndarray, " v"] | None
    height: float
    proper: bool


def shown_curves(panel: "ComponentPanel", points: int = POINTS) -> ShownCurves:
    """The curves of a component at so many values."""
    from bayeslmm.posterior.learnt import proper_prior
    from bayeslmm.posterior.read_off import curve_table

    values = _values(panel, points)
    table = curve_table(panel.curves, values)
    middle = curve_table(panel.curves, np.array([panel.row["median"]]))["density"]
    posterior = table["density"].to_numpy()
    height = min(float(posterior.max()), TALLEST * float(middle.iloc[0]))
    proper = proper_prior(panel.curves) is not None
    if not table["prior"].notna().any():
        return ShownCurves(values, posterior, None, None, height, proper)
    prior = table["prior"].to_numpy()
    if not proper:
        prior = prior / prior.max() * FLAT_HEIGHT * height
    likelihood = _known_likelihood(panel, values, table["likelihood"].to_numpy())
    likelihood = likelihood / np.nanmax(likelihood) * height
    return ShownCurves(values, posterior, prior, likelihood, height, proper)


def _values(panel: "ComponentPanel", points: int) -> Float[np.ndarray, " v"]:
    """Values of a panel: most of the posterior, and the intervals as far as may be."""
    component = panel.curves.component
    ends = panel.curves.posterior.quantiles(np.array([*TAILS, 0.25, 0.75]))
    low, high, *quarters = component.natural(ends).tolist()
    known = [panel.row[key] for key in panel.row if key.endswith(("_lower", "_upper"))]
    known = [value for value in [*known, panel.row["reml"]] if math.isfinite(value)]
    middle = panel.row["median"]
    high = min(high, middle + HEAVY * (quarters[1] - quarters[0]))
    span = WIDEST * (high - low)
    furthest = max(known, default=high), min(known, default=low)
    high = max(high, min(furthest[0], middle + span))
    low = min(low, max(furthest[1], middle - span))
    bottom, top = (
        (0.0, 1.0) if component.parameter is None else component.parameter.bounds
    )
    if bottom == 0.0 and low < NEAR_ZERO * high:
        low = 0.0
    margin = 0.04 * (high - low)
    return np.linspace(max(low - margin, bottom), min(high + margin, top), points)


def _known_likelihood(
    panel: "ComponentPanel",
    values: Float[np.ndarray, " v"],
    likelihood: Float[np.ndarray, " v"],
) -> Float[np.ndarray, " v"]:
    """Where it is no ratio of two kernel densities that are nearly 0."""
    component = panel.curves.component
    if component.direction is not None:
        return likelihood
    ends = panel.curves.posterior.quantiles(np.array(KERNEL_TAILS))
    low, high = component.natural(ends).tolist()
    return np.where((values >= low) & (values <= high), likelihood, np.nan)
