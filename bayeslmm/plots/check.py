"""A page of panels that show whether the data look like the model."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.comparison.blocks import find_block
from bayeslmm.comparison.check_panels import CheckPanels, Quantiles, check_panels
from bayeslmm.errors import ModelError, check_fraction, check_seed
from bayeslmm.plots.names import level_name, plain, wrapped_words
from bayeslmm.plots.options import options_checked
from bayeslmm.plots.shown import shown_figure
from bayeslmm.plots.style import (
    PLAIN_COLOR,
    POSTERIOR_COLOR,
    REML_COLOR,
    add_title,
)
from bayeslmm.posterior.fit import Posterior
from bayeslmm.reml.fit import RemlFit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS, PANEL = 3, (3.6, 2.9)  # panels beside each other; inches of one
MOST_DOTS = 5_000  # rows drawn as dots; of more those far off and a part of the others
FAR = 3.0  # SDs from which a row is always drawn
MOST_BOXES, MOST_NAMED = 40, 20  # levels drawn as boxes, and named
NAMED = 3  # points with a name
MOST_OUTSIDE = 10  # points beyond a band of which the furthest are named
BAND_COLOR = "#e3e3e3"
SMALL = 7.0  # points, of names beside points
ROOM = 30  # letters that stand beside each other below a panel


@options_checked
def plot_check(
    fit: RemlFit | Posterior,
    *,
    term: str | None = None,
    prob: float = 0.95,
    seed: int | np.random.Generator | None = 0,
) -> "Figure":
    """A page of panels: whether the data look like the model.

    Standardised residuals by fitted values, and their size, each with a smooth curve;
    quantiles of the residuals and of each random effect beside the band within which a
    share `prob` of responses of the model stay throughout; residuals by level; and what
    each level does to the fixed effects (Cook's distance, SDs held). Use it with
    ``fit.check()``, which says the same in words.

    Parameters
    ----------
    fit : RemlFit or Posterior
        A Gaussian model whose rows are in memory.
    term : str, optional
        Grouping factor or term of the residuals by level; by default the first.
    prob : float, default 0.95
        Share of the responses of the model that stay within a band. Of a REML fit they
        are simulated at the estimates, nothing being fitted again; of a posterior at
        its draws.
    seed : int or numpy.random.Generator, default 0
        Of these responses.

    Returns
    -------
    matplotlib Figure
        Outside pyplot; notebooks show it, ``.savefig(path)`` writes it. A posterior has
        no panel of influence.

    Raises
    ------
    ModelError
        If the family is not Gaussian, or there is no such term.
    DataError
        If the rows were read in batches.

    References
    ----------
    .. [1] Loy, Hofmann and Cook (2017). J. Comput. Graph. Stat. 26(3).
       https://doi.org/10.1080/10618600.2017.1330207

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
    >>> figure = lmm.plot_check(model.fit_reml())
    >>> figure.axes[0].get_title()
    'Residuals by fitted values: should not bend'
    """
    if not isinstance(fit, RemlFit | Posterior):
        raise ModelError(
            f"plot_check draws a RemlFit or a Posterior, not a {type(fit).__name__}. "
            "Give it what model.fit_reml() or model.sample() gives."
        )
    check_fraction(prob, "prob")
    check_seed(seed)
    group = find_block(fit.model, term).group
    panels = check_panels(fit, group, prob=prob, seed=seed)
    color = POSTERIOR_COLOR if isinstance(fit, Posterior) else REML_COLOR
    drawers = _drawers(panels, fit.model.design.response, color)
    figure, axes = _page(len(drawers))
    for ax, draw in zip(axes, drawers, strict=True):
        draw(ax)
        ax.tick_params(labelsize=SMALL + 0.5)
    add_title(figure, *_words(fit, panels))
    return shown_figure(figure)


def _words(fit: RemlFit | Posterior, panels: CheckPanels) -> tuple[str, str]:
    """Title, and what the band is."""
    sampled = isinstance(fit, Posterior)
    where = "at its draws" if sampled else "at the estimates"
    return (
        f"Does the model hold? ({'posterior' if sampled else fit.method})",
        f"Grey: where {100 * panels.prob:.0f}% of {panels.nsim} responses that the "
        f"model makes {where} stay throughout. Residuals in their own SDs.",
    )


def _page(n: int) -> "tuple[Figure, Sequence[Axes]]":
    """So many panels, in rows of three."""
    from matplotlib.figure import Figure

    rows = -(-n // COLUMNS)
    size = PANEL[0] * COLUMNS, PANEL[1] * rows + 0.6
    figure = Figure(size, layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for ax in axes[n:]:
        ax.remove()
    return figure, list(axes[:n])


def _drawers(
    panels: CheckPanels, response: str, color: str
) -> "list[Callable[[Axes], None]]":
    """What draws each panel, in order."""
    found: list[Callable[[Axes], None]] = [
        lambda ax: _draw_trend(ax, panels, response, color),
        lambda ax: _draw_spread(ax, panels, response, color),
        lambda ax: _draw_quantiles(ax, panels.residuals, color),
        lambda ax: _draw_levels(ax, panels, color),
    ]
    if panels.influence is not None:
        found.append(lambda ax: _draw_influence(ax, panels, color))
    return found + [
        lambda ax, one=one: _draw_quantiles(ax, one, color) for one in panels.effects
    ]


# --- panels ---------------------------------------------------------------------------


def _title(ax: "Axes", text: str) -> None:
    """What a panel should show if the model holds."""
    ax.set_title(wrapped_words(text, 44), fontsize=8.5)


def _dots(ax: "Axes", x: np.ndarray, y: np.ndarray, far: np.ndarray, color: str) -> str:
    """Points, those far off and a part of the others where there are many."""
    step = -(-len(x) // MOST_DOTS)
    shown = far.copy()
    shown[::step] = True
    many = len(x) > 500
    ax.scatter(
        x[shown],
        y[shown],
        s=4.0 if many else 12.0,
        color=color,
        alpha=0.35 if many else 0.6,
        linewidths=0.0,
        rasterized=many,
    )
    return "" if shown.all() else f" ({int(shown.sum()):,} of {len(x):,} rows drawn)"


def _draw_trend(ax: "Axes", panels: CheckPanels, response: str, color: str) -> None:
    """Residuals by fitted values."""
    rows = panels.rows
    x, y = rows["fitted"].to_numpy(), rows["residual"].to_numpy()
    note = _dots(ax, x, y, np.abs(y) > FAR, color)
    ax.axhline(0.0, color=PLAIN_COLOR, linestyle="--", linewidth=1.0, zorder=0.5)
    _curve(ax, panels.trend)
    ax.set_xlabel(wrapped_words(f"fitted {response}{note}", 48), fontsize=8)
    ax.set_ylabel("residual, SDs", fontsize=8)
    _title(ax, "Residuals by fitted values: should not bend")


def _draw_spread(ax: "Axes", panels: CheckPanels, response: str, color: str) -> None:
    """Roots of the sizes of the residuals by fitted values."""
    rows = panels.rows
    x, size = rows["fitted"].to_numpy(), np.abs(rows["residual"].to_numpy())
    note = _dots(ax, x, np.sqrt(size), size > FAR, color)
    _curve(ax, panels.spread)
    ax.set_ylim(bottom=0.0)
    ax.set_xlabel(wrapped_words(f"fitted {response}{note}", 48), fontsize=8)
    ax.set_ylabel("root of |residual|", fontsize=8)
    _title(ax, "Size by fitted values: should be level")


def _curve(ax: "Axes", curve: tuple[np.ndarray, np.ndarray] | None) -> None:
    """A smooth curve, if there is one."""
    if curve is not None:
        ax.plot(*curve, color="black", linewidth=1.4)


def _draw_quantiles(ax: "Axes", found: Quantiles, color: str) -> None:
    """Observed quantiles by normal ones, with the band of the model's responses."""
    table = found.table
    x, y = table["normal"].to_numpy(), table["observed"].to_numpy()
    lower, upper = table["lower"].to_numpy(), table["upper"].to_numpy()
    ax.fill_between(x, lower, upper, color=BAND_COLOR, linewidth=0.0)
    ax.plot(x, x, color=PLAIN_COLOR, linestyle="--", linewidth=1.0)
    ax.plot(x, y, "o", color=color, markersize=3.0, alpha=0.8, markeredgewidth=0.0)
    outside = np.flatnonzero((y < lower) | (y > upper))
    if found.names is not None and 0 < len(outside) <= MOST_OUTSIDE:
        _name_points(ax, x, y, found.names, outside)
    ax.set_xlabel("normal quantiles", fontsize=8)
    ax.set_ylabel(wrapped_words(f"{found.of}, SDs", 30), fontsize=8)
    inside = "leaves the band" if len(outside) else "within the band"
    _title(ax, f"{found.of} ({found.n:,}): {inside}")


def _name_points(
    ax: "Axes", x: np.ndarray, y: np.ndarray, names: list[str], at: np.ndarray
) -> None:
    """Names of the points furthest off, beside them."""
    furthest = at[np.argsort(-np.abs(y[at]), kind="stable")][:NAMED]
    for i in furthest.tolist():
        right = x[i] > 0.0
        ax.annotate(
            level_name(names[i]),
            (float(x[i]), float(y[i])),
            xytext=(-4.0 if right else 4.0, 0.0),
            textcoords="offset points",
            ha="right" if right else "left",
            va="center",
            fontsize=SMALL,
        )


def _draw_levels(ax: "Axes", panels: CheckPanels, color: str) -> None:
    """Residuals by level, sorted by their medians."""
    parts = {
        str(level): own.to_numpy()
        for level, own in panels.rows.groupby("level", sort=False)["residual"]
    }
    names = sorted(parts, key=lambda level: float(np.median(parts[level])))
    ax.axhline(0.0, color=PLAIN_COLOR, linestyle="--", linewidth=1.0, zorder=0.5)
    if len(names) <= MOST_BOXES:
        _draw_boxes(ax, [parts[name] for name in names], color)
    else:
        _draw_ranges(ax, [parts[name] for name in names], color)
    group = plain(level_name(panels.group))
    if len(names) <= MOST_NAMED:
        _name_ticks(ax, [level_name(name) for name in names])
        ax.set_xlabel(group, fontsize=8)
    else:
        ax.set_xticks([])
        ax.set_xlabel(f"{len(names):,} levels of {group}, by median", fontsize=8)
    ax.set_ylabel("residual, SDs", fontsize=8)
    _title(ax, f"Residuals by {group}: should be alike")


def _draw_boxes(ax: "Axes", values: list[np.ndarray], color: str) -> None:
    """Tukey's boxes."""
    line = {"color": color, "linewidth": 1.0}
    ax.boxplot(
        values,
        positions=range(len(values)),
        widths=0.6,
        boxprops=line,
        whiskerprops=line,
        capprops=line,
        medianprops={"color": "black", "linewidth": 1.2},
        flierprops={"marker": ".", "markersize": 4.0, "markeredgecolor": color},
        manage_ticks=False,
    )


def _draw_ranges(ax: "Axes", values: list[np.ndarray], color: str) -> None:
    """Of many levels a line from first to third quartile, and a dot at the median."""
    ends = np.array([np.quantile(own, [0.25, 0.5, 0.75]) for own in values])
    at = np.arange(len(values))
    ax.vlines(at, ends[:, 0], ends[:, 2], color=color, linewidth=0.6, alpha=0.7)
    ax.plot(at, ends[:, 1], color="black", linewidth=1.0)
    size = np.concatenate(values)
    place = np.repeat(at, [len(own) for own in values])
    far = np.abs(size) > FAR
    ax.plot(place[far], size[far], ".", markersize=3.0, color=color)


def _draw_influence(ax: "Axes", panels: CheckPanels, color: str) -> None:
    """Cook's distances."""
    table = panels.influence
    assert table is not None, "the caller has asked"
    y, few = table["cooks_distance"].to_numpy(), len(table) <= MOST_NAMED
    at, known = np.arange(len(y)), np.nan_to_num(y)
    names = [level_name(name) for name in table["case"]]
    ax.vlines(at, 0.0, known, color=color, linewidth=0.8)
    if few:
        ax.plot(at, y, "o", color=color, markersize=3.5)
        _name_ticks(ax, names)
    else:
        ax.set_xticks([])
        for i in np.argsort(-known, kind="stable")[:NAMED].tolist():
            where = (float(at[i]), float(known[i]))
            ax.annotate(names[i], where, ha="center", va="bottom", fontsize=SMALL)
    what = plain(level_name(panels.influence_of))
    rows = what == "rows"
    counted = f"{len(y):,} {'' if rows else 'levels of '}{what}"
    ax.set_xlabel(what if few else counted, fontsize=8)
    ax.set_ylim(0.0, 1.15 * float(known.max()) or 1.0)
    ax.set_ylabel("Cook's distance", fontsize=8)
    _title(ax, f"Fixed effects without each {'row' if rows else what}")


def _name_ticks(ax: "Axes", names: list[str]) -> None:
    """Names below, upright where they are long."""
    turn = 0 if sum(map(len, names)) < ROOM else 90
    ax.set_xticks(range(len(names)), names, rotation=turn, fontsize=SMALL)
