"""How results print and are drawn and saved; what does it is loaded when asked."""

from os import PathLike
from typing import TYPE_CHECKING, Any, cast

from bayeslmm.tables.shown import draw_with, print_with, save_with

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bayeslmm.api.model import Model
    from bayeslmm.planning import Calibration, Precision
    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.curves import Profile
    from bayeslmm.reml.fit import RemlFit
    from bayeslmm.reml.singular import SingularFit


def reml_text(fit: "RemlFit") -> str:
    """The point estimate on a terminal."""
    from bayeslmm.reporting import text

    return text.reml_text(fit)


def reml_card(fit: "RemlFit") -> str:
    """The point estimate in a notebook."""
    from bayeslmm.reporting import cards

    return cards.reml_card(fit)


def posterior_card(post: "Posterior") -> str:
    """The posterior in a notebook."""
    from bayeslmm.reporting import cards

    return cards.posterior_card(post)


def profile_figure(profile: "Profile", **options: Any) -> "Figure":  # noqa: ANN401
    """Profile curves."""
    from bayeslmm.plots import plot_profile

    return plot_profile(profile, **options)


def save_reml(
    fit: "RemlFit", path: str | PathLike[str], *, force: bool
) -> tuple[str, ...]:
    """Model and estimates."""
    from bayeslmm.api.both import Fit

    return Fit(cast("Model", fit.model), fit, None).save(path, force=force)


def save_posterior(
    post: "Posterior", path: str | PathLike[str], *, force: bool
) -> tuple[str, ...]:
    """Model and draws, or these alone."""
    from bayeslmm.api.both import Fit

    return Fit(cast("Model", post.model), None, post).save(path, force=force)


def singular_figure(found: "SingularFit", **options: Any) -> "Figure":  # noqa: ANN401
    """Ridges of a likelihood."""
    from bayeslmm.plots import plot_singular

    return plot_singular(found, **options)


def precision_figure(found: "Precision", **options: Any) -> "Figure":  # noqa: ANN401
    """Widths by size."""
    from bayeslmm.plots import plot_precision

    return plot_precision(found, **options)


def calibration_figure(found: "Calibration", **options: Any) -> "Figure":  # noqa: ANN401
    """Ranks and coverage of a calibration."""
    from bayeslmm.plots import plot_calibration

    return plot_calibration(found, **options)


draw_with("Calibration", calibration_figure)
draw_with("Precision", precision_figure)
draw_with("Profile", profile_figure)
draw_with("SingularFit", singular_figure)
print_with("RemlFit", "text", reml_text)
print_with("RemlFit", "html", reml_card)
print_with("Posterior", "html", posterior_card)
save_with("RemlFit", save_reml)
save_with("Posterior", save_posterior)
