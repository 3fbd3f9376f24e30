"""Columns of any size and any zero: moments, scale(), poly(), residual SD (#7, B12)."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from design_cases import read, small_frame
from hypothesis import given, strategies as st

from bayeslmm import Model
from bayeslmm.design.moments import column_moments
from bayeslmm.errors import DataError, ModelError

# The same sums in another unit: a power of two changes no digit, one of ten the last.
EXACT = 1e-12

FACTORS = [1e-300, 1e-200, 1e-101, 1e-99, 1e99, 1e101, 1e200, 1e300]


def columns(n=40):
    """Two that vary and one that does not."""
    rng = np.random.default_rng(5)
    return rng.normal([0.0, 10.0, 2.0], [1.0, 1.0, 0.0], size=(n, 3))


@pytest.mark.parametrize("factor", FACTORS)
def test_moments_are_those_of_the_columns_in_other_units(factor):
    units = np.array([factor, 1.0, factor])
    plain, other = column_moments(columns()), column_moments(columns() * units)
    for name in ("mean", "low", "high"):
        expected = getattr(plain, name) * units
        np.testing.assert_allclose(getattr(other, name), expected, rtol=EXACT)
    np.testing.assert_allclose(other.sd(1), plain.sd(1) * units, rtol=EXACT)
    np.testing.assert_allclose(other.rms(), plain.rms() * units, rtol=EXACT)
    assert other.constant.tolist() == [False, False, True]
    root = other.root() / units
    np.testing.assert_allclose(root.T @ root, plain.second(), rtol=1e-10)


@given(
    st.permutations(FACTORS),
    st.lists(st.integers(1, 39), min_size=1, max_size=3, unique=True).map(sorted),
)
def test_moments_of_parts_of_any_sizes_add_up(factors, cuts):
    """Parts whose units differ: the largest sets that of the sum."""
    x = columns()
    parts = [rows * f for rows, f in zip(np.split(x, cuts), factors, strict=False)]
    together = column_moments(np.vstack(parts))
    total = column_moments(np.empty((0, 3)))
    for part in parts:
        total = total + column_moments(part)
    for name in ("mean", "low", "high", "unit"):
        np.testing.assert_allclose(
            getattr(total, name), getattr(together, name), rtol=1e-9
        )
    np.testing.assert_allclose(total.sd(), together.sd(), rtol=1e-9)


def test_ordinary_columns_keep_their_unit():
    """So that nothing changes, to the last digit, where nothing had to."""
    x = columns()
    found = column_moments(x)
    assert found.unit.tolist() == [1.0, 1.0, 1.0]
    np.testing.assert_allclose(found.covariance(1), np.cov(x.T), atol=1e-14)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("factor", [1e-120, 1e120])
def test_scale_does_not_depend_on_the_unit(factor, streamed):
    data = small_frame()
    other = data.assign(x=data["x"] * factor)
    recipes = [
        read("y ~ scale(x) + (1 | g)", d, streamed=streamed) for d in (data, other)
    ]
    X, X_other = (r.encode(d).X for r, d in zip(recipes, (data, other), strict=True))
    np.testing.assert_allclose(X_other, X, rtol=1e-9)
    sd = data["x"].std()
    np.testing.assert_allclose(X[:, 1] * sd + data["x"].mean(), data["x"], rtol=1e-9)


def test_scale_of_a_column_whose_squares_are_no_numbers():
    data = small_frame()
    other = data.assign(x=data["x"] * 1e200)
    X = read("y ~ scale(x) + (1 | g)", other).design.rows.X
    np.testing.assert_allclose(X, read("y ~ scale(x) + (1 | g)", data).design.rows.X)


@pytest.mark.parametrize("streamed", [False, True])
def test_powers_beyond_the_range_are_refused(streamed):
    data = small_frame().assign(x=small_frame()["x"] * 1e90)
    with pytest.raises(DataError, match=r"poly\(\) squares powers.*scale\(x\)"):
        read("y ~ poly(x, 2) + (1 | g)", data, streamed=streamed)


def test_dependent_columns_of_a_stream_are_found_in_any_unit():
    """They are dropped; squares that are no numbers are an error of the sums."""
    for unit, streamed in ((1e120, False), (1e60, False), (1e60, True)):
        data = small_frame()
        data["x"] *= unit
        data["z"] = 3.0 * data["x"]
        recipe = read("y ~ x + z + (1 | g)", data, streamed=streamed)
        assert recipe.design.fixed_names == ("Intercept", "x")


def test_columns_too_close_to_zero_for_sums_are_refused():
    data = small_frame().assign(x=small_frame()["x"] * 1e-200)
    with pytest.raises(DataError, match=r"'x' reaches .*e-200 only .* in larger units"):
        read("y ~ x + (1 | g)", data, streamed=True)


# --- what is left of the response -----------------------------------------------------


def far(shift, noise=0.3):
    """y = shift + x / 2 + level + noise, and what the predictors say alone."""
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(12), 10)
    x, level = rng.normal(size=120), rng.normal(size=12)[g]
    y = shift + 0.5 * x + level + noise * rng.normal(size=120)
    return pd.DataFrame({"y": y, "x": x, "g": g})


FORMULA = "y ~ x + (1 | g)"


@pytest.mark.filterwarnings("ignore::bayeslmm.DataWarning")
def test_a_response_far_from_zero_keeps_its_residual_sd():
    """Mean 1e12 and residual SD 0.3: "the predictors reproduce every response"."""
    near = Model(FORMULA, far(0.0)).fit_reml().sigma
    assert Model(FORMULA, far(1e12)).fit_reml().sigma == pytest.approx(near, rel=1e-3)


@pytest.mark.filterwarnings("ignore::bayeslmm.DataWarning")
@pytest.mark.parametrize("shift", [0.0, 1e3, 1e12])
def test_a_response_that_the_predictors_reproduce_is_refused(shift):
    data = far(shift)
    data["y"] = shift + 0.5 * data["x"]
    with pytest.raises(ModelError, match="the predictors reproduce every response"):
        Model(FORMULA, data).fit_reml()


@pytest.mark.filterwarnings("ignore::bayeslmm.FitWarning")
def test_sums_that_cannot_tell_the_residual_sd_from_0_say_so():
    data = far(0.0, noise=1e-9)
    data["y"] -= far(0.0, noise=0.0)["y"] - 0.5 * data["x"]  # no levels, to be quick
    streamed = Model(FORMULA, [pa.Table.from_pandas(data)])
    with pytest.raises(ModelError, match=r"read in batches.*cannot tell from 0"):
        streamed.fit_reml()
    assert Model(FORMULA, data).fit_reml().sigma == pytest.approx(1e-9, rel=0.2)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("size", [1e-7, 1e7])
def test_weights_of_another_size_scale_sigma_alone(streamed, size):
    data = far(3.0).assign(w=size)
    given_data = [data] if streamed else data
    plain = Model(FORMULA, given_data).fit_reml()
    other = Model(FORMULA, given_data, weights="w").fit_reml()
    assert other.sigma / np.sqrt(size) == pytest.approx(plain.sigma, rel=1e-5)
    assert other.fixef()["estimate"].tolist() == pytest.approx(
        plain.fixef()["estimate"].tolist(), rel=1e-5
    )


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("size", [1e-200, 1e-12, 1e12, 1e120])
def test_weights_too_far_from_1_are_refused(streamed, size):
    """All 1e-12 or 1e12: a slope of .572 for .530, and "the SD is estimated as 0"."""
    words = f"'w': the values are around 1e{np.log10(size):.0f}.*Divide the weights"
    with pytest.raises(DataError, match=words):
        read(FORMULA, far(3.0).assign(w=size), streamed=streamed, weights="w")
