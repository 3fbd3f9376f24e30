"""Random effects of the levels as dots with intervals, a panel for each effect."""

from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bayeslmm.comparison.blocks import Block, find_block, find_effects
from bayeslmm.comparison.table import interval_name
from bayeslmm.errors import ModelError
from bayeslmm.plots.levels import Levels, choose_levels
from bayeslmm.plots.names import WIDEST, wrapped, wrapped_words
from bayeslmm.plots.options import options_checked
from bayeslmm.plots.shown import shown_figure
from bayeslmm.plots.style import (
    MANY_LEVELS,
    PAGE_HEIGHT,
    PLAIN_COLOR,
    POSTERIOR_COLOR,
    REML_COLOR,
    add_title,
    coefficient_unit,
    label_levels,
)
from bayeslmm.posterior.fit import Posterior
from bayeslmm.posterior.tables import check_interval
from bayeslmm.reml.fit import RemlFit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


MOST_DOTS = 40
MOST_EFFECTS = 4  # panels beside each other
PANEL_WIDTH, ROW_HEIGHT, AROUND, NARROWEST = 3.3, 0.2, 1.5, 5.5  # inches


@options_checked
def plot_ranef(
    fit: RemlFit | Posterior,
    *,
    term: str | None = None,
    effects: Sequence[str] | None = None,
    levels: Levels | None = None,
    prob: float = 0.9,
) -> "Figure":
    """Random effects of the levels with intervals, like lme4's ``dotplot(ranef(.))``.

    Use it to see which levels lie apart from the average one, at zero. Each panel is
    sorted by its own effect.

    Parameters
    ----------
    fit : RemlFit or Posterior
        BLUPs with normal intervals, the fixed effects and the covariances taken as
        known; or posterior means with equal-tailed intervals.
    term : str, optional
        Grouping factor (``"Subject"``) or term (``"(Days | Subject)"``); the first one
        by default.
    effects : sequence of str, optional
        Effects, at most four; by default the first four.
    levels : int, "all" or sequence of labels, optional
        How many levels, all, or these; by default all if they are few, else about 40,
        the furthest from zero; a line says how many were left out.
    prob : float, default 0.9
        Probability of the intervals.

    Returns
    -------
    matplotlib Figure
        Outside pyplot; notebooks show it, ``.savefig(path)`` writes it. Units of y per
        unit of the column.

    Raises
    ------
    ModelError
        If there is no such term, effect or level.

    See Also
    --------
    plot_shrinkage : Fixed plus random effects, and where they come from.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
    >>> figure = lmm.plot_ranef(model.fit_reml())
    """
    if not isinstance(fit, RemlFit | Posterior):
        raise ModelError(
            f"plot_ranef draws a RemlFit or a Posterior, not a {type(fit).__name__}. "
            "Give it what model.fit_reml() or model.sample() gives."
        )
    block = find_block(fit.model, term)
    chosen = find_effects(block, effects, MOST_EFFECTS)
    table, words, color = _table(fit, block, prob)
    wide = table.pivot(index="level", columns="effect", values="estimate")
    found = wide.loc[list(block.levels), list(chosen)].to_numpy()
    reasons = {
        f"{effect} furthest from zero" if len(chosen) > 1 else "furthest from zero": x
        for effect, x in zip(chosen, np.abs(found).T, strict=True)
    }
    shown = choose_levels(block.levels, levels, block.group, reasons, most=MOST_DOTS)
    names = [block.levels[i] for i in shown.positions]
    table = table[table["level"].isin(names)]
    figure, axes = _panels(len(chosen), len(names))
    for ax, effect in zip(axes, chosen, strict=True):
        _draw_dots(ax, table[table["effect"] == effect], color)
        unit = coefficient_unit(fit.model.design, effect)
        ax.set_title(wrapped(effect), fontsize=9)
        ax.set_xlabel(wrapped_words(unit, WIDEST), fontsize=8)
    figure.supxlabel(words, fontsize=8)
    add_title(figure, f"Random effects of each {block.group}", shown.note)
    return shown_figure(figure)


def _table(
    fit: RemlFit | Posterior, block: Block, prob: float
) -> tuple[pd.DataFrame, str, str]:
    """Level, effect, estimate, lower, upper; what they are in words; their colour."""
    check_interval(prob, "eti")
    if isinstance(fit, Posterior):
        table = fit.ranef(prob, "eti").rename(columns={"mean": "estimate"})
        words = f"posterior mean and {interval_name(prob, 'eti')}"
        return table[table["group"] == block.group], words, POSTERIOR_COLOR
    table = fit.ranef()
    table = table[table["group"] == block.group].copy()
    reach = NormalDist().inv_cdf(0.5 + prob / 2) * table["sd"]
    table["lower"] = table["estimate"] - reach
    table["upper"] = table["estimate"] + reach
    known = f"{100 * prob:.0f}% interval, fixed effects and covariances as estimated"
    return table, f"{fit.method} BLUP and {known}", REML_COLOR


def _panels(n_effects: int, n_levels: int) -> "tuple[Figure, list[Axes]]":
    """Panels beside each other, high enough for the names."""
    from matplotlib.figure import Figure

    height = AROUND + ROW_HEIGHT * max(n_levels, 3)
    width = max(PANEL_WIDTH * n_effects, NARROWEST)
    many = n_levels > MANY_LEVELS
    figure = Figure((width, PAGE_HEIGHT if many else height), layout="constrained")
    return figure, list(figure.subplots(1, n_effects, squeeze=False).flat)


def _draw_dots(ax: "Axes", part: pd.DataFrame, color: str) -> None:
    """One effect, sorted by its estimate, with a line at zero."""
    part = part.sort_values("estimate", kind="stable").reset_index(drop=True)
    many = len(part) > MANY_LEVELS
    rows = np.arange(len(part))
    ends = part["lower"], part["upper"]
    ax.hlines(rows, *ends, color=color, lw=0.5 if many else 1.4, alpha=0.7)
    ax.plot(part["estimate"], rows, "o", markersize=1.5 if many else 4.0, color=color)
    ax.axvline(0.0, color=PLAIN_COLOR, linestyle="--", lw=1.0, zorder=0.5)
    label_levels(ax, list(part["level"]))
