"""Colours, words, axes and legends that all figures share."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.comparison.blocks import is_numeric
from bayeslmm.design.arrays import Design
from bayeslmm.design.space import POSITIVE, SIGMA, Parameter
from bayeslmm.errors import ModelError, shortened
from bayeslmm.plots.names import level_name, wrapped_words
from bayeslmm.plots.shown import shown_figure

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REML_COLOR = "#1f5fa8"
POSTERIOR_COLOR = "#d9741a"
PLAIN_COLOR = "#555555"  # no pooling and complete pooling: the data, not a model
MANY_LEVELS = 60  # more rows than this are drawn as dots and lines on one page
NAME_HEIGHT, PAGE_HEIGHT = 0.17, 10.0  # inches, of the name of a row, of a full page
MOST_NAMED = 3  # predictors named where an intercept is read
AREAS = (14.0, 70.0)  # square points, of the marks of the smallest and largest level
LETTER = 0.56  # width of a letter, in sizes of its font
TITLE_SIZE, LEGEND_SIZE = 10.0, 8.0  # points


def coefficient_axis(
    design: Design, group: str, effect: str, at: str, width: int = 60
) -> str:
    """Axis label of one coefficient of each level, with its units, at most `width`.

    ``Intercept of each Subject where Days = 4.5, its mean (units of Reaction)``, ``Days
    of each Subject (Reaction per Days)``.
    """
    unit = coefficient_unit(design, effect)
    where = intercept_at(design, at) if effect == "Intercept" else ""
    what = f"{effect} of each {group}{where}"
    between = " " if len(what) + len(unit) + 3 <= width else "\n"
    return wrapped_words(f"{what}{between}({unit})", width)


def coefficient_unit(design: Design, effect: str) -> str:
    """Units of a coefficient, ``Reaction per Days``."""
    if is_numeric(effect):
        return f"{design.response} per {effect}"
    return f"units of {design.response}"


def parameter_unit(design: Design, parameter: Parameter) -> str:
    """Units of a parameter."""
    if parameter.component == "corr":
        return "correlation"
    if parameter.component == "sd" and parameter.term is not None:
        effect = design.groups[parameter.term].effects[parameter.index[0]]
        return coefficient_unit(design, effect)
    if parameter == SIGMA:
        return f"units of {design.response}"
    if parameter.component == "sigma":
        return "ratio of SDs" if parameter.bounds == POSITIVE else "correlation"
    return coefficient_unit(design, parameter.label)


def intercept_at(design: Design, at: str) -> str:
    """Where the intercepts are read, empty if there are no numeric predictors."""
    found = dict(zip(design.fixed_names, design.moments.X.mean, strict=True))
    for term, columns in zip(design.groups, design.moments.Z, strict=True):
        found |= dict(zip(term.effects, columns.mean, strict=True))
    means = {name: mean for name, mean in found.items() if is_numeric(name)}
    if not means:
        return ""
    if len(means) > MOST_NAMED:
        return f" where all numeric predictors are {'0' if at == 'zero' else 'average'}"
    if at == "zero":
        return " where " + ", ".join(f"{name} = 0" for name in means)
    said = ", ".join(f"{name} = {mean:.3g}" for name, mean in means.items())
    return f" where {said}, {'its mean' if len(means) == 1 else 'their means'}"


def new_axes(width: float, height: float) -> "Axes":
    """Axes of a new figure outside pyplot, so that nothing is shown or kept."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained").subplots()


def check_axes(ax: object) -> None:
    """Raise `ModelError` unless `ax` is None or axes of a figure."""
    from matplotlib.axes import Axes

    if ax is None or (isinstance(ax, Axes) and ax.get_figure() is not None):
        return
    raise ModelError(
        f"ax must be the axes of a matplotlib figure, which ax={shortened(ax)} "
        f"({type(ax).__name__}) is not. Of plt.subplots(1, 2) give one, axes[0]; leave "
        f"ax out for a new figure."
    )


def limits(
    no_pooling: Float[np.ndarray, " j"], held: Float[np.ndarray, "..."]
) -> tuple[float, float]:
    """Axis limits that hold all of `held`, and no pooling within Tukey's outer fences.

    A level with two close rows has a regression of its own a hundred times off; without
    the fences (three interquartile ranges) it would press all others into one dot.
    """
    finite = no_pooling[np.isfinite(no_pooling)]
    kept = finite
    if len(finite):
        low, high = np.quantile(finite, [0.25, 0.75])
        fence = 3.0 * (high - low)
        kept = finite[(finite >= low - fence) & (finite <= high + fence)]
    shown = np.concatenate([kept, held.ravel()])
    low, high = float(shown.min()), float(shown.max())
    margin = 0.06 * (high - low) or 1.0
    return low - margin, high + margin


def areas(sizes: Int[np.ndarray, " s"]) -> Float[np.ndarray, " s"]:
    """Areas of marks, square points, in proportion to the rows of each level."""
    smallest, largest = AREAS
    return np.maximum(largest * sizes / sizes.max(), smallest)


def no_pooling_label(values: Float[np.ndarray, " j"], outside: int) -> str:
    """Legend of no pooling: how many levels have none, or lie outside the frame."""
    missing = int(np.isnan(values).sum())
    notes = [f"{missing:,} not identified"] if missing else []
    notes += [f"{outside:,} outside the frame"] if outside else []
    return "no pooling" + (f" ({', '.join(notes)})" if notes else "")


def pulled(n: int, own: float, pooled: float, center: float) -> str:
    """Rows of a level and how far it went to the centre, ``n = 4, pulled 42%``.

    The share is of this one effect, as its arrow is. Beside others that are correlated
    with it, an effect may be moved past the centre or away from it.
    """
    rows = f"n = {n:,}"
    if not np.isfinite(own):
        return f"{rows}, no own estimate"
    share = (own - pooled) / (own - center) if own != center else 0.0
    if share > 1.0:
        return f"{rows}, past the centre"
    if share < 0.0:
        return f"{rows}, away from it"
    return f"{rows}, pulled {100 * share:.0f}%"


def center_style() -> dict[str, Any]:
    """Look of the fixed effect, which levels are pulled to."""
    return {
        "color": PLAIN_COLOR,
        "linestyle": "--",
        "linewidth": 1.0,
        "label": "centre of pooling (fixed effect)",
        "zorder": 0.6,
    }


def finish(ax: "Axes", title: str, note: str, *, own: bool) -> "Figure":
    """Title and legend: of the figure if it is ours, else inside the axes given."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    if own:
        add_title(figure, title, note)
        add_legend(figure, *ax.get_legend_handles_labels())
        return shown_figure(figure)
    ax.set_title(wrapped_words(f"{title}\n{note}", 50), fontsize=8)
    ax.legend(fontsize=7)
    return figure


def label_levels(ax: "Axes", names: list[str]) -> int:
    """Names at the left, no more than stay legible; every how many are named."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    inches = ax.get_window_extent().height / figure.dpi
    step = max(1, int(np.ceil(len(names) * NAME_HEIGHT / inches)))
    named = range(0, len(names), step)
    ax.set_yticks(list(named), [level_name(names[i]) for i in named], fontsize=8)
    ax.set_ylim(-0.9, len(names) - 0.1)
    return step


def add_title(figure: "Figure", title: str, note: str = "") -> None:
    """What a figure shows, and below it which levels are there."""
    width = int((72.0 * figure.get_figwidth() - 20.0) / (LETTER * TITLE_SIZE))
    figure.suptitle(wrapped_words(f"{title}\n{note}", width), fontsize=TITLE_SIZE)


def add_panel_legend(figure: "Figure") -> None:
    """One legend of all panels, each label once; none without labels."""
    shown = {
        label: handle
        for ax in figure.axes
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    if shown:
        add_legend(figure, list(shown.values()), list(shown))


def add_legend(
    figure: "Figure", handles: "Sequence[Artist]", labels: "Sequence[str]"
) -> None:
    """Legend below the axes, in two columns where they fit."""
    room = 72.0 * figure.get_figwidth()
    column = max(len(label) for label in labels) * LETTER * LEGEND_SIZE + 40.0
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=2 if 2.0 * column <= room else 1,
        fontsize=LEGEND_SIZE,
        frameon=False,
    )
