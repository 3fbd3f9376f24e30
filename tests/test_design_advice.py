"""What a fixed part without full rank is told to write can be written (#7, C14)."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest

from bayeslmm import Model
from bayeslmm.design import build
from bayeslmm.errors import DataError, DataWarning
from bayeslmm.formula import parse_formula

N = 120
# Formulas that are refused, and what is advised: the same model, then smaller ones.
CASES = {
    "factor(t) * per": ["factor(t)", "per"],
    "city * site": ["site", "city"],
    "city / site": ["site", "city"],
    "arm * site": ["site", "arm"],
    "a * Days + b + factor(Days)": [
        "a + b + factor(Days)",
        "a + Days + b + a:Days",
    ],
    "x + f:h": ["x + f + h + f:h"],
    "x + x:f:h + f:h": ["x + f + h + x:f + x:h + f:h + x:f:h"],
    "0 + x + x:f:h": ["0 + x:f:h"],
    "f * e": ["f_e", "f + e"],
    "f * e * x": ["f_e + x + f_e:x", "f + e + x + f:x + e:x"],
    "a * f * e": ["a + f_e + a:f_e", "a + f + e + a:f + a:e"],
    "x + double": ["x", "double"],
    "x + I(year - 2000) + year * f": [
        "x + year + f + year:f",
        "x + I(year - 2000) + f",
    ],
    "I(x > 9) + a": ["a"],
    "I(x > 9)": ["1"],
}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(1)
    data = pd.DataFrame(
        {
            "t": np.arange(N) % 10,
            "Days": rng.integers(0, 6, N),
            "x": rng.normal(size=N),
            "y": rng.normal(size=N),
            "g": np.arange(N) % 7,
            "site": [f"s{i}" for i in rng.integers(0, 9, N)],
        }
        | {name: rng.choice(["p", "q", "r"], N) for name in "bf"}
        | {name: rng.choice(["u", "v"], N) for name in "ah"}
    )
    data["per"] = np.where(data["t"] > 5, "late", "early")
    data["city"] = "c" + (data["site"].str[1].astype(int) // 3).astype(str)
    data["arm"] = np.where(data["site"] < "s4", "treated", "control")
    data["e"] = np.where(data["f"] == "q", "u", data["h"])  # no q with v
    data["double"], data["year"] = 2.0 * data["x"], 2000 + data["t"]
    return data


def refusal(text: str, data: object) -> str:
    """The message for a formula without full rank, which drops columns (#10)."""
    with pytest.warns(DataWarning, match="dropped") as seen:
        Model(text, data)
    return str(seen[-1].message)


def advised(message: str) -> list[tuple[str, str]]:
    """Formulas of a message, each with what is said of it."""
    return re.findall(r"^  (\S.*)\n    (.*)$", message, flags=re.MULTILINE)


def with_column(words: str, data: pd.DataFrame) -> pd.DataFrame:
    """The data with the column that is asked for, made as the message says."""
    data = data.copy()
    line = words.partition("once there is ")[2]
    if line.startswith("data["):
        exec(line, {"data": data})
    return data


def fixed_columns(text: str, data: pd.DataFrame) -> np.ndarray:
    """X of a formula, whatever its rank."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "checked_design", lambda design, *_, **__: (design, None))
        return build.build_design(parse_formula(text), data).design.rows.X


def check_advice(text: str, data: pd.DataFrame) -> list[tuple[str, str]]:
    """Try what is advised for a formula: it has full rank, and is what it says."""
    found = advised(refusal(text, data))
    X = fixed_columns(text, data)
    rank = np.linalg.matrix_rank(X)
    for formula, words in found:
        own = Model(formula, with_column(words, data)).design.rows.X
        fewer = re.match(r"(\d+) effects? fewer", words)
        assert own.shape[1] == rank - (int(fewer[1]) if fewer else 0), formula
        assert np.linalg.matrix_rank(np.hstack([X, own])) == rank, formula
        assert fewer or words.startswith("the same model")
    return found


@pytest.mark.parametrize("fixed", CASES)
def test_advised_formulas_can_be_fitted_and_are_what_they_say(fixed, data):
    found = check_advice(f"y ~ {fixed} + (1 | g)", data)
    assert [formula for formula, _ in found] == [
        f"y ~ {a} + (1 | g)" for a in CASES[fixed]
    ]


@pytest.mark.parametrize("fixed", CASES)
def test_rows_that_were_summed_get_the_same_advice(fixed, data):
    text = f"y ~ {fixed} + (1 | g)"
    summed, memory = (advised(refusal(text, form)) for form in ([data], data))
    assert [formula for formula, _ in summed] == [formula for formula, _ in memory]


def random_case(seed: int) -> tuple[str, pd.DataFrame]:
    """Factors that nest, repeat and leave cells empty, and a formula of some terms."""
    rng = np.random.default_rng(seed)
    cells = pd.DataFrame(
        {name: rng.integers(0, rng.integers(2, 5), 12) for name in "abc"}
    )
    if rng.random() < 0.5:
        cells["b"] = cells["a"] * 3 + cells["b"]  # nested
    if rng.random() < 0.3:
        cells["c"] = cells["a"] + cells["b"]
    data = cells.iloc[rng.integers(0, 12, 90)].reset_index(drop=True)
    data["n"] = data["a"] + rng.integers(0, 2) * data["b"]
    data[["a", "b", "c"]] = data[["a", "b", "c"]].astype(str)
    data["x"], data["y"] = rng.normal(size=(2, 90))
    data["g"] = np.arange(90) % 6
    parts = ["a", "b", "c", "n", "x", "a:b", "a*b", "b*c", "a:c", "x:a", "a/b", "a*n"]
    parts += ["x:a:b", "factor(n)", "a*b*c", "I(n > 1)", "I(x^2)", "n:x", "0"]
    chosen = rng.choice(parts, rng.integers(1, 5), replace=False)
    return f"y ~ {' + '.join(chosen)} + (1 + x | g)", data


def refusal_of_rank(text: str, data: pd.DataFrame) -> str | None:
    """The message for columns that repeat others, None for any other end."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            account = Model(text, data).design.account
        except DataError:
            return None
    return str(seen[-1].message) if account.aliased else None


@pytest.mark.parametrize(
    "seeds", [range(3), pytest.param(range(3, 80), marks=pytest.mark.slow)]
)
def test_random_formulas_without_full_rank_get_advice_that_holds(seeds):
    n_refused = 0
    for text, data in map(random_case, seeds):
        message = refusal_of_rank(text, data)
        if message is None:
            continue
        n_refused += 1
        assert check_advice(text, data), text
        for formula, words in advised(refusal_of_rank(text, [data]) or ""):
            if "once there is" not in words:
                Model(formula, [data])
    assert n_refused > len(seeds) // 2


def test_the_cells_without_rows_are_named(data):
    message = refusal("y ~ a * f * e + (1 | g)", data)
    assert "No row has 1 of the 6 combinations of 'f' and 'e': 'q', 'v'." in message
    assert "'a' and 'f' and 'e'" not in message  # follows from the two


def test_a_column_of_combinations_leaves_missing_values_missing(data):
    data = data.assign(f=data["f"].where(data.index > 3).astype(object), f_e=1)
    ((formula, words), *_) = advised(refusal("y ~ f * e + (1 | g)", data))
    assert formula == "y ~ f_e_ + (1 | g)"  # a column of the first name is there
    assert Model(formula, with_column(words, data)).design.n == N - 4


def test_advice_keeps_the_other_parts_of_the_formula(data):
    text = "y ~ city * site + offset(x) + (x || g) + cs(0 + a | h)"
    ((formula, _), *_) = advised(refusal(text, data))
    assert formula == ("y ~ site + offset(x) + (1 | g) + (0 + x | g) + cs(0 + a | h)")


def test_without_a_formula_that_does_the_plain_fact_is_said(data, monkeypatch):
    monkeypatch.setattr("bayeslmm.design.advice.MOST_COLUMNS", 3)
    message = refusal("y ~ city * site + (1 | g)", data)
    assert "No formula was found that keeps some of the terms" in message
