"""Likelihood, prior and posterior of each variance component, with every interval."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from bayeslmm.comparison import component_panels
from bayeslmm.comparison.component_curves import ShownCurves, shown_curves
from bayeslmm.comparison.component_intervals import METHODS
from bayeslmm.comparison.components import ComponentPanel, Eps
from bayeslmm.comparison.table import interval_name
from bayeslmm.errors import check_flag
from bayeslmm.plots.names import wrapped, wrapped_words
from bayeslmm.plots.options import options_checked
from bayeslmm.plots.panels import MOST_TICKS, PANELS_PER_ROW, TITLE_LETTERS
from bayeslmm.plots.shown import shown_figure
from bayeslmm.plots.style import (
    PLAIN_COLOR,
    POSTERIOR_COLOR,
    REML_COLOR,
    add_panel_legend,
    add_title,
    intercept_at,
    parameter_unit,
)
from bayeslmm.reml.centred import At
from bayeslmm.reml.curves import Profile

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bayeslmm.design.arrays import Design
    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.fit import RemlFit

PANEL = (3.3, 3.1)  # inches
NAMES = {
    "wald": "Wald",
    "profile": "profile",
    "boot": "bootstrap",
    "eti": "ETI",
    "hdi": "HDI",
}


@options_checked
def plot_varcomp(
    reml: "RemlFit",
    post: "Posterior",
    *,
    labels: Sequence[str] | None = None,
    profile: bool = False,
    at: At = "zero",
    eps: Eps = None,
    prob: float = 0.95,
    nsim: int = 0,
    seed: int | np.random.Generator | None = None,
) -> "Figure":
    """Likelihood, prior and posterior of each variance component, with every interval.

    Use it before an SD, a correlation or an ICC is quoted: it shows what the data say,
    what the prior says, and which interval is of which.

    Parameters
    ----------
    reml : RemlFit
        Fit by REML or ML.
    post : Posterior
        Posterior of the same model.
    labels : sequence of str, optional
        Components, labels of `compare` or ``"icc"``; by default all.
    profile : bool, default False
        Draw the profile likelihood too, which depends on no prior: everything else is
        at its best, not averaged over.
    at, eps, prob, nsim, seed
        As for `varcomp_table`.

    Returns
    -------
    matplotlib Figure
        Outside pyplot; notebooks show it, ``.savefig(path)`` writes it. A panel for
        each component. Above: prior and posterior densities, and the likelihood, whose
        height is that of the posterior: prior times likelihood is the posterior, up to
        this height. Below: intervals by every method; an arrow where one ends outside.

    Raises
    ------
    ModelError
        As `varcomp_table`.

    See Also
    --------
    varcomp_table : The numbers, and what they say of each component.
    Posterior.density : The curves of one component.

    Notes
    -----
    The likelihood of one component is the marginal likelihood averaged over the other
    variance parameters under their prior given it; see `Posterior.density`. Without a
    proper prior of a component that mixes others (the ICC) there is none.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
    >>> reml, post = model.fit_reml(), model.sample(draws=200, seed=1, progress=False)
    >>> figure = lmm.plot_varcomp(reml, post, labels=["1|classroom_sigma"])
    >>> len(figure.axes)
    2
    """
    profile = check_flag(profile, "profile")
    panels = component_panels(
        *(reml, post), labels=labels, at=at, eps=eps, prob=prob, nsim=nsim, seed=seed
    )
    curves = _profiles(reml, panels) if profile else None
    figure, axes = _axes(len(panels), nsim > 0)
    design = post.model.design
    for i, (panel, (ax, fan)) in enumerate(zip(panels, axes, strict=True)):
        shown = shown_curves(panel)
        values = shown.values
        _draw_curves(ax, shown, panel.row["reml"], reml.method)
        if curves is not None and panel.label in curves.labels:
            _draw_profile(ax, curves, panel.label, values)
        ax.set_xlim(float(values[0]), float(values[-1]))
        _draw_fan(fan, panel, named=i % PANELS_PER_ROW == 0)
        ax.set_title(wrapped(panel.label, TITLE_LETTERS), fontsize=9)
        fan.set_xlabel(wrapped_words(_axis_words(design, panel, at), 38), fontsize=8)
        fan.locator_params(axis="x", nbins=MOST_TICKS)
    words = interval_name(prob, "wald").removesuffix(" Wald")
    note = f"{words} intervals; {_origin(post, panels, at)}".removesuffix("; ")
    add_title(figure, "What data and prior say of each variance component", note)
    add_panel_legend(figure)
    return shown_figure(figure)


def _axes(n: int, boot: bool) -> "tuple[Figure, list[tuple[Axes, Axes]]]":
    """Two axes for each panel, one below the other; panels in rows of three."""
    from matplotlib.figure import Figure

    columns = min(PANELS_PER_ROW, n)
    rows = -(-n // columns)
    size = (max(PANEL[0] * columns, 5.5), PANEL[1] * rows + 1.0)
    figure = Figure(size, layout="constrained")
    figure.set_layout_engine("constrained", w_pad=0.08)
    heights = [2.0, 1.0 if boot else 0.85] * rows
    grid = figure.add_gridspec(2 * rows, columns, height_ratios=heights)
    pairs = []
    for i in range(n):
        row, column = divmod(i, columns)
        ax = figure.add_subplot(grid[2 * row, column])
        pairs.append((ax, figure.add_subplot(grid[2 * row + 1, column], sharex=ax)))
    return figure, pairs


def _draw_curves(ax: "Axes", curves: ShownCurves, point: float, method: str) -> None:
    """Prior, likelihood, posterior, and where REML is."""
    values = curves.values
    style: dict[str, Any] = {"color": POSTERIOR_COLOR, "lw": 1.6}
    ax.plot(values, curves.posterior, **style, label="posterior", zorder=3)
    ax.fill_between(values, curves.posterior, color=POSTERIOR_COLOR, alpha=0.18, lw=0)
    if curves.prior is not None and curves.likelihood is not None:
        words = "prior"
        if not curves.proper:
            words = "improper prior (height without meaning)"
        ax.plot(values, curves.prior, "--", color=PLAIN_COLOR, lw=1.3, label=words)
        ax.plot(
            values,
            curves.likelihood,
            color=REML_COLOR,
            lw=1.3,
            label="likelihood (height of the posterior)",
        )
    ax.set_ylim(0.0, 1.12 * curves.height)
    if math.isfinite(point):
        ax.axvline(point, color=REML_COLOR, ls=":", lw=1.2, label=method)
    ax.set_yticks([])
    ax.tick_params(axis="x", labelbottom=False)
    for side in ("left", "right", "top"):
        ax.spines[side].set_visible(False)


def _profiles(reml: "RemlFit", panels: list[ComponentPanel]) -> Profile | None:
    """Profile curves of the components that have one."""
    from bayeslmm.reml.intervals import profile_curves

    shown = tuple(
        panel.curves.component.parameter
        for panel in panels
        if panel.curves.component.parameter is not None
        and math.isfinite(panel.row["profile_lower"])
    )
    return profile_curves(reml, None, shown) if shown else None


def _draw_profile(
    ax: "Axes", curves: Profile, label: str, values: Float[np.ndarray, " v"]
) -> None:
    """Likelihood with everything else at its best, as high as the posterior."""
    at, zeta = curves.curve(label)
    inside = values[(values >= at.min()) & (values <= at.max())]
    height = ax.get_ylim()[1] / 1.12
    own = np.interp(inside, at, zeta)
    style: dict[str, Any] = {"color": REML_COLOR, "lw": 1.1, "ls": "-.", "alpha": 0.8}
    words = "profile likelihood (the same height)"
    ax.plot(inside, height * np.exp(-0.5 * own**2), **style, label=words)


def _draw_fan(ax: "Axes", panel: ComponentPanel, *, named: bool) -> None:
    """Intervals by every method, one below the other, with their points."""
    methods = [name for name in METHODS if f"{name}_lower" in panel.row]
    for i, name in enumerate(methods):
        bayes = name in ("eti", "hdi")
        color = POSTERIOR_COLOR if bayes else REML_COLOR
        ends = panel.row[f"{name}_lower"], panel.row[f"{name}_upper"]
        if not all(map(math.isfinite, ends)):
            ax.text(0.5, -i, "none", **_of_text(ax), color=color)
            continue
        ax.hlines(-i, *ends, color=color, lw=1.8)
        _arrows(ax, -float(i), ends, color)
        point = panel.row["median" if bayes else "reml"]
        ax.plot(point, -i, "o", ms=4.0, mfc="white", mec=color, mew=1.2)
    words = [NAMES[name] for name in methods]
    ax.set_yticks([-i for i in range(len(methods))], words if named else [])
    ax.set_ylim(-len(methods) + 0.4, 0.6)
    ax.tick_params(axis="y", length=0.0)
    ax.tick_params(labelsize=8)
    for side in ("left", "right", "top"):
        ax.spines[side].set_visible(False)


def _of_text(ax: "Axes") -> dict[str, Any]:
    """Where a word stands in a row of a fan: in the middle, at its height."""
    transform = ax.get_yaxis_transform()
    return {"transform": transform, "ha": "center", "va": "center", "fontsize": 7}


def _arrows(ax: "Axes", row: float, ends: tuple[float, float], color: str) -> None:
    """Arrows at the side where an interval ends outside of the panel."""
    low, high = ax.get_xlim()
    for outside, place, mark in (
        (ends[0] < low, 0.0, "<"),
        (ends[1] > high, 1.0, ">"),
    ):
        if outside:
            place_at = ax.get_yaxis_transform()
            ax.plot(
                place, row, mark, color=color, ms=5, transform=place_at, clip_on=False
            )


def _axis_words(design: "Design", panel: ComponentPanel, at: At) -> str:
    """What is across, with its units, and where an intercept is read."""
    component = panel.curves.component
    parameter = component.parameter
    if parameter is None:
        return "share of the variance between levels"
    unit = parameter_unit(design, parameter)
    if parameter.term is None:
        return unit
    term = design.groups[parameter.term]
    moves = term.k > 1 and any(term.effects[i] == "Intercept" for i in parameter.index)
    where = intercept_at(design, at) if moves else ""
    return f"{'' if component.kind == 'corr' else 'SD, '}{unit}{where}"


def _origin(post: "Posterior", panels: list[ComponentPanel], at: At) -> str:
    """Whether priors are shown elsewhere than where they were given."""
    mixed = [
        panel.label
        for panel in panels
        if panel.curves.component.parameter is not None
        and panel.curves.component.parameter.term is not None
        and panel.curves.component.place is None
        and post.model.priors.centered[panel.curves.component.parameter.term]
    ]
    if not mixed or at == "mean":
        return ""
    return "priors refer to predictors at their means: at 0 it is what they imply there"
