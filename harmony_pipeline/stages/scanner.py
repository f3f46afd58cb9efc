"""The scanner of a trading day, from daily summaries only."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import polars as pl

from harmony_pipeline.market.instruments import Instruments
from harmony_pipeline.reports import sketches
from harmony_pipeline.reports.drawings import Drawing
from harmony_pipeline.reports.figures import scanner_table
from harmony_pipeline.scanner.ranking import ScanResult
from harmony_pipeline.scanner.registry import build_scanner
from harmony_pipeline.stages.code_identity import source_of
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.market import ALL
from harmony_pipeline.stages.reasons import NO_BARS
from harmony_pipeline.stages.result import StageResult
from harmony_pipeline.stages.unchanged import unchanged_since

_MOST_DRAWN = 20  # symbols in the picture
SCAN_TABLES = ("scan_candidates", "scan_selections")


def scan(pipeline: PipelineContext, days: Sequence[date]) -> StageResult:
    """Candidates and selections of these days, each as known before its own open."""
    if not days:
        return StageResult(rows=dict.fromkeys(SCAN_TABLES, 0), nothing=NO_BARS)
    made_from = _inputs(pipeline, days)
    since = {
        day: unchanged_since(pipeline, SCAN_TABLES, day.isoformat(), made_from[day]) for day in days
    }
    due = [day for day in days if since[day] is None]
    found = _scanned(pipeline, due) if due else None
    parts: dict[str, StageResult] = {}
    for number, day in enumerate(days, start=1):
        if found is not None and since[day] is None:
            for table, rows in zip(SCAN_TABLES, (found.candidates, found.selections), strict=True):
                pipeline.lake.write(
                    table, day.isoformat(), rows.filter(pl.col("date") == day), made_from[day]
                )
        parts[day.isoformat()] = _shown(pipeline, day, since[day])
        pipeline.progress("scan", number, len(days))
    pictures = (
        {f"scan of {due[-1]}": Drawing(scanner_table, lambda: _looked_at(pipeline, due[-1]))}
        if due
        else {}
    )
    return StageResult.of(parts, pictures=pictures)


def _looked_at(pipeline: PipelineContext, day: date) -> tuple[pl.DataFrame, None, int, Instruments]:
    """What `scanner_table` draws of a day."""
    candidates = pipeline.lake.read("scan_candidates", [day.isoformat()])
    return candidates, None, _MOST_DRAWN, pipeline.instruments.only(candidates["symbol"])


def _scanned(pipeline: PipelineContext, days: Sequence[date]) -> ScanResult:
    summary = (
        pipeline.lake.scan("daily_summary")
        .filter(pl.col("date") <= days[-1])
        .collect(engine="in-memory")
        .sort("symbol", "date")
    )
    universe, actions = pipeline.lake.read("universe"), pipeline.lake.read("corporate_actions")
    scanner = build_scanner(pipeline.settings.scanner)
    return scanner.scan(summary, universe, actions, list(days), pipeline.calendar)


def _inputs(pipeline: PipelineContext, days: Sequence[date]) -> dict[date, dict[str, str]]:
    """By day, every summary up to its period, and what the scanner is."""
    known = pipeline.hashes_until(
        "daily_summary", [pipeline.trading_day_start(day + timedelta(days=1)) for day in days]
    )
    reference = {
        name: pipeline.lake.content_hashes(name, [ALL])
        for name in ("universe", "corporate_actions")
    }
    parts = (pipeline.settings.scanner, source_of(pipeline.settings.scanner.use))
    return {
        day: pipeline.made_from({"daily_summary": hashes, **reference}, *parts)
        for day, hashes in zip(days, known, strict=True)
    }


def _shown(pipeline: PipelineContext, day: date, since: datetime | None) -> StageResult:
    candidates, selections = (pipeline.lake.read(table, [day.isoformat()]) for table in SCAN_TABLES)
    return StageResult(
        rows={"scan_candidates": candidates.height, "scan_selections": selections.height},
        preview=selections,
        pictures={
            "gaps, largest first": sketches.bars(
                candidates["gap"].abs().drop_nulls().sort(descending=True).to_list()
            )
        },
        nothing="" if candidates.height else f"no symbol is known before the open of {day}",
        notes=[] if selections.height or not candidates.height else [_why_none(candidates)],
        unchanged_since=since,
    )


def _why_none(candidates: pl.DataFrame) -> str:
    reasons = (
        candidates.explode("rejected_by")
        .group_by("rejected_by")
        .len()
        .sort("len", "rejected_by", descending=[True, False])
    )
    return "nothing was picked: " + ", ".join(
        f"{rule} {count}" for rule, count in reasons.head(4).iter_rows()
    )
