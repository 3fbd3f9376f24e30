"""Columns so far from zero that doubles hold few of their digits (#7, F4)."""

import warnings

import numpy as np
import pandas as pd
import pytest

import bayeslmm as lmm
from bayeslmm import DataError, DataWarning, Model, ModelError
from bayeslmm.design.moments import column_moments

# Two roads to one optimum: criterion.
SAME = 1e-5
# Rounding of x to 5e-4 of its SD, in the criterion and in slopes.
ROUNDED = 3e-3
# Shares of variance from coordinates at x = 0, a million million away.
SHARE = 1e-3


def noise(n=100):
    """x with fractions, and levels with slopes of their own."""
    rng = np.random.default_rng(1)
    g, x, z = np.repeat(np.arange(10), n // 10), rng.normal(size=n), rng.normal(size=n)
    level, slope = rng.normal(size=10)[g], 0.5 + 0.3 * rng.normal(size=10)[g]
    y = 1 + slope * x + level + 0.7 * rng.normal(size=n)
    return pd.DataFrame({"x": x, "y": y, "z": z, "g": g})


def model(formula, data, *, streamed=False):
    """The model, of rows in two batches if `streamed`."""
    half = len(data) // 2
    return Model(formula, [data[:half], data[half:]] if streamed else data)


@pytest.fixture(scope="module")
def sleep():
    return lmm.load_data("sleepstudy")


both = pytest.mark.parametrize("streamed", [False, True])


@both
@pytest.mark.parametrize("shift", [1e12, 1e13, 1e15, 2.0**53 - 20])
@pytest.mark.parametrize("kind", [float, np.int64])
def test_whole_numbers_lose_nothing_wherever_they_are(sleep, shift, kind, streamed):
    """Days + 1e13 was "linearly dependent ... leave 'Days' out"."""
    if kind is float and shift > 2.0**50:  # they may have been rounded, see below
        shift = 2.0**50 - 20
    formula = "Reaction ~ Days + (Days | Subject)"
    near = Model(formula, sleep).fit_reml()
    far = model(
        formula,
        sleep.assign(Days=sleep["Days"].astype(kind) + kind(shift)),
        streamed=streamed,
    ).fit_reml()
    assert far.criterion == pytest.approx(near.criterion, abs=SAME)
    columns = ["estimate", "se"]
    ours, theirs = far.fixef()[columns].loc["Days"], near.fixef()[columns].loc["Days"]
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_floats_that_may_be_rounded_fractions_are_said(sleep):
    """Whole numbers at 2**52, where a double has no fraction."""
    data = sleep.assign(Days=sleep["Days"] + 2.0**52)
    with pytest.warns(DataWarning, match=r"'Days' has mean 4.5036e\+15.*kept to 1, "):
        Model("Reaction ~ Days + (Days | Subject)", data)


@both
@pytest.mark.parametrize("far", ["x", "y"])
def test_fractions_that_were_rounded_are_said(far, streamed):
    """REML of (x | g) at x + 1e12 was that of (1 | g): 257.4 for 255.3, no word."""
    data, formula = noise(), "y ~ x + (x | g)"
    words = rf"'{far}' has mean 3e\+12 and SD .*kept to 0.00049, 0.000\d SD"
    with pytest.warns(DataWarning, match=words):
        found = model(
            formula, data.assign(**{far: data[far] + 3e12}), streamed=streamed
        )
    near = Model(formula, data).fit_reml()
    fit = found.fit_reml()
    assert fit.criterion == pytest.approx(near.criterion, abs=ROUNDED)
    slope = fit.fixef()["estimate"].loc["x"]
    assert slope == pytest.approx(near.fixef()["estimate"].loc["x"], abs=ROUNDED)
    assert set(found.design.account.coarse) == {far}


@both
@pytest.mark.parametrize("far", ["x", "y"])
@pytest.mark.parametrize("shift", [1e16, 1e17])
def test_a_column_of_which_nothing_is_left_is_refused(far, shift, streamed):
    """y + 1e16: "the predictors reproduce every response"."""
    data = noise()
    data[far] += shift
    words = rf"'{far}' (has mean|is constant: it is) 1e\+1.*subtract a constant"
    with pytest.raises(DataError, match=f"(?i){words}"):
        model("y ~ x + (1 | g)", data, streamed=streamed)


@both
@pytest.mark.parametrize(
    "formula",
    [
        "y ~ center(x) + (1 | g)",
        "y ~ I(x - 1e15) + (1 | g)",
        "y ~ z + offset(x) + (1 | g)",
        "y ~ z + (0 + scale(x) | g)",
    ],
)
def test_an_expression_does_not_bring_digits_back(formula, streamed):
    data = noise()
    data["x"] += 1e15
    with pytest.raises(DataError, match=r"'x' has mean .* nothing is left"):
        model(formula, data, streamed=streamed)


@both
def test_single_precision_ends_sooner(streamed):
    data = noise()
    data["x"] = (data["x"] + 1e4).astype("float32")
    with pytest.warns(DataWarning, match=r"'x' .* kept to 0.00098"):
        model("y ~ x + (1 | g)", data, streamed=streamed)
    data["x"] = (data["x"] + 3e7).astype("float32")
    with pytest.raises(DataError, match=r"'x' .* nothing is left"):
        model("y ~ x + (1 | g)", data, streamed=streamed)


@both
def test_powers_of_far_columns_say_what_is_left(streamed):
    """I(x^2) at x + 1e8: another criterion (261.1 for 260.5), without a word."""
    data = noise()
    data["x"] += 1e8
    with pytest.raises(
        DataError, match=r"'I\(x\^2\)' has mean 1e\+16.*nothing is left"
    ):
        model("y ~ x + I(x^2) + (1 | g)", data, streamed=streamed)


@both
def test_products_of_far_columns_are_of_their_deviations(streamed):
    """x * z at x + 1e8, from batches: LinAlgError, "singular matrix", then refused."""
    data = noise()
    near = Model("y ~ x * z + (1 | g)", data).fit_reml().criterion
    data["x"] += 1e8
    far = model("y ~ x * z + (1 | g)", data, streamed=streamed).fit_reml().criterion
    assert far == pytest.approx(near, abs=ROUNDED)


def test_ordinary_columns_are_not_spoken_of(sleep):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for shift in (0.0, 0.1, 2006.3, 1e6 + 0.1, 1.7e9 + 0.5):
            data = sleep.assign(Days=sleep["Days"] + shift)
            found = Model("Reaction ~ Days + (Days | Subject)", data)
            assert not found.design.account.coarse


def test_shares_of_variance_do_not_depend_on_the_zero_of_x(sleep):
    """R2 of Days + 1e9 was .52 for .28, of Days + 1e11 more than 1."""
    formula = "Reaction ~ Days + (Days | Subject)"
    near = Model(formula, sleep).fit_reml()
    for shift in (1e9, 1e11, 1e13):
        far = Model(formula, sleep.assign(Days=sleep["Days"] + shift)).fit_reml()
        np.testing.assert_allclose(far.r2(), near.r2(), atol=SHARE)
        np.testing.assert_allclose(far.icc(), near.icc(), atol=SHARE)


@pytest.mark.filterwarnings("ignore::bayeslmm.BayesLMMWarning")
def test_the_posterior_is_the_same_and_refuses_shares_it_cannot_have(sleep):
    formula, options = (
        "Reaction ~ Days + (Days | Subject)",
        {"draws": 200, "chains": 2, "seed": 1, "progress": False},
    )
    near = Model(formula, sleep).sample(**options)
    far = Model(formula, sleep.assign(Days=sleep["Days"] + 10**13)).sample(**options)
    for name in ("Days", "sigma"):
        means = [float(p.idata["posterior"][name].mean()) for p in (near, far)]
        sd = float(near.idata["posterior"][name].std())
        assert means[1] == pytest.approx(means[0], abs=0.2 * sd)
    with pytest.raises(ModelError, match=r"shares of variance .*center\(x\)"):
        far.r2()


def test_sds_are_not_those_about_a_rounded_mean():
    x = np.arange(10.0)[:, None]
    for shift in (1e15, 2.0**52):
        assert column_moments(x + shift).sd() == pytest.approx(x.std(), rel=1e-12)
