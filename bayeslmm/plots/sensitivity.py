"""What each prior makes of the same data: intervals of every parameter, side by side.

Takes a `Posterior` or the table of `prior_sensitivity`; draws a panel for each
parameter, a line for each prior.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bayeslmm.comparison import check_kind
from bayeslmm.errors import ModelError, check_names, nearest_names
from bayeslmm.plots.names import wrapped
from bayeslmm.plots.options import options_checked
from bayeslmm.plots.shown import shown_figure
from bayeslmm.plots.style import PLAIN_COLOR, POSTERIOR_COLOR, add_title
from bayeslmm.posterior.fit import Posterior
from bayeslmm.priors.standard import FITTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = ["prior", "parameter", "component", "median", "lower", "upper", "how"]
PER_ROW = 3  # most panels beside each other
WIDTH, NAMES, LINE, AROUND = 2.6, 1.6, 0.2, 0.9  # inches
LARGEST_RATIO = 20.0  # of the ends of SDs on a plain axis


@options_checked
def plot_prior_sensitivity(
    post: "Posterior | pd.DataFrame",
    *,
    labels: Sequence[str] | None = None,
    priors: Mapping[str, object] | list[str] | None = None,
    prob: float = 0.95,
) -> "Figure":
    """Medians and intervals of every parameter under other priors.

    A result whose lines stay in place is the data's; one whose lines move hangs on the
    prior.

    Parameters
    ----------
    post : Posterior or DataFrame
        Posterior, or what `prior_sensitivity` gave, so that nothing is computed again.
    labels : sequence of str, optional
        Parameters; by default all.
    priors : mapping or list of str, optional
        As for `prior_sensitivity`; of a table names of those to be drawn.
    prob : float, default 0.95
        Probability of the intervals; a table has its own.

    Returns
    -------
    matplotlib Figure
        Outside pyplot; notebooks show it, ``.savefig(path)`` writes it. SDs are on a
        log axis where their intervals are wide.

    Raises
    ------
    ModelError
        If a label is unknown, or `post` is neither.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
    >>> post = model.sample(draws=200, seed=1, progress=False)
    >>> figure = lmm.plot_prior_sensitivity(post, priors=["half-normal", "bambi"])
    """
    table, said = _table(post, priors, prob)
    known = list(dict.fromkeys(table["parameter"]))
    chosen = known if labels is None else check_names(labels, "labels")
    for label in chosen:
        if label not in known:
            raise ModelError(f"No parameter {label!r}.{nearest_names(label, known)}")
    names = list(dict.fromkeys(table["prior"]))
    figure, axes = _panels(len(chosen), len(names))
    for i, (ax, label) in enumerate(zip(axes, chosen, strict=True)):
        own = table[table["parameter"] == label].set_index("prior").loc[names]
        _draw(ax, own)
        ax.set_title(wrapped(label), fontsize=9, loc="left")
        ax.set_yticks(
            range(len(names)),
            names if i % per_row(len(chosen)) == 0 else [],
            fontsize=8,
        )
        ax.set_ylim(len(names) - 0.5, -0.5)
    add_title(figure, "The same data under other priors", f"median and {said}")
    return shown_figure(figure)


def _table(
    post: object, priors: Mapping[str, object] | list[str] | None, prob: float
) -> tuple[pd.DataFrame, str]:
    """What is drawn, and what its intervals are."""
    if not isinstance(post, pd.DataFrame):
        check_kind(post, "post", "Posterior", "model.sample()")
        from bayeslmm.posterior.sensitivity import prior_sensitivity

        assert isinstance(post, Posterior), "has been checked"
        table = prior_sensitivity(post, priors=priors, prob=prob)
        return table, f"{100 * prob:.4g}% equal-tailed interval"
    missing = [name for name in COLUMNS if name not in post.columns]
    if missing:
        raise ModelError(
            f"This table has no column {missing[0]!r}. Give what prior_sensitivity() "
            "gave, or a posterior."
        )
    if priors is not None:
        post = post[post["prior"].isin([FITTED, *priors])]
    return post, "interval of the table"


def per_row(n: int) -> int:
    """Panels beside each other: four are two and two."""
    return 2 if n == 4 else min(PER_ROW, n)


def _panels(n: int, rows: int) -> "tuple[Figure, list[Axes]]":
    """A panel for each parameter, names of priors at the left of each row."""
    from matplotlib.figure import Figure

    columns = per_row(n)
    lines = -(-n // columns)
    size = (NAMES + WIDTH * columns, AROUND + lines * (0.75 + LINE * rows))
    figure = Figure(figsize=size, layout="constrained")
    axes = list(figure.subplots(lines, columns, squeeze=False).flat)
    for ax in axes[n:]:
        ax.remove()
    return figure, axes[:n]


def _draw(ax: "Axes", own: pd.DataFrame) -> None:
    """Lines of one parameter, the fit's own in colour."""
    low, high = own["lower"].min(), own["upper"].max()
    spread = own["component"].iloc[0] in ("sd", "sigma")
    if spread and high > LARGEST_RATIO * low > 0.0:
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter("{x:g}")
    for i, (name, row) in enumerate(own.iterrows()):
        color = POSTERIOR_COLOR if name == FITTED else PLAIN_COLOR
        if not np.isfinite(row["median"]):
            ax.text(
                *(0.5, i, "no posterior"),
                transform=ax.get_yaxis_transform(),
                ha="center",
                va="center",
                fontsize=7,
                color=color,
            )
            continue
        ax.hlines(i, row["lower"], row["upper"], color=color, lw=1.6)
        again = str(row["how"]).startswith("fitted again")
        face = "white" if again else color
        ax.plot(row["median"], i, "o", ms=5, mfc=face, mec=color)
    if FITTED in own.index:
        fitted = float(own["median"].to_numpy()[list(own.index).index(FITTED)])
        ax.axvline(fitted, color=POSTERIOR_COLOR, lw=0.8, alpha=0.5)
    ax.tick_params(axis="y", length=0.0)
    ax.tick_params(axis="x", labelsize=8)
    if ax.get_xscale() == "linear":
        ax.locator_params(axis="x", nbins=4)
    for side in ("left", "right", "top"):
        ax.spines[side].set_visible(False)
    ax.grid(axis="x", alpha=0.3)
