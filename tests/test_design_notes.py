"""What became of the data otherwise than given is said in one warning (#7, C15)."""

import warnings

import numpy as np
import pandas as pd
import pytest
from design_cases import small_frame

from bayeslmm import Model, errors
from bayeslmm.errors import DataError, DataWarning
from bayeslmm.reporting.describe import describe_text

FORMULA = "y ~ x + (1 | g)"


def lost():
    """Every row of group D, and one other, miss x."""
    data = small_frame()
    data.loc[(data["g"] == "D") | (data.index == 0), "x"] = np.nan
    return data


def mixed():
    """A number that one "." makes text, as read_csv gives it."""
    data = small_frame(60)
    data["x"] = (data.index % 12).astype(str)
    data.loc[3, "x"] = "."
    return data


@pytest.mark.parametrize("form", [lambda d: d, lambda d: [d]])
def test_levels_that_went_with_missing_values_are_said_in_one_warning(form):
    said = (
        r"^7 of 24 rows have a missing value, in 'x' \(7\), .* some levels: 1 of 'g' "
        r"\('D'\)\. .*Fill the values in"
    )
    with pytest.warns(DataWarning, match=said) as caught:
        Model(FORMULA, form(lost()))
    assert len(caught) == 1


@pytest.mark.parametrize(
    ("form", "where"),
    [(lambda d: d, r" \(first in row 4 of the data\)"), (lambda d: [d], "")],
)
def test_a_cell_that_turns_a_number_into_a_factor_is_said(form, where):
    said = (
        rf"are numbers, not so '\.'{where}, so it is text and "
        r"enters as a factor with 13 levels\..*na='\.'.*to_numeric.*factor\(x\)"
    )
    with pytest.warns(DataWarning, match=said) as caught:
        model = Model(FORMULA, form(mixed()))
    assert len(caught) == 1
    assert model.design.p == 13
    line = "of x are numbers, not so .: it is text, a factor of 13 levels (if it is a"
    assert line in describe_text(model)


@pytest.mark.parametrize("form", [lambda d: d, lambda d: [d]])
def test_a_cell_of_a_row_that_is_left_out_is_said(form):
    """The column is text all the same, and the level that told why is gone."""
    data = mixed()
    data.loc[3, "y"] = np.nan
    said = r"'x' are numbers, not so '\.'.* a factor with 12 levels\. .*count too"
    with pytest.warns(DataWarning, match=said):
        model = Model(FORMULA, form(data))
    assert model.design.p == 12
    assert "it is text, a factor of 12 levels" in describe_text(model)


@pytest.mark.parametrize("form", [lambda d: d, lambda d: [d]])
@pytest.mark.parametrize(
    ("formula", "change", "words"),
    [
        (FORMULA, lambda d: d.head(12), "12 rows for 12 fixed-effect coefficients"),
        (FORMULA, lambda d: d.assign(y=d["y"].where(d.index < 12)), "12 rows for 12"),
        ("y ~ w + (x | g)", lambda d: d.head(48), "number of random effects must be <"),
    ],
)
def test_an_error_names_the_cell_that_made_a_factor(form, formula, change, words):
    said = rf"(?s){words}.*The likely cause: .* of .*'x' are numbers.*'\.'.*to_numeric"
    with pytest.raises(DataError, match=said):
        Model(formula, form(change(mixed())))


def test_a_dropped_column_is_said_with_the_cell_that_made_a_factor():
    data = mixed()
    said = r"(?s)'x' are numbers.*to_numeric.*dependent.*dropped"
    with pytest.warns(DataWarning, match=said):
        Model("y ~ x + h + (1 | g)", data.assign(h=data["x"] + "h"))


def test_both_are_one_warning():
    data = mixed()
    data.loc[data["g"] == "D", "y"] = np.nan
    with pytest.warns(DataWarning, match="of 'g'.*'x' are numbers") as caught:
        Model(FORMULA, data)
    assert len(caught) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d,
        lambda d: d.assign(x=d["a"]),  # text without numbers
        lambda d: d.assign(x=np.tile(["1", "low", "mid", "high"], 15)),
        lambda d: d.assign(x=np.where(d.index == 3, np.nan, d["x"])),
        lambda d: d.assign(g=np.where(d.index == 3, ".", (d.index % 9).astype(str))),
    ],
)
def test_nothing_is_said_where_nothing_was_lost(change):
    data = change(small_frame(60))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Model(FORMULA, data)
        Model("y ~ factor(x) + (1 | g)", mixed())


def test_a_response_that_one_cell_made_text():
    data = mixed().rename(columns={"x": "y", "y": "x"})
    with pytest.raises(DataError, match=r"All but 1 of its 13 .* make '\.' missing"):
        Model(FORMULA, data)


def test_the_warning_is_ours():
    assert issubclass(DataWarning, errors.BayesLMMWarning)
    assert pd.to_numeric(mixed()["x"], errors="coerce").isna().sum() == 1
