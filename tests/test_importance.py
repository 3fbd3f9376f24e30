"""Importance sampling: right by quadrature, and the same for the same seed."""

import math
import sys
from collections.abc import Callable
from dataclasses import replace

import arviz as az
import numpy as np
import pandas as pd
import pytest
from importance_cases import (
    Run,
    accepted,
    crossed,
    intercepts,
    interrupt_second_batch,
    prepared,
    tree_of,
)
from sampling import unchecked

from bayeslmm import Model
from bayeslmm.marginal import conditional_mean, log_density
from bayeslmm.marginal.points import density_with_coefficients, density_with_effects
from bayeslmm.posterior.importance import importance_posterior
from bayeslmm.posterior.quadrature import quadrature
from bayeslmm.posterior.visits import in_threads, safe_point
from bayeslmm.reml.expense import prefers_importance

# Monte Carlo errors that a figure may be off by; seeds are fixed.
MCSE = 4.0
# Two routes to one density.
EXACT = 1e-10
# Means of 716 points against bambi's draws of similar, not identical priors: the
# prototype's figures have three to four digits.
PROTOTYPE = 0.15  # of a posterior SD, of which four Monte Carlo errors are 0.2

# --- right ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "formula"),
    [
        ("simulated", ""),
        ("Dyestuff2", "Yield ~ 1 + (1 | Batch)"),
        pytest.param(
            *("sleepstudy", "Reaction ~ Days + (Days | Subject)"),
            marks=pytest.mark.slow,
        ),
        ("Penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
    ],
)
def test_agrees_with_quadrature(
    data: str, formula: str, public_data: Callable[[str], pd.DataFrame]
) -> None:
    """Evidence from the weights; figures of every parameter from the chains."""
    run = intercepts() if not formula else prepared(Model(formula, public_data(data)))
    with unchecked():
        exact = quadrature(run[0], tolerance=0.03)
    drawn = accepted(run, draws=400, seed=2)
    off = drawn.log_evidence - exact.log_evidence
    assert abs(off) < MCSE * drawn.log_evidence_error
    table = az.summary(
        tree_of(run[0].design, run[1], drawn), kind="all", round_to="none"
    )
    for label, row in exact.summary().iterrows():
        own = table.loc[str(label)]
        assert abs(own["mean"] - row["mean"]) < MCSE * own["mcse_mean"] + row["error"]
        assert abs(own["sd"] - row["sd"]) < MCSE * own["mcse_sd"] + row["error"]


@pytest.mark.parametrize("make", [intercepts, crossed])
@pytest.mark.usefixtures("user_speed")
def test_effects_follow_their_conditional_distribution(make: Callable[[], Run]) -> None:
    """Given the variances, (beta, b) is Normal with the moments of conditional_mean."""
    run = make()
    drawn = accepted(run, draws=100)
    target, points = run[1], np.unique(drawn.index)
    z: dict[str, list[np.ndarray]] = {}
    for point in points.tolist():
        chain, draw = np.argwhere(drawn.index == point)[0]
        x = drawn.x[chain, draw]
        factors, sigma, _ = safe_point(target, x)
        given = conditional_mean(target.statistics, factors, sigma, target.beta)
        safe = target.conditioned
        beta = safe.safe_coefficients(drawn.beta[chain, draw])
        own = (beta - given.beta) / np.sqrt(np.diag(given.beta_cov))
        z.setdefault("beta", []).append(own)
        for t, b in drawn.b.items():
            sd = np.sqrt(np.diagonal(given.b_cov[t], axis1=1, axis2=2))
            own = safe.safe_effects(t, b[chain, draw])
            z.setdefault(f"b{t}", []).append((own - given.b[t]) / sd)
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
    arguments = (target.statistics, *safe_point(target, normal.mode)[:2])
    plain = log_density(*arguments, target.beta)
    rng = np.random.default_rng(1)
    with_effects = density_with_effects(*arguments, rng, target.beta)[0]
    value, fixed = density_with_coefficients(*arguments, target.beta)
    assert with_effects == pytest.approx(plain, rel=EXACT)
    assert value == pytest.approx(plain, rel=EXACT)
    given = conditional_mean(*arguments, target.beta)
    np.testing.assert_allclose(fixed.beta, given.beta, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(fixed.covariance, given.beta_cov, rtol=1e-8, atol=1e-12)


def test_the_lead_can_be_left_out_of_a_draw() -> None:
    """Nothing else changes: the rest is drawn before it."""
    _, target, normal = crossed()
    arguments = (target.statistics, *safe_point(target, normal.mode)[:2])
    with_lead, without = (
        density_with_effects(*arguments, np.random.default_rng(1), lead=lead)
        for lead in (True, False)
    )
    assert with_lead[0] == without[0]
    np.testing.assert_array_equal(with_lead[1], without[1])
    lead = target.statistics.lead.terms
    for t, (full, part) in enumerate(zip(with_lead[2], without[2], strict=True)):
        if t in lead:
            assert len(full) > 0 == len(part)
        else:
            np.testing.assert_array_equal(full, part)


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


# --- the same again -------------------------------------------------------------------


@pytest.mark.parametrize("make", [intercepts, crossed])
def test_seed_and_nothing_else_decides(
    make: Callable[[], Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads change nothing, another seed everything, and point i is point i."""
    run = make()
    monkeypatch.setattr(sys.modules[prefers_importance.__module__], "WORTH_A_THREAD", 0)
    one, four = (accepted(run, draws=60, cores=cores) for cores in (1, 4))
    np.testing.assert_array_equal(one.index, four.index)
    np.testing.assert_array_equal(one.x, four.x)
    np.testing.assert_array_equal(one.beta, four.beta)
    assert one.b.keys() == four.b.keys() == set(range(len(run[1].terms)))
    for t, b in one.b.items():
        np.testing.assert_array_equal(b, four.b[t])
    place = int(one.index[2, 7]), one.x[2, 7]
    again = one.evaluation.effects(*place)
    np.testing.assert_array_equal(again.beta, one.beta[2, 7])
    np.testing.assert_array_equal(again.b[0], one.b[0][2, 7])
    other = replace(one.evaluation, seed=2).effects(*place)
    assert not np.isclose(other.beta, again.beta).any()
    assert not np.isin(accepted(run, draws=60, seed=2).x, one.x).any()


def test_effects_that_are_not_kept() -> None:
    """Only the terms asked for are kept; they are the same draws."""
    run = crossed()
    assert run[1].statistics.in_steps
    everything, one = (accepted(run, draws=50, keep=keep) for keep in (None, (1,)))
    assert set(one.b) == {1}
    np.testing.assert_array_equal(one.b[1], everything.b[1])
    names = set(importance_posterior(run[0].design, run[1], one))
    assert "1|a" not in names
    assert {"1|b", "x|b", "Intercept", "1|a_sigma", "b_corr", "sigma"} <= names


def test_stops_at_the_effective_sample_asked_for() -> None:
    """Points are added until every variance parameter has it, and no longer."""
    drawn = accepted(intercepts(), draws=2000, ess=400)
    longer = accepted(intercepts(), draws=700)
    tree = tree_of(intercepts()[0].design, intercepts()[1], drawn)
    table = az.summary(tree, var_names=["1|classroom_sigma", "sigma"], round_to="none")
    assert drawn.checks.ess >= 400
    assert table["ess_bulk"].min() >= 400
    assert table["ess_tail"].min() >= 400
    assert drawn.checks.n_points == drawn.index.size < 1600
    assert f"{drawn.index.size:,} weighted points, 1 round" in drawn.reason
    assert longer.index.shape == (4, 700)


def test_interrupt_leaves_what_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the second batch: the draws of the first, marked as part."""
    interrupt_second_batch(monkeypatch)
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
