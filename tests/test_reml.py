"""REML and ML fits: laws, dense oracles, standard errors of variance parameters.

lme4's figures are in test_lme4_reference.py.
"""

import numpy as np
import pandas as pd
import pytest
from helpers import dense_conditional, dense_criterion, dense_V, response
from hypothesis import given, settings, strategies as st
from reml_cases import estimates, fit, fit_unchecked, toy

# Two searches for one minimum: criteria agree to 1e-9, estimates to its square root.
SAME_OPTIMUM, SAME_ESTIMATE = 1e-7, 1e-4
# Hessians by differences on both sides.
HESSIAN_RTOL = 1e-3

METHODS = ("REML", "ML")
seeds = st.integers(0, 2**32 - 1)


# --- laws -----------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=10)
@given(seed=seeds)
def test_adding_fixed_effects_to_y_moves_only_beta(method, seed):
    data = toy(seed)
    moved = data.assign(y=data["y"] + 3.0 - 1.7 * data["x"])
    one, other = (fit_unchecked("y ~ x + (x | g)", d, method) for d in (data, moved))
    assert other.criterion == pytest.approx(one.criterion, abs=SAME_OPTIMUM)
    assert other.beta == pytest.approx(
        one.beta + np.array([3.0, -1.7]), abs=SAME_ESTIMATE
    )
    assert other.sigma == pytest.approx(one.sigma, rel=SAME_ESTIMATE)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=10)
@given(seed=seeds, scale=st.sampled_from([1e-6, 1e-3, 1e4]))
def test_scaling_y_scales_everything(method, seed, scale):
    data = toy(seed)
    one = fit_unchecked("y ~ x + (x || g)", data, method)
    other = fit_unchecked("y ~ x + (x || g)", data.assign(y=scale * data["y"]), method)
    dof = len(data) - (2 if method == "REML" else 0)
    assert other.criterion == pytest.approx(
        one.criterion + 2 * dof * np.log(scale), abs=SAME_OPTIMUM
    )
    assert estimates(other).to_numpy() / scale == pytest.approx(
        estimates(one).to_numpy(), rel=SAME_ESTIMATE, abs=1e-6
    )


@settings(max_examples=8)
@given(seed=seeds)
def test_order_of_rows_and_names_of_levels_do_not_matter(seed):
    data = toy(seed)
    shuffled = data.sample(frac=1.0, random_state=seed % 1000)
    renamed = shuffled.assign(g=shuffled["g"].map(lambda s: f"z{9 - int(s[1:])}"))
    one = fit_unchecked("y ~ x + (x | g) + (1 | h)", data)
    other = fit_unchecked("y ~ x + (x | g) + (1 | h)", renamed)
    assert other.criterion == pytest.approx(one.criterion, abs=SAME_OPTIMUM)
    assert other.beta == pytest.approx(one.beta, abs=SAME_ESTIMATE)


@settings(max_examples=10)
@given(seed=seeds)
def test_double_bar_is_the_diagonal_structure(seed):
    data = toy(seed)
    one = fit("y ~ x + (x || g)", data)
    other = fit("y ~ x + diag(x | g)", data)
    assert other.criterion == pytest.approx(one.criterion, abs=SAME_OPTIMUM)
    assert other.npar == one.npar


@settings(max_examples=5)
@given(seed=seeds)
def test_two_effects_with_one_correlation_are_unstructured(seed):
    """cs, ar1, toep with their own SDs have the parameters of us when k = 2."""
    data = toy(seed)
    us = fit("y ~ x + (x | g)", data)
    for word in ("cs", "hetar1", "toep"):
        own = fit(f"y ~ x + {word}(x | g)", data)
        assert own.criterion == pytest.approx(us.criterion, abs=SAME_OPTIMUM)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "formula",
    [
        "y ~ x + (x | g)",
        "y ~ x + w + (x + w | g)",
        "y ~ x + (x || g) + (1 | h)",
        "y ~ x + cs(x + w | g)",
        "y ~ x + ar1(0 + x + w | g)",
        "y ~ x + toep(x + w | g)",
    ],
)
@settings(max_examples=4)
@given(seed=seeds)
def test_no_neighbour_is_lower_in_the_dense_criterion(method, formula, seed):
    """Any other covariance near the optimum has a higher criterion, boundary or not."""
    rng = np.random.default_rng(seed)
    reml = fit_unchecked(formula, toy(seed, n=40, sds=(0.6, 0.2)), method)
    design, restricted = reml.design, method == "REML"
    relative = [factor / reml.sigma for factor in reml.factors]
    best = dense_criterion(design, relative, restricted=restricted)[0]
    assert reml.criterion == pytest.approx(best, abs=1e-8)
    assert reml.status.converged
    for size in (0.3, 0.03, 0.003):
        near = []
        for term, factor in zip(design.groups, relative, strict=True):
            if term.structure == "us":
                near.append(factor + size * rng.normal(size=factor.shape))
            else:  # another member of the family: all SDs times one number
                near.append(factor * np.exp(size * rng.normal()))
        found = dense_criterion(design, near, restricted=restricted)[0]
        assert found > best - SAME_OPTIMUM


@settings(max_examples=10)
@given(seed=seeds)
def test_blups_are_the_conditional_mean(seed):
    reml = fit_unchecked("y ~ x + (x | g) + (1 | h)", toy(seed))
    dense = dense_conditional(reml.design, reml.factors, reml.sigma)
    for t, term in enumerate(reml.design.groups):
        assert reml.effects.b[t] == pytest.approx(dense.b[t], abs=1e-8)
        for condvar, covs in (
            ("given_beta", dense.b_cov_given_beta),
            ("joint", dense.b_cov),
        ):
            table = reml.ranef(condvar=condvar)
            sds = table.loc[table["group"] == term.group, "sd"].to_numpy()
            variance = np.einsum("jkk->jk", covs[t]).ravel()
            assert sds**2 == pytest.approx(variance, abs=1e-8)


# --- standard errors of SDs, correlations, sigma --------------------------------------


def working_criterion(reml, x):
    """-log (restricted) likelihood at log SDs, atanh correlations, log sigma; dense."""
    design, at, factors = reml.design, 0, []
    for term in design.groups:
        sd = np.exp(x[at : at + term.k])
        at += term.k
        corr = np.eye(term.k)
        for j in range(term.k):
            for i in range(j + 1, term.k):
                corr[i, j] = corr[j, i] = np.tanh(x[at])
                at += 1
        factors.append(np.linalg.cholesky(np.outer(sd, sd) * corr))
    V = dense_V(design, factors, np.exp(x[at]))
    Vinv = np.linalg.inv(V)
    XtVX = design.rows.X.T @ Vinv @ design.rows.X
    beta = np.linalg.solve(XtVX, design.rows.X.T @ Vinv @ response(design))
    residual = response(design) - design.rows.X @ beta
    value = np.linalg.slogdet(V)[1] + residual @ Vinv @ residual
    if reml.method == "REML":
        value += np.linalg.slogdet(XtVX)[1]
    return 0.5 * value


def dense_hessian(function, x, step=1e-3):
    """Second differences of fourth order in each pair of directions."""
    m = len(x)
    found = np.empty((m, m))
    e = step * np.eye(m)
    for i in range(m):
        for j in range(m):
            found[i, j] = (
                function(x + e[i] + e[j])
                - function(x + e[i] - e[j])
                - function(x - e[i] + e[j])
                + function(x - e[i] - e[j])
            ) / (4 * step**2)
    return found


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "formula", ["y ~ x + (x | g)", "y ~ x + (x || g)", "y ~ x + w + (x + w | g)"]
)
def test_information_is_that_of_the_dense_likelihood(method, formula):
    data = toy(3, n=150, levels=12)
    rng = np.random.default_rng(0)
    slope = dict(zip(sorted(set(data["g"])), rng.normal(size=12), strict=True))
    data["y"] += data["w"] * data["g"].map(slope)
    reml = fit(formula, data, method)
    assert not reml.status.singular
    table = reml.summary().iloc[reml.design.p :]
    is_corr = (table["component"] == "corr").to_numpy()
    x = np.where(is_corr, 0.0, np.log(table["estimate"].abs()))
    x[is_corr] = np.arctanh(table["estimate"].to_numpy()[is_corr])
    hessian = dense_hessian(lambda at: working_criterion(reml, at), x)
    covariance = np.linalg.inv(hessian)
    scale = np.sqrt(np.diag(covariance))
    assert np.diag(reml.information.covariance) == pytest.approx(
        np.diag(covariance), rel=HESSIAN_RTOL
    )
    difference = np.abs(reml.information.covariance - covariance)
    assert (difference / np.outer(scale, scale)).max() < HESSIAN_RTOL
    slopes = np.where(is_corr, 1 - table["estimate"] ** 2, table["estimate"])
    assert table["se"].to_numpy() == pytest.approx(scale * slopes, rel=HESSIAN_RTOL)
    ends = x + 1.959963984540054 * np.array([[-1], [1]]) * scale
    ends = np.where(is_corr, np.tanh(ends), np.exp(ends))
    assert table["lower"].to_numpy() == pytest.approx(ends[0], rel=1e-2)
    assert table["upper"].to_numpy() == pytest.approx(ends[1], rel=1e-2)


def test_what_the_data_do_not_identify_has_no_standard_error():
    """(f || g) with a factor has an SD too many; sigma keeps its SE."""
    rng = np.random.default_rng(5)
    g, f = np.divmod(np.arange(120) % 30, 3)
    effect = rng.normal(size=(10, 3)) + rng.normal(size=(10, 1))
    data = pd.DataFrame({"g": g, "f": np.array(["a", "b", "c"])[f]})
    data["g"] = data["g"].astype(str)
    data["y"] = effect[g, f] + 0.5 * rng.normal(size=120)
    reml = fit("y ~ f + (f || g)", data)
    lost = {k for k, v in reml.information.reasons.items() if "not identified" in v}
    assert "1|g_sigma" in lost
    assert np.isnan(reml.summary().loc[sorted(lost), "se"]).all()
    assert 0 < reml.summary().loc["sigma", "se"] < reml.sigma
    assert "1|g_sigma, " in reml.status.message
    assert "not identified" in reml.status.message
