"""Small panels, one for each level: its rows, and what pooling makes of its line."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.comparison import check_kind, shrinkage_table
from bayeslmm.comparison.blocks import Block, find_block
from bayeslmm.comparison.lines import LevelLines, Predictor, find_predictor, level_lines
from bayeslmm.comparison.table import interval_name
from bayeslmm.design.arrays import rows_of
from bayeslmm.plots.levels import Levels, choose_levels, pooling_reasons
from bayeslmm.plots.names import level_name, wrapped, wrapped_words
from bayeslmm.plots.options import options_checked
from bayeslmm.plots.shown import shown_figure
from bayeslmm.plots.style import (
    PLAIN_COLOR,
    POSTERIOR_COLOR,
    REML_COLOR,
    add_legend,
    add_title,
    limits,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.fit import RemlFit

MOST_PANELS = 20
PER_ROW, PANEL = 5, (1.75, 1.6)  # inches
AROUND = (0.8, 1.5)  # inches of title, axes and legend
NARROWEST = 6.0  # inches, for title and legend
SHORT = 12  # letters of a name beside which its rows have room
MOST_CATEGORIES = 4  # named below a panel


@options_checked
def plot_fits(
    reml: "RemlFit",
    post: "Posterior | None" = None,
    *,
    term: str | None = None,
    predictor: str | None = None,
    levels: Levels | None = None,
    prob: float = 0.9,
) -> "Figure":
    """Every level's rows with three lines: its own, that of all, and partial pooling.

    Use it first: it shows the data, and who borrows from whom. Panels are sorted by
    rows, fewest first, where pooling does most.

    Parameters
    ----------
    reml : RemlFit
        Fit by REML or ML.
    post : Posterior, optional
        Posterior of the same model; adds the band of the partially pooled line.
    term : str, optional
        Grouping factor (``"Subject"``) or term (``"(Days | Subject)"``); the first one
        by default.
    predictor : str, optional
        What is on the x axis; by default the first predictor whose effect varies by
        level, else the first fixed one, else the order of the rows.
    levels : int, "all" or sequence of labels, optional
        How many levels, all, or these; by default all if they are few, else about 20:
        the furthest from the centre, the most moved, those with the fewest rows.
    prob : float, default 0.9
        Probability of the band, equal-tailed.

    Returns
    -------
    matplotlib Figure
        Outside pyplot; notebooks show it, ``.savefig(path)`` writes it.

    Raises
    ------
    ModelError
        If there is no such term, predictor or level, or the fits are of different
        models.
    DataError
        If the rows are not in memory.

    See Also
    --------
    plot_shrinkage : The coefficients of these lines.

    Notes
    -----
    Other columns that vary within a level, and other grouping factors, are held at
    their mean in the level; the points are then the response less what the REML fit
    says of them, and the figure says so.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
    >>> figure = lmm.plot_fits(model.fit_reml())
    """
    check_kind(reml, "reml", "RemlFit", "model.fit_reml()")
    rows_of(reml.model.design, "the rows of each level")
    block = find_block(reml.model, term)
    on_x = find_predictor(reml.model, block, predictor)
    own, pooled, center = pooled_coefficients(reml, block)
    reasons = pooling_reasons(own, pooled, center, block.sizes)
    shown = choose_levels(block.levels, levels, block.group, reasons, most=MOST_PANELS)
    order = np.argsort(block.sizes[shown.positions], kind="stable")
    positions = shown.positions[order]

    def name(position: int) -> str:
        """Name and rows of a level, on one line where there is room."""
        name = level_name(block.levels[position])
        between = "  " if len(name) <= SHORT else "\n"
        return f"{name}{between}(n = {block.sizes[position]:,})"

    found = level_lines(reml, post, block, positions, on_x, prob)
    title = f"Rows and regression of each {block.group}"
    return draw_panels(found, positions, reml, on_x, prob, name, (title, shown.note))


def pooled_coefficients(
    reml: "RemlFit", block: Block
) -> tuple[Float[np.ndarray, "j k"], ...]:
    """Own, partially pooled and common coefficients of the levels, at the means."""
    table = shrinkage_table(reml, at="mean")
    table = table[table["group"] == block.group]
    shape = (len(block.levels), len(block.effects))
    names = ("no_pooling", "partial_pooling", "center")
    return tuple(table[name].to_numpy().reshape(shape) for name in names)


def draw_panels(
    found: LevelLines,
    positions: Int[np.ndarray, " s"],
    reml: "RemlFit",
    on_x: Predictor,
    prob: float,
    name: Callable[[int], str],
    title: tuple[str, str],
) -> "Figure":
    """Rows and lines of levels in this order, each under its name; title and note."""
    figure, axes = level_panels(len(positions))
    words = [reml.method, f"posterior, {interval_name(prob, 'eti')}"]
    for ax, position in zip(axes, positions.tolist(), strict=True):
        draw_level(ax, found, position, words)
        ax.set_title(name(position), fontsize=8)
    frame_panels(figure, axes, found, on_x, reml.model.design.response)
    add_title(figure, *title)
    add_legend(figure, *axes[-1].get_legend_handles_labels())
    return shown_figure(figure)


def level_panels(count: int) -> "tuple[Figure, list[Axes]]":
    """A figure of so many panels, all with the same axes."""
    from matplotlib.figure import Figure

    columns = min(count, PER_ROW)
    rows = -(-count // columns)
    width = max(AROUND[0] + PANEL[0] * columns, NARROWEST)
    figure = Figure((width, AROUND[1] + PANEL[1] * rows), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for ax in axes.flat[count:]:
        ax.remove()
    return figure, list(axes.flat[:count])


def draw_level(ax: "Axes", found: LevelLines, position: int, words: list[str]) -> None:
    """Points, three lines and the band of one level."""
    points = found.points[found.points["level"] == position]
    lines = found.lines[found.lines["level"] == position]
    method, posterior = words
    if "lower" in lines:
        ax.fill_between(
            lines["x"],
            lines["lower"],
            lines["upper"],
            color=POSTERIOR_COLOR,
            alpha=0.3,
            linewidth=0.0,
            label=f"partial pooling, {posterior}",
        )
    ax.scatter(points["x"], points["y"], s=9.0, color="black", alpha=0.6, lw=0.0)
    near = lines["x"].between(points["x"].min(), points["x"].max())
    own = lines[near]
    ax.plot(own["x"], own["own"], color=PLAIN_COLOR, lw=1.2, label="no pooling, own")
    ax.plot(
        lines["x"],
        lines["pooled"],
        color=PLAIN_COLOR,
        linestyle="--",
        linewidth=1.0,
        label="complete pooling",
    )
    ax.plot(
        lines["x"],
        lines["partial"],
        color=REML_COLOR,
        linewidth=1.6,
        label=f"partial pooling, {method}",
    )


def frame_panels(
    figure: "Figure",
    axes: "list[Axes]",
    found: LevelLines,
    on_x: Predictor,
    response: str,
) -> None:
    """Limits that hold points and pooled lines, and what the axes are."""
    held = found.lines.filter(["pooled", "partial", "lower", "upper"]).to_numpy()
    axes[0].set_ylim(*limits(found.points["y"].to_numpy(), held))
    less = " less other columns and groups" if found.adjusted else ""
    for i, ax in enumerate(axes):
        ax.tick_params(labelsize=7)
        ax.locator_params(nbins=4)
        if i + PER_ROW >= len(axes):  # nothing below it
            ax.tick_params(labelbottom=True)
            ax.set_xlabel(wrapped(on_x.name or "row in its level"), fontsize=8)
    if on_x.levels:
        step = -(-len(on_x.levels) // MOST_CATEGORIES)
        shown = range(0, len(on_x.levels), step)
        names = [level_name(on_x.levels[i]) for i in shown]
        axes[0].set_xticks(list(shown), names, rotation=45, ha="right")
    width = int(figure.get_figheight() * 10)
    figure.supylabel(wrapped_words(f"{response}{less}", width), fontsize=9)
