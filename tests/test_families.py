"""Each family's own numbers against PyMC's, and its derivatives against differences."""

import numpy as np
import pytest
from sampling import unchecked

from bayeslmm import Model, simulate_classrooms
from bayeslmm.families import FAMILIES
from bayeslmm.graph.likelihood import row_likelihood

SMOOTH = sorted(name for name, family in FAMILIES.items() if family.density)
OTHERS = {"sigma": 0.7, "nu": 4.0, "kappa": 3.5, "alpha": 1.7, "lam": 2.2}
STEP = 1e-5


def responses(name: str, rng: np.random.Generator, n: int) -> np.ndarray:
    """Values that the family can have."""
    support = FAMILIES[name].support
    words = "" if support is None else support.words
    if name == "binomial":
        return rng.integers(0, 6, n).astype(float)
    if words == "0 and 1":
        return rng.integers(0, 2, n).astype(float)
    if words.startswith("numbers between"):
        return rng.uniform(0.01, 0.99, n)
    if words.startswith("whole"):
        return rng.poisson(2.0, n).astype(float)
    if words.startswith("numbers"):
        return rng.gamma(2.0, 1.0, n)
    return rng.normal(0.0, 1.0, n)


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.filterwarnings("ignore::bayeslmm.DataWarning")
def test_densities_are_those_of_pymc(name: str) -> None:
    """The response of the joint model, with trials and weights."""
    rng, family = np.random.default_rng(5), FAMILIES[name]
    data = simulate_classrooms(4, 6, seed=1).data
    data["y"], data["n"] = responses(name, rng, 24), 6
    data["w"] = rng.uniform(0.5, 2.0, 24)
    left = "p(y, n)" if family.trials else "y"
    weights = "w" if family.weights else None
    model = Model(f"{left} ~ edu + (1 | classroom)", data, family=name, weights=weights)
    eta = rng.normal(0.0, 1.0, (3, 24))
    if family.link.name.startswith("inverse"):
        eta = np.exp(eta)
    others = {key: OTHERS[key] * np.array([1.0, 1.3, 0.8]) for key in family.others}
    with unchecked():
        wanted = row_likelihood(model)(eta, others)
    given = {key: value[:, None] for key, value in others.items()}
    if weights is not None:
        given["sigma"] = given["sigma"] / np.sqrt(data["w"].to_numpy())
    assert family.density is not None
    found = family.density(data["y"].to_numpy(), eta, given, np.full(24, 6.0))
    np.testing.assert_allclose(found.value, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", SMOOTH)
def test_derivatives_are_those_of_differences(name: str) -> None:
    """First and second, in the linear predictor."""
    rng, density = np.random.default_rng(6), FAMILIES[name].density
    assert density is not None
    y, eta = responses(name, rng, 40), rng.normal(0.0, 1.0, 40)
    if FAMILIES[name].link.name.startswith("inverse"):
        eta = np.exp(eta)
    others = {key: np.array([value]) for key, value in OTHERS.items()}
    low, at, high = (
        density(y, eta + step, others, np.array([6.0])) for step in (-STEP, 0.0, STEP)
    )
    slope = (high.value - low.value) / (2.0 * STEP)
    curvature = (high.slope - low.slope) / (2.0 * STEP)
    np.testing.assert_allclose(at.slope, slope, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(at.curvature, curvature, rtol=1e-6, atol=1e-6)
    assert at.slope.shape == at.curvature.shape == at.value.shape == (40,)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_links_go_there_and_back(name: str) -> None:
    """A mean is that of its linear predictor."""
    link = FAMILIES[name].link
    mu = np.array([0.1, 0.5, 0.9])
    np.testing.assert_allclose(link.inverse(link.forward(mu)), mu, rtol=1e-12)


@pytest.mark.parametrize("name", ["bernoulli", "binomial", "negativebinomial"])
def test_nothing_overflows_where_chances_are_0_or_1(name: str) -> None:
    """Log odds of +-800 have the log density that they must."""
    density = FAMILIES[name].density
    assert density is not None
    y, eta = np.array([0.0, 1.0, 0.0, 1.0]), np.array([-800.0, -800.0, 800.0, 800.0])
    with np.errstate(all="raise", under="ignore"):
        found = density(y, eta, {"alpha": np.array([2.0])}, np.ones(1))
    assert np.isfinite(found.value).all()
    assert np.isfinite(found.slope).all()
    assert (found.curvature <= 0.0).all()


@pytest.mark.parametrize("large", [1e7, 1e10, 1e15])
def test_a_parameter_that_is_almost_infinite_gives_the_limit(large: float) -> None:
    """Normal of t, Poisson of the negative binomial; gammas cancelled to e**3 off."""
    eta, many = np.linspace(-2.0, 2.0, 9), np.array([large])
    others = {"sigma": np.array([0.7]), "nu": many, "alpha": many}
    one = np.ones(1)
    for name, limit, y in (
        ("t", "gaussian", np.linspace(-3.0, 3.0, 9)),
        ("negativebinomial", "poisson", np.array([0.0, 1, 2, 3, 5, 8, 13, 50, 100])),
    ):
        near, far = FAMILIES[name].density, FAMILIES[limit].density
        assert near is not None
        assert far is not None
        found, expected = near(y, eta, others, one), far(y, eta, others, one)
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e4 / large)
