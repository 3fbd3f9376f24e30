"""What is done once for each of very many rows: the same numbers, with less work."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st
from sampling import unchecked

from bayeslmm import Model
from bayeslmm.design import moments as moments_room
from bayeslmm.design.evaluate import NumericColumn
from bayeslmm.design.moments import column_moments
from bayeslmm.design.traps import MAYBE_MISSING, MISSING, _missing_code, missing_codes
from bayeslmm.errors import DataWarning
from bayeslmm.marginal import effects, roots
from bayeslmm.marginal.kernels import plain
from bayeslmm.marginal.kernels.rows import _sum_three
from bayeslmm.posterior import mode, rounds
from bayeslmm.posterior.target import make_target

# Sums of the same numbers in another order.
EXACT = 1e-12


def rows(n: int, far: float = 0.0) -> pd.DataFrame:
    """Two predictors, ten groups."""
    rng = np.random.default_rng(n)
    g, x, z = np.arange(n) % 10, rng.normal(far, 1.0, n), rng.normal(size=n)
    y = x + 0.5 * x * rng.normal(size=10)[g] + rng.normal(size=n)
    return pd.DataFrame({"y": y, "x": x, "z": z, "g": g.astype(str)})


@pytest.mark.parametrize("far", [0.0, 1e6])
def test_columns_that_are_summed_as_they_are_moved(far: float) -> None:
    """The compiled loop of one predictor against numpy."""
    rng = np.random.default_rng(1)
    X, y = rng.normal(far, 1.0, (500, 2)), rng.normal(size=500)
    turn, origin = rng.normal(size=(3, 3)), np.array([far, far, 0.1])
    given = (X, y, rng.uniform(0.5, 2.0, 500), origin, turn)
    one, other = ((np.empty((500, 3)), np.eye(3)) for _ in range(2))
    plain.sum_columns(*given, *one)
    _sum_three.made(*given, *other)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("far", [0.0, 3.0, 1e9, 1e15])
def test_moments_of_runs_are_those_of_all(far: float, monkeypatch) -> None:
    """Wherever the columns are: runs are counted from the first value."""
    rng = np.random.default_rng(2)
    x = np.round(rng.normal(far, 1.0, 5000) * 8) / 8
    columns = np.column_stack(
        [x, np.round(x), np.repeat([far, far + 1.0], 2500), np.full(5000, far + 0.5)]
    )
    whole = column_moments(columns)
    monkeypatch.setattr(moments_room, "CHUNK", 400)
    parts = column_moments(columns)
    np.testing.assert_allclose(parts.mean, whole.mean, rtol=EXACT, atol=EXACT)
    np.testing.assert_allclose(parts.products, whole.products, rtol=1e-9, atol=1e-9)
    for name in ("low", "high", "unit", "whole"):
        assert (getattr(parts, name) == getattr(whole, name)).all(), name


def test_a_column_between_whole_numbers_is_not_whole_where_runs_are_constant() -> None:
    """Each half is constant; the sum of both is far from zero and has fractions."""
    half = np.full((10, 1), 1e9 + 0.5)
    both = column_moments(half) + column_moments(half + 1.0)
    assert not both.whole[0]


def test_all_columns_that_vary_are_those_of_the_fixed_part() -> None:
    same = Model("y ~ x + (x | g)", rows(200)).design.rows
    other = Model("y ~ x + z + (x | g)", rows(200)).design.rows
    assert same is not None
    assert other is not None
    assert same.Z[0] is same.X
    assert (other.Z[0] == other.X[:, :2]).all()


@pytest.mark.parametrize("formula", ["y ~ x + z + (x | g)", "y ~ 0 + x + (1 | g)"])
def test_roots_of_moments_give_the_same_fit(formula: str, monkeypatch) -> None:
    """Where the columns are far from dependent; else rows are asked."""
    data = rows(400)
    one = Model(formula, data).fit_reml()
    monkeypatch.setattr(roots, "LITTLE", 0)
    other = Model(formula, data).fit_reml()
    assert other.criterion == pytest.approx(one.criterion, abs=1e-9)
    near = data.assign(z=data.x + 1e-4 * data.z)
    assert roots.asks_rows(Model(formula, near).design.moments.X) == ("z" in formula)
    assert not roots.asks_rows(Model(formula, data).design.moments.X)


@pytest.mark.parametrize("formula", ["y ~ x + (x | g)", "y ~ 1 + (1 | g)"])
def test_fixed_effects_come_with_the_densities_of_many_levels(
    formula: str, monkeypatch
) -> None:
    """The same draws, without a second pass over the levels."""
    model, options = Model(formula, rows(200)), {"draws": 50, "chains": 2, "seed": 1}
    with unchecked():
        own = model.sample(**options, method="importance", keep="all")
        monkeypatch.setattr(rounds, "MANY_LEVELS", 1)
        monkeypatch.setattr(effects, "_draw_fixed", None)  # not asked
        found = model.sample(**options, method="importance", keep="all")
    for name in own.idata["posterior"].data_vars:
        a, b = (fit.idata["posterior"][name].to_numpy() for fit in (own, found))
        np.testing.assert_allclose(b, a, rtol=1e-7, atol=1e-9)


def test_the_mode_of_many_levels_is_found_by_newton(monkeypatch) -> None:
    """The mode that BFGS finds, with few evaluations."""
    model = Model("y ~ x + (x | g)", rows(400))
    target = make_target(model.design, model.conditioned, model.priors)
    one = mode.laplace(target)
    monkeypatch.setattr(mode, "EXPENSIVE", 0.0)
    monkeypatch.setattr(mode, "_search", None)  # not asked
    other = mode.laplace(target)
    away = np.linalg.solve(one.basis, other.mode - one.mode)  # in SDs
    assert np.abs(away).max() < 0.1
    assert other.value == pytest.approx(one.value, abs=2.0 * mode.ARRIVED)
    wide = np.linalg.slogdet(other.basis)[1] - np.linalg.slogdet(one.basis)[1]
    assert abs(wide) < 0.3


CODES = st.sampled_from([*MISSING, *MAYBE_MISSING, 0, 1, 2, 5, -1, 1000])


@given(st.lists(CODES, min_size=1, max_size=6))
def test_a_code_is_the_least_or_the_largest_number(values: list[int]) -> None:
    """What lets all others go unsorted."""
    column = np.array(values, float)
    sentences = missing_codes("v", NumericColumn(column[:, None], ("v",)))
    assert bool(sentences) == (_missing_code(np.unique(column)) is not None)


def test_columns_that_repeat_others_are_found_in_rows() -> None:
    data = rows(300).assign(w=lambda d: d.x + d.z)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        model = Model("y ~ x + z + w + (1 | g)", data)
    assert model.design.account.aliased == ("w",)
