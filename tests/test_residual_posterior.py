"""Structured residuals under the posterior: density, priors, draws, PyMC's graphs."""

import numpy as np
import pandas as pd
import pytest
from helpers import finite_difference
from pytensor.compile.mode import Mode
from residual_cases import dense_R, residual_values
from sampling import sample_unchecked, unchecked
from scipy.stats import beta, multivariate_normal

from bayeslmm import DataError, Model, PriorError
from bayeslmm.posterior.target import Target, make_target

# Differences of fourth order; the trapezoidal rule on 40 x 40 points.
GRADIENT, GRID = 1e-6, 1e-3


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Six subjects, five days each."""
    rng = np.random.default_rng(8)
    s, day = np.repeat(np.arange(6), 5), np.tile(np.arange(5), 6)
    y = 2.0 + rng.normal(size=6)[s] + rng.normal(size=30)
    part = np.where(day < 2, "a", "b")
    return pd.DataFrame({"y": y, "day": day, "s": [f"s{i}" for i in s], "part": part})


def target_of(model: Model) -> Target:
    """What its samplers call."""
    return make_target(model.design, model.conditioned, model.priors)


@pytest.mark.parametrize(
    ("formula", "residual"),
    [
        ("y ~ day + (1 | s)", "varident(part) * ar1(day | s)"),
        ("y ~ day", "varident(part) * cs(s)"),
        ("y ~ 1 + (day | s)", "varident(part)"),
    ],
)
def test_the_gradient_is_that_of_the_density(
    frame: pd.DataFrame, formula: str, residual: str
) -> None:
    """Likelihood, priors and Jacobians."""
    target = target_of(Model(formula, frame, residual=residual))
    x = target.start + np.random.default_rng(1).normal(0, 0.3, target.start.size)
    numeric = finite_difference(lambda z: target(z)[0], x)
    np.testing.assert_allclose(target(x)[1], numeric, rtol=GRADIENT, atol=GRADIENT)


def test_quadrature_is_the_textbook(frame: pd.DataFrame) -> None:
    """Means of sigma and rho by a dense normal density on a grid, beta integrated."""
    priors = {"common": "Normal(0, 10)", "sigma": "HalfNormal(2)", "rho": "Beta(3, 2)"}
    model = Model(
        "y ~ 1", frame, residual="ar1(day | s)", priors=priors, center_predictors=False
    )
    with unchecked():
        table = model.quadrature().table
    design, y = model.design, frame["y"].to_numpy()
    ones = np.ones((30, 30))
    sigma, x = np.linspace(0.3, 3.0, 40), np.linspace(-2.2, 2.2, 40)
    logs = np.empty((40, 40))
    for j, own in enumerate(x):
        R = dense_R(design, np.array([own]))
        _, rho = residual_values(design, np.array([own]))
        prior = beta(3, 2).logpdf((1 + rho) / 2) + np.log1p(-(rho**2))
        for i, s in enumerate(sigma):
            V = s**2 * R + 100.0 * ones
            logp = -0.5 * (np.linalg.slogdet(V)[1] + y @ np.linalg.solve(V, y))
            logs[i, j] = logp - 0.5 * (s / 2.0) ** 2 + prior
    weight = np.exp(logs - logs.max())
    weight /= weight.sum()
    mean = weight.sum(axis=1) @ sigma
    assert table.loc["sigma", "mean"] == pytest.approx(mean, rel=GRID)
    mean = weight.sum(axis=0) @ np.tanh(x)
    assert table.loc["rho", "mean"] == pytest.approx(mean, abs=GRID)


@pytest.mark.slow
def test_draws_by_points_are_those_of_the_lattice(frame: pd.DataFrame) -> None:
    """Importance against quadrature; stored effects are those drawn on demand."""
    model = Model("y ~ 1 + (1 | s)", frame, residual="ar1(day | s)")
    options = {"draws": 250, "chains": 4, "seed": 1, "method": "importance"}
    stored = model.sample(**options)
    exact = model.quadrature().table
    table = stored.summary()
    apart = (table["mean"] - exact["mean"]) / exact["sd"]
    assert apart.abs().max() < 0.2  # four Monte Carlo errors
    late = model.sample(**options, keep="summary")
    assert late.ranef(levels=["s1", "s4"])["mean"].to_numpy() == pytest.approx(
        stored.ranef(levels=["s1", "s4"])["mean"].to_numpy(), abs=1e-12
    )
    draws = stored.predict_draws(frame.head(2), kind="response")
    assert draws.shape == (4, 250, 2)
    assert stored.varcorr().loc["rho", "variance"] == pytest.approx(
        float((stored.draws("rho") * stored.draws("sigma") ** 2).mean())
    )


def test_noise_of_new_rows_is_refused_where_it_has_no_correlation(
    frame: pd.DataFrame,
) -> None:
    """It was NaN, or that of the nearest step, without a word.

    Subjects more alike than chance, not wholly: then rho has no posterior.
    """
    flat = frame.assign(y=frame["y"] - 0.8 * frame.groupby("s")["y"].transform("mean"))
    for residual, new, words in (
        ("cs(s)", {"s": ["n"] * 40}, "has 40 rows, and so many cannot all"),
        ("ar1(day | s)", {"s": ["n"] * 2, "day": [0.0, 0.4]}, "are 0.4 of day apart"),
    ):
        model = Model("y ~ 1", flat, residual=residual)
        post = sample_unchecked(model, draws=50, chains=1, seed=1)
        rows = pd.DataFrame(new)
        with pytest.raises(DataError, match=words):
            post.predict_draws(rows, kind="response", level="new")
        assert np.isfinite(post.predict_draws(rows, level="new")).all()


# --- priors ---------------------------------------------------------------------------


def test_priors_are_shown_and_changed(frame: pd.DataFrame) -> None:
    """By the set, by the keys sigma_ratio and rho; LKJ and flat are Betas."""
    residual = "varident(part) * ar1(day | s)"
    shown = {
        row[0]: row[1] for row in Model("y ~ 1", frame, residual=residual).priors.labels
    }
    assert shown["sigma_ratio[b]"] == "LogNormal(mu=0, sigma=1)"
    assert shown["rho"] == "Beta(alpha=2, beta=2)"
    given = {"sigma_ratio": "HalfNormal(2)", "rho": "LKJ(3)"}
    model = Model("y ~ 1", frame, residual=residual, priors=given)
    shown = {row[0]: row[1] for row in model.priors.labels}
    assert shown["sigma_ratio[b]"] == "HalfNormal(sigma=2)"
    assert shown["rho"] == "Beta(alpha=3, beta=3)"
    flat = Model("y ~ 1", frame, residual=residual, priors="flat").priors.labels
    assert dict(row[:2] for row in flat)["rho"] == "Beta(alpha=1, beta=1)"


@pytest.mark.parametrize(
    ("priors", "words"),
    [
        ({"rho": "Normal(0, 1)"}, "rho has a range with two ends"),
        ({"rho": "Beta(0, 1)"}, r"Beta\(0, 1\): both arguments must be positive"),
        ({"rho": "Uniform(0, 0.5)"}, "rho may be anywhere from -"),
        ({"rho": "LKJ(-2)"}, r"LKJ\(-2\): its argument must be positive"),
        ({"sigma_ratio": "Normal(0, 1)"}, "allows negative values"),
        ({"phi": "Beta(1, 1)"}, "Keys: .*sigma_ratio, rho"),
    ],
)
def test_priors_that_cannot_be_are_refused(
    frame: pd.DataFrame, priors: dict[str, str], words: str
) -> None:
    """With what they may be."""
    with pytest.raises(PriorError, match=words):
        Model("y ~ 1", frame, residual="varident(part) * cs(s)", priors=priors)


# --- PyMC -----------------------------------------------------------------------------

# Evaluated a few times: compiling would take ten times as long.
PLAIN = Mode(linker="py", optimizer=None)


def at_point(target: Target, graph, x: np.ndarray) -> dict[str, np.ndarray]:
    """The point of the integrated graph that x is."""
    point, own = graph.initial_point(), x[target.residual]
    ratios = len(target.conditioned.stack.law.counts) - 1
    point["sigma_log__"] = np.array(x[target.space.sigma])
    if ratios:
        point["sigma_ratio_log__"] = own[:ratios]
    if len(own) > ratios:
        point["rho_unit_logodds__"] = np.array(2.0 * own[-1])
    if target.terms:
        point["1|s_sigma_log__"] = np.array(x[1])
    return point


@pytest.mark.parametrize(
    ("formula", "residual"),
    [
        ("y ~ day + (1 | s)", "varident(part) * ar1(day | s)"),
        ("y ~ day", "varident(part) * cs(s)"),
    ],
)
def test_the_integrated_graph_is_the_target(
    frame: pd.DataFrame, formula: str, residual: str
) -> None:
    """The same density at random points, up to the constant of logodds."""
    model = Model(formula, frame, residual=residual)
    target, rng = target_of(model), np.random.default_rng(2)
    graph = model.to_pymc(marginal=True)
    logp = graph.compile_logp(mode=PLAIN)
    apart = []
    for _ in range(3):
        x = target.start + rng.normal(0, 0.3, target.start.size)
        apart.append(float(logp(at_point(target, graph, x))) - target(x)[0])
    np.testing.assert_allclose(apart, -np.log(2.0), atol=1e-7)


@pytest.mark.parametrize("residual", ["varident(part) * ar1(day | s)", "cs(s)"])
def test_the_joint_graph_has_the_dense_likelihood(
    frame: pd.DataFrame, residual: str
) -> None:
    """Each response given those before it: together the normal density of all."""
    data = frame.assign(w=np.linspace(0.5, 2.0, 30))
    model = Model("y ~ 1", data, residual=residual, weights="w")
    design, rng = model.design, np.random.default_rng(4)
    x = rng.normal(0, 0.4, len(design.residual.parameters))
    graph = model.to_pymc()
    point = graph.initial_point()
    point["sigma_log__"], point["Intercept"] = np.array(0.3), np.array(1.7)
    if "sigma_ratio_log__" in point:
        point["sigma_ratio_log__"] = x[:1]
    point["rho_unit_logodds__"] = np.array(2.0 * x[-1])
    found = float(graph.compile_logp(vars=graph.observed_RVs, mode=PLAIN)(point))
    V = np.exp(0.6) * dense_R(design, x)
    expected = multivariate_normal(np.full(30, 1.7), V).logpdf(frame["y"])
    assert found == pytest.approx(expected, rel=1e-9)
