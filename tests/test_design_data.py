"""Any library, any order of rows, new data, and the description of groups."""

import time

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from design_cases import build, read, small_frame
from hypothesis import given, strategies as st

from bayeslmm.design import (
    describe_table,
)
from bayeslmm.errors import DataError

# The same arithmetic by two routes.
EXACT = 1e-12

# A million rows build in about 0.1 s; a slow machine gets twenty times as long. Of CPU:
# the wall clock also counts what else runs.
MILLION_ROWS_SECONDS = 2.0

# --- laws -----------------------------------------------------------------------------

LAW_FORMULA = "y ~ x*a + scale(w) + (a | g) + (x || b:g)"


def designs_equal(one, other):
    ours, theirs = one.rows, other.rows
    np.testing.assert_allclose(ours.y, theirs.y, rtol=EXACT)
    np.testing.assert_allclose(ours.X, theirs.X, rtol=1e-10, atol=1e-12)
    assert one.fixed == other.fixed
    for s, t in zip(one.groups, other.groups, strict=True):
        assert (s.label, s.effects, s.levels, s.variables) == (
            t.label,
            t.effects,
            t.levels,
            t.variables,
        )
    np.testing.assert_equal(ours.codes, theirs.codes)
    for s, t in zip(ours.Z, theirs.Z, strict=True):
        np.testing.assert_allclose(s, t, rtol=1e-10, atol=1e-12)


@given(st.permutations(range(48)))
def test_order_of_rows_does_not_matter(order):
    data = small_frame(48)
    given_order = build(LAW_FORMULA, data).design
    permuted = build(LAW_FORMULA, data.iloc[order]).design
    ours, theirs = permuted.rows, given_order.rows
    np.testing.assert_allclose(ours.X, theirs.X[order], rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(ours.y, theirs.y[order])
    assert permuted.groups == given_order.groups
    np.testing.assert_equal(ours.codes, tuple(codes[order] for codes in theirs.codes))
    np.testing.assert_equal(ours.Z, tuple(Z[order] for Z in theirs.Z))


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
    start = time.process_time()
    design = build("y ~ x + (x | g)", data).design
    assert time.process_time() - start < MILLION_ROWS_SECONDS
    assert design.rows.Z[0].shape == (n, 2)
    assert design.groups[0].n_levels == 10_000


# --- new data -------------------------------------------------------------------------


@given(st.lists(st.integers(0, 47), min_size=1, max_size=20))
def test_encoding_old_rows_gives_their_rows(at):
    data = small_frame(48)
    recipe = build(LAW_FORMULA + " + offset(w)", data)
    new = recipe.encode(data.iloc[at])
    np.testing.assert_allclose(new.X, recipe.design.rows.X[at], rtol=EXACT)
    np.testing.assert_allclose(new.offset, data["w"].iloc[at], rtol=EXACT)
    rows = recipe.design.rows
    for t, (own, term) in enumerate(zip(new.groups, recipe.design.groups, strict=True)):
        np.testing.assert_array_equal(own.codes, rows.codes[t][at])
        np.testing.assert_array_equal(own.Z, rows.Z[t][at])
        assert list(own.labels) == [term.levels[code] for code in own.codes]


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
    new = recipe.encode(pd.DataFrame({"x": [1.0], "a": ["r"]}), words=("population",))
    np.testing.assert_array_equal(new.X, [[1.0, 1.0, 0.0, 1.0]])
    assert new.groups == (None,)


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


# --- numbers that are text in the new data --------------------------------------------


def of_ids(ids):
    data = small_frame()
    return data.assign(id=[ids[i % len(ids)] for i in range(len(data))])


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("fitted", "new", "levels"),
    [
        ([1, 2, 30], ["1.0", "30", " 2 ", "new"], ["1", "30", "2", None]),
        ([1.0, 2.5, 30.0], ["1", "2.50", "3e1", "4"], ["1", "2.5", "30", None]),
        (["01", "2.0", "x"], [1, 2, 1, 9], ["01", "2.0", "01", None]),
        (["1", "1.0", "x"], ["1.0", "1", "x", "1.00"], ["1.0", "1", "x", None]),
        ([True, False], ["True", "False"] * 2, ["True", "False"] * 2),
    ],
)
def test_a_number_given_as_text_is_matched_by_its_value(fitted, new, levels, streamed):
    """Text "1.0" was silently a new level of integers (#7, E20)."""
    recipe = read("y ~ x + (1 | id)", of_ids(fitted), streamed=streamed)
    group = recipe.encode(small_frame().iloc[:4].assign(id=new)).groups[0]
    known = recipe.design.groups[0].levels
    assert [known[code] if code >= 0 else None for code in group.codes] == levels
    wanted = [str(v) if lv is None else lv for v, lv in zip(new, levels, strict=True)]
    assert group.labels.tolist() == wanted


def test_a_new_level_has_one_name_for_a_value():
    recipe = read("y ~ x + (1 | id) + (1 | a:id)", of_ids([1, 2]))
    new = small_frame().iloc[[0, 3, 0, 3]].assign(id=["77", "77.0", "1", "1.0"])
    own, cell = recipe.encode(new).groups
    assert own.codes.tolist() == [-1, -1, 0, 0]
    assert own.labels.tolist() == ["77", "77", "1", "1"]
    assert cell.labels.tolist() == ["p:77", "p:77", "p:1", "p:1"]


def test_crossed_groups_and_factors_are_matched_by_value_too():
    recipe = read("y ~ factor(id) + (1 | a:id)", of_ids([1, 2]))
    new = small_frame().iloc[:4].assign(id=["1.0", "2", "1", "2.0"])
    plain = small_frame().iloc[:4].assign(id=[1, 2, 1, 2])
    assert recipe.encode(new).groups[0].codes.tolist() == [0, 3, 4, 1]
    assert recipe.encode(plain).groups[0].codes.tolist() == [0, 3, 4, 1]
    assert recipe.encode(new).X.tolist() == recipe.encode(plain).X.tolist()


@pytest.mark.parametrize(
    ("fitted", "new", "words"),
    [
        (["1", "1.0"], [1.0, 1.5], None),
        (["01", "1.0"], [1, 1], "have 2 levels of that value: '01', '1.0'"),
        (
            [True, False],
            ["yes", "no"],
            "is text .* was True and .* no 'no', 'yes'",
        ),
        ([True, False], [1, 0], "is numbers .* was True and False"),
        ([1, 0], [True, False], "is True and False .* was numbers"),
    ],
)
def test_what_cannot_be_matched_by_value_is_refused(fitted, new, words):
    recipe = read("y ~ x + (1 | id)", of_ids(fitted))
    new = small_frame().iloc[:2].assign(id=new)
    if words is None:  # the label itself decides first
        assert recipe.encode(new).groups[0].codes.tolist() == [0, -1]
        return
    with pytest.raises(DataError, match=words):
        recipe.encode(new)
