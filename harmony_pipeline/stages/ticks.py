"""Quotes and trades of whole trading days: asked from the source, validated, kept with an exact
account of every row received.

A day reaches from its own midnight on the exchange's clock to that of the next session, so that
ticks of a weekend have a place to be refused in. What the source says of a symbol's day replaces
what it said before (the lake keeps the earlier version); a tick that was known keeps the moment it
was learned, and symbols that were not asked about stay.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime

import polars as pl

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.lake.lake import content_hash
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.ingest.download_cache import retry_notes
from harmony_pipeline.market.periods import DayCut
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.sources.base import MarketDataSource, SourceResult
from harmony_pipeline.market.ticks.validate import (
    ValidatedTicks,
    occurrence,
    validate_quotes,
    validate_trades,
    value_columns,
)
from harmony_pipeline.schemas import TIME
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.result import StageResult

Read = Callable[[Sequence[str] | None, datetime, datetime], SourceResult]
Validate = Callable[[pl.DataFrame, Calendar, MarketSettings], ValidatedTicks]


def quote_ticks(pipeline: PipelineContext, days: Sequence[date]) -> StageResult:
    """Changes of the best bid and offer, validated; what was refused is in quarantine, every row
    received in tick_counts.
    """
    return _ingest(pipeline, days, "quote", _tick_source(pipeline).read_quotes, validate_quotes)


def trade_ticks(pipeline: PipelineContext, days: Sequence[date]) -> StageResult:
    """Every trade, validated; what was refused is in quarantine, every row received in
    tick_counts.
    """
    return _ingest(pipeline, days, "trade", _tick_source(pipeline).read_trades, validate_trades)


def offered(pipeline: PipelineContext) -> list[str]:
    """The tick tables that the source can fill, as the settings stand. Raises ConfigError when it
    has none.
    """
    abilities = _tick_source(pipeline).capabilities
    return [
        name
        for name, declared in (("quote_ticks", abilities.quotes), ("trade_ticks", abilities.trades))
        if declared
    ]


def _tick_source(pipeline: PipelineContext) -> MarketDataSource:
    abilities = pipeline.source.capabilities
    if abilities.quotes or abilities.trades:
        return pipeline.source
    if pipeline.settings.market.source == "files":
        raise ConfigError(
            "no files of ticks are named: set market.files.quotes or market.files.trades, such as"
            ' trades = ["ticks/trades_*.parquet"]'
        )
    raise ConfigError(
        f"market.source {pipeline.settings.market.source} has no quotes and trades: use files,"
        " simulated, alpaca, (trades) crypto or (quotes) mt5 for ticks"
    )


def _ingest(
    pipeline: PipelineContext, days: Sequence[date], timeframe: str, read: Read, validate: Validate
) -> StageResult:
    table = f"{timeframe}_ticks"
    asked = list(pipeline.settings.market.symbols) or None
    symbols = None if pipeline.settings.market.source == "files" else asked
    counts: dict[str, dict[str, int]] = {}
    rules: dict[str, int] = {}
    notes: list[str] = []
    preview = pl.DataFrame()
    for at, day in enumerate(days):
        pipeline.progress(table, at, len(days))
        now = datetime.now(UTC)
        answer = read(symbols, *_span(pipeline, day))
        result = validate(
            answer.rows.with_columns(ingested_at=pl.lit(now).cast(TIME)),
            pipeline.calendar,
            pipeline.settings.market,
        )
        _keep(pipeline, table, timeframe, day, result, symbols)
        sums = result.counts.select(pl.col("received", "kept", "quarantined", "merged").sum()).row(
            0, named=True
        )
        counts[day.isoformat()] = {table: sums["kept"], **sums}
        for rule, number in result.quarantine.group_by("rule").len().sort("rule").iter_rows():
            rules[rule] = rules.get(rule, 0) + number
        notes.extend(
            f"{day}: {note}"
            for note in (
                *result.notes,
                *answer.notes,
                *retry_notes(pipeline.source.name, answer.retries),
            )
        )
        preview = result.kept.head(5)
    pipeline.progress(table, len(days), len(days))
    total = {
        name: sum(count[name] for count in counts.values())
        for name in ("received", "quarantined", "merged")
    }
    facts: dict[str, float | int | str | bool | None] = {
        **total,
        **{f"quarantined by {rule}": number for rule, number in sorted(rules.items())},
    }
    return StageResult(
        rows={table: sum(count["kept"] for count in counts.values())},
        facts=facts,
        preview=preview,
        notes=notes,
        partitions=counts,
    )


def _span(pipeline: PipelineContext, day: date) -> tuple[datetime, datetime]:
    # ticks are cut like minutes, whatever the bars are
    cut = DayCut(pipeline.exchange.zone, pipeline.exchange.day_start)
    return cut.start_of(day), cut.start_of(pipeline.exchange.next_session(day))


def _keep(
    pipeline: PipelineContext,
    table: str,
    timeframe: str,
    day: date,
    result: ValidatedTicks,
    symbols: Sequence[str] | None,
) -> None:
    """Write a day's ticks, what was refused and the account, each only when it changed."""
    key = day.isoformat()
    # quotes and trades of a day are different assets: a partition has one writer
    account = f"{timeframe}-{key}"
    made_from = {
        "source": pipeline.settings.market.source,
        "settings": pipeline.fingerprint(
            pipeline.settings.market.ticks, pipeline.settings.market.extended_hours
        ),
    }
    for name, partition, rows in (
        (table, key, result.kept),
        ("quarantine", account, result.quarantine),
        ("tick_counts", account, result.counts),
    ):
        known = pipeline.lake.read(name, [partition])
        whole = _beside(known, rows, symbols)
        if name == table:
            whole = _learned_once(whole, known, pipeline, name)
        schema = pipeline.lake.tables[name]
        manifest = pipeline.lake.manifest(name, partition)
        if manifest is None or manifest["content_hash"] != content_hash(schema.conform(whole)):
            pipeline.lake.write(name, partition, whole, made_from)


def _beside(known: pl.DataFrame, rows: pl.DataFrame, symbols: Sequence[str] | None) -> pl.DataFrame:
    """The new rows, and the known ones of symbols that were not asked about."""
    return (
        rows
        if symbols is None
        else pl.concat([known.filter(~pl.col("symbol").is_in([*symbols, ""])), rows])
    )


def _learned_once(
    rows: pl.DataFrame, known: pl.DataFrame, pipeline: PipelineContext, name: str
) -> pl.DataFrame:
    """Ticks that were known already keep the moment at which they were learned."""
    if not known.height:
        return rows
    table = pipeline.lake.tables[name]
    number = occurrence(table, identified="trade_id" in table.columns)
    keys = [*value_columns(table), "source", "origin", "_occurrence"]
    before = (
        known.with_columns(number)
        .select(*keys, earlier="ingested_at")
        .unique(keys, keep="first", maintain_order=True)
    )
    joined = rows.with_columns(number).join(
        before, on=keys, how="left", nulls_equal=True, maintain_order="left"
    )
    return joined.with_columns(pl.coalesce("earlier", "ingested_at").alias("ingested_at")).drop(
        "earlier", "_occurrence"
    )
