"""When an exchange is open: sessions, half-days, late opens, daylight saving, extended hours.

Every instant is UTC, every date is an exchange date, and a bar belongs to at most one session. The
sessions themselves are made in session_tables.py. No regular bar ends after the close.

A calendar has the grid on which bars start (`bar_grid.py`). On the clock's grid a bar that
straddles the open is `regular`. On the session's grid each bar lies in the stretch in which it
starts and ends with it. Weeks are sessions of `weeks`, stamped by their first session date.

>>> Calendar.of("XNYS").session_close(date(2024, 7, 3))  # a half-day
datetime.datetime(2024, 7, 3, 17, 0, tzinfo=datetime.timezone.utc)
"""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache, cached_property

import numpy as np
import polars as pl

from harmony_pipeline.arrays import IntArray
from harmony_pipeline.errors import DataError
from harmony_pipeline.market.bar_grid import CLOCK, BarGrid
from harmony_pipeline.market.session_hours import SessionHours
from harmony_pipeline.market.session_tables import calendar_parts
from harmony_pipeline.market.timeframes import LONG_TIMEFRAMES, TIMEFRAME_SECONDS
from harmony_pipeline.schemas import TIME

_FEW_INSTANTS = 5_000


@dataclass(frozen=True, eq=False)
class Calendar:
    """Sessions of one exchange. `Calendar.of` makes one and caches it for the process.

    `table` has one row a session, in order: date, pre_open, open, close, post_close, break_start,
    break_end (UTC). The last two are null where trading has no lunch break.
    """

    name: str
    zone: str
    sessions_per_year: int
    table: pl.DataFrame
    grid: BarGrid = CLOCK

    @staticmethod
    def of(name: str, grid: BarGrid = CLOCK) -> "Calendar":
        """The calendar of an exchange_calendars code, of "24/7" or "FX". Raises ConfigError for an
        unknown name.
        """
        return _on_grid(name, grid)

    def on_grid(self, grid: BarGrid) -> "Calendar":
        """The same sessions with bars on another grid."""
        return self if grid == self.grid else Calendar.of(self.name, grid)

    @cached_property
    def day_start(self) -> timedelta:
        """The beginning of a session's day on the exchange's clock, counted from midnight of its
        date.

        It is 0, or -7 hours where trading starts at 17:00 the evening before.
        """
        wall = pl.col("open").dt.convert_time_zone(self.zone).dt.replace_time_zone(None)
        earliest: timedelta = self.table.select(
            (wall - pl.col("date").cast(pl.Datetime("us"))).min()
        ).item()
        return min(timedelta(), earliest)

    @cached_property
    def hours(self) -> SessionHours:
        """The hours of every session."""
        return SessionHours.of(self.table, self.zone)

    @cached_property
    def weeks(self) -> "Calendar":
        """The same calendar with one row a week of sessions (Monday to Sunday).

        A week has the date of its first session, and is open from the first open to the last close.
        """
        by_week = self.table.group_by(
            pl.col("date").dt.truncate("1w").alias("_week"), maintain_order=True
        )
        first, last = ("date", "pre_open", "open"), ("close", "post_close")
        table = by_week.agg(
            *(pl.col(name).first() for name in first), *(pl.col(name).last() for name in last)
        )
        never = [pl.lit(None, TIME).alias(name) for name in ("break_start", "break_end")]
        per_year = 52 if self.table.height else self.sessions_per_year
        return replace(
            self,
            sessions_per_year=per_year,
            table=table.drop("_week").with_columns(never).select(self.table.columns),
        )

    # --- days -------------------------------------------------------------------------------------

    def sessions(self, first: date, end: date) -> list[date]:
        """Session dates in `first <= date < end`."""
        return self.schedule(first, end)["date"].to_list()

    def schedule(self, first: date, end: date) -> pl.DataFrame:
        """Sessions in `first <= date < end`: date, pre_open, open, close, post_close (UTC)."""
        begin, stop = (int(self._dates.search_sorted(day, side="left")) for day in (first, end))
        return self.table[begin : max(begin, stop)].select(
            "date", "pre_open", "open", "close", "post_close"
        )

    def is_session(self, day: date) -> bool:
        """Whether the exchange trades on `day`."""
        return day in self._row_of

    def session_open(self, day: date) -> datetime:
        """Start of regular trading, UTC. Raises DataError when `day` is no session."""
        return self._instant(day, "open")

    def session_close(self, day: date) -> datetime:
        """End of regular trading, UTC; early on half-days. Raises DataError when `day` is no
        session.
        """
        return self._instant(day, "close")

    def next_session(self, day: date) -> date:
        """First session after `day`, which need not be one itself."""
        return self._session_in_row(int(self._dates.search_sorted(day, side="right")), day)

    def previous_session(self, day: date) -> date:
        """Last session before `day`, which need not be one itself."""
        return self._session_in_row(int(self._dates.search_sorted(day, side="left")) - 1, day)

    # --- bars -------------------------------------------------------------------------------------

    def with_session(self, frame: pl.DataFrame, timeframe: str) -> pl.DataFrame:
        """`frame` (column timestamp) with session_date, session and bar_end; rows keep their order.

        session is pre, regular or post, and null outside every session (session_date is then null
        too). bar_end is timestamp + timeframe, but no later than the end of that part of the
        session. A daily bar is stamped midnight UTC of its session date and ends at that session's
        close. A weekly bar is stamped by its first session date and ends at the close of its last
        session.
        """
        stamps = frame["timestamp"].cast(TIME)
        if timeframe in LONG_TIMEFRAMES:
            return frame.with_columns(self.for_timeframe(timeframe)._daily(stamps))
        return frame.with_columns(self._intraday(stamps, TIMEFRAME_SECONDS[timeframe]))

    def for_timeframe(self, timeframe: str) -> "Calendar":
        """The calendar whose rows are the bars' own sessions: `weeks` for weekly bars, else this
        one.
        """
        return self.weeks if timeframe == "1Week" else self

    def parts(self, stamps: pl.Series) -> pl.DataFrame:
        """The part of a session that holds each instant: session_date, session, part_start and
        part_end (UTC).

        session is pre, regular or post. All columns are null outside every session. A part holds
        its start and not its end. A lunch break belongs to no part. stretch_start and stretch_end
        equal those of the part, except in the regular part of a day with lunch, whose morning and
        afternoon are two stretches.
        """
        stamps = stamps.cast(TIME)
        row, known = self._session_at(stamps)
        at = pl.col("stamp")
        in_break = ((at >= pl.col("break_start")) & (at < pl.col("break_end"))).fill_null(False)
        outside = ~pl.col("known") | (at < pl.col("pre_open")) | in_break
        part = (
            pl.when(outside)
            .then(None)
            .when(at < pl.col("open"))
            .then(pl.lit("pre"))
            .when(at < pl.col("close"))
            .then(pl.lit("regular"))
        )
        table = self.table[row].with_columns(stamps.alias("stamp"), known.alias("known"))
        return table.with_columns(session=part.otherwise(pl.lit("post"))).select(
            session_date=pl.when(pl.col("session").is_not_null()).then("date"),
            session="session",
            part_start=_by_part("pre_open", "open", "close"),
            part_end=_by_part("open", "close", "post_close"),
            stretch_start=pl.when((pl.col("session") == "regular") & (at >= pl.col("break_end")))
            .then("break_end")
            .otherwise(_by_part("pre_open", "open", "close")),
            stretch_end=pl.when((pl.col("session") == "regular") & (at < pl.col("break_start")))
            .then("break_start")
            .otherwise(_by_part("open", "close", "post_close")),
        )

    def session_dates(self, stamps: pl.Series) -> pl.Series:
        """The date of the first session whose late trading ends after each instant: that of a bar
        which starts then.
        """
        row, known = self._session_at(stamps.cast(TIME))
        return pl.DataFrame({"date": self._dates.gather(row), "known": known}).select(
            pl.when("known").then("date").alias("date")
        )["date"]

    def part_ends(self, stamps: pl.Series, parts: pl.Series) -> pl.Series:
        """The end (UTC) of the part (pre, regular, post) of each instant's session."""
        row, _ = self._session_at(stamps.cast(TIME))
        return (
            self.table[row]
            .with_columns(parts.alias("session"))
            .select(_by_part("open", "close", "post_close").alias("part_end"))["part_end"]
        )

    def bars_per_session(self, timeframe: str) -> int:
        """Regular bars in a full day.

        XNYS has 26 of 15Min, 7 of 1Hour (09:00 to 15:00 on the clock), 1 of 1Day and, in its
        calendar of weeks, 1 of 1Week.
        """
        if timeframe not in self._bars_in_full_day:
            own = self.for_timeframe(timeframe)
            full_day = own._regular_bars(timeframe)[own._full_day_row]
            self._bars_in_full_day[timeframe] = int(full_day)
        return self._bars_in_full_day[timeframe]

    def expected_bars(self, timeframe: str) -> pl.DataFrame:
        """Regular bars of each session on the calendar's grid: date, expected_regular_bars.
        Half-days have fewer.
        """
        own = self.for_timeframe(timeframe)
        return pl.DataFrame(
            {"date": own._dates, "expected_regular_bars": own._regular_bars(timeframe)}
        )

    # --- inside -----------------------------------------------------------------------------------

    @cached_property
    def _bars_in_full_day(self) -> dict[str, int]:
        """Answers of `bars_per_session`, which the splits of a backtest ask for again and again."""
        return {}

    @cached_property
    def _dates(self) -> pl.Series:
        return self.table["date"]

    @cached_property
    def _ends(self) -> IntArray:
        """The end of late trading of each session, microseconds since 1970."""
        ends: IntArray = self.table["post_close"].cast(TIME).to_physical().to_numpy()
        return ends

    @cached_property
    def _row_of(self) -> dict[date, int]:
        return {day: row for row, day in enumerate(self._dates.to_list())}

    def _instant(self, day: date, column: str) -> datetime:
        row = self._row_of.get(day)
        if row is None:
            raise DataError(
                f"{day} is no session of {self.name} (known from {self._dates[0]} to"
                f" {self._dates[-1]}): ask is_session first"
            )
        instant: datetime = self.table[column][row]
        return instant.astimezone(UTC)

    def _session_in_row(self, row: int, day: date) -> date:
        if not 0 <= row < self.table.height:
            raise DataError(
                f"no session of {self.name} is known on that side of {day}: the calendar runs from"
                f" {self._dates[0]} to {self._dates[-1]}"
            )
        found: date = self._dates[row]
        return found

    def _session_at(self, stamps: pl.Series) -> tuple[pl.Series, pl.Series]:
        """The row of the first session whose late trading ends after each instant, and whether
        there is one.
        """
        if stamps.len() > _FEW_INSTANTS or stamps.null_count():
            row = self.table["post_close"].search_sorted(stamps, side="right")
            return row.clip(0, self.table.height - 1), row < self.table.height
        # the same of arrays, which costs half as much for a few
        found = np.searchsorted(self._ends, stamps.cast(pl.Int64).to_numpy(), side="right")
        rows = np.minimum(found, self.table.height - 1).astype(np.uint32)
        return pl.Series(rows), pl.Series(found < self.table.height)

    def _daily(self, stamps: pl.Series) -> list[pl.Series]:
        dates = stamps.dt.date()
        row = self._dates.search_sorted(dates, side="left").clip(0, self.table.height - 1)
        found = self._dates.gather(row) == dates
        close = self.table["close"].gather(row)
        table = pl.DataFrame(
            {"day": dates, "found": found, "close": close, "stamp": stamps}
        ).select(
            session_date=pl.when("found").then("day"),
            session=pl.when("found").then(pl.lit("regular")),
            bar_end=pl.when("found").then("close").otherwise(pl.col("stamp") + timedelta(days=1)),
        )
        return table.get_columns()

    def _intraday(self, stamps: pl.Series, seconds: int) -> list[pl.Series]:
        # The only session that a bar can belong to is the first one whose late trading ends after
        # the bar starts.
        row, known = self._session_at(stamps)
        start, end = pl.col("timestamp"), pl.col("timestamp") + timedelta(seconds=seconds)
        # On the clock's grid a bar belongs to the later part that it reaches into, on the session's
        # to the one that it starts in.
        reach = start + timedelta(microseconds=1) if self.grid.from_session else end
        in_break = (start >= pl.col("break_start")) & (reach <= pl.col("break_end"))
        outside = ~pl.col("known") | (reach <= pl.col("pre_open")) | in_break.fill_null(False)
        part = (
            pl.when(outside)
            .then(None)
            .when(reach <= pl.col("open"))
            .then(pl.lit("pre"))
            .when(start < pl.col("close"))
            .then(pl.lit("regular"))
            .otherwise(pl.lit("post"))
        )
        inside = pl.col("session")
        last = (
            pl.when(inside == "regular")
            .then("close")
            .when(inside == "post")
            .then("post_close")
            .otherwise(end)
        )
        if self.grid.from_session:
            morning = (inside == "regular") & (start < pl.col("break_start"))
            last = (
                pl.when(inside == "pre")
                .then("open")
                .when(morning)
                .then("break_start")
                .otherwise(last)
            )
        table = (
            self.table[row]
            .with_columns(stamps.alias("timestamp"), known.alias("known"))
            .with_columns(session=part)
            .select(
                session_date=pl.when(inside.is_not_null()).then("date"),
                session="session",
                bar_end=pl.min_horizontal(end, last),
            )
        )
        return table.get_columns()

    def _regular_bars(self, timeframe: str) -> pl.Series:
        """Bars that overlap regular hours, on the calendar's grid."""
        if timeframe not in self._bars_in_sessions:
            self._bars_in_sessions[timeframe] = self._count_regular_bars(timeframe)
        return self._bars_in_sessions[timeframe]

    @cached_property
    def _bars_in_sessions(self) -> dict[str, pl.Series]:
        """Answers of `_regular_bars`, which every batch of bars asks for again."""
        return {}

    def _count_regular_bars(self, timeframe: str) -> pl.Series:
        if timeframe in LONG_TIMEFRAMES:
            return pl.Series("expected_regular_bars", np.ones(self.table.height, np.int64))
        step = TIMEFRAME_SECONDS[timeframe]
        if self.grid.from_session:
            morning = _bars_between(pl.col("open"), pl.coalesce("break_start", "close"), step)
            afternoon = _bars_between(pl.col("break_end"), pl.col("close"), step).fill_null(0)
            return self.table.select((morning + afternoon).alias("expected_regular_bars"))[
                "expected_regular_bars"
            ]
        # Seconds since midnight of the session's own date, so that sessions that open the evening
        # before count right.
        midnight = pl.col("date").cast(pl.Datetime("us")) + timedelta(
            seconds=self.grid.offset_minutes * 60 % step
        )
        clock = {
            name: (
                (
                    pl.col(name).dt.convert_time_zone(self.zone).dt.replace_time_zone(None)
                    - midnight
                ).dt.total_seconds()
            )
            for name in ("open", "close", "break_start", "break_end")
        }
        whole = (clock["close"] + step - 1) // step - clock["open"] // step
        idle = (
            (clock["break_end"] // step - (clock["break_start"] + step - 1) // step)
            .clip(0)
            .fill_null(0)
        )
        # The first bar of a session that follows on another without a pause may have begun in that
        # one, and then belongs to it.
        begun = (
            pl.col("open") - pl.duration(seconds=clock["open"] % step)
            < pl.col("post_close").shift()
        )
        return self.table.select(
            (whole - idle - begun.fill_null(value=False)).alias("expected_regular_bars")
        )["expected_regular_bars"]

    @cached_property
    def _full_day_row(self) -> int:
        """A recent session of the most common length."""
        length = (self.table["close"] - self.table["open"]).dt.total_minutes()
        recent = length.tail(1_000)
        usual = recent.value_counts(sort=True).sort(["count", recent.name], descending=True)[
            recent.name
        ][0]
        return int((length == usual).arg_true()[-1])


def _bars_between(start: pl.Expr, end: pl.Expr, step: int) -> pl.Expr:
    """Number of bars of `step` seconds from `start` to `end`; the last may be short."""
    return ((end - start).dt.total_seconds() + step - 1) // step


def _by_part(pre: str, regular: str, post: str) -> pl.Expr:
    """The column of each row's part of the session; null outside."""
    part = pl.col("session")
    return (
        pl.when(part == "pre")
        .then(pre)
        .when(part == "regular")
        .then(regular)
        .when(part == "post")
        .then(post)
    )


@cache
def _on_grid(name: str, grid: BarGrid) -> Calendar:
    return _build(name) if grid == CLOCK else replace(_build(name), grid=grid)


@cache
def _build(name: str) -> Calendar:
    return Calendar(name, *calendar_parts(name))
