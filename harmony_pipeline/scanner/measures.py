"""Measures of every symbol shortly before the open: gap, premarket volume, float.

A measure of day D uses rows of earlier sessions, and of D itself only the `premarket_*` columns,
which hold bars that had ended by the scan time. The existence of D's row is not used either, unless
it has premarket bars: a row that exists because the symbol traded later would be the future.

Prices and volumes of earlier sessions are converted to the shares of D's morning: after a 2-for-1
split an old close is halved and an old volume doubled. Days are measured together, and each has the
result that it would have alone.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from functools import reduce
from operator import add
from zoneinfo import ZoneInfo

import polars as pl

from harmony_pipeline.errors import DataError, NotReady
from harmony_pipeline.frames import join_latest
from harmony_pipeline.market.adjustments import shares_on, split_ratios
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.schemas import TIME

# a symbol without a row for so long is dropped, unless it is in the universe
LOOKBACK_SESSIONS = 30
VOLUME_SESSIONS = 20  # what today's premarket volume is compared with


def measure(
    summary: pl.DataFrame,
    universe: pl.DataFrame,
    actions: pl.DataFrame,
    days: Sequence[date],
    calendar: Calendar,
    as_of: str,
) -> pl.DataFrame:
    """One row a day and symbol, sorted.

    Columns: those of SCAN_CANDIDATES up to history_sessions, and premarket_bars, listed and
    delisted. `as_of` is HH:MM on the exchange's clock. Raises DataError for a day that is no
    session, and NotReady when the premarket columns of `summary` were made for another time of day.
    """
    summary = summary.sort("symbol", "date", maintain_order=True)
    _check(summary, days, calendar, as_of)
    grid = _grid(summary, universe, days, calendar, as_of)
    measured = _with_today(grid, summary)
    ratios = split_ratios(actions)
    measured = _with_volumes(measured, summary, ratios)
    measured = _with_previous_close(measured, summary, ratios)
    measured = _with_listing(measured, universe)
    recent = pl.col("last_row") >= pl.col("oldest")
    opened_early, known_by_universe = (
        pl.col("premarket_bars") > 0,
        pl.col("known_since").is_not_null(),
    )
    measured = measured.filter(recent.fill_null(value=False) | opened_early | known_by_universe)
    gap = pl.col("premarket_last") / pl.col("previous_close") - 1.0
    return measured.select(
        "date",
        "as_of",
        "symbol",
        pl.coalesce("premarket_last", "previous_close").alias("price"),
        "previous_close",
        gap.alias("gap"),
        gap.abs().alias("absolute_gap"),
        "premarket_volume",
        pl.when(pl.col("usual_volume") > 0.0)
        .then(pl.col("premarket_volume") / pl.col("usual_volume"))
        .alias("relative_volume"),
        "dollar_volume",
        "float",
        "sector",
        "history_sessions",
        "premarket_bars",
        "listed",
        "delisted",
    ).sort("date", "symbol", maintain_order=True)


def scan_instant(day: date, as_of: str, zone: str) -> datetime:
    """The moment of `as_of` on the exchange's clock, in UTC."""
    return datetime.combine(day, time.fromisoformat(as_of), ZoneInfo(zone)).astimezone(UTC)


def _check(summary: pl.DataFrame, days: Sequence[date], calendar: Calendar, as_of: str) -> None:
    strange = [day for day in days if not calendar.is_session(day)]
    if strange:
        raise DataError(
            f"{strange[0]} is no session of {calendar.name}: there is nothing to scan, choose a"
            " trading day"
        )
    known = summary.lazy().filter(pl.col("date") <= max(days, default=date.min))
    made_for = known.select(
        pl.col("scan_time").dt.convert_time_zone(calendar.zone).dt.strftime("%H:%M").alias("clock"),
        "date",
    )
    other = made_for.filter(pl.col("clock") != as_of).head(1).collect(engine="in-memory")
    if other.height:
        clock, day = other.row(0)
        raise NotReady(
            f"daily_summary of {day} holds what was known at {clock}, and scanner.as_of is {as_of}:"
            f" materialise daily_summary again, or scan as of {clock}"
        )


def _grid(
    summary: pl.DataFrame,
    universe: pl.DataFrame,
    days: Sequence[date],
    calendar: Calendar,
    as_of: str,
) -> pl.DataFrame:
    """Every day with every known symbol. Symbols unknown on a day are dropped after the join with
    their past.
    """
    distinct_days = sorted(set(days))
    known = calendar.table["date"]
    oldest = [
        known[max(0, int(known.search_sorted(day, side="left")) - LOOKBACK_SESSIONS)]
        for day in distinct_days
    ]
    frame = pl.DataFrame(
        {
            "date": distinct_days,
            "oldest": oldest,
            "as_of": [scan_instant(day, as_of, calendar.zone) for day in distinct_days],
        },
        schema={"date": pl.Date(), "oldest": pl.Date(), "as_of": TIME},
    )
    symbols = pl.concat([summary["symbol"], universe["symbol"]]).unique().sort()
    return frame.join(symbols.to_frame("symbol"), how="cross").sort("symbol", "date")


def _with_today(grid: pl.DataFrame, summary: pl.DataFrame) -> pl.DataFrame:
    """premarket_volume (0 without a bar), premarket_last, premarket_bars."""
    today = summary.select("symbol", "date", "premarket_volume", "premarket_last", "premarket_bars")
    joined = grid.join(today, on=["symbol", "date"], how="left", maintain_order="left")
    traded = pl.col("premarket_bars").fill_null(0) > 0
    return joined.with_columns(
        pl.when(traded).then("premarket_volume").otherwise(0.0).alias("premarket_volume"),
        pl.when(traded).then("premarket_last").alias("premarket_last"),
        pl.col("premarket_bars").fill_null(0),
    )


def _with_volumes(grid: pl.DataFrame, summary: pl.DataFrame, ratios: pl.DataFrame) -> pl.DataFrame:
    """last_row, history_sessions, and usual_volume: mean premarket volume of the latest sessions,
    in today's shares.

    The sum is taken over shifted columns and not with a rolling kernel, whose running sum depends
    on where the table begins.
    """
    past = summary.select("symbol", last_row="date", volume="premarket_volume")
    past = past.with_columns(
        volume=pl.col("volume") / shares_on(past, "last_row", ratios, include_same_day=True)
    )
    each = [
        pl.col("volume").shift(back).over("symbol").alias(f"back_{back}")
        for back in range(VOLUME_SESSIONS)
    ]
    past = past.with_columns(
        each, history_sessions=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("symbol")
    )
    counted = pl.min_horizontal(pl.col("history_sessions"), VOLUME_SESSIONS)
    # Added one after the other: `sum_horizontal` adds columns in an order that depends on its
    # threads.
    total = reduce(add, (pl.col(f"back_{back}").fill_null(0.0) for back in range(VOLUME_SESSIONS)))
    past = past.select("symbol", "last_row", "history_sessions", usual_volume=total / counted)
    found = _before(grid, past, "last_row").with_columns(pl.col("history_sessions").fill_null(0))
    return found.with_columns(
        usual_volume=pl.col("usual_volume")
        * shares_on(found, "date", ratios, include_same_day=True)
    )


def _with_previous_close(
    grid: pl.DataFrame, summary: pl.DataFrame, ratios: pl.DataFrame
) -> pl.DataFrame:
    """previous_close of the last session that has one, in today's shares, and that session's
    dollar_volume.
    """
    closes = summary.filter(pl.col("close").is_not_null()).select(
        "symbol",
        close_date="date",
        previous_close="close",
        dollar_volume=pl.col("close") * pl.col("volume"),
    )
    closes = closes.with_columns(
        shares=shares_on(closes, "close_date", ratios, include_same_day=True)
    )
    found = _before(grid, closes, "close_date")
    split = shares_on(found, "date", ratios, include_same_day=True) / pl.col("shares")
    return found.with_columns(previous_close=pl.col("previous_close") / split)


def _with_listing(grid: pl.DataFrame, universe: pl.DataFrame) -> pl.DataFrame:
    """float, sector, listed and delisted by the latest row of the universe known on the day.

    known_since is the date of that row.
    """
    known = universe.select("symbol", "listed", "delisted", "float", "sector", known_since="date")
    return join_latest(grid, known, "date", "known_since")


def _before(grid: pl.DataFrame, past: pl.DataFrame, column: str) -> pl.DataFrame:
    """The latest row of `past` whose date in `column` lies strictly before each row's day."""
    return join_latest(grid, past, "date", column, same_moment=False)
