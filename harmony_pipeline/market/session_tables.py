"""The sessions of every calendar: hours of exchanges as published, the week of currencies, metals.

Regular hours come from exchange_calendars: holidays, early closes, late opens and unscheduled
closures. Corrections to that package are in calendar_exceptions.py.

Extended hours are those of US equities (Nasdaq and NYSE Arca: 04:00 to four hours after the close,
so 17:00 on a half-day). Other exchanges have none here. Currencies have no exchange. Their week,
"FX" (also "24/5"), runs from Sunday 17:00 to Friday 17:00 on New York's clock and is cut into days
at 17:00. A session has the date on which it ends. Futures sessions (CMES) begin the evening before
too. They end an hour earlier than in exchange_calendars, since 16:00 to 17:00 of Chicago is the
daily pause.

Spot gold and silver ("METALS") follow those futures: from 18:00 on New York's clock the evening
before (Sunday for Monday) to 17:00, closed on the futures' holidays and early before some of them.
"""

import warnings
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.market.calendar_exceptions import with_exceptions
from harmony_pipeline.market.kept_calendars import CalendarParts, kept_or_built
from harmony_pipeline.schemas import TIME

ROUND_THE_CLOCK = "24/7"
CURRENCIES = "FX"
FUTURES = "CMES"
METALS = "METALS"
# exchange_calendars' own 24/5 is whole UTC days, which lack the Sunday evening
_CURRENCY_NAMES = (CURRENCIES, "24/5")
FIRST_DATE, LAST_DATE = date(1980, 1, 1), date(2035, 12, 31)
_US_EQUITIES = "XNYS"  # what exchange_calendars resolves NYSE, NASDAQ, ARCX, BATS, ... to
_PRE_OPEN, _POST_HOURS = timedelta(hours=4), timedelta(hours=4)
_US_SESSIONS_PER_YEAR, _CLOCK_SESSIONS_PER_YEAR = 252, 365
_NANOS = 1_000
_FRIDAY, _CURRENCY_CUT = 5, timedelta(hours=17)
_CURRENCY_ZONE = "America/New_York"
_FUTURES_PAUSE, _FUTURES_CLOSE = timedelta(hours=1), timedelta(hours=17)


def calendar_parts(name: str) -> CalendarParts:
    """Zone, sessions a year and table of a calendar: an exchange_calendars code, "24/7", "FX" or
    "METALS". Raises ConfigError for an unknown name.
    """
    if name in _CURRENCY_NAMES:
        return _currency_week(name)
    if name == METALS:
        futures = kept_or_built(FUTURES, lambda: _of_exchange(FUTURES))
        return futures._replace(zone=_CURRENCY_ZONE)
    return kept_or_built(name, lambda: _of_exchange(name))


def _of_exchange(name: str) -> CalendarParts:
    """A calendar of exchange_calendars. Raises ConfigError for a name that it does not know."""
    import exchange_calendars

    try:
        with warnings.catch_warnings():
            # exchange_calendars uses pandas features that are deprecated; its users cannot change
            # that.
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            code = exchange_calendars.resolve_alias(name)
            source = exchange_calendars.get_calendar(
                name, start=_clip_to_rules(name, FIRST_DATE), end=_clip_to_rules(name, LAST_DATE)
            )
    except exchange_calendars.errors.InvalidCalendarName:
        raise ConfigError(
            f"market.calendar is '{name}', which is no exchange known to exchange_calendars: use"
            f" XNYS, XNAS, XLON, ..., {CURRENCIES}, {METALS} or {ROUND_THE_CLOCK}"
        ) from None
    zone = str(source.tz)
    us = code == _US_EQUITIES
    hours = pl.DataFrame(
        {
            "date": pl.Series(_micros(source.sessions_nanos)).cast(pl.Datetime("us")).dt.date(),
            "open": _instants(source.opens_nanos),
            "close": _instants(source.closes_nanos),
            "break_start": _instants(source.break_starts_nanos),
            "break_end": _instants(source.break_ends_nanos),
        }
    )
    if code == FUTURES:
        hours = _subtract_daily_pause(hours, zone)
    table = with_exceptions(hours, code, zone).with_columns(
        pre_open=(
            (pl.col("date").cast(pl.Datetime("us")) + _PRE_OPEN)
            .dt.replace_time_zone(zone)
            .dt.convert_time_zone("UTC")
            .cast(TIME)
            if us
            else "open"
        ),
        post_close=pl.col("close") + (_POST_HOURS if us else timedelta()),
    )
    return CalendarParts(zone, _sessions_per_year(code, table), table)


def _subtract_daily_pause(hours: pl.DataFrame, zone: str) -> pl.DataFrame:
    """Hours without the pause of CME Globex from 16:00 to 17:00 in Chicago.

    exchange_calendars ends a full session at 17:00.
    """
    wall = pl.col("close").dt.convert_time_zone(zone).dt.replace_time_zone(None)
    full = (wall - pl.col("date").cast(pl.Datetime("us"))) == _FUTURES_CLOSE
    return hours.with_columns(
        close=pl.when(full).then(pl.col("close") - _FUTURES_PAUSE).otherwise("close")
    )


def _currency_week(name: str) -> CalendarParts:
    """Five sessions a week, each from 17:00 in New York the evening before to 17:00 of its date.

    The spot market rolls at 17:00. This calendar has no holidays.
    """
    dates = pl.DataFrame({"date": pl.date_range(FIRST_DATE, LAST_DATE, "1d", eager=True)})
    days = dates.filter(pl.col("date").dt.weekday() <= _FRIDAY)
    cut = pl.col("date").cast(pl.Datetime("us")) + _CURRENCY_CUT
    opens, closes = (
        moment.dt.replace_time_zone(_CURRENCY_ZONE).dt.convert_time_zone("UTC").cast(TIME)
        for moment in (cut - timedelta(days=1), cut)
    )
    table = days.with_columns(
        open=opens, close=closes, break_start=pl.lit(None, TIME), break_end=pl.lit(None, TIME)
    )
    table = table.with_columns(pre_open="open", post_close="close")
    return CalendarParts(_CURRENCY_ZONE, _sessions_per_year(name, table), table)


def _clip_to_rules(name: str, day: date) -> date:
    """`day`, or the nearest day for which the exchange's rules are known.

    Some exchanges publish holidays only a year ahead.
    """
    import exchange_calendars

    rules = type(exchange_calendars.get_calendar(name, start="2022-01-03", end="2022-02-01"))
    low, high = rules.bound_min(), rules.bound_max()
    if low is not None:
        day = max(day, low.date())
    return day if high is None else min(day, high.date())


def _sessions_per_year(code: str, table: pl.DataFrame) -> int:
    """The factor that annualises daily statistics.

    It is fixed for US equities and 24/7. Elsewhere it is the mean of the ten latest whole years
    that are known.
    """
    if code == _US_EQUITIES:
        return _US_SESSIONS_PER_YEAR
    if code == ROUND_THE_CLOCK:
        return _CLOCK_SESSIONS_PER_YEAR
    counts = (
        table.group_by(pl.col("date").dt.year().alias("year"))
        .len()
        .sort("year")["len"]
        .tail(11)
        .head(10)
    )
    return round(float(counts.mean() or _US_SESSIONS_PER_YEAR))  # type: ignore[arg-type]


def _micros(nanos: Any) -> Any:
    return np.asarray(nanos, dtype=np.int64) // _NANOS


def _instants(nanos: Any) -> pl.Series:
    """UTC microseconds; pandas' "not a time" (the least int64) becomes null."""
    values = np.asarray(nanos, dtype=np.int64)
    missing = values == np.iinfo(np.int64).min
    return pl.DataFrame({"at": values // _NANOS, "missing": missing}).select(
        pl.when(~pl.col("missing")).then(pl.col("at").cast(TIME))
    )["at"]
