"""One self-contained HTML page of a fit: text, tables and figures, nothing to load.

Takes a model and its fits; gives the page. What it says is computed once in `facts`,
put in order in `sections`, and laid out in ``report.html.j2``.
"""

import re
from os import PathLike
from pathlib import Path

from markupsafe import Markup, escape

from bayeslmm.errors import ModelError, as_path
from bayeslmm.reporting.facts import facts_of
from bayeslmm.reporting.fitted import Fitted, check_fitted
from bayeslmm.reporting.in_short import five_lines
from bayeslmm.reporting.pages import page_environment, together, write_page
from bayeslmm.reporting.record import Record, record_of
from bayeslmm.reporting.sections import all_sections
from bayeslmm.reporting.svg import Sheet, short

LONG = re.compile(r"\S{81,}")  # no word, nor a checksum: a name that fills a screen
SIGNS = re.compile(r"([|:_/*])")  # none of which stands in an escaped sign
MOST_LETTERS = 60  # of such a name that are left
STYLES = ("tokens.css", "report.css")


def report(fit: Fitted, path: str | PathLike[str]) -> Path:
    """Write a self-contained HTML report of a fit.

    Use it to hand on a fit whole, or to attach it to a paper: five lines to read first,
    the model in equations and words, what became of the rows, REML and the posterior
    with their intervals in one table, why they differ, variance components, what
    pooling did to each level, checks with verdicts, priors and the results under
    others, versions and what to cite. Nothing is loaded from elsewhere when it is
    opened; it follows the reader's light or dark, and prints.

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
    ModelError
        If `fit` is something else.
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
    ...     page.stat().st_size > 50_000
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


def write_report(fit: Fitted, path: Path, record: Record | None = None) -> None:
    """The same with all that is known of the run."""
    write_page(report_html(fit, record), path, "report")


def report_html(fit: Fitted, record: Record | None = None) -> str:
    """The page of `report` as a string."""
    check_fitted(fit, "a report")
    environment = page_environment(without_middles)
    environment.filters["breakable"] = breakable
    template = environment.from_string(together("report.html.j2"))
    if record is None:
        record = record_of(fit.model, fit.posterior)
    facts = facts_of(fit, record)
    post = facts.post
    partial = post is not None and post.status.partial
    return template.render(
        style=Markup(together(*STYLES)),  # ours, so it is no text to escape
        formula=fit.model.said,
        lines=five_lines(facts),
        sections=all_sections(facts, Sheet()),
        partial=post.status.message if post is not None and partial else "",
        written=record.written,
    )


def without_middles(shown: object) -> object:
    """Text whose longest names lose their middle; markup as it is."""
    if not isinstance(shown, str) or isinstance(shown, Markup):
        return shown
    return LONG.sub(lambda found: short(found[0], MOST_LETTERS), shown)


def breakable(label: str) -> str:
    """A label that may be broken after its signs; markup as it is."""
    if isinstance(label, Markup):
        return label
    text = str(escape(without_middles(label)))
    return Markup(SIGNS.sub(r"\1<wbr>", text))
