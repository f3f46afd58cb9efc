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
from harmony_pipeline.market.listings import securities_of

UNKNOWN = 0  # the number of all symbols whose sector is not known: together they are one
_IDENTITY = {"security_id": pl.String(), "listed": pl.Date(), "delisted": pl.Date()}


@dataclass(frozen=True)
class Sectors:
    """`rows`: (symbol, day from which it is known, sector), sorted; an empty sector: none is known
    from that day on.
    """

    rows: tuple[tuple[str, date, str], ...] = ()

    @staticmethod
    def of_table(universe: pl.DataFrame) -> "Sectors":
        """The sectors of a frame with the columns symbol, date and sector of UNIVERSE.

        Rows that state none say nothing, but for the first one of another security under a symbol
        (by security_id, or by `listed` after `delisted`, where the frame has these columns): from
        then on the sector is not known, and nothing that is dated after it of a security that is
        gone counts.
        """
        found = _who_took_over(universe).select("symbol", "date", pl.col("sector").fill_null(""))
        return Sectors(tuple(found.unique().sort("symbol", "date", "sector").iter_rows()))

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {
            name: number
            for number, name in enumerate(
                sorted({row[2] for row in self.rows} - {""}), start=UNKNOWN + 1
            )
        } | {"": UNKNOWN}

    @cached_property
    def _changes(self) -> tuple[tuple[str, date, str], ...]:
        """The rows that name another sector than the symbol's row before."""
        changes, before = [], dict[str, str]()
        for symbol, since, sector in self.rows:
            if before.get(symbol, "") != sector:
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
        """The sectors of these symbols, without rows that repeat what was known."""
        wanted = set(symbols)
        return Sectors(tuple(row for row in self._changes if row[0] in wanted))

    def known_on(self, day: date) -> "Sectors":
        """The sector of each symbol on `day`, with the day from which it is that one."""
        known = {row[0]: row for row in self._changes if row[1] <= day}
        return Sectors(tuple(row for row in known.values() if row[2]))

    def changes(self, symbols: Iterable[str]) -> list[date]:
        """Days on which the sector of one of these symbols becomes another one."""
        return sorted({day for each in symbols for day in self._of_symbols.get(each, ((), ()))[0]})

    def hash_of(self, symbols: Iterable[str], since: date, until: date) -> str:
        """A hash of the sectors that these symbols have in `since <= day < until`; empty where none
        of them has one. What other symbols have, and had before, is no part of it.
        """
        had = []
        for symbol in sorted(set(symbols)):
            days, names = self._of_symbols.get(symbol, ((), ()))
            first, end = bisect_right(days, since), bisect_left(days, until)
            if first and names[first - 1]:
                had.append((symbol, "", names[first - 1]))
            had += [(symbol, str(days[at]), names[at]) for at in range(first, end)]
        return short_hash(repr(had), 16) if had else ""


def _who_took_over(universe: pl.DataFrame) -> pl.DataFrame:
    """Rows that state a sector, and those that end one: symbol, date, sector (null: it is not known
    any more).
    """
    absent = {name: kind for name, kind in _IDENTITY.items() if name not in universe.columns}
    rows = universe.with_columns(pl.lit(None, kind).alias(name) for name, kind in absent.items())
    rows = rows.with_columns(stated=pl.col("security_id"))
    rows = securities_of(rows.select("symbol", "date", "sector", "stated", *_IDENTITY))
    # of several that begin on one day the later row is the present one, as everywhere
    rows = rows.sort("symbol", "date", maintain_order=True)
    present = pl.when("new").then("security_id").forward_fill().over("symbol")
    gone = (pl.col("delisted") <= pl.col("date")).fill_null(value=False)
    took_over = pl.col("new") & ~_same_without_an_id()
    rows = rows.with_columns(took_over=took_over).filter(
        ~(gone & (pl.col("security_id") != present))
    )
    first = pl.int_range(pl.len()).over("symbol") == 0
    silent = ~pl.col("sector").is_not_null().any().over("symbol", "date")
    return rows.filter(pl.col("sector").is_not_null() | (pl.col("took_over") & ~first & silent))


def _same_without_an_id() -> pl.Expr:
    """Whether a row may be of the security of the symbol's row before although only one of the two
    states an id, as where sources change: that one was not delisted by then.
    """
    before, ended = (
        pl.col("stated").shift().over("symbol"),
        pl.col("delisted").forward_fill().shift().over("symbol"),
    )
    one_id = pl.col("stated").is_null() != before.is_null()
    alive = ended.is_null() | (ended > pl.col("date")) | (ended >= pl.col("listed"))
    return (one_id & alive).fill_null(value=False)
