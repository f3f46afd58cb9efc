"""The stage that says which bars are absent and what they probably are; see `market/gaps.py` for
the judgement.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

import polars as pl

from harmony_pipeline.frames import moment_literal, sort_rows
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.expected_bars import Slots, find_slots
from harmony_pipeline.market.forward_fill import fill_forward
from harmony_pipeline.market.gap_kinds import mark_refused_bars
from harmony_pipeline.market.gaps import find_gaps
from harmony_pipeline.market.listings import known_on
from harmony_pipeline.market.periods import Period
from harmony_pipeline.market.timeframes import LONG_TIMEFRAMES
from harmony_pipeline.schemas import TIME
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.result import StageResult
from harmony_pipeline.stages.unchanged import unchanged_since

_BATCH_ROWS = 5_000_000  # bars looked at together: about 400 MB
_NEEDED = ("symbol", "timestamp", "volume", "trade_count")
LIVES = {"symbol": pl.String(), "first": pl.Date(), "end": pl.Date()}


def gaps(pipeline: PipelineContext, periods: Sequence[Period]) -> StageResult:
    """Regular bars that the calendar expects and the lake lacks, with what they probably are,
    judged with the sessions before them.

    A period whose bars, symbols, settings and code are those of last time is left as it is.
    """
    traded = (
        pipeline.lake.scan("daily_summary")
        .select("symbol", "date")
        .filter(pl.col("date") < periods[-1].end_date)
        .collect(engine="in-memory")
    )
    listings = pipeline.lake.read("listings")
    parts = {period.key: _period_gaps(pipeline, period, traded, listings) for period in periods}
    found = [each.preview for each in parts.values() if each.preview is not None]
    return StageResult.of(
        parts, preview=pl.concat(found).sort("bars", descending=True).head(20) if found else None
    )


def _period_gaps(
    pipeline: PipelineContext, period: Period, traded: pl.DataFrame, listings: pl.DataFrame
) -> StageResult:
    """The gaps of one period, found and written where they are not those of last time; traded:
    (symbol, date) of the days with bars.
    """
    market = pipeline.settings.market
    slots = find_slots(
        pipeline.calendar,
        pipeline.timeframe,
        max(period.first_date, market.start),
        min(period.end_date, pipeline.end_date),
        market.gaps.lookback_sessions,
        pipeline.settings.as_of or datetime.now(UTC),
    )
    lives = expected_lives(
        traded,
        listings,
        market.symbols,
        period,
        pipeline.calendar,
        market.gaps.forget_after_sessions,
    )
    made_from = _made_from(pipeline, period, slots, lives)
    since = unchanged_since(pipeline, ("gaps",), period.key, made_from)
    if since is None:
        found = find_gaps(
            _batches(pipeline, slots, period),
            slots,
            lives,
            market.gaps,
            every_bar=writes_every_bar(pipeline),
            of_trades=market.ticks.makes_bars,
        )
        found = mark_refused_bars(found, pipeline.lake.read("quarantine", [period.key]))
        pipeline.lake.write("gaps", period.key, found, made_from)
    else:
        found = pipeline.lake.read("gaps", [period.key])
    kinds = found.group_by("kind").agg(pl.col("bars").sum()).sort("kind")
    return StageResult(
        rows={"gaps": found.height},
        facts={f"bars {kind}": int(bars) for kind, bars in kinds.iter_rows()},
        preview=found.filter(pl.col("kind") != "no_trade").top_k(5, by="bars"),
        unchanged_since=since,
    )


def _made_from(
    pipeline: PipelineContext, period: Period, slots: Slots, lives: pl.DataFrame
) -> dict[str, str]:
    """Bars and quarantine, who was expected when, and which bars could be known by now."""
    market = pipeline.settings.market
    ends = slots.stamp[[0, -1]].tolist() if len(slots.stamp) else []
    expected = (len(slots.stamp), slots.target, *ends)
    return pipeline.made_from(
        {"quarantine": [period.key], "bars": _keys(pipeline, slots, period)},
        market.gaps,
        lives.rows(),
        expected,
        writes_every_bar(pipeline),
        *((market.ticks.bars,) if market.ticks.makes_bars else ()),
    )


def filled_bars(pipeline: PipelineContext, periods: Sequence[Period]) -> pl.DataFrame:
    """Bars of `periods` with the column `filled`, absent ones filled as `market.gaps.fill` says
    (not at all by default). For studies; never written.
    """
    keys = [period.key for period in periods]
    slots = find_slots(
        pipeline.calendar, pipeline.timeframe, periods[0].first_date, periods[-1].end_date
    )
    # the last close before the first gap
    before = [
        period.key for period in pipeline.trading_periods() if period.end <= periods[0].start
    ][-1:]
    bars = pipeline.lake.read("bars", [*before, *keys])
    filled = fill_forward(
        bars, pipeline.lake.read("gaps", keys), slots, pipeline.settings.market.gaps.fill
    )
    return filled.filter(pl.col("timestamp") >= periods[0].start)


def writes_every_bar(pipeline: PipelineContext) -> bool:
    """Whether an absent bar cannot mean that nothing traded: as the settings say, else the source,
    else by the bar size.
    """
    chosen = pipeline.settings.market.gaps.every_bar
    if chosen is not None:
        return chosen
    return pipeline.timeframe in LONG_TIMEFRAMES or pipeline.source.capabilities.reports_every_bar


def expected_lives(
    traded: pl.DataFrame,
    listings: pl.DataFrame,
    chosen: Sequence[str],
    period: Period,
    calendar: Calendar,
    forget: int,
) -> pl.DataFrame:
    """When each symbol is expected to trade, as known by the end of `period`: symbol, first, end
    (exclusive; null: still listed).

    A symbol counts from its listing to its delisting where listings know it, else from its first
    bar (`traded`: symbol, date) until it had none for `forget` sessions. Symbols that the settings
    name count from the market's start. Of the listings only symbols that ever had a bar are
    expected, since a source need not have everyone; a listing of unknown beginning counts from the
    first bar.
    """
    known = traded.filter(pl.col("date") < period.end_date)
    before, within = (
        known.filter((pl.col("date") < period.first_date) == earlier).group_by("symbol")
        for earlier in (True, False)
    )
    seen = before.agg(first=pl.col("date").min(), last=pl.col("date").max()).sort("symbol")
    seen = seen.with_columns(end=_sessions_later(seen["last"], forget, calendar)).drop("last")
    fresh = (
        within.agg(first=pl.col("date").min())
        .sort("symbol")
        .with_columns(end=pl.lit(None, pl.Date()))
    )
    named = pl.DataFrame({"symbol": list(chosen)}, schema={"symbol": pl.String()}).with_columns(
        first=pl.lit(date.min), end=pl.lit(None, pl.Date())
    )
    guessed = pl.concat([seen, fresh, named])
    if listings.is_empty():
        return guessed.sort("symbol", "first")
    earliest = guessed.group_by("symbol").agg(earliest=pl.col("first").min())
    stated = known_on(listings, period.end_date - timedelta(days=1)).join(
        earliest, on="symbol", how="inner", maintain_order="left"
    )
    stated = stated.select(
        "symbol", first=pl.coalesce("valid_from", "earliest"), end="valid_to"
    ).unique(maintain_order=True)
    return pl.concat([guessed.join(stated, on="symbol", how="anti"), stated.cast(LIVES)]).sort(  # type: ignore[arg-type]
        "symbol", "first"
    )


def _sessions_later(days: pl.Series, count: int, calendar: Calendar) -> pl.Series:
    dates = calendar.table["date"]
    return dates.gather((dates.search_sorted(days, side="right") + count).clip(0, len(dates) - 1))


def _keys(pipeline: PipelineContext, slots: Slots, period: Period) -> list[str]:
    """Trading periods that hold the sessions of `slots`."""
    if not len(slots.stamp):
        return [period.key]
    start = pl.Series([slots.stamp[0]]).cast(TIME)[0]
    return sorted({*pipeline.overlapping(start, period.end), period.key})


def _batches(pipeline: PipelineContext, slots: Slots, period: Period) -> Iterator[pl.DataFrame]:
    """Bars of whole symbols, a bounded number of them at a time; row groups of other symbols are
    skipped by their statistics.
    """
    keys = [key for key in _keys(pipeline, slots, period) if pipeline.lake.has("bars", key)]
    if not keys or not len(slots.stamp):
        return
    start, end = pl.lit(int(slots.stamp[0])).cast(TIME), moment_literal(period.end)
    bars = (
        pipeline.lake.scan("bars", keys)
        .filter(pl.col("timestamp") >= start, pl.col("timestamp") < end)
        .select(_NEEDED)
    )
    rows = sum((pipeline.lake.manifest("bars", key) or {}).get("rows", 0) for key in keys)
    if rows <= _BATCH_ROWS:
        yield sort_rows(bars.collect(engine="in-memory"), ("symbol", "timestamp"))
        return
    symbols = (
        pipeline.lake.scan("bars", keys)
        .select(pl.col("symbol").unique().sort())
        .collect()["symbol"]
    )
    each = max(1, len(symbols) * _BATCH_ROWS // rows)
    for at in range(0, len(symbols), each):
        part = symbols[at : at + each]
        chosen = bars.filter(pl.col("symbol").is_between(pl.lit(part[0]), pl.lit(part[-1])))
        yield sort_rows(chosen.collect(engine="in-memory"), ("symbol", "timestamp"))
