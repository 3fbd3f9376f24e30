"""One self-contained HTML page of a fit: text, tables and figures, nothing to load."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from bayeslmm.archive.file import versions
from bayeslmm.comparison import answer, compare, effect_tests, reading
from bayeslmm.design import describe_table
from bayeslmm.errors import ModelError, OutputError, as_path
from bayeslmm.posterior.propriety import propriety_notes
from bayeslmm.reml.singular import brief_sentences
from bayeslmm.reporting.components import components_table
from bayeslmm.reporting.describe import account_lines, header_lines, scale_line
from bayeslmm.reporting.explain import PROPRIETY, explain_sections
from bayeslmm.reporting.figures import all_figures, can_be_checked
from bayeslmm.reporting.record import Record, record_lines, record_of
from bayeslmm.reporting.tables import (
    TextTable,
    comparison_table,
    grouping_table,
    posterior_table,
    prior_meanings,
    priors_table,
    reml_table,
    sensitivity_table,
    tests_table,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.fit import RemlFit
    from bayeslmm.spec import ModelSpec

TEMPLATE = Path(__file__).with_name("report.html.j2")
DPI = 110  # sharp on an ordinary screen, a report of five figures below 1 MB
LARGEST_SVG = 150_000  # bytes; beyond, a drawing of many points is smaller as pixels

# Captions and addresses of images.
type Pictures = Sequence[tuple[str, str]]


@runtime_checkable
class Fitted(Protocol):
    """Whatever holds a model and its fits; a fit that was not made is None."""

    @property
    def model(self) -> "ModelSpec":
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
    """One part of the page: lines, tables, figures."""

    title: str
    lines: tuple[str, ...] = ()
    tables: tuple[TextTable, ...] = ()
    figures: Pictures = ()
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

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> fit = lmm.fit("score ~ edu + (1 | classroom)", pupils)  # doctest: +SKIP
    >>> with tempfile.TemporaryDirectory() as folder:  # doctest: +SKIP
    ...     page = lmm.report(fit, Path(folder) / "report.html")
    ...     page.stat().st_size > 100_000
    True
    """
    if not hasattr(fit, "reml") or not hasattr(fit, "posterior"):
        raise ModelError(
            f"report writes what bayeslmm.fit gives, not a {type(fit).__name__}. Give "
            f"both fits of one model together: fit = bayeslmm.fit(formula, data)."
        )
    path = as_path(path, "path")
    write_report(fit, path)
    return path


def write_report(
    fit: Fitted,
    path: Path,
    record: Record | None = None,
    drawn: Pictures | None = None,
) -> None:
    """The same with all that is known of the run, and the figures if they are drawn."""
    page = report_html(fit, record, drawn)
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"The report could not be written to {str(path)!r}: {error}. Give a file "
            "in a folder that exists and can be written."
        ) from error


def report_html(
    fit: Fitted, record: Record | None = None, drawn: Pictures | None = None
) -> str:
    """The page of `report` as a string."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    if record is None:
        record = record_of(fit.model, fit.posterior)
    if drawn is None:
        figures = all_figures(fit.reml, fit.posterior)
        drawn = [(caption, picture(figure)) for _, caption, figure in figures]
    return template.render(_page(fit, record, drawn))


def _prior_tables(post: "Posterior") -> tuple[TextTable, ...]:
    """The priors, what they say, and the results under others where that is quick."""
    from bayeslmm.posterior.sensitivity import quick_sensitivity  # for draws alone

    others = quick_sensitivity(post)
    return (
        priors_table(post.model.priors),
        prior_meanings(post.model.priors),
        *(() if others is None else (sensitivity_table(others),)),
    )


def _page(fit: Fitted, record: Record, drawn: Pictures) -> dict[str, Any]:
    """What the template shows: the answer and the main figure, then the tables."""
    model, post = fit.model, fit.posterior
    first, *rest = header_lines(model)
    main, *others = drawn
    groups = grouping_table(describe_table(model.design))
    sections = [
        *_results(fit),
        Section("Data", (*rest, scale_line(model)), (groups,)),
        _explanation(model),
    ]
    if post is not None:
        sections.append(Section("Priors", tables=_prior_tables(post)))
    if others:
        sections.append(Section("Figures", figures=tuple(others)))
    sections.append(Section("How it was made", tuple(record_lines(record, model))))
    partial = post is not None and post.status.partial
    return {
        "formula": first,
        "facts": account_lines(model.design.account),
        "answer": answer(fit.reml, post),
        "main": main,
        "sections": sections,
        "partial": post.status.message if post is not None and partial else "",
        "versions": versions(),
    }


def _results(fit: Fitted) -> list[Section]:
    """Comparison, reading and diagnosis, then each fit by itself, and their shares."""
    reml, post = fit.reml, fit.posterior
    tables: list[TextTable] = []
    if reml is not None and post is not None:
        tables.append(comparison_table(compare(reml, post)))
    if reml is not None:
        tables.append(tests_table(effect_tests(reml, post)))
        tables.append(reml_table(reml))
    if post is not None:
        tables.append(posterior_table(post))
    components = components_table(reml, post)
    if components is not None:
        tables.append(components)
    sections = [Section(table.title, tables=(table,)) for table in tables]
    if reml is not None and post is not None:
        sections.insert(1, Section("Reading", reading(reml, post)))
    if post is not None:
        at = 2 if reml is not None else len(sections)
        sections.insert(at, Section("Diagnosis", post.diagnose().messages))
        if notes := propriety_notes(post.model):
            sections.insert(at + 1, Section(PROPRIETY, notes))
    elif reml is not None and (said := brief_sentences(reml)):
        sections.append(Section("Singular", said))
    if reml is not None and can_be_checked(reml.model):
        sections.append(Section("Assumptions", reml.check().messages))
    return sections


def _explanation(model: "ModelSpec") -> Section:
    """What the formula became, as it is printed."""
    sections = explain_sections(model)
    shown = ("Equations", "Fixed effects", "Parameters", "Notes")
    lines: list[str] = []
    for title in shown:
        if title in sections:
            lines += [title, *(f"  {line}" for line in sections[title]), ""]
    return Section("What the formula means", tuple(lines[:-1]), preformatted=True)


def picture(figure: "Figure") -> str:
    """The figure as a data address: sharp at any size, pixels if it is too large."""
    from matplotlib import rc_context

    drawing = io.BytesIO()
    with rc_context({"svg.hashsalt": "bayeslmm"}):  # the same figure, the same bytes
        figure.savefig(drawing, format="svg", metadata={"Date": None})
    if drawing.tell() <= LARGEST_SVG:
        return _address("svg+xml", drawing)
    pixels = io.BytesIO()
    figure.savefig(pixels, format="png", dpi=DPI)
    return _address("png", pixels)


def _address(kind: str, image: io.BytesIO) -> str:
    """An image as text that a page can hold."""
    return f"data:image/{kind};base64,{base64.b64encode(image.getvalue()).decode()}"
