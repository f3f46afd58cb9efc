"""Hours of sessions that exchange_calendars gives as full days, in New York's clock times."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from harmony_pipeline.market.calendar_exceptions import EXCEPTIONS, with_exceptions
from harmony_pipeline.market.calendars import Calendar

NEW_YORK = ZoneInfo("America/New_York")
NYSE = Calendar.of("XNYS")
# (day, open, close) as the exchange's list of special closings states them
KNOWN = (
    ("1982-03-02", "10:00", "16:00"),
    ("1985-09-26", "10:00", "16:00"),
    ("1985-09-30", "09:30", "16:00"),
    ("1987-10-22", "09:30", "16:00"),
    ("1987-10-23", "09:30", "14:00"),
    ("1987-11-11", "09:30", "15:30"),
    ("1987-11-12", "09:30", "16:00"),
    ("1990-12-27", "09:31", "16:00"),
    ("1991-01-17", "09:31", "16:00"),
    ("1991-02-25", "09:31", "16:00"),
    ("1994-02-11", "09:30", "14:30"),
    ("1995-12-18", "10:30", "16:00"),
    ("1996-01-08", "11:00", "14:00"),
    ("1997-10-27", "09:30", "15:30"),
    ("1999-12-31", "09:30", "13:00"),
    ("2001-09-17", "09:33", "16:00"),
    ("2001-10-08", "09:31", "16:00"),
    ("2002-09-11", "12:00", "16:00"),
    ("2002-09-12", "09:30", "16:00"),
    ("2003-03-20", "09:32", "16:00"),
    ("2004-06-07", "09:32", "16:00"),
    ("2005-06-01", "09:30", "15:56"),
    ("2006-12-27", "09:32", "16:00"),
    ("2024-07-03", "09:30", "13:00"),
)


def clock(moment: datetime) -> str:
    return moment.astimezone(NEW_YORK).strftime("%H:%M")


@pytest.mark.parametrize(("day", "opened", "closed"), KNOWN)
@pytest.mark.parametrize("name", ["XNYS", "XNAS"])
def test_a_session_has_the_hours_it_had(name: str, day: str, opened: str, closed: str) -> None:
    when, calendar = date.fromisoformat(day), Calendar.of(name)
    found = (clock(calendar.session_open(when)), clock(calendar.session_close(when)))
    assert found == (opened, closed)


def test_extended_hours_follow_an_early_close() -> None:
    row = NYSE.schedule(date(1997, 10, 27), date(1997, 10, 28)).row(0, named=True)
    assert (clock(row["pre_open"]), clock(row["post_close"])) == ("04:00", "19:30")


def test_no_other_session_and_no_other_exchange_is_touched() -> None:
    table = Calendar.of("XNYS").table.select("date", "open", "close")
    named = pl.any_horizontal(
        pl.col("date").is_between(each.first, each.last) for each in EXCEPTIONS
    )
    again = with_exceptions(table, "XNYS", NYSE.zone)
    assert again.equals(table)  # the hours are there once, whoever applies them again
    odd = pl.col("open").dt.convert_time_zone(NYSE.zone).dt.time() != pl.time(9, 30)
    assert table.filter(odd & ~named).is_empty()
    london = Calendar.of("XLON").table.select("date", "open", "close")
    assert with_exceptions(london, "XLON", "Europe/London").equals(london)


def test_a_late_open_leaves_fewer_bars_and_a_straddling_bar_stays_regular() -> None:
    expected = dict(NYSE.expected_bars("15Min").iter_rows())
    assert expected[date(2002, 9, 11)] == 16
    assert expected[date(1996, 1, 8)] == 12
    assert expected[date(2001, 9, 17)] == 26  # the bar of 09:30 holds 09:33
    opened = NYSE.session_open(date(2002, 9, 11))
    stamps = [opened - timedelta(minutes=15), opened]
    bars = pl.DataFrame({"timestamp": stamps}, schema={"timestamp": pl.Datetime("us", "UTC")})
    assert NYSE.with_session(bars, "15Min")["session"].to_list() == ["pre", "regular"]


def test_every_exception_is_a_session_with_a_reason_and_a_source() -> None:
    for each in EXCEPTIONS:
        assert each.reason
        assert each.source
        assert each.open or each.close
        assert NYSE.sessions(each.first, each.last + timedelta(days=1))


@pytest.mark.parametrize(
    ("day", "opened", "closed"),
    [
        ("2011-10-26", "16:45", "18:00"),
        ("2012-11-13", "15:45", "17:00"),
        ("2022-10-24", "18:15", "19:15"),
        ("2023-11-12", "18:15", "19:15"),
        ("2024-11-01", "18:00", "19:00"),
        ("2025-10-21", "13:45", "14:45"),
        ("2023-11-13", "09:15", "15:30"),
    ],
)
def test_bombay_trades_for_an_hour_at_diwali(day: str, opened: str, closed: str) -> None:
    bombay, session = Calendar.of("XBOM"), date.fromisoformat(day)
    clock = [
        at.astimezone(ZoneInfo("Asia/Kolkata"))
        for at in (bombay.session_open(session), bombay.session_close(session))
    ]
    assert [f"{at:%F %H:%M}" for at in clock] == [f"{day} {opened}", f"{day} {closed}"]


def test_a_bar_of_the_hour_of_diwali_belongs_to_its_session() -> None:
    bombay = Calendar.of("XBOM")
    stamps = [
        datetime(2023, 11, 12, hour, minute, tzinfo=ZoneInfo("UTC"))
        for hour, minute in ((12, 30), (12, 45), (13, 44), (13, 45))
    ]
    placed = bombay.with_session(pl.DataFrame({"timestamp": stamps}), "1Min")
    assert placed["session"].to_list() == [None, "regular", "regular", None]


def test_hong_kong_did_not_trade_through_typhoon_and_rain() -> None:
    hong_kong = Calendar.of("XHKG")
    assert [hong_kong.is_session(date(2023, 9, day)) for day in (1, 4, 7, 8, 11)] == [
        False,
        True,
        True,
        False,
        True,
    ]


def test_every_calendar_stays_in_order_and_without_repeats() -> None:
    for name in ("XBOM", "XHKG", "XNYS"):
        days = Calendar.of(name).table["date"]
        assert days.is_sorted()
        assert days.n_unique() == len(days)
