"""The scan again, later in the day: the same scanner with the same rules, at another time of day.

Before the open a scan looks at what traded in the morning; here at everything of the session that
had ended by its moment, regular bars included. The gap is then that of the last price, the relative
volume that of the volume so far over the mean of the same hours of earlier sessions, and the
columns keep their names (`premarket_volume` is the volume so far). Nothing later is looked at.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import polars as pl

from harmony_pipeline.hashing import short_hash
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.scanner.measures import VOLUME_SESSIONS, scan_instant
from harmony_pipeline.scanner.registry import build_scanner
from harmony_pipeline.scanner.settings import ScannerSettings
from harmony_pipeline.schemas import DAILY_SUMMARY, TIME

SESSIONS_BEFORE = VOLUME_SESSIONS
"""Sessions before the day whose bars a scan compares with."""


@dataclass(frozen=True)
class IntradayScan:
    """One scan of `day` at `clock` (HH:MM of the exchange). history: DAILY_SUMMARY of sessions
    before the day, whose premarket columns hold what was known at that time of day (`known_by`).
    """

    day: date
    clock: str
    settings: ScannerSettings
    history: pl.DataFrame
    universe: pl.DataFrame
    actions: pl.DataFrame
    calendar: Calendar

    @property
    def at(self) -> datetime:
        """The moment of the scan."""
        return scan_instant(self.day, self.clock, self.calendar.zone)

    @property
    def hash(self) -> str:
        """Changes with anything but the day's bars that could change what is selected."""
        rows = (*self.history.hash_rows(seed=0).to_list(), *self.universe.rows())
        parts = [self.clock, self.settings.model_dump_json(), rows, self.actions.rows()]
        return short_hash(repr(parts), 8)

    def select(self, bars: pl.DataFrame) -> tuple[str, ...]:
        """The picks by rank. bars: the day's bars (BARS with session_date, session and bar_end);
        those that had not ended by the scan's moment are not looked at.
        """
        mine = bars.filter(pl.col("session_date") == self.day)
        today = known_by(DAILY_SUMMARY.empty(), mine, self.clock, self.calendar)
        settings = self.settings.model_copy(update={"as_of": self.clock})
        summary = pl.concat([self.history, today])
        found = build_scanner(settings).scan(
            summary, self.universe, self.actions, [self.day], self.calendar
        )
        return tuple(found.selections.sort("rank")["symbol"])


def known_by(
    summary: pl.DataFrame, bars: pl.DataFrame, clock: str, calendar: Calendar
) -> pl.DataFrame:
    """`summary` (DAILY_SUMMARY) as of another time of day: each row's premarket columns become
    those of all its bars that had ended by then. bars: BARS with session_date, session and bar_end;
    rows of sessions without any of them say that nothing had traded. A session of `bars` that
    `summary` does not have gets a row of these columns alone.
    """
    dates = pl.concat([summary["date"], bars["session_date"]]).unique().drop_nulls().sort()
    moments = pl.DataFrame(
        {
            "date": dates,
            "scan_time": [scan_instant(day, clock, calendar.zone) for day in dates],
        },
        schema={"date": pl.Date(), "scan_time": TIME},
    )
    ended = (
        bars.filter(pl.col("session").is_not_null())
        .rename({"session_date": "date"})
        .join(moments, on="date", how="inner", maintain_order="left")
        .filter(pl.col("bar_end") <= pl.col("scan_time"))
        .sort("symbol", "timestamp", maintain_order=True)
        .group_by("symbol", "date", maintain_order=True)
        .agg(
            premarket_bars=pl.len().cast(pl.Int64),
            premarket_volume=pl.col("volume").cum_sum().last(),  # in time order, whatever the cut
            premarket_high=pl.col("high").max(),
            premarket_low=pl.col("low").min(),
            premarket_last=pl.col("close").last(),
            last_timestamp=pl.col("timestamp").last(),
            adjustment_factor=pl.col("adjustment_factor").last(),
        )
    )
    early = [name for name in ended.columns if name.startswith("premarket_")]
    kept = summary.drop("scan_time", *early)
    joined = kept.join(
        ended.select("symbol", "date", *early),
        on=["symbol", "date"],
        how="left",
        maintain_order="left",
    )
    new = ended.join(kept, on=["symbol", "date"], how="anti").with_columns(
        bars=pl.col("premarket_bars"),
        regular_bars=pl.lit(0, pl.Int64),
        expected_regular_bars=pl.lit(0, pl.Int64),
        volume=pl.lit(0.0),
        postmarket_volume=pl.lit(0.0),
    )
    rows = pl.concat([joined, new], how="diagonal").join(moments, on="date", how="left")
    return DAILY_SUMMARY.conform(
        rows.with_columns(
            pl.col("premarket_bars").fill_null(0), pl.col("premarket_volume").fill_null(0.0)
        )
    )


def intraday_scans(
    day: date,
    clocks: Sequence[str],
    settings: ScannerSettings,
    summary: pl.DataFrame,
    bars: pl.DataFrame,
    universe: pl.DataFrame,
    actions: pl.DataFrame,
    calendar: Calendar,
) -> tuple[IntradayScan, ...]:
    """The scans of a day, in order of time. summary, bars: of sessions before the day (`bars` of
    the last SESSIONS_BEFORE at least); later rows are not used.
    """
    before = summary.filter(pl.col("date") < day)
    earlier = bars.filter(pl.col("session_date") < day)
    scans = [
        IntradayScan(
            day, clock, settings, known_by(before, earlier, clock, calendar), universe, actions,
            calendar,
        )
        for clock in clocks
    ]  # fmt: skip
    return tuple(sorted(scans, key=lambda scan: scan.at))
