"""Variance parameters that no data of a design can tell: named, and only those."""

import numpy as np
import pandas as pd
import pytest
from sampling import unchecked

from bayeslmm import FitWarning, Model, PriorError, RemlFit
from bayeslmm.reml.entries import entry_positions, entry_products
from bayeslmm.reml.estimate import fit_reml
from bayeslmm.reml.information import NOT_IDENTIFIED

# The same algebra by two routes.
EXACT = 1e-10


def patients(seed: int, n: int = 20) -> pd.DataFrame:
    """Patients of four rows, four to a site; arm and age are the patient's."""
    rng = np.random.default_rng(seed)
    s = np.repeat(np.arange(n), 4)
    data = pd.DataFrame(
        {
            "s": [f"s{i}" for i in s],
            "site": [f"c{i}" for i in s // 4],
            "arm": s % 2,
            "armf": np.where(s % 2 == 1, "drug", "ctrl"),
            "arm3": np.array(list("abc"))[s % 3],
            "age": rng.normal(50.0, 8.0, n)[s].round(),
            "k": 3.0,
            "x": rng.normal(size=4 * n),
        }
    )
    y = 1.2 * rng.normal(size=n)[s] + 0.5 * data["arm"] + rng.normal(size=4 * n)
    return data.assign(y=y)


CASES = {
    "y ~ x + site + (1 | site)": {"1|site_sigma"},
    "y ~ x + site + (1 | site) + (1 | s)": {"1|site_sigma"},
    "y ~ 0 + site + (1 | site)": {"1|site_sigma"},
    "y ~ x * site + (x | site)": {
        "1|site_sigma",
        "x|site_sigma",
        "site_corr[Intercept:x]",
    },
    "y ~ armf + cs(0 + armf | s)": {"s_corr[rho]"},
    "y ~ arm + (arm | s)": {"arm|s_sigma", "s_corr[Intercept:arm]"},
    "y ~ armf + (0 + armf | s)": {"s_corr[armf[ctrl]:armf[drug]]"},
    "y ~ x + (1 | s) + (1 | site:s)": {"1|s_sigma", "1|site:s_sigma"},
    "y ~ x + (k | s)": {"1|s_sigma", "k|s_sigma", "s_corr[Intercept:k]"},
    "y ~ x + (1 | s)": set(),
    "y ~ arm + (arm || s)": set(),
    "y ~ age + (age | s)": set(),
}


def unknown(fit: RemlFit) -> set[str]:
    """Labels that are said not to be identified."""
    reasons = fit.information.reasons.items()
    return {label for label, reason in reasons if reason == NOT_IDENTIFIED}


@pytest.mark.parametrize("formula", CASES)
@pytest.mark.filterwarnings("ignore::bayeslmm.FitWarning")
@pytest.mark.usefixtures("user_speed")
def test_what_is_not_identified_is_named_and_nothing_else(formula: str) -> None:
    """Whatever the response; no SE, no interval, every table there."""
    for seed in range(4):
        fit = fit_reml(Model(formula, patients(seed)))
        edge = set(fit.status.boundary)
        assert unknown(fit) <= CASES[formula]
        # what stands at 0 is said to stand there
        assert CASES[formula] - unknown(fit) <= edge
        table = fit.summary().loc[sorted(unknown(fit))]
        assert table[["se", "lower", "upper"]].isna().to_numpy().all()
        rest = fit.summary().drop(index=list(fit.information.reasons))
        assert np.isfinite(rest[["se", "lower", "upper"]].to_numpy()).all()
        assert repr(fit)
        for label in unknown(fit):
            assert label in fit.status.message
        assert fit.status.converged


def test_it_is_said_once_and_what_to_do() -> None:
    """One warning; sigma, which is identified, is not in it."""
    with pytest.warns(FitWarning, match=r"1\|site_sigma is not identified") as seen:
        fit = Model("y ~ x + site + (1 | site)", patients(0)).fit_reml()
    assert len(seen) == 1
    assert "Leave out the term" in fit.status.message
    assert "sigma," not in fit.status.message


@pytest.mark.parametrize("n", [20, 590, 1300])
@pytest.mark.filterwarnings("ignore::bayeslmm.FitWarning")
def test_the_number_of_patients_does_not_matter(n: int) -> None:
    """From 601 patients on nothing was said; at 590 it was a LinAlgError."""
    with unchecked():
        two = fit_reml(Model("y ~ arm + (arm | s)", patients(1, n)))
        three = fit_reml(Model("y ~ arm3 + (arm3 | s)", patients(1, n)))
    assert unknown(two) == CASES["y ~ arm + (arm | s)"]
    edge = {label for label in three.status.boundary if "corr" in label}
    assert unknown(three) | edge == {
        "arm3|s_sigma[b]",
        "arm3|s_sigma[c]",
        "s_corr[Intercept:arm3[b]]",
        "s_corr[Intercept:arm3[c]]",
        "s_corr[arm3[b]:arm3[c]]",
    }


@pytest.mark.parametrize("restricted", [True, False])
def test_products_are_those_of_the_whole_matrix(restricted: bool) -> None:
    """The sum over levels that meet is the trace of n x n matrices."""
    data = patients(2).assign(h=np.tile(list("abcde"), 16))
    design = (model := Model("y ~ x + arm + (x | s) + (1 | h)", data)).design
    conditioned = model.conditioned.unmoved()
    found = entry_products(conditioned.statistics, restricted=restricted)
    assert found is not None
    X, P = design.rows.X, np.eye(design.n)
    if restricted:
        P = P - X @ np.linalg.solve(X.T @ X, X.T)
    changes = []
    for entry in entry_positions(conditioned.statistics.layout):
        if entry is None:
            changes.append(2.0 * P @ P)
            continue
        t, i, j = entry
        Z = design.rows.Z[t] @ conditioned.bases[t]
        codes = design.rows.codes[t]
        cells = np.outer(Z[:, i], Z[:, j]) * (codes[:, None] == codes)
        changes.append(P @ (cells if i == j else cells + cells.T) @ P)
    flat = np.array([change.ravel() for change in changes])
    np.testing.assert_allclose(found[0], flat @ flat.T, rtol=EXACT, atol=EXACT)


@pytest.mark.filterwarnings("ignore::bayeslmm.FitWarning")
def test_rounding_along_a_flat_direction_is_no_failure() -> None:
    """ "did not converge: the gradient is still 6.1e-10", at the minimum."""
    model = Model("y ~ x + (1 | s) + (0 + armf | s)", patients(1))
    ends = [fit_reml(model, method=method) for method in ("REML", "ML")]
    assert all(fit.status.converged for fit in ends)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.filterwarnings("ignore::bayeslmm.FitWarning")
def test_a_zero_beside_what_is_unknown_is_zero(seed: int) -> None:
    """A slope SD of 0 was 1e-7, with a correlation of -1, both without an end."""
    fit = fit_reml(Model("y ~ x + site + (x | site)", patients(seed)))
    slope = fit.varcorr()["estimate"]["x|site_sigma"]
    assert slope == 0.0 or slope > 1e-3 * fit.sigma
    named = {"1|site_sigma"} | ({"site_corr[Intercept:x]"} if slope else set())
    assert "1|site_sigma" in unknown(fit) <= named
    assert ("x|site_sigma" in fit.status.boundary) == (slope == 0.0)


def test_no_standard_error_hangs_on_an_arbitrary_sd() -> None:
    """Once Intercept had 1.06 and lme4 0.96, each by its own start; x has one."""
    with pytest.warns(FitWarning, match="left out: Intercept, site"):
        fit = Model("y ~ x + site + (1 | site)", patients(0)).fit_reml()
    table = fit.summary().query("component == 'fixef'")
    assert table["se"].notna().to_numpy().nonzero()[0].tolist() == [1]
    assert table["upper"].notna().tolist() == table["se"].notna().tolist()
    assert fit.fixef()["se"].equals(table["se"])
    # none is left out where V itself is the same
    for formula in ("y ~ arm + (arm | s)", "y ~ arm3 + (arm3 | s)"):
        with pytest.warns(FitWarning, match="not identified"):
            table = Model(formula, patients(0)).fit_reml().fixef()
        assert table["se"].notna().all()
    within = fit_reml(Model("y ~ x + site + (1 | s)", patients(0)))
    assert within.summary().query("component == 'fixef'")["se"].notna().all()


def test_maximum_likelihood_puts_it_at_zero() -> None:
    """The full likelihood knows V itself: nothing is flat there."""
    model = Model("y ~ x + site + (1 | site)", patients(0))
    with pytest.warns(FitWarning, match="estimated as 0"):
        fit = model.fit_reml(method="ML")
    assert not unknown(fit)


def test_one_row_more_than_fixed_effects() -> None:
    """n - p = 1: the residual and the groups cannot be told apart."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(6, 4))
    data = pd.DataFrame(X, columns=list("abcd")).assign(g=[0, 0, 1, 1, 2, 2])
    data["y"] = rng.normal(size=6)
    with unchecked(), pytest.warns(FitWarning, match="not identified|estimated as 0"):
        fit = fit_reml(Model("y ~ a + b + c + d + (1 | g)", data))
    assert unknown(fit) == {"1|g_sigma", "sigma"}
    assert fit.summary()["se"].isna().all()
    assert repr(fit)


def test_a_flat_prior_on_what_is_not_identified_is_improper() -> None:
    """The posterior has no finite integral there, and says so."""
    model = Model("y ~ x + site + (1 | site)", patients(0), priors="flat")
    with pytest.raises(PriorError, match=r"'1\|site_sigma' is improper"):
        model.sample(draws=10)


@pytest.mark.parametrize("seed", range(8))
def test_a_singular_fit_still_names_what_repeats(seed: int) -> None:
    """A column twice among the effects, and slopes that do not vary."""
    with pytest.warns(FitWarning) as caught:
        fit = Model("y ~ x + (x + I(2 * x) | s)", patients(seed)).fit_reml()
    told = {*unknown(fit), *fit.status.boundary}
    assert {"x|s_sigma", "I(2 * x)|s_sigma"} <= told
    for label in ("x|s_sigma", "I(2 * x)|s_sigma"):
        zero = fit.varcorr().loc[label, "estimate"] == 0.0
        assert label in str(caught[0].message) or zero
    assert "nearly singular" not in fit.status.message


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("formula", ["y ~ x + (arm | s)", "y ~ arm * x + (arm | s)"])
def test_rounding_of_an_entry_that_no_row_has_is_none(seed: int, formula: str) -> None:
    """Arms of sites, levels of numbers: the covariance of both arms is in no row."""
    rng = np.random.default_rng(seed)
    s, x = np.repeat(np.arange(8), 6), rng.normal(size=48)
    arm = np.where(s % 2, "a", "b")
    y = rng.normal(size=8)[s] + 0.5 * x + rng.normal(size=48)
    data = pd.DataFrame({"y": y, "x": x, "arm": arm, "s": s})
    with unchecked(), pytest.warns(FitWarning):
        fit = fit_reml(Model(formula, data))
    told = {*unknown(fit), *fit.status.boundary}
    assert {"arm|s_sigma[b]", "s_corr[Intercept:arm[b]]"} <= told
    table = fit.summary().loc[["arm|s_sigma[b]", "s_corr[Intercept:arm[b]]"]]
    assert table["se"].isna().all()
