"""Few levels that stand for many under structured residuals: the same sums."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bayeslmm import Model
from bayeslmm.marginal import log_density
from bayeslmm.marginal.slopes import (
    residual_log_sigma_slopes,
    structured_density_gradient,
    structured_profile_gradient,
)
from bayeslmm.marginal.stack import Stack
from bayeslmm.posterior.structured import structured_effects

# The same algebra by another road; its gradients are differences of sums.
EXACT, GRADIENT = 1e-10, 1e-8


def frame(levels: int = 160, seed: int = 6) -> pd.DataFrame:
    """Two in three levels with six days, the others with five, in any order."""
    rng = np.random.default_rng(seed)
    s, day = np.repeat(np.arange(levels), 6), np.tile(np.arange(6), levels)
    y = 2.0 + 0.3 * day + rng.normal(size=levels)[s] + rng.normal(size=len(s))
    part = np.where(day < 2, "a", "b")
    data = pd.DataFrame({"y": y, "day": day, "s": s, "part": part})
    data["x"] = rng.normal(size=len(s))
    data = data[(data["s"] % 3 > 0) | (data["day"] < 5)]
    return data.sample(frac=1.0, random_state=seed)


CASES = [
    ("y ~ day + x + (1 | s)", "ar1(day | s)"),
    ("y ~ day + (day | s)", "ar1(day | s)"),
    ("y ~ day + (0 + day | s)", "cs(s)"),
    ("y ~ day + (1 | s)", "varident(part)"),
]


def stack_of(formula: str, residual: str, data: pd.DataFrame) -> Stack:
    """The stack of a model in safe columns."""
    found = Model(formula, data, residual=residual).conditioned.stack
    assert found is not None
    return found


@pytest.mark.parametrize(("formula", "residual"), CASES)
@pytest.mark.parametrize("place", [0.3, 3.5])
def test_standins_give_the_sums_of_all_levels(
    formula: str, residual: str, place: float
) -> None:
    """Density, both gradients and draws, near rho of 1 too and in turned columns."""
    rng = np.random.default_rng(3)
    stack = stack_of(formula, residual, frame())
    w, k = stack.WW.shape[1], stack.layout.lead.k
    turn, lead = np.eye(w) + 0.2 * rng.normal(size=(w, w)), np.tril(np.ones((k, k)))
    x, sigma = np.full(stack.law.size, place), 0.7
    factors = [0.5 * np.eye(k) + 0.2 * np.tril(np.ones((k, k)))]
    for own in (stack, stack.turned(turn, [lead])):
        assert own.few is not None
        assert len(own.few.count) < 0.25 * 160
        plain = replace(own, few=None)
        expected = log_density(own.at(x), factors, sigma)
        assert log_density(own.summed(x), factors, sigma) == pytest.approx(
            expected, rel=EXACT
        )
        pairs = [
            (structured_density_gradient(one, x, factors, sigma))
            for one in (own, plain)
        ]
        assert pairs[0][0] == pytest.approx(expected, rel=EXACT)
        close(*pairs)
        for restricted in (True, False):
            for of in (structured_profile_gradient, residual_log_sigma_slopes):
                given = (x, factors)
                close(*(of(s, *given, restricted=restricted) for s in (own, plain)))
        draws = [
            structured_effects(
                *(one, x[None], [factors[0][None]], np.array([sigma]), (1, 0), None),
                lead=False,
            )[0]
            for one in (own, plain)
        ]
        np.testing.assert_allclose(*draws, rtol=GRADIENT, atol=GRADIENT)


def close(found: object, expected: object) -> None:
    """Equal, number by number, however they are nested."""
    if isinstance(found, tuple) and isinstance(expected, tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            close(one, other)
        return
    one, other = np.asarray(found, float), np.asarray(expected, float)
    one, other = (np.tril(v) if v.ndim == 2 else v for v in (one, other))
    scale = max(float(np.abs(other).max()), 1.0)
    np.testing.assert_allclose(one, other, rtol=GRADIENT, atol=GRADIENT * scale)


def test_levels_that_differ_stand_for_themselves() -> None:
    """A slope of a number of each row makes every level's products its own."""
    assert stack_of("y ~ x + (x | s)", "ar1(day | s)", frame()).few is None
    assert stack_of("y ~ x + (1 | s)", "ar1(day | s)", frame(20)).few is None
    assert stack_of("y ~ x + (1 | s) + (1 | part)", "ar1(day | s)", frame()).few is None


def test_another_response_has_standins_of_its_own() -> None:
    """A refit is the fit of a model of that response."""
    data = frame()
    fit = Model("y ~ x + (1 | s)", data, residual="ar1(day | s)").fit_reml()
    y = fit.simulate(1, seed=4)[0]
    again = Model("y ~ x + (1 | s)", data.assign(y=y), residual="ar1(day | s)")
    refitted, again = fit.refit(y), again.fit_reml()
    assert refitted.loglik == pytest.approx(again.loglik, abs=1e-8)
    assert refitted.loglik != pytest.approx(fit.loglik, abs=1e-3)
    both = refitted.summary()["estimate"], again.summary()["estimate"]
    np.testing.assert_allclose(*both, rtol=1e-4)
