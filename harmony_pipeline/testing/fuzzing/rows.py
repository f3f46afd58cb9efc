"""The number of rows of a file, counted without the tested readers; None where only
they can count.
"""

import io
import re
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from harmony_pipeline.testing.fuzzing.sample import Sample

_TEXT = (".csv", ".txt", ".tsv")
_UNSURE = (b'"', b"\x00", b"\x1c", b"\x1d", b"\x1e", b"\x1f", b"\x0b", b"\x0c", b"\x85")
_LONGEST_LINE = 1 << 20  # characters; as in market/sources/text_forms.py


def countable_rows(sample: Sample) -> dict[str, int]:
    """Rows of each file of bars that can be counted simply, by the file's name."""
    beside = {
        str(sample.reading.get(key, "")) for key in ("corporate_actions", "universe", "listings")
    }
    names = [PurePosixPath(name).name for name in sample.files]
    found = {}
    for path, data in sample.files.items():
        name = PurePosixPath(path).name
        rows = _rows(name, data) if path not in beside and names.count(name) == 1 else None
        if rows is not None:
            found[name] = rows
    return found


def _rows(name: str, data: bytes) -> int | None:
    if data[:4] == b"PAR1" and name.endswith(".parquet"):
        try:
            return int(pq.ParquetFile(io.BytesIO(data)).metadata.num_rows)
        except (pa.ArrowException, OSError, ValueError):
            return None
    if (
        not name.lower().endswith(_TEXT)
        or data[:2] in (b"\xff\xfe", b"\xfe\xff", b"\x1f\x8b", b"PK")
        or any(sign in data for sign in _UNSURE)
    ):
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    lines = (
        text.replace("\r\r\n", "\n")
        .replace("\r\n", "\n")
        .replace("\r", "\n")
        .lstrip("\n")
        .split("\n")
    )
    sign = max((",", ";", "\t", "|"), key=lines[0].count)
    if len(lines) > 2 and (
        lines[0].startswith(("Price", sign))
        or lines[1].startswith(("Ticker", sign, "Price"))
        or lines[2].startswith("Date" + sign)
    ):
        return None  # a table of several symbols side by side: a line is as many rows
    # a line too long to be read is a row in quarantine, whatever it holds
    return sum(
        len(line) > _LONGEST_LINE or any(cell.strip() for cell in line.split(sign))
        for line in lines[1 if re.search("[A-Za-z]", lines[0]) else 0 :]
    )
