"""Formula and frame to arrays: R's columns, lme4's levels and checks, our account."""

import time

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from bayeslmm.datasets import simulate_classrooms
from bayeslmm.design import (
    FactorColumn,
    NumericColumn,
    build_design,
    describe_table,
    parameters,
)
from bayeslmm.design.evaluate import FUNCTIONS
from bayeslmm.design.matrices import code_terms, matrix_variables, model_matrix
from bayeslmm.errors import DataError, FormulaError
from bayeslmm.formula import ALLOWED_FUNCTIONS, parse_formula

# The same arithmetic by two routes.
EXACT = 1e-12

# A million rows build in about 0.1 s; a busy machine gets twenty times as long.
MILLION_ROWS_SECONDS = 2.0


def small_frame(n=24):
    """Two factors of 3 and 2 levels, two numbers, a flag, a grouping factor of 4."""
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "y": rng.normal(size=n),
            "x": rng.normal(size=n),
            "w": rng.uniform(1, 4, size=n),
            "a": np.tile(["p", "q", "r"], n // 3),
            "b": np.repeat(["u", "v"], n // 2),
            "flag": rng.random(n) < 0.5,
            "g": np.tile(np.repeat(["A", "B", "C", "D"], 3), n // 12),
        }
    )


def build(text, data=None, **settings):
    return build_design(
        parse_formula(text), small_frame() if data is None else data, **settings
    )


def matrix_of(lhs, data):
    """Model matrix and labels of a linear predictor, whatever its rank."""
    recipe = build(f"y ~ 1 + ({lhs} | g)", data)
    return recipe.design.groups[0].Z, recipe.design.groups[0].effects


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
    np.testing.assert_allclose(recipe.design.X[:, 1:], expected, rtol=1e-10)
    new = recipe.encode(pd.DataFrame({"x": [3, 5], "g": ["A", "A"]}))
    expected = [
        (-0.29678037010319280, -0.026339147551708884),
        (-0.14193843787544005, -0.347676747682557685),
    ]
    np.testing.assert_allclose(new.X[:, 1:], expected, rtol=1e-10)
    text = "y ~ 0 + scale(x) + scale(x, center = FALSE) + center(x) + (1 | g)"
    recipe = build(text.replace(" + center(x)", ""), once)
    expected = [(-1.009858168166955839, 0.10576238616172540)]
    np.testing.assert_allclose(recipe.design.X[:1], expected, rtol=1e-10)
    raw = build("y ~ poly(x, 2, raw = TRUE) + (1 | g)", once).design.X
    np.testing.assert_array_equal(raw[:, 1:], [(v, v**2) for v in x])
    centred = build("y ~ center(x) + (1 | g)", once).design.X
    np.testing.assert_allclose(centred[:, 1], np.array(x) - np.mean(x), rtol=EXACT)


def test_functions_are_evaluated():
    data = small_frame()
    text = 'y ~ 0 + I(x^2 / w) + log(w, 2) + sin(2 * pi * w) + I(a == "q") + I(-w %% 2)'
    X = build(f"{text} + (1 | g)", data).design.X
    x, w, a = data["x"], data["w"], data["a"]
    expected = np.column_stack(
        [x**2 / w, np.log2(w), np.sin(2 * np.pi * w), a != "q", a == "q", -w % 2]
    )
    np.testing.assert_allclose(X, expected, rtol=EXACT, atol=EXACT)


def test_every_allowed_function_is_evaluated():
    elsewhere = {"I", "scale", "center", "poly", "factor", "C", "offset"}
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
    assert [p.label for p in parameters(recipe.design)][3:6] == [
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
    assert [cask.levels[code] for code in cask.codes] == list(data["sample"])
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
    (term,) = build("y ~ 1 + (1 | a:b)", data).design.groups
    assert term.levels == tuple(f"{a}:{b}" for a, b in pairs)
    assert [pairs[code] for code in term.codes] == codes


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
    (term,) = build("y ~ x + (x | g)", data).design.groups
    assert term.levels == tuple(level for level in order if level != "none")
    assert [term.levels[code] for code in term.codes] == names


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
    np.testing.assert_array_equal(recipe.kept, np.flatnonzero(complete))
    np.testing.assert_array_equal(recipe.design.y, data["y"][complete])
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
        np.testing.assert_array_equal(recipe.design.weights, expected)
    expected = 2 * np.delete(data["w"].to_numpy(), 4)
    np.testing.assert_allclose(recipe.design.offset, expected, rtol=EXACT)


def test_frame_holds_the_evaluated_variables():
    frame = build("log(w) ~ a + poly(x, 2) + (x | g:b) + (1 | b)").frame
    assert set(frame.columns) == {"log(w)", "x", "a", "poly(x, 2)"}
    assert frame.columns["poly(x, 2)"].values.shape == (24, 2)
    assert frame.columns["a"].levels == ("p", "q", "r")
    assert set(frame.groups) == {"g:b", "b"}
    assert frame.groups["g:b"].levels[:2] == ("A:u", "A:v")


def test_other_families_take_flags_factors_and_trials():
    data = small_frame().assign(s=np.arange(24) % 5, f=np.arange(24) % 3)
    recipe = build("flag ~ x + (1 | g)", data, gaussian=False)
    np.testing.assert_array_equal(recipe.design.y, data["flag"].astype(float))
    recipe = build("b ~ x + (1 | g)", data, gaussian=False)
    np.testing.assert_array_equal(recipe.design.y, data["b"] == "v")
    assert recipe.response_levels == ("u", "v")
    recipe = build("cbind(s, f) ~ x + (1 | g)", data, gaussian=False)
    np.testing.assert_array_equal(recipe.design.y, data["s"])
    np.testing.assert_array_equal(recipe.trials, data["s"] + data["f"])
    # An effect for each row is fine where there is no residual variance.
    data = data.assign(row=np.arange(24))
    assert build("s ~ x + (1 | row)", data, gaussian=False).design.n == 24


# --- laws -----------------------------------------------------------------------------

LAW_FORMULA = "y ~ x*a + scale(w) + (a | g) + (x || b:g)"


def designs_equal(one, other):
    np.testing.assert_allclose(one.y, other.y, rtol=EXACT)
    np.testing.assert_allclose(one.X, other.X, rtol=1e-10, atol=1e-12)
    assert one.fixed == other.fixed
    for s, t in zip(one.groups, other.groups, strict=True):
        assert (s.label, s.effects, s.levels, s.variables) == (
            t.label,
            t.effects,
            t.levels,
            t.variables,
        )
        np.testing.assert_array_equal(s.codes, t.codes)
        np.testing.assert_allclose(s.Z, t.Z, rtol=1e-10, atol=1e-12)


@given(st.permutations(range(48)))
def test_order_of_rows_does_not_matter(order):
    data = small_frame(48)
    given_order = build(LAW_FORMULA, data).design
    permuted = build(LAW_FORMULA, data.iloc[order]).design
    back = np.argsort(order)
    restored = build(LAW_FORMULA, data.iloc[order].iloc[back]).design
    designs_equal(given_order, restored)
    np.testing.assert_allclose(permuted.X, given_order.X[order], rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(permuted.y, given_order.y[order])
    for s, t in zip(permuted.groups, given_order.groups, strict=True):
        assert s.levels == t.levels
        np.testing.assert_array_equal(s.codes, t.codes[order])
        np.testing.assert_array_equal(s.Z, t.Z[order])


def frames_of(data):
    """The same data in each library, categoricals in the same order."""
    kinds = {
        c: pl.Enum(list(data[c].cat.categories)) for c in data.select_dtypes("category")
    }
    polars = pl.from_pandas(data.astype(dict.fromkeys(kinds, str))).cast(kinds)
    nullable = data.convert_dtypes()
    return [polars, pa.Table.from_pandas(data), nullable, data.astype({"a": object})]


def test_libraries_agree():
    data = small_frame(48)
    data["g"] = pd.Categorical(data["g"], categories=["D", "B", "E", "A", "C"])
    data.loc[[3, 9], "x"] = np.nan
    data.loc[5, "a"] = None
    data["flag"] = data["flag"].astype("boolean")
    data.loc[7, "flag"] = pd.NA
    text = LAW_FORMULA + " + flag"
    expected = build(text, data)
    assert expected.design.n == 44
    for frame in frames_of(data):
        recipe = build(text, frame)
        designs_equal(expected.design, recipe.design)
        assert recipe.design.account == expected.design.account


def test_polars_categorical_has_sorted_levels():
    pl.Series(["zz", "D", "B"], dtype=pl.Categorical)  # other columns share its cache
    frame = pl.from_pandas(small_frame()).cast({"g": pl.Categorical})
    levels = build("y ~ x + (1 | g)", frame.reverse()).design.groups[0].levels
    assert levels == ("A", "B", "C", "D")


def test_a_million_rows_build_in_a_moment():
    rng = np.random.default_rng(0)
    n = 1_000_000
    data = pd.DataFrame({"y": rng.normal(size=n), "x": rng.normal(size=n)})
    data["g"] = pd.Series(rng.integers(0, 10_000, size=n)).astype(str)
    start = time.perf_counter()
    (term,) = build("y ~ x + (x | g)", data).design.groups
    assert time.perf_counter() - start < MILLION_ROWS_SECONDS
    assert (term.Z.shape, term.n_levels) == ((n, 2), 10_000)


# --- new data -------------------------------------------------------------------------


@given(st.lists(st.integers(0, 47), min_size=1, max_size=20))
def test_encoding_old_rows_gives_their_rows(at):
    data = small_frame(48)
    recipe = build(LAW_FORMULA + " + offset(w)", data)
    new = recipe.encode(data.iloc[at])
    np.testing.assert_allclose(new.X, recipe.design.X[at], rtol=EXACT)
    np.testing.assert_allclose(new.offset, data["w"].iloc[at], rtol=EXACT)
    for s, t in zip(new.groups, recipe.design.groups, strict=True):
        np.testing.assert_array_equal(s.codes, t.codes[at])
        np.testing.assert_array_equal(s.Z, t.Z[at])
        assert list(s.labels) == [t.levels[code] for code in t.codes[at]]


def test_unseen_groups_have_code_minus_one():
    recipe = build(
        "y ~ x + (1 | g) + (1 | g:b)", small_frame().query("g < 'D' or b > 'u'")
    )
    rows = [("A", "v"), ("E", "u"), ("D", "u"), ("D", "v"), ("A", "w")]
    new = pd.DataFrame(rows, columns=["g", "b"]).assign(x=0.0)
    g, cell = recipe.encode(new).groups
    assert g.codes.tolist() == [0, -1, 3, 3, 0]
    assert [recipe.design.groups[1].levels[c] for c in cell.codes[[0, 3]]] == [
        "A:v",
        "D:v",
    ]
    assert cell.codes[[1, 2, 4]].tolist() == [-1, -1, -1]
    assert cell.labels.tolist() == ["A:v", "E:u", "D:u", "D:v", "A:w"]


def test_groups_are_not_needed_without_random_effects():
    recipe = build("y ~ x + a + (1 | g)")
    new = recipe.encode(pd.DataFrame({"x": [1.0], "a": ["r"]}), random=False)
    np.testing.assert_array_equal(new.X, [[1.0, 1.0, 0.0, 1.0]])
    assert new.groups == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"a": "new"},
            r"factor 'a' has in the new data the level 'new'.*'p', 'q', 'r'",
        ),
        ({"x": np.nan}, r"'x' of the new data is missing in 3 of 3 rows"),
        ({"x": "much"}, r"'x' is a factor in the new data and was numeric"),
        ({"a": 1.0}, r"'a' is numeric in the new data and was a factor"),
    ],
)
def test_new_data_that_do_not_fit(change, words):
    recipe = build("y ~ x + a + (1 | g)")
    with pytest.raises(DataError, match=words):
        recipe.encode(small_frame().iloc[:3].assign(**change))


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
        ("score ~ same + (1 | classroom)", "dependent: 'same' = 3 'Intercept'"),
        (
            "score ~ edu + twice + (1 | classroom)",
            "dependent: 'twice' = 1 'Intercept' [+] 2 'edu'",
        ),
        (
            "score ~ edu + sex:twice + (1 | classroom)",
            r"'sex:twice\[m\]' = 1 'Intercept' [+] 2 'edu' - 1 'sex:twice\[f\]'",
        ),
        ("p(row, edu) ~ u + (1 | classroom)", "family='binomial'"),
        ("score ~ edu + offset(sex) + (1 | classroom)", r"offset\(sex\) is not one"),
    ],
)
def test_data_that_cannot_be_used(text, words):
    with pytest.raises(DataError, match=words):
        build(text, bad_frame())


def test_empty_cell_is_named():
    data = small_frame().query("a != 'q' or b != 'v'")
    with pytest.raises(DataError, match=r"'a:b\[q, v\]': zero in every row"):
        build("y ~ a*b + (1 | g)", data)


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
    data = small_frame().iloc[[0, 1, 3, 4, 9, 13]]
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


# --- description ----------------------------------------------------------------------


def test_description_of_groups(public_data):
    table = describe_table(
        build("strength ~ 1 + (1 | batch/cask)", public_data("Pastes")).design
    )
    assert table.index.tolist() == ["batch", "batch:cask"]
    assert table["levels"].tolist() == [10, 30]
    assert table["relation"].tolist() == ["contains batch:cask", "nested in batch"]
    assert table["balanced"].all()
    design = build(
        "diameter ~ 1 + (1 | plate) + (1 | sample)", public_data("Penicillin")
    ).design
    assert describe_table(design)["relation"].tolist() == [
        "crossed with sample",
        "crossed with plate",
    ]
    data = small_frame().query("g != 'A' or a != 'p'")
    table = describe_table(
        build("y ~ 1 + (1 | g) + (0 + x | g) + (1 | a)", data).design
    )
    assert table.index.tolist() == ["g", "a"]
    assert table.loc["g", ["smallest", "median", "largest"]].tolist() == [4, 6.0, 6]
    assert not table["balanced"]["g"]
    assert table["relation"]["g"] == "partly crossed with a (92% of combinations)"
