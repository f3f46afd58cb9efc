"""Reading a file a few row groups at a time, cut where a new symbol begins.

Memory holds one row group and the rows that wait for their symbol to end, never the file.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import IO

import polars as pl

from harmony_pipeline.schemas import Table


def row_groups(file: IO[bytes], table: Table, until: datetime | None = None) -> Iterator[pl.DataFrame]:
    """The row groups of a file in order, with the columns of `table`; with `until` only rows learned by then."""
    from pyarrow.parquet import ParquetFile

    parquet = ParquetFile(file)
    for number in range(parquet.num_row_groups):
        frame = pl.DataFrame(parquet.read_row_group(number))
        rows = frame.select(
            pl.col(name).cast(dtype) if name in frame.columns else pl.lit(None, dtype=dtype).alias(name) for name, dtype in table.dtypes.items()
        )
        yield rows if until is None or table.known_by is None else rows.filter(pl.col(table.known_by) <= until)


def symbol_columns(table: Table) -> list[str]:
    """The leading key columns that name a run of rows belonging together: up to the symbol, or the first one."""
    key = list(table.key)
    return key[: key.index("symbol") + 1] if "symbol" in key else key[:1]


def whole_symbols(frames: Iterator[pl.DataFrame], table: Table, rows: int) -> Iterator[pl.DataFrame]:
    """The same rows in order, in frames of about `rows` rows that end where a symbol ends; only a bigger symbol makes a bigger frame."""
    columns = symbol_columns(table)
    waiting: list[pl.DataFrame] = []
    height = 0
    for frame in frames:
        waiting.append(frame)
        height += frame.height
        if height < rows:
            continue
        held = pl.concat(waiting)
        cut = _last_start(held, columns)
        if cut:
            yield held[:cut]
        waiting, height = [held[cut:]], held.height - cut
    rest = pl.concat(waiting) if waiting else table.empty()
    if rest.height:
        yield rest


def _last_start(frame: pl.DataFrame, columns: list[str]) -> int:
    """Index at which the last symbol of a sorted frame begins."""
    last = frame.select(columns).tail(1)
    same = frame.select(pl.all_horizontal(pl.col(name).eq_missing(pl.lit(last[name][0])) for name in columns)).to_series()
    return int(same.arg_max() or 0)
