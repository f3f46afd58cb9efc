"""Which stretches of time have been fetched, so that an ingest asks only for what is missing.

A row of the table `coverage` says: of this supplier (identity), for this symbol and timeframe,
everything in `start <= timestamp < end` was received. That a bar is absent from a covered stretch
therefore means that the supplier had none. The symbol `*` stands for "every symbol that the source
has". Stretches of one symbol never overlap or touch: they are kept as the shortest list.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from harmony_pipeline.schemas import COVERAGE

EVERY = "*"
_WHO = ("identity", "timeframe", "symbol")


@dataclass(frozen=True)
class TimeRange:
    """`start <= t < end` of these symbols (None: every symbol) that has not been fetched."""

    symbols: tuple[str, ...] | None
    start: datetime
    end: datetime


def missing_ranges(
    coverage: pl.DataFrame,
    identity: str,
    timeframe: str,
    symbols: Sequence[str] | None,
    start: datetime,
    end: datetime,
) -> list[TimeRange]:
    """What of the range is not covered, symbols with the same hole together, oldest first."""
    holes: dict[tuple[datetime, datetime], list[str]] = {}
    mine = coverage.filter((pl.col("identity") == identity) & (pl.col("timeframe") == timeframe))
    for symbol in [EVERY] if symbols is None else sorted(set(symbols)):
        spans = (
            mine.filter(pl.col("symbol").is_in([symbol, EVERY]))
            .sort("start")
            .select("start", "end")
            .rows()
        )
        for hole in _holes(spans, start, end):
            holes.setdefault(hole, []).append(symbol)
    return [
        TimeRange(None if names == [EVERY] else tuple(names), *hole)
        for hole, names in sorted(holes.items())
    ]


def add_range(
    coverage: pl.DataFrame, identity: str, timeframe: str, stretch: TimeRange, learned_at: datetime
) -> pl.DataFrame:
    """`coverage` with one more stretch, joined to those that it touches."""
    names = [EVERY] if stretch.symbols is None else list(stretch.symbols)
    rows = {
        "identity": identity,
        "timeframe": timeframe,
        "symbol": names,
        "start": stretch.start,
        "end": stretch.end,
        "learned_at": learned_at,
    }
    return _shortest(pl.concat([coverage, COVERAGE.conform(pl.DataFrame(rows))]))


def _shortest(coverage: pl.DataFrame) -> pl.DataFrame:
    """Stretches that touch or overlap as one; it was learned when its last part was."""
    reach = pl.col("end").cum_max().shift().over(_WHO)
    rows = coverage.sort(*_WHO, "start", "end").with_columns(
        begins=(reach.is_null() | (pl.col("start") > reach)).cast(pl.Int64)
    )
    joined = rows.with_columns(piece=pl.col("begins").cum_sum().over(_WHO)).group_by(
        *_WHO, "piece", maintain_order=True
    )
    return COVERAGE.conform(
        joined.agg(pl.col("start").min(), pl.col("end").max(), pl.col("learned_at").max())
    )


def _holes(
    spans: Sequence[tuple[datetime, datetime]], start: datetime, end: datetime
) -> list[tuple[datetime, datetime]]:
    found, reached = [], start
    for first, last in spans:
        if first > reached and reached < end:
            found.append((reached, min(first, end)))
        reached = max(reached, last)
    return [*found, (reached, end)] if reached < end else found
