"""Medians and intervals of all parameters: against REML, or by kind of parameter.

arviz-plots writes the names of a forest into an axes of a fixed share, where long ones
are clipped, and has all kinds of parameters on one axis; so this one is drawn here.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from bayeslmm.comparison import compare
from bayeslmm.comparison.table import interval_name
from bayeslmm.errors import ModelError
from bayeslmm.graph.names import safe_name
from bayeslmm.plots.names import wrapped
from bayeslmm.plots.options import options_checked
from bayeslmm.plots.panels import component_of, scalar_draws
from bayeslmm.plots.shown import shown_figure
from bayeslmm.plots.style import POSTERIOR_COLOR, REML_COLOR, add_title
from bayeslmm.posterior.tables import check_interval, interval_bounds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.fit import RemlFit

STAR = " *"  # marks what is drawn in posterior SDs
INNER = 0.5  # probability of the thick line
WIDTH, LINE_HEIGHT, AROUND, PER_FACET = 7.5, 0.17, 1.1, 0.55  # inches


@options_checked
def plot_forest(
    post: "Posterior",
    reml: "RemlFit | None" = None,
    *,
    labels: Sequence[str] | None = None,
    prob: float = 0.95,
    kind: Literal["eti", "hdi"] = "eti",
) -> "Figure":
    """Medians and intervals of all parameters.

    With `reml` every parameter is drawn relative to its REML estimate, in REML standard
    errors (posterior SDs where there is none), because their units differ; without it
    in its own units, fixed effects, SDs and correlations apart.

    Parameters
    ----------
    post : Posterior
        Posterior.
    reml : RemlFit, optional
        Fit of the same model, at zero.
    labels : sequence of str, optional
        Parameters or whole variables; by default every parameter.
    prob : float, default 0.95
        Probability of the outer interval; the inner one has 0.5.
    kind : {"eti", "hdi"}, default "eti"
        Kind of the intervals.

    Returns
    -------
    matplotlib Figure
        Outside pyplot; notebooks show it, ``.savefig(path)`` writes it.

    Raises
    ------
    ModelError
        If a label is unknown, no label has a REML estimate, or the fits are of
        different models.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
    >>> reml, post = model.fit_reml(), model.sample(draws=200, seed=1, progress=False)
    >>> figure = lmm.plot_forest(post, reml)
    """
    check_interval(prob, kind)
    table = _forest_table(post, labels, prob, kind)
    if reml is not None:
        table = _relative(table, compare(reml, post))
    facets = [part for _, part in table.groupby("facet", sort=False)]
    figure, axes = _facets(facets)
    for ax, part in zip(axes, facets, strict=True):
        _draw_facet(ax, part)
        if reml is None:
            ax.set_title(part["facet"].iloc[0], fontsize=9, loc="left")
        else:
            ax.axvline(0.0, color=REML_COLOR, linestyle="--", lw=1.2, zorder=0.5)
    words = f"median, {100 * INNER:.0f}% and {interval_name(prob, kind)}"
    if reml is None:
        add_title(figure, "Posterior of every parameter, in its own units")
        axes[-1].set_xlabel(words, fontsize=9)
        return shown_figure(figure)
    add_title(figure, f"The posterior beside {reml.method}, which is at zero")
    label = f"posterior - {reml.method}, in {reml.method} SEs\n({words})"
    if table["label"].str.endswith(STAR).any():
        label += "\n* no standard error at the boundary: in posterior SDs"
    axes[-1].set_xlabel(label, fontsize=9)
    return shown_figure(figure)


def _forest_table(
    post: "Posterior",
    labels: Sequence[str] | None,
    prob: float,
    kind: Literal["eti", "hdi"],
) -> pd.DataFrame:
    """Label, facet, median and both intervals of each parameter, its own units."""
    rows = []
    for name, draws in scalar_draws(post, labels)["posterior"].data_vars.items():
        values = draws.to_numpy()[..., None]
        inner, outer = (interval_bounds(values, p, kind) for p in (INNER, prob))
        rows.append(
            {
                "label": str(name),
                "facet": component_of(post, str(name)),
                "median": float(np.median(values)),
                "inner_lower": inner[0].item(),
                "inner_upper": inner[1].item(),
                "lower": outer[0].item(),
                "upper": outer[1].item(),
            }
        )
    # a stable sort: facets in the order in which they first appear
    return pd.DataFrame(rows)


def _relative(table: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """The same less REML, in its SEs, or in posterior SDs where it has none."""
    pairs = pairs.set_axis([safe_name(str(label)) for label in pairs.index])
    pairs = pairs[np.isfinite(pairs["reml"])]
    table = table[table["label"].isin(pairs.index)].copy()
    if table.empty:
        raise ModelError(
            "None of the labels asked for has a REML estimate to be drawn against. "
            "Leave reml out to draw them in their own units."
        )
    pairs = pairs.loc[table["label"]]
    own_se = (pairs["difference_unit"] == "REML SE").to_numpy()
    scale = np.where(own_se, pairs["reml_se"], pairs["sd"])
    for column in ("median", "inner_lower", "inner_upper", "lower", "upper"):
        table[column] = (table[column].to_numpy() - pairs["reml"].to_numpy()) / scale
    table["label"] = np.where(own_se, table["label"], table["label"] + STAR)
    table["facet"] = ""
    return table


def _facets(facets: list[pd.DataFrame]) -> "tuple[Figure, list[Axes]]":
    """One axes below the other, each as high as its names need."""
    from matplotlib.figure import Figure

    heights = [
        PER_FACET + LINE_HEIGHT * sum(2 + _lines(name) for name in part["label"])
        for part in facets
    ]
    figure = Figure((WIDTH, AROUND + sum(heights)), layout="constrained")
    axes = figure.subplots(len(facets), 1, height_ratios=heights, squeeze=False)
    return figure, list(axes.flat)


def _lines(name: str) -> int:
    """Lines that a name takes."""
    return wrapped(name).count("\n") + 1


def _draw_facet(ax: "Axes", part: pd.DataFrame) -> None:
    """Names at the left, the first on top; two intervals and the median of each."""
    heights = np.array([1.0 + 0.5 * _lines(name) for name in part["label"]])
    rows = -(np.cumsum(heights) - 0.5 * heights)  # long names get more room
    ax.hlines(rows, part["lower"], part["upper"], color=POSTERIOR_COLOR, lw=1.2)
    inner = (part["inner_lower"], part["inner_upper"])
    ax.hlines(rows, *inner, color=POSTERIOR_COLOR, lw=3.5)
    ax.plot(
        part["median"],
        rows,
        "o",
        markersize=6.0,
        markerfacecolor="white",
        markeredgecolor=POSTERIOR_COLOR,
        markeredgewidth=1.5,
    )
    ax.set_yticks(rows, [wrapped(name) for name in part["label"]], fontsize=9)
    ax.set_ylim(-heights.sum(), 0.0)
    ax.tick_params(axis="y", length=0.0)
    for side in ("left", "right", "top"):
        ax.spines[side].set_visible(False)
    ax.grid(axis="x", alpha=0.3)
