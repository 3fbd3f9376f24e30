"""From complete pooling to a mixed model, a picture for each step.

Takes models and fits; draws rows by level with the lines of `comparison.ladder`. A
level has one colour in all panels of a figure.
"""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from bayeslmm.comparison import check_kind
from bayeslmm.errors import ModelError
from bayeslmm.plots.names import level_name, plain
from bayeslmm.plots.options import options_checked
from bayeslmm.plots.scene import (
    LINE,
    MOST_NAMED,
    Scene,
    draw_line,
    draw_points,
    finished,
    new_panels,
    scene_of,
    slope_words,
)
from bayeslmm.plots.style import PLAIN_COLOR
from bayeslmm.tables.numbers import counted, significant

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bayeslmm.reml.fit import RemlFit
    from bayeslmm.spec import ModelSpec

MOST_BARS = 40  # levels whose names stand below their bars


@options_checked
def plot_rows(model: "ModelSpec", *, predictor: str | None = None) -> "Figure":
    """The rows of each level, and the one line through all of them.

    Use it first: what complete pooling sees, and what it ignores.

    Parameters
    ----------
    model : Model
        Gaussian, with one grouping factor and a numeric predictor.
    predictor : str, optional
        By default the first whose effect varies by level, else the first fixed one.

    Returns
    -------
    matplotlib Figure
        Outside pyplot; notebooks show it, ``.savefig(path)`` writes it.

    Raises
    ------
    ModelError
        If there are several grouping factors, or the predictor is no number.
    DataError
        If the rows are not in memory.

    See Also
    --------
    pooling_table : The slopes of these figures.
    plot_fits : A panel for each level.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(4, seed=1).data
    >>> figure = lmm.plot_rows(lmm.Model("score ~ edu + (1 | classroom)", pupils))
    """
    scene = scene_of(model, predictor)
    figure, (ax,) = new_panels(1)
    draw_points(ax, scene)
    line = scene.lines.pooled
    draw_line(ax, scene, line, color="black", label=slope_words(line))
    group = scene.followed.block.group
    return finished(figure, scene, f"Complete pooling: {group} ignored")


@options_checked
def plot_offsets(reml: "RemlFit", *, predictor: str | None = None) -> "Figure":
    """One slope, and how far each level lies from the line of the fixed effects.

    Use it to show what a random intercept is: the arrows are its predictions, their SD
    and variance stand in the figure, in units of the response.

    Parameters
    ----------
    reml : RemlFit
        Of a model with random intercepts alone, ``y ~ x + (1 | g)``.
    predictor : str, optional
        By default the first fixed effect that is a number.

    Returns
    -------
    matplotlib Figure
        Outside pyplot.

    Raises
    ------
    ModelError
        If slopes vary too (`plot_slopes` draws them), there are several grouping
        factors, or the predictor is no number.
    DataError
        If the rows are not in memory.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(4, seed=1).data
    >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
    >>> figure = lmm.plot_offsets(model.fit_reml())
    """
    check_kind(reml, "reml", "RemlFit", "model.fit_reml()")
    scene = scene_of(reml.model, predictor)
    block = scene.followed.block
    if block.effects != ("Intercept",):
        raise ModelError(
            f"Arrows show intercepts that vary by {block.group}; here "
            f"{', '.join(block.effects)} vary. plot_slopes and plot_fits draw these."
        )
    line = _population(reml, scene)
    offsets = reml.effects.b[0][:, 0]
    figure, (ax,) = new_panels(1)
    draw_points(ax, scene)
    draw_line(
        ax, scene, line, color="black", label=f"fixed effects, {slope_words(line)}"
    )
    for j, offset in enumerate(offsets):
        draw_line(ax, scene, line + np.array([offset, 0.0]), color=scene.colors[j])
    _arrows(ax, scene, line, offsets)
    sd = float(reml.factors[0][0, 0])
    words = f"SD {significant(sd)}, variance {significant(sd**2)}"
    title = f"One slope, and the intercept of each {block.group} ({reml.method})"
    return finished(figure, scene, title, words)


@options_checked
def plot_aggregation(model: "ModelSpec", *, predictor: str | None = None) -> "Figure":
    """The mean of each level, and the regression of the means.

    Use it to show that averaging first asks another question: the slope between levels.

    Parameters
    ----------
    model, predictor
        As for `plot_rows`.

    Returns
    -------
    matplotlib Figure
        Two panels, outside pyplot.

    Raises
    ------
    ModelError, DataError
        As `plot_rows`.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(4, seed=1).data
    >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
    >>> figure = lmm.plot_aggregation(model)
    """
    scene = scene_of(model, predictor)
    figure, (left, right) = new_panels(2)
    draw_points(left, scene)
    at, line = scene.lines.means, scene.lines.between
    for ax, size in ((left, 80.0), (right, 60.0)):
        ax.scatter(*at.T, s=size, c=scene.colors, edgecolors="black", zorder=3)
    ends = np.array([at[:, 0].min(), at[:, 0].max()])
    right.plot(ends, line[0] + line[1] * ends, color="black", label=slope_words(line))
    right.set_xlabel(plain(f"mean {scene.followed.name}"))
    right.set_ylabel(plain(f"mean {scene.response}"))
    left.set_title("rows and means", fontsize=9)
    right.set_title("regression of the means", fontsize=9)
    group = scene.followed.block.group
    return finished(figure, scene, f"Aggregation: one row for each {group}")


@options_checked
def plot_two_stage(model: "ModelSpec", *, predictor: str | None = None) -> "Figure":
    """A regression for each level, then the mean of their slopes.

    Use it to show no pooling, and what a summary of summaries leaves out: how sure each
    slope is.

    Parameters
    ----------
    model, predictor
        As for `plot_rows`.

    Returns
    -------
    matplotlib Figure
        Two panels, outside pyplot.

    Raises
    ------
    ModelError, DataError
        As `plot_rows`.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(4, seed=1).data
    >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
    >>> figure = lmm.plot_two_stage(model)
    """
    scene = scene_of(model, predictor)
    figure, (left, right) = new_panels(2)
    draw_points(left, scene)
    for j, line in enumerate(scene.lines.own):
        draw_line(left, scene, line, color=scene.colors[j])
    own = scene.lines.own[:, 1]
    right.bar(np.arange(len(own)), np.nan_to_num(own), color=scene.colors)
    mean = float(np.nanmean(own)) if np.isfinite(own).any() else np.nan
    right.axhline(mean, color="black", lw=LINE, label=f"mean {significant(mean)}")
    right.axhline(0.0, color=PLAIN_COLOR, lw=0.6)
    if len(own) <= MOST_BARS:
        names = [level_name(name) for name in scene.levels]
        turn = 90 if max(map(len, names)) * len(names) > 40 else 0
        right.set_xticks(range(len(own)), names, rotation=turn, fontsize=8)
    right.set(xlabel=plain(scene.followed.block.group))
    right.set_ylabel(plain(f"slope of {scene.followed.name}"))
    left.set_title("a regression for each level", fontsize=9)
    right.set_title("their slopes", fontsize=9)
    missing = int(np.isnan(own).sum())
    note = f"{counted(missing, 'level')} without a slope" if missing else ""
    return finished(
        figure, scene, "Two stages: a slope for each, then their mean", note
    )


@options_checked
def plot_slopes(model: "ModelSpec", *, predictor: str | None = None) -> "Figure":
    """One slope for all levels, dashed, against a slope for each, solid.

    Use it to ask whether slopes differ: `pooling_table` has the tests.

    Parameters
    ----------
    model, predictor
        As for `plot_rows`.

    Returns
    -------
    matplotlib Figure
        Outside pyplot.

    Raises
    ------
    ModelError, DataError
        As `plot_rows`.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(4, seed=1).data
    >>> model = lmm.Model("score ~ edu + (edu | classroom)", pupils)
    >>> figure = lmm.plot_slopes(model)
    """
    scene = scene_of(model, predictor)
    figure, (ax,) = new_panels(1)
    draw_points(ax, scene)
    for j, color in enumerate(scene.colors):
        draw_line(ax, scene, scene.lines.common[j], color=color, linestyle="--")
        draw_line(ax, scene, scene.lines.own[j], color=color)
    ax.plot([], [], color=PLAIN_COLOR, ls="--", label="one slope for all")
    ax.plot([], [], color=PLAIN_COLOR, label="a slope for each")
    title = f"Does the slope differ by {scene.followed.block.group}?"
    return finished(figure, scene, title, _without(scene))


def _without(scene: Scene) -> str:
    """How many levels have no slope of their own."""
    missing = int(np.isnan(scene.lines.own[:, 1]).sum())
    return f"{counted(missing, 'level')} without a slope" if missing else ""


def _population(reml: "RemlFit", scene: Scene) -> Float[np.ndarray, " 2"]:
    """The line of the fixed effects, other columns at their means."""
    at, X = scene.followed.rows.at, scene.followed.rows.X
    others = np.delete(X.mean(axis=0) * reml.beta, at).sum()
    return np.array([others, reml.beta[at]])


def _arrows(
    ax: "Axes",
    scene: Scene,
    line: Float[np.ndarray, " 2"],
    offsets: Float[np.ndarray, " j"],
) -> None:
    """From the line of the fixed effects to that of each level, side by side."""
    low, high = scene.lines.x.min(), scene.lines.x.max()
    places = np.linspace(low, high, len(offsets) + 2)[1:-1]
    named = len(offsets) <= MOST_NAMED
    for j, (x, offset) in enumerate(zip(places, offsets, strict=True)):
        start = line[0] + line[1] * x
        ax.annotate(
            "",
            (x, start + offset),
            (x, start),
            arrowprops={"arrowstyle": "-|>", "color": scene.colors[j], "lw": 1.6},
        )
        if named:
            ax.text(x, start + offset / 2, f" {offset:+.3g}", size=8, va="center")
