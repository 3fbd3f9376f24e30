"""Custom priors: what is read, what is refused, and the Normal prior of beta."""

import math
from typing import Any

import numpy as np
import pytest
from prior_cases import make_design

from bayeslmm.errors import PriorError
from bayeslmm.priors import (
    Prior,
    beta_prior,
    make_priors,
)

EXACT = 1e-10  # the same algebra by two routes

# --- custom priors --------------------------------------------------------------------


def test_custom_keys_reach_their_parameters():
    design = make_design()
    spec: dict[str, Any] = {
        "common": "Normal(0, 10)",
        "x": "StudentT(3, 0, sigma=2)",
        "group_specific": "HalfNormal(4)",
        "1|h": "Normal(0, sigma=Exponential(0.5))",
        "sigma": Prior("HalfCauchy", (("beta", 2.0),)),
        "g_corr": 3,
    }
    priors = make_priors(spec, design)
    assert [p.name for p in priors.fixed] == ["Normal", "StudentT", "Normal", "Normal"]
    assert priors.fixed[0].arguments == {"mu": 0.0, "sigma": 10.0}
    half = Prior("HalfNormal", (("sigma", 4.0),))
    assert priors.sd == ((half, half), (Prior("Exponential", (("lam", 0.5),)),))
    assert priors.sigma.name == "HalfCauchy"
    assert priors.corr_eta == (3.0, 2.0)
    assert priors.name == "custom"


def test_the_rest_comes_from_the_named_set():
    design = make_design()
    priors = make_priors({"set": "flat", "x": "Normal(1, 2)"}, design)
    assert [p.name for p in priors.fixed] == ["Flat", "Normal", "Flat", "Flat"]
    assert priors.sigma.is_flat
    assert make_priors({}, design).fixed == make_priors("weak", design).fixed


def test_bambi_objects_are_read():
    import bambi as bmb

    design = make_design()
    nested = bmb.Prior("Normal", mu=0, sigma=bmb.Prior("HalfNormal", sigma=3))
    spec = {
        "1|g": nested,
        "a": bmb.Prior("Normal", mu=[1.0, 2.0], sigma=5),
        "sigma": bmb.Prior("Exponential", scale=4),
        "g_corr": bmb.Prior("LKJ", eta=1.5),
    }
    priors = make_priors(spec, design)
    assert priors.sd[0][0] == Prior("HalfNormal", (("sigma", 3.0),))
    assert [p.arguments["mu"] for p in priors.fixed[2:]] == [1.0, 2.0]
    assert priors.sigma == Prior("Exponential", (("lam", 0.25),))
    assert priors.corr_eta[0] == 1.5
    again = Prior.from_bambi(priors.sigma.to_bambi())
    assert again == priors.sigma


def test_shared_sd_takes_one_prior():
    design = make_design("homcs")
    priors = make_priors({"x|g": "HalfNormal(2)"}, design)
    assert priors.sd[0] == (Prior("HalfNormal", (("sigma", 2.0),)),)
    spec = {"x|g": "HalfNormal(2)", "1|g": "HalfNormal(3)"}
    with pytest.raises(PriorError, match="share one SD"):
        make_priors(spec, design)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("week", r"Unknown prior set 'week'.*'weak'"),
        (3, "Give the name of a set"),
        ({"set": "wek"}, "Unknown prior set"),
        ({"Intersept": "Normal(0, 1)"}, r"'Intersept' names nothing.*'Intercept'"),
        ({"1|g_sigma": "HalfNormal(1)"}, r"Write '1\|g'"),
        ({"h_corr": 2}, "has no correlations"),
        ({"x": "Normal(0, -1)"}, "sigma must be positive"),
        ({"x": "Normal(0, 1"}, "cannot be read"),
        ({"x": "__import__('os').system('true')"}, "cannot be read"),
        ({"x": "Normal(0, 10 ** 3)"}, "cannot be read"),
        ({"x": "Norml(0, 1)"}, r"'Norml'.*'Normal'"),
        ({"x": "Normal(0, 1, 2)"}, "3 arguments"),
        ({"x": "Normal(mu=0, sd=1)"}, r"the argument 'sd'"),
        ({"x": "HalfNormal(1)"}, "excludes negative values"),
        ({"x": "Poisson(1)"}, "not a continuous"),
        ({"x": 3.0}, "cannot be fixed at a constant"),
        ({"x": "Normal(0, sigma=HalfNormal(1))"}, "has a prior inside"),
        ({"1|g": "Normal(0, 1)"}, "allows negative values"),
        ({"1|g": "Normal(1, sigma=HalfNormal(1))"}, "have mean 0"),
        ({"1|g": "StudentT(3, 0, sigma=HalfNormal(1))"}, "Random effects are Normal"),
        ({"sigma": "Cauchy(0, 1)"}, "allows negative values"),
        ({"sigma": "StudentT(mu=0)"}, "lacks 'nu'"),
        ({"sigma": "Gamma(mu=2, beta=1)"}, "do not go together"),
        ({"g_corr": -1}, "must be > 0"),
        ({"g_corr": "Normal(0, 1)"}, "take an LKJ prior"),
        ({"a": Prior("Normal", (("mu", 0.0), ("sigma", math.nan)))}, "must be finite"),
        ({"sigma": "Weibull(-1, 2)"}, "PyMC cannot evaluate"),
    ],
)
def test_priors_that_cannot_be_honoured_are_errors(spec: Any, words: str):
    with pytest.raises(PriorError, match=words):
        make_priors(spec, make_design())


def test_a_callable_prior_is_refused():
    import bambi as bmb

    prior = bmb.Prior("Mine", dist=print)
    with pytest.raises(PriorError, match="callable"):
        make_priors({"x": prior}, make_design())


def test_wrong_number_of_values():
    import bambi as bmb

    prior = bmb.Prior("Normal", mu=np.zeros(3), sigma=1)
    with pytest.raises(PriorError, match=r"3 values for mu.*2 coefficients"):
        make_priors({"a": prior}, make_design())


def test_printed_table():
    text = repr(make_priors({"x": "Normal(0, 10)"}, make_design()))
    assert "Priors 'custom'" in text
    line = next(line for line in text.splitlines() if line.strip().startswith("x "))
    assert line.split() == ["x", "Normal(mu=0,", "sigma=10)", "given"]
    assert (
        "<td>g_corr</td><td>LKJ(eta=2)</td>"
        in make_priors("weak", make_design())._repr_html_()
    )


# --- the Normal prior of beta ---------------------------------------------------------


def test_beta_prior_is_the_prior_of_centred_coefficients():
    """Density at raw beta equals the product of the stated priors at centred beta."""
    design = make_design()
    spec = {"Intercept": "Normal(7, 3)", "x": "Normal(1, 2)", "a": "Normal(-1, 0.5)"}
    prior = beta_prior(make_priors(spec, design), design)
    assert prior is not None
    assert prior.n_proper == 4
    rng = np.random.default_rng(1)
    for beta in rng.normal(size=(5, 4)):
        centred = beta.copy()
        centred[0] += design.rows.X[:, 1:].mean(axis=0) @ beta[1:]
        mean, sd = np.array([7.0, 1, -1, -1]), np.array([3.0, 2, 0.5, 0.5])
        stated = -0.5 * ((centred - mean) / sd) ** 2 - np.log(sd)
        away = beta - prior.mean
        ours = 0.5 * prior.log_det - 0.5 * away @ prior.precision @ away
        assert ours == pytest.approx(stated.sum(), rel=EXACT)


def test_beta_prior_with_flat_parts_and_without_centring():
    design = make_design()
    spec = {"set": "flat", "Intercept": "Normal(7, 3)"}
    centred = beta_prior(make_priors(spec, design), design)
    assert centred is not None
    assert (centred.n_proper, centred.log_det) == (1, pytest.approx(-2 * math.log(3)))
    means = np.array([1.0, *design.rows.X[:, 1:].mean(axis=0)])
    np.testing.assert_allclose(
        centred.precision, np.outer(means, means) / 9, rtol=EXACT
    )
    raw = beta_prior(make_priors(spec, design, center_predictors=False), design)
    assert raw is not None
    np.testing.assert_array_equal(raw.precision, np.diag([1 / 9, 0, 0, 0]))
    assert beta_prior(make_priors("flat", design), design) is None


def test_beta_prior_that_is_not_normal_names_the_joint_method():
    design = make_design()
    with pytest.raises(PriorError, match=r"'Intercept' is StudentT.*method='joint'"):
        beta_prior(make_priors("brms", design), design)
