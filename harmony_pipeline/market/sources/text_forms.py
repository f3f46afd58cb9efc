"""What form a text has, told once by its first lines: a table under a line of names, rows in the
known order of a vendor without such a line, or several symbols side by side. And the table that
its cells become (`text_tables.py`).

CSV, TSV and their cousins with `;` or `|`, in UTF-8 or UTF-16, whatever ends their lines.
"""

import csv
from dataclasses import dataclass

import polars as pl

from harmony_pipeline.errors import DataError
from harmony_pipeline.market.sources.columns import names_prices
from harmony_pipeline.market.sources.vendors.nameless_tables import (
    LAYOUTS,
    LEAN_DATED,
    LEAN_LAYOUTS,
    LOOKED_AT,
    Layout,
    find_layout,
)
from harmony_pipeline.market.sources.wide_tables import HEADER_LINES, Wide, wide_layout
from harmony_pipeline.text import excerpt

NOT_READ = "were not read"
LONGEST_LINE = 1 << 20  # bytes of a header, or of a row that is read
COMMENTS_SKIPPED = (
    "lines that begin with # above the column names were taken for comments and skipped"
)
_DELIMITERS = (",", ";", "\t", "|")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_LONGEST_SAMPLED_LINE = 4096  # bytes of a line by which a layout is recognised


@dataclass(frozen=True)
class TextForm:
    r"""A text and its form. `data` is UTF-8 with `\n` at the end of lines, and `above` lines stood
    before it, blank ones or, where it is `commented`, comments. `header` has the names of the
    columns; it is empty under a `layout`, and for a text without any text.
    """

    data: bytes
    above: int = 0
    delimiter: str = ","
    header: tuple[str, ...] = ()
    layout: Layout | None = None
    wide: Wide | None = None
    commented: bool = False

    @property
    def is_dated_lean(self) -> bool:
        """Whether the rows themselves show that Lean wrote them, whatever the file is called."""
        return self.layout in LEAN_DATED


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


def text_form(data: bytes, origin: str, *, named_by_lean: bool) -> TextForm:
    """The form of a text; the first line that is no comment and not blank is the header, or a row
    of a known form without names. A text that Lean's names mark as its own has one of Lean's
    layouts or none. Raises DataError for a first line that cannot be read.
    """
    data = _plain_lines(data)
    blank = len(data) - len(data.lstrip(b"\n"))
    above = data[:blank].count(b"\n")
    data = data[blank:]
    if data.endswith(b"\n\n"):
        # blank lines at the end are no rows; a file of millions of them would take a hundred bytes
        # each
        data = data.rstrip(b"\n") + b"\n"
    if named_by_lean:
        return TextForm(data, above, layout=find_layout(_first_lines(data), ",", LEAN_LAYOUTS))
    if not data.strip():
        return TextForm(b"")
    comments = _comments(data)
    commented, above = b"#" in data[:comments], above + data[:comments].count(b"\n")
    data = data[comments:]
    if data.find(b"\n", 0, LONGEST_LINE) < 0 and len(data) > LONGEST_LINE:
        raise DataError(
            f"{origin} has a first line of more than {LONGEST_LINE:,} bytes, expected column"
            " names: fetch it again"
        )
    heads = [
        line.decode("utf-8", errors="replace")
        for line in data[: HEADER_LINES * LONGEST_LINE].split(b"\n", HEADER_LINES)[:HEADER_LINES]
    ]
    delimiter = find_delimiter(heads[0])
    layouts = (*LEAN_DATED, *LAYOUTS) if delimiter == "," else LAYOUTS
    if layout := find_layout(_first_lines(data), delimiter, layouts):
        return TextForm(data, above, delimiter, layout=layout, commented=commented)
    header = _header_fields(heads[0], delimiter, origin)
    wide = wide_layout(header, [line.split(delimiter) for line in heads[1:]])
    return TextForm(data, above, delimiter, header, wide=wide, commented=commented)


def find_delimiter(line: str) -> str:
    """The sign that delimits the cells of a line: the one that it has most of."""
    return max(_DELIMITERS, key=line.count)


def _comments(data: bytes) -> int:
    """Bytes of the comments above the column names: of the lines that begin with #, indented or
    not, and blank ones among them. The last such line may be the column names themselves
    (`_are_names`).
    """
    at, last = 0, -1
    while (end := data.find(b"\n", at)) >= 0:
        begin = data[at : min(end, at + LONGEST_LINE)].lstrip(b" \t")[:1]
        if begin not in (b"", b"#"):
            break
        last = at if begin else last
        at = end + 1
    if last < 0:
        return 0
    names, below = (_line_at(data, each) for each in (last, at))
    if below.lstrip(" \t").startswith("#"):  # no line follows: all of the text are comments
        return 0
    return last if _are_names(names, below) else at


def _line_at(data: bytes, at: int) -> str:
    line = data[at : at + LONGEST_LINE].split(b"\n", 1)[0]
    return line.decode("utf-8", errors="replace")


def _are_names(comment: str, below: str) -> bool:
    """Whether a line behind a # has the names of the columns of the line below it: it names all
    four prices, or has as many cells as the line below, which has numbers.
    """
    delimiter = find_delimiter(below)
    row = _cells(below, delimiter)
    own = find_delimiter(comment)
    if names_prices(_cells(comment, own)) and not names_prices(row):
        return True
    return len(_cells(comment, delimiter)) == len(row) > 1 and _has_number(row)


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return line.split(delimiter)


def _has_number(cells: list[str]) -> bool:
    for cell in cells:
        try:
            float(cell)
        except ValueError:
            continue
        return True
    return False


def without_comments(lines: list[str]) -> list[str]:
    """The lines from the column names, or the first row, on."""
    text = "\n".join(lines).encode()
    return text[_comments(text) :].decode().split("\n")


def _plain_lines(data: bytes) -> bytes:
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


def _first_lines(data: bytes) -> list[str]:
    """The first lines of a text, as many as a layout is recognised by."""
    head = data[: LOOKED_AT * _LONGEST_SAMPLED_LINE].split(b"\n", LOOKED_AT)[:LOOKED_AT]
    return [line.decode("utf-8", errors="replace") for line in head]


def _header_fields(line: str, delimiter: str, origin: str) -> tuple[str, ...]:
    try:
        fields = next(csv.reader([line], delimiter=delimiter, strict=True))
    except (csv.Error, StopIteration) as error:
        raise DataError(
            f"{origin} has a first line that cannot be read as column names ({error}):"
            f" '{excerpt(line)}'; correct the line"
        ) from None
    return tuple(name or f"column {at}" for at, name in enumerate(fields, 1))
