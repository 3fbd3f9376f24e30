"""One self-contained HTML page of a fit: text, tables and figures, nothing to load."""

import base64
import io
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from bayeslmm.compare import compare, reading
from bayeslmm.design import describe_table
from bayeslmm.errors import OutputError
from bayeslmm.report.explain import explain_sections
from bayeslmm.report.figures import all_figures
from bayeslmm.report.summary import versions
from bayeslmm.report.tables import (
    TextTable,
    comparison_table,
    grouping_table,
    posterior_table,
    priors_table,
    reml_table,
)
from bayeslmm.report.text import header_lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bayeslmm.fit.posterior import Posterior
    from bayeslmm.fit.remlfit import RemlFit
    from bayeslmm.model import Model

TEMPLATE = Path(__file__).with_name("report.html.j2")
DPI = 110  # sharp on an ordinary screen, a report of five figures below 1 MB


@runtime_checkable
class Fitted(Protocol):
    """Whatever holds a model and its fits; a fit that was not made is None."""

    @property
    def model(self) -> "Model":
        """The model."""
        ...

    @property
    def reml(self) -> "RemlFit | None":
        """Point estimate."""
        ...

    @property
    def posterior(self) -> "Posterior | None":
        """Draws."""
        ...


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the page: lines, then tables, then figures (caption, PNG)."""

    title: str
    lines: tuple[str, ...] = ()
    tables: tuple[TextTable, ...] = ()
    figures: tuple[tuple[str, str], ...] = ()
    preformatted: bool = False


def report(fit: Fitted, path: str | PathLike[str]) -> Path:
    """Write a self-contained HTML report of a fit.

    Use it to hand on a fit whole: what was dropped, what the formula means, the priors
    with their reasons, both tables, their comparison and reading, the diagnosis and the
    figures. Nothing is loaded from elsewhere when it is opened.

    Parameters
    ----------
    fit : Fit
        What `fit` gives, or anything with ``model``, ``reml`` and ``posterior``; either
        of the fits may be None.
    path : str or path
        File to write, by custom ``report.html``.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    path = Path(path)
    page = report_html(fit)
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"The report could not be written to {str(path)!r}: {error}. Give a file "
            "in a folder that exists and can be written."
        ) from error
    return path


def report_html(fit: Fitted) -> str:
    """The page of `report` as a string."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(_page(fit))


def _page(fit: Fitted) -> dict[str, Any]:
    """What the template shows."""
    model, reml, post = fit.model, fit.reml, fit.posterior
    first, *rest = header_lines(model)
    sections = [
        Section("Data", tuple(rest), (grouping_table(describe_table(model.design)),)),
        _explanation(model),
    ]
    if post is not None:
        sections.append(Section("Priors", tables=(priors_table(model.priors),)))
    if reml is not None:
        sections.append(Section(f"{reml.method} fit", tables=(reml_table(reml),)))
    if post is not None:
        sections.append(Section("Posterior", tables=(posterior_table(post),)))
    if reml is not None and post is not None:
        table = comparison_table(compare(reml, post))
        sections.append(Section("Comparison", tables=(table,)))
        sections.append(Section("Reading", reading(reml, post)))
    if post is not None:
        sections.append(Section("Diagnosis", post.diagnose().messages))
    figures = tuple((caption, _png(f)) for _, caption, f in all_figures(reml, post))
    sections.append(Section("Figures", figures=figures))
    partial = post is not None and post.status.partial
    return {
        "formula": first,
        "sections": sections,
        "partial": post.status.message if post is not None and partial else "",
        "versions": versions(),
    }


def _explanation(model: "Model") -> Section:
    """What the formula became, as it is printed."""
    sections = explain_sections(model)
    shown = ("Equations", "Fixed effects", "Parameters", "Notes")
    lines: list[str] = []
    for title in shown:
        if title in sections:
            lines += [title, *(f"  {line}" for line in sections[title]), ""]
    return Section("What the formula means", tuple(lines[:-1]), preformatted=True)


def _png(figure: "Figure") -> str:
    """The figure as base64 text for a data address."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
