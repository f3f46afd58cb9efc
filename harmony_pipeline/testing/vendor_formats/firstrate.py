"""Bars as FirstRate writes them."""

from pathlib import Path

import polars as pl

from harmony_pipeline.testing.vendor_formats.file_bytes import (
    NEW_YORK,
    csv_bytes,
    of_each,
    price_texts,
    put,
    stamps,
    zip_bytes,
)


def write_minutes(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """The archive of one letter: a text file a ticker, without a line of names."""
    members = {}
    for symbol, rows in of_each(bars):
        table = pl.DataFrame(
            [
                stamps(rows, "%Y-%m-%d %H:%M:%S", NEW_YORK).alias("stamp"),
                *price_texts(rows, 2).select("open", "high", "low", "close").get_columns(),
                rows["volume"].cast(pl.Int64),
            ]
        )
        members[f"{symbol}_full_1min_UNADJUSTED.txt"] = csv_bytes(table, header=False)
    return [put(folder / "stock_A_full_1min_UNADJUSTED_a1b2c3.zip", zip_bytes(members))]


def write_sample(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """A free sample: the same with a line of names."""
    paths = []
    for symbol, rows in of_each(bars):
        table = pl.DataFrame(
            [
                stamps(rows, "%Y-%m-%d %H:%M:%S", NEW_YORK).alias("timestamp"),
                *price_texts(rows, 2).select("open", "high", "low", "close").get_columns(),
                rows["volume"].cast(pl.Int64),
            ]
        )
        paths.append(put(folder / f"{symbol}_1min_sample.csv", csv_bytes(table)))
    return paths
