"""Posteriors of real data against quadrature: parameters, effects, evidence.

The reference figures were computed without Monte Carlo error by a program that shares
no code with this package; what is left of a difference is our own Monte Carlo error.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import arviz as az
import numpy as np
import pytest
from numpy.typing import NDArray
from sampling import sample_unchecked, unchecked

from bayeslmm import Model, Posterior
from bayeslmm.posterior.mode import laplace
from bayeslmm.posterior.target import Target, make_target

REFERENCE = Path(__file__).parent / "reference"
SETS = ("dyestuff2", "penicillin", "scoreint", "sleep")
# Monte Carlo errors that a figure may be off by, of our draws alone.
MCSE = 4.0
# Grid error of the reference, relative: its own comparison with a coarser grid.
GRID = 2e-4
# Log evidence of the reference against our own trapezoid sums.
EVIDENCE = 2e-3
DRAWS, SEED = 1000, 20261121


def reference(name: str) -> dict[str, Any]:
    """Figures of one data set."""
    return json.loads((REFERENCE / f"quad_{name}.json").read_text())


def documented_priors(figures: dict[str, Any]) -> dict[str, Any]:
    """The priors that the reference was computed under, in bambi's style."""
    spread = f"HalfStudentT(nu=3, sigma={figures['s']})"
    wide = f"Normal(0, {figures['beta_sd']})"
    correlations = {
        label.split("[")[0]: 2 for label in figures["parameters"] if "_corr[" in label
    }
    return {
        "Intercept": wide,
        "common": wide,
        "group_specific": spread,
        "sigma": spread,
        **correlations,
    }


@cache
def posterior(name: str, load: Any) -> Posterior:
    """Draws under the documented priors; kept, because several tests read them."""
    return sample_unchecked(model(name, load), draws=DRAWS, seed=SEED)


def model(name: str, load: Any) -> Model:
    """The model of one reference."""
    figures = reference(name)
    return Model(
        figures["formula"],
        load(figures["data"]),
        priors=documented_priors(figures),
        center_predictors=False,
    )


def z_scores(draws: NDArray[np.float64], figures: dict[str, float]) -> dict[str, float]:
    """Differences to the figures, in Monte Carlo errors of both."""
    scores = {}
    for name, value in figures.items():
        if name.startswith("mcse"):
            continue
        if name in ("mean", "sd"):
            ours = draws.mean() if name == "mean" else draws.std(ddof=1)
            error = az.mcse(draws, method=name)
        else:
            probability = float(name.removeprefix("q")) / 100
            ours = np.quantile(draws, probability)
            error = az.mcse(draws, method="quantile", prob=probability)
        theirs = figures.get(f"mcse_{name}", GRID * abs(value))
        scores[name] = float(abs(ours - value) / np.hypot(error, theirs))
    return scores


@pytest.mark.parametrize("name", SETS)
def test_parameters_agree_with_quadrature(name: str, public_data: Any) -> None:
    """Means, SDs and seven quantiles of every parameter."""
    post = posterior(name, public_data)
    found = reference(name)["parameters"]
    assert set(found) == set(post.summary().index)
    scores = {
        (label, figure): score
        for label, figures in found.items()
        for figure, score in z_scores(post.draws(label), figures).items()
    }
    worst = max(scores, key=lambda key: scores[key])
    assert scores[worst] < MCSE, (worst, scores[worst])


@pytest.mark.parametrize("name", ["penicillin", "scoreint", "sleep"])
def test_parameters_agree_with_brms(name: str, public_data: Any) -> None:
    """A second peer: Stan's draws of the joint model under the same priors."""
    post = posterior(name, public_data)
    found = json.loads((REFERENCE / "brms.json").read_text())[name]["parameters"]
    assert set(found) == set(post.summary().index)
    for label, figures in found.items():
        scores = z_scores(post.draws(label), figures)
        assert max(scores.values()) < MCSE, (label, scores)


@pytest.mark.parametrize("name", SETS)
def test_effects_agree_with_quadrature(name: str, public_data: Any) -> None:
    """Means, SDs and quantiles of every random effect."""
    post = posterior(name, public_data)
    for effect in reference(name)["effects"]:
        variable = {"Intercept": "1"}.get(effect["effect"], effect["effect"])
        own = post.idata["posterior"][f"{variable}|{effect['group']}"]
        draws = own.sel({f"{effect['group']}__factor_dim": effect["level"]}).to_numpy()
        figures = {
            key: value for key, value in effect.items() if not isinstance(value, str)
        }
        scores = z_scores(draws, figures)
        worst = max(scores, key=lambda key: scores[key])
        assert scores[worst] < MCSE, (effect["level"], worst, scores[worst])


@pytest.mark.parametrize("name", SETS)
def test_no_divergence_and_enough_draws(name: str, public_data: Any) -> None:
    """The runs are sound: the sampler explored all of the posterior."""
    post = posterior(name, public_data)
    assert post.status.n_divergent == 0
    assert post.status.clean
    diagnosis = post.diagnose()
    assert diagnosis.ok, diagnosis.messages


@pytest.mark.parametrize("name", ["dyestuff2", "scoreint"])
def test_evidence_agrees_with_quadrature(name: str, public_data: Any) -> None:
    """The target is normalised: its integral over both coordinates is the evidence."""
    own = model(name, public_data)
    target = make_target(own.design, own.conditioned, own.priors)
    with unchecked():
        evidence = log_integral(target)
    assert evidence == pytest.approx(reference(name)["log_evidence"], abs=EVIDENCE)


def log_integral(target: Target) -> float:
    """Log of the integral over log sigma and one log SD, by trapezoids."""
    log_sigma, log_sd = laplace(target).mode
    grids = [
        np.linspace(log_sigma - 1.2, log_sigma + 1.5, 60),
        np.linspace(log_sd - 9.0, log_sd + 6.0, 160),
    ]
    values = np.array(
        [[target(np.array([a, b]))[0] for b in grids[1]] for a in grids[0]]
    )
    top = values.max()
    inner = np.trapezoid(np.exp(values - top), grids[1], axis=1)
    return float(top + np.log(np.trapezoid(inner, grids[0])))
