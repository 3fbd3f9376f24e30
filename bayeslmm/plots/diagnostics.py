"""ArviZ's trace and density figures, with REML marked.

Each parameter is handed to arviz-plots as one scalar under its label, so that titles
stay on one line and REML can be marked by name.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from bayeslmm.comparison import check_same_model
from bayeslmm.comparison.table import interval_name
from bayeslmm.graph.names import safe_name
from bayeslmm.plots.options import options_checked
from bayeslmm.plots.panels import caption, grid, scalar_draws, thinned
from bayeslmm.plots.shown import shown_collection
from bayeslmm.plots.style import POSTERIOR_COLOR, REML_COLOR
from bayeslmm.posterior.tables import check_interval

if TYPE_CHECKING:
    from arviz_plots import PlotCollection
    from xarray import DataTree

    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.fit import RemlFit

MOST_DRAWN = 5000  # draws of a chain in a trace: more are no wider than a hair
THIN = {"width": 0.5, "alpha": 0.7}  # every chain is seen through the others


@options_checked
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
        Of arviz-plots, out of pyplot's register; notebooks show it, ``.savefig(path)``
        writes it.

    Raises
    ------
    ModelError
        If a label is unknown, or the fits are of different models.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
    >>> reml, post = model.fit_reml(), model.sample(draws=200, seed=1, progress=False)
    >>> figure = lmm.plot_trace(post)
    """
    import arviz as az

    draws = scalar_draws(post, labels)
    _check_reml(reml, post)
    step = -(-post.status.draws // MOST_DRAWN)
    draws = thinned(draws, step)
    figure = az.plot_trace(draws, visuals={"trace": dict(THIN)}, **grid(draws))
    which = f"one of {step} draws" if step > 1 else "draws"
    caption(figure, f"{which}, a colour for each chain", reml)
    _mark_reml(figure, draws, reml, orientation="horizontal")
    return shown_collection(figure)


@options_checked
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
        Of arviz-plots, out of pyplot's register; notebooks show it, ``.savefig(path)``
        writes it.

    Raises
    ------
    ModelError
        If a label is unknown, or the fits are of different models.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
    >>> reml, post = model.fit_reml(), model.sample(draws=200, seed=1, progress=False)
    >>> figure = lmm.plot_posterior(post, reml)
    """
    import arviz as az

    check_interval(prob, kind)
    draws = scalar_draws(post, labels)
    _check_reml(reml, post)
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
    _mark_reml(figure, draws, reml, orientation="vertical")
    return shown_collection(figure)


def _check_reml(reml: "RemlFit | None", post: "Posterior") -> None:
    """Raise `ModelError` unless what is to be marked is the REML fit of this model."""
    if reml is not None:
        check_same_model(reml, post)


def _mark_reml(
    figure: "PlotCollection",
    draws: "DataTree",
    reml: "RemlFit | None",
    *,
    orientation: Literal["horizontal", "vertical"],
) -> None:
    """Add REML as a dashed line to every panel that has an estimate."""
    if reml is None:
        return
    import arviz as az

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
