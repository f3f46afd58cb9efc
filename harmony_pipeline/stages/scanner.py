"""The scanner of a trading day, from daily summaries only."""

from collections.abc import Sequence
from datetime import date

import polars as pl

from harmony_pipeline.reports.figures import scanner_table
from harmony_pipeline.scanner.scan import scan_days
from harmony_pipeline.stages.market import ALL
from harmony_pipeline.stages.result import StageResult
from harmony_pipeline.stages.workspace import Workspace


def scan(work: Workspace, days: Sequence[date]) -> StageResult:
    """Candidates and selections of these days, each as known before its own open."""
    summary = work.lake.scan("daily_summary").filter(pl.col("date") <= days[-1]).collect(engine="in-memory").sort("symbol", "date")
    universe, actions = work.lake.read("universe"), work.lake.read("corporate_actions")
    found = scan_days(summary, universe, actions, list(days), work.settings.scanner, work.calendar)
    made_from = work.made_from({"daily_summary": work.lake.partitions("daily_summary"), "universe": [ALL]}, work.settings.scanner)
    picked = 0
    for number, day in enumerate(days, start=1):
        candidates, selections = (table.filter(pl.col("date") == day) for table in (found.candidates, found.selections))
        work.lake.write("scan_candidates", day.isoformat(), candidates, made_from)
        work.lake.write("scan_selections", day.isoformat(), selections, made_from)
        picked += selections.height
        work.progress("scan", number, len(days))
    last = found.candidates.filter(pl.col("date") == days[-1])
    return StageResult(
        rows={"scan_candidates": found.candidates.height, "scan_selections": picked},
        preview=found.selections.filter(pl.col("date") == days[-1]),
        pictures={f"scan of {days[-1]}": scanner_table(last)},
    )
