"""Marginal means, slopes and their differences: emmeans, definition, both sides."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sampling import sample_unchecked, unchecked
from scipy.special import expit

import bayeslmm as lmm
from bayeslmm import ModelError

PEER = json.loads((Path(__file__).parent / "reference/emmeans.json").read_text())
DDF = ("satterthwaite", "kenward-roger")
DATA = {"rat": "rat_pup", "machines": "Machines", "sleep": "sleepstudy"}
# Table of the reference: model, verb, arguments.
CALLS = {
    "rat_treatment": ("rat", "emmeans", ["treatment"], {}),
    "rat_cells": ("rat", "emmeans", ["~ treatment * sex"], {}),
    "rat_pairs_by": ("rat", "emmeans", ["treatment | sex"], {"pairs": True}),
    "rat_pairs_holm": (
        "rat",
        "emmeans",
        ["treatment * sex"],
        {"pairs": True, "adjust": "holm"},
    ),
    "rat_pairs_none": (
        "rat",
        "emmeans",
        ["pairwise ~ treatment"],
        {"pairs": True, "adjust": "none"},
    ),
    "rat_at": ("rat", "emmeans", ["litsize:sex"], {"at": {"litsize": [8, 12]}}),
    "rat_overall": ("rat", "emmeans", ["~ 1"], {}),
    "rat_overall_prop": ("rat", "emmeans", ["1"], {"weights": "proportional"}),
    "rat_prop": ("rat", "emmeans", ["treatment"], {"weights": "proportional"}),
    "rat_within": ("rat", "emmeans", ["1 | sex"], {"weights": "proportional"}),
    "rat_prop_pairs": (
        "rat",
        "emmeans",
        ["treatment"],
        {"weights": "proportional", "pairs": True},
    ),
    "machines": ("machines", "emmeans", ["Machine"], {}),
    "machines_pairs": ("machines", "emmeans", ["Machine"], {"pairs": True}),
    "sleep": ("sleep", "emmeans", ["late"], {}),
    "sleep_days": (
        "sleep",
        "emmeans",
        ["Days"],
        {"at": {"Days": np.array([0, 5, 9]), "late": 1}},
    ),
    "sleep_trend": (
        "sleep",
        "emtrends",
        ["Days", "Days"],
        {"at": {"Days": [0, 5, 9], "late": 0}},
    ),
    "slopes": ("slopes", "emtrends", ["treatment", "litsize"], {}),
    "slopes_pairs": ("slopes", "emtrends", ["treatment", "litsize"], {"pairs": True}),
}


@pytest.fixture(scope="module")
def fit_of(public_data):
    """REML fits of the reference models."""

    @cache
    def fit(name):
        data = public_data(DATA.get(name, "rat_pup"))
        if name == "sleep":
            data = data.assign(late=(data["Days"] > 4).astype(float))
        return lmm.Model(PEER["formulas"][name], data).fit_reml()

    return fit


@pytest.mark.parametrize("ddf", DDF)
@pytest.mark.parametrize("name", CALLS)
def test_every_figure_of_emmeans(name, ddf, fit_of):
    model, verb, args, options = CALLS[name]
    if name == "sleep_trend":  # a slope where Days stands, at each of three
        tables = [
            fit_of(model).emtrends("late", "Days", at={"Days": day, "late": 0}, ddf=ddf)
            for day in (0, 5, 9)
        ]
        ours = pd.concat(tables)
    else:
        ours = getattr(fit_of(model), verb)(*args, ddf=ddf, **options)
    peer = PEER["tables"][ddf][name]
    value = next(k for k in ("emmean", "estimate", *peer) if k in peer or "trend" in k)
    value = next((k for k in peer if k.endswith(".trend")), value)
    names = {"estimate": value, "se": "SE", "df": "df"}
    names |= {"lower": "lower.CL", "upper": "upper.CL"}
    if "p" in ours:
        names |= {"t": "t.ratio", "p": "p.value"}
    # emtrends takes a difference from one side, which misses the slope of a parabola
    one_sided = 0.01 if name == "sleep_trend" else 2e-5
    for own, theirs in names.items():
        rtol = 2e-3 if own in ("df", "p") else 2e-4
        atol = 0.0 if own in ("df", "t", "p") else one_sided
        np.testing.assert_allclose(
            ours[own], peer[theirs], rtol=rtol, atol=atol, err_msg=own
        )
    for key in ("treatment", "sex", "contrast", "Machine"):
        if key in peer and key in ours:
            assert ours[key].tolist() == [str(text) for text in peer[key]]


def test_a_mean_is_the_mean_of_predictions(fit_of):
    """Averages of `predict` over the grid, a number at its mean."""
    fit = fit_of("rat")
    table = fit.emmeans("sex")
    size = table.attrs["held"]["litsize"]
    assert set(table.attrs["held"]) == {"treatment", "litsize"}
    for sex, mean in zip(table["sex"], table["estimate"], strict=True):
        rows = pd.DataFrame(
            {
                "treatment": ["Control", "High", "Low"],
                "sex": sex,
                "litsize": size[0],
            }
        )
        predicted = fit.predict(rows, level="population")["estimate"]
        assert predicted.mean() == pytest.approx(mean, rel=1e-12)


def test_proportions_are_those_of_the_rows(fit_of, public_data):
    """The overall mean is then that of the rows, numbers at their means."""
    data = public_data("rat_pup")
    rows = data.assign(litsize=data["litsize"].mean())
    expected = fit_of("rat").predict(rows, level="population")["estimate"].mean()
    found = fit_of("rat").emmeans("1", weights="proportional")["estimate"]
    assert found.tolist() == pytest.approx([expected], rel=1e-12)
    coded = data.assign(male=(data["sex"] == "Male") * 1.0, dose=data["litsize"] // 6)
    fit = lmm.Model("weight ~ factor(dose) + male + (1 | litter)", coded).fit_reml()
    expected = fit.predict(coded, level="population")["estimate"].mean()
    found = fit.emmeans("1", weights="proportional")[
        "estimate"
    ]  # two values of a number
    assert found.tolist() == pytest.approx([expected], rel=1e-12)
    slope = fit.emtrends("1", "male", weights="proportional")["estimate"]
    assert slope.tolist() == pytest.approx([fit.fixef()["estimate"].iloc[-1]])
    with pytest.raises(ModelError, match="No row of the data has one of the comb"):
        fit.emmeans("dose", at={"male": [0.3, 0.4]}, weights="proportional")


def test_slopes_are_exact_derivatives(public_data):
    """Of a parabola at a chosen place, and of a logarithm to a millionth."""
    data = public_data("sleepstudy").assign(t=lambda d: d["Days"] + 1.0)
    fit = lmm.Model("Reaction ~ log(t) + I(Days^2) + (1 | Subject)", data).fit_reml()
    beta = fit.fixef()["estimate"]
    found = fit.emtrends("t", "t", at={"t": 3.0, "Days": 2.0})
    assert found["estimate"].tolist() == pytest.approx([beta["log(t)"] / 3.0], rel=1e-5)
    found = fit.emtrends("t", "Days", at={"t": 3.0, "Days": 2.0})
    assert found["estimate"].tolist() == pytest.approx([4.0 * beta["I(Days^2)"]])


def test_levels_that_are_numbers_or_flags(public_data):
    """factor(x) of integers, and a column of True and False."""
    data = public_data("rat_pup").assign(
        male=lambda d: d["sex"] == "Male", dose=lambda d: d["litsize"] // 6
    )
    fit = lmm.Model("weight ~ factor(dose) + male + (1 | litter)", data).fit_reml()
    table = fit.emmeans("dose * male")
    assert table["dose"].unique().tolist() == sorted(data["dose"].unique())
    assert table["male"].unique().tolist() == [False, True]
    one = fit.emmeans("male", at={"dose": 2, "male": True})
    cell = table[(table["dose"] == 2) & table["male"]]
    assert one["estimate"].tolist() == pytest.approx(cell["estimate"].tolist())


def moved(data, shift, scale):
    """The same rows with another zero and unit of x."""
    return data.assign(x=data["x"] * scale + shift)


@pytest.fixture(scope="module")
def trial():
    """Twelve groups, a number, a factor."""
    rng = np.random.default_rng(1)
    n, g = 120, np.repeat(np.arange(12), 10)
    x, h = rng.normal(size=n), np.where(rng.random(n) < 0.5, "u", "v")
    y = 1.0 + 0.5 * x + rng.normal(size=12)[g] + rng.normal(size=n)
    return pd.DataFrame({"y": y, "x": x, "h": h, "g": g.astype(str)})


@pytest.mark.parametrize("ddf", DDF)
@pytest.mark.parametrize(
    ("shift", "scale"), [(2006.0, 1.0), (1e6, 1.0), (1e8, 1.0), (0, 1e-4), (0, 1e5)]
)
def test_means_and_slopes_move_with_nothing_else(shift, scale, ddf, trial):
    """The zero and the unit of x: means, their errors and differences stay."""
    fits = [
        lmm.Model("y ~ x * h + (1 | g)", data).fit_reml()
        for data in (trial, moved(trial, shift, scale))
    ]
    columns = ["estimate", "se", "df", "lower", "upper"]
    for options in ({}, {"pairs": True}):
        one, other = (f.emmeans("h", ddf=ddf, **options)[columns] for f in fits)
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-6)
    one, other = (f.emtrends("h", "x", ddf=ddf)[columns] for f in fits)
    other = other * np.array([scale, scale, 1.0, scale, scale])
    np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-6)
    one, other = (f.anova(1, ddf=ddf).loc["h"] for f in fits)
    assert other["den_df"] == pytest.approx(one["den_df"], rel=1e-4)


@pytest.mark.parametrize(("shift", "scale"), [(2006.0, 1.0), (1e6, 1.0), (0, 1e-4)])
def test_slopes_of_curves_do_not_depend_on_the_zero_of_x(shift, scale, trial):
    """A step of the range, not of the size of the values."""
    one, other = (
        lmm.Model("y ~ poly(x, 3) + (1 | g)", data).fit_reml().emtrends("x", "x")
        for data in (trial, moved(trial, shift, scale))
    )
    assert scale * other["estimate"][0] == pytest.approx(one["estimate"][0], rel=1e-4)
    assert other["x"][0] == pytest.approx(scale * one["x"][0] + shift)


def test_a_number_that_is_compared_stays_a_number(trial):
    """I(x > 0) is True or False; x has a mean."""
    fit = lmm.Model("y ~ I(x > 0) + h + (1 | g)", trial).fit_reml()
    assert fit.emmeans("h").attrs["held"]["x"] == (pytest.approx(trial["x"].mean()),)
    above = fit.emmeans("h", at={"x": 1.0})["estimate"]
    below = fit.emmeans("h", at={"x": -1.0})["estimate"]
    effect = fit.fixef()["estimate"].iloc[1]
    assert (above - below).tolist() == pytest.approx([effect, effect])


def test_a_cell_without_rows_has_no_mean(trial):
    """As emmeans' nonEst: the others stay."""
    data = trial.assign(f=np.tile(list("abc"), 40))
    data = data[~((data["f"] == "a") & (data["h"] == "v"))]
    with pytest.warns(lmm.DataWarning):
        model = lmm.Model("y ~ f * h + (1 | g)", data)
    fit, post = model.fit_reml(), sample_unchecked(model, draws=50, chains=2, seed=1)
    cells = fit.emmeans("f * h")
    missing = (cells["f"] == "a") & (cells["h"] == "v")
    assert cells["estimate"].isna().tolist() == missing.tolist()
    assert cells["se"].isna().tolist() == missing.tolist()
    assert fit.emmeans("f")["estimate"].isna().tolist() == [True, False, False]
    drawn = post.emmeans("f | h", pairs=True)
    assert drawn["median"].isna().tolist() == [False] * 3 + [True, True, False]
    assert drawn["p_above"].isna().tolist() == drawn["median"].isna().tolist()


@pytest.fixture(scope="module")
def both(public_data):
    """Both fits of the rats."""
    model = lmm.Model(PEER["formulas"]["rat"], public_data("rat_pup"))
    return model.fit_reml(), sample_unchecked(model, draws=500, chains=2, seed=1)


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("verb", ["emmeans", "emtrends"])
def test_both_sides_have_the_same_rows(verb, pairs, both):
    args = ("treatment | sex",) + (("litsize",) if verb == "emtrends" else ())
    ours, theirs = (getattr(fit, verb)(*args, pairs=pairs) for fit in both)
    keys = ["contrast", "sex"] if pairs else ["treatment", "sex"]
    assert ours[keys].to_numpy().tolist() == theirs[keys].to_numpy().tolist()
    apart = np.abs(ours["estimate"] - theirs["mean"])
    assert (apart < 0.3 * theirs["sd"] + 1e-9).all()
    assert ("p_above" in theirs) == pairs
    assert theirs.attrs | ({"adjust": "tukey"} if pairs else {}) == ours.attrs


def test_draws_of_a_mean_are_those_of_its_combination(both):
    _, post = both
    table = post.emmeans("sex", at={"litsize": 10}, prob=0.8, kind="hdi")
    text = (
        "Intercept + 10 * litsize + treatment[High] / 3 + treatment[Low] / 3"
        " + sex[Male] + treatment:sex[High, Male] / 3 + treatment:sex[Low, Male] / 3"
    )
    own = post.contrast(text, prob=0.8, kind="hdi")
    male = table[table["sex"] == "Male"]
    for column in ("mean", "median", "sd", "lower", "upper"):
        assert male[column].tolist() == pytest.approx(own[column].tolist())


def test_means_of_responses_are_those_of_the_family(both, public_data):
    """Draws of the same names, taken for those of log odds."""
    _, post = both
    data = public_data("rat_pup").assign(weight=lambda d: d["weight"] > 6.0)
    model = lmm.Model(PEER["formulas"]["rat"], data, family="bernoulli")
    other = replace(post, model=model)
    linear, found = (other.emmeans("treatment", scale=s) for s in ("link", "response"))
    for column in ("median", "lower", "upper"):  # they move with a rising function
        np.testing.assert_allclose(found[column], expit(linear[column]), rtol=1e-6)
    pairs = other.emmeans("treatment", scale="response", pairs=True)
    first, second, third = found["mean"]
    expected = [first - second, first - third, second - third]
    assert pairs["mean"].tolist() == pytest.approx(expected)
    same = post.emmeans("treatment", scale="response")  # the identity
    pd.testing.assert_frame_equal(same, post.emmeans("treatment"))
    with unchecked(), pytest.raises(ModelError, match="Unknown scale='odds'"):
        post.emmeans("treatment", scale="odds")


@pytest.mark.slow
def test_other_families_stand_on_the_scale_of_their_link(public_data):
    data = public_data("cbpp")
    formula = "cbind(incidence, size - incidence) ~ factor(period) + (1 | herd)"
    model = lmm.Model(formula, data, family="binomial")
    post = sample_unchecked(model, draws=100, chains=2, seed=1)
    table = post.emmeans("period")
    first = post.draws("Intercept").mean()
    assert table["mean"].iloc[0] == pytest.approx(first)
    assert len(table) == 4


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda f: f.emmeans("dose"), "no variable 'dose' in the fixed part"),
        (lambda f: f.emmeans("litter"), "no variable 'litter' in the fixed part"),
        (lambda f: f.emmeans("1", pairs=True), "has nothing to be compared with"),
        (lambda f: f.emmeans("sex", weights="rows"), "Unknown weights='rows'"),
        (lambda f: f.emmeans("sex * sex"), "'sex' is named twice"),
        (lambda f: f.emmeans(3), "must be text such as 'dose'"),
        (lambda f: f.emmeans("sex", at={"sx": 1}), "at= names 'sx'.*'sex'"),
        (lambda f: f.emmeans("sex", at={"sex": "male"}), "no level 'male'.*'Male'"),
        (lambda f: f.emmeans("sex", at={"litsize": "x"}), "'litsize' is a number"),
        (lambda f: f.emmeans("sex", at={"litsize": []}), "holds no values"),
        (lambda f: f.emmeans("sex", at={"litsize": None}), "holds no values"),
        (
            lambda f: f.emmeans("sex", at={"litsize": np.arange(10**5)}),
            "has 600000 rows",
        ),
        (lambda f: f.emmeans("litsize", pairs=True), "one value of 'litsize' only"),
        (lambda f: f.emmeans("sex", pairs=True, adjust="x"), "Unknown adjust='x'"),
        (lambda f: f.emmeans("sex", pairs=1), "pairs must be True or False"),
        (lambda f: f.emmeans("sex", ddf="x"), "Unknown ddf='x'"),
        (lambda f: f.emmeans("sex", prob=2), "prob must lie between"),
        (lambda f: f.emtrends("sex", "treatment"), "no numeric variable 'treatment'"),
        (lambda f: f.emtrends("sex", "size"), "no numeric variable 'size'"),
    ],
)
def test_what_cannot_be_is_told(call, words, fit_of):
    with unchecked(), pytest.raises(ModelError, match=words):
        call(fit_of("rat"))


def test_streamed_rows_need_the_values_of_numbers(tmp_path, public_data, fit_of):
    public_data("rat_pup").to_parquet(tmp_path / "rats.parquet")
    fit = lmm.Model(PEER["formulas"]["rat"], tmp_path / "rats.parquet").fit_reml()
    with pytest.raises(ModelError, match="rows were read in batches"):
        fit.emmeans("sex")
    with pytest.raises(lmm.DataError, match="proportions of levels would need them"):
        fit.emmeans("sex", at={"litsize": 10.0}, weights="proportional")
    ours = fit.emmeans("sex", at={"litsize": 10.0})
    theirs = fit_of("rat").emmeans("sex", at={"litsize": 10.0})
    np.testing.assert_allclose(ours["se"], theirs["se"], rtol=1e-6)
