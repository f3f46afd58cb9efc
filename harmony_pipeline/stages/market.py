"""Validated bars, corporate actions, the universe and the daily summary; `stages/ingest.py` has the raw bars before them."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import polars as pl

from harmony_pipeline.market.daily import summarise
from harmony_pipeline.market.ingest.changes import changes
from harmony_pipeline.market.listings import listings_from_universe
from harmony_pipeline.market.periods import Period
from harmony_pipeline.market.quality import validate
from harmony_pipeline.market.sources.base import ListingSource
from harmony_pipeline.stages.result import StageResult
from harmony_pipeline.stages.workspace import Workspace, refuse_the_past

ALL = "all"  # the one partition of tables that are not partitioned
BATCH_ROWS = 1_000_000  # rows that are worked on at a time, about 200 MB


def corporate_actions(work: Workspace) -> StageResult:
    """Splits and dividends of every symbol, as the source knows them."""
    refuse_the_past(work)
    actions = work.source.corporate_actions(list(work.settings.market.symbols) or None)
    work.lake.write("corporate_actions", ALL, actions, {"source": work.settings.market.source})
    kinds = dict(actions.group_by("kind").len().sort("kind").iter_rows())
    return StageResult(rows={"corporate_actions": actions.height}, facts=kinds, preview=actions.tail(8))


def universe(work: Workspace) -> StageResult:
    """Who was listed when, with float and sector where the source has them."""
    refuse_the_past(work)
    rows = work.source.universe()
    work.lake.write("universe", ALL, rows, {"source": work.settings.market.source})
    return StageResult(rows={"universe": rows.height}, preview=rows.tail(8))


def listings(work: Workspace) -> StageResult:
    """Which security traded under which symbol when: as the source tells it, else as its universe implies."""
    refuse_the_past(work)
    source, table = work.source, work.lake.tables["listings"]
    rows = source.listings() if isinstance(source, ListingSource) else listings_from_universe(work.lake.read("universe"), source.name)
    work.lake.write("listings", ALL, table.conform(rows), {"source": work.settings.market.source})
    reasons = dict(rows.group_by("reason").len().sort("reason").iter_rows())
    return StageResult(rows={"listings": rows.height}, facts=reasons, preview=rows.tail(8))


def bars(work: Workspace, periods: Sequence[Period]) -> StageResult:
    """Validate each period's raw rows; what breaks a rule goes to quarantine with its reason."""
    actions = work.lake.read("corporate_actions")
    before = _last_bars(work, periods[0])
    counts: dict[str, dict[str, int]] = {}
    rules: dict[str, int] = {}
    notes: list[str] = []
    refused: list[pl.DataFrame] = []
    for period in periods:
        raw = work.lake.read("raw_bars", [period.key])
        result = validate(raw, before, actions, work.calendar, work.timeframe, work.settings.market)
        made_from = work.made_from({"raw_bars": [period.key], "corporate_actions": [ALL]}, work.settings.market.quality)
        notes.extend(_rebuilt(work, period, result.bars))
        work.lake.write("bars", period.key, result.bars, made_from)
        work.lake.write("quarantine", period.key, result.quarantine, made_from)
        before = _carried(before, result.bars)
        counts[period.key] = {"raw_bars": raw.height, "bars": result.bars.height, "quarantine": result.quarantine.height}
        for rule, number in result.quarantine.group_by("rule").len().sort("rule").iter_rows():
            rules[rule] = rules.get(rule, 0) + number
        notes.extend(str(note) for note in result.counts.get("notes", []))
        refused.append(result.quarantine.head(5))
    totals = {name: sum(count[name] for count in counts.values()) for name in ("raw_bars", "bars", "quarantine")}
    preview = pl.concat(refused).head(20) if refused else None
    return StageResult(
        rows=totals, facts={f"quarantined by {rule}": number for rule, number in sorted(rules.items())}, preview=preview, notes=notes, partitions=counts
    )


def _rebuilt(work: Workspace, period: Period, bars_now: pl.DataFrame) -> list[str]:
    """What a period that was built before says of its rebuilding; nothing when no bar moved."""
    if not work.lake.has("bars", period.key):
        return []
    return changes(work.lake.read("bars", [period.key]), bars_now).sentences(period.key)


_CARRIED = ("symbol", "timestamp", "close", "adjustment_factor")


def _last_bars(work: Workspace, period: Period) -> pl.DataFrame:
    """Each symbol's last regular bar before `period`: what the adjustment factor continues from."""
    earlier = [key for key in work.lake.partitions("bars") if work.trading_period(key).end <= period.start]
    return (
        work.lake.scan("bars", earlier)
        .filter(pl.col("session") == "regular")
        .select(_CARRIED)
        .sort("symbol", "timestamp")
        .group_by("symbol", maintain_order=True)
        .last()
        .collect(engine="in-memory")
    )


def _carried(before: pl.DataFrame, bars_of_period: pl.DataFrame) -> pl.DataFrame:
    latest = bars_of_period.filter(pl.col("session") == "regular").select(_CARRIED)
    return pl.concat([before, latest]).sort("symbol", "timestamp").group_by("symbol", maintain_order=True).last()


def daily_summary(work: Workspace, periods: Sequence[Period]) -> StageResult:
    """One row a symbol and session, so that scans never touch minute bars."""
    counts: dict[str, dict[str, int]] = {}
    summary = pl.DataFrame()
    for period in periods:
        batches = work.lake.batches("bars", period.key, BATCH_ROWS)  # whole symbols, so that a month of thousands of them needs no more memory
        parts = [summarise(rows, work.calendar, work.timeframe, work.settings.scanner.as_of) for rows in batches]
        summary = pl.concat([work.lake.tables["daily_summary"].empty(), *parts])
        work.lake.write("daily_summary", period.key, summary, work.made_from({"bars": [period.key]}, work.settings.scanner.as_of))
        counts[period.key] = {"daily_summary": summary.height}
    return StageResult(rows={"daily_summary": sum(c["daily_summary"] for c in counts.values())}, preview=summary.tail(8), partitions=counts)


def latest_period_with_bars(work: Workspace) -> Period | None:
    """The newest trading period that has bars."""
    keys = [key for key in work.lake.partitions("bars") if work.lake.manifest("bars", key)["rows"]]  # type: ignore[index]
    return work.trading_period(keys[-1]) if keys else None


def market_end(work: Workspace) -> datetime:
    """The end of the last bar in the lake, or the market's start when there is none."""
    period = latest_period_with_bars(work)
    if period is None:
        return work.trading_day_start(work.settings.market.start)
    last = work.lake.scan("bars", [period.key]).select(pl.col("timestamp").max()).collect().item()
    return last + work.bar if isinstance(last, datetime) else period.start


def sessions_with_bars(work: Workspace) -> list[date]:
    """Trading days that have bars, oldest first."""
    days = work.lake.scan("daily_summary").select("date").unique().sort("date").collect(engine="in-memory")
    return days["date"].to_list()


ONE_DAY = timedelta(days=1)
