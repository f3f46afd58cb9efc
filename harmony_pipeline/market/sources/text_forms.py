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
TITLES_SKIPPED = "lines of one cell above the column names were taken for a title and skipped"
_MOST_TITLES = 10
_DELIMITERS = (",", ";", "\t", "|")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_NAMES_ABOVE = 50  # comments right above the first row among which column names are looked for
_LONGEST_SAMPLED_LINE = 4096  # bytes of a line by which a layout is recognised


@dataclass(frozen=True)
class TextForm:
    r"""A text and its form. `data` is UTF-8 with `\n` at the end of lines, and `above` lines stood
    before it: blank ones, comments where it is `commented`, a title where it is `titled`. `header`
    has the names of the columns; it is empty under a `layout`, and for a text without any text.
    """

    data: bytes
    above: int = 0
    delimiter: str = ","
    header: tuple[str, ...] = ()
    layout: Layout | None = None
    wide: Wide | None = None
    commented: bool = False
    titled: bool = False

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
    titles = _titles(data)
    titled, above = bool(titles), above + data[:titles].count(b"\n")
    data = data[titles:]
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
    return TextForm(data, above, delimiter, header, wide=wide, commented=commented, titled=titled)


def _titles(data: bytes) -> int:
    """Bytes of the lines above the column names that are a title: they have one cell each, or are
    blank, and the line below them names all four prices.
    """
    at = 0
    for _ in range(_MOST_TITLES + 1):
        line = _line_at(data, at)
        delimiter = find_delimiter(line)
        cells = _cells(line, delimiter)
        if names_prices(cells):
            return at
        if sum(bool(cell.strip()) for cell in cells) > 1 or (end := data.find(b"\n", at)) < 0:
            return 0
        at = end + 1
    return 0


def find_delimiter(line: str) -> str:
    """The sign that delimits the cells of a line: the one that it has most of."""
    return max(_DELIMITERS, key=line.count)


def _comments(data: bytes) -> int:
    """Bytes of the comments above the column names: of the lines that begin with #, indented or
    not, and blank ones among them. One such line may be the column names themselves; what stands
    between these and the rows are comments between rows (`comments.py`).
    """
    at, found = 0, list[int]()
    while (end := data.find(b"\n", at)) >= 0:
        begin = data[at : min(end, at + LONGEST_LINE)].lstrip(b" \t")[:1]
        if begin not in (b"", b"#"):
            break
        if begin:
            found.append(at)
        at = end + 1
    if not found:
        return 0
    below = _line_at(data, at)
    if below.lstrip(" \t").startswith("#"):  # no line follows: all of the text are comments
        return 0
    last, *others = [(each, _line_at(data, each)) for each in found[: -_NAMES_ABOVE - 1 : -1]]
    alike = [(each, line) for each, line in others if _are_names(line, below)]
    # names of all prices go before what might be a remark
    names = [each for each, line in (last, *alike) if _name_prices(line, below)]
    names += [last[0]] if _are_names(last[1], below) else []
    if not names and alike and not _has_layout(data[at:]):
        names = [alike[0][0]]
    return next(iter(names), at)


def _has_layout(data: bytes) -> bool:
    """Whether rows are those of a vendor's form without names."""
    return find_layout(_first_lines(data), find_delimiter(_line_at(data, 0)), LAYOUTS) is not None


def _line_at(data: bytes, at: int) -> str:
    line = data[at : at + LONGEST_LINE].split(b"\n", 1)[0]
    return line.decode("utf-8", errors="replace")


def _name_prices(comment: str, below: str) -> bool:
    """Whether a line behind a # names all four prices, and the line below it does not."""
    cells, row = (_cells(line, find_delimiter(line)) for line in (comment, below))
    return names_prices(cells) and not names_prices(row)


def _are_names(comment: str, below: str) -> bool:
    """Whether a line behind a # may have the names of the columns of the line below it: it has as
    many cells as the line below, which has numbers.
    """
    delimiter = find_delimiter(below)
    row = _cells(below, delimiter)
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


def from_column_names(lines: list[str]) -> list[str]:
    """The lines from the column names, or the first row, on: without a title above them, too."""
    text = "\n".join(lines).encode()
    text = text[_comments(text) :]
    return text[_titles(text) :].decode().split("\n")


def _plain_lines(data: bytes) -> bytes:
    r"""UTF-8 with `\\n` at the end of lines, whoever wrote it; a first line that is no UTF-8 is one
    of an older Windows, and so is the text but where all other lines are UTF-8 beyond ASCII.
    """
    if data[:2] in _UTF16:
        data = data.decode("utf-16", errors="replace").encode()
    elif (
        data[1:2] == b"\x00"
        and data[:400:2].isascii()
        and data[1:400:2].count(0) == len(data[1:400:2])
    ):
        data = data.decode("utf-16-le", errors="replace").encode()
    data = data.removeprefix(b"\xef\xbb\xbf")
    if not _begins_in_utf8(data):
        data = data.decode("cp1252", errors="replace").encode()
    if b"\x00" in data:
        data = data.replace(b"\x00", b"\xef\xbf\xbd")
    if b"\r" in data:
        data = data.replace(b"\r\r\n", b"\n").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data


def _begins_in_utf8(data: bytes) -> bool:
    """Whether the first line is UTF-8, or all others are and show it; a longer one than a header is
    not looked at.
    """
    line = data[:LONGEST_LINE].split(b"\n", 1)[0].split(b"\r", 1)[0]
    if _is_utf8(line) or len(line) >= LONGEST_LINE:
        return True
    others = data[len(line) :]
    return not others.isascii() and _is_utf8(others)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


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
