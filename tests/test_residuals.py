"""Residuals by kind and leverage: dense formulas, live R's numbers, posterior draws."""

import numpy as np
import pandas as pd
import pytest
from helpers import dense_V
from sampling import sample_unchecked
from scipy.stats import norm
from test_response import CASES, frame, quiet

import bayeslmm as lmm
from bayeslmm import DataError, Model, ModelError

# The same algebra by dense matrices, of columns up to 8 SDs from 0.
EXACT = 1e-8
# lme4's optimum is within 1e-5 or so of ours.
PEER = {"rtol": 1e-4, "atol": 2e-6}
KINDS = ("response", "pearson", "scaled", "standardized", "studentized", "marginal")


def dense_rows(fit):
    """Q = V0^-1 - V0^-1 X C X'V0^-1 of a fit, and the precision weights."""
    design = fit.design
    V = dense_V(design, fit.factors, fit.sigma) / fit.sigma**2
    inverse, X = np.linalg.inv(V), design.rows.X
    taken = inverse @ X @ np.linalg.inv(X.T @ inverse @ X) @ X.T @ inverse
    weights = design.rows.weights
    return inverse - taken, np.ones(design.n) if weights is None else weights


@pytest.mark.parametrize("weights", [None, "weight"])
@pytest.mark.parametrize("case", CASES)
def test_leverage_and_residuals_are_the_dense_ones(case, weights):
    fit = quiet(lambda: Model(CASES[case], frame(), weights=weights).fit_reml())
    Q, w = dense_rows(fit)
    hat = 1.0 - np.diag(Q) / w
    np.testing.assert_allclose(fit.hatvalues(), hat, atol=EXACT)
    y, sigma = fit.design.rows.net, fit.sigma
    raw = Q @ y / w
    scaled = np.sqrt(w) * raw / sigma
    expected = {
        "response": raw,
        "pearson": np.sqrt(w) * raw,
        "scaled": scaled,
        # by their covariance under the model, Q V Q = sigma^2 Q
        "standardized": (Q @ y) / (sigma * np.sqrt(np.diag(Q))),
        "marginal": y - fit.design.rows.X @ fit.beta,
    }
    for kind, values in expected.items():
        close = {"rtol": EXACT, "atol": EXACT * max(np.abs(values).max(), 1.0)}
        np.testing.assert_allclose(fit.residuals(kind), values, **close)


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_studentized_is_sigma_without_the_row(method, sleepstudy):
    model = Model("Reaction ~ Days + (Days | Subject)", sleepstudy)
    fit = model.fit_reml(method=method)
    Q, _ = dense_rows(fit)
    y, left = fit.design.rows.y, fit.design.n - fit.design.p - 1
    for i in (0, 56, 59):
        without = (y @ Q @ y - (Q @ y)[i] ** 2 / Q[i, i]) / left
        expected = (Q @ y)[i] / np.sqrt(Q[i, i] * without)
        assert fit.residuals("studentized")[i] == pytest.approx(expected, rel=EXACT)


def test_lme4_has_the_same_numbers(sleepstudy, public_data):
    """lme4 1.1-31: ``hatvalues(m)``, ``cooks.distance(m)``, ``rstudent(m)``."""
    fit = Model("Reaction ~ Days + (Days | Subject)", sleepstudy).fit_reml()
    at = [0, 1, 56, 59, 99, 179]
    hat = [0.229304037740, 0.169729993799, 0.121876251522, *[0.293177188099] * 3]
    cook = [0.004963132514815, 0.040206201855609, 2.119889074630149]
    cook += [4.332163703464922, 0.000259547031729, 0.012860616002899]
    student = [-0.1826537630741, -0.6271795643179, 5.5270053280899]
    student += [-4.5704358607141, 0.0353763663093, -0.2490210583249]
    np.testing.assert_allclose(fit.hatvalues()[at], hat, **PEER)
    assert fit.hatvalues().sum() == pytest.approx(29.0221239506, rel=1e-5)
    np.testing.assert_allclose(fit.cooks_distance()[at], cook, **PEER)
    np.testing.assert_allclose(fit.residuals("standardized")[at], student, **PEER)
    data = public_data("Penicillin")
    fit = Model("diameter ~ 1 + (1 | plate) + (1 | sample)", data).fit_reml()
    np.testing.assert_allclose(fit.hatvalues(), 0.190780273372, **PEER)
    cook = [1.0343353732363, 0.0526188734061, 0.0421237493469, 0.5399957736208]
    np.testing.assert_allclose(fit.cooks_distance()[[0, 1, 49, 143]], cook, **PEER)


def test_words_of_lme4(sleepstudy):
    data = sleepstudy.assign(w=np.linspace(0.5, 2.0, len(sleepstudy)))
    fit = Model("Reaction ~ Days + (1 | Subject)", data, weights="w").fit_reml()
    for word, kind in {
        "working": "response",
        "deviance": "pearson",
        "conditional": "response",
        "studentised": "studentized",
    }.items():
        np.testing.assert_array_equal(fit.resid(word), fit.residuals(kind))
    np.testing.assert_allclose(
        fit.resid("deviance", scaled=True), fit.residuals("scaled")
    )
    np.testing.assert_allclose(fit.resid(scaled=True) * fit.sigma, fit.residuals())


def test_errors(sleepstudy):
    model = Model("Reaction ~ Days + (1 | Subject)", sleepstudy)
    fit = model.fit_reml()
    with pytest.raises(ModelError, match=r"'person'\. Did you mean 'pearson'"):
        fit.residuals("person")
    with pytest.raises(ModelError, match="'standardized' ones are unit-free"):
        fit.resid("standardized", scaled=True)
    streamed = Model("Reaction ~ Days + (1 | Subject)", [sleepstudy, sleepstudy])
    for asked in (fit.__class__.hatvalues, fit.__class__.residuals):
        with pytest.raises(DataError, match="not in memory"):
            asked(streamed.fit_reml())


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_a_row_that_the_fit_passes_through_has_no_standardised_residual(seed):
    """Rounding over rounding is no residual: it was NaN, 0 or 0.03 by chance."""
    data = frame(seed).assign(alone=0.0)
    data.loc[5, "alone"] = 1.0
    data["x"] += 1e6
    formula = "y ~ x + alone + (x | g) + (1 | h)"
    fit = quiet(lambda: Model(formula, data, weights="weight").fit_reml())
    assert fit.hatvalues()[5] == 1.0
    for kind in ("standardized", "studentized"):
        own = fit.residuals(kind)
        assert np.isnan(own[5])
        assert np.isfinite(np.delete(own, 5)).all()


# --- posterior ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def weighted():
    """REML and a short posterior of a weighted crossed model."""
    data = frame()
    formula, priors = "y ~ x + (x | g) + (1 | h)", {"common": "flat"}
    model = Model(formula, data, weights="weight", priors=priors)
    post = sample_unchecked(model, draws=20, chains=2, seed=5, method="importance")
    return quiet(model.fit_reml), post


def test_standardised_over_draws_is_dense(weighted):
    """Each draw by explicit inverses: what is left out predicted by all others."""
    _, post = weighted
    design = post.model.design
    y, X, w = design.rows.net, design.rows.X, design.rows.weights
    sigma = post.draws("sigma").ravel()
    sd = [post.draws(f"{name}_sigma").ravel() for name in ("1|g", "x|g", "1|h")]
    corr = post.draws("g_corr[Intercept:x]").ravel()
    own, densities, below = [], [], []
    for s, scale in enumerate(sigma):
        a, b, c = (one[s] for one in sd)
        cov = np.array([[a * a, a * b * corr[s]], [a * b * corr[s], b * b]])
        V = dense_V(design, (np.linalg.cholesky(cov), np.array([[c]])), scale)
        inverse = np.linalg.inv(V)
        C = np.linalg.inv(X.T @ inverse @ X)
        P = inverse - inverse @ X @ C @ X.T @ inverse
        own.append((P @ y) / np.sqrt(np.diag(P)))
        # predicted by all others: y_i - (Py)_i / P_ii, variance 1 / P_ii
        spread = 1.0 / np.sqrt(np.diag(P))
        densities.append(norm.pdf(P @ y * spread**2, scale=spread))
        below.append(norm.cdf(P @ y * spread**2, scale=spread))
    assert w is not None
    np.testing.assert_allclose(
        post.residuals("standardized"), np.mean(own, axis=0), atol=EXACT
    )
    weight = 1.0 / np.array(densities)
    pit = (weight * np.array(below)).sum(axis=0) / weight.sum(axis=0)
    np.testing.assert_allclose(norm.cdf(post.residuals("studentized")), pit, atol=EXACT)


def test_a_row_predicted_by_all_others_is_so_with_the_priors():
    """By inverses of the whole covariance of y: prior of x, none of the intercept."""
    data = frame()
    data["y"] += 3.0 * data["x"]
    priors = {"Intercept": "flat", "x": "Normal(0.5, 0.2)"}
    model = Model("y ~ x + (1 | g)", data, weights="weight", priors=priors)
    post = sample_unchecked(model, draws=10, chains=1, seed=5, method="importance")
    x = data["x"].to_numpy()
    y, one, weight, below = model.design.rows.y - 0.5 * x, np.ones(len(x)), [], []
    sigmas, sds = post.draws("sigma").ravel(), post.draws("1|g_sigma").ravel()
    for sigma, sd in zip(sigmas, sds, strict=True):
        V = dense_V(model.design, (np.array([[sd]]),), sigma) + 0.04 * np.outer(x, x)
        inverse = np.linalg.inv(V)
        P = inverse - np.outer(inverse @ one, inverse @ one) / inverse.sum()
        own, root = (P @ y) / np.sqrt(np.diag(P)), np.sqrt(np.diag(P))
        weight.append(1.0 / (root * norm.pdf(own)))
        below.append(norm.cdf(own))
    pit = np.average(below, axis=0, weights=weight)
    found = post.residuals("studentized")
    np.testing.assert_allclose(norm.cdf(found), pit, atol=EXACT)
    assert np.corrcoef(found, x)[0, 1] > 0.5  # the prior does not let x fit


def test_both_sides_have_the_same_kinds(weighted):
    reml, post = weighted
    for kind in KINDS:
        ours, theirs = reml.residuals(kind), post.residuals(kind)
        assert ours.shape == theirs.shape
        assert np.corrcoef(ours, theirs)[0, 1] > 0.98
    np.testing.assert_allclose(
        post.resid("pearson", scaled=True), post.residuals("scaled")
    )
    with pytest.raises(ModelError, match="Unknown kind"):
        post.residuals("raw_")


@pytest.mark.slow
def test_other_families_have_two_kinds():
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"g": np.repeat(list("abcdef"), 6), "x": rng.normal(size=36)})
    data["n"] = rng.poisson(3.0, 36)
    model = lmm.Model("n ~ x + (1 | g)", data, family="poisson")
    post = sample_unchecked(model, draws=20, tune=50, chains=1, seed=1)
    assert post.residuals().shape == post.residuals("marginal").shape == (36,)
    with pytest.raises(ModelError, match="kinds 'response' and 'marginal'"):
        post.residuals("pearson")
