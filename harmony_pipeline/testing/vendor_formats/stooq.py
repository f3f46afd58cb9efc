"""Bars as Stooq writes them."""

from pathlib import Path

import polars as pl

from harmony_pipeline.testing.vendor_formats.file_bytes import (
    WARSAW,
    csv_bytes,
    of_each,
    price_texts,
    put,
    stamps,
)


def _rows(rows: pl.DataFrame, symbol: str, per: str, zone: str, moved: str) -> bytes:
    size = rows.height
    table = pl.DataFrame(
        [
            pl.Series("<TICKER>", [symbol] * size),
            pl.Series("<PER>", [per] * size),
            stamps(rows, "%Y%m%d", zone, moved).alias("<DATE>"),
            stamps(rows, "%H%M%S", zone, moved).alias("<TIME>"),
            *(
                price_texts(rows, 3)[name].alias(f"<{name.upper()}>")
                for name in ("open", "high", "low", "close")
            ),
            rows["volume"].alias("<VOL>"),
            pl.Series("<OPENINT>", [0] * size),
        ]
    )
    return csv_bytes(table)


def write_days(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """A file a symbol in the folders of the archive, a bar a session."""
    return _write_archive(folder, bars, "daily", ("D", "UTC", "0h"))


def write_fives(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """Five minutes: the start of the bar on Warsaw's clock."""
    return _write_archive(folder, bars, "5 min", ("5", WARSAW, "0h"))


def write_hours(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """Hours: the end of the bar on Warsaw's clock."""
    return _write_archive(folder, bars, "hourly", ("60", WARSAW, "1h"))


def _write_archive(
    folder: Path, bars: pl.DataFrame, size: str, rows: tuple[str, str, str]
) -> list[Path]:
    """A file a symbol, in the folders of the archive; `rows`: period, clock and how far the stamp
    is from the start.
    """
    place = folder / f"data/{size}/us/nasdaq stocks"
    return [
        put(place / f"{symbol.lower()}.txt", _rows(own, symbol, *rows))
        for symbol, own in of_each(bars)
    ]


def write_page(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """What a page of stooq.pl hands out: Polish names, one symbol."""
    paths = []
    for symbol, rows in of_each(bars):
        table = pl.DataFrame(
            [
                stamps(rows, "%Y-%m-%d").alias("Data"),
                *(
                    price_texts(rows, 2)[name].alias(theirs)
                    for name, theirs in (
                        ("open", "Otwarcie"),
                        ("high", "Najwyzszy"),
                        ("low", "Najnizszy"),
                        ("close", "Zamkniecie"),
                    )
                ),
                rows["volume"].cast(pl.Int64).alias("Wolumen"),
            ]
        )
        paths.append(put(folder / f"{symbol.lower()}_us_d.csv", csv_bytes(table)))
    return paths
