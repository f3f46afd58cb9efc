"""Daily and weekly bars land on their session, whichever of the usual ways a vendor stamps them."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from market.raw_rows import utc
from market.vendor_markets import ingested, iso, write

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.session_placement import session_midnights

UTC_ZONE = ZoneInfo("UTC")


def placed(calendar: str, stamps: Sequence[datetime], timeframe: str = "1Day") -> list[date]:
    """Session dates of instants that are written in UTC."""
    instant = pl.Series("at", list(stamps), dtype=pl.Datetime("us", "UTC"))
    found = session_midnights(
        instant, instant.dt.replace_time_zone(None), Calendar.of(calendar), timeframe
    )
    return found.dt.date().to_list()


def at(zone: str, sessions: Sequence[date], clock: str, days_before: int = 0) -> list[datetime]:
    """The same time of day on the clock of `zone` for each session."""
    wall = [
        datetime.fromisoformat(f"{day - timedelta(days=days_before)} {clock}") for day in sessions
    ]
    return [moment.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC_ZONE) for moment in wall]


def sessions(calendar: str, first: date, end: date) -> list[date]:
    return Calendar.of(calendar).sessions(first, end)


CHICAGO, NEW_YORK = "America/Chicago", "America/New_York"
SPANS = [
    (date(2024, 1, 8), date(2024, 1, 13)),
    (date(2024, 3, 1), date(2024, 3, 20)),
    (date(2024, 10, 28), date(2024, 11, 12)),
]


@pytest.mark.parametrize("span", SPANS, ids=["a week", "spring", "autumn"])
@pytest.mark.parametrize(
    ("calendar", "zone", "clock", "days_before"),
    [
        ("CMES", CHICAGO, "17:00", 1),  # the open, the evening before
        ("CMES", "UTC", "00:00", 0),
        ("CMES", CHICAGO, "00:00", 0),
        ("CMES", CHICAGO, "16:00", 0),  # the close
        ("FX", NEW_YORK, "17:00", 1),
        ("FX", "UTC", "22:00", 1),  # all year, so an hour after the open in summer
        ("FX", "UTC", "21:00", 1),  # all year, so an hour before the open in winter
        ("FX", "UTC", "00:00", 0),
        ("24/5", NEW_YORK, "17:00", 1),
        ("XNYS", "UTC", "00:00", 0),
        ("XNYS", NEW_YORK, "00:00", 0),
        ("XNYS", NEW_YORK, "09:30", 0),
        ("XNYS", NEW_YORK, "16:00", 0),
        ("XNYS", NEW_YORK, "20:30", 0),
        ("XTKS", "Asia/Tokyo", "00:00", 0),  # 15:00Z of the day before
        ("XTKS", "Asia/Tokyo", "15:00", 0),
        ("XBOM", "Asia/Kolkata", "00:00", 0),
        ("XBOM", "Asia/Kolkata", "15:30", 0),
        ("XLON", "Europe/London", "00:00", 0),
        ("24/7", "UTC", "00:00", 0),
        ("24/7", "UTC", "23:59", 0),
    ],
)
def test_a_daily_bar_lands_on_its_session(
    span: tuple[date, date], calendar: str, zone: str, clock: str, days_before: int
) -> None:
    expected = sessions(calendar, *span)
    assert placed(calendar, at(zone, expected, clock, days_before)) == expected


@pytest.mark.parametrize(
    ("calendar", "stamp", "session"),
    [
        ("CMES", utc(2024, 1, 7, 23), date(2024, 1, 8)),
        ("CMES", utc(2024, 1, 8, 6), date(2024, 1, 8)),
        ("FX", utc(2024, 1, 7, 22), date(2024, 1, 8)),
        ("FX", utc(2024, 7, 7, 21), date(2024, 7, 8)),
        ("XNYS", utc(2024, 1, 9, 5), date(2024, 1, 9)),
        ("XNYS", utc(2024, 1, 10, 1, 30), date(2024, 1, 9)),  # 20:30 in New York
    ],
)
def test_one_bar_alone_is_enough(calendar: str, stamp: datetime, session: date) -> None:
    assert placed(calendar, [stamp]) == [session]


def test_a_stamp_written_as_midnight_means_its_date_whatever_its_zone() -> None:
    instant = pl.Series("at", [utc(2024, 1, 8, 23)], dtype=pl.Datetime("us", "UTC"))
    written = pl.Series("wall", [datetime(2024, 1, 9)])  # noqa: DTZ001 - a wall clock
    assert session_midnights(instant, written, Calendar.of("XLON"), "1Day").dt.date().to_list() == [
        date(2024, 1, 9)
    ]


def test_days_without_a_session_keep_their_date_and_are_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path / "data" / "ES.csv", ["2024-01-05", "2024-01-06", "2024-01-08"])
    market = ingested(
        tmp_path, 'calendar = "CMES"\ntimeframe = "1Day"\nstart = 2024-01-01\nend = 2024-02-01'
    )
    assert market.bars["timestamp"].dt.day().to_list() == [5, 8]
    assert market.refused["rule"].to_list() == ["outside_session"]


@pytest.mark.parametrize(
    ("calendar", "clock", "days_before", "zone"),
    [
        ("CMES", "17:00", 1, CHICAGO),
        ("FX", "17:00", 1, NEW_YORK),
        ("FX", "22:00", 1, "UTC"),
        ("24/7", "00:00", 0, "UTC"),
    ],
)
@pytest.mark.parametrize("count", [2, 80])
def test_markets_that_begin_the_evening_before_come_whole_through_ingest(
    tmp_path: Path, calendar: str, clock: str, days_before: int, zone: str, count: int
) -> None:
    expected = sessions(calendar, date(2024, 1, 2), date(2024, 12, 1))[:count]
    write(tmp_path / "data" / "SYM.csv", iso(at(zone, expected, clock, days_before)))
    market = ingested(
        tmp_path,
        f'calendar = "{calendar}"\ntimeframe = "1Day"\nstart = 2024-01-01\nend = 2025-01-01',
    )
    assert market.bars["timestamp"].dt.date().to_list() == expected
    assert market.rows("select count(*), sum(regular_bars) from daily_summary") == [(count, count)]


def test_minutes_of_the_evening_before_stand_in_the_period_of_their_session(tmp_path: Path) -> None:
    # 17:00 in Chicago: the session of 1 February
    evening = [utc(2024, 1, 31, 23) + timedelta(minutes=at) for at in range(3)]
    afternoon = [utc(2024, 1, 31, 21, 57) + timedelta(minutes=at) for at in range(3)]
    write(tmp_path / "data" / "ES.csv", iso([*afternoon, *evening]))
    market = ingested(
        tmp_path, 'calendar = "CMES"\ntimeframe = "1Min"\nstart = 2024-01-01\nend = 2024-03-01'
    )
    days = market.rows("select date, bars, volume, partition from daily_summary order by date")
    assert days == [
        (date(2024, 1, 31), 3, 3003.0, "2024-01"),
        (date(2024, 2, 1), 3, 3012.0, "2024-02"),
    ]
    made = market.rows("select timestamp, volume, slot_end from bars_at('1Day') order by timestamp")
    assert made == [
        (utc(2024, 1, 31), 3003.0, utc(2024, 1, 31, 22)),
        (utc(2024, 2, 1), 3012.0, utc(2024, 2, 1, 22)),
    ]


@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        # the first session of the week; the 15th is a holiday
        ([date(2024, 1, 8), date(2024, 1, 16), date(2024, 1, 22)], [8, 16, 22]),
        ([date(2024, 1, 8), date(2024, 1, 15), date(2024, 1, 22)], [8, 16, 22]),  # Mondays
        ([date(2024, 1, 12), date(2024, 1, 19), date(2024, 1, 26)], [8, 16, 22]),  # Fridays
        # the Sundays before
        ([date(2024, 1, 7), date(2024, 1, 14), date(2024, 1, 21)], [8, 16, 22]),
    ],
)
def test_a_week_bears_the_date_of_its_first_session(
    stamps: list[date], expected: list[int]
) -> None:
    found = placed(
        "XNYS", [datetime(day.year, day.month, day.day, tzinfo=UTC_ZONE) for day in stamps], "1Week"
    )
    assert [day.day for day in found] == expected


def test_weeks_are_known_at_the_close_of_their_last_session() -> None:
    calendar = Calendar.of("XNYS")
    frame = pl.DataFrame(
        {"timestamp": [utc(2024, 1, 16), utc(2024, 3, 25), utc(2024, 1, 15)]},
        schema={"timestamp": pl.Datetime("us", "UTC")},
    )
    found = calendar.with_session(frame, "1Week")
    # Good Friday is no session
    assert found["bar_end"].to_list()[:2] == [utc(2024, 1, 19, 21), utc(2024, 3, 28, 20)]
    assert found["session"].to_list() == ["regular", "regular", None]
    assert (calendar.bars_per_session("1Week"), calendar.weeks.sessions_per_year) == (1, 52)


@pytest.mark.parametrize("count", [2, 60])
def test_weekly_bars_come_whole_through_ingest(tmp_path: Path, count: int) -> None:
    fridays = [date(2023, 1, 6) + timedelta(weeks=week) for week in range(count)]
    write(tmp_path / "data" / "ABC.csv", fridays)
    market = ingested(
        tmp_path, 'calendar = "XNYS"\ntimeframe = "1Week"\nstart = 2023-01-01\nend = 2025-01-01'
    )
    assert (market.bars.height, market.refused.height) == (count, 0)
    assert market.bars["timestamp"][0] == utc(2023, 1, 3)  # the 2nd was a holiday
    assert market.rows("select count(*), max(regular_bars) from daily_summary") == [(count, 1)]
