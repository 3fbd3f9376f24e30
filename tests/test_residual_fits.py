"""Structured residuals: what fits say of rows, laws, and all that must refuse."""

import numpy as np
import pandas as pd
import pytest
from residual_cases import dense_R, peer_data, structured_design
from typer.testing import CliRunner

import bayeslmm as lmm
from bayeslmm import DataError, Model, ModelError
from bayeslmm.cli.app import app
from bayeslmm.marginal.objective import second_differences
from bayeslmm.reml.intervals import scale_profile
from bayeslmm.reml.late import problem_of

# The same sums in another order; where two searches end.
EXACT, SEARCHED = 1e-10, 1e-4


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Ten subjects, seven days each, an AR(1) whose SD is twice as large later on."""
    rng = np.random.default_rng(3)
    s, day = np.repeat(np.arange(10), 7), np.tile(np.arange(7), 10)
    e = rng.normal(size=(10, 7))
    for t in range(1, 7):
        e[:, t] = 0.6 * e[:, t - 1] + 0.8 * e[:, t]
    e *= np.where(np.arange(7) < 3, 1.0, 2.0)
    y = 5.0 + 0.4 * day + rng.normal(size=10)[s] + e.ravel()
    part = np.where(day < 3, "a", "b")
    names = [f"s{i}" for i in s]
    return pd.DataFrame({"y": y, "day": day, "s": names, "part": part})


FORMULA, RESIDUAL = "y ~ day + (1 | s)", "varident(part) * ar1(day | s)"


def estimates(data: pd.DataFrame, residual: str = RESIDUAL, formula: str = FORMULA):
    """The estimate of every parameter by REML."""
    return Model(formula, data, residual=residual).fit_reml().summary()["estimate"]


# --- laws -----------------------------------------------------------------------------


def test_laws_of_estimates(frame: pd.DataFrame) -> None:
    """Shift and scale of y, shift and scale of time, order of rows, other names."""
    own = estimates(frame)
    order = np.random.default_rng(1).permutation(len(frame))
    renamed = frame.assign(s="z" + frame["s"].str[::-1], part=frame["part"] + "x")
    for data in (frame.iloc[order], frame.assign(y=frame["y"] + 1e4), renamed):
        found = estimates(data)
        apart = found.to_numpy()[1:] - own.to_numpy()[1:]
        assert np.abs(apart).max() < SEARCHED * np.abs(own).max()
    scaled = estimates(frame.assign(y=1e3 * frame["y"]))
    sizes = [1.0 if label.startswith(("sigma_", "rho")) else 1e3 for label in own.index]
    np.testing.assert_allclose(scaled, own * sizes, rtol=SEARCHED)
    moved = estimates(frame.assign(day=100.0 + 24.0 * frame["day"]))
    for label in ("sigma", "sigma_ratio[b]", "rho"):
        assert moved[label] == pytest.approx(own[label], rel=SEARCHED)


def test_the_first_stratum_is_a_matter_of_words(frame: pd.DataFrame) -> None:
    """With the other first the ratio is its inverse, and the likelihood the same."""
    turned = frame.assign(part=frame["part"].map({"a": "z", "b": "b"}))
    fits = [Model(FORMULA, d, residual=RESIDUAL).fit_reml() for d in (frame, turned)]
    assert fits[0].loglik == pytest.approx(fits[1].loglik, abs=1e-7)
    (one, _), (other, _) = (fit.residual_values for fit in fits)
    assert one * other == pytest.approx(1.0, rel=SEARCHED)
    assert fits[1].sigma == pytest.approx(one * fits[0].sigma, rel=SEARCHED)


def test_cs_is_a_random_intercept(frame: pd.DataFrame) -> None:
    """The same covariance of y, where the correlation is positive."""
    own = Model("y ~ day", frame, residual="cs(s)").fit_reml()
    other = Model("y ~ day + (1 | s)", frame).fit_reml()
    assert own.loglik == pytest.approx(other.loglik, abs=1e-7)
    within = own.sigma**2 * (1.0 - own.residual_values[0])
    assert np.sqrt(within) == pytest.approx(other.sigma, rel=SEARCHED)
    assert own.npar == other.npar


def test_another_response_is_another_model(frame: pd.DataFrame) -> None:
    """Sums of patterns with another y, by refits, and by a model of new data."""
    fit = Model(FORMULA, frame, residual=RESIDUAL).fit_reml()
    y = fit.simulate(1, seed=4)[0]
    again = Model(FORMULA, frame.assign(y=y), residual=RESIDUAL).fit_reml()
    refitted = fit.refit(y)
    assert refitted.loglik == pytest.approx(again.loglik, abs=1e-7)
    both = refitted.summary()["estimate"], again.summary()["estimate"]
    np.testing.assert_allclose(*both, rtol=SEARCHED, atol=SEARCHED)


# --- rows -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["holes", "uneven", "cs"])
def test_noise_has_the_covariance_and_whitens(kind: str) -> None:
    """The root that noise is made by, applied to unit vectors; and its inverse."""
    rng = np.random.default_rng(2)
    design = structured_design(rng, kind, strata=True, n=30)
    structure, rows = design.residual, design.rows.residual
    x = rng.normal(0, 0.5, len(structure.parameters))
    values = structure.natural(x)
    root = np.array([structure.correlate(rows, values, z) for z in np.eye(30)]).T
    root = root * np.asarray(structure.scale(rows, values))[:, None]
    np.testing.assert_allclose(root @ root.T, dense_R(design, x), atol=1e-12)
    z = rng.normal(size=30)
    there = structure.correlate(rows, values, z)
    np.testing.assert_allclose(structure.whiten(rows, values, there), z, atol=1e-12)


# nlme 3.1-162, residuals(type = "normalized"), the first six: sleepstudy, AR(1).
NORMALIZED = [
    *(-0.9180454696756468, -0.46691582242490315, -1.0811981008256517),
    *(1.4510644554038254, 0.9473796307521121, 2.037839495433831),
]


def test_residuals_are_those_of_nlme() -> None:
    """Scaled ones are independent: each given those before it in its series."""
    formula, residual = "Reaction ~ Days + (1 | Subject)", "ar1(Days | Subject)"
    fit = Model(formula, peer_data("sleep"), residual=residual).fit_reml()
    found = fit.residuals("normalized")[:6]
    np.testing.assert_allclose(found, NORMALIZED, rtol=1e-3)
    R = fit.matrices(rows=3).R.to_numpy() / fit.sigma**2
    rho = fit.residual_values[0]
    assert R[0, 1] == pytest.approx(rho, rel=EXACT)
    wide = fit.varcorr()
    assert wide.loc["rho", "variance"] == pytest.approx(rho * fit.sigma**2)


def test_new_rows_have_the_noise_of_their_stratum(frame: pd.DataFrame) -> None:
    """An interval of a response is wider in the stratum of the larger SD."""
    fit = Model(FORMULA, frame, residual=RESIDUAL).fit_reml()
    new = pd.DataFrame({"day": [1, 1], "s": ["s1", "s1"], "part": ["a", "b"]})
    se = fit.predict(new, kind="response")["se"].to_numpy()
    mean = fit.predict(new, kind="mean")["se"].to_numpy()
    noise = np.sqrt(se**2 - mean**2) / fit.sigma
    np.testing.assert_allclose(noise, [1.0, fit.residual_values[0]], rtol=1e-8)
    with pytest.raises(DataError, match=r"level 'c' of 'part'.*no residual SD"):
        fit.predict(new.assign(part=["a", "c"]), kind="response")
    share = fit.varcomp().loc["sigma", "variance"] / fit.sigma**2
    ratio = fit.residual_values[0]
    assert share == pytest.approx(3 / 7 + 4 / 7 * ratio**2, rel=1e-8)


def test_without_bar_terms(frame: pd.DataFrame) -> None:
    """Predictions and tables, and in words what there is not."""
    fit = Model("y ~ day", frame, residual="ar1(day | s)").fit_reml()
    assert fit.npar == 4
    X = np.column_stack([np.ones(3), [0, 1, 2]])
    found = fit.predict(frame.head(3))["estimate"]
    np.testing.assert_allclose(found, X @ fit.beta, rtol=EXACT)
    assert fit.icc()["estimate"].tolist() == [0.0, 0.0]
    for verb in (fit.ranef, fit.coef, fit.ranova):
        with pytest.raises(ModelError, match="no bar term"):
            verb()


# --- tests, intervals, comparison -----------------------------------------------------


def test_satterthwaite_is_the_delta_method(frame: pd.DataFrame) -> None:
    """df = 2 v^2 / (g'A g) with g and A by differences of what the fit says."""
    fit = Model(FORMULA, frame, residual=RESIDUAL).fit_reml()
    problem, theta = problem_of(fit), fit.optimum.theta
    dof, frame_ = problem.dof, np.eye(theta.size)

    def variance(x: np.ndarray) -> float:
        """Of the slope at theta and log sigma."""
        effects = problem.effects(x[:-1])
        best = problem.profile(x[:-1]).sigma
        return effects.beta_cov[1, 1] * np.exp(2.0 * x[-1]) / best**2

    at = np.append(theta, np.log(problem.profile(theta).sigma))
    steps = [1e-5 * e for e in np.eye(at.size)]
    g = np.array([(variance(at + s) - variance(at - s)) / 2e-5 for s in steps])
    hessian = second_differences(
        lambda p: np.array([problem(x)[1] for x in p]), theta, frame_, 1e-4
    )
    slope = problem.log_sigma_slope(theta)
    move = np.vstack([np.eye(theta.size), slope])
    A = move @ np.linalg.inv(0.5 * hessian) @ move.T
    A[-1, -1] += 1.0 / (2.0 * dof)
    expected = 2.0 * variance(at) ** 2 / (g @ A @ g)
    assert fit.summary().loc["day", "df"] == pytest.approx(expected, rel=1e-3)


def test_profiles_fall_by_the_quantile(frame: pd.DataFrame) -> None:
    """At the limits of rho twice the log likelihood has fallen by 3.84."""
    fit = Model("y ~ day", frame, residual="ar1(day | s)").fit_reml()
    problem = problem_of(fit)
    (parameter,) = fit.design.residual.parameters
    profile = scale_profile(fit, parameter, fit.residual_values[0])
    assert profile is not None
    for limit in profile.limits(3.8415):
        fall = problem(np.array([parameter.working(limit)]))[0] - fit.optimum.criterion
        assert fall == pytest.approx(3.8415, rel=1e-3)


def test_models_are_compared(frame: pd.DataFrame) -> None:
    """A structure within another is tested by its parameters; others are refused."""
    plain, strata, series = (
        Model(FORMULA, frame, residual=residual).fit_reml()
        for residual in (None, "varident(part)", RESIDUAL)
    )
    table = lmm.anova(plain, strata, series)
    assert table["df"].tolist()[1:] == [1.0, 1.0]
    assert table.index[-1].endswith(f"residual {RESIDUAL}")
    other = Model(FORMULA, frame, residual="ar1(day | s)").fit_reml()
    with pytest.raises(ModelError, match="no special case of that of the larger"):
        lmm.anova(strata, other)


def test_what_is_not_derived_is_refused(frame: pd.DataFrame) -> None:
    """In words, with what to use instead."""
    model = Model(FORMULA, frame, residual=RESIDUAL)
    fit = model.fit_reml()
    with pytest.raises(ModelError, match="Use ddf='satterthwaite'"):
        fit.summary(ddf="kenward-roger")
    for verb in (lambda: fit.residuals("standardized"), fit.influence):
        with pytest.raises(ModelError, match="take residuals to be independent"):
            verb()
    with pytest.raises(ModelError, match="Bambi has no words"):
        model.to_bambi()
    with pytest.raises(ModelError, match=r"'sigma_ratio\[b\]', 'rho' has no value"):
        model.simulate(beta=fit.beta, factors=fit.factors, sigma=1.0)
    given = {"sigma_ratio[b]": 1.0, "rho": 1.5}
    with pytest.raises(ModelError, match=r"rho is the correlation.*between -1 and 1"):
        model.simulate(beta=fit.beta, factors=fit.factors, sigma=1.0, residual=given)


def test_power_takes_the_estimates(frame: pd.DataFrame) -> None:
    """Studies have the noise of the pilot; the effect is large and always found."""
    fit = Model("y ~ day", frame, residual="ar1(day | s)").fit_reml()
    found = lmm.power(fit, effect="day", parameters={"day": 3.0}, nsim=10, seed=1)
    assert found.table["power"].iloc[0] == 1.0


def test_the_command_line_has_it(frame: pd.DataFrame, tmp_path) -> None:
    """The option is that of the model, and equations say what it means."""
    path = tmp_path / "rows.csv"
    frame.to_csv(path, index=False)
    given = ["explain", str(path), FORMULA, "--residual", RESIDUAL]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0
    for words in (
        f"{FORMULA}, residual {RESIDUAL}",
        "e ~ Normal(0, (sigma * sigma_ratio[part])^2) in each row",
        "corr(e, e') = rho^|day - day'| for two rows of one s",
        "sigma_ratio[b]: the residual SD of b relative to that of a",
        "4 variance parameters in all",
    ):
        assert words in result.output
