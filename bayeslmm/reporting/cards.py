"""What a notebook shows of a model or a fit: a compact card of HTML.

Takes a model and those of its fits that there are; gives a fragment with the formula,
the account of the data, tables as the terminal has them, reading and diagnosis.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bayeslmm.comparison import compare, reading
from bayeslmm.comparison.answer import answer
from bayeslmm.reporting.describe import header_lines
from bayeslmm.reporting.tables import (
    TextTable,
    comparison_table,
    posterior_table,
    priors_table,
    reml_table,
)
from bayeslmm.reporting.web import escaped, html_table, styled

if TYPE_CHECKING:
    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.fit import RemlFit
    from bayeslmm.spec import ModelSpec

# Rows that are shown; of longer tables the first, and the rest behind a line to click.
MOST_ROWS, FIRST_ROWS = 40, 20
MOST_FOLDED = 1000  # rows beyond which a notebook is not made so large


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a card: lines and tables."""

    title: str
    lines: tuple[str, ...] = ()
    tables: tuple[TextTable, ...] = ()


def model_card(model: "ModelSpec") -> str:
    """Formula, data, priors."""
    return _card(model, [Section("Priors", tables=(priors_table(model.priors),))])


def reml_card(reml: "RemlFit") -> str:
    """Formula, data, estimates, how the fit ended."""
    return _card(reml.model, [Section(reml.method, tables=(reml_table(reml),))])


def posterior_card(post: "Posterior") -> str:
    """Formula, data, posterior, diagnosis."""
    table = Section("Posterior", tables=(posterior_table(post),))
    return _card(post.model, [table, _diagnosis(post)])


def fit_card(
    model: "ModelSpec", reml: "RemlFit | None", post: "Posterior | None"
) -> str:
    """Formula, data, REML beside the posterior, reading, diagnosis; else what is."""
    if post is None:
        return model_card(model) if reml is None else reml_card(reml)
    if reml is None:
        return posterior_card(post)
    table = comparison_table(compare(reml, post))
    sections = [
        Section("In short", answer(reml, post)),
        Section(table.title, tables=(table,)),
        Section("Reading", reading(reml, post)),
        _diagnosis(post),
    ]
    return _card(reml.model, sections)


def _diagnosis(post: "Posterior") -> Section:
    """What the diagnostics say."""
    return Section("Diagnosis", post.diagnose().messages)


def _card(model: "ModelSpec", sections: list[Section]) -> str:
    """The fragment."""
    first, *rest = header_lines(model)
    parts = [
        f"<h4>{escaped(first)}</h4>",
        *(f"<p>{escaped(line)}</p>" for line in rest),
    ]
    for section in sections:
        parts.append(f"<h5>{escaped(section.title)}</h5>")
        items = "".join(f"<li>{escaped(line)}</li>" for line in section.lines)
        parts += [f"<ul>{items}</ul>"] if items else []
        parts += [_folded(table) for table in section.tables]
    return styled("\n".join(parts))


def _folded(table: TextTable) -> str:
    """A table, of which a long one shows its first rows, and says how to see all."""
    table = replace(table, title="")
    n = len(table.rows)
    if n <= MOST_ROWS:
        return html_table(table)
    first = html_table(replace(table, rows=table.rows[:FIRST_ROWS]))
    if n > MOST_FOLDED:
        return f"{first}\n<p>{n - FIRST_ROWS:,} more rows: summary() has them all.</p>"
    rest = html_table(replace(table, rows=table.rows[FIRST_ROWS:], notes=()))
    more = f"<summary>{n - FIRST_ROWS:,} more rows</summary>"
    return f"{first}\n<details>{more}\n{rest}\n</details>"
