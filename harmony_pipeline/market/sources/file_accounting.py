"""How many rows each file holds and from when to when, so that rows outside a range can be counted
and told.
"""

from dataclasses import dataclass, replace
from datetime import datetime


@dataclass(frozen=True)
class FileAccount:
    """One file as of the last call: its rows in all, and those `inside` the range that was asked
    for.

    `first` and `last` are the earliest and latest time that could be read. `symbol` is set where
    the file's name gave it. The rows of a file outside a range that was asked for in parts are
    `rows` minus the sum of `inside`.
    """

    origin: str
    rows: int
    inside: int
    first: datetime
    last: datetime
    symbol: str | None = None

    def with_rows_of(self, other: "FileAccount") -> "FileAccount":
        """The account of a file that holds these rows and those of `other`."""
        first, last = min(self.first, other.first), max(self.last, other.last)
        return replace(
            self,
            rows=self.rows + other.rows,
            inside=self.inside + other.inside,
            first=first,
            last=last,
        )

    def outside(self, start: datetime, end: datetime, inside: int | None = None) -> str | None:
        """What to say of rows outside `start <= t < end`; `inside` counts those within. None when
        there are none.
        """
        within = self.inside if inside is None else inside
        if within == self.rows:
            return None
        count = "all" if within == 0 else f"{self.rows - within:,} of {self.rows:,}"
        return (
            f"{self.origin} holds rows from {self.first:%Y-%m-%d} to {self.last:%Y-%m-%d}, of which"
            f" {count} lie outside {start:%Y-%m-%d} to {end:%Y-%m-%d}"
        )


def shared_names(accounts: list[FileAccount]) -> list[str]:
    """What to say of files whose names gave one symbol and whose times overlap: they may be two
    things.
    """
    by_symbol: dict[str, list[FileAccount]] = {}
    for each in sorted((each for each in accounts if each.symbol), key=lambda each: each.first):
        by_symbol.setdefault(each.symbol or "", []).append(each)
    notes = []
    for symbol, files in sorted(by_symbol.items()):
        latest = files[0]
        for following in files[1:]:
            if following.first <= latest.last:
                notes.append(
                    f"{latest.origin} and {following.origin} both gave the symbol {symbol} by their"
                    f" names, and both hold rows from {following.first:%Y-%m-%d}: if they are two"
                    " things, add a column symbol, or set market.files.symbol_from_filename"
                )
                break
            latest = max(latest, following, key=lambda each: each.last)
    return notes
