"""Tables of several symbols side by side, as yfinance writes them: two lines of names, one of the
index.

    Price,Close,Close,High,High        or   ,AAPL,AAPL,MSFT,MSFT
    Ticker,AAPL,MSFT,AAPL,MSFT              ,Open,Close,Open,Close
    Date,,,,                                Date,,,,

One line of the first names the columns and the other the symbols, in either order. Each line of
data becomes one row for every symbol that has a value in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from harmony_pipeline.market.sources.columns import plain

HEADER_LINES = 3
_FIELDS = frozenset(
    [
        "open",
        "high",
        "low",
        "close",
        "adjclose",
        "volume",
        "dividends",
        "stocksplits",
        "capitalgains",
        "repaired",
    ]
)
_INDEX = frozenset(["date", "datetime", "timestamp", "time", "index"])


@dataclass(frozen=True)
class Wide:
    """Where each symbol's columns stand: name and place; the first column holds the time."""

    width: int
    stamp_names: tuple[str, ...]
    symbol_name: str
    columns: dict[str, list[tuple[str, int]]]

    def note(self, origin: str) -> str | None:
        """What to say of yfinance's prices, which are adjusted unless it was asked for raw ones."""
        names = {plain(name) for columns in self.columns.values() for name, _ in columns}
        if "adjclose" in names:
            return None
        return (
            f"{origin} is an export of yfinance without a column Adj Close, so that its prices are"
            " adjusted for splits and dividends: this lake expects raw prices, download them with"
            " auto_adjust=False"
        )


def wide_layout(header: Sequence[str], below: Sequence[Sequence[str]]) -> Wide | None:
    """The layout when the first three lines are such a header; None for any other table."""
    if len(below) < HEADER_LINES - 1 or len(header) < 2:
        return None
    second, index = ([cell.strip().strip('"') for cell in line] for line in below[:2])
    if len(second) != len(header) or plain(index[0]) not in _INDEX or any(index[1:]):
        return None
    first = list(header[1:])
    fields, symbols, corner = first, second[1:], second[0]
    if not _all_fields(fields):
        fields, symbols, corner = second[1:], first, header[0]
    if not _all_fields(fields) or not all(symbols) or _all_fields(symbols):
        return None
    columns: dict[str, list[tuple[str, int]]] = {}
    for at, (field, symbol) in enumerate(zip(fields, symbols, strict=True), 1):
        columns.setdefault(symbol.strip(), []).append((field, at))
    top = "" if header[0].startswith("column ") else header[0]
    stamps = tuple(
        dict.fromkeys(name for name in (index[0], top) if name and plain(name) != "ticker")
    )
    name = corner if plain(corner) == "ticker" else "Ticker"
    return Wide(len(header), stamps, name, columns)


def _all_fields(names: Sequence[str]) -> bool:
    return all(plain(name) in _FIELDS for name in names)
