"""REML and ML fits: laws, the boundary, standard errors, messages.

lme4's figures are in test_lme4_reference.py.
"""

import warnings

import numpy as np
import pandas as pd
import pytest
from helpers import dense_conditional, dense_criterion, dense_V, response
from hypothesis import given, settings, strategies as st

from bayeslmm import (
    DataError,
    FitWarning,
    Model,
    ModelError,
    simulate_classrooms,
)
from bayeslmm.design.arrays import parameters
from bayeslmm.fit import optimise, reml as reml_module, remlpredict, remltables
from bayeslmm.fit.criterion import profiled_problem
from bayeslmm.fit.optimise import minimise

# The same algebra by two routes.
EXACT = 1e-10
# Two searches for one minimum: criteria agree to 1e-9, estimates to its square root.
SAME_OPTIMUM, SAME_ESTIMATE = 1e-7, 1e-4
# Hessians by differences on both sides.
HESSIAN_RTOL = 1e-3

METHODS = ("REML", "ML")
seeds = st.integers(0, 2**32 - 1)


def toy(seed, n=60, levels=6, sds=(1.0, 0.7), sigma=0.8):
    """A frame with y, x, w, and two crossed groups g and h; unequal sizes."""
    rng = np.random.default_rng(seed)
    g = np.concatenate([np.arange(levels), rng.integers(0, levels, n - levels)])
    h = np.concatenate([np.arange(4), rng.integers(0, 4, n - 4)])
    x, w = rng.normal(size=(2, n))
    b = rng.normal(size=(levels, 2)) * sds
    y = 2.0 + 0.5 * x + b[g, 0] + b[g, 1] * x + sigma * rng.normal(size=n)
    return pd.DataFrame(
        {"y": y, "x": x, "w": w, "g": [f"g{i}" for i in g], "h": [f"h{i}" for i in h]}
    )


def fit(formula, data, method="REML", **options):
    """A fit whose warning about the boundary is not the subject."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        return Model(formula, data, **options).fit_reml(method=method)


def estimates(reml):
    return reml.summary()["estimate"]


# --- laws -----------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=10)
@given(seed=seeds)
def test_adding_fixed_effects_to_y_moves_only_beta(method, seed):
    data = toy(seed)
    moved = data.assign(y=data["y"] + 3.0 - 1.7 * data["x"])
    one, other = (fit("y ~ x + (x | g)", d, method) for d in (data, moved))
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
    one = fit("y ~ x + (x || g)", data, method)
    other = fit("y ~ x + (x || g)", data.assign(y=scale * data["y"]), method)
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
    one = fit("y ~ x + (x | g) + (1 | h)", data)
    other = fit("y ~ x + (x | g) + (1 | h)", renamed)
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
    """cs and ar1 with their own SDs have the parameters of us when k = 2."""
    data = toy(seed)
    us, cs, ar1 = (
        fit(f"y ~ x + {bar}", data) for bar in ("(x | g)", "cs(x | g)", "hetar1(x | g)")
    )
    assert cs.criterion == pytest.approx(us.criterion, abs=SAME_OPTIMUM)
    assert ar1.criterion == pytest.approx(us.criterion, abs=SAME_OPTIMUM)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "formula",
    [
        "y ~ x + (x | g)",
        "y ~ x + w + (x + w | g)",
        "y ~ x + (x || g) + (1 | h)",
        "y ~ x + cs(x + w | g)",
        "y ~ x + ar1(0 + x + w | g)",
    ],
)
@settings(max_examples=10)
@given(seed=seeds)
def test_no_neighbour_is_lower_in_the_dense_criterion(method, formula, seed):
    """Any other covariance near the optimum has a higher criterion, boundary or not."""
    rng = np.random.default_rng(seed)
    reml = fit(formula, toy(seed, n=40, sds=(0.6, 0.2)), method)
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
    reml = fit("y ~ x + (x | g) + (1 | h)", toy(seed))
    dense = dense_conditional(reml.design, reml.factors, reml.sigma)
    for t, term in enumerate(reml.design.groups):
        assert reml.effects.b[t] == pytest.approx(dense.b[t], abs=1e-8)
        for condvar, covs in (
            ("given_beta", dense.b_cov_given_beta),
            ("joint", dense.b_cov),
        ):
            table = reml.ranef(condvar)
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
    XtVX = design.X.T @ Vinv @ design.X
    beta = np.linalg.solve(XtVX, design.X.T @ Vinv @ response(design))
    residual = response(design) - design.X @ beta
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
    assert "not one point: the data do not tell 1|g_sigma, " in reml.status.message


# --- the boundary ---------------------------------------------------------------------


def test_no_variance_between_levels_is_exactly_zero(public_data):
    model = Model("Yield ~ 1 + (1 | Batch)", public_data("Dyestuff2"))
    with pytest.warns(FitWarning, match=r"The SD of 1\|Batch is estimated as 0"):
        reml = model.fit_reml()
    assert reml.theta[0].tolist() == [0.0]
    assert reml.factors[0].tolist() == [[0.0]]
    assert reml.status.converged
    assert reml.status.singular
    assert reml.status.boundary == ("1|Batch_sigma",)
    row = reml.summary().loc["1|Batch_sigma"]
    assert row["estimate"] == 0.0
    assert np.isnan(row[["se", "lower", "upper"]].astype(float)).all()
    assert reml.information.reasons == {"1|Batch_sigma": "on the boundary"}
    assert (reml.ranef()[["estimate", "sd"]] == 0.0).all().all()
    assert np.isfinite(reml.summary().loc["sigma", "se"])


def test_perfect_correlation_is_exactly_minus_one(classrooms):
    model = Model("score ~ edu + (edu | classroom)", classrooms)
    message = "The correlation Intercept:edu of classroom is estimated as -1"
    with pytest.warns(FitWarning, match=message):
        reml = model.fit_reml()
    label = "classroom_corr[Intercept:edu]"
    assert reml.status.boundary == (label,)
    assert reml.varcorr().loc[label, "estimate"] == -1.0
    assert reml.factors[0][1, 1] == 0.0
    assert reml.loglik == pytest.approx(-88.598683, abs=1e-6)
    assert np.isnan(reml.summary().loc[label, "se"])
    assert np.isfinite(reml.summary().loc["1|classroom_sigma", "se"])


def test_independent_slope_without_variance(classrooms):
    reml = fit("score ~ edu + (edu || classroom)", classrooms)
    assert reml.varcorr().loc["edu|classroom_sigma", "estimate"] == 0.0
    assert reml.loglik == pytest.approx(-88.86756, abs=1e-5)
    intercept = fit("score ~ edu + (1 | classroom)", classrooms)
    assert reml.criterion == pytest.approx(intercept.criterion, abs=1e-8)
    kept = ["Intercept", "edu", "1|classroom_sigma", "sigma"]
    columns = ["estimate", "se", "lower", "upper"]
    assert reml.summary().loc[kept, columns].to_numpy() == pytest.approx(
        intercept.summary().loc[kept, columns].to_numpy(), rel=SAME_ESTIMATE
    )


def test_lost_rank_is_said_in_words():
    """Three effects per level, one a combination of the others."""
    data = toy(2, n=120, levels=12)
    rng = np.random.default_rng(3)
    b = rng.normal(size=(12, 2))
    g = data["g"].str[1:].astype(int).to_numpy()
    data["y"] = rng.normal(size=120)
    data["y"] += b[g, 0] + b[g, 1] * data["x"] + (b[g, 0] - b[g, 1]) * data["w"]
    with pytest.warns(FitWarning, match=r"\(x \+ w \| g\) has rank 2 of 3"):
        reml = Model("y ~ x + w + (x + w | g)", data).fit_reml()
    assert np.linalg.matrix_rank(reml.factors[0]) == 2
    assert len(reml.status.boundary) == 3  # the correlations


def test_search_leaves_a_zero_that_is_a_saddle():
    """A start with an SD of 0 is stationary, and must be left if the SD is not 0."""
    model = Model("y ~ x + (x | g)", toy(11))
    problem = profiled_problem(model.design, restricted=True)
    found = optimise._settle(problem, np.zeros(problem.m))
    assert found.criterion == pytest.approx(minimise(problem).criterion, abs=1e-8)


def test_shared_correlation_is_searched_from_both_sides():
    """Local minima of cs and ar1: seed 3 was left at an SD of 0, .24 too high."""
    data = toy(3, n=29, levels=5, sds=(0.05, 0.0))
    bar = "homcs(x + w | g)"
    best = fit(f"y ~ x + {bar}", data)
    problem = profiled_problem(best.design, restricted=True)
    for sd in (0.05, 0.3, 1.0):
        for corr in (-0.45, -0.2, 0.3, 0.9):
            found = optimise._settle(problem, np.array([sd, corr]))
            assert best.criterion < found.criterion + SAME_OPTIMUM


@pytest.mark.parametrize("formula", ["y ~ x + (x | g)", "y ~ x + (x || g)"])
@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_bad_units_do_not_matter(formula, unit):
    data = toy(4, n=100, levels=10)
    one = fit(formula, data)
    other = fit(formula, data.assign(x=unit * data["x"]))
    # REML integrates over beta, whose unit changed with x
    assert other.criterion == pytest.approx(
        one.criterion + 2 * np.log(unit), abs=SAME_OPTIMUM
    )
    slope = "x|g_sigma"
    assert other.status.converged
    assert not other.status.singular
    assert estimates(other)[slope] * unit == pytest.approx(
        estimates(one)[slope], rel=SAME_ESTIMATE
    )


@pytest.mark.parametrize("origin", [2e3, 1e6])
def test_dates_fit_as_time_since_the_start(origin):
    """Calendar years, or days since year 0: X'X alone would have lost all digits."""
    data = toy(6, n=200, levels=12)
    data["x"] = np.round(5 * data["x"])
    one = fit("y ~ x + (x | g)", data)
    other = fit("y ~ x + (x | g)", data.assign(x=data["x"] + origin))
    assert other.status.converged
    assert other.criterion == pytest.approx(one.criterion, abs=SAME_OPTIMUM)
    assert other.fitted() == pytest.approx(one.fitted(), abs=1e-6)
    same = ["x", "x|g_sigma", "sigma"]
    columns = ["estimate", "se"]
    assert other.summary().loc[same, columns].to_numpy() == pytest.approx(
        one.summary().loc[same, columns].to_numpy(), rel=SAME_ESTIMATE
    )


def test_response_far_from_zero():
    data = toy(6)
    one = fit("y ~ x + (x | g)", data)
    other = fit("y ~ x + (x | g)", data.assign(y=data["y"] + 1e8))
    assert other.criterion == pytest.approx(one.criterion, abs=1e-5)
    assert other.sigma == pytest.approx(one.sigma, rel=SAME_ESTIMATE)


def test_signal_far_above_the_noise():
    reml = fit("y ~ x + (1 | g)", toy(7, sds=(1.0, 0.0), sigma=1e-4))
    assert reml.status.converged
    assert 0.5e-4 < reml.sigma < 2e-4
    assert reml.theta[0][0] > 1e3


# --- how a fit ends -------------------------------------------------------------------


def test_collapsing_sigma_is_reported():
    data = toy(8)
    data["y"] = data["g"].str[1:].astype(float) ** 2
    with pytest.warns(FitWarning, match="did not converge: the residual SD goes to 0"):
        reml = Model("y ~ 1 + (1 | g)", data).fit_reml()
    assert not reml.status.converged


def test_failed_search_is_reported(monkeypatch):
    """No step allowed: what is found is reported as no minimum, in a sentence."""
    monkeypatch.setattr(optimise, "ROUGH", {"maxiter": 1})
    monkeypatch.setattr(optimise, "NEWTON_STEPS", 1)
    with pytest.warns(FitWarning, match="did not converge: after [0-9]+ evaluations"):
        reml = Model("y ~ x + (x | g)", toy(9)).fit_reml()
    assert not reml.status.converged
    assert reml.status.gradient_norm > 1e-3


def test_one_warning_and_it_points_outside_the_package(classrooms):
    model = Model("score ~ edu + (edu | classroom)", classrooms)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit_reml()
    assert [w.category for w in caught] == [FitWarning]
    assert not caught[0].filename.startswith(reml_module.PACKAGE)


def test_a_good_fit_is_silent():
    data = simulate_classrooms(n_classrooms=20, n_pupils=25, seed=1).data
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reml = Model("score ~ edu + (edu | classroom)", data).fit_reml()
    assert reml.status.message == "The REML criterion is at its minimum."
    assert reml.status.boundary == ()
    assert reml.status.gradient_norm < 1e-3


def test_response_without_noise_is_refused():
    data = toy(10)
    with pytest.raises(ModelError, match=r"no residual variance in 60 rows of 'z'"):
        Model("z ~ x + (1 | g)", data.assign(z=2 * data["x"])).fit_reml()


def test_unknown_method_and_family_are_refused():
    data = toy(1)
    with pytest.raises(ModelError, match="Unknown method 'reml'"):
        reml_module._check(Model("y ~ x + (1 | g)", data), "reml")
    counts = data.assign(y=np.arange(len(data)) % 7)
    with pytest.raises(ModelError, match="has 'poisson'"):
        Model("y ~ x + (1 | g)", counts, family="poisson").fit_reml()


# --- tables ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sleep_fit(sleepstudy):
    return fit("Reaction ~ Days + (Days | Subject)", sleepstudy)


def test_every_table_has_the_labels_in_order(sleep_fit):
    labels = [parameter.label for parameter in parameters(sleep_fit.design)]
    assert sleep_fit.summary().index.to_list() == labels
    assert sleep_fit.confint().index.to_list() == labels
    assert sleep_fit.fixef().index.to_list() == labels[:2]
    assert sleep_fit.varcorr().index.to_list() == labels[2:]
    assert sleep_fit.summary()["component"].to_list() == [
        *["fixef"] * 2,
        *["sd"] * 2,
        "corr",
        "sigma",
    ]


def test_variances_belong_to_their_sds(sleep_fit):
    table = sleep_fit.varcorr()
    covariance = sleep_fit.factors[0] @ sleep_fit.factors[0].T
    assert table["variance"].to_numpy() == pytest.approx(
        [covariance[0, 0], covariance[1, 1], covariance[0, 1], sleep_fit.sigma**2]
    )
    corr = table.loc["Subject_corr[Intercept:Days]"]
    assert (corr["effect1"], corr["effect2"]) == ("Intercept", "Days")
    assert table.loc["sigma", "group"] == "Residual"
    assert table.loc["sigma", "effect1"] is None


def test_wald_interval_of_fixed_effects(sleep_fit):
    table = sleep_fit.summary(level=0.9)
    fixed = table.head(2)
    reach = 1.6448536269514722 * fixed["se"].to_numpy()
    assert fixed["upper"].to_numpy() == pytest.approx(fixed["estimate"] + reach)
    assert fixed["lower"].to_numpy() == pytest.approx(fixed["estimate"] - reach)
    with pytest.raises(ModelError, match=r"level=95\.0 is no coverage"):
        sleep_fit.confint(level=95.0)


def test_coefficients_are_fixed_plus_random(sleep_fit):
    coef, ranef = sleep_fit.coef(), sleep_fit.ranef()
    assert coef[["group", "level", "effect"]].equals(
        ranef[["group", "level", "effect"]]
    )
    fixed = ranef["effect"].map(sleep_fit.fixef()["estimate"])
    assert coef["estimate"].to_numpy() == pytest.approx(fixed + ranef["estimate"])


def test_coefficients_of_terms_that_only_vary_or_do_not_vary():
    reml = fit("y ~ w + (1 | g) + (0 + x | g) + (1 | h)", toy(12))
    coef = reml.coef().set_index(["group", "level", "effect"])["estimate"]
    random = reml.ranef().set_index(["group", "level", "effect"])["estimate"]
    assert coef["g", "g0", "x"] == random["g", "g0", "x"]
    assert coef["g", "g0", "w"] == reml.fixef().loc["w", "estimate"]
    assert coef["h", "h1", "Intercept"] == pytest.approx(
        reml.beta[0] + random["h", "h1", "Intercept"], rel=EXACT
    )


def test_conditional_sd_with_beta_known_and_integrated(classrooms):
    """lme4's condVar takes beta as known: .208; with beta integrated out 1.781."""
    reml = fit("score ~ edu + (1 | classroom)", classrooms)
    assert reml.ranef().loc[0, "sd"] == pytest.approx(0.2080, abs=1e-4)
    assert reml.ranef("joint").loc[0, "sd"] == pytest.approx(1.781, abs=1e-3)
    with pytest.raises(ModelError, match="Unknown condvar='known'"):
        remltables.ranef_table(reml, "known")


def test_predictions_for_old_and_new_levels():
    data = toy(13)
    reml = fit("y ~ x + (x | g) + (1 | h)", data)
    assert reml.predict() == pytest.approx(reml.fitted(), rel=EXACT)
    assert reml.predict(data) == pytest.approx(reml.fitted(), rel=EXACT)
    assert reml.residuals() == pytest.approx(data["y"] - reml.fitted(), rel=EXACT)
    population = reml.predict(data, random=False)
    assert population == pytest.approx(reml.design.X @ reml.beta, rel=EXACT)
    new = data.assign(g="somebody", h="else")
    assert reml.predict(new) == pytest.approx(population, rel=EXACT)
    assert reml.predict(data[["x"]], random=False) == pytest.approx(population)
    half = data.assign(h="else").head(3)
    with pytest.raises(DataError, match=r"3 rows have levels of 'h' .* else"):
        reml.predict(half, new_levels="error")
    rows = reml.model.recipe.encode(half)
    with pytest.raises(ModelError, match="Unknown new_levels='sample'"):
        remlpredict.new_values(reml.design, rows, reml.beta, None, "sample")


def test_shares_of_variance_of_a_random_intercept(classrooms):
    reml = fit("score ~ edu + (1 | classroom)", classrooms)
    assert reml.icc() == pytest.approx((0.9155814, 0.8999541), abs=1e-6)
    table = reml.varcorr()["variance"]
    assert reml.icc().adjusted == pytest.approx(
        table["1|classroom_sigma"] / table.sum(), rel=EXACT
    )


def test_information_criteria_count_every_parameter(sleep_fit):
    assert sleep_fit.npar == 6
    assert sleep_fit.aic == sleep_fit.criterion + 12
    assert sleep_fit.bic == sleep_fit.criterion + 6 * np.log(180)


def test_a_model_without_fixed_effects_can_be_fitted():
    reml = fit("y ~ 0 + (1 | g)", toy(14))
    assert reml.beta.shape == (0,)
    assert reml.summary().index.to_list() == ["1|g_sigma", "sigma"]
    ml = fit("y ~ 0 + (1 | g)", toy(14), "ML")
    assert ml.criterion == pytest.approx(reml.criterion, rel=EXACT)


def test_repr_says_what_and_how(classrooms):
    text = repr(fit("score ~ edu + (edu | classroom)", classrooms))
    assert text.startswith("score ~ edu + (edu | classroom)\n")
    assert "REML criterion 177.197" in text
    assert "The correlation Intercept:edu of classroom is estimated as -1" in text
    assert "classroom_corr[Intercept:edu]" in text
