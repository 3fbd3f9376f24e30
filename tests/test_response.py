"""A new response of the same rows is the model of the data with that response."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from reml_cases import estimates, toy
from sampling import sample_unchecked, unchecked

from bayeslmm import DataError, DataWarning, FitWarning, Model

# Sums of the same columns in another order: a few units of the last digit.
SUMS = 1e-12
# Estimates of two searches that each end within 1e-9 of the least criterion.
SEARCHES = 1e-6
# Draws: the same random numbers at densities that differ by rounding.
DRAWS = 1e-6

CASES = {
    "pooled": "y ~ 1 + (1 | even)",
    "pairs": "y ~ x + (x | g)",
    "levels": "y ~ x + (x + w | g)",
    "crossed": "y ~ x + (x | g) + (1 | h)",
    "blocked": "y ~ x + (1 | many) + (1 | dozens)",
    "parallel": "y ~ x + (x || g)",
    "cs": "y ~ x + cs(x | g)",
    "no intercept": "y ~ 0 + x + (x | g)",
    "no fixed part": "y ~ 0 + (1 | g)",
    "product": "y ~ x * w + (x * w || g)",
    "offset": "y ~ x + offset(w) + (x | g)",
}
# Weights multiply rows before the forms part: one of each kind of solver by default.
BY_WEIGHT = {"pooled", "pairs", "crossed", "blocked", "offset"}
WEIGHED = [
    *((case, None) for case in CASES),
    *(
        pytest.param(
            *(case, "weight"), marks=[] if case in BY_WEIGHT else pytest.mark.slow
        )
        for case in CASES
    ),
]


def frame(seed=3, n=120):
    """The toy frame with more groups and weights."""
    data = toy(seed, n)
    rng = np.random.default_rng(seed)
    data["even"] = [f"e{i}" for i in np.arange(n) % 10]
    data["many"] = [f"m{i}" for i in rng.permutation(np.arange(n) % 115)]
    data["dozens"] = [f"d{i}" for i in rng.permutation(np.arange(n) % 105)]
    data["x"] += 7.0
    data["weight"] = rng.uniform(0.5, 2.0, n)
    data["again"] = 100.0 + 30.0 * data["y"] + 20.0 * rng.normal(size=n)
    return data


def quiet(make):
    """What `make` gives, its warnings about the boundary not the subject."""
    with warnings.catch_warnings(), unchecked():
        warnings.simplefilter("ignore", FitWarning)
        return make()


def both(formula, data, **options):
    """The model with a new response, and that of the data with it."""
    answered = Model(formula, data, **options).with_response(data["again"])
    return answered, Model(formula, data.assign(y=data["again"]), **options)


def assert_same_sums(found, expected):
    """Cross-products, coordinates and kernel arrays of two models."""
    one, two = found.statistics, expected.statistics
    assert type(one.solver) is type(two.solver)
    close = {"rtol": SUMS, "atol": SUMS * one.n}
    np.testing.assert_allclose(one.WW, two.WW, **close)
    for a, b in zip(one.sums.F, two.sums.F, strict=True):
        np.testing.assert_allclose(a, b, **close)
    for a, b in zip(one.solver.arrays, two.solver.arrays, strict=True):
        np.testing.assert_allclose(a, b, **close)
    assert found.unit == expected.unit
    np.testing.assert_allclose(found.beta, expected.beta, rtol=SUMS)


@pytest.mark.parametrize(("case", "weights"), WEIGHED)
def test_it_is_the_model_of_the_data_with_that_response(case, weights):
    data = frame()
    found, expected = both(CASES[case], data, weights=weights)
    assert type(found) is Model
    assert_same_sums(found.conditioned, expected.conditioned)
    assert_same_sums(found.conditioned.unmoved(), expected.conditioned.unmoved())
    assert str(found.priors) == str(expected.priors)
    np.testing.assert_array_equal(found.design.rows.y, expected.design.rows.y)
    assert found.design.account == expected.design.account
    np.testing.assert_array_equal(
        found.recipe.coding.variables["y"].values, data[["again"]]
    )
    one, two = quiet(found.fit_reml), quiet(expected.fit_reml)
    assert one.criterion == pytest.approx(two.criterion, abs=1e-8)
    pd.testing.assert_series_equal(
        estimates(one), estimates(two), rtol=SEARCHES, atol=SEARCHES
    )


def test_the_first_model_stays_as_it_is():
    data = frame()
    model = Model(CASES["crossed"], data)
    before = quiet(model.fit_reml)
    model.with_response(data["again"])
    after = quiet(model.fit_reml)
    assert after.criterion == before.criterion
    np.testing.assert_array_equal(model.design.rows.y, data["y"])


def test_responses_follow_one_another_and_come_back():
    data = frame()
    model = Model(CASES["pairs"], data)
    back = model.with_response(data["again"]).with_response(data["y"].to_numpy())
    assert_same_sums(back.conditioned, model.conditioned)


def test_draws_of_the_same_seed_are_the_same(sleepstudy):
    formula = "Reaction ~ Days + (Days | Subject)"
    model = Model(formula, sleepstudy)
    y = quiet(model.fit_reml).simulate(1, seed=5)[0]
    options = {"draws": 200, "chains": 2, "seed": 9, "method": "nuts", "cores": 1}
    answered, again = model.with_response(y), sleepstudy.assign(Reaction=y)
    found = sample_unchecked(answered, **options).idata["posterior"]
    expected = sample_unchecked(Model(formula, again), **options).idata["posterior"]
    assert set(found.data_vars) == set(expected.data_vars)
    for name in found.data_vars:
        np.testing.assert_allclose(
            found[name].values, expected[name].values, rtol=DRAWS, atol=DRAWS
        )


def test_priors_are_made_by_the_rule_they_were_made_by():
    priors = {"set": "brms", "x": "Normal(0, 3)", "1|g": "HalfNormal(2)"}
    found, expected = both(
        "y ~ x + (x | g)", frame(), priors=priors, center_predictors=False
    )
    assert found.priors == expected.priors
    first = Model("y ~ x + (x | g)", frame(), priors=priors)
    assert found.priors.sigma != first.priors.sigma  # brms scales it by y


def test_a_pickled_model_takes_a_response_too():
    data = frame()
    model = Model(CASES["crossed"], data)
    answered = model.with_response(data["again"])
    for one in (model, answered):
        copy = pickle.loads(pickle.dumps(one))
        found = copy.with_response(data["again"])
        assert_same_sums(found.conditioned, answered.conditioned)


def test_rows_that_were_left_out_have_no_place_in_it(gaps):
    n = gaps.design.n
    y = np.arange(float(n))
    series = pd.Series(y, index=gaps.row_labels)
    found = gaps.with_response(series.sample(frac=1.0, random_state=1))
    np.testing.assert_array_equal(found.design.rows.y, y)
    with unchecked(), pytest.raises(DataError, match=rf"{n} rows used.*{n + 4}.*left"):
        gaps.with_response(np.zeros(n + 4))
    with pytest.raises(DataError, match="index is not that of the rows used"):
        gaps.with_response(pd.Series(y))


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (np.zeros((60, 1)), r"shape \(60, 1\)"),
        (np.full(60, np.nan), "60 of 60 values of the new response of 'y' are missing"),
        (np.r_[np.inf, np.zeros(59)], "1 of 60 values"),
        (np.full(60, 3.0), "'y' is constant: it is 3 in all 60 rows"),
        (["a"] * 60, "must be numbers, one for each of the 60 rows"),
        (np.array(["1", "2"] * 30, dtype=object), r"must be numbers.* \['1'\]"),
        (pd.Series(pd.Categorical(["1", "2"] * 30)), r"must be numbers.* \['1'\]"),
        ([object()] * 60, "must be numbers, one for each of the 60 rows"),
        ([None, pd.NA, *range(58)], "2 of 60 values of the new response"),
        ([[1, 2], [3]], r"and \[\[1, 2\], \[3\]\] is no such list"),
        (np.ma.masked_less(np.arange(60.0), 5.0), "5 of 60 values"),
        (np.ma.masked_equal(["1", "2"] * 30, "1"), "must be numbers"),
        (3.0, r"shape \(60,\); it has shape \(\)"),
        (np.arange(60.0) * 1e-5 + 1e12, "nothing is left of how its rows differ"),
    ],
)
def test_what_is_no_response_says_why(y, words):
    model = Model("y ~ x + (1 | g)", toy(1))
    with unchecked(), pytest.raises(DataError, match=words):
        model.with_response(y)


@pytest.mark.parametrize(
    "index",
    [
        pd.MultiIndex.from_product([range(6), list("abcdefghij")]),
        pd.Index([np.nan, *range(59)], dtype=float),
        pd.date_range("2020", periods=60, tz="UTC"),
        pd.CategoricalIndex([f"row {i}" for i in range(60)]),
    ],
    ids=["pairs", "nan", "dates", "categories"],
)
def test_a_series_goes_by_labels_of_any_kind(index):
    """Those that are text in `row_labels`, and NaN, were said to be others."""
    data = toy(1).set_axis(index, axis=0)
    model = Model("y ~ x + (1 | g)", data)
    for series in (data["x"], data["x"].sample(frac=1.0, random_state=1)):
        found = model.with_response(series).design.rows.y
        np.testing.assert_array_equal(found, data["x"])


def test_a_series_with_labels_twice_is_not_put_in_any_order():
    data = toy(1).set_axis([0, 0, *range(1, 59)], axis=0)
    model = Model("y ~ x + (1 | g)", data)
    with pytest.raises(DataError, match="labels that occur more than once"):
        model.with_response(data["x"])
    found = model.with_response(data["x"].to_numpy()).design.rows.y
    np.testing.assert_array_equal(found, data["x"])


def test_a_value_that_seems_to_be_missing_is_said_of_the_new_response_alone():
    data = toy(1)
    data["y"] = data["y"].abs()
    data.loc[3, "y"] = -99.0
    with pytest.warns(DataWarning, match="'y' is -99"):
        model = Model("y ~ x + (1 | g)", data)
    assert model.with_response(data["x"]).design.account.traps == ()
    with pytest.warns(DataWarning, match="'y' is -99"):
        model.with_response(data["y"])


def test_another_family_takes_its_own_responses():
    data = toy(1)
    rng = np.random.default_rng(1)
    data["yes"] = np.where(data["y"] > 2.0, "yes", "no")
    model = Model("yes ~ x + (1 | g)", data, family="bernoulli")
    flags = rng.integers(0, 2, len(data))
    np.testing.assert_array_equal(model.with_response(flags).design.rows.y, flags)
    with pytest.raises(DataError, match=r"levels 'no', 'yes'.*0 for the first"):
        model.with_response(flags + 1)
    data["k"], data["n"] = rng.integers(0, 5, len(data)), 5
    model = Model("cbind(k, n - k) ~ x + (1 | g)", data, family="binomial")
    with pytest.raises(DataError, match="more successes than trials in 1 of 60"):
        model.with_response(np.r_[6, data["k"][1:]])


def test_rows_in_batches_say_that_they_are_not_there(tmp_path):
    path = tmp_path / "rows.parquet"
    data = frame()
    data.to_parquet(path)
    model = Model(CASES["pairs"], path)
    with pytest.raises(DataError, match=r"sums of .* not its rows"):
        model.with_response(data["y"])
