"""When an exchange is open: sessions, half-days, late opens, daylight saving, extended hours.

The law: every instant is UTC, every date is an exchange date, and a bar belongs to at most one session. Regular hours come
from exchange_calendars: published holidays, early closes, late opens and unscheduled closures, as far as that package knows them; what it lacks is in
calendar_exceptions.py.
Extended hours are those of US equities (Nasdaq and NYSE Arca: 04:00 to four hours after the close, so 17:00 on a
half-day); other exchanges have none here. Currencies have no exchange: their week, "FX", runs from Sunday 17:00 to Friday 17:00 on New York's
clock, cut into UTC days. A bar that straddles the open is `regular`, and no regular bar ends after the close.

>>> Calendar.named("XNYS").session_close(date(2024, 7, 3))  # a half-day
datetime.datetime(2024, 7, 3, 17, 0, tzinfo=datetime.timezone.utc)
"""

import warnings
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache, cached_property
from typing import Any

import numpy as np
import polars as pl

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.market.calendar_exceptions import with_exceptions
from harmony_pipeline.market.settings import TIMEFRAME_MINUTES
from harmony_pipeline.schemas import TIME

ROUND_THE_CLOCK = "24/7"
CURRENCIES = "FX"
FIRST_DATE, LAST_DATE = date(1980, 1, 1), date(2035, 12, 31)
_US_EQUITIES = "XNYS"  # what exchange_calendars resolves NYSE, NASDAQ, ARCX, BATS, ... to
_PRE_OPEN, _POST_HOURS = timedelta(hours=4), timedelta(hours=4)
_US_SESSIONS_PER_YEAR, _CLOCK_SESSIONS_PER_YEAR = 252, 365
_NANOS = 1_000
_SATURDAY, _CURRENCY_CUT = 6, timedelta(hours=17)


@dataclass(frozen=True, eq=False)
class Calendar:
    """Sessions of one exchange. Get one by `Calendar.named`; it is built once a process.

    `table` has one row a session, in order: date, pre_open, open, close, post_close, break_start, break_end (UTC; the
    last two are null where trading does not stop for lunch).
    """

    name: str
    zone: str
    sessions_per_year: int
    table: pl.DataFrame

    @staticmethod
    def named(name: str) -> "Calendar":
        """The calendar of an exchange_calendars code, of "24/7" or "FX". Raises ConfigError for a name that is not known."""
        return _build(name)

    # --- days ---------------------------------------------------------------------------------------------------------

    def sessions(self, first: date, end: date) -> list[date]:
        """Session dates in `first <= date < end`."""
        return self.schedule(first, end)["date"].to_list()

    def schedule(self, first: date, end: date) -> pl.DataFrame:
        """Sessions in `first <= date < end`: date, pre_open, open, close, post_close (UTC)."""
        begin, stop = (int(self._dates.search_sorted(day, side="left")) for day in (first, end))
        return self.table[begin : max(begin, stop)].select("date", "pre_open", "open", "close", "post_close")

    def is_session(self, day: date) -> bool:
        """Whether the exchange trades on `day`."""
        return day in self._row_of

    def session_open(self, day: date) -> datetime:
        """Start of regular trading, UTC. Raises DataError when `day` is no session."""
        return self._instant(day, "open")

    def session_close(self, day: date) -> datetime:
        """End of regular trading, UTC; early on half-days. Raises DataError when `day` is no session."""
        return self._instant(day, "close")

    def next_session(self, day: date) -> date:
        """First session after `day`, which need not be one itself."""
        return self._at(int(self._dates.search_sorted(day, side="right")), day)

    def previous_session(self, day: date) -> date:
        """Last session before `day`, which need not be one itself."""
        return self._at(int(self._dates.search_sorted(day, side="left")) - 1, day)

    # --- bars ---------------------------------------------------------------------------------------------------------

    def with_session(self, frame: pl.DataFrame, timeframe: str) -> pl.DataFrame:
        """`frame` (column timestamp) with session_date, session and bar_end; rows keep their order.

        session is pre, regular or post, and null outside every session (session_date is then null too). bar_end is
        timestamp + timeframe, but no later than the end of that part of the session. A daily bar is stamped midnight
        UTC of its session date and ends at that session's close.
        """
        stamps = frame["timestamp"].cast(TIME)
        columns = self._daily(stamps) if timeframe == "1Day" else self._intraday(stamps, TIMEFRAME_MINUTES[timeframe])
        return frame.with_columns(columns)

    def parts(self, stamps: pl.Series) -> pl.DataFrame:
        """The part of a session that each instant lies in: session_date, session (pre, regular, post), part_start and part_end (UTC).

        All are null outside every session. A part holds its start and not its end; a lunch break belongs to no part.
        """
        stamps = stamps.cast(TIME)
        row, known = self._session_at(stamps)
        at = pl.col("stamp")
        in_break = ((at >= pl.col("break_start")) & (at < pl.col("break_end"))).fill_null(False)
        outside = ~pl.col("known") | (at < pl.col("pre_open")) | in_break
        part = pl.when(outside).then(None).when(at < pl.col("open")).then(pl.lit("pre")).when(at < pl.col("close")).then(pl.lit("regular"))
        table = self.table[row].with_columns(stamps.alias("stamp"), known.alias("known"))
        return table.with_columns(session=part.otherwise(pl.lit("post"))).select(
            session_date=pl.when(pl.col("session").is_not_null()).then("date"),
            session="session",
            part_start=_by_part("pre_open", "open", "close"),
            part_end=_by_part("open", "close", "post_close"),
        )

    def session_dates(self, stamps: pl.Series) -> pl.Series:
        """The session whose late trading ends first after each instant: that of a bar which starts then."""
        row, known = self._session_at(stamps.cast(TIME))
        return pl.DataFrame({"date": self._dates.gather(row), "known": known}).select(pl.when("known").then("date").alias("date"))["date"]

    def part_ends(self, stamps: pl.Series, parts: pl.Series) -> pl.Series:
        """When the part (pre, regular, post) of each instant's session ends, UTC."""
        row, _ = self._session_at(stamps.cast(TIME))
        return self.table[row].with_columns(parts.alias("session")).select(_by_part("open", "close", "post_close").alias("part_end"))["part_end"]

    def bars_per_session(self, timeframe: str) -> int:
        """Regular bars in a full day: XNYS has 26 of 15Min, 7 of 1Hour (09:00 to 15:00 on the clock), 1 of 1Day."""
        return int(self._regular_bars(timeframe)[self._full_day_row])

    def expected_bars(self, timeframe: str) -> pl.DataFrame:
        """Regular bars of each session by the clock: date, expected_regular_bars. Half-days have fewer."""
        return pl.DataFrame({"date": self._dates, "expected_regular_bars": self._regular_bars(timeframe)})

    # --- inside -------------------------------------------------------------------------------------------------------

    @cached_property
    def _dates(self) -> pl.Series:
        return self.table["date"]

    @cached_property
    def _row_of(self) -> dict[date, int]:
        return {day: row for row, day in enumerate(self._dates.to_list())}

    def _instant(self, day: date, column: str) -> datetime:
        row = self._row_of.get(day)
        if row is None:
            raise DataError(f"{day} is no session of {self.name} (known from {self._dates[0]} to {self._dates[-1]}): ask is_session first")
        instant: datetime = self.table[column][row]
        return instant.astimezone(UTC)

    def _at(self, row: int, asked: date) -> date:
        if not 0 <= row < self.table.height:
            raise DataError(f"no session of {self.name} is known on that side of {asked}: the calendar runs from {self._dates[0]} to {self._dates[-1]}")
        day: date = self._dates[row]
        return day

    def _session_at(self, stamps: pl.Series) -> tuple[pl.Series, pl.Series]:
        """The row of the first session whose late trading ends after each instant, and whether there is one."""
        row = self.table["post_close"].search_sorted(stamps, side="right")
        return row.clip(0, self.table.height - 1), row < self.table.height

    def _daily(self, stamps: pl.Series) -> list[pl.Series]:
        dates = stamps.dt.date()
        row = self._dates.search_sorted(dates, side="left").clip(0, self.table.height - 1)
        found = self._dates.gather(row) == dates
        close = self.table["close"].gather(row)
        table = pl.DataFrame({"day": dates, "found": found, "close": close, "stamp": stamps}).select(
            session_date=pl.when("found").then("day"),
            session=pl.when("found").then(pl.lit("regular")),
            bar_end=pl.when("found").then("close").otherwise(pl.col("stamp") + timedelta(days=1)),
        )
        return table.get_columns()

    def _intraday(self, stamps: pl.Series, minutes: int) -> list[pl.Series]:
        # The only session that a bar can belong to is the first one whose late trading ends after the bar starts.
        row, known = self._session_at(stamps)
        start, end = pl.col("timestamp"), pl.col("timestamp") + timedelta(minutes=minutes)
        in_break = (start >= pl.col("break_start")) & (end <= pl.col("break_end"))
        outside = ~pl.col("known") | (end <= pl.col("pre_open")) | in_break.fill_null(False)
        part = (
            pl.when(outside)
            .then(None)
            .when(end <= pl.col("open"))
            .then(pl.lit("pre"))
            .when(start < pl.col("close"))
            .then(pl.lit("regular"))
            .otherwise(pl.lit("post"))
        )
        last = pl.when(pl.col("session") == "regular").then("close").when(pl.col("session") == "post").then("post_close").otherwise(end)
        table = (
            self.table[row]
            .with_columns(stamps.alias("timestamp"), known.alias("known"))
            .with_columns(session=part)
            .select(session_date=pl.when(pl.col("session").is_not_null()).then("date"), session="session", bar_end=pl.min_horizontal(end, last))
        )
        return table.get_columns()

    def _regular_bars(self, timeframe: str) -> pl.Series:
        """Bars that overlap regular hours, on a grid that starts at midnight on the exchange's clock."""
        if timeframe == "1Day":
            return pl.Series("expected_regular_bars", np.ones(self.table.height, np.int64))
        step = TIMEFRAME_MINUTES[timeframe]
        # Minutes since midnight of the session's own date, so that sessions that open the evening before count right.
        midnight = pl.col("date").cast(pl.Datetime("us"))
        clock = {
            name: (pl.col(name).dt.convert_time_zone(self.zone).dt.replace_time_zone(None) - midnight).dt.total_minutes()
            for name in ("open", "close", "break_start", "break_end")
        }
        whole = (clock["close"] + step - 1) // step - clock["open"] // step
        idle = (clock["break_end"] // step - (clock["break_start"] + step - 1) // step).clip(0).fill_null(0)
        return self.table.select((whole - idle).alias("expected_regular_bars"))["expected_regular_bars"]

    @cached_property
    def _full_day_row(self) -> int:
        """A recent session of the most common length."""
        length = (self.table["close"] - self.table["open"]).dt.total_minutes()
        recent = length.tail(1_000)
        usual = recent.value_counts(sort=True).sort(["count", recent.name], descending=True)[recent.name][0]
        return int((length == usual).arg_true()[-1])


def _by_part(pre: str, regular: str, post: str) -> pl.Expr:
    """The column that goes with each row's part of the session; null outside."""
    part = pl.col("session")
    return pl.when(part == "pre").then(pre).when(part == "regular").then(regular).when(part == "post").then(post)


@cache
def _build(name: str) -> Calendar:
    if name == CURRENCIES:
        return _currency_week()
    import exchange_calendars

    try:
        with warnings.catch_warnings():
            # exchange_calendars uses what pandas will change in its next version; its users can do nothing about it.
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            code = exchange_calendars.resolve_alias(name)
            source = exchange_calendars.get_calendar(name, start=_bounded(name, FIRST_DATE), end=_bounded(name, LAST_DATE))
    except exchange_calendars.errors.InvalidCalendarName:
        raise ConfigError(
            f"market.calendar is '{name}', which is no exchange known to exchange_calendars: use XNYS, XNAS, XLON, ..., {CURRENCIES} or {ROUND_THE_CLOCK}"
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
    table = with_exceptions(hours, code, zone).with_columns(
        pre_open=(pl.col("date").cast(pl.Datetime("us")) + _PRE_OPEN).dt.replace_time_zone(zone).dt.convert_time_zone("UTC").cast(TIME) if us else "open",
        post_close=pl.col("close") + (_POST_HOURS if us else timedelta()),
    )
    return Calendar(name, zone, _sessions_per_year(code, table), table)


def _currency_week() -> Calendar:
    """Sunday 17:00 to Friday 17:00 in New York, where the week of spot currencies is cut; whole UTC days between. It knows no holidays."""
    days = pl.DataFrame({"date": pl.date_range(FIRST_DATE, LAST_DATE, "1d", eager=True)}).filter(pl.col("date").dt.weekday() != _SATURDAY)
    midnight = pl.col("date").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    five = (pl.col("date").cast(pl.Datetime("us")) + _CURRENCY_CUT).dt.replace_time_zone("America/New_York").dt.convert_time_zone("UTC").cast(TIME)
    opens = pl.when(pl.col("date").dt.weekday() == _SATURDAY + 1).then(five).otherwise(midnight)
    closes = pl.when(pl.col("date").dt.weekday() == _SATURDAY - 1).then(five).otherwise(midnight + timedelta(days=1))
    table = days.with_columns(open=opens, close=closes, break_start=pl.lit(None, TIME), break_end=pl.lit(None, TIME))
    table = table.with_columns(pre_open="open", post_close="close")
    return Calendar(CURRENCIES, "UTC", _sessions_per_year(CURRENCIES, table), table)


def _bounded(name: str, day: date) -> date:
    """`day`, or the nearest one for which the exchange's rules are known (some publish holidays a year ahead only)."""
    import exchange_calendars

    rules = type(exchange_calendars.get_calendar(name, start="2022-01-03", end="2022-02-01"))
    low, high = rules.bound_min(), rules.bound_max()
    if low is not None:
        day = max(day, low.date())
    return day if high is None else min(day, high.date())


def _sessions_per_year(code: str, table: pl.DataFrame) -> int:
    """The number that annualises daily statistics; elsewhere the mean of the ten latest whole years that are known."""
    if code == _US_EQUITIES:
        return _US_SESSIONS_PER_YEAR
    if code == ROUND_THE_CLOCK:
        return _CLOCK_SESSIONS_PER_YEAR
    counts = table.group_by(pl.col("date").dt.year().alias("year")).len().sort("year")["len"].tail(11).head(10)
    return round(float(counts.mean() or _US_SESSIONS_PER_YEAR))  # type: ignore[arg-type]


def _micros(nanos: Any) -> Any:
    return np.asarray(nanos, dtype=np.int64) // _NANOS


def _instants(nanos: Any) -> pl.Series:
    """UTC microseconds; pandas' "not a time" (the least int64) becomes null."""
    values = np.asarray(nanos, dtype=np.int64)
    missing = values == np.iinfo(np.int64).min
    return pl.DataFrame({"at": values // _NANOS, "missing": missing}).select(pl.when(~pl.col("missing")).then(pl.col("at").cast(TIME)))["at"]
