"""The numbers of a file: what is surely one number becomes it, everything else becomes null.

A comma may separate thousands or decimals. `1,234.56` and `1,234,567` can only mean one thing, and
so can `1.234,56`. `1,234` alone can mean two: the column's other cells decide, or the prices of a
file that `;` delimits, or `[market.files] decimal`; otherwise the cell cannot be read.

Prices may be written as whole numbers of a small unit: 187150000000 for 187.15 dollars. Databento's
files tell by their columns that the unit is 1e-9, and are read so. Elsewhere whole prices may be
real (yen, won, bitcoin in rupiah), so nothing is guessed: prices that nothing costs are refused,
and prices that look like 1/10000 or cents are asked about in a note. `price_scale` settles it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from harmony_pipeline.errors import DataError
from harmony_pipeline.frames import format_columns
from harmony_pipeline.market.sources.cell_parsing import quote_column
from harmony_pipeline.market.sources.columns import plain
from harmony_pipeline.market.sources.record_types import Reading
from harmony_pipeline.text import NAME, excerpt

Decimal = Literal["auto", ".", ","]

_NO_NUMBER = (
    "",
    "-",
    "--",
    "\u2013",
    "\u2014",
    "nan",
    "null",
    "none",
    "na",
    "n/a",
    "#n/a",
    "nat",
    "<na>",
)
_SIGN = r"^[+-]?"
_GROUPED_POINT = _SIGN + r"\d{1,3}(?:,\d{3})+(?:\.\d*)?$"
_GROUPED_COMMA = _SIGN + r"\d{1,3}(?:\.\d{3})+(?:,\d*)?$"
_COMMA = _SIGN + r"(?:\d+,\d*|,\d+)(?:[eE][+-]?\d+)?$"
_POINT_IS_DECIMAL = (
    _SIGN + r"(?:\d{1,3}(?:,\d{3})+\.\d*|\d{1,3}(?:,\d{3}){2,}"
    r"|\d*\.(?:\d{0,2}|\d{4,})|(?:0|\d{4,})\.\d+)$"
)
_COMMA_IS_DECIMAL = (
    _SIGN + r"(?:\d{1,3}(?:\.\d{3})+,\d*|\d{1,3}(?:\.\d{3}){2,}"
    r"|\d*,(?:\d{0,2}|\d{4,})|(?:0|\d{4,}),\d+)$"
)
_CLEAR_MAJORITY = 20  # cells that agree for each one that contradicts them
_DATABENTO = frozenset({"rtype", "publisherid", "tsevent"})
_NANO = 1e9
_DATABENTO_FROM = 1e5  # a price of 0.0001
_REFUSED_FROM, _SMALL_UNITS_FROM = 1e9, 1e6
_CENTS_FROM = 1_000.0  # asked about only where prices have cents: New York
_FEWEST_ROWS = 2
_LOOKED_AT = 200  # rows that settle it as a rule


@dataclass(frozen=True)
class NumberFormat:
    """How a file writes its numbers."""

    decimal: Decimal = "auto"
    divisor: float = 1.0
    """units of the written prices in one of ours"""


def find_number_format(
    cells: pl.DataFrame,
    names: Sequence[str],
    delimiter: str,
    reading: Reading,
    origin: str,
    notes: list[str],
    known_divisor: float | None = None,
) -> NumberFormat:
    """The format of a file by its columns of prices, `cells`; what people should know is added to
    `notes`.

    `names` are the file's columns; `known_divisor` is what its form tells of its unit. Raises
    DataError for prices that nothing costs.
    """
    settings = reading.settings
    if settings.price_scale is not None:
        divisor = _divisor_of(settings.price_scale)
    elif known_divisor is not None:
        divisor = known_divisor
    else:
        divisor = _find_divisor(cells, names, origin, reading.calendar.zone, notes)
    return NumberFormat(
        (
            settings.decimal
            if settings.decimal != "auto"
            else _find_decimal(cells.get_columns(), delimiter)
        ),
        divisor,
    )


def read_number_columns(
    cells: pl.DataFrame, matched: Mapping[str, str], reading: Reading, written: NumberFormat
) -> tuple[dict[str, pl.Series], list[pl.Series]]:
    """The numbers of each column that rows of this kind have, and the sentences about cells that
    hold none.
    """
    found = {name: cells[matched[name]] for name in reading.kind.numbers if name in matched}
    values = {name: read_numbers(column, written.decimal) for name, column in found.items()}
    defects = [_unread_numbers(column, values[name]) for name, column in found.items()]
    if written.divisor != 1.0:
        values |= {
            name: _divide(values[name], written.divisor)
            for name in reading.kind.prices
            if name in values
        }
    return values, defects


def _number_texts(cells: pl.Series) -> pl.Series:
    """Cells as text without surrounding blanks; null for the usual words for "no number"."""
    table = cells.cast(pl.String).str.strip_chars().alias("text").to_frame()
    absent = pl.col("text").str.to_lowercase().is_in(_NO_NUMBER)
    return table.select(pl.when(~absent).then("text"))["text"]


def read_numbers(cells: pl.Series, decimal: Decimal = "auto") -> pl.Series:
    """Cells as Float64; null where there is no value, no number, or no finite one."""
    is_typed = cells.dtype.is_numeric()
    value = (
        cells.cast(pl.Float64, strict=False)
        if is_typed
        else _from_text(cells.cast(pl.String), decimal)
    )
    if value.is_finite().all():
        return value
    return value.to_frame("value").select(pl.when(pl.col("value").is_finite()).then("value"))[
        "value"
    ]


def _find_decimal(columns: list[pl.Series], delimiter: str) -> Decimal:
    """Which sign separates decimals in a file, by its columns of prices: "," only where `;`
    delimits.
    """
    if delimiter != ";" or not columns:
        return "auto"
    texts = pl.concat(
        [column.cast(pl.String).str.strip_chars().alias("text") for column in columns]
    )
    return "," if _evidence(texts) == "," else "auto"


def _from_text(cells: pl.Series, decimal: Decimal) -> pl.Series:
    if decimal != ",":
        value = cells.cast(pl.Float64, strict=False)
        if value.null_count() == cells.null_count():
            return value
    text = _number_texts(cells)
    if decimal == "auto":
        decimal = _evidence(text)
    return _without_groups(text, decimal).cast(pl.Float64, strict=False)


def _evidence(text: pl.Series) -> Decimal:
    """What most cells say about commas and points; "auto" where they contradict each other."""
    points = int(text.str.contains(_POINT_IS_DECIMAL).sum())
    commas = int(text.str.contains(_COMMA_IS_DECIMAL).sum())
    if commas and commas >= _CLEAR_MAJORITY * points:
        return ","
    return "." if points and points >= _CLEAR_MAJORITY * commas else "auto"


def _without_groups(text: pl.Series, decimal: Decimal) -> pl.Series:
    """Cells in the form that a cast to Float64 reads; those that do not fit `decimal` are null."""
    cell = pl.col("text")
    if decimal == "auto":
        kept: pl.Expr = pl.when(~cell.str.contains(",")).then("text")
    elif decimal == ".":
        grouped = cell.str.contains(_GROUPED_POINT)
        whole = cell.str.replace_all(",", "", literal=True)
        kept = pl.when(grouped).then(whole).when(~cell.str.contains(",")).then("text")
    else:
        groups = cell.str.contains(_GROUPED_COMMA)
        number = cell.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
        simple = cell.str.contains(_COMMA + r"|^[+-]?\d+$")
        kept = pl.when(groups | simple).then(number)
    return text.alias("text").to_frame().select(kept.alias("text"))["text"]


def _unread_numbers(found: pl.Series, values: pl.Series) -> pl.Series:
    """The sentence about every cell that holds something which is no number."""
    if values.null_count() == found.null_count():
        return pl.Series([None], dtype=pl.String).new_from_index(0, len(found))
    text = _number_texts(found)
    sentence = format_columns(
        "{} is {}, expected a number: correct the cell",
        pl.lit(excerpt(found.name, NAME)),
        quote_column("found"),
    )
    table = pl.DataFrame({"found": text, "value": values})
    return table.select(
        pl.when(pl.col("value").is_null() & pl.col("found").is_not_null()).then(sentence)
    )[:, 0]


# --- fixed point ----------------------------------------------------------------------------------


def _divisor_of(scale: float) -> float:
    """What a whole number of units is divided by; exact where 1 / scale is a whole number."""
    inverse = 1.0 / scale
    return float(round(inverse)) if abs(inverse - round(inverse)) < 1e-6 * inverse else inverse


def _divide(units: pl.Series, divisor: float) -> pl.Series:
    """`units` over `divisor`, each the nearest double; Polars multiplies by the inverse of a
    scalar, which is not.
    """
    return pl.Series(units.name, units.to_numpy() / divisor, pl.Float64, nan_to_null=True)


def _is_databento(names: Sequence[str]) -> bool:
    """Whether a file's columns are those of Databento's records."""
    return {plain(name) for name in names} >= _DATABENTO


def _are_whole(cells: pl.Series) -> bool:
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


def _find_divisor(
    prices: pl.DataFrame, names: Sequence[str], origin: str, zone: str, notes: list[str]
) -> float:
    """What the prices of a file are divided by, when the settings do not say; what people should
    know is added to `notes`.

    `prices` has the price columns as they are written, `names` the file's columns, `zone` the
    exchange's clock. Raises DataError for prices that nothing costs.
    """
    if not prices.width or not all(_are_whole(column) for column in prices.iter_columns()):
        return 1.0
    numbers = pl.concat(
        [column.cast(pl.Float64, strict=False).alias("price") for column in prices.iter_columns()]
    ).drop_nulls()
    middle = numbers.median()
    if not isinstance(middle, float):
        return 1.0
    if _is_databento(names) and middle >= _DATABENTO_FROM:
        notes.append(
            f"{origin}: its prices are Databento's whole numbers of 1e-9, and were divided by"
            f" 1,000,000,000 ({middle:,.0f} is {middle / _NANO:.10g})"
        )
        return _NANO
    settle = (
        "set market.files.price_scale to the worth of one unit (1e-9, 1e-4 or 0.01), or to 1 if"
        " they are prices as they stand"
    )
    if middle >= _REFUSED_FROM:
        raise DataError(
            f"{origin} has prices like {middle:,.0f}, which look like a fixed-point scale: {settle}"
        )
    smallest = _CENTS_FROM if zone == "America/New_York" else _SMALL_UNITS_FROM
    if middle >= smallest and prices.height >= _FEWEST_ROWS:
        notes.append(
            f"{origin}: every price is a whole number like {middle:,.0f}; if that counts a"
            f" fixed-point unit such as cents or 1/10000, {settle}"
        )
    return 1.0
