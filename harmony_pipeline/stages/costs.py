"""Costs as they were: the calibration of the cost model."""

from datetime import datetime

import polars as pl

from harmony_pipeline.execution.calibration import (
    EVERY_SYMBOL,
    FILLS,
    LEAST_FILLS,
    calibrated_from_fills,
    calibrated_from_quotes,
    fill_observations,
)
from harmony_pipeline.execution.spread_models import measured_half_spreads
from harmony_pipeline.reports import sketches
from harmony_pipeline.schemas import TIME
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.market import ALL
from harmony_pipeline.stages.result import StageResult
from harmony_pipeline.stages.unchanged import unchanged_since

TABLE = "cost_calibration"
_SIMULATED = '"broker_order_id":"sim-'  # how execution/brokers/simulated.py numbers its orders


def cost_calibration(pipeline: PipelineContext) -> StageResult:
    """Half spread and impact as recorded fills of a real venue had them, half spread as quotes had
    it: one row a symbol, number and source, with the setting that it suggests.
    """
    names = ("session_fills", "session_events", "quote_ticks", "bars", "features")
    made_from = pipeline.made_from({name: pipeline.lake.partitions(name) for name in names})
    since = unchanged_since(pipeline, (TABLE,), ALL, made_from)
    if since is not None:
        rows = int((pipeline.lake.manifest(TABLE, ALL) or {})["rows"])
        return StageResult(rows={TABLE: rows}, unchanged_since=since)
    fills, simulated = _recorded_fills(pipeline)
    observations = _observations(pipeline, fills)
    quoted = _from_quotes(pipeline)
    table = pl.concat([calibrated_from_fills(observations), quoted])
    pipeline.lake.write(TABLE, ALL, table, made_from)
    spreads = table.filter(pl.col("parameter") == "half_spread_bps")["estimate"].to_list()
    return StageResult(
        rows={TABLE: table.height},
        facts={"fills of a venue": fills.height, "fills of the simulation": simulated},
        preview=table,
        pictures={"half spreads, basis points": sketches.bars(spreads)} if spreads else {},
        notes=_notes(table, observations, simulated),
        nothing="" if table.height else _why_nothing(observations, fills.height, simulated),
    )


def _recorded_fills(pipeline: PipelineContext) -> tuple[pl.DataFrame, int]:
    """Fills that a venue made, and the number of those that the simulated exchange made."""
    fills = pipeline.lake.read("session_fills")
    if fills.is_empty():
        return fills, 0
    simulated = (
        pipeline.lake.scan("session_events")
        .filter(pl.col("detail").str.contains(_SIMULATED, literal=True))
        .select("client_order_id")
        .unique()
        .collect(engine="in-memory")
    )
    real = fills.join(simulated, on="client_order_id", how="anti", maintain_order="left")
    return real, fills.height - real.height


def _observations(pipeline: PipelineContext, fills: pl.DataFrame) -> pl.DataFrame:
    symbols = fills["symbol"].unique().to_list()
    mine = pl.col("symbol").is_in(symbols)
    bars, features = (
        pipeline.lake.scan(name)
        .filter(mine)
        .select("symbol", "timestamp", column)
        .collect(engine="in-memory")
        for name, column in (("bars", "volume"), ("features", "volatility_20"))
    )
    return fill_observations(fills, bars, features)


def _from_quotes(pipeline: PipelineContext) -> pl.DataFrame:
    """A day at a time, since a day of quotes is large."""
    days = sorted(pipeline.lake.partitions("quote_ticks"))
    measured, moments = [], []
    for number, key in enumerate(days, start=1):
        quotes = pipeline.lake.read("quote_ticks", [key])
        measured.append(measured_half_spreads(quotes, pipeline.exchange))
        moments.append(quotes.select(pl.min("timestamp"))["timestamp"])
        moments.append(quotes.select(pl.max("timestamp"))["timestamp"])
        pipeline.progress("quotes", number, len(days))
    span = pl.concat(moments) if moments else pl.Series([], dtype=TIME)
    first, last = span.min(), span.max()
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        return pipeline.lake.tables[TABLE].empty()
    together = pl.concat(measured).sort("symbol", "session_date", "bucket")
    return calibrated_from_quotes(together, first, last)


def _notes(table: pl.DataFrame, observations: pl.DataFrame, simulated: int) -> list[str]:
    notes = []
    if simulated:
        notes.append(
            f"{simulated} fills of the simulated exchange were left out: they cost what the"
            " settings say"
        )
    if 0 < observations.height < LEAST_FILLS:
        notes.append(_too_few(observations.height))
    fitted = set(table.filter(pl.col("source") == FILLS)["symbol"].to_list()) - {EVERY_SYMBOL}
    missing = sorted(set(observations["symbol"].to_list()) - fitted) if fitted else []
    if missing:
        notes.append(f"too few fills for a row of their own: {', '.join(missing)}")
    return notes


def _too_few(count: int) -> str:
    return f"{count} fills of a venue are too few to fit: {LEAST_FILLS} are needed"


def _why_nothing(observations: pl.DataFrame, real: int, simulated: int) -> str:
    quotes = "no quotes are in the lake; fetch some with: harmony ticks --from DAY --to DAY"
    if simulated and not real:
        return (
            f"all {simulated} recorded fills came from the simulated exchange, which is no"
            f" evidence, and {quotes}"
        )
    if observations.height:
        return f"{_too_few(observations.height)}, and {quotes}"
    if real:
        return (
            f"none of {real} fills has a bar, its volume and a volatility before it, and {quotes}"
        )
    return f"no session has filled an order, and {quotes}"
