"""Panels that the figures of draws share: one scalar each, under its label.

Takes a `Posterior` and labels, gives the draws that arviz-plots is handed, how they are
laid out, and what is said below them.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.comparison import check_kind
from bayeslmm.errors import ModelError, check_names, nearest_names
from bayeslmm.graph.names import safe_name
from bayeslmm.plots.names import wrapped, wrapped_words
from bayeslmm.posterior.places import posterior_parameters

if TYPE_CHECKING:
    from arviz_plots import PlotCollection
    from xarray import DataTree

    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.fit import RemlFit

PANELS_PER_ROW = 3  # keeps `treatment:sex[High, Male]` whole above its panel
PANEL_SIZE = (3.6, 2.3)  # inches
MOST_TICKS = 5
LETTERS_PER_INCH, TITLE_LETTERS, TITLE_SIZE = 13, 32, 10.0


def scalar_draws(post: "Posterior", labels: Sequence[str] | None) -> "DataTree":
    """The chosen parameters, each as a scalar variable under its label."""
    import arviz as az

    check_kind(post, "post", "Posterior", "model.sample()")
    chosen = None if labels is None else check_names(labels, "labels")
    drawn = posterior_parameters(post.model.design, post.idata)
    known = [parameter.label for parameter in drawn]
    found: dict[str, np.ndarray] = {}
    for label in known if chosen is None else chosen:
        found |= _draws_of(post, label, known)
    groups: dict[str, dict[str, Any]] = {"posterior": found}
    if "sample_stats" in post.idata.children:
        stats = post.idata["sample_stats"]
        if "diverging" in stats:
            groups["sample_stats"] = {"diverging": stats["diverging"].to_numpy()}
    return az.from_dict(groups)


def component_of(post: "Posterior", label: str) -> str:
    """Kind of a parameter in words, by its name in `scalar_draws`."""
    drawn = posterior_parameters(post.model.design, post.idata)
    kinds = {safe_name(p.label): p.component for p in drawn}
    gaussian = post.model.family == "gaussian"
    words = {
        "fixef": "fixed effects",
        "sd": "standard deviations",
        "sigma": "standard deviations" if gaussian else "other parameters",
        "corr": "correlations",
    }
    return words.get(kinds.get(label, ""), "random effects")


def thinned(draws: "DataTree", step: int) -> "DataTree":
    """Every so many draws."""
    import arviz as az

    if step <= 1:
        return draws
    return az.from_dict(
        {
            group: {
                name: values.to_numpy()[:, ::step]
                for name, values in node.data_vars.items()
            }
            for group, node in draws.children.items()
        }
    )


def _draws_of(post: "Posterior", label: str, known: list[str]) -> dict[str, np.ndarray]:
    """Draws of one parameter, or of every entry of one variable."""
    if label in known:
        return {safe_name(label): post.draws(label)}
    posterior, name = post.idata["posterior"], safe_name(label)
    if name not in posterior:
        candidates = [*known, *(str(name) for name in posterior.data_vars)]
        raise ModelError(
            f"No parameter or variable {label!r} in this posterior."
            f"{nearest_names(label, candidates)}"
        )
    values = posterior.to_dataset()[name]
    stacked = values.stack(entry=values.dims[2:])
    coords = stacked.indexes["entry"]
    entries = [
        ", ".join(map(str, np.atleast_1d(np.asarray(c, object)))) for c in coords
    ]
    return {
        safe_name(f"{label}[{entry}]"): stacked.to_numpy()[:, :, i]
        for i, entry in enumerate(entries)
    }


def grid(draws: "DataTree") -> dict[str, Any]:
    """Panels in rows of three, laid out so that titles and ticks do not overlap."""
    n_panels = len(draws["posterior"].data_vars)
    columns = min(PANELS_PER_ROW, n_panels)
    rows = -(-n_panels // columns)
    size = (PANEL_SIZE[0] * columns, PANEL_SIZE[1] * rows + 0.4)
    return {
        "col_wrap": columns,
        "figure_kwargs": {"figsize": size, "layout": "constrained"},
    }


def caption(figure: "PlotCollection", words: str, reml: "RemlFit | None") -> None:
    """Say below the panels what is drawn."""
    marked = f"; dashed: {reml.method} estimate" if reml is not None else ""
    drawn = figure.viz["figure"].item()
    width = int(drawn.get_figwidth() * LETTERS_PER_INCH)
    drawn.supxlabel(wrapped_words(f"posterior: {words}{marked}", width), fontsize=9)
    for ax in drawn.axes:  # more would run into each other in so small a panel
        ax.locator_params(axis="x", nbins=MOST_TICKS)
        ax.set_title(wrapped(ax.get_title(), TITLE_LETTERS), fontsize=TITLE_SIZE)
