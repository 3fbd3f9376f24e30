"""One effect per level: a row for each level, with its three estimates."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bayeslmm.design.arrays import Design
from bayeslmm.plots.style import (
    MANY_LEVELS,
    PLAIN_COLOR,
    POSTERIOR_COLOR,
    REML_COLOR,
    add_legend,
    center_style,
    coefficient_axis,
    complete_style,
    limits,
    new_axes,
    no_pooling_label,
    short,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_TICKS = 30  # labels of levels that stay legible on the tallest figure


def draw_rows(table: pd.DataFrame, design: Design, ax: "Axes | None") -> "Figure":
    """Levels as rows, ordered by partial pooling."""
    table = table.sort_values("partial_pooling", kind="stable").reset_index(drop=True)
    n_levels = len(table)
    many = n_levels > MANY_LEVELS
    own = ax is None
    if ax is None:
        ax = new_axes(7.0, 9.0 if many else max(2.9, 1.6 + 0.3 * n_levels))
    rows = np.arange(n_levels)
    if "posterior" in table:
        (_draw_band if many else _draw_intervals)(ax, rows, table)
    outside = _frame(ax, table)
    _draw_points(ax, rows, table, size=2.0 if many else 6.0, outside=outside)
    ax.axvline(table["complete_pooling"].iloc[0], **complete_style())
    ax.axvline(table["center"].iloc[0], **center_style())
    group, effect = table["group"].iloc[0], table["effect"].iloc[0]
    ax.set_xlabel(coefficient_axis(design, group, effect))
    _label_rows(ax, table, many)
    return add_legend(ax, own)


def _draw_intervals(ax: "Axes", rows: np.ndarray, table: pd.DataFrame) -> None:
    """Posterior mean and interval a little below the row of each level."""
    mean = table["posterior"]
    ax.errorbar(
        mean,
        rows - 0.26,
        xerr=[mean - table["lower"], table["upper"] - mean],
        fmt="D",
        markersize=4.5,
        elinewidth=1.6,
        color=POSTERIOR_COLOR,
        label=f"partial pooling, posterior mean and {table.attrs['interval']}",
    )


def _draw_band(ax: "Axes", rows: np.ndarray, table: pd.DataFrame) -> None:
    """Posterior intervals of many levels as one thin line each under the points."""
    ax.hlines(
        rows,
        table["lower"],
        table["upper"],
        color=POSTERIOR_COLOR,
        linewidth=0.5,
        alpha=0.55,
    )
    ax.plot(
        table["posterior"],
        rows,
        color=POSTERIOR_COLOR,
        linewidth=1.2,
        label=f"partial pooling, posterior mean and {table.attrs['interval']}",
    )


def _draw_points(
    ax: "Axes", rows: np.ndarray, table: pd.DataFrame, *, size: float, outside: int
) -> None:
    """No pooling as open circles, the BLUPs filled."""
    ax.plot(
        table["no_pooling"],
        rows,
        "o",
        markersize=1.25 * size,
        markerfacecolor="none",
        markeredgecolor=PLAIN_COLOR,
        markeredgewidth=0.4 if size < 4 else 1.0,
        label=no_pooling_label(table["no_pooling"].to_numpy(), outside),
        zorder=2.5,
    )
    ax.plot(
        table["partial_pooling"],
        rows,
        "o",
        markersize=0.75 * size,
        color=REML_COLOR,
        label=f"partial pooling, {table.attrs['method']} BLUP",
        zorder=3,
    )


def _label_rows(ax: "Axes", table: pd.DataFrame, many: bool) -> None:
    """Names of the levels, thinned so that they stay legible."""
    n_levels, group = len(table), table["group"].iloc[0]
    step = -(-n_levels // MOST_TICKS) if many else 1
    shown = np.arange(0, n_levels, step)
    names = [short(table["level"].iloc[i]) for i in shown]
    ax.set_yticks(shown, names, fontsize=8 if many or n_levels > 20 else 9)
    ordered = f"{n_levels:,} levels by estimate"
    ax.set_ylabel(f"{group}  ({ordered}, one in {step} named)" if many else group)
    margin = 0.01 * n_levels if many else 0.7
    ax.set_ylim(-margin, n_levels - 1 + margin)


def _frame(ax: "Axes", table: pd.DataFrame) -> int:
    """Limit the axis to what pooling compares; number of circles left outside."""
    no_pooling = table["no_pooling"].to_numpy()
    held = table.filter(["partial_pooling", "complete_pooling", "lower", "upper"])
    low, high = limits(no_pooling, held.to_numpy())
    ax.set_xlim(low, high)
    return int(((no_pooling < low) | (no_pooling > high)).sum())
