"""Prices, quantities and fees as text, with the decimals of their instrument.

The one place where reports and tables round them.
"""

import math
from collections.abc import Sequence

import polars as pl

from harmony_pipeline.market.instruments import Instrument, Instruments
from harmony_pipeline.market.steps import decimals_of

_SMALLEST_SHOWN = 8  # decimals of a quantity


def price_text(of: Instrument, price: float | None) -> str | None:
    """1.08778 of EURUSD, 0.00002345 of SHIB, 118.03125 of a bond in 32nds.

    A price off the tick shows one digit more.
    """
    if price is None or not math.isfinite(price):
        return None
    decimals = of.decimals(price)
    exact = (
        abs(round(price, decimals) - price)
        <= 1e-9 * max(1.0, abs(price)) * 10.0**-decimals + abs(price) * 1e-12
    )
    return f"{price:,.{decimals if exact else decimals + 1}f}"


def quantity_text(of: Instrument, quantity: float | None) -> str | None:
    """Whole shares without decimals; coins with those that they have."""
    if quantity is None or not math.isfinite(quantity):
        return None
    text = f"{quantity:,.{min(decimals_of(of.lot_size), _SMALLEST_SHOWN)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def money_text(of: Instrument, amount: float | None) -> str | None:
    """A fee or a cost in the instrument's currency."""
    return (
        None
        if amount is None or not math.isfinite(amount)
        else f"{amount:,.{decimals_of(of.fee_unit)}f}"
    )


def with_texts(
    frame: pl.DataFrame,
    instruments: Instruments,
    prices: Sequence[str] = (),
    quantities: Sequence[str] = (),
    money: Sequence[str] = (),
) -> pl.DataFrame:
    """`frame` (column symbol) with these columns as text; for tables of a page, which are short."""
    writers = [
        *((name, price_text) for name in prices),
        *((name, quantity_text) for name in quantities),
        *((name, money_text) for name in money),
    ]
    terms = [instruments.at(symbol) for symbol in frame["symbol"]]
    return frame.with_columns(
        pl.Series(
            name,
            [write(of, value) for of, value in zip(terms, frame[name], strict=True)],
            dtype=pl.String,
        )
        for name, write in writers
        if name in frame.columns
    )
