"""Numbers in cells of text: what is surely one number becomes it, everything else becomes null.

A comma may separate thousands or decimals. `1,234.56` and `1,234,567` can only mean one thing, and so
can `1.234,56`. `1,234` alone can mean two: the column's other cells decide, or the prices of a file
that `;` delimits, or `[market.files] decimal`; otherwise the cell cannot be read.
"""

from typing import Literal

import polars as pl

Decimal = Literal["auto", ".", ","]

_NO_NUMBER = ("", "-", "--", "\u2013", "\u2014", "nan", "null", "none", "na", "n/a", "#n/a", "nat", "<na>")
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


def written_numbers(cells: pl.Series) -> pl.Series:
    """Cells as text without surrounding blanks; null for the usual words for "no number"."""
    table = cells.cast(pl.String).str.strip_chars().alias("text").to_frame()
    absent = pl.col("text").str.to_lowercase().is_in(_NO_NUMBER)
    return table.select(pl.when(~absent).then("text"))["text"]


def read_numbers(cells: pl.Series, decimal: Decimal = "auto") -> pl.Series:
    """Cells as Float64; null where there is no value, no number, or no finite one."""
    is_typed = cells.dtype.is_numeric()
    value = cells.cast(pl.Float64, strict=False) if is_typed else _from_text(cells.cast(pl.String), decimal)
    if value.is_finite().all():
        return value
    return value.to_frame("value").select(pl.when(pl.col("value").is_finite()).then("value"))["value"]


def decimal_of(columns: list[pl.Series], delimiter: str) -> Decimal:
    """Which sign separates decimals in a file, by its columns of prices: "," only where `;` delimits."""
    if delimiter != ";" or not columns:
        return "auto"
    texts = pl.concat([column.cast(pl.String).str.strip_chars().alias("text") for column in columns])
    return "," if _evidence(texts) == "," else "auto"


def _from_text(cells: pl.Series, decimal: Decimal) -> pl.Series:
    if decimal != ",":
        value = cells.cast(pl.Float64, strict=False)
        if value.null_count() == cells.null_count():
            return value
    text = written_numbers(cells)
    if decimal == "auto":
        decimal = _evidence(text)
    plain = _without_groups(text, decimal)
    return plain.cast(pl.Float64, strict=False)


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
