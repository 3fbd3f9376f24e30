"""The chapter's table of seven models, on its data and on others."""

import numpy as np
import pandas as pd
import pytest

import bayeslmm as lmm
from bayeslmm.comparison.pooling import ROWS

# SEEDS.md, from the chapter's own table; the last row's Stat there is statsmodels' at a
# point where its search had not converged (2.757), lme4's is the one below.
CHAPTER = pd.DataFrame(
    {
        "LM-Global": (2.694785, 0.232842, 2.139165, 0.036643),
        "ANCOVA-Inter": (0.932351, 0.130717, 3.441072, 0.001102),
        "Aggregation": (0.587859, 6.073401, 7.497672, 0.084411),
        "Hierarchical": (0.061318, 0.120808, 3.412469, 0.076190),
        "LMM-Inter": (0.916211, 0.131193, 3.453472, 0.000553),
        "ANCOVA-Full": (0.935869, 0.129084, 1.978708, 0.052959),
        "LMM-Full": (0.911742, 0.127270, 2.9289, 0.0034),
    },
    index=["RMSE", "Coef", "Stat", "Pval"],
).T
FULL = "score ~ edu + (edu | classroom)"


@pytest.fixture(scope="module")
def chapter(classrooms):
    return lmm.pooling_table(FULL, classrooms, posterior=False)


@pytest.fixture(scope="module")
def schools():
    """Eight levels of unequal size, slopes that differ, and another predictor."""
    rng = np.random.default_rng(5)
    codes = np.repeat(np.arange(8), [3, 5, 8, 12, 12, 14, 15, 15])
    n = len(codes)
    x, z = rng.normal(size=n) + 0.3 * codes, rng.normal(size=n)
    slope = 1.0 + 0.8 * rng.normal(size=8)
    y = 2.0 * rng.normal(size=8)[codes] + slope[codes] * x - z + rng.normal(size=n)
    return pd.DataFrame({"g": [f"s{j}" for j in codes], "x": x, "z": z, "y": y})


def test_seven_rows_are_the_chapters(chapter):
    assert tuple(chapter.index) == ROWS == tuple(CHAPTER.index)
    for name, columns in CHAPTER.items():
        tolerance = 1e-4 if name in ("Stat", "Pval") else 1e-5
        assert chapter[name].to_numpy() == pytest.approx(
            columns.to_numpy(), rel=tolerance, abs=1e-5
        ), name


def test_what_a_row_estimates_and_its_honest_p(chapter):
    within = ["mixed", "within", "between", "within", "mixed", "within c0", "mixed"]
    assert chapter["estimand"].tolist() == within
    df = chapter["df"].to_numpy()
    assert df[1:4].tolist() == [56, 1, 2]
    assert df[4:] == pytest.approx([56.0, 54.0, 1.88], abs=0.05)
    assert np.isnan(chapter.loc["LM-Global", "p"])
    assert chapter.loc["LMM-Full", "p"] == pytest.approx(0.114, abs=5e-4)
    assert chapter.loc["Hierarchical", ["lower", "upper"]].tolist() == pytest.approx(
        [-0.032, 0.273], abs=1e-3
    )
    notes = " ".join(chapter.attrs["notes"])
    assert "own degrees of freedom" in notes
    assert "LMM-Full: The correlation Intercept:edu of classroom is estimated" in notes


def test_the_posteriors_stand_below(classrooms):
    options = {"seed": 3, "draws": 500, "chains": 2, "progress": False}
    table = lmm.pooling_table(FULL, classrooms, **options)
    assert tuple(table.index[7:]) == ("LMM-Inter, posterior", "LMM-Full, posterior")
    inter, full = table.iloc[7], table.iloc[8]
    assert inter["Coef"] == pytest.approx(0.1311, abs=0.006)  # quadrature, SEEDS.md
    assert inter["se"] == pytest.approx(0.0390, rel=0.15)
    assert full["df"] < 5 < inter["df"]
    assert "posterior probability of the other sign" in table.attrs["conclusions"][-1]


def test_conclusions_are_those_of_the_table(chapter, schools):
    said = chapter.attrs["conclusions"]
    assert said[0].startswith("Ignoring classroom biases the slope within levels")
    assert "6.07 between levels against 0.131 within, on 1 degree of freedom" in said[1]
    assert "agree on the slope" in said[2]
    assert (
        "Nothing says that the slopes differ by classroom: F(2, 54) = 0.79" in said[3]
    )
    assert "0.114 on 1.9 degrees of freedom" in said[4]
    other = lmm.pooling_table("y ~ x + z + (x | g)", schools, posterior=False)
    words = " ".join(other.attrs["conclusions"])
    assert "The slopes differ by g: F(7, 67)" in words
    assert "barely known" not in words
    flat = schools.assign(y=schools["y"] - schools.groupby("g")["y"].transform("mean"))
    flat["x"] -= flat.groupby("g")["x"].transform("mean")
    table = lmm.pooling_table("y ~ x + (1 | g)", flat, posterior=False)
    assert "no bias that these rows could tell" in table.attrs["conclusions"][0]


def test_other_columns_are_held_in_every_row(schools):
    table = lmm.pooling_table("y ~ x + z + (1 | g)", schools, posterior=False)
    dummies = pd.get_dummies(schools["g"]).to_numpy(float)
    X = np.column_stack([schools[["x", "z"]], dummies])
    coef = np.linalg.lstsq(X, schools["y"])[0][0]
    assert table.loc["ANCOVA-Inter", "Coef"] == pytest.approx(coef, rel=1e-10)
    own = []
    for _, rows in schools.groupby("g"):
        if len(rows) > 3:
            X = np.column_stack([np.ones(len(rows)), rows[["x", "z"]]])
            own.append(np.linalg.lstsq(X, rows["y"])[0][1])
    assert table.loc["Hierarchical", "df"] == 7  # three rows tell three coefficients
    z = lmm.pooling_table(
        "y ~ x + z + (1 | g)", schools, predictor="z", posterior=False
    )
    assert z.loc["LMM-Inter", "Coef"] == pytest.approx(-1, abs=0.4)


@pytest.mark.parametrize("c", [1e-3, 1e3])
def test_units_and_order_change_nothing_else(schools, c):
    own = lmm.pooling_table("y ~ x + (1 | g)", schools, posterior=False)
    moved = schools.assign(y=c * schools["y"] + 5, x=schools["x"] / c - 2)
    moved = moved.sample(frac=1, random_state=2)
    table = lmm.pooling_table("y ~ x + (1 | g)", moved, posterior=False)
    same = ["Stat", "Pval", "df", "p"]
    np.testing.assert_allclose(table[same], own[same], rtol=1e-6)
    factor = [c] * 3 + [c**2] + [c] * 3  # the RMSE of slopes is in their units
    np.testing.assert_allclose(table["RMSE"], own["RMSE"] * factor, rtol=1e-6)
    np.testing.assert_allclose(table["Coef"], own["Coef"] * c**2, rtol=1e-6)


def test_weights_count_in_every_row(schools):
    twice = pd.concat([schools, schools], ignore_index=True)
    w = np.repeat([1.5, 0.5], len(schools))
    formula = "y ~ x + (1 | g)"
    weighted = lmm.pooling_table(formula, twice, weights=w, posterior=False)
    plain = lmm.pooling_table(formula, twice, posterior=False)
    for name in ("LM-Global", "ANCOVA-Inter", "Aggregation", "Hierarchical"):
        assert weighted.loc[name, "Coef"] == pytest.approx(plain.loc[name, "Coef"])


def test_what_was_left_out_is_said(schools):
    few = pd.concat([schools, schools.iloc[:1].assign(g="alone")])
    table = lmm.pooling_table("y ~ x + (1 | g)", few, posterior=False)
    assert any("leaves out 1 level of g" in note for note in table.attrs["notes"])
    two = schools[schools["g"].isin(["s6", "s7"])]
    table = lmm.pooling_table("y ~ x + (1 | g)", two, posterior=False)
    assert table.loc["Aggregation", ["Stat", "Pval", "RMSE"]].isna().all()
    assert np.isfinite(table.loc["Aggregation", "Coef"])
    assert any("2 means for 2 coefficients" in note for note in table.attrs["notes"])


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("y ~ f + (1 | g)", "'f' is a factor"),
        ("y ~ 1 + (1 | g)", "has none in the fixed part"),
        ("y ~ x + (1 | g) + (1 | f)", r"the formula has 2 \(g, f\)"),
        ("y ~ x + (1 | id)", "'id' has 84 levels for 84 rows"),
        ("y ~ x + (1 | one)", "one level"),
    ],
)
def test_designs_without_such_a_table_are_refused(schools, formula, said):
    f = np.where(schools["z"] > 0, "a", "b")
    rows = schools.assign(f=f, id=np.arange(len(schools)).astype(str), one="k")
    for function in (lmm.pooling_table, lmm.within_between):
        with pytest.raises(lmm.BayesLMMError, match=said):
            function(formula, rows)


# --- within and between ---------------------------------------------------------------


def test_within_and_between_explain_the_row_of_the_means(classrooms, chapter):
    table = lmm.within_between("score ~ edu + (1 | classroom)", classrooms)
    found = table["estimate"].to_dict()
    assert found["within"] == pytest.approx(chapter.loc["ANCOVA-Inter", "Coef"])
    assert found["between"] == pytest.approx(chapter.loc["Aggregation", "Coef"])
    assert found["difference"] == pytest.approx(found["between"] - found["within"])
    assert table.loc["between", "se"] == pytest.approx(0.810, abs=1e-3)
    assert table.loc["within", "df"] == pytest.approx(56)
    assert (
        "6.07 between their means; the two cannot be told apart"
        in table.attrs["notes"][0]
    )


def test_one_slope_at_both_levels_is_found_as_one():
    rng = np.random.default_rng(3)
    codes = np.repeat(np.arange(60), 6)
    x = rng.normal(size=360) + rng.normal(size=60)[codes]
    y = 0.7 * x + rng.normal(size=60)[codes] + rng.normal(size=360)
    rows = pd.DataFrame({"y": y, "x": x, "g": codes.astype(str)})
    table = lmm.within_between("y ~ x + (x | g)", rows, ddf="kenward-roger")
    assert table["estimate"].to_numpy()[:2] == pytest.approx([0.7, 0.7], abs=0.3)
    assert table.loc["difference", "p"] > 0.01
    moved = rows.assign(y=rows["y"] + 3.0 * np.bincount(codes, x)[codes] / 6)
    table = lmm.within_between("y ~ x + (x | g)", moved)
    assert table.loc["difference", "estimate"] == pytest.approx(3.0, abs=0.5)
    assert "the two differ" in table.attrs["notes"][0]


def test_a_predictor_of_one_kind_only_is_refused(schools):
    means = schools.assign(x=schools.groupby("g")["x"].transform("mean"))
    with pytest.raises(lmm.ModelError, match="there is none within"):
        lmm.within_between("y ~ x + (1 | g)", means)
    centred = schools.assign(x=schools["x"] - means["x"])
    with pytest.raises(lmm.ModelError, match="there is none between"):
        lmm.within_between("y ~ x + (1 | g)", centred)


def test_no_fixed_intercept_leaves_no_level_without_one(schools):
    """Rows with an intercept for each level are the same with and without a common."""
    one, none = (
        lmm.pooling_table(f"y ~ {start} + x + (1 | g)", schools, posterior=False)
        for start in "10"
    )
    rows = ["ANCOVA-Inter", "Hierarchical", "ANCOVA-Full"]
    columns = ["RMSE", "Coef", "se", "df"]
    np.testing.assert_allclose(none.loc[rows, columns], one.loc[rows, columns])


def test_a_predictor_far_from_zero_has_the_same_slopes(schools):
    far = schools.assign(x=schools["x"] + 1e8)
    own, moved = (
        lmm.pooling_table("y ~ x + (x | g)", rows, posterior=False)
        for rows in (schools, far)
    )
    np.testing.assert_allclose(moved["Coef"], own["Coef"], rtol=1e-5)


def test_columns_with_spaces_and_slopes_without_intercepts(schools):
    plain = lmm.pooling_table("y ~ x + (x | g)", schools, posterior=False)
    renamed = schools.rename(columns={"x": "my x", "g": "my g"})
    for formula, data in (
        ("y ~ `my x` + (1 | `my g`)", renamed),
        ("y ~ x + (0 + x | g)", schools),
    ):
        table = lmm.pooling_table(formula, data, posterior=False)
        np.testing.assert_allclose(table["Coef"], plain["Coef"], rtol=1e-4)


@pytest.mark.filterwarnings("ignore::bayeslmm.FitWarning")
@pytest.mark.parametrize("random", ["(x || g)", "(1 | g) + (0 + z | g)", "(x + z | g)"])
def test_within_and_between_keep_what_varies(schools, random):
    """The slopes are those of the same model, written out."""
    table = lmm.within_between(f"y ~ x + z + {random}", schools, predictor="x")
    mean = schools.groupby("g")["x"].transform("mean")
    data = schools.assign(d=schools["x"] - mean, m=mean)
    written = f"y ~ d + m + z + {random.replace('x', 'd')}"
    found = lmm.Model(written, data).fit_reml().fixef()
    for column in ("estimate", "se"):
        expected = found.loc[["d", "m"], column].to_numpy()
        assert table[column].to_numpy()[:2] == pytest.approx(expected, rel=1e-4)


def test_columns_may_be_called_as_the_parts_are(schools):
    own = lmm.within_between("y ~ x + z + (1 | g)", schools)
    renamed = schools.rename(columns={"z": "within", "g": "between", "x": "my x"})
    table = lmm.within_between("y ~ `my x` + within + (1 | between)", renamed)
    np.testing.assert_allclose(table, own, rtol=1e-6)


def test_a_group_of_numbers_may_be_a_fixed_effect_too(schools):
    data = schools.assign(g=schools["g"].str[1:].astype(int))
    table = lmm.within_between("y ~ x + g + (1 | g)", data)
    other = lmm.within_between("y ~ x + h + (1 | g)", data.assign(h=data["g"]))
    np.testing.assert_allclose(table, other, rtol=1e-6)
