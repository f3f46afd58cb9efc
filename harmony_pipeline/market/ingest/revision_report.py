"""What rebuilding a period changed in its bars: corrections have consequences, so they are named
and never silent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import polars as pl

from harmony_pipeline.schemas import BARS

_KEY = ("symbol", "timestamp")
_COMPARED = tuple(name for name in BARS.columns if name not in (*_KEY, "timeframe"))
_NAMED = 5  # changes told one by one; the rest are counted


@dataclass(frozen=True)
class Changes:
    """`changed` has one row a bar and column whose value moved: symbol, timestamp, column, before,
    after (as text); the others are counts of bars.
    """

    changed: pl.DataFrame
    added: int
    removed: int

    @property
    def changed_bars(self) -> int:
        """Bars with at least one value that moved."""
        return self.changed.select(_KEY).n_unique() if self.changed.height else 0

    def sentences(self, period: str) -> list[str]:
        """For people; nothing when no bar that was known before moved or left."""
        if not self.changed.height and not self.removed:
            return []
        told = [
            f"{symbol} {stamp:%Y-%m-%d %H:%M}Z {column} was {before}, is {after}"
            for symbol, stamp, column, before, after in self.changed.head(_NAMED).iter_rows()
        ]
        more = (
            f"; and {self.changed.height - _NAMED} more values"
            if self.changed.height > _NAMED
            else ""
        )
        head = (
            f"{period} rebuilt: {self.changed_bars} bars changed, {self.removed} left, {self.added}"
            " came"
        )
        return [f"{head}: {'; '.join(told)}{more}" if told else head]


def compare_bars(before: pl.DataFrame, after: pl.DataFrame) -> Changes:
    """How `after` differs from `before`, both BARS of one period."""
    both = before.select(*_KEY, *_COMPARED).join(
        after.select(*_KEY, *_COMPARED), on=_KEY, how="inner", suffix="_after"
    )
    moved = both.filter(
        pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_after")) for name in _COMPARED)
    )
    parts = [
        moved.filter(pl.col(name).ne_missing(pl.col(f"{name}_after"))).select(
            *_KEY,
            column=pl.lit(name),
            before=pl.col(name).cast(pl.String),
            after=pl.col(f"{name}_after").cast(pl.String),
        )
        for name in _COMPARED
    ]
    return Changes(
        pl.concat(parts).sort(*_KEY, "column"),
        after.height - both.height,
        before.height - both.height,
    )


@cache
def _no_changes() -> pl.DataFrame:
    """What is told when every bar is as it was."""
    return compare_bars(BARS.empty(), BARS.empty()).changed


def merge_changes(parts: Sequence[Changes]) -> Changes:
    """The changes of a period that was compared some symbols at a time."""
    return Changes(
        pl.concat([_no_changes(), *(part.changed for part in parts)]),
        sum(part.added for part in parts),
        sum(part.removed for part in parts),
    )
