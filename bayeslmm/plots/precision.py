"""Widths of intervals to expect, by the size of a study.

Takes a `Precision`, draws its table: a panel for each parameter.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bayeslmm.errors import ModelError, check_made, check_names, nearest_names
from bayeslmm.planning.precision import Precision
from bayeslmm.plots.names import wrapped
from bayeslmm.plots.options import options_checked
from bayeslmm.plots.panels import PANELS_PER_ROW, TITLE_LETTERS
from bayeslmm.plots.shown import shown_figure
from bayeslmm.plots.style import REML_COLOR, add_panel_legend, add_title

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL = (3.0, 2.3)  # inches
STYLES = ("-", "--", ":", "-.")


@options_checked
def plot_precision(
    precision: Precision, labels: Sequence[str] | None = None
) -> "Figure":
    """Width of the interval of each parameter, by the size of the study.

    Parameters
    ----------
    precision : Precision
        What `bayeslmm.precision` gives, best with several sizes.
    labels : sequence of str, optional
        Parameters, by default all.

    Returns
    -------
    matplotlib Figure
        Both axes logarithmic: a width that falls as one over the root of the size is a
        line of slope -1/2. Filled: from the information; open: simulated. Outside
        pyplot; notebooks show it, ``.savefig(path)`` writes it.

    Raises
    ------
    ModelError
        If that is no precision, or it has no such parameter.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(12, seed=1).data
    >>> fit = lmm.Model("score ~ edu + (1 | classroom)", pupils).fit_reml()
    >>> found = lmm.precision(fit, pupils, groups={"classroom": [12, 24, 48]})
    >>> len(plot_precision(found, ["1|classroom_sigma", "sigma"]).axes)
    2
    """
    from matplotlib.figure import Figure

    check_made(precision, Precision, "precision", "bayeslmm.precision()")
    table = precision.table
    shown = _chosen(labels, list(dict.fromkeys(table["label"])))
    sizes = table.columns.tolist()[: table.columns.tolist().index("n")]
    across = sizes[0] if sizes else "n"
    columns = min(len(shown), PANELS_PER_ROW)
    rows = -(-len(shown) // PANELS_PER_ROW)
    size = (PANEL[0] * max(columns, 2), PANEL[1] * rows + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, label in zip(axes, shown, strict=False):
        _draw(ax, table[table["label"] == label], across, sizes[1:])
        ax.set_title(wrapped(label, TITLE_LETTERS), fontsize=9)
    for ax in axes[len(shown) :]:
        ax.remove()
    words = "rows" if across == "n" else f"levels of {across}"
    figure.supxlabel("times each row" if across == "rows" else words, fontsize=8)
    figure.supylabel(f"width of the {100 * precision.prob:g}% interval", fontsize=8)
    note = "filled: expected information; open: median of simulated studies"
    add_title(figure, "Precision to expect", note)
    add_panel_legend(figure)
    return shown_figure(figure)


def _draw(ax: "Axes", own: "pd.DataFrame", across: str, others: list[str]) -> None:
    """Widths of one parameter; a line for each value of the other sizes."""
    from matplotlib.ticker import NullLocator, StrMethodFormatter

    parts = own.groupby(others, sort=False) if others else [("", own)]
    for i, (_, part) in enumerate(parts):
        said = ", ".join(f"{name} {part[name].iloc[0]:g}" for name in others)
        own_style = {"ls": STYLES[i % len(STYLES)], "label": said or None}
        ax.plot(part[across], part["width"], color=REML_COLOR, lw=1.2, **own_style)
        for how, face in (("information", REML_COLOR), ("simulation", "white")):
            some = part[part["how"] == how]
            ax.scatter(
                some[across], some["width"], s=22, c=face, ec=REML_COLOR, zorder=2
            )
    ax.set_xscale("log")
    ax.set_yscale("log")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(StrMethodFormatter("{x:g}"))
    ticks = sorted(own[across].unique())
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.tick_params(labelsize=8, which="both")


def _chosen(labels: Sequence[str] | None, known: list[str]) -> tuple[str, ...]:
    """The parameters asked for."""
    if labels is None:
        return tuple(known)
    wanted = check_names(labels, "labels")
    for label in wanted:
        if label not in known:
            raise ModelError(
                f"There is no parameter {label!r}.{nearest_names(label, known)}"
            )
    return tuple(wanted)
