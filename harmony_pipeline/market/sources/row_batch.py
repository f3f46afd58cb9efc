"""Adjoining rows of one file on their way to raw rows: the sentences about what could not be read, and the order they stand in."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

import polars as pl

from harmony_pipeline.frames import formatted
from harmony_pipeline.market.sources.cell_parsing import named
from harmony_pipeline.market.sources.number_parsing import Decimal, written_numbers
from harmony_pipeline.text import CELL, CONTROL, NAME, excerpt


@dataclass(frozen=True)
class RowBatch:
    """Adjoining rows of one file, before their cells are typed; `marks` are sentences about whole rows, null where there is none."""

    cells: pl.DataFrame
    matched: dict[str, str]
    stamps: pl.Series
    marks: list[pl.Series]
    rows: pl.Series
    origin: str
    stem: str
    divisor: float = 1.0
    """units of the written prices in one of ours"""
    decimal: Decimal = "auto"

    def only(self, wanted: pl.Series) -> "RowBatch":
        """The rows where `wanted` is true."""
        marks = [mark.filter(wanted) for mark in self.marks]
        return replace(self, cells=self.cells.filter(wanted), stamps=self.stamps.filter(wanted), marks=marks, rows=self.rows.filter(wanted))


def within(frame: pl.DataFrame, symbols: Collection[str] | None, start: datetime, end: datetime) -> pl.DataFrame:
    """The rows in `start <= timestamp < end` of `symbols` (None: all)."""
    wanted = pl.col("timestamp").is_between(start, end, closed="left")
    if symbols is not None:
        wanted &= pl.col("symbol").is_in(list(symbols))
    return frame.filter(wanted)


def stripped_words(text: pl.Series) -> pl.Series:
    """`named` of a column with few different words, which as a rule need no change: told from the words alone."""
    words = text.unique().drop_nulls()
    return text if len(words) * 4 < len(text) and named(words).equals(words) else named(text)


def nothing_said(rows: int) -> pl.Series:
    """No sentence about any of `rows` rows."""
    return pl.Series("unread", [None], pl.String).new_from_index(0, rows)


def joined(sentences: list[pl.Series]) -> pl.Series:
    """One text a row out of all the sentences about it; null where nothing was said."""
    said = [sentence.alias(str(at)) for at, sentence in enumerate(sentences) if sentence.null_count() < len(sentence)]
    if not said:
        return sentences[0].alias("defect")
    text = pl.DataFrame(said).select(pl.concat_str(pl.all(), separator="; ", ignore_nulls=True).alias("defect"))
    return text.select(pl.when(pl.col("defect") != "").then("defect"))["defect"]


def unread_numbers(found: pl.Series, values: pl.Series) -> pl.Series:
    """The sentence about every cell that holds something which is no number."""
    if values.null_count() == found.null_count():
        return pl.Series([None], dtype=pl.String).new_from_index(0, len(found))
    text = written_numbers(found)
    sentence = formatted("{} is {}, expected a number: correct the cell", pl.lit(excerpt(found.name, NAME)), quoted(text.alias("found")))
    table = pl.DataFrame({"found": text, "value": values})
    return table.select(pl.when(pl.col("value").is_null() & pl.col("found").is_not_null()).then(sentence))[:, 0]


def quoted(found: pl.Series) -> pl.Expr:
    """The text in column `found` in quotes, for a sentence: its beginning, with `?` for control characters."""
    text = pl.col("found").cast(pl.String)
    head = text.str.slice(0, CELL).str.replace_all(CONTROL, "?")
    length = text.str.len_chars()
    shown = pl.when(length > CELL).then(formatted("'{}... ({} characters)'", head, length)).otherwise(formatted("'{}'", head))
    return pl.when(text.is_null()).then(pl.lit("empty")).otherwise(shown)
