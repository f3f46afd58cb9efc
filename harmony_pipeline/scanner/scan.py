"""The scan of a morning by the scanner that the settings name.

Many days in one pass give the result of each day alone. The scan reads daily summaries only, never
bars.
"""

from collections.abc import Sequence
from datetime import date

import polars as pl

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.scanner.ranking import ScanResult
from harmony_pipeline.scanner.registry import build_scanner
from harmony_pipeline.scanner.settings import ScannerSettings


def scan(
    summary: pl.DataFrame,
    universe: pl.DataFrame,
    actions: pl.DataFrame,
    day: date,
    settings: ScannerSettings,
    calendar: Calendar,
) -> ScanResult:
    """The scan of one session.

    Raises DataError when `day` is no session, and NotReady when `summary` was made for another scan
    time.
    """
    return scan_days(summary, universe, actions, [day], settings, calendar)


def scan_days(
    summary: pl.DataFrame,
    universe: pl.DataFrame,
    actions: pl.DataFrame,
    days: Sequence[date],
    settings: ScannerSettings,
    calendar: Calendar,
) -> ScanResult:
    """The scans of many sessions at once, by the scanner that `settings.use` names.

    `summary` has the rows of DAILY_SUMMARY up to the last day at least; later ones are not used. Of
    a scanned day itself only the premarket columns are used.
    """
    return build_scanner(settings).scan(summary, universe, actions, days, calendar)
