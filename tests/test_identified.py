"""Variance parameters that no data of a design can tell: named, and only those."""

import numpy as np
import pandas as pd
import pytest
from sampling import unchecked

from bayeslmm import FitWarning, Model, PriorError, RemlFit
from bayeslmm.fit.information import NOT_IDENTIFIED
from bayeslmm.fit.reml import fit_reml


def patients(seed: int) -> pd.DataFrame:
    """Twenty patients of four rows, in five sites; arm and age are the patient's."""
    rng = np.random.default_rng(seed)
    s = np.repeat(np.arange(20), 4)
    data = pd.DataFrame(
        {
            "s": [f"s{i}" for i in s],
            "site": [f"c{i}" for i in s // 4],
            "arm": s % 2,
            "armf": np.where(s % 2 == 1, "drug", "ctrl"),
            "age": rng.normal(50.0, 8.0, 20)[s].round(),
            "k": 3.0,
            "x": rng.normal(size=80),
        }
    )
    y = 1.2 * rng.normal(size=20)[s] + 0.5 * data["arm"] + rng.normal(size=80)
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
def test_what_is_not_identified_is_named_and_nothing_else(formula: str) -> None:
    """Whatever the response; no SE, no interval, every table there."""
    for seed in range(4):
        with unchecked():
            fit = fit_reml(Model(formula, patients(seed)))
        edge = set(fit.status.boundary)
        assert unknown(fit) <= CASES[formula]
        # what stands at 0 is said to stand there
        assert CASES[formula] - unknown(fit) <= edge
        table = fit.summary().loc[sorted(unknown(fit))]
        assert table[["se", "lower", "upper"]].isna().to_numpy().all()
        rest = fit.summary().drop(index=[*table.index, *edge])
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
    assert fit.summary()["se"].notna().any()
    assert repr(fit)


def test_a_flat_prior_on_what_is_not_identified_is_improper() -> None:
    """The posterior has no finite integral there, and says so."""
    model = Model("y ~ x + site + (1 | site)", patients(0), priors="flat")
    with pytest.raises(PriorError, match=r"'1\|site_sigma' is improper"):
        model.sample(draws=10)
