"""Figures that choose: which cases prefer which model, factors under other priors.

Takes what was left out, or Bayes factors; gives figures.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from bayeslmm.errors import ModelError, check_names, shortened
from bayeslmm.plots.names import level_name, plain
from bayeslmm.plots.options import options_checked
from bayeslmm.plots.shown import shown_figure
from bayeslmm.plots.style import (
    MANY_LEVELS,
    NAME_HEIGHT,
    PLAIN_COLOR,
    POSTERIOR_COLOR,
    add_panel_legend,
    add_title,
)
from bayeslmm.reml.cases import ROWS
from bayeslmm.tables.numbers import number

if TYPE_CHECKING:
    from arviz_stats.utils import ELPDDataLOO
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bayeslmm.comparison.bayes_factors import BayesFactors

WIDTH, HEIGHT = 6.4, 3.6  # inches
# Factors beyond these are strong evidence, by Kass and Raftery (1995).
STRONG = 20.0


@options_checked
def plot_loo(
    first: "ELPDDataLOO",
    second: "ELPDDataLOO | None" = None,
    *,
    names: Sequence[str] = ("the first", "the second"),
) -> "Figure":
    """Log predictive density of each left-out case, or which model each prefers.

    Use it to see whether a difference of two models is that of all cases or of a few.
    `arviz.plot_khat` shows the Pareto k, `arviz.plot_compare` the sums.

    Parameters
    ----------
    first : ELPDDataLOO
        What ``post.loo()`` gives.
    second : ELPDDataLOO, optional
        The same of another model: then the differences are drawn.
    names : sequence of str, optional
        What to call the two.

    Returns
    -------
    matplotlib Figure
        Cases in the order of their values; open marks are cases whose posterior was
        made anew.

    Raises
    ------
    ModelError
        If that is not what ``post.loo()`` gives, or other cases were left out.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
    >>> post = model.sample(draws=100, seed=1, progress=False)
    >>> figure = lmm.plot_loo(post.loo("classroom"))
    """
    table, note, names = _table(first).copy(), "", check_names(names, "names")
    if len(names) != 2:
        raise ModelError(
            f"names= are what to call the two models, ('slopes', 'intercepts'), not "
            f"{names!r}."
        )
    by = first.by  # pyright: ignore[reportAttributeAccessIssue]
    what = "row" if by == ROWS else by
    title, label = f"Each {what} left out", "log predictive density"
    if second is not None:
        other = _table(second)
        if not table.index.equals(other.index):
            raise ModelError(
                "The two were computed by leaving out other cases, or of other rows, "
                "and have no differences: use the same by= and models of the same data."
            )
        table["elpd"] -= other["elpd"]
        table["refitted"] |= other["refitted"]
        total = float(table["elpd"].sum())
        error = float(np.sqrt(len(table) * table["elpd"].var(ddof=0)))
        title = f"{title}: {plain(names[0])} against {plain(names[1])}"
        note = f"difference {number(total, 1)} (SE {number(error, 1)})"
        label = f"log predictive density, {plain(names[0])} less {plain(names[1])}"
    table = table.sort_values("elpd")
    figure, ax = _figure(len(table))
    _draw_cases(ax, table, zero=second is not None)
    ax.set(xlabel=label, ylabel=plain(what))
    add_title(figure, title, note)
    return shown_figure(figure)


def _table(given: object) -> Any:  # noqa: ANN401 (a DataFrame)
    """The table of what was left out, or a `ModelError`."""
    table = getattr(given, "table", None)
    if not (callable(table) and hasattr(given, "elpd_i")):
        raise ModelError(
            f"plot_loo draws what post.loo() gives, not {shortened(given)} "
            f"({type(given).__name__})."
        )
    return table()


def _figure(n: int) -> "tuple[Figure, Axes]":
    """A figure as high as the names of n cases need."""
    from matplotlib.figure import Figure

    named = n if n <= MANY_LEVELS else 0
    height = max(HEIGHT, NAME_HEIGHT * named + 1.4)
    figure = Figure((WIDTH, height), layout="constrained")
    return figure, figure.subplots()


def _draw_cases(
    ax: "Axes",
    table: Any,  # noqa: ANN401 (a DataFrame)
    *,
    zero: bool,
) -> None:
    """A mark for each case, from the bottom up."""
    values, again = table["elpd"].to_numpy(float), table["refitted"].to_numpy(bool)
    places = np.arange(len(values))
    if zero:
        ax.axvline(0.0, color=PLAIN_COLOR, lw=0.8)
        if len(values) <= MANY_LEVELS:
            ax.hlines(places, 0.0, values, color=PLAIN_COLOR, lw=0.8, alpha=0.5)
    style = {"color": POSTERIOR_COLOR, "markersize": 4.5, "linestyle": "none"}
    ax.plot(values[~again], places[~again], "o", **style)
    if again.any():
        words = "its posterior made anew"
        ax.plot(values[again], places[again], "o", **style, mfc="white", label=words)
        ax.legend(fontsize=8, frameon=False, loc="best")
    if len(values) <= MANY_LEVELS:
        ax.set_yticks(
            places, [level_name(str(name)) for name in table.index], fontsize=7.5
        )
    else:
        ax.set_yticks([])
    ax.margins(y=0.02)


@options_checked
def plot_bayes_factors(factors: "BayesFactors") -> "Figure":
    """Bayes factor of each term as the priors of its SDs are narrower or wider.

    Parameters
    ----------
    factors : BayesFactors
        What `bayes_factors` gives.

    Returns
    -------
    matplotlib Figure
        Scale of the priors across, factor upwards, both on log scales; above the line
        at 1 the data were foreseen better with the term. Between the dotted lines, 1/20
        to 20, neither is favoured strongly.

    Raises
    ------
    ModelError
        If that is something else.

    References
    ----------
    .. [1] Kass and Raftery (1995). Bayes factors. J. Am. Stat. Assoc. 90(430).
       https://doi.org/10.1080/01621459.1995.10476572

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
    >>> figure = lmm.plot_bayes_factors(lmm.bayes_factors(model, nsim=0))
    """
    from bayeslmm.comparison.bayes_factors import BayesFactors

    if not isinstance(factors, BayesFactors):
        raise ModelError(
            f"plot_bayes_factors draws what bayes_factors(model) gives, not "
            f"{shortened(factors)} ({type(factors).__name__})."
        )
    figure, ax = _figure(0)
    runs = list(factors.sensitivity.groupby("term", sort=False))
    for i, (term, own) in enumerate(runs):
        powers = own["log_bf"].to_numpy(float) / np.log(10.0)
        ax.plot(own["scale"], powers, "o-", color=f"C{i}", ms=4, label=plain(str(term)))
    _mark(ax, factors.sensitivity["scale"].to_numpy(float))
    add_title(
        figure,
        "Bayes factor for each term, under other priors of its SDs",
        "1 is the model's own prior; dotted: 1/20 and 20",
    )
    add_panel_legend(figure)
    return shown_figure(figure)


def _mark(ax: "Axes", scales: Float[np.ndarray, " s"]) -> None:
    """Lines at no evidence and at strong evidence; both scales in their words."""
    ax.axhline(0.0, color=PLAIN_COLOR, lw=0.8)
    for side in (-1.0, 1.0):
        level = side * float(np.log10(STRONG))
        ax.axhline(level, color=PLAIN_COLOR, lw=0.8, ls=":")
    ax.set_xscale("log", base=2)
    shown = np.unique(scales)
    ax.set_xticks(shown, [f"{scale:g}" for scale in shown])
    ax.minorticks_off()
    ax.set(
        xlabel="width of the tested SDs' priors, relative to the model's own",
        ylabel="log10 of the Bayes factor",
    )
