"""What a Parquet file's rows are about, without their values: when and whose. From it follows which stretch of the file a question needs.

Kept for files that are asked again (period after period, symbols after symbols): 12 bytes a row.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import polars as pl

_REMEMBERED_ROWS = 10_000_000  # 120 MB


@dataclass(frozen=True)
class Axes:
    """`stamps` are UTC, one a row; `unread` says where one had to be borrowed (None: nowhere); `codes` are places in `names`."""

    matched: dict[str, str]
    stamps: pl.Series
    unread: pl.Series | None
    codes: pl.Series
    names: list[str]
    divisor: float = 1.0
    """units of the written prices in one of ours"""
    notes: tuple[str, ...] = ()

    def chosen(self, start: datetime, end: datetime, symbols: Collection[str] | None) -> pl.Series:
        """Whether each row lies in `start <= t < end` and belongs to one of `symbols` (None: to any)."""
        inside = self.stamps.is_between(start, end, closed="left")
        if symbols is None:
            return inside
        return inside & self.codes.is_in([code for code, name in enumerate(self.names) if name in symbols])

    def counts(self, start: datetime, end: datetime) -> dict[str, int]:
        """Rows of each symbol in `start <= t < end`."""
        found = self.codes.filter(self.chosen(start, end, None)).value_counts()
        return {self.names[code]: count for code, count in found.iter_rows()}


class RememberedAxes:
    """The axes of the files that were asked last, as far as there is room."""

    def __init__(self) -> None:
        self._kept: dict[object, Axes] = {}

    def get(self, signature: object) -> Axes | None:
        """Those of a file that has not changed since."""
        return self._kept.get(signature)

    def keep(self, signature: object, axes: Axes) -> None:
        """Remember one more and forget the oldest."""
        self._kept[signature] = axes
        while len(self._kept) > 1 and sum(len(each.stamps) for each in self._kept.values()) > _REMEMBERED_ROWS:
            self._kept.pop(next(iter(self._kept)))


def coded(symbols: pl.Series) -> tuple[pl.Series, list[str]]:
    """A column of names as places in a list of the names."""
    names = symbols.unique().sort().to_list()
    return symbols.cast(pl.Enum(names)).to_physical(), names


def in_groups(counts: dict[str, int], rows: int) -> list[list[str]]:
    """Names in order, cut into groups of at least `rows` rows (the last may have fewer)."""
    groups: list[list[str]] = [[]]
    height = 0
    for name in sorted(counts):
        if height >= rows:
            groups.append([])
            height = 0
        groups[-1].append(name)
        height += counts[name]
    return groups
