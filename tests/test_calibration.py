"""Simulation-based calibration: parameters from the prior, data from the parameters.

If draws are from the posterior, the rank of the true value among them is uniform, for
every parameter and for the log density of the data (Talts et al. 2018,
arXiv:1804.06788; Modrak et al. 2023, doi:10.1214/23-BA1404). Weekly; the priors are
fixed beforehand, as a prior that looks at the data is not calibrated.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from jaxtyping import Float
from sampling import unchecked

from bayeslmm import Model
from bayeslmm.covariance import STRUCTURES, coordinates_to_factor
from bayeslmm.posterior.sampling import sample
from bayeslmm.posterior.target import make_target
from bayeslmm.priors import Priors

DATA_SETS, BINS, THIN = 200, 10, 4
# Over all quantities of all shapes some 40 tests: a false alarm in 1 of 250 runs.
LEAST_P = 1e-4


@dataclass(frozen=True)
class Shape:
    """A formula with the rows that it is simulated on."""

    formula: str
    frame: pd.DataFrame


def shapes() -> dict[str, Shape]:
    """Three levels; a correlated slope; crossed factors; years from 2006."""
    rng = np.random.default_rng(3)

    def rows(levels: int, each: int) -> pd.DataFrame:
        """Rows in levels, a predictor, a second factor."""
        n = levels * each
        return pd.DataFrame(
            {
                "g": np.arange(n) % levels,
                "h": (np.arange(n) // levels) % 4,
                "x": rng.normal(size=n).round(2),
                "year": 2006.0 + np.arange(n) // levels,
            }
        )

    return {
        "three levels": Shape("y ~ x + (1 | g)", rows(3, 10)),
        "correlated slope": Shape("y ~ x + (x | g)", rows(8, 8)),
        "crossed": Shape("y ~ x + (1 | g) + (1 | h)", rows(8, 8)),
        "uncentred years": Shape("y ~ year + (year | g)", rows(8, 8)),
    }


def prior_draw(
    model: Model, priors: Priors, rng: np.random.Generator
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " p"]]:
    """Coordinates of the variance parameters, and fixed effects, from the prior."""

    def half_t(prior: object) -> float:
        """Log of a draw of a half-t SD."""
        given = prior.arguments  # type: ignore[attr-defined]
        return float(np.log(given["sigma"] * abs(rng.standard_t(given["nu"]))))

    x = [half_t(priors.sigma)]
    for term, sds, eta in zip(
        model.design.groups, priors.sd, priors.corr_eta, strict=True
    ):
        x += [half_t(prior) for prior in sds]
        if term.k == 2:
            x.append(float(np.arctanh(2.0 * rng.beta(eta, eta) - 1.0)))
    beta = np.array(
        [rng.normal(p.arguments["mu"], p.arguments["sigma"]) for p in priors.fixed]
    )
    beta[0] -= model.design.moments.X.mean[1:] @ beta[1:]  # stated at the means
    return np.array(x), beta


def ranks(
    shape: Shape, *, method: str, sets: int, wrong: float = 1.0
) -> dict[str, Float[np.ndarray, " s"]]:
    """Rank of the true value, from 0 to 1, of every quantity and data set.

    `wrong` multiplies the drawn SDs: a posterior that is not calibrated.
    """
    rng = np.random.default_rng(11)
    template = Model(
        shape.formula, shape.frame.assign(y=rng.normal(size=len(shape.frame)))
    )
    priors, found = template.priors, {}
    for seed in range(sets):
        x, beta = prior_draw(template, priors, rng)
        factors, at = [], 1
        for t, term in enumerate(template.design.groups):
            own = x[at : at + (3 if term.k == 2 else 1)]
            at += own.size
            factor = coordinates_to_factor(STRUCTURES["us"], own, term.k)
            turn = priors.reference[t]
            factors.append(factor if turn is None else turn @ factor)
        sigma = float(np.exp(x[0]))
        design = template.design
        y = design.rows.X @ beta + sigma * rng.normal(size=design.n)
        pairs = zip(design.groups, factors, strict=True)
        for t, (term, factor) in enumerate(pairs):
            b = rng.normal(size=(term.n_levels, term.k)) @ factor.T
            y += (design.rows.Z[t] * b[design.rows.codes[t]]).sum(axis=1)
        model = Model(shape.formula, shape.frame.assign(y=y))
        model.priors = priors
        post = sample(
            model,
            seed=seed,
            draws=400,
            method=method,
            progress=False,  # type: ignore[arg-type]
        )
        truth = true_values(model, beta, factors, sigma)
        for label, value in truth.items():
            draws = post.draws(label)[:, ::THIN].ravel()
            if label.endswith("_sigma"):
                draws = wrong * draws
            found.setdefault(label, []).append(float((draws < value).mean()))
        target = make_target(model.design, model.conditioned, priors)
        lp = post.idata["sample_stats"]["lp"].to_numpy()[:, ::THIN].ravel()
        found.setdefault("log density", []).append(float((lp < target(x)[0]).mean()))
    return {label: np.array(values) for label, values in found.items()}


def true_values(
    model: Model,
    beta: Float[np.ndarray, " p"],
    factors: list[Float[np.ndarray, "_k _k"]],
    sigma: float,
) -> dict[str, float]:
    """Every parameter as the tables report it: SDs and correlations at x = 0."""
    found = {}
    for parameter in model.design.space.parameters:
        if parameter.component == "fixef":
            found[parameter.label] = float(beta[parameter.index[0]])
        elif parameter.term is None:
            found[parameter.label] = sigma
        else:
            covariance = factors[parameter.term] @ factors[parameter.term].T
            sd = np.sqrt(np.diag(covariance))
            value = (
                sd[parameter.index[0]]
                if parameter.component == "sd"
                else (covariance / np.outer(sd, sd))[parameter.index]
            )
            found[parameter.label] = float(value)
    return found


def p_values(found: dict[str, Float[np.ndarray, " s"]]) -> dict[str, float]:
    """Chi-square test of uniform ranks in bins."""
    edges = np.linspace(0.0, 1.0, BINS + 1)
    return {
        label: float(scipy.stats.chisquare(np.histogram(values, edges)[0]).pvalue)
        for label, values in found.items()
    }


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", list(shapes()))
@pytest.mark.filterwarnings("ignore::bayeslmm.FitWarning")
def test_nuts_is_calibrated(name: str) -> None:
    """Two hundred data sets of each shape."""
    with unchecked():
        found = p_values(ranks(shapes()[name], method="nuts", sets=DATA_SETS))
    print(name, {label: round(p, 4) for label, p in found.items()})
    assert min(found.values()) > LEAST_P, found


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("method", ["quadrature", "importance"])
@pytest.mark.filterwarnings("ignore::bayeslmm.FitWarning")
def test_the_other_routes_are_calibrated(method: str) -> None:
    """Weighted points fall back to NUTS where they do not pass."""
    shape = shapes()["three levels"]
    with unchecked():
        found = p_values(ranks(shape, method=method, sets=DATA_SETS // 2))
    print(method, {label: round(p, 4) for label, p in found.items()})
    assert min(found.values()) > LEAST_P, found


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::bayeslmm.FitWarning")
def test_the_check_can_fail() -> None:
    """SDs that are a half too large are found out."""
    shape = shapes()["crossed"]
    with unchecked():
        found = p_values(ranks(shape, method="nuts", sets=DATA_SETS, wrong=1.5))
    assert min(found["1|g_sigma"], found["1|h_sigma"]) < LEAST_P
