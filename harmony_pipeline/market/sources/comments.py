"""Lines that begin with # between the rows of a text, indented or not.

A vendor's remark is no row. A row that somebody took out by a # before it is one that is not read,
and is quarantined with that reason; it is told from a remark by the numbers in it. Symbols that
begin with # (CFDs of MetaTrader brokers) are symbols, but beside rows of the same name without it.
"""

from typing import NamedTuple

import polars as pl

SKIPPED = "lines that begin with # between the rows were taken for comments and skipped"
TAKEN_OUT = "the line begins with #: take it away to have the row read, or delete the line"
_SIGN = r"^[ \t]*#+[ \t]*"
_STAMP = r"^[ \t]*\d[\d \t.:/TZ+-]*$"


class Parsed(NamedTuple):
    """Cells of a text, all text; their line numbers; what is wrong with whole lines; and what is to
    be said of the text.
    """

    cells: pl.DataFrame
    rows: pl.Series
    bent: pl.Series
    note: str | None = None


def without_comment_lines(parsed: Parsed) -> Parsed:
    """The rows alone, those that a # takes out marked as bent."""
    first = parsed.cells.to_series(0)
    marked = first.str.contains(_SIGN).fill_null(value=False)
    if not marked.any():
        return parsed
    at = marked.arg_true()
    lines = parsed.cells[at]
    is_row = lines.select(
        pl.any_horizontal(
            pl.lit(value=False),
            *(
                pl.col(name).str.strip_chars().str.replace(",", ".").cast(pl.Float64, strict=False)
                .is_not_null()
                for name in lines.columns[1:]
            ),
        )
    ).to_series()  # fmt: skip
    names = lines.to_series(0)
    # a row without a number is one of a symbol that has others
    is_row |= names.is_in(names.filter(is_row).implode())
    bare, others = names.str.replace(_SIGN, ""), first.filter(~marked)
    out = is_row & bare.is_in(others.implode())
    if others.str.contains(_STAMP).any():  # else #7203 is a symbol
        out |= is_row & bare.str.contains(_STAMP)
    bent, kept = parsed.bent, ~marked
    if is_row.any():
        kept = kept.scatter(at.filter(is_row), values=True)
    if out.any():
        bent = bent.scatter(at.filter(out), TAKEN_OUT)
    note = None if is_row.all() else SKIPPED
    return Parsed(parsed.cells.filter(kept), parsed.rows.filter(kept), bent.filter(kept), note)
