"""Rounds of weighted points: what is fitted to them, how all of them count."""

import functools
import math
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from importance_cases import (
    Run,
    accepted,
    intercepts,
    interrupt_second_batch,
    prepared,
)
from sampling import sample_unchecked, unchecked
from scipy.optimize import check_grad
from scipy.stats import norm, t as student

from bayeslmm import Model
from bayeslmm.posterior.growing import grow, trusted_points
from bayeslmm.posterior.importance import sample_importance
from bayeslmm.posterior.proposal import NU, make_proposal
from bayeslmm.posterior.quadrature import quadrature
from bayeslmm.posterior.rounds import Evaluation, Rounds, first_round, weighted_draws
from bayeslmm.posterior.transport import (
    Defended,
    Margins,
    _loss,
    fit_margins,
    fit_proposal,
)
from bayeslmm.posterior.trust import is_trusted
from bayeslmm.posterior.visits import log_target

# Monte Carlo errors that a figure may be off by; seeds are fixed.
MCSE = 4.0
# Algebra by two routes.
EXACT = 1e-10
MARGINS = Margins(*np.array([[0.5, -1.0], [1.5, 0.4], [-0.7, 0.3], [0.8, 1.3]]))


@functools.cache
def near_zero() -> Run:
    """Fifty levels that do not differ: the density of log sd is flat to the left."""
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"g": np.repeat(np.arange(50), 10), "y": rng.normal(size=500)})
    return prepared(Model("y ~ 1 + (1 | g)", data))


def fitted() -> tuple[Any, Defended]:
    """A target with one SD near 0, and the proposal of a second round."""
    _, target, normal = near_zero()
    with unchecked():
        safe = make_proposal(target, normal, 1)
        x, log_weights = weighted_draws(target, safe, 400, 1, 1)
    weights = np.exp(log_weights - log_weights.max())
    found = fit_proposal(x, weights / weights.sum(), safe)
    assert found is not None
    return target, found


def test_margins_are_undone_and_have_their_jacobian() -> None:
    """There and back; central differences of the scores."""
    x = np.random.default_rng(1).normal(size=(50, 2)) * 3.0
    u, log_jacobian = MARGINS.to_normal(x)
    np.testing.assert_allclose(MARGINS.from_normal(u), x, rtol=EXACT, atol=EXACT)
    step = 1e-6
    slopes = [
        (MARGINS.to_normal(x + step * e)[0] - MARGINS.to_normal(x - step * e)[0])[:, i]
        / (2 * step)
        for i, e in enumerate(np.eye(2))
    ]
    np.testing.assert_allclose(np.log(slopes).sum(axis=0), log_jacobian, rtol=1e-6)


def test_loss_of_a_margin_is_its_likelihood_with_its_gradient() -> None:
    """Up to the normal's constant and a penalty; central differences."""
    rng = np.random.default_rng(2)
    y, weights = rng.normal(size=60), rng.dirichlet(np.ones(60))
    given = np.array([0.2, -0.3, 0.4, 0.25])
    own = Margins(*np.array([[0.2], [np.exp(-0.3)], [0.4], [np.exp(0.25)]]))
    u, log_jacobian = own.to_normal(y[:, None])
    likelihood = weights @ (norm.logpdf(u[:, 0]) + log_jacobian)
    penalty = 0.005 * (0.04 + 0.09 + 0.16 + 0.0625 / 0.16)
    expected = penalty - likelihood - 0.5 * math.log(2 * math.pi)
    assert _loss(given, y, weights)[0] == pytest.approx(expected, rel=EXACT)
    off = check_grad(
        lambda p: _loss(p, y, weights)[0], lambda p: _loss(p, y, weights)[1], given
    )
    assert off < 1e-5


def test_margin_of_the_log_of_a_half_normal_covers_its_left_tail() -> None:
    """An SD that may be 0: its quantiles, and with a t's scores more than its tail."""
    p = (np.arange(2000) + 0.5) / 2000
    x = np.log(norm.ppf(0.5 + 0.5 * p))[:, None]
    found = fit_margins(x, np.full(2000, 1 / 2000))

    def off(tail: float, score: float) -> float:
        """A quantile of the margin less the exact one, in SDs."""
        own = found.from_normal(np.array([[score]]))[0, 0]
        return (own - math.log(norm.ppf(0.5 + 0.5 * tail))) / x.std()

    for tail in (0.01, 0.05, 0.5, 0.95, 0.99):
        assert abs(off(tail, norm.ppf(tail))) < 0.3
    for tail in (1e-4, 1e-3):
        assert off(tail, student.ppf(tail, NU)) < 0.0


def test_fitted_proposal_is_a_density() -> None:
    """It integrates to 1, by points of the first; in one coordinate by quadrature."""
    _, found = fitted()
    x = found.safe.draw(4000, np.random.default_rng(3))
    ratio = np.exp(found.log_density(x) - found.safe.log_density(x))
    assert abs(ratio.mean() - 1.0) < MCSE * ratio.std() / math.sqrt(len(x))
    own = found.fitted
    line = Margins(*(part[:1] for part in (own.margins.center, own.margins.scale)),
                   own.margins.skew[:1], own.margins.delta[:1])  # fmt: skip
    one = type(own)(line, own.center[:1], own.root[:1, :1])
    grid = np.linspace(-60.0, 60.0, 60_001)
    total = np.exp(one.log_density(grid[:, None])).sum() * (grid[1] - grid[0])
    assert total == pytest.approx(1.0, abs=1e-5)


def test_draws_follow_the_density() -> None:
    """The mean of safe / fitted over draws of the fitted is 1 as well."""
    _, found = fitted()
    x = found.draw(4000, np.random.default_rng(4))
    ratio = np.exp(found.safe.log_density(x) - found.log_density(x))
    assert ratio.max() <= 10.0  # the share that is left for what is safe
    assert abs(ratio.mean() - 1.0) < MCSE * ratio.std() / math.sqrt(len(x))


def test_too_few_points_are_not_fitted() -> None:
    """All weight on one point tells nothing of a covariance."""
    _, found = fitted()
    x = np.random.default_rng(1).normal(size=(100, 2))
    assert fit_proposal(x, np.eye(100)[3], found.safe) is None
    assert fit_proposal(x, np.zeros(100), found.safe) is None


def test_all_points_count_by_the_mixture() -> None:
    """Weights of 30 and 70 points by hand, and of the last round alone."""
    target, found = fitted()
    rng = np.random.default_rng(5)
    x = np.concatenate([found.safe.draw(30, rng), found.draw(70, rng)])
    logp = np.array([log_target(target, point) for point in x])
    rounds = Rounds((found.safe, found), (30, 70), 2, x, logp, [])
    one, two = (np.exp(q.log_density(x)) for q in (found.safe, found))
    np.testing.assert_allclose(
        rounds.log_weights, logp - np.log(0.3 * one + 0.7 * two), rtol=EXACT
    )
    np.testing.assert_allclose(
        rounds.last_log_weights, (logp - np.log(two))[30:], rtol=EXACT
    )
    more = rounds.more(Evaluation(target, 1, (), 1), 10)
    assert more.sizes == (30, 80)
    np.testing.assert_array_equal(more.x[:100], x)


def test_second_round_is_exact_where_the_first_fails() -> None:
    """An SD near 0, whose first round is set aside: evidence and moments."""
    run = near_zero()
    with unchecked():
        exact = quadrature(run[0], tolerance=1e-2)
    drawn = accepted(run, draws=1000, seed=1, effects=False)
    assert drawn.checks.n_rounds == 2
    assert "2 rounds: Pareto k" in drawn.reason
    off = drawn.log_evidence - exact.log_evidence
    assert abs(off) < MCSE * drawn.log_evidence_error < 0.05
    table = exact.summary().loc["1|g_sigma"]
    sds = np.exp(drawn.x[..., 1])
    error = table["sd"] / math.sqrt(drawn.checks.ess)
    assert abs(sds.mean() - table["mean"]) < MCSE * error
    assert abs(sds.std() - table["sd"]) < MCSE * error


def test_points_until_a_round_is_trusted_are_the_posterior() -> None:
    """Weights of two rounds or more sum to 1, and mean and SD are those of draws."""
    _, target, normal = near_zero()
    evaluation = Evaluation(target, 1, (), 1)
    first = first_round(make_proposal(target, normal, 1), 2)
    with unchecked():
        found = trusted_points(evaluation, first, 2000)
    assert found is not None
    x, weights = found
    assert len(x) == 4000
    assert weights.sum() == pytest.approx(1.0)
    drawn = accepted(near_zero(), draws=1000, seed=2, effects=False)
    sds = np.exp(drawn.x[..., 1])
    sd, worth = sds.std(), 1.0 / float(weights @ weights)
    error = sd * math.sqrt(1.0 / worth + 1.0 / 500)
    mean = weights @ np.exp(x[:, 1])
    assert abs(mean - sds.mean()) < MCSE * error
    spread = math.sqrt(weights @ (np.exp(x[:, 1]) - mean) ** 2)
    assert abs(spread - sd) < MCSE * error


def test_no_points_are_better_than_points_that_are_not_trusted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three rounds, then None."""
    monkeypatch.setattr(sys.modules[is_trusted.__module__], "MIN_EFFICIENCY", 0.999)
    _, target, normal = intercepts()
    first = first_round(make_proposal(target, normal, 1), 2)
    assert trusted_points(Evaluation(target, 1, (), 1), first, 200) is None


def test_rounds_do_not_know_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rounds in one thread and in three are the same."""
    monkeypatch.setattr(sys.modules["bayeslmm.reml.expense"], "WORTH_A_THREAD", 0)
    run = near_zero()
    one, three = (accepted(run, draws=300, seed=1, cores=cores) for cores in (1, 3))
    assert one.checks.n_rounds == three.checks.n_rounds > 1
    np.testing.assert_array_equal(one.x, three.x)
    np.testing.assert_array_equal(one.beta, three.beta)


def test_more_points_than_draws_are_thinned() -> None:
    """600 draws that are to be worth 350 are kept, evenly, of more points."""
    drawn = accepted(intercepts(), draws=150, ess=350)
    assert drawn.index.shape == (4, 150)
    assert 600 < drawn.checks.n_points <= 1200
    assert drawn.checks.ess >= 350
    assert (drawn.index > 600).any()
    assert (drawn.index < 100).any()


@pytest.mark.parametrize("trusted", [True, False])
def test_interrupt_of_a_second_round(
    monkeypatch: pytest.MonkeyPatch, *, trusted: bool
) -> None:
    """What the first round has is kept if it is trusted, else Ctrl-C ends the run."""
    interrupt_second_batch(monkeypatch)
    if trusted:  # good enough to keep, not to go on with
        monkeypatch.setattr(sys.modules[grow.__module__], "GOOD_SHARE", 1.0)
        drawn = accepted(intercepts(), draws=500)
        assert (drawn.partial, drawn.checks.n_rounds) == (True, 1)
        return
    monkeypatch.setattr(sys.modules[is_trusted.__module__], "MIN_EFFICIENCY", 0.999)
    _, target, normal = intercepts()
    with pytest.raises(KeyboardInterrupt):
        sample_importance(target, normal, draws=500, chains=4, seed=1, cores=1)


def test_reader_is_told_of_rounds() -> None:
    """In the fit's record, and in its first lines."""
    post = sample_unchecked(near_zero()[0], method="importance", seed=1)
    assert post.method == "importance"
    assert "weighted points, 2 rounds, k " in repr(post)
    assert post.reason == post.idata.attrs["reason"]
    assert "effective share" in post.reason
