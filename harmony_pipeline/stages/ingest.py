"""Raw bars: what a source has that the lake does not know yet.

Files and simulations are read again at every ingest, unless none of the files has changed since: a
folder may have got another file. A source over a network is asked only for stretches that were
never fetched, up to the last bar that has closed, and for the latest sessions again, since venues
correct what they sent. Either way a row that is known is merged, a changed one becomes a new
version (`market/ingest/versions.py`), and nothing is ever overwritten.

Files are read whole, so that what they gave before and give no more is withdrawn: a renamed,
corrected or removed file, another zone, mapping or rule for symbols leaves no bar behind that
nobody gives. Every row of a file is accounted for (`market/ingest/row_accounting.py`).

The order makes it safe to kill at any moment: answer on disk, rows in the lake, stretch recorded as
covered, answer removed.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import polars as pl

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.lake.lake import code_version
from harmony_pipeline.lake.row_groups import alphabet_ranges
from harmony_pipeline.log import log
from harmony_pipeline.market.ingest.coverage import TimeRange, add_range, missing_ranges
from harmony_pipeline.market.ingest.download_cache import DownloadCache
from harmony_pipeline.market.ingest.row_accounting import account_rows, outside_rows
from harmony_pipeline.market.ingest.source_fingerprints import SourceFingerprints
from harmony_pipeline.market.ingest.versions import WITHDRAWN, Whole, merge_versions
from harmony_pipeline.market.periods import Period
from harmony_pipeline.market.sources.base import (
    SOURCE_BAR_DTYPES,
    SOURCE_BAR_ORDER,
    MarketDataSource,
    SourceResult,
)
from harmony_pipeline.market.sources.file_accounting import FileAccount
from harmony_pipeline.stages.context import PipelineContext, refuse_the_past
from harmony_pipeline.stages.market_calendar import keep_calendar
from harmony_pipeline.stages.result import StageResult

ALL = "all"  # the one partition of tables that are not partitioned
_COUNTED = ("received", "new", "repeated", "heard", "corrected", "rows")
_FILES_NAMED = 10  # files that are told one by one; the rest are counted
_BATCH_ROWS = 1_000_000  # rows merged at a time: about 200 MB with what is known of them


@dataclass(frozen=True)
class Kept:
    """What became of one period's received rows."""

    received: int = 0
    new: int = 0
    """received rows that became versions"""
    repeated: int = 0
    """received rows that say what another received row says"""
    heard: int = 0
    """received rows that say what was known before"""
    corrected: int = 0
    """new versions of bars that were known before"""
    rows: int = 0
    """raw rows in the period afterwards"""
    withdrawn: dict[str, int] = field(default_factory=dict)
    """by file, bars that it gave before and gives no more"""


def raw_bars(
    pipeline: PipelineContext, periods: Sequence[Period], *, again: bool = False
) -> StageResult:
    """Bars as received up to the last closed one, every version of a row, with source and fetch
    time.

    `again` asks a network source even for what was fetched before.
    """
    refuse_the_past(pipeline)
    refuse_other_periods(pipeline)
    now = datetime.now(UTC)
    notes: list[str] = []
    outside = None
    if pipeline.source.capabilities.remote:
        kept = _from_network(pipeline, periods, now, notes, again=again)
    else:
        kept = _from_here(pipeline, periods, now, notes)
        outside = _outside_rows(pipeline, notes)
    notes += _withdrawals(kept.values())
    notes += _silent_symbols(pipeline, periods)
    notes += keep_calendar(pipeline)
    total = {name: sum(getattr(each, name) for each in kept.values()) for name in _COUNTED}
    facts: dict[str, int | None] = {
        "rows received": total["received"],
        "new rows": total["new"],
        "of these corrections": total["corrected"],
        "rows known before (merged)": total["repeated"] + total["heard"],
        "rows given twice": total["repeated"],
        "rows known before": total["heard"],
        "rows withdrawn": sum(sum(each.withdrawn.values()) for each in kept.values()),
    }
    seconds = round((datetime.now(UTC) - now).total_seconds(), 3)
    span = f"{periods[0].key}..{periods[-1].key}"
    log(
        pipeline.settings.present_state_root,
        "ingest",
        source=pipeline.source.name,
        partition=span,
        counts=facts,
        seconds=seconds,
    )
    return StageResult(
        rows={"raw_bars": total["rows"]},
        facts={**facts, **({} if outside is None else {"rows outside the range": outside})},
        preview=pipeline.lake.scan("raw_bars", [periods[-1].key])
        .head(5)
        .collect(engine="in-memory"),
        notes=list(dict.fromkeys(notes)),
        partitions={key: {"raw_bars": each.rows} for key, each in kept.items()},
    )


def refuse_other_periods(pipeline: PipelineContext) -> None:
    """Raises ConfigError when the lake was cut into periods of another size: its rows would stand
    in two partitions.
    """
    size = pipeline.settings.market.partitions.trading_period
    for key in pipeline.lake.partitions("raw_bars"):
        try:
            pipeline.trading_period(key)
        except ConfigError:
            raise ConfigError(
                f"the lake holds the period '{key}', which is no {size}, and"
                f" market.partitions.trading_period is '{size}': set it back, or name a new folder"
                " in paths.lake and ingest again"
            ) from None


def keep(
    pipeline: PipelineContext,
    period: Period,
    received: Iterable[pl.DataFrame],
    now: datetime,
    whole: Whole | None = None,
) -> Kept:
    """Add what is new of `received` to one period's raw bars, as learned `now`; with `whole`,
    withdraw what it gives no more.

    The frames (columns of a source, rows of this period) hold whole symbols in ascending order.
    Several of them are merged one after the other, so that memory holds one frame and what is known
    of its symbols.
    """
    frames = iter(received)
    first = next(frames, pl.DataFrame(schema=SOURCE_BAR_DTYPES))
    second = next(frames, None)
    made_from = {"source": pipeline.source.identity}
    counts = _Counts(now, whole)
    if second is None:
        pipeline.lake.update(
            "raw_bars", period.key, lambda known: counts.grown(known, first), made_from
        )
        return counts.kept()
    with pipeline.lake.updating("raw_bars", period.key, made_from) as out:
        for frame, symbols in alphabet_ranges(chain([first, second], frames)):
            with pipeline.lake.reading("raw_bars", [period.key]):
                known = (
                    pipeline.lake.scan("raw_bars", [period.key])
                    .filter(symbols)
                    .collect(engine="in-memory")
                )
            out.append(counts.grown(known, frame))
    return counts.kept()


class _Counts:
    """What became of received rows, added up over frames."""

    def __init__(self, now: datetime, whole: Whole | None) -> None:
        self.now, self.whole = now, whole
        self.counts = Counter[str]()
        self.withdrawn = Counter[str]()

    def grown(self, known: pl.DataFrame, received: pl.DataFrame) -> pl.DataFrame:
        """`known` with the new versions."""
        merged = merge_versions(known, received, self.now, self.whole)
        self.counts.update({name: getattr(merged, name) for name in _COUNTED if name != "rows"})
        self.counts.update(rows=known.height + merged.rows.height)
        self.withdrawn.update(merged.withdrawn)
        return pl.concat([known, merged.rows]) if merged.rows.height else known

    def kept(self) -> Kept:
        """The sums."""
        return Kept(**self.counts, withdrawn=dict(self.withdrawn))


# --- sources on this machine ----------------------------------------------------------------------


def _from_here(
    pipeline: PipelineContext, periods: Sequence[Period], now: datetime, notes: list[str]
) -> dict[str, Kept]:
    """Each period's rows, read one period at a time so that memory holds one."""
    market = pipeline.settings.market
    # strangers in a file are quarantined, not overlooked
    symbols = None if market.source == "files" else list(market.symbols) or None
    kept = {}
    fingerprints = SourceFingerprints(pipeline.settings.state_root / "ingest" / "read.json")
    for number, period in enumerate(periods, start=1):
        end = min(period.end, pipeline.market_close)
        if (found := _fingerprint(pipeline, period, end, symbols)) is not None and fingerprints.of(
            period.key
        ) == found:
            rows = pipeline.lake.manifest("raw_bars", period.key)["rows"]  # type: ignore[index]
            kept[period.key] = Kept(rows=rows)
            notes.append(f"{period.key}: no file has changed since it was last read")
            continue
        accounts: list[FileAccount] = []
        remarks: list[str] = []
        received = _frames(
            _read_here(pipeline.source, symbols, period.start, end, market.timeframe),
            accounts,
            remarks,
        )
        kept[period.key] = keep(
            pipeline, period, received, now, _whole(pipeline.source, symbols, period.start, end)
        )
        notes.extend(_record_accounts(pipeline, period, end, kept[period.key], accounts))
        if (found := _fingerprint(pipeline, period, end, symbols)) is not None:
            fingerprints.set(period.key, found)
        notes.extend(remarks)
        pipeline.progress("raw bars", number, len(periods))
    return kept


def _whole(
    source: MarketDataSource, symbols: Sequence[str] | None, start: datetime, end: datetime
) -> Whole | None:
    """What the received rows are all of; None for a source that may have more than it gives."""
    complete = symbols is None and source.capabilities.complete
    return Whole(source.name, start, end) if complete and start < end else None


def _reading(pipeline: PipelineContext) -> str:
    """Short name of the files as they are and of how they are read; empty where the source cannot
    say.
    """
    return (
        pipeline.fingerprint(pipeline.source.fingerprint(), pipeline.timeframe)
        if pipeline.source.capabilities.fingerprint
        else ""
    )


def _record_accounts(
    pipeline: PipelineContext,
    period: Period,
    end: datetime,
    kept: Kept,
    accounts: Sequence[FileAccount],
) -> list[str]:
    """Put down how many rows of each file this period received; a sentence where the files count
    others than were received.
    """
    if not pipeline.source.capabilities.accounts:
        return []
    pipeline.lake.write(
        "file_accounts", period.key, account_rows(accounts, _reading(pipeline), period.start, end)
    )
    counted = sum(one.inside for one in accounts)
    if counted == kept.received:
        return []
    return [
        (
            f"{period.key}: the files hold {counted} rows and {kept.received} were received: please"
            " report this with the files"
        )
    ]


def _outside_rows(pipeline: PipelineContext, notes: list[str]) -> int | None:
    """Rows of the files outside every period, told in `notes`; None where not every period was read
    with the files as they are.
    """
    if not pipeline.source.capabilities.accounts:
        return None
    periods = pipeline.trading_periods()
    accounts = pipeline.lake.read("file_accounts", [period.key for period in periods])
    found = outside_rows(accounts, _reading(pipeline), periods, pipeline.market_close)
    if found is not None:
        notes.extend(found.sentences)
    return None if found is None else found.rows


def _withdrawals(kept: Iterable[Kept]) -> list[str]:
    """A sentence for each file that gave rows which are there no more."""
    total = Counter[str]()
    for each in kept:
        total.update(each.withdrawn)
    told = [
        f"{_rows(total[origin])} of {origin} {'is' if total[origin] == 1 else 'are'} no longer"
        " there (the file, or how it is read, has changed): withdrawn"
        for origin in sorted(total)[:_FILES_NAMED]
    ]
    rest = sorted(total)[_FILES_NAMED:]
    return (
        [*told, f"{_rows(sum(total[one] for one in rest))} of {len(rest)} more files: withdrawn"]
        if rest
        else told
    )


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def _silent_symbols(pipeline: PipelineContext, periods: Sequence[Period]) -> list[str]:
    """A sentence about the symbols of the settings of which there is no row at all."""
    wanted = pipeline.settings.market.symbols
    if not wanted:
        return []
    rows = pipeline.lake.scan("raw_bars", [period.key for period in periods]).filter(
        pl.col("defect").ne_missing(WITHDRAWN)
    )
    there = set(rows.select(pl.col("symbol").unique()).collect(engine="in-memory")["symbol"])
    silent = sorted(set(wanted) - there)
    if not silent:
        return []
    shown = ", ".join(silent[:_FILES_NAMED]) + (
        f" and {len(silent) - _FILES_NAMED} more" if silent[_FILES_NAMED:] else ""
    )
    when = f"from {periods[0].first_date} to {min(periods[-1].end_date, pipeline.end_date)}"
    return [
        (
            f"market.symbols names {shown}, and the source has no row of it {when}:"
            " check the spelling, or take it out"
        )
    ]


def _fingerprint(
    pipeline: PipelineContext, period: Period, end: datetime, symbols: Sequence[str] | None
) -> str | None:
    """What the period's rows were read from, and those rows; None where the source cannot say, or
    there are no rows yet.
    """
    manifest = pipeline.lake.manifest("raw_bars", period.key)
    if manifest is None or not pipeline.source.capabilities.fingerprint:
        return None
    return pipeline.fingerprint(
        pipeline.source.fingerprint(),
        pipeline.timeframe,
        period.start,
        end,
        symbols,
        code_version(),
        manifest["content_hash"],
    )


def _read_here(
    source: MarketDataSource,
    symbols: Sequence[str] | None,
    start: datetime,
    end: datetime,
    timeframe: str,
) -> Iterator[SourceResult]:
    """What a source on this machine has, some symbols at a time where it can."""
    if symbols is None:
        yield from source.read_batches(start, end, timeframe, _BATCH_ROWS)
    else:
        yield source.read_bars(symbols, start, end, timeframe)


def _frames(
    results: Iterable[SourceResult], accounts: list[FileAccount], remarks: list[str]
) -> Iterator[pl.DataFrame]:
    """The rows of each result; what comes with them is added to the lists. Raises DataError for a
    file whose rows may not be kept.
    """
    for result in results:
        if result.refusals:
            others = (
                f" (the same holds of {len(result.refusals) - 1} other files)"
                if result.refusals[1:]
                else ""
            )
            raise DataError(result.refusals[0] + others)
        accounts += result.accounts
        remarks += result.notes
        yield result.rows


# --- sources over a network -----------------------------------------------------------------------


def _from_network(
    pipeline: PipelineContext,
    periods: Sequence[Period],
    now: datetime,
    notes: list[str],
    *,
    again: bool,
) -> dict[str, Kept]:
    """Fetch the missing stretches request by request, then keep them period by period."""
    source, timeframe = pipeline.source, pipeline.timeframe
    symbols = list(pipeline.settings.market.symbols) or None
    end = min(periods[-1].end, pipeline.market_close, now)
    stretches = _wanted(pipeline, symbols, periods[0].start, end, again=again)
    cache = DownloadCache(pipeline.settings.state_root / "inbox", source, timeframe)
    requests = [
        request
        for stretch in stretches
        for request in source.requests(
            None if stretch.symbols is None else list(stretch.symbols),
            stretch.start,
            stretch.end,
            timeframe,
        )
    ]
    download = cache.fetch(
        requests, lambda done, total: pipeline.progress("fetching bars", done, total)
    )
    notes.extend(download.notes)
    kept = {}
    for number, period in enumerate(periods, start=1):
        kept[period.key] = keep(pipeline, period, _answers(download.files, period), now)
        pipeline.progress("raw bars", number, len(periods))
    # a bar that has not ended, or is held back, is yet to come
    settled = now - pipeline.bar - source.capabilities.publication_delay
    for stretch in stretches:
        if stretch.start < settled:
            _record(pipeline, source.identity, replace(stretch, end=min(stretch.end, settled)), now)
    cache.forget(download.files)
    return kept


def _wanted(
    pipeline: PipelineContext,
    symbols: Sequence[str] | None,
    start: datetime,
    end: datetime,
    *,
    again: bool,
) -> list[TimeRange]:
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


def _answers(files: Sequence[Path], period: Period) -> Iterator[pl.DataFrame]:
    """A period's rows in the answers, some symbols at a time, sorted as a source sorts them."""
    if not files:
        return
    rows = pl.scan_parquet(list(files)).filter(
        pl.col("timestamp").is_between(period.start, period.end, closed="left")
    )
    counts = rows.group_by("symbol").len().sort("symbol").collect(engine="in-memory")
    group = (pl.col("len").cum_sum() - 1) // _BATCH_ROWS
    for names in (
        counts.group_by(group.alias("group"), maintain_order=True).agg("symbol")["symbol"].to_list()
    ):
        yield (
            rows.filter(pl.col("symbol").is_in(names))
            .collect(engine="in-memory")
            .sort(SOURCE_BAR_ORDER, maintain_order=True)
        )


def _record(pipeline: PipelineContext, identity: str, stretch: TimeRange, now: datetime) -> None:
    pipeline.lake.update(
        "coverage",
        ALL,
        lambda known: add_range(known, identity, pipeline.timeframe, stretch, now),
        {"source": identity},
    )
