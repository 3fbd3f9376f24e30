"""What a model says before data are seen: its priors, and the responses they expect.

Takes a `Model`; draws the density of every prior with the shares of variance that they
imply, and responses drawn from the prior beside the data.
"""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float

from bayeslmm.errors import ModelError, check_count, check_seed
from bayeslmm.graph.names import response_name
from bayeslmm.plots.names import plain, wrapped, wrapped_words
from bayeslmm.plots.options import options_checked
from bayeslmm.plots.sensitivity import per_row
from bayeslmm.plots.shown import shown_figure
from bayeslmm.plots.style import PLAIN_COLOR, add_panel_legend, add_title
from bayeslmm.priors.meaning import density_table
from bayeslmm.simulation import predictive_table, prior_predictive
from bayeslmm.spec import ModelSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PRIOR_COLOR = "#6a4c93"
PANEL = (2.7, 1.9)  # inches
LINES = 60  # responses drawn as curves
INSIDE = 0.9  # share of all drawn responses that the frame holds


@options_checked
def plot_priors(model: "ModelSpec", *, prob: float = 0.95) -> "Figure":
    """Density of every prior, and of the ICC and R2 that they imply together.

    Parameters
    ----------
    model : Model
        Whose priors are drawn.
    prob : float, default 0.95
        Probability of the shaded equal-tailed interval.

    Returns
    -------
    matplotlib Figure
        Outside pyplot; notebooks show it, ``.savefig(path)`` writes it. The line is
        the median, of a flat prior there is a word.

    Raises
    ------
    ModelError
        If `model` is none.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
    >>> figure = lmm.plot_priors(model)
    """
    _check_model(model, "plot_priors")
    table = model.priors.meaning(prob=prob)
    curves = density_table(model.priors, model.design)
    figure, axes = _panels(len(table))
    for ax, (label, row) in zip(axes, table.iterrows(), strict=True):
        own = curves[curves["label"] == label]
        _draw_prior(ax, own, row)
        ax.set_title(wrapped(str(label)), fontsize=9, loc="left")
    note = f"shaded: {100 * prob:.4g}% of the prior mass; line: half on either side"
    add_title(figure, f"Priors {model.priors.name!r} of {model.said}", note)
    return shown_figure(figure)


def _check_model(model: object, name: str) -> None:
    """Raise `ModelError` unless it is a model."""
    if not isinstance(model, ModelSpec):
        hint = " Of a fit give fit.model." if hasattr(model, "model") else ""
        raise ModelError(f"{name} takes a model, not a {type(model).__name__}.{hint}")


def _panels(n: int) -> "tuple[Figure, list[Axes]]":
    """A panel for each quantity."""
    from matplotlib.figure import Figure

    columns = per_row(n)
    rows = -(-n // columns)
    size = (PANEL[0] * columns + 0.3, PANEL[1] * rows + 0.7)
    figure = Figure(figsize=size, layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for ax in axes[n:]:
        ax.remove()
    return figure, axes[:n]


def _draw_prior(ax: "Axes", curve: pd.DataFrame, row: pd.Series) -> None:
    """One density with its interval and median."""
    ax.set_yticks([])
    for side in ("left", "right", "top"):
        ax.spines[side].set_visible(False)
    if curve.empty:
        word = "flat" if row["prior"] != "implied" else "none: a prior is flat"
        ax.text(
            *(0.5, 0.5, word),
            transform=ax.transAxes,
            ha="center",
            va="center",
            color=PLAIN_COLOR,
        )
        ax.set_xticks([])
        return
    x, density = curve["x"].to_numpy(), curve["density"].to_numpy()
    inside = (x >= row["lower"]) & (x <= row["upper"])
    if row["prior"] == "implied":  # a histogram
        ax.bar(x, density, x[1] - x[0], color=PRIOR_COLOR, alpha=0.35)
    else:
        ax.plot(x, density, color=PRIOR_COLOR, lw=1.6)
        shade = {"color": PRIOR_COLOR, "alpha": 0.2, "where": inside.tolist()}
        ax.fill_between(x, density, **shade)
    ax.axvline(row["median"], color=PRIOR_COLOR, lw=1.0, ls="--")
    ax.set_ylim(0.0, 1.1 * float(density.max()))
    ax.tick_params(axis="x", labelsize=8)
    ax.locator_params(axis="x", nbins=5)


@options_checked
def plot_prior_predictive(
    model: "ModelSpec",
    *,
    draws: int = 500,
    seed: int | np.random.Generator | None = None,
) -> "Figure":
    """Responses that the prior expects, and the data among them.

    Use it before fitting: a prior under which the data are a wonder, or under which
    responses are common that cannot be, is the wrong one.

    Parameters
    ----------
    model : Model
        Its priors all proper.
    draws : int, default 500
        Responses drawn from the prior.
    seed : int or Generator, optional
        Same seed, same figure.

    Returns
    -------
    matplotlib Figure
        Outside pyplot; notebooks show it, ``.savefig(path)`` writes it. At the left
        the shares of rows below each value, of some drawn responses and of the data;
        then mean and SD of each drawn response, with those of the data.

    Raises
    ------
    ModelError
        If `model` is none.
    PriorError
        If a prior is flat.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
    >>> figure = lmm.plot_prior_predictive(model, draws=100, seed=1)
    """
    from matplotlib.figure import Figure

    _check_model(model, "plot_prior_predictive")
    check_count(draws, "draws", 1)
    check_seed(seed)
    name = response_name(model.design)
    tree = prior_predictive(model, draws=draws, seed=seed)
    y = tree["prior_predictive"][name].to_numpy()
    y = y.reshape(-1, y.shape[-1])
    observed = tree["observed_data"][name].to_numpy()
    table = predictive_table(y, observed, 0.95)
    figure = Figure(figsize=(9.0, 3.4), layout="constrained")
    axes = list(figure.subplots(1, 3, width_ratios=(1.5, 1.0, 1.0)))
    _draw_curves(axes[0], y, observed)
    axes[0].set_xlabel(plain(model.design.response), fontsize=9)
    for ax, word in ((axes[1], "mean"), (axes[2], "SD")):
        drawn = y.mean(axis=1) if word == "mean" else y.std(axis=1, ddof=1)
        own = table[table.index == word].to_numpy(float)[0]
        _draw_statistic(ax, drawn, float(own[0]), float(own[-1]))
        ax.set_xlabel(wrapped_words(f"{word} of {model.design.response}", 30), size=9)
    note = f"priors {model.priors.name!r} of {model.said}"
    add_title(figure, "Responses that the prior expects, and the data", note)
    add_panel_legend(figure)
    return shown_figure(figure)


def _draw_curves(
    ax: "Axes", y: Float[np.ndarray, "s n"], observed: Float[np.ndarray, " n"]
) -> None:
    """Empirical distribution functions, in a frame that the data fill well."""
    for i, own in enumerate(y[:LINES]):
        label = "drawn from the prior" if not i else None
        ax.ecdf(own, color=PRIOR_COLOR, lw=0.6, alpha=0.35, label=label)
    ax.ecdf(observed, color="black", lw=2.0, label="data")
    outer = 0.5 * (1.0 - INSIDE)
    low, high = np.quantile(y, [outer, 1.0 - outer])
    low, high = min(low, observed.min()), max(high, observed.max())
    margin = 0.03 * (high - low) or 1.0
    ax.set_xlim(low - margin, high + margin)
    ax.set_ylabel("share of rows below", fontsize=9)
    ax.tick_params(labelsize=8)


def _draw_statistic(
    ax: "Axes", drawn: Float[np.ndarray, " s"], data: float, below: float
) -> None:
    """Histogram of a statistic in the frame of nearly all draws, and the data's."""
    low, high = np.quantile(drawn, [0.01, 0.97])
    low, high = min(low, data), max(high, data)
    ax.hist(drawn, 30, range=(low, high), color=PRIOR_COLOR, alpha=0.4)
    ax.axvline(data, color="black", lw=2.0)
    share = f"{100 * below:.0f}% of draws\nare below the data"
    ax.set_title(share, fontsize=8, loc="right")
    ax.set_yticks([])
    ax.tick_params(axis="x", labelsize=8)
    ax.locator_params(axis="x", nbins=5)
    for side in ("left", "right", "top"):
        ax.spines[side].set_visible(False)
