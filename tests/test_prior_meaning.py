"""What priors say in the data's units, what they imply, and what they expect."""

import arviz as az
import numpy as np
import pandas as pd
import pytest
from sampling import unchecked
from scipy import stats

import bayeslmm as lmm
from bayeslmm import Model, ModelError, PriorError
from bayeslmm.priors.meaning import implied_shares, prior_law, prior_quantiles
from bayeslmm.priors.prior import Prior
from bayeslmm.simulation import predictive_table

SD = "1|classroom_sigma"
# Shares of 4,000 or 2,000 draws: four standard errors.
SHARE = 0.045


@pytest.fixture(scope="module")
def model(classrooms: pd.DataFrame) -> Model:
    """The chapter's model under the default priors."""
    return Model("score ~ edu + (1 | classroom)", classrooms)


def test_half_of_the_prior_mass_is_below_2_points(model: Model) -> None:
    """The median of a half-t(3, 2.775) is 2.775 times the upper quartile of t(3)."""
    table = model.priors.meaning()
    expected = 2.7755 * stats.t(3).ppf(0.75)
    assert table.loc[SD, "median"] == pytest.approx(expected, rel=1e-3)
    assert table.loc[SD, "words"] == (
        "half of the prior mass below 2.12, 95% below 8.83 (units of score)"
    )
    assert table.loc["edu", "words"].endswith("(units of score per edu)")
    printed = repr(model.priors)
    assert "What they say" in printed
    assert "half of the prior mass below 2.12, 95% below 8.83" in printed


@pytest.mark.parametrize(
    "prior",
    [
        Prior("Normal", (("mu", 1.0), ("sigma", 2.0))),
        Prior("HalfNormal", (("sigma", 2.0),)),
        Prior("HalfStudentT", (("nu", 3.0), ("sigma", 2.0))),
        Prior("HalfCauchy", (("beta", 2.0),)),
        Prior("Exponential", (("lam", 0.5),)),
        Prior("Gamma", (("alpha", 2.0), ("beta", 0.5))),
        Prior("InverseGamma", (("alpha", 2.0), ("beta", 3.0))),
        Prior("LogNormal", (("mu", 1.0), ("sigma", 0.5))),
        Prior("Laplace", (("mu", 1.0), ("b", 2.0))),
    ],
)
def test_quantiles_are_those_of_the_draws(prior: Prior) -> None:
    """Closed form against independent draws of the same prior."""
    from bayeslmm.priors.draws import draw_prior

    drawn = draw_prior(prior, 2000, np.random.default_rng(1))
    for probability in (0.1, 0.5, 0.9):
        (quantile,) = prior_quantiles(prior, np.array([probability]))
        assert abs((drawn < quantile).mean() - probability) < SHARE
    assert prior_law(prior) is not None


def test_the_icc_that_equal_half_normals_imply(classrooms: pd.DataFrame) -> None:
    """With the same half-normal on both SDs, atan(ratio) is uniform: an arcsine law.

    The ratio of two half-normals is half-Cauchy, so the ICC sin(angle)^2 has the
    distribution function 2 / pi asin(sqrt(icc)).
    """
    equal = {"1|classroom": "HalfNormal(2)", "sigma": "HalfNormal(2)"}
    model = Model("score ~ edu + (1 | classroom)", classrooms, priors=equal)
    drawn = implied_shares(model.priors, model.design)["ICC"]
    law = stats.kstest(drawn, lambda icc: 2.0 / np.pi * np.arcsin(np.sqrt(icc)))
    assert law.pvalue > 1e-3
    row = model.priors.meaning(prob=0.5).loc["ICC"]
    known = np.sin(np.pi / 2.0 * np.array([0.5, 0.25, 0.75])) ** 2
    found = row[["median", "lower", "upper"]].astype(float)
    np.testing.assert_allclose(found, known, atol=SHARE)


def test_correlations_are_lkjs(sleepstudy: pd.DataFrame) -> None:
    """LKJ(2) of two effects is Beta(2, 2) on (-1, 1)."""
    model = Model("Reaction ~ Days + (Days | Subject)", sleepstudy)
    row = model.priors.meaning().loc["Subject_corr[Intercept:Days]"]
    known = stats.beta(2, 2, -1, 2).ppf([0.5, 0.025, 0.975])
    np.testing.assert_allclose(row[["median", "lower", "upper"]].astype(float), known)


def test_flat_priors_mean_nothing_and_imply_nothing(classrooms: pd.DataFrame) -> None:
    flat = Model("score ~ edu + (1 | classroom)", classrooms, priors="flat")
    table = flat.priors.meaning()
    assert table[["median", "lower", "upper"]].isna().all(axis=None)
    assert table.loc["ICC", "words"] == (
        "no prior of it, because that of Intercept is flat"
    )
    with pytest.raises(PriorError, match="nothing to draw, no prior predictive"):
        flat.prior_predictive(draws=5)
    with pytest.raises(ModelError, match="prob must lie between"), unchecked():
        flat.priors.meaning(prob=2.0)


def test_prior_predictive_is_a_tree_of_arviz(model: Model) -> None:
    """Moments of the marginal prior: y_i - x_i beta has variance tau^2 + sigma^2."""
    given = {
        "Intercept": "Normal(3, 0.001)",
        "edu": "Normal(2, 0.001)",
        "1|classroom": "LogNormal(0, 0.001)",
        "sigma": "LogNormal(1, 0.001)",
    }
    known = model.with_priors(given)
    tree = known.prior_predictive(draws=400, seed=1)
    y = tree["prior_predictive"]["score"].to_numpy()[0]
    rows = model.design.rows
    assert rows is not None
    edu = rows.X[:, 1]
    mean = 3.0 + 2.0 * (edu - edu.mean())
    spread = np.sqrt(1.0 + np.exp(2.0))
    assert np.abs(y.mean(axis=0) - mean).max() < 4.5 * spread / 20.0
    assert y.std() ** 2 == pytest.approx(spread**2 + mean.var(), rel=0.1)
    assert set(tree["prior"].data_vars) == {"Intercept", "edu", SD, "sigma"}
    np.testing.assert_array_equal(tree["observed_data"]["score"], rows.y)
    again = known.prior_predictive(draws=400, seed=1)
    np.testing.assert_array_equal(again["prior_predictive"]["score"][0], y)
    assert az.summary(tree, group="prior", kind="stats").shape[0] == 4


def test_predictive_table_counts_what_is_below() -> None:
    y = np.arange(40.0).reshape(10, 4)
    table = predictive_table(y, np.array([20.0, 21.0, 22.0, 23.0]), 0.8)
    assert table.loc["mean", "data"] == 21.5
    assert table.loc["mean", "below"] == 0.5
    assert table.loc["smallest", "median"] == pytest.approx(18.0)


def test_pictures_show_the_numbers(model: Model) -> None:
    """The median of each prior, and the data's mean among the draws."""
    table = model.priors.meaning()
    figure = lmm.plot_priors(model)
    assert [ax.get_title(loc="left") for ax in figure.axes] == table.index.tolist()
    lines = figure.axes[2].lines
    assert lines[1].get_xdata()[0] == pytest.approx(table.loc[SD, "median"])  # type: ignore[index]
    figure = lmm.plot_prior_predictive(model, draws=50, seed=1)
    rows = model.design.rows
    assert rows is not None
    assert figure.axes[1].lines[0].get_xdata()[0] == pytest.approx(rows.y.mean())  # type: ignore[index]
    flat = model.with_priors({"1|classroom": "flat"})
    words = [t.get_text() for ax in lmm.plot_priors(flat).axes for t in ax.texts]
    assert words == ["flat", *["none: a prior is flat"] * 3]
    with unchecked(), pytest.raises(ModelError, match="takes a model, not a Prior"):
        lmm.plot_priors(model.priors.sigma)  # type: ignore[arg-type]


def test_units_are_those_of_the_parameter_or_are_not_said() -> None:
    """An interaction is per its numbers; a link has a scale of its own."""
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"x": rng.normal(size=40), "z": rng.normal(size=40)})
    data = data.assign(y=rng.poisson(3.0, 40), f=["a", "b"] * 20, g=np.arange(40) // 5)
    formula = "y ~ f * x + x:z + I(z**2) + (1 | g)"
    words = lmm.Model(formula, data).priors.meaning()["words"]
    assert words["f[b]"].endswith("(units of y)")
    assert words["x"].endswith("(units of y per x)")
    assert words["x:z"].endswith("(units of y per x and z)")
    assert "units" not in words["f:x[b]"] + words.filter(like="I(z").item()
    count = lmm.Model("y ~ x + (1 | g)", data, family="poisson")
    of_count = count.priors.meaning()["words"]
    assert of_count["x"].endswith("(on the log scale per x)")
    assert of_count["1|g_sigma"].endswith("(on the log scale)")


def test_pymc_lists_no_variables_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    data = pd.DataFrame({"y": [0, 1, 2, 3, 1, 2], "g": [1, 1, 2, 2, 3, 3]})
    model = lmm.Model("y ~ 1 + (1 | g)", data, family="poisson")
    with unchecked(), caplog.at_level("INFO"):
        found = model.prior_predictive(draws=3, seed=1)
    assert found["prior_predictive"]["y"].shape == (1, 3, 6)
    assert not [r for r in caplog.records if "Sampling" in r.getMessage()]
