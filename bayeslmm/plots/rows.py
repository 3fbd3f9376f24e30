"""One effect per level: a row for each level, from its own estimate to the pooled."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bayeslmm.design.arrays import Design
from bayeslmm.plots.names import level_name
from bayeslmm.plots.style import (
    MANY_LEVELS,
    PAGE_HEIGHT,
    PLAIN_COLOR,
    POSTERIOR_COLOR,
    REML_COLOR,
    areas,
    center_style,
    coefficient_axis,
    finish,
    label_levels,
    limits,
    new_axes,
    no_pooling_label,
    pulled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW_HEIGHT, AROUND = 0.3, 2.4  # inches, of a row, of title, axis and legend


def draw_rows(
    table: pd.DataFrame, design: Design, note: str, ax: "Axes | None"
) -> "Figure":
    """Levels as rows, ordered by partial pooling."""
    table = table.sort_values("partial_pooling", kind="stable").reset_index(drop=True)
    many, own = len(table) > MANY_LEVELS, ax is None
    if ax is None:
        height = AROUND + ROW_HEIGHT * len(table)
        ax = new_axes(7.5, PAGE_HEIGHT if many else height)
    rows = np.arange(len(table))
    outside = _frame(ax, table)
    if "posterior" in table:
        (_draw_band if many else _draw_intervals)(ax, rows, table)
    _draw_points(ax, rows, table, many=many, outside=outside)
    if not many:
        _draw_arrows(ax, rows, table)
    ax.axvline(table["center"].iloc[0], **center_style())
    group, effect = table["group"].iloc[0], table["effect"].iloc[0]
    ax.set_xlabel(coefficient_axis(design, group, effect, table.attrs["at"]))
    _label_rows(ax, table)
    title = f"How pooling moves {effect} of each {group}"
    return finish(ax, title, note, own=own)


def _draw_intervals(ax: "Axes", rows: np.ndarray, table: pd.DataFrame) -> None:
    """Posterior mean and interval a little below the row of each level."""
    mean = table["posterior"]
    ax.errorbar(
        mean,
        rows - 0.26,
        xerr=[mean - table["lower"], table["upper"] - mean],
        fmt="D",
        markersize=3.5,
        elinewidth=1.4,
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
    ax: "Axes", rows: np.ndarray, table: pd.DataFrame, *, many: bool, outside: int
) -> None:
    """No pooling as open circles, the BLUPs filled; their area is that of the data."""
    size = 5.0 if many else areas(table["n"].to_numpy())
    label = no_pooling_label(table["no_pooling"].to_numpy(), outside)
    ax.scatter(
        table["no_pooling"],
        rows,
        s=size,
        facecolors="none",
        edgecolors=PLAIN_COLOR,
        linewidths=0.4 if many else 1.0,
        label=label if many else f"{label}; area by rows in the level",
        zorder=2.5,
    )
    ax.scatter(
        table["partial_pooling"],
        rows,
        s=size,
        color=REML_COLOR,
        linewidths=0.0,
        label=f"partial pooling, {table.attrs['method']} BLUP",
        zorder=3,
    )


def _draw_arrows(ax: "Axes", rows: np.ndarray, table: pd.DataFrame) -> None:
    """From no pooling to partial pooling, edge to edge of the marks."""
    from matplotlib.patches import FancyArrowPatch

    radius = np.sqrt(areas(table["n"].to_numpy()) / np.pi)
    for row, start, stop, r in zip(
        rows, table["no_pooling"], table["partial_pooling"], radius, strict=True
    ):
        if not np.isfinite(start):
            continue
        arrow = FancyArrowPatch(
            (float(start), float(row)),
            (float(stop), float(row)),
            arrowstyle="-|>",
            mutation_scale=7.0,
            color=REML_COLOR,
            linewidth=0.9,
            shrinkA=float(r),
            shrinkB=float(r),
        )
        ax.add_patch(arrow)


def _label_rows(ax: "Axes", table: pd.DataFrame) -> None:
    """Names at the left, rows and pull at the right, no more than stay legible."""
    step = label_levels(ax, list(table["level"]))
    named = table.iloc[::step]
    group = level_name(table["group"].iloc[0])
    thinned = f"  ({len(table):,} levels by estimate, one in {step} named)"
    ax.set_ylabel(group + (thinned if step > 1 else ""))
    right = ax.secondary_yaxis("right")
    ends = named[["no_pooling", "partial_pooling", "center"]].to_numpy().tolist()
    said = [pulled(int(n), *own) for n, own in zip(named["n"], ends, strict=True)]
    right.set_yticks(named.index, said, fontsize=8)
    right.tick_params(length=0.0)
    right.spines["right"].set_visible(False)


def _frame(ax: "Axes", table: pd.DataFrame) -> int:
    """Limit the axis to what pooling compares; number of circles left outside."""
    no_pooling = table["no_pooling"].to_numpy()
    held = table.filter(["partial_pooling", "center", "lower", "upper"])
    low, high = limits(no_pooling, held.to_numpy())
    ax.set_xlim(low, high)
    return int(((no_pooling < low) | (no_pooling > high)).sum())
