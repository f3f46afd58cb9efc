"""The terms of what is traded: tick, lot, multiplier and the rest, each from a date on.

Labels, simulator, session and reports round prices, quantities, barriers and fees by these terms. A
term changes by a further `Instrument` of the symbol with a later `valid_from`. What was rounded
before stays. Terms come from `instrument_defaults.py` (by market), the source, the data
(`price_steps.py`) and the settings.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harmony_pipeline.market.price_grid import TICK
from harmony_pipeline.market.steps import decimals_of, tick_fraction
from harmony_pipeline.schemas import INSTRUMENTS

TRADED, INDICATIVE = "traded", "indicative"  # what a bar's volume is
BEFORE_ALL = date(1900, 1, 1)
_TRADED_BY = (
    "tick_size", "small_tick_size", "small_tick_below", "lot_size", "minimum_quantity",
    "minimum_notional", "multiplier", "fee_unit", "shortable", "volume",
)  # fmt: skip


@dataclass(frozen=True)
class Instrument:
    """The terms of one symbol from `valid_from` on; the defaults are those of a US equity.

    tick_size: smallest step of a price; below `small_tick_below` it is `small_tick_size`, where
    there is one. Quantities are whole lots of `lot_size`, at least `minimum_quantity` and worth at
    least `minimum_notional`. One unit at price p is worth p * multiplier. fee_unit: fees are
    rounded to it. volume: `traded` when a bar's volume is what could be traded against
    (participation binds); `indicative` when the market has no common volume (FX): participation
    does not bind, and impact is that of an order of max_participation.
    """

    symbol: str
    valid_from: date = BEFORE_ALL
    asset_class: str = "us_equity"
    venue: str | None = None
    calendar: str = "XNYS"
    currency: str | None = "USD"
    tick_size: float = 0.01
    small_tick_size: float | None = 0.0001
    small_tick_below: float | None = 1.0
    lot_size: float = 1.0
    minimum_quantity: float = 0.0
    minimum_notional: float = 0.0
    multiplier: float = 1.0
    fee_unit: float = 0.01
    shortable: bool = True
    volume: str = TRADED
    origin: str = "default us_equity"

    def grid(self) -> dict[str, float]:
        """The fields of a TICK record."""
        tick = tick_fraction(self.tick_size)
        small = tick if self.small_tick_size is None else tick_fraction(self.small_tick_size)
        return {
            "tick_numerator": float(tick.numerator),
            "tick_denominator": float(tick.denominator),
            "small_tick_numerator": float(small.numerator),
            "small_tick_denominator": float(small.denominator),
            "small_tick_below": (
                0.0 if self.small_tick_size is None else self.small_tick_below or 0.0
            ),
        }

    def decimals(self, price: float | None = None) -> int:
        """Decimals that a price on the tick can need; without a price, those of `tick_size`."""
        small = (
            self.small_tick_size is not None
            and price is not None
            and abs(price) < (self.small_tick_below or 0.0)
        )
        return decimals_of(
            self.small_tick_size if small and self.small_tick_size else self.tick_size
        )

    def row(self) -> dict[str, object]:
        """A row of INSTRUMENTS."""
        return {"price_precision": self.decimals()} | {
            name: vars(self)[name] for name in INSTRUMENTS.columns if name != "price_precision"
        }


@dataclass(frozen=True)
class Instruments:
    """The terms of many symbols over time.

    A symbol without a row has the terms of `default`.
    """

    rows: tuple[Instrument, ...] = ()
    default: Instrument = field(default_factory=lambda: Instrument(""))

    @staticmethod
    def of(rows: Iterable[Instrument], default: Instrument | None = None) -> "Instruments":
        """Sorted by symbol and date."""
        ordered = tuple(sorted(rows, key=lambda row: (row.symbol, row.valid_from)))
        return Instruments(ordered, Instrument("") if default is None else default)

    @staticmethod
    def of_table(table: pl.DataFrame, default: Instrument | None = None) -> "Instruments":
        """From the table `instruments`."""
        columns = [name for name in INSTRUMENTS.columns if name != "price_precision"]
        return Instruments.of(
            (Instrument(**row) for row in table.select(columns).iter_rows(named=True)), default
        )

    def table(self) -> pl.DataFrame:
        """In the columns of INSTRUMENTS."""
        return INSTRUMENTS.conform(
            pl.DataFrame([row.row() for row in self.rows], schema=INSTRUMENTS.dtypes)
        )

    def at(self, symbol: str, day: date = date.max) -> Instrument:
        """The terms on `day`; the first ones of the symbol before them."""
        mine = self._by_symbol.get(symbol)
        if mine is None:
            return replace(self.default, symbol=symbol)
        known = [row for row in mine if row.valid_from <= day]
        return known[-1] if known else mine[0]

    def only(self, symbols: Iterable[str]) -> "Instruments":
        """The rows of these symbols."""
        kept = set(symbols)
        return replace(self, rows=tuple(row for row in self.rows if row.symbol in kept))

    def changes(self, symbols: Iterable[str]) -> list[date]:
        """Dates on which the terms of one of these symbols change, in order.

        Its first terms hold before their own date too.
        """
        return sorted(
            {row.valid_from for symbol in symbols for row in self._by_symbol.get(symbol, ())[1:]}
        )

    def unusual(self) -> list[str]:
        """The terms of `default` and of every row that differs from them, as text that results
        depend on.

        A new symbol with the usual terms changes nothing.
        """
        usual = [vars(self.default)[name] for name in _TRADED_BY]
        return [f"default {usual}"] + [
            f"{row.symbol} {row.valid_from} {found}"
            for row in self.rows
            if (found := [vars(row)[name] for name in _TRADED_BY]) != usual
            or len(self._by_symbol[row.symbol]) > 1
        ]

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
