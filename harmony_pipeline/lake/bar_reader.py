"""Some bars out of many: the partitions that can hold them, the row groups that can hold them, the
columns that were asked for, in order.

The answer is `lake.read("bars")` filtered by symbol and half-open time, row for row; what is
skipped could not have held any of it. Which partitions overlap follows from their keys alone, since
a key is the first exchange date of its period and periods do not overlap.

>>> first, end = datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 3, 2, tzinfo=UTC)
>>> read_bars(lake, ["AAPL"], first, end, ["symbol", "timestamp", "close"])
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import polars as pl

from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.schemas import QUARANTINE, Table

_FEW_SYMBOLS, _SHORT = 8, timedelta(days=7)
_MARGIN = 1  # day: a period begins at its exchange's midnight, which is so near to midnight UTC
KEY = ("symbol", "timestamp")


def is_cut_by_time(table: Table) -> bool:
    """Whether `table` holds rows by symbol and time whose partitions are named by dates. Quarantine
    has ticks beside them, under other names.
    """
    return (
        table.partitioned_by == "trading" and table.key[:2] == KEY and table.name != QUARANTINE.name
    )


def scan_bars(
    lake: Lake,
    symbols: Sequence[str] | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    columns: Sequence[str] | None = None,
    table: str = "bars",
) -> pl.LazyFrame:
    """Bars in `start <= timestamp < end` (UTC; None means without bound) of `symbols` (None means
    all), each partition in its own order.

    `table` may be any that `is_cut_by_time`: bars, raw_bars, features, ...
    """
    rows = _within(
        lake.scan(table, overlapping_keys(lake.partitions(table), start, end)), start, end
    )
    if symbols is not None:
        # also skips row groups, by their least and greatest symbol
        rows = rows.filter(pl.col("symbol").is_in(sorted(set(symbols))))
    return rows if columns is None else rows.select(columns)


def read_bars(
    lake: Lake,
    symbols: Sequence[str] | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    columns: Sequence[str] | None = None,
    table: str = "bars",
) -> pl.DataFrame:
    """The same in memory, sorted by symbol and time."""
    chosen = list(columns) if columns is not None else list(lake.tables[table].columns)
    needed = [*chosen, *(name for name in KEY if name not in chosen)]
    names = sorted(set(symbols)) if symbols is not None else []
    if (
        len(names) > _FEW_SYMBOLS
        and start is not None
        and end is not None
        and end - start <= _SHORT
    ):
        # Comparing text costs more than decoding numbers: let the clock choose among all rows, then
        # the symbols among the few that are left.
        around = scan_bars(lake, None, start, end, needed, table).filter(
            pl.col("symbol").is_between(pl.lit(names[0]), pl.lit(names[-1]))
        )
        rows = around.collect(engine="in-memory").filter(pl.col("symbol").is_in(names))
    else:
        rows = scan_bars(lake, symbols, start, end, needed, table).collect(engine="in-memory")
    # A partition is sorted and later ones hold later times, so a stable sort by symbol is the whole
    # order.
    return rows.sort(KEY[0], maintain_order=True).select(chosen)


def overlapping_keys(
    keys: Sequence[str], start: datetime | None, end: datetime | None
) -> list[str]:
    """Of partition `keys` (2024, 2024-03 or 2024-03-04, sorted) those that can hold a moment of
    `start <= t < end`, and no more than a few days beyond.
    """
    # numbers of days: the first and the last moment that Python knows have no day beside them
    begins = [_first_date(key).toordinal() for key in keys]
    ends = [*begins[1:], date.max.toordinal()] if begins else []
    return [
        key
        for key, first, after in zip(keys, begins, ends, strict=True)
        if (end is None or first <= end.toordinal() + _MARGIN)
        and (start is None or after >= start.toordinal() - _MARGIN)
    ]


def _first_date(key: str) -> date:
    year, month, day = ([*key.split("-"), "01", "01"])[:3]
    return date(int(year), int(month), int(day))


def _within(rows: pl.LazyFrame, start: datetime | None, end: datetime | None) -> pl.LazyFrame:
    if start is not None:
        rows = rows.filter(pl.col("timestamp") >= start)
    return rows if end is None else rows.filter(pl.col("timestamp") < end)
