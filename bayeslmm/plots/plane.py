"""Two effects per level: an arrow for each level in the plane of both."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float

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

MOST_NAMES = 25  # names inside the plane before they cover each other
POOLING = ("no_pooling", "partial_pooling", "complete_pooling", "center")
POSTERIOR = ("posterior", "lower", "upper")
ELLIPSE_PROB = 0.5  # larger ellipses of 18 subjects already cover each other


def draw_plane(
    table: pd.DataFrame,
    effects: tuple[str, str],
    covariances: Float[np.ndarray, "j 2 2"] | None,
    design: Design,
    ax: "Axes | None",
) -> "Figure":
    """Levels as arrows in the plane of two effects."""
    own = ax is None
    if ax is None:
        ax = new_axes(7.5, 6.5)
    wide = _by_level(table, effects)
    many = len(wide["level"]) > MANY_LEVELS
    if covariances is not None:
        _draw_ellipses(ax, wide["posterior"], covariances, many)
    _draw_arrows(ax, wide["no_pooling"], wide["partial_pooling"], many)
    _draw_plane_points(ax, wide, table.attrs["method"], many)
    complete = wide["complete_pooling"][0]
    ax.axvline(complete[0], **complete_style())
    ax.axhline(complete[1], **complete_style(label=None))
    center = center_style() | {"marker": "P", "markersize": 9, "linestyle": "none"}
    ax.plot(*wide["center"][0], **(center | {"markeredgecolor": "white", "zorder": 5}))
    if len(wide["level"]) <= MOST_NAMES:
        _name_levels(ax, wide)
    group = table["group"].iloc[0]
    ax.set_xlabel(coefficient_axis(design, group, effects[0]))
    ax.set_ylabel(coefficient_axis(design, group, effects[1]))
    return add_legend(ax, own)


def _by_level(table: pd.DataFrame, effects: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Columns of the table as arrays of shape (levels, 2)."""
    halves = [table[table["effect"] == effect] for effect in effects]
    wide = {"level": halves[0]["level"].to_numpy()}
    for column in (*POOLING, *POSTERIOR):
        if column in table:
            wide[column] = np.column_stack([half[column] for half in halves])
    return wide


def _draw_ellipses(
    ax: "Axes",
    centers: Float[np.ndarray, "j 2"],
    covariances: Float[np.ndarray, "j 2 2"],
    many: bool,
) -> None:
    """Normal ellipses of the posterior; of many levels, the one of median area."""
    from matplotlib.patches import Ellipse

    shown = np.arange(len(centers))
    label = f"posterior, {100 * ELLIPSE_PROB:.0f}% normal ellipse"
    if many:
        order = np.argsort(np.linalg.det(covariances), kind="stable")
        shown, label = order[[len(order) // 2]], label + " of one typical level"
    for i in shown:
        width, height, angle = ellipse_axes(covariances[i], ELLIPSE_PROB)
        ellipse = Ellipse(
            (float(centers[i, 0]), float(centers[i, 1])),
            width,
            height,
            angle=angle,
            facecolor=POSTERIOR_COLOR if not many else "none",
            edgecolor=POSTERIOR_COLOR,
            alpha=0.22 if not many else 1.0,
            linewidth=0.8 if not many else 1.8,
            label=label if i == shown[0] else None,
            zorder=1 if not many else 4,
        )
        ax.add_patch(ellipse)


def ellipse_axes(
    covariance: Float[np.ndarray, "2 2"], prob: float
) -> tuple[float, float, float]:
    """Full width, full height and angle (degrees) of a normal's probability ellipse."""
    values, vectors = np.linalg.eigh(covariance)
    radius = np.sqrt(-2.0 * np.log1p(-prob))  # chi-squared with two degrees of freedom
    long, short = 2.0 * radius * np.sqrt(np.maximum(values[::-1], 0.0))
    return float(long), float(short), float(np.degrees(np.arctan2(*vectors[::-1, 1])))


def _draw_arrows(
    ax: "Axes",
    start: Float[np.ndarray, "j 2"],
    stop: Float[np.ndarray, "j 2"],
    many: bool,
) -> None:
    """From no pooling to partial pooling; plain lines where there are many."""
    from matplotlib.collections import LineCollection
    from matplotlib.patches import FancyArrowPatch

    found = np.isfinite(start).all(axis=1)
    if many:
        segments = np.stack([start[found], stop[found]], axis=1)
        lines = LineCollection(list(segments), colors=REML_COLOR, linewidths=0.3)
        lines.set_alpha(0.3)
        ax.add_collection(lines)
        return
    for a, b in zip(start[found], stop[found], strict=True):
        arrow = FancyArrowPatch(
            (float(a[0]), float(a[1])),
            (float(b[0]), float(b[1])),
            arrowstyle="-|>",
            mutation_scale=8.0,
            color=REML_COLOR,
            linewidth=0.9,
            alpha=0.8,
            shrinkA=3.0,
            shrinkB=2.0,
        )
        ax.add_patch(arrow)


def _draw_plane_points(
    ax: "Axes", wide: dict[str, np.ndarray], method: str, many: bool
) -> None:
    """No pooling as open circles, the BLUPs filled."""
    outside = _frame_plane(ax, wide)
    no_pooling, partial = wide["no_pooling"], wide["partial_pooling"]
    ax.plot(
        no_pooling[:, 0],
        no_pooling[:, 1],
        "o",
        markersize=2.0 if many else 6.0,
        markerfacecolor="none",
        markeredgecolor=PLAIN_COLOR,
        markeredgewidth=0.4 if many else 1.0,
        alpha=0.6 if many else 1.0,
        label=no_pooling_label(no_pooling.sum(axis=1), outside),
    )
    ax.plot(
        partial[:, 0],
        partial[:, 1],
        "o",
        markersize=2.0 if many else 5.0,
        color=REML_COLOR,
        label=f"partial pooling, {method} BLUP",
        zorder=3,
    )


def _frame_plane(ax: "Axes", wide: dict[str, np.ndarray]) -> int:
    """Limit both axes as `_frame` does; number of circles left outside."""
    held = [wide[c] for c in POOLING[1:]]
    if len(wide["level"]) <= MANY_LEVELS:  # their 50% ellipses lie inside the intervals
        held += [wide[c] for c in ("lower", "upper") if c in wide]
    found = [
        limits(wide["no_pooling"][:, axis], np.concatenate(held)[:, axis])
        for axis in range(2)
    ]
    ax.set_xlim(*found[0])
    ax.set_ylim(*found[1])
    low, high = np.array(found).T
    out = (wide["no_pooling"] < low) | (wide["no_pooling"] > high)
    return int(out.any(axis=1).sum())


def _name_levels(ax: "Axes", wide: dict[str, np.ndarray]) -> None:
    """Names beside the open circles, on the side away from the arrow."""
    for name, a, b in zip(
        wide["level"], wide["no_pooling"], wide["partial_pooling"], strict=True
    ):
        at = a if np.isfinite(a).all() else b
        right = not (b[0] > at[0])
        ax.annotate(
            short(name),
            tuple(at),
            xytext=(6 if right else -6, 0),
            textcoords="offset points",
            ha="left" if right else "right",
            va="center",
            fontsize=8,
            color=PLAIN_COLOR,
        )
