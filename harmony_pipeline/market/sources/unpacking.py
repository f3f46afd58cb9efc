"""The bytes of a file, unpacked in bounded memory: plain, gzip, zstd, zip, and these inside a zip.

A file that only looks like text (a workbook, a web page, another packing) is refused by what it is.
A file that unpacks to more than the settings allow is refused before memory holds it.
"""

import gzip
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from harmony_pipeline.errors import DataError
from harmony_pipeline.market.sources.file_discovery import stem_of
from harmony_pipeline.text import excerpt

_CHUNK = 1 << 22
_ALWAYS_ALLOWED = 64 << 20  # bytes: below this any ratio is harmless
_GZIP, _ZIP, _ZSTD = b"\x1f\x8b", b"PK\x03\x04", b"\x28\xb5\x2f\xfd"
_OTHER_FORMATS = (
    (b"PAR1", "a Parquet file: name it .parquet"),
    (b"PARE", "an encrypted Parquet file: write it again without encryption, as .parquet"),
    (b"BZh", "packed by bzip2, which Harmony does not read: unpack it, or pack it by gzip"),
    (b"\xfd7zXZ\x00", "packed by xz, which Harmony does not read: unpack it, or pack it by gzip"),
    (
        b"\x50\x2a\x4d\x18",
        "a file of Databento's old form DBZ: convert it with the command dbn, or fetch it again",
    ),
    (
        b"\x04\x22\x4d\x18",
        "packed by lz4, which Harmony does not read: unpack it, or pack it by gzip",
    ),
    (
        b"7z\xbc\xaf\x27\x1c",
        "a 7z archive, which Harmony does not read: unpack it, or make a zip of it",
    ),
    (b"Rar!", "a rar archive, which Harmony does not read: unpack it, or make a zip of it"),
    (b"ARROW1", "an Arrow (Feather) file: write it as Parquet"),
    (b"\x89HDF", "an HDF5 file: write it as Parquet"),
    (b"SQLite format 3", "a SQLite database: write the table as CSV or Parquet"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook: save the sheet as CSV"),
    (b"%PDF", "a PDF document: fetch the data as CSV"),
    (b"\x7fELF", "a program, not a table"),
)
_WEB_PAGE = (b"<!doctype", b"<html", b"<?xml")
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    RuntimeError,
    NotImplementedError,
    OSError,
    EOFError,
    ValueError,
    struct.error,
)


@dataclass(frozen=True)
class TextLimits:
    """How long a text file may be: `most_bytes` when unpacked, and `most_ratio` times its packed
    size.
    """

    most_bytes: int = 4096 << 20
    most_ratio: int = 200


@dataclass(frozen=True)
class UnpackedText:
    """One table's bytes, with the name it is known by, the stem that may hold its symbol, and the
    name of the file or of the member of a zip.
    """

    origin: str
    stem: str
    data: bytes
    member: str


def unpack_texts(path: Path, origin: str, limits: TextLimits) -> Iterator[UnpackedText]:
    """The texts in a file: one, or one a member of a zip. Raises DataError in one line."""
    try:
        size = path.stat().st_size
        _refuse_size(size, size, origin, limits)
        data = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{origin} cannot be read ({error.strerror}): let this user read it, or take it out"
        ) from None
    suffix = path.suffix.lower()
    if data[:4] == _ZIP or (suffix == ".zip" and data):
        yield from _unzip(data, path, origin, limits)
        return
    if data[:2] == _GZIP or (suffix == ".gz" and data):
        _refuse_other_formats(data, origin)
        data = _gunzip(data, len(data), origin, limits)
    elif data[:4] == _ZSTD or (suffix == ".zst" and data):
        _refuse_other_formats(data, origin)
        data = _unpack_zstd(data, len(data), origin, limits)
    _refuse_other_formats(data, origin)
    if _is_packed(data):
        raise DataError(
            f"{origin} is packed more than once: unpack it, and pack it by gzip or zip once"
        )
    yield UnpackedText(origin, stem_of(path.name), data, path.name)


def _is_packed(data: bytes) -> bool:
    return data[:2] == _GZIP or data[:4] in {_ZIP, _ZSTD}


def _unzip(data: bytes, path: Path, origin: str, limits: TextLimits) -> Iterator[UnpackedText]:
    _refuse_other_formats(data, origin)
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        members = sorted(
            name
            for name in archive.namelist()
            if not name.endswith("/") and not name.startswith("__MACOSX")
        )
    except _ZIP_ERRORS as error:
        raise DataError(
            f"{origin} is not a whole zip file that can be opened ({excerpt(error)}): fetch it"
            " again"
        ) from None
    if "[Content_Types].xml" in members:
        raise DataError(f"{origin} is an Excel workbook: save the sheet as CSV")
    if not members:
        raise DataError(
            f"{origin} is a zip file with nothing in it: fetch it again, or take it out of the"
            " folder"
        )
    total = 0
    for name in members:
        alone = len(members) == 1
        member_origin = origin if alone else f"{origin}/{excerpt(name)}"
        try:
            with archive.open(name) as stream:
                content = _read_bounded(stream, len(data), member_origin, limits, total)
        except _ZIP_ERRORS as error:
            reason = "it needs a password" if "encrypted" in str(error) else excerpt(error)
            raise DataError(
                f"{member_origin} cannot be unpacked ({reason}): fetch it again, or unpack it and"
                " name the CSV"
            ) from None
        total += len(content)
        if content[:2] == _GZIP:
            content = _gunzip(content, len(data), member_origin, limits)
        elif content[:4] == _ZSTD:
            content = _unpack_zstd(content, len(data), member_origin, limits)
        _refuse_other_formats(content, member_origin)
        if _is_packed(content):
            raise DataError(
                f"{member_origin} is packed more than once: unpack it, and make one zip of the"
                " tables"
            )
        stem = stem_of(path.name if alone else name)
        yield UnpackedText(member_origin, stem, content, Path(name).name)


def _gunzip(data: bytes, packed: int, origin: str, limits: TextLimits) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            return _read_bounded(stream, packed, origin, limits)
    except (OSError, EOFError, zlib.error, struct.error, ValueError) as error:
        raise DataError(
            f"{origin} is not a whole gzip file ({excerpt(error)}): fetch it again"
        ) from None


def _unpack_zstd(data: bytes, packed: int, origin: str, limits: TextLimits) -> bytes:
    import pyarrow as pa

    try:
        with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
            return _read_bounded(stream, packed, origin, limits)
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{origin} is not a whole zstd file ({excerpt(error)}): fetch it again"
        ) from None


def _read_bounded(
    stream: IO[bytes] | gzip.GzipFile, packed: int, origin: str, limits: TextLimits, before: int = 0
) -> bytes:
    """All of `stream`, unless it is longer than allowed; `before` bytes of the same file came
    earlier.
    """
    chunks: list[bytes] = []
    length = before
    while chunk := stream.read(_CHUNK):
        length += len(chunk)
        _refuse_size(length, packed, origin, limits)
        chunks.append(chunk)
    return b"".join(chunks)


def _refuse_size(length: int, packed: int, origin: str, limits: TextLimits) -> None:
    if length > limits.most_bytes:
        raise DataError(
            f"{origin} holds more than {limits.most_bytes >> 20:,} MB of text: convert it to"
            " Parquet, cut it into several files, or raise market.files.max_text_megabytes"
        )
    if length > _ALWAYS_ALLOWED and length > packed * limits.most_ratio:
        raise DataError(
            f"{origin} has {packed:,} bytes and unpacks to more than {limits.most_ratio} times as"
            " many, which no table of prices does: fetch it again, or raise"
            " market.files.max_unpack_ratio"
        )


def _refuse_other_formats(data: bytes, origin: str) -> None:
    for magic, reason in _OTHER_FORMATS:
        if data.startswith(magic):
            raise DataError(f"{origin} is {reason}")
    if data[:512].lstrip(b"\xef\xbb\xbf \r\n\t").lower().startswith(_WEB_PAGE):
        raise DataError(
            f"{origin} is a web page, often the supplier's refusal: open it, and fetch the data"
            " again"
        )
