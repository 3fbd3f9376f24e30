"""The path of shrinkage in the plane of two effects, whose SDs are turned together."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float

from bayeslmm.errors import ModelError
from bayeslmm.plots.labels import place_labels
from bayeslmm.plots.levels import ChosenLevels, Levels, choose_levels
from bayeslmm.plots.names import level_name
from bayeslmm.plots.shown import shown_figure
from bayeslmm.plots.style import (
    PLAIN_COLOR,
    REML_COLOR,
    add_legend,
    add_title,
    coefficient_axis,
    limits,
    no_pooling_label,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bayeslmm.reml.fit import RemlFit

MOST_LINES, MOST_NAMES = 200, 15


def draw_path_plane(
    table: pd.DataFrame, reml: "RemlFit", levels: Levels | None
) -> "Figure":
    """Levels as curves in the plane of two effects, both SDs turned together."""
    from matplotlib.figure import Figure

    effects, group = table.attrs["effects"], table.attrs["group"]
    if len(effects) > 2:
        raise ModelError(
            f"{len(effects)} effects were asked for, and the plane has two. Ask for "
            "two of them, or for one."
        )
    own = table[table["level"] != ""]
    names, values = list(own["level"].unique()), np.sort(own["sd"].unique())
    curves = np.empty((len(values), len(names), 2))
    for i, effect in enumerate(effects):
        wide = own[own["effect"] == effect].pivot(
            index="sd", columns="level", values="estimate"
        )
        curves[:, :, i] = wide.loc[values, names].to_numpy()
    at = int(np.argmin(np.abs(values - table.attrs["reml"])))
    frame = np.array([limits(curves[-1, :, i], curves[: at + 1, :, i]) for i in (0, 1)])
    inside = ((curves[-1] > frame[:, 0]) & (curves[-1] < frame[:, 1])).all(axis=1)
    spread = np.maximum(curves[at].std(axis=0), 1e-300)
    moved = np.linalg.norm((curves[-1] - curves[at]) / spread, axis=1)
    reasons = {"most moved": np.where(inside, moved, np.nan)}
    chosen = choose_levels(names, levels, group, reasons, most=MOST_NAMES)
    figure = Figure((7.5, 6.4), layout="constrained")
    ax = figure.subplots()
    drawn = _draw_curves(ax, curves, chosen)
    ax.set_xlim(*frame[0])
    ax.set_ylim(*frame[1])
    _draw_marks(ax, curves, at, chosen, inside, table.attrs["method"])
    design = reml.model.design
    ax.set_xlabel(coefficient_axis(design, group, effects[0], "zero"), fontsize=8)
    ax.set_ylabel(coefficient_axis(design, group, effects[1], "zero"), fontsize=8)
    both, note = " and ".join(effects), table.attrs["held"]
    if len(chosen.positions) < len(names):
        note += f"; {len(chosen.positions):,} of {len(names):,} levels named"
    if drawn < len(names):
        note += f", {drawn:,} drawn"
    add_title(
        figure, f"{both} of each {group} as their SDs run from 0 to infinity", note
    )
    add_legend(figure, *ax.get_legend_handles_labels())
    order = chosen.positions[np.argsort(-moved[chosen.positions], kind="stable")]
    order = order[inside[order]]
    marks = np.concatenate([curves[-1, order], curves[at, order]])
    told = [level_name(names[i]) for i in order]
    place_labels(ax, curves[-1, order], told, marks)
    return shown_figure(figure)


def _draw_curves(
    ax: "Axes", curves: Float[np.ndarray, "s j 2"], chosen: ChosenLevels
) -> int:
    """A curve for each level, faint for those that are not named; how many."""
    faint = np.setdiff1d(np.arange(curves.shape[1]), chosen.positions)
    faint = faint[:: max(1, -(-len(faint) // MOST_LINES))]
    for i in faint:
        ax.plot(*curves[:, i].T, color=REML_COLOR, lw=0.6, alpha=0.25)
    for i in chosen.positions:
        ax.plot(*curves[:, i].T, color=REML_COLOR, lw=1.0, alpha=0.8)
    return len(faint) + len(chosen.positions)


def _draw_marks(
    ax: "Axes",
    curves: Float[np.ndarray, "s j 2"],
    at: int,
    chosen: ChosenLevels,
    inside: np.ndarray,
    method: str,
) -> None:
    """Where the curves begin, where the fit is on them, and where they end."""
    told = chosen.positions
    label = f"partial pooling, {method} BLUP"
    ax.scatter(*curves[at, told].T, s=16, color=REML_COLOR, zorder=3, label=label)
    known = np.isfinite(curves[-1]).all(axis=1)
    ax.scatter(
        *curves[-1, told].T,
        s=18,
        facecolors="white",
        edgecolors=PLAIN_COLOR,
        zorder=3,
        label=no_pooling_label(curves[-1].sum(axis=1), int((~inside & known).sum())),
    )
    ax.scatter(
        *curves[0, :1].T,
        marker="X",
        s=50,
        color="black",
        zorder=4,
        label="complete pooling",
    )
