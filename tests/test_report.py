"""Words, numbers and pages: each says what the model and the fits hold."""

import io
import json
import re
from dataclasses import dataclass
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st

import bayeslmm as lmm
from bayeslmm.errors import OutputError
from bayeslmm.fit import SamplingStatus
from bayeslmm.report import describe_text, explain_text, save_figures, summary_json
from bayeslmm.report.explain import column_meanings, explain_sections
from bayeslmm.report.html import report_html
from bayeslmm.report.numbers import (
    counted,
    decimals_for,
    interval,
    number,
    row,
    significant,
)
from bayeslmm.report.tables import comparison_table, posterior_table, reml_table
from bayeslmm.report.text import print_header, print_table


@dataclass(frozen=True)
class Fits:
    """A model and what was made of it."""

    model: lmm.Model
    reml: lmm.RemlFit | None = None
    posterior: lmm.Posterior | None = None


@pytest.fixture(scope="module")
def fits():
    """Both fits of simulated classrooms, some rows missing."""
    data = lmm.simulate_classrooms(12, 20, seed=4).data
    data.loc[:2, "score"] = np.nan
    data.loc[5, "edu"] = np.nan
    model = lmm.Model("score ~ edu + (edu | classroom)", data)
    post = model.sample(draws=250, chains=2, seed=1, cores=1)
    return Fits(model, model.fit_reml(), post)


# --- numbers --------------------------------------------------------------------------


@given(st.floats(1e-4, 1e6), st.floats(-1e6, 1e6))
def test_rounding_loses_less_than_half_a_percent_of_the_standard_error(se, value):
    decimals = decimals_for(se)
    text = number(value, decimals)
    assert abs(float(text) - value) <= max(0.0051 * se, 0.51) + 1e-9 * abs(value)
    if se < 100.0:
        assert abs(float(text) - value) <= 0.0051 * se + 1e-9 * abs(value)


@pytest.mark.parametrize(
    ("values", "scale", "text"),
    [
        ((9.8995, 1.9101), 1.9101, ["9.90", "1.91"]),
        ((0.12727, 0.043454), 0.043454, ["0.1273", "0.0435"]),
        ((251.405, 6.8246), 6.8246, ["251.41", "6.82"]),
        ((12345.6, 2000.0), 2000.0, ["12346", "2000"]),
        ((-1.0, float("nan")), float("nan"), ["-1.00", "-"]),
        ((-0.0001, 0.5), 0.5, ["0.000", "0.500"]),
        ((0.0, float("nan")), float("nan"), ["0.00", "-"]),
        ((3e9, 1e8), 1e8, ["3.00e+09", "1.00e+08"]),
        ((2e-9, 1e-10), 1e-10, ["2.00e-09", "1.00e-10"]),
    ],
)
def test_a_row_has_the_decimals_of_its_standard_error(values, scale, text):
    assert row(values, scale) == text


def test_intervals_counts_and_significant_digits():
    assert interval(6.156, 13.643, 2) == "[6.16, 13.64]"
    assert interval(float("nan"), float("nan"), 2) == "-"
    assert interval(0.5, float("inf"), 1) == "[0.5, ∞]"
    assert counted(1, "level") == "1 level"
    assert counted(1000, "level") == "1,000 levels"
    assert significant(0.0123456) == "0.0123"


# --- explain --------------------------------------------------------------------------


def meanings(formula: str, data: pd.DataFrame, **options) -> dict[str, str]:
    """Meaning of each column of X by its name."""
    model = lmm.Model(formula, data, **options)
    return dict(zip(model.design.fixed_names, column_meanings(model), strict=True))


@pytest.fixture(scope="module")
def crossed():
    """Factors, numbers and two grouping factors, crossed and nested."""
    rng = np.random.default_rng(5)
    n = 240
    data = pd.DataFrame({"x": rng.normal(size=n), "w": rng.normal(size=n)})
    data["f"] = pd.Categorical(np.resize(["a", "b", "c"], n))
    data["sex"] = np.resize(["F", "F", "F", "M", "M", "M"], n)
    data["school"] = np.resize(np.repeat(["s1", "s2", "s3", "s4"], 6), n)
    data["room"] = data["school"] + np.resize(np.repeat(["r1", "r2", "r3"], 2), n)
    data["item"] = np.repeat(np.arange(10), n // 10)
    data["hits"] = rng.integers(0, 2, n)
    data["y"] = rng.normal(size=n) + data.groupby("room")["x"].transform("mean")
    return data


def test_columns_of_numbers_and_contrasts_are_explained(crossed):
    found = meanings("y ~ x + f + (1 | room)", crossed)
    assert found == {
        "Intercept": "mean y where x = 0 and f is a",
        "x": "change of mean y per unit of x",
        "f[b]": "difference in mean y, f b less a",
        "f[c]": "difference in mean y, f c less a",
    }


def test_interactions_say_where_their_main_effects_are_read(crossed):
    found = meanings("y ~ x * f + (1 | room)", crossed)
    assert found["x"] == "change of mean y per unit of x where f is a"
    assert found["f[b]"] == "difference in mean y, f b less a where x = 0"
    assert found["x:f[b]"] == "how the slope of x changes, f b less a"
    both = meanings("y ~ f * sex + (1 | room)", crossed)
    assert both["f[b]"] == "difference in mean y, f b less a where sex is F"
    assert both["f:sex[b, M]"] == "how the difference f b less a changes, sex M less F"
    numbers = meanings("y ~ x * w + (1 | room)", crossed)
    assert numbers["x:w"] == "how the slope of x changes, per unit of w"


def test_cells_without_an_intercept_are_means(crossed):
    found = meanings("y ~ 0 + f + (1 | room)", crossed)
    assert found["f[a]"] == "mean y where f is a"
    slopes = meanings("y ~ f:x + (1 | room)", crossed)
    assert slopes["f:x[b]"] == "change of mean y per unit of x where f is b"


def test_other_families_are_explained_on_the_scale_of_their_link(crossed):
    found = meanings("hits ~ x + (1 | room)", crossed, family="bernoulli")
    assert found["x"] == "change of logit(probability of hits) per unit of x"
    assert found["Intercept"] == "logit(probability of hits) where x = 0"


def test_explanation_counts_parameters_and_relations(crossed):
    model = lmm.Model("y ~ x + (x | school/room) + (1 | item)", crossed)
    text = explain_text(model)
    assert "(x | school): 2 SDs and 1 correlation, free covariance of 2 effects" in text
    assert "8 variance parameters in all" in text
    assert "school:room: 12 levels, 20 rows each; nested in school" in text
    assert "item: 10 levels, 24 rows each; crossed with school" in text
    assert "'/' nests: the grouping factors became school, school:room and item" in text
    assert "e ~ Normal(0, sigma^2) in each row" in text


def test_explanation_says_what_a_double_bar_became(crossed):
    notes = explain_sections(lmm.Model("y ~ x + (x || room)", crossed))["Notes"]
    assert any("it became (1 | room) + (0 + x | room)" in note for note in notes)
    factor = explain_sections(lmm.Model("y ~ 1 + (f || school)", crossed))["Notes"]
    assert any("a factor keeps its levels correlated" in note for note in factor)
    assert "Notes" not in explain_sections(lmm.Model("y ~ x + (x | room)", crossed))


def test_weights_are_explained(crossed):
    crossed = crossed.assign(k=2.0)
    text = explain_text(lmm.Model("y ~ x + (1 | room)", crossed, weights="k"))
    assert "e ~ Normal(0, sigma^2 / weight) in each row" in text


def test_matrices_show_the_first_rows(fits, capsys):
    fits.model.explain(matrices=True)
    shown = capsys.readouterr().out
    assert "y and X, first 6 of 236 rows" in shown
    design = fits.model.design
    first = [f"{design.y[0]:.6g}", "1", f"{design.X[0, 1]:.6g}"]
    assert re.search(r"\s+".join(map(re.escape, first)), shown)
    assert "Z of (edu | classroom)" in shown
    assert re.search(r"classroom\s+Intercept\s+edu\n\s+c00\s+1\s+", shown)


def test_wide_matrices_are_cut_and_say_so(crossed):
    formula = "y ~ f * sex * x + (1 | room)"
    assert "and 5 more columns" in explain_text(
        lmm.Model(formula, crossed), matrices=True
    )


# --- describe -------------------------------------------------------------------------


def test_description_accounts_for_the_rows(fits):
    text = describe_text(fits.model)
    assert "236 of 240 rows used; 4 dropped for missing values in" in text
    assert "score (3)" in text
    assert "edu (1)" in text
    assert "classroom: 12 levels, 16 to 20 rows each, median 20" in text


def test_description_names_lost_groups_and_unused_levels():
    data = lmm.simulate_classrooms(8, 6, seed=4).data
    data["classroom"] = data["classroom"].astype(str)
    data.loc[data["classroom"] == "c03", "score"] = np.nan
    levels = sorted(data["classroom"].unique())
    data["classroom"] = pd.Categorical(data["classroom"], [*levels, "c98", "c99"])
    text = describe_text(lmm.Model("score ~ edu + (1 | classroom)", data))
    assert "lost with them: 1 level of classroom (c03)" in text
    assert "classroom declares 2 levels that no row has: c98, c99" in text


# --- tables ---------------------------------------------------------------------------


def cells(table, label: str) -> tuple[str, ...]:
    """Cells of the row of one parameter."""
    (found,) = [c for _, c in table.rows if c[0] == label]
    return found


def test_reml_table_is_the_summary_rounded_by_its_standard_errors(fits):
    table = reml_table(fits.reml)
    summary, t = fits.reml.summary(), fits.reml.fixef()["t"]["edu"]
    _, estimate, se, shown_t, ends = cells(table, "edu")
    assert estimate == f"{summary['estimate']['edu']:.4f}"
    assert se == f"{summary['se']['edu']:.4f}"
    assert shown_t == f"{t:.2f}"
    edge = summary.loc["edu"]
    assert ends == f"[{edge['lower']:.4f}, {edge['upper']:.4f}]"
    assert table.header[-1] == "95% Wald"
    assert f"REML criterion {fits.reml.criterion:.3f}" in table.notes[0]
    assert table.notes[1] == fits.reml.status.message
    assert cells(table, "sigma")[3] == ""


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
        "Fixed effects",
        "SDs of random effects",
        "Correlations",
        "Residual SD",
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

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self, text: str):
        super().__init__()
        self.open, self.addresses, self.words, self.images = [], [], [], 0
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.addresses += [found[k] for k in ("src", "href") if k in found]
        self.images += tag == "img"
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def page(fits):
    """The whole report as text and parsed."""
    text = report_html(fits)
    return text, Page(text)


def test_report_is_one_file_that_loads_nothing(page):
    text, parsed = page
    assert parsed.images == 5
    assert all(a.startswith(("#s", "data:image/png;base64,")) for a in parsed.addresses)
    assert "http" not in re.sub(r"base64,[^\"]*", "", text)
    assert "<script" not in text


def test_report_says_everything_in_order(page, fits):
    words = "".join(page[1].words)
    order = [
        "score ~ edu + (edu | classroom)",
        "4 dropped",
        "Equations",
        "mildly against correlations of +-1",
        "REML criterion",
        "Sampling ended as planned",
        "REML beside the posterior",
        lmm.reading(fits.reml, fits.posterior)[0],
        fits.posterior.diagnose().messages[0],
        "What pooling did to each level of classroom",
    ]
    places = [words.rindex(part) if i else 0 for i, part in enumerate(order)]
    assert places == sorted(places)


def test_report_leaves_no_figure_open(page):
    from matplotlib import pyplot as plt

    assert page
    assert plt.get_fignums() == []


def test_report_of_reml_alone_and_of_a_partial_posterior(fits, page):
    alone = Page(report_html(Fits(fits.model, fits.reml)))
    assert "Posterior" not in "".join(alone.words)
    assert alone.images == 1
    from dataclasses import replace

    status = SamplingStatus(2, 250, partial=True)
    partial = Fits(fits.model, fits.reml, replace(fits.posterior, status=status))
    assert 'class="warning"' in report_html(partial)
    assert 'class="warning"' not in page[0]


def test_names_are_escaped_in_the_report():
    data = lmm.simulate_classrooms(4, 6, seed=4).data
    data = data.rename(columns={"classroom": "<b>room</b>"})
    model = lmm.Model("score ~ edu + (1 | `<b>room</b>`)", data)
    text = report_html(Fits(model, model.fit_reml()))
    assert "<b>room" not in text
    assert "&lt;b&gt;room" in text


def test_fit_writes_its_report(fits, tmp_path):
    alone = Fits(fits.model, fits.reml)
    path = lmm.report(alone, tmp_path / "report.html")
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    with pytest.raises(OutputError, match="could not be written"):
        lmm.report(alone, tmp_path / "nowhere" / "report.html")


def test_figures_are_written_by_name(fits, tmp_path):
    written = save_figures(fits.reml, fits.posterior, tmp_path, dpi=40)
    names = [path.name for path in written]
    assert names == [
        "shrinkage_classroom.png",
        "posterior.png",
        "forest.png",
        "trace.png",
        "rank.png",
    ]
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in written)
    with pytest.raises(OutputError, match="could not be written"):
        save_figures(fits.reml, None, tmp_path / "nowhere")


def test_many_effects_have_a_figure_each(public_data, tmp_path):
    model = lmm.Model(
        "score ~ Machine + (0 + Machine | Worker)", public_data("Machines")
    )
    names = [p.stem for p in save_figures(model.fit_reml(), None, tmp_path, dpi=40)]
    assert names == [f"shrinkage_Worker_Machine_{m}" for m in "ABC"]


# --- summary.json ---------------------------------------------------------------------


def strict(text: str) -> dict:
    """JSON that has no NaN or Infinity."""

    def refuse(word: str) -> None:
        raise AssertionError(word)

    return json.loads(text, parse_constant=refuse)


def test_summary_has_the_numbers_of_both_fits_in_full(fits):
    found = strict(summary_json(fits, data={"path": "a.csv", "sha256": "0"}, seed=7))
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
        "groups_lost": found["rows"]["groups_lost"],
        "unused_levels": found["rows"]["unused_levels"],
    }
    assert found["groups"] == {"classroom": 12}
    assert found["data"] == {"path": "a.csv", "sha256": "0"}
    assert found["seed"] == 7
    assert found["versions"]["bayeslmm"]
    assert found["comparison"]["reading"] == list(
        lmm.reading(fits.reml, fits.posterior)
    )


def test_summary_has_every_prior_in_full(fits):
    found = strict(summary_json(fits, data={}, seed=1))["priors"]
    priors = fits.model.priors
    assert found["name"] == "weak"
    parts = found["parameters"]
    assert parts["edu"]["args"] == priors.fixed[1].arguments
    assert parts["edu|classroom_sigma"]["args"] == priors.sd[0][1].arguments
    assert parts["classroom_corr"]["args"] == {"eta": 2.0}
    assert parts["sigma"]["name"] == "HalfStudentT"


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.FitWarning")
def test_summary_of_a_singular_fit_is_still_strict_json(classrooms):
    model = lmm.Model("score ~ edu + (edu | classroom)", classrooms)
    fit = Fits(model, model.fit_reml())
    found = strict(summary_json(fit, data={}, seed=None))
    corr = found["reml"]["correlations"]["classroom_corr[Intercept:edu]"]
    assert corr == {"estimate": -1.0, "se": None, "lower": None, "upper": None}
    assert found["reml"]["status"]["singular"] is True
    assert found["posterior"] is None
    assert "comparison" not in found
