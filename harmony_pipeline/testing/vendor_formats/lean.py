"""Bars as Lean's zips hold them."""

from collections.abc import Callable
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


def _millis(rows: pl.DataFrame, zone: str) -> pl.Series:
    wall = rows["timestamp"].dt.convert_time_zone(zone)
    return ((wall.dt.hour().cast(pl.Int64) * 60 + wall.dt.minute()) * 60_000).alias("millis")


def _ten_thousandths(rows: pl.DataFrame) -> list[pl.Series]:
    scaled = rows.with_columns(
        (pl.col("open", "high", "low", "close") * 1e4).round().cast(pl.Int64)
    )
    return scaled.select("open", "high", "low", "close").get_columns()


def _minutes(
    folder: Path,
    bars: pl.DataFrame,
    zone: str,
    place: str,
    columns: Callable[[pl.DataFrame], list[pl.Series]],
    kind: str = "trade",
) -> list[Path]:
    paths = []
    local = pl.col("timestamp").dt.convert_time_zone(zone).dt.strftime("%Y%m%d")
    for key, rows in bars.group_by("symbol", local.alias("day"), maintain_order=True):
        name = str(key[0]).lower()
        table = pl.DataFrame([_millis(rows, zone), *columns(rows)])
        member = f"{key[1]}_{name}_minute_{kind}.csv"
        path = folder / place / name / f"{key[1]}_{kind}.zip"
        paths.append(put(path, zip_bytes({member: csv_bytes(table, header=False)})))
    return paths


def write_equity_minutes(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """A zip a symbol and day."""
    return _minutes(
        folder,
        bars,
        NEW_YORK,
        "equity/usa/minute",
        lambda rows: [*_ten_thousandths(rows), rows["volume"].cast(pl.Int64)],
    )


def _long(folder: Path, bars: pl.DataFrame, size: str) -> list[Path]:
    paths = []
    for symbol, rows in of_each(bars):
        zone = "UTC" if size == "daily" else NEW_YORK
        table = pl.DataFrame(
            [
                stamps(rows, "%Y%m%d %H:%M", zone).alias("stamp"),
                *_ten_thousandths(rows),
                rows["volume"].cast(pl.Int64),
            ]
        )
        name = symbol.lower()
        path = folder / f"equity/usa/{size}/{name}.zip"
        paths.append(put(path, zip_bytes({f"{name}.csv": csv_bytes(table, header=False)})))
    return paths


def write_equity_hours(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """A zip a symbol."""
    return _long(folder, bars, "hour")


def write_equity_days(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """A zip a symbol."""
    return _long(folder, bars, "daily")


def write_crypto(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """A zip a symbol and day."""
    return _minutes(
        folder,
        bars,
        "UTC",
        "crypto/binance/minute",
        lambda rows: [
            *price_texts(rows, 2).select("open", "high", "low", "close").get_columns(),
            rows["volume"],
        ],
    )


def write_forex(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """Quote bars of an hour: bid, its size, ask, its size; a spread of two points."""
    paths = []
    for symbol, rows in of_each(bars):
        sides = [
            price_texts(rows.with_columns(pl.col("open", "high", "low", "close") + step), 5)
            for step in (-0.00001, 0.00001)
        ]
        table = pl.DataFrame([stamps(rows, "%Y%m%d %H:%M").alias("stamp")]).hstack(
            [
                column.alias(f"{side}{name}")
                for side, own in zip(("bid", "ask"), sides, strict=True)
                for name, column in (
                    *((name, own[name]) for name in ("open", "high", "low", "close")),
                    ("size", pl.Series([0] * rows.height)),
                )
            ]
        )
        name = symbol.lower()
        path = folder / f"forex/oanda/hour/{name}.zip"
        paths.append(put(path, zip_bytes({f"{name}.csv": csv_bytes(table, header=False)})))
    return paths


def write_future(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """One zip a day with a member for each contract."""
    paths = []
    day = pl.col("timestamp").dt.strftime("%Y%m%d").alias("day")
    for key, rows in bars.group_by(day, maintain_order=True):
        table = pl.DataFrame(
            [
                _millis(rows, "UTC"),
                *price_texts(rows, 2).select("open", "high", "low", "close").get_columns(),
                rows["volume"].cast(pl.Int64),
            ]
        )
        members = {f"{key[0]}_es_minute_trade_202406.csv": csv_bytes(table, header=False)}
        path = folder / f"future/cme/minute/es/{key[0]}_trade.zip"
        paths.append(put(path, zip_bytes(members)))
    return paths
