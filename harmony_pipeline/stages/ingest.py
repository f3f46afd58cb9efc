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
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import polars as pl

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.lake.lake import code_version
from harmony_pipeline.log import log
from harmony_pipeline.market.ingest.download_cache import DownloadCache
from harmony_pipeline.market.ingest.row_accounting import account_rows, outside_rows
from harmony_pipeline.market.ingest.source_fingerprints import SourceFingerprints
from harmony_pipeline.market.ingest.versions import WITHDRAWN, Kept, Whole, keep_versions
from harmony_pipeline.market.periods import Period
from harmony_pipeline.market.sources.base import MarketDataSource
from harmony_pipeline.market.sources.file_accounting import FileAccount
from harmony_pipeline.stages.context import PipelineContext, refuse_the_past
from harmony_pipeline.stages.fetched_ranges import ranges_to_fetch, record_fetched
from harmony_pipeline.stages.market_calendar import keep_calendar
from harmony_pipeline.stages.result import StageResult

_FILES_NAMED = 10  # files that are told one by one; the rest are counted
_BATCH_ROWS = 1_000_000  # rows merged at a time: about 200 MB with what is known of them


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
    total = sum(kept.values(), Kept())
    notes += _withdrawals(total.withdrawn)
    notes += _silent_symbols(pipeline, periods)
    notes += keep_calendar(pipeline)
    facts: dict[str, int | None] = {
        "rows received": total.received,
        "new rows": total.new,
        "of these corrections": total.corrected,
        "rows known before (merged)": total.repeated + total.heard,
        "rows given twice": total.repeated,
        "rows known before": total.heard,
        "rows withdrawn": total.withdrawn.total(),
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
        rows={"raw_bars": total.rows},
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


# --- a source over a network ----------------------------------------------------------------------


def _from_network(
    pipeline: PipelineContext,
    periods: Sequence[Period],
    now: datetime,
    notes: list[str],
    *,
    again: bool,
) -> dict[str, Kept]:
    """Fetch the missing stretches request by request, keep them period by period, then record
    them as covered.
    """
    source, timeframe = pipeline.source, pipeline.timeframe
    symbols = list(pipeline.settings.market.symbols) or None
    end = min(periods[-1].end, pipeline.market_close, now)
    stretches = ranges_to_fetch(pipeline, symbols, periods[0].start, end, again=again)
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
        kept[period.key] = keep_versions(
            pipeline.lake, period.key, download.batches(period), now, source.identity
        )
        pipeline.progress("raw bars", number, len(periods))
    record_fetched(pipeline, stretches, now)
    cache.forget(download.files)
    return kept


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
        kept[period.key] = keep_versions(
            pipeline.lake,
            period.key,
            _received(pipeline, symbols, period.start, end, accounts, remarks),
            now,
            pipeline.source.identity,
            _whole(pipeline.source, symbols, period.start, end),
        )
        notes.extend(_record_accounts(pipeline, period, end, kept[period.key], accounts))
        if (found := _fingerprint(pipeline, period, end, symbols)) is not None:
            fingerprints.set(period.key, found)
        notes.extend(remarks)
        pipeline.progress("raw bars", number, len(periods))
    return kept


def _received(
    pipeline: PipelineContext,
    symbols: Sequence[str] | None,
    start: datetime,
    end: datetime,
    accounts: list[FileAccount],
    remarks: list[str],
) -> Iterator[pl.DataFrame]:
    """The rows that a source on this machine has, some symbols at a time where it can; what comes
    with them is added to the lists. Raises DataError for a file whose rows may not be kept.
    """
    source, timeframe = pipeline.source, pipeline.timeframe
    for result in (
        source.read_batches(start, end, timeframe, _BATCH_ROWS)
        if symbols is None
        else [source.read_bars(symbols, start, end, timeframe)]
    ):
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


def _withdrawals(total: Counter[str]) -> list[str]:
    """A sentence for each file that gave rows which are there no more; `total` counts them."""
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
