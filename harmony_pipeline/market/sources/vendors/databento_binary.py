"""Databento's binary files (DBN, versions 1 to 3) of bars, as tables.

    from rust/dbn/src/encode/dbn/sync.rs and record.rs of github.com/databento/dbn:
    "DBN", version (u8), length of the metadata (u32), metadata, records; little-endian

A record begins with its length in units of four bytes, its type, the venue and the number of the
instrument. Bars have 56 bytes in every version. Prices are whole numbers of 1e-9; the largest
number stands for none. The metadata says which symbol has which instrument number on which dates;
a recording of a live stream says it in records of its own.

Own code instead of the package databento-dbn, since bars are one fixed record, and a broken file
should be named with its record and a cure. The tests compare it with files that the package wrote.
"""

import struct
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
import polars as pl

from harmony_pipeline.arrays import IntArray
from harmony_pipeline.errors import DataError
from harmony_pipeline.market.sources.text_forms import TextTable

MAGIC = b"DBN"
_KNOWN_VERSIONS = (1, 2, 3)
_HEAD, _FIXED = 8, 100  # bytes before the metadata, and of its fields of fixed size
_SYMBOL_BYTES_V1 = 22
_RAW_SYMBOL, _INSTRUMENT_ID, _NO_STYPE = 1, 0, 255
_NO_SCHEMA = 0xFFFF
_NO_PRICE, _NO_TIME = 2**63 - 1, 2**64 - 1
_SCHEMAS = {
    0: "mbo", 1: "mbp-1", 2: "mbp-10", 3: "tbbo", 4: "trades", 5: "ohlcv-1s", 6: "ohlcv-1m",
    7: "ohlcv-1h", 8: "ohlcv-1d", 9: "definition", 10: "statistics", 11: "status", 12: "imbalance",
    13: "ohlcv-eod", 14: "cmbp-1", 15: "cbbo-1s", 16: "cbbo-1m", 17: "tcbbo", 18: "bbo-1s",
    19: "bbo-1m",
}  # fmt: skip
_BAR_TYPES = (17, 32, 33, 34, 35, 36)  # of any length (old files), second, minute, hour, day, eod
_MAPPING_TYPE = 22
_UNIT = 4  # bytes that a record's length counts
_BAR = np.dtype(
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
_PRICES = ("open", "high", "low", "close")
_DAY = 86_400 * 10**9
_FIRST_DAY, _LAST_DAY = date(1970, 1, 1), date(2100, 1, 1)


@dataclass
class _Symbols:
    """Which symbol an instrument number means on which days (from 1970, the last exclusive)."""

    rows: list[tuple[int, int, int, str]] = field(default_factory=list)

    def add(self, number: str, first: int, after: int, symbol: str) -> None:
        if number.isdigit() and symbol:
            self.rows.append((int(number), first, after, symbol))

    def of(self, numbers: IntArray, days: IntArray) -> pl.Series:
        """The symbol of each row; null where none is known."""
        rows = sorted(self.rows)
        names = pl.Series("symbol", [row[3] for row in rows], pl.String)
        if not rows:
            return pl.Series("symbol", [None], pl.String).new_from_index(0, len(numbers))
        known = np.array([row[:3] for row in rows], np.int64)
        place = np.searchsorted(known[:, 0] << 32 | known[:, 1], numbers << 32 | days, "right") - 1
        fits = (place >= 0) & (known[place, 0] == numbers) & (days < known[place, 2])
        return names.gather(pl.Series(place).set(pl.Series(~fits), None))


@dataclass(frozen=True)
class _Metadata:
    version: int
    schema: int
    symbols: _Symbols
    end: int
    """where the records begin"""


def read_bars_of_dbn(data: bytes, origin: str, stem: str) -> TextTable:
    """The bars of an unpacked DBN file, one row a record, in the columns of Databento's CSV. Raises
    DataError in one line for a broken file, and for one that holds something else.
    """
    head = _read_metadata(data, origin)
    if head.schema != _NO_SCHEMA and not _SCHEMAS.get(head.schema, "ohlcv").startswith("ohlcv"):
        raise DataError(
            f"{origin} holds Databento's schema '{_SCHEMAS[head.schema]}', and bars are read from"
            " ohlcv-1s, ohlcv-1m, ohlcv-1h or ohlcv-1d: request one of these, or take the file out"
        )
    records, places = _bar_records(data, head, origin)
    numbers = records["instrument_id"].astype(np.int64)
    stamps = records["ts_event"]
    days = np.where(stamps == _NO_TIME, 0, stamps // _DAY).astype(np.int64)
    named = head.symbols.of(numbers, days)
    if len(records) and named.null_count() == len(named):
        raise DataError(
            f"{origin} names no symbol for its instrument numbers (the first is {numbers[0]}):"
            " request it with stype_in raw_symbol, parent or continuous, or as CSV with map_symbols"
        )
    cells = pl.DataFrame(
        {
            "ts_event": _stamps(stamps),
            "publisher_id": records["publisher_id"].astype(np.int64),
            "instrument_id": numbers,
            **{name: _prices(records[name]) for name in _PRICES},
            "volume": records["volume"].astype(np.float64),
            "symbol": named,
        }
    )
    return TextTable(
        origin,
        stem,
        cells,
        pl.Series("row", places, pl.Int64),
        pl.Series("bent", [None], pl.String).new_from_index(0, len(places)),
        tuple(cells.columns),
    )


def _stamps(nanos: np.ndarray) -> pl.Series:  # type: ignore[type-arg]
    known = pl.Series(nanos.astype(np.int64)).set(pl.Series(nanos >= _NO_TIME), None)
    return known.cast(pl.Datetime("ns", "UTC"))


def _prices(units: np.ndarray) -> pl.Series:  # type: ignore[type-arg]
    """Units of 1e-9 as the nearest double of their quotient."""
    return pl.Series(units / 1e9).set(pl.Series(units == _NO_PRICE), None)


# --- metadata -------------------------------------------------------------------------------------


def _read_metadata(data: bytes, origin: str) -> _Metadata:
    version = data[len(MAGIC)] if len(data) > len(MAGIC) else 0
    if len(data) >= _HEAD and version not in _KNOWN_VERSIONS:
        raise DataError(
            f"{origin} is a DBN file of version {version}, and Harmony reads"
            f" {_KNOWN_VERSIONS[0]} to {_KNOWN_VERSIONS[-1]}: convert it with databento's command"
            " dbn, or request it as CSV"
        )
    length = int.from_bytes(data[4:8], "little") if len(data) >= _HEAD else _FIXED
    if len(data) < _HEAD + length or length < _FIXED:
        raise DataError(
            f"{origin} is not a whole DBN file: its metadata should have {length:,} bytes and"
            f" {max(len(data) - _HEAD, 0):,} are there; fetch it again"
        )
    body = data[_HEAD : _HEAD + length]
    (schema,) = struct.unpack_from("<H", body, 16)
    skipped = 8 if version == 1 else 0
    stype_in, stype_out = body[42 + skipped], body[43 + skipped]
    width = _SYMBOL_BYTES_V1
    if version > 1:
        (width,) = struct.unpack_from("<H", body, 45)
    try:
        symbols = _read_mappings(body, width, inverse=stype_in == _INSTRUMENT_ID != stype_out)
    except (struct.error, ValueError):
        raise DataError(
            f"{origin} is not a whole DBN file: its list of symbols cannot be read; fetch it again"
        ) from None
    return _Metadata(version, schema, symbols, _HEAD + length)


def _read_mappings(body: bytes, width: int, *, inverse: bool) -> _Symbols:
    """The symbols of the metadata. Raises struct.error or ValueError when they are cut off."""
    symbols, at = _Symbols(), _FIXED
    (definitions,) = struct.unpack_from("<I", body, at)
    at += 4 + definitions
    for _ in range(3):  # asked for, partly found, not found
        (count,) = struct.unpack_from("<I", body, at)
        at += 4 + count * width
    (count,) = struct.unpack_from("<I", body, at)
    at += 4
    for _ in range(count):
        asked, (spans,) = _text(body, at, width), struct.unpack_from("<I", body, at + width)
        at += width + 4
        for _ in range(spans):
            first, after = struct.unpack_from("<II", body, at)
            found = _text(body, at + 8, width)
            number, symbol = (asked, found) if inverse else (found, asked)
            symbols.add(number, _day(first), _day(after), symbol)
            at += 8 + width
    return symbols


def _text(body: bytes, at: int, width: int) -> str:
    if at + width > len(body):
        raise ValueError(at)
    return body[at : at + width].split(b"\0", 1)[0].decode("utf-8", errors="replace")


def _day(digits: int) -> int:
    found = date(digits // 10_000, digits // 100 % 100, digits % 100)
    return (found - _FIRST_DAY) // timedelta(days=1)


# --- records --------------------------------------------------------------------------------------


def _bar_records(data: bytes, head: _Metadata, origin: str) -> tuple[np.ndarray, list[int]]:  # type: ignore[type-arg]
    """The records of bars, and the number of each among all records (the first is 1)."""
    size, step = len(data) - head.end, _BAR.itemsize
    if size % step == 0:
        records = np.frombuffer(data, _BAR, offset=head.end)
        alike = (records["length"] * _UNIT == step) & np.isin(records["rtype"], _BAR_TYPES)
        if alike.all():
            return records, list(range(1, len(records) + 1))
    starts, numbers, at, number = [], [], head.end, 0
    while at < len(data):
        length, kind = data[at] * _UNIT, data[at + 1] if at + 1 < len(data) else 0
        number += 1
        if length < 16 or at + length > len(data):
            raise DataError(
                f"{origin} is not a whole DBN file: record {number:,} should have {length} bytes,"
                f" and {len(data) - at} are left; fetch it again"
            )
        if kind in _BAR_TYPES and length >= step:
            starts.append(at)
            numbers.append(number)
        elif kind == _MAPPING_TYPE:
            _add_mapping(data[at : at + length], head)
        at += length
    whole = b"".join(data[start : start + step] for start in starts)
    return np.frombuffer(whole, _BAR), numbers


def _add_mapping(record: bytes, head: _Metadata) -> None:
    """Take over what a record of a live stream says of a symbol."""
    version_1 = head.version == 1
    width = _SYMBOL_BYTES_V1 if version_1 else (len(record) - 16 - 2 - 16) // 2
    first = 16 if version_1 else 17
    second = first + width + (0 if version_1 else 1)
    asked, found = (record[at : at + width].split(b"\0", 1)[0].decode() for at in (first, second))
    (number,) = struct.unpack_from("<I", record, 4)
    symbol = asked if found.isdigit() or not found else found
    days = (0, (_LAST_DAY - _FIRST_DAY) // timedelta(days=1))
    head.symbols.add(str(number), *days, symbol)
