"""Absent bars of recorded market data, against what shared/data/DATA.md says of it."""

import os
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from market.raw_rows import utc

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.expected_bars import find_slots
from harmony_pipeline.market.gaps import find_gaps
from harmony_pipeline.market.settings import GapSettings
from harmony_pipeline.market.source_settings import FileSourceSettings
from harmony_pipeline.market.sources.files import FileSource

NYSE = Calendar.of("XNYS")
DATA = Path(os.environ.get("HARMONY_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
pytestmark = pytest.mark.skipif(
    not (DATA / "DATA.md").exists(), reason="no real market data here: set HARMONY_DATA"
)
LIVES = {"symbol": pl.String(), "first": pl.Date(), "end": pl.Date()}


def gaps(
    path: str,
    timeframe: str,
    first: date,
    end: date,
    ends: dict[str, date] | None = None,
    calendar: Calendar = NYSE,
) -> pl.DataFrame:
    """Gaps of files; `ends` names symbols whose files end before the others."""
    actions = (
        f"{path}/corporate_actions.csv"
        if (DATA / path / "corporate_actions.csv").exists()
        else None
    )
    bars = FileSource(
        FileSourceSettings(paths=(path,), corporate_actions=actions), calendar, DATA
    ).bars(None, utc(1990, 1, 1), utc(2030, 1, 1), timeframe)
    bars = bars.unique(["symbol", "timestamp"], keep="first", maintain_order=True)
    begun = bars.group_by("symbol").agg(first=pl.col("timestamp").min().dt.date()).sort("symbol")
    lives = pl.DataFrame(
        [(symbol, day, (ends or {}).get(symbol)) for symbol, day in begun.iter_rows()],
        schema=LIVES,
        orient="row",
    )
    return find_gaps([bars], find_slots(calendar, timeframe, first, end), lives, GapSettings())


@pytest.fixture(scope="module")
def hourly() -> pl.DataFrame:
    ended = {"SPWRA": date(2009, 5, 19), "TAPA": date(2013, 1, 1), "GDVD": date(2021, 1, 20)}
    return gaps("us_equity_hourly", "1Hour", date(1998, 1, 2), date(2021, 4, 1), ended)


def test_tapa_has_no_row_on_386_sessions_and_that_is_its_way(hourly: pl.DataFrame) -> None:
    whole = hourly.filter(pl.col("symbol") == "TAPA", pl.col("bars") == pl.col("session_bars"))
    assert whole.height == 386
    judged = whole.filter(pl.col("past_sessions") >= 5)
    assert (judged["kind"] == "no_trade").mean() > 0.95


def test_liquid_symbols_lack_hardly_an_hour_and_none_before_the_late_open(
    hourly: pl.DataFrame,
) -> None:
    liquid = hourly.filter(pl.col("symbol").is_in(["AAPL", "AIG", "IBM", "SPY"]))
    days = set(liquid.select("symbol", "date").rows())
    assert len(days) <= 5
    # nothing is expected before noon
    assert date(2002, 9, 11) not in {day for _symbol, day in days}


def test_the_nasdaq_halt_of_2013_is_a_halt_of_apple(hourly: pl.DataFrame) -> None:
    day = hourly.filter(pl.col("date") == date(2013, 8, 22))
    assert day.select("symbol", "first_missing", "bars", "session_bars", "kind").rows() == [
        ("AAPL", utc(2013, 8, 22, 17), 2, 7, "halt")
    ]


def test_the_minutes_that_spy_and_xom_lack_are_exactly_those_of_the_notes() -> None:
    found = gaps(
        "us_equity_minute/regular_2021_2023",
        "1Min",
        date(2021, 6, 14),
        date(2023, 9, 14),
        {"SPY": date(2023, 7, 21)},
    )
    assert found.select("symbol", "date", "bars", "kind").rows() == [
        ("SPY", date(2023, 6, 5), 4, "halt"),  # 386 rows: both lack the same four minutes
        ("XOM", date(2023, 1, 24), 6, "missing"),  # 384 rows; SPY traded
        ("XOM", date(2023, 6, 5), 4, "halt"),
    ]


def test_all_25_sessions_of_99_symbols_are_there_and_their_silences_are_their_own() -> None:
    found = gaps("us_equity_minute/extended_2025", "1Min", date(2025, 1, 2), date(2025, 2, 8))
    assert not found.filter(pl.col("bars") == pl.col("session_bars")).height
    assert found["bars"].sum() == 85_767
    judged = found.filter(pl.col("past_sessions") >= 5).group_by("kind").agg(pl.col("bars").sum())
    bars = dict(judged.iter_rows())
    assert bars["no_trade"] / sum(bars.values()) > 0.97
    assert bars.get("missing", 0) / sum(bars.values()) < 0.005


def test_full_days_of_391_rows_lack_nothing_and_the_rest_is_counted() -> None:
    found = gaps("us_equity_minute/regular_2018", "1Min", date(2018, 2, 26), date(2018, 3, 3))
    # 281 symbols, 5 sessions of 390 regular minutes; the 391st row is the closing auction, which no
    # calendar expects.
    assert found["bars"].sum() == 4_775
    assert found["bars"].max() == 34


def test_the_minutes_that_crypto_lacks_are_those_of_the_notes() -> None:
    found = gaps(
        "crypto_minute", "1Min", date(2016, 10, 7), date(2018, 4, 7), calendar=Calendar.of("24/7")
    ).filter(pl.col("bars") < pl.col("session_bars"))
    assert dict(found.group_by("symbol").agg(pl.col("bars").sum()).iter_rows()) == {
        "BTCUSD": 537,
        "ETHUSD": 431,
    }
    # The exchange stood still for seven hours on 2018-04-04, for both coins at once.
    assert found.filter(pl.col("kind") == "halt").select("symbol", "bars").rows() == [
        ("BTCUSD", 427),
        ("ETHUSD", 427),
    ]
