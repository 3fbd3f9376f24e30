"""Formulas and data that cannot be used: what the messages say."""

import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
from design_cases import build, small_frame

from bayeslmm.datasets import simulate_classrooms
from bayeslmm.errors import DataError, FormulaError

# --- bad input ------------------------------------------------------------------------


def bad_frame():
    data = simulate_classrooms(4, 6, seed=1).data
    return data.assign(
        sex=np.tile(["f", "m"], 12),
        when=pd.Timestamp("2020-01-01"),
        row=np.arange(24),
        u=np.linspace(0.0, 1.3, 24),
        one="a",
        same=3.0,
        twice=2 * data["edu"] + 1,
        mixed=[1, "a"] * 12,
        huge=np.where(np.arange(24) < 2, np.inf, 1.0),
        gone=np.nan,
        half=np.where(np.arange(24) < 12, np.nan, 1.0),
        rest=np.where(np.arange(24) < 12, 1.0, np.nan),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("score ~ edu + (1 | clasroom)", "no column 'clasroom'.*'classroom'"),
        ("scor ~ edu + (1 | classroom)", "no column 'scor'.*'score'"),
        ("score ~ ed + (1 | classroom)", "no column 'ed'.*'edu'"),
        ("score ~ edu + (classroom | edu)", r"did you mean \(edu \| classroom\)"),
        ("score ~ 1 + (classroom | u)", r"24 different.*mean \(u \| classroom\)"),
        ("score ~ 1 + (sex | row)", r"did you mean \(row \| sex\)"),
    ],
)
def test_formula_that_does_not_fit_the_data(text, words):
    with pytest.raises(FormulaError, match=words) as caught:
        build(text, bad_frame())
    assert caught.value.position is not None
    assert "^" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("score ~ edu + (1 | one)", "'one' has 1 level .'a'. in the 24 rows"),
        (
            "score ~ edu + (1 | row)",
            "24 levels for 24 rows.*number of levels must be <",
        ),
        ("score ~ edu + (edu*u*row | classroom)", "32 random effects .8 for each of 4"),
        ("same ~ edu + (1 | classroom)", "'same' is constant: it is 3 in all 24"),
        ("sex ~ edu + (1 | classroom)", "'sex' is not numeric.*family='bernoulli'"),
        ("classroom ~ edu + (1 | sex)", "'classroom' is not numeric: .*'c00', 'c01'"),
        ("gone ~ edu + (1 | classroom)", "All 24 values of the response column 'gone'"),
        (
            "score ~ half + rest + (1 | classroom)",
            "Each of the 24.*'half' 12, 'rest' 12",
        ),
        ("score ~ huge + (1 | classroom)", "'huge' is infinite in 2 of 24 rows"),
        ("huge ~ edu + (1 | classroom)", "'huge' is infinite in 2 of 24 rows"),
        ("score ~ log(u) + (1 | classroom)", r"'log\(u\)' is infinite.* 1 of 24"),
        ("score ~ when + (1 | classroom)", "'when' holds dates or times"),
        ("score ~ mixed + (1 | classroom)", "'mixed' .* holds mixed-integer values"),
        ("score ~ one + (1 | classroom)", "factor 'one' has one level only"),
        ("score ~ I(sex * 2) + (1 | classroom)", "'sex' holds text .2 different"),
        ('score ~ I(sex == "x") + (1 | classroom)', "'sex' has no value 'x'"),
        ("score ~ scale(same) + (1 | classroom)", "divides by the SD, and same has"),
        ("score ~ poly(edu, 12) + (1 | classroom)", "more than 12 different values"),
        ("p(row, edu) ~ u + (1 | classroom)", "family='binomial'"),
        ("score ~ edu + offset(sex) + (1 | classroom)", r"offset\(sex\) is not one"),
    ],
)
def test_data_that_cannot_be_used(text, words):
    with pytest.raises(DataError, match=words):
        build(text, bad_frame())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("score ~ same + (1 | classroom)", "dependent: 'same' = 3 'Intercept'"),
        (
            "score ~ edu + twice + (1 | classroom)",
            "dependent: 'twice' = 1 'Intercept' [+] 2 'edu'",
        ),
        (
            "score ~ edu + sex:twice + (1 | classroom)",
            r"'sex:twice\[m\]' = 1 'Intercept' [+] 2 'edu' - 1 'sex:twice\[f\]'",
        ),
    ],
)
def test_columns_that_are_dropped_are_accounted_for(text, words):
    account = build(text, bad_frame()).design.account
    assert re.search(words, account.dependence)
    assert len(account.aliased) == 1


def test_empty_cell_is_named():
    data = small_frame().query("a != 'q' or b != 'v'")
    account = build("y ~ a*b + (1 | g)", data).design.account
    assert account.aliased == ("a:b[q, v]",)
    assert account.dependence.startswith("'a:b[q, v]': zero in every row")


def test_scale_of_a_column_does_not_make_it_dependent():
    data = small_frame()
    for unit in (1e-200, 1e-9, 1e9, 1e200):
        assert build("y ~ I(x * u) + (1 | g)", data.assign(u=unit)).design.p == 2
    years = data.assign(x=2000.0 + data["x"] * 1e-3)
    assert build("y ~ x + (1 | g)", years).design.p == 2


def test_parameters_of_one_name_are_refused():
    data = small_frame().rename(columns={"x": "a[q]"})
    with pytest.raises(DataError, match=r"both be called 'a\[q\]'"):
        build("y ~ a + `a[q]` + (1 | g)", data)


def test_categories_of_one_name_are_refused():
    data = small_frame().assign(
        g=pd.Categorical([1, "1", 2] * 8, categories=[1, "1", 2])
    )
    with pytest.raises(DataError, match="Categories of column 'g' differ in type"):
        build("y ~ x + (1 | g)", data)


def test_fewer_rows_than_coefficients():
    data = small_frame().iloc[[3, 7, 8, 14, 18, 22]]
    with pytest.raises(DataError, match=r"6 rows for 7 fixed-effect coefficients"):
        build("y ~ x*w*flag - x:w:flag + (1 | g)", data)


def test_factor_with_too_many_levels_is_refused_before_memory_is():
    n = 40_000
    data = pd.DataFrame({"y": np.arange(n), "f": np.arange(n).astype(str)})
    data["g"] = np.arange(n) % 7
    with pytest.raises(DataError, match=r"40000 columns for 40000 rows \(13 GB\)"):
        build("y ~ f + (1 | g)", data)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([-1.0] + [1.0] * 23, "1 of 24 values is negative"),
        ([0.0, 0.0] + [1.0] * 22, "2 of 24 values are zero.*drop those rows"),
        ([np.nan] + [1.0] * 23, "1 of 24 values is missing"),
        ([np.inf] + [1.0] * 23, "1 of 24 values is infinite"),
        ([1.0] * 3, "3 weights for 24 rows"),
        (np.ones((24, 1)), r"shape \(24, 1\)"),
        ("clasroom", "no column 'clasroom'.*'classroom'"),
        ("sex", "'sex' does not hold numbers but text"),
        (["a"] * 24, "must be numbers"),
    ],
)
def test_bad_weights(weights, words):
    with pytest.raises(DataError, match=words):
        build("score ~ edu + (1 | classroom)", bad_frame(), weights=weights)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (small_frame().iloc[:0], "The data have no rows"),
        (
            small_frame().to_dict(),
            r"a dict, not a data frame.*pandas.DataFrame\(data\)",
        ),
        (small_frame().to_numpy(), "a ndarray, not a data frame"),
        (pl.from_pandas(small_frame()).lazy(), r"LazyFrame.*\.collect\(\)"),
        ("data.csv", "a str, not a data frame. Read the file first"),
        (small_frame().rename(columns={"w": "x"}), "more than one column named 'x'"),
    ],
)
def test_not_a_usable_frame(data, words):
    with pytest.raises(DataError, match=words):
        build("y ~ x + (1 | g)", data)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("p(s, f) ~ x + (1 | g)", "more successes than trials in 20 of 24"),
        ("p(x, f) ~ w + (1 | g)", "successes must be whole"),
        ("a ~ x + (1 | g)", "the 3 values 'p', 'q', 'r'.*must have two"),
    ],
)
def test_bad_response_of_another_family(text, words):
    data = small_frame().assign(s=np.arange(24), f=np.arange(24) % 4)
    with pytest.raises(DataError, match=words):
        build(text, data, gaussian=False)
