"""What the likelihood looks like where a fit is singular, a panel for each ridge.

Takes a `RemlFit`, and draws of the posterior where there are some; gives contours over
SD and correlation, and curves along an SD or a correlation at its limit.
"""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from bayeslmm.design.space import Parameter
from bayeslmm.errors import ModelError, shortened
from bayeslmm.plots.names import wrapped_words
from bayeslmm.plots.options import options_checked
from bayeslmm.plots.shown import shown_figure
from bayeslmm.plots.style import (
    PLAIN_COLOR,
    POSTERIOR_COLOR,
    REML_COLOR,
    add_panel_legend,
    add_title,
    coefficient_unit,
)
from bayeslmm.posterior.fit import Posterior
from bayeslmm.reml.fit import RemlFit
from bayeslmm.reml.ridges import FALL_95, Plane, Slope, planes_at
from bayeslmm.reml.singular import SingularFit, combination_draws

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL = (4.4, 3.4)  # inches
PANELS_PER_ROW = 3
# Rises of the criterion at the borders of 50, 80 and 95% regions of two parameters.
REGIONS = (1.386, 3.219, 5.991)
SHADES = ("#8fb4dc", "#bfd4ec", "#e4edf7")
MOST_DOTS = 800
POINTS = 240  # of a line


@options_checked
def plot_singular(reml: RemlFit | SingularFit, post: object = None) -> "Figure":
    """The ridge that a singular fit stands at the end of.

    Use it to see what an SD of 0 or a correlation of 1 or -1 means: how far the
    likelihood reaches from there, and what the posterior makes of it.

    Parameters
    ----------
    reml : RemlFit or SingularFit
        A singular fit, or what its ``explain_singular()`` gives.
    post : Posterior, optional
        Posterior of the same model, drawn over the likelihood.

    Returns
    -------
    matplotlib Figure
        Outside pyplot; notebooks show it, ``.savefig(path)`` writes it. For a
        correlation of 1 or -1 regions of 50, 80 and 95% by likelihood over the SD and
        the correlation, all else at its best; for an SD or another parameter at its
        limit the likelihood along it as a share of its maximum, dotted the 95% profile
        limit. Thick lines are the boundary, a cross the estimate, dots and the second
        line the posterior.

    Raises
    ------
    ModelError
        If the fit is not singular, or its likelihood takes too long to look at.

    See Also
    --------
    RemlFit.explain_singular : The same in sentences.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> data = lmm.simulate_classrooms(4, 6, seed=3).data
    >>> fit = lmm.Model("score ~ edu + (0 + edu | classroom)", data).fit_reml()
    >>> fit.status.singular
    False
    """
    found = _explained(reml, post)
    planes = planes_at(found.fit)
    covered = {plane.corr for plane in planes}
    slopes = [one for one in found.slopes if one.label not in covered]
    figure, axes = _panels(len(planes) + len(slopes))
    for ax, plane in zip(axes, planes, strict=False):
        _draw_plane(ax, found, plane)
    for ax, slope in zip(axes[len(planes) :], slopes, strict=True):
        _draw_slope(ax, found, slope)
    name = "restricted likelihood" if found.fit.method == "REML" else "likelihood"
    beside = " and the posterior" if found.post is not None else ""
    add_title(figure, f"The {name}{beside} at the boundary, {found.fit.formula}")
    add_panel_legend(figure)
    return shown_figure(figure)


def _explained(reml: object, post: object) -> SingularFit:
    """What is drawn.

    Raises
    ------
    ModelError
        If there is nothing to draw.
    """
    if isinstance(reml, RemlFit):
        found = reml.explain_singular(post)
    elif isinstance(reml, SingularFit):
        found = reml if post is None else reml.fit.explain_singular(post)
    else:
        raise ModelError(
            f"plot_singular draws a RemlFit, or what its explain_singular() gives, not "
            f"{shortened(reml)} ({type(reml).__name__})."
        )
    if not found.slopes:
        raise ModelError(f"There is no ridge to draw: {' '.join(found.messages[:2])}")
    return found


def _panels(n: int) -> "tuple[Figure, list[Axes]]":
    """So many panels in rows of three."""
    from matplotlib.figure import Figure

    columns = min(PANELS_PER_ROW, n)
    rows = -(-n // columns)
    size = (max(PANEL[0] * columns, 6.4), PANEL[1] * rows + 0.8)
    figure = Figure(size, layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for ax in axes[n:]:
        ax.remove()
    return figure, axes[:n]


def _draw_plane(ax: "Axes", found: SingularFit, plane: Plane) -> None:
    """Regions by likelihood over SD and correlation."""
    from scipy.interpolate import RectBivariateSpline

    sds = np.linspace(plane.sds[0], plane.sds[-1], POINTS // 2)
    corrs = np.linspace(-1.0, 1.0, POINTS // 2)
    smooth = RectBivariateSpline(plane.corrs, plane.sds, np.sqrt(plane.rise), s=0)
    rise = np.square(np.maximum(smooth(corrs, sds), 0.0))
    ax.contourf(sds, corrs, rise, levels=[0.0, *REGIONS], colors=SHADES)
    ax.contour(sds, corrs, rise, levels=REGIONS, colors=REML_COLOR, linewidths=0.8)
    for shade, prob in zip(SHADES, (50, 80, 95), strict=True):
        label = f"{prob}% region by likelihood"
        ax.plot([], [], "s", color=shade, markersize=9, label=label)
    values = found.fit.varcorr()["estimate"]
    if found.post is not None:
        pairs = [found.post.draws(label).ravel() for label in (plane.sd, plane.corr)]
        step = max(1, len(pairs[0]) // MOST_DOTS)
        dots = {"s": 5.0, "alpha": 0.45, "color": POSTERIOR_COLOR, "linewidths": 0.0}
        inside = pairs[0][::step] <= plane.sds[-1]
        beyond = float((pairs[0] > plane.sds[-1]).mean())
        label = "posterior draws"
        label += f" ({beyond:.0%} outside the frame)" if beyond > 0.005 else ""
        ax.scatter(
            pairs[0][::step][inside], pairs[1][::step][inside], label=label, **dots
        )
    for edge in (-1.0, 1.0):
        ax.axhline(edge, color=PLAIN_COLOR, lw=2.2, zorder=2.5)
    ax.axvline(0.0, color=PLAIN_COLOR, lw=2.2, zorder=2.5, label="boundary")
    _mark(ax, float(values[plane.sd]), float(values[plane.corr]), found)
    ax.set_xlim(-0.02 * plane.sds[-1], plane.sds[-1])
    ax.set_ylim(-1.06, 1.06)
    known = {p.label: p for p in found.fit.design.space.parameters}
    ax.set_xlabel(_axis(found, known[plane.sd]), fontsize=9)
    ax.set_ylabel(plane.corr, fontsize=9)


def _draw_slope(ax: "Axes", found: SingularFit, slope: Slope) -> None:
    """Likelihood along one parameter, over its maximum."""
    from scipy.interpolate import PchipInterpolator

    known = {p.label: p for p in found.fit.design.space.parameters}
    low, high = float(slope.values[0]), float(slope.values[-1])
    grid = np.linspace(low, high, POINTS)
    line = PchipInterpolator(slope.values, slope.rise)(grid)
    share = np.exp(-0.5 * np.maximum(line, 0.0))
    ax.plot(grid, share, color=REML_COLOR, lw=1.6, label="likelihood over its maximum")
    ends = [end for end in (slope.lower, slope.upper) if low < end < high]
    for end in ends:
        style = {"color": REML_COLOR, "lw": 1.0, "ls": ":"}
        ax.vlines(end, 0.0, np.exp(-0.5 * FALL_95), **style)
    if found.post is not None:
        _draw_posterior(ax, found, slope, grid)
    is_sd = slope.weights is not None or known[slope.label].component == "sd"
    edges = (0.0,) if is_sd else (low, high)
    for i, edge in enumerate(edges):
        label = None if i else "boundary"
        ax.axvline(edge, color=PLAIN_COLOR, lw=2.2, zorder=2.5, label=label)
    if np.isfinite(slope.estimate):
        _mark(ax, slope.estimate, 1.0, found)
    own = known.get(slope.label)
    said = slope.label if own is None else _axis(found, own)
    ax.set_xlabel(wrapped_words(said, 44), fontsize=9)
    ax.set_ylabel("share of the maximum", fontsize=9)
    ax.set_ylim(0.0, 1.12)


def _draw_posterior(
    ax: "Axes", found: SingularFit, slope: Slope, grid: Float[np.ndarray, " g"]
) -> None:
    """Density of the posterior, over its maximum."""
    density = _known_density(found, slope, grid)
    if density is None:
        density = _kernel_density(found, slope, grid)
    ax.plot(
        grid,
        density / density.max(),
        color=POSTERIOR_COLOR,
        lw=1.6,
        label="posterior density over its maximum",
    )


def _known_density(
    found: SingularFit, slope: Slope, grid: Float[np.ndarray, " g"]
) -> Float[np.ndarray, " g"] | None:
    """That of an SD, without draws; None where it takes these."""
    known = {p.label: p for p in found.fit.design.space.sds(slope.term)}
    post = found.post
    if not isinstance(post, Posterior) or post.method == "joint":
        return None
    if slope.label not in known:
        return None
    return post.density(slope.label, grid)["density"].to_numpy(float)


def _kernel_density(
    found: SingularFit, slope: Slope, grid: Float[np.ndarray, " g"]
) -> Float[np.ndarray, " g"]:
    """From draws, by kernels that are reflected at both ends."""
    from scipy.stats import gaussian_kde

    assert found.post is not None, "asked before"
    if slope.weights is None:
        draws = found.post.draws(slope.label).ravel()
    else:
        draws = combination_draws(found.fit, found.post, slope.term, slope.weights)
    low, high = grid[0], grid[-1]
    inside = draws[draws <= high]
    kde = gaussian_kde(inside)
    density = kde(grid) + kde(2.0 * low - grid)
    if slope.upper >= 1.0 - 1e-6 and slope.weights is None and low < 0.0:
        density += kde(2.0 * high - grid)  # a correlation ends there
    return density


def _mark(ax: "Axes", x: float, y: float, found: SingularFit) -> None:
    """The estimate."""
    ax.plot(
        x,
        y,
        "X",
        color=REML_COLOR,
        markeredgecolor="white",
        markersize=9,
        zorder=4.0,
        clip_on=False,
        label=f"{found.fit.method} estimate",
    )


def _axis(found: SingularFit, parameter: Parameter) -> str:
    """Label with units."""
    design = found.fit.design
    if parameter.component == "sd" and parameter.term is not None:
        effect = design.groups[parameter.term].effects[parameter.index[0]]
        return f"{parameter.label} ({coefficient_unit(design, effect)})"
    return parameter.label
