"""The shrinkage figure: every level's own estimate, and where pooling moved it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, overload

import numpy as np
import pandas as pd

from bayeslmm.comparison import check_kind, shrinkage_covariances, shrinkage_table
from bayeslmm.comparison.blocks import find_block, find_effects
from bayeslmm.plots.levels import Levels, choose_levels, pooling_reasons
from bayeslmm.plots.options import options_checked
from bayeslmm.plots.plane import by_level, draw_plane, is_outside
from bayeslmm.plots.rows import draw_rows
from bayeslmm.plots.style import check_axes
from bayeslmm.reml.centred import At

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.fit import RemlFit

MOST_ROWS, MOST_ARROWS = 25, 12
PLANE = 2  # directions of a page


@overload
def plot_shrinkage(
    reml: "RemlFit",
    post: "Posterior | None" = None,
    *,
    term: str | None = ...,
    effects: Sequence[str] | None = ...,
    levels: Levels | None = ...,
    prob: float = ...,
    kind: Literal["eti", "hdi"] = ...,
    at: At = ...,
    ax: None = None,
) -> "Figure": ...


@overload
def plot_shrinkage(
    reml: "RemlFit",
    post: "Posterior | None" = None,
    *,
    term: str | None = ...,
    effects: Sequence[str] | None = ...,
    levels: Levels | None = ...,
    prob: float = ...,
    kind: Literal["eti", "hdi"] = ...,
    at: At = ...,
    ax: "Axes",
) -> None: ...


@options_checked
def plot_shrinkage(
    reml: "RemlFit",
    post: "Posterior | None" = None,
    *,
    term: str | None = None,
    effects: Sequence[str] | None = None,
    levels: Levels | None = None,
    prob: float = 0.95,
    kind: Literal["eti", "hdi"] = "eti",
    at: At = "mean",
    ax: "Axes | None" = None,
) -> "Figure | None":
    """No and partial pooling of the levels, and the centre they are pulled to.

    With one effect per level each level is a row, ordered by its estimate, with an
    arrow from its own estimate to where pooling puts it. With two, each level is an
    arrow in their plane.

    Parameters
    ----------
    reml : RemlFit
        Fit by REML or ML.
    post : Posterior, optional
        Posterior of the same model; without it REML is drawn alone.
    term : str, optional
        Grouping factor (``"Subject"``) or term (``"(Days | Subject)"``); the first one
        by default.
    effects : sequence of str, optional
        One effect for rows, two for the plane; by default the first two.
    levels : int, "all" or sequence of labels, optional
        Which levels are rows, or arrows with their names (the others are faint): how
        many, all, or these. By default all if they are few, else 25 rows or 12 arrows:
        the furthest from the centre, the most moved, those with the fewest rows of
        data; a line says how many were left out.
    prob : float, default 0.95
        Probability of the posterior intervals.
    kind : {"eti", "hdi"}, default "eti"
        Kind of the posterior intervals.
    at : {"zero", "mean"}, default "mean"
        Where numeric predictors stand for an intercept, as for `shrinkage_table`; the
        axis says it. At 0, far from the rows, intercepts mirror slopes.
    ax : matplotlib Axes, optional
        Where to draw; a new figure, outside pyplot, by default.

    Returns
    -------
    matplotlib Figure or None
        A new figure, which notebooks show; ``.savefig(path)`` writes it, ``.axes`` has
        the axes. In units of y per unit of the column. None if `ax` is given: then the
        figure is yours, and pyplot shows it if it is pyplot's.

    Raises
    ------
    ModelError
        If there is no such term, effect or level, `ax` is no axes, or the fits are of
        different models.

    See Also
    --------
    shrinkage_table : The numbers of this figure.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
    >>> figure = lmm.plot_shrinkage(model.fit_reml())
    """
    check_kind(reml, "reml", "RemlFit", "model.fit_reml()")
    block = find_block(reml.model, term)
    chosen = find_effects(block, effects, PLANE)
    check_axes(ax)
    table = shrinkage_table(reml, post, prob=prob, kind=kind, at=at)
    table = table[table["group"] == block.group]
    if len(chosen) == 1:
        figure = _rows(table[table["effect"] == chosen[0]], reml, levels, ax)
    else:
        figure = _plane(table, (chosen[0], chosen[1]), reml, post, levels, ax)
    # Given axes are of a figure that its owner shows: to give it back would show it in
    # a notebook twice, and its axes as a line of text.
    return figure if ax is None else None


def _rows(
    table: pd.DataFrame, reml: "RemlFit", levels: Levels | None, ax: "Axes | None"
) -> "Figure":
    """The chosen levels as rows."""
    columns = ("no_pooling", "partial_pooling", "center")
    own, pooled, center = (table[column].to_numpy()[:, None] for column in columns)
    reasons = pooling_reasons(own, pooled, center, table["n"].to_numpy())
    names, group = list(table["level"]), table["group"].iloc[0]
    shown = choose_levels(names, levels, group, reasons, most=MOST_ROWS)
    return draw_rows(table.iloc[shown.positions], reml.model.design, shown.note, ax)


def _plane(
    table: pd.DataFrame,
    effects: tuple[str, str],
    reml: "RemlFit",
    post: "Posterior | None",
    levels: Levels | None,
    ax: "Axes | None",
) -> "Figure":
    """All levels in the plane, the chosen ones with arrows and names."""
    wide = by_level(table, effects)
    reasons = pooling_reasons(
        np.where(is_outside(wide)[:, None], np.nan, wide["no_pooling"]),
        wide["partial_pooling"],
        wide["center"],
        wide["n"],
    )
    names, group = list(wide["level"]), str(wide["group"][0])
    shown = choose_levels(names, levels, group, reasons, most=MOST_ARROWS)
    covariances = None
    if post is not None:
        found = shrinkage_covariances(post, group, effects, at=table.attrs["at"])
        covariances = found[shown.positions]
    return draw_plane(wide, shown, covariances, reml.model.design, ax)
