"""Two effects per level: an arrow for each level that tells the most, all others faint.

Takes the shrinkage table of one grouping factor and the levels to be told; draws them
in the plane of both effects.
"""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from bayeslmm.design.arrays import Design
from bayeslmm.plots.labels import place_labels
from bayeslmm.plots.levels import ChosenLevels
from bayeslmm.plots.names import level_name
from bayeslmm.plots.style import (
    PLAIN_COLOR,
    POSTERIOR_COLOR,
    REML_COLOR,
    center_style,
    coefficient_axis,
    finish,
    limits,
    new_axes,
    no_pooling_label,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POOLING = ("no_pooling", "partial_pooling", "center")
POSTERIOR = ("posterior", "lower", "upper")
ELLIPSE_PROB = 0.5  # larger ellipses of 18 subjects already cover each other
MOST_SURE = 25  # names that nearly always find room
CROWD = 200  # levels from which on the faint ones are dots only a hair wide

Wide = dict[str, np.ndarray]


def draw_plane(
    wide: Wide,
    chosen: ChosenLevels,
    covariances: Float[np.ndarray, "s 2 2"] | None,
    design: Design,
    ax: "Axes | None",
) -> "Figure":
    """Chosen levels as arrows in the plane of two effects, with their ellipses."""
    own = ax is None
    if ax is None:
        ax = new_axes(7.5, 7.5)
    told = np.zeros(len(wide["level"]), bool)
    told[chosen.positions] = True
    held = None
    if covariances is not None:
        held = _ellipse_boxes(wide["posterior"][told], covariances)
    outside = _frame(ax, wide, held)
    _draw_faint(ax, wide, ~told)
    if covariances is not None:
        _draw_ellipses(ax, wide["posterior"][told], covariances)
    _draw_arrows(ax, wide["no_pooling"][told], wide["partial_pooling"][told])
    _draw_points(ax, wide, told, outside)
    center = wide["center"][0]
    style = center_style()
    ax.axvline(center[0], **style)
    style["label"] = None
    ax.axhline(center[1], **style)
    group, effects, at = wide["group"][0], wide["effects"], str(wide["at"][0])
    ax.set_xlabel(coefficient_axis(design, group, effects[0], at))
    ax.set_ylabel(coefficient_axis(design, group, effects[1], at))
    title = f"How pooling moves {effects[0]} and {effects[1]} of each {group}"
    note = chosen.note
    if len(chosen.positions) > MOST_SURE:
        note = f"{note}\nnames where there is room".strip()
    figure = finish(ax, title, note, own=own)
    _name_levels(ax, wide, chosen)
    return figure


def by_level(table: pd.DataFrame, effects: tuple[str, str]) -> Wide:
    """Columns of the table as arrays of shape (levels, 2)."""
    halves = [table[table["effect"] == effect] for effect in effects]
    wide = {name: halves[0][name].to_numpy() for name in ("level", "group", "n")}
    wide["effects"] = np.array(effects, dtype=object)
    for attribute in ("method", "at"):
        wide[attribute] = np.array([table.attrs[attribute]], dtype=object)
    for column in (*POOLING, *POSTERIOR):
        if column in table:
            wide[column] = np.column_stack([half[column] for half in halves])
    return wide


def _draw_faint(ax: "Axes", wide: Wide, faint: Bool[np.ndarray, " j"]) -> None:
    """The other levels: a line from no pooling to a dot at partial pooling."""
    from matplotlib.collections import LineCollection

    if not faint.any():
        return
    small = faint.sum() > CROWD
    start, stop = wide["no_pooling"][faint], wide["partial_pooling"][faint]
    segments = np.stack([start, stop], axis=1)[np.isfinite(start).all(axis=1)]
    lines = LineCollection(
        list(segments),
        colors=REML_COLOR,
        linewidths=0.3 if small else 0.7,
        alpha=0.15 if small else 0.3,
    )
    ax.add_collection(lines, autolim=False)
    ax.scatter(
        *stop.T,
        s=4.0 if small else 10.0,
        color=REML_COLOR,
        alpha=0.3,
        linewidths=0.0,
        label=f"the other {faint.sum():,} levels",
    )


def _draw_ellipses(
    ax: "Axes",
    centers: Float[np.ndarray, "s 2"],
    covariances: Float[np.ndarray, "s 2 2"],
) -> None:
    """Normal ellipses of the posterior, its mean marked."""
    from matplotlib.patches import Ellipse

    for center, covariance in zip(centers, covariances, strict=True):
        width, height, angle = ellipse_axes(covariance, ELLIPSE_PROB)
        ellipse = Ellipse(
            (float(center[0]), float(center[1])),
            width,
            height,
            angle=angle,
            facecolor=(POSTERIOR_COLOR, 0.13),
            edgecolor=(POSTERIOR_COLOR, 0.6),
            linewidth=0.8,
            zorder=1,
        )
        ax.add_patch(ellipse)
    ax.scatter(
        *centers.T,
        s=14.0,
        marker="D",
        color=POSTERIOR_COLOR,
        label=f"posterior mean in its {100 * ELLIPSE_PROB:.0f}% normal ellipse",
        zorder=2.8,
    )


def ellipse_axes(
    covariance: Float[np.ndarray, "2 2"], prob: float
) -> tuple[float, float, float]:
    """Full width, full height and angle (degrees) of a normal's probability ellipse."""
    values, vectors = np.linalg.eigh(covariance)
    radius = np.sqrt(-2.0 * np.log1p(-prob))  # chi-squared with two degrees of freedom
    long, short = 2.0 * radius * np.sqrt(np.maximum(values[::-1], 0.0))
    return float(long), float(short), float(np.degrees(np.arctan2(*vectors[::-1, 1])))


def _draw_arrows(
    ax: "Axes", start: Float[np.ndarray, "s 2"], stop: Float[np.ndarray, "s 2"]
) -> None:
    """From no pooling to partial pooling."""
    from matplotlib.patches import FancyArrowPatch

    found = np.isfinite(start).all(axis=1)
    for a, b in zip(start[found], stop[found], strict=True):
        arrow = FancyArrowPatch(
            (float(a[0]), float(a[1])),
            (float(b[0]), float(b[1])),
            arrowstyle="-|>",
            mutation_scale=8.0,
            color=REML_COLOR,
            linewidth=0.9,
            shrinkA=3.0,
            shrinkB=2.0,
        )
        ax.add_patch(arrow)


def _draw_points(
    ax: "Axes", wide: Wide, told: Bool[np.ndarray, " j"], outside: int
) -> None:
    """No pooling as open circles, the BLUPs filled."""
    no_pooling = wide["no_pooling"]
    ax.scatter(
        *no_pooling[told].T,
        s=30.0,
        facecolors="none",
        edgecolors=PLAIN_COLOR,
        linewidths=1.0,
        label=no_pooling_label(no_pooling.sum(axis=1), outside),
        zorder=2.5,
    )
    ax.scatter(
        *wide["partial_pooling"][told].T,
        s=24.0,
        color=REML_COLOR,
        linewidths=0.0,
        label=f"partial pooling, {wide['method'][0]} BLUP",
        zorder=3,
    )


def _ellipse_boxes(
    centers: Float[np.ndarray, "s 2"], covariances: Float[np.ndarray, "s 2 2"]
) -> Float[np.ndarray, "t 2"]:
    """Corners of what the ellipses fill."""
    radius = np.sqrt(-2.0 * np.log1p(-ELLIPSE_PROB))
    reach = radius * np.sqrt(np.einsum("jaa->ja", covariances))
    return np.concatenate([centers - reach, centers + reach])


def _limits(
    wide: Wide, held: Float[np.ndarray, "t 2"] | None = None
) -> Float[np.ndarray, "2 2"]:
    """Lower and upper limits (rows) of both axes (columns)."""
    always = [wide["partial_pooling"], wide["center"]]
    kept = np.concatenate(always if held is None else [*always, held])
    found = [limits(wide["no_pooling"][:, axis], kept[:, axis]) for axis in range(2)]
    return np.array(found).T


def is_outside(
    wide: Wide, held: Float[np.ndarray, "t 2"] | None = None
) -> Bool[np.ndarray, " j"]:
    """Levels whose own estimates lie outside of the frame."""
    low, high = _limits(wide, held)
    return ((wide["no_pooling"] < low) | (wide["no_pooling"] > high)).any(axis=1)


def _frame(ax: "Axes", wide: Wide, held: Float[np.ndarray, "t 2"] | None) -> int:
    """Limit both axes; number of circles left outside."""
    low, high = _limits(wide, held)
    ax.set_xlim(float(low[0]), float(high[0]))
    ax.set_ylim(float(low[1]), float(high[1]))
    return int(is_outside(wide, held).sum())


def _name_levels(ax: "Axes", wide: Wide, chosen: ChosenLevels) -> None:
    """Names beside the open circles, the most moved first, where there is room."""
    told = chosen.positions
    start, stop = wide["no_pooling"][told], wide["partial_pooling"][told]
    there = np.isfinite(start).all(axis=1) & ~is_outside(wide)[told]
    points = np.where(there[:, None], start, stop)
    moved = np.where(there, np.hypot(*(start - stop).T), np.inf)
    order = np.argsort(-moved, kind="stable")
    names = [level_name(str(wide["level"][told[i]])) for i in order]
    place_labels(ax, points[order], names, np.concatenate([points, stop]))
