"""Laws of the structures that a shift of x does not leave as they are: cs, ar1.

With two effects and an SD for each they are the unstructured covariance under another
name, wherever x is 0; with more, or one SD for all, they are what they are, and no
start may lead lower than the fit.
"""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

from bayeslmm import Model, RemlFit
from bayeslmm.fit.criterion import profiled_problem
from bayeslmm.fit.reml import fit_reml

# Two optima of one criterion.
LOWEST = 1e-4
# Estimates and their errors by two searches.
ESTIMATE, ERROR = 1e-4, 1e-2
SHIFTS = (0.0, 100.0, 2006.0, 1e5, -2006.0, -1e5)
FAR = (0.0, 1e5, -2006.0)


def quiet_fit(formula: str, data: pd.DataFrame) -> RemlFit:
    """REML whose warnings are read from its status."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit_reml(Model(formula, data))


# --- two effects, each with its SD ----------------------------------------------------


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("bar", ["cs({})", "ar1({}, hom = FALSE)"])
def test_two_effects_are_unstructured_wherever_x_is_zero(
    bar: str, shift: float, sleepstudy: pd.DataFrame
) -> None:
    """#7: with Days + 2006 the criterion stopped 4 too high and said converged."""
    data = sleepstudy.assign(Days=sleepstudy["Days"] + shift)
    effects = "Days | Subject"
    fit = quiet_fit(f"Reaction ~ Days + {bar.format(effects)}", data)
    free = quiet_fit(f"Reaction ~ Days + ({effects})", data)
    assert fit.criterion == pytest.approx(1743.6283, abs=LOWEST)
    assert fit.status.converged
    assert fit.status.message == free.status.message
    ours, theirs = fit.summary(), free.summary()
    for column, tolerance in (("estimate", ESTIMATE), ("se", ERROR)):
        found, right = ours[column].to_numpy(), theirs[column].to_numpy()
        np.testing.assert_allclose(found, right, rtol=tolerance)


# --- three effects, or one SD for all -------------------------------------------------


@pytest.fixture(scope="module")
def sleep_z(sleepstudy: pd.DataFrame) -> pd.DataFrame:
    """Sleepstudy with another number that does nothing."""
    return sleepstudy.assign(z=np.random.default_rng(1).normal(size=len(sleepstudy)))


def lowest_of_random_starts(fit: RemlFit) -> float:
    """Criterion that L-BFGS-B finds from ten random starts."""
    design, conditioned = fit.model.design, fit.model.conditioned
    problem = profiled_problem(design, conditioned, restricted=True)
    rng, bounds = np.random.default_rng(7), list(zip(*problem.bounds(), strict=True))
    inside = np.clip(problem.bounds(), -3.0, 3.1)
    starts = rng.uniform(np.maximum(inside[0], 0.0), inside[1], (10, problem.m))
    found = [
        minimize(problem, start, jac=True, method="L-BFGS-B", bounds=bounds).fun
        for start in starts
    ]
    return min(found) + conditioned.criterion_shift(restricted=True)


@pytest.mark.parametrize("shift", FAR)
@pytest.mark.parametrize(
    "bar",
    [
        "cs(Days + z | Subject)",
        "ar1(Days + z | Subject, hom = FALSE)",
        "cs(Days | Subject, hom = TRUE)",
        "ar1(Days + z | Subject)",
    ],
)
def test_no_random_start_leads_lower(
    bar: str, shift: float, sleep_z: pd.DataFrame
) -> None:
    """#7: the search stopped on the ridge of nearly parallel columns."""
    data = sleep_z.assign(Days=sleep_z["Days"] + shift)
    fit = quiet_fit(f"Reaction ~ Days + {bar}", data)
    assert fit.status.converged
    assert fit.criterion < lowest_of_random_starts(fit) + LOWEST
    assert "not identified" not in fit.status.message


@pytest.mark.parametrize(
    ("bar", "shift"),
    [
        *(("ar1(Days + z | Subject, hom = FALSE)", shift) for shift in FAR),
        # three equal correlations are -0.5 or more
        *(("cs(Days + z | Subject)", shift) for shift in FAR if shift <= 0.0),
    ],
)
def test_a_further_effect_never_raises_the_criterion(
    bar: str, shift: float, sleep_z: pd.DataFrame
) -> None:
    """The SD of z at 0 is the model without z; SEs are those of that model."""
    data = sleep_z.assign(Days=sleep_z["Days"] + shift)
    fit = quiet_fit(f"Reaction ~ Days + {bar}", data)
    free = quiet_fit("Reaction ~ Days + (Days | Subject)", data)
    assert fit.criterion < free.criterion + LOWEST
    if shift:  # else z has an effect of its own
        ours, theirs = fit.summary(), free.summary()
        rows = ["1|Subject_sigma", "Days|Subject_sigma", "sigma"]
        for column in ("estimate", "se"):
            found, right = ours.loc[rows, column], theirs.loc[rows, column]
            np.testing.assert_allclose(found, right, rtol=0.02)
