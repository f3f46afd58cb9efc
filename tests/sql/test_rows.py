"""Rows of a query are those of DuckDB's own way to Polars, whichever way they come."""

import duckdb
import polars as pl
import pytest

from harmony_pipeline.errors import DataError
from harmony_pipeline.lake import sql
from harmony_pipeline.lake.lake import Lake

VALUES = (
    "1::tinyint", "1::smallint", "1", "1::bigint", "1::utinyint", "1::uinteger", "1::ubigint",
    "2.5::float", "2.5::double", "'x'", "null::varchar", "true", "date '2024-01-01'",
    "timestamptz '2024-01-01 00:00:00Z'", "timestamp '2024-01-01'", "timestamp_ns '2024-01-01'",
    "[1, 2]", "['a', null]", "[[1.0]]", "{'a': 1}", "1.5::decimal(10, 2)", "1::hugeint",
    "time '12:00'", "'a'::blob", "uuid()::uuid is not null", "map {'k': 1}", "'a'::enum('a', 'b')",
    "null",
)  # fmt: skip


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return Lake(tmp_path_factory.mktemp("rows"))


@pytest.mark.parametrize("value", VALUES)
def test_every_kind_of_value(lake, value):
    text = f"select {value} as v, range as n from range(3)"
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        expected = connection.sql(text).pl()
    found = sql.query(lake, text)
    assert found.schema == expected.schema
    assert found.equals(expected)


def test_no_rows_many_rows_and_one_name_for_two_columns(lake):
    assert sql.query(lake, "select range as n from range(0)").schema == {"n": pl.Int64()}
    many = sql.query(lake, "select range as n, 'x' || range as s from range(300_000)")
    assert many["n"].equals(pl.Series("n", range(300_000)))
    assert many["s"][-1] == "x299999"
    assert sql.query(lake, "select 1 as v, 2 as v").row(0) == (1, 2)


def test_an_error_among_the_last_rows_is_told_by_duckdb(lake):
    late = "select case when range = 250_000 then error('too late') else range end from range(3e5)"
    with pytest.raises(DataError, match="too late"):
        sql.query(lake, late.replace("3e5", "300_000"))


@pytest.mark.parametrize("value", ["interval 1 day", "[interval 1 day]"])
def test_an_interval_is_refused_in_words(lake, value):
    with pytest.raises(DataError, match=r"column 'i' is an interval.*cast it to varchar"):
        sql.query(lake, f"select 1 as v, {value} as i")
    assert sql.query(lake, "select (interval 1 day)::varchar as i").item() == "1 day"


def test_a_query_that_names_no_view_opens_nothing(lake):
    assert sql.query(lake, "select 1 as v").item() == 1
    assert not list(lake.root.iterdir())
    assert "bars" in sql.query(lake, "show tables")["name"]
