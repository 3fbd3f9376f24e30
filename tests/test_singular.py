"""Singular fits, translated: the ridge, the smaller models, the sentences."""

import warnings
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from helpers import dense_V, finite_difference, response
from sampling import sample_unchecked, unchecked
from scipy.optimize import minimize

import bayeslmm as lmm
from bayeslmm import FitWarning, Model, ModelError
from bayeslmm.reml.held import HeldPair
from bayeslmm.reml.late import problem_of
from bayeslmm.reml.profiled import DevianceProfile
from bayeslmm.reml.ridges import null_weights, planes_at
from bayeslmm.reml.turned import turned_problem

# The searches end within 1e-7 of the criterion in its own units of the gradient.
SEARCHED = 1e-5
SLOPES = "score ~ edu + (edu | classroom)"


def fitted(formula: str, data: object, **options: object) -> lmm.RemlFit:
    """A fit that may be singular."""
    with warnings.catch_warnings(), unchecked():
        warnings.simplefilter("ignore", FitWarning)
        return Model(formula, data, **options).fit_reml()


@pytest.fixture(scope="module")
def slopes(classrooms: pd.DataFrame) -> lmm.RemlFit:
    """Three classrooms, the correlation -1."""
    return fitted(SLOPES, classrooms)


@pytest.fixture(scope="module")
def ranked() -> lmm.RemlFit:
    """Effects of three levels of a factor in two dimensions."""
    rng = np.random.default_rng(5)
    g, f = np.divmod(np.arange(8 * 3), 3)
    b = rng.normal(size=(8, 2)) @ np.array([[2.0, 0.5, -1.0], [0.3, 1.0, 1.5]])
    data = pd.DataFrame({"g": g.astype(str), "f": np.array(list("abc"))[f]})
    data = pd.concat([data] * 6, ignore_index=True)
    y = np.tile(b[g, f], 6) + 3.0 * rng.normal(size=len(data))
    return fitted("y ~ f + (0 + f | g)", data.assign(y=y))


@pytest.fixture
def quick() -> Iterator[None]:
    """No run-time checks of types: searches call many functions."""
    with unchecked():
        yield


# --- the ridge ------------------------------------------------------------------------


def dense_rise(fit: lmm.RemlFit, sd: float, corr: float) -> float:
    """Rise of the dense REML criterion, the intercept's SD and sigma at their best."""

    def criterion(logs: np.ndarray) -> float:
        """At SD of the intercept and sigma."""
        other, sigma = np.exp(logs)
        factor = np.array(
            [[other, 0.0], [corr * sd, sd * np.sqrt(max(1.0 - corr**2, 0.0))]]
        )
        V, X = dense_V(fit.design, (factor,), sigma), fit.design.rows.X
        inverse = np.linalg.inv(V)
        information = X.T @ inverse @ X
        beta = np.linalg.solve(information, X.T @ inverse @ response(fit.design))
        rest = response(fit.design) - X @ beta
        log_dets = np.linalg.slogdet(V)[1] + np.linalg.slogdet(information)[1]
        constant = (fit.design.n - fit.design.p) * np.log(2.0 * np.pi)
        return float(constant + log_dets + rest @ inverse @ rest)

    start = np.log([fit.varcorr().loc["1|classroom_sigma", "estimate"], fit.sigma])
    best = minimize(criterion, start, method="Nelder-Mead", options={"xatol": 1e-7})
    return float(best.fun) - fit.criterion


@pytest.mark.usefixtures("quick")
def test_the_ridge_is_that_of_the_dense_criterion(slopes: lmm.RemlFit) -> None:
    """At a few points over the SD of the slopes and the correlation."""
    (plane,) = planes_at(slopes)
    assert (plane.sd, plane.corr) == (
        "edu|classroom_sigma",
        "classroom_corr[Intercept:edu]",
    )
    assert plane.corrs[0] == -1.0
    for i, j in ((0, 1), (6, 2), (12, 5), (4, 0)):
        expected = dense_rise(slopes, plane.sds[j], plane.corrs[i])
        assert plane.rise[i, j] == pytest.approx(expected, abs=1e-4)
    np.testing.assert_allclose(np.ptp(plane.rise[:, 0]), 0.0, atol=SEARCHED)


@pytest.mark.parametrize("corr", [-1.0, -0.3, 0.8])
def test_the_gradient_of_a_held_pair(slopes: lmm.RemlFit, corr: float) -> None:
    """Of the deviance by the other SD and log sigma, by finite differences."""
    problem = problem_of(slopes)
    relative = tuple(factor / slopes.sigma for factor in slopes.factors)
    turned = turned_problem(
        problem, relative, slopes.theta, 0, np.array([[0.0, 1.0], [1.0, 0.0]])
    )
    pair = HeldPair(turned.problem, (0, 1, 2), turned.lead, corr)
    profile = DevianceProfile(pair, 1.0, turned.best, 0.0)
    rest = pair.start(turned.best) + np.array([0.1, 0.05])

    def value(at: np.ndarray) -> float:
        return profile._deviance(0.3, at, None)[0]

    gradient = profile._deviance(0.3, rest, None)[1]
    np.testing.assert_allclose(gradient, finite_difference(value, rest), rtol=1e-5)


@pytest.mark.usefixtures("quick")
def test_a_lost_rank_is_a_combination_that_does_not_vary(ranked: lmm.RemlFit) -> None:
    """Its variance is 0, its profile starts there, and the sentence has its weights."""
    assert ranked.status.singular
    found = ranked.explain_singular()
    (slope,) = found.slopes
    assert slope.weights is not None
    root = slope.weights @ ranked.factors[0]
    assert np.linalg.norm(root) < 1e-8 * np.abs(ranked.factors[0]).max()
    assert slope.lower == slope.rise[0] == 0.0
    assert slope.upper > 0.0
    assert np.linalg.norm(null_weights(ranked.factors[0])) == pytest.approx(1.0)
    assert any("the SD of " in one and "f[" in one for one in found.messages)


# --- the smaller models ---------------------------------------------------------------


@pytest.mark.usefixtures("quick")
def test_the_smaller_model_is_that_of_a_fit(
    slopes: lmm.RemlFit, classrooms: pd.DataFrame
) -> None:
    """Criterion, AIC, fixed effects with their SEs, sigma."""
    found = slopes.explain_singular()
    other = fitted("score ~ edu + (1 | classroom)", classrooms)
    row = found.table.loc["edu in (edu | classroom)"]
    assert row["chisq"] == pytest.approx(other.criterion - slopes.criterion, abs=1e-6)
    assert row["aic"] == pytest.approx(other.aic, abs=1e-6)
    own = found.fixef.xs("edu in (edu | classroom)", level="without")
    summary = other.summary()
    for label in ("Intercept", "edu", "sigma"):
        expected = summary.loc[label, "estimate"]
        assert own.loc[label, "estimate"] == pytest.approx(expected, rel=1e-5)
    se = summary.loc[["Intercept", "edu"], "se"]
    np.testing.assert_allclose(own["se"][:2], se, rtol=1e-4)
    assert found.table.loc["<none>", "aic"] == slopes.aic


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_units_change_no_test(classrooms: pd.DataFrame) -> None:
    """Thousandths of the response, hundreds of the predictor, another order of rows."""
    changed = classrooms.assign(
        score=1e3 * classrooms["score"], edu=classrooms["edu"] / 100.0
    ).iloc[::-1]
    tables = [fitted(SLOPES, d).explain_singular() for d in (classrooms, changed)]
    columns = ["chisq", "df", "p", "p_mixture"]
    first, second = (found.table[columns].to_numpy(float) for found in tables)
    np.testing.assert_allclose(first, second, atol=1e-5)
    assert len(tables[0].messages) == len(tables[1].messages)


# --- sentences ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_pupils(slopes: lmm.RemlFit) -> None:
    """What a reader of a correlation of -1 needs."""
    post = sample_unchecked(slopes.model, draws=500, chains=2, seed=1)
    found = slopes.explain_singular(post)
    text = " ".join(found.messages)
    assert found.singular
    sd = slopes.varcorr()["estimate"]
    at = sd["1|classroom_sigma"] / sd["edu|classroom_sigma"]
    assert f"cross at edu = {at:.1f}, " in text
    assert "all values from -1 to 1 lie in its 95% profile interval" in text
    assert "the criterion is 0.54 higher with 2 parameters less: p = 0.614" in text
    assert "with (1 | classroom) in its place" in text
    draws = post.draws("edu|classroom_sigma").ravel()
    limit = found.posterior.loc["edu|classroom_sigma", "small"]
    rms = np.sqrt(np.square(slopes.design.rows.X[:, 1]).mean())
    assert limit == pytest.approx(0.1 * slopes.sigma / rms)
    chance = found.posterior.loc["edu|classroom_sigma", "probability"]
    assert chance == (draws < limit).mean()
    assert f") = {chance:.2f}, an SD that moves a typical row by 10%" in text
    wider = slopes.explain_singular(post, small=0.5).posterior
    assert wider.loc["edu|classroom_sigma", "probability"] > chance
    assert "<ul>" in found._repr_html_()
    assert repr(found).startswith("- REML is singular. The correlation")
    figure = found.plot()
    (ax,) = figure.axes
    dots = ax.collections[-1].get_offsets()
    assert len(dots) > 100
    assert ax.get_xlabel() == "edu|classroom_sigma (score per edu)"
    said = " ".join(lmm.reading(slopes, post))
    assert "the criterion is 0.54 higher" in said
    assert "explain_singular() says more" in said


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("name", "formula", "words"),
    [
        (
            "Dyestuff2",
            "Yield ~ 1 + (1 | Batch)",
            ("highest at 0 for 1|Batch_sigma", "nothing in its place", "exact null"),
        ),
        (
            "score_parentedu_byclass",
            "score ~ edu + (edu || classroom)",
            ("highest at 0 for edu|classroom_sigma", "without (0 + edu | classroom)"),
        ),
        (
            "score_parentedu_byclass",
            "score ~ edu + cs(edu | classroom)",
            ("classroom", "Without cs(edu | classroom)"),
        ),
    ],
)
def test_other_kinds(
    public_data: object, name: str, formula: str, words: tuple[str, ...]
) -> None:
    """An SD of 0, with and without others beside it; a shared correlation."""
    fit = fitted(formula, public_data(name))
    assert fit.status.singular
    found = fit.explain_singular()
    text = " ".join(found.messages)
    assert all(one in text for one in words)
    assert "explain_singular(post)" in text
    assert found.posterior is None
    figure = lmm.plot_singular(fit)
    lines = [line for ax in figure.axes for line in ax.lines]
    assert max(line.get_ydata().max() for line in lines[:1]) <= 1.0 + SEARCHED


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_crossed_factors_with_none_between() -> None:
    """One of two crossed SDs is 0, and the other is not spoken of."""
    rng = np.random.default_rng(1)
    plate, batch = (own.ravel() for own in np.meshgrid(range(12), range(6)))
    y = 2.0 * rng.normal(size=12)[plate] + rng.normal(size=plate.size)
    data = pd.DataFrame(
        {"y": y, "plate": plate.astype(str), "batch": batch.astype(str)}
    )
    data["y"] -= data.groupby("batch")["y"].transform("mean")  # nothing between them
    fit = fitted("y ~ 1 + (1 | plate) + (1 | batch)", data)
    assert fit.status.boundary == ("1|batch_sigma",)
    found = fit.explain_singular()
    assert list(found.table.index) == ["<none>", "(1 | batch)"]
    assert "p_exact" not in found.table
    assert "mixture for a null at the boundary" in " ".join(found.messages)


@pytest.mark.usefixtures("quick")
def test_a_fit_that_is_not_singular_says_how_far_it_is(
    sleepstudy: pd.DataFrame,
) -> None:
    """The least rise of the criterion to a smaller model."""
    fit = fitted("Reaction ~ Days + (Days | Subject)", sleepstudy)
    found = fit.explain_singular()
    assert not found.singular
    assert "not singular" in found.messages[0]
    assert "without Days in (Days | Subject)" in found.messages[1]
    assert "criterion is 42.8 higher (p < 0.001)" in found.messages[1]
    with pytest.raises(ModelError, match="no ridge to draw: REML is not singular"):
        lmm.plot_singular(fit)


def test_arguments(slopes: lmm.RemlFit, classrooms: pd.DataFrame) -> None:
    """What is none of their values is said."""
    for small in (0, -1.0, "0.1", None, float("nan"), True):
        with unchecked(), pytest.raises(ModelError, match="small is the share"):
            slopes.explain_singular(small=small)
    with unchecked(), pytest.raises(ModelError, match="post must be what model"):
        slopes.explain_singular(slopes.summary())
    other = Model("score ~ edu + (1 | classroom)", classrooms)
    post = sample_unchecked(other, draws=50, chains=2, seed=1)
    with unchecked(), pytest.raises(ModelError, match="Give the posterior of the same"):
        slopes.explain_singular(post)
    for wrong in (None, post, "x"):
        with unchecked(), pytest.raises(ModelError, match="plot_singular draws a Reml"):
            lmm.plot_singular(wrong)
