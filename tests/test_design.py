"""Formula and frame to arrays: R's columns, lme4's levels, rows that are dropped."""

import numpy as np
import pandas as pd
import pytest
from design_cases import build, small_frame
from hypothesis import given, strategies as st

from bayeslmm.design import (
    FactorColumn,
    NumericColumn,
)
from bayeslmm.design.evaluate import FUNCTIONS
from bayeslmm.design.matrices import code_terms, matrix_variables, model_matrix
from bayeslmm.errors import DataError
from bayeslmm.formula import ALLOWED_FUNCTIONS, parse_formula

# The same arithmetic by two routes.
EXACT = 1e-12


def matrix_of(lhs, data):
    """Model matrix and labels of a linear predictor, whatever its rank."""
    recipe = build(f"y ~ 1 + ({lhs} | g)", data)
    return recipe.design.rows.Z[0], recipe.design.groups[0].effects


def column_of(label, data):
    """A column of the model matrix from its label alone, ``a:x[q]``."""
    name, _, rest = label.partition("[")
    levels = iter(rest[:-1].split(", ") if rest else [])
    column = np.ones(len(data))
    for part in name.split(":"):
        if part in ("a", "b", "flag"):
            column = column * (data[part].astype(str) == next(levels))
        elif part != "Intercept":
            column = column * data[part]
    return np.asarray(column)


# --- R's model matrix -----------------------------------------------------------------

# Columns of model.matrix(~ ...) in R 4.2.2 for `small_frame`, in its order; R spells
# "a:x[q]" as aq:x.
R_COLUMNS = {
    "1": ["Intercept"],
    "x": ["Intercept", "x"],
    "a": ["Intercept", "a[q]", "a[r]"],
    "0 + a": ["a[p]", "a[q]", "a[r]"],
    "0 + x + a": ["x", "a[p]", "a[q]", "a[r]"],
    "0 + a + b": ["a[p]", "a[q]", "a[r]", "b[v]"],
    "a*b": ["Intercept", "a[q]", "a[r]", "b[v]", "a:b[q, v]", "a:b[r, v]"],
    "0 + a:b": [
        *("a:b[p, u]", "a:b[q, u]", "a:b[r, u]"),
        *("a:b[p, v]", "a:b[q, v]", "a:b[r, v]"),
    ],
    "x:a": ["Intercept", "x:a[p]", "x:a[q]", "x:a[r]"],
    "x + x:a": ["Intercept", "x", "x:a[q]", "x:a[r]"],
    "a + x:a": ["Intercept", "a[q]", "a[r]", "a:x[p]", "a:x[q]", "a:x[r]"],
    "a:x + b": ["Intercept", "b[v]", "a:x[p]", "a:x[q]", "a:x[r]"],
    "a*x": ["Intercept", "a[q]", "a[r]", "x", "a:x[q]", "a:x[r]"],
    "x*w": ["Intercept", "x", "w", "x:w"],
    "a/x": ["Intercept", "a[q]", "a[r]", "a:x[p]", "a:x[q]", "a:x[r]"],
    "a + a:b": [
        *("Intercept", "a[q]", "a[r]", "a:b[p, v]", "a:b[q, v]", "a:b[r, v]"),
    ],
    "b + a:b": [
        *("Intercept", "b[v]", "b:a[u, q]", "b:a[v, q]", "b:a[u, r]", "b:a[v, r]"),
    ],
    "b:x + a:b": [
        *("Intercept", "b:x[u]", "b:x[v]"),
        *("b:a[u, q]", "b:a[v, q]", "b:a[u, r]", "b:a[v, r]"),
    ],
    "0 + flag + a": ["flag[False]", "flag[True]", "a[q]", "a[r]"],
    "flag": ["Intercept", "flag[True]"],
    "(a + b + x)^2": [
        *("Intercept", "a[q]", "a[r]", "b[v]", "x", "a:b[q, v]", "a:b[r, v]"),
        *("a:x[q]", "a:x[r]", "b:x[v]"),
    ],
}


@pytest.mark.parametrize("lhs", R_COLUMNS)
def test_columns_are_those_of_r(lhs):
    data = small_frame()
    formula = parse_formula(f"y ~ {lhs} + (1 | g)")
    columns = {
        "x": NumericColumn(data[["x"]].to_numpy(), ("x",)),
        "w": NumericColumn(data[["w"]].to_numpy(), ("w",)),
        "a": FactorColumn(pd.factorize(data["a"])[0], ("p", "q", "r")),
        "b": FactorColumn(pd.factorize(data["b"])[0], ("u", "v")),
        "flag": FactorColumn(data["flag"].to_numpy().astype(int), ("False", "True")),
    }
    coded = code_terms(formula.fixed, columns)
    variables = matrix_variables(formula.fixed, coded, columns)
    labels = [label for variable in variables for label in variable.labels]
    assert labels == R_COLUMNS[lhs]
    expected = np.column_stack([column_of(label, data) for label in labels])
    X = model_matrix(formula.fixed, coded, columns, len(data))
    np.testing.assert_allclose(X, expected, rtol=EXACT)


@pytest.mark.parametrize("lhs", [lhs for lhs in R_COLUMNS if len(R_COLUMNS[lhs]) < 6])
def test_effects_of_a_bar_term_are_coded_as_in_r(lhs):
    data = small_frame()
    Z, effects = matrix_of(lhs, data)
    assert list(effects) == R_COLUMNS[lhs]
    expected = np.column_stack([column_of(label, data) for label in effects])
    np.testing.assert_allclose(Z, expected, rtol=EXACT)


def test_poly_and_scale_are_those_of_r():
    """R 4.2.2: poly(x, 2), predict(poly(x, 2), c(3, 5)), scale(x), scale(x, FALSE)."""
    x = [1, 2, 4, 7, 11, 16]
    data = pd.DataFrame({"y": np.arange(12) ** 2, "x": x * 2, "g": ["A", "B"] * 6})
    once = data.iloc[:6]
    recipe = build("y ~ poly(x, 2) + (1 | g)", once)
    expected = [
        (-0.45162230233094541, 0.44249767886871011),
        (-0.37420133621706930, 0.18964186237230413),
        (-0.21935940398931641, -0.20544535090332955),
        (0.01290349435231270, -0.52151512152383650),
        (0.32258735880781814, -0.42669419033768435),
        (0.70969218937720013, 0.52151512152383650),
    ]
    assert recipe.design.fixed_names[1:] == ("poly(x, 2)1", "poly(x, 2)2")
    np.testing.assert_allclose(recipe.design.rows.X[:, 1:], expected, rtol=1e-10)
    new = recipe.encode(pd.DataFrame({"x": [3, 5], "g": ["A", "A"]}))
    expected = [
        (-0.29678037010319280, -0.026339147551708884),
        (-0.14193843787544005, -0.347676747682557685),
    ]
    np.testing.assert_allclose(new.X[:, 1:], expected, rtol=1e-10)
    text = "y ~ 0 + scale(x) + scale(x, center = FALSE) + center(x) + (1 | g)"
    recipe = build(text.replace(" + center(x)", ""), once)
    expected = [(-1.009858168166955839, 0.10576238616172540)]
    np.testing.assert_allclose(recipe.design.rows.X[:1], expected, rtol=1e-10)
    raw = build("y ~ poly(x, 2, raw = TRUE) + (1 | g)", once).design.rows.X
    np.testing.assert_array_equal(raw[:, 1:], [(v, v**2) for v in x])
    centred = build("y ~ center(x) + (1 | g)", once).design.rows.X
    np.testing.assert_allclose(centred[:, 1], np.array(x) - np.mean(x), rtol=EXACT)


def test_functions_are_evaluated():
    data = small_frame()
    text = 'y ~ 0 + I(x^2 / w) + log(w, 2) + sin(2 * pi * w) + I(a == "q") + I(-w %% 2)'
    X = build(f"{text} + (1 | g)", data).design.rows.X
    x, w, a = data["x"], data["w"], data["a"]
    expected = np.column_stack(
        [x**2 / w, np.log2(w), np.sin(2 * np.pi * w), a != "q", a == "q", -w % 2]
    )
    np.testing.assert_allclose(X, expected, rtol=EXACT, atol=EXACT)


def test_every_allowed_function_is_evaluated():
    elsewhere = {"I", "scale", "center", "poly", "factor", "C", "offset"}
    elsewhere |= {"bs", "ns"}
    assert set(FUNCTIONS) | elsewhere == set(ALLOWED_FUNCTIONS)


def test_variables_have_the_names_of_bambi(public_data):
    recipe = build(
        "weight ~ treatment*sex + litsize + (1|litter)", public_data("rat_pup")
    )
    assert [(v.name, v.columns, v.coords) for v in recipe.design.fixed] == [
        ("Intercept", (0,), ()),
        ("treatment", (1, 2), ("High", "Low")),
        ("sex", (3,), ("Male",)),
        ("litsize", (4,), ()),
        ("treatment:sex", (5, 6), ("High, Male", "Low, Male")),
    ]
    recipe = build("score ~ Machine + (Machine | Worker)", public_data("Machines"))
    (term,) = recipe.design.groups
    assert [(v.name, v.expr, v.effects, v.coords) for v in term.variables] == [
        ("1|Worker", "1", (0,), ()),
        ("Machine|Worker", "Machine", (1, 2), ("B", "C")),
    ]
    assert term.effects == ("Intercept", "Machine[B]", "Machine[C]")
    assert term.levels == ("6", "2", "4", "1", "3", "5")
    assert list(recipe.design.space.labels[3:6]) == [
        "1|Worker_sigma",
        "Machine|Worker_sigma[B]",
        "Machine|Worker_sigma[C]",
    ]


@pytest.mark.parametrize("lhs", ["poly(x, 2):a", "a:poly(x, 2)", "poly(x, 2)*b"])
def test_variables_and_columns_keep_one_order(lhs):
    design = build(f"y ~ {lhs} + (1 | g)").design
    assert [c for v in design.fixed for c in v.columns] == list(range(design.p))
    assert len(set(design.fixed_names)) == design.p


# --- groups ---------------------------------------------------------------------------


def test_nested_groups_have_observed_cells_only(public_data):
    recipe = build("strength ~ 1 + (1 | batch/cask)", public_data("Pastes"))
    batch, cask = recipe.design.groups
    assert (batch.group, cask.group) == ("batch", "batch:cask")
    assert (batch.n_levels, cask.n_levels) == (10, 30)
    data = public_data("Pastes")
    codes = recipe.design.rows.codes[1]
    assert [cask.levels[code] for code in codes] == list(data["sample"])
    half = data[(data["batch"] != "C") | (data["cask"] == "b")]
    cask = build("strength ~ 1 + (1 | batch/cask)", half).design.groups[1]
    assert cask.levels[5:9] == ("B:c", "C:b", "D:a", "D:b")


@given(
    codes=st.lists(
        st.tuples(st.sampled_from("zab"), st.integers(-2, 12)), min_size=8, max_size=40
    )
)
def test_interaction_levels_are_the_sorted_pairs(codes):
    pairs = sorted(set(codes))
    if not 1 < len(pairs) < len(codes):
        return
    data = pd.DataFrame(codes, columns=["a", "b"]).assign(y=range(len(codes)))
    design = build("y ~ 1 + (1 | a:b)", data).design
    assert design.groups[0].levels == tuple(f"{a}:{b}" for a, b in pairs)
    assert [pairs[code] for code in design.rows.codes[0]] == codes


def test_level_labels_that_would_coincide_are_refused():
    data = small_frame().assign(
        a=["A:b", "A"] * 12, b=["c", "b:c"] * 12, y=np.arange(24.0)
    )
    data.loc[0, "b"] = "d"
    with pytest.raises(DataError, match=r"both be called 'A:b:c'"):
        build("y ~ 1 + (1 | a:b)", data)


def test_numbers_sort_as_numbers_and_lose_their_point():
    data = small_frame().assign(g=[10.0, 9.0, 2.5, 10.0] * 6)
    assert build("y ~ 1 + (1 | g)", data).design.groups[0].levels == ("2.5", "9", "10")
    ids = np.array([2**53, 2**53 + 1] * 12)  # one number as a float
    data = small_frame().assign(g=ids)
    levels = build("y ~ 1 + (1 | g)", data).design.groups[0].levels
    assert levels == ("9007199254740992", "9007199254740993")


def test_declared_order_of_categories_is_kept():
    data = small_frame()
    data["a"] = pd.Categorical(data["a"], categories=["r", "none", "p", "q"])
    recipe = build("y ~ a + (1 | g)", data)
    assert recipe.design.fixed_names == ("Intercept", "a[p]", "a[q]")
    assert recipe.design.account.unused_levels == {"a": ("none",)}


@given(st.permutations(["A", "B", "C", "D", "none"]))
def test_order_of_categories_is_the_order_of_levels(order):
    data = small_frame()
    names = data["g"].tolist()
    data["g"] = pd.Categorical(names, categories=order)
    design = build("y ~ x + (x | g)", data).design
    levels = design.groups[0].levels
    assert levels == tuple(level for level in order if level != "none")
    assert [levels[code] for code in design.rows.codes[0]] == names


# --- rows -----------------------------------------------------------------------------


def test_dropped_rows_are_accounted_for():
    data = small_frame()
    data.loc[data["g"] == "B", "x"] = np.nan
    data.loc[[0, 3], "y"] = np.nan
    data["a"] = data["a"].where(data["a"] != "p", None)
    recipe = build("y ~ x + a + (1 | g)", data)
    account = recipe.design.account
    complete = data.drop(columns=["w", "flag"]).notna().all(axis=1)
    assert (account.n_rows, account.n_used) == (24, int(complete.sum()))
    assert account.missing == {"y": 2, "x": 6, "a": 8}
    assert account.groups_lost == {"g": ("B",)}
    np.testing.assert_array_equal(recipe.design.rows.position, np.flatnonzero(complete))
    np.testing.assert_array_equal(recipe.design.rows.y, data["y"][complete])
    assert recipe.design.groups[0].levels == ("A", "C", "D")


def test_columns_that_are_not_used_may_be_anything():
    data = small_frame()
    when, mixed = pd.Timestamp("2020-01-01"), [1, "a"] * 12
    data = data.assign(x2=np.inf, when=when, mixed=mixed, gap=np.nan)
    assert build("y ~ x + (1 | g)", data).design.n == 24


def test_weights_and_offsets_follow_the_rows():
    data = small_frame().assign(size=np.arange(1.0, 25.0))
    data.loc[4, "x"] = np.nan
    for weights in ("size", data["size"], data["size"].to_numpy(), list(data["size"])):
        recipe = build("y ~ x + offset(2 * w) + (1 | g)", data, weights=weights)
        expected = np.delete(np.arange(1.0, 25.0), 4)
        np.testing.assert_array_equal(recipe.design.rows.weights, expected)
    expected = 2 * np.delete(data["w"].to_numpy(), 4)
    np.testing.assert_allclose(recipe.design.rows.offset, expected, rtol=EXACT)


def test_frame_holds_the_evaluated_variables():
    recipe = build("log(w) ~ a + poly(x, 2) + (x | g:b) + (1 | b)")
    columns = recipe.coding.variables
    assert set(columns) == {"log(w)", "x", "a", "poly(x, 2)"}
    assert columns["poly(x, 2)"].values.shape == (24, 2)
    assert columns["a"].levels == ("p", "q", "r")
    assert set(recipe.coding.groups) == {"g:b", "b"}
    assert recipe.coding.groups["g:b"].levels[:2] == ("A:u", "A:v")


def test_other_families_take_flags_factors_and_trials():
    data = small_frame().assign(s=np.arange(24) % 5, f=np.arange(24) % 3)
    recipe = build("flag ~ x + (1 | g)", data, gaussian=False)
    np.testing.assert_array_equal(recipe.design.rows.y, data["flag"].astype(float))
    recipe = build("b ~ x + (1 | g)", data, gaussian=False)
    np.testing.assert_array_equal(recipe.design.rows.y, data["b"] == "v")
    assert recipe.response_levels == ("u", "v")
    recipe = build("cbind(s, f) ~ x + (1 | g)", data, gaussian=False)
    np.testing.assert_array_equal(recipe.design.rows.y, data["s"])
    np.testing.assert_array_equal(recipe.trials, data["s"] + data["f"])
    # An effect for each row is fine where there is no residual variance.
    data = data.assign(row=np.arange(24))
    assert build("s ~ x + (1 | row)", data, gaussian=False).design.n == 24
