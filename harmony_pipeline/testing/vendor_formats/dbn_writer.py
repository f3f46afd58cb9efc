"""Databento's binary files (DBN) of bars, written from their published layout, for tests and
examples.

Layout: github.com/databento/dbn, `rust/dbn/src/encode/dbn/sync.rs`. A file is `DBN`, a byte of
version, the length of the metadata (u32), the metadata (100 bytes of fixed fields, then lists of
symbols), and records of 56 bytes; all numbers are little-endian.
"""

import struct
from collections.abc import Sequence
from datetime import date

import numpy as np
import polars as pl

SYMBOL_BYTES = {1: 22, 2: 71, 3: 71}
_SCHEMAS = {"1Min": (6, 33), "1Hour": (7, 34), "1Day": (8, 35)}  # schema, record type
_RAW_SYMBOL, _INSTRUMENT_ID = 1, 0
_NONE = 2**64 - 1
_RECORD = np.dtype(
    [
        ("length", "u1"),
        ("rtype", "u1"),
        ("publisher_id", "<u2"),
        ("instrument_id", "<u4"),
        ("ts_event", "<u8"),
        ("open", "<i8"),
        ("high", "<i8"),
        ("low", "<i8"),
        ("close", "<i8"),
        ("volume", "<u8"),
    ]
)


def dbn_bytes(bars: pl.DataFrame, timeframe: str, version: int = 3) -> bytes:
    """A whole uncompressed file of `bars` (symbol, timestamp, open, high, low, close, volume)."""
    schema, rtype = _SCHEMAS[timeframe]
    symbols = bars["symbol"].unique(maintain_order=True).to_list()
    numbers = {symbol: 1000 + at for at, symbol in enumerate(symbols)}
    records = np.zeros(bars.height, _RECORD)
    records["length"] = _RECORD.itemsize // 4
    records["rtype"], records["publisher_id"] = rtype, 2
    records["instrument_id"] = [numbers[symbol] for symbol in bars["symbol"].to_list()]
    records["ts_event"] = bars["timestamp"].dt.epoch("us").to_numpy() * 1000
    for name in ("open", "high", "low", "close"):
        records[name] = np.rint(bars[name].to_numpy() * 1e9).astype(np.int64)
    records["volume"] = bars["volume"].to_numpy().astype(np.uint64)
    dates = bars["timestamp"].dt.date()
    return metadata_bytes(numbers, dates, schema, version) + records.tobytes()


def metadata_bytes(
    numbers: dict[str, int], dates: pl.Series, schema: int, version: int = 3
) -> bytes:
    """The head of a file whose symbols have these instrument ids on all of `dates`."""
    width = SYMBOL_BYTES[version]
    first, last = dates.min(), dates.max()
    assert isinstance(first, date)
    assert isinstance(last, date)
    fixed = struct.pack("<16sHQQQ", b"XNAS.ITCH", schema, _nanos(first), _NONE, 0)
    fixed += struct.pack("<Q", _NONE) if version == 1 else b""
    fixed += struct.pack("<BBB", _RAW_SYMBOL, _INSTRUMENT_ID, 0)
    fixed += struct.pack("<H", width) if version > 1 else b""
    fixed = fixed.ljust(100, b"\0")
    body = fixed + struct.pack("<I", 0) + _texts(list(numbers), width) + _texts([], width) * 2
    body += struct.pack("<I", len(numbers))
    for symbol, number in numbers.items():
        after = date.fromordinal(last.toordinal() + 1)
        body += _text(symbol, width) + struct.pack("<I", 1)
        body += struct.pack("<II", _digits(first), _digits(after)) + _text(str(number), width)
    if version == 3:
        body += bytes(-len(body) % 8)
    return b"DBN" + struct.pack("<BI", version, len(body)) + body


def _texts(names: Sequence[str], width: int) -> bytes:
    return struct.pack("<I", len(names)) + b"".join(_text(name, width) for name in names)


def _text(name: str, width: int) -> bytes:
    return name.encode().ljust(width, b"\0")


def _digits(day: date) -> int:
    return day.year * 10_000 + day.month * 100 + day.day


def _nanos(day: date) -> int:
    return (day.toordinal() - date(1970, 1, 1).toordinal()) * 86_400 * 10**9
