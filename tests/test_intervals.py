"""Profile and bootstrap intervals: lme4, held criteria, laws, ends of the space."""

import json
import warnings
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sampling import unchecked

from bayeslmm import FitWarning, Model, ModelError, power

PEER = json.loads((Path(__file__).parent / "reference" / "confint.json").read_text())
FITS = PEER["fits"]
# lme4's limits are of splines through its profile, in units of the interval near 0.
SPLINE = 1e-3
# Where lme4's profile is wrong. With weights that of its fixed effects is 20 times
# narrower than its own Wald interval; without a fixed intercept it stops where the
# deviance has risen by 0.6 at most, see `test_where_lme4s_profile_stops_early`.
WRONG = {
    "sleep_weights": ("Intercept", "Days"),
    "sleep_noint": ("Subject_corr[Intercept:Days]", "Days|Subject_sigma"),
}
# Ours are found to 1e-5 of a working unit.
FOUND = 1e-4


@pytest.fixture(scope="module")
def fit_of(public_data):
    """The REML fit of a reference case, made once."""

    @cache
    def fit(name: str) -> Any:
        case = FITS[name]
        data = public_data(case["data"])
        weights = 1 + data["Days"].to_numpy() % 3 if "weights" in case else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FitWarning)
            return Model(case["formula"], data, weights=weights).fit_reml()

    return fit


# By default one of each kind: others have the same bars, so the same profile search.
ALIKE = {
    *("machines_nested", "pastes_explicit", "pastes_sample", "ratpup_int"),
    *("sleep_diag_longform", "sleep_quad", "score_int"),
}


def cases(names: Iterable[str]) -> list[Any]:
    """Names of fits to test, those that are like another one weekly."""
    slow = pytest.mark.slow
    return [pytest.param(n, marks=slow) if n in ALIKE else n for n in names]


@pytest.mark.parametrize("name", cases(FITS))
def test_profile_limits_are_lme4s(name, fit_of):
    """Of the ML criterion; where lme4 has none (NA), ours are numbers."""
    with unchecked():
        table = fit_of(name).interval(method="profile", criterion="ML")
    assert np.isfinite(table.to_numpy()).all()
    for label, limits in FITS[name]["profile"].items():
        if label in WRONG.get(name, ()):
            continue
        size = table["upper"][label] - table["lower"][label]
        for ours, peer in zip(table.loc[label], limits, strict=True):
            if isinstance(peer, int | float):
                assert abs(ours - peer) < SPLINE * max(abs(ours), 0.05 * size), label


@pytest.mark.usefixtures("user_speed")
def test_where_lme4s_profile_stops_early(fit_of):
    """A point with that correlation whose deviance is much lower is proof enough."""
    fit = fit_of("sleep_noint").model.fit_reml(method="ML")
    label = WRONG["sleep_noint"][0]
    curve = fit.profile().table.loc[label]
    upper = FITS["sleep_noint"]["profile"][label][1]
    assert np.interp(upper, curve["value"], curve["zeta"]) < 1.0
    weighted = fit_of("sleep_weights")
    ours = weighted.interval(method="profile").loc[["Intercept", "Days"]]
    wald = weighted.interval(ddf="z").loc[["Intercept", "Days"]]
    np.testing.assert_allclose(np.ptp(ours, axis=1), np.ptp(wald, axis=1), rtol=0.1)


@pytest.mark.parametrize("name", cases(n for n, case in FITS.items() if "boot" in case))
def test_bootstrap_is_lme4s(name, fit_of):
    """Within the errors of both sets of percentiles, some 10% of the interval."""
    with unchecked():
        table = fit_of(name).interval(method="boot", nsim=300, seed=1)
    for label, limits in FITS[name]["boot"].items():
        lower, upper = limits
        assert np.abs(table.loc[label] - limits).max() < 0.2 * (upper - lower), label
    assert "300 simulated responses" in table.attrs["notes"][0]


@pytest.mark.usefixtures("user_speed")
def test_reml_profile_is_that_of_the_criterion(fit_of, sleepstudy):
    """At a limit of sigma the dense criterion, minimised by hand, has fallen by z^2."""
    from scipy.optimize import minimize

    fit = fit_of("sleep_int")
    limits = fit.interval(method="profile")
    assert limits.attrs["notes"][0] == "Profile of the REML criterion."
    assert "Fixed effects: profile of the ML criterion" in limits.attrs["notes"][1]
    ml = fit.interval(method="profile", criterion="ML")
    pd.testing.assert_frame_equal(limits.loc[["Days"]], ml.loc[["Days"]])
    assert limits["upper"]["1|Subject_sigma"] > ml["upper"]["1|Subject_sigma"]
    y = sleepstudy["Reaction"].to_numpy()
    X = np.column_stack([np.ones(len(y)), sleepstudy["Days"]])
    g = pd.factorize(sleepstudy["Subject"])[0]
    same = (g[:, None] == g).astype(float)

    def deviance(sd: float, sigma: float) -> float:
        """Minus twice the restricted log likelihood."""
        V = sd**2 * same + sigma**2 * np.eye(len(y))
        Vi = np.linalg.inv(V)
        C = X.T @ Vi @ X
        r = y - X @ np.linalg.solve(C, X.T @ Vi @ y)
        logs = np.linalg.slogdet(V)[1] + np.linalg.slogdet(C)[1]
        return logs + r @ Vi @ r + (len(y) - 2) * np.log(2 * np.pi)

    for label, swap in (("sigma", False), ("1|Subject_sigma", True)):
        for value in limits.loc[label]:
            start = fit.sigma if swap else 36.0
            best = minimize(
                lambda x, v=value, s=swap: (
                    deviance(v, x[0]) if s else deviance(x[0], v)
                ),
                [start],
                method="Nelder-Mead",
            )
            assert best.fun - fit.criterion == pytest.approx(3.8415, abs=2e-3)


@pytest.mark.usefixtures("user_speed")
def test_fixed_effect_limits_are_likelihood_ratios(fit_of, sleepstudy):
    """The effect put into the offset at its limit costs just that much."""
    ml = fit_of("sleep_full").model.fit_reml(method="ML")
    for value in ml.interval(method="profile").loc["Days"]:
        text = f"Reaction ~ 1 + offset({value!r} * Days) + (Days | Subject)"
        held = Model(text, sleepstudy).fit_reml(method="ML")
        assert held.criterion - ml.criterion == pytest.approx(3.8415, abs=1e-3)


@pytest.mark.usefixtures("user_speed")
def test_curves(fit_of):
    fit = fit_of("sleep_full")
    curves, limits = fit.profile().table, fit.interval(method="profile")
    assert curves.index.unique().tolist() == fit.summary().index.tolist()
    for label in curves.index.unique():
        one = curves.loc[label]
        assert (np.diff(one["value"]) > 0).all()
        assert (np.diff(one["zeta"]) > 0).all()
        assert one["zeta"].iloc[0] < -2.5 < 2.5 < one["zeta"].iloc[-1]
        found = np.interp([-1.96, 1.96], one["zeta"], one["value"])
        size = np.ptp(limits.loc[label])
        np.testing.assert_allclose(found, limits.loc[label], atol=0.03 * size)


@pytest.mark.usefixtures("user_speed")
def test_the_end_of_the_parameter_space_is_said(fit_of):
    fit = fit_of("dyestuff2")
    table = fit.interval(method="profile")
    assert table["lower"]["1|Batch_sigma"] == 0.0
    assert table["upper"]["1|Batch_sigma"] > 0.5
    assert any(
        note.startswith("1|Batch_sigma: the lower limit is the end")
        for note in table.attrs["notes"]
    )
    assert "the lower limit is the end" in repr(table)
    with unchecked():
        score = fit_of("score_full").interval(method="profile")
    assert tuple(score.loc["classroom_corr[Intercept:edu]"]) == (-1.0, 1.0)


@pytest.mark.slow
def test_shared_correlations(sleepstudy):
    """Of `cs` with two effects the same as unstructured; of three, its rho."""
    data = sleepstudy.assign(late=(sleepstudy["Days"] > 4).astype(float))
    us = Model("Reaction ~ Days + (Days | Subject)", data).fit_reml()
    cs = Model("Reaction ~ Days + cs(Days | Subject)", data).fit_reml()
    np.testing.assert_allclose(
        us.interval(method="profile"), cs.interval(method="profile"), rtol=FOUND
    )
    three = Model("Reaction ~ Days + cs(Days + late | Subject)", data).fit_reml()
    rho = [label for label in three.summary().index if "corr" in label]
    lower, upper = three.interval(method="profile").loc[rho[0]]
    assert -0.5 <= lower < three.summary()["estimate"][rho[0]] < upper <= 1.0


@pytest.mark.usefixtures("user_speed")
def test_laws_of_shift_and_scale(fit_of, sleepstudy):
    """Limits go with the units of y and x."""
    fit = fit_of("sleep_full")
    moved = sleepstudy.assign(
        Reaction=7.0 - sleepstudy["Reaction"] / 1000.0, Days=sleepstudy["Days"] * 24.0
    )
    other = Model("Reaction ~ Days + (Days | Subject)", moved).fit_reml()
    one, two = (f.interval(method="profile") for f in (fit, other))
    scale = {"1|Subject_sigma": 1e-3, "Days|Subject_sigma": 1e-3 / 24, "sigma": 1e-3}
    for label, factor in scale.items():
        np.testing.assert_allclose(two.loc[label], one.loc[label] * factor, rtol=FOUND)
    back = one.loc["Intercept"].to_numpy()[::-1]
    np.testing.assert_allclose(two.loc["Intercept"], 7.0 - back / 1000.0, rtol=FOUND)
    slope = -one.loc["Days"].to_numpy()[::-1] / 24e3
    np.testing.assert_allclose(two.loc["Days"], slope, rtol=FOUND)
    corr = "Subject_corr[Intercept:Days]"
    np.testing.assert_allclose(two.loc[corr], one.loc[corr], atol=FOUND)
    boots = [f.interval(method="boot", nsim=20, seed=3) for f in (fit, other)]
    for label, factor in scale.items():
        wide = boots[0].loc[label] * factor
        assert np.isfinite(boots[1].loc[label]).all()
        assert wide["lower"] < wide["upper"]


def test_options(fit_of):
    fit = fit_of("sleep_int")
    pd.testing.assert_frame_equal(fit.interval(), fit.interval(method="wald"))
    pd.testing.assert_frame_equal(
        fit.confint(method="boot", nsim=20, seed=1),
        fit.interval(method="boot", nsim=20, seed=1),
    )
    with (
        pytest.raises(ModelError, match="Options: 'wald', 'profile', 'boot'"),
        unchecked(),
    ):
        fit.interval(method="x")
    with pytest.raises(ModelError, match="Unknown criterion='x'"), unchecked():
        fit.interval(method="profile", criterion="x")
    with pytest.raises(ModelError, match="nsim must be a whole number"), unchecked():
        fit.interval(method="boot", nsim=0)


def test_the_bootstrap_of_a_seed_is_the_same_in_processes(fit_of, capsys):
    """In chunks of 50, with a bar if it is wanted; drawn once for a seed."""
    fit = fit_of("sleep_int")
    with unchecked():
        one = fit.interval(method="boot", nsim=60, seed=7, progress=True)
        assert "simulated responses" in capsys.readouterr().err
        kept = [key for key in fit.found if key.startswith("bootstrap of 60")]
        fit.found.pop(kept[0])
        two = fit.interval(method="boot", nsim=60, seed=7, n_jobs=2, progress=False)
    pd.testing.assert_frame_equal(one, two)
    assert len(kept) == 1
    assert capsys.readouterr().err == ""
    with pytest.raises(ModelError, match="n_jobs must be a whole number"), unchecked():
        fit.interval(method="boot", n_jobs=0)
    with pytest.raises(ModelError, match="progress must be"), unchecked():
        fit.interval(method="boot", progress="yes")


def test_simulated_responses_have_the_structure_of_the_residuals(sleepstudy):
    """Of the bootstrap and of power: rho of the refits is about the fit's, not 0."""
    formula, structure = "Reaction ~ Days + (1 | Subject)", "ar1(Days | Subject)"
    fit = Model(formula, sleepstudy, residual=structure).fit_reml()
    rho = fit.summary()["estimate"]["rho"]
    with unchecked():
        table = fit.interval(0.8, method="boot", nsim=40, seed=1)
        found = power(fit, effect="Days", nsim=20, seed=1)
    assert 0.3 < table["lower"]["rho"] < rho < table["upper"]["rho"] < 1.0
    assert found.table["power"][0] > 0.9
    with pytest.raises(ModelError, match="rho is"), unchecked():
        power(fit, effect="Days", parameters={"rho": 1.5}, nsim=20)


def test_fits_that_fail_are_counted(fit_of, monkeypatch):
    from dataclasses import replace

    from bayeslmm.reml import boot

    fit, make = fit_of("sleep_int"), boot.make_refitter

    def failing(fit: Any) -> Any:
        """Every fourth fit does not converge."""
        refit, seen = make(fit), iter(range(1000))
        return lambda y: replace(refit(y), converged=next(seen) % 4 > 0)

    monkeypatch.setattr(boot, "make_refitter", failing)
    table = fit.interval(method="boot", nsim=20, seed=4)
    assert table.attrs["notes"][1].startswith("5 of 20 simulated responses have no fit")
