"""The account of every row that a file holds.

    rows of a file  = rows received in some period + rows outside every period that is read
    rows received   = new versions + rows given twice + rows known before
    raw rows        = bars + quarantine

The first line is kept in the table `file_accounts`, one row a file and period; the second is told
by each ingest; the last two are checked in SQL (`sql/checks`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from harmony_pipeline.market.periods import Period
from harmony_pipeline.market.sources.file_accounting import FileAccount
from harmony_pipeline.schemas import FILE_ACCOUNTS

_NAMED = 10  # files that are told one by one; the rest are counted


@dataclass(frozen=True)
class OutsideRows:
    """Rows outside every period that is read: in all, and a sentence for each file that has
    some.
    """

    rows: int
    sentences: list[str]


def account_rows(
    accounts: Sequence[FileAccount], reading: str, start: datetime, end: datetime
) -> pl.DataFrame:
    """FILE_ACCOUNTS of one period, read from `start` to `end`; `reading` names the files and how
    they were read.
    """
    rows = [
        (reading, one.origin, one.rows, one.first, one.last, one.inside, start, end)
        for one in accounts
    ]
    frame = pl.DataFrame(rows, schema=FILE_ACCOUNTS.dtypes, orient="row")
    return FILE_ACCOUNTS.conform(frame)


def outside_rows(
    accounts: pl.DataFrame, reading: str, periods: Sequence[Period], end: datetime
) -> OutsideRows | None:
    """Rows that no period received; None unless every one of `periods` was read under `reading`.

    `periods` are all that the market has, oldest first, and `end` is where the last one was cut.
    """
    mine = accounts.filter(pl.col("reading") == reading)
    if mine["read_from"].n_unique() != len(periods) or not mine.height:
        return None
    files = (
        mine.group_by("origin")
        .agg(
            pl.col("rows").max(),
            pl.col("first").min(),
            pl.col("last").max(),
            pl.col("received").sum(),
        )
        .with_columns(outside=pl.col("rows") - pl.col("received"))
        .filter(pl.col("outside") != 0)
        .sort("origin")
    )
    last = min(end, periods[-1].end)
    asked = (
        f"the range that is read for market.start .. market.end ({periods[0].first_date} to"
        f" {last:%Y-%m-%d})"
    )
    sentences = [_sentence(row, asked) for row in files.head(_NAMED).iter_rows(named=True)]
    if files.height > _NAMED:
        rest = files[_NAMED:]
        sentences.append(
            f"{rest['outside'].sum()} rows of {rest.height} more files lie outside it, too"
        )
    return OutsideRows(int(files["outside"].sum()), sentences)


def _sentence(file: dict[str, Any], asked: str) -> str:
    span = (
        ""
        if file["first"] is None
        else f" from {file['first']:%Y-%m-%d} to {file['last']:%Y-%m-%d}"
    )
    held = f"{file['origin']} holds {file['rows']} rows{span}"
    if file["received"] == 0:
        return f"{held}; none lies in {asked}: widen the range, or take the file out"
    return f"{held}; {file['outside']} of them lie outside {asked}"
