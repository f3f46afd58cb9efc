"""The market's calendar in the lake: its sessions, and the grid that its bars start on.

`exchange_sessions` lets SQL cut days where the exchange does. `bar_grid` keeps the grid that the
first bars show, so that later periods are judged by the same one. It follows from the first
partition as it is now: when its rows were withdrawn for others, so was what they showed.
"""

import polars as pl

from harmony_pipeline.market.bar_grid import AUTO, BarGrid
from harmony_pipeline.market.grid_detection import detect_grid, grids_differ
from harmony_pipeline.market.ingest.versions import WITHDRAWN, latest_versions
from harmony_pipeline.stages.context import PipelineContext

ALL = "all"
_SAMPLE_ROWS = 200_000
_BY_SETTINGS = "market.grid in the settings"


def keep_calendar(pipeline: PipelineContext) -> list[str]:
    """Write what the lake lacks of both tables; sentences about what was found out."""
    _keep_sessions(pipeline)
    return _keep_grid(pipeline)


def _keep_sessions(pipeline: PipelineContext) -> None:
    exchange = pipeline.exchange
    table = exchange.table
    state = {"calendar": exchange.name, "sessions": pipeline.fingerprint(table.hash_rows().sum())}
    manifest = pipeline.lake.manifest("exchange_sessions", ALL)
    if manifest is not None and manifest["made_from"] == state:
        return
    rows = table.with_columns(calendar=pl.lit(exchange.name), time_zone=pl.lit(exchange.zone))
    pipeline.lake.write("exchange_sessions", ALL, rows, state)


def _keep_grid(pipeline: PipelineContext) -> list[str]:
    """The grid of the settings, else the one that the lake's first rows show."""
    timeframe, chosen = pipeline.timeframe, pipeline.settings.market.grid
    known = pipeline.lake.read("bar_grid", [ALL])
    recorded = known.filter(pl.col("timeframe") == timeframe)
    if chosen != AUTO:
        _record(pipeline, known, BarGrid.of(chosen), _BY_SETTINGS)
        return []
    if not grids_differ(pipeline.exchange, timeframe):
        return []
    stamps = _first_stamps(pipeline)
    found = None if stamps is None else detect_grid(stamps, pipeline.exchange, timeframe)
    if found is None:
        return []
    before = BarGrid.of(recorded["grid"][0]) if recorded.height else None
    if before == found.grid and recorded["evidence"][0] != _BY_SETTINGS:
        return []
    _record(pipeline, known, found.grid, found.evidence())
    where = found.grid.describe(timeframe)
    moved = before is not None and before != found.grid
    change = f", no longer on {before.describe(timeframe)}" if before and moved else ""
    return [f"bars start on {where}{change} ({found.evidence()}): set market.grid if that is wrong"]


def _record(pipeline: PipelineContext, known: pl.DataFrame, grid: BarGrid, evidence: str) -> None:
    rows = {"timeframe": [pipeline.timeframe], "grid": [grid.text], "evidence": [evidence]}
    mine = pipeline.lake.tables["bar_grid"].conform(pl.DataFrame(rows))
    others = known.filter(pl.col("timeframe") != pipeline.timeframe)
    whole = pl.concat([others.select(mine.columns), mine]).sort("timeframe")
    if not whole.equals(known.select(mine.columns).sort("timeframe")):
        pipeline.lake.write(
            "bar_grid", ALL, whole, {"timeframe": pipeline.timeframe, "grid": grid.text}
        )
    pipeline.forget_grid()


def _first_stamps(pipeline: PipelineContext) -> pl.Series | None:
    """Distinct stamps of the earliest partition that has rows of this timeframe."""
    for key in pipeline.lake.partitions("raw_bars"):
        rows = pipeline.lake.scan("raw_bars", [key]).filter(
            pl.col("timeframe") == pipeline.timeframe
        )
        sample = latest_versions(rows.head(_SAMPLE_ROWS).collect(engine="in-memory"))
        stamps = sample.filter(pl.col("defect").ne_missing(WITHDRAWN))["timestamp"]
        if len(stamps):
            return stamps
    return None
