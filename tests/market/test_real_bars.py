"""Recorded market data, with the defects that it is known to have (shared/data/DATA.md)."""

import os
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from market.raw_rows import LEARNED, NOTHING_BEFORE, utc

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.daily_summary import summarise
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.source_settings import FileSourceSettings
from harmony_pipeline.market.sources.files import FileSource
from harmony_pipeline.market.validation.validate import Validated, validate

NYSE = Calendar.of("XNYS")
DATA = Path(os.environ.get("HARMONY_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
pytestmark = pytest.mark.skipif(
    not (DATA / "DATA.md").exists(), reason="no real market data here: set HARMONY_DATA"
)


def source(
    *paths: str, actions: str | None = None, pattern: str | None = None, calendar: Calendar = NYSE
) -> FileSource:
    return FileSource(
        FileSourceSettings(paths=paths, corporate_actions=actions, timestamp_format=pattern),
        calendar,
        DATA,
    )


def validated(files: FileSource, timeframe: str, symbols: Sequence[str] | None = None) -> Validated:
    rows = files.bars(symbols, utc(1990, 1, 1), utc(2030, 1, 1), timeframe).with_columns(
        ingested_at=pl.lit(LEARNED)
    )
    settings = MarketSettings(timeframe=timeframe)  # type: ignore[arg-type]
    result = validate(
        rows, NOTHING_BEFORE, files.corporate_actions(None), files.calendar, timeframe, settings
    )
    assert rows.height == result.bars.height + result.quarantine.height
    return result


def warned(result: Validated, *rules: str) -> list[tuple[str, date, str]]:
    rows = result.warnings.select("symbol", pl.col("timestamp").dt.date(), "rule")
    return rows.filter(pl.col("rule").is_in(rules)).rows() if rules else rows.rows()


def quarantined(result: Validated) -> list[tuple[str, date, str]]:
    return result.quarantine.select("symbol", pl.col("timestamp").dt.date(), "rule").rows()


@pytest.fixture(scope="module")
def hourly() -> Validated:
    return validated(
        source("us_equity_hourly", actions="us_equity_hourly/corporate_actions.csv"), "1Hour"
    )


@pytest.fixture(scope="module")
def daily() -> Validated:
    return validated(
        source("us_equity_daily", actions="us_equity_daily/corporate_actions.csv"), "1Day"
    )


def test_the_hourly_set_has_five_bad_prints_and_no_other_fault(hourly: Validated) -> None:
    assert hourly.counts["rows_raw"] == 165_094
    assert quarantined(hourly) == [
        ("AAPL", date(2009, 9, 21), "bad_print"),  # low 10.59 against 182 to 185
        ("AAPL", date(2010, 8, 31), "bad_print"),
        ("AAPL", date(2011, 1, 3), "bad_print"),
        ("AIG", date(2009, 5, 5), "bad_print"),  # high 20.98 at a price of 1.68
        ("IBM", date(2002, 12, 23), "bad_print"),  # the one that DATA.md names
    ]
    assert hourly.counts["notes"] == []


def test_the_daily_set_has_seven_bad_prints_and_no_other_fault(daily: Validated) -> None:
    assert daily.counts["rows_raw"] == 49_005
    assert [(symbol, day.year) for symbol, day,
    rule in quarantined(daily) if rule == "bad_print"] == [
        ("AAPL", 2009), ("AAPL", 2010), ("AAPL", 2011), ("AIG", 2009), ("GOOG", 2007),
        ("IBM", 2002), ("IWM", 2008),
    ]  # fmt: skip
    assert daily.counts["rules"] == {"bad_print": 7}


def test_reused_tickers_and_the_split_without_a_row_are_found_in_the_daily_set(
    daily: Validated,
) -> None:
    assert warned(
        daily,
        "ticker_reuse",
        "split_like_jump",
        "wrong_unit",
        "changed_unit",
        "stale_repeat",
        "volume_spike",
    ) == [
        # another issuer after thirteen years, at nearly the same price
        ("AAA", date(2020, 9, 9), "ticker_reuse"),
        ("BNO", date(2010, 6, 2), "ticker_reuse"),
        ("EEM", date(2003, 4, 11), "ticker_reuse"),
        ("GOOG", date(2014, 4, 3), "split_like_jump"),  # from class A to class C
        # six years under another ticker: the same fund, which no bar can know
        ("QQQ", date(2011, 3, 23), "ticker_reuse"),
    ]
    assert daily.warnings.filter(pl.col("rule") == "zero_volume")["symbol"].unique().to_list() == [
        "BNO"
    ]


def test_warnings_are_few(hourly: Validated, daily: Validated) -> None:
    # of 165,094 bars, all but one of AIG's crisis and one of SPY
    assert hourly.warnings.height <= 20
    assert daily.counts["warnings"] == {
        "outlier": 21,
        "spike_reversal": 2,
        "split_like_jump": 1,
        "ticker_reuse": 4,
        "zero_volume": 26,
    }
    # +18 % within an hour, which DATA.md does not name
    assert ("SPY", date(2000, 12, 18), "outlier") in warned(hourly)
    assert {day.year for symbol, day, _ in warned(hourly) if symbol == "AIG"} == {2008, 2009, 2010}


def test_bars_without_volume_after_early_closes_are_found() -> None:
    result = validated(source("us_equity_minute/regular_2021_2023"), "1Min")
    early_closes = [date(2021, 11, 26), date(2022, 11, 25), date(2023, 7, 3)]
    assert warned(result) == [
        (symbol, day, "zero_volume")
        for symbol in ("SPY", "XOM")
        for day in early_closes
        for _ in range(2)
    ]
    repeated = (
        result.quarantine.select("symbol", pl.col("timestamp").dt.date(), "rule").unique().rows()
    )
    assert repeated == [("SPY", date(2023, 1, 24), "conflicting_duplicate")]


def test_real_crashes_are_bars(hourly: Validated, daily: Validated) -> None:
    for result in (hourly, daily):
        kept = set(result.bars.select("symbol", pl.col("timestamp").dt.date()).rows())
        assert {
            ("AIG", date(2008, 9, 15)),
            ("AIG", date(2008, 9, 16)),
            ("AIG", date(2008, 9, 19)),
            ("AAPL", date(2000, 9, 29)),
        } <= kept


def test_prints_after_an_early_close_are_post(hourly: Validated) -> None:
    afternoon = hourly.bars.filter(
        (pl.col("symbol") == "IBM")
        & (pl.col("timestamp") >= utc(2008, 12, 24, 18))
        & (pl.col("timestamp") < utc(2008, 12, 25))
    )
    assert afternoon.height
    assert afternoon["session"].unique().to_list() == ["post"]
    # 5: before the late open of 2002-09-11
    assert dict(hourly.bars.group_by("session").len().iter_rows()) == {
        "regular": 164_930,
        "post": 154,
        "pre": 5,
    }


def test_liquid_symbols_have_the_bars_that_the_calendar_expects(hourly: Validated) -> None:
    days = summarise(hourly.bars.filter(pl.col("symbol") == "SPY"), NYSE, "1Hour", "09:25")
    short = days.filter(pl.col("regular_bars") != pl.col("expected_regular_bars"))["date"].to_list()
    assert date(2020, 12, 24) not in short  # a half-day with its four bars
    assert len(short) <= 3
    assert days.height == len(NYSE.sessions(date(1998, 1, 2), date(2021, 4, 1)))


def test_adjusted_closes_of_apple_do_not_jump_at_its_splits(daily: Validated) -> None:
    apple = daily.bars.filter(pl.col("symbol") == "AAPL")
    factor = pl.col("adjustment_factor")
    overnight = apple.select(
        "timestamp", gap=pl.col("open") * factor / (pl.col("close") * factor).shift() - 1.0
    )
    gaps = dict(zip(overnight["timestamp"].dt.date(), overnight["gap"], strict=True))
    assert all(
        abs(gaps[day]) < 0.03
        for day in (date(2000, 6, 21), date(2005, 2, 28), date(2014, 6, 9), date(2020, 8, 31))
    )
    assert apple["adjustment_factor"][0] == 1.0
    # splits, then some 16 % of reinvested dividends
    assert apple["adjustment_factor"][-1] == pytest.approx(2 * 2 * 7 * 4 * 1.161, rel=0.01)


@pytest.mark.parametrize(
    ("paths", "rows", "rules", "parts"),
    [
        ("us_equity_minute/extended_2025/2025-01-0*.parquet", None, {}, {"pre", "regular", "post"}),
        ("us_equity_minute/regular_2018/2018-03-0*.parquet", None, {}, {"regular", "post"}),
        (
            "us_equity_minute/regular_2021_2023",
            401_409,
            {"conflicting_duplicate": 5},
            {"regular", "post"},
        ),
        ("us_equity_minute/lean_2008_2023_trades.csv", 10_846, {}, {"pre", "regular", "post"}),
    ],
)
def test_the_minute_sets(
    paths: str, rows: int | None, rules: dict[str, int], parts: set[str]
) -> None:
    result = validated(source(paths), "1Min")
    assert rows is None or result.counts["rows_raw"] == rows
    assert result.counts["rules"] == rules
    assert set(result.bars["session"].unique()) == parts
    assert result.counts["notes"] == []


def test_real_spikes_of_small_stocks_are_bars_all_but_a_few() -> None:
    result = validated(source("us_smallcap_daily_premarket/2022-09.csv"), "1Day")
    assert result.counts["rows_raw"] == 32_662
    assert set(result.counts["rules"]) <= {"bad_print"}
    assert result.quarantine.height <= 4
    assert set(result.counts["warnings"]) == {"volume_spike"}
    assert result.warnings.height <= 40  # real ones: BEAT traded a thousand times its usual volume
    october = validated(
        source("us_smallcap_daily_premarket/2022-10.csv", pattern="%m/%d/%Y"), "1Day"
    )
    assert october.counts["rows_bars"] == 32_740


def test_crypto_runs_around_the_clock() -> None:
    result = validated(source("crypto_minute", calendar=Calendar.of("24/7")), "1Min")
    assert result.counts["rows_bars"] == result.counts["rows_raw"] == 16_312
    assert result.bars["session"].unique().to_list() == ["regular"]
    # eleven months that are not in the file, and seven times the price
    assert warned(result) == [("BTCUSD", date(2017, 9, 3), "ticker_reuse")]


def test_premarket_files_are_premarket() -> None:
    result = validated(source("us_equity_gappers/premarket_5min.csv"), "5Min")
    assert result.bars["session"].unique().to_list() == ["pre"]
    assert result.counts["rows_bars"] == 5_810


def test_exchange_rates_without_volumes_are_not_warned_of() -> None:
    result = validated(source("fx_hourly", calendar=Calendar.of("24/7")), "1Hour")
    assert result.counts["rows_bars"] == 37_313
    assert result.warnings.is_empty()


def test_two_moves_of_a_hundred_stocks_in_five_weeks_of_minutes_are_outliers() -> None:
    result = validated(source("us_equity_minute/extended_2025"), "1Min")
    assert result.counts["rows_bars"] == 1_109_847
    assert set(warned(result)) == {
        ("APPS", date(2025, 2, 6), "outlier"),
        ("APPS", date(2025, 2, 6), "spike_reversal"),
    }
