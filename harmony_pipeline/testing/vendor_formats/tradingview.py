"""Bars as TradingView exports them."""

from pathlib import Path

import polars as pl

from harmony_pipeline.testing.vendor_formats.file_bytes import (
    NEW_YORK,
    csv_bytes,
    of_each,
    price_texts,
    put,
)


def write_shares(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """Export chart data with UNIX time; an indicator stands beside the volume."""
    paths = []
    for symbol, rows in of_each(bars):
        table = pl.DataFrame(
            [
                rows["timestamp"].dt.epoch("s").alias("time"),
                *price_texts(rows, 2).select("open", "high", "low", "close").get_columns(),
                rows["volume"].cast(pl.Int64).alias("Volume"),
                rows["volume"].round(2).alias("Volume MA"),
            ]
        )
        paths.append(put(folder / f"BATS_{symbol}, 1.csv", csv_bytes(table)))
    return paths


def write_currencies(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """ISO time, and no column of volume, as charts without that study are exported."""
    paths = []
    for symbol, rows in of_each(bars):
        stamp = rows["timestamp"].dt.convert_time_zone(NEW_YORK).dt.strftime("%Y-%m-%dT%H:%M:%S%:z")
        table = pl.DataFrame(
            [
                stamp.alias("time"),
                *price_texts(rows, 5).select("open", "high", "low", "close").get_columns(),
            ]
        )
        paths.append(put(folder / f"OANDA_{symbol}, 60.csv", csv_bytes(table)))
    return paths
