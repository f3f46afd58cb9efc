"""The scan of a morning: measure every symbol, let the scanner judge, rank what passed.

Candidates hold every symbol with every measure and every reason; selections are the candidates without a reason, by
score, equal scores by symbol. Many days in one pass give what each day gives alone, and the scan reads daily summaries only, never bars.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from harmony_pipeline.errors import DataError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.scanner.base import Scanner
from harmony_pipeline.scanner.measures import measure
from harmony_pipeline.scanner.registry import build_scanner
from harmony_pipeline.scanner.settings import ScannerSettings
from harmony_pipeline.schemas import SCAN_CANDIDATES, SCAN_SELECTIONS


@dataclass(frozen=True)
class ScanResult:
    """candidates: columns of SCAN_CANDIDATES, sorted by date and symbol; selections: of SCAN_SELECTIONS, by date and rank (from 1)."""

    candidates: pl.DataFrame
    selections: pl.DataFrame

    def of(self, day: date) -> "ScanResult":
        """The result of one day."""
        return ScanResult(*(table.filter(pl.col("date") == day) for table in (self.candidates, self.selections)))


def scan(summary: pl.DataFrame, universe: pl.DataFrame, actions: pl.DataFrame, day: date, settings: ScannerSettings, calendar: Calendar) -> ScanResult:
    """The scan of one session. Raises DataError when `day` is none, NotReady when `summary` was made for another scan time."""
    return scan_days(summary, universe, actions, [day], settings, calendar)


def scan_days(
    summary: pl.DataFrame, universe: pl.DataFrame, actions: pl.DataFrame, days: Sequence[date], settings: ScannerSettings, calendar: Calendar
) -> ScanResult:
    """The scans of many sessions at once, by the scanner that `settings.use` names.

    `summary` has the rows of DAILY_SUMMARY up to the last day at least; later ones are not looked at. Of a scanned day itself
    only the premarket columns are used.
    """
    return scan_with(build_scanner(settings), summary, universe, actions, days, calendar)


def scan_with(scanner: Scanner, summary: pl.DataFrame, universe: pl.DataFrame, actions: pl.DataFrame, days: Sequence[date], calendar: Calendar) -> ScanResult:
    """The same with a scanner in hand."""
    measures = measure(summary, universe, actions, days, calendar, scanner.settings.as_of)
    judged = scanner.judge(measures)
    _check(scanner, measures, judged)
    return _ranked(judged, scanner.settings.maximum_selections)


def _check(scanner: Scanner, measures: pl.DataFrame, judged: pl.DataFrame) -> None:
    """A scanner may add rows (names that nothing knows), and may not lose any."""
    if measures.select("date", "symbol").equals(judged.select("date", "symbol")):
        return
    lost = measures.select("date", "symbol").join(judged, on=["date", "symbol"], how="anti")
    if lost.height or judged.select("date", "symbol").is_duplicated().any():
        raise DataError(f"{type(scanner).__name__}.judge must return each candidate once, and lost or doubled some: reject by rejected_by, do not filter")


def _ranked(judged: pl.DataFrame, most: int) -> ScanResult:
    """Ranks by score within each day; an unknown score is the reason `rank_by`, a rank beyond `most` the reason `rank_limit`."""
    score = pl.when(pl.col("score").is_finite()).then("score").alias("score")
    rows = judged.with_columns(score).sort("date", "symbol", maintain_order=True).with_row_index("row")
    unbroken = rows.filter(pl.col("rejected_by").list.len() == 0).select("row", "date", "score", "symbol")
    unknown = unbroken.filter(pl.col("score").is_null())
    ranked = unbroken.filter(pl.col("score").is_not_null()).sort(["date", "score", "symbol"], descending=[False, True, False])
    ranked = ranked.with_columns(rank=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("date"))
    beyond, chosen = ranked.filter(pl.col("rank") > most), ranked.filter(pl.col("rank") <= most)
    # Few rows pass every filter, so only these are ranked, and only these are told one reason more.
    rows = _told(_told(rows, unknown["row"], "rank_by"), beyond["row"], "rank_limit")
    rows = rows.with_columns(passed=pl.col("row").is_in(chosen["row"].implode()))
    selections = rows.select("row", "as_of").join(chosen, on="row", how="inner")
    return ScanResult(SCAN_CANDIDATES.conform(rows), SCAN_SELECTIONS.conform(selections))


def _told(rows: pl.DataFrame, which: pl.Series, reason: str) -> pl.DataFrame:
    """`rows` with `reason` as the one reason of the rows in places `which`."""
    if not len(which):
        return rows
    return rows.with_columns(pl.when(pl.col("row").is_in(which.implode())).then(pl.lit([reason])).otherwise("rejected_by").alias("rejected_by"))
