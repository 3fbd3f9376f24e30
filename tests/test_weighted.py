"""Points over the variance parameters: what they sum to, and which part is the prior's.

The draws carry their coordinates, so that the density, and its part that is the
likelihood, is known at each without rows.
"""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import halfnorm

from bayeslmm import Model, ModelError, Posterior
from bayeslmm.datasets import simulate_classrooms
from bayeslmm.graph.trees import COORDINATES, UNCONSTRAINED
from bayeslmm.posterior.margins import values_at
from bayeslmm.posterior.weighted import weighted_points

# Same algebra by two routes.
EXACT = 1e-10
# Standard errors of a Monte Carlo mean.
WITHIN = 4.0

PRIORS = {"1|classroom": "HalfNormal(3)", "sigma": "HalfNormal(2)"}


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    """Eight classrooms."""
    return simulate_classrooms(8, 12, seed=1).data


@pytest.fixture(scope="module")
def two(data: pd.DataFrame) -> Posterior:
    """Two variance parameters."""
    model = Model("score ~ edu + (1 | classroom)", data, priors=PRIORS)
    return model.sample(draws=500, chains=4, seed=1, progress=False)


@pytest.fixture(scope="module")
def four(data: pd.DataFrame) -> Posterior:
    """Four, one of them a correlation."""
    model = Model("score ~ edu + (edu | classroom)", data)
    return model.sample(draws=250, chains=4, seed=1, method="nuts", progress=False)


def test_draws_carry_the_coordinates_of_their_density(four: Posterior) -> None:
    """``lp`` is the log density of the coordinates that are stored beside it."""
    points = weighted_points(four)
    assert points.lattice is None
    stored = four.idata[UNCONSTRAINED][COORDINATES]
    labels = [own.label for own in four.model.space.coordinates]
    assert stored["coordinate"].to_numpy().tolist() == labels
    for i in (0, 317, 999):
        value = points.target(points.x[i])[0]
        assert points.log_density[i] == pytest.approx(value, rel=EXACT)


def test_stored_coordinates_are_those_of_the_draws(four: Posterior) -> None:
    """The SDs and the correlation read off the coordinates are the draws."""
    points = weighted_points(four)
    for parameter in four.model.space.variances:
        drawn = four.draws(parameter.label).ravel()
        read = values_at(parameter, points.target, points.x)
        np.testing.assert_allclose(read, drawn, rtol=EXACT, atol=EXACT)


def test_lattice_stands_for_the_same_posterior(two: Posterior) -> None:
    """Means over the lattice are those of the draws, within their errors."""
    points, summary = weighted_points(two), two.summary()
    assert points.lattice is not None
    assert points.weights.sum() == pytest.approx(1.0, abs=EXACT)
    for label in ("1|classroom_sigma", "sigma"):
        parameter = next(p for p in two.model.space.parameters if p.label == label)
        mean = points.weights @ values_at(parameter, points.target, points.x)
        error = summary.loc[label, "mcse_mean"]
        assert abs(mean - summary.loc[label, "mean"]) < WITHIN * error


def test_lattice_is_made_once_for_a_model(two: Posterior) -> None:
    """Several tables of one posterior share it."""
    assert weighted_points(two).lattice is weighted_points(two).lattice


def test_prior_is_that_of_the_parameters(two: Posterior) -> None:
    """Half-normal densities of both SDs, times the Jacobian of their logs."""
    points = weighted_points(two)
    place = {own.label: i for i, own in enumerate(two.model.space.coordinates)}
    sigma = np.exp(points.x[:, place["sigma"]])
    sd = np.exp(points.x[:, place["1|classroom_sigma"]])
    expected = halfnorm.logpdf(sd, scale=3.0) + halfnorm.logpdf(sigma, scale=2.0)
    expected += np.log(sd) + np.log(sigma)
    np.testing.assert_allclose(points.log_prior, expected, rtol=1e-8)


def test_likelihood_does_not_depend_on_the_prior(data: pd.DataFrame) -> None:
    """Two priors of the SDs have the same likelihood where their lattices meet."""
    found = []
    for scale in (1.0, 5.0):
        priors = {"1|classroom": f"HalfNormal({scale})"}
        model = Model("score ~ edu + (1 | classroom)", data, priors=priors)
        post = model.sample(draws=100, chains=4, seed=1, progress=False)
        found.append(weighted_points(post))
    one, other = found
    for i in (0, len(one.x) // 2):
        x = one.x[i]
        prior = other.target.log_prior(x.tolist())[0]
        likelihood = other.target(x)[0] - prior
        assert one.log_likelihood[i] == pytest.approx(likelihood, rel=EXACT)


def test_joint_posterior_says_what_it_lacks(two: Posterior) -> None:
    """A posterior with explicit effects has no density of the variances alone."""
    from dataclasses import replace

    with pytest.raises(ModelError, match="integrated out"):
        weighted_points(replace(two, method="joint"))
