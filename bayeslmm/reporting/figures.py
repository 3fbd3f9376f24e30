"""All figures of a pair of fits, by name, for files."""

import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

from bayeslmm.comparison.blocks import group_blocks
from bayeslmm.errors import OutputError
from bayeslmm.plots import (
    plot_check,
    plot_fits,
    plot_forest,
    plot_posterior,
    plot_rank,
    plot_shrinkage,
    plot_trace,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.fit import RemlFit
    from bayeslmm.spec import ModelSpec

MOST_CHECKED = 50_000  # rows whose residuals are checked in a report: 2 s
LONGEST_NAME = 120  # bytes; file systems take 255 with the ending


def all_figures(
    reml: "RemlFit | None", post: "Posterior | None"
) -> "Iterator[tuple[str, str, Figure]]":
    """Name, caption and figure, one after the other, so that each can be let go."""
    if reml is not None and _shows_levels(reml.model):
        if reml.model.design.rows is not None:
            yield _fits_figure(reml, post)
        yield from _shrinkage_figures(reml, post)
    if post is not None:
        yield from _posterior_figures(reml, post)
    checked = post if reml is None else reml
    if checked is not None and can_be_checked(checked.model):
        yield _check_figure(checked)


def _shows_levels(model: "ModelSpec") -> bool:
    """Whether there are levels, and pooling of them that can be shown.

    Under structured residuals it is that of one grouping factor.
    """
    groups = {term.group for term in model.design.groups}
    return len(groups) == 1 or (len(groups) > 1 and model.design.residual is None)


def _fits_figure(
    reml: "RemlFit", post: "Posterior | None"
) -> "tuple[str, str, Figure]":
    """The rows of the levels with their lines: what the data look like comes first."""
    group = group_blocks(reml.model)[0].group
    band = "" if post is None else ", with its posterior band"
    caption = (
        f"Rows of each {group} and three lines: its own (no pooling), that of all "
        f"(complete pooling), and partial pooling between them{band}."
    )
    return "fits", caption, plot_fits(reml, post)


def can_be_checked(model: "ModelSpec") -> bool:
    """Whether the rows are there to be looked at, and no more than is quick."""
    design = model.design
    there = design.rows is not None and design.residual is None
    return model.family == "gaussian" and there and design.n <= MOST_CHECKED


def _check_figure(fit: "RemlFit | Posterior") -> "tuple[str, str, Figure]":
    """Residuals, their quantiles and those of the random effects, influence."""
    caption = (
        "Does the model hold? Residuals by fitted values and by level; quantiles of "
        "residuals and random effects beside those of responses that the model makes."
    )
    return "check", caption, plot_check(fit)


def _shrinkage_figures(
    reml: "RemlFit", post: "Posterior | None"
) -> "Iterator[tuple[str, str, Figure]]":
    """Shrinkage by each grouping factor: rows, a plane, or rows for each of many."""
    taken: set[str] = set()
    for block in group_blocks(reml.model):
        caption = f"What pooling did to each level of {block.group}"
        if len(block.effects) <= 2:
            figure = plot_shrinkage(reml, post, term=block.group)
            name = file_name("shrinkage", block.group, taken=taken)
            yield name, f"{caption}.", figure
            continue
        for effect in block.effects:
            figure = plot_shrinkage(reml, post, term=block.group, effects=(effect,))
            name = file_name("shrinkage", block.group, effect, taken=taken)
            yield name, f"{caption}: {effect}.", figure


def file_name(*parts: str, taken: set[str]) -> str:
    """Words that any file system takes, ``shrinkage_Worker_Machine_B``.

    Parameters
    ----------
    *parts : str
        Names as a user has them: signs become ``_``, and long names are cut.
    taken : set of str
        Names given before, in lower case, to which the new one is added; ``_2``,
        ``_3`` ... tells it from them.
    """
    plain = ("".join(c if c.isalnum() else "_" for c in part) for part in parts)
    words = "_".join(word for part in plain if (word := part.strip("_")))
    stem = words.encode()[:LONGEST_NAME].decode(errors="ignore")
    name, number = stem, 1
    while _folded(name) in taken:
        number += 1
        name = f"{stem}_{number}"
    taken.add(_folded(name))
    return name


def _folded(name: str) -> str:
    """Equal for names that some file system takes for one: case, composed accents."""
    return unicodedata.normalize("NFC", name).casefold()


def _posterior_figures(
    reml: "RemlFit | None", post: "Posterior"
) -> "Iterator[tuple[str, str, Figure]]":
    """Figures of the parameters."""
    marked = "" if reml is None else f", {reml.method} marked"
    yield (
        "posterior",
        f"Posterior densities{marked}.",
        plot_posterior(post, reml).viz["figure"].item(),
    )
    yield "forest", f"All parameters{marked}.", plot_forest(post, reml)
    yield (
        "trace",
        f"Draws in order{marked}.",
        plot_trace(post, reml).viz["figure"].item(),
    )
    yield (
        "rank",
        "Ranks by chain: in the grey band if all chains agree.",
        plot_rank(post).viz["figure"].item(),
    )


def save_figures(
    reml: "RemlFit | None",
    post: "Posterior | None",
    folder: Path,
    *,
    dpi: int = 150,
) -> list[Path]:
    """Write every figure as PNG.

    Parameters
    ----------
    reml, post : RemlFit, Posterior, optional
        The fits.
    folder : Path
        Where to.
    dpi : int, default 150
        Pixels per inch.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    written = []
    for name, _, figure in all_figures(reml, post):
        path = folder / f"{name}.png"
        try:
            figure.savefig(path, dpi=dpi)
        except OSError as error:
            raise OutputError(
                f"The figure {str(path)!r} could not be written: {error}. Give a "
                "folder that can be written."
            ) from error
        written.append(path)
    return written
