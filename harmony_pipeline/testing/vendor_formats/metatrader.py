"""Bars as MetaTrader writes them."""

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


def write_mt5(folder: Path, bars: pl.DataFrame, *, timed: bool = True) -> list[Path]:
    """Symbols, Bars, Export Bars: tabs, names in angle brackets, the server's clock, no column of
    times where the bars are daily.
    """
    paths = []
    for symbol, rows in of_each(bars):
        zone, ahead = (NEW_YORK, "7h") if timed else ("UTC", "0h")
        clock = [stamps(rows, "%H:%M:%S", zone, ahead).alias("<TIME>")] if timed else []
        priced = price_texts(rows, 5)
        table = pl.DataFrame(
            [
                stamps(rows, "%Y.%m.%d", zone, ahead).alias("<DATE>"),
                *clock,
                *(priced[name].alias(f"<{name.upper()}>") for name in ("open", "high", "low")),
                priced["close"].alias("<CLOSE>"),
                rows["volume"].cast(pl.Int64).alias("<TICKVOL>"),
                pl.Series("<VOL>", [0] * rows.height),
                pl.Series("<SPREAD>", [9] * rows.height),
            ]
        )
        size = "H1" if timed else "Daily"
        span = [stamps(rows, "%Y%m%d%H%M", zone, ahead)[at] for at in (0, -1)]
        name = f"{symbol}_{size}_{span[0]}_{span[1]}.csv"
        paths.append(put(folder / name, csv_bytes(table, "\t")))
    return paths


def write_mt5_daily(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """MetaTrader 5's export without times."""
    return write_mt5(folder, bars, timed=False)


def write_mt5_chart(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """A chart's File, Save: UTF-16, commas, no line of names, tick volume and real volume."""
    paths = []
    for symbol, rows in of_each(bars):
        table = pl.DataFrame(
            [
                stamps(rows, "%Y.%m.%d %H:%M:%S", NEW_YORK, "7h").alias("stamp"),
                *price_texts(rows, 5).select("open", "high", "low", "close").get_columns(),
                rows["volume"].cast(pl.Int64).alias("ticks"),
                pl.Series("real", [0] * rows.height),
            ]
        )
        text = csv_bytes(table, header=False).decode()
        paths.append(put(folder / f"{symbol}H1.csv", b"\xff\xfe" + text.encode("utf-16-le")))
    return paths


def write_mt5_python(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """`pandas.DataFrame(copy_rates_range(...)).to_csv()`: seconds of the server's clock."""
    paths = []
    for symbol, rows in of_each(bars):
        wall = rows["timestamp"].dt.convert_time_zone(NEW_YORK).dt.replace_time_zone(None)
        table = pl.DataFrame(
            [
                wall.dt.offset_by("7h").dt.epoch("s").alias("time"),
                *price_texts(rows, 5).select("open", "high", "low", "close").get_columns(),
                rows["volume"].cast(pl.Int64).alias("tick_volume"),
                pl.Series("spread", [9] * rows.height),
                pl.Series("real_volume", [0] * rows.height),
            ]
        )
        paths.append(put(folder / f"{symbol}_H1.csv", csv_bytes(table)))
    return paths


def write_mt4(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """History Center, Export: `2024.03.07,17:00,...` without a line of names, `EURUSD60.csv`."""
    paths = []
    for symbol, rows in of_each(bars):
        table = pl.DataFrame(
            [
                stamps(rows, "%Y.%m.%d", NEW_YORK, "7h").alias("date"),
                stamps(rows, "%H:%M", NEW_YORK, "7h").alias("time"),
                *price_texts(rows, 5).select("open", "high", "low", "close").get_columns(),
                rows["volume"].cast(pl.Int64),
            ]
        )
        paths.append(put(folder / f"{symbol}60.csv", csv_bytes(table, header=False)))
    return paths
