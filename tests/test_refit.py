"""Refits start where another fit ended, and end where a fit of its own does."""

import pickle

import numpy as np
import pandas as pd
import pytest
from reml_cases import toy
from sampling import unchecked
from test_response import CASES, frame, quiet

from bayeslmm import DataError, Model, ModelError
from bayeslmm.reml.refit import make_refitter

# Two searches each end within 1e-9 of the least criterion.
CRITERION = 1e-7
# Estimates then differ by the root of that over the curvature, which is above 1.
ESTIMATES = 1e-3


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize("case", CASES)
def test_a_refit_is_the_fit_of_that_response(case, method):
    model = Model(CASES[case], frame(), weights="weight")
    first = quiet(lambda: model.fit_reml(method=method))
    responses = quiet(lambda: first.simulate(3, seed=1))
    refitter = quiet(lambda: make_refitter(first))
    for y in responses:
        other = model.with_response(y)
        cold = quiet(lambda other=other: other.fit_reml(method=method))
        warm = quiet(lambda y=y: first.refit(y))
        lean = quiet(lambda y=y: refitter(y))
        assert warm.method == method
        assert warm.status.message == cold.status.message
        for found in (warm, lean):
            # lower is better: a start near the truth may find the lower of two minima
            assert found.criterion < cold.criterion + CRITERION
        if abs(warm.criterion - cold.criterion) < CRITERION:
            pd.testing.assert_frame_equal(
                quiet(warm.summary), quiet(cold.summary), rtol=ESTIMATES, atol=ESTIMATES
            )
        assert lean.criterion == pytest.approx(warm.criterion, abs=CRITERION)
        assert lean.converged == warm.status.converged
        np.testing.assert_allclose(lean.beta, warm.beta, rtol=ESTIMATES, atol=ESTIMATES)


def test_many_refits_of_sleepstudy_are_fits(sleepstudy):
    model = Model("Reaction ~ Days + (Days | Subject)", sleepstudy)
    first = model.fit_reml()
    refitter = make_refitter(first)
    with unchecked():
        for y in first.simulate(100, seed=2):
            cold = quiet(model.with_response(y).fit_reml)
            lean, warm = refitter(y), quiet(lambda y=y: first.refit(y))
            assert lean.criterion == pytest.approx(cold.criterion, abs=CRITERION)
            assert warm.criterion == pytest.approx(cold.criterion, abs=CRITERION)
            assert warm.status.boundary == cold.status.boundary
            assert lean.sigma == pytest.approx(cold.sigma, rel=ESTIMATES)


def test_it_takes_fewer_evaluations(sleepstudy):
    model = Model("Reaction ~ Days + (Days | Subject)", sleepstudy)
    first = model.fit_reml()
    y = first.simulate(1, seed=2)[0]
    cold, warm = model.with_response(y).fit_reml(), first.refit(y)
    assert warm.status.n_evaluations < cold.status.n_evaluations


def test_what_is_late_is_what_was_asked_at_once(sleepstudy):
    model = Model("Reaction ~ Days + (Days | Subject)", sleepstudy)
    fit = model.fit_reml()
    assert fit.regular
    assert not fit.found
    copy = pickle.loads(pickle.dumps(fit))
    np.testing.assert_array_equal(copy.information.se, fit.information.se)
    np.testing.assert_allclose(fit.beta, fit.effects.beta, rtol=1e-12)
    assert set(fit.found) == {"information", "effects"}
    assert fit.information is fit.information


def test_a_start_of_another_model_is_refused():
    data = toy(1)
    fit = quiet(Model("y ~ x + (x | g)", data).fit_reml)
    other = Model("y ~ x + (1 | g)", data)
    with pytest.raises(ModelError, match="whose random terms are not those of"):
        other.fit_reml(start=fit)
    with unchecked(), pytest.raises(ModelError, match="start must be what fit_reml"):
        other.fit_reml(start=[1.0])


def test_the_fixed_part_of_a_start_may_differ():
    data = frame()
    fit = quiet(Model("y ~ x + (x | g)", data).fit_reml)
    model = Model("y ~ x + w + (x | g)", data)
    warm, cold = quiet(lambda: model.fit_reml(start=fit)), quiet(model.fit_reml)
    assert warm.criterion == pytest.approx(cold.criterion, abs=CRITERION)


def test_a_response_that_is_reproduced_has_no_fit():
    data = frame()
    fit = quiet(Model("y ~ x + (x | g)", data).fit_reml)
    with pytest.raises(ModelError, match="leaves no residual variance"):
        fit.refit(2.0 * data["x"])
    assert not make_refitter(fit)(2.0 * data["x"].to_numpy()).converged


def test_what_is_no_response_says_why():
    fit = quiet(Model("y ~ x + (x | g)", frame()).fit_reml)
    with pytest.raises(DataError, match="rows used"):
        fit.refit(np.zeros(3))
    with unchecked(), pytest.raises(DataError, match="rows used"):
        make_refitter(fit)(np.zeros(3))
