"""Profile-likelihood curves, a panel for each parameter."""

from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.errors import ModelError, check_flag, shortened
from bayeslmm.plots.names import wrapped, wrapped_words
from bayeslmm.plots.options import options_checked
from bayeslmm.plots.panels import MOST_TICKS, PANELS_PER_ROW, TITLE_LETTERS
from bayeslmm.plots.shown import shown_figure
from bayeslmm.plots.style import PLAIN_COLOR, REML_COLOR, add_title, parameter_unit
from bayeslmm.reml.curves import Profile
from bayeslmm.reml.fit import RemlFit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Coverage of the intervals that are marked, as in lme4.
MARKED = (0.5, 0.8, 0.9, 0.95, 0.99)
PANEL = (3.2, 2.5)  # inches
POINTS = 200  # of a line


@options_checked
def plot_profile(
    profile: Profile | RemlFit,
    labels: Sequence[str] | None = None,
    *,
    absolute: bool = False,
) -> "Figure":
    """Profile-likelihood curves, like lme4's ``xyplot(profile(.))``.

    Use it to see whether Wald intervals would do: then the curve is straight. Where it
    bends the interval is longer on one side, where it ends the parameter does.

    Parameters
    ----------
    profile : Profile or RemlFit
        What ``fit.profile()`` gives, or a fit, which is profiled by its criterion.
    labels : sequence of str, optional
        Parameters, by default all.
    absolute : bool, default False
        Draw the size of zeta, a V where Wald intervals would do.

    Returns
    -------
    matplotlib Figure
        Outside pyplot; notebooks show it, ``.savefig(path)`` writes it. The parameter
        across, zeta upwards: the signed root of the fall of twice the log likelihood.
        Upright lines mark intervals of 50, 80, 90, 95 and 99%; dashed is the straight
        line with the slope at the estimate.

    Raises
    ------
    ModelError
        If that is no profile, or a parameter has no curve.

    See Also
    --------
    RemlFit.profile : The curves as a table.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(seed=1).data
    >>> fit = lmm.Model("score ~ edu + (1 | classroom)", pupils).fit_reml()
    >>> figure = plot_profile(fit, ["1|classroom_sigma", "sigma"])
    >>> len(figure.axes)
    2
    """
    if isinstance(profile, RemlFit):
        profile = profile.profile()
    if not isinstance(profile, Profile):
        raise ModelError(
            f"plot_profile draws what fit.profile() gives, or a RemlFit, not "
            f"{shortened(profile)} ({type(profile).__name__})."
        )
    absolute, shown = check_flag(absolute, "absolute"), profile.chosen(labels)
    figure, axes = _panels(len(shown))
    known = {p.label: p for p in profile.design.space.parameters}
    for i, (ax, label) in enumerate(zip(axes, shown, strict=True)):
        _draw(ax, profile, label, absolute)
        ax.set_title(wrapped(label, TITLE_LETTERS), fontsize=9)
        ax.set_xlabel(
            wrapped_words(parameter_unit(profile.design, known[label]), 36), fontsize=8
        )
        ax.locator_params(axis="x", nbins=MOST_TICKS)
        ax.tick_params(labelsize=8)
        if i % PANELS_PER_ROW == 0:
            ax.set_ylabel("|zeta|" if absolute else "zeta", fontsize=8)
    marked = ", ".join(f"{100 * prob:.0f}" for prob in MARKED)
    note = f"upright: {marked}% intervals; dashed: straight, as Wald intervals have it"
    add_title(figure, f"Profiles of the {profile.criterion} criterion", note)
    return shown_figure(figure)


def _panels(n: int) -> "tuple[Figure, list[Axes]]":
    """So many panels in rows of three."""
    from matplotlib.figure import Figure

    columns = min(PANELS_PER_ROW, n)
    rows = -(-n // columns)
    size = (max(PANEL[0] * columns, 5.5), PANEL[1] * rows + 0.6)
    figure = Figure(size, layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
    for ax in axes[n:]:
        ax.remove()
    return figure, axes[:n]


def _draw(ax: "Axes", profile: Profile, label: str, absolute: bool) -> None:
    """One curve with its intervals and the straight line."""
    values, zeta = profile.curve(label)
    grid = np.linspace(zeta[0], zeta[-1], POINTS)
    smooth = profile.smooth(label, grid)
    near = 0.5 * min(-zeta[0], zeta[-1]) or 0.1 * np.ptp(zeta)
    step = 0.02 * near
    ends = np.clip([-step, step], zeta[0], zeta[-1])
    slope = np.ptp(ends) / np.ptp(profile.smooth(label, ends))
    estimate = float(profile.smooth(label, np.zeros(1))[0])
    straight = slope * (smooth - estimate)
    inside = np.abs(straight) <= np.abs(zeta).max() * 1.15
    size = np.abs if absolute else np.asarray
    ax.plot(smooth[inside], size(straight[inside]), "--", color=PLAIN_COLOR, lw=0.9)
    ax.plot(smooth, size(grid), color=REML_COLOR, lw=1.5)
    ax.plot(values, size(zeta), "o", color=REML_COLOR, markersize=2.2)
    ax.axhline(0.0, color=PLAIN_COLOR, lw=0.6, zorder=0.5)
    for prob in MARKED:
        z = NormalDist().inv_cdf(0.5 + prob / 2)
        for side in (-z, z):
            if zeta[0] <= side <= zeta[-1]:
                at = float(profile.smooth(label, np.array([side]))[0])
                ax.vlines(
                    at, 0.0, float(size(side)), color=REML_COLOR, lw=0.8, alpha=0.6
                )
