"""The columns of the public tables of a run, over the memory of its arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from harmony_pipeline import schemas
from harmony_pipeline.arrays import BoolArray, FloatArray, IntArray, NumberArray
from harmony_pipeline.lent_memory import ArrayRoom
from harmony_pipeline.market.text_columns import name_column


@dataclass(frozen=True)
class RunLabel:
    """What a run is called in its tables. `book` is what ids begin with."""

    backtest_id: str
    book: str
    strategy: str
    parameters: Mapping[str, Any]

    @property
    def in_all_rows(self) -> dict[str, str | None]:
        """The columns that say whose a row is."""
        return {"backtest_id": self.backtest_id, "strategy": self.strategy or None}


def frame_of(table: schemas.Table, columns: Mapping[str, pl.Series | str | None]) -> pl.DataFrame:
    """A frame of the table's columns: series, and texts that are the same in every row.

    No expression makes them: Polars hands each to its own threads, which the tables that are made
    on the other core would wait for.
    """
    rows = next(len(one) for one in columns.values() if isinstance(one, pl.Series))
    return pl.DataFrame(
        [
            one.alias(name)
            if isinstance(one, pl.Series)
            else pl.Series(name, [one], pl.String).new_from_index(0, rows)
            for name, one in ((name, columns[name]) for name in table.columns)
        ]
    )


def names_of(numbers: NumberArray, names: Sequence[str], room: ArrayRoom) -> pl.Series | str | None:
    """names[number] in each row, null for -1; a single symbol, or no model, is the same in all."""
    if not names:
        return None
    if len(names) == 1 and len(numbers) and numbers.min() == 0:
        return names[0]
    return name_column(numbers, names, room)


def in_place(values: FloatArray | IntArray, valid: BoolArray | None = None) -> pl.Series:
    """A series over the array's memory, without a copy; null where not `valid`."""
    bits = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    kind = pa.from_numpy_dtype(values.dtype)
    series = pl.from_arrow(pa.Array.from_buffers(kind, len(values), [bits, pa.py_buffer(values)]))
    assert isinstance(series, pl.Series)
    return series


def times_of(values: IntArray, valid: BoolArray | None = None) -> pl.Series:
    """`in_place`, of microseconds UTC."""
    return in_place(values, valid).cast(schemas.TIME)
