"""Which stretches of time a source over a network is asked for, and the record of those that it has
answered: what was never fetched, and the latest sessions again, since venues correct what they
sent.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

from harmony_pipeline.market.ingest.coverage import TimeRange, add_range, missing_ranges
from harmony_pipeline.stages.context import PipelineContext

ALL = "all"  # the one partition of tables that are not partitioned


def ranges_to_fetch(
    pipeline: PipelineContext,
    symbols: Sequence[str] | None,
    start: datetime,
    end: datetime,
    *,
    again: bool,
) -> list[TimeRange]:
    """What is asked for of `start <= t < end`; with `again` all of it."""
    if end <= start:
        return []
    if again:
        return [TimeRange(None if symbols is None else tuple(symbols), start, end)]
    coverage = pipeline.lake.read("coverage", [ALL])
    holes = missing_ranges(
        coverage, pipeline.source.identity, pipeline.timeframe, symbols, start, end
    )
    recheck = _recheck_from(pipeline, end)
    if recheck is None or recheck <= start:
        return holes
    # What was fetched before and is asked for again, apart from the holes themselves.
    late = TimeRange(None if symbols is None else tuple(symbols), max(recheck, start), end)
    whole = [
        hole
        for hole in holes
        if hole.symbols == late.symbols and hole.start <= late.start and hole.end >= late.end
    ]
    return holes if whole else [*_outside(holes, late), late]


def _outside(holes: Sequence[TimeRange], late: TimeRange) -> Iterator[TimeRange]:
    """The parts of holes that lie before the stretch that is asked for as a whole."""
    for hole in holes:
        if hole.start < late.start:
            yield TimeRange(hole.symbols, hole.start, min(hole.end, late.start))


def _recheck_from(pipeline: PipelineContext, end: datetime) -> datetime | None:
    """The start of the latest sessions that were fetched before and are asked for again; None when
    none is asked for.
    """
    count = pipeline.settings.market.ingest.recheck_sessions
    days = (
        pipeline.calendar.sessions(pipeline.settings.market.start, end.date())[-count:]
        if count
        else []
    )
    return pipeline.trading_day_start(days[0]) if days else None


def record_fetched(
    pipeline: PipelineContext, stretches: Iterable[TimeRange], now: datetime
) -> None:
    """Put down that these stretches were answered `now`. A bar that has not ended, or is held back,
    is yet to come.
    """
    source, lake = pipeline.source, pipeline.lake
    settled = now - pipeline.bar - source.capabilities.publication_delay
    for stretch in stretches:
        if stretch.start < settled:
            add = partial(
                add_range,
                identity=source.identity,
                timeframe=pipeline.timeframe,
                stretch=replace(stretch, end=min(stretch.end, settled)),
                learned_at=now,
            )
            lake.update("coverage", ALL, add, {"source": source.identity})
