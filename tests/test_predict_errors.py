"""Errors of predictions: that of the variance parameters, and fits out of the usual."""

import numpy as np
import pandas as pd
import pytest
from predict_cases import balanced, crossed
from sampling import unchecked

import bayeslmm as lmm

EXACT = 1e-9  # same algebra by two routes
WORDS = ("group", "new", "unknown", "population")


@pytest.fixture(scope="module")
def data():
    return crossed()


def test_the_bootstrap_of_a_balanced_design_is_student_s_t():
    """With J levels far apart: the mean, and a new level, are t with J - 1 df."""
    data = balanced(5, 4, 30.0, np.random.default_rng(3))
    fit = lmm.Model("y ~ 1 + (1 | g)", data).fit_reml()
    rows = pd.DataFrame({"g": ["other"] * 2})
    options = {"variances": "estimated", "nsim": 150, "seed": 4, "prob": 0.8}
    known = fit.predict(rows, level="new")
    with unchecked():
        found = fit.predict(rows, level="new", **options)
        few = [fit.predict(rows, level="new", **options | {"nsim": 9}) for _ in "ab"]
    pd.testing.assert_series_equal(found["estimate"], known["estimate"])
    reach = (found["upper"] - found["lower"]) / 2.0 / known["se"]
    # quantile 0.9 of t with 4 df; the error of an empirical quantile is about 0.12
    assert reach.to_numpy() == pytest.approx([1.533] * 2, abs=0.35)
    assert "150 simulated responses" in found.attrs["notes"][0]
    pd.testing.assert_frame_equal(*few)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("J", "sd", "short"), [(5, 1.0, 0.0), (12, 0.5, 0.07)])
@pytest.mark.filterwarnings("ignore::bayeslmm.errors.FitWarning")
def test_intervals_cover_what_they_say(J, sd, short):
    """Frequentist coverage over data sets; few levels need the bootstrap.

    With the variances known the same intervals of few levels are too short. Near an SD
    of 0 they are too short with the bootstrap too, though by less: a fit that ended at
    0 simulates worlds without differences.
    """
    rng, sets = np.random.default_rng(8), 150
    new = pd.DataFrame({"g": ["g0", "other"]})
    options = {"level": "new", "prob": 0.9, "nsim": 150}
    inside = {"known": np.zeros((2, 2)), "estimated": np.zeros((2, 2))}
    g = np.repeat(np.arange(J), 4)
    names = [f"g{i}" for i in g]
    with unchecked():
        for seed in range(sets):
            b = sd * rng.normal(size=J + 1)
            y = 5.0 + b[g] + rng.normal(size=len(g))
            fit = lmm.Model(
                "y ~ 1 + (1 | g)", pd.DataFrame({"y": y, "g": names})
            ).fit_reml()
            mean = 5.0 + b[[0, J]]
            truth = {"mean": mean, "response": mean + rng.normal(size=2)}
            for variances, count in inside.items():
                for row, (kind, value) in enumerate(truth.items()):
                    table = fit.predict(
                        new, kind=kind, variances=variances, seed=seed, **options
                    )
                    lower, upper = table["lower"], table["upper"]
                    count[row] += (lower < value) & (value < upper)
    share = {name: count / sets for name, count in inside.items()}
    error = np.sqrt(0.9 * 0.1 / sets)
    # 150 simulated responses: the quantiles themselves have an error
    assert (share["estimated"] > 0.9 - 3.0 * error - 0.01 - short).all(), share
    assert (share["estimated"] < 0.9 + 3.0 * error + 0.01).all(), share
    # what a level is rests on the SD between levels most
    assert (share["known"][0] < share["estimated"][0]).all(), share


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.FitWarning")
def test_an_sd_of_zero_is_said_where_it_decides():
    data = balanced(6, 5, 0.0, np.random.default_rng(2))
    data["y"] -= data.groupby("g")["y"].transform("mean")
    fit = lmm.Model("y ~ 1 + (1 | g)", data).fit_reml()
    other = pd.DataFrame({"g": ["other"]})
    table = fit.predict(other, level="new")
    assert "SD of 'Intercept' over g is estimated as 0" in repr(table)
    assert table["se"][0] == fit.predict(other, level="population")["se"][0]
    for level in ("group", "population", "unknown"):
        assert len(fit.predict(level=level).attrs["notes"]) == 1


def test_streamed_fits_predict_new_rows(data):
    new = data.head(4).assign(g=["g1", "nobody", "g1", "nobody"]).drop(columns="y")
    batches = [data.iloc[:50], data.iloc[50:]]
    formula = "y ~ x + (x | g) + (1 | h)"
    reml = lmm.Model(formula, data, weights="w").fit_reml()
    fit = lmm.Model(formula, batches, weights="w").fit_reml()
    ours, theirs = (f.predict(new, level="new", kind="response") for f in (reml, fit))
    pd.testing.assert_frame_equal(ours, theirs, rtol=1e-4)
    with pytest.raises(lmm.DataError, match="read in batches"):
        fit.predict(new, level="new", variances="estimated")


def test_without_random_effects_all_words_say_the_same(data):
    """A model of residuals alone: the variance of X beta, and of the stratum."""
    strata = data.assign(s=np.where(np.arange(len(data)) % 2, "a", "b"))
    fit = lmm.Model("y ~ x", strata, residual="varident(s)").fit_reml()
    rows, X = strata.head(2), fit.design.rows.X[:2]
    expected = np.sqrt(np.einsum("np,pq,nq->n", X, fit.beta_cov, X))
    for word in WORDS:
        found = fit.predict(rows, level=word)
        np.testing.assert_allclose(found["se"], expected, rtol=EXACT)
        np.testing.assert_allclose(found["estimate"], X @ fit.beta, rtol=EXACT)
    response = fit.predict(rows, kind="response")["se"] ** 2 - expected**2
    sds = np.sqrt(response.to_numpy())
    assert sds[0] != pytest.approx(sds[1], rel=1e-3)
    assert fit.sigma in (pytest.approx(sds[0]), pytest.approx(sds[1]))
    with unchecked():
        boot = fit.predict(rows, variances="estimated", nsim=9, seed=1)
    assert (boot["se"] > 0.0).all()


def test_messages_of_models_without_bar_terms(data):
    """They end in no empty list, no numpy error and no advice that does not help."""
    strata = data.assign(s=np.where(np.arange(len(data)) % 2, "a", "b"))
    fit = lmm.Model("y ~ x", strata, residual="varident(s)").fit_reml()
    with unchecked(), pytest.raises(lmm.ModelError, match="It has none"):
        fit.predict(strata, level={"g": "new"})
    with unchecked(), pytest.raises(lmm.DataError, match="no column 's'") as told:
        fit.predict(data.head(2), kind="response")
    assert "level=" not in str(told.value)
    with unchecked(), pytest.raises(lmm.ModelError, match="'y ~ x' has no bar term"):
        fit.icc(by_group=True)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"nsim": -5}, "nsim must be a whole"), ({"seed": "q"}, "seed must be")],
)
def test_options_of_a_bootstrap_are_looked_at_without_one(data, options, words):
    fit = lmm.Model("y ~ x + (1 | g)", data).fit_reml()
    with unchecked(), pytest.raises(lmm.ModelError, match=words):
        fit.predict(data.head(2), **options)


def test_the_icc_says_that_it_leaves_out_rho(data):
    fit = lmm.Model("y ~ x", data, residual="cs(g)").fit_reml()
    assert "which is in no ICC" in repr(fit.icc()).replace("\n", " ")
