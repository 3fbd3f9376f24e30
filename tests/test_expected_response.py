"""Expected responses of the families, against draws from their definitions.

An error in one of these formulas would be silent: fitted values, residuals and
predictions come from them. psi is the probability of what is not an extra zero.
"""

import numpy as np
import pytest

from bayeslmm.families import FAMILIES

# Means of the draws within this many of their standard errors.
DRAWS, ERRORS = 400_000, 5.0
ETA, PSI, ALPHA, SIGMA, NU = 0.8, 0.3, 1.5, 0.6, 0.7
MU = float(np.exp(ETA))


def positive(draw: np.ndarray) -> np.ndarray:
    """The draws that are not 0."""
    return draw[draw > 0]


def draws_of(family: str, rng: np.random.Generator) -> np.ndarray:
    """Draws of a family's response."""
    kept = rng.random(DRAWS) < PSI
    negative_binomial = rng.poisson(rng.gamma(ALPHA, MU / ALPHA, DRAWS))
    if family == "exgaussian":
        return ETA + rng.normal(0.0, SIGMA, DRAWS) + rng.exponential(NU, DRAWS)
    if family == "lognormal":
        return rng.lognormal(ETA, SIGMA, DRAWS)
    if family == "zero_inflated_poisson":
        return kept * rng.poisson(MU, DRAWS)
    if family == "zero_inflated_negativebinomial":
        return kept * negative_binomial
    if family == "hurdle_poisson":
        counts = positive(rng.poisson(MU, 2 * DRAWS))[:DRAWS]
        return kept[: len(counts)] * counts
    if family == "hurdle_negativebinomial":
        counts = positive(negative_binomial)
        return kept[: len(counts)] * counts
    if family == "hurdle_gamma":
        return kept * rng.gamma(ALPHA, MU / ALPHA, DRAWS)
    assert family == "hurdle_lognormal"
    return kept * rng.lognormal(ETA, SIGMA, DRAWS)


@pytest.mark.parametrize(
    "family",
    [
        "exgaussian",
        "lognormal",
        "zero_inflated_poisson",
        "zero_inflated_negativebinomial",
        "hurdle_poisson",
        "hurdle_negativebinomial",
        "hurdle_gamma",
        "hurdle_lognormal",
    ],
)
def test_expected_response_is_the_mean_of_draws(family: str) -> None:
    named = {"psi": PSI, "alpha": ALPHA, "sigma": SIGMA, "nu": NU}
    others = {name: np.full((1, 1, 1), value) for name, value in named.items()}
    found = FAMILIES[family].mean(np.full((1, 1, 1), ETA), others, None)
    draws = draws_of(family, np.random.default_rng(1))
    error = float(draws.std()) / np.sqrt(len(draws))
    assert abs(float(found.item()) - float(draws.mean())) < ERRORS * error


def test_expected_response_of_the_asymmetric_laplace() -> None:
    """Its density b / (k + 1 / k) exp(-b |x| k**sign(x)), summed on a grid."""
    k, b = 1.4, 0.8
    x = np.linspace(-80.0, 80.0, 1_600_001)
    density = np.exp(-b * np.abs(x) * np.where(x >= 0, k, 1 / k))
    mean = ETA + float((density * x).sum() / density.sum())
    others = {"kappa": np.full((1, 1, 1), k), "b": np.full((1, 1, 1), b)}
    found = FAMILIES["asymmetriclaplace"].mean(np.full((1, 1, 1), ETA), others, None)
    assert float(found.item()) == pytest.approx(mean, rel=1e-6)
