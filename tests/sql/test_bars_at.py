"""The macro `bars_at` against `resample`, on calendars of every kind and over both changes of the
clock.
"""

from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from harmony_pipeline.lake import sql
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.market.bar_grid import BarGrid
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.expected_bars import find_slots
from harmony_pipeline.market.resampling import resample
from harmony_pipeline.schemas import BARS, TIME

SPANS = [(date(2024, 3, 7), date(2024, 3, 13)), (date(2023, 11, 2), date(2023, 11, 8))]


def lake_of(folder: Path, calendar: Calendar, timeframe: str, first: date, end: date) -> Lake:
    """Every regular bar of these sessions, with volumes that tell them apart, and the calendar's
    two tables.
    """
    lake = Lake(folder).open()
    stamps = pl.Series("timestamp", find_slots(calendar, timeframe, first, end).stamp).cast(TIME)
    price = 100.0 + pl.int_range(pl.len()) % 7
    bars = stamps.to_frame().with_columns(
        open=price, high=price + 1.0, low=price - 1.0, close=price + 0.5,
        volume=pl.int_range(pl.len()) + 1.0,
        symbol=pl.lit("AAA"), timeframe=pl.lit(timeframe), session=pl.lit("regular"),
        adjustment_factor=pl.lit(1.0),
    )  # fmt: skip
    lake.write("bars", "2024", BARS.conform(bars))
    sessions = calendar.table.with_columns(
        calendar=pl.lit(calendar.name), time_zone=pl.lit(calendar.zone)
    )
    lake.write("exchange_sessions", "all", sessions)
    grid = {"timeframe": [timeframe], "grid": [calendar.grid.text], "evidence": ["test"]}
    lake.write("bar_grid", "all", lake.tables["bar_grid"].conform(pl.DataFrame(grid)))
    return lake


@pytest.mark.parametrize("span", SPANS, ids=["spring", "autumn"])
@pytest.mark.parametrize(
    ("name", "grid", "timeframe", "sizes"),
    [
        ("XNYS", "clock", "30Min", ("1Hour", "2Hour", "1Day", "1Week", "1Month")),
        ("XNYS", "session", "1Hour", ("2Hour", "3Hour", "1Day", "1Week")),
        ("XBOM", "session", "30Min", ("1Hour", "2Hour", "1Day")),
        ("XTKS", "session", "30Min", ("1Hour", "1Day")),
        ("XTKS", "clock", "30Min", ("1Hour", "1Day")),
        ("CMES", "clock", "1Hour", ("4Hour", "1Day", "1Week")),
        ("FX", "clock", "1Hour", ("4Hour", "1Day", "1Week", "1Month")),
        ("24/7", "clock", "1Hour", ("6Hour", "1Day", "1Week")),
        ("24/7", "15", "30Min", ("1Hour", "1Day")),
    ],
)
def test_sql_and_polars_make_the_same_bars(
    tmp_path: Path,
    span: tuple[date, date],
    name: str,
    grid: str,
    timeframe: str,
    sizes: tuple[str, ...],
) -> None:
    calendar = Calendar.of(name, BarGrid.of(grid))
    lake = lake_of(tmp_path, calendar, timeframe, *span)
    for size in sizes:
        columns = ["timestamp", "session", "open", "high", "low", "close", "volume"]
        made = sql.query(
            lake,
            f"select {', '.join(columns)}, slot_end as known_at from bars_at('{size}') order by"
            " timestamp, session",
        )
        twin = (
            resample(lake.scan("bars"), size, calendar)
            .select(*columns, "known_at")
            .collect(engine="in-memory")
            .sort("timestamp", "session")
        )
        assert made.rows() == twin.rows(), size


def test_a_zone_can_be_named(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, Calendar.of("24/7"), "1Hour", date(2024, 1, 1), date(2024, 1, 3))
    made = sql.query(
        lake,
        "select timestamp, volume from bars_at('12Hour', zone := 'Asia/Tokyo') order by timestamp",
    )
    assert made["timestamp"][0] == datetime(2023, 12, 31, 15, tzinfo=made["timestamp"][0].tzinfo)
    assert made["volume"].sum() == sum(range(1, 49))
    assert (made["timestamp"].diff().drop_nulls() == timedelta(hours=12)).all()


def test_a_lake_without_a_calendar_is_cut_by_utc(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, Calendar.of("24/7"), "1Hour", date(2024, 1, 1), date(2024, 1, 3))
    bare = Lake(tmp_path / "bare").open()
    bare.write("bars", "2024", lake.read("bars").select(list(BARS.columns)))
    assert sql.query(bare, "select volume from bars_at('1Day') order by timestamp")[
        "volume"
    ].to_list() == [300.0, 876.0]
