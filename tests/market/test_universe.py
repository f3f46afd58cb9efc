"""A history of the universe out of answers that tell of today only."""

from datetime import date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from market.alpaca.alpaca_world import NOW, serving, source_of, symbols
from polars.testing import assert_frame_equal

from harmony_pipeline.exchange import wire
from harmony_pipeline.market.listings import listings_from_universe, members
from harmony_pipeline.market.universe import add_snapshot
from harmony_pipeline.schemas import UNIVERSE
from harmony_pipeline.stages import market
from harmony_pipeline.testing.tiny import tiny_market

DAYS = [date(2024, 1, 1) + timedelta(days=number) for number in range(6)]


def answer(day: date, said: dict[str, tuple[float | None, bool]]) -> pl.DataFrame:
    """What a supplier says on a day of each symbol: its size, and whether it is gone (which it
    dates anew each day).
    """
    rows = [
        {"date": day, "symbol": name, "market_cap": size, "delisted": day if gone else None}
        for name, (size, gone) in said.items()
    ]
    return (
        UNIVERSE.conform(pl.DataFrame(rows, schema_overrides=UNIVERSE.dtypes))
        if rows
        else UNIVERSE.empty()
    )


SAID = st.dictionaries(
    st.sampled_from(["ONE", "TWO", "TEN"]),
    st.tuples(st.sampled_from([None, 1.0, 2.0]), st.booleans()),
    max_size=3,
)


@given(said=st.lists(SAID, min_size=1, max_size=6))
def test_on_every_day_the_history_says_what_was_said_last_and_no_row_twice(said):
    history, latest = UNIVERSE.empty(), {}
    for day, each in zip(DAYS, said, strict=False):
        before = history
        history = add_snapshot(history, answer(day, each))
        assert_frame_equal(add_snapshot(history, answer(day, each)), history)
        assert_frame_equal(history.filter(pl.col("date") < day), before, check_exact=True)
        latest.update(each)
        now = history.unique("symbol", keep="last", maintain_order=True)
        assert {
            name: (size, gone is not None)
            for name, size, gone in now.select("symbol", "market_cap", "delisted").iter_rows()
        } == latest
    said_again = history.sort("symbol", "date").with_columns(gone=pl.col("delisted").is_not_null())
    same = pl.all_horizontal(
        pl.col(name).eq_missing(pl.col(name).shift()) for name in ("symbol", "market_cap", "gone")
    )
    assert not said_again.select(same).to_series().any()


@pytest.mark.network
def test_a_lake_that_asks_alpaca_each_day_knows_who_was_there_and_when_one_was_gone(tmp_path):
    names = symbols()
    with serving() as server:
        pipeline = tiny_market(tmp_path)

        def asked(now: datetime, active: list[str], gone: list[str]) -> None:
            server.now, server.assets = now, wire.asset_rows(active, gone)
            pipeline.__dict__["source"] = source_of(server)
            market.universe(pipeline)

        asked(NOW, names[:3], [])
        asked(NOW, names[:3], [])
        asked(NOW + timedelta(days=1), [*names[:2], names[3]], [names[2]])
        asked(NOW + timedelta(days=2), [*names[:2], names[3]], [names[2]])
        history = pipeline.lake.read("universe")
    first, second = date(2023, 2, 2), date(2023, 2, 3)
    told = history.select("date", "symbol", "delisted").sort("date", "symbol").rows()
    assert told == [
        *((first, name, None) for name in names[:3]),
        (second, names[2], second - timedelta(days=1)),
        (second, names[3], None),
    ]
    listings = listings_from_universe(history, "alpaca")
    assert [
        members(history, listings, day)["symbol"].to_list()
        for day in (date(2023, 2, 1), first, second)
    ] == [[], names[:3], [*names[:2], names[3]]]
