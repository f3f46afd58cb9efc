"""Hours of sessions that exchange_calendars has wrong, in the exchange's clock times."""

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
        pl.col("date").is_between(each.first, each.last)
        for each in EXCEPTIONS
        if each.calendar == "XNYS"
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
        exchange = Calendar.of(each.calendar)
        assert exchange.sessions(each.first, each.last + timedelta(days=1))


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


def local_hours(name: str, day: date) -> tuple[str, str]:
    exchange = Calendar.of(name)
    opened, closed = (
        at.astimezone(ZoneInfo(exchange.zone))
        for at in (exchange.session_open(day), exchange.session_close(day))
    )
    return f"{opened:%H:%M}", f"{closed:%H:%M}"


@pytest.mark.parametrize(
    "exam",
    [
        "2019-11-14",
        "2020-12-03",
        "2021-11-18",
        "2022-11-17",
        "2023-11-16",
        "2024-11-14",
        "2025-11-13",
    ],
)
def test_seoul_trades_an_hour_later_on_the_day_of_the_exam_alone(exam: str) -> None:
    seoul, day = Calendar.of("XKRX"), date.fromisoformat(exam)
    assert local_hours("XKRX", day) == ("10:00", "16:30")
    for other in (seoul.previous_session(day), seoul.next_session(day)):
        assert local_hours("XKRX", other) == ("09:00", "15:30")
    assert dict(seoul.expected_bars("30Min").iter_rows())[day] == 13


# the first session of the hours that a notice of B3 gave
@pytest.mark.parametrize(
    ("noticed", "closed", "before"),
    [
        ("2020-03-09", "17:00", "18:00"),
        ("2020-11-03", "18:00", "17:00"),
        ("2021-03-15", "17:00", "18:00"),
        ("2021-11-08", "18:00", "17:00"),
        ("2022-03-14", "17:00", "18:00"),
        ("2022-11-07", "18:00", "17:00"),
        ("2023-11-06", "18:00", "17:00"),
        ("2024-03-11", "17:00", "18:00"),
        ("2024-11-04", "18:00", "17:00"),
        ("2025-03-10", "17:00", "18:00"),
        ("2025-11-03", "18:00", "17:00"),
    ],
)
def test_sao_paulo_changes_its_close_on_the_days_of_its_notices(
    noticed: str, closed: str, before: str
) -> None:
    day = date.fromisoformat(noticed)
    assert local_hours("BVMF", day) == ("10:00", closed)
    assert local_hours("BVMF", Calendar.of("BVMF").previous_session(day)) == ("10:00", before)


def test_every_close_of_sao_paulo_follows_zoneinfo_s_new_york_from_2019_on() -> None:
    exchange = Calendar.of("BVMF")
    zone = ZoneInfo(exchange.zone)
    for day, closed in exchange.table.select("date", "close").iter_rows():
        local = closed.astimezone(zone)
        summer = datetime(day.year, day.month, day.day, 12, tzinfo=NEW_YORK).dst()
        early = day < date(2019, 11, 4) or bool(summer)
        assert (local.date(), local.hour, local.minute) == (day, 17 if early else 18, 0)
    table = exchange.table.select("date", "open", "close")
    assert with_exceptions(table, "BVMF", exchange.zone).equals(table)
    assert local_hours("BVMF", date(2025, 3, 5)) == ("13:00", "18:00")  # Ash Wednesday
    assert exchange.bars_per_session("15Min") == 28  # most of its days end at 17:00


def test_a_bar_after_the_early_close_of_sao_paulo_is_in_no_session() -> None:
    at = [
        datetime(2024, month, 8, hour, 30, tzinfo=ZoneInfo("America/Sao_Paulo"))
        for month in (2, 7)
        for hour in (16, 17)
    ]
    stamps = pl.Series(at).dt.convert_time_zone("UTC")
    placed = Calendar.of("BVMF").with_session(pl.DataFrame({"timestamp": stamps}), "15Min")
    assert placed["session"].to_list() == ["regular", "regular", "regular", None]


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
    for name in ("BVMF", "XBOM", "XHKG", "XKRX", "XNYS"):
        days = Calendar.of(name).table["date"]
        assert days.is_sorted()
        assert days.n_unique() == len(days)
