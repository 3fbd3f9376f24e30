"""Residuals against predictions, and their densities, all together and by level."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from bayeslmm.comparison.blocks import find_block
from bayeslmm.design.arrays import rows_of
from bayeslmm.errors import ModelError
from bayeslmm.plots.names import level_name, plain
from bayeslmm.plots.options import options_checked
from bayeslmm.plots.scene import MOST_NAMED, PANEL, POINT, level_colors
from bayeslmm.plots.shown import shown_figure
from bayeslmm.plots.style import PLAIN_COLOR, add_panel_legend, add_title
from bayeslmm.spec import ModelSpec
from bayeslmm.tables.numbers import counted, significant

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.fit import RemlFit

GRID = 200  # places of a density
MARGIN = 3.0  # bandwidths beyond the last residual


@options_checked
def plot_residuals(
    source: "ModelSpec | RemlFit | Posterior", *, term: str | None = None
) -> "Figure":
    """Residuals against predictions by level, their density, and that of each level.

    Use it to see what a model without the levels leaves: give the *model* for complete
    pooling, a fit for what is left when levels have effects of their own.

    Parameters
    ----------
    source : Model, RemlFit or Posterior
        A Gaussian model, whose fixed part is fitted by least squares as if rows were
        independent; or a fit.
    term : str, optional
        Grouping factor that gives the colours; the first one by default.

    Returns
    -------
    matplotlib Figure
        Three panels, outside pyplot.

    Raises
    ------
    ModelError
        If there is no such grouping factor, or the family is not Gaussian.
    DataError
        If the rows are not in memory.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(4, seed=1).data
    >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
    >>> figure = lmm.plot_residuals(model)
    """
    fitted, left, model, title = _residuals(source)
    block = find_block(model, term)
    codes = rows_of(model.design, "residuals by level").codes[block.terms[0]]
    colors = level_colors(len(block.levels))
    figure, axes = _figure()
    named = len(block.levels) <= MOST_NAMED
    for j, name in enumerate(block.levels):
        own = codes == j
        label = level_name(name) if named else None
        style = {"color": colors[j], "label": label, "alpha": 0.75}
        axes[0].scatter(fitted[own], left[own], s=POINT, linewidths=0, **style)
        _density(axes[2], left[own], color=colors[j])
    axes[0].axhline(0.0, color=PLAIN_COLOR, lw=0.8)
    _density(axes[1], left, color="black", label="all residuals")
    _normal(axes[1], float(np.std(left)))
    unit = plain(f"residual, units of {model.design.response}")
    axes[0].set(xlabel="prediction", ylabel=unit)
    for ax in axes[1:]:
        ax.set(xlabel=unit, yticks=[])
    titles = ("against predictions", "all together", plain(f"by {block.group}"))
    for ax, words in zip(axes, titles, strict=True):
        ax.set_title(words, fontsize=9)
    many = "" if named else counted(len(block.levels), "level")
    sd = f"residual SD {significant(float(np.std(left)))}"
    add_title(figure, title, "; ".join(filter(None, (sd, many))))
    add_panel_legend(figure)
    return shown_figure(figure)


def _residuals(
    source: object,
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"], ModelSpec, str]:
    """Predictions, residuals, the model, and a title."""
    if isinstance(source, ModelSpec):
        _check_family(source)
        rows = rows_of(source.design, "residuals of all rows")
        root = np.ones(rows.n) if rows.weights is None else np.sqrt(rows.weights)
        beta = np.linalg.lstsq(root[:, None] * rows.X, root * rows.net)[0]
        fitted = rows.X @ beta + (0.0 if rows.offset is None else rows.offset)
        return fitted, rows.y - fitted, source, "Residuals of complete pooling"
    name = type(source).__name__
    if name not in ("RemlFit", "Posterior"):
        raise ModelError(
            f"source must be a Model or one of its fits, not a {name}; of a Fit give "
            f"fit.reml or fit.posterior."
        )
    model = source.model  # pyright: ignore[reportAttributeAccessIssue]
    _check_family(model)
    words = source.method if name == "RemlFit" else "posterior means"  # pyright: ignore[reportAttributeAccessIssue]
    left = source.residuals()  # pyright: ignore[reportAttributeAccessIssue]
    fitted = rows_of(model.design, "residuals of all rows").y - left
    return fitted, left, model, f"Residuals, {words}"


def _check_family(model: ModelSpec) -> None:
    """Raise for residuals that are not to be compared with a Normal."""
    if model.family != "gaussian":
        raise ModelError(
            f"Residuals of family {model.family!r} are not Normal even if the model is "
            f"right; this figure is for Gaussian models."
        )


def _figure() -> "tuple[Figure, list[Axes]]":
    """Three panels."""
    from matplotlib.figure import Figure

    figure = Figure((2.5 * PANEL[0], PANEL[1] + 0.4), layout="constrained")
    return figure, list(figure.subplots(1, 3))


def _density(ax: "Axes", values: Float[np.ndarray, " m"], **style: object) -> None:
    """Kernel density of residuals; none of fewer than three or of equal ones."""
    from scipy.stats import gaussian_kde

    if len(values) < 3 or not np.ptp(values) > 0.0:
        return
    kernel = gaussian_kde(values)
    reach = MARGIN * float(np.sqrt(kernel.covariance[0, 0]))
    at = np.linspace(values.min() - reach, values.max() + reach, GRID)
    ax.plot(at, kernel(at), **style)  # pyright: ignore[reportArgumentType]


def _normal(ax: "Axes", sd: float) -> None:
    """The Normal of the same SD."""
    if not sd > 0.0:
        return
    at = np.linspace(-4.0 * sd, 4.0 * sd, GRID)
    height = np.exp(-0.5 * (at / sd) ** 2) / (sd * np.sqrt(2.0 * np.pi))
    ax.plot(at, height, color=PLAIN_COLOR, ls="--", label="Normal of the same SD")
