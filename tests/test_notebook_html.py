"""What notebooks show of results: every public result has it, escaped, without colours.

It never raises, whatever a fit lacks; long tables are folded, and say so.
"""

import importlib
import inspect
import pkgutil
import re
import shutil
import warnings
from html.parser import HTMLParser
from typing import cast

import numpy as np
import pandas as pd
import pytest
from paper_cases import ODD, drawn_chances, odd_fit, small_fits
from sampling import unchecked

import bayeslmm as lmm
from bayeslmm.reporting import cards
from bayeslmm.tables import Table
from bayeslmm.tables.notebook import fragment

pytestmark = pytest.mark.usefixtures("user_speed")
CHROMIUM = shutil.which("chromium")
# What public verbs give that is no result: a function.
NO_RESULTS = {"Responder"}
VOID = {"br", "meta", "col"}


class Reader(HTMLParser):
    """Tags that are open, all tags that were seen, and the text."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.text = [], set(), []

    def handle_starttag(self, tag, attrs):
        del attrs
        self.seen.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(html):
    """The text of a fragment whose tags are closed in their order."""
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    assert "script" not in reader.seen
    return " ".join("".join(reader.text).split())


@pytest.fixture(scope="module")
def fits():
    """Small fits of the same pupils."""
    with unchecked():
        return small_fits()


def classes():
    """Every class of the package by name."""
    found = {}
    for module in pkgutil.walk_packages(lmm.__path__, "bayeslmm."):
        if "__main__" in module.name:
            continue
        for name, own in vars(importlib.import_module(module.name)).items():
            if inspect.isclass(own) and own.__module__ == module.name:
                found.setdefault(name, []).append(own)
    return found


def public_verbs():
    """Public functions, and the public methods of models and fits."""
    for name in lmm.__all__:
        own = getattr(lmm, name)
        if inspect.isfunction(own) and not name.startswith("plot_"):
            yield name, own
    for own in (lmm.Model, lmm.Fit, lmm.RemlFit, lmm.Posterior):
        name = own.__name__
        for verb, method in inspect.getmembers(own, inspect.isfunction):
            if not verb.startswith(("_", "plot_")):
                yield f"{name}.{verb}", method


def test_every_result_of_a_public_verb_has_a_form_for_notebooks():
    known, missing, seen = classes(), {}, set()
    for verb, function in public_verbs():
        given = inspect.signature(inspect.unwrap(function)).return_annotation
        text = given if isinstance(given, str) else getattr(given, "__name__", "")
        for word in re.findall(r"[A-Z]\w+", text):
            forms = [hasattr(own, "_repr_html_") for own in known.get(word, ())]
            seen |= {word} if forms else set()
            if forms and not any(forms) and word not in NO_RESULTS:
                missing[verb] = word
    assert missing == {}
    assert {"RemlFit", "Posterior", "AssumptionCheck", "Diagnosis", "Influence"} <= seen


def results(fits):
    """One of each kind that is quick to make."""
    yield "model", fits.null.model
    yield "reml", fits.reml
    yield "posterior", fits.post
    yield "fit", fits.both
    yield "priors", fits.null.model.priors
    yield "check", fits.null.check()
    yield "diagnosis", fits.post.diagnose()
    yield "influence", fits.null.influence("classroom")
    yield "reading", fits.both.reading()
    yield "propriety", fits.null.model.propriety()
    yield "matrices", fits.null.matrices()
    yield "quadrature", fits.null.model.quadrature()
    yield "profile", fits.null.profile()
    yield "summary", fits.reml.summary()
    yield "levels", fits.post.ranef()
    yield "table", lmm.model_table(fits.both)
    yield "tables", fits.both.tables()
    yield "simulated", lmm.simulate_classrooms(3, 4, seed=1)
    formula = "score ~ edu + offset(log(edu + 1)) + (edu | classroom) + ar1(edu | edu)"
    yield "formula", lmm.parse_formula(formula)
    scan = lmm.scan_rows("score ~ edu + (1 | classroom)", fits.data)
    yield "scan", scan
    yield "tally", lmm.sum_partition(scan, fits.data[:30])


def test_every_form_is_whole_and_has_no_colour_of_its_own(fits):
    for name, result in results(fits):
        html = result._repr_html_()
        text = read(html)
        assert len(text) > 50, name
        values = re.findall(r"(?<![\w-])(?:color|background)\s*:\s*([^;}\"]+)", html)
        shades = {value.replace("!important", "").strip() for value in values}
        assert shades <= {"inherit", "none"}, name
        assert "#" not in "".join(re.findall(r"style=\"[^\"]*\"", html)), name


def test_labels_are_escaped_everywhere():
    with unchecked():
        fit = odd_fit()
    shown = [fit, fit.model, fit.summary(), fit.ranef(), fit.model.priors]
    for one in (
        *shown,
        lmm.Fit(cast("lmm.Model", fit.model), fit, None),
        lmm.model_table(fit),
    ):
        html = one._repr_html_()
        assert "<b>*bold*" not in html
        read(html)
    formula = lmm.parse_formula("y ~ `a<b>c` + (1 | g)")
    assert "`a<b>c`" in read(formula._repr_html_())
    assert ODD[1].split(" ")[0] in read(fit._repr_html_())


def test_a_card_has_the_numbers_of_the_terminal(fits):
    card, text = read(fits.reml._repr_html_()), " ".join(repr(fits.reml).split())
    for number in re.findall(r"\d+\.\d+", text):
        assert number in card
    assert '<th scope="row"><bdi>edu</bdi></th>' in fits.reml._repr_html_()


def singular():
    """A fit whose SD is 0."""
    data = pd.DataFrame({"y": [1.0, 2, 3, 1, 2, 3, 1, 2, 3], "g": list("aaabbbccc")})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", lmm.FitWarning)
        return lmm.Model("y ~ 1 + (1 | g)", data).fit_reml()


def test_no_card_raises_whatever_a_fit_lacks(fits, tmp_path):
    model, high = fits.both.model, (fits.data["score"] > 12).astype(int)
    chances = drawn_chances(fits.data.assign(high=high))
    no_fixed = lmm.Model("score ~ 0 + (1 | classroom)", fits.data).fit_reml()
    fits.both.save(tmp_path / "fit.lmm")
    opened = lmm.load(tmp_path / "fit.lmm")
    for one in (
        lmm.Fit(model, None, fits.post),
        lmm.Fit(model, fits.ml, None),
        chances,
        no_fixed,
        opened,
        opened.posterior,
        singular(),
    ):
        assert one is not None
        assert "rows" in read(one._repr_html_())
    assert lmm.Fit(model, None, None)._repr_html_() == model._repr_html_()


@pytest.fixture(scope="module")
def many():
    """A fit with 61 parameters."""
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"y": rng.normal(size=300), "g": np.arange(300) % 7})
    data["k"] = [f"k{i % 60:02d}" for i in range(300)]
    with unchecked(), warnings.catch_warnings():
        warnings.simplefilter("ignore", lmm.FitWarning)
        return lmm.Model("y ~ k + (1 | g)", data).fit_reml()


def test_a_long_table_is_folded_and_says_so(many, monkeypatch):
    html = many._repr_html_()
    n = len(many.summary())
    above, _, below = html.partition("<details>")
    assert above.count('scope="row"') == cards.FIRST_ROWS
    assert below.count('scope="row"') == n - cards.FIRST_ROWS
    assert f"<summary>{n - cards.FIRST_ROWS} more rows</summary>" in below
    read(html)
    monkeypatch.setattr(cards, "MOST_FOLDED", 50)
    cut = many._repr_html_()
    assert "<details>" not in cut
    assert f"{n - cards.FIRST_ROWS} more rows: summary() has them all." in read(cut)


def test_a_fragment_has_what_was_given():
    table = Table({"<i>": [1.23456, 2.0], "sd": [0.1, 0.2]})
    html = fragment("a < b", ["c & d"], [table, table.set_index("sd")])
    assert "<strong>a &lt; b</strong>" in html
    assert "<li>c &amp; d</li>" in html
    assert html.count("<table") == 2
    assert html.count("<th>0</th>") == 0  # rows that only count are not named
    assert "1.235" in read(html)
    assert fragment() == ""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium to show a page")
def test_cards_have_the_colours_of_the_page_and_its_width(fits, many, tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api")
    parts = [own._repr_html_() for _, own in results(fits)] + [many._repr_html_()]
    path = tmp_path / "cards.html"
    head = '<meta charset="utf-8"><meta name="color-scheme" content="light dark">'
    path.write_text(f"<!doctype html>{head}{''.join(parts)}", encoding="utf-8")
    asked = """() => {
      const ink = getComputedStyle(document.body).color;
      const all = [...document.querySelectorAll('.bayeslmm *')];
      const of = (key) => new Set(all.map((e) => getComputedStyle(e)[key]));
      const cards = [...document.querySelectorAll('.bayeslmm')];
      return {ink, inks: [...of('color')], grounds: [...of('backgroundColor')],
              wide: cards.filter((e) => e.scrollWidth > e.clientWidth + 1).length};
    }"""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        inks = set()
        for scheme in ("light", "dark"):
            for width in (1280, 390):
                size = {"width": width, "height": 800}
                page = browser.new_page(viewport=size, color_scheme=scheme)
                page.goto(path.as_uri())
                found = page.evaluate(asked)
                assert found["inks"] == [found["ink"]]
                assert found["grounds"] == ["rgba(0, 0, 0, 0)"]
                assert found["wide"] == 0
                inks.add(found["ink"])
                page.close()
        browser.close()
    assert len(inks) == 2
