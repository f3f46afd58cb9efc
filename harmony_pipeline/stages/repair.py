"""Fetch absent bars again, keep what came as new raw rows, rebuild the periods, and say what the
source does not have either.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import groupby

import polars as pl

from harmony_pipeline.market.gap_requests import repair_requests
from harmony_pipeline.market.ingest.download_cache import DownloadCache
from harmony_pipeline.market.ingest.versions import keep_versions
from harmony_pipeline.market.periods import Period
from harmony_pipeline.market.sources.base import SOURCE_BAR_DTYPES, SOURCE_BAR_ORDER, Request
from harmony_pipeline.market.timeframes import LONG_TIMEFRAMES
from harmony_pipeline.stages import gaps as absent
from harmony_pipeline.stages import market
from harmony_pipeline.stages.context import PipelineContext, refuse_the_past

DOUBTFUL = ("missing", "unknown", "halt")  # a silence that is usual is not asked for again


@dataclass(frozen=True)
class Repaired:
    """What a repair did. `before` and `after` are the doubtful gaps (schemas.GAPS) of the range."""

    requests: int
    received: int
    added: int
    before: pl.DataFrame
    after: pl.DataFrame
    periods: list[str]
    """trading periods that were rebuilt"""

    @property
    def mended(self) -> int:
        """Bars that were absent and are there now."""
        return int(self.before["bars"].sum()) - int(self._still_there["bars"].sum())

    @property
    def _still_there(self) -> pl.DataFrame:
        asked = self.before.select("symbol", "date").unique()
        return self.after.join(asked, on=["symbol", "date"], how="semi")

    def sentences(self) -> list[str]:
        """For people: what was asked, what was mended, what remains."""
        total = int(self.before["bars"].sum())
        if not total:
            return ["nothing to repair: no bar is missing, halted or in doubt"]
        lines = [
            (
                f"asked the source {self.requests} times for {total} absent bars of"
                f" {self.before['symbol'].n_unique()} symbols, received {self.received} rows,"
                f" {self.added} of them new"
            )
        ]
        lines.append(
            f"mended {self.mended} of {total} bars"
            + (f"; rebuilt {', '.join(self.periods)}" if self.periods else "")
        )
        left = (
            self._still_there.group_by("symbol")
            .agg(pl.col("bars").sum(), pl.len().alias("runs"))
            .sort("bars", "symbol", descending=[True, False])
        )
        for symbol, bars, runs in left.head(10).iter_rows():
            lines.append(f"the source does not have {bars} bars of {symbol} either ({runs} runs)")
        if left.height > 10:
            lines.append(
                f"nor those of {left.height - 10} more symbols: harmony sql gaps_by_symbol"
            )
        return lines


def repair(
    pipeline: PipelineContext, first: date | None = None, last: date | None = None
) -> Repaired:
    """Ask the source again for the doubtful gaps of sessions `first` to `last` (both included;
    default: all).
    """
    refuse_the_past(pipeline)
    periods = [
        period
        for period in pipeline.trading_periods()
        if (last is None or period.first_date <= last)
        and (first is None or period.end_date > first)
    ]
    before = _doubtful(pipeline, periods, first, last)
    sessions = pipeline.calendar.sessions(pipeline.settings.market.start, pipeline.end_date)
    asked = [
        piece
        for request in repair_requests(
            _with_extended_hours(pipeline, before), pipeline.bar, sessions
        )
        for piece in _pieces(pipeline, request)
    ]
    now = datetime.now(UTC)
    received, added, changed = 0, 0, []
    cache = (
        DownloadCache(pipeline.settings.state_root / "inbox", pipeline.source, pipeline.timeframe)
        if pipeline.source.capabilities.remote and asked
        else None
    )
    download = (
        None
        if cache is None
        else cache.fetch(asked, lambda done, total: pipeline.progress("repair", done, total))
    )
    for period in periods:
        answers = _asked(pipeline, asked, period) if download is None else download.batches(period)
        frames = [frame for frame in answers if frame.height]
        if not frames:
            continue
        kept = keep_versions(pipeline.lake, period.key, frames, now, pipeline.source.identity)
        received, added = received + kept.received, added + kept.new
        if kept.new:
            changed.append(period)
    if cache is not None and download is not None:
        cache.forget(download.files)
    _rebuild(pipeline, changed)
    return Repaired(
        len(asked),
        received,
        added,
        before,
        _doubtful(pipeline, periods, first, last),
        [period.key for period in changed],
    )


def _doubtful(
    pipeline: PipelineContext, periods: Sequence[Period], first: date | None, last: date | None
) -> pl.DataFrame:
    found = pipeline.lake.read("gaps", [period.key for period in periods]).filter(
        pl.col("kind").is_in(DOUBTFUL)
    )
    return found.filter(pl.col("date").is_between(first or date.min, last or date.max))


def _with_extended_hours(pipeline: PipelineContext, found: pl.DataFrame) -> pl.DataFrame:
    """Runs that touch the open or the close reach into extended hours, where they are kept: whoever
    lost these bars may have lost those beside them.
    """
    if not pipeline.settings.market.extended_hours or pipeline.timeframe in LONG_TIMEFRAMES:
        return found
    schedule = pipeline.calendar.table.select("date", "pre_open", "open", "close", "post_close")
    early, late = (
        pl.col("first_missing") <= pl.col("open"),
        pl.col("last_missing") + pipeline.bar >= pl.col("close"),
    )
    return (
        found.join(schedule, on="date", how="left", maintain_order="left")
        .with_columns(
            first_missing=pl.when(early)
            .then(pl.min_horizontal("first_missing", "pre_open"))
            .otherwise("first_missing"),
            last_missing=pl.when(late)
            .then(pl.max_horizontal("last_missing", pl.col("post_close") - pipeline.bar))
            .otherwise("last_missing"),
        )
        .select(found.columns)
    )


def _pieces(pipeline: PipelineContext, request: Request) -> list[Request]:
    """The questions that this source is asked in: it knows how many symbols and days an answer
    holds.
    """
    return pipeline.source.requests(
        None if request.symbols is None else list(request.symbols),
        request.start,
        request.end,
        pipeline.timeframe,
    )


def _asked(
    pipeline: PipelineContext, requests: Sequence[Request], period: Period
) -> list[pl.DataFrame]:
    """A period's rows of a source on this machine, in one frame."""
    frames = [pl.DataFrame(schema=SOURCE_BAR_DTYPES)]
    for request in requests:
        start, end = max(request.start, period.start), min(request.end, period.end)
        if start < end:
            frames.append(
                pipeline.source.bars(
                    None if request.symbols is None else list(request.symbols),
                    start,
                    end,
                    pipeline.timeframe,
                )
            )
    return [pl.concat(frames).sort(SOURCE_BAR_ORDER)]


def _rebuild(pipeline: PipelineContext, changed: Sequence[Period]) -> None:
    """Bars and what is made of them, for each stretch of changed periods; gaps of the period after
    it too, whose habits begin before it.
    """
    everything = pipeline.trading_periods()
    place = {period.key: at for at, period in enumerate(everything)}
    for _, group in groupby(enumerate(changed), key=lambda each: place[each[1].key] - each[0]):
        stretch = [period for _, period in group]
        market.bars(pipeline, stretch)
        market.daily_summary(pipeline, stretch)
        behind = everything[place[stretch[-1].key] + 1 : place[stretch[-1].key] + 2]
        absent.gaps(
            pipeline,
            [*stretch, *(period for period in behind if pipeline.lake.has("bars", period.key))],
        )
