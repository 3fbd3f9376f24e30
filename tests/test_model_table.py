"""Tables for papers: their numbers are those of the fits, their order is one."""

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st
from paper_cases import drawn_chances, rows_of, small_fits
from sampling import unchecked

import bayeslmm as lmm
from bayeslmm.comparison.model_rows import merged
from bayeslmm.reporting.markdown import markdown

# Of everything here short runs are checked in the doctests.
pytestmark = pytest.mark.usefixtures("user_speed")


@pytest.fixture(scope="module")
def fits():
    """Small fits of the same pupils."""
    with unchecked():
        return small_fits()


def shown(value, text):
    """Whether a text is a number, rounded to the decimals that it has."""
    decimals = len(text.partition(".")[2])
    return text == f"{value:.{decimals}f}" and float(text) == round(value, decimals)


def test_every_number_is_that_of_the_fit_rounded(fits):
    table = lmm.model_table(fits.reml, fits.post, statistic=("interval", "se", "p"))
    rows = rows_of(table)
    reml, post = fits.reml.summary(), fits.post.summary()
    labels = {
        ("Fixed effects", "Intercept"): "Intercept",
        ("Fixed effects", "edu"): "edu",
        ("Standard deviations", "classroom: Intercept"): "1|classroom_sigma",
        ("Standard deviations", "classroom: edu"): "edu|classroom_sigma",
        ("Standard deviations", "Residual"): "sigma",
        ("Correlations", "classroom: Intercept, edu"): "classroom_corr[Intercept:edu]",
    }
    assert set(labels.values()) == set(reml.index)
    for place, label in labels.items():
        for cell, own, estimate, error in (
            (rows[place][0], reml.loc[label], "estimate", "se"),
            (rows[place][1], post.loc[label], "median", "sd"),
        ):
            assert shown(own[estimate], cell[0])
            low, high = cell[1].strip("[]").split(", ")
            assert shown(own["lower"], low)
            assert shown(own["upper"], high)
            assert shown(own[error], cell[2].strip("()"))
    p = rows["Fixed effects", "edu"][0][3]
    assert (
        p == "p <0.001"
        if reml.loc["edu", "p"] < 0.001
        else shown(reml.loc["edu", "p"], p.removeprefix("p = "))
    )
    assert len(rows["Fixed effects", "edu"][1]) == 3  # no p value of a posterior


def test_shares_counts_and_criteria_are_those_of_the_fit(fits):
    rows = rows_of(lmm.model_table(fits.reml, fits.post))
    for name, share in (
        ("ICC", fits.reml.icc().loc["adjusted", "estimate"]),
        ("R² (marginal)", fits.reml.r2().loc["marginal", "estimate"]),
        ("R² (conditional)", fits.reml.r2().loc["conditional", "estimate"]),
    ):
        assert rows["Model", name][0] == [f"{share:.3f}"]
    icc = fits.post.icc().loc["adjusted"]
    ends = f"[{icc['lower']:.3f}, {icc['upper']:.3f}]"
    assert rows["Model", "ICC"][1] == [f"{icc['median']:.3f}", ends]
    assert rows["Model", "Observations"] == [["80"], ["80"]]
    assert rows["Model", "Levels of classroom"] == [["8"], ["8"]]
    for name in ("loglik", "aic", "bic"):
        text = "Log likelihood" if name == "loglik" else name.upper()
        assert rows["Model", text] == [[f"{getattr(fits.reml, name):.1f}"], [""]]


def test_the_frame_has_every_digit(fits):
    table = lmm.model_table(fits.ml, fits.post, names=["a", "b"], kind="hdi", prob=0.8)
    own = table.frame.set_index(["model", "label"])
    ml, post = fits.ml.summary(0.8), fits.post.summary(0.8, "hdi")
    for label in ml.index:
        columns = ["estimate", "se", "df", "t", "p", "lower", "upper"]
        np.testing.assert_array_equal(
            own.loc[("a", label), columns].to_numpy(float), ml.loc[label, columns]
        )
        np.testing.assert_array_equal(
            own.loc[("b", label), ["estimate", "se", "lower", "upper"]].to_numpy(float),
            post.loc[label, ["median", "sd", "lower", "upper"]],
        )
    assert set(own["method"]) == {"ML", "Posterior"}
    assert "80% HDI" in table.layout.notes[0]


def test_order_of_models_permutes_columns_and_nothing_else(fits):
    models = {"null": fits.null, "reml": fits.reml, "ml": fits.ml, "post": fits.post}
    first = lmm.model_table(*models.values(), names=[*models]).layout
    for names in itertools.islice(itertools.permutations(models), 4, 24, 9):
        other = lmm.model_table(*(models[name] for name in names), names=names).layout
        place = [0, *(1 + names.index(name) for name in models)]
        assert other.header == ("", *names)
        assert first.rows == tuple(
            (section, tuple(cells[i] for i in place)) for section, cells in other.rows
        )


@given(st.lists(st.lists(st.sampled_from("abcdef"), unique=True), max_size=4))
def test_merged_rows_are_all_there_whatever_the_order(lists):
    found = merged(lists)
    assert sorted(found) == sorted({one for own in lists for one in own})
    assert found == merged(lists[::-1])


@given(st.data())
def test_merged_rows_keep_the_order_that_all_lists_have(data):
    whole = data.draw(st.permutations("abcdef"))
    keep = st.lists(st.booleans(), min_size=6, max_size=6)
    lists = [list(itertools.compress(whole, data.draw(keep))) for _ in range(3)]
    found = merged(lists)
    for own in lists:
        assert [one for one in found if one in own] == own


def test_what_a_model_has_not_is_empty(fits):
    rows = rows_of(lmm.model_table(fits.null, fits.reml))
    assert rows["Fixed effects", "edu"][0] == [""]
    assert rows["Fixed effects", "edu"][1] != [""]


def test_a_fit_is_two_columns(fits):
    table = lmm.model_table(fits.null, fits.both, names=["Null", "Slopes"])
    assert table.layout.header == ("", "Null", "Slopes, REML", "Slopes, posterior")
    assert lmm.model_table(fits.both).layout.header == ("", "(1)", "(2)")
    notes = " ".join(lmm.model_table(fits.both).layout.notes)
    assert "(1) and (2): score ~ edu + (edu | classroom)." in notes


def test_stars_are_asked_for(fits):
    without = lmm.model_table(fits.reml, fits.post)
    assert "*" not in str(without).replace("*Note.*", "").replace("*Fixed", "")[:200]
    assert not any("*" in cell for _, cells in without.layout.rows for cell in cells)
    rows = rows_of(lmm.model_table(fits.reml, fits.post, stars=True))
    p = fits.reml.summary().loc["Intercept", "p"]
    marks = "***" if p < 0.001 else "**" if p < 0.01 else "*" if p < 0.05 else ""
    assert marks
    assert rows["Fixed effects", "Intercept"][0][0].endswith(f"{marks}")
    starred = [name for name, cells in rows.items() if any("*" in c[0] for c in cells)]
    assert {section for section, _ in starred} == {"Fixed effects"}
    assert not any("*" in cells[1][0] for cells in rows.values())


def test_rows_and_columns_are_renamed(fits):
    labels = {"edu": "Education", "Levels of classroom": "Classes", "sigma": "Noise"}
    renamed = lmm.model_table(fits.reml, labels=labels)
    plain = lmm.model_table(fits.reml)
    names = {"edu": "Education", "Levels of classroom": "Classes", "Residual": "Noise"}
    assert [names.get(cells[0], cells[0]) for _, cells in plain.layout.rows] == [
        cells[0] for _, cells in renamed.layout.rows
    ]
    assert [cells[1:] for _, cells in plain.layout.rows] == [
        cells[1:] for _, cells in renamed.layout.rows
    ]


def test_data_that_differ_are_said(fits):
    fewer = lmm.Model("score ~ 1 + (1 | classroom)", fits.data.iloc[:-5]).fit_reml()
    other = fits.data.assign(mark=fits.data["score"] + 1.0)
    third = lmm.Model("mark ~ 1 + (1 | classroom)", other).fit_reml()
    notes = " ".join(lmm.model_table(fits.null, fewer, third).layout.notes)
    assert "Not of the data of (1)" in notes
    assert "(2): one uses 80 rows, the other 75" in notes
    assert "(3): their responses are 'score' and 'mark'" in notes
    assert "(1) and (2): in units of score; (3): in units of mark" in notes
    same = " ".join(lmm.model_table(fits.null, fits.null).layout.notes)
    assert "Not of the data" not in same
    assert "cannot be compared" not in same


def test_likelihoods_that_cannot_be_compared_are_said(fits):
    def notes(*models):
        return " ".join(lmm.model_table(*models).layout.notes)

    assert "other fixed parts cannot be compared" in notes(fits.null, fits.reml)
    assert "by REML and by ML cannot be compared" in notes(fits.ml, fits.reml)
    assert "cannot be compared" not in notes(fits.reml, fits.reml)


def test_models_with_nothing_in_common_stand_side_by_side(fits):
    plants = pd.DataFrame({"g": list("aabbccdd"), "x": [1.0, 2, 3, 5, 4, 2, 1, 3]})
    plants["height"] = [1.0, 2.5, 2.0, 4.5, 1.0, 0.0, 3.0, 5.5]
    other = lmm.Model("height ~ 0 + x + (1 | g)", plants).fit_reml()
    rows = rows_of(lmm.model_table(fits.null, other))
    for key, (ours, theirs) in rows.items():
        shared = key[0] == "" or key[1] in (
            "Observations",
            "Log likelihood",
            "AIC",
            "BIC",
            "ICC",
            "Residual",
            "R² (marginal)",
            "R² (conditional)",
        )
        assert shared == (ours != [""] and theirs != [""]), key


def test_a_fit_at_its_boundary_has_dashes_and_says_so():
    data = pd.DataFrame({"y": [1.0, 2, 3, 1, 2, 3, 1, 2, 3], "g": list("aaabbbccc")})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", lmm.FitWarning)
        fit = lmm.Model("y ~ 1 + (1 | g)", data).fit_reml()
    assert fit.status.singular
    table = lmm.model_table(fit, statistic=("se", "interval"))
    own = rows_of(table)["Standard deviations", "g: Intercept"]
    assert own == [["0.000", "-", "-"]]
    notes = " ".join(table.layout.notes)
    assert "-: there is none" in notes
    assert fit.status.message in notes


def test_families_without_reml_have_a_column(fits):
    data = fits.data.assign(high=(fits.data["score"] > 12).astype(int))
    table = lmm.model_table(fits.null, drawn_chances(data))
    rows, notes = rows_of(table), " ".join(table.layout.notes)
    assert rows["Standard deviations", "Residual"][1] == [""]
    assert "on the logit scale of high" in notes
    assert "residual variance: that of the logistic distribution" in notes


def test_residuals_with_a_structure_have_a_section(fits):
    data = fits.data.assign(half=fits.data.index % 2)
    model = lmm.Model("score ~ 1 + (1 | classroom)", data, residual="varident(half)")
    fit = model.fit_reml()
    layout = lmm.model_table(fit).layout
    sections = list(dict.fromkeys(section for section, _ in layout.rows if section))
    assert sections == [
        "Fixed effects",
        "Standard deviations",
        "Structure of the residuals",
        "Model",
    ]
    ratio = fit.summary().loc["sigma_ratio[1]", "estimate"]
    own = rows_of(lmm.model_table(fit))["Structure of the residuals", "sigma_ratio[1]"]
    assert shown(ratio, own[0][0])


def test_tables_of_a_fit(fits):
    tables = fits.both.tables()
    titles = [one.layout.title.partition(":")[0] for one in tables]
    assert titles == [
        "Fixed effects",
        "Standard deviations and correlations",
        "Shares of variance",
        "Data and likelihood",
    ]
    fixed = tables[0].layout
    assert fixed.header == ("", "REML", "SE", "95% Wald", "Posterior", "SD", "95% ETI")
    compared = fits.both.compare()
    for _, cells in fixed.rows:
        own = compared.loc[cells[0]]
        for text, column in zip(
            (
                cells[1],
                cells[2],
                *cells[3].strip("[]").split(", "),
                cells[4],
                cells[5],
                *cells[6].strip("[]").split(", "),
            ),
            (
                "reml",
                "reml_se",
                "reml_lower",
                "reml_upper",
                "median",
                "sd",
                "lower",
                "upper",
            ),
            strict=True,
        ):
            assert shown(own[column], text), (cells[0], column)
    whole = pd.concat([one.frame for one in tables])
    assert set(whole["component"]) == {
        "fixef",
        "sd",
        "corr",
        "sigma",
        "share",
        "count",
        "criterion",
    }


def test_tables_of_one_side_have_its_tests(fits):
    alone = lmm.Fit(fits.both.model, fits.reml, None).tables()[0].layout
    assert alone.header == ("", "REML", "SE", "df", "t", "p", "95% Wald")
    own = fits.reml.summary().loc["edu"]
    cells = dict(zip(alone.header, alone.rows[1][1], strict=True))
    assert (cells["t"], cells["df"]) == (f"{own['t']:.2f}", f"{own['df']:.1f}")
    drawn = lmm.Fit(fits.both.model, None, fits.post).tables(kind="hdi")
    assert drawn[0].layout.header == ("", "Posterior", "SD", "95% HDI")


def test_tables_of_a_fit_are_one_document(fits, tmp_path):
    docx = pytest.importorskip("docx")
    tables = fits.both.tables(format="html")
    assert str(tables) == repr(tables) == tables._repr_html_()
    assert tables._repr_html_().count("<style>") == 1
    assert tables._repr_html_().count("<table ") == len(tables) == 4
    assert tables._repr_markdown_() == "\n\n".join(markdown(t.layout) for t in tables)
    assert tables._repr_latex_().count(r"\begin{tabular}") == 4
    document = docx.Document(str(tables.save(tmp_path / "fit.docx")))
    assert len(document.tables) == 4
    held = pd.read_csv(tables.save(tmp_path / "fit.csv"))
    assert len(held) == sum(len(one.frame) for one in tables)
    page = tables.save(tmp_path / "fit.html").read_text(encoding="utf-8")
    assert "http" not in page


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"names": ["a"]}, "1 names for 2 models"),
        ({"names": ["a", "a"]}, "'a' more than once"),
        ({"names": "ab"}, "1 names for 2 models"),
        (
            {"labels": {"edo": "x"}},
            "'edo', and the table has no such row. Did you",
        ),
        ({"labels": {"edu": 3}}, "must be text"),
        ({"labels": ["edu"]}, "labels must be a dict"),
        ({"statistic": "sd"}, "Unknown statistic='sd'"),
        ({"statistic": 3}, "Unknown statistic=3"),
        ({"format": "pdf"}, "Unknown format='pdf'"),
        ({"stars": 1}, "stars must be True or False"),
        ({"label": "tab:x"}, "without a caption"),
        ({"label": "tab x}", "caption": "x"}, "label must be letters"),
        ({"caption": 3}, "caption must be text"),
        ({"prob": 95}, "prob must lie between"),
        ({"kind": "wald"}, "kind"),
        ({"ddf": "kr"}, "Unknown ddf"),
    ],
)
def test_bad_options_are_said(options, words, fits):
    with pytest.raises(lmm.ModelError, match=words.replace("(", r"\(")):
        lmm.model_table(fits.null, fits.reml, **options)


def test_what_is_no_fit_is_said(fits):
    with pytest.raises(lmm.ModelError, match="Model 2 of the table is a Model"):
        lmm.model_table(fits.null, fits.null.model)
    with pytest.raises(lmm.NotSavedError, match="neither a REML fit nor draws"):
        lmm.model_table(lmm.Fit(fits.both.model, None, None))
    with pytest.raises(lmm.ModelError, match="needs a fit"):
        lmm.model_table()
    with pytest.raises(lmm.ModelError, match="Unknown format"):
        fits.both.tables(format="rtf")
