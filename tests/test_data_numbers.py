"""Levels that are numbers are compared exactly, whatever type holds them (#7, A3)."""

from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from design_cases import read
from hypothesis import given, strategies as st

from bayeslmm.data.numbers import alike, exact_numbers, level_name, union
from bayeslmm.design import build_design
from bayeslmm.design.distinct import NumberSet, number_codes
from bayeslmm.design.source import open_source
from bayeslmm.errors import DataError
from bayeslmm.formula import parse_formula
from bayeslmm.marginal.stream import stream_model

FORMULA = parse_formula("y ~ x + (1 | id)")
FIRST = 2**53  # this and the next are one double
IDS = [FIRST + i for i in range(6)]
N = 24


def columns():
    """Response, a predictor, and ids of which the last row has none."""
    rng = np.random.default_rng(0)
    ids = [IDS[i % 6] for i in range(N - 1)]
    return rng.normal(size=N), rng.normal(size=N), [*ids, None]


def frame_of(ids):
    """A pandas frame with a column of ids as it is given."""
    y, x, _ = columns()
    return pd.DataFrame({"y": y, "x": x, "id": ids})


def carriers():
    """The same ids in everything that can hold them."""
    y, x, ids = columns()
    wide = {"y": y, "x": x, "id": ids}
    decimals = [None if v is None else Decimal(v) for v in ids]
    filled = [FIRST if v is None else v for v in ids]
    arrow = pa.array(ids, pa.int64())
    return {
        "Int64": frame_of(pd.array(ids, dtype="Int64")),
        "UInt64": frame_of(pd.array(ids, dtype="UInt64")),
        "object integers": frame_of(pd.Series(ids, dtype=object)),
        "object decimals": frame_of(pd.Series(decimals, dtype=object)),
        "arrow integers in pandas": frame_of(pd.Series(ids, dtype="int64[pyarrow]")),
        "arrow decimals in pandas": frame_of(
            pd.Series(decimals, dtype=pd.ArrowDtype(pa.decimal128(38, 2)))
        ),
        "int64": frame_of(filled).iloc[:-1],
        "polars Int64": pl.DataFrame(wide),
        "polars Int128": pl.DataFrame(wide, schema_overrides={"id": pl.Int128}),
        "polars UInt128": pl.DataFrame(wide, schema_overrides={"id": pl.UInt128}),
        "polars Decimal": pl.DataFrame(wide).with_columns(
            pl.col("id").cast(pl.Decimal(38, 2))
        ),
        "arrow int64": pa.table({"y": y, "x": x, "id": arrow}),
        "arrow decimal128": pa.table(
            {"y": y, "x": x, "id": arrow.cast(pa.decimal128(38, 3))}
        ),
        "arrow decimal256": pa.table(
            {"y": y, "x": x, "id": arrow.cast(pa.decimal256(50, 3))}
        ),
    }


@pytest.mark.parametrize("kind", carriers())
@pytest.mark.parametrize("streamed", [False, True])
def test_ids_beyond_2_53_stay_apart(kind, streamed):
    data = carriers()[kind]
    recipe = read("y ~ x + (1 | id)", data, streamed=streamed)
    term = recipe.design.groups[0]
    assert term.levels == tuple(map(str, IDS))
    assert list(recipe.design.moments.sizes[0]) == [4, 4, 4, 4, 4, 3]
    new = recipe.encode(data.iloc[:5] if isinstance(data, pd.DataFrame) else data[:5])
    assert list(new.groups[0].codes) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("streamed", [False, True])
def test_ids_beyond_64_bits_stay_apart(streamed):
    """Python's integers, and those of 128 bits with 39 digits."""
    ids = [2**127 - 1 - i for i in range(4)] * 6
    python = frame_of(pd.Series(ids, dtype=object))
    wide = pl.DataFrame({"y": python["y"], "x": python["x"], "id": ids})
    for data in (python, wide.with_columns(pl.col("id").cast(pl.UInt128))):
        design = read("y ~ x + (1 | id)", data, streamed=streamed).design
        assert design.groups[0].levels == tuple(map(str, sorted(ids[:4])))


def test_ids_of_a_query_stay_apart():
    """DuckDB's HUGEINT, the type of its sums, comes as decimals."""
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    y, x, ids = columns()
    frame = pl.DataFrame({"y": y, "x": x, "id": ids}).to_pandas()
    frame["text"] = [None if v is None else str(v) for v in ids]
    connection = duckdb.connect()
    connection.register("frame", frame)
    query = connection.sql("SELECT y, x, text::HUGEINT * 10000000000 AS id FROM frame")
    source = open_source(query)
    assert source is not None
    design = stream_model(FORMULA, source, threads=1).recipe.design
    assert design.groups[0].levels == tuple(str(v * 10**10) for v in IDS)


@pytest.mark.parametrize(
    ("dtype", "scale", "words"),
    [("float64", 1.0, r"2\*\*53"), ("float32", 2.0**-29, r"2\*\*24")],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_floats_that_cannot_hold_their_ids_are_refused(dtype, scale, words, streamed):
    """An int64 column with a missing value that pandas read as float."""
    ids = pd.Series(columns()[2], dtype="float64") * scale
    data = frame_of(ids.astype(dtype))
    with pytest.raises(DataError, match=f"'id' is a factor.*{words}.*'Int64'"):
        read("y ~ x + (1 | id)", data, streamed=streamed)


def test_new_data_whose_floats_cannot_hold_their_ids_are_refused():
    recipe = build_design(FORMULA, carriers()["Int64"])
    new = frame_of(columns()[2]).iloc[:3].astype({"id": float})
    with pytest.raises(DataError, match="different codes would become one level"):
        recipe.encode(new)


def test_categories_that_are_floats_and_computed_codes_are_refused():
    floats = frame_of(columns()[2]).iloc[:-1].astype({"id": float})
    category = floats.astype({"id": "category"})
    with pytest.raises(DataError, match=r"'id' is a factor.*2\*\*53"):
        build_design(FORMULA, category)
    computed = parse_formula("y ~ factor(id * 1) + (1 | g)")
    data = carriers()["int64"].assign(g=["a", "b"] * 11 + ["a"])
    with pytest.raises(DataError, match="is computed with floats"):
        build_design(computed, data)


def test_integers_and_floats_of_two_batches_are_one_column():
    """Whole numbers of the first batch were lost when the second had floats."""
    small = frame_of([i % 4 for i in range(N)])
    batches = [small.iloc[:8], small.iloc[8:].astype({"id": float})]
    source = open_source([pa.Table.from_pandas(b) for b in batches])
    assert source is not None
    streamed = stream_model(FORMULA, source, threads=1)
    assert streamed.recipe.design.groups[0].levels == ("0", "1", "2", "3")


numbers = st.one_of(
    st.integers(-(2**70), 2**70),
    st.integers(0, 2**64 - 1),
    st.integers(-(10**9), 10**9).map(lambda v: v / 8),
)


@given(st.lists(st.lists(numbers, min_size=1, max_size=6), min_size=1, max_size=5))
def test_batches_of_any_types_merge_no_two_numbers(batches):
    """Python's own comparison of integers and floats is exact: the oracle."""
    found = NumberSet()
    for batch in batches:
        found.see(exact_numbers(batch))
    expected = sorted({value for batch in batches for value in batch})
    assert found.values().tolist() == expected
    codes = number_codes(found.values())
    for batch in batches:
        assert [expected[c] for c in codes.codes("id", exact_numbers(batch))] == batch


@pytest.mark.parametrize("unseen", [3.0, 2.5, -1.0, 1e300, 2**40])
@pytest.mark.parametrize("levels", [[1, 2, 4], [1.0, 2.0, 4.0], [0.5, 2.0, 4.0]])
def test_a_number_that_is_no_level_has_no_code(levels, unseen):
    """Whole floats are looked up in the table of the integers."""
    found = NumberSet()
    found.see(np.array(levels))
    codes = number_codes(found.values())
    assert codes.codes("id", np.array([4.0, 2.0, 4.0])).tolist() == [2, 1, 2]
    with pytest.raises(DataError, match="'id' has the value"):
        codes.codes("id", np.array([2.0, unseen]))


def test_common_type_is_that_of_the_values_not_of_numpy():
    signed, unsigned = np.array([-1, FIRST + 1]), np.array([FIRST], dtype=np.uint64)
    assert union([signed, unsigned]).tolist() == [-1, FIRST, FIRST + 1]
    assert {a.dtype.kind for a in alike([signed, unsigned])} == {"i"}
    assert union([np.array([2**60 + 1]), np.array([0.5])]).tolist() == [0.5, 2**60 + 1]


@pytest.mark.parametrize(
    ("given_values", "kind", "labels"),
    [
        ([Decimal("1.10"), Decimal(2)], "f", ["1.1", "2"]),
        ([Decimal("0.1"), Decimal("0.1000000000000000001")], "O", None),
        ([Decimal(2**60), Decimal("3.0")], "i", [str(2**60), "3"]),
        ([2**64, 1], "O", [str(2**64), "1"]),
        ([2**63, 1], "u", [str(2**63), "1"]),
        ([1.5, 2], "f", ["1.5", "2"]),
        ([float(FIRST - 1)], "f", [str(FIRST - 1)]),
    ],
)
def test_numbers_take_the_narrowest_type_that_holds_them(given_values, kind, labels):
    found = exact_numbers(given_values)
    assert found.dtype.kind == kind
    assert len(set(found.tolist())) == len(given_values)
    if labels:
        assert [level_name(value) for value in found.tolist()] == labels


def test_decimals_of_arrow_are_the_doubles_next_to_them():
    """Arrow's cast gives 0.30000000000000004 for 0.3: another level's name."""
    table = pa.table(
        {
            "y": np.arange(8.0) ** 2,
            "f": pa.array(["0.3", "0.7"] * 4).cast(pa.decimal128(38, 1)),
        }
    )
    recipe = build_design(parse_formula("y ~ 1 + (1 | f)"), table)
    assert recipe.design.groups[0].levels == ("0.3", "0.7")
    design = build_design(parse_formula("y ~ f + (1 | factor(f))"), table).design
    assert design.rows.X[:2, 1].tolist() == [0.3, 0.7]


# --- dictionaries of Arrow ------------------------------------------------------------


def repeated_dictionary(values, n=24):
    """Rows 0, 1, 2, 3, missing in turn, of a dictionary that repeats its values."""
    rng = np.random.default_rng(1)
    at = [None if i % 5 == 4 else i % 5 for i in range(n)]
    column = pa.DictionaryArray.from_arrays(pa.array(at, pa.int8()), values)
    x = pa.array(rng.normal(size=n))
    return pa.table({"y": rng.normal(size=n), "x": x, "f": column})


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("values", "levels"),
    [
        (pa.array(["b", "a", "b", "c"]), ("b", "a", "c")),
        (pa.array(["b", "a", "b", None]), ("b", "a")),
        (pa.array([2.0, 1.5, 2.0, 7.0]), ("2", "1.5", "7")),
        (pa.array([FIRST + 1, 1, FIRST + 1, FIRST]), (f"{FIRST + 1}", "1", f"{FIRST}")),
    ],
)
def test_a_dictionary_may_hold_a_value_twice(values, levels, streamed):
    """pandas: "Categorical categories must be unique", a traceback."""
    table = repeated_dictionary(values)
    decoded = [None if v is None else level_name(v) for v in table["f"].to_pylist()]
    rows = [v for v in decoded if v is not None]
    group = read("y ~ x + (1 | f)", table, streamed=streamed)
    assert group.design.groups[0].levels == levels
    assert list(group.design.moments.sizes[0]) == [rows.count(lv) for lv in levels]
    fixed = read("y ~ f + (1 | f)", table, streamed=streamed).design
    assert fixed.moments.X.mean[1] == pytest.approx(rows.count(levels[1]) / len(rows))
    assert list(group.encode(table[:3]).groups[0].codes) == [0, 1, 0]


@pytest.mark.parametrize("streamed", [False, True])
def test_a_text_is_compared_with_every_entry_of_its_value(streamed):
    """Also in the first pass, which scale() needs."""
    table = repeated_dictionary(pa.array(["b", "a", "b", "c"]))
    table = table.append_column("g", pa.array(["u", "v", "w"] * 8))
    recipe = read('y ~ scale(I(f == "b") * 1) + (1 | g)', table, streamed=streamed)
    share = recipe.coding.memory['scale(I(f == "b") * 1)'][0]
    rows = table["f"].drop_null().to_pylist()
    assert share == pytest.approx(rows.count("b") / len(rows))


@pytest.mark.parametrize("streamed", [False, True])
def test_chunks_have_dictionaries_of_their_own(streamed):
    parts = [
        repeated_dictionary(pa.array(["b", "a", None, "c"])),
        repeated_dictionary(pa.array(["c", "d", "c", "a"])),
    ]
    recipe = read("y ~ x + (1 | f)", pa.concat_tables(parts), streamed=streamed)
    assert recipe.design.groups[0].levels == ("b", "a", "c", "d")
    assert list(recipe.design.moments.sizes[0]) == [5, 10, 15, 5]


def test_a_decimal_is_one_level_in_all_batches():
    """A batch with one long decimal holds all as decimals, others as floats."""
    y, x, _ = columns()
    short = pa.array(["0.1", "0.3"] * 12).cast(pa.decimal128(38, 20))
    long = pa.array(["0.1", "0.30000000000000000001"] * 12).cast(short.type)
    tables = [pa.table({"y": y, "x": x, "id": ids}) for ids in (short, long)]
    for parts in (tables, tables[::-1]):
        source = open_source(parts)
        assert source is not None
        design = stream_model(FORMULA, source, threads=1).recipe.design
        assert design.groups[0].levels == ("0.1", "0.3", "0.30000000000000000001")
        assert list(design.moments.sizes[0]) == [24, 12, 12]
        memory = build_design(FORMULA, pa.concat_tables(parts)).design
        assert memory.groups[0].levels == design.groups[0].levels
