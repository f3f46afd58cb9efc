"""Validated bars, corporate actions, the universe and the daily summary; `stages/ingest.py` has the
raw bars before them.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import chain

import polars as pl

from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.lake.row_groups import alphabet_ranges
from harmony_pipeline.market.daily_summary import READ, summarise
from harmony_pipeline.market.ingest.revision_report import Changes, compare_bars, merge_changes
from harmony_pipeline.market.listings import listings_from_universe
from harmony_pipeline.market.periods import Period
from harmony_pipeline.market.universe import add_snapshot
from harmony_pipeline.market.validation import symbol_state
from harmony_pipeline.market.validation.symbol_state import match_symbols
from harmony_pipeline.market.validation.validate import Validated, validate_each
from harmony_pipeline.stages.context import PipelineContext, refuse_the_past
from harmony_pipeline.stages.result import StageResult, latest_of_all
from harmony_pipeline.stages.unchanged import unchanged_since

ALL = "all"  # the one partition of tables that are not partitioned
_NAMED = 10  # symbols that are told one by one; the rest are counted
_JUDGED = ("bar_state", "quality_warnings", "quarantine", "bars")
# rows that are worked on at a time, about 140 MB; up to four such batches are in memory
BATCH_ROWS = 800_000


def corporate_actions(pipeline: PipelineContext) -> StageResult:
    """Splits and cash dividends of every symbol by ex-date, as the source knows them."""
    refuse_the_past(pipeline)
    wanted = list(pipeline.settings.market.symbols)
    # a file may write them in other letters
    asked = wanted if pipeline.source.capabilities.remote else []
    actions, notes = match_symbols(
        pipeline.source.corporate_actions(asked or None), wanted or sorted(_symbols_seen(pipeline))
    )
    actions = actions.filter(pl.col("symbol").is_in(wanted)) if wanted else actions
    pipeline.lake.write(
        "corporate_actions", ALL, actions, {"source": pipeline.settings.market.source}
    )
    kinds = dict(actions.group_by("kind").len().sort("kind").iter_rows())
    return StageResult(
        rows={"corporate_actions": actions.height},
        facts=kinds,
        preview=actions.tail(8),
        notes=notes,
    )


def universe(pipeline: PipelineContext) -> StageResult:
    """Who was listed when, with float and sector where the source has them."""
    refuse_the_past(pipeline)
    rows, made_from = pipeline.source.universe(), {"source": pipeline.settings.market.source}
    manifest = pipeline.lake.manifest("universe", ALL)
    if (
        pipeline.source.capabilities.universe_of_today
        and manifest
        and manifest["made_from"] == made_from
    ):
        rows = add_snapshot(pipeline.lake.read("universe"), rows)
    pipeline.lake.write("universe", ALL, rows, made_from)
    return StageResult(rows={"universe": rows.height}, preview=rows.tail(8))


def listings(pipeline: PipelineContext) -> StageResult:
    """Which security traded under which symbol when: as the source tells it, else as its universe
    implies.
    """
    refuse_the_past(pipeline)
    source, table = pipeline.source, pipeline.lake.tables["listings"]
    rows = (
        source.listings()
        if source.capabilities.listings
        else listings_from_universe(pipeline.lake.read("universe"), source.name)
    )
    pipeline.lake.write(
        "listings", ALL, table.conform(rows), {"source": pipeline.settings.market.source}
    )
    reasons = dict(rows.group_by("reason").len().sort("reason").iter_rows())
    return StageResult(rows={"listings": rows.height}, facts=reasons, preview=rows.tail(8))


def bars(pipeline: PipelineContext, periods: Sequence[Period]) -> StageResult:
    """Validated, de-duplicated, session-aware bars. What breaks a rule goes to quarantine with its
    reason, what is merely odd is listed beside the bars.

    A period whose inputs, settings and code are those of last time is left as it is.
    """
    (actions, told), done = _fitted_actions(pipeline, periods), dict[str, _Validation]()
    for number, period in enumerate(periods, start=1):
        done[period.key] = _validated(pipeline, period, actions)
        pipeline.progress("bars", number, len(periods))
    totals = {
        name: sum(one.rows[name] for one in done.values())
        for name in ("raw_bars", "bars", "quarantine", "warnings")
    }
    facts = Counter[str]()
    for one in done.values():
        facts.update(one.facts)
    return StageResult(
        rows=totals,
        facts=dict(sorted(facts.items())),
        preview=pl.concat(one.refused for one in done.values()).head(20) if done else None,
        notes=list(
            dict.fromkeys(
                [
                    *told,
                    *(note for one in done.values() for note in one.notes),
                    *_without_volume(pipeline, periods),
                ]
            )
        ),
        partitions={key: dict(one.rows) for key, one in done.items()},
        unchanged_since=latest_of_all([one.since for one in done.values()]),
    )


@dataclass(frozen=True)
class _Validation:
    """What one period had to show: rows by table, rows by rule, sentences, the first refused rows,
    and since when it is unchanged.
    """

    rows: Counter[str]
    facts: Counter[str]
    notes: list[str]
    refused: pl.DataFrame
    since: datetime | None = None


def _validated(pipeline: PipelineContext, period: Period, actions: pl.DataFrame) -> _Validation:
    """Judge a period some symbols at a time: memory holds a batch of raw rows and what comes of it,
    however many symbols there are.
    """
    lake, earlier, market = pipeline.lake, _last_state(pipeline, period), pipeline.settings.market
    made_from = pipeline.made_from(
        {"raw_bars": [period.key], "corporate_actions": [ALL], "bar_state": earlier},
        market,
        pipeline.calendar.grid.text,
    )
    if since := unchanged_since(pipeline, _JUDGED, period.key, made_from):
        return replace(_validated_before(pipeline, period.key), since=since)
    known, rebuilt = lake.read("bar_state", earlier), lake.has("bars", period.key)
    done: list[_Validation] = []
    moved: list[Changes] = []
    batches = raw_batches(lake, period.key)
    first = next(batches, lake.tables["raw_bars"].empty())
    # closes, and so publishes, the last one first: bars before what lies beside them
    with ExitStack() as stack:
        out = {
            table: stack.enter_context(lake.writing(table, period.key, made_from))
            for table in _JUDGED
        }
        ranges = (
            (symbols, raw, known.filter(symbols))
            for raw, symbols in alphabet_ranges(chain([first], batches))
        )
        for symbols, result in validate_each(
            ranges, actions, pipeline.calendar, pipeline.timeframe, market
        ):
            if rebuilt:
                before = lake.scan("bars", [period.key]).filter(symbols)
                moved.append(compare_bars(before.collect(engine="in-memory"), result.bars))
            for table, frame in (
                ("bars", result.bars),
                ("quarantine", result.quarantine),
                ("quality_warnings", result.warnings),
                ("bar_state", result.after),
            ):
                out[table].append(frame)
            done.append(_batch_outcome(result))
    return _merge_outcomes(done, merge_changes(moved).sentences(period.key))


def _batch_outcome(result: Validated) -> _Validation:
    """What one batch of symbols had to show."""
    return _Validation(
        Counter(
            raw_bars=result.counts["rows_raw"],
            bars=result.bars.height,
            quarantine=result.quarantine.height,
            warnings=result.warnings.height,
        ),
        _rule_facts(result.counts["rules"], result.counts["warnings"]),
        [str(note) for note in result.counts["notes"]],
        result.quarantine.head(5),
    )


def _merge_outcomes(batches: Sequence[_Validation], changes: list[str]) -> _Validation:
    """What the batches of a period had to show together, after what changed in its bars."""
    rows, facts = Counter[str](raw_bars=0, bars=0, quarantine=0, warnings=0), Counter[str]()
    for batch in batches:
        rows.update(batch.rows)
        facts.update(batch.facts)
    notes = [*changes, *(note for batch in batches for note in batch.notes)]
    refused = pl.concat(batch.refused for batch in batches).head(5)
    return _Validation(rows, facts, list(dict.fromkeys(notes)), refused)


def _rule_facts(refused: Mapping[str, int], warned: Mapping[str, int]) -> Counter[str]:
    """Rows by the rule that refused them or warned of them, in words."""
    facts = {f"quarantined by {rule}": rows for rule, rows in refused.items()}
    return Counter(facts | {f"warned of by {rule}": rows for rule, rows in warned.items()})


def raw_batches(lake: Lake, key: str) -> Iterator[pl.DataFrame]:
    """A period's raw rows by whole symbols, in an even number of even batches, since two are judged
    side by side.
    """
    rows = int((lake.manifest("raw_bars", key) or {"rows": 0})["rows"])
    pairs = max(1, round(rows / (2 * BATCH_ROWS)))
    return lake.batches("raw_bars", key, max(1, math.ceil(rows / (2 * pairs))))


def _fitted_actions(
    pipeline: PipelineContext, periods: Sequence[Period]
) -> tuple[pl.DataFrame, list[str]]:
    """The corporate actions under the symbols that the bars have; where that changes them, the
    table is written so that everybody reads the same.
    """
    actions = pipeline.lake.read("corporate_actions")
    symbols = _symbols_seen(pipeline)
    if set(actions["symbol"]) - symbols:
        rows = pipeline.lake.scan("raw_bars", [period.key for period in periods]).select(
            pl.col("symbol").unique()
        )
        symbols |= set(rows.collect(engine="in-memory")["symbol"])
    right, notes = match_symbols(actions, sorted(symbols))
    if notes:
        pipeline.lake.write(
            "corporate_actions", ALL, right, {"source": pipeline.settings.market.source}
        )
    return right, notes


def _symbols_seen(pipeline: PipelineContext) -> set[str]:
    """Every symbol that ever had a bar."""
    return set(
        pipeline.lake.read("bar_state", pipeline.lake.partitions("bar_state")[-1:])["symbol"]
    )


def _without_volume(pipeline: PipelineContext, periods: Sequence[Period]) -> list[str]:
    """One sentence about all the symbols that never had a volume."""
    rule = pipeline.settings.market.quality.severity("zero_volume", "warn")
    if rule != "warn" or not periods:
        return []
    state = pipeline.lake.read("bar_state", [periods[-1].key]).filter(
        pl.col("state").list.len() == symbol_state.WIDTH
    )
    bars, idle = (
        pl.col("state").list.get(slot) for slot in (symbol_state.BARS, symbol_state.IDLE_BARS)
    )
    silent = state.filter((bars > 0.0) & (bars == idle))["symbol"].to_list()
    if not silent:
        return []
    shown = ", ".join(silent[:_NAMED]) + (
        f" and {len(silent) - _NAMED} more" if silent[_NAMED:] else ""
    )
    what = "features and limits of volume say nothing there (docs/quality.md)"
    return [f"no_volume: no bar of {shown} has a volume: {what}"]


def _validated_before(pipeline: PipelineContext, key: str) -> _Validation:
    """What a period had to show that was left as it is."""
    lake = pipeline.lake
    quarantine, warnings = lake.read("quarantine", [key]), lake.read("quality_warnings", [key])
    heights = {
        table: int((lake.manifest(table, key) or {})["rows"]) for table in ("raw_bars", "bars")
    }
    refused, warned = (
        dict(table.group_by("rule").len().iter_rows()) for table in (quarantine, warnings)
    )
    return _Validation(
        Counter(heights | {"quarantine": quarantine.height, "warnings": warnings.height}),
        _rule_facts(refused, warned),
        [],
        quarantine.head(5),
    )


def _last_state(pipeline: PipelineContext, period: Period) -> list[str]:
    """The newest partition of bar_state before `period`: it knows every symbol ever seen until
    then, so that no earlier bar is read.
    """
    return [
        key
        for key in pipeline.lake.partitions("bar_state")
        if pipeline.trading_period(key).end <= period.start
    ][-1:]


def daily_summary(pipeline: PipelineContext, periods: Sequence[Period]) -> StageResult:
    """One row a symbol and session, so that scans and universe studies never touch minute bars."""
    counts: dict[str, dict[str, int]] = {}
    dates: list[datetime | None] = []
    summary = pl.DataFrame()
    for number, period in enumerate(periods, start=1):
        made_from = pipeline.made_from(
            {"bars": [period.key]}, pipeline.settings.scanner.as_of, pipeline.calendar.grid.text
        )
        dates.append(unchanged_since(pipeline, ("daily_summary",), period.key, made_from))
        if dates[-1]:
            summary = pipeline.lake.read("daily_summary", [period.key])
        else:
            # whole symbols, so that a month of thousands of them needs no more memory
            batches = pipeline.lake.batches("bars", period.key, BATCH_ROWS, READ)
            parts = [
                summarise(
                    rows, pipeline.calendar, pipeline.timeframe, pipeline.settings.scanner.as_of
                )
                for rows in batches
            ]
            summary = pl.concat([pipeline.lake.tables["daily_summary"].empty(), *parts])
            pipeline.lake.write("daily_summary", period.key, summary, made_from)
        pipeline.progress("daily summary", number, len(periods))
        counts[period.key] = {"daily_summary": summary.height}
    return StageResult(
        rows={"daily_summary": sum(c["daily_summary"] for c in counts.values())},
        preview=summary.tail(8),
        partitions=counts,
        unchanged_since=latest_of_all(dates),
    )


def latest_period_with_bars(pipeline: PipelineContext) -> Period | None:
    """The newest trading period that has bars."""
    keys = [
        key
        for key in pipeline.lake.partitions("bars")
        if pipeline.lake.manifest("bars", key)["rows"]  # type: ignore[index]
    ]
    return pipeline.trading_period(keys[-1]) if keys else None


def sessions_with_bars(pipeline: PipelineContext) -> list[date]:
    """Trading days that have bars, oldest first."""
    days = (
        pipeline.lake.scan("daily_summary")
        .select("date")
        .unique()
        .sort("date")
        .collect(engine="in-memory")
    )
    return days["date"].to_list()
