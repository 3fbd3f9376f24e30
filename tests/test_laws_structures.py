"""Laws of the structures that a shift of x does not leave as they are: cs, ar1.

With two effects and an SD for each they are the unstructured covariance under another
name, wherever x is 0; with more, or one SD for all, they are what they are, and no
start may lead lower than the fit.
"""

import warnings

import numpy as np
import pandas as pd
import pytest

from bayeslmm import Model, RemlFit
from bayeslmm.fit.reml import fit_reml

# Two optima of one criterion.
LOWEST = 1e-4
# Estimates and their errors by two searches.
ESTIMATE, ERROR = 1e-4, 1e-2
SHIFTS = (0.0, 100.0, 2006.0, 1e5, -100.0, -2006.0, -1e5)


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
