"""Words that meet: what an R user types, and what a beginner gets wrong."""

import numpy as np
import pandas as pd
import pytest

import bayeslmm as lmm
from bayeslmm.posterior import SamplingStatus


@pytest.fixture(scope="module")
def fit(sleepstudy):
    """Both fits."""
    return lmm.fit(
        "Reaction ~ Days + (Days | Subject)", sleepstudy, draws=300, chains=2, seed=1
    )


@pytest.mark.parametrize("which", ["reml", "posterior"])
def test_words_of_r(fit, sleepstudy, which):
    one = getattr(fit, which)
    assert one.nobs == fit.nobs == len(sleepstudy)
    assert one.formula == fit.formula == "Reaction ~ Days + (Days | Subject)"
    np.testing.assert_array_equal(one.resid(), one.residuals())
    cov = one.vcov()
    assert list(cov.index) == list(cov.columns) == ["Intercept", "Days"]
    spread = "se" if which == "reml" else "sd"
    np.testing.assert_allclose(np.sqrt(np.diag(cov)), one.fixef()[spread], rtol=1e-12)


def test_vcov_is_lme4s(fit):
    """Signed by lme4: vcov(lmer(Reaction ~ Days + (Days | Subject), sleepstudy))."""
    expected = [[46.5751, -1.4511], [-1.4511, 2.3895]]
    np.testing.assert_allclose(fit.reml.vcov(), expected, rtol=2e-4)


@pytest.mark.parametrize(
    "levels", [[308], ["308"], 308, "308", [308.0], np.array([308])]
)
@pytest.mark.parametrize("which", ["reml", "posterior"])
def test_levels_by_number_or_name(fit, which, levels):
    one = getattr(fit, which)
    found = one.ranef(levels=levels)
    assert found["level"].tolist() == ["308", "308"]
    every = one.ranef()
    pd.testing.assert_frame_equal(found, every[every["level"] == "308"])


def test_draws_of_levels_by_number(fit):
    draws = fit.posterior.ranef(levels=[308, "309"], draws=True)
    assert draws.coords["level"].to_numpy().tolist() == ["308", "308", "309", "309"]


@pytest.mark.parametrize("levels", [[1], [308, 1], ["nobody"]])
@pytest.mark.parametrize("which", ["reml", "posterior"])
def test_a_level_that_is_not_there(fit, which, levels):
    with pytest.raises(lmm.ModelError, match="There is no level"):
        getattr(fit, which).ranef(levels=levels)
    with pytest.raises(lmm.ModelError, match="names no level"):
        getattr(fit, which).ranef(levels=[])


def test_predictions_without_effects_need_no_groups(fit):
    new = pd.DataFrame({"Days": [0, 5]})
    post = fit.posterior.predict(new, level="population")
    beta = fit.posterior.fixef()["mean"]
    expected = beta["Intercept"] + new["Days"] * beta["Days"]
    np.testing.assert_allclose(post["mean"], expected, rtol=1e-12)
    reml = fit.reml.predict(new, level="population")
    assert reml.join(post.add_prefix("posterior_")).shape == (2, 9)
    with pytest.raises(lmm.DataError, match="Subject"):
        fit.posterior.predict(new)


def test_simulate_as_lme4(fit):
    y = lmm.simulate(fit.reml, nsim=400, seed=1)
    assert y.shape == (400, 180)
    np.testing.assert_array_equal(y, fit.reml.simulate(400, seed=1))
    np.testing.assert_array_equal(y, lmm.simulate(fit, 400, 1))
    # rows of Days = 0 and their SD: intercept and residual
    at_zero = y[:, :: 180 // 18]
    sd = fit.reml.varcorr()["estimate"]
    expected = np.hypot(sd["1|Subject_sigma"], sd["sigma"])
    assert at_zero.std() == pytest.approx(expected, rel=0.03)
    assert at_zero.mean() == pytest.approx(fit.reml.beta[0], abs=2.0)
    posterior = fit.posterior.simulate(nsim=400, seed=2)
    assert posterior.shape == y.shape
    assert posterior[:, ::10].std() > at_zero.std()  # parameters vary too


def test_simulate_says_what_it_needs(fit):
    with pytest.raises(lmm.ModelError, match="no parameters to simulate from"):
        lmm.simulate(fit.model, nsim=3)
    with pytest.raises(lmm.ModelError, match="RemlFit has its own sigma"):
        lmm.simulate(fit.reml, sigma=2.0)
    with pytest.raises(lmm.ModelError, match="whole number of at least 1"):
        lmm.simulate(fit.reml, nsim=0)
    with pytest.raises(lmm.ModelError, match="not a DataFrame"):
        lmm.simulate(pd.DataFrame())


def test_compare_says_what_it_takes(fit):
    with pytest.raises(
        lmm.ModelError, match=r"both of one model.*Two posteriors stand"
    ):
        lmm.compare(fit.posterior, fit.posterior)


def test_swapped_fits_say_the_names_to_give_them_by(fit):
    for draw in (lmm.plot_shrinkage, lmm.plot_forest):
        first, second = fit.reml, fit.posterior
        if draw is lmm.plot_shrinkage:
            first, second = second, first
        with pytest.raises(lmm.ModelError, match=r"Write reml=\.\.\. and post=\.\.\."):
            draw(first, second)
        assert draw(reml=fit.reml, post=fit.posterior).axes


def test_public_names_only():
    assert set(dir(lmm)) == {*lmm.__all__, "__version__"}
    assert lmm.__version__[0].isdigit()
    assert all(getattr(lmm, name) is not None for name in dir(lmm))


def test_fewer_draws_than_asked_are_said():
    status = SamplingStatus(4, 232, sampler="importance", asked=1000)
    assert "asked 4,000, kept 928 weighted" in status.message
    assert "asked" not in SamplingStatus(4, 1000, sampler="importance").message


def test_new_data_without_a_column(fit):
    new = pd.DataFrame({"days": [0, 5], "Subject": ["308", "309"]})
    for level in ("group", "population"):
        with pytest.raises(lmm.DataError, match=r"no column 'Days'.*mean 'days'"):
            fit.posterior.predict(new, level=level)
    with pytest.raises(lmm.DataError, match="level='population' without random eff"):
        fit.reml.predict(new.rename(columns={"days": "Days"})[["Days"]])
