"""The path of shrinkage in the plane of two effects, whose SDs are turned together."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bayeslmm.errors import ModelError
from bayeslmm.plots.levels import Levels, choose_levels
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
    x, y = (
        own[own["effect"] == e].pivot(index="sd", columns="level", values="estimate")
        for e in effects
    )
    names = list(own["level"].unique())
    x, y, sd = x[names].to_numpy(), y[names].to_numpy(), x.index.to_numpy()
    at = int(np.argmin(np.abs(sd - table.attrs["reml"])))
    moved = np.hypot(
        (x[-1] - x[at]) / max(x[at].std(), 1e-300),
        (y[-1] - y[at]) / max(y[at].std(), 1e-300),
    )
    xlim, ylim = limits(x[-1], x[: at + 1]), limits(y[-1], y[: at + 1])
    inside = (
        (x[-1] > xlim[0]) & (x[-1] < xlim[1]) & (y[-1] > ylim[0]) & (y[-1] < ylim[1])
    )
    known = np.isfinite(x[-1] + y[-1])
    moved = np.where(inside, moved, np.nan)
    chosen = choose_levels(names, levels, group, {"most moved": moved}, most=MOST_NAMES)
    figure = Figure((7.5, 6.4), layout="constrained")
    ax = figure.subplots()
    named = set(chosen.positions.tolist())
    step = max(1, len(names) // MOST_LINES)
    for i in range(len(names)):
        if i in named or i % step == 0:
            ax.plot(
                x[:, i],
                y[:, i],
                color=REML_COLOR,
                lw=1.0 if i in named else 0.6,
                alpha=0.8 if i in named else 0.25,
            )
    told = chosen.positions
    ax.scatter(
        x[at, told],
        y[at, told],
        s=16,
        color=REML_COLOR,
        zorder=3,
        label=f"partial pooling, {table.attrs['method']} BLUP",
    )
    ax.scatter(
        x[-1, told],
        y[-1, told],
        s=18,
        facecolors="white",
        edgecolors=PLAIN_COLOR,
        zorder=3,
        label=no_pooling_label(x[-1] + y[-1], int((~inside & known).sum())),
    )
    ax.scatter(
        x[0, :1],
        y[0, :1],
        marker="X",
        s=50,
        color="black",
        zorder=4,
        label="complete pooling",
    )
    ax.set_xlim(*xlim)
    ax.set_ylim(*ylim)
    for i in told:
        ax.annotate(
            level_name(names[i]),
            (x[-1, i], y[-1, i]),
            (4, 3),
            textcoords="offset points",
            fontsize=7,
        )
    design = reml.model.design
    ax.set_xlabel(coefficient_axis(design, group, effects[0], "zero"), fontsize=8)
    ax.set_ylabel(coefficient_axis(design, group, effects[1], "zero"), fontsize=8)
    both = " and ".join(effects)
    title = f"{both} of each {group} as their SDs run from 0 to infinity"
    add_title(
        figure,
        title,
        f"{table.attrs['held']}{'; ' + chosen.note if chosen.note else ''}",
    )
    add_legend(figure, *ax.get_legend_handles_labels())
    return shown_figure(figure)
