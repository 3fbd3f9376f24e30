"""The path of shrinkage: estimates as the SD of a group runs from 0 to infinity.

Takes the table of `shrinkage_path`; draws it on an axis that has both ends, with REML's
value and the posterior of the SD.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float

from bayeslmm.comparison import shrinkage_path
from bayeslmm.comparison.path import path_reml
from bayeslmm.plots.levels import Levels, choose_levels
from bayeslmm.plots.names import level_name, wrapped_words
from bayeslmm.plots.options import options_checked
from bayeslmm.plots.path_plane import draw_path_plane
from bayeslmm.plots.shown import shown_figure
from bayeslmm.plots.style import (
    PLAIN_COLOR,
    POSTERIOR_COLOR,
    REML_COLOR,
    add_panel_legend,
    add_title,
    coefficient_axis,
    coefficient_unit,
    limits,
)
from bayeslmm.reml.fit import RemlFit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bayeslmm.posterior.fit import Posterior

MOST_LINES, MOST_NAMES = 200, 20
WIDEST = 5.0  # times the frame without outlying ends; more would hide the others
INNER = (0.2, 0.4, 0.6, 0.8)  # ticks of the axis, sd / (sd + halfway), about


@options_checked
def plot_shrinkage_path(
    fit: "RemlFit | Posterior",
    *,
    term: str | None = None,
    effects: str | Sequence[str] | None = None,
    hold: Mapping[str, float] | None = None,
    levels: Levels | None = None,
    prob: float = 0.95,
) -> "Figure":
    """Every level's estimate and the fixed effects, from complete to no pooling.

    Use it to show that random effects are a prior, or a ridge penalty, whose scale the
    data choose: REML's SD is a line on the axis, the posterior of the SD a hill below.
    With two effects turned together levels are curves in their plane.

    Parameters
    ----------
    fit : RemlFit or Posterior
        Of a `Posterior` the posterior of the SD is drawn; the path is that of the REML
        fit of its model.
    term, effects, hold
        As for `shrinkage_path`. One effect for lines over the SD, two for the plane.
    levels : int, "all" or sequence of labels, optional
        Which levels are named; by default about 12, those that pooling moves most. The
        others are faint, at most 200 of them.
    prob : float, default 0.95
        Probability of the intervals of the fixed effects.

    Returns
    -------
    matplotlib Figure
        Outside pyplot; notebooks show it, ``.savefig(path)`` writes it. The axis of the
        SD is even in sd / (sd + h), where h is the SD at which the usual level is
        pooled by a half: both ends are on it.

    Raises
    ------
    ModelError
        As `shrinkage_path`; if more than two effects are asked for, or a level does not
        exist.

    See Also
    --------
    shrinkage_path : The numbers of this figure.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
    >>> figure = lmm.plot_shrinkage_path(model.fit_reml())
    """
    reml = path_reml(fit)
    options = {"term": term, "effects": effects, "hold": hold, "prob": prob}
    table = shrinkage_path(reml, **options)
    turned = table.attrs["effects"]
    if effects is not None and not isinstance(effects, str) and len(turned) > 1:
        return draw_path_plane(table, reml, levels)
    return _lines(table, reml, None if isinstance(fit, RemlFit) else fit, levels)


def _lines(
    table: pd.DataFrame,
    reml: "RemlFit",
    post: "Posterior | None",
    levels: Levels | None,
) -> "Figure":
    """Levels above, fixed effects in the middle, the posterior of the SD below."""
    from matplotlib.figure import Figure

    effect, group = table.attrs["effects"][0], table.attrs["group"]
    own = table[(table["level"] != "") & (table["effect"] == effect)]
    wide = own.pivot(index="sd", columns="level", values="estimate")
    wide = wide[own["level"].unique()]
    fixed = table[table["level"] == ""]
    names = [n for n in reml.model.design.fixed_names if n != effect]
    names = [*([effect] if effect in set(fixed["effect"]) else []), *names][:2]
    heights = [3.4, *[1.3] * len(names), *([0.8] if post is not None else [])]
    figure = Figure((7.5, 1.6 + sum(heights)), layout="constrained")
    grid = figure.subplots(
        len(heights), 1, sharex=True, squeeze=False, height_ratios=heights
    )
    axes: list[Axes] = list(grid.flat)
    note = _draw_levels(axes[0], wide, table, levels)
    axes[0].set_ylabel(
        wrapped_words(
            coefficient_axis(reml.model.design, group, effect, "zero", 36), 36
        ),
        fontsize=8,
    )
    for ax, name in zip(axes[1:], names, strict=False):
        _draw_fixed(ax, fixed[fixed["effect"] == name], table)
        unit = coefficient_unit(reml.model.design, name)
        ax.set_ylabel(wrapped_words(f"{name}\n({unit})", 20), fontsize=8)
    if post is not None:
        _draw_posterior(axes[-1], post, table)
    _mark(axes, table, coefficient_unit(reml.model.design, effect))
    add_title(
        figure,
        f"{effect} of each {group} as its SD runs from 0 to infinity",
        f"{table.attrs['held']}{'; ' + note if note else ''}",
    )
    add_panel_legend(figure)
    return shown_figure(figure)


def _share(
    sd: "Float[np.ndarray, '...']", halfway: float
) -> "Float[np.ndarray, '...']":
    """Place of an SD on the axis, 0 to 1."""
    sd = np.asarray(sd, dtype=float)
    with np.errstate(invalid="ignore"):
        return np.where(np.isinf(sd), 1.0, sd / (sd + halfway))


def _draw_levels(
    ax: "Axes", wide: pd.DataFrame, table: pd.DataFrame, levels: Levels | None
) -> str:
    """A line for each level, those chosen named at its right end; says which are."""
    values, names = wide.to_numpy(), list(wide.columns)
    x = _share(wide.index.to_numpy(), table.attrs["halfway"])
    at = int(np.argmin(np.abs(wide.index.to_numpy() - table.attrs["reml"])))
    moved = np.abs(values[-1] - values[at])
    chosen = choose_levels(
        names, levels, table.attrs["group"], {"most moved": moved}, most=MOST_NAMES
    )
    faint = np.setdiff1d(np.arange(len(names)), chosen.positions)
    step = max(1, -(-len(faint) // MOST_LINES))
    for i in faint[::step]:
        ax.plot(x, values[:, i], color=REML_COLOR, lw=0.6, alpha=0.25)
    for i in chosen.positions:
        ax.plot(x, values[:, i], color=REML_COLOR, lw=1.2, alpha=0.9)
    ax.plot([], [], color=REML_COLOR, lw=1.2, label="level")
    ax.scatter(
        np.full(len(names), x[at])[chosen.positions],
        values[at][chosen.positions],
        s=14,
        color=REML_COLOR,
        zorder=3,
        label=f"partial pooling, {table.attrs['method']} BLUP",
    )
    last = values[-1][chosen.positions]
    ax.scatter(
        np.ones(len(last)),
        last,
        s=16,
        facecolors="white",
        edgecolors=PLAIN_COLOR,
        zorder=3,
        label="no pooling",
    )
    ax.set_ylim(*_frame(values[-1], values[: at + 1]))
    _name_ends(ax, [names[i] for i in chosen.positions], last)
    drawn = len(chosen.positions) + len(faint[::step])
    note = (
        f"{len(chosen.positions):,} of {len(names):,} levels named, the most moved"
        if len(faint)
        else ""
    )
    return note + (f"; {drawn:,} drawn" if drawn < len(names) else "")


def _frame(
    ends: Float[np.ndarray, " j"], held: Float[np.ndarray, "..."]
) -> tuple[float, float]:
    """Axis limits: all ends of lines, unless some are far from all others."""
    low, high = limits(ends, held)
    whole = limits(ends, np.append(held.ravel(), ends[np.isfinite(ends)]))
    few = whole[1] - whole[0] <= WIDEST * (high - low)
    return whole if few else (low, high)


def _name_ends(ax: "Axes", names: list[str], values: Float[np.ndarray, " s"]) -> None:
    """Names at the right end, moved apart where they would lie on each other."""
    low, high = ax.get_ylim()
    figure = ax.get_figure(root=True)
    assert figure is not None
    gap = 9.5 / (72.0 * 3.2) * (high - low)
    inside = np.flatnonzero((values >= low) & (values <= high))
    order = inside[np.argsort(values[inside], kind="stable")]
    places = values[order].copy()
    for _ in range(200):
        places = np.clip(places, low + 0.5 * gap, high - 0.5 * gap)
        close = np.diff(places) < gap * 0.999
        if not close.any():
            break
        for i in np.flatnonzero(close):
            middle = 0.5 * (places[i] + places[i + 1])
            places[i], places[i + 1] = middle - 0.5 * gap, middle + 0.5 * gap
    for i, place in zip(order, places, strict=True):
        ax.annotate(
            level_name(names[i]),
            (1.0, values[i]),
            (1.03, place),
            xycoords="data",
            fontsize=7,
            va="center",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "lw": 0.4,
                "color": PLAIN_COLOR,
                "shrinkA": 0,
                "shrinkB": 3,
            },
        )


def _draw_fixed(ax: "Axes", own: pd.DataFrame, table: pd.DataFrame) -> None:
    """A fixed effect with its interval, in a frame of three times that at REML."""
    x = _share(own["sd"].to_numpy(), table.attrs["halfway"])
    estimate, lower, upper = own[["estimate", "lower", "upper"]].to_numpy().T
    at = int(np.argmin(np.abs(own["sd"].to_numpy() - table.attrs["reml"])))
    reach = 3.0 * (upper[at] - estimate[at])
    low, high = estimate[at] - reach, estimate[at] + reach
    inside = np.concatenate([v[(v > low) & (v < high)] for v in (lower, upper)])
    ax.plot(x, estimate, color="black", lw=1.2, label="fixed effect")
    ax.fill_between(
        x,
        np.clip(lower, low - 2.0 * reach, None),
        np.clip(upper, None, high + 2.0 * reach),
        color=PLAIN_COLOR,
        alpha=0.2,
        lw=0,
        label=f"its {100 * table.attrs['prob']:g}% interval given the SD",
    )
    margin = 0.08 * float(np.ptp(inside))
    ax.set_ylim(float(inside.min()) - margin, float(inside.max()) + margin)


def _draw_posterior(ax: "Axes", post: "Posterior", table: pd.DataFrame) -> None:
    """Posterior of the SD, per unit of the axis."""
    h = table.attrs["halfway"]
    share = np.linspace(0.0, 1.0, 402)[1:-1]
    sd = h * share / (1.0 - share)
    density = post.density(table.attrs["label"], sd)["density"].to_numpy()
    height = density * h / (1.0 - share) ** 2
    ax.fill_between(share, 0.0, height, color=POSTERIOR_COLOR, alpha=0.35, lw=0)
    ax.plot(share, height, color=POSTERIOR_COLOR, lw=1.2, label="posterior of the SD")
    ax.set_ylim(0.0, 1.08 * float(np.nanmax(height)))
    ax.set_yticks([])
    ax.set_ylabel("posterior", fontsize=8)


def _mark(axes: "Sequence[Axes]", table: pd.DataFrame, unit: str) -> None:
    """REML's value on all axes, the SD below, the ridge penalty above."""
    h, reml = table.attrs["halfway"], table.attrs["reml"]
    for ax in axes:
        ax.axvline(
            float(_share(np.array(reml), h)),
            color=REML_COLOR,
            lw=1.0,
            ls=":",
            label=f"{table.attrs['method']}: SD = {reml:.3g}",
        )
        ax.set_xlim(0.0, 1.0)
        ax.tick_params(labelsize=7)
    sds = [float(f"{h * share / (1.0 - share):.1g}") for share in INNER]
    places = [0.0, *_share(np.array(sds), h).tolist(), 1.0]
    ends = ("0\ncomplete pooling", "∞\nno pooling")
    axes[-1].set_xticks(places, [ends[0], *[f"{sd:g}" for sd in sds], ends[1]])
    effect, group = table.attrs["effects"][0], table.attrs["group"]
    label = f"SD of {effect} between levels of {group} ({unit})"
    axes[-1].set_xlabel(wrapped_words(label, 80), fontsize=8)
    top, sigma = axes[0].secondary_xaxis("top"), table.attrs["sigma"]
    ratios = [(sigma / sd) ** 2 for sd in sds]
    penalties = [f"{one:,.0f}" if one >= 10.0 else f"{one:.2g}" for one in ratios]
    top.set_xticks(places, ["∞", *penalties, "0"])
    top.tick_params(labelsize=7)
    top.set_xlabel("the same as a ridge penalty, sigma² / SD²", fontsize=8)
