"""Prices written as whole numbers of a small unit: 187150000000 for 187.15 dollars.

Databento's files tell by their columns that the unit is 1e-9, and are read so. Elsewhere whole prices
may be real (yen, won, bitcoin in rupiah), so nobody guesses: prices that nothing costs are refused, and
prices that look like 1/10000 or cents are asked about in a note. `price_scale` settles it.
"""

from collections.abc import Sequence

import polars as pl

from harmony_pipeline.errors import DataError
from harmony_pipeline.market.sources.columns import plain

_DATABENTO = frozenset({"rtype", "publisherid", "tsevent"})
_NANO = 1e9
_DATABENTO_FROM = 1e5  # a price of 0.0001
_REFUSED_FROM, _SMALL_UNITS_FROM = 1e9, 1e6
_CENTS_FROM = 1_000.0  # asked about only where prices have cents: New York
_FEWEST_ROWS = 2
_LOOKED_AT = 200  # rows that settle it as a rule


def divisor_of(scale: float) -> float:
    """What a whole number of units is divided by; exact where 1 / scale is a whole number."""
    inverse = 1.0 / scale
    return float(round(inverse)) if abs(inverse - round(inverse)) < 1e-6 * inverse else inverse


def scaled(units: pl.Series, divisor: float) -> pl.Series:
    """`units` over `divisor`, each the nearest double; Polars multiplies by the inverse of a scalar, which is not."""
    return pl.Series(units.name, units.to_numpy() / divisor, pl.Float64, nan_to_null=True)


def is_databento(names: Sequence[str]) -> bool:
    """Whether a file's columns are those of Databento's records."""
    return {plain(name) for name in names} >= _DATABENTO


def are_whole(cells: pl.Series) -> bool:
    """Whether every price of a column is a whole number written without a point."""
    if cells.dtype.is_integer():
        return True
    if cells.dtype != pl.String:
        return False
    for part in (cells.head(_LOOKED_AT), cells):
        text = part.drop_nulls().str.strip_chars()
        text = text.filter(text.str.len_bytes() > 0)
        if not len(text) or not text.str.contains(r"^-?\d+$").all():
            return False
    return True


def found_divisor(prices: pl.DataFrame, names: Sequence[str], origin: str, zone: str, notes: list[str]) -> float:
    """What the prices of a file are divided by, when the settings do not say; appends to `notes` what people should know.

    `prices` has the price columns as they are written, `names` the file's columns, `zone` the exchange's clock. Raises DataError for
    prices that nothing costs.
    """
    if not prices.width or not all(are_whole(column) for column in prices.iter_columns()):
        return 1.0
    numbers = pl.concat([column.cast(pl.Float64, strict=False).alias("price") for column in prices.iter_columns()]).drop_nulls()
    middle = numbers.median()
    if not isinstance(middle, float):
        return 1.0
    if is_databento(names) and middle >= _DATABENTO_FROM:
        notes.append(f"{origin}: its prices are Databento's whole numbers of 1e-9, and were divided by 1,000,000,000 ({middle:,.0f} is {middle / _NANO:.10g})")
        return _NANO
    settle = "set market.files.price_scale to the worth of one unit (1e-9, 1e-4 or 0.01), or to 1 if they are prices as they stand"
    if middle >= _REFUSED_FROM:
        raise DataError(f"{origin} has prices like {middle:,.0f}, which look like a fixed-point scale: {settle}")
    smallest = _CENTS_FROM if zone == "America/New_York" else _SMALL_UNITS_FROM
    if middle >= smallest and prices.height >= _FEWEST_ROWS:
        notes.append(f"{origin}: every price is a whole number like {middle:,.0f}; if that counts a fixed-point unit such as cents or 1/10000, {settle}")
    return 1.0
