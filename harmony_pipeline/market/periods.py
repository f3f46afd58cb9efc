"""Half-open periods of exchange time that name partitions.

A period is cut by *exchange dates*. So a session never lies in two periods, even when after-hours
trading runs past midnight UTC or when a session begins the evening before (futures, currencies):
the day then begins at that hour. Daily and weekly bars are stamped midnight UTC, so for them the
cut is midnight UTC.

Hours, which only retraining knows, are those of the exchange's clock; one that the clock repeats is
one period of two hours, and one that it leaves out is empty.

>>> months = periods_between(date(2024, 1, 15), date(2024, 3, 2), "month", "America/New_York")
>>> [period.key for period in months]
['2024-01', '2024-02', '2024-03']
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.timeframes import LONG_TIMEFRAMES

KEY_FORMATS = {
    "hour": "%Y-%m-%dT%H",
    "day": "%Y-%m-%d",
    "week": "%Y-%m-%d",
    "month": "%Y-%m",
    "quarter": "%Y-%m",
    "year": "%Y",
}


@dataclass(frozen=True)
class DayCut:
    """The beginning of a trading day: `start` after midnight of its date on the clock of `zone`.

    `start` is negative where trading begins the evening before.
    """

    zone: str
    start: timedelta = timedelta()

    @staticmethod
    def of(calendar: Calendar, timeframe: str) -> "DayCut":
        """The cut of a calendar's bars."""
        return (
            DayCut("UTC")
            if timeframe in LONG_TIMEFRAMES
            else DayCut(calendar.zone, calendar.day_start)
        )

    def start_of(self, day: date) -> datetime:
        """The instant at which the trading day of `day` begins, UTC."""
        return (
            (datetime.combine(day, time()) + self.start)
            .replace(tzinfo=ZoneInfo(self.zone))
            .astimezone(UTC)
        )

    def date_of(self, moment: datetime) -> date:
        """The trading day that holds an instant."""
        return (moment.astimezone(ZoneInfo(self.zone)).replace(tzinfo=None) - self.start).date()


@dataclass(frozen=True, order=True)
class Period:
    """`start <= timestamp < end`, both UTC; `first_date` and `end_date` are the exchange dates (end
    exclusive).
    """

    start: datetime
    end: datetime
    key: str
    first_date: date
    end_date: date


def floor_date(day: date, size: str) -> date:
    """First date of the period that holds `day`."""
    if size in {"hour", "day"}:
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
    days = {"hour": 1, "day": 1, "week": 7, "month": 32, "quarter": 93, "year": 367}[size]
    return floor_date(first + timedelta(days=days), size)


def period_from_key(key: str, size: str, cut: DayCut | str) -> Period:
    """The period named `key`."""
    try:
        parsed = datetime.strptime(key, KEY_FORMATS[size])  # noqa: DTZ007 - on a clock, no instant
    except ValueError:
        example = datetime(2024, 1, 1, 10).strftime(KEY_FORMATS[size])  # noqa: DTZ001 - a text
        raise ConfigError(f"'{key}' is no {size}: write it like {example}") from None
    return _hour(parsed, _as_cut(cut)) if size == "hour" else period_of(parsed.date(), size, cut)


def period_of(day: date, size: str, cut: DayCut | str) -> Period:
    """The period that holds the exchange date `day`, or its first hour. A zone alone cuts at its
    midnights.
    """
    cut = _as_cut(cut)
    if size == "hour":
        return period_at(cut.start_of(day), size, cut)
    return _period_from(floor_date(day, size), size, cut)


@lru_cache(1 << 14)  # stages ask for the periods of their market again and again
def _period_from(first: date, size: str, cut: DayCut) -> Period:
    """The period of whole dates whose first one is `first`."""
    last = next_date(first, size)
    return Period(
        cut.start_of(first), cut.start_of(last), first.strftime(KEY_FORMATS[size]), first, last
    )


def period_at(moment: datetime, size: str, cut: DayCut | str) -> Period:
    """The period that holds an instant."""
    cut = _as_cut(cut)
    if size != "hour":
        return period_of(cut.date_of(moment), size, cut)
    wall = moment.astimezone(ZoneInfo(cut.zone)).replace(tzinfo=None, fold=0)
    return _hour(wall.replace(minute=0, second=0, microsecond=0), cut)


def next_period(period: Period, size: str, cut: DayCut | str) -> Period:
    """The period after this one."""
    return period_at(period.end, size, cut)


def hours_of(moments: Iterable[tuple[datetime, datetime]], cut: DayCut) -> list[Period]:
    """The hours that hold any of the half-open ranges, in order."""
    found: dict[str, Period] = {}
    for start, end in moments:
        period = period_at(start, "hour", cut)
        while period.start < end:
            found.setdefault(period.key, period)
            period = next_period(period, "hour", cut)
    return sorted(found.values())


def _hour(wall: datetime, cut: DayCut) -> Period:
    """The hour that begins at `wall` on the clock of the cut's zone."""
    zone = ZoneInfo(cut.zone)
    start, end = (
        each.replace(tzinfo=zone).astimezone(UTC) for each in (wall, wall + timedelta(hours=1))
    )
    day = cut.date_of(start)
    return Period(start, end, wall.strftime(KEY_FORMATS["hour"]), day, day + timedelta(days=1))


def _as_cut(cut: DayCut | str) -> DayCut:
    return DayCut(cut) if isinstance(cut, str) else cut


def periods_between(start: date, end: date, size: str, cut: DayCut | str) -> list[Period]:
    """Every period that holds a date in `start <= date < end`, in order."""
    found, first = [], floor_date(start, size)
    while first < end:
        found.append(period_of(first, size, cut))
        first = next_date(first, size)
    return found
