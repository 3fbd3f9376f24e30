"""`method="quadrature"`: independent draws with the figures of the quadrature."""

import sys
from typing import Any

import arviz as az
import numpy as np
import pytest
from sampling import sample_unchecked

from bayeslmm import Model, ModelError, Posterior, simulate_classrooms
from bayeslmm.posterior.lattice_draws import draw_from_lattice, log_interpolant, propose
from bayeslmm.posterior.quadrature import Quadrature, quadrature
from bayeslmm.reml.expense import useful_threads

# Monte Carlo standard errors that a figure may be off by, seeded.
MCSE = 4.0
EXACT = 1e-10
INDEPENDENT = 0.85  # effective sample over draws; ArviZ's own estimate varies by 5%

PUBLIC = {
    "Dyestuff": "Yield ~ 1 + (1 | Batch)",
    "Penicillin": "diameter ~ 1 + (1 | plate) + (1 | sample)",
    "score_parentedu_byclass": "score ~ edu + (1 | classroom)",
}


@pytest.fixture(scope="module")
def exact() -> Quadrature:
    """Random intercepts on a few simulated classrooms."""
    data = simulate_classrooms(n_classrooms=8, n_pupils=6, seed=3).data
    return quadrature(Model("score ~ edu + (1 | classroom)", data))


def worst_error(post: Posterior, exact: Quadrature) -> float:
    """Largest difference of a figure from the quadrature, in Monte Carlo errors."""
    errors = []
    for label, mean, sd in exact.summary()[["mean", "sd"]].itertuples():
        draws = post.draws(str(label))
        errors.append((draws.mean() - mean) / az.mcse(draws, method="mean"))
        errors.append((draws.std() - sd) / az.mcse(draws, method="sd"))
        for prob in (0.025, 0.25, 0.5, 0.75, 0.975):
            error = az.mcse(draws, method="quantile", prob=prob)
            wanted = exact.quantile(str(label), prob)
            errors.append((np.quantile(draws, prob) - wanted) / error)
    return float(np.abs(errors).max())


def same_draws(one: Posterior, two: Posterior) -> bool:
    """Whether all draws, effects included, are the same numbers."""
    names = list(one.idata["posterior"].data_vars)
    draws = [[p.idata["posterior"][n].to_numpy() for n in names] for p in (one, two)]
    return all(np.array_equal(a, b) for a, b in zip(*draws, strict=True))


# --- against others -------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "Dyestuff",
        pytest.param("Penicillin", marks=pytest.mark.slow),
        "score_parentedu_byclass",
    ],
)
def test_figures_of_quadrature_and_of_nuts(name: str, public_data: Any) -> None:
    """Means, SDs and five quantiles of every parameter; means of all effects."""
    model = Model(PUBLIC[name], public_data(name))
    post = sample_unchecked(model, method="quadrature", draws=2000, seed=1)
    assert worst_error(post, model.quadrature()) < MCSE
    nuts = sample_unchecked(model, method="nuts", draws=2000, seed=1)
    one, two = post.summary(), nuts.summary()
    joint = np.hypot(one["mcse_mean"], two["mcse_mean"])
    assert (((one["mean"] - two["mean"]) / joint).abs() < MCSE).all()
    ours, theirs = post.ranef(), nuts.ranef()
    # NUTS' effective sample of a level's mean is above 1000 of its 8000 draws
    joint = np.hypot(ours["sd"] / np.sqrt(8000), theirs["sd"] / np.sqrt(1000))
    assert (((ours["mean"] - theirs["mean"]) / joint).abs() < MCSE).all()


def test_draws_are_independent_and_off_the_grid(exact: Quadrature) -> None:
    """No draw is a node, none is there twice, and the effective sample is all."""
    post = sample_unchecked(exact.model, method="quadrature", draws=2000, seed=2)
    assert worst_error(post, exact) < MCSE
    sigma = post.draws("sigma")
    assert len(np.unique(sigma)) == sigma.size
    steps = (np.log(sigma) - exact.lattice.x[0, 0]) / exact.lattice.step[0]
    assert np.abs(steps - np.round(steps)).mean() == pytest.approx(0.25, abs=0.01)
    table = post.summary()
    assert table[["ess_bulk", "ess_tail"]].to_numpy().min() > INDEPENDENT * sigma.size
    assert post.diagnose().ok
    assert "the draws are independent" in repr(post.diagnose())


def test_metropolis_mends_a_bound_that_is_too_low(
    exact: Quadrature, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With p > M q in most places the draws repeat, and their figures stay right."""
    drawn = sys.modules[draw_from_lattice.__module__]
    monkeypatch.setattr(drawn, "_log_bound", lambda _: -1.0)
    post = sample_unchecked(exact.model, method="quadrature", draws=2000, seed=3)
    assert 0.5 < len(np.unique(post.draws("sigma"))) / 8000 < 1.0
    assert worst_error(post, exact) < MCSE


# --- laws -----------------------------------------------------------------------------


def test_interpolant_is_that_of_the_nodes(exact: Quadrature) -> None:
    """The density at nodes, its mean between two, 0 beyond; it integrates as p does."""
    lattice = exact.lattice
    at_nodes = log_interpolant(lattice, lattice.x)
    np.testing.assert_allclose(at_nodes, lattice.log_density, rtol=EXACT)
    where = {tuple(node): i for i, node in enumerate(lattice.nodes.tolist())}
    one, other = where[0, 0], where[0, 1]
    middle = 0.5 * (lattice.x[one] + lattice.x[other])
    wanted = np.logaddexp(*lattice.log_density[[one, other]]) - np.log(2.0)
    assert log_interpolant(lattice, middle[None])[0] == pytest.approx(wanted)
    beyond = lattice.x.max(axis=0) + 1.5 * lattice.step
    assert log_interpolant(lattice, beyond[None])[0] == -np.inf
    x = propose(lattice, 20_000, np.random.default_rng(1))
    weights = np.exp(np.max(at_nodes) - log_interpolant(lattice, x))  # 1 / density
    low, high = lattice.x[one] - lattice.step, lattice.x[one] + lattice.step
    inside = ((x > low) & (x < high)).all(axis=1)
    volume = (weights * inside).mean() * np.exp(lattice.log_integral - max(at_nodes))
    assert volume == pytest.approx(np.prod(high - low), rel=0.05)


def test_same_seed_same_draws(
    exact: Quadrature, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the number of threads; and another seed gives others."""
    one, two, other = (
        sample_unchecked(exact.model, method="quadrature", draws=50, seed=seed)
        for seed in (4, 4, 5)
    )
    assert same_draws(one, two)
    assert not np.isin(other.draws("sigma"), one.draws("sigma")).any()
    monkeypatch.setattr(sys.modules[useful_threads.__module__], "WORTH_A_THREAD", 0)
    threaded = sample_unchecked(exact.model, method="quadrature", draws=50, seed=4)
    assert same_draws(one, threaded)


# --- what the result says -------------------------------------------------------------


def test_result_says_what_it_rests_on(exact: Quadrature) -> None:
    """Size, error and evidence in the reason, which is stored with the draws."""
    post = sample_unchecked(
        exact.model, method="quadrature", draws=50, chains=2, seed=1, keep="summary"
    )
    assert post.method == post.status.sampler == "quadrature"
    assert "points over 2 variance parameters" in post.reason
    assert f"log evidence {exact.log_evidence:.3f}" in post.reason
    assert "SDs at the last refinement" in post.reason
    assert post.idata.attrs["reason"] == post.reason
    assert "no divergences" not in post.status.message
    assert post.idata["posterior"].sizes["chain"] == 2
    assert len(post.ranef()) == 8  # drawn on demand


def test_what_it_cannot_do() -> None:
    """Too many parameters, or another family: what to use instead."""
    data = simulate_classrooms(n_classrooms=10, n_pupils=8, seed=1).data
    data["z"] = np.tile(np.arange(8.0), 10)
    model = Model("score ~ edu + (edu + z | classroom)", data)
    with pytest.raises(ModelError, match=r"at most 4.*method='auto'"):
        sample_unchecked(model, method="quadrature")
    data["passed"] = (data["score"] > data["score"].mean()).astype(int)
    binary = Model("passed ~ edu + (1 | classroom)", data, family="bernoulli")
    with pytest.raises(ModelError, match=r"use method='joint'"):
        sample_unchecked(binary, method="quadrature")
