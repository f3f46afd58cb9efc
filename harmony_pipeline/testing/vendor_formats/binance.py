"""Bars as Binance's public dumps hold them."""

from pathlib import Path

import polars as pl

from harmony_pipeline.testing.vendor_formats.file_bytes import (
    csv_bytes,
    price_texts,
    put,
    zip_bytes,
)


def write_spot(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """Spot dumps: a zip a month, no line of names; milliseconds to 2024, microseconds from 2025."""
    paths = []
    for key, rows in bars.group_by(
        "symbol", pl.col("timestamp").dt.strftime("%Y-%m").alias("month"), maintain_order=True
    ):
        unit = 1 if str(key[1]) >= "2025" else 1000
        stem = f"{key[0]}-1m-{key[1]}"
        data = csv_bytes(_rows(rows, unit), header=False).replace(b"\r\n", b"\n")
        paths.append(put(folder / f"{stem}.zip", zip_bytes({f"{stem}.csv": data})))
    return paths


def write_futures(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """Futures dumps: milliseconds in all years, with a line of names since May 2022."""
    paths = []
    for key, rows in bars.group_by(
        "symbol", pl.col("timestamp").dt.date().alias("day"), maintain_order=True
    ):
        stem = f"{key[0]}-1m-{key[1]}"
        data = csv_bytes(_rows(rows, 1000)).replace(b"\r\n", b"\n")
        paths.append(put(folder / f"{stem}.zip", zip_bytes({f"{stem}.csv": data})))
    return paths


def _rows(rows: pl.DataFrame, unit: int) -> pl.DataFrame:
    opened = rows["timestamp"].dt.epoch("us") // unit
    amount = rows["volume"] * rows["close"]
    return pl.DataFrame(
        [
            opened.alias("open_time"),
            *price_texts(rows, 8).select("open", "high", "low", "close").get_columns(),
            pl.Series("volume", [f"{value:.8f}" for value in rows["volume"].to_list()]),
            (opened + 60_000_000 // unit - 1).alias("close_time"),
            amount.round(8).alias("quote_volume"),
            pl.Series("count", [900] * rows.height),
            (rows["volume"] / 2).round(8).alias("taker_buy_volume"),
            (amount / 2).round(8).alias("taker_buy_quote_volume"),
            pl.Series("ignore", [0] * rows.height),
        ]
    )
