"""Numbers, explanation and description: each says what the model holds."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st

import bayeslmm as lmm
from bayeslmm.reporting.describe import describe_text
from bayeslmm.reporting.explain import column_meanings, explain_sections, explain_text
from bayeslmm.tables.numbers import (
    counted,
    decimals_for,
    interval,
    number,
    row,
    significant,
)

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


def test_matrices_show_rows_of_the_first_levels(gaps, capsys):
    gaps.explain(matrices=True)
    shown = capsys.readouterr().out
    assert "y and X of 6 rows" in shown
    design = gaps.design
    first = [f"{design.rows.y[0]:.6g}", "1", f"{design.rows.X[0, 1]:.6g}"]
    assert re.search(r"\s+".join(map(re.escape, first)), shown)
    assert "Z of 6 rows, a column for each effect of each classroom" in shown
    assert re.search(r"1\[c00\]\s+edu\[c00\]", shown)


@pytest.mark.filterwarnings("ignore:The SD of 1.room is estimated as 0")
def test_wide_matrices_are_cut_and_say_so(crossed):
    formula = "y ~ f * sex * x + (1 | room)"
    assert "and 5 more columns" in explain_text(
        lmm.Model(formula, crossed), matrices=True
    )


# --- describe -------------------------------------------------------------------------


def test_description_accounts_for_the_rows(gaps):
    text = describe_text(gaps)
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
    with pytest.warns(lmm.DataWarning, match=r"1 of 'classroom' \('c03'\)"):
        model = lmm.Model("score ~ edu + (1 | classroom)", data)
    text = describe_text(model)
    assert "lost with them: 1 level of classroom (c03)" in text
    assert "classroom declares 2 levels that no row has: c98, c99" in text
