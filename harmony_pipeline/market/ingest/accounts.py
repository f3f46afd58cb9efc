"""The account of every row that a file holds.

    rows of a file  = rows received in some period + rows outside every period that is read
    rows received   = new versions + rows given twice + rows known before
    raw rows        = bars + quarantine

The first line is kept in the table `file_accounts`, one row a file and period; the second is told by
each ingest; the last two are checked in SQL (`sql/checks`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

import polars as pl

from harmony_pipeline.market.periods import Period
from harmony_pipeline.schemas import FILE_ACCOUNTS

_NAMED = 10  # files that are told one by one; the rest are counted


class FileAccount(Protocol):
    """What a source says of one file after a question: its rows, the first and last readable instant, and the rows that were asked for."""

    origin: str
    rows: int
    first: datetime | None
    last: datetime | None
    inside: int


@runtime_checkable
class AccountingSource(Protocol):
    """A source that counts the rows of its files: `accounts` speaks of the last question."""

    accounts: Sequence[FileAccount]


@dataclass(frozen=True)
class OutsideRows:
    """Rows outside every period that is read: in all, and a sentence for each file that has some."""

    rows: int
    sentences: list[str]


def account_rows(accounts: Sequence[FileAccount], reading: str, start: datetime, end: datetime) -> pl.DataFrame:
    """FILE_ACCOUNTS of one period, read from `start` to `end`; `reading` names the files and how they were read."""
    rows = [(reading, one.origin, one.rows, one.first, one.last, one.inside, start, end) for one in accounts]
    frame = pl.DataFrame(rows, schema=FILE_ACCOUNTS.dtypes, orient="row")
    return FILE_ACCOUNTS.conform(frame)


def outside_rows(accounts: pl.DataFrame, reading: str, periods: Sequence[Period], end: datetime) -> OutsideRows | None:
    """Rows that no period received; None unless every one of `periods` was read under `reading`.

    `periods` are all that the market has, oldest first, and `end` is where the last one was cut.
    """
    mine = accounts.filter(pl.col("reading") == reading)
    if mine["read_from"].n_unique() != len(periods) or not mine.height:
        return None
    files = (
        mine.group_by("origin")
        .agg(pl.col("rows").max(), pl.col("first").min(), pl.col("last").max(), pl.col("received").sum())
        .with_columns(outside=pl.col("rows") - pl.col("received"))
        .filter(pl.col("outside") != 0)
        .sort("origin")
    )
    first_date, last = f"{periods[0].first_date}", min(end, periods[-1].end)
    asked = f"the range that is read for [market] start .. end ({first_date} to {last:%Y-%m-%d})"
    sentences = [_sentence(*row, asked) for row in files.head(_NAMED).iter_rows()]
    if files.height > _NAMED:
        rest = files[_NAMED:]
        sentences.append(f"{rest['outside'].sum()} rows of {rest.height} more files lie outside it, too")
    return OutsideRows(int(files["outside"].sum()), sentences)


def _sentence(origin: str, rows: int, first: datetime | None, last: datetime | None, received: int, outside: int, asked: str) -> str:
    span = "" if first is None or last is None else f" from {first:%Y-%m-%d} to {last:%Y-%m-%d}"
    cure = "widen the range, or take the file out"
    if received == 0:
        return f"{origin} holds {rows} rows{span}; none lies in {asked}: {cure}"
    return f"{origin} holds {rows} rows{span}; {outside} of them lie outside {asked}"
