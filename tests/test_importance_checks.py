"""Importance sampling: honest in its sample sizes, and when it declines."""

import functools
import math
import sys
from collections.abc import Callable

import arviz as az
import numpy as np
import pandas as pd
import pytest
from importance_cases import (
    declined,
    intercepts,
)

from bayeslmm import Model
from bayeslmm.posterior.independence import check_weights, metropolis, smallest_ess
from bayeslmm.posterior.trust import largest_k
from bayeslmm.reml.expense import prefers_importance

# Monte Carlo errors that a figure may be off by; seeds are fixed.
MCSE = 4.0

# --- honest ---------------------------------------------------------------------------


def test_reported_sample_size_is_that_of_the_means() -> None:
    """Over many seeds the means scatter as ArviZ's sample sizes of the chains say.

    The 400 weighted points, resampled in random order, would claim 400.
    """
    rng, means, reported = np.random.default_rng(6), [], []
    for _ in range(400):
        points = 2.0 * rng.standard_normal(400)  # the target is a standard normal
        log_weights = -0.5 * points**2 + 0.125 * points**2
        weights = check_weights(log_weights).smoothed
        start = rng.choice(400, size=4, p=weights)
        walked = metropolis(log_weights, start, rng.random(400))
        means.append(points[walked.index].mean())
        reported.append(float(az.ess(points[walked.index])))
    true = 1.0 / float(np.mean(np.square(means)))
    # a mean of 400 squares has a relative SD of sqrt(2 / 400)
    assert np.mean(reported) == pytest.approx(true, rel=MCSE * math.sqrt(2 / 400))
    assert true < 250


def test_chain_of_equal_weights_takes_every_point() -> None:
    """Nothing is rejected where all weights are equal."""
    uniforms = np.random.default_rng(1).random(12)
    found = metropolis(np.zeros(12), np.zeros(3, int), uniforms)
    assert found.index.tolist() == [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]]
    assert (found.acceptance == 1.0).all()


def test_chain_has_the_weights_as_its_frequencies() -> None:
    """Points of three kinds are stood at in proportion to their weights."""
    rng = np.random.default_rng(4)
    kind = rng.integers(0, 3, 40_000)
    weights = np.array([1.0, 3.0, 0.0])
    with np.errstate(divide="ignore"):
        log_weights = np.log(weights)[kind]
    start = np.flatnonzero(kind == 1)[:4]
    found = metropolis(log_weights, start, rng.random(kind.size))
    stood = kind[found.index]
    share = (stood == 1).astype(float)
    assert not (stood == 2).any()
    assert abs(share.mean() - 0.75) < MCSE * float(az.mcse(share, method="mean"))


def test_pareto_k_is_that_of_the_weights() -> None:
    """Weights with a Pareto tail of known shape, some points without any weight."""
    for shape in (0.3, 1.2):
        raw = np.random.default_rng(2).pareto(1 / shape, 20_000) + 1.0
        log_weights = np.append(np.log(raw), np.full(5_000, -np.inf))
        found = check_weights(log_weights)
        assert found.pareto_k == pytest.approx(shape, abs=0.15)
        assert found.smoothed.sum() == pytest.approx(1.0)
        assert (found.smoothed[-5_000:] == 0.0).all()
    even = check_weights(
        np.append(np.random.default_rng(1).normal(0, 1e-3, 300), -np.inf)
    )
    assert even.efficiency == pytest.approx(300 / 301, rel=1e-4)


def test_no_point_with_density() -> None:
    """Too few weights are no weights."""
    found = check_weights(np.full(100, -np.inf))
    assert (found.pareto_k, found.efficiency) == (np.inf, 0.0)


def test_chain_that_stands_still_has_no_sample_size() -> None:
    """ArviZ gives constants all their draws."""
    draws = np.random.default_rng(1).normal(size=(4, 100, 2))
    assert smallest_ess(draws) > 200
    draws[..., 1] = 1.0
    assert smallest_ess(draws) == 0.0


# --- declines -------------------------------------------------------------------------


def test_limit_of_k_falls_with_the_points() -> None:
    """min(0.7, 1 - 1 / log10 N) of Vehtari et al. (2024)."""
    assert largest_k(100) == pytest.approx(0.5)
    assert largest_k(1000) == pytest.approx(2 / 3)
    assert largest_k(2154) < 0.7 == largest_k(10_000)


def test_declines_many_dimensions_without_a_point() -> None:
    """Four correlated effects and sigma are 11 coordinates."""
    rng = np.random.default_rng(1)
    data = pd.DataFrame(rng.normal(size=(200, 4)), columns=["y", "u", "v", "w"])
    data["g"] = np.repeat(np.arange(20), 10)
    found = declined(Model("y ~ u + v + w + (u + v + w | g)", data))
    assert (found.checks.dimension, found.checks.n_points) == (11, 0)
    assert "11 variance parameters" in found.reason
    assert "at most 7" in found.reason


def test_declines_a_small_effective_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit above what any proposal reaches: three pilots are enough to say so."""
    module = sys.modules[largest_k.__module__]
    monkeypatch.setattr(module, "MIN_EFFICIENCY", 0.999)
    found = declined(intercepts()[0])
    assert found.checks.pareto_k < found.checks.max_k == largest_k(400)
    assert found.checks.n_points == 1200
    assert found.reason == (
        "Weighted points were tried and set aside: after 1,200 points in 3 rounds "
        f"Pareto k is {found.checks.pareto_k:.2f} (to be below 0.62) and the effective "
        f"share {found.checks.efficiency:.2f} (to be above 0.999), so they do not "
        "cover the posterior well enough."
    )


def test_declines_chains_that_would_be_too_short() -> None:
    """An effective sample that needs more than twice the points allowed."""
    found = declined(intercepts()[0], draws=200, ess=5000)
    assert found.checks.n_points == 400
    assert "effective sample" in found.reason


def test_declines_too_few_points() -> None:
    """Sixteen weights have no tail to judge."""
    found = declined(intercepts()[0], draws=4)
    assert "16 points in 1 round are too few" in found.reason


# --- when -----------------------------------------------------------------------------


def test_cheap_evaluations_are_left_to_nuts() -> None:
    """One grouping factor costs microseconds."""
    _, target, normal = intercepts()
    options = {"draws": 1000, "tune": 300, "chains": 4}
    assert target.statistics.seconds < 1e-4
    assert not prefers_importance(
        target.statistics, dimension=normal.mode.size, **options
    )


def test_one_factor_of_many_kinds_of_levels_is_weighted() -> None:
    """Groups of 400 sizes: points cost a third of NUTS for the same ESS."""
    sizes = np.arange(1, 401)
    rng, g = np.random.default_rng(1), np.repeat(np.arange(400), sizes)
    y = rng.normal(size=400)[g] + rng.normal(size=g.size)
    model = Model("y ~ 1 + (1 | g)", pd.DataFrame({"y": y, "g": g}))
    asked = functools.partial(prefers_importance, model.conditioned.statistics)
    assert 1.5e-5 < model.conditioned.statistics.seconds < 1e-4
    assert asked(dimension=2, draws=1000, tune=300, chains=4)
    assert not asked(dimension=5, draws=1000, tune=300, chains=4)
    assert not asked(dimension=2, draws=100, tune=300, chains=4)
    assert model.sample(seed=1, progress=False).method == "importance"


def test_expensive_evaluations_are_not(
    public_data: Callable[[str], pd.DataFrame],
) -> None:
    """InstEval costs 50 ms; not for a short run, not in many dimensions."""
    model = Model(
        "y ~ service + (1 | s) + (1 | d) + (1 | dept)", public_data("InstEval")
    )
    expected = model.conditioned.statistics.seconds
    assert 0.025 < expected < 0.1
    asked = functools.partial(prefers_importance, model.conditioned.statistics)
    assert asked(dimension=4, draws=1000, tune=300, chains=4)
    assert not asked(dimension=8, draws=1000, tune=300, chains=4)
    assert not asked(dimension=4, draws=5, tune=0, chains=1)
