"""Text files as tables of text, with the line number of every row, so that any complaint can point at its line.

CSV, TSV and their cousins with `;` or `|`, plain, gzipped or zipped (a zip may hold many). The law: no row is lost and none is bent. A
line with more fields than the header is kept and marked, because its values may have slid into the wrong columns.
"""

import csv
import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from harmony_pipeline.errors import DataError
from harmony_pipeline.market.sources.locate import stem_of

_DELIMITERS = (",", ";", "\t", "|")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class TextTable:
    """The cells of one file, all text; `rows` are line numbers (the header is line 1), `bent` says what is wrong with a line as a whole."""

    origin: str
    stem: str
    cells: pl.DataFrame
    rows: pl.Series
    bent: pl.Series


def read_text_tables(path: Path, origin: str) -> Iterator[TextTable]:
    """The tables in a text file: one, or one a member of a zip. An empty file gives a table without columns. Raises DataError."""
    data = path.read_bytes()
    if data[:4] == b"PK\x03\x04" or path.suffix.lower() == ".zip":
        yield from _read_zip(data, path, origin)
        return
    if data[:2] == b"\x1f\x8b" or path.suffix.lower() == ".gz":
        try:
            data = gzip.decompress(data) if data else data
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{origin} is not a whole gzip file ({error}): fetch it again") from None
    yield parse_text(data, origin, stem_of(path.name))


def _read_zip(data: bytes, path: Path, origin: str) -> Iterator[TextTable]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = sorted(name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX"))
            contents = [(name, archive.read(name)) for name in members]
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError) as error:
        raise DataError(f"{origin} is not a whole zip file that can be opened ({error}): fetch it again") from None
    if not contents:
        raise DataError(f"{origin} is a zip file with nothing in it: fetch it again, or take it out of the folder")
    for name, content in contents:
        alone = len(contents) == 1
        yield parse_text(content, origin if alone else f"{origin}/{name}", stem_of(path.name if alone else name))


def parse_text(data: bytes, origin: str, stem: str) -> TextTable:
    """`data` as a table; the first line that is not blank is the header."""
    if data[:2] in _UTF16:
        data = data.decode("utf-16", errors="replace").encode()
    data = data.removeprefix(b"\xef\xbb\xbf").replace(b"\x00", b"\xef\xbf\xbd")
    blank = len(data) - len(data.lstrip(b"\r\n"))
    above = data[:blank].count(b"\n")
    data = data[blank:]
    if not data.strip():
        return TextTable(origin, stem, pl.DataFrame(), pl.Series("row", [], pl.Int64), pl.Series("bent", [], pl.String))
    delimiter = _delimiter(data.split(b"\n", 1)[0].decode("utf-8", errors="replace"))
    cells = _parse_fast(data, delimiter)
    if cells is None:
        return _parse_exactly(data, delimiter, above, origin, stem)
    rows = pl.int_range(above + 2, above + 2 + cells.height, dtype=pl.Int64, eager=True).alias("row")
    return _without_blank_lines(TextTable(origin, stem, cells, rows, pl.Series("bent", [None], pl.String).new_from_index(0, cells.height)))


def _delimiter(header: str) -> str:
    return max(_DELIMITERS, key=header.count)


def _parse_fast(data: bytes, delimiter: str) -> pl.DataFrame | None:
    """None when the file needs the exact parser: fields left over, a stray quote, or line breaks inside quotes."""
    try:
        cells = pl.read_csv(io.BytesIO(data), separator=delimiter, infer_schema=False, encoding="utf8-lossy")
    except pl.exceptions.PolarsError:
        return None
    lines = data.count(b"\n") + (not data.endswith(b"\n"))
    return cells if cells.height + 1 == lines else None


def _parse_exactly(data: bytes, delimiter: str, above: int, origin: str, stem: str) -> TextTable:
    """Line by line with the standard library: ten times slower, and only for files that the fast way cannot place."""
    reader = csv.reader(io.StringIO(data.decode("utf-8", errors="replace"), newline=""), delimiter=delimiter)
    try:
        header = [name or f"column {at}" for at, name in enumerate(next(reader), 1)]
        lines, rows, bent, before = [], [], [], reader.line_num
        for fields in reader:
            lines.append([*fields, *[None] * (len(header) - len(fields))][: len(header)])
            rows.append(above + before + 1)
            extra = len(fields) > len(header)
            bent.append(f"the line has {len(fields)} fields, expected {len(header)}: quote a value that holds the separator '{delimiter}'" if extra else None)
            before = reader.line_num
    except csv.Error as error:
        raise DataError(
            f"{origin} line {above + reader.line_num} cannot be read as a table ({error}): correct the line, or convert the file to plain CSV"
        ) from None
    names = [name if header.index(name) == at else f"{name} ({at + 1})" for at, name in enumerate(header)]
    cells = pl.DataFrame(lines, schema=dict.fromkeys(names, pl.String), orient="row")
    return _without_blank_lines(TextTable(origin, stem, cells, pl.Series("row", rows, pl.Int64), pl.Series("bent", bent, pl.String)))


def _without_blank_lines(table: TextTable) -> TextTable:
    """Lines without any text are no rows (spreadsheets end files with `,,,,`)."""
    first = table.cells.columns[0]
    if not table.cells[first].null_count() and not (table.cells[first].str.strip_chars().str.len_bytes() == 0).any():
        return table  # a blank line has nothing in its first cell: the usual file is done after one look
    filled = table.cells.select(pl.any_horizontal(pl.all().str.strip_chars().str.len_bytes().fill_null(0) > 0)).to_series()
    return TextTable(table.origin, table.stem, table.cells.filter(filled), table.rows.filter(filled), table.bent.filter(filled))
