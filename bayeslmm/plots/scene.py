"""Rows by level in their colours: what the figures of the ladder of pooling share."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float

from bayeslmm.comparison.followed import Followed, follow
from bayeslmm.comparison.ladder import Ladder, ladder
from bayeslmm.errors import ModelError
from bayeslmm.plots.names import level_name, plain
from bayeslmm.plots.shown import shown_figure
from bayeslmm.plots.style import add_panel_legend, add_title
from bayeslmm.spec import ModelSpec
from bayeslmm.tables.numbers import counted, significant

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL = (4.6, 3.8)  # inches
MOST_NAMED = 10  # levels in the legend; more have no names
POINT, LINE = 14.0, 1.4  # square points, points


class Scene(NamedTuple):
    """What all panels share."""

    followed: Followed
    lines: Ladder
    response: str
    colors: Float[np.ndarray, "j 4"]

    @property
    def levels(self) -> tuple[str, ...]:
        """Names of the levels."""
        return self.followed.block.levels


def scene_of(model: object, predictor: str | None) -> Scene:
    """What is followed in a model, with the colours of its levels."""
    if not isinstance(model, ModelSpec):
        raise ModelError(
            f"This draws a model, Model(formula, data), not a {type(model).__name__}; "
            f"of a fit give fit.model."
        )
    followed = follow(model, predictor)
    colors = level_colors(len(followed.block.levels))
    return Scene(followed, ladder(followed), model.design.response, colors)


def level_colors(count: int) -> Float[np.ndarray, "j 4"]:
    """A colour for each level: told apart if few, else along a scale."""
    import matplotlib as mpl

    if count <= MOST_NAMED:
        return mpl.colormaps["tab10"](np.arange(count))
    return mpl.colormaps["viridis"](np.linspace(0.0, 0.95, count))


def new_panels(count: int) -> "tuple[Figure, list[Axes]]":
    """A figure of panels side by side."""
    from matplotlib.figure import Figure

    size = (PANEL[0] * count + (1.2 if count == 1 else 0.0), PANEL[1] + 0.4)
    figure = Figure(size, layout="constrained")
    return figure, list(figure.subplots(1, count, squeeze=False)[0])


def draw_points(ax: "Axes", scene: Scene) -> None:
    """All rows in the colours of their levels."""
    lines, codes = scene.lines, scene.followed.rows.codes
    named = len(scene.levels) <= MOST_NAMED
    for j, name in enumerate(scene.levels):
        own = codes == j
        label = level_name(name) if named else None
        style: dict[str, Any] = {"s": POINT, "color": scene.colors[j], "label": label}
        ax.scatter(lines.x[own], lines.y[own], alpha=0.75, linewidths=0, **style)
    ax.set_xlabel(plain(scene.followed.name))
    ax.set_ylabel(plain(scene.response))


def draw_line(
    ax: "Axes",
    scene: Scene,
    line: Float[np.ndarray, " 2"],
    **style: Any,  # noqa: ANN401
) -> None:
    """A line over the range of the predictor."""
    ends = np.array([scene.lines.x.min(), scene.lines.x.max()])
    ax.plot(ends, line[0] + line[1] * ends, **{"linewidth": LINE, **style})


def slope_words(line: Float[np.ndarray, " 2"]) -> str:
    """``slope 0.131``."""
    return f"slope {significant(float(line[1]))}"


def finished(figure: "Figure", scene: Scene, title: str, *notes: str) -> "Figure":
    """Title, and one legend of all panels below them."""
    held = ["other predictors held at their means"] if scene.lines.adjusted else []
    many = len(scene.levels) > MOST_NAMED
    count = [counted(len(scene.levels), "level")] if many else []
    add_title(figure, title, "; ".join([*filter(None, notes), *held, *count]))
    add_panel_legend(figure)
    return shown_figure(figure)
