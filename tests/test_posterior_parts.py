"""Parts of a posterior that need no run: intervals, links, chunks, diagnosis."""

from dataclasses import replace
from typing import Any, get_args

import arviz as az
import numpy as np
import pytest
from helpers import random_design
from numpy.typing import NDArray

from bayeslmm import ModelError
from bayeslmm.covariance import STRUCTURES
from bayeslmm.design.arrays import Design
from bayeslmm.families import FAMILIES
from bayeslmm.graph.trees import to_datatree
from bayeslmm.posterior.diagnose import SamplingStatus, diagnose
from bayeslmm.posterior.draws import parameter_draws
from bayeslmm.posterior.predictions import (
    check_size,
    factor_draws,
    row_chunks,
)
from bayeslmm.posterior.tables import interval_bounds
from bayeslmm.posterior.tails import Missing
from bayeslmm.posterior.target import TermTarget
from bayeslmm.reml.outcomes import PredictionKind, check_prediction

# Same algebra by two routes.
EXACT = 1e-10

Array = NDArray[np.float64]


@pytest.mark.parametrize("kind", ["eti", "hdi"])
def test_intervals_are_arviz_intervals(kind: Any) -> None:
    """Our vectorised bounds against az.eti and az.hdi."""
    draws = np.random.default_rng(1).gamma(2.0, size=(4, 251, 3))
    lower, upper = interval_bounds(draws, 0.8, kind)
    for i in range(3):
        theirs = getattr(az, kind)(draws[..., i].ravel(), prob=0.8)
        np.testing.assert_allclose([lower[i], upper[i]], theirs, rtol=EXACT)


def test_predictions_that_are_not_there_are_refused() -> None:
    """Unknown kinds, new responses of other families, more than memory holds."""
    with pytest.raises(ModelError, match="Unknown kind of prediction 'median'"):
        check_prediction("gaussian", "median")
    check_prediction("zero_inflated_poisson", "mean")
    with pytest.raises(ModelError, match=r"'response'.*'poisson'.*to_bambi"):
        check_prediction("poisson", "response")
    for kind in get_args(PredictionKind):
        check_prediction("gaussian", kind)
    with pytest.raises(ModelError, match=r"4000 draws and 1000000 rows .* 32 GB"):
        check_size(4000, 1_000_000, "Predictions")


def test_expected_responses_are_those_of_the_families() -> None:
    """Links as in bambi; counts out of trials; means of what has extra zeros."""
    eta = np.array([[[0.5, 2.0]]])
    logistic = 1 / (1 + np.exp(-eta))
    trials, psi = np.array([3.0, 8.0]), np.array([[[0.25]]])
    for family, others, counts, expected in (
        ("bernoulli", {}, None, logistic),
        ("binomial", {}, trials, trials * logistic),
        ("poisson", {}, None, np.exp(eta)),
        ("gamma", {}, None, 1 / eta),
        ("wald", {}, None, 1 / np.sqrt(eta)),
        ("zero_inflated_poisson", {"psi": psi}, None, 0.25 * np.exp(eta)),
        ("lognormal", {"sigma": 2 * psi}, None, np.exp(eta + 0.125)),
    ):
        found = FAMILIES[family].mean(eta, others, counts)
        np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize(("draws", "rows"), [(4000, 1), (4000, 1201), (10**7, 3)])
def test_chunks_cover_every_row_once(draws: int, rows: int) -> None:
    """However few rows fit."""
    covered = np.concatenate(
        [np.arange(rows)[part] for part in row_chunks(draws, rows)]
    )
    np.testing.assert_array_equal(covered, np.arange(rows))


def test_every_structure_is_rebuilt_from_its_parameters() -> None:
    """SDs and correlations in the tree give the covariance that was sampled."""
    rng = np.random.default_rng(5)
    for word, structure in STRUCTURES.items():
        for k in (1, 2, 3):
            design = random_design(rng, effects=(k,))
            term = replace(design.groups[0], structure=word)
            design = replace(design, groups=(term,))
            x = rng.normal(size=structure.n_theta(k) + 1)
            own = TermTarget(structure, k, slice(1, len(x)), 2.0, np.eye(k))
            factors = np.broadcast_to(own.factor(x.tolist()), (2, 5, k, k))
            root = factor_draws(design, tree_of(design, factors), 0)
            np.testing.assert_allclose(
                root @ root.swapaxes(-1, -2),
                factors @ factors.swapaxes(-1, -2),
                rtol=1e-9,
                atol=1e-12,
            )


def tree_of(design: Design, factors: Array, sigma: Array | None = None) -> Any:
    """Tree of parameters with the given covariance factors."""
    shape = factors.shape[:2]
    sigma = np.ones(shape) if sigma is None else sigma
    beta, scalars = np.ones((*shape, design.p)), {"sigma": sigma}
    draws = parameter_draws(design, beta, [factors], scalars)
    return to_datatree(design, draws, {"diverging": np.zeros(shape, bool)}, {})


# --- diagnosis ------------------------------------------------------------------------


def diagnosis(sigma: Array, **status: Any) -> Any:
    """Diagnosis of draws of sigma, all else well mixed."""
    rng = np.random.default_rng(3)
    design = random_design(rng)
    factors = np.exp(rng.normal(size=(*sigma.shape, 1, 1)))
    tree = tree_of(design, factors, sigma)
    for name in ("Intercept", "x1"):
        tree["posterior"][name].to_numpy()[:] = rng.normal(size=sigma.shape)
    return diagnose(design, tree, SamplingStatus(*sigma.shape, **status))


def noise(chains: int = 4, draws: int = 500) -> Array:
    """Independent draws of a positive quantity."""
    return np.exp(np.random.default_rng(4).normal(size=(chains, draws)))


def test_good_draws_are_said_to_be_good() -> None:
    """With the worst value of each check."""
    found = diagnosis(noise())
    assert found.ok, found.messages
    assert len(found.messages) == 1
    assert "No problem found: R-hat at most 1.0" in repr(found)
    assert list(found.table.columns) == ["mcse_mean", "ess_bulk", "ess_tail", "rhat"]


def test_chains_that_disagree_are_named() -> None:
    """R-hat and effective draws."""
    found = diagnosis(noise() + np.array([[0.0], [0.0], [0.0], [9.0]]))
    assert not found.ok
    text = repr(found)
    assert "The chains disagree about 'sigma' (R-hat up to" in text
    assert "effective draws (ess_bulk) for the means of 'sigma'; 400" in text


def test_few_draws_are_said() -> None:
    """Fewer than 100 effective draws for each chain."""
    found = diagnosis(noise(4, 60))
    assert not found.ok
    assert "400 are advised. Raise draws" in repr(found)


def test_one_chain_shows_nothing() -> None:
    """No R-hat worth the name."""
    assert "There is only one chain" in repr(diagnosis(noise(1, 2000)))


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({"n_divergent": 7}, "7 of 2000 draws ended in a divergence"),
        ({"partial": True}, "The run was interrupted: 4 chains of 500 draws"),
        (
            {"missing": Missing(mean=("1|g_sigma",))},
            "posterior of '1|g_sigma' has no mean",
        ),
    ],
)
def test_what_the_run_said_is_in_the_diagnosis(
    status: dict[str, Any], words: str
) -> None:
    """Divergences, interruption, tails; also in the status itself."""
    found = diagnosis(noise(), **status)
    assert not found.ok
    assert words in repr(found)
    assert words in SamplingStatus(4, 500, **status).message
