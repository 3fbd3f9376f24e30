"""The shrinkage figure: every level's own estimate, and where pooling moved it."""

from typing import TYPE_CHECKING, Literal

from bayeslmm.compare import check_kind, shrinkage_covariances, shrinkage_table
from bayeslmm.compare.blocks import find_block, name_index
from bayeslmm.errors import ModelError
from bayeslmm.plots.plane import draw_plane
from bayeslmm.plots.rows import draw_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bayeslmm.fit.posterior import Posterior
    from bayeslmm.fit.remlfit import RemlFit


def plot_shrinkage(
    reml: "RemlFit",
    post: "Posterior | None" = None,
    *,
    term: str | None = None,
    effects: tuple[str, ...] | None = None,
    prob: float = 0.95,
    kind: Literal["eti", "hdi"] = "eti",
    ax: "Axes | None" = None,
) -> "Figure":
    """No, partial and complete pooling of every level, as a picture.

    With one effect per level each level is a row, ordered by its estimate. With two,
    each level is an arrow in their plane, from its own regression to where pooling
    puts it.

    Parameters
    ----------
    reml : RemlFit
        Fit by REML or ML.
    post : Posterior, optional
        Posterior of the same model; without it REML is drawn alone.
    term : str, optional
        Grouping factor (``"Subject"``) or term (``"(Days | Subject)"``); the first one
        by default.
    effects : tuple of str, optional
        One effect for rows, two for the plane; by default the first two.
    prob : float, default 0.95
        Probability of the posterior intervals.
    kind : {"eti", "hdi"}, default "eti"
        Kind of the posterior intervals.
    ax : matplotlib Axes, optional
        Where to draw; a new figure, outside pyplot, by default.

    Returns
    -------
    matplotlib Figure
        What was drawn on; ``.savefig(path)`` writes it, ``.axes`` has the axes. In
        units of y per unit of the column.

    Raises
    ------
    ModelError
        If there is no such term or effect, or the fits are of different models.

    See Also
    --------
    shrinkage_table : The numbers of this figure.
    """
    check_kind(reml, "reml", "RemlFit", "model.fit_reml()")
    design = reml.model.design
    block = find_block(reml.model, term)
    chosen = block.effects[:2] if effects is None else tuple(effects)
    for effect in chosen:
        name_index(block.effects, effect, f"effects of {block.group}")
    if not 1 <= len(chosen) <= 2:
        raise ModelError(
            f"{len(chosen)} effects were asked for, and a page has two directions: "
            "give one effect for rows or two for the plane."
        )
    table = shrinkage_table(reml, post, prob=prob, kind=kind)
    table = table[table["group"] == block.group]
    if len(chosen) == 1:
        return draw_rows(table[table["effect"] == chosen[0]], design, ax)
    pair = (chosen[0], chosen[1])
    covariances = None
    if post is not None:
        covariances = shrinkage_covariances(post, block.group, pair)
    return draw_plane(table, pair, covariances, design, ax)
