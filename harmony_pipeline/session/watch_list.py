"""Which symbols a session may enter, as the scanner's selections change during the day.

Every symbol that a scan of the day may pick belongs to the plan: its bars are heard and its
features folded from the first bar on, so that a symbol that is started decides with all of its
history and nothing later. What the latest scan does not select takes no side: nothing is entered, a
bracket goes on, and a position that follows its strategy's signals is left.

After the day's last scan, a symbol that is neither selected nor held can matter no more: its bars
are left out from then on, and a live stream is told to bring them no longer.

A selection holds for bars that end at its moment or later. The session applies it bar by bar
(`WatchList`), the backtest of its day all at once (`is_watched`): the same scans over the same
bars.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from harmony_pipeline.schemas import REAL, TEXT, TIME
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.session.stream import COLUMNS, Batch, SessionBar
from harmony_pipeline.strategies.base import Stepwise

_SCHEMA = {
    "symbol": TEXT, "timestamp": TIME, "bar_end": TIME, "session_date": pl.Date(), "session": TEXT,
    **dict.fromkeys(("open", "high", "low", "close", "volume", "adjustment_factor"), REAL),
}  # fmt: skip


@dataclass(frozen=True)
class WatchChange:
    """What a scan changed: symbols that may be entered from `at` on, and that may not any more."""

    at: datetime
    started: tuple[str, ...]
    stopped: tuple[str, ...]


class WatchList:
    """Follows the day. One owner."""

    def __init__(self, plan: SessionPlan) -> None:
        self._scans = list(plan.scans)
        self._bars: list[SessionBar] = []
        self._chosen = None if plan.selected is None else frozenset(plan.selected)

    def hear(self, batch: Batch) -> Iterator[WatchChange]:
        """Take the batch in, and scan what has come due."""
        if not self._scans:
            return
        self._bars.extend(batch.bars)
        while self._scans and batch.end >= self._scans[0].at:
            scan = self._scans.pop(0)
            before, now = self._chosen or frozenset(), frozenset(scan.select(_frame(self._bars)))
            self._chosen = now
            yield WatchChange(scan.at, tuple(sorted(now - before)), tuple(sorted(before - now)))

    @property
    def chosen(self) -> frozenset[str] | None:
        """The symbols that may be entered now; None: all."""
        return self._chosen

    @property
    def is_final(self) -> bool:
        """Whether no scan of the day is left."""
        return not self._scans

    def allows(self, symbol: str) -> bool:
        """Whether the symbol may be entered now."""
        return self._chosen is None or symbol in self._chosen


def quoted_first(plan: SessionPlan) -> frozenset[str]:
    """Symbols whose quotes are heard as the day begins: selected, or held."""
    if plan.selected is None or not plan.scans:
        return frozenset(plan.symbols)
    held = np.flatnonzero(plan.opening.portfolio.positions["quantity"] != 0.0)
    return frozenset(plan.selected) | {plan.symbols[row % len(plan.symbols)] for row in held}


def drops_bars(plan: SessionPlan) -> bool:
    """Whether bars of symbols that can be neither entered nor left any more may be left out: no
    strategy decides about one symbol by the bars of another, and no feature compares them.
    """
    if plan.feature_set.compares:
        return False
    plans = plan.by_strategy.values()
    return bool(plan.scans) and not any(
        isinstance(each.strategy, Stepwise) or each.history is not None for each in plans
    )


def _frame(bars: list[SessionBar]) -> pl.DataFrame:
    rows = [
        (bar.symbol, bar.start, bar.end, bar.session_date, bar.session, bar.open, bar.high, bar.low,
         bar.close, bar.volume, bar.factor)
        for bar in bars
    ]  # fmt: skip
    assert tuple(_SCHEMA) == COLUMNS
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


def is_watched(plan: SessionPlan, rows: pl.DataFrame, bars: pl.DataFrame) -> pl.Series:
    """Whether each row (symbol, timestamp) is of a symbol that the latest scan by its bar's end
    selected. bars: of the whole day, with session_date, session and bar_end.
    """
    if plan.selected is None:
        return pl.repeat(value=True, n=rows.height, dtype=pl.Boolean, eager=True)
    picks = [plan.selected, *(each.select(bars) for each in plan.scans)]
    moments = pl.Series("at", [each.at for each in plan.scans], dtype=TIME)
    chosen = pl.DataFrame(
        [(number, symbol) for number, names in enumerate(picks) for symbol in names],
        schema={"number": pl.Int64(), "symbol": TEXT},
        orient="row",
    )
    ends = rows.join(
        bars.select("symbol", "timestamp", "bar_end"),
        on=["symbol", "timestamp"],
        how="left",
        maintain_order="left",
    )["bar_end"]
    numbers = moments.search_sorted(ends, side="right").cast(pl.Int64)
    marked = pl.DataFrame({"symbol": rows["symbol"], "number": numbers}).join(
        chosen.with_columns(watched=pl.lit(value=True)),
        on=["symbol", "number"],
        how="left",
        maintain_order="left",
    )
    return marked["watched"].fill_null(value=False)
