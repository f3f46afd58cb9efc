"""The columns of the public tables of a run, over the memory of its arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa

from harmony_pipeline import schemas
from harmony_pipeline.arrays import BoolArray, FloatArray, IntArray, NumberArray
from harmony_pipeline.lent_memory import ArrayRoom
from harmony_pipeline.market.text_columns import name_array

Column: TypeAlias = "pl.Series | pa.Array | str | None"
"""A column: a series, an Arrow array, or a text that is the same in every row."""
_TIME = pa.timestamp("us", "UTC")


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


def frame_of(table: schemas.Table, columns: Mapping[str, Column]) -> pl.DataFrame:
    """A frame of the table's columns, at least one of which is an array.

    No expression makes them: Polars hands each to its own threads, which the tables that are made
    on the other core would wait for.
    """
    frame = arrays_frame({name: one for name, one in columns.items() if isinstance(one, pa.Array)})
    known = {one.name: one for one in frame.get_columns()}
    for name in table.columns:
        one = columns[name]
        if isinstance(one, pl.Series):
            known[name] = one.alias(name)
        elif one is None or isinstance(one, str):
            known[name] = pl.Series(name, [one], pl.String).new_from_index(0, frame.height)
    return pl.DataFrame([known[name] for name in table.columns])


def arrays_frame(columns: Mapping[str, pa.Array]) -> pl.DataFrame:
    """Polars takes all arrays in one step, as the fields of a struct: one by one they take three
    times as long.
    """
    taken = pl.from_arrow(pa.StructArray.from_arrays(list(columns.values()), list(columns)))
    assert isinstance(taken, pl.Series)
    return taken.struct.unnest()


def names_of(numbers: NumberArray, names: Sequence[str], room: ArrayRoom) -> Column:
    """names[number] in each row, null for -1; a single symbol, or no model, is the same in all."""
    if not names:
        return None
    if len(names) == 1 and len(numbers) and numbers.min() == 0:
        return names[0]
    return name_array(numbers, names, room)


def in_place(values: FloatArray | IntArray, valid: BoolArray | None = None) -> pa.Array:
    """A column over the array's memory, without a copy; null where not `valid`."""
    return _array(pa.from_numpy_dtype(values.dtype), values, valid)


def times_of(values: IntArray, valid: BoolArray | None = None) -> pa.Array:
    """`in_place`, of microseconds UTC."""
    return _array(_TIME, values, valid)


def _array(kind: pa.DataType, values: FloatArray | IntArray, valid: BoolArray | None) -> pa.Array:
    bits = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.Array.from_buffers(kind, len(values), [bits, pa.py_buffer(values)])
