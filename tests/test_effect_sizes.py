"""Bayesian R2, and shares of variance of families other than the Gaussian.

Draws are written down, so that no chain need be run: the tables are of draws, wherever
they come from.
"""

from typing import Any

import arviz_stats
import numpy as np
import pandas as pd
import pytest
import scipy.stats
import xarray as xr
from sampling import sample_unchecked, unchecked

from bayeslmm import Model, ModelError, Posterior
from bayeslmm.design.shares import variance_parts
from bayeslmm.families import FAMILIES
from bayeslmm.posterior import predictions
from bayeslmm.posterior.explained import Spread, explained_draws
from bayeslmm.posterior.shares import drawn_values, expected_count
from bayeslmm.reml.shares import icc_quantities, r2_quantities

EXACT = 1e-10
FULL = "Reaction ~ Days + (Days | Subject)"


# --- Bayesian R2 ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def post(sleepstudy):
    """A few draws of a model without weights."""
    return sample_unchecked(Model(FULL, sleepstudy), draws=60, chains=2, seed=1)


def with_fitted(post: Posterior) -> xr.DataTree:
    """The draws with those of the fitted values, as ArviZ wants them."""
    tree = post.idata.copy()
    held = tree["posterior"].to_dataset()
    fitted = post.predict_draws()
    held["mu"] = (("chain", "draw", "row"), fitted)
    tree["posterior"] = xr.DataTree(held)
    return tree


def test_bayesian_r2_is_that_of_arviz(post):
    """Of the levels in the data, by either variance of the residuals."""
    tree = with_fitted(post)
    theirs = arviz_stats.bayesian_r2(tree, "mu", "sigma", summary=False)
    ours = explained_draws(post.model, post.idata, "model")["conditional"]
    assert np.ravel(ours) == pytest.approx(theirs, rel=EXACT)
    theirs = arviz_stats.residual_r2(tree, "mu", "Reaction", summary=False)
    ours = explained_draws(post.model, post.idata, "residuals")["conditional"]
    assert np.ravel(ours) == pytest.approx(theirs, rel=EXACT)


def test_what_the_fixed_part_explains(post):
    """All else is residual: of the model, or of the responses."""
    rows, values = post.model.design.rows, drawn_values(post.model, post.idata)
    parts = variance_parts(post.model.design, values)
    fixed = values.beta @ rows.X.T
    ours = explained_draws(post.model, post.idata, "model")["marginal"]
    assert ours == pytest.approx(parts.fixed / parts.total, rel=EXACT)
    ours = explained_draws(post.model, post.idata, "residuals")["marginal"]
    spread, left = fixed.var(axis=-1), (rows.y - fixed).var(axis=-1)
    assert ours == pytest.approx(spread / (spread + left), rel=EXACT)


def test_rows_a_few_at_a_time_have_the_same_variance(post, monkeypatch):
    whole = explained_draws(post.model, post.idata, "residuals")
    monkeypatch.setattr(predictions, "CHUNK", 7 * 120)
    parts = explained_draws(post.model, post.idata, "residuals")
    for share, draws in whole.items():
        assert parts[share] == pytest.approx(draws, rel=EXACT)
    far, found = 1e9 + np.random.default_rng(1).normal(size=(1, 2, 50)), Spread()
    for part in (slice(0, 1), slice(1, 20), slice(20, 50)):
        found.see(far[..., part])
    assert found.variance == pytest.approx(far.var(axis=-1, ddof=1), rel=1e-6)


def test_the_table_of_bayesian_r2(post):
    table = post.bayesian_r2(0.5, "hdi", variance="residuals")
    draws = explained_draws(post.model, post.idata, "residuals")
    assert list(table.index) == ["marginal", "conditional"]
    assert table["mean"].to_list() == pytest.approx([d.mean() for d in draws.values()])
    inside = (draws["marginal"] > table.loc["marginal", "lower"]).mean()
    assert 0.6 < inside < 0.9
    with unchecked(), pytest.raises(ModelError, match="Unknown variance='data'"):
        post.bayesian_r2(variance="data")


def test_weights_divide_the_variance_of_a_row(sleepstudy):
    """sigma**2 mean(1 / w): with twice the weights half of it."""
    weights = 1.0 + sleepstudy["Days"].to_numpy() % 3
    values = {"Intercept": 250.0, "Days": 10.0, "sigma": 30.0, "1|Subject_sigma": 40.0}
    b = np.random.default_rng(1).normal(0.0, 40.0, (1, 1, 18))
    formula = "Reaction ~ Days + (1 | Subject)"
    model = Model(formula, sleepstudy, weights=weights)
    tree = draws_of(model, values, b)
    found = explained_draws(model, tree, "model")["conditional"]
    rows = model.design.rows
    mu = rows.X @ [250.0, 10.0] + b[0, 0, rows.codes[0]]
    rest = 30.0**2 * (1.0 / weights).mean()
    expected = mu.var(ddof=1) / (mu.var(ddof=1) + rest)
    assert found.item() == pytest.approx(expected, rel=EXACT)


def test_strata_have_each_their_own_variance(sleepstudy):
    """Structured residuals: sigma**2 mean(ratio**2), not that of the first stratum."""
    data = sleepstudy.assign(late=np.where(sleepstudy["Days"] > 6, "late", "early"))
    fixed, sds = {"Intercept": 250.0, "Days": 10.0}, {"1|Subject_sigma": 40.0}
    values = {**fixed, **sds, "sigma": 20.0}
    b = np.random.default_rng(1).normal(0.0, 40.0, (1, 1, 18))
    formula = "Reaction ~ Days + (1 | Subject)"
    model = Model(formula, data, residual="varident(late)")
    held = draws_of(model, values, b)["posterior"].to_dataset()
    held["sigma_ratio"] = (("chain", "draw", "late"), np.full((1, 1, 1), 3.0))
    tree = xr.DataTree.from_dict({"posterior": held})
    found, rows = explained_draws(model, tree, "model"), model.design.rows
    mean = rows.X @ list(fixed.values())
    mu = mean + b[0, 0, rows.codes[0]]
    rest = 20.0**2 * np.where(data["late"] == "late", 9.0, 1.0).mean()
    whole = mu.var(ddof=1) / (mu.var(ddof=1) + rest)
    part = mean.var(ddof=1) / (mean.var(ddof=1) + 40.0**2 + rest)
    assert found["conditional"].item() == pytest.approx(whole, rel=EXACT)
    assert found["marginal"].item() == pytest.approx(part, rel=EXACT)


# --- families -------------------------------------------------------------------------


def draws_of(model: Model, values: dict[str, Any], b: np.ndarray) -> xr.DataTree:
    """One draw of every parameter, and of the effects of the only bar term."""
    term = model.design.groups[0]
    name = term.variables[0].name
    held = {
        key: (("chain", "draw"), np.full((1, 1), own)) for key, own in values.items()
    }
    held |= {name: (("chain", "draw", "level"), b)}
    return xr.DataTree.from_dict({"posterior": xr.Dataset(held)})


@pytest.fixture(scope="module")
def cbpp(public_data):
    """glmer's cbpp, with its estimates as the only draw."""
    data = public_data("cbpp")
    data = data.assign(period=data["period"].astype(str), herd=data["herd"].astype(str))
    formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    model = Model(formula, data, family="binomial")
    beta = {"Intercept": -1.398342864471, "1|herd_sigma": 0.642069927729}
    rng = np.random.default_rng(3)
    tree = draws_of(model, beta, rng.normal(0.0, 0.6, (1, 1, 15)))
    held = tree["posterior"].to_dataset()
    periods = [-0.991924974976, -1.128216215943, -1.579745413649]
    held["period"] = (("chain", "draw", "period_dim"), np.reshape(periods, (1, 1, 3)))
    tree["posterior"] = xr.DataTree(held)
    return model, tree


def test_a_binomial_model_is_that_of_performance(cbpp):
    """icc and r2_nakagawa of glmer(..., family = binomial), performance 0.10.2."""
    model, tree = cbpp
    values = drawn_values(model, tree)
    icc = icc_quantities(model.design).of(values)["estimate"].ravel()
    assert icc.tolist() == pytest.approx([0.111356081825, 0.101850373825], rel=1e-8)
    r2 = r2_quantities(model.design).of(values)["estimate"].ravel()
    assert r2.tolist() == pytest.approx([0.0853631687143, 0.1872135425390], rel=1e-8)
    parts = variance_parts(model.design, values)
    peer = [0.345519497731, 0.412253792094, 3.289868133696]
    ours = [parts.fixed.item(), parts.random.item(), parts.residual.item()]
    assert ours == pytest.approx(peer, rel=1e-8)


def test_bayesian_r2_of_counts_out_of_trials(cbpp):
    """As rstanarm's bayes_R2: of the counts, with n p (1 - p)."""
    model, tree = cbpp
    rows, n = model.design.rows, model.recipe.trials
    held = tree["posterior"]
    beta = np.r_[held["Intercept"].item(), held["period"].to_numpy().ravel()]
    b = held[model.design.groups[0].variables[0].name].to_numpy().ravel()
    p = 1 / (1 + np.exp(-(rows.X @ beta + b[rows.codes[0]])))
    found = explained_draws(model, tree, "model")
    assert list(found) == ["conditional"]
    spread = (n * p).var(ddof=1)
    expected = spread / (spread + (n * p * (1 - p)).mean())
    assert found["conditional"].item() == pytest.approx(expected, rel=EXACT)


def counts(family: str, offset: bool) -> tuple[Model, xr.DataTree, dict[str, float]]:
    """A model of counts with one draw."""
    rng = np.random.default_rng(5)
    data = pd.DataFrame({"x": rng.normal(size=60), "g": rng.integers(0, 6, 60)})
    data["t"] = rng.uniform(1.0, 3.0, 60)
    data["y"] = rng.poisson(2.0, 60)
    part = " + offset(log(t))" if offset else ""
    model = Model(f"y ~ x{part} + (1 | g)", data, family=family)
    values = {"Intercept": 0.4, "x": 0.3, "1|g_sigma": 0.7, "alpha": 2.5}
    if family == "poisson":
        del values["alpha"]
    return model, draws_of(model, values, np.zeros((1, 1, 6))), values


@pytest.mark.parametrize("offset", [False, True])
@pytest.mark.parametrize("family", ["poisson", "negativebinomial"])
def test_counts_have_the_variance_of_a_log_normal(family, offset):
    """With the mean and variance of a count that is expected on average."""
    model, tree, values = counts(family, offset)
    drawn = drawn_values(model, tree)
    b = scipy.stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000) * 0.7
    eta = model.design.rows.X @ [0.4, 0.3]
    if offset:
        eta += model.design.rows.offset
    expected = np.exp(eta).mean() * np.exp(b).mean()
    count = expected_count(model, drawn.beta, drawn.roots).item()
    assert count == pytest.approx(expected, rel=1e-4)
    variance = count + count**2 / values["alpha"] if "alpha" in values else count
    sd = drawn.sigma.item()
    log_normal = scipy.stats.lognorm(sd, scale=count * np.exp(-(sd**2) / 2))
    assert log_normal.mean() == pytest.approx(count, rel=EXACT)
    assert log_normal.var() == pytest.approx(variance, rel=1e-9)


def test_expected_counts_without_predictors_are_nakagawas():
    """exp(b0 + s2 / 2)."""
    data = pd.DataFrame({"y": [0, 1, 2, 3, 1, 4], "g": list("aabbcc")})
    model = Model("y ~ 1 + (1 | g)", data, family="poisson")
    beta, root = np.array([[[0.4]]]), np.array([[[[0.7]]]])
    found = expected_count(model, beta, (root,)).item()
    assert found == pytest.approx(np.exp(0.4 + 0.7**2 / 2), rel=EXACT)


MU, P, N = 2.3, 0.3, 7.0
OTHERS = {"alpha": 1.7, "kappa": 4.0, "sigma": 0.6, "b": 0.8}
SCIPY = {
    "bernoulli": (P, scipy.stats.bernoulli(P)),
    "beta": (P, scipy.stats.beta(P * 4.0, (1 - P) * 4.0)),
    "beta_binomial": (P, scipy.stats.betabinom(7, P * 4.0, (1 - P) * 4.0)),
    "binomial": (P, scipy.stats.binom(7, P)),
    "exponential": (MU, scipy.stats.expon(scale=MU)),
    "gamma": (MU, scipy.stats.gamma(1.7, scale=MU / 1.7)),
    "gaussian": (MU, scipy.stats.norm(MU, 0.6)),
    "laplace": (MU, scipy.stats.laplace(MU, 0.8)),
    "lognormal": (MU, scipy.stats.lognorm(0.6, scale=np.exp(MU))),
    "negativebinomial": (MU, scipy.stats.nbinom(1.7, 1.7 / (1.7 + MU))),
    "poisson": (MU, scipy.stats.poisson(MU)),
}


def test_variances_of_responses_are_scipys():
    """In PyMC's parametrisation, which the expected responses are tested in."""
    others = {name: np.full(1, own) for name, own in OTHERS.items()}
    known = {name for name, own in FAMILIES.items() if own.spread is not None}
    assert known == set(SCIPY)
    for name, (parent, peer) in SCIPY.items():
        family, trials = FAMILIES[name], np.full(1, N)
        found = family.spread(np.full(1, parent), others, trials)
        assert found.item() == pytest.approx(peer.var(), rel=EXACT), name
        eta = family.link.forward(np.full(1, parent))
        mean = family.mean(eta, others, trials if family.trials else None)
        assert mean.item() == pytest.approx(peer.mean(), rel=EXACT), name


def test_variance_of_one_trial_is_the_logistics():
    found = FAMILIES["bernoulli"].latent(np.zeros(1), {})
    assert found.item() == pytest.approx(scipy.stats.logistic.var(), rel=EXACT)


def test_families_without_are_refused():
    data = pd.DataFrame({"y": np.linspace(0.1, 2.0, 12), "g": list("abcd") * 3})
    values = {"Intercept": 1.0, "1|g_sigma": 0.1, "alpha": 2.0, "kappa": 1.0}
    words = {"gamma": "'gamma' has none that is agreed upon; .*poisson"}
    words["vonmises"] = "'vonmises' has none"
    for family, own in words.items():
        model = Model("y ~ 1 + (1 | g)", data, family=family)
        with pytest.raises(ModelError, match=own):
            drawn_values(model, draws_of(model, values, np.zeros((1, 1, 4))))
    tree = draws_of(model, values, np.zeros((1, 1, 4)))
    with pytest.raises(ModelError, match="Angles have no variance"):
        explained_draws(model, tree, "residuals")
    model = Model("y ~ 1 + (1 | g)", data, family="weibull")
    with pytest.raises(ModelError, match=r"'weibull' is not known here; .*residuals"):
        explained_draws(model, tree, "model")
