"""Half-open stretches of exchange time that partitions are named by.

A period is cut by *exchange dates*, so that a session never straddles two periods, even when after-hours trading
runs past midnight UTC. Daily bars are stamped midnight UTC, so for them the cut is midnight UTC.

>>> [p.key for p in periods_between(date(2024, 1, 15), date(2024, 3, 2), "month", "America/New_York")]
['2024-01', '2024-02', '2024-03']
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from harmony_pipeline.errors import ConfigError

KEY_FORMATS = {"day": "%Y-%m-%d", "week": "%Y-%m-%d", "month": "%Y-%m", "quarter": "%Y-%m", "year": "%Y"}


@dataclass(frozen=True, order=True)
class Period:
    """`start <= timestamp < end`, both UTC; `first_date` and `end_date` are the exchange dates (end exclusive)."""

    start: datetime
    end: datetime
    key: str
    first_date: date
    end_date: date


def floor_date(day: date, size: str) -> date:
    """First date of the period that holds `day`."""
    if size == "day":
        return day
    if size == "week":
        return day - timedelta(days=day.weekday())
    if size == "month":
        return day.replace(day=1)
    if size == "quarter":
        return day.replace(month=3 * ((day.month - 1) // 3) + 1, day=1)
    return day.replace(month=1, day=1)


def next_date(first: date, size: str) -> date:
    """First date of the period after the one that starts on `first`."""
    days = {"day": 1, "week": 7, "month": 32, "quarter": 93, "year": 367}[size]
    return floor_date(first + timedelta(days=days), size)


def period_from_key(key: str, size: str, zone: str) -> Period:
    """The period named `key`."""
    try:
        parsed = datetime.strptime(key, KEY_FORMATS[size]).date()  # noqa: DTZ007 - a date, no instant
    except ValueError:
        raise ConfigError(f"'{key}' is not a {size}: write it like {date(2024, 1, 1).strftime(KEY_FORMATS[size])}") from None
    return period_of(parsed, size, zone)


def period_of(day: date, size: str, zone: str) -> Period:
    """The period that holds the exchange date `day`."""
    first = floor_date(day, size)
    last = next_date(first, size)
    return Period(_midnight(first, zone), _midnight(last, zone), first.strftime(KEY_FORMATS[size]), first, last)


def periods_between(start: date, end: date, size: str, zone: str) -> list[Period]:
    """Every period that holds a date in `start <= date < end`, in order."""
    found, first = [], floor_date(start, size)
    while first < end:
        found.append(period_of(first, size, zone))
        first = next_date(first, size)
    return found


def _midnight(day: date, zone: str) -> datetime:
    return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)
