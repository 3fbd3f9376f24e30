"""Drawings and sentences of the report: each is where, and says what, its table has."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sampling import unchecked

import bayeslmm as lmm
from bayeslmm.archive.file import versions
from bayeslmm.reporting.citation import methods_sentence, references
from bayeslmm.reporting.facts import facts_of
from bayeslmm.reporting.in_short import five_lines
from bayeslmm.reporting.interval_pictures import (
    MARGIN,
    WIDTH,
    interval_pictures,
    spans,
)
from bayeslmm.reporting.record import Record
from bayeslmm.reporting.sections import all_sections
from bayeslmm.reporting.svg import Scale, Sheet, padded, round_values
from bayeslmm.reporting.verdicts import DRAWS, all_verdicts, tally

PIXEL = 0.06  # places are written to a tenth of one


@pytest.fixture(scope="module")
def facts(gaps_fits):
    """All that is said of both fits of simulated classrooms."""
    with unchecked():
        return facts_of(gaps_fits, Record(seed=1))


@pytest.fixture(scope="module")
def sections(facts):
    """The page's sections by their keys."""
    with unchecked():
        return {one.key: one for one in all_sections(facts, Sheet())}


def marks(drawing: str, tag: str, look: str) -> list[dict[str, str]]:
    """Attributes of the marks of a look."""
    return [
        one.attrib
        for one in ET.fromstring(drawing).iter(tag)
        if one.attrib.get("class") == look
    ]


def test_intervals_stand_where_their_numbers_are(facts):
    drawings = interval_pictures(facts.table, Sheet())
    places = spans(facts.table)
    assert list(drawings) == list(facts.table.index)
    for label, one in facts.table.iterrows():
        own = places[label]
        across = Scale(own.low, own.high, MARGIN, WIDTH - MARGIN)
        for side, names in (
            ("reml", ("reml", "reml_lower", "reml_upper")),
            ("posterior", ("median", "lower", "upper")),
        ):
            (bar,) = marks(drawings[label], "line", f"{side} bar")
            (point,) = marks(drawings[label], "circle", f"{side} point")
            drawn = [float(point["cx"]), float(bar["x1"]), float(bar["x2"])]
            assert drawn == pytest.approx([across(one[n]) for n in names], abs=PIXEL)


def table_of(**columns) -> pd.DataFrame:
    """A table of one fit."""
    table = pd.DataFrame(columns).set_index("label")
    table["reml_lower"] = table["reml"] - table["reml_se"]
    table["reml_upper"] = table["reml"] + table["reml_se"]
    table.attrs = {"method": "REML", "reml_interval": "95% Wald", "interval": "ETI"}
    return table


def test_rows_share_a_scale_unless_one_would_vanish():
    same = table_of(
        label=["Intercept", "a", "b"],
        component="fixef",
        reml=[90.0, 1.0, -2.0],
        reml_se=[1.0, 1.0, 1.5],
    )
    found = spans(same)
    assert found["a"] == replace(found["b"], ticks=False)
    assert found["a"].shared
    assert not found["Intercept"].shared
    assert found["Intercept"].low > 0.0  # 0 is too far off
    found = spans(same.assign(reml_lower=[89.0, 0.0, -900.0]))
    assert not found["a"].shared
    assert found["a"].low <= 0.0 <= found["a"].high


def test_a_correlation_is_between_its_ends_and_what_is_missing_is_said():
    table = table_of(label=["r"], component="corr", reml=[-1.0], reml_se=[np.nan])
    assert (spans(table)["r"].low, spans(table)["r"].high) == (-1.0, 1.0)
    (drawing,) = interval_pictures(table, Sheet()).values()
    assert not marks(drawing, "line", "reml bar")
    assert ET.fromstring(drawing)[0].text == "r: REML -1.00, no interval"


@pytest.mark.parametrize(
    ("ends", "ticks"),
    [
        ((0.0, 10.0), [0.0, 2.5, 5.0, 7.5, 10.0]),
        ((-1.0, 1.0), [-1.0, -0.5, 0.0, 0.5, 1.0]),
        ((1e6, 1.2e6), [1e6, 1.05e6, 1.1e6, 1.15e6, 1.2e6]),
        ((3.0, 3.0), [3.0]),
    ],
)
def test_ticks_are_round_and_inside(ends, ticks):
    assert round_values(*ends) == pytest.approx(ticks)


def test_an_axis_holds_what_is_finite():
    assert padded([np.nan, 1.0, 3.0, np.inf], 0.5) == (0.0, 4.0)
    assert padded([]) == (0.0, 1.0)


# --- words ----------------------------------------------------------------------------


def numbers(text: str) -> set[str]:
    """Numbers with decimals of a text."""
    return set(re.findall(r"-?\d+\.\d+", text))


def test_every_number_of_the_five_lines_is_in_a_table(facts, sections):
    cells = " ".join(
        cell
        for section in sections.values()
        for block in section.blocks
        if block.kind == "table"
        for _, row in block.table.rows
        for cell in row
    )
    lines = dict(five_lines(facts))
    assert list(lines) == ["Data", "Effects", "Levels", "Pooling", "Trust"]
    for name in ("Effects", "Levels"):
        assert numbers(lines[name])
        assert numbers(lines[name]) <= numbers(cells)
    table = facts.shrinkage.table
    for effect, own in table.groupby("effect"):
        assert (
            f"{100 * own['pooling_mean'].median():.0f}% in {effect}" in lines["Pooling"]
        )
    assert "236 of 240 rows used" in lines["Data"]
    assert "500 draws" in lines["Data"]


def test_drawings_say_numbers_of_what_they_show(sections):
    figures = [
        block
        for section in sections.values()
        for block in section.blocks
        if block.kind == "figure"
    ]
    assert len(figures) == 5
    for figure in figures:
        for panel in figure.panels:
            root = ET.fromstring(panel)
            said = " ".join(
                one.text or "" for one in root if one.tag in ("title", "desc")
            )
            assert len(said) > 20
            assert re.search(r"\d", said)


def test_panels_of_levels_say_where_their_lines_end(facts, sections):
    (figure,) = [b for b in sections["data"].blocks if b.kind == "figure"]
    assert len(figure.panels) == 12
    said = [ET.fromstring(panel)[1].text or "" for panel in figure.panels]
    assert all("partial pooling from" in one and "its own line" in one for one in said)


def test_verdicts_are_those_of_the_checks(facts):
    found = all_verdicts(facts)
    assert [one.word for one in found["The REML fit"]] == ["fine", "fine"]
    own = facts.check.table["verdict"].map({"ok": "fine", "look": "look"})
    assert [one.word for one in found["The assumptions"]] == own.tolist()
    assert len({one.mark for group in found.values() for one in group}) == len(
        {one.word for group in found.values() for one in group}
    )


def test_what_is_not_fine_is_named(facts):
    table = facts.diagnosis.table.assign(rhat=1.2)
    worse = replace(facts, diagnosis=replace(facts.diagnosis, table=table))
    verdicts = all_verdicts(worse)
    (stopped,) = [one for one in verdicts[DRAWS] if one.word == "stop"]
    assert stopped.what == "Chains agree"
    assert "Chains agree" in tally(verdicts)


def test_what_is_cited_is_what_was_used(facts):
    post, reml = facts.post, facts.reml
    both, alone = references(reml, post), references(reml, None)
    assert any("nutpie" in one for one in both)
    assert not any("PyMC" in one or "ArviZ" in one for one in alone)
    assert any("lme4" in one for one in alone)
    importance = replace(post, status=replace(post.status, sampler="importance"))
    assert not any("nutpie:" in one for one in references(None, importance))
    words = methods_sentence("y ~ x", facts.model.priors, "gaussian", reml, post)
    for part in (versions()["bayeslmm"], versions()["nutpie"], "2 chains of 250 draws"):
        assert part in words


def test_the_citation_is_that_of_the_repository():
    from pathlib import Path

    cff = (Path(lmm.__file__).parents[1] / "CITATION.cff").read_text(encoding="utf-8")
    (title,) = re.findall(r'^title: "(.*)"$', cff, re.MULTILINE)
    (year,) = re.findall(r"^date-released: (\d{4})", cff, re.MULTILINE)
    (author,) = re.findall(r"^  - name: (.*)$", cff, re.MULTILINE)
    own = references(None, None)[0]
    assert own.startswith(f"{author} ({year}). {title} (version")
