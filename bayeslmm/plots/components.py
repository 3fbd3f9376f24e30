"""Likelihood, prior and posterior of each variance component, with every interval."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from bayeslmm.comparison import component_panels
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
POINTS = 400  # of a curve
TAILS = (0.001, 0.99)  # of the posterior, which a panel holds at least
HEAVY = 5.0  # interquartile ranges from the median on, beyond which a tail is cut
TALLEST = 5.0  # times the density at the median, beyond which a spike is cut
WIDEST = 1.6  # of these: ends of intervals beyond are cut, with an arrow
NEAR_ZERO = 0.15  # lower end over upper one, below which a panel begins at 0
KERNEL_TAILS = (0.01, 0.99)  # beyond these a kernel density has too few draws
FLAT_HEIGHT = 0.12  # of a flat prior, which has none of its own
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
        values = _values(panel)
        _draw_curves(ax, panel, values, reml.method)
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


def _values(panel: ComponentPanel) -> Float[np.ndarray, " v"]:
    """Values of a panel: most of the posterior, and the intervals as far as may be."""
    component = panel.curves.component
    ends = panel.curves.posterior.quantiles(np.array([*TAILS, 0.25, 0.75]))
    low, high, *quarters = component.natural(ends).tolist()
    known = [panel.row[key] for key in panel.row if key.endswith(("_lower", "_upper"))]
    known = [value for value in [*known, panel.row["reml"]] if math.isfinite(value)]
    middle = panel.row["median"]
    high = min(high, middle + HEAVY * (quarters[1] - quarters[0]))
    span = WIDEST * (high - low)
    furthest = max(known, default=high), min(known, default=low)
    high = max(high, min(furthest[0], middle + span))
    low = min(low, max(furthest[1], middle - span))
    bottom, top = (
        (0.0, 1.0) if component.parameter is None else component.parameter.bounds
    )
    if bottom == 0.0 and low < NEAR_ZERO * high:
        low = 0.0
    margin = 0.04 * (high - low)
    return np.linspace(max(low - margin, bottom), min(high + margin, top), POINTS)


def _draw_curves(
    ax: "Axes", panel: ComponentPanel, values: Float[np.ndarray, " v"], method: str
) -> None:
    """Prior, likelihood, posterior, and where REML is."""
    from bayeslmm.posterior.learnt import proper_prior
    from bayeslmm.posterior.read_off import curve_table

    table = curve_table(panel.curves, values)
    middle = curve_table(panel.curves, np.array([panel.row["median"]]))["density"]
    height = min(float(table["density"].max()), TALLEST * float(middle.iloc[0]))
    style: dict[str, Any] = {"color": POSTERIOR_COLOR, "lw": 1.6}
    ax.plot(values, table["density"], **style, label="posterior", zorder=3)
    ax.fill_between(values, table["density"], color=POSTERIOR_COLOR, alpha=0.18, lw=0)
    if table["prior"].notna().any():
        prior, words = table["prior"], "prior"
        if proper_prior(panel.curves) is None:
            prior = prior / prior.max() * FLAT_HEIGHT * height
            words = "improper prior (height without meaning)"
        ax.plot(values, prior, "--", color=PLAIN_COLOR, lw=1.3, label=words)
        likelihood = _known_likelihood(panel, values, table["likelihood"].to_numpy())
        likelihood = likelihood / np.nanmax(likelihood) * height
        ax.plot(
            values,
            likelihood,
            color=REML_COLOR,
            lw=1.3,
            label="likelihood (height of the posterior)",
        )
    ax.set_ylim(0.0, 1.12 * height)
    if math.isfinite(panel.row["reml"]):
        ax.axvline(panel.row["reml"], color=REML_COLOR, ls=":", lw=1.2, label=method)
    ax.set_yticks([])
    ax.tick_params(axis="x", labelbottom=False)
    for side in ("left", "right", "top"):
        ax.spines[side].set_visible(False)


def _known_likelihood(
    panel: ComponentPanel,
    values: Float[np.ndarray, " v"],
    likelihood: Float[np.ndarray, " v"],
) -> Float[np.ndarray, " v"]:
    """Where it is no ratio of two kernel densities that are nearly 0."""
    component = panel.curves.component
    if component.direction is not None:
        return likelihood
    ends = panel.curves.posterior.quantiles(np.array(KERNEL_TAILS))
    low, high = component.natural(ends).tolist()
    return np.where((values >= low) & (values <= high), likelihood, np.nan)


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
