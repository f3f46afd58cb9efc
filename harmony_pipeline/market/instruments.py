"""What is traded: tick, lot, multiplier and the other terms by which an instrument is priced, each from a date on.

Rounding of prices, quantities, barriers and fees goes by these terms everywhere: labels, simulator, session, reports.
A term changes by a further `Instrument` of the symbol with a later `valid_from`; what was rounded before stays as it was.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.market.price_grid import TICK

TRADED, INDICATIVE = "traded", "indicative"  # what a bar's volume is
BEFORE_ALL = date.min


@dataclass(frozen=True)
class Instrument:
    """The terms of one symbol from `valid_from` on; the defaults are those of a US equity.

    tick_size: smallest step of a price; below `small_tick_below` (0: nowhere) it is `small_tick_size`. Quantities are whole lots of
    `lot_size`, at least `minimum_quantity` and worth at least `minimum_notional`. One unit at price p is worth p * multiplier. fee_unit: fees are rounded to it.
    volume: `traded` when a bar's volume is what could be traded against (participation binds); `indicative` when the market has
    no common volume (FX): participation does not bind, and impact is that of an order of max_participation.
    """

    symbol: str
    valid_from: date = BEFORE_ALL
    asset_class: str = "us_equity"
    venue: str = ""
    calendar: str = "XNYS"
    currency: str = "USD"
    tick_size: float = 0.01
    small_tick_size: float | None = 0.0001
    small_tick_below: float = 1.0
    lot_size: float = 1.0
    minimum_quantity: float = 0.0
    minimum_notional: float = 0.0
    multiplier: float = 1.0
    fee_unit: float = 0.01
    shortable: bool = True
    volume: str = TRADED

    def grid(self) -> dict[str, float]:
        """The fields of a TICK record."""
        tick = _fraction(self.symbol, self.tick_size)
        small = tick if self.small_tick_size is None else _fraction(self.symbol, self.small_tick_size)
        return {
            "tick_numerator": float(tick.numerator),
            "tick_denominator": float(tick.denominator),
            "small_tick_numerator": float(small.numerator),
            "small_tick_denominator": float(small.denominator),
            "small_tick_below": 0.0 if self.small_tick_size is None else self.small_tick_below,
        }


@dataclass(frozen=True)
class Instruments:
    """The terms of many symbols over time. A symbol without any row trades by the terms of a US equity."""

    rows: tuple[Instrument, ...] = ()

    @staticmethod
    def of(rows: Iterable[Instrument]) -> "Instruments":
        """Sorted by symbol and date."""
        return Instruments(tuple(sorted(rows, key=lambda row: (row.symbol, row.valid_from))))

    def at(self, symbol: str, day: date) -> Instrument:
        """The terms on `day`; the first ones of the symbol before them."""
        mine = self._by_symbol.get(symbol)
        if mine is None:
            return Instrument(symbol)
        known = [row for row in mine if row.valid_from <= day]
        return known[-1] if known else mine[0]

    def only(self, symbols: Iterable[str]) -> "Instruments":
        """The rows of these symbols."""
        kept = set(symbols)
        return Instruments(tuple(row for row in self.rows if row.symbol in kept))

    def changes(self, symbols: Iterable[str]) -> list[date]:
        """Dates on which the terms of one of these symbols change, in order; its first terms hold before their own date too."""
        mine = self._by_symbol
        return sorted({row.valid_from for symbol in symbols for row in mine.get(symbol, ())[1:]})

    def grids(self, symbols: Sequence[str], day: date) -> NDArray[np.void]:
        """One TICK record a symbol."""
        table = np.zeros(len(symbols), TICK)
        for record, symbol in zip(table, symbols, strict=True):
            for name, value in self.at(symbol, day).grid().items():
                record[name] = value
        return table

    @cached_property
    def _by_symbol(self) -> dict[str, list[Instrument]]:
        found: dict[str, list[Instrument]] = {}
        for row in self.rows:
            found.setdefault(row.symbol, []).append(row)
        return found


def _fraction(symbol: str, tick: Any) -> Fraction:
    """The tick as the decimal number that it is written as."""
    fraction = Fraction(str(tick))
    if fraction <= 0 or fraction.denominator > 10**12 or fraction.numerator > 10**12:
        raise ConfigError(f"instrument {symbol}: tick size {tick} is no decimal number > 0 with at most 12 digits, like 0.01 or 0.03125")
    return fraction
