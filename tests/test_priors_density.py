"""Densities of SDs: against PyMC, their derivatives, and far out."""

import math

import numpy as np
import pytest
from prior_cases import make_design

from bayeslmm.errors import PriorError
from bayeslmm.priors import (
    Prior,
    make_priors,
    scale_form,
    scale_logp,
)

EXACT = 1e-10  # the same algebra by two routes
PYMC_CONSTANT = 3e-9  # PyMC takes the log(2) of its half-t in single precision

TABLE = 1e-8  # documented error of the cubic table, relative to max(1, |log density|)

CLOSED = [
    Prior("HalfNormal", (("sigma", 1.7),)),
    Prior("HalfStudentT", (("nu", 3.0), ("sigma", 0.4))),
    Prior("HalfCauchy", (("beta", 5.0),)),
    Prior("Exponential", (("lam", 0.3),)),
    Prior("Gamma", (("alpha", 2.5), ("beta", 0.1))),
    Prior("InverseGamma", (("alpha", 0.7), ("beta", 2.0))),
    Prior("LogNormal", (("mu", 1.0), ("sigma", 0.6))),
    Prior("HalfFlat"),
]
TABLED = [
    Prior("Weibull", (("alpha", 1.5), ("beta", 2.0))),
    Prior("ChiSquared", (("nu", 4.0),)),
    Prior("Wald", (("mu", 2.0), ("lam", 3.0))),
]


def pymc_log_scale(prior: Prior, log_sd: np.ndarray) -> np.ndarray:
    """PyMC's log density of log sd, by the change of variable."""
    import pymc as pm

    if prior.is_flat:
        return log_sd
    # Arrays: PyTensor would hold a Python float such as 3.0 in single precision.
    args = {name: np.asarray(value, float) for name, value in prior.args}
    dist = getattr(pm, prior.name).dist(**args)
    return pm.logp(dist, np.exp(log_sd)).eval() + log_sd


# --- densities ------------------------------------------------------------------------


@pytest.mark.parametrize("prior", CLOSED, ids=str)
def test_closed_forms_equal_pymc(prior: Prior):
    grid = np.linspace(-12.0, 6.0, 181)
    ours = [scale_logp(prior)(x)[0] for x in grid]
    assert scale_form(prior) is not None
    difference = np.array(ours) - pymc_log_scale(prior, grid)
    assert abs(difference[0]) < PYMC_CONSTANT
    size = np.maximum(1.0, np.abs(ours))
    np.testing.assert_allclose(difference / size, difference[0] / size, atol=EXACT)


@pytest.mark.parametrize("prior", TABLED, ids=str)
def test_tables_equal_pymc(prior: Prior):
    grid = np.linspace(-9.0, 4.0, 1301) + 0.00037  # between the knots too
    logp = scale_logp(prior)
    assert scale_form(prior) is None
    ours = np.array([logp(x)[0] for x in grid])
    theirs = pymc_log_scale(prior, grid)
    np.testing.assert_allclose(ours, theirs, rtol=TABLE, atol=TABLE)


@pytest.mark.parametrize("prior", [*CLOSED, TABLED[0]], ids=str)
def test_derivatives_are_those_of_the_density(prior: Prior):
    logp = scale_logp(prior)
    for x in np.linspace(-8.0, 4.0, 41):
        h = 1e-5
        slope = (logp(x + h)[0] - logp(x - h)[0]) / (2 * h)
        assert logp(x)[1] == pytest.approx(slope, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("prior", [*CLOSED, TABLED[0]], ids=str)
def test_densities_far_out_are_numbers_or_minus_infinity(prior: Prior):
    for x in (-800.0, -50.0, 50.0, 800.0):
        value, slope = scale_logp(prior)(x)
        assert not math.isnan(value)
        assert not math.isnan(slope)
        assert value < math.inf


def test_half_t_tail_is_a_power_law():
    logp = scale_logp(Prior("HalfStudentT", (("nu", 3.0), ("sigma", 1.0))))
    assert logp(500.0)[1] == pytest.approx(-3.0)
    assert logp(-500.0)[1] == pytest.approx(1.0)


@pytest.mark.parametrize("text", ["Uniform(0, 10)", "Pareto(2, 1)"])
def test_bounded_priors_are_refused_by_the_sampler_of_the_marginal(text: str):
    priors = make_priors({"1|g": text}, make_design())
    with pytest.raises(PriorError, match=r"zero on part.*method='joint'"):
        scale_logp(priors.sd[0][0])
