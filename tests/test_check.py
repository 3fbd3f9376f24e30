"""Checks of assumptions: statistics by scipy and car, what they find, what they say."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats as st
from helpers import dense_V
from sampling import unchecked
from test_response import CASES, WEIGHED, frame, quiet

from bayeslmm import DataError, Model, ModelError
from bayeslmm.marginal.saferows import safe_rows
from bayeslmm.marginal.standardizing import make_standardizer
from bayeslmm.reml.check import holm
from bayeslmm.reml.check_statistics import anderson_darling
from bayeslmm.reml.collinearity import inflation_table
from bayeslmm.reml.late import problem_of

EXACT = 1e-8
LEVELS, ROWS = 20, 8


def fitted(formula, data, **options):
    """The REML fit, without its warnings about the boundary."""
    return quiet(lambda: Model(formula, data, **options).fit_reml())


def toy(seed=0, levels=LEVELS, rows=ROWS):
    """Rows of a model that holds, with what it is made of."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(levels), rows)
    x, b, e = (rng.normal(size=size) for size in (len(g), levels, len(g)))
    when = np.tile(np.arange(rows), levels)
    data = pd.DataFrame({"y": x + b[g] + e, "x": x, "g": g.astype(str), "when": when})
    return data, g, rng


def checked(data, formula="y ~ x + (1 | g)", **options):
    """The check of a fit, at the speed of a user."""
    with unchecked():
        return fitted(formula, data).check(**options)


def looked_at(found):
    """What is to be looked at: check and of what."""
    look = found.table[found.table["verdict"] == "look"]
    return set(zip(look.index, look["of"], strict=True))


# --- the numbers ----------------------------------------------------------------------


@pytest.mark.parametrize(("case", "weights"), WEIGHED)
def test_residuals_and_effects_have_variance_one_under_the_model(case, weights):
    """Their map is linear: R V R' has ones on its diagonal, dense."""
    fit = fitted(CASES[case], frame(), weights=weights)
    rows = safe_rows(fit.design, fit.model.conditioned, "a test")
    theta = problem_of(fit).start  # inside the parameter space
    relative = problem_of(fit).factors(theta)
    seen = make_standardizer(rows, relative)(np.eye(fit.nobs))
    factors = problem_of(fit).data_factors(theta)
    V = dense_V(fit.design, factors, 1.0)
    R = seen.residual.T
    np.testing.assert_allclose(np.diag(R @ V @ R.T), 1.0, atol=EXACT)
    for effects in seen.effects:
        B = effects.reshape(fit.nobs, -1).T
        np.testing.assert_allclose(np.diag(B @ V @ B.T), 1.0, atol=EXACT)


def test_responses_of_the_model_have_its_covariance():
    fit = fitted("y ~ x + (x | g) + (1 | h)", frame(), weights="weight")
    rows = safe_rows(fit.design, fit.model.conditioned, "a test")
    problem = problem_of(fit)
    standard = make_standardizer(rows, problem.factors(problem.start))
    Y = standard.simulate(np.random.default_rng(1), 20_000)
    V = dense_V(fit.design, problem.data_factors(problem.start), 1.0)
    # an entry of the covariance of so many draws is this far off, 5 times at most
    error = np.sqrt((np.outer(np.diag(V), np.diag(V)) + V**2) / len(Y))
    assert (np.abs(np.cov(Y.T) - V) < 5.5 * error).all()


def test_statistics_are_those_of_scipy():
    rng = np.random.default_rng(3)
    values = rng.standard_t(4, size=(3, 60))
    theirs = [
        st.anderson(row, "norm", method="interpolate").statistic for row in values
    ]
    np.testing.assert_allclose(anderson_darling(values), theirs, rtol=1e-10)
    data, g, _ = toy(2)
    fit = fitted("y ~ x + (1 | g)", data)
    table = fit.check(seed=1).table
    own = fit.residuals("standardized")
    row = table[table["of"] == "g"].loc["scale"]
    F = st.f_oneway(*(np.abs(own[g == j]) for j in range(LEVELS))).statistic
    between = F * (LEVELS - 1)  # F = (share / (J - 1)) / ((1 - share) / (n - J))
    assert row["value"] == pytest.approx(between / (between + len(g) - LEVELS))
    trend = table[table["of"] == "fitted values"].loc["scale"]
    expected = np.corrcoef(np.abs(own), fit.fitted())[0, 1]
    assert trend["value"] == pytest.approx(expected)
    pairs = own.reshape(LEVELS, ROWS)
    one, other = pairs[:, :-1].ravel(), pairs[:, 1:].ravel()
    lag = one @ other / np.sqrt((one @ one) * (other @ other))
    assert table.loc["autocorrelation", "value"] == pytest.approx(lag)
    assert table.loc["outliers", "value"] == pytest.approx(np.abs(own).max())


def test_inflation_is_that_of_car_and_performance(public_data):
    """car 3.1-1 ``vif(m)``, performance ``check_collinearity(m)``, of lme4 fits."""
    data = public_data("rat_pup")
    fit = fitted("weight ~ treatment * sex + litsize + (1 | litter)", data)
    table = inflation_table(fit.design, fit.beta_cov)
    theirs = {"treatment": 1.56407967414, "sex": 2.37241928216}
    theirs |= {"litsize": 1.21313138393, "treatment:sex": 2.85309797578}
    assert table["vif"].to_dict() == pytest.approx(theirs, rel=1e-5)
    plain = fitted("weight ~ treatment + sex + litsize + (1 | litter)", data)
    table = inflation_table(plain.design, plain.beta_cov)
    theirs = {"treatment": 1.21091373841, "sex": 1.00367339019}
    theirs |= {"litsize": 1.21116782733}
    assert table["vif"].to_dict() == pytest.approx(theirs, rel=1e-5)
    np.testing.assert_allclose(table["se_factor"], table["vif"] ** (0.5 / table["df"]))
    alone = fitted("weight ~ litsize + (1 | litter)", data)
    assert len(inflation_table(alone.design, alone.beta_cov)) == 0


def test_holm_is_the_textbook():
    """R: p.adjust(c(.01, .04, .03, NA, .005), "holm")."""
    found = holm(np.array([0.01, 0.04, 0.03, np.nan, 0.005]))
    np.testing.assert_allclose(found, [0.03, 0.06, 0.06, np.nan, 0.02])


# --- what it finds --------------------------------------------------------------------


def test_a_model_that_holds():
    found = checked(toy(1)[0])
    assert found.ok
    assert found.table["verdict"].eq("ok").all()
    assert found.messages[0].startswith("Nothing speaks against the model (normality,")
    assert "6 tests beside 999 responses that it makes" in found.messages[0]
    assert repr(found) == "\n".join(found.messages)
    assert list(found.table.columns) == [
        *("of", "statistic", "value", "expected", "p", "p_holm", "verdict")
    ]


def skewed(data, g, rng):
    data["y"] += rng.exponential(size=len(g)) * 4.0


def growing(data, g, rng):
    data["y"] = 10.0 + 4.0 * data["x"] + rng.normal(size=len(g)) * np.exp(data["x"])


def uneven(data, g, rng):
    data["y"] += 5.0 * rng.normal(size=len(g)) * (g % 4 == 0)


def wild(data, g, rng):
    del g, rng
    data.loc[33, "y"] += 9.0


def in_series(data, g, rng):
    for j in range(LEVELS):
        e = rng.normal(size=ROWS)
        for i in range(1, ROWS):
            e[i] += 0.95 * e[i - 1]
        data.loc[g == j, "y"] += 3.0 * e


def two_kinds(data, g, rng):
    del rng
    data["y"] += 12.0 * (g < 4)


FOUND = {
    skewed: ("normality", "residuals", "skewed to the right"),
    growing: ("scale", "fitted values", "grow with the fitted values"),
    uneven: ("scale", "g", "differs between levels of g"),
    wild: ("outliers", "residuals", "Row 33 ("),
    in_series: ("autocorrelation", "g", "in the order of the rows, are alike"),
    two_kinds: ("normality", "g: Intercept", "effects g: Intercept look less normal"),
}


@pytest.mark.parametrize("departure", FOUND)
def test_what_is_there_is_found_and_said(departure):
    data, g, rng = toy(4)
    departure(data, g, rng)
    found = checked(data)
    check, of, words = FOUND[departure]
    assert not found.ok
    assert (check, of) in looked_at(found)
    assert any(words in one for one in found.messages)


def test_collinear_predictors_are_named():
    data, g, rng = toy(5)
    data["z"] = data["x"] + 0.1 * rng.normal(size=len(g))
    found = checked(data, "y ~ x + z + (1 | g)")
    assert looked_at(found) == {("collinearity", "x"), ("collinearity", "z")}
    assert "nearly determine x (VIF" in found.messages[0]


def test_a_level_that_moves_the_estimates_is_named():
    data, g, _ = toy(6)
    data.loc[g == 7, "x"] *= 4.0
    data.loc[g == 7, "y"] -= data.loc[g == 7, "x"]
    found = checked(data)
    assert ("influence", "g") in looked_at(found)
    assert any(one.startswith("G 7 moves the estimate of") for one in found.messages)


def test_few_levels_say_nothing_of_their_shape():
    data, *_ = toy(7, levels=3, rows=30)
    found = checked(data)
    assert found.ok
    assert "g: Intercept" not in set(found.table["of"])
    assert "The 3 levels of g say nothing on the shape" in found.messages[1]


# --- time -----------------------------------------------------------------------------


def test_order_by_time_does_not_depend_on_the_order_of_the_rows():
    data, g, rng = toy(4)
    in_series(data, g, rng)
    mixed = data.sample(frac=1.0, random_state=1)
    found = [checked(data), checked(data, time=data["when"])]
    found += [checked(mixed, time=time) for time in (data["when"], mixed["when"])]
    found.append(checked(mixed, time=mixed["when"].to_numpy()))
    values = [one.table.loc["autocorrelation", "value"] for one in found]
    np.testing.assert_allclose(values, values[0], rtol=1e-8)
    assert "If that is their order in time" in found[0].messages[-1]
    assert "in order of time, are alike" in found[1].messages[-1]
    assert abs(checked(mixed).table.loc["autocorrelation", "value"]) < 0.3


def test_time_of_rows_that_were_dropped():
    data, *_ = toy(8)
    data.loc[5, "x"] = np.nan
    fit = quiet(lambda: Model("y ~ x + (1 | g)", data).fit_reml())
    kept = data["when"].drop(index=5)
    with unchecked():
        found = [
            fit.check(time=time).table.loc["autocorrelation", "value"]
            for time in (data["when"].to_numpy(), data["when"], kept, kept.to_numpy())
        ]
    np.testing.assert_allclose(found, found[0])


def test_errors(sleepstudy):
    fit = fitted("Reaction ~ Days + (1 | Subject)", sleepstudy)
    with pytest.raises(ModelError, match=r"Did you mean 'Days'.* time=data\['day'\]"):
        fit.check(time="day")
    with pytest.raises(DataError, match=r"180 rows used .* of shape \(3,\)"):
        fit.check(time=[1, 2, 3])
    with pytest.raises(DataError, match="time has missing values"):
        fit.check(time=np.full(180, np.nan))
    with pytest.raises(DataError, match="cannot be ordered"):
        fit.check(time=np.array([{}, "a"] * 90, dtype=object))
    with pytest.raises(ModelError, match="within='subject' is no grouping factor"):
        fit.check(within="subject")
    streamed = Model("Reaction ~ Days + (1 | Subject)", [sleepstudy, sleepstudy])
    with pytest.raises(DataError, match="checks of all rows would need them"):
        quiet(streamed.fit_reml).check()


# --- its size -------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("levels", "rows", "formula"),
    [
        (3, 20, "y ~ x + (1 | g)"),
        (18, 10, "y ~ x + (x | g)"),
        (40, 3, "y ~ x + (1 | g)"),
    ],
)
def test_a_model_that_holds_is_rarely_told_to_look(levels, rows, formula):
    """Of 400 data sets of each kind: in all at most 5% told, each test at 5%."""
    told, tests = 0, []
    for seed in range(400):
        data, _, rng = toy(1000 + seed, levels, rows)
        if "(x" in formula:
            slopes = 0.5 * rng.normal(size=levels)
            data["y"] += slopes[data["g"].astype(int)] * data["x"]
        found = checked(data, formula, seed=seed)
        told += not found.ok
        tests.append(found.table["p"].dropna().to_numpy() <= 0.05)
    # 4 of its own standard errors of a share of 0.05 in 400
    error = np.sqrt(0.05 * 0.95 / 400)
    assert told / 400 < 0.05 + 4.0 * error
    shares = np.mean([row for row in tests if len(row) == len(tests[0])], axis=0)
    assert (shares < 0.05 + 4.0 * error).all()
