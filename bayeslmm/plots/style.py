"""Colours, words, axes and legends that all figures share."""

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REML_COLOR = "#1f5fa8"
POSTERIOR_COLOR = "#d9741a"
PLAIN_COLOR = "#555555"  # no pooling and complete pooling: the data, not a model
MANY_LEVELS = 60  # more rows or ellipses than this cannot be told apart on one page


def coefficient_axis(design: Design, group: str, effect: str) -> str:
    """Axis label of one coefficient of each level, with its units.

    ``Intercept of each Subject (units of Reaction)``, ``Days of each Subject (Reaction
    per unit of Days)``.
    """
    plain = effect == "Intercept" or effect.endswith("]")
    unit = f"units of {design.response}" if plain else f"{design.response} per {effect}"
    return f"{effect} of each {group}  ({unit})"


def new_axes(width: float, height: float) -> "Axes":
    """Axes of a new figure outside pyplot, so that nothing is shown or kept."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained").subplots()


def limits(
    no_pooling: Float[np.ndarray, " j"], held: Float[np.ndarray, "..."]
) -> tuple[float, float]:
    """Axis limits that hold all of `held`, and no pooling within Tukey's outer fences.

    A level with two close rows has a regression of its own a hundred times off; without
    the fences (three interquartile ranges) it would press all others into one dot.
    """
    finite = no_pooling[np.isfinite(no_pooling)]
    kept = finite
    if len(finite):
        low, high = np.quantile(finite, [0.25, 0.75])
        fence = 3.0 * (high - low)
        kept = finite[(finite >= low - fence) & (finite <= high + fence)]
    shown = np.concatenate([kept, held.ravel()])
    low, high = float(shown.min()), float(shown.max())
    margin = 0.06 * (high - low) or 1.0
    return low - margin, high + margin


def short(name: str) -> str:
    """A level's name, cut where it would push the figure aside."""
    return name if len(name) <= 24 else name[:22] + "…"


def no_pooling_label(values: Float[np.ndarray, " j"], outside: int) -> str:
    """Legend of no pooling: how many levels have none, or lie outside the frame."""
    missing = int(np.isnan(values).sum())
    notes = [f"{missing:,} not identified"] if missing else []
    notes += [f"{outside:,} outside the frame"] if outside else []
    return "no pooling" + (f" ({', '.join(notes)})" if notes else "")


def complete_style(label: str | None = "complete pooling") -> dict[str, Any]:
    """Look of complete pooling in every figure."""
    return {
        "color": PLAIN_COLOR,
        "linestyle": "--",
        "linewidth": 1.0,
        "label": label,
        "zorder": 0.5,
    }


def center_style() -> dict[str, Any]:
    """Look of the fixed effect, which levels are pulled to."""
    return {
        "color": REML_COLOR,
        "linewidth": 1.0,
        "alpha": 0.8,
        "label": "centre of pooling (fixed effect)",
        "zorder": 0.6,
    }


def add_legend(ax: "Axes", own: bool) -> "Figure":
    """Legend below the axes of an own figure, inside another's; gives the figure."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    if not own:
        ax.legend(fontsize=8)
        return figure
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=2, fontsize=8, frameon=False
    )
    return figure
