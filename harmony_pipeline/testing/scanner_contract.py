"""The obligations of a `Scanner` as tests: a test class of a new scanner inherits them and makes
the scanner.

    class TestMyScanner(ScannerContract):
        def scanner(self):
            return MyScanner(ScannerSettings(...))

The market is invented: eight symbols over fifty sessions with gaps, a split, a late listing, a
delisting and mornings without trades. The settings must select something in it:
`maximum_selections` at least 2, symbols AA to HH.
"""

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import polars as pl
from polars.testing import assert_frame_equal

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.scanner.base import ScanInputs, Scanner
from harmony_pipeline.scanner.ranking import ScanResult
from harmony_pipeline.schemas import (
    CORPORATE_ACTIONS,
    DAILY_SUMMARY,
    SCAN_CANDIDATES,
    SCAN_SELECTIONS,
    UNIVERSE,
)

CALENDAR = Calendar.of("XNYS")
SESSIONS = CALENDAR.sessions(date(2024, 1, 2), date(2024, 3, 14))[:50]
SYMBOLS = ("AA", "BB", "CC", "DD", "EE", "FF", "GG", "HH")
# lists on session 20, leaves after session 30, splits 2 for 1 on session 25
LATE, GONE, SPLIT = "DD", "EE", "BB"
# What is known of a scanned day itself; everything else in its row is the future.
KNOWN_EARLY = (
    "symbol",
    "date",
    "scan_time",
    "premarket_volume",
    "premarket_high",
    "premarket_low",
    "premarket_last",
    "premarket_bars",
)


def made_up_market(seed: int = 5) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """(summary, universe, actions)."""
    generator = np.random.default_rng(seed)
    rows = []
    for symbol in SYMBOLS:
        close = 20.0
        for number, day in enumerate(SESSIONS):
            if (
                (symbol == LATE and number < 20)
                or (symbol == GONE and number > 30)
                or generator.random() < 0.03
            ):
                continue
            close *= (0.5 if symbol == SPLIT and number == 25 else 1.0) * float(
                np.exp(generator.normal(0.0, 0.03))
            )
            early = int(generator.random() < 0.8) * int(generator.integers(1, 9))
            rows.append(_row(symbol, day, round(close, 2), early, generator))
    summary = DAILY_SUMMARY.conform(pl.DataFrame(rows))
    listing = [
        {
            "date": SESSIONS[20 if symbol == LATE else 0],
            "symbol": symbol,
            "listed": SESSIONS[20] if symbol == LATE else date(2010, 1, 4),
            "delisted": None,
            "float": 1e6 * (place + 1),
            "market_cap": 1e8,
            "sector": "Technology",
        }
        for place, symbol in enumerate(SYMBOLS)
    ]
    gone = {**listing[SYMBOLS.index(GONE)], "date": SESSIONS[26], "delisted": SESSIONS[31]}
    universe = UNIVERSE.conform(
        pl.DataFrame([*listing, gone], schema_overrides={"delisted": pl.Date})
    )
    actions = CORPORATE_ACTIONS.conform(
        pl.DataFrame({"symbol": [SPLIT], "date": [SESSIONS[25]], "kind": ["split"], "value": [2.0]})
    )
    return summary, universe, actions


def _row(
    symbol: str, day: date, close: float, early: int, generator: np.random.Generator
) -> dict[str, Any]:
    last = round(close * float(np.exp(generator.normal(0.0, 0.02))), 2) if early else None
    open_at = datetime.combine(day, datetime.min.time(), UTC)
    return {
        "symbol": symbol, "date": day, "open": close, "high": close * 1.01, "low": close * 0.99,
        "close": close, "volume": float(generator.integers(1_000, 900_000)),
        "bars": 26 + early, "regular_bars": 26, "expected_regular_bars": 26,
        "last_timestamp": open_at, "adjustment_factor": 1.0,
        "premarket_volume": float(generator.integers(100, 50_000)) if early else 0.0,
        "premarket_high": last, "premarket_low": last,
        "premarket_last": last, "premarket_bars": early,
        "scan_time": CALENDAR.session_open(day).replace(minute=25), "postmarket_volume": 0.0,
    }  # fmt: skip


class ScannerContract:
    """Tests that every scanner must pass; each is a sentence of the obligations."""

    days = tuple(SESSIONS[10:])

    def scanner(self) -> Scanner:
        """A fresh scanner with the settings under test."""
        raise NotImplementedError

    def _scan(self, summary: pl.DataFrame, days: tuple[date, ...]) -> ScanResult:
        _, universe, actions = made_up_market()
        return self.scanner().scan(summary, universe, actions, days, CALENDAR)

    def test_tables_have_their_columns_and_order(self) -> None:
        found = self._scan(made_up_market()[0], self.days)
        assert dict(found.candidates.schema) == SCAN_CANDIDATES.dtypes
        assert dict(found.selections.schema) == SCAN_SELECTIONS.dtypes
        assert_frame_equal(found.candidates, found.candidates.sort("date", "symbol"))
        assert_frame_equal(found.selections, found.selections.sort("date", "rank"))

    def test_it_selects_something(self) -> None:
        assert self._scan(made_up_market()[0], self.days).selections.height > 0

    def test_every_symbol_is_a_candidate_with_its_reasons(self) -> None:
        found = self._scan(made_up_market()[0], self.days).candidates
        assert found.filter(pl.col("date") == self.days[-1])["symbol"].to_list() == list(SYMBOLS)
        assert found.filter(pl.col("passed") == (pl.col("rejected_by").list.len() > 0)).height == 0

    def test_selections_are_the_passed_candidates_ranked_by_score_and_symbol(self) -> None:
        found = self._scan(made_up_market()[0], self.days)
        passed = found.candidates.filter("passed").sort(
            ["date", "score", "symbol"], descending=[False, True, False]
        )
        assert passed.select("date", "symbol", "score").equals(
            found.selections.select("date", "symbol", "score")
        )
        for (_,), day in found.selections.group_by("date"):
            assert day["rank"].to_list() == list(range(1, day.height + 1))
            assert day.height <= self.scanner().settings.maximum_selections

    def test_what_the_day_and_later_days_bring_changes_nothing(self) -> None:
        summary = made_up_market()[0]
        for day in (self.days[0], self.days[17], self.days[-1]):
            from_the_day = pl.col("date") >= day
            numbers = [
                name
                for name, dtype in summary.schema.items()
                if dtype.is_numeric() and name not in KNOWN_EARLY
            ]
            early = [
                name
                for name, dtype in summary.schema.items()
                if dtype.is_numeric() and name in KNOWN_EARLY
            ]
            other = summary.with_columns(
                pl.when(from_the_day)
                .then(pl.col(name) * 3 + 1)
                .otherwise(pl.col(name))
                .cast(summary.schema[name])
                for name in numbers
            )
            later = pl.col("date") > day
            other = other.with_columns(
                pl.when(later)
                .then(pl.col(name) * 5 + 2)
                .otherwise(pl.col(name))
                .cast(summary.schema[name])
                for name in early
            )
            unseen = (pl.col("date") == day) & (pl.col("premarket_bars") == 0)
            for changed in (other, summary.filter(pl.col("date") <= day), summary.filter(~unseen)):
                ours, theirs = self._scan(summary, (day,)), self._scan(changed, (day,))
                assert_frame_equal(ours.candidates, theirs.candidates, check_exact=True)
                assert_frame_equal(ours.selections, theirs.selections, check_exact=True)

    def test_many_days_at_once_are_the_days_one_by_one(self) -> None:
        summary = made_up_market()[0]
        together = self._scan(summary, self.days)
        for day in self.days[::7]:
            alone = self._scan(summary, (day,))
            assert_frame_equal(together.of(day).candidates, alone.candidates, check_exact=True)
            assert_frame_equal(together.of(day).selections, alone.selections, check_exact=True)

    def test_a_symbol_that_is_not_listed_is_never_selected(self) -> None:
        chosen = self._scan(made_up_market()[0], tuple(SESSIONS)).selections
        assert (
            chosen.filter((pl.col("symbol") == LATE) & (pl.col("date") < SESSIONS[20])).height == 0
        )
        assert (
            chosen.filter((pl.col("symbol") == GONE) & (pl.col("date") > SESSIONS[30])).height == 0
        )

    def test_an_empty_lake_gives_empty_tables_or_known_names_only(self) -> None:
        found = self.scanner().scan(
            DAILY_SUMMARY.empty(),
            UNIVERSE.empty(),
            CORPORATE_ACTIONS.empty(),
            [SESSIONS[0]],
            CALENDAR,
        )
        assert found.selections.height == 0

    def test_update_makes_the_selections_the_active_symbols(self) -> None:
        scanner, (summary, universe, actions) = self.scanner(), made_up_market()
        assert scanner.active_symbols() == ()
        result = scanner.update(ScanInputs(summary, universe, actions, self.days[3], CALENDAR))
        assert scanner.active_symbols() == tuple(result.selections["symbol"])
