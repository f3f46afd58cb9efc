"""Features with kernel state, regimes, signals and labels, period by period.

A period's features continue from the nearest earlier kernel state that is still valid; a period's labels look as far ahead
as its outcomes need and no label is written before it is settled. Materialising a period again after later bars arrived
settles what was open.
"""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial

import polars as pl

from harmony_pipeline.features.incremental import update_features
from harmony_pipeline.features.regimes import compute_regimes
from harmony_pipeline.labels.barriers import triple_barrier
from harmony_pipeline.labels.events import events_from_signals
from harmony_pipeline.market.periods import Period
from harmony_pipeline.stages.result import StageResult
from harmony_pipeline.stages.workspace import Workspace
from harmony_pipeline.strategies.base import signals_of
from harmony_pipeline.strategies.registry import build_strategy


def features(work: Workspace, periods: Sequence[Period]) -> StageResult:
    """Every feature of every bar, and the kernel state after the period's last bar."""
    order = [period.key for period in work.trading_periods()]
    counts: dict[str, dict[str, int]] = {}
    preview = pl.DataFrame()
    for number, period in enumerate(periods, start=1):
        result = update_features(work.lake, period.key, order, work.feature_set, work.calendar, work.timeframe)
        work.lake.write("features", period.key, result.table, result.made_from)
        work.lake.write("feature_state", period.key, result.states, result.made_from)
        counts[period.key] = {"features": result.table.height}
        preview = result.table.tail(5)
        work.progress("features", number, len(periods))
    total = sum(count["features"] for count in counts.values())
    return StageResult(
        rows={"features": total},
        facts={"feature columns": len(work.feature_set.names), "feature set": work.feature_set.hash},
        preview=preview,
        partitions=counts,
    )


def regimes(work: Workspace, periods: Sequence[Period]) -> StageResult:
    """Trend and volatility of each session, from summaries up to it."""
    summary = work.lake.read("daily_summary", work.overlapping(work.trading_periods()[0].start, periods[-1].end))
    table = compute_regimes(summary, work.calendar, work.settings.regimes, work.settings.market.benchmark)
    dates = pl.col("timestamp").dt.date()
    for period in periods:
        rows = table.filter((dates >= period.first_date) & (dates < period.end_date))
        work.lake.write("regimes", period.key, rows, work.made_from({"daily_summary": [period.key]}, work.settings.regimes))
    counted = table.filter(pl.col("trend").is_not_null()).group_by("trend", "volatility").len().sort("trend", "volatility")
    facts = {f"days {trend} {volatility or 'unknown'}": days for trend, volatility, days in counted.iter_rows()}
    return StageResult(rows={"regimes": table.height}, facts=facts, preview=table.tail(5))


def signals(work: Workspace, periods: Sequence[Period]) -> StageResult:
    """Side and strength of every active strategy on every bar where its features are warm."""
    strategies = {name: build_strategy(strategy) for name, strategy in sorted(work.settings.active_strategies.items())}
    counts: dict[str, dict[str, int]] = {}
    active: dict[str, int] = dict.fromkeys(strategies, 0)
    for number, period in enumerate(periods, start=1):
        known = work.lake.read("features", [period.key])
        frames = []
        for name, strategy in strategies.items():
            rows = signals_of(strategy, known, partial(work.lake.read, "bars", [period.key])).select(
                pl.lit(name).alias("strategy"), "symbol", "timestamp", "side", "strength"
            )
            active[name] += rows.filter(pl.col("side") != 0).height
            frames.append(rows)
        table = pl.concat(frames)
        work.lake.write("signals", period.key, table, work.made_from({"features": [period.key]}, *work.settings.active_strategies.values()))
        counts[period.key] = {"signals": table.height}
        work.progress("signals", number, len(periods))
    return StageResult(
        rows={"signals": sum(c["signals"] for c in counts.values())},
        facts={f"{name} takes a side on": number for name, number in active.items()},
        partitions=counts,
    )


def labels(work: Workspace, periods: Sequence[Period]) -> StageResult:
    """Triple-barrier outcomes of the traded strategy's events."""
    counts: dict[str, dict[str, int]] = {}
    touched: dict[str, int] = {}
    for number, period in enumerate(periods, start=1):
        table = _labels_of(work, period)
        work.lake.write("labels", period.key, table, work.made_from({"bars": [period.key], "signals": [period.key]}, work.settings.labels))
        counts[period.key] = {"labels": table.height}
        for kind, rows in table.group_by("touched").len().sort("touched").iter_rows():
            touched[f"{kind or 'unresolved'}"] = touched.get(kind or "unresolved", 0) + rows
        work.progress("labels", number, len(periods))
    return StageResult(rows={"labels": sum(c["labels"] for c in counts.values())}, facts=dict(sorted(touched.items())), partitions=counts)


def _labels_of(work: Workspace, period: Period) -> pl.DataFrame:
    """Labels of one period, from bars that reach far enough on both sides; wider when an outcome needs it."""
    end_of_lake = work.trading_periods()[-1].end
    margin = _margin(work)
    while True:
        start, end = period.start - margin, period.end + margin
        keys = work.overlapping(start, end)
        events = label_events(work, keys)
        bars = work.lake.read("bars", keys)
        table = triple_barrier(bars, events, work.settings.labels, work.calendar, work.timeframe, keep_from=period.start, keep_until=period.end).table
        if end >= end_of_lake or not table["end_timestamp"].null_count():
            return table
        margin *= 4


def label_events(work: Workspace, keys: Sequence[str]) -> pl.DataFrame:
    """Events of the traded strategy in those trading periods: regular bars where it takes a side."""
    chosen = work.lake.scan("signals", keys).filter((pl.col("strategy") == work.settings.session.strategy) & (pl.col("side") != 0)).collect(engine="in-memory")
    scale = work.lake.scan("features", keys).select("symbol", "timestamp", "volatility_20").collect(engine="in-memory")
    return events_from_signals(chosen, scale)


def _margin(work: Workspace) -> timedelta:
    """Calendar time that surely holds the longest horizon's bars: sessions with weekends, holidays and missing bars."""
    sessions = max(work.settings.labels.horizons_bars) / work.calendar.bars_per_session(work.timeframe) + 2
    return timedelta(days=2 * sessions + 5)
