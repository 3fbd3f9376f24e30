"""Which column, and which row, is meant: names, labels, constants (#7, A6 and C13)."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from design_cases import read, small_frame

from bayeslmm import Model
from bayeslmm.errors import DataError, FormulaError
from bayeslmm.formula import parse_formula
from bayeslmm.marginal.stream import scan_rows

# --- a column wins over a constant ----------------------------------------------------


def with_pi():
    """Columns called pi and True; y = 1 + 2 x pi + noise of SD 0.1."""
    data = small_frame().drop(columns="flag")
    data["pi"] = np.linspace(1.0, 4.0, len(data))
    data["True"] = np.tile([0.5, 1.5], len(data) // 2)
    data["y"] = 1.0 + 2.0 * data["x"] * data["pi"] + 0.1 * data["y"]
    return data


@pytest.mark.parametrize("form", [list, pl.from_pandas, pa.Table.from_pandas])
def test_a_column_called_pi_wins(form):
    """As in R; with the number the slope would be about 2 mean(pi) / 3.14 = 1.6."""
    data = with_pi()
    model = Model("y ~ I(x*pi) + (1 | g)", [data] if form is list else form(data))
    assert model.fit_reml().fixef()["estimate"].iloc[1] == pytest.approx(2.0, abs=0.02)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("y ~ pi + (1 | g)", ("Intercept", "pi")),
        ("y ~ x + True + (1 | g)", ("Intercept", "x", "True")),
        ("log(pi + 9) ~ x:pi + (1 | g)", ("Intercept", "x:pi")),
    ],
)
def test_constants_yield_to_columns_everywhere(text, names, streamed):
    recipe = read(text, with_pi(), streamed=streamed)
    assert recipe.design.fixed_names == names
    assert list(recipe.encode(with_pi()).X[:, -1]) == pytest.approx(
        list(read(text, with_pi()).design.rows.X[:, -1])
    )


def test_pi_is_the_number_without_such_a_column():
    design = read("y ~ I(x*pi) + (1 | g)", small_frame()).design
    assert design.rows.X[:, 1] == pytest.approx(np.pi * small_frame()["x"])


def test_pi_is_a_column_of_a_scan_and_can_group():
    scan = scan_rows("y ~ x + (1 | pi)", [with_pi().astype({"pi": int})])
    assert scan.coding.groups["pi"].levels == ("1", "2", "3", "4")


# --- names that are not one word ------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (0, "The column 0 has a name of type int"),
        (0.5, "The column 0.5 has a name of type float"),
        (("a", "b"), r"type tuple.*'_'\.join"),
        (pd.Timestamp("2020-01-01"), "type Timestamp"),
        (None, r"One column has no name \(it is called nan\)"),
        (True, "The column True has a name of type bool"),
    ],
)
def test_names_that_are_no_text_are_said_to_be_so(name, said):
    data = small_frame().rename(columns={"w": name})
    with pytest.raises(FormulaError, match=said) as error:
        read(f"y ~ `{name}` + (1 | g)", data)
    assert "data.columns = " in str(error.value)
    assert "Did you mean '0'" not in str(error.value)


def test_a_slip_of_a_name_is_still_offered_the_nearest():
    data = small_frame().rename(columns={"w": 0})
    with pytest.raises(FormulaError, match="Did you mean 'flag'"):
        read("y ~ flagg + (1 | g)", data)


def test_weights_in_a_column_that_is_no_text():
    data = small_frame().rename(columns={"w": 0})
    with pytest.raises(DataError, match="name of type int"):
        read("y ~ x + (1 | g)", data, weights="0")
    with pytest.raises(DataError, match="name of a column, which is text"):
        read("y ~ x + (1 | g)", data, weights=0)


# --- two columns of one name ----------------------------------------------------------


def test_two_columns_of_one_name_are_refused_by_every_reader():
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    arrays = [pa.array([1.0, 2.0])] * 3
    frame = pd.DataFrame(np.ones((4, 3)), columns=["x", "x", "y"])
    batches = [pa.RecordBatch.from_arrays(arrays, names=["x", "x", "y"])]
    query = duckdb.sql("SELECT 1.0 AS x, 2.0 AS x, 3.0 AS y")
    for data in (frame, pa.table(arrays, names=["x", "x", "y"]), batches, query):
        with pytest.raises(DataError, match="more than one column named 'x'"):
            Model("y ~ 1 + (1 | x)", data)


def test_names_that_duckdb_does_not_tell_apart_are_refused():
    """SELECT "x" of a relation with X and x gives X."""
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    query = duckdb.sql("SELECT 1.0 AS X, 2.0 AS x, 3.0 AS y")
    with pytest.raises(DataError, match="'X', 'x' of the query differ in case only"):
        Model("y ~ 1 + (1 | x)", query)


# --- weights go by label --------------------------------------------------------------


def test_weights_go_by_the_labels_of_the_rows():
    data = small_frame().sample(frac=1.0, random_state=1)
    own = read("y ~ x + (1 | g)", data, weights="w").design.rows.weights
    everything = pd.concat([small_frame()["w"], pd.Series([9.0], index=[99])])
    for weights in (data["w"], data["w"].sort_index(), everything):
        found = read("y ~ x + (1 | g)", data, weights=weights).design.rows.weights
        assert found.tolist() == own.tolist()
    by_position = read("y ~ x + (1 | g)", data, weights=data["w"].to_numpy())
    assert by_position.design.rows.weights.tolist() == own.tolist()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w: w.set_axis(w.index + 1), "1 of 24 rows have no weight"),
        (lambda w: w.set_axis(["a"] * len(w)), "24 of 24 rows have no weight"),
        (lambda w: pd.concat([w, w]), "labels occur more than once"),
    ],
)
def test_weights_under_other_labels_are_refused(change, said):
    data = small_frame()
    with pytest.raises(DataError, match=f"{said}.*to_numpy"):
        read("y ~ x + (1 | g)", data, weights=change(data["w"]))


def test_frames_without_labels_take_weights_by_position():
    data, w = pl.from_pandas(small_frame()), small_frame()["w"]
    assert read(
        "y ~ x + (1 | g)", data, weights=w
    ).design.rows.weights.tolist() == list(w)
    with pytest.raises(DataError, match="1 of 24 rows have no weight"):
        read("y ~ x + (1 | g)", data, weights=w.set_axis(w.index + 1))


# --- numbers in the formula -----------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "said"),
    [
        ("1e400", "1e400 is beyond 1.8e308"),
        ("1e-400", "1e-400 is closer to 0"),
        ("0." + "0" * 400 + "1", "closer to 0"),
        ("9007199254740993", "more digits than the 15"),
    ],
)
def test_a_number_that_a_double_cannot_hold_is_refused(number, said):
    with pytest.raises(FormulaError, match=said):
        parse_formula(f"y ~ I(x * {number}) + (1 | g)")


@pytest.mark.parametrize("number", ["0", "0e400", "0.0", "1e308", "5e-324", "10L"])
def test_a_number_that_a_double_holds_is_read(number):
    assert parse_formula(f"y ~ I(x + {number}) + (1 | g)").fixed.terms
