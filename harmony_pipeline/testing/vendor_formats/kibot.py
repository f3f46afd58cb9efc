"""Bars as Kibot writes them."""

from pathlib import Path

import polars as pl

from harmony_pipeline.testing.vendor_formats.file_bytes import (
    NEW_YORK,
    csv_bytes,
    of_each,
    price_texts,
    put,
    stamps,
)


def write_minutes(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """A file a symbol without a header: date, minute, prices, volume."""
    paths = []
    for symbol, rows in of_each(bars):
        table = pl.DataFrame(
            [
                stamps(rows, "%m/%d/%Y", NEW_YORK).alias("date"),
                stamps(rows, "%H:%M", NEW_YORK).alias("time"),
                *price_texts(rows, 2).select("open", "high", "low", "close").get_columns(),
                rows["volume"].cast(pl.Int64),
            ]
        )
        paths.append(put(folder / f"{symbol}.txt", csv_bytes(table, header=False)))
    return paths


def write_days(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """A file a symbol without a header: date, prices, volume."""
    paths = []
    for symbol, rows in of_each(bars):
        table = pl.DataFrame(
            [
                stamps(rows, "%m/%d/%Y").alias("date"),
                *price_texts(rows, 2).select("open", "high", "low", "close").get_columns(),
                rows["volume"].cast(pl.Int64),
            ]
        )
        paths.append(put(folder / f"{symbol}.txt", csv_bytes(table, header=False)))
    return paths
