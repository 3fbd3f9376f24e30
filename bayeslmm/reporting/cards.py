"""What a notebook shows of a model or a fit: a compact card of HTML.

Takes a model and those of its fits that there are; gives a fragment with the formula,
the account of the data, tables as the terminal has them, reading and diagnosis.
"""

from dataclasses import dataclass
from pathlib import Path
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

if TYPE_CHECKING:
    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.fit import RemlFit
    from bayeslmm.spec import ModelSpec

TEMPLATE = Path(__file__).with_name("card.html.j2")


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


def fit_card(reml: "RemlFit | None", post: "Posterior | None") -> str:
    """Formula, data, REML beside the posterior, reading, diagnosis; or the only fit."""
    if post is None:
        return reml_card(reml) if reml is not None else ""
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
    import jinja2

    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    first, *rest = header_lines(model)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(formula=first, account=rest, sections=sections)
