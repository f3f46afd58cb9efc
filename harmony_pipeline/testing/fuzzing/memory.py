"""The peak memory of some work, from Linux's own count."""

import gzip
import io
import lzma
import struct
import zipfile
import zlib
from pathlib import Path

from harmony_pipeline.testing.fuzzing.sample import Sample

FACTOR = 40  # bytes of memory a byte of text (unpacked) or Parquet
CELL = 64  # bytes a cell of a text: a line of one character may have many cells
CONSTANT = 300 << 20  # bytes: buffers of the libraries, whatever the size
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def forget_peak() -> int | None:
    """Bytes in use now, after a reset of the peak; None where the system has no such count."""
    try:
        _CLEAR.write_text("5")
    except OSError:
        return None
    return _kilobytes("VmRSS:")


def peak_above(before: int | None) -> int:
    """Bytes by which memory rose above `before` at its highest."""
    return 0 if before is None else max(0, (_kilobytes("VmHWM:") or 0) - before)


def memory_limit(sample: Sample) -> int:
    """Bytes that the reading of these files may use."""
    texts = [text for data in sample.files.values() for text in unpack(data)]
    return CONSTANT + sum(FACTOR * len(text) + CELL * _cells(text) for text in texts)


def unpack(data: bytes) -> list[bytes]:
    """The texts in a file, or the file itself if it is not packed or cannot be unpacked."""
    try:
        if data[:2] == b"\x1f\x8b":
            return [gzip.decompress(data)]
        if data[:4] == b"PK\x03\x04":
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                return [archive.read(member) for member in archive.infolist()]
    except (
        OSError,
        EOFError,
        ValueError,
        RuntimeError,
        NotImplementedError,
        struct.error,
        lzma.LZMAError,
        zlib.error,
        zipfile.BadZipFile,
    ):
        return [data]
    return [data]


def _cells(text: bytes) -> int:
    """Cells of a text: lines times names."""
    if text[:4] == b"PAR1":
        return 0
    header = text.lstrip(b"\r\n").split(b"\n", 1)[0]
    return (text.count(b"\n") + text.count(b"\r") + 1) * (
        1 + max(header.count(sign) for sign in (b",", b";", b"\t", b"|"))
    )


def _kilobytes(name: str) -> int | None:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) << 10
    return None
