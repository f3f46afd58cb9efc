"""Bars made of a source's trades: the source's obligations, and the settings that ask for them."""

from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pydantic import ValidationError

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.market.settings import MarketSettings, TickSettings
from harmony_pipeline.market.source_settings import FileSourceSettings, SimulatedSourceSettings
from harmony_pipeline.market.sources.registry import build_source
from harmony_pipeline.testing.source_contract import SourceContract

START, END = datetime(2023, 7, 3, tzinfo=UTC), datetime(2023, 7, 6, tzinfo=UTC)


def market_of(bars: str = "time", timeframe: str = "10Sec", **changes) -> MarketSettings:
    return MarketSettings(
        start=date(2023, 7, 3),
        end=date(2023, 7, 6),
        timeframe=timeframe,
        extended_hours=False,
        ticks=TickSettings(bars=bars),
        simulated=SimulatedSourceSettings(symbols=2, low_float_symbols=0),
        **changes,
    )


@cache
def source_of(bars: str = "time", timeframe: str = "10Sec"):
    return build_source(market_of(bars, timeframe), Path())


LACKS = {"corporate actions": "none fall into these days"}


class TestSecondsAreASource(SourceContract):
    timeframe, start, end = "10Sec", START, END
    symbols = ("SEWE", "TOLA")
    tick_start, tick_end = START + timedelta(hours=14), START + timedelta(hours=15)
    lacks = LACKS

    @pytest.fixture
    def source(self):
        return source_of()


class TestThresholdBarsAreASource(SourceContract):
    timeframe, start, end = "10Sec", START, END
    symbols = ("SEWE", "TOLA")
    tick_start, tick_end = START + timedelta(hours=14), START + timedelta(hours=15)
    lacks = LACKS

    @pytest.fixture
    def source(self):
        return source_of("50Tick")


def test_minutes_of_the_trades_are_the_minutes_of_the_market():
    made = source_of(timeframe="1Min").bars(None, START, END, "1Min")
    own = build_source(
        market_of(timeframe="1Min").model_copy(update={"ticks": TickSettings()}), Path()
    ).bars(None, START, END, "1Min")
    columns = ["symbol", "timestamp", "open", "high", "low", "close", "volume"]
    assert_frame_equal(made.select(columns), own.select(columns), check_exact=True)


def test_each_kind_is_another_identity():
    found = [source_of(kind).identity for kind in ("time", "50Tick", "60Tick")]
    assert len(set(found)) == 3


def test_requests_are_sessions():
    asked = source_of().requests(None, START, END, "10Sec")
    assert [each.start.date() for each in asked] == [date(2023, 7, 3), date(2023, 7, 5)]
    assert asked[0].start == START
    assert asked[-1].end == END


def test_a_tape_without_rows_that_set_a_price_is_told(tmp_path):
    (tmp_path / "trades_ABC.csv").write_text(
        "timestamp,price,size,conditions\n2023-07-03T14:00:00.5Z,10,5,I\n"
        "2023-07-03T14:00:02.5Z,10,5,\n2023-07-03T14:00:03Z,-1,5,\n"
    )
    market = market_of(timeframe="1Sec", source="files").model_copy(
        update={"files": FileSourceSettings(trades=("trades_*.csv",))}
    )
    found = build_source(market, tmp_path).read_bars(None, START, END, "1Sec")
    assert found.rows["timestamp"].to_list() == [datetime(2023, 7, 3, 14, 0, 2, tzinfo=UTC)]
    told = " ".join(found.notes)
    assert "1 trades were refused" in told
    assert "1 1Sec bars hold only" in told
    assert found.rows.select(pl.col("source", "origin").first()).row(0) == (
        "files trades",
        "trades of 2023-07-03",
    )


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"ticks": {"bars": "12"}}, "no kind of bar"),
        ({"ticks": {"bars": "0Tick"}}, "no kind of bar"),
        ({"ticks": {"bars": "5Min"}}, "no kind of bar"),
        ({"ticks": {"bars": "time"}, "timeframe": "1Day"}, "within a day"),
        ({"timeframe": "1Sec", "source": "yahoo"}, "no bars of seconds"),
    ],
)
def test_what_makes_no_bars_is_refused(changes, named):
    with pytest.raises(ValidationError, match=named):
        MarketSettings(**changes)


def test_a_source_without_trades_is_refused():
    for source, named in (("files", "market.files.trades"), ("yahoo", "has no trades")):
        with pytest.raises(ConfigError, match=named):
            build_source(market_of(source=source), Path())
