"""Structured residuals against nlme, by the reference numbers of `reference/nlme.R`."""

import json
from pathlib import Path

import numpy as np
import pytest
from residual_cases import peer_data

from bayeslmm import Model, load_data

REFERENCE = json.loads((Path(__file__).parent / "reference" / "nlme.json").read_text())
# What issue 10 asks for; nlme's own optimum is some 1e-9 from ours.
LOGLIK, PARAMETERS = 1e-5, 1e-3
CASES = {
    "holes_ar1": ("Reaction ~ Days + (1 | Subject)", "holes", "ar1(Days | Subject)"),
    "uneven_car1": (
        *("Reaction ~ clock + (1 | Subject)", "sleep", "ar1(clock | Subject)"),
    ),
    "ratios_ar1": (
        *("Reaction ~ Days + (1 | Subject)", "sleep"),
        "varident(half) * ar1(Days | Subject)",
    ),
    "slopes_ratios": ("Reaction ~ Days + (Days | Subject)", "sleep", "varident(half)"),
    "gls_cs": ("Reaction ~ Days", "sleep", "cs(Subject)"),
    "gls_cs_ratios": ("score ~ Machine", "machines", "varident(Machine) * cs(Worker)"),
    "gls_ar1": ("Reaction ~ Days", "sleep", "ar1(Days | Subject)"),
    "gls_ratios": ("Reaction ~ Days", "sleep", "varident(half)"),
}


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize("case", CASES)
def test_it_is_nlme(case: str, method: str) -> None:
    """Log likelihood, fixed effects with their SEs, SDs, ratios, rho."""
    formula, name, residual = CASES[case]
    peer = REFERENCE[f"{case}_{method}"]
    model = Model(formula, peer_data(name), residual=residual)
    fit = model.fit_reml(method=method)
    assert fit.status.converged
    assert fit.loglik == pytest.approx(peer["logLik"], abs=LOGLIK)
    table = fit.summary()
    fixed = table[table["component"] == "fixef"]
    np.testing.assert_allclose(fixed["estimate"], peer["beta"], rtol=PARAMETERS)
    # gls by ML takes the error of sigma to have n - p degrees of freedom
    n, p = model.design.n, model.design.p
    own = fixed["se"] * np.sqrt(n / (n - p) if "gls" in case and method == "ML" else 1)
    np.testing.assert_allclose(own, peer["se"], rtol=PARAMETERS)
    sds = table.loc[table["component"] == "sd", "estimate"]
    np.testing.assert_allclose(sds, np.atleast_1d(peer["sd"]), rtol=PARAMETERS)
    assert fit.sigma == pytest.approx(peer["sigma"], rel=PARAMETERS)
    for level, ratio in (peer["ratios"] or {}).items():
        found = table.loc[f"sigma_ratio[{level}]", "estimate"]
        assert found == pytest.approx(ratio, rel=PARAMETERS)
    if peer["rho"] is not None:
        # of rows one unit of time apart; ours is that of rows one step apart
        series = model.design.residual.series
        step = series.step if series.word == "ar1" else 1.0
        rho = table.loc["rho", "estimate"]
        assert rho == pytest.approx(peer["rho"] ** step, rel=PARAMETERS)


# nlme 3.1-162 in ../shared/reference: logLik, sigma, ratios or rho.
BOOK = [
    ("REML", -179.94234366719093, 0.5147948490402747, 0.639438276522696),
]


@pytest.mark.parametrize(("method", "loglik", "sigma", "high"), BOOK)
def test_it_is_the_rat_pups_of_the_book(
    method: str, loglik: float, sigma: float, high: float
) -> None:
    """West, Welch and Galecki, model 3.2A: a residual SD for each treatment."""
    fit = Model(
        "weight ~ treatment * sex + litsize + (1 | litter)",
        load_data("rat_pup"),
        residual="varident(treatment)",
    ).fit_reml(method=method)
    assert fit.loglik == pytest.approx(loglik, abs=LOGLIK)
    assert fit.sigma == pytest.approx(sigma, rel=PARAMETERS)
    table = fit.summary()
    ratio = table.loc["sigma_ratio[High]", "estimate"]
    assert ratio == pytest.approx(high, rel=PARAMETERS)
