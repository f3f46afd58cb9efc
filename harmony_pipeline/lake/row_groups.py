"""Reading a file a few row groups at a time, cut where a new symbol begins.

Memory holds a few row groups and the rows that wait for their symbol to end, never the file.
"""

import bisect
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import IO

import polars as pl

from harmony_pipeline.errors import DataError
from harmony_pipeline.lake.store import Store, first_line
from harmony_pipeline.schemas import Table

# read at once, about 200 MB at the most: a read costs its footer again, so the fewer the better
PIECE_ROWS = 1_048_576


def row_groups(
    file: IO[bytes],
    table: Table,
    until: datetime | None = None,
    rows: int = PIECE_ROWS,
    columns: Sequence[str] | None = None,
) -> Iterator[pl.DataFrame]:
    """The rows of a file in order, some whole row groups at a time, with the (chosen) columns of
    `table`; with `until` only rows learned by then.

    Polars decodes them in half of PyArrow's time; PyArrow only tells where the groups lie.
    """
    from pyarrow.parquet import ParquetFile

    try:
        metadata = ParquetFile(file).metadata
    except ValueError as error:  # ArrowInvalid is one
        raise OSError(str(error)) from None
    wanted = {
        name: dtype
        for name, dtype in table.dtypes.items()
        if columns is None or name in columns or (until is not None and name == table.known_by)
    }
    start = end = 0
    for number in range(metadata.num_row_groups):
        end += metadata.row_group(number).num_rows
        if end - start < min(rows, PIECE_ROWS) and number + 1 < metadata.num_row_groups:
            continue
        file.seek(0)
        there = pl.scan_parquet(file, hive_partitioning=False)
        names = there.collect_schema().names()
        piece = there.slice(start, end - start).select(
            pl.col(name).cast(dtype) if name in names else pl.lit(None, dtype=dtype).alias(name)
            for name, dtype in wanted.items()
        )
        found = piece.collect(engine="in-memory")
        found = (
            found
            if until is None or table.known_by is None
            else found.filter(pl.col(table.known_by) <= until)
        )
        yield found if columns is None else found.select(columns)
        start = end


def symbol_columns(table: Table) -> list[str]:
    """The leading key columns that name a run of rows belonging together: up to the symbol, or the
    first one.
    """
    key = list(table.key)
    return key[: key.index("symbol") + 1] if "symbol" in key else key[:1]


def whole_symbols(
    frames: Iterator[pl.DataFrame], table: Table, rows: int
) -> Iterator[pl.DataFrame]:
    """The same rows in order, in frames of about `rows` rows that end where a symbol ends; only a
    bigger symbol makes a bigger frame.
    """
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


def alphabet_ranges(frames: Iterator[pl.DataFrame]) -> Iterator[tuple[pl.DataFrame, pl.Expr]]:
    """Each frame with the stretch of the alphabet that it stands for: from behind the last symbol
    of the one before; the last frame has the rest.
    """
    symbol, after = pl.col("symbol"), pl.lit(value=True)
    held = next(frames)
    for following in frames:
        last = held["symbol"][-1]
        yield held, after & (symbol <= last)
        held, after = following, symbol > last
    yield held, after


def _last_start(frame: pl.DataFrame, columns: list[str]) -> int:
    """Index at which the last symbol of a sorted frame begins."""
    keys = [frame[name] for name in columns]
    last = [key[-1] for key in keys]
    return bisect.bisect_left(
        range(frame.height),
        True,
        key=lambda row: all(key[row] == value for key, value in zip(keys, last, strict=True)),
    )


def unreadable(store: Store, table: Table, names: Sequence[str], error: Exception) -> DataError:
    """The error of a read of several files, as one line that names the file at fault."""
    for name in names:
        try:
            schema = store.schema(name)
            with store.open_lazy(name) as file:
                pl.read_parquet(file)
        except (pl.exceptions.PolarsError, OSError, DataError) as found:
            cure = "move it away and make the partition again"
            return DataError(f"{store.address(name)} cannot be read ({first_line(found)}): {cure}")
        required = [column for column, one in table.columns.items() if not one.nullable]
        absent = [column for column in required if schema is not None and column not in schema]
        if absent:
            return DataError(
                f"{store.address(name)} has no column '{absent[0]}' (it has"
                f" {', '.join(list(schema or ())[:8])}): Harmony did not write it as a partition of"
                f" {table.name}; move it away and make the partition again"
            )
    return DataError(f"{table.name} cannot be read: {first_line(error)}")
