"""Simulated responses have the law of the model."""

import helpers
import numpy as np
import pytest
from hypothesis import given, strategies as st

from bayeslmm import ModelError, sd_corr_to_factor, simulate
from bayeslmm.covariance import factor_to_sd_corr

EXACT = 1e-10  # same algebra by two routes
ROOT = 1e-7  # a root of an eigenvalue that is 0 but for rounding
MCSE = (
    4.5  # Monte Carlo standard errors; 10^4 seeded comparisons, none beyond by chance
)
SIZE = 4000

SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(1)
    design = helpers.random_design(
        rng, layout="crossed", effects=(2, 1), n=30, weights=True, offset=True
    )
    parameters = {
        "beta": np.array([3.0, -2.0]),
        "factors": helpers.random_factors(rng, design),
        "sigma": 0.8,
    }
    return design, parameters


def test_mean_and_covariance_are_those_of_the_model(case):
    design, parameters = case
    y = simulate(design, **parameters, nsim=SIZE, seed=2)
    mean = design.rows.X @ parameters["beta"] + design.rows.offset
    V = helpers.dense_V(design, parameters["factors"], parameters["sigma"])
    error = np.sqrt(np.diag(V) / SIZE)
    assert np.all(np.abs(y.mean(axis=0) - mean) < MCSE * error)
    # variance of a sample covariance of normals: (V_ij^2 + V_ii V_jj) / size
    error = np.sqrt((V**2 + np.outer(np.diag(V), np.diag(V))) / SIZE)
    assert np.all(np.abs(np.cov(y.T) - V) < MCSE * error)


def test_given_effects_are_held_and_leave_the_residual_law(case):
    design, parameters = case
    rng = np.random.default_rng(3)
    effects = [rng.normal(size=(t.n_levels, t.k)) for t in design.groups]
    y = simulate(design, **parameters, effects=effects, nsim=SIZE, seed=4)
    mean = design.rows.X @ parameters["beta"] + design.rows.offset
    for t, b in enumerate(effects):
        mean = mean + helpers.dense_Z(design, t) @ b.ravel()
    variance = parameters["sigma"] ** 2 / design.rows.weights
    assert np.all(np.abs(y.mean(axis=0) - mean) < MCSE * np.sqrt(variance / SIZE))
    error = variance * np.sqrt(2 / SIZE)
    assert np.all(np.abs(y.var(axis=0, ddof=1) - variance) < MCSE * error)


def test_without_noise_the_response_is_the_linear_predictor(case):
    design, parameters = case
    nothing = [np.zeros((t.k, t.k)) for t in design.groups]
    y = simulate(design, beta=parameters["beta"], factors=nothing, sigma=0.0, seed=1)
    expected = design.rows.X @ parameters["beta"] + design.rows.offset
    np.testing.assert_allclose(y, expected[None], rtol=EXACT)


def test_the_seed_decides_and_a_generator_moves_on(case):
    design, parameters = case
    first = simulate(design, **parameters, nsim=3, seed=5)
    assert np.array_equal(first, simulate(design, **parameters, nsim=3, seed=5))
    assert not np.array_equal(first, simulate(design, **parameters, nsim=3, seed=6))
    rng = np.random.default_rng(5)
    assert np.array_equal(first, simulate(design, **parameters, nsim=3, seed=rng))
    assert not np.array_equal(first, simulate(design, **parameters, nsim=3, seed=rng))


def test_a_model_gives_what_its_design_gives():
    from bayeslmm import Model, simulate_classrooms

    data = simulate_classrooms(seed=1).data
    model = Model("score ~ edu + (edu | classroom)", data)
    parameters = {
        "beta": np.array([1.0, 2.0]),
        "factors": [np.diag([1.0, 0.5])],
        "sigma": 0.3,
    }
    expected = simulate(model.design, **parameters, seed=1)
    assert np.array_equal(simulate(model, **parameters, seed=1), expected)


@given(seed=SEEDS, k=st.integers(1, 4))
def test_factor_round_trip(seed, k):
    rng = np.random.default_rng(seed)
    root = np.tril(rng.normal(size=(k, k)), -1) + np.diag(rng.uniform(0.3, 2, k))
    sd, corr = factor_to_sd_corr(root)
    np.testing.assert_allclose(sd_corr_to_factor(sd, corr), root, rtol=0, atol=1e-8)


@pytest.mark.parametrize("rho", [-1.0, 1.0])
def test_factor_at_perfect_correlation_and_zero_sd(rho):
    corr = np.array([[1.0, rho], [rho, 1.0]])
    L = sd_corr_to_factor(np.array([2.0, 0.5]), corr)
    np.testing.assert_allclose(L @ L.T, [[4.0, rho], [rho, 0.25]], rtol=0, atol=ROOT)
    np.testing.assert_allclose(np.triu(L, 1), 0.0, atol=ROOT)
    assert not sd_corr_to_factor(np.zeros(2), corr).any()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"beta": np.zeros(3)},
            "3 values and the model 2 fixed effects: Inter",
        ),
        ({"beta": np.array([0.0, np.nan])}, "must be finite"),
        ({"sigma": -1.0}, "sigma at least 0; sigma is -1.0"),
        ({"factors": [np.eye(2)]}, r"factors\[1\] is for the term \(1 \| h\).*missing"),
        (
            {"factors": [np.eye(1), np.eye(1)]},
            r"factors\[0\].*it is \(1, 1\)",
        ),
        ({"effects": [np.eye(2), np.eye(1)]}, r"effects\[0\].*\(5, 2\)"),
    ],
)
def test_wrong_parameters_are_named(case, change, words):
    design, parameters = case
    with pytest.raises(ModelError, match=words):
        simulate(design, **{**parameters, **change}, seed=1)


@pytest.mark.parametrize(
    ("sd", "rho", "words"),
    [
        ([1.0, -1.0], 0.0, "an SD is at least 0"),
        ([1.0, 1.0], 1.2, "cannot hold together"),
    ],
)
def test_what_is_no_covariance_is_named(sd, rho, words):
    with pytest.raises(ModelError, match=words):
        sd_corr_to_factor(np.array(sd), np.array([[1.0, rho], [rho, 1.0]]))
