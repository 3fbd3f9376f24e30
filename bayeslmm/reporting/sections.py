"""The sections of a report, in their order, each of blocks that the template knows.

Takes `Facts`; gives `Section`s of lines, tables, figures, equations and verdicts.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from bayeslmm.archive.file import versions
from bayeslmm.design import describe_table
from bayeslmm.posterior.propriety import propriety_notes
from bayeslmm.reml.singular import brief_sentences
from bayeslmm.reporting.citation import citation
from bayeslmm.reporting.describe import account_lines, scale_line
from bayeslmm.reporting.equations import equations
from bayeslmm.reporting.estimates import estimates_table
from bayeslmm.reporting.explain import explain_sections
from bayeslmm.reporting.facts import Facts
from bayeslmm.reporting.figure import Figure
from bayeslmm.reporting.level_pictures import (
    dial_figure,
    lines_figure,
    shrinkage_figure,
)
from bayeslmm.reporting.model_pictures import check_figure, components_figure
from bayeslmm.reporting.pooled_tables import factors_table, levels_table
from bayeslmm.reporting.record import record_lines
from bayeslmm.reporting.svg import Sheet
from bayeslmm.reporting.tables import (
    TextTable,
    criterion_line,
    grouping_table,
    prior_meanings,
    priors_table,
    sensitivity_table,
    tests_table,
)
from bayeslmm.reporting.verdicts import DRAWS, Verdict, all_verdicts, tally

SHOWN_GROUPS = 4  # grouping factors with a picture of their levels


@dataclass(frozen=True, slots=True)
class Lines:
    """Sentences, below each other; `heading` above them if it is not empty."""

    lines: tuple[str, ...]
    heading: str = ""
    kind: str = "lines"


@dataclass(frozen=True, slots=True)
class Grid:
    """A table; `folded` is the line that opens it, empty where it is open."""

    table: TextTable
    folded: str = ""
    kind: str = "table"


@dataclass(frozen=True, slots=True)
class Maths:
    """Equations."""

    lines: tuple[Markup, ...]
    kind: str = "maths"


@dataclass(frozen=True, slots=True)
class Checks:
    """Verdicts of one kind."""

    title: str
    verdicts: tuple[Verdict, ...]
    kind: str = "checks"


@dataclass(frozen=True, slots=True)
class Quote:
    """Words to be pasted."""

    words: str
    heading: str
    kind: str = "quote"


type Block = Lines | Grid | Maths | Checks | Quote | Figure


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the page; `key` is its address in it."""

    key: str
    title: str
    blocks: tuple[Block, ...]


def all_sections(facts: Facts, sheet: Sheet) -> tuple[Section, ...]:
    """The sections that this fit has."""
    parts = (
        ("model", "The model", _model(facts)),
        ("data", "The data", _data(facts, sheet)),
        ("estimates", "Estimates", _estimates(facts, sheet)),
        ("reading", "Reading the differences", _differences(facts)),
        ("components", "Variance components", _components(facts, sheet)),
        ("shrinkage", "Shrinkage", _shrinkage(facts, sheet)),
        ("checks", "Checks", _checks(facts, sheet)),
        ("priors", "Priors", _priors(facts)),
        ("made", "How it was made", _made(facts)),
    )
    found = ((key, title, tuple(blocks)) for key, title, blocks in parts)
    return tuple(Section(*own) for own in found if own[-1])


def _why_not(facts: Facts, part: str) -> Iterator[Block]:
    """Why a part is not there, if it was left out."""
    if part in facts.left_out:
        yield Lines((facts.left_out[part],))


def _model(facts: Facts) -> Iterator[Block]:
    """Equations, what their symbols stand for, and words."""
    own = equations(facts.model)
    yield Maths(own.lines)
    rows = tuple(("", (label, s, words)) for s, label, words in own.symbols)
    head = ("", "symbol", "meaning")
    title = "What the symbols stand for"
    yield Grid(TextTable(title, head, rows, left=True))
    words = explain_sections(facts.model)
    yield Lines(tuple(words["Parameters"]), "What is estimated")
    if "Notes" in words:
        yield Lines(tuple(words["Notes"]), "To be noted")


def _data(facts: Facts, sheet: Sheet) -> Iterator[Block]:
    """What became of the rows, the groups, and the rows with their lines."""
    design = facts.model.design
    yield Lines((*account_lines(design.account), scale_line(facts.model)))
    if design.groups:
        yield Grid(grouping_table(describe_table(design)))
    if facts.shrinkage is None or facts.reml is None:
        return
    if design.rows is None:
        yield Lines(
            ("The rows are not in memory, so they are not drawn here level by level.",)
        )
    else:
        yield lines_figure(facts.reml, facts.post, sheet)


def _estimates(facts: Facts, sheet: Sheet) -> Iterator[Block]:
    """REML and the posterior in one table; tests of the fixed effects."""
    yield Grid(estimates_table(facts.table, facts.post, sheet))
    if facts.tests is not None and len(facts.tests):
        yield Grid(tests_table(facts.tests))
    if facts.reml is not None:
        yield Lines((criterion_line(facts.reml),))


def _differences(facts: Facts) -> Iterator[Block]:
    """The reading of the comparison."""
    if facts.reading:
        yield Lines(facts.reading)


def _components(facts: Facts, sheet: Sheet) -> Iterator[Block]:
    """Shares of variance; curves, intervals, and what they say."""
    if facts.shares is not None:
        yield Grid(facts.shares)
    if facts.components and facts.reml is not None:
        yield components_figure(facts.components, facts.reml.method, sheet)
        yield Lines(facts.component_words)
    yield from _why_not(facts, "components")


def _shrinkage(facts: Facts, sheet: Sheet) -> Iterator[Block]:
    """What pooling did to each level, who moved most, and the dial."""
    own, reml = facts.shrinkage, facts.reml
    yield from _why_not(facts, "shrinkage")
    if own is None or reml is None:
        return
    yield Grid(factors_table(own))
    for group in list(own.sentences)[:SHOWN_GROUPS]:
        yield shrinkage_figure(own.table, group, reml.method, sheet)
        yield Lines(own.sentences[group], f"Who moved most among {group}")
    if own.paths:
        curves = {panel.label: panel.curves for panel in facts.components}
        yield dial_figure(own.paths, reml, curves, sheet)
    yield from _why_not(facts, "dial")
    for table in levels_table(own):
        yield Grid(table, f"{table.title} as a table")


def _checks(facts: Facts, sheet: Sheet) -> Iterator[Block]:
    """Verdicts, what they mean, and the pictures of the residuals."""
    verdicts = all_verdicts(facts)
    yield Lines((tally(verdicts),))
    for title, own in verdicts.items():
        yield Checks(title, own)
        if title == DRAWS and facts.diagnosis is not None:
            yield Lines(facts.diagnosis.messages)
    if facts.check is not None:
        yield Lines(facts.check.messages)
    if facts.reml is not None and facts.post is None:
        yield Lines(brief_sentences(facts.reml))
    if facts.panels is not None:
        yield check_figure(facts.panels, facts.model.design.response, sheet)
    yield from _why_not(facts, "check")


def _priors(facts: Facts) -> Iterator[Block]:
    """The priors, what they say, and the results under others."""
    if facts.post is None:
        return
    yield Grid(priors_table(facts.model.priors))
    yield Grid(prior_meanings(facts.model.priors))
    if notes := propriety_notes(facts.model):
        yield Lines(tuple(notes), "Means that do not exist")
    if facts.sensitivity is not None:
        yield Grid(sensitivity_table(facts.sensitivity))
    yield from _why_not(facts, "sensitivity")


def _made(facts: Facts) -> Iterator[Block]:
    """Words for the methods section, what to cite, seed and versions."""
    model = facts.model
    words, *cited = citation(model, facts.reml, facts.post)
    yield Quote(words, "For the methods section")
    yield Lines(tuple(cited), "How to cite")
    record, post = record_lines(facts.record, model), facts.post
    if post is not None:
        record += [f"{post.method}: {post.reason}", post.status.message]
    yield Lines(tuple(record), "Record")
    named = ", ".join(f"{name} {own}" for name, own in versions().items())
    yield Lines((named,), "Versions")
