"""Draws from the prior: each against its distribution, together against the target."""

import math

import numpy as np
import pytest
from prior_cases import make_design
from scipy import stats

from bayeslmm import Model, PriorError, covariance
from bayeslmm.priors import make_priors, prior_draws
from bayeslmm.priors.draws import draw_prior
from bayeslmm.priors.prior import Prior
from bayeslmm.simulation import prior_parameters, responses_at

# Of a Kolmogorov-Smirnov test with a fixed seed: right draws fail once in 10,000.
LEAST_P = 1e-4
MANY = 4000


def ks(draws, distribution) -> float:
    """p value of draws against a distribution of scipy."""
    return float(stats.kstest(draws, distribution.cdf).pvalue)


@pytest.mark.parametrize(
    ("prior", "distribution"),
    [
        (("Normal", {"mu": 2.0, "sigma": 3.0}), stats.norm(2.0, 3.0)),
        (("StudentT", {"nu": 3.0, "mu": 1.0, "sigma": 2.0}), stats.t(3, 1.0, 2.0)),
        (("HalfNormal", {"sigma": 5.0}), stats.halfnorm(0, 5.0)),
        (("HalfCauchy", {"beta": 2.0}), stats.halfcauchy(0, 2.0)),
        (("Exponential", {"lam": 0.5}), stats.expon(0, 2.0)),
        (("Gamma", {"alpha": 2.5, "beta": 0.5}), stats.gamma(2.5, 0, 2.0)),
        (("InverseGamma", {"alpha": 3.0, "beta": 2.0}), stats.invgamma(3.0, 0, 2.0)),
        (("LogNormal", {"mu": 1.0, "sigma": 0.5}), stats.lognorm(0.5, 0, math.e)),
        (("Weibull", {"alpha": 2.0, "beta": 3.0}), stats.weibull_min(2.0, 0, 3.0)),
    ],
)
def test_draws_have_the_distribution_of_their_prior(prior, distribution):
    name, arguments = prior
    own = Prior(name, tuple(arguments.items()))
    drawn = draw_prior(own, MANY, np.random.default_rng(1))
    assert ks(drawn, distribution) > LEAST_P


def test_half_t_is_a_folded_t():
    own = Prior("HalfStudentT", (("nu", 3.0), ("sigma", 2.0)))
    drawn = draw_prior(own, MANY, np.random.default_rng(1))
    folded = stats.kstest(drawn, lambda v: 2.0 * stats.t(3, 0.0, 2.0).cdf(v) - 1.0)
    assert folded.pvalue > LEAST_P


def test_fixed_effects_are_what_the_priors_refer_to():
    """The intercept at the mean of the predictors is Normal, the one at 0 is wider."""
    design = make_design()
    priors = make_priors("weak", design)
    drawn = prior_draws(priors, design, MANY, np.random.default_rng(1))
    mean = np.append(1.0, design.moments.X.mean[1:])
    own = priors.fixed[0].arguments
    assert ks(drawn.beta @ mean, stats.norm(own["mu"], own["sigma"])) > LEAST_P
    for column in (1, 2, 3):
        wide = priors.fixed[column].arguments["sigma"]
        assert ks(drawn.beta[:, column], stats.norm(0.0, wide)) > LEAST_P
    raw = make_priors("weak", design, center_predictors=False)
    drawn = prior_draws(raw, design, MANY, np.random.default_rng(1))
    own = raw.fixed[0].arguments
    assert ks(drawn.beta[:, 0], stats.norm(own["mu"], own["sigma"])) > LEAST_P


def test_spreads_are_what_the_priors_refer_to():
    """SDs and the LKJ(2) correlation at the mean of x; roots are of the data's x."""
    design = make_design()
    priors = make_priors("weak", design)
    drawn = prior_draws(priors, design, MANY, np.random.default_rng(1))
    back = np.array([[1.0, design.moments.X.mean[1]], [0.0, 1.0]])
    root = back @ drawn.factors[0]
    sd = np.sqrt((root**2).sum(axis=2))
    for effect in (0, 1):
        scale = priors.sd[0][effect].arguments["sigma"]
        t = stats.t(3, 0.0, scale)
        assert stats.kstest(sd[:, effect], lambda v, t=t: 2 * t.cdf(v) - 1).pvalue > (
            LEAST_P
        )
    corr = (root[:, 0] * root[:, 1]).sum(axis=1) / sd.prod(axis=1)
    assert ks(0.5 * (1.0 + corr), stats.beta(2.0, 2.0)) > LEAST_P


@pytest.mark.parametrize("word", ["us", "cs", "hetar1", "toep", "homcs", "diag"])
def test_many_factors_are_the_factors_of_one(word):
    """All points at once, and each alone."""
    structure, k = covariance.STRUCTURES[word], 4
    rng = np.random.default_rng(1)
    shares = rng.beta(2.0, 2.0, (5, structure.n_corr(k)))
    together = structure.corr_factors(shares, k)
    for own, many in zip(shares, together, strict=True):
        alone = structure.corr_factor(np.arccos(2.0 * own - 1.0), k)
        np.testing.assert_allclose(many, alone, rtol=1e-10, atol=1e-12)


def test_lkj_of_three_effects():
    """Each correlation of LKJ(eta) among k has (1 + r) / 2 Beta(eta - 1 + k / 2)."""
    structure, k, eta = covariance.STRUCTURES["us"], 3, 1.5
    rng = np.random.default_rng(1)
    exponents = structure.exponents(k, eta)
    shares = np.column_stack([rng.beta(b, b, MANY) for b in exponents])
    factors = structure.corr_factors(shares, k)
    corr = factors @ factors.swapaxes(1, 2)
    b = eta - 1.0 + 0.5 * k
    for i, j in ((1, 0), (2, 0), (2, 1)):
        assert ks(0.5 * (1.0 + corr[:, i, j]), stats.beta(b, b)) > LEAST_P


def test_residuals_parameters_are_drawn_too(classrooms):
    """Ratios are LogNormal(0, 1), a rho fills its range, and responses come of them."""
    data = classrooms.assign(half=np.where(np.arange(len(classrooms)) % 2, "a", "b"))
    model = Model("score ~ edu", data, residual="varident(half) * cs(classroom)")
    drawn = prior_draws(model.priors, model.design, MANY, np.random.default_rng(1))
    ratio, rho = (p for p in model.design.residual.parameters)
    assert ks(drawn.scalars[ratio.label], stats.lognorm(1.0)) > LEAST_P
    low, high = rho.bounds
    assert ks(drawn.scalars["rho"], stats.beta(2, 2, low, high - low)) > LEAST_P
    (one,) = prior_parameters(model, 1, np.random.default_rng(1))
    y = responses_at(model.design, one, 2, np.random.default_rng(2))
    assert np.isfinite(y).all()
    assert len(one.residual) == 2


def test_flat_priors_cannot_be_drawn(classrooms):
    model = Model("score ~ edu + (1 | classroom)", classrooms, priors="flat")
    with pytest.raises(PriorError, match=r"'Intercept', 'edu'.*'sigma' is flat"):
        prior_parameters(model, 1, np.random.default_rng(1))
    some = model.with_priors({"set": "weak", "1|classroom": "flat"})
    with pytest.raises(PriorError, match=r"'1\|classroom': 'HalfStudentT\(nu=3, si"):
        prior_parameters(some, 1, np.random.default_rng(1))
