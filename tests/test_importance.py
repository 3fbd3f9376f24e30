"""Importance sampling: right by quadrature, honest in its ESS, and when it declines."""

import functools
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import pytest

from bayeslmm import Model, simulate_classrooms
from bayeslmm.design import Design
from bayeslmm.fit.draws import to_datatree
from bayeslmm.fit.expense import gradient_seconds, prefers_importance
from bayeslmm.fit.importance import (
    Declined,
    ImportanceDraws,
    importance_posterior,
    sample_importance,
)
from bayeslmm.fit.independence import check_weights, metropolis, smallest_ess
from bayeslmm.fit.mode import Laplace, laplace
from bayeslmm.fit.quadrature import quadrature
from bayeslmm.fit.target import (
    Target,
    make_target,
)
from bayeslmm.fit.visits import in_threads
from bayeslmm.marginal import conditional_mean, log_density
from bayeslmm.marginal.points import density_with_coefficients, density_with_effects

# Monte Carlo errors that a figure may be off by; seeds are fixed.
MCSE = 4.0
# Two routes to one density.
EXACT = 1e-10
# Means of 716 points against bambi's draws of similar, not identical priors: the
# prototype's figures have three to four digits.
PROTOTYPE = 0.15  # of a posterior SD, of which four Monte Carlo errors are 0.2

Run = tuple[Model, Target, Laplace]


def prepared(model: Model) -> Run:
    """A model with its target and mode."""
    target = make_target(model.design, model.statistics, model.priors)
    return model, target, laplace(target)


@functools.cache
def intercepts() -> Run:
    """Random intercepts of 15 classrooms."""
    data = simulate_classrooms(n_classrooms=15, n_pupils=8, seed=3).data
    return prepared(Model("score ~ edu + (1 | classroom)", data))


@functools.cache
def crossed() -> Run:
    """Two crossed factors, so many levels that density and effects come together."""
    rng = np.random.default_rng(8)
    a, b = np.tile(np.arange(130), 10), rng.permutation(np.repeat(np.arange(65), 20))
    y = rng.normal(size=130)[a] + rng.normal(size=65)[b] + rng.normal(size=1300)
    data = pd.DataFrame({"y": y, "a": a, "b": b, "x": rng.normal(size=1300)})
    return prepared(Model("y ~ x + (1 | a) + (x | b)", data))


def accepted(run: Run, **options: Any) -> ImportanceDraws:
    """Draws that are known to be accepted."""
    defaults: dict[str, Any] = {"draws": 500, "chains": 4, "seed": 1, "cores": 1}
    found = sample_importance(run[1], run[2], **{**defaults, **options})
    assert isinstance(found, ImportanceDraws), found.reason
    return found


def declined(model: Model, **options: Any) -> Declined:
    """A run that is known to be declined."""
    _, target, normal = prepared(model)
    defaults: dict[str, Any] = {"draws": 1000, "chains": 4, "seed": 1, "cores": 1}
    found = sample_importance(target, normal, **{**defaults, **options})
    assert isinstance(found, Declined)
    return found


def tree_of(design: Design, target: Target, drawn: ImportanceDraws) -> Any:
    """The draws as ArviZ holds them."""
    arrays = importance_posterior(design, target, drawn)
    return to_datatree(design, arrays, drawn.stats, {"method": "importance"})


# --- right ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "formula"),
    [
        ("simulated", ""),
        ("Dyestuff2", "Yield ~ 1 + (1 | Batch)"),
        ("sleepstudy", "Reaction ~ Days + (Days | Subject)"),
        ("Penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
    ],
)
def test_agrees_with_quadrature(
    data: str, formula: str, public_data: Callable[[str], pd.DataFrame]
) -> None:
    """Evidence from the weights; figures of every parameter from the chains."""
    run = intercepts() if not formula else prepared(Model(formula, public_data(data)))
    exact = quadrature(run[0], tolerance=0.03)
    drawn = accepted(run, draws=400, seed=2)
    off = drawn.log_evidence - exact.log_evidence
    assert abs(off) < MCSE * drawn.log_evidence_error
    table = az.summary(
        tree_of(run[0].design, run[1], drawn), kind="all", round_to="none"
    )
    for label, row in exact.summary.iterrows():
        own = table.loc[str(label)]
        assert abs(own["mean"] - row["mean"]) < MCSE * own["mcse_mean"] + row["error"]
        assert abs(own["sd"] - row["sd"]) < MCSE * own["mcse_sd"] + row["error"]


@pytest.mark.parametrize("make", [intercepts, crossed])
def test_effects_follow_their_conditional_distribution(make: Callable[[], Run]) -> None:
    """Given the variances, (beta, b) is Normal with the moments of conditional_mean."""
    run = make()
    drawn = accepted(run, draws=100)
    target, points = run[1], np.unique(drawn.index)
    z: dict[str, list[np.ndarray]] = {}
    for point in points.tolist():
        chain, draw = np.argwhere(drawn.index == point)[0]
        x = drawn.x[chain, draw]
        factors = [term.factor(x.tolist()) for term in target.terms]
        given = conditional_mean(
            target.statistics, factors, math.exp(x[0]), target.beta
        )
        own = (drawn.beta[chain, draw] - given.beta) / np.sqrt(np.diag(given.beta_cov))
        z.setdefault("beta", []).append(own)
        for t, b in drawn.b.items():
            sd = np.sqrt(np.diagonal(given.b_cov[t], axis1=1, axis2=2))
            z.setdefault(f"b{t}", []).append((b[chain, draw] - given.b[t]) / sd)
    for name, scores in z.items():
        found = np.array(scores)
        n = len(found)
        assert np.abs(found.mean(axis=0)).max() * math.sqrt(n) < MCSE, name
        spread = np.abs((found**2).mean(axis=0) - 1.0).max()
        assert spread * math.sqrt(n / 2) < MCSE, name


@pytest.mark.parametrize("make", [intercepts, crossed])
def test_one_factorisation_gives_the_density_of_the_kernels(
    make: Callable[[], Run],
) -> None:
    """Density with effects, with coefficients, and alone are one number."""
    _, target, normal = make()
    factors = [term.factor(normal.mode.tolist()) for term in target.terms]
    arguments = (target.statistics, factors, math.exp(normal.mode[0]))
    plain = log_density(*arguments, target.beta)
    rng = np.random.default_rng(1)
    with_effects = density_with_effects(*arguments, rng, target.beta)[0]
    value, fixed = density_with_coefficients(*arguments, target.beta)
    assert with_effects == pytest.approx(plain, rel=EXACT)
    assert value == pytest.approx(plain, rel=EXACT)
    given = conditional_mean(*arguments, target.beta)
    np.testing.assert_allclose(fixed.beta, given.beta, rtol=1e-8)
    np.testing.assert_allclose(fixed.covariance, given.beta_cov, rtol=1e-8)


def test_density_breaks_down_without_a_draw() -> None:
    """Where there is no density there are no effects, and no exception."""
    _, target, normal = crossed()
    factors = [
        np.full_like(term.factor(normal.mode.tolist()), np.nan) for term in target.terms
    ]
    value, beta, b = density_with_effects(
        target.statistics, factors, 1.0, np.random.default_rng(1), target.beta
    )
    assert math.isnan(value)
    assert np.isnan(beta).all()
    assert all(np.isnan(own).all() for own in b)


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


def test_declines_an_sd_of_zero_with_many_levels() -> None:
    """The density of log sd is flat to the left: the tail of the weights says so."""
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(50), 10)
    data = pd.DataFrame({"g": g, "y": rng.normal(size=500)})
    found = declined(Model("y ~ 1 + (1 | g)", data, priors="flat"))
    assert found.checks.pareto_k > 0.7
    assert found.reason == (
        "Importance sampling was tried and set aside: "
        f"{found.checks.n_points} points at the mode have Pareto k "
        f"{found.checks.pareto_k:.2f} (to be below 0.7) and an effective share of "
        f"{found.checks.efficiency:.2f} (to be above 0.2), so they do not cover the "
        "posterior well enough."
    )


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
    """The same points, with a limit above what they reach."""
    module = sys.modules[sample_importance.__module__]
    monkeypatch.setattr(module, "MIN_EFFICIENCY", 0.99)
    found = declined(intercepts()[0])
    assert found.checks.pareto_k < 0.7
    assert found.checks.n_points == 400  # the pilot is enough to say so
    assert "effective share" in found.reason


def test_declines_chains_that_would_be_too_short() -> None:
    """An effective sample that needs more than twice the points allowed."""
    found = declined(intercepts()[0], draws=200, ess=5000)
    assert found.checks.n_points == 400
    assert "effective sample" in found.reason


def test_declines_too_few_points() -> None:
    """Sixteen weights have no tail to judge."""
    found = declined(intercepts()[0], draws=4)
    assert "16 points at the mode are too few" in found.reason


# --- the same again -------------------------------------------------------------------


@pytest.mark.parametrize("make", [intercepts, crossed])
def test_seed_and_nothing_else_decides(
    make: Callable[[], Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads change nothing, another seed everything, and point i is point i."""
    run = make()
    monkeypatch.setattr(sys.modules[gradient_seconds.__module__], "WORTH_A_THREAD", 0)
    one, four = (accepted(run, draws=60, cores=cores) for cores in (1, 4))
    np.testing.assert_array_equal(one.index, four.index)
    np.testing.assert_array_equal(one.x, four.x)
    np.testing.assert_array_equal(one.beta, four.beta)
    assert one.b.keys() == four.b.keys() == set(range(len(run[1].terms)))
    for t, b in one.b.items():
        np.testing.assert_array_equal(b, four.b[t])
    again = one.proposal.effects(int(one.index[2, 7]))
    np.testing.assert_array_equal(again.beta, one.beta[2, 7])
    np.testing.assert_array_equal(again.b[0], one.b[0][2, 7])
    other = replace(one.proposal, seed=2).effects(int(one.index[2, 7]))
    assert not np.isclose(other.x, again.x).any()


def test_effects_that_are_not_kept() -> None:
    """Only the terms asked for are kept; they are the same draws."""
    run = crossed()
    assert run[1].statistics.kernel == "blocked"
    everything, one = (accepted(run, draws=50, keep=keep) for keep in (None, (1,)))
    assert set(one.b) == {1}
    np.testing.assert_array_equal(one.b[1], everything.b[1])
    names = set(importance_posterior(run[0].design, run[1], one))
    assert "1|a" not in names
    assert {"1|b", "x|b", "Intercept", "1|a_sigma", "b_corr", "sigma"} <= names


def test_stops_at_the_effective_sample_asked_for() -> None:
    """Points are added until every variance parameter has it, and no longer."""
    drawn = accepted(intercepts(), draws=2000, ess=400)
    tree = tree_of(intercepts()[0].design, intercepts()[1], drawn)
    table = az.summary(tree, var_names=["1|classroom_sigma", "sigma"], round_to="none")
    assert drawn.checks.ess >= 400
    assert table["ess_bulk"].min() >= 400
    assert table["ess_tail"].min() >= 400
    assert drawn.checks.n_points == drawn.index.size < 1600
    assert f"{drawn.index.size} independent points" in drawn.reason
    assert accepted(intercepts(), draws=700).index.shape == (4, 700)


def test_interrupt_leaves_what_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the second batch: the draws of the first, marked as part."""
    module, calls = sys.modules[sample_importance.__module__], []

    def interrupted(visit: Any, items: Any, cores: int) -> Any:
        """The pilot is left alone, the next batch is not."""
        calls.append(len(items))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return in_threads(visit, items, cores)

    monkeypatch.setattr(module, "in_threads", interrupted)
    drawn = accepted(intercepts(), draws=1000)
    assert drawn.partial
    assert drawn.index.shape == (4, 100)
    assert not accepted(intercepts(), draws=100).partial


def test_error_in_a_thread_comes_out() -> None:
    """Results keep their order; the error of an item is the error of the call."""
    assert in_threads(lambda i: i * i, range(100), 3) == [i * i for i in range(100)]

    def refuses(i: int) -> int:
        """Every item but one."""
        if i == 57:
            raise ValueError("57")
        return i

    with pytest.raises(ValueError, match="57"):
        in_threads(refuses, range(100), 3)


# --- when -----------------------------------------------------------------------------


def test_cheap_evaluations_are_left_to_nuts() -> None:
    """One grouping factor costs microseconds."""
    _, target, normal = intercepts()
    options = {"draws": 1000, "tune": 300, "chains": 4}
    assert gradient_seconds(target.statistics) < 1e-4
    assert not prefers_importance(
        target.statistics, dimension=normal.mode.size, **options
    )


def test_expensive_evaluations_are_not(
    public_data: Callable[[str], pd.DataFrame],
) -> None:
    """InstEval costs 50 ms; not for a short run, not in many dimensions."""
    model = Model(
        "y ~ service + (1 | s) + (1 | d) + (1 | dept)", public_data("InstEval")
    )
    expected = gradient_seconds(model.statistics)
    assert 0.025 < expected < 0.1
    asked = functools.partial(prefers_importance, model.statistics)
    assert asked(dimension=4, draws=1000, tune=300, chains=4)
    assert not asked(dimension=8, draws=1000, tune=300, chains=4)
    assert not asked(dimension=4, draws=5, tune=0, chains=1)


# --- large ----------------------------------------------------------------------------


@pytest.mark.slow
def test_insteval(public_data: Callable[[str], pd.DataFrame]) -> None:
    """73,421 rows, three crossed factors: 400 effective draws and the figures."""
    data = public_data("InstEval")
    run = prepared(Model("y ~ service + (1 | s) + (1 | d) + (1 | dept)", data))
    drawn = accepted(run, draws=1000, cores=4, ess=400)
    table = az.summary(
        tree_of(run[0].design, run[1], drawn),
        var_names=["sigma", "1|s_sigma", "1|d_sigma", "1|dept_sigma"],
        round_to="none",
    )
    assert table["ess_bulk"].min() >= 400
    prototype = {
        "sigma": (1.1776, 0.00314),
        "1|s_sigma": (0.3257, 0.0069),
        "1|d_sigma": (0.5157, 0.0129),
        "1|dept_sigma": (0.0926, 0.0318),
    }
    for label, (mean, sd) in prototype.items():
        own = table.loc[label]
        allowed = PROTOTYPE * sd + MCSE * own["mcse_mean"]
        assert abs(own["mean"] - mean) < allowed, label
        assert own["sd"] == pytest.approx(sd, rel=0.2), label
