"""When orders for a closing auction are taken: by the wall clock in New York."""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from harmony_pipeline.errors import DataError
from harmony_pipeline.execution.brokers.alpaca.orders import CLOSING_HOURS
from harmony_pipeline.execution.closing_auction import ClosingAuction, ClosingHours
from harmony_pipeline.market.calendars import Calendar

CALENDAR, ZONE = Calendar.of("XNYS"), ZoneInfo("America/New_York")


def wall(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZONE)


@pytest.mark.parametrize(
    ("day", "before", "opens", "until", "close"),
    [
        ("2024-03-06", "2024-03-05 16:00", "2024-03-05 19:00", "15:50", "16:00"),
        ("2024-03-11", "2024-03-08 16:00", "2024-03-08 19:00", "15:50", "16:00"),  # clocks moved
        ("2024-07-03", "2024-07-02 16:00", "2024-07-02 19:00", "12:50", "13:00"),
        ("2024-07-05", "2024-07-03 13:00", "2024-07-03 19:00", "15:50", "16:00"),  # after a holiday
        ("2024-11-04", "2024-11-01 16:00", "2024-11-01 19:00", "15:50", "16:00"),  # and back
        ("2024-11-29", "2024-11-27 16:00", "2024-11-27 19:00", "12:50", "13:00"),
    ],
)
def test_its_hours(day: str, before: str, opens: str, until: str, close: str) -> None:
    auction = ClosingAuction.of(CALENDAR, date.fromisoformat(day), CLOSING_HOURS)
    assert auction.previous_close == wall(before)
    assert auction.opens == wall(opens)
    assert auction.cutoff == wall(f"{day} {until}")
    assert auction.close == wall(f"{day} {close}")


TICK = timedelta(microseconds=1)
TUESDAY = ClosingAuction.of(CALENDAR, date(2024, 3, 5), CLOSING_HOURS)


@pytest.mark.parametrize(
    ("decided", "now", "answer"),
    [
        ("2024-03-04 16:00", "2024-03-04 16:00", "early"),
        ("2024-03-04 16:00", "2024-03-04 18:59", "early"),
        ("2024-03-04 16:00", "2024-03-04 19:00", "open"),
        ("2024-03-04 16:00", "2024-03-05 15:49", "open"),
        ("2024-03-04 16:00", "2024-03-05 15:50", "late"),
        ("2024-03-05 15:00", "2024-03-05 15:49", "open"),
        ("2024-03-05 16:00", "2024-03-05 16:00", "early"),  # it is for Wednesday's
        ("2024-03-05 16:00", "2024-03-06 09:30", "early"),
        ("2024-03-04 15:59", "2024-03-05 09:30", "late"),  # it was for Monday's
        ("2024-03-01 16:00", "2024-03-05 09:30", "late"),
    ],
)
def test_who_waits_who_leaves_and_who_is_late(decided: str, now: str, answer: str) -> None:
    assert TUESDAY.answer(wall(decided), wall(now)) == answer


def test_its_limits_are_exact() -> None:
    decided = TUESDAY.previous_close
    assert TUESDAY.answer(decided, TUESDAY.opens - TICK) == "early"
    assert TUESDAY.answer(decided, TUESDAY.opens) == "open"
    assert TUESDAY.answer(decided, TUESDAY.cutoff - TICK) == "open"
    assert TUESDAY.answer(decided, TUESDAY.cutoff) == "late"
    assert TUESDAY.answer(decided - TICK, TUESDAY.opens) == "late"
    assert TUESDAY.is_for(decided)
    assert not TUESDAY.is_for(TUESDAY.close)


def test_a_day_without_a_session_has_none() -> None:
    with pytest.raises(DataError):
        ClosingAuction.of(CALENDAR, date(2024, 7, 4), CLOSING_HOURS)


def test_hours_are_the_brokers_own() -> None:
    half, day = date(2024, 7, 3), date(2024, 7, 5)
    at_close = ClosingAuction.of(CALENDAR, day, ClosingHours(cutoff=timedelta()))
    assert (at_close.opens, at_close.cutoff) == (at_close.previous_close, at_close.close)
    early = ClosingHours(cutoff=timedelta(minutes=15), evening=time(12))
    assert ClosingAuction.of(CALENDAR, day, early).opens == CALENDAR.session_close(half)
    assert ClosingAuction.of(CALENDAR, half, early).cutoff == wall("2024-07-03 12:45")
    with pytest.raises(ValueError, match="is after the close"):
        ClosingHours(cutoff=timedelta(minutes=-1))
