"""Bars as Polygon's flat files hold them."""

import gzip
from pathlib import Path

import polars as pl

from harmony_pipeline.testing.vendor_formats.file_bytes import (
    NEW_YORK,
    csv_bytes,
    price_texts,
    put,
)


def write_minutes(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """Flat files: one day of all tickers, nanoseconds, closes before highs, gzip."""
    paths = []
    for key, rows in bars.group_by(
        pl.col("timestamp").dt.convert_time_zone(NEW_YORK).dt.date().alias("day"),
        maintain_order=True,
    ):
        table = pl.DataFrame(
            [
                rows["symbol"].alias("ticker"),
                rows["volume"].cast(pl.Int64),
                *price_texts(rows, 2).select("open", "close", "high", "low").get_columns(),
                (rows["timestamp"].dt.epoch("us") * 1000).alias("window_start"),
                pl.Series("transactions", [120] * rows.height),
            ]
        )
        path = folder / f"{key[0]:%Y/%m/%Y-%m-%d}.csv.gz"
        paths.append(put(path, gzip.compress(csv_bytes(table), mtime=0)))
    return paths


def write_days(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """Daily flat files: the window starts at midnight in New York."""
    midnight = (
        pl.col("timestamp")
        .dt.replace_time_zone(None)
        .dt.replace_time_zone(NEW_YORK)
        .dt.convert_time_zone("UTC")
    )
    return write_minutes(folder, bars.with_columns(midnight))
