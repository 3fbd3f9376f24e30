"""Calibration: how ranks depart from uniform, and what the intervals hold.

Takes a `Calibration`, draws its tables. arviz-plots' `plot_ecdf_pit` gives up its
simultaneous bands; these are those of `Calibration.ecdf`.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from bayeslmm.errors import (
    ModelError,
    check_made,
    check_names,
    is_choice,
    nearest_names,
    shortened,
)
from bayeslmm.planning.certificate import KINDS, PROB, Calibration
from bayeslmm.plots.names import wrapped
from bayeslmm.plots.options import options_checked
from bayeslmm.plots.panels import PANELS_PER_ROW, TITLE_LETTERS
from bayeslmm.plots.shown import shown_figure
from bayeslmm.plots.style import (
    PLAIN_COLOR,
    POSTERIOR_COLOR,
    REML_COLOR,
    add_panel_legend,
    add_title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL = (3.0, 2.2)  # inches
BAND, OUTSIDE = "0.86", "#b2182b"
# Intervals of posterior and of REML, each with a mark, beside each other.
MARKS = {"eti": "o", "hdi": "D", "wald": "s", "profile": "^"}
WORDS = {
    "eti": "credible, equal-tailed",
    "hdi": "credible, highest density",
    "wald": "REML, Wald",
    "profile": "REML, profile",
}
APART, LIMITS = 0.02, (0.3, 1.05)


@options_checked
def plot_calibration(
    calibration: Calibration,
    labels: Sequence[str] | None = None,
    *,
    what: Literal["ranks", "coverage"] = "ranks",
) -> "Figure":
    """Ranks of the true values beside their band, or coverage of every interval.

    Parameters
    ----------
    calibration : Calibration
        What ``model.calibrate()`` gives.
    labels : sequence of str, optional
        Quantities, by default all.
    what : {"ranks", "coverage"}, default "ranks"
        The ECDF of the ranks less that of uniform ones, with the band that holds all
        panels together with probability 95%: a curve that leaves it is red. Or how many
        of the data sets each interval holds the true value in, against what it says.

    Returns
    -------
    matplotlib Figure
        Outside pyplot; notebooks show it, ``.savefig(path)`` writes it.

    Raises
    ------
    ModelError
        If that is no calibration, or it has no such quantity.

    Notes
    -----
    A curve above 0 on the left and below it on the right: true values lie too often in
    the tails, the posterior is too narrow. The other way round it is too wide. All
    above: the posterior lies too high; all below: too low.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, 4, seed=1).data
    >>> model = lmm.Model("score ~ 1 + (1 | classroom)", pupils)
    >>> found = model.calibrate(n=10, seed=2, draws=20, progress=False)
    >>> len(plot_calibration(found).axes)
    5
    """
    check_made(calibration, Calibration, "calibration", "model.calibrate()")
    if not is_choice(what, ("ranks", "coverage")):
        raise ModelError(f"what must be 'ranks' or 'coverage', not {shortened(what)}.")
    table = calibration.ecdf() if what == "ranks" else calibration.coverage
    shown = _chosen(labels, list(dict.fromkeys(table.index)))
    figure, axes = _panels(len(shown))
    draw: Callable[[Axes, Calibration, str], None]
    draw = _draw_ranks if what == "ranks" else _draw_coverage
    for i, (ax, label) in enumerate(zip(axes, shown, strict=True)):
        draw(ax, calibration, label)
        ax.set_title(wrapped(label, TITLE_LETTERS), fontsize=9)
        ax.tick_params(labelsize=8)
        if i + PANELS_PER_ROW >= len(shown):
            across = "rank of the true value" if what == "ranks" else "probability"
            ax.set_xlabel(across, fontsize=8)
        if i % PANELS_PER_ROW == 0:
            up = "ECDF less uniform" if what == "ranks" else "coverage"
            ax.set_ylabel(up, fontsize=8)
    n = len(calibration.ranks)
    note = (
        f"{n} data sets; grey: where {PROB:.0%} of sound posteriors have all curves"
        if what == "ranks"
        else f"{n} data sets; line: what is said; bars: two Monte Carlo errors each way"
    )
    add_title(figure, f"Calibration of {calibration.formula}", note)
    if what == "coverage":
        add_panel_legend(figure)
    return shown_figure(figure)


def _chosen(labels: Sequence[str] | None, known: list[str]) -> tuple[str, ...]:
    """The quantities asked for."""
    if labels is None:
        return tuple(known)
    wanted = check_names(labels, "labels")
    for label in wanted:
        if label not in known:
            raise ModelError(
                f"The calibration has no quantity {label!r}."
                f"{nearest_names(label, known)}"
            )
    return wanted


def _panels(n: int) -> "tuple[Figure, list[Axes]]":
    """So many panels in rows of three."""
    from matplotlib.figure import Figure

    columns = min(PANELS_PER_ROW, n)
    rows = -(-n // columns)
    size = (max(PANEL[0] * columns, 5.5), PANEL[1] * rows + 0.8)
    figure = Figure(size, layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
    for ax in axes[n:]:
        ax.remove()
    return figure, axes[:n]


def _draw_ranks(ax: "Axes", calibration: Calibration, label: str) -> None:
    """The curve of one quantity, red if it leaves the band."""
    own = calibration.ecdf().loc[label]
    at = own["rank"].to_numpy(float)
    ax.fill_between(at, own["lower"], own["upper"], color=BAND, lw=0.0)
    ax.axhline(0.0, color=PLAIN_COLOR, lw=0.6)
    inside = bool(calibration.table.loc[label, "inside"])
    color = POSTERIOR_COLOR if inside else OUTSIDE
    ax.plot(at, own["difference"], color=color, lw=1.4)
    ax.set_xlim(0.0, 1.0)
    ax.set_xticks([0.0, 0.5, 1.0], ["0", "0.5", "1"])


def _draw_coverage(ax: "Axes", calibration: Calibration, label: str) -> None:
    """Coverage of each kind of interval of one parameter."""
    own = calibration.coverage.loc[[label]]
    probs = np.unique(own["prob"])
    reach = 0.5 * APART * (len(KINDS) + 1)
    ax.hlines(probs, probs - reach, probs + reach, color=PLAIN_COLOR, lw=0.8)
    for i, kind in enumerate(KINDS):
        rows = own[own["interval"] == kind]
        ax.errorbar(
            rows["prob"] + APART * (i - 1.5),
            rows["coverage"],
            2.0 * rows["mcse"],
            fmt=MARKS[kind],
            color=POSTERIOR_COLOR if kind in ("eti", "hdi") else REML_COLOR,
            markerfacecolor="white" if kind in ("hdi", "profile") else None,
            markersize=4.0,
            lw=0.9,
            label=WORDS[kind],
        )
    ax.set_xticks(probs, [f"{100 * prob:.0f}%" for prob in probs])
    ax.set_yticks(probs, [f"{100 * prob:.0f}%" for prob in probs])
    ax.set_xlim(*LIMITS)
    ax.set_ylim(*LIMITS)
