"""Laws of covariance: inverses, gradients, lme4's order, the LKJ normaliser."""

import numpy as np
import pytest
from helpers import finite_difference
from hypothesis import given, strategies as st
from scipy.integrate import nquad

from bayeslmm.covariance import (
    STRUCTURES,
    Structure,
    angle_bounds,
    angle_pullback,
    angle_start,
    angle_to_factor,
    coordinates_pullback,
    coordinates_to_factor,
    coordinates_to_sd_corr,
    corr_logp,
    factor_to_coordinates,
    factor_to_sd_corr,
    theta_to_factor,
)

ROUND_TRIP = 1e-7  # atanh near the ends of the range loses half the digits
DIFFERENCE = 1e-7  # error of a central difference of fourth order in double precision
QUADRATURE = 1e-6  # the tolerance asked of nquad

US = STRUCTURES["us"]
structures = st.sampled_from([*STRUCTURES.values()])
sizes = st.integers(1, 4)
seeds = st.integers(0, 2**32 - 1)


def random_coordinates(structure: Structure, k: int, seed: int) -> np.ndarray:
    """Moderate coordinates: SDs within a factor 3 of 1, partials within 0.9."""
    return np.random.default_rng(seed).uniform(-1.2, 1.2, structure.n_theta(k))


@given(structures, sizes, seeds)
def test_coordinates_round_trip(structure, k, seed):
    x = random_coordinates(structure, k, seed)
    factor = coordinates_to_factor(structure, x, k)
    back = factor_to_coordinates(structure, factor, np.array([1e-4]))
    assert back == pytest.approx(x, abs=ROUND_TRIP)


@given(structures, sizes, seeds)
def test_factor_has_the_sds_and_correlations_it_is_made_of(structure, k, seed):
    x = random_coordinates(structure, k, seed)
    sd, corr_factor = coordinates_to_sd_corr(structure, x, k)
    found_sd, found_corr = factor_to_sd_corr(coordinates_to_factor(structure, x, k))
    assert found_sd == pytest.approx(sd)
    assert found_corr == pytest.approx(corr_factor @ corr_factor.T)
    assert np.diag(found_corr) == pytest.approx(np.ones(k))


@given(structures, sizes, seeds)
def test_pullbacks_are_gradients(structure, k, seed):
    rng = np.random.default_rng(seed)
    weight = np.tril(rng.normal(size=(k, k)))
    x = random_coordinates(structure, k, seed)
    by_difference = finite_difference(
        lambda x: float((weight * coordinates_to_factor(structure, x, k)).sum()), x
    )
    pulled = coordinates_pullback(structure, x, k, weight)
    assert pulled == pytest.approx(by_difference, abs=DIFFERENCE)

    theta = angle_start(structure, k) + rng.uniform(0.0, 0.3, structure.n_theta(k))
    by_difference = finite_difference(
        lambda t: float((weight * angle_to_factor(structure, t, k)).sum()), theta
    )
    pulled = angle_pullback(structure, theta, k, weight)
    assert pulled == pytest.approx(by_difference, abs=DIFFERENCE)


@given(structures, sizes, seeds, st.floats(0.5, 5.0))
def test_correlation_prior_gradient(structure, k, seed, eta):
    x = random_coordinates(structure, k, seed)
    by_difference = finite_difference(lambda x: corr_logp(structure, x, k, eta)[0], x)
    gradient = corr_logp(structure, x, k, eta)[1]
    assert gradient == pytest.approx(by_difference, abs=DIFFERENCE)


@pytest.mark.parametrize("eta", [1.0, 2.0, 3.5])
@pytest.mark.parametrize(("word", "k"), [("us", 2), ("cs", 3), ("ar1", 4), ("toep", 2)])
def test_correlation_prior_integrates_to_one(word, k, eta):
    structure = STRUCTURES[word]

    def density(z: float) -> float:
        x = np.append(np.zeros(structure.n_sd(k)), z)
        return np.exp(corr_logp(structure, x, k, eta)[0])

    total, _ = nquad(density, [(-20, 20)], opts={"epsabs": QUADRATURE, "points": [0]})
    assert total == pytest.approx(1.0, abs=QUADRATURE)


def test_lkj_for_three_effects_is_the_power_of_the_determinant():
    # LKJ(eta): p(C) proportional to |C|^(eta - 1); so the log density at two points,
    # less the log Jacobian C <-> z, differs by (eta - 1) times that of log |C|.
    x = np.append(np.zeros(3), [0.4, -0.3, 0.8])

    def log_det(x):
        return 2 * np.log(np.diag(coordinates_to_factor(US, x, 3))).sum()

    one, three = corr_logp(US, x, 3, 1.0)[0], corr_logp(US, x, 3, 3.0)[0]
    origin = np.zeros(6)
    one0, three0 = (
        corr_logp(US, origin, 3, 1.0)[0],
        corr_logp(US, origin, 3, 3.0)[0],
    )
    assert (three - one) - (three0 - one0) == pytest.approx(2.0 * log_det(x))


def test_theta_of_us_is_in_the_order_of_lme4():
    theta = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    factor = theta_to_factor(US, theta, 3)
    assert factor.tolist() == [[1, 0, 0], [2, 4, 0], [3, 5, 6]]
    assert [low for low, _ in angle_bounds(US, 3)] == [
        0,
        -np.inf,
        -np.inf,
        0,
        -np.inf,
        0,
    ]


@pytest.mark.parametrize("k", [2, 3, 5])
def test_structured_correlations(k):
    lag = np.abs(np.subtract.outer(np.arange(k), np.arange(k)))
    for structure in (STRUCTURES["ar1"], STRUCTURES["hetar1"]):
        theta = np.append(np.full(structure.n_sd(k), 2.0), -0.6)
        sd, corr = factor_to_sd_corr(theta_to_factor(structure, theta, k))
        assert sd == pytest.approx(np.full(k, 2.0))
        assert corr == pytest.approx((-0.6) ** lag)
    for structure in (STRUCTURES["cs"], STRUCTURES["homcs"]):
        theta = np.append(np.full(structure.n_sd(k), 2.0), 0.3)
        sd, corr = factor_to_sd_corr(theta_to_factor(structure, theta, k))
        assert sd == pytest.approx(np.full(k, 2.0))
        assert corr == pytest.approx(np.where(lag == 0, 1.0, 0.3))


@pytest.mark.parametrize("word", ["cs", "homcs", "ar1", "hetar1"])
def test_boundary_correlations_give_a_singular_factor(word):
    structure, k = STRUCTURES[word], 3
    for rho in (structure.low(k), 1.0):
        theta = np.append(np.ones(structure.n_sd(k)), rho)
        factor = theta_to_factor(structure, theta, k)
        _, corr = factor_to_sd_corr(factor)
        assert np.linalg.matrix_rank(factor, tol=1e-7) < k
        assert corr[1, 0] == pytest.approx(rho)


def test_zero_sd_has_no_correlation():
    sd, corr = factor_to_sd_corr(np.array([[2.0, 0.0], [0.0, 0.0]]))
    assert sd.tolist() == [2.0, 0.0]
    assert np.isnan(corr[1, 0])
    assert corr[0, 0] == corr[1, 1] == 1.0


@pytest.mark.parametrize(
    "factor",
    [
        np.zeros((2, 2)),
        np.array([[2.0, 0], [0, 0]]),
        np.array([[1.0, 0.0], [-3.0, 0.0]]),
    ],
)
def test_coordinates_of_a_singular_factor_are_finite(factor):
    x = factor_to_coordinates(US, factor, np.array([1e-4]))
    assert np.isfinite(x).all()
    near = coordinates_to_factor(US, x, 2)
    scale = max(np.abs(factor).max(), 1.0)
    assert np.abs(near @ near.T - factor @ factor.T).max() < 0.05 * scale**2


def test_numbers_of_parameters():
    counts = {
        word: (s.n_sd(4), s.n_corr(4), s.n_corr(1)) for word, s in STRUCTURES.items()
    }
    assert counts == {
        "us": (4, 6, 0),
        "diag": (4, 0, 0),
        "cs": (4, 1, 0),
        "ar1": (1, 1, 0),
        "toep": (4, 3, 0),
        "homtoep": (1, 3, 0),
        "homdiag": (1, 0, 0),
        "homcs": (1, 1, 0),
        "hetar1": (4, 1, 0),
    }
