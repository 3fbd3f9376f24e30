"""Log priors at draws: against scipy, PyMC and the target of the sampler."""

from dataclasses import replace

import arviz as az
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bayeslmm import Model, ModelError, Posterior
from bayeslmm.datasets import simulate_classrooms
from bayeslmm.graph.trees import COORDINATES, UNCONSTRAINED
from bayeslmm.posterior.shared_lattice import prior_at
from bayeslmm.posterior.target import make_target
from bayeslmm.priors import make_priors
from bayeslmm.priors.density import coordinates_logp, prior_logp
from bayeslmm.priors.prior import Prior
from bayeslmm.priors.scale import ROOT_INVERSE_GAMMA, scale_logp

EXACT = 1e-9  # the same algebra by two routes
TABLE = 1e-6  # a tabulated density


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    """Eight classrooms."""
    return simulate_classrooms(8, 12, seed=1).data


@pytest.fixture(scope="module")
def slopes(data: pd.DataFrame) -> Posterior:
    """A correlation, and priors that refer to the mean of edu."""
    model = Model("score ~ edu + (edu | classroom)", data)
    return model.sample(draws=100, chains=2, seed=1, method="nuts", progress=False)


def test_each_log_prior_is_scipys(slopes: Posterior) -> None:
    """On the scale of the parameter, of what the prior refers to."""
    tree = slopes.compute_log_prior().idata
    own, draws, priors = tree["log_prior"], tree["posterior"], slopes.model.priors
    edu = draws["edu"].to_numpy()
    at_mean = draws["Intercept"] + slopes.model.design.moments.X.mean[1] * draws["edu"]
    for name, values, prior in (
        ("edu", edu, priors.fixed[1]),
        ("Intercept", at_mean.to_numpy(), priors.fixed[0]),
    ):
        mu, sigma = prior.arguments["mu"], prior.arguments["sigma"]
        expected = stats.norm(mu, sigma).logpdf(values)
        np.testing.assert_allclose(own[name].to_numpy(), expected, rtol=EXACT)
    scale = priors.sd[0][1].arguments["sigma"]
    sd = draws["edu|classroom_sigma"].to_numpy()
    np.testing.assert_allclose(
        own["edu|classroom_sigma"].to_numpy(),
        np.log(2.0) + stats.t(3, 0.0, scale).logpdf(sd),
        rtol=EXACT,
    )
    assert "classroom_corr" in own  # LKJ(2): 3/4 (1 - r^2)
    x = tree[UNCONSTRAINED][COORDINATES].to_numpy()
    np.testing.assert_allclose(
        own["classroom_corr"].to_numpy(),
        np.log(0.75 * (1.0 - np.tanh(x[..., 3]) ** 2)),
        atol=EXACT,
    )


def test_log_prior_is_pymcs(data: pd.DataFrame) -> None:
    """The same group that PyMC computes from the joint graph."""
    import pymc as pm

    model = Model("score ~ edu + (1 | classroom)", data, center_predictors=False)
    post = model.sample(draws=5, chains=2, seed=1, method="quadrature", progress=False)
    own = post.compute_log_prior().idata["log_prior"]
    joint = model.to_pymc()
    point = {name: post.idata["posterior"][name].to_numpy()[0, 0] for name in own}
    for name in own:
        value = pm.logp(joint[name], point[name]).eval(mode="FAST_COMPILE")
        # PyMC holds constants in single precision
        assert float(own[name][0, 0]) == pytest.approx(float(value), rel=TABLE)


def test_arviz_says_which_parameter_hangs_on_its_prior(data: pd.DataFrame) -> None:
    """A prior that pulls is felt; of the slope, which the data tell, none is."""
    few = data[data["classroom"].isin(data["classroom"].unique()[:3])]
    priors = {"1|classroom": "HalfNormal(0.3)"}
    model = Model("score ~ edu + (1 | classroom)", few, priors=priors)
    post = model.sample(draws=500, seed=1, method="quadrature", progress=False)
    tree = post.compute_log_likelihood().compute_log_prior().idata
    table = az.psense_summary(tree, var_names=["edu", "1|classroom_sigma"])
    assert table.loc["1|classroom_sigma", "prior"] > 0.05
    assert table.loc["edu", "prior"] < 0.02


def test_joint_posteriors_are_sent_to_pymc(slopes: Posterior) -> None:
    bare = slopes.idata.copy()
    del bare[UNCONSTRAINED]
    with pytest.raises(ModelError, match=r"pymc\.compute_log_prior"):
        replace(slopes, idata=bare).compute_log_prior()


@pytest.mark.parametrize("word", ["us", "cs", "hetar1", "homtoep", "diag"])
def test_coordinates_have_the_density_of_the_target(word: str) -> None:
    """Many points at once against the sampler's own, Jacobians included."""
    rng = np.random.default_rng(1)
    data = pd.DataFrame(
        {"y": rng.normal(size=120), "g": np.repeat(np.arange(20), 6).astype(str)}
    )
    data["f"] = np.tile(list("abc"), 40)
    residual = "varident(f)" if word == "cs" else None
    model = Model(f"y ~ 1 + {word}(0 + f | g)", data, residual=residual)
    target = make_target(model.design, model.conditioned, model.priors)
    x = target.start + rng.normal(size=(4, target.space.size))
    expected = [target.log_prior(point)[0] for point in x.tolist()]
    found = coordinates_logp(model.priors, model.design, x)
    np.testing.assert_allclose(found, expected, rtol=EXACT)


def test_priors_of_other_columns_at_the_same_covariances(slopes: Posterior) -> None:
    """Bambi's mean the SDs at edu = 0, the default ones at the mean: one density.

    Against the target of bambi's priors at its own coordinates of the same point, with
    the Jacobian by finite differences.
    """
    model, design = slopes.model, slopes.model.design
    other = make_priors("bambi", design)
    own = make_target(design, model.conditioned, model.priors)
    new = make_target(design, model.conditioned, other)
    x = slopes.idata[UNCONSTRAINED][COORDINATES].to_numpy()[0, :3]

    def moved(point: np.ndarray) -> np.ndarray:
        """Coordinates of the data's columns."""
        root = own.factors(point[None])[0][0]
        L = np.linalg.cholesky(root @ root.T)
        sd = np.sqrt((L**2).sum(axis=1))
        return np.array([point[0], *np.log(sd), np.arctanh(L[1, 0] / sd[1])])

    for point in x:
        step = 1e-5
        jacobian = np.array(
            [
                (moved(point + step * e) - moved(point - step * e)) / (2 * step)
                for e in np.eye(4)
            ]
        )
        expected = new.log_prior(moved(point).tolist())[0]
        expected += np.linalg.slogdet(jacobian)[1]
        found = prior_at(
            design, point[None], own.factors(point[None]), model.priors, other
        )
        assert found[0] == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize(
    "prior",
    [
        Prior("HalfNormal", (("sigma", 2.0),)),
        Prior("HalfStudentT", (("nu", 3.0), ("sigma", 2.0))),
        Prior("HalfCauchy", (("beta", 2.0),)),
        Prior("Exponential", (("lam", 0.5),)),
        Prior("InverseGamma", (("alpha", 2.0), ("beta", 3.0))),
        Prior("LogNormal", (("mu", 1.0), ("sigma", 0.5))),
        Prior("FlatVariance"),
        Prior("FlatLog"),
        Prior(ROOT_INVERSE_GAMMA, (("alpha", 2.0), ("beta", 3.0))),
    ],
)
def test_one_density_at_a_time_and_many(prior: Prior) -> None:
    """`scale` for the sampler and `density` for many points are the same."""
    log_sd = np.array([-2.0, 0.3, 1.5])
    expected = [scale_logp(prior)(float(value))[0] for value in log_sd]
    found = prior_logp(prior, np.exp(log_sd)) + log_sd
    np.testing.assert_allclose(found, expected, rtol=TABLE, atol=EXACT)


def test_inverse_gamma_of_the_variance_is_scipys() -> None:
    """With the Jacobian 2 sd of the square."""
    prior = Prior(ROOT_INVERSE_GAMMA, (("alpha", 2.0), ("beta", 3.0)))
    sd = np.array([0.2, 1.0, 4.0])
    expected = stats.invgamma(2.0, scale=3.0).logpdf(sd**2) + np.log(2.0 * sd)
    np.testing.assert_allclose(prior_logp(prior, sd), expected, rtol=EXACT)


@pytest.mark.parametrize(
    ("prior", "law"),
    [
        (("StudentT", {"nu": 3.0, "mu": 1.0, "sigma": 2.0}), stats.t(3, 1.0, 2.0)),
        (("Cauchy", {"alpha": 1.0, "beta": 2.0}), stats.cauchy(1.0, 2.0)),
        (("Laplace", {"mu": 1.0, "b": 2.0}), stats.laplace(1.0, 2.0)),
        (("Beta", {"alpha": 2.0, "beta": 3.0}), stats.beta(2.0, 3.0)),
    ],
)
def test_densities_are_scipys(prior: tuple[str, dict], law) -> None:
    values = np.array([0.1, 0.4, 0.9])
    found = prior_logp(Prior(prior[0], tuple(prior[1].items())), values)
    np.testing.assert_allclose(found, law.logpdf(values), rtol=EXACT)
