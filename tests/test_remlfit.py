"""The tables, predictions and shares of variance of a REML fit."""

import numpy as np
import pytest
from reml_cases import fit, toy

from bayeslmm import DataError, ModelError
from bayeslmm.reml import tables as remltables

# The same algebra by two routes.
EXACT = 1e-10


# --- tables ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sleep_fit(sleepstudy):
    return fit("Reaction ~ Days + (Days | Subject)", sleepstudy)


def test_every_table_has_the_labels_in_order(sleep_fit):
    labels = [parameter.label for parameter in sleep_fit.design.space.parameters]
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
    # quantiles of t with 17 degrees of freedom, and of the normal
    for ddf, quantile in (
        ("satterthwaite", 1.739606726075073),
        ("z", 1.6448536269514722),
    ):
        fixed = sleep_fit.summary(prob=0.9, ddf=ddf).head(2)
        reach = quantile * fixed["se"].to_numpy()
        upper, lower = fixed["estimate"] + reach, fixed["estimate"] - reach
        assert fixed["upper"].to_numpy() == pytest.approx(upper.to_numpy(), rel=1e-6)
        assert fixed["lower"].to_numpy() == pytest.approx(lower.to_numpy(), rel=1e-6)
    with pytest.raises(ModelError, match=r"prob must lie between 0 and 1, not 95\.0"):
        sleep_fit.confint(prob=95.0)


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
    assert reml.ranef(condvar="joint").loc[0, "sd"] == pytest.approx(1.781, abs=1e-3)
    with pytest.raises(ModelError, match="Unknown condvar='known'"):
        remltables.ranef_table(reml, "known")


def test_predictions_for_old_and_new_levels():
    data = toy(13)
    reml = fit("y ~ x + (x | g) + (1 | h)", data)
    assert reml.predict()["estimate"].to_numpy() == pytest.approx(
        reml.fitted(), rel=EXACT
    )
    assert reml.predict(data)["estimate"].to_numpy() == pytest.approx(
        reml.fitted(), rel=EXACT
    )
    assert reml.residuals() == pytest.approx(data["y"] - reml.fitted(), rel=EXACT)
    population = reml.predict(data, level="population")["estimate"].to_numpy()
    assert population == pytest.approx(reml.design.rows.X @ reml.beta, rel=EXACT)
    new = data.assign(g="somebody", h="else")
    for rows, level in ((new, "new"), (data[["x"]], "unknown")):
        found = reml.predict(rows, level=level)["estimate"].to_numpy()
        assert found == pytest.approx(population, rel=EXACT)
    half = data.assign(h="else").head(3)
    with pytest.raises(DataError, match=r"3 rows have levels of 'h' .* 'else'"):
        reml.predict(half)


def test_shares_of_variance_of_a_random_intercept(classrooms):
    reml = fit("score ~ edu + (1 | classroom)", classrooms)
    shares = reml.icc()["estimate"]
    assert shares.to_dict() == pytest.approx(
        {"adjusted": 0.9155814, "unadjusted": 0.8999541}, abs=1e-6
    )
    table = reml.varcorr()["variance"]
    assert shares["adjusted"] == pytest.approx(
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


def test_repr_says_what_and_how(classrooms, monkeypatch):
    monkeypatch.setenv("COLUMNS", "90")
    text = repr(fit("score ~ edu + (edu | classroom)", classrooms))
    assert text.startswith("score ~ edu + (edu | classroom)\n")
    assert "REML criterion 177.197" in text
    assert "The correlation Intercept:edu of classroom is estimated as -1" in text
    assert "classroom_corr[Intercept:edu]" in text
