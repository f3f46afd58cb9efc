"""Bars on the clock and bars from the open: every part that counts bars follows the grid of the
market.
"""

from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from market.raw_rows import utc
from market.vendor_markets import every, ingested, iso, local, write

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.market.bar_grid import CLOCK, BarGrid
from harmony_pipeline.market.bar_time import slots
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.expected_bars import find_slots
from harmony_pipeline.market.grid_detection import detect_grid, grids_differ
from harmony_pipeline.market.resampling import resample
from harmony_pipeline.market.session_parts import PARTS
from harmony_pipeline.market.session_position import first_session, on_grid, part_of, sessions_of
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.timeframes import TIMEFRAME_SECONDS
from harmony_pipeline.schemas import TIME

SESSION = BarGrid("session")
CALENDARS = ("XNYS", "XBOM", "XTKS", "XHKG", "XSHG", "CMES", "METALS", "FX", "24/7")
SIZES = ("1Sec", "15Sec", "1Min", "5Min", "15Min", "30Min", "1Hour")
grids = st.sampled_from([CLOCK, SESSION, BarGrid("clock", 15)])
days = st.dates(date(2023, 10, 20), date(2024, 4, 5))


def times(zone: str, stamps: pl.Series) -> list[str]:
    return stamps.dt.convert_time_zone(zone).dt.strftime("%H:%M").to_list()


# --- laws -----------------------------------------------------------------------------------------


@given(st.sampled_from(CALENDARS), st.sampled_from(SIZES), grids, days)
def test_slots_are_the_regular_bars_and_as_many_as_are_expected(
    name: str, size: str, grid: BarGrid, day: date
) -> None:
    calendar = Calendar.of(name, grid)
    found = find_slots(calendar, size, day, day + timedelta(days=4))
    stamps = pl.Series("timestamp", found.stamp).cast(TIME)
    assert stamps.n_unique() == len(stamps)
    placed = calendar.with_session(stamps.to_frame(), size)
    assert (placed["session"] == "regular").all()
    assert found.dates.gather(found.session).equals(placed["session_date"])
    counts = placed.group_by("session_date", maintain_order=True).len()
    expected = calendar.expected_bars(size).filter(
        pl.col("date").is_in(counts["session_date"].implode())
    )
    assert counts["len"].to_list() == expected["expected_regular_bars"].to_list()


@given(st.sampled_from(CALENDARS), st.sampled_from(SIZES[4:]), st.integers(0, 3 * 1440), grids)
def test_a_slot_lies_in_one_stretch_and_holds_its_instant(
    name: str, size: str, minute: int, grid: BarGrid
) -> None:
    calendar = Calendar.of(name, grid)
    length = TIMEFRAME_SECONDS[size]
    moment = utc(2024, 3, 8) + timedelta(minutes=minute)  # over the change of clocks in New York
    row = slots(pl.Series([moment], dtype=TIME), length, calendar).row(0, named=True)
    if row["session"] is None:
        return
    assert row["begin"] <= moment < row["end"]
    assert row["end"] - row["slot"] <= timedelta(seconds=length)
    if grid == SESSION:
        assert row["slot"] == row["begin"]
        same = slots(pl.Series([row["slot"]], dtype=TIME), length, calendar).row(0, named=True)
        assert same == row


@given(st.sampled_from(CALENDARS), st.sampled_from(SIZES), st.integers(0, 5 * 1440), grids)
def test_the_compiled_twin_places_each_bar_as_the_calendar_does(
    name: str, size: str, minute: int, grid: BarGrid
) -> None:
    calendar = Calendar.of(name, grid)
    length = TIMEFRAME_SECONDS[size]
    moment = utc(2023, 11, 3) + timedelta(minutes=minute)
    stamp, matrix = int(moment.timestamp()) * 1_000_000, sessions_of(calendar)
    at = first_session(matrix, stamp, length)
    part = PARTS[part_of(matrix, at, stamp, length)]
    assert (
        part
        == calendar.with_session(
            pl.DataFrame({"timestamp": [moment]}, schema={"timestamp": TIME}), size
        )["session"][0]
    )
    inside = slots(pl.Series([moment], dtype=TIME), length, calendar).row(0, named=True)
    if inside["session"] is not None and name != "24/7":
        assert on_grid(matrix, at, stamp, length) == (inside["slot"] == moment)


# --- calendars ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "size", "day", "starts"),
    [
        ("XNYS", "1Hour", date(2024, 3, 11), "09:30 10:30 11:30 12:30 13:30 14:30 15:30"),
        ("XNYS", "1Hour", date(2024, 7, 3), "09:30 10:30 11:30 12:30"),
        (
            "XBOM",
            "30Min",
            date(2024, 1, 3),
            "09:15 09:45 10:15 10:45 11:15 11:45 12:15 12:45 13:15 13:45 14:15 14:45 15:15",
        ),
        ("XBOM", "1Hour", date(2024, 1, 3), "09:15 10:15 11:15 12:15 13:15 14:15 15:15"),
        ("XTKS", "1Hour", date(2024, 1, 4), "09:00 10:00 11:00 12:30 13:30 14:30"),
        ("XSHG", "1Hour", date(2024, 1, 3), "09:30 10:30 13:00 14:00"),
        ("XHKG", "1Hour", date(2024, 1, 3), "09:30 10:30 11:30 13:00 14:00 15:00"),
    ],
)
def test_a_day_from_the_open(name: str, size: str, day: date, starts: str) -> None:
    calendar = Calendar.of(name, SESSION)
    found = find_slots(calendar, size, day, day + timedelta(days=1))
    assert times(calendar.zone, pl.Series(found.stamp).cast(TIME)) == starts.split()
    assert grids_differ(Calendar.of(name), size)
    ends = calendar.with_session(
        pl.DataFrame({"timestamp": pl.Series(found.stamp).cast(TIME)}), size
    )["bar_end"]
    assert ends[-1] == calendar.session_close(day)


def test_extended_hours_have_grids_of_their_own() -> None:
    calendar, day = Calendar.of("XNYS", SESSION), date(2024, 1, 3)
    stamps = [
        stamp
        for clock in ("04:00", "09:00", "09:30", "15:30", "16:00", "19:00")
        for stamp in local("America/New_York", day, clock)
    ]
    placed = calendar.with_session(
        pl.DataFrame({"timestamp": stamps}, schema={"timestamp": TIME}), "1Hour"
    )
    assert placed["session"].to_list() == ["pre", "pre", "regular", "regular", "post", "post"]
    assert times("America/New_York", placed["bar_end"]) == [
        "05:00",
        "09:30",
        "10:30",
        "16:00",
        "17:00",
        "20:00",
    ]


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("XNYS", "30Min"),
        ("XNYS", "1Min"),
        ("24/7", "1Hour"),
        ("CMES", "1Hour"),
        ("FX", "1Hour"),
        ("XBOM", "15Min"),
    ],
)
def test_where_both_grids_are_one_nothing_is_asked(name: str, size: str) -> None:
    assert not grids_differ(Calendar.of(name), size)


@pytest.mark.parametrize("value", ["sometimes", "-5", "1440"])
def test_a_grid_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match=r"market\.grid"):
        BarGrid.of(value)


# --- detection ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "size", "stamps", "grid"),
    [
        (
            "XNYS",
            "1Hour",
            every("America/New_York", date(2024, 1, 3), "09:30", "15:30", 60),
            "session",
        ),
        (
            "XNYS",
            "1Hour",
            every("America/New_York", date(2024, 1, 3), "09:30", "10:30", 60),
            "session",
        ),
        (
            "XNYS",
            "1Hour",
            every("America/New_York", date(2024, 1, 3), "09:00", "15:00", 60),
            "clock",
        ),
        (
            "XNYS",
            "1Hour",
            every("America/New_York", date(2024, 1, 3), "04:00", "08:00", 60),
            "clock",
        ),
        ("XBOM", "30Min", every("Asia/Kolkata", date(2024, 1, 3), "09:15", "15:15", 30), "session"),
        ("XBOM", "30Min", every("Asia/Kolkata", date(2024, 1, 3), "09:00", "15:00", 30), "clock"),
        ("XNYS", "1Hour", every("America/New_York", date(2024, 1, 3), "09:45", "14:45", 60), "45"),
    ],
)
def test_the_stamps_tell_the_grid(name: str, size: str, stamps: list[datetime], grid: str) -> None:
    found = detect_grid(pl.Series(stamps, dtype=TIME), Calendar.of(name), size)
    assert found is not None
    assert found.grid.text == grid


def test_stamps_outside_every_session_tell_nothing() -> None:
    assert (
        detect_grid(pl.Series([utc(2024, 1, 6, 15, 30)], dtype=TIME), Calendar.of("XNYS"), "1Hour")
        is None
    )


# --- a market from files --------------------------------------------------------------------------


def hours(first: str, last: str, days_: tuple[int, ...] = (7, 8, 11, 12)) -> list[datetime]:
    return [
        stamp
        for day in days_
        for stamp in every("America/New_York", date(2024, 3, day), first, last, 60)
    ]


NYSE = 'calendar = "XNYS"\ntimeframe = "1Hour"\nstart = 2024-03-01\nend = 2024-04-01'


def test_hours_from_the_open_are_bars_and_everything_counts_them_so(tmp_path: Path) -> None:
    write(tmp_path / "data" / "ABC.csv", iso(hours("09:30", "15:30")))
    market = ingested(tmp_path, NYSE)
    assert market.bars["session"].to_list() == ["regular"] * 28
    assert market.refused.is_empty()
    assert [note for note in market.notes if "28 of 28 stamps lie on the session's grid" in note]
    assert market.rows("select distinct bars, expected_regular_bars from daily_summary") == [(7, 7)]
    assert market.rows("select grid from bar_grid") == [("session",)]
    made = market.rows("select volume, slot_end from bars_at('2Hour') order by timestamp limit 4")
    twin = (
        resample(market.pipeline.lake.scan("bars"), "2Hour", market.pipeline.calendar)
        .select("volume", "known_at")
        .collect()
        .head(4)
        .rows()
    )
    assert made == twin
    assert market.rows("select count(*), min(volume) from bars_at('1Day')")[0] == (
        4,
        float(sum(1000 + at for at in range(7))),
    )


def test_the_grid_of_the_first_bars_stays_and_others_are_told_what_to_do(tmp_path: Path) -> None:
    write(tmp_path / "data" / "ABC.csv", iso(hours("09:30", "15:30", (7, 8))))
    assert ingested(tmp_path, NYSE).bars.height == 14
    write(tmp_path / "data" / "CLOCK.csv", iso(hours("10:00", "15:00", (11,))))
    later = ingested(tmp_path, NYSE)
    assert later.bars.height == 14
    assert set(later.refused["rule"]) == {"misaligned_timestamp"}
    assert "keep bars of two grids in two lakes" in later.refused["reason"][0]
    moved = ingested(tmp_path, NYSE + '\ngrid = "clock"')  # as the advice says, typed
    assert moved.bars["symbol"].unique().to_list() == ["CLOCK"]


def test_half_hours_of_mumbai(tmp_path: Path) -> None:
    stamps = [
        stamp
        for day in (1, 2, 3)
        for stamp in every("Asia/Kolkata", date(2024, 1, day), "09:15", "15:15", 30)
    ]
    write(tmp_path / "data" / "INFY.csv", iso(stamps))
    market = ingested(
        tmp_path, 'calendar = "XBOM"\ntimeframe = "30Min"\nstart = 2024-01-01\nend = 2024-02-01'
    )
    assert (market.bars.height, market.refused.height) == (39, 0)
    assert market.rows(
        "select distinct regular_bars, expected_regular_bars from daily_summary"
    ) == [(13, 13)]
    ends = market.pipeline.calendar.with_session(market.bars, "30Min")["bar_end"]
    assert times("Asia/Kolkata", ends)[12] == "15:30"
    made = market.rows("select timestamp, volume from bars_at('1Hour') order by timestamp")
    assert len(made) == 21
    assert times("Asia/Kolkata", pl.Series([at for at, _ in made], dtype=TIME))[:2] == [
        "09:15",
        "10:15",
    ]


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("timeframe", "size"),
    [("1Min", "month"), ("30Min", "month"), ("1Hour", "year"), ("1Day", "year"), ("1Week", "year")],
)
def test_partitions_fit_the_length_of_the_bars_unless_told(timeframe: str, size: str) -> None:
    market = MarketSettings(timeframe=timeframe, source="files")
    assert market.partitions.trading_period == size
    told = MarketSettings(
        timeframe=timeframe, source="files", partitions={"trading_period": "quarter"}
    )
    assert told.partitions.trading_period == "quarter"


@pytest.mark.parametrize("source", ["simulated", "alpaca", "yahoo", "crypto"])
def test_sources_without_weeks_say_so(source: str) -> None:
    with pytest.raises(ValueError, match="gives no weekly bars: ingest 1Day"):
        MarketSettings(timeframe="1Week", source=source)
