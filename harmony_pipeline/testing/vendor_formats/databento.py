"""Bars as Databento writes them, in CSV and DBN."""

from pathlib import Path

import polars as pl

from harmony_pipeline.testing.vendor_formats.dbn_writer import dbn_bytes
from harmony_pipeline.testing.vendor_formats.file_bytes import (
    csv_bytes,
    of_each,
    price_texts,
    put,
    zstd_bytes,
)


def _rows(bars: pl.DataFrame, *, pretty: bool) -> pl.DataFrame:
    nanos = bars["timestamp"].dt.epoch("us") * 1000
    stamp = bars["timestamp"].dt.strftime("%Y-%m-%dT%H:%M:%S.000000000Z") if pretty else nanos
    numbers = {symbol: 1000 + at for at, (symbol, _) in enumerate(of_each(bars))}
    prices = (
        price_texts(bars, 9)
        if pretty
        else bars.with_columns(
            (pl.col("open", "high", "low", "close") * 1e9).round().cast(pl.Int64)
        )
    )
    return pl.DataFrame(
        [
            stamp.alias("ts_event"),
            pl.Series("rtype", [33] * bars.height),
            pl.Series("publisher_id", [2] * bars.height),
            bars["symbol"].replace_strict(numbers).alias("instrument_id"),
            *prices.select("open", "high", "low", "close").get_columns(),
            bars["volume"].cast(pl.Int64),
            bars["symbol"],
        ]
    )


def write_csv(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """One zstd file by time, prices as decimals and stamps as texts."""
    name = "xnas-itch-20240307-20240315.ohlcv-1m.csv.zst"
    ordered = bars.sort("timestamp", "symbol")
    return [put(folder / name, zstd_bytes(csv_bytes(_rows(ordered, pretty=True))))]


def write_whole_csv(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """One plain file by symbol, prices and stamps as whole numbers."""
    name = "xnas-itch-20240307-20240315.ohlcv-1m.csv"
    return [put(folder / name, csv_bytes(_rows(bars, pretty=False)))]


def write_dbn(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """One day a file, as a split download comes; zstd on the first, plain on the others."""
    paths = []
    for at, (key, rows) in enumerate(
        bars.group_by(pl.col("timestamp").dt.date().alias("day"), maintain_order=True)
    ):
        data = dbn_bytes(rows.sort("timestamp", "symbol"), "1Min", version=1 + at % 3)
        name = f"xnas-itch-{key[0]:%Y%m%d}.ohlcv-1m.dbn"
        path = folder / (name if at else f"{name}.zst")
        paths.append(put(path, data if at else zstd_bytes(data)))
    return paths


def write_daily_dbn(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """One DBN file of a bar a session."""
    data = dbn_bytes(bars.sort("timestamp", "symbol"), "1Day")
    return [put(folder / "xnas-itch-20230901-20240331.ohlcv-1d.dbn.zst", zstd_bytes(data))]
