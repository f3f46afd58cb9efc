"""Tables without a line of column names, recognised by the forms of their cells.

A layout is a row of letters, one a cell. It counts only where most of the first lines have that
form, and where the four prices can be open, high, low and close: the high is not below the others,
the low not above them. Anything else is left to be refused, since a wrong order of columns would
not show later.

    m t n n n n n     03/07/2024,09:30,187.3,187.38,187.19,187.19,37267     Kibot
    e n n n n n ...   1735603200000,93500.0,93537.1,...                    Binance
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_YEAR_FIRST = r"(?:19|20)\d\d"
_TIME = r"\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?"
_DATE = rf"(?:{_YEAR_FIRST}([-./])\d\d\1\d\d|{_YEAR_FIRST}[01]\d[0-3]\d)"
_KINDS = {
    "n": re.compile(r"(?:[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)?"),
    "e": re.compile(r"\d{10}|\d{13}|\d{16}|\d{19}"),
    "d": re.compile(_DATE),
    "m": re.compile(r"\d{1,2}/\d{1,2}/(?:19|20)\d\d"),
    "t": re.compile(_TIME),
    "s": re.compile(rf"{_DATE}[ T](?:{_TIME}|\d{{6}})"),
    "M": re.compile(rf"{_YEAR_FIRST}\.\d\d\.\d\d"),
    "S": re.compile(rf"{_YEAR_FIRST}\.\d\d\.\d\d {_TIME}"),
    "L": re.compile(rf"{_YEAR_FIRST}[01]\d[0-3]\d \d\d:\d\d"),
    "i": re.compile(r"\d{1,8}"),
}
"""Forms of a cell: number, epoch, date, month first, time of day, date and time; MetaTrader's date
with full stops, alone and with a time; Lean's date and time, and milliseconds of a day.
"""
_PRICES = ("open", "high", "low", "close")
_BAR = (*_PRICES, "volume")
_SIDES = tuple(f"{side}{name}" for side in ("bid ", "ask ") for name in (*_PRICES, "size"))
_MOST = 0.8  # of the lines that are looked at
LOOKED_AT = 50  # lines


@dataclass(frozen=True)
class Layout:
    """One form of lines: the vendor that writes it, or none where many do; the kind of each cell;
    the names that its columns get.
    """

    vendor: str | None
    kinds: str
    names: tuple[str, ...]


BINANCE, KRAKEN = "Binance", "Kraken"
METATRADER_CHART, METATRADER_4 = "MetaTrader 5, a saved chart", "MetaTrader 4"
LEAN_BARS, LEAN_QUOTES = "Lean, trade bars", "Lean, quote bars"
_KLINES = (
    "open time",
    *_BAR,
    "close time",
    "quote volume",
    "count",
    "taker buy volume",
    "taker buy quote volume",
    "ignore",
)
LAYOUTS = (
    Layout(BINANCE, "ennnnnennnnn", _KLINES),
    Layout(METATRADER_CHART, "Snnnnnnn", ("timestamp", *_PRICES, "tickvol", "vol", "spread")),
    Layout(METATRADER_CHART, "Snnnnnn", ("timestamp", *_PRICES, "tickvol", "vol")),
    Layout(METATRADER_4, "Mtnnnnn", ("date", "time", *_BAR)),
    Layout(None, "snnnnnn", ("timestamp", *_BAR, "open interest")),
    Layout(None, "snnnnn", ("timestamp", *_BAR)),
    Layout(None, "snnnn", ("timestamp", *_PRICES)),
    Layout(None, "dtnnnnnn", ("date", "time", *_BAR, "open interest")),
    Layout(None, "dtnnnnn", ("date", "time", *_BAR)),
    Layout(None, "dtnnnn", ("date", "time", *_PRICES)),
    Layout(None, "mtnnnnnn", ("date", "time", *_BAR, "open interest")),
    Layout(None, "mtnnnnn", ("date", "time", *_BAR)),
    Layout(None, "mtnnnn", ("date", "time", *_PRICES)),
    Layout(None, "dnnnnnn", ("date", *_BAR, "open interest")),
    Layout(None, "dnnnnn", ("date", *_BAR)),
    Layout(None, "dnnnn", ("date", *_PRICES)),
    Layout(None, "mnnnnnn", ("date", *_BAR, "open interest")),
    Layout(None, "mnnnnn", ("date", *_BAR)),
    Layout(None, "mnnnn", ("date", *_PRICES)),
    Layout(None, "ennnnn", ("timestamp", *_BAR)),
    Layout(KRAKEN, "ennnnni", ("timestamp", *_BAR, "count")),
)
LEAN_DATED = (
    Layout(LEAN_BARS, "Lnnnnn", ("timestamp", *_BAR)),
    Layout(LEAN_QUOTES, "Lnnnnnnnnnn", ("timestamp", *_SIDES)),
)
"""Told by their stamps alone, and before LAYOUTS, some of which they fit too."""
LEAN_LAYOUTS = (
    *LEAN_DATED,
    Layout(LEAN_BARS, "innnnn", ("timestamp", *_BAR)),
    Layout(LEAN_QUOTES, "innnnnnnnnn", ("timestamp", *_SIDES)),
)
"""Only for files that Lean's names mark as its own, since milliseconds could be anything."""


def find_layout(
    lines: Sequence[str], delimiter: str, layouts: Sequence[Layout] = LAYOUTS
) -> Layout | None:
    """The layout of a table by its first lines; None where there is a line of names, or no known
    layout.
    """
    rows = [line.split(delimiter) for line in lines[:LOOKED_AT] if line.strip()]
    if not rows or any(cell.strip().isalpha() for cell in rows[0]):
        return None
    for layout in layouts:
        if not _has_form(rows[0], layout):
            continue
        formed = [row for row in rows if _has_form(row, layout)]
        sound = [row for row in formed if _ordered(row, layout)]
        if len(sound) >= _MOST * len(rows):
            return layout
    return None


def _has_form(row: Sequence[str], layout: Layout) -> bool:
    return len(row) == len(layout.kinds) and all(
        _KINDS[kind].fullmatch(cell.strip().strip('"'))
        for kind, cell in zip(layout.kinds, row, strict=True)
    )


def _ordered(row: Sequence[str], layout: Layout) -> bool:
    """Whether the cells that should be prices can be."""
    for side in ("bid ", "ask ", ""):
        places = [
            layout.names.index(side + name) for name in _PRICES if side + name in layout.names
        ]
        cells = [row[place].strip().strip('"') for place in places]
        if not places or not all(cells):
            continue
        opened, high, low, close = map(float, cells)
        if not (low <= min(opened, close) and high >= max(opened, close)):
            return False
    return True
