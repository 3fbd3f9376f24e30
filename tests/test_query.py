"""DuckDB queries as data: the numbers of memory, and a clear end to every fault."""

from pathlib import Path

import pytest
from test_stream import FORMULAS, assert_same_sums, make_frame

from bayeslmm import DataError, Model

duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed: extra 'big'")

ROWS = """SELECT i % 7 AS g, 'h' || (i % 3) AS h,
    (i % 5)::DECIMAL(9, 2) AS d, hash(i) % 1000 AS y, (i % 4)::HUGEINT AS k,
    i % 2 = 0 AS b, i % 13 AS "select" FROM range(20000) t(i)"""


@pytest.mark.filterwarnings("ignore::bayeslmm.DataWarning")  # the frame loses levels
@pytest.mark.parametrize("formula", FORMULAS)
def test_a_query_equals_memory(formula: str, tmp_path: Path) -> None:
    """A filter of a file, with text, flags and missing values.

    Parquet files have no categories: what pandas declared, DuckDB reads as text.
    """
    frame = make_frame().astype({"c": "str"})
    frame.to_parquet(tmp_path / "data.parquet", row_group_size=90)
    relation = duckdb.sql(f"FROM '{tmp_path / 'data.parquet'}' WHERE z > -1")
    memory = frame[frame["z"] > -1.0].reset_index(drop=True)
    assert_same_sums(
        Model(formula, memory, weights="w"), Model(formula, relation, weights="w")
    )


def test_types_of_sql_and_names_that_need_quotes() -> None:
    """Text, decimals, huge integers, flags; a column named as a word of SQL."""
    relation = duckdb.sql(ROWS)
    formula = "y ~ h + d + k + b + select + (d | g)"
    assert_same_sums(Model(formula, relation.df()), Model(formula, relation))


def test_the_connection_is_free_again() -> None:
    """After a fit and after an error no result of ours is left open."""
    connection = duckdb.connect()
    relation = connection.sql(ROWS)
    Model("y ~ d + (1 | g)", relation)
    assert connection.sql("SELECT 1").fetchall() == [(1,)]
    infinite = connection.sql("SELECT g, d, 'inf'::DOUBLE AS y FROM relation")
    with pytest.raises(DataError, match=r"In batch 1: .*infinite"):
        Model("y ~ d + (1 | g)", infinite)
    assert connection.sql("SELECT 1").fetchall() == [(1,)]


def test_a_query_that_cannot_be_run(tmp_path: Path) -> None:
    """Another result is open; a value late in a CSV file is no number."""
    connection = duckdb.connect()
    with (
        connection.sql("FROM range(9)").to_arrow_reader(1),
        pytest.raises(DataError, match="close other results of its connection"),
    ):
        Model("y ~ d + (1 | g)", connection.sql(ROWS))
    rows = [f"{i % 5},{i},{i * 2 % 7}" for i in range(30_000)]
    (tmp_path / "late.csv").write_text("\n".join(["g,x,y", *rows, "1,foo,3"]))
    relation = duckdb.read_csv(str(tmp_path / "late.csv"))
    with pytest.raises(DataError, match=r"could not run the query.*Line: 30002.*foo"):
        Model("y ~ x + (1 | g)", relation)


def test_what_is_no_relation_or_has_no_rows() -> None:
    """A connection holds a result that is gone after one reading."""
    connection = duckdb.connect()
    with pytest.raises(DataError, match=r"connection\.sql\(\.\.\.\) instead of"):
        Model("y ~ d + (1 | g)", connection.execute(ROWS))
    with pytest.raises(DataError, match="The query has no rows"):
        Model("y ~ d + (1 | g)", duckdb.sql(ROWS).filter("d < 0"))
