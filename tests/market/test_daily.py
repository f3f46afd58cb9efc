"""The daily summary against sums made by hand, and what it may know at the scan time."""

from datetime import date

import polars as pl
import pytest
from market.raw_rows import NO_ACTIONS, NOTHING_BEFORE, bar, daily, raw, utc
from polars.testing import assert_frame_equal

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.daily import summarise
from harmony_pipeline.market.quality import validate
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.schemas import DAILY_SUMMARY

NYSE = Calendar.named("XNYS")


def bars(rows: pl.DataFrame, timeframe: str = "15Min") -> pl.DataFrame:
    return validate(rows, NOTHING_BEFORE, NO_ACTIONS, NYSE, timeframe, MarketSettings()).bars


def row(clock: tuple[int, int], *prices: float, volume: float) -> dict[str, object]:
    opened, high, low, close = prices
    return bar(utc(2024, 1, 2, *clock), close, open=opened, high=high, low=low, volume=volume)


ROWS = raw(
    row((13, 45), 10.0, 12.0, 9.0, 11.0, volume=100.0),  # 08:45 New York
    row((14, 0), 11.0, 11.5, 8.5, 9.5, volume=50.0),  # ends at 09:15, known at 09:25
    row((14, 15), 9.5, 30.0, 1.0, 13.0, volume=7.0),  # ends at 09:30: not known at 09:25
    row((14, 30), 13.0, 14.0, 12.0, 13.5, volume=1000.0),
    row((20, 45), 13.5, 15.0, 11.0, 14.5, volume=2000.0),
    row((21, 0), 14.5, 20.0, 14.0, 16.0, volume=5.0),  # after the close
)


def test_a_day_in_one_row() -> None:
    day = summarise(bars(ROWS), NYSE, "15Min", "09:25").row(0, named=True)
    assert day == {
        "symbol": "AAA", "date": date(2024, 1, 2), "open": 13.0, "high": 15.0, "low": 11.0, "close": 14.5, "volume": 3000.0, "bars": 6, "regular_bars": 2,
        "expected_regular_bars": 26, "last_timestamp": utc(2024, 1, 2, 21), "adjustment_factor": 1.0, "premarket_volume": 150.0, "premarket_high": 12.0,
        "premarket_low": 8.5, "premarket_last": 9.5, "premarket_bars": 2, "scan_time": utc(2024, 1, 2, 14, 25), "postmarket_volume": 5.0,
    }  # fmt: skip


def test_premarket_columns_do_not_move_when_later_bars_do() -> None:
    known = [name for name in DAILY_SUMMARY.columns if name.startswith("premarket")]
    later_changed = bars(ROWS).with_columns(
        pl.when(pl.col("timestamp") >= utc(2024, 1, 2, 14, 15)).then(pl.col(name) * 3).otherwise(name) for name in ("high", "low", "close", "volume")
    )
    assert_frame_equal(summarise(later_changed, NYSE, "15Min", "09:25").select(known), summarise(bars(ROWS), NYSE, "15Min", "09:25").select(known))


def test_the_scan_time_follows_daylight_saving() -> None:
    summer = summarise(bars(raw(bar(utc(2024, 7, 2, 13, 30)))), NYSE, "15Min", "09:25")
    assert summer["scan_time"].to_list() == [utc(2024, 7, 2, 13, 25)]


def test_a_day_without_regular_or_premarket_bars_has_nulls_there() -> None:
    day = summarise(bars(ROWS).tail(1), NYSE, "15Min", "09:25").row(0, named=True)
    assert (day["open"], day["close"], day["volume"], day["premarket_last"], day["premarket_volume"], day["bars"]) == (None, None, 0.0, None, 0.0, 1)


def test_daily_bars_summarise_to_themselves() -> None:
    table = summarise(bars(daily({date(2024, 7, 2): 10.0, date(2024, 7, 3): 11.0}), "1Day"), NYSE, "1Day", "09:25")
    assert table.select("date", "close", "volume", "regular_bars", "expected_regular_bars").rows() == [
        (date(2024, 7, 2), 10.0, 1000.0, 1, 1),
        (date(2024, 7, 3), 11.0, 1000.0, 1, 1),
    ]


def test_half_days_expect_fewer_bars() -> None:
    table = summarise(bars(raw(bar(utc(2024, 7, 3, 13, 30)))), NYSE, "15Min", "09:25")
    assert table["expected_regular_bars"].to_list() == [14]


def test_no_bars_give_an_empty_table() -> None:
    assert dict(summarise(bars(ROWS).clear(), NYSE, "15Min", "09:25").schema) == DAILY_SUMMARY.dtypes


def test_a_scan_time_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="'25:99', expected a time of day"):
        summarise(bars(ROWS), NYSE, "15Min", "25:99")
