"""Quadrature: against other programs, a dense oracle, its own laws and the sampler."""

import json
import math
import sys
from pathlib import Path
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import pytest
from helpers import dense_log_density
from sampling import sample_unchecked, unchecked
from scipy import stats

from bayeslmm import Model, simulate_classrooms
from bayeslmm.errors import FitWarning, ModelError
from bayeslmm.posterior.quadrature import STEPS, Quadrature, quadrature
from bayeslmm.reml.expense import useful_threads

REFERENCE = Path(__file__).parent / "reference"
# The reference cut its boxes off where the density is below 1e-4 of the highest, and
# compares itself with a coarser grid to 2e-4: in posterior SDs of the parameter.
GRID = 5e-4
EVIDENCE = 2e-5
# Dense adaptive quadrature was asked for 1e-7 of the evidence; ours for 1e-4.
ORACLE = 1e-5
# The same integral twice, in other units.
UNITS = 1e-6
# Monte Carlo errors that the sampler may be off by: 20 figures, one seed.
MCSE = 4.0
FIGURES = ["mean", "median", "sd", "lower", "upper"]


def reference(name: str) -> dict[str, Any]:
    """Figures of one data set."""
    return json.loads((REFERENCE / f"quad_{name}.json").read_text())


def documented_model(figures: dict[str, Any], data: pd.DataFrame) -> Model:
    """The model of a reference under its priors."""
    wide = f"Normal(0, {figures['beta_sd']})"
    spread = f"HalfStudentT(nu=3, sigma={figures['s']})"
    labels = [label for label in figures["parameters"] if "_corr[" in label]
    priors: dict[str, object] = {
        "Intercept": wide,
        "common": wide,
        "group_specific": spread,
        "sigma": spread,
        **{label.split("[")[0]: 2 for label in labels},
    }
    return Model(figures["formula"], data, priors=priors, center_predictors=False)


def few_rows(n_levels: int = 4, n_rows: int = 3, seed: int = 5) -> pd.DataFrame:
    """A few rows for each of a few levels, whose intercepts and slopes vary."""
    rng = np.random.default_rng(seed)
    g, x = np.repeat(np.arange(n_levels), n_rows), rng.normal(size=n_rows * n_levels)
    y = rng.normal(size=n_levels)[g] + 2.0 * rng.normal(size=n_levels)[g] * x
    return pd.DataFrame({"y": y + rng.normal(size=len(g)), "x": x, "g": g})


@pytest.fixture(scope="module")
def simulated() -> Quadrature:
    """Random intercepts on simulated classrooms."""
    data = simulate_classrooms(n_classrooms=12, n_pupils=8, seed=3).data
    return quadrature(Model("score ~ edu + (1 | classroom)", data))


# --- against others -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dyestuff2", "penicillin", "scoreint", "sleep"])
def test_parameters_and_evidence_of_the_references(name: str, public_data: Any) -> None:
    """Means, SDs, seven quantiles and the evidence, without Monte Carlo error."""
    figures = reference(name)
    model = documented_model(figures, public_data(figures["data"]))
    with unchecked():
        found = quadrature(model, tolerance=5e-3)
    assert found.converged
    assert found.log_evidence == pytest.approx(figures["log_evidence"], abs=EVIDENCE)
    assert set(found.summary().index) == set(figures["parameters"])
    for label, wanted in figures["parameters"].items():
        row = found.summary().loc[label]
        for name_, value in wanted.items():
            ours = (
                row[name_]
                if name_ in ("mean", "sd")
                else found.quantile(label, float(name_.removeprefix("q")) / 100)
            )
            assert ours == pytest.approx(value, abs=GRID * wanted["sd"]), (label, name_)


@pytest.mark.usefixtures("user_speed")
def test_evidence_and_mean_of_a_dense_oracle() -> None:
    """Adaptive quadrature of the textbook density over sigma and the SD themselves."""
    data = few_rows()
    priors: dict[str, object] = {
        "common": "Normal(0.5, 2)",
        "Intercept": "Normal(1, 3)",
        "group_specific": "Exponential(0.7)",
        "sigma": "HalfNormal(2)",
    }
    model = Model("y ~ x + (1 | g)", data, priors=priors, center_predictors=False)
    precision = np.diag([1 / 9.0, 1 / 4.0])

    def density(sd: float, sigma: float) -> float:
        """Prior times likelihood."""
        factors = [np.array([[sd]])]
        logp = dense_log_density(
            model.design, factors, sigma, np.array([1.0, 0.5]), precision
        )
        prior = stats.expon.pdf(sd, scale=1 / 0.7) * stats.halfnorm.pdf(sigma, scale=2)
        return math.exp(logp + 20.0) * prior

    nodes, weights = np.polynomial.legendre.leggauss(24)

    def integrals() -> np.ndarray:
        """Of the density, and of it times sd.

        Gauss-Legendre over sd in (0, 15), sigma in (0.1, 8), each in two parts.
        """
        total = np.zeros(2)
        for a, b in ((0.0, 3.0), (3.0, 15.0)):
            for c, d in ((0.1, 2.0), (2.0, 8.0)):
                sds, sigmas = (
                    a + (b - a) * (nodes + 1) / 2,
                    c + (d - c) * (nodes + 1) / 2,
                )
                values = np.array([[density(sd, s) for s in sigmas] for sd in sds])
                by_sd = values @ weights * (b - a) * (d - c) / 4
                total += [weights @ by_sd, (weights * sds) @ by_sd]
        return total

    evidence, first_moment = integrals()
    found = quadrature(model)
    assert found.log_evidence == pytest.approx(math.log(evidence) - 20.0, abs=ORACLE)
    mean = first_moment / evidence
    assert found.summary().loc["1|g_sigma", "mean"] == pytest.approx(mean, rel=ORACLE)


def test_sampler_agrees(simulated: Quadrature) -> None:
    """NUTS gives the same figures within its Monte Carlo errors."""
    post = sample_unchecked(simulated.model, draws=1500, seed=11, method="nuts")
    for label, row in simulated.summary().iterrows():
        draws = post.draws(str(label))
        assert abs(draws.mean() - row["mean"]) < MCSE * az.mcse(draws, method="mean")
        assert abs(draws.std() - row["sd"]) < MCSE * az.mcse(draws, method="sd")
        for column, prob in (("lower", 0.025), ("median", 0.5), ("upper", 0.975)):
            error = az.mcse(draws, method="quantile", prob=prob)
            assert abs(np.quantile(draws, prob) - row[column]) < MCSE * error


# --- laws -----------------------------------------------------------------------------


def test_units_of_the_response() -> None:
    """The weak priors scale with y, and so do the figures; the density inversely."""
    data = few_rows()
    scaled = data.assign(y=1000.0 * data["y"])
    with unchecked():
        one, other = (quadrature(Model("y ~ x + (1 | g)", d)) for d in (data, scaled))
    shift = len(data) * math.log(1000.0)
    assert other.log_evidence == pytest.approx(one.log_evidence - shift, abs=UNITS)
    ratio = (other.summary()[FIGURES] / one.summary()[FIGURES]).to_numpy(float)
    np.testing.assert_allclose(ratio, 1000.0, rtol=1e-4)


def test_error_estimate_covers_the_error() -> None:
    """A coarse run is off from a fine one by no more than it says."""
    model = Model("y ~ x + (1 | g)", few_rows(8))
    with unchecked():
        coarse, fine = (quadrature(model, tolerance=t) for t in (1e-2, 1e-5))
    assert abs(coarse.log_evidence - fine.log_evidence) <= coarse.error
    off = (coarse.summary()[FIGURES] - fine.summary()[FIGURES]).abs().max(axis=1)
    assert (off <= coarse.summary()["error"] + fine.summary()["error"]).all()
    spread = fine.summary()["sd"]
    assert (fine.summary()["error"] <= 1e-5 * spread).all()
    assert len(fine.lattice.nodes) > len(coarse.lattice.nodes)


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Points are visited in a fixed order."""
    monkeypatch.setattr(sys.modules[useful_threads.__module__], "WORTH_A_THREAD", 0)
    model = Model("y ~ x + (1 | g)", few_rows())
    one, three = (quadrature(model, tolerance=0.01, cores=cores) for cores in (1, 3))
    pd.testing.assert_frame_equal(one.summary(), three.summary(), check_exact=True)
    assert one.log_evidence == three.log_evidence


def test_quantiles_invert_the_distribution(simulated: Quadrature) -> None:
    """The interval of the summary is made of quantiles, and they increase."""
    for label, row in simulated.summary().iterrows():
        found = [simulated.quantile(str(label), p) for p in (0.025, 0.5, 0.975)]
        assert found == pytest.approx([row["lower"], row["median"], row["upper"]])
        assert found == sorted(found)


@pytest.mark.parametrize(
    ("structure", "label"), [("cs", "g_corr[rho]"), ("us", "g_corr[Intercept:x]")]
)
def test_correlations_stay_in_range(structure: str, label: str) -> None:
    """A correlation is a function of one coordinate, and its prior is symmetric."""
    data = few_rows(60, 6)
    model = Model(f"y ~ x + {structure}(x | g)", data, priors={"g_corr": 2})
    with unchecked():
        row = quadrature(model, tolerance=0.03).summary().loc[label]
    assert -1 < row["lower"] < row["median"] < row["upper"] < 1
    assert row["lower"] < row["mean"] < row["upper"]


# --- what does not exist, or cannot be ------------------------------------------------


@pytest.mark.parametrize(
    ("n_levels", "mean_exists", "sd_exists"),
    [(3, False, False), (4, True, False), (6, True, True)],
)
@pytest.mark.usefixtures("user_speed")
def test_moments_under_a_flat_prior(
    n_levels: int, mean_exists: bool, sd_exists: bool
) -> None:
    """The density of the SD falls as sd**(1 - levels): moments below levels - 2."""
    model = Model("y ~ 1 + (1 | g)", few_rows(n_levels), priors="flat")
    found = quadrature(model, tolerance=1e-3)
    row = found.summary().loc["1|g_sigma"]
    assert math.isfinite(row["mean"]) is mean_exists
    assert math.isfinite(row["sd"]) is sd_exists
    assert math.isfinite(found.summary().loc["Intercept", "sd"]) is sd_exists
    assert 0 < row["lower"] < row["median"] < row["upper"] < math.inf
    assert math.isnan(found.log_evidence)  # a flat prior has no constant
    assert found.converged
    # balanced rows: the Intercept is symmetric about the mean, however heavy its tail
    intercept = found.summary().loc["Intercept"]
    assert intercept["median"] == pytest.approx(model.design.rows.y.mean(), abs=1e-6)


def test_too_many_variance_parameters() -> None:
    """Three correlated effects are seven parameters."""
    data = few_rows(12, 8).assign(z=np.tile(np.arange(6.0), 16))
    model = Model("y ~ x + z + (x + z | g)", data)
    with pytest.raises(ModelError, match=r"7 variance parameters.*at most 4"):
        quadrature(model)


def test_a_posterior_too_wide_for_a_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proper priors are not enough where levels are few: no advice to take them."""
    monkeypatch.setattr("bayeslmm.posterior.lattice.MOST_POINTS", 50)
    with pytest.raises(ModelError, match=r"more than 50 points.*few levels") as error:
        quadrature(Model("y ~ x + (1 | g)", few_rows()))
    assert "weak" not in str(error.value)


def test_wrong_arguments(simulated: Quadrature) -> None:
    """Probabilities and labels are checked."""
    with pytest.raises(ModelError, match="prob must lie between 0 and 1"):
        quadrature(simulated.model, prob=1.0)
    with pytest.raises(ModelError, match="probability must lie between 0 and 1"):
        simulated.quantile("sigma", 0.0)
    with pytest.raises(ModelError, match="Did you mean 'sigma'"):
        simulated.quantile("sgima", 0.5)


@pytest.mark.usefixtures("user_speed")
def test_tolerance_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """The result says so, and so does a warning."""
    monkeypatch.setattr(sys.modules[quadrature.__module__], "STEPS", STEPS[:2])
    with pytest.warns(FitWarning, match=r"has not reached its tolerance of 1e-09"):
        found = quadrature(Model("y ~ x + (1 | g)", few_rows()), tolerance=1e-9)
    assert not found.converged
