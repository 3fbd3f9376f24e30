"""Data and the three lines of each level, those that moved most first.

The design is that of Tristan Mahr (2017), "Plotting partial pooling in mixed-effects
models", https://www.tjmahr.com/plotting-partial-pooling-in-mixed-effects-models/.
"""

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.comparison import check_kind
from bayeslmm.comparison.blocks import find_block
from bayeslmm.comparison.lines import find_predictor, level_lines
from bayeslmm.design.arrays import rows_of
from bayeslmm.plots.fits import draw_panels, pooled_coefficients
from bayeslmm.plots.levels import Levels, choose_levels, pooling_reasons
from bayeslmm.plots.names import level_name
from bayeslmm.plots.options import options_checked

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.fit import RemlFit

MOST_PANELS = 24


@options_checked
def plot_pooling(
    reml: "RemlFit",
    post: "Posterior | None" = None,
    *,
    term: str | None = None,
    predictor: str | None = None,
    levels: Levels | None = None,
    prob: float = 0.9,
) -> "Figure":
    """Complete, no and partial pooling of each level, those that moved most first.

    Use it to explain partial pooling: each panel has the level's rows with the line of
    all levels together, its own, and the compromise. `plot_fits` sorts by rows.

    Parameters
    ----------
    reml : RemlFit
        Fit by REML or ML.
    post : Posterior, optional
        Posterior of the same model; adds the band of the partially pooled line.
    term, predictor
        As for `plot_fits`.
    levels : int, "all" or sequence of labels, optional
        How many levels, all, or these; by default all if they are few, else the 24 that
        moved most.
    prob : float, default 0.9
        Probability of the band, equal-tailed.

    Returns
    -------
    matplotlib Figure
        Outside pyplot; notebooks show it, ``.savefig(path)`` writes it. A panel says
        how far its line moved: the distance between own and pooled coefficients, each
        in SDs of the pooled ones over levels.

    Raises
    ------
    ModelError
        As `plot_fits`.
    DataError
        If the rows are not in memory.

    See Also
    --------
    shrinkage_table : The coefficients of these lines.
    shrinkage_reading : Who moved most, and why, in words.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
    >>> figure = lmm.plot_pooling(model.fit_reml())
    """
    check_kind(reml, "reml", "RemlFit", "model.fit_reml()")
    rows_of(reml.model.design, "the rows of each level")
    block = find_block(reml.model, term)
    on_x = find_predictor(reml.model, block, predictor)
    own, pooled, center = pooled_coefficients(reml, block)
    moved = pooling_reasons(own, pooled, center, block.sizes)["most moved"]
    reasons = {"most moved": moved}
    shown = choose_levels(block.levels, levels, block.group, reasons, most=MOST_PANELS)
    far = np.nan_to_num(moved[shown.positions], nan=np.inf)  # what no own line has
    positions = shown.positions[np.argsort(-far, kind="stable")]

    def name(position: int) -> str:
        """Name and rows of a level, and how far it moved."""
        name, far = level_name(block.levels[position]), moved[position]
        shown_far = f"{far:,.0f}" if far >= 10.0 else f"{far:.2g}"
        said = f"moved {shown_far}" if np.isfinite(far) else "no own line"
        return f"{name}\nn = {block.sizes[position]:,}, {said}"

    found = level_lines(reml, post, block, positions, on_x, prob)
    note = "those that moved most first (in SDs of the pooled coefficients)"
    title = (
        f"Complete, no and partial pooling of each {block.group}",
        f"{note}{'; ' + shown.note if shown.note else ''}",
    )
    return draw_panels(found, positions, reml, on_x, prob, name, title)
