"""Exact curvature of the criterion of one grouping factor, and fits that rest on it."""

import numpy as np
import pandas as pd
import pytest
from helpers import dense_criterion, finite_difference

import bayeslmm as lmm
from bayeslmm.reml.criterion import ProfiledProblem, profiled_problem
from bayeslmm.reml.optimise import minimise

BY_DIFFERENCES = 1e-6
"""Of the largest curvature: differences of the exact gradient, of fourth order."""
FORMULAS = (
    "y ~ f * x + (f | g)",
    "y ~ x + (x || g)",
    "y ~ f + diag(f | g)",
    "y ~ 1 + (f | g) + (0 + x | g)",
)


def conditions(
    levels: int, kinds: int, rows: int, rank: int, seed: int = 1
) -> pd.DataFrame:
    """Rows of random kinds in each level; effects of a covariance of some rank."""
    rng = np.random.default_rng(seed)
    n = levels * rows
    g, f = np.repeat(np.arange(levels), rows), rng.integers(0, kinds, n)
    effects = rng.standard_normal((levels, rank)) @ rng.standard_normal((rank, kinds))
    y = effects[g, f] + rng.standard_normal(n)
    names = np.array([f"f{i:02d}" for i in range(kinds)])
    x = rng.standard_normal(n)
    return pd.DataFrame({"y": y, "x": x, "f": names[f], "g": g.astype(str)})


def problem_of(formula: str, data: pd.DataFrame, *, restricted: bool = True):
    model = lmm.Model(formula, data)
    return profiled_problem(model.design, model.conditioned, restricted=restricted)


@pytest.mark.parametrize("restricted", [True, False])
@pytest.mark.parametrize("formula", FORMULAS)
def test_curvature_is_that_of_the_gradient(formula, restricted):
    problem = problem_of(formula, conditions(12, 3, 9, 2), restricted=restricted)
    rng = np.random.default_rng(2)
    theta = problem.start + 0.3 * rng.standard_normal(problem.m)
    for point in (theta, np.where(np.arange(problem.m) == 0, 0.0, theta)):
        expected = np.array(
            [
                finite_difference(lambda x, i=i: problem(x)[1][i], point)
                for i in range(problem.m)
            ]
        )
        tolerance = BY_DIFFERENCES * np.abs(expected).max()
        np.testing.assert_allclose(problem.hessian(point), expected, atol=tolerance)


def test_where_sigma_collapses_there_is_no_curvature():
    problem = problem_of("y ~ x + (x | g)", conditions(12, 3, 9, 2))
    assert np.isnan(problem.hessian(np.full(problem.m, np.nan))).all()


def test_curvature_is_exact_where_that_is_cheaper():
    many = problem_of("y ~ f + (f | g)", conditions(30, 12, 40, 12))
    assert many.has_exact_curvature
    few = problem_of("y ~ x + (x | g)", conditions(30, 12, 40, 12))
    assert not few.has_exact_curvature


@pytest.mark.parametrize("rank", [2, 8])
def test_many_parameters_end_at_the_minimum_of_other_ways_in_fewer_evaluations(
    rank, monkeypatch
):
    """The minimum inside, or with a covariance of rank 2; by the dense formula too."""
    data, found = conditions(30, 8, 32, rank), []
    design = lmm.Model("y ~ f + (f | g)", data).design
    for exact in (True, False):
        monkeypatch.setattr(ProfiledProblem, "has_exact_curvature", exact)
        problem = problem_of("y ~ f + (f | g)", data)
        found.append((minimise(problem), problem.calls["evaluations"], problem))
    (optimum, evaluations, problem), (other, many, _) = found
    assert optimum.converged
    assert other.converged
    assert abs(optimum.criterion - other.criterion) < 1e-7
    assert evaluations < many / 4
    relative = problem.data_factors(optimum.theta)
    dense = dense_criterion(design, relative, restricted=True)[0]
    shift = problem.conditioned.criterion_shift(restricted=True)
    assert abs(optimum.criterion + shift - dense) < 1e-8
