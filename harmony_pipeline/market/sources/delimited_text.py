"""Text files as tables of text, with the line number of every row, so that any complaint can point
at its line.

CSV, TSV and their cousins with `;` or `|`, plain, gzipped or zipped (a zip may hold many). No row
is lost and none is bent. A line with more fields than the header, an unclosed quote, or far too
many characters is kept and marked, and costs no other line.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import polars as pl

from harmony_pipeline.errors import DataError
from harmony_pipeline.market.sources.vendors.nameless_tables import (
    LOOKED_AT,
    Layout,
    find_layout,
)
from harmony_pipeline.market.sources.wide_tables import HEADER_LINES, Wide, wide_layout
from harmony_pipeline.text import excerpt

NOT_READ = "were not read"
_DELIMITERS = (",", ";", "\t", "|")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_LONGEST_LINE = 1 << 20  # bytes of a header, or of a row that is read
_LONGEST_BENT_LINE = 4096  # characters kept of a row that is not
_LONGEST_SAMPLED_LINE = 4096  # bytes of a line by which a layout is recognised
_MOST_QUOTED_LINES = 20  # lines that one quoted field may go over
_BLOCK = 50_000  # lines that are lists of fields at a time


@dataclass(frozen=True)
class TextTable:
    """The cells of one file, all text; `rows` are line numbers (the header is line 1), `bent` says
    what is wrong with a line as a whole.

    `header` has the names as they stand in the file, of which `cells` numbers the repeated ones.
    """

    origin: str
    stem: str
    cells: pl.DataFrame
    rows: pl.Series
    bent: pl.Series
    header: tuple[str, ...] = ()
    delimiter: str = ","
    note: str | None = None
    layout: str | None = None
    """the vendor's form of a table without a line of names"""
    price_divisor: float | None = None
    """what prices are divided by, where the form of the file tells"""
    unit_question: str | None = None
    """what to ask where prices may or may not be counts of a smaller unit"""
    timezone: str | None = None
    """that of stamps which carry none, where the file's place tells"""


def parse_text(data: bytes, origin: str, stem: str) -> list[TextTable]:
    """`data` as a table; the first line that is not blank is the header, or a row of a known form
    without names. A table of several symbols side by side becomes one for each.
    """
    data = plain_lines(data)
    blank = len(data) - len(data.lstrip(b"\n"))
    above = data[:blank].count(b"\n")
    data = data[blank:]
    if data.endswith(b"\n\n"):
        # blank lines at the end are no rows; a file of millions of them would take a hundred bytes
        # each
        data = data.rstrip(b"\n") + b"\n"
    if not data.strip():
        return [
            TextTable(
                origin,
                stem,
                pl.DataFrame(),
                pl.Series("row", [], pl.Int64),
                pl.Series("bent", [], pl.String),
            )
        ]
    if data.find(b"\n", 0, _LONGEST_LINE) < 0 and len(data) > _LONGEST_LINE:
        raise DataError(
            f"{origin} has a first line of more than {_LONGEST_LINE:,} bytes, expected column"
            " names: fetch it again"
        )
    heads = [
        line.decode("utf-8", errors="replace")
        for line in data[: HEADER_LINES * _LONGEST_LINE].split(b"\n", HEADER_LINES)[:HEADER_LINES]
    ]
    delimiter = max(_DELIMITERS, key=heads[0].count)
    if layout := find_layout(first_lines(data), delimiter):
        return [nameless_table(data, layout, delimiter, above, origin, stem)]
    header = _header_fields(heads[0], delimiter, origin)
    if wide := wide_layout(header, [line.split(delimiter) for line in heads[1:]]):
        return _wide_tables(data, wide, delimiter, above, origin, stem)
    names = _column_names(header)
    lines = _Lines(data, tuple(names), delimiter, above, 1)
    cells, rows, bent = lines.parse()
    return [
        TextTable(origin, stem, *_without_blank_lines(cells, rows, bent), tuple(header), delimiter)
    ]


def plain_lines(data: bytes) -> bytes:
    r"""UTF-8 with `\\n` at the end of lines, whoever wrote it."""
    if data[:2] in _UTF16:
        data = data.decode("utf-16", errors="replace").encode()
    elif (
        data[1:2] == b"\x00"
        and data[:400:2].isascii()
        and data[1:400:2].count(0) == len(data[1:400:2])
    ):
        data = data.decode("utf-16-le", errors="replace").encode()
    data = data.removeprefix(b"\xef\xbb\xbf")
    if b"\x00" in data:
        data = data.replace(b"\x00", b"\xef\xbf\xbd")
    if b"\r" in data:
        data = data.replace(b"\r\r\n", b"\n").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data


def first_lines(data: bytes) -> list[str]:
    """The first lines of a text, as many as a layout is recognised by."""
    head = data[: LOOKED_AT * _LONGEST_SAMPLED_LINE].split(b"\n", LOOKED_AT)[:LOOKED_AT]
    return [line.decode("utf-8", errors="replace") for line in head]


def nameless_table(
    data: bytes, layout: Layout, delimiter: str, above: int, origin: str, stem: str
) -> TextTable:
    """A table without a line of names, under those of its layout; `above` blank lines stood before
    it.
    """
    parsed = _Lines(data, layout.names, delimiter, above, 0).parse()
    note = None
    if layout.vendor is None:
        note = (
            "files without a line of column names were read in the order"
            f" {', '.join(layout.names)}: put such a line above them if that is wrong"
        )
    return TextTable(
        origin,
        stem,
        *_without_blank_lines(*parsed),
        layout.names,
        delimiter,
        note,
        layout.vendor,
    )


def _header_fields(line: str, delimiter: str, origin: str) -> list[str]:
    try:
        fields = next(csv.reader([line], delimiter=delimiter, strict=True))
    except (csv.Error, StopIteration) as error:
        raise DataError(
            f"{origin} has a first line that cannot be read as column names ({error}):"
            f" '{excerpt(line)}'; correct the line"
        ) from None
    return [name or f"column {at}" for at, name in enumerate(fields, 1)]


def _column_names(header: Sequence[str]) -> list[str]:
    """The names, each once: a repeated one gets its place."""
    seen: set[str] = set()
    names = []
    for at, name in enumerate(header, 1):
        unique = name if name not in seen else f"{name} ({at})"
        while unique in seen:
            unique += "'"
        seen.add(unique)
        names.append(unique)
    return names


def _wide_tables(
    data: bytes, layout: Wide, delimiter: str, above: int, origin: str, stem: str
) -> list[TextTable]:
    lines = _Lines(
        data, tuple(f"column {at}" for at in range(layout.width)), delimiter, above, HEADER_LINES
    )
    cells, rows, bent = lines.parse()
    tables = []
    for symbol, columns in layout.columns.items():
        names = _column_names([name for name, _ in columns])
        values = {name: cells.to_series(at) for name, (_, at) in zip(names, columns, strict=True)}
        filled = (
            _has_text(pl.DataFrame(values))
            if values
            else pl.Series("filled", [False]).new_from_index(0, cells.height)
        )
        stamps = {name: cells.to_series(0) for name in layout.stamp_names}
        own = pl.DataFrame(
            {
                **stamps,
                layout.symbol_name: pl.Series([symbol]).new_from_index(0, cells.height),
                **values,
            }
        )
        kept = filled | bent.is_not_null()
        header = (*layout.stamp_names, layout.symbol_name, *(name for name, _ in columns))
        tables.append(
            TextTable(
                origin,
                stem,
                own.filter(kept),
                rows.filter(kept),
                bent.filter(kept),
                header,
                delimiter,
                layout.note(origin),
            )
        )
    return tables


# --- lines ----------------------------------------------------------------------------------------

_Parsed = tuple[pl.DataFrame, pl.Series, pl.Series]


@dataclass(frozen=True)
class _Lines:
    """The lines of a file below its `skipped` lines of header; `above` lines stood before those."""

    data: bytes
    names: tuple[str, ...]
    delimiter: str
    above: int
    skipped: int

    def parse(self) -> _Parsed:
        """Cells, line numbers, and what is wrong with whole lines."""
        cells = None if _has_long_line(self.data) else self._parse_fast()
        if cells is None:
            return self._parse_exact()
        first = self.above + self.skipped + 1
        rows = pl.int_range(first, first + cells.height, dtype=pl.Int64, eager=True).alias("row")
        return cells, rows, pl.Series("bent", [None], pl.String).new_from_index(0, cells.height)

    def _parse_fast(self) -> pl.DataFrame | None:
        """None when the file needs the exact parser: fields left over, a stray quote, or line
        breaks inside quotes.
        """
        quotes = self.data.count(b'"')
        if quotes % 2:
            return None
        lines = self.data.count(b"\n") + (not self.data.endswith(b"\n"))
        if lines == self.skipped:
            return pl.DataFrame(schema=dict.fromkeys(self.names, pl.String))
        try:
            cells = pl.read_csv(
                io.BytesIO(self.data),
                separator=self.delimiter,
                schema=dict.fromkeys(self.names, pl.String),
                has_header=False,
                skip_lines=self.skipped,
                quote_char='"' if quotes else None,
                encoding="utf8-lossy",
            )
        except pl.exceptions.PolarsError:
            return None
        return cells if cells.height + self.skipped == lines else None

    def _parse_exact(self) -> _Parsed:
        """Line by line: ten times slower, and only for files that the fast way cannot place."""
        lines = (
            self.data.decode("utf-8", errors="replace")
            .removesuffix("\n")
            .split("\n")[self.skipped :]
        )
        records = self._records(lines)
        schema = {
            "row": pl.Int64,
            "bent": pl.String,
            **{f"cell {at}": pl.String for at in range(len(self.names))},
        }
        blocks = [pl.DataFrame(schema=schema)]
        while block := list(islice(records, _BLOCK)):
            blocks.append(pl.DataFrame(block, schema=schema, orient="row"))
        table = pl.concat(blocks)
        cells = table.select(pl.nth(at + 2).alias(name) for at, name in enumerate(self.names))
        return cells, table["row"], table["bent"]

    def _records(self, lines: list[str]) -> Iterator[list[object]]:
        width, at = len(self.names), 0
        while at < len(lines):
            line, used, bent = lines[at], 1, None
            if len(line) > _LONGEST_LINE:
                bent = f"the line has {len(line):,} characters: correct it"
                fields = line[:_LONGEST_BENT_LINE].split(self.delimiter)[:width]
            elif '"' not in line:
                fields = line.split(self.delimiter)
            else:
                quoted, used = self._read_quoted(lines, at)
                fields = quoted or line.replace('"', "").split(self.delimiter)
                bent = (
                    None
                    if quoted
                    else f"the line has a quote that is not closed ('{excerpt(line)}'): take it out"
                )
            if bent is None and len(fields) > width:
                bent = (
                    f"the line has {len(fields)} fields, expected {width}: quote a value that holds"
                    f" the separator '{self.delimiter}'"
                )
            filled = [field or None for field in fields[:width]]
            yield [
                self.above + self.skipped + at + 1,
                bent,
                *filled,
                *[None] * (width - len(filled)),
            ]
            at += used

    def _read_quoted(self, lines: list[str], at: int) -> tuple[list[str] | None, int]:
        """The fields of a record that begins at a line with quotes, and its number of lines; no
        fields when its quotes do not close.

        A record goes on over the next line only where that is no row by itself, so that a stray
        quote never swallows rows.
        """
        width, record = len(self.names), lines[at]
        for used in range(1, _MOST_QUOTED_LINES + 1):
            if record.count('"') % 2 == 0:
                fields = _strict_fields(record, self.delimiter)
                fits = fields is not None and (used == 1 or len(fields) == width)
                return (fields, used) if fits else (None, 1)
            following = lines[at + used] if at + used < len(lines) else None
            if following is None or following.count(self.delimiter) + 1 == width:
                break
            record += "\n" + following
        return None, 1


def _strict_fields(record: str, delimiter: str) -> list[str] | None:
    try:
        return next(csv.reader(io.StringIO(record, newline=""), delimiter=delimiter, strict=True))
    except (csv.Error, StopIteration):
        return None


def _has_long_line(data: bytes) -> bool:
    """Whether a line is longer than _LONGEST_LINE; it looks at one place in so many bytes."""
    at = 0
    while len(data) - at > _LONGEST_LINE:
        end = data.rfind(b"\n", at, at + _LONGEST_LINE + 1)
        if end < at:
            return True
        at = end + 1
    return False


def _has_text(cells: pl.DataFrame) -> pl.Series:
    """Whether each line has any text in `cells`."""
    return cells.select(
        pl.any_horizontal(pl.all().str.strip_chars().str.len_bytes().fill_null(0) > 0)
    ).to_series()


def _without_blank_lines(cells: pl.DataFrame, rows: pl.Series, bent: pl.Series) -> _Parsed:
    """Lines without any text are no rows (spreadsheets end files with `,,,,`)."""
    first = cells[cells.columns[0]]
    if not first.null_count() and not (first.str.strip_chars().str.len_bytes() == 0).any():
        # a blank line has nothing in its first cell: the usual file is done after one look
        return cells, rows, bent
    filled = _has_text(cells) | bent.is_not_null()
    return cells.filter(filled), rows.filter(filled), bent.filter(filled)
