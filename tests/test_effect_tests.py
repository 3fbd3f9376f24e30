"""The same effect by every method, and combinations of the draws."""

import numpy as np
import pandas as pd
import pytest
from helpers import finite_difference
from sampling import sample_unchecked

import bayeslmm as lmm
from bayeslmm import Fit, ModelError
from bayeslmm.comparison.effect_tests import _mean_loss, match_t
from bayeslmm.reml.kenward_roger import Adjusted

METHODS = ["z", "satterthwaite", "kenward-roger", "posterior"]


@pytest.fixture(scope="module")
def fits():
    """A small experiment with a factor and both of its fits."""
    rng = np.random.default_rng(4)
    n, g = 90, np.repeat(np.arange(9), 10)
    dose = np.array(["none", "low", "high"])[rng.integers(0, 3, n)]
    x = rng.normal(size=n)
    y = 2.0 + 0.4 * x + (dose == "low") + rng.normal(size=9)[g] + rng.normal(size=n)
    data = pd.DataFrame({"y": y, "x": x, "dose": dose, "g": g.astype(str)})
    model = lmm.Model("y ~ x + dose + (1 | g)", data)
    return model.fit_reml(), sample_unchecked(model, draws=500, chains=2, seed=3)


def test_rows_are_the_summaries_of_each_method(fits):
    reml, post = fits
    table = lmm.effect_tests(reml, post)
    assert table.index.names == ["label", "method"]
    assert table.index.unique("method").tolist() == METHODS
    assert table.index.unique("label").tolist() == reml.fixef().index.tolist()
    for method in METHODS[:3]:
        own = reml.summary(ddf=method)
        own = own.loc[own["component"] == "fixef", table.columns]
        ours = table.xs(method, level="method")
        np.testing.assert_array_equal(ours.to_numpy(), own.to_numpy())
    matched = table.xs("posterior", level="method")
    draws = post.summary().loc[matched.index]
    # the t has the place and the interval of the draws
    assert (np.abs(matched["estimate"] - draws["median"]) < 0.1 * draws["sd"]).all()
    reach = (matched["upper"] - matched["lower"]) / (draws["upper"] - draws["lower"])
    assert np.abs(reach - 1.0).max() < 0.15
    above = (post.draws("x") > 0.0).mean()
    assert matched["p"]["x"] == pytest.approx(2 * min(above, 1 - above), abs=0.02)
    pd.testing.assert_frame_equal(
        Fit(reml.model, reml, post).effect_tests(), table, check_exact=True
    )


def test_without_a_posterior_or_of_another_method(fits):
    reml, post = fits
    alone = lmm.effect_tests(reml)
    assert alone.index.unique("method").tolist() == METHODS[:3]
    by_ml = lmm.effect_tests(reml.model.fit_reml(method="ML"), post)
    assert by_ml.index.unique("method").tolist() == [*METHODS[:2], "posterior"]
    with pytest.raises(ModelError, match="prob must lie between 0 and 1"):
        lmm.effect_tests(reml, prob=95.0)


@pytest.mark.parametrize(("df", "tolerance"), [(0.7, 0.1), (3.0, 0.1), (12.0, 0.35)])
def test_a_t_is_found_again(df, tolerance):
    """Also one that has neither mean nor variance."""
    rng = np.random.default_rng(1)
    found = match_t(5.0 + 1e-3 * rng.standard_t(df, 8000))
    assert found.location == pytest.approx(5.0, abs=1e-4)
    assert found.scale == pytest.approx(1e-3, rel=0.05)
    assert found.df == pytest.approx(df, rel=tolerance)
    assert np.isinf(match_t(rng.normal(size=4000)).df)
    assert np.isnan(match_t(np.ones(100)).df)


def test_its_likelihood_is_that_of_scipy():
    from scipy import stats

    rng = np.random.default_rng(2)
    z, at = rng.standard_t(4, 50), np.array([0.3, -0.2, 1.1])
    loss = _mean_loss(z)
    value, slope = loss(at)
    known = stats.t.logpdf(z, np.exp(at[2]), at[0], np.exp(at[1])).mean()
    assert value == pytest.approx(-known)
    np.testing.assert_allclose(
        slope, finite_difference(lambda x: loss(x)[0], at), rtol=1e-6
    )


def test_contrasts_of_both_sides_stand_beside_each_other(fits):
    reml, post = fits
    what = {"low": "dose[low] - dose[none]", "x": "x = 0.4"}
    ours, theirs = reml.contrast(what), post.contrast(what)
    pd.testing.assert_index_equal(ours.index, theirs.index)
    assert list(theirs.columns) == ["mean", "median", "sd", "lower", "upper", "p_above"]
    assert (np.abs(ours["estimate"] - theirs["mean"]) < 0.3 * theirs["sd"]).all()
    draws = post.draws("dose[low]") - post.draws("dose[none]")
    assert theirs["mean"]["low"] == pytest.approx(draws.mean())
    assert theirs["p_above"]["low"] == (draws > 0).mean()
    assert theirs["upper"]["low"] == pytest.approx(np.quantile(draws, 0.975))
    narrow = post.contrast(what, prob=0.5, kind="hdi")
    assert (narrow["upper"] - narrow["lower"] < theirs["upper"] - theirs["lower"]).all()


def test_a_contrast_of_means_that_do_not_exist_has_none():
    """Flat priors and three groups: the intercept has a median and no SD."""
    data = lmm.simulate_classrooms(3, 10, seed=2).data
    model = lmm.Model("score ~ edu + (1 | classroom)", data, priors="flat")
    post = sample_unchecked(model, draws=200, chains=2, seed=1)
    table = post.contrast(["Intercept + 2 * edu", "edu"])
    label = "Intercept"
    assert np.isnan(table["sd"].iloc[0]) == (label in post.status.missing.sd)
    assert np.isnan(table["mean"].iloc[0]) == (label in post.status.missing.mean)
    assert label in post.status.missing.sd
    assert table["median"].notna().all()


@pytest.mark.parametrize("spread", [0.0, 1e-20])
def test_known_variances_leave_kenward_roger_infinite_degrees(spread):
    """It was a division by zero, which ended the report of a singular fit."""
    known = Adjusted(np.eye(2), np.eye(2), spread * np.eye(1), np.ones((1, 2, 2)))
    assert known.df(np.array([1.0, 0.0])) == np.inf
