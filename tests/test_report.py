"""Tables, pages and summary.json: each says what the fits hold."""

import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from report_cases import Fits
from sampling import unchecked

import bayeslmm as lmm
from bayeslmm.comparison import answer
from bayeslmm.errors import OutputError
from bayeslmm.posterior import SamplingStatus
from bayeslmm.reml.estimate import fit_reml
from bayeslmm.reporting.figures import save_figures
from bayeslmm.reporting.html import report_html
from bayeslmm.reporting.record import Record
from bayeslmm.reporting.summary import summary_json
from bayeslmm.reporting.tables import comparison_table, posterior_table, reml_table
from bayeslmm.reporting.text import print_header, print_table


@pytest.fixture(scope="module")
def fits(gaps_fits):
    """Both fits of simulated classrooms, some rows missing."""
    return gaps_fits


# --- tables ---------------------------------------------------------------------------


def cells(table, label: str) -> tuple[str, ...]:
    """Cells of the row of one parameter."""
    (found,) = [c for _, c in table.rows if c[0] == label]
    return found


def test_reml_table_is_the_summary_rounded_by_its_standard_errors(fits):
    table = reml_table(fits.reml)
    summary, test = fits.reml.summary(), fits.reml.fixef().loc["edu"]
    _, estimate, se, df, shown_t, p, ends = cells(table, "edu")
    assert estimate == f"{summary['estimate']['edu']:.4f}"
    assert se == f"{summary['se']['edu']:.4f}"
    assert shown_t == f"{test['t']:.2f}"
    assert (df, p) == (f"{test['df']:.1f}", "<0.001")
    assert test["p"] < 0.001
    edge = summary.loc["edu"]
    assert ends == f"[{edge['lower']:.4f}, {edge['upper']:.4f}]"
    assert table.header[-1] == "95% Wald"
    assert f"REML criterion {fits.reml.criterion:.3f}" in table.notes[0]
    assert table.notes[1] == fits.reml.status.message
    assert cells(table, "sigma")[3:6] == ("", "", "")


def test_posterior_and_comparison_tables_name_their_intervals(fits):
    assert posterior_table(fits.posterior, 0.8, "hdi").header[4] == "80% HDI"
    compared = lmm.compare(fits.reml, fits.posterior, prob=0.9)
    table = comparison_table(compared)
    assert table.header[5] == "90% ETI"
    shown = cells(table, "sigma")[-1]
    assert shown == f"{compared['difference_in_se']['sigma']:.2f}"
    assert [note for note in table.notes if "posterior median minus REML" in note]
    assert not [note for note in table.notes if note.startswith("*")]


def test_sections_follow_the_components(fits):
    names = [
        name
        for name, _ in comparison_table(lmm.compare(fits.reml, fits.posterior)).rows
    ]
    assert list(dict.fromkeys(names)) == [
        "Fixed effects, in units of score; slopes per unit of the predictor",
        "SDs of random effects, in units of score; of slopes per unit of the predictor",
        "Correlations, without units",
        "Residual SD, in units of score",
    ]


@pytest.mark.parametrize("width", [50, 80, 120])
def test_numbers_are_never_cut_on_a_narrow_terminal(fits, width):
    from rich.console import Console

    console = Console(width=width, record=True, quiet=False, file=io.StringIO())
    table = posterior_table(fits.posterior)
    print_table(console, table)
    shown = console.export_text()
    for _, row_cells in table.rows:
        assert all(cell in shown for cell in row_cells[1:])
    assert "…" not in shown


def test_header_prints_the_formula_as_written(fits):
    from rich.console import Console

    console = Console(width=100, record=True, file=io.StringIO())
    print_header(console, fits.model)
    lines = console.export_text().splitlines()
    assert lines[0] == "score ~ edu + (edu | classroom)"
    assert any("4 dropped" in line for line in lines)


# --- report ---------------------------------------------------------------------------


class Page(HTMLParser):
    """Tags, addresses and text of a page; fails on tags that do not close."""

    VOID = frozenset({"meta", "br", "wbr", "line", "circle", "path"})

    def __init__(self, text: str):
        super().__init__()
        self.open, self.addresses, self.words, self.ids = [], [], [], []
        self.drawings, self.named = 0, []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.addresses += [found[k] for k in ("src", "href") if k in found]
        self.ids += [found["id"]] if "id" in found else []
        if tag == "svg" and "aria-hidden" not in found:
            assert found["role"] == "img"
            self.drawings += 1
            self.named += (found["aria-labelledby"] or "").split()
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        """All words."""
        return "".join(self.words)


@pytest.fixture(scope="module")
def page(fits):
    """The whole report as text and parsed."""
    with unchecked():
        text = report_html(fits)
    return text, Page(text)


def test_report_is_one_file_that_loads_nothing(page):
    text, parsed = page
    assert parsed.drawings > 20
    assert all(address.startswith("#") for address in parsed.addresses)
    assert not re.search(r"<(script|link|img|iframe)|url\(|@import", text)
    assert len(text.encode()) < 500_000


def test_ids_are_unique_and_every_address_and_name_is_there(page):
    parsed = page[1]
    assert len(set(parsed.ids)) == len(parsed.ids)
    assert {address[1:] for address in parsed.addresses} <= set(parsed.ids)
    assert set(parsed.named) <= set(parsed.ids)


def test_report_says_everything_in_order(page, fits):
    order = [
        "4 dropped",
        *answer(fits.reml, fits.posterior),
        "The model",
        "SD between levels of classroom, in edu",
        "score: mean 1",
        "difference: posterior median minus REML estimate",
        "REML criterion",
        lmm.reading(fits.reml, fits.posterior)[0],
        "ICC, adjusted",
        "The posterior is",
        lmm.shrinkage_reading(fits.reml, fits.posterior)[0],
        "REML converged",
        fits.posterior.diagnose().messages[0],
        fits.reml.check().messages[0],
        "mildly against correlations of +-1",
        "prior_sensitivity(post) fits the same data",
        "We fitted the linear mixed model score ~ edu + (edu | classroom)",
        "Abril-Pla",
        "SHA-256 of the rows used",
        "seed: 1",
        "Sampling ended as planned",
    ]
    words = page[1].text
    place = words.index("score ~ edu + (edu | classroom)")
    for part in order:  # each after the one before it
        place = words.index(part, place + 1)


def test_report_of_reml_alone(fits, tmp_path):
    """Written to a file, and told where it cannot be."""
    only = Fits(fits.model, fits.reml)
    with unchecked():
        path = lmm.report(only, tmp_path / "report.html")
        with pytest.raises(OutputError, match="could not be written"):
            lmm.report(only, tmp_path / "nowhere" / "report.html")
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    alone = Page(text).text
    assert "osterior" not in alone.replace(
        "bayeslmm: Bayesian linear mixed models "
        "with lme4's formulas, REML beside the posterior",
        "",
    )
    assert "Priors" not in alone
    assert "REML converged" in alone


def test_report_of_a_partial_posterior_alone(fits, page):
    status = SamplingStatus(2, 250, partial=True)
    partial = Fits(fits.model, posterior=replace(fits.posterior, status=status))
    with unchecked():
        text = report_html(partial)
    assert 'class="warning"' in text
    assert 'class="warning"' not in page[0]
    alone = Page(text).text
    assert "REML converged" not in alone
    assert "Chains agree" in alone
    assert "Priors" in alone


def test_names_are_escaped_in_the_report():
    data = lmm.simulate_classrooms(4, 6, seed=4).data
    data = data.rename(columns={"classroom": "<b>room</b>"})
    model = lmm.Model("score ~ edu + (1 | `<b>room</b>`)", data)
    with unchecked():
        text = report_html(Fits(model, model.fit_reml()))
    assert "<b>room" not in text
    assert "&lt;b&gt;room" in text


def test_what_to_cite_is_in_the_report(page, gaps, fits):
    words, *cited = lmm.Fit(gaps, fits.reml, fits.posterior).cite()
    assert words.startswith(f"We fitted the linear mixed model {gaps.formula.text}")
    assert "4 chains" not in words
    assert "2 chains of 250 draws" in words
    assert len(cited) == len(set(cited)) > 4
    said = " ".join(page[1].words)
    assert all(line in said for line in (words, *cited))


def test_figures_that_cannot_be_written_are_told(fits, tmp_path):
    """Those of both fits, by name: `test_fit_prints_and_writes_everything`."""
    with pytest.raises(OutputError, match="could not be written"):
        save_figures(fits.reml, None, tmp_path / "nowhere")


@pytest.mark.usefixtures("user_speed")
def test_many_effects_have_a_figure_each(public_data, tmp_path):
    model = lmm.Model(
        "score ~ Machine + (0 + Machine | Worker)", public_data("Machines")
    )
    names = [p.stem for p in save_figures(model.fit_reml(), None, tmp_path, dpi=40)]
    each = [f"shrinkage_Worker_Machine_{m}" for m in "ABC"]
    assert names == ["fits", *each, "check"]


# --- summary.json ---------------------------------------------------------------------


def strict(text: str) -> dict:
    """JSON that has no NaN or Infinity."""

    def refuse(word: str) -> None:
        raise AssertionError(word)

    return json.loads(text, parse_constant=refuse)


def test_summary_has_the_numbers_of_both_fits_in_full(fits):
    found = strict(summary_json(fits, record=Record("a.csv", "0", 7), files={}))
    reml, post = fits.reml.summary(), fits.posterior.summary()
    assert found["reml"]["criterion"] == fits.reml.criterion
    assert found["reml"]["fixed_effects"]["edu"]["se"] == reml["se"]["edu"]
    label = "classroom_corr[Intercept:edu]"
    shown = found["reml"]["correlations"][label]["estimate"]
    assert shown == reml["estimate"][label]
    assert (
        found["posterior"]["sds"]["1|classroom_sigma"]["mean"]
        == (post["mean"]["1|classroom_sigma"])
    )
    assert found["posterior"]["sigma"]["upper"] == post["upper"]["sigma"]
    assert found["posterior"]["diagnostics"]["max_rhat"] == post["rhat"].max()
    assert found["rows"] == {
        "given": 240,
        "used": 236,
        "missing": {"score": 3, "edu": 1},
        "groups_lost": {},
        "unused_levels": {},
        "mixed": {},
        "coarse": {},
        "traps": [],
        "dropped_columns": [],
        "checksums": None,
    }
    assert found["groups"] == {"classroom": 12}
    assert (found["data"]["path"], found["data"]["sha256"]) == ("a.csv", "0")
    assert len(found["data"]["rows_sha256"]) == 64
    assert found["seed"] == 7
    assert found["versions"]["bayeslmm"]
    assert found["comparison"]["reading"] == list(
        lmm.reading(fits.reml, fits.posterior)
    )


def test_summary_has_every_prior_in_full(fits):
    found = strict(summary_json(fits, record=Record(), files={}))["priors"]
    priors = fits.model.priors
    assert found["name"] == "weak"
    parts = found["parameters"]
    assert parts["edu"]["args"] == priors.fixed[1].arguments
    assert parts["edu|classroom_sigma"]["args"] == priors.sd[0][1].arguments
    assert parts["classroom_corr"]["args"] == {"eta": 2.0}
    assert parts["sigma"]["name"] == "HalfStudentT"


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.FitWarning")
@pytest.mark.usefixtures("user_speed")
def test_two_terms_of_one_group_keep_both_priors_of_correlations():
    """The second was the only one in ``summary.json``."""
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"x": rng.normal(size=120), "y": rng.normal(size=120)})
    data["g"], data["f"] = np.arange(120) % 10, rng.permutation(list("abc") * 40)
    model = lmm.Model("y ~ x + f + (x | g) + cs(0 + f | g)", data)
    fits = Fits(model, fit_reml(model))
    found = strict(summary_json(fits, record=Record(), files={}))["priors"]
    names = ["g_corr of (x | g)", "g_corr of cs(0 + f | g)"]
    assert [found["parameters"][name] for name in names]
    assert [row[0] for row in model.priors.labels if "corr" in row[0]] == names


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.FitWarning")
@pytest.mark.usefixtures("user_speed")
def test_summary_of_a_singular_fit_is_still_strict_json(classrooms):
    model = lmm.Model("score ~ edu + (edu | classroom)", classrooms)
    fit = Fits(model, model.fit_reml())
    found = strict(summary_json(fit, record=Record(), files={}))
    corr = found["reml"]["correlations"]["classroom_corr[Intercept:edu]"]
    assert corr == {"estimate": -1.0, "se": None, "lower": None, "upper": None}
    assert found["reml"]["status"]["singular"] is True
    assert found["posterior"] is None
    assert "comparison" not in found
