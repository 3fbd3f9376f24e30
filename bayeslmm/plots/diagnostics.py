"""ArviZ's trace, forest and density figures, with REML marked.

Each parameter is handed to arviz-plots as one scalar under its label, so that titles
stay on one line and REML can be marked by name.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from bayeslmm.compare import check_same_model, compare
from bayeslmm.compare.table import interval_name
from bayeslmm.graph.names import safe_name
from bayeslmm.plots.panels import caption, grid, scalar_draws, thinned
from bayeslmm.plots.style import POSTERIOR_COLOR, REML_COLOR

if TYPE_CHECKING:
    from arviz_plots import PlotCollection
    from xarray import DataTree

    from bayeslmm.fit.posterior import Posterior
    from bayeslmm.fit.remlfit import RemlFit

MOST_DRAWN = 5000  # draws of a chain in a trace: more are no wider than a hair
STAR = " *"  # marks what is drawn in posterior SDs


def plot_trace(
    post: "Posterior",
    reml: "RemlFit | None" = None,
    *,
    labels: Sequence[str] | None = None,
) -> "PlotCollection":
    """Draws in the order they were made, a colour for each chain.

    Use it to see chains that wander or stick; REML is a dashed line.

    Parameters
    ----------
    post : Posterior
        Posterior.
    reml : RemlFit, optional
        Fit of the same model, to be marked.
    labels : sequence of str, optional
        Parameters (``"edu"``, ``"1|classroom_sigma"``) or whole variables
        (``"1|classroom"``); by default every parameter.

    Returns
    -------
    PlotCollection
        Of arviz-plots; ``.savefig(path)`` writes it.

    Raises
    ------
    ModelError
        If a label is unknown, or the fits are of different models.
    """
    import arviz as az

    draws = scalar_draws(post, labels)
    step = -(-post.status.draws // MOST_DRAWN)
    draws = thinned(draws, step)
    figure = az.plot_trace(draws, **grid(draws))
    which = f"one of {step} draws" if step > 1 else "draws"
    caption(figure, f"{which}, a colour for each chain", reml)
    return _mark_reml(figure, draws, reml, post, orientation="horizontal")


def plot_posterior(
    post: "Posterior",
    reml: "RemlFit | None" = None,
    *,
    labels: Sequence[str] | None = None,
    prob: float = 0.95,
    kind: Literal["eti", "hdi"] = "eti",
) -> "PlotCollection":
    """Density of each parameter with its median and interval, REML a dashed line.

    Use it to see skew: where it is large, REML (a mode) lies away from the median.

    Parameters
    ----------
    post : Posterior
        Posterior.
    reml : RemlFit, optional
        Fit of the same model, to be marked.
    labels : sequence of str, optional
        Parameters or whole variables; by default every parameter.
    prob : float, default 0.95
        Probability of the interval.
    kind : {"eti", "hdi"}, default "eti"
        Kind of the interval.

    Returns
    -------
    PlotCollection
        Of arviz-plots; ``.savefig(path)`` writes it.

    Raises
    ------
    ModelError
        If a label is unknown, or the fits are of different models.
    """
    import arviz as az

    draws = scalar_draws(post, labels)
    figure = az.plot_dist(
        draws,
        ci_kind=kind,
        ci_prob=prob,
        point_estimate="median",
        visuals={
            "dist": {"color": POSTERIOR_COLOR},
            "point_estimate_text": False,
        },
        **grid(draws),
    )
    caption(figure, f"density, median and {interval_name(prob, kind)}", reml)
    return _mark_reml(figure, draws, reml, post, orientation="vertical")


def plot_forest(
    post: "Posterior",
    reml: "RemlFit | None" = None,
    *,
    labels: Sequence[str] | None = None,
    prob: float = 0.95,
    kind: Literal["eti", "hdi"] = "eti",
) -> "PlotCollection":
    """Medians and intervals of all parameters on one axis.

    With `reml` every parameter is drawn relative to its REML estimate, in REML standard
    errors (posterior SDs where there is none), because their units differ; without it
    in its own units.

    Parameters
    ----------
    post : Posterior
        Posterior.
    reml : RemlFit, optional
        Fit of the same model, at zero.
    labels : sequence of str, optional
        Parameters or whole variables; by default every parameter.
    prob : float, default 0.95
        Probability of the outer interval; the inner one has 0.5.
    kind : {"eti", "hdi"}, default "eti"
        Kind of the intervals.

    Returns
    -------
    PlotCollection
        Of arviz-plots; ``.savefig(path)`` writes it.

    Raises
    ------
    ModelError
        If a label is unknown, or the fits are of different models.
    """
    import arviz as az

    draws = scalar_draws(post, labels)
    if reml is not None:
        draws = _relative_draws(draws, reml, post)
    names = list(draws["posterior"].data_vars)
    size = (8.0, 1.3 + 0.34 * len(names))
    figure = az.plot_forest(
        draws,
        combined=True,
        point_estimate="median",
        ci_kind=kind,
        ci_probs=(0.5, prob),
        visuals={
            "trunk": {"color": POSTERIOR_COLOR},
            "twig": {"color": POSTERIOR_COLOR},
            "point_estimate": {"color": POSTERIOR_COLOR},
        },
        figure_kwargs={"figsize": size, "layout": "constrained"},
    )
    starred = any(str(name).endswith(STAR) for name in names)
    _finish_forest(figure, reml, interval_name(prob, kind), starred)
    return figure


def _mark_reml(
    figure: "PlotCollection",
    draws: "DataTree",
    reml: "RemlFit | None",
    post: "Posterior",
    *,
    orientation: Literal["horizontal", "vertical"],
) -> "PlotCollection":
    """Add REML as a dashed line to every panel that has an estimate."""
    if reml is None:
        return figure
    import arviz as az

    check_same_model(reml, post)
    estimates = reml.summary()["estimate"]
    values = {
        safe_name(str(label)): float(value)
        for label, value in estimates.items()
        if safe_name(str(label)) in draws["posterior"] and np.isfinite(value)
    }
    # in a trace, blue is the colour of the first chain
    color = "black" if orientation == "horizontal" else REML_COLOR
    line = {"color": color, "linestyle": "--", "width": 1.6}
    az.add_lines(
        figure,
        values=values,
        orientation=orientation,
        visuals={"ref_line": line},
    )
    return figure


def _relative_draws(
    draws: "DataTree", reml: "RemlFit", post: "Posterior"
) -> "DataTree":
    """Draws less the REML estimate, in REML SEs, or posterior SDs where it has none."""
    import arviz as az

    table = compare(reml, post)
    relative = {}
    for label, row in table.iterrows():
        name = safe_name(str(label))
        if name in draws["posterior"] and np.isfinite(row["reml"]):
            own_se = row["difference_unit"] == "REML SE"
            scale = row["reml_se"] if own_se else row["sd"]
            values = draws["posterior"][name].to_numpy()
            relative[name if own_se else name + STAR] = (values - row["reml"]) / scale
    return az.from_dict({"posterior": relative})


def _finish_forest(
    figure: "PlotCollection", reml: "RemlFit | None", interval: str, starred: bool
) -> None:
    """Axis label and the line of REML; no axis under the names."""
    names = figure.viz["plot"].sel(column="labels").item()
    names.set_xticks([])
    names.spines["bottom"].set_visible(False)
    axes = figure.viz["plot"].sel(column="forest").item()
    low, high = axes.dataLim.intervaly
    for panel in (names, axes):  # room above the first and below the last row
        panel.set_ylim(low - 0.6, high + 0.6)
    words = f"posterior: median, 50% and {interval}"
    if reml is None:
        axes.set_xlabel(f"{words}; each in its own units", fontsize=9)
        return
    axes.axvline(0.0, color=REML_COLOR, linestyle="--", linewidth=1.2, zorder=0)
    note = "\n* no standard error at the boundary: in posterior SDs" if starred else ""
    axes.set_xlabel(
        f"minus {reml.method} estimate, in its standard errors  ({words}){note}",
        fontsize=9,
    )
