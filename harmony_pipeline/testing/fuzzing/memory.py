"""The largest memory that a stretch of work held, as Linux counts it."""

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
    """Bytes held now, from where the peak is counted anew; None where the system does not count."""
    try:
        _CLEAR.write_text("5")
    except OSError:
        return None
    return _kilobytes("VmRSS:")


def peak_above(before: int | None) -> int:
    """Bytes by which memory rose above `before` at its highest."""
    return 0 if before is None else max(0, (_kilobytes("VmHWM:") or 0) - before)


def allowed(sample: Sample) -> int:
    """Bytes that reading these files may take."""
    texts = [text for data in sample.files.values() for text in unpacked(data)]
    return CONSTANT + sum(FACTOR * len(text) + CELL * _cells(text) for text in texts)


def unpacked(data: bytes) -> list[bytes]:
    """The texts in a file, or the file itself where it is not packed or cannot be unpacked."""
    try:
        if data[:2] == b"\x1f\x8b":
            return [gzip.decompress(data)]
        if data[:4] == b"PK\x03\x04":
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                return [archive.read(member) for member in archive.infolist()]
    except (OSError, EOFError, ValueError, RuntimeError, NotImplementedError, struct.error, lzma.LZMAError, zlib.error, zipfile.BadZipFile):
        return [data]
    return [data]


def _cells(text: bytes) -> int:
    """Cells of a text: lines times names."""
    if text[:4] == b"PAR1":
        return 0
    header = text.lstrip(b"\r\n").split(b"\n", 1)[0]
    return (text.count(b"\n") + text.count(b"\r") + 1) * (1 + max(header.count(sign) for sign in (b",", b";", b"\t", b"|")))


def _kilobytes(name: str) -> int | None:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) << 10
    return None
