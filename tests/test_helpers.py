"""The oracle itself, against laws that do not share its formulas."""

import helpers
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from hypothesis import given, strategies as st

EXACT = 1e-9  # same number by two routes, dense inverses of well-conditioned matrices
QUADRATURE = 1e-6  # relative, adaptive integration over one coefficient

SEEDS = st.integers(0, 2**32 - 1)


@given(seed=SEEDS, layout=st.sampled_from(helpers.LAYOUTS))
def test_proper_prior_is_a_normal_density_of_y(seed, layout):
    rng = np.random.default_rng(seed)
    design = helpers.random_design(
        rng, layout=layout, effects=(2, 1), n=25, weights=True, offset=True
    )
    factors, mean = helpers.random_factors(rng, design), rng.normal(size=design.p)
    precision = helpers.random_precision(rng, design.p, design.p)
    cov = helpers.dense_V(design, factors, 0.8)
    cov = cov + design.rows.X @ np.linalg.inv(precision) @ design.rows.X.T
    expected = scipy.stats.multivariate_normal(
        design.rows.X @ mean + design.rows.offset, cov
    ).logpdf(design.rows.y)
    value = helpers.dense_log_density(design, factors, 0.8, mean, precision)
    assert value == pytest.approx(expected, rel=EXACT)


@pytest.mark.parametrize("flat", [True, False])
def test_density_is_the_integral_over_one_coefficient(flat):
    rng = np.random.default_rng(3)
    design = helpers.random_design(rng, effects=(1,), n=12, n_levels=3, p=1)
    factors = helpers.random_factors(rng, design)
    V = helpers.dense_V(design, factors, 0.7)
    prior = scipy.stats.norm(0.5, 2.0)

    def density(beta):
        value = scipy.stats.multivariate_normal(design.rows.X[:, 0] * beta, V).pdf(
            design.rows.y
        )
        return value * (1.0 if flat else prior.pdf(beta))

    integral, _ = scipy.integrate.quad(density, -30, 30, points=[1], epsabs=0)
    arguments = () if flat else (np.array([0.5]), np.array([[0.25]]))
    value = helpers.dense_log_density(design, factors, 0.7, *arguments)
    assert value == pytest.approx(np.log(integral), rel=QUADRATURE)


def test_partly_flat_prior_is_the_limit_of_a_wide_one():
    rng = np.random.default_rng(4)
    design = helpers.random_design(rng, effects=(2,), p=3)
    factors, mean = helpers.random_factors(rng, design), rng.normal(size=3)
    precision = helpers.random_precision(rng, 3, 2)
    wide = precision + np.diag([0, 0, 1e-8])
    value = helpers.dense_log_density(design, factors, 1.2, mean, precision)
    limit = helpers.dense_log_density(design, factors, 1.2, mean, wide)
    limit -= 0.5 * np.log(1e-8 / (2 * np.pi))  # height of the wide normal
    assert value == pytest.approx(limit, abs=1e-6)


@pytest.mark.parametrize("restricted", [True, False])
def test_criterion_is_the_minimum_over_sigma(restricted):
    rng = np.random.default_rng(5)
    design = helpers.random_design(rng, effects=(2,), weights=True)
    relative = helpers.random_factors(rng, design)
    criterion, sigma, beta = helpers.dense_criterion(
        design, relative, restricted=restricted
    )

    def deviance(log_sigma):
        scaled = [np.exp(log_sigma) * factor for factor in relative]
        if restricted:
            return -2 * helpers.dense_log_density(design, scaled, np.exp(log_sigma))
        V = helpers.dense_V(design, scaled, np.exp(log_sigma))
        return -2 * scipy.stats.multivariate_normal(design.rows.X @ beta, V).logpdf(
            design.rows.y
        )

    assert criterion == pytest.approx(deviance(np.log(sigma)), rel=EXACT)
    slope = helpers.finite_difference(
        lambda x: deviance(x[0]), np.array([np.log(sigma)])
    )
    assert slope[0] == pytest.approx(0.0, abs=1e-6)


def test_conditional_law_is_the_joint_normal_read_by_rows_of_its_precision():
    rng = np.random.default_rng(6)
    design = helpers.random_design(
        rng, layout="crossed", effects=(2, 1), weights=True, offset=True
    )
    factors, sigma = helpers.random_factors(rng, design), 0.9
    mean, precision = rng.normal(size=2), helpers.random_precision(rng, 2, 1)
    columns = np.hstack(
        [design.rows.X, helpers.dense_Z(design, 0), helpers.dense_Z(design, 1)]
    )
    W = np.diag(design.rows.weights) / sigma**2
    Q = columns.T @ W @ columns
    Q[:2, :2] += precision
    Q[2:, 2:] += np.linalg.inv(helpers.dense_Sigma(design, factors))
    right = columns.T @ W @ helpers.response(design)
    right[:2] += precision @ mean
    law = helpers.dense_conditional(design, factors, sigma, mean, precision)
    np.testing.assert_allclose(law.cov, np.linalg.inv(Q), rtol=0, atol=1e-9)
    np.testing.assert_allclose(law.mean, np.linalg.solve(Q, right), rtol=0, atol=1e-9)
    given_beta = np.linalg.inv(Q[2:, 2:])
    np.testing.assert_allclose(
        law.b_cov_given_beta[0][1], given_beta[2:4, 2:4], rtol=0, atol=1e-9
    )
    np.testing.assert_allclose(law.b_cov[0][1], law.cov[4:6, 4:6], rtol=0, atol=1e-12)
    assert [b.shape for b in law.b] == [(5, 2), (4, 1)]


def test_finite_difference_of_a_known_gradient():
    x = np.array([0.3, -1.2, 2.0])
    gradient = helpers.finite_difference(lambda v: float(np.sin(v).sum()), x)
    np.testing.assert_allclose(gradient, np.cos(x), rtol=0, atol=1e-10)
