"""A view's sort is left out just where nobody can see it."""

import re

import polars as pl
import pytest
from lake.lake_rows import many_bars

from harmony_pipeline.lake import sql
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.lake.sql_sorts import drop_unseen_sorts

UNSEEN = [
    "select count(*) as n from bars",
    "select symbol, sum(volume) as v from bars group by symbol order by symbol",
    "select count(distinct symbol) as n from bars where close > 3",
    "select a.symbol, max(a.close) as m from bars a join bars b using (symbol, timestamp) group by a.symbol order by a.symbol",
    "with daily as (select symbol, partition, max(high) as high from bars group by all) select avg(high) as h from daily",
]
SEEN = [
    "select symbol, timestamp, close from bars",
    "select * from bars limit 7",
    "select symbol, first(close) as f, last(close) as l from bars group by symbol order by symbol",
    "select list(close) as c from bars",
    "select max(n) as n from (select row_number() over () as n, close from bars) where n < 100 and close > 10.5",
    "select sum(close) as s from (select close from bars limit 150)",
    "select symbol, close, (select max(close) from bars) as top from bars",
]


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    lake = Lake(tmp_path_factory.mktemp("sorted")).open()
    for number, key in enumerate(("2024-01", "2024-02")):
        lake.write("bars", key, many_bars(symbols=5, minutes=30).with_columns(pl.col("timestamp").dt.offset_by(f"{number}mo")))
    return lake


def sorts(lake: Lake, text: str) -> int:
    with sql.connect(lake, names={"bars"}) as connection:
        drop_unseen_sorts(connection, text, None, {"bars": sql._twins(lake, "bars")})
        return len(re.findall(r'"symbol ASC",\s*"timestamp ASC"', connection.sql(f"explain (format json) {text}").fetchall()[0][1]))


@pytest.mark.parametrize("text", UNSEEN)
def test_a_sort_below_an_aggregate_is_left_out(lake, text):
    assert sorts(lake, text) == 0
    with sql.connect(lake) as connection:
        assert sql.query(lake, text).equals(connection.sql(text).pl())


@pytest.mark.parametrize("text", SEEN)
def test_a_sort_that_can_be_seen_stays(lake, text):
    with sql.connect(lake) as connection:
        assert sql.query(lake, text).equals(connection.sql(text).pl())


def test_plain_rows_come_by_symbol_and_time_across_partitions(lake):
    rows = sql.query(lake, "select symbol, timestamp, close, (select count(*) from bars) as n from bars")
    assert rows.equals(rows.sort("symbol", "timestamp"))
    assert rows["n"].unique().to_list() == [300]
