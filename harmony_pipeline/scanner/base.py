"""The interface of a scanner: it selects symbols and gives a reason for every other one.

An implementation is one class that takes ScannerSettings, named by `scanner.use`. Obligations:
- `judge` receives only the measures of `measures.py`, so it cannot use anything later than the
  scan time.
- It adds `score` and `rejected_by`, keeps every row, and judges each day as if it were alone.
- An exclusion is a reason in `rejected_by`, never a missing row and never an exception.

Ranking, `rank_limit` and the selections are the same for all scanners (`ranking.py`).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.scanner.measures import measure
from harmony_pipeline.scanner.ranking import ScanResult, rank_candidates, refuse_lost_rows
from harmony_pipeline.scanner.settings import ScannerSettings


@dataclass(frozen=True, eq=False)
class ScanInputs:
    """The inputs of one morning's scan, with the columns of DAILY_SUMMARY, UNIVERSE and
    CORPORATE_ACTIONS.
    """

    summary: pl.DataFrame
    universe: pl.DataFrame
    actions: pl.DataFrame
    day: date
    calendar: Calendar


class Scanner(ABC):
    """Base class. Subclasses supply `judge`; a session calls `update` and `active_symbols`."""

    def __init__(self, settings: ScannerSettings) -> None:
        self.settings = settings
        self._active: tuple[str, ...] = ()

    @abstractmethod
    def judge(self, measures: pl.DataFrame) -> pl.DataFrame:
        """`measures` of one or more days with two more columns.

        score is Float64, null when unknown. rejected_by is a list of rule names.
        """

    def scan(
        self,
        summary: pl.DataFrame,
        universe: pl.DataFrame,
        actions: pl.DataFrame,
        days: Sequence[date],
        calendar: Calendar,
    ) -> ScanResult:
        """Measure every symbol on these days, judge, and rank what passed."""
        measures = measure(summary, universe, actions, days, calendar, self.settings.as_of)
        verdicts = self.judge(measures)
        refuse_lost_rows(type(self).__name__, measures, verdicts)
        return rank_candidates(verdicts, self.settings.maximum_selections)

    def update(self, inputs: ScanInputs) -> ScanResult:
        """Scan one morning and make its selections the active symbols."""
        result = self.scan(
            inputs.summary, inputs.universe, inputs.actions, [inputs.day], inputs.calendar
        )
        self._active = tuple(result.selections["symbol"])
        return result

    def active_symbols(self) -> tuple[str, ...]:
        """The symbols of the latest update, best first; empty before the first."""
        return self._active
