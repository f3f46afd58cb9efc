"""Past sessions that exchange_calendars 4.13.2 has wrong: other hours, no session, or one that it
lacks.

Each row states the hours that were traded on the exchange's own clock, the reason and the source.
`with_exceptions` puts them into a calendar's table, so that labels, gaps, summaries, sessions and
resampling follow them. A day without a row here keeps the hours of exchange_calendars.

Sources:

- PMC: pandas_market_calendars 5.5.0, holidays/nyse.py, which transcribes the exchange's own list
  "Special Closings of the NYSE".
- NYSE: the exchange's history of its trading hours: 10:00 to 16:00 from 1 October 1974, 9:30 to
  16:00 from 30 September 1985. pandas_market_calendars dates this change 1 January 1985.

- HKEX: the exchange's market communications of the day, 2309012news and 2309083news.
- NSE: the timings that NSE and BSE announced for the hour of Diwali (muhurat trading) of 2023.
- KRX: the hours that Korea Exchange announced for the day of the college entrance exam, as the
  press gave them (Donga 2021-11-04, Kyunghyang 2022-11-16, Yonhap 2023-11-02, Kyunghyang
  2024-10-31, Donga 2025-11-13). exchange_calendars has these days up to 2020.
- B3: its notices of the hours of the share market for 2019-11-04, 2020-03-09, 2020-11-03,
  2021-03-15, 2021-11-08, 2022-03-14, 2022-11-07, 2023-11-06, 2024-03-11, 2024-11-04, 2025-03-10
  and 2025-11-03, as the press gave them: 17:00 while New York has summer time, else 18:00, both
  with the closing auction. exchange_calendars has 18:00 throughout. That of March 2023 was not
  found; the one of November 2023 says that 17:00 had been the close. Before Brazil gave up its own
  summer time in 2019 the close moved, too, on days that nobody looked up here: they are left.

Where the two packages differ and exchange_calendars is kept: 31 December 1999 closed at 13:00
(pandas_market_calendars: 16:00); 24 December of 1980, 1985, 1986 and 1987 closed at 14:00
(pandas_market_calendars: 16:00, no third source was at hand).
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import polars as pl

from harmony_pipeline.schemas import TIME

PMC = "pandas_market_calendars 5.5.0"
NYSE = "NYSE history of trading hours"
HKEX = "HKEX market communication of the day"
NSE = "NSE announcement of 2 November 2023"
KRX = "KRX announcement of the hours of the exam day"
B3 = "B3 notices of its trading hours"


@dataclass(frozen=True)
class HoursException:
    """Hours of the sessions `first <= date <= last`; None keeps those of exchange_calendars."""

    calendar: str  # code that exchange_calendars resolves names to
    first: date
    last: date
    open: time | None
    close: time | None
    reason: str
    source: str


def _exception_on(
    day: date, opened: time | None, closed: time | None, reason: str
) -> HoursException:
    return HoursException("XNYS", day, day, opened, closed, reason, PMC)


def _exam_day(day: date) -> HoursException:
    return HoursException(
        "XKRX", day, day, time(10), time(16, 30), "college entrance exam: an hour later", KRX
    )


def _exceptions_between(first: date, last: date, closed: time, reason: str) -> HoursException:
    return HoursException("XNYS", first, last, None, closed, reason, PMC)


@dataclass(frozen=True)
class ForeignSummerClose:
    """The close of every session from `first` on while another zone has summer time."""

    calendar: str
    first: date
    foreign_zone: str
    close: time
    reason: str
    source: str


@dataclass(frozen=True)
class NoSession:
    """A day on which nothing was traded."""

    calendar: str
    day: date
    reason: str
    source: str


@dataclass(frozen=True)
class SpecialSession:
    """A session on a day that the calendar has as closed, or one in place of the usual hours. It
    has no break.
    """

    calendar: str
    day: date
    open: time
    close: time
    reason: str
    source: str


def _diwali(day: date, opened: time, source: str = PMC, minutes: int = 60) -> SpecialSession:
    closed = (datetime.combine(day, opened) + timedelta(minutes=minutes)).time()
    return SpecialSession("XBOM", day, opened, closed, "the hour of Diwali", source)


NO_SESSIONS: tuple[NoSession, ...] = (
    NoSession("XHKG", date(2023, 9, 1), "typhoon Saola", HKEX),
    NoSession("XHKG", date(2023, 9, 8), "black rainstorm", HKEX),
)
SPECIAL_SESSIONS: tuple[SpecialSession, ...] = (
    _diwali(date(2011, 10, 26), time(16, 45), minutes=75),
    _diwali(date(2012, 11, 13), time(15, 45), minutes=75),
    _diwali(date(2014, 10, 23), time(18, 30)),
    _diwali(date(2015, 11, 11), time(17, 45)),
    _diwali(date(2017, 10, 19), time(18, 30)),
    _diwali(date(2018, 11, 7), time(17, 30)),
    _diwali(date(2021, 11, 4), time(18, 15)),
    _diwali(date(2022, 10, 24), time(18, 15)),
    _diwali(date(2023, 11, 12), time(18, 15), NSE),
    _diwali(date(2024, 11, 1), time(18)),
    _diwali(date(2025, 10, 21), time(13, 45)),
)
FOREIGN_SUMMER_CLOSES: tuple[ForeignSummerClose, ...] = (
    ForeignSummerClose(
        "BVMF", date(2019, 11, 4), "America/New_York", time(17), "closes with New York", B3
    ),
)
_BACKLOG = "back-office backlog after the crash"
EXCEPTIONS: tuple[HoursException, ...] = (
    HoursException(
        "XNYS", date.min, date(1985, 9, 27), time(10), None, "the exchange opened at 10:00", NYSE
    ),
    _exception_on(date(1981, 3, 30), None, time(15, 17), "attempt on President Reagan's life"),
    _exception_on(date(1981, 9, 9), None, time(15, 28), "Con Edison power failure"),
    _exceptions_between(date(1987, 10, 23), date(1987, 10, 30), time(14), _BACKLOG),
    _exceptions_between(date(1987, 11, 2), date(1987, 11, 4), time(14, 30), _BACKLOG),
    _exceptions_between(date(1987, 11, 5), date(1987, 11, 6), time(15), _BACKLOG),
    _exceptions_between(date(1987, 11, 9), date(1987, 11, 11), time(15, 30), _BACKLOG),
    _exception_on(date(1989, 11, 10), time(11), None, "electrical fire"),
    _exception_on(date(1990, 12, 27), time(9, 31), None, "Con Edison transformer explosion"),
    _exception_on(date(1991, 1, 17), time(9, 31), None, "minute of silence: troops in the Gulf"),
    _exception_on(date(1991, 2, 25), time(9, 31), None, "minute of silence: troops in the Gulf"),
    _exception_on(date(1994, 2, 11), None, time(14, 30), "snowstorm"),
    _exception_on(date(1995, 12, 18), time(10, 30), None, "computer systems trouble"),
    _exception_on(date(1996, 1, 8), time(11), time(14), "blizzard"),
    _exception_on(date(1997, 10, 27), None, time(15, 30), "circuit breaker"),
    _exception_on(
        date(2001, 9, 17), time(9, 33), None, "moment of silence: attacks of 11 September"
    ),
    _exception_on(
        date(2001, 10, 8), time(9, 31), None, "moment of silence: Enduring Freedom troops"
    ),
    _exception_on(date(2002, 9, 11), time(12), None, "anniversary of the attacks of 11 September"),
    _exception_on(date(2003, 3, 20), time(9, 32), None, "moment of silence: Iraqi Freedom troops"),
    _exception_on(date(2004, 6, 7), time(9, 32), None, "moment of silence: death of Ronald Reagan"),
    _exception_on(date(2005, 6, 1), None, time(15, 56), "systems communication problem"),
    _exception_on(date(2006, 12, 27), time(9, 32), None, "moment of silence: death of Gerald Ford"),
    _exam_day(date(2021, 11, 18)),
    _exam_day(date(2022, 11, 17)),
    _exam_day(date(2023, 11, 16)),
    _exam_day(date(2024, 11, 14)),
    _exam_day(date(2025, 11, 13)),
)


def with_exceptions(table: pl.DataFrame, code: str, zone: str) -> pl.DataFrame:
    """`table` (date, open, close, break_start, break_end; UTC) with the true hours of calendar
    `code`.
    """
    opens, closes = pl.col("open"), pl.col("close")
    for rule in FOREIGN_SUMMER_CLOSES:
        if rule.calendar == code:
            # clocks there change on Sundays, so any instant of a session will do
            abroad = pl.col("close").dt.convert_time_zone(rule.foreign_zone)
            summer = (pl.col("date") >= rule.first) & (abroad.dt.dst_offset() > timedelta())
            closes = _replace_hours(summer, rule.close, zone, closes)
    for row in EXCEPTIONS:
        if row.calendar == code:
            meant = pl.col("date").is_between(row.first, row.last)
            opens = opens if row.open is None else _replace_hours(meant, row.open, zone, opens)
            closes = closes if row.close is None else _replace_hours(meant, row.close, zone, closes)
    special = [row for row in SPECIAL_SESSIONS if row.calendar == code]
    gone = [row.day for row in NO_SESSIONS if row.calendar == code] + [row.day for row in special]
    table = table.with_columns(open=opens, close=closes).filter(~pl.col("date").is_in(gone))
    if not special:
        return table
    inside = [row for row in special if table["date"][0] < row.day < table["date"][-1]]
    added = pl.DataFrame(
        {
            "date": [row.day for row in inside],
            "opened": [row.open for row in inside],
            "closed": [row.close for row in inside],
        }
    ).with_columns(open=_instant_at("opened", zone), close=_instant_at("closed", zone))
    return pl.concat([table, added.drop("opened", "closed")], how="diagonal").sort("date")


def _instant_at(clock: str, zone: str) -> pl.Expr:
    """The instant of a date and the time of day in column `clock`."""
    return (
        pl.col("date")
        .dt.combine(pl.col(clock))
        .dt.replace_time_zone(zone)
        .dt.convert_time_zone("UTC")
        .cast(TIME)
    )


def _replace_hours(meant: pl.Expr, clock: time, zone: str, otherwise: pl.Expr) -> pl.Expr:
    at = pl.col("date").dt.combine(clock).dt.replace_time_zone(zone).dt.convert_time_zone("UTC")
    return pl.when(meant).then(at.cast(TIME)).otherwise(otherwise)
