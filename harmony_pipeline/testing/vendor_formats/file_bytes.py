"""The bytes of vendors' files: texts of prices and stamps, CSV, zip and zstd."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pyarrow as pa

NEW_YORK, WARSAW = "America/New_York", "Europe/Warsaw"


def of_each(bars: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    """Each symbol with its rows."""
    return [(str(key[0]), rows) for key, rows in bars.group_by("symbol", maintain_order=True)]


def price_texts(rows: pl.DataFrame, decimals: int) -> pl.DataFrame:
    """`rows` with open, high, low and close as texts of so many decimals."""
    texts = [
        pl.Series(name, [f"{value:.{decimals}f}" for value in rows[name].to_list()])
        for name in ("open", "high", "low", "close")
    ]
    return rows.with_columns(texts)


def stamps(rows: pl.DataFrame, form: str, zone: str = "UTC", ahead: str = "0h") -> pl.Series:
    """Starts as texts of a form, by the clock of a zone, put ahead by a while."""
    local = rows["timestamp"].dt.convert_time_zone(zone).dt.replace_time_zone(None)
    return local.dt.offset_by(ahead).dt.strftime(form)


def csv_bytes(columns: pl.DataFrame, separator: str = ",", *, header: bool = True) -> bytes:
    """A CSV file of `columns`."""
    buffer = io.BytesIO()
    columns.write_csv(buffer, separator=separator, include_header=header, line_terminator="\r\n")
    return buffer.getvalue()


def put(path: Path, data: bytes) -> Path:
    """Write a file, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def zip_bytes(members: Mapping[str, bytes]) -> bytes:
    """A zip archive of these members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def zstd_bytes(data: bytes) -> bytes:
    """`data` packed by zstd."""
    packed = pa.Codec("zstd").compress(data, asbytes=True)
    assert isinstance(packed, bytes)
    return packed
