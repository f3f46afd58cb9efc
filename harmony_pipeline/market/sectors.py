"""Which sector a symbol belongs to, as known on a day: from the table `universe`.

Limits of a sector and columns that compare within sectors read it. A row counts from its date on,
before the open. Nothing here answers for a day with what was known later.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import polars as pl

from harmony_pipeline.hashing import short_hash

UNKNOWN = 0  # the number of all symbols whose sector is not known: together they are one


@dataclass(frozen=True)
class Sectors:
    """`rows`: (symbol, day from which it is known, sector), sorted."""

    rows: tuple[tuple[str, date, str], ...] = ()

    @staticmethod
    def of_table(universe: pl.DataFrame) -> "Sectors":
        """The sectors of a UNIVERSE frame; rows that state none say nothing."""
        stated = universe.select("symbol", "date", "sector").drop_nulls().unique()
        return Sectors(tuple(stated.sort("symbol", "date", "sector").iter_rows()))

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {
            name: number
            for number, name in enumerate(sorted({row[2] for row in self.rows}), start=UNKNOWN + 1)
        }

    @cached_property
    def _changes(self) -> tuple[tuple[str, date, str], ...]:
        """The rows that name another sector than the symbol's row before."""
        changes, before = [], dict[str, str]()
        for symbol, since, sector in self.rows:
            if before.get(symbol) != sector:
                changes.append((symbol, since, sector))
            before[symbol] = sector
        return tuple(changes)

    @cached_property
    def _of_symbols(self) -> dict[str, tuple[list[date], list[str]]]:
        histories: dict[str, tuple[list[date], list[str]]] = {}
        for symbol, since, sector in self._changes:
            days, names = histories.setdefault(symbol, ([], []))
            days.append(since)
            names.append(sector)
        return histories

    def at(self, symbol: str, day: date) -> int:
        """Number of the symbol's sector by the last row known on `day`."""
        days, names = self._of_symbols.get(symbol, ((), ()))
        known = bisect_right(days, day)
        return self._numbers[names[known - 1]] if known else UNKNOWN

    def history(self, symbol: str) -> tuple[list[date], list[int]]:
        """The days from which the symbol's sector is another one, and its number from each on."""
        days, names = self._of_symbols.get(symbol, ([], []))
        return list(days), [self._numbers[name] for name in names]

    def only(self, symbols: Iterable[str]) -> "Sectors":
        """The rows of these symbols."""
        wanted = set(symbols)
        return Sectors(tuple(row for row in self.rows if row[0] in wanted))

    def known_on(self, day: date) -> "Sectors":
        """The sector of each symbol on `day`, with the day from which it is that one."""
        known = {row[0]: row for row in self._changes if row[1] <= day}
        return Sectors(tuple(known.values()))

    def changes(self, symbols: Iterable[str]) -> list[date]:
        """Days on which the sector of one of these symbols becomes another one."""
        return sorted({day for each in symbols for day in self._of_symbols.get(each, ((), ()))[0]})

    @cached_property
    def _by_day(self) -> list[tuple[date, str, str]]:
        return sorted((since, symbol, sector) for symbol, since, sector in self._changes)

    def hash_of_changes(self, since: date, until: date) -> str:
        """A hash of what becomes another sector in `since <= day < until`; empty where nothing
        does. A row that repeats the sector of the symbol's row before changes nothing.
        """
        first, end = (bisect_left(self._by_day, (day, "", "")) for day in (since, until))
        known = self._hashes.get((first, end))
        if known is None:
            changed = [(str(day), *what) for day, *what in self._by_day[first:end]]
            known = self._hashes[first, end] = short_hash(repr(changed), 16) if changed else ""
        return known

    @cached_property
    def _hashes(self) -> dict[tuple[int, int], str]:
        """Those that were asked for: features ask for each period again with every later one."""
        return {}
