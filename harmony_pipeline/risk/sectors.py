"""Which sector a symbol belongs to, as known on a day; what the limit of a sector counts by."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import polars as pl

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
    def _of_symbols(self) -> dict[str, list[tuple[date, str]]]:
        histories: dict[str, list[tuple[date, str]]] = {}
        for symbol, since, sector in self.rows:
            histories.setdefault(symbol, []).append((since, sector))
        return histories

    def at(self, symbol: str, day: date) -> int:
        """Number of the symbol's sector by the last row known on `day`."""
        known = [sector for since, sector in self._of_symbols.get(symbol, ()) if since <= day]
        return self._numbers[known[-1]] if known else UNKNOWN

    def only(self, symbols: Iterable[str]) -> "Sectors":
        """The rows of these symbols."""
        wanted = set(symbols)
        return Sectors(tuple(row for row in self.rows if row[0] in wanted))

    def changes(self, symbols: Iterable[str]) -> list[date]:
        """Days on which the sector of one of these symbols becomes another one."""
        days = set()
        for symbol in symbols:
            before = ""
            for since, sector in self._of_symbols.get(symbol, ()):
                if sector != before:
                    days.add(since)
                before = sector
        return sorted(days)
