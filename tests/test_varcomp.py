"""Variance components and effect sizes: R's performance, dense formulas, laws."""

import json
import warnings
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers import dense_V
from sampling import sample_unchecked, unchecked

import bayeslmm as lmm
from bayeslmm import FitWarning, Model, ModelError
from bayeslmm.reporting.components import components_table
from bayeslmm.simulation import simulate

# With tolerance = 0, as performance leaves the random variance of a singular fit out.
# Not among them: (x || g), of which it counts the intercepts alone, and by_group with
# slopes, of which it does the same and warns.
PEER = json.loads(
    (Path(__file__).parent / "reference" / "performance.json").read_text()
)["fits"]
# Where the two searches end.
PEER_RTOL, NOTHING = 2e-5, 1e-9
# The same algebra by another route; a search that ends elsewhere.
EXACT, SEARCHED = 1e-10, 2e-6

FULL = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def fit_of(public_data):
    """The REML fit of a data set, made once."""

    @cache
    def fit(name: str, formula: str) -> lmm.RemlFit:
        with unchecked(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FitWarning)
            return Model(formula, public_data(name)).fit_reml()

    return fit


@pytest.fixture(scope="module")
def sleep(fit_of):
    """lme4's first example."""
    return fit_of("sleepstudy", FULL)


def close(peer: Any) -> Any:
    """To as many digits as the peer's search has."""
    return pytest.approx(peer, rel=PEER_RTOL, abs=NOTHING)


@pytest.mark.parametrize("name", PEER)
def test_shares_are_those_of_performance(name, fit_of):
    case = PEER[name]
    fit = fit_of(case["data"], case["formula"])
    assert fit.icc()["estimate"].to_list() == close(case["icc"])
    assert fit.r2()["estimate"].to_list() == close(case["r2"])
    if "by_group" in case:
        own = fit.icc(by_group=True)["estimate"].xs("adjusted", level="share")
        assert own.to_dict() == close(case["by_group"])
    table = fit.varcomp()
    parts = table["share"].groupby(table["group"].replace("Residual", "~")).sum()
    total = sum(case["variances"])
    fixed, residual = (table["share"][label] for label in ("fixed", "sigma"))
    assert [fixed, residual] == close([case["variances"][i] / total for i in (0, 2)])
    assert parts.sum() == pytest.approx(1.0, rel=EXACT)
    assert table["variance"]["fixed"] == close(case["variances"][0])


def test_two_rows_of_one_level_of_a_nested_factor(fit_of):
    """They share the outer factor's level too; crossed factors have their own alone."""
    nested = fit_of("Pastes", PEER["pastes"]["formula"]).icc(by_group=True)["estimate"]
    assert list(nested.index) == [
        ("batch", "adjusted"),
        ("batch:cask", "adjusted"),
        ("batch:cask", "same level"),
    ]
    assert nested.iloc[2] == pytest.approx(nested.iloc[:2].sum(), rel=EXACT)
    design = fit_of("Pastes", PEER["pastes"]["formula"]).design
    codes = design.rows.codes
    fit = fit_of("Pastes", PEER["pastes"]["formula"])
    V = dense_V(design, fit.factors, fit.sigma)
    corr = V / V[0, 0]
    same = [int(np.flatnonzero(c == c[0])[1]) for c in codes]  # a second row of each
    other = int(
        np.flatnonzero((codes[0] == codes[0][0]) & (codes[1] != codes[1][0]))[0]
    )
    assert nested.iloc[0] == pytest.approx(corr[0, other], rel=EXACT)
    assert nested.iloc[2] == pytest.approx(corr[0, same[1]], rel=EXACT)
    crossed = fit_of("Penicillin", PEER["penicillin"]["formula"]).icc(by_group=True)
    assert set(crossed.index.get_level_values("share")) == {"adjusted"}


def test_the_icc_at_points_is_that_of_the_covariance_of_the_rows(sleep):
    """Rows of one subject, at days 0 to 9: V of the dense formula, as correlations."""
    V = dense_V(sleep.design, sleep.factors, sleep.sigma)[:10, :10]
    assert (sleep.design.rows.X[:10, 1] == np.arange(10)).all()
    found = sleep.icc(at={"Days": range(10)})
    between = np.diag(V) - sleep.sigma**2
    assert found["Days"].to_list() == list(range(10))
    np.testing.assert_allclose(found["variance"], between, rtol=EXACT)
    np.testing.assert_allclose(found["estimate"], between / np.diag(V), rtol=EXACT)
    pairs = sleep.icc(at={"Days": range(10)}, pairs=True)
    first, second = pairs["Days_1"], pairs["Days_2"]
    corr = V / np.sqrt(np.outer(np.diag(V), np.diag(V)))
    assert len(pairs) == 45
    np.testing.assert_allclose(pairs["estimate"], corr[first, second], rtol=EXACT)
    np.testing.assert_allclose(pairs["covariance"], V[first, second], rtol=EXACT)


def test_the_icc_averaged_over_the_rows_is_of_the_mean_variance(sleep):
    """Johnson's mean, not the mean of the ICCs of the rows."""
    at = sleep.icc(at={"Days": range(10)})
    mean = at["variance"].mean()  # every day as often
    assert sleep.icc()["estimate"]["adjusted"] == pytest.approx(
        mean / (mean + sleep.sigma**2), rel=EXACT
    )
    assert abs(at["estimate"].mean() - sleep.icc()["estimate"]["adjusted"]) > 0.02


def test_points_of_factors_and_of_several_groups():
    """Levels of a factor that is not named; what is named by nothing but a slope."""
    rng = np.random.default_rng(2)
    n = 240
    data = pd.DataFrame({"x": rng.normal(3.0, 1.0, n), "z": rng.normal(size=n)})
    data["f"] = rng.choice(["a", "b"], n)
    data["g"], data["h"] = rng.integers(0, 12, n), rng.integers(0, 6, n)
    b, c = rng.normal(size=(12, 3)), rng.normal(size=6)
    y = b[data.g, 0] + b[data.g, 1] * data.x + c[data.h] * data.z
    data["y"] = y + b[data.g, 2] * (data.f == "b") + rng.normal(size=n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        fit = Model("y ~ 1 + (f + x | g) + (0 + z | h)", data).fit_reml()
    table = fit.icc(at={"z": [1.0, 2.0]}, by_group=True)
    assert table[["group", "f", "z"]].to_numpy().tolist() == [
        [group, f, z] for group in "gh" for f in "ab" for z in (1.0, 2.0)
    ]
    assert table.attrs["held"] == pytest.approx({"x": data["x"].mean()})
    sigma_g, sigma_h = (factor @ factor.T for factor in fit.factors)
    row = np.array([1.0, 1.0, data["x"].mean()])  # f = b
    both = [row @ sigma_g @ row, 4.0 * sigma_h[0, 0]]
    total = sum(both) + fit.sigma**2
    assert table.loc[[3, 7], "variance"].to_list() == pytest.approx(both, rel=EXACT)
    shares = [own / total for own in both]
    assert table.loc[[3, 7], "estimate"].to_list() == pytest.approx(shares, rel=EXACT)
    together = fit.icc(at={"z": [1.0, 2.0]})["estimate"]
    assert together[3] == pytest.approx(sum(shares), rel=EXACT)


@pytest.mark.parametrize(
    "formula",
    [
        FULL,
        "Reaction ~ Days + (Days || Subject)",
        "Reaction ~ Days + (1 | Subject)",
        "Reaction ~ Days + cs(0 + part | Subject)",
        "Reaction ~ Days + toep(0 + part | Subject)",
        "Reaction ~ Days + ar1(0 + part | Subject, hom = TRUE)",
        "Reaction ~ Days + (part * Days | Subject)",
    ],
)
def test_shares_of_components_add_up(formula, public_data):
    """To 1, those of a group to its ICC; SDs and correlations are those of varcorr."""
    data = public_data("sleepstudy")
    data = data.assign(part=pd.cut(data["Days"], [-1, 2, 5, 9], labels=list("abc")))
    with unchecked(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        fit = Model(formula, data).fit_reml()
    unadjusted = fit.icc().loc["unadjusted", "estimate"]
    for at in ("zero", "mean"):
        table = fit.varcomp(at=at)
        known = fit.varcorr(at=at)
        assert list(table.index) == ["fixed", *known.index]
        for column in ("estimate", "variance"):
            np.testing.assert_allclose(
                table[column][1:], known[column], rtol=1e-7, atol=1e-7
            )
        assert table["share"].sum() == pytest.approx(1.0, rel=EXACT)
        random = table["share"][table["component"].isin(["sd", "corr"])].sum()
        assert random == pytest.approx(unadjusted, rel=1e-9)


def test_shares_of_one_slope(sleep, sleepstudy):
    """At its mean a slope adds its variance times that of x, and no covariance."""
    table, days = sleep.varcomp(), sleepstudy["Days"].to_numpy(float)
    total = table["variance"]["fixed"] / table["share"]["fixed"]
    slope = table.loc["Days|Subject_sigma"]
    assert slope["share"] == pytest.approx(slope["variance"] * days.var() / total)
    assert table["share"]["Subject_corr[Intercept:Days]"] == pytest.approx(0, abs=1e-12)


# --- intervals ------------------------------------------------------------------------


def test_bootstrap_intervals_are_percentiles_of_refits(sleep):
    """Fitted one by one; one set of draws for every table of a seed."""
    nsim = 12
    with unchecked(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        rng = np.random.default_rng(3).spawn(1)[0]  # that of the first chunk
        own = [sleep.refit(y) for y in simulate(sleep, nsim, rng)]
        tables = {
            "icc": (sleep.icc(0.8, nsim=nsim, seed=3), "", "estimate"),
            "r2": (sleep.r2(0.8, nsim=nsim, seed=3), "", "estimate"),
            "varcomp": (sleep.varcomp(0.8, nsim=nsim, seed=3), "share_", "share"),
        }
    for name, (table, before, column) in tables.items():
        draws = np.array([getattr(fit, name)()[column] for fit in own])
        lower, upper = np.quantile(draws, [0.1, 0.9], axis=0)
        np.testing.assert_allclose(table[f"{before}lower"], lower, atol=1e-4)
        np.testing.assert_allclose(table[f"{before}upper"], upper, atol=1e-4)
    limits = sleep.interval(0.8, method="boot", nsim=nsim, seed=3)
    at_zero = sleep.varcomp(0.8, at="zero", nsim=nsim, seed=3)
    np.testing.assert_allclose(at_zero["lower"][1:], limits["lower"][2:], rtol=1e-7)
    assert sum("bootstrap of 12 with seed 3" in key for key in sleep.found) == 1
    assert "12 simulated responses" in repr(tables["icc"][0])


def test_a_singular_fit_has_bootstrap_intervals(fit_of):
    fit = fit_of("Dyestuff2", "Yield ~ 1 + (1 | Batch)")
    with unchecked():
        table = fit.icc(nsim=40, seed=1)
    assert table.loc["adjusted", "estimate"] == table.loc["adjusted", "lower"] == 0.0
    assert 0.05 < table.loc["adjusted", "upper"] < 0.6


# --- laws -----------------------------------------------------------------------------


def every_share(fit: lmm.RemlFit, days: list[float]) -> list[float]:
    """All that may not depend on zeros and units."""
    table = fit.varcomp()
    tables = [fit.icc(), fit.r2(), fit.icc(by_group=True), fit.icc(at={"Days": days})]
    shares = [own["estimate"].to_numpy() for own in tables]
    return np.concatenate([*shares, table["share"].to_numpy()]).tolist()


@pytest.mark.parametrize(("shift", "unit"), [(2006.0, 1.0), (-3.0, 12.0), (1e6, 1e-3)])
def test_shares_know_no_zero_and_no_unit(shift, unit, sleep, sleepstudy):
    data = sleepstudy.assign(
        Days=sleepstudy["Days"] * unit + shift, Reaction=sleepstudy["Reaction"] / 7 - 50
    )
    fit = Model(FULL, data.sample(frac=1, random_state=1)).fit_reml()
    days = [0.0, 4.0, 9.0]
    there = [day * unit + shift for day in days]
    expected = every_share(sleep, days)
    assert every_share(fit, there) == pytest.approx(expected, abs=SEARCHED)


def test_shares_know_no_coding(fit_of):
    """Of a factor in both parts: R2, ICC, at its levels, and what an intercept has."""
    plain = fit_of("Machines", "score ~ Machine + (Machine | Worker)")
    for coding in ("Sum", "Helmert"):
        f = f"C(Machine, {coding})"
        other = fit_of("Machines", f"score ~ {f} + ({f} | Worker)")
        for one, two in (
            (plain.icc(), other.icc()),
            (plain.r2(), other.r2()),
            (plain.icc(at={}, pairs=True), other.icc(at={}, pairs=True)),
        ):
            assert two["estimate"].to_list() == pytest.approx(
                one["estimate"].to_list(), abs=SEARCHED
            )
        assert other.varcomp()["share"]["1|Worker_sigma"] == pytest.approx(
            plain.varcomp()["share"]["1|Worker_sigma"], abs=SEARCHED
        )


# --- the posterior --------------------------------------------------------------------


@pytest.fixture(scope="module")
def post(sleepstudy):
    """A few draws."""
    return sample_unchecked(Model(FULL, sleepstudy), draws=100, chains=2, seed=1)


def test_each_draw_has_the_shares_of_an_estimate_there(post, sleep):
    """The tables of the posterior are those of REML at each draw, described."""
    from bayeslmm.design.shares import variance_parts
    from bayeslmm.posterior.shares import drawn_values
    from bayeslmm.reml.shares import icc_quantities

    values = drawn_values(post.model, post.idata)
    parts = variance_parts(post.model.design, values)
    root = values.roots[0][1, 7]
    V = dense_V(post.model.design, (root,), float(values.sigma[1, 7]))
    assert parts.within[1, 7] == pytest.approx(np.diag(V).mean(), rel=1e-9)
    draws = icc_quantities(sleep.design).of(values)["estimate"].reshape(-1, 2)
    table = post.icc(0.8)
    np.testing.assert_allclose(table["mean"], draws.mean(axis=0), rtol=EXACT)
    np.testing.assert_allclose(table["upper"], np.quantile(draws, 0.9, axis=0))


@pytest.mark.parametrize(
    "options",
    [
        {"by_group": True},
        {"at": {"Days": [0, 9]}},
        {"at": {"Days": [0, 5, 9]}, "pairs": True},
        {"at": {"Days": 1}, "by_group": True},
    ],
)
def test_both_sides_have_the_same_rows(options, post, sleep):
    ours, theirs = sleep.icc(**options), post.icc(kind="hdi", **options)
    pd.testing.assert_index_equal(ours.index, theirs.index)
    keys = list(ours.columns[: list(ours.columns).index("estimate")])
    pd.testing.assert_frame_equal(
        pd.DataFrame(ours[keys]), pd.DataFrame(theirs[keys]), check_column_type=False
    )
    inside = (theirs["lower"] < ours["estimate"]) & (ours["estimate"] < theirs["upper"])
    assert inside.all()
    assert set(ours.columns) - {*keys, "estimate"} == set(theirs.columns) - {
        *keys,
        *("mean", "median", "sd", "lower", "upper"),
    }


def test_the_report_has_the_components(post, sleep):
    """Both sides in one table, their sums below, and what is shown in words."""
    table = components_table(sleep, post)
    assert table.header[1:] == (
        *("SD, REML", "variance", "share"),
        *("SD, posterior", "variance", "share", "share, 95% ETI"),
    )
    cells = {own[0]: own[1:] for _, own in table.rows}
    shares = [float(own[2]) for name, own in cells.items() if own[0] and own[2]]
    assert sum(shares) == pytest.approx(1.0, abs=0.002)
    assert cells["1|Subject_sigma"][:3] == ("37.5", "1409", "0.432")
    corr = cells["Subject_corr[Intercept:Days]"]
    assert (corr[0], corr[2], corr[5:]) == ("0.753", "", ("", ""))
    assert cells["R2, conditional"][:3] == ("", "", "0.799")
    mean = post.r2()["mean"]["conditional"]
    assert cells["R2, conditional"][5] == f"{mean:.3f}"
    assert any("stand at their means" in note for note in table.notes)
    alone = components_table(None, post)
    assert [own[1][4:] for own in table.rows] == [own[1][1:] for own in alone.rows]
    assert components_table(None, None) is None


def test_a_report_without_shares_has_no_such_table(post, sleep):
    """Of a family whose variance on the scale of the predictor is not agreed upon."""
    data = pd.DataFrame({"y": np.arange(1.0, 13.0), "g": list("abcd") * 3})
    other = replace(post, model=Model("y ~ 1 + (1 | g)", data, family="gamma"))
    with pytest.raises(ModelError, match="'gamma'"):
        other.icc()
    assert components_table(sleep, other) is None


def test_of_which_rows_the_sigma_of_strata_is(sleepstudy):
    """That of the table is no longer the summary's, so the table says what it is."""
    data = sleepstudy.assign(late=np.where(sleepstudy["Days"] > 6, "late", "early"))
    formula = "Reaction ~ Days + (1 | Subject)"
    fit = Model(formula, data, residual="varident(late)").fit_reml()
    table, ratio = fit.varcomp(), fit.summary()["estimate"]["sigma_ratio[late]"]
    mean_square = fit.sigma**2 * (0.7 + 0.3 * ratio**2)
    assert table["variance"]["sigma"] == pytest.approx(mean_square, rel=EXACT)
    assert "sigma: root mean square over the rows" in repr(table)
    plain = Model(formula, data).fit_reml().varcomp()
    assert "root mean square" not in repr(plain)


# --- bad input ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"at": {"days": 1}}, "'days', which is not in the random part.*'Days'"),
        ({"at": [0, 5]}, r"at must map predictors to values.*not \[0, 5\]"),
        ({"at": {"Days": ["x"]}}, "'Days' is a number"),
        ({"at": {"Days": range(500)}}, "make 500 points"),
        ({"at": {"Days": 1}, "pairs": True}, "compares two points, and at= has one"),
        ({"pairs": True}, "pairs=True compares rows at two values"),
        ({"by_group": "yes"}, "by_group must be True or False"),
    ],
)
def test_what_cannot_be_asked_of_the_icc(options, words, sleep, post):
    for fit in (sleep, post):
        with unchecked(), pytest.raises(ModelError, match=words):
            fit.icc(**options)


def test_what_cannot_be_asked_of_others(sleep, post, fit_of):
    for fit in (sleep, post):
        with unchecked(), pytest.raises(ModelError, match="at='middle': use 'zero'"):
            fit.varcomp(at="middle")
        with unchecked(), pytest.raises(ModelError, match="prob must lie between"):
            fit.varcomp(prob=95)
    for nsim in (1, -3, 2.5, True, "x"):
        with unchecked(), pytest.raises(ModelError, match="nsim must be a whole num"):
            sleep.r2(nsim=nsim)
    plain = fit_of("sleepstudy", "Reaction ~ Days + (1 | Subject)")
    with pytest.raises(ModelError, match="no predictor has an effect that varies"):
        plain.icc(at={"Days": 1})
