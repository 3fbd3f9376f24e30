"""Columns that may be meant otherwise are said; what is harmless is not (#8, 6)."""

import warnings

import numpy as np
import pandas as pd
import pytest

import bayeslmm as lmm
from bayeslmm.comparison.outlying import outlying_sentences
from bayeslmm.design.textual import conversion
from bayeslmm.errors import DataError, DataWarning
from bayeslmm.reporting.describe import describe_text

N = 120


def frame(**columns):
    """A response, a group of 12 levels, and columns."""
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(12), 10)
    y = rng.normal(size=12)[g] + rng.normal(size=N)
    return pd.DataFrame({"y": y, "g": g, "x": rng.normal(size=N)} | columns)


CODES = np.arange(N) % 3 + 1
DATES = pd.date_range("2024-01-01", periods=40).strftime("%Y-%m-%d").to_numpy()

DAYS = [
    pd.date_range("2024-01-01", periods=40).strftime(form)
    for form in ("%d.%m.%Y", "%d %b %Y")
]

SAID = {
    "codes": ("treatment", CODES, "3 whole numbers .1, 2, 3. .*factor.treatment."),
    "words": ("TrtArm", CODES, "whole numbers"),
    "ids": ("subject_id", 300 + np.arange(N) % 18, "holds 18 whole numbers"),
    "dates": ("date", np.tile(DATES, 3), "holds dates as text .'2024-01-01'. .* 40 "),
    "timed": ("t", np.tile(DAYS[0] + " 08:30", 3), "dates .* dayfirst=True"),
    "months": ("t", np.tile(DAYS[1], 3), "holds dates as text"),
    "clocks": ("t", np.tile([f"{h:02}:30" for h in range(24)], 5), "times as text"),
    "dept": ("dept", CODES, "whole numbers"),
    "below": ("edu", np.where(CODES == 2, -99, np.arange(N) % 9), "-99 in 40 of 120"),
    "above": ("edu", np.where(CODES == 2, 999, np.arange(N) % 9), "use na='999'"),
    "points": ("day", np.tile(["3.1.2024", "4.1.2024", "5.1.2024"], 40), "dates"),
    "numbers": ("age", (np.arange(N) % 40).astype(str), "holds numbers as text"),
    "decimals": ("w", np.tile(["1.5", "2.5", "3"], 40), "holds numbers as text"),
    "commas": ("w", np.tile(["1,5", "2,5", "3"], 40), "text for their signs"),
    "percents": ("w", np.tile(["10%", "20%", "30%"], 40), "text for their signs"),
    "case": ("arm", np.tile(["Drug", "drug", "none"], 40), "'Drug' and 'drug'"),
    "spaces": ("arm", np.tile(["a", "a ", "b"], 40), "'a' and 'a '"),
}


@pytest.mark.parametrize("case", SAID)
def test_a_trap_is_said_in_a_warning_and_on_the_screen(case):
    name, values, words = SAID[case]
    data = frame(**{name: values})
    with pytest.warns(DataWarning, match=words) as caught:
        model = lmm.Model(f"y ~ {name} + (1 | g)", data)
    assert len(caught) == 1
    (trap,) = model.design.account.traps
    assert trap in describe_text(model)


@pytest.mark.parametrize("case", SAID)
def test_a_column_that_is_not_used_is_no_trap(case):
    name, values, _ = SAID[case]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lmm.Model("y ~ x + (1 | g)", frame(**{name: values}))


HARMLESS = {
    "wave": CODES,
    "siblings": np.arange(N) % 4,
    "year": 2000 + np.arange(N) % 10,
    "group_size": 20 + np.arange(N) % 7,
    "n_sites": CODES,
    "days_in_treatment": CODES,
    "grade": CODES,
    "dose": 10 * CODES,
    "arm": np.arange(N) % 2,  # two values: the same model either way
    "treatment": CODES + 0.5,
    "classes": np.tile(["18-24", "25-34", "35+"], 40),
    "site": np.tile(["1", "2", "3"], 40),  # text on purpose
    "change": np.where(CODES == 2, -99, np.arange(N) - 60),  # among other negatives
    "percent": np.arange(N) % 100,  # 99 is one of many
    "flag": np.where(CODES == 2, 99, 0),
    "shift": np.tile(["08:00", "14:00", "22:00"], 40),
    "code": np.tile(["A1", "A2", "B1"], 40),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_harmless_stays_silent(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lmm.Model(f"y ~ {name} + (1 | g)", frame(**{name: HARMLESS[name]}))


@pytest.mark.parametrize(
    "formula",
    [
        "y ~ factor(treatment) + (1 | g)",
        "y ~ treatment + I(treatment^2) + (1 | g)",
        "y ~ x + (1 | treatment)",
        "y ~ x + (1 | date)",
    ],
)
def test_a_column_whose_use_says_what_it_is_stays_silent(formula):
    data = frame(treatment=np.arange(N) % 6, date=np.tile(DATES, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lmm.Model(formula, data)


def test_a_response_of_minus_99_is_said():
    data = frame().assign(y=lambda d: np.where(CODES == 2, -99, d["y"].abs()))
    with pytest.warns(DataWarning, match=r"'y' is -99 in 40 .* use na='-99'"):
        lmm.Model("y ~ x + (1 | g)", data)


def test_an_error_says_that_its_cause_are_dates():
    data = frame(date=pd.date_range("2024-01-01", periods=N).strftime("%Y-%m-%d"))
    with pytest.raises(DataError, match="likely cause: 'date' holds dates as text"):
        lmm.Model("y ~ date + (1 | g)", data)


@pytest.mark.parametrize(
    ("values", "advice"),
    [
        (["1.5", "2.5", "Total"], "make 'Total' missing: na='Total'"),
        (["10,5", "9,25", "3"], r"numbers that are text: lmm.read\(path, decimal=','"),
        (["1,500 €", "20 €", "3 €"], r"text: pandas.to_numeric\(x.str.replace"),
        (["a", "b", "c", "d", "e"], "Convert it to numbers, or choose another"),
    ],
)
def test_a_response_that_is_text_says_how_to_convert_it(values, advice):
    data = frame(y=np.resize(values, N)).assign(x=np.tile([1, 2, np.nan], 40))
    with pytest.raises(DataError, match=advice):
        lmm.Model("y ~ x + (1 | g)", data)


@pytest.mark.parametrize(
    ("text", "number"),
    [("1,234.5 $", 1234.5), ("1.234,50 €", 1234.5), ("12,5%", 12.5), ("1 234", 1234)],
)
def test_the_conversion_that_is_advised_gives_the_number(text, number):
    x = pd.Series([text, "7"])
    call = conversion(tuple(x))
    found = eval(call, {"pandas": pd, "x": x})  # ours, as advised
    assert found.tolist() == [number, 7]


def test_levels_that_are_too_many_name_the_rows_that_were_left_out():
    data = frame().assign(g=lambda d: d["g"].where(np.arange(N) % 10 == 0))
    with pytest.raises(DataError, match=r"108 of 120 rows were left out .* 'g' .108"):
        lmm.Model("y ~ x + (1 | g)", data)


def test_levels_of_a_group_that_differ_in_case_are_said():
    data = frame(site=np.tile(["Ulm", "ulm", "Bonn", "Kiel"], 30))
    with pytest.warns(DataWarning, match="'Ulm' and 'ulm'"):
        lmm.Model("y ~ x + (1 | site)", data)


def test_text_traps_are_found_in_batches_too():
    with pytest.warns(DataWarning, match="holds dates as text"):
        lmm.Model("y ~ date + (1 | g)", [frame(date=np.tile(DATES, 3))])


# --- a level far from the others ------------------------------------------------------


@pytest.mark.filterwarnings("ignore::bayeslmm.FitWarning")
@pytest.mark.parametrize("shift", [12.0, 100.0])
@pytest.mark.parametrize("formula", ["y ~ x + (1 | g)", "y ~ x + (x | g)"])
def test_a_level_that_holds_half_of_the_sd_is_said(formula, shift):
    data = frame()
    data.loc[data["g"] == 4, "y"] += shift
    fit = lmm.Model(formula, data).fit_reml()
    (sentence,) = outlying_sentences(fit)
    assert "Level 4 of g lies" in sentence
    rest = lmm.Model(formula, data[data["g"] != 4]).fit_reml()
    truth = rest.summary().loc["1|g_sigma", "estimate"]
    shown = float(sentence.split("would be about ")[1].split(",")[0])
    assert shown == pytest.approx(truth, rel=0.25)


@pytest.mark.filterwarnings("ignore::bayeslmm.FitWarning")
def test_no_level_is_said_where_none_is_far():
    assert not outlying_sentences(lmm.Model("y ~ x + (x | g)", frame()).fit_reml())


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("sleepstudy", "Reaction ~ Days + (Days | Subject)"),
        ("Dyestuff2", "Yield ~ 1 + (1 | Batch)"),
        ("Penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
    ],
)
@pytest.mark.filterwarnings("ignore::bayeslmm.FitWarning")
def test_textbook_data_have_no_such_level(name, formula):
    fit = lmm.Model(formula, lmm.load_data(name)).fit_reml()
    assert outlying_sentences(fit) == []
