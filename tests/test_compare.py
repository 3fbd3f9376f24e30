"""Comparison, pooling tables and the pull of priors: known numbers and laws."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from compare_cases import pupils
from sampling import sample_unchecked

import bayeslmm as lmm
from bayeslmm.comparison import prior_pull, shrinkage_covariances
from bayeslmm.errors import FitWarning, ModelError
from bayeslmm.posterior import SamplingStatus
from bayeslmm.posterior.tails import Missing

EXACT = {"rtol": 1e-8, "atol": 1e-8}  # one algebra by two routes, from a REML optimum
SEEDS = {"atol": 6e-5}  # the source tutorial prints four decimals


def fitted(formula: str, data: pd.DataFrame, **options) -> lmm.RemlFit:
    """REML fit of a model."""
    return lmm.Model(formula, data, **options).fit_reml()


@pytest.fixture(scope="module")
def common_slope(classrooms):
    """REML and posterior of the random-intercept model of three classrooms."""
    model = lmm.Model("score ~ edu + (1 | classroom)", classrooms)
    return model.fit_reml(), sample_unchecked(model, draws=250, chains=2, seed=1)


@pytest.fixture(scope="module")
def slopes():
    """REML and posterior of a model with correlated slopes."""
    model = lmm.Model("score ~ edu + (edu | classroom)", pupils(12, 20))
    return model.fit_reml(), sample_unchecked(model, draws=250, chains=2, seed=1)


# --- compare --------------------------------------------------------------------------


def test_comparison_has_both_summaries_in_the_order_of_the_parameters(slopes):
    reml, post = slopes
    table = lmm.compare(reml, post)
    classical, posterior = reml.summary(), post.summary()
    labels = [p.label for p in reml.model.design.space.parameters]
    assert list(table.index) == labels
    np.testing.assert_array_equal(table["reml"], classical["estimate"])
    np.testing.assert_array_equal(table["reml_lower"], classical["lower"])
    np.testing.assert_array_equal(table["upper"], posterior.loc[labels, "upper"])
    np.testing.assert_array_equal(table["rhat"], posterior.loc[labels, "rhat"])
    expected = (posterior["median"] - classical["estimate"]) / classical["se"]
    np.testing.assert_allclose(table["difference_in_se"], expected[labels], rtol=1e-12)
    assert set(table["difference_unit"]) == {"REML SE"}


def test_comparison_names_its_intervals_and_its_difference(slopes):
    table = lmm.compare(*slopes, prob=0.9, kind="hdi")
    assert table.attrs["interval"] == "90% HDI"
    assert table.attrs["reml_interval"] == "90% Wald"
    assert table.attrs["difference"] == "posterior median minus REML estimate"
    wider = lmm.compare(*slopes, prob=0.99, kind="hdi")
    assert (wider["upper"] > table["upper"]).all()


def test_where_there_is_no_se_the_difference_is_in_posterior_sds(classrooms):
    with pytest.warns(FitWarning, match="-1"):
        reml = fitted("score ~ edu + (edu | classroom)", classrooms)
    summary = reml.summary().rename(columns={"estimate": "mean", "se": "sd"})
    summary = summary.assign(median=0.5, sd=0.25, ess_bulk=1000.0, rhat=1.0)
    post = SimpleNamespace(
        model=reml.model,
        status=SamplingStatus(4, 1000),
        summary=lambda **_: summary,
    )
    row = lmm.compare(reml, post).loc["classroom_corr[Intercept:edu]"]
    assert np.isnan(row["reml_se"])
    assert row["difference_unit"] == "posterior SD"
    assert row["difference_in_se"] == pytest.approx((0.5 + 1.0) / 0.25)


def test_a_posterior_without_a_mean_has_none_in_the_table(common_slope):
    reml, post = common_slope
    label = "1|classroom_sigma"
    status = replace(post.status, missing=Missing(mean=(label,), sd=(label,)))
    table = lmm.compare(reml, replace(post, status=status))
    assert table.loc[label, ["mean", "sd"]].isna().all()
    assert np.isfinite(table.loc[label, "median"])
    assert table["mean"].notna().sum() == len(table) - 1


@pytest.mark.parametrize(
    ("formula", "change", "words"),
    [
        ("score ~ edu + (edu | classroom)", None, "their parameters differ"),
        ("score ~ edu + (1 | classroom)", lambda d: d[1:], "59 rows"),
        (
            "score ~ edu + (1 | classroom)",
            lambda d: d.assign(score=1 - d.score),
            "resp",
        ),
        ("score ~ edu + (1 | classroom)", lambda d: d.assign(edu=d.edu + 1.0), "fixed"),
        ("score ~ edu + offset(edu) + (1 | classroom)", None, "offsets differ"),
        (
            "score ~ edu + (1 | classroom)",
            lambda d: d.assign(classroom=np.roll(d.classroom, 1)),
            "levels of 'classroom'",
        ),
    ],
)
def test_fits_of_different_models_are_not_compared(
    common_slope, classrooms, formula, change, words
):
    reml, post = common_slope
    data = classrooms if change is None else change(classrooms)
    other = replace(reml, model=lmm.Model(formula, data))
    with pytest.raises(ModelError, match=words):
        lmm.compare(other, post)


def test_weights_and_structures_are_part_of_the_model(common_slope, classrooms):
    reml, post = common_slope
    heavy = classrooms.assign(w=2.0)
    model = lmm.Model("score ~ edu + (1 | classroom)", heavy, weights="w")
    with pytest.raises(ModelError, match="weights differ"):
        lmm.compare(replace(reml, model=model), post)


def test_a_missing_fit_and_an_impossible_probability_are_errors(common_slope):
    reml, post = common_slope
    with pytest.raises(ModelError, match="there is no posterior"):
        lmm.compare(reml, None)
    with pytest.raises(ModelError, match="family 'gaussian' only"):
        lmm.compare(None, post)
    with pytest.raises(ModelError, match="prob must lie between"):
        lmm.compare(reml, post, prob=95.0)


# --- pooling --------------------------------------------------------------------------


def test_pooling_of_the_tutorial(common_slope):
    reml, post = common_slope
    table = lmm.shrinkage_table(reml, post)
    assert list(table["level"]) == ["c0", "c1", "c2"]
    np.testing.assert_allclose(table["no_pooling"], [6.9630, 9.5407, 13.0923], **SEEDS)
    partial = [6.9763, 9.5422, 13.0775]
    np.testing.assert_allclose(table["partial_pooling"], partial, **SEEDS)
    np.testing.assert_allclose(table["complete_pooling"], 9.8653, **SEEDS)
    np.testing.assert_allclose(1.0 - table["shrinkage"], 0.99541, atol=6e-6)
    assert list(table["n"]) == [20, 20, 20]


@pytest.mark.parametrize(
    ("formula", "options"),
    [
        ("score ~ edu + (1 | classroom)", {}),
        ("score ~ edu + (1 | classroom)", {"weights": "weight"}),
        ("score ~ edu + offset(shift) + (1 | classroom)", {}),
        ("score ~ edu + (1 | classroom) + (1 | item)", {}),
        ("score ~ 1 + (0 + edu | classroom)", {}),
    ],
)
@pytest.mark.filterwarnings("ignore::bayeslmm.errors.FitWarning")
def test_a_blup_is_a_weighted_mean_of_no_pooling_and_the_centre(formula, options):
    table = lmm.shrinkage_table(fitted(formula, pupils(), **options))
    kept = 1.0 - table["shrinkage"]
    expected = table["center"] + kept * (table["no_pooling"] - table["center"])
    np.testing.assert_allclose(table["partial_pooling"], expected, **EXACT)
    assert table["shrinkage"].between(0.0, 1.0).all()


@pytest.mark.parametrize("bar", ["(edu | classroom)", "(edu || classroom)"])
def test_two_effects_are_pulled_by_one_matrix(bar):
    reml = fitted(f"score ~ edu + {bar}", pupils(12, 20))
    design, table = reml.model.design, lmm.shrinkage_table(reml)
    Z = np.hstack(design.rows.Z)
    sigma = np.zeros((2, 2))
    at = 0
    for factor in reml.factors:
        k = len(factor)
        sigma[at : at + k, at : at + k] = factor @ factor.T
        at += k
    for j, level in enumerate(design.groups[0].levels):
        rows = design.rows.codes[0] == j
        own = np.linalg.lstsq(Z[rows], design.rows.y[rows])[0]
        part = table[table["level"] == level].set_index("effect")
        np.testing.assert_allclose(part["no_pooling"], own, **EXACT)
        pull = np.linalg.inv(np.eye(2) + sigma @ Z[rows].T @ Z[rows] / reml.sigma**2)
        expected = reml.beta + (np.eye(2) - pull) @ (own - reml.beta)
        np.testing.assert_allclose(part["partial_pooling"], expected, **EXACT)
        np.testing.assert_allclose(part["shrinkage"], np.trace(pull) / 2, **EXACT)


def test_a_level_that_cannot_identify_its_own_line_has_none():
    data = pupils(6, 8)
    few = data.drop(index=range(1, 8))  # one row of c00 is left
    reml = fitted("score ~ edu + (edu | classroom)", few)
    table = lmm.shrinkage_table(reml).set_index("level")
    assert table.loc["c00", "no_pooling"].isna().all()
    assert table.drop(index="c00")["no_pooling"].notna().all()
    assert table["partial_pooling"].notna().all()


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.FitWarning")
def test_without_variance_between_levels_pooling_is_complete():
    data = pupils()
    data["score"] = np.random.default_rng(0).permutation(data["edu"].astype(float))
    data["score"] -= data.groupby("classroom")["score"].transform("mean")
    table = lmm.shrinkage_table(fitted("score ~ 1 + (1 | classroom)", data))
    np.testing.assert_array_equal(table["shrinkage"], 1.0)
    np.testing.assert_allclose(table["partial_pooling"], table["center"], **EXACT)
    np.testing.assert_allclose(table["complete_pooling"], table["center"], **EXACT)


def test_cells_carry_the_fixed_effects_of_a_factor(public_data):
    reml = fitted("score ~ Machine + (0 + Machine | Worker)", public_data("Machines"))
    table = lmm.shrinkage_table(reml)
    center = table.groupby("effect", sort=False)["center"].first()
    a, b, c = reml.beta
    assert list(center.index) == ["Machine[A]", "Machine[B]", "Machine[C]"]
    np.testing.assert_allclose(center, [a, a + b, a + c], **EXACT)
    means = public_data("Machines").groupby(["Worker", "Machine"], observed=True)
    by_cell = means["score"].mean()
    own = table.set_index(["level", "effect"])["no_pooling"]
    assert own["3", "Machine[B]"] == pytest.approx(by_cell["3", "B"])


def test_posterior_of_a_level_is_fixed_plus_random_draw_by_draw(slopes):
    reml, post = slopes
    table = lmm.shrinkage_table(reml, post, prob=0.8)
    draws = post.idata["posterior"]
    slope = draws["edu"] + draws["edu|classroom"].sel(classroom__factor_dim="c03")
    row = table[(table["level"] == "c03") & (table["effect"] == "edu")].iloc[0]
    assert row["posterior"] == pytest.approx(float(slope.mean()))
    expected = np.quantile(slope, [0.1, 0.9])
    np.testing.assert_allclose(row[["lower", "upper"]].astype(float), expected)
    assert table.attrs["interval"] == "80% ETI"
    intercept = draws["Intercept"] + draws["1|classroom"].sel(
        classroom__factor_dim="c03"
    )
    covariance = shrinkage_covariances(post, "classroom", ("Intercept", "edu"))[3]
    pair = np.stack([intercept.values.ravel(), slope.values.ravel()])
    np.testing.assert_allclose(covariance, np.cov(pair), rtol=1e-10)


def test_hdi_of_a_level_is_the_narrower_interval(slopes):
    _, post = slopes
    table = lmm.shrinkage_table(*slopes, kind="hdi")
    draws = post.idata["posterior"]
    slope = draws["edu"] + draws["edu|classroom"].sel(classroom__factor_dim="c03")
    ordered = np.sort(slope.values.ravel())
    # the definition: of all intervals that hold 95% of the draws, the narrowest
    n_inside = int(np.floor(0.95 * len(ordered)))
    start = np.argmin(ordered[n_inside:] - ordered[: len(ordered) - n_inside])
    row = table[(table["level"] == "c03") & (table["effect"] == "edu")].iloc[0]
    assert row["lower"] == pytest.approx(ordered[start])
    assert row["upper"] == pytest.approx(ordered[start + n_inside])
    assert table.attrs["interval"] == "95% HDI"


def test_unknown_group_and_effect_are_offered_the_nearest(slopes):
    with pytest.raises(ModelError, match="Did you mean 'classroom'"):
        shrinkage_covariances(slopes[1], "clasroom", ("Intercept", "edu"))
    with pytest.raises(ModelError, match="There are: 'Intercept', 'edu'"):
        shrinkage_covariances(slopes[1], "classroom", ("Intercept", "days"))


# --- what the prior did ---------------------------------------------------------------


def test_flat_priors_do_not_pull(slopes):
    reml, _ = slopes
    flat = lmm.Model("score ~ edu + (edu | classroom)", pupils(12, 20), priors="flat")
    assert (prior_pull(reml, flat.priors) == 0.0).all()


def test_pull_is_the_newton_step_of_the_log_prior(slopes):
    reml, _ = slopes
    priors = {
        "edu": "Normal(1, 0.2)",
        "1|classroom": "HalfNormal(0.5)",
        "sigma": "Exponential(3)",
        "classroom_corr": 4.0,
    }
    model = lmm.Model(
        "score ~ edu + (edu | classroom)",
        pupils(12, 20),
        priors={**priors, "set": "flat"},
        center_predictors=False,
    )
    pull, table = prior_pull(reml, model.priors), reml.summary()
    estimate, se = table["estimate"], table["se"]
    expected = {
        "edu": (1.0 - estimate["edu"]) / 0.2**2 * se["edu"],
        "1|classroom_sigma": -estimate["1|classroom_sigma"] / 0.25,
        "edu|classroom_sigma": 0.0,
        "sigma": -3.0,
    }
    for label in ("1|classroom_sigma", "sigma"):
        expected[label] *= se[label]
    rho = estimate["classroom_corr[Intercept:edu]"]
    slope = -2.0 * 3.0 * rho / (1.0 - rho**2)
    expected["classroom_corr[Intercept:edu]"] = (
        slope * se["classroom_corr[Intercept:edu]"]
    )
    for label, value in expected.items():
        assert pull[label] == pytest.approx(value, rel=1e-6), label


def test_a_prior_that_is_not_normal_has_no_pull_in_closed_form(slopes):
    reml, _ = slopes
    brms = lmm.Model("score ~ edu + (edu | classroom)", pupils(12, 20), priors="brms")
    pull = prior_pull(reml, brms.priors)
    assert pull[["Intercept", "edu"]].isna().all()
    assert pull["sigma"] < 0.0
