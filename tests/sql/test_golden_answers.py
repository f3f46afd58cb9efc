"""Every named query on a small lake, against golden files, which plain Python works out from the
same rows.
"""

import polars as pl
import pytest
from sql.golden_answers import FOLDER, naive_text, text_of
from sql.naive_answers import ANSWERS, relative_volume, universe_on_a_day
from sql.small_lake import JAN, filled

from harmony_pipeline.lake import sql
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.market.listings import members


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return filled(Lake(tmp_path_factory.mktemp("lake")).open())


def test_every_named_query_has_a_golden_answer_and_says_what_it_answers():
    # they take tables of ticks, and are judged with those
    elsewhere = {"resampled_bars", "trades_with_quotes"}
    assert set(ANSWERS) | elsewhere == set(sql.named_queries())
    assert set(ANSWERS) == {path.stem for path in FOLDER.glob("*.csv")}
    assert all(len(about) > 40 for about in sql.named_queries().values())


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_a_named_query_gives_its_golden_answer(lake, name):
    answer = text_of(sql.query(lake, sql.named_query(name)))
    assert answer == (FOLDER / f"{name}.csv").read_text()
    assert answer.count("\n") > 1  # an empty answer proves nothing


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_golden_answers_are_those_of_plain_python(name):
    assert naive_text(name) == (FOLDER / f"{name}.csv").read_text()


@pytest.mark.parametrize("number", [2, 3, 4])
def test_a_day_can_be_asked_for(lake, number):
    asked = {"day": JAN[number].isoformat()}
    for name, answer in (
        ("relative_volume", relative_volume),
        ("universe_on_a_day", universe_on_a_day),
    ):
        found = sql.query(lake, sql.named_query(name), variables=asked)
        assert text_of(found) == text_of(
            pl.DataFrame(answer(number), schema=found.schema, infer_schema_length=None)
        ), name


@pytest.mark.parametrize("number", [1, 3, 4, 5, 8, 9])
def test_the_universe_of_a_day_is_that_of_the_library(lake, number):
    found = sql.query(
        lake, sql.named_query("universe_on_a_day"), variables={"day": JAN[number].isoformat()}
    ).drop("day")
    known = members(lake.read("universe"), lake.read("listings"), JAN[number])
    assert found.select(known.columns).equals(known)


def test_queries_can_be_narrowed_to_one_bar_trade_or_security(lake):
    def rows(name: str, **variables: str) -> int:
        return sql.query(lake, sql.named_query(name), variables=variables).height

    assert rows("bar_to_trades", symbol="AAA", bar="2024-01-03T15:00Z") == 1
    assert rows("bar_to_trades", symbol="AAA", bar="2024-01-03T16:00Z") == 0
    assert rows("trade_to_bars", trade="AAA-1") == 2
    assert rows("trade_to_bars", trade="nosuch") == 0
    assert rows("security_bars", security="NEW") == rows("security_bars", security="OLD") == 4
    assert rows("security_bars", security="AAA") == 4
