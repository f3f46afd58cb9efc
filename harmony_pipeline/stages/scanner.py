"""The scanner of a trading day, from daily summaries only."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import polars as pl

from harmony_pipeline.reports import sketches
from harmony_pipeline.reports.figures import scanner_table
from harmony_pipeline.scanner.ranking import ScanResult
from harmony_pipeline.scanner.scan import scan_days
from harmony_pipeline.stages.code_identity import source_of
from harmony_pipeline.stages.market import ALL
from harmony_pipeline.stages.reasons import NO_BARS
from harmony_pipeline.stages.result import StageResult
from harmony_pipeline.stages.unchanged import unchanged_since
from harmony_pipeline.stages.workspace import Workspace

SCAN_TABLES = ("scan_candidates", "scan_selections")


def scan(work: Workspace, days: Sequence[date]) -> StageResult:
    """Candidates and selections of these days, each as known before its own open."""
    if not days:
        return StageResult(rows=dict.fromkeys(SCAN_TABLES, 0), nothing=NO_BARS)
    made_from = _inputs(work, days)
    since = {day: unchanged_since(work, SCAN_TABLES, day.isoformat(), made_from[day]) for day in days}
    due = [day for day in days if since[day] is None]
    found = _scanned(work, due) if due else None
    parts: dict[str, StageResult] = {}
    for number, day in enumerate(days, start=1):
        if found is not None and since[day] is None:
            for table, rows in zip(SCAN_TABLES, (found.candidates, found.selections), strict=True):
                work.lake.write(table, day.isoformat(), rows.filter(pl.col("date") == day), made_from[day])
        parts[day.isoformat()] = _shown(work, day, since[day])
        work.progress("scan", number, len(days))
    pictures = {f"scan of {due[-1]}": scanner_table(work.lake.read("scan_candidates", [due[-1].isoformat()]), instruments=work.instruments)} if due else {}
    return StageResult.of(parts, pictures=pictures)


def _scanned(work: Workspace, days: Sequence[date]) -> ScanResult:
    summary = work.lake.scan("daily_summary").filter(pl.col("date") <= days[-1]).collect(engine="in-memory").sort("symbol", "date")
    universe, actions = work.lake.read("universe"), work.lake.read("corporate_actions")
    return scan_days(summary, universe, actions, list(days), work.settings.scanner, work.calendar)


def _inputs(work: Workspace, days: Sequence[date]) -> dict[date, dict[str, str]]:
    """By day, every summary up to its period, and what the scanner is."""
    known = work.hashes_until("daily_summary", [work.trading_day_start(day + timedelta(days=1)) for day in days])
    reference = {name: work.lake.content_hashes(name, [ALL]) for name in ("universe", "corporate_actions")}
    parts = (work.settings.scanner, source_of(work.settings.scanner.use))
    return {day: work.made_from({"daily_summary": hashes, **reference}, *parts) for day, hashes in zip(days, known, strict=True)}


def _shown(work: Workspace, day: date, since: datetime | None) -> StageResult:
    candidates, selections = (work.lake.read(table, [day.isoformat()]) for table in SCAN_TABLES)
    return StageResult(
        rows={"scan_candidates": candidates.height, "scan_selections": selections.height},
        preview=selections,
        pictures={"gaps, largest first": sketches.bars(candidates["gap"].abs().drop_nulls().sort(descending=True).to_list())},
        nothing="" if candidates.height else f"no symbol is known before the open of {day}",
        notes=[] if selections.height or not candidates.height else [_why_none(candidates)],
        unchanged_since=since,
    )


def _why_none(candidates: pl.DataFrame) -> str:
    reasons = candidates.explode("rejected_by").group_by("rejected_by").len().sort("len", "rejected_by", descending=[True, False])
    return "nothing was picked: " + ", ".join(f"{rule} {count}" for rule, count in reasons.head(4).iter_rows())
