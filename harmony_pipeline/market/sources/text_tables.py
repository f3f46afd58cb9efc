"""The tables in a text file, packed or not, whoever wrote it: all cells as text, with the line
number of every row, so that any complaint can point at its line.

No row is lost and none is bent. A line with more fields than the header, an unclosed quote, or far
too many characters is kept and marked, and costs no other line.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import polars as pl

from harmony_pipeline.market.sources.comments import Parsed, without_comment_lines
from harmony_pipeline.market.sources.text_forms import (
    COMMENTS_SKIPPED,
    LONGEST_LINE,
    TITLES_SKIPPED,
    TextForm,
    TextTable,
    text_form,
)
from harmony_pipeline.market.sources.unpacking import TextLimits, unpack_texts
from harmony_pipeline.market.sources.vendors.databento_binary import MAGIC as DBN
from harmony_pipeline.market.sources.vendors.databento_binary import read_bars_of_dbn
from harmony_pipeline.market.sources.vendors.lean import (
    LeanFile,
    bars_of_lean,
    describe_lean,
    is_named_by_lean,
)
from harmony_pipeline.market.sources.vendors.nameless_tables import Layout
from harmony_pipeline.market.sources.wide_tables import HEADER_LINES, Wide
from harmony_pipeline.text import excerpt

_LONGEST_BENT_LINE = 4096  # characters kept of a row that is not
_MOST_QUOTED_LINES = 20  # lines that one quoted field may go over
_BLOCK = 50_000  # lines that are lists of fields at a time


def read_text_tables(
    path: Path, origin: str, limits: TextLimits | None = None
) -> Iterator[TextTable]:
    """The tables in a text file: one, or several. An empty file gives a table without columns.
    Raises DataError.
    """
    for text in unpack_texts(path, origin, limits or TextLimits()):
        if text.data.startswith(DBN):
            yield read_bars_of_dbn(text.data, text.origin, text.stem)
            continue
        named_by_lean = is_named_by_lean(text.member)
        form = text_form(text.data, text.origin, named_by_lean=named_by_lean)
        if named_by_lean or form.is_dated_lean:
            yield _lean_table(
                form, describe_lean(form, path, text.member, text.origin), text.origin
            )
        else:
            yield from _tables_of(form, text.origin, text.stem)


def _lean_table(form: TextForm, file: LeanFile, origin: str) -> TextTable:
    if file.layout is None:
        return _empty_table(origin, file.stem, file.refusal)
    return bars_of_lean(_nameless_table(form, file.layout, origin, file.symbol), form, file)


def _tables_of(form: TextForm, origin: str, stem: str) -> list[TextTable]:
    """A text as a table; one whose form has several symbols side by side becomes one for each, and
    one without any text a table without columns.
    """
    if form.layout is not None:
        return [_nameless_table(form, form.layout, origin, stem)]
    if form.wide is not None:
        return _wide_tables(form, form.wide, origin, stem)
    if not form.header:
        return [_empty_table(origin, stem)]
    parsed = _without_blank_lines(_Lines(form, tuple(_column_names(form.header)), 1).parse())
    return [TextTable(origin, stem, *parsed[:3], form.header, form.delimiter, _note(form, parsed))]


def _note(form: TextForm, parsed: Parsed, own: str | None = None) -> str | None:
    """What is to be said of a table: `own`, and that comments were skipped."""
    above = (COMMENTS_SKIPPED if form.commented else None, TITLES_SKIPPED if form.titled else None)
    return "; ".join(filter(None, (*above, parsed.note, own))) or None


def _empty_table(origin: str, stem: str, note: str | None = None) -> TextTable:
    """A table without columns or rows, of which a note may be told."""
    nothing = pl.Series("row", [], pl.Int64), pl.Series("bent", [], pl.String)
    return TextTable(origin, stem, pl.DataFrame(), *nothing, note=note)


def _nameless_table(form: TextForm, layout: Layout, origin: str, stem: str) -> TextTable:
    """A table without a line of names, under those of its layout."""
    parsed = _without_blank_lines(_Lines(form, layout.names, 0).parse())
    note = None
    if layout.vendor is None:
        note = (
            "files without a line of column names were read in the order"
            f" {', '.join(layout.names)}: put such a line above them if that is wrong"
        )
    return TextTable(
        origin,
        stem,
        *parsed[:3],
        layout.names,
        form.delimiter,
        _note(form, parsed, note),
        layout.vendor,
    )


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


def _wide_tables(form: TextForm, layout: Wide, origin: str, stem: str) -> list[TextTable]:
    places = tuple(f"column {at}" for at in range(layout.width))
    parsed = _Lines(form, places, HEADER_LINES).parse()
    cells, rows, bent, _ = parsed
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
                form.delimiter,
                _note(form, parsed, layout.note(origin)),
            )
        )
    return tables


# --- lines ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Lines:
    """The lines of a text below its `skipped` lines of header, as columns called `names`."""

    form: TextForm
    names: tuple[str, ...]
    skipped: int

    def parse(self) -> Parsed:
        """The rows, without comments between them."""
        parsed = self._parse_all()
        return without_comment_lines(parsed) if b"#" in self.form.data else parsed

    def _parse_all(self) -> Parsed:
        cells = None if _has_long_line(self.form.data) else self._parse_fast()
        if cells is None:
            return self._parse_exact()
        first = self.form.above + self.skipped + 1
        rows = pl.int_range(first, first + cells.height, dtype=pl.Int64, eager=True).alias("row")
        none = pl.Series("bent", [None], pl.String).new_from_index(0, cells.height)
        return Parsed(cells, rows, none)

    def _parse_fast(self) -> pl.DataFrame | None:
        """None when the file needs the exact parser: fields left over, a stray quote, or line
        breaks inside quotes.
        """
        quotes = self.form.data.count(b'"')
        if quotes % 2:
            return None
        lines = self.form.data.count(b"\n") + (not self.form.data.endswith(b"\n"))
        if lines == self.skipped:
            return pl.DataFrame(schema=dict.fromkeys(self.names, pl.String))
        try:
            cells = pl.read_csv(
                io.BytesIO(self.form.data),
                separator=self.form.delimiter,
                schema=dict.fromkeys(self.names, pl.String),
                has_header=False,
                skip_lines=self.skipped,
                quote_char='"' if quotes else None,
                encoding="utf8-lossy",
            )
        except pl.exceptions.PolarsError:
            return None
        return cells if cells.height + self.skipped == lines else None

    def _parse_exact(self) -> Parsed:
        """Line by line: ten times slower, and only for files that the fast way cannot place."""
        lines = (
            self.form.data.decode("utf-8", errors="replace")
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
        return Parsed(cells, table["row"], table["bent"])

    def _records(self, lines: list[str]) -> Iterator[list[object]]:
        width, at = len(self.names), 0
        while at < len(lines):
            line, used, bent = lines[at], 1, None
            if len(line) > LONGEST_LINE:
                bent = f"the line has {len(line):,} characters: correct it"
                fields = line[:_LONGEST_BENT_LINE].split(self.form.delimiter)[:width]
            elif '"' not in line:
                fields = line.split(self.form.delimiter)
            else:
                quoted, used = self._read_quoted(lines, at)
                fields = quoted or line.replace('"', "").split(self.form.delimiter)
                bent = (
                    None
                    if quoted
                    else f"the line has a quote that is not closed ('{excerpt(line)}'): take it out"
                )
            if bent is None and len(fields) > width:
                bent = (
                    f"the line has {len(fields)} fields, expected {width}: quote a value that holds"
                    f" the separator '{self.form.delimiter}'"
                )
            filled = [field or None for field in fields[:width]]
            yield [
                self.form.above + self.skipped + at + 1,
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
                fields = _strict_fields(record, self.form.delimiter)
                fits = fields is not None and (used == 1 or len(fields) == width)
                return (fields, used) if fits else (None, 1)
            following = lines[at + used] if at + used < len(lines) else None
            if following is None or following.count(self.form.delimiter) + 1 == width:
                break
            record += "\n" + following
        return None, 1


def _strict_fields(record: str, delimiter: str) -> list[str] | None:
    try:
        return next(csv.reader(io.StringIO(record, newline=""), delimiter=delimiter, strict=True))
    except (csv.Error, StopIteration):
        return None


def _has_long_line(data: bytes) -> bool:
    """Whether a line is longer than LONGEST_LINE; it looks at one place in so many bytes."""
    at = 0
    while len(data) - at > LONGEST_LINE:
        end = data.rfind(b"\n", at, at + LONGEST_LINE + 1)
        if end < at:
            return True
        at = end + 1
    return False


def _has_text(cells: pl.DataFrame) -> pl.Series:
    """Whether each line has any text in `cells`."""
    return cells.select(
        pl.any_horizontal(pl.all().str.strip_chars().str.len_bytes().fill_null(0) > 0)
    ).to_series()


def _without_blank_lines(parsed: Parsed) -> Parsed:
    """Lines without any text are no rows (spreadsheets end files with `,,,,`)."""
    cells, rows, bent, note = parsed
    first = cells[cells.columns[0]]
    if not first.null_count() and not (first.str.strip_chars().str.len_bytes() == 0).any():
        # a blank line has nothing in its first cell: the usual file is done after one look
        return parsed
    filled = _has_text(cells) | bent.is_not_null()
    return Parsed(cells.filter(filled), rows.filter(filled), bent.filter(filled), note)
