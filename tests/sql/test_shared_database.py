"""Queries that only select share a database: none sees the views, settings, tables or rows of
another, and each reads the files as they are now.
"""

from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pytest

from harmony_pipeline.errors import DataError
from harmony_pipeline.lake import sql
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.schemas import Column, Table

TABLE = Table(
    "numbers", "numbers", "none", ("n",), {"n": Column(pl.Int64()), "of": Column(pl.String())}
)


def lake_of(folder, *numbers: int) -> Lake:
    lake = Lake(folder, {"numbers": TABLE}).open()
    rows = pl.DataFrame({"n": list(numbers), "of": folder.name}, schema=TABLE.dtypes)
    lake.write("numbers", "all", rows, {})
    return lake


def test_each_query_sees_its_own_lake_however_they_are_mixed(tmp_path):
    lakes = [lake_of(tmp_path / name, *range(count)) for count, name in enumerate("abcd", 1)]

    def ask(turn: int) -> bool:
        count = turn % len(lakes)
        found = sql.query(lakes[count], "select count(*) as n, max(of) as of from numbers")
        return found.rows() == [(count + 1, "abcd"[count])]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(80)))


def test_a_file_that_was_replaced_by_one_of_its_size_is_read_anew(tmp_path):
    lake = lake_of(tmp_path / "a", 1)
    for number in range(2, 30):
        lake_of(tmp_path / "a", number)
        assert sql.query(lake, "from numbers")["n"].to_list() == [number]


def test_nothing_that_a_query_makes_or_sets_is_there_for_the_next(tmp_path):
    lake = lake_of(tmp_path / "a", 1)
    live = {"numbers": pl.DataFrame({"n": [7], "of": ["live"]})}
    assert sql.query(lake, "select n from numbers", live=live)["n"].to_list() == [7]
    assert sql.query(lake, "select n from numbers")["n"].to_list() == [1]
    asked = "select getvariable('most') as found"
    assert sql.query(lake, asked, variables={"most": 3})["found"].to_list() == [3]
    assert sql.query(lake, asked)["found"].to_list() == [None]
    sql.query(lake, "create table kept as select 1 as n; set threads = 1")
    with pytest.raises(DataError, match="kept"):
        sql.query(lake, "from kept")


def test_it_answers_after_queries_that_failed(tmp_path):
    lake = lake_of(tmp_path / "a", 1)
    for text in ("select error('no')", "select nothing from numbers", "selec", "from absent"):
        with pytest.raises(DataError):
            sql.query(lake, text)
        assert sql.query(lake, "select n from numbers")["n"].to_list() == [1]
