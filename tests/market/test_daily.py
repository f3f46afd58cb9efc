"""The daily summary against sums made by hand, and what it may know at the scan time."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from market.naive_daily import naive_summary
from market.raw_rows import NO_ACTIONS, NOTHING_BEFORE, bar, daily, raw, utc
from polars.testing import assert_frame_equal

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.daily_summary import summarise
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.validation.validate import validate
from harmony_pipeline.schemas import BARS, DAILY_SUMMARY

NYSE = Calendar.of("XNYS")


def bars(rows: pl.DataFrame, timeframe: str = "15Min") -> pl.DataFrame:
    return validate(rows, NOTHING_BEFORE, NO_ACTIONS, NYSE, timeframe, MarketSettings()).bars


def row(clock: tuple[int, int], *prices: float, volume: float) -> dict[str, object]:
    opened, high, low, close = prices
    return bar(utc(2024, 1, 2, *clock), close, open=opened, high=high, low=low, volume=volume)


ROWS = raw(
    row((13, 45), 10.0, 12.0, 9.0, 11.0, volume=100.0),  # 08:45 New York
    row((14, 0), 11.0, 11.5, 8.5, 9.5, volume=50.0),  # ends at 09:15, known at 09:25
    row((14, 15), 9.5, 30.0, 4.0, 13.0, volume=7.0),  # ends at 09:30: not known at 09:25
    row((14, 30), 13.0, 14.0, 12.0, 13.5, volume=1000.0),
    row((20, 45), 13.5, 15.0, 11.0, 14.5, volume=2000.0),
    row((21, 0), 14.5, 20.0, 14.0, 16.0, volume=5.0),  # after the close
)


def test_a_day_in_one_row() -> None:
    day = summarise(bars(ROWS), NYSE, "15Min", "09:25").row(0, named=True)
    assert day == {
        "symbol": "AAA", "date": date(2024, 1, 2), "open": 13.0, "high": 15.0, "low": 11.0,
        "close": 14.5, "volume": 3000.0, "bars": 6, "regular_bars": 2,
        "expected_regular_bars": 26, "last_timestamp": utc(2024, 1, 2, 21),
        "adjustment_factor": 1.0, "premarket_volume": 150.0, "premarket_high": 12.0,
        "premarket_low": 8.5, "premarket_last": 9.5, "premarket_bars": 2,
        "scan_time": utc(2024, 1, 2, 14, 25), "postmarket_volume": 5.0,
    }  # fmt: skip


def test_premarket_columns_do_not_move_when_later_bars_do() -> None:
    known = [name for name in DAILY_SUMMARY.columns if name.startswith("premarket")]
    later_changed = bars(ROWS).with_columns(
        pl.when(pl.col("timestamp") >= utc(2024, 1, 2, 14, 15))
        .then(pl.col(name) * 3)
        .otherwise(name)
        for name in ("high", "low", "close", "volume")
    )
    assert_frame_equal(
        summarise(later_changed, NYSE, "15Min", "09:25").select(known),
        summarise(bars(ROWS), NYSE, "15Min", "09:25").select(known),
    )


def test_the_scan_time_follows_daylight_saving() -> None:
    summer = summarise(bars(raw(bar(utc(2024, 7, 2, 13, 30)))), NYSE, "15Min", "09:25")
    assert summer["scan_time"].to_list() == [utc(2024, 7, 2, 13, 25)]


def test_a_day_without_regular_or_premarket_bars_has_nulls_there() -> None:
    day = summarise(bars(ROWS).tail(1), NYSE, "15Min", "09:25").row(0, named=True)
    assert (
        day["open"],
        day["close"],
        day["volume"],
        day["premarket_last"],
        day["premarket_volume"],
        day["bars"],
    ) == (None, None, 0.0, None, 0.0, 1)


def test_daily_bars_summarise_to_themselves() -> None:
    table = summarise(
        bars(daily({date(2024, 7, 2): 10.0, date(2024, 7, 3): 11.0}), "1Day"), NYSE, "1Day", "09:25"
    )
    assert table.select(
        "date", "close", "volume", "regular_bars", "expected_regular_bars"
    ).rows() == [
        (date(2024, 7, 2), 10.0, 1000.0, 1, 1),
        (date(2024, 7, 3), 11.0, 1000.0, 1, 1),
    ]


def test_half_days_expect_fewer_bars() -> None:
    table = summarise(bars(raw(bar(utc(2024, 7, 3, 13, 30)))), NYSE, "15Min", "09:25")
    assert table["expected_regular_bars"].to_list() == [14]


def test_no_bars_give_an_empty_table() -> None:
    assert (
        dict(summarise(bars(ROWS).clear(), NYSE, "15Min", "09:25").schema) == DAILY_SUMMARY.dtypes
    )


def test_a_scan_time_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="'25:99', expected a time of day"):
        summarise(bars(ROWS), NYSE, "15Min", "25:99")


def random_bars(seed: int, timeframe: str, rows: int) -> pl.DataFrame:
    """Bars on the grid, some outside every session, over days with a half-day, holidays, both
    changes of the clock; whole shares, so that sums are exact.
    """
    rng, minutes = (
        np.random.default_rng(seed),
        {"1Min": 1, "15Min": 15, "1Hour": 60, "1Day": 1440}[timeframe],
    )
    begin = (
        int(
            rng.choice(
                [utc(2024, 3, 7), utc(2024, 7, 1), utc(2024, 10, 31), utc(2024, 11, 27)]
            ).timestamp()
        )
        // 60
    )
    stamps = (begin + rng.integers(0, 9 * 1440 // minutes, rows) * minutes) * 60_000_000
    price = np.round(rng.uniform(1.0, 100.0, (4, rows)), 2)
    frame = pl.DataFrame(
        {
            "symbol": rng.choice(
                ["A", "BB", "A SYMBOL WITH A LONG NAME", "A SYMBOL WITH A LONGER NAME"], rows
            ),
            "timestamp": stamps,
        }
    )
    frame = frame.with_columns(
        pl.col("timestamp").cast(pl.Datetime("us", "UTC")),
        timeframe=pl.lit(timeframe),
        session=pl.lit("regular"),
        **{name: pl.Series(price[at]) for at, name in enumerate(("open", "high", "low", "close"))},
        volume=pl.Series(rng.integers(0, 10_000, rows).astype(float)),
        adjustment_factor=pl.Series(rng.uniform(0.5, 2.0, rows)),
    )
    return BARS.conform(frame.unique(["symbol", "timestamp"], keep="first", maintain_order=True))


@settings(deadline=None, max_examples=20)
@given(
    seed=st.integers(0, 2**32 - 1),
    exchange=st.sampled_from(["XNYS", "XHKG", "24/7"]),
    timeframe=st.sampled_from(["1Min", "15Min", "1Hour", "1Day"]),
    clock=st.sampled_from(["04:00", "09:25", "09:30", "23:00", "02:30"]),
    rows=st.integers(1, 400),
)
def test_one_pass_gives_what_grouping_gives_in_any_order_and_symbol_by_symbol(
    seed: int, exchange: str, timeframe: str, clock: str, rows: int
) -> None:
    table, calendar = random_bars(seed, timeframe, rows), Calendar.of(exchange)
    expected = naive_summary(table, calendar, timeframe, clock)
    assert_frame_equal(summarise(table, calendar, timeframe, clock), expected, check_exact=True)
    shuffled = table.sample(fraction=1.0, shuffle=True, seed=seed % 1_000)
    assert_frame_equal(summarise(shuffled, calendar, timeframe, clock), expected, check_exact=True)
    apart = [
        summarise(one, calendar, timeframe, clock)
        for one in table.partition_by("symbol", maintain_order=True)
    ]
    assert_frame_equal(pl.concat(apart), expected, check_exact=True)


def test_fractional_volumes_are_summed_in_the_order_of_time() -> None:
    volumes = [0.1, 0.2, 0.3, 1e16, -1.0]
    table = bars(
        raw(*(bar(utc(2024, 1, 2, 15) + timedelta(minutes=15 * at), 10.0) for at in range(5)))
    ).with_columns(volume=pl.Series(volumes))
    total = 0.0
    for volume in volumes:
        total += volume
    assert summarise(table.reverse(), NYSE, "15Min", "09:25")["volume"].to_list() == [total]
