"""What a table is: its columns with type, unit and limits, its key, and how it is partitioned."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import polars as pl

from harmony_pipeline.frames import sort_rows

TIME = pl.Datetime("us", "UTC")
TEXT, REAL, WHOLE, FLAG, DAY = pl.String(), pl.Float64(), pl.Int64(), pl.Boolean(), pl.Date()
PeriodKind = Literal["trading", "retraining", "strategy", "day", "none"]


@dataclass(frozen=True)
class Column:
    """One column: its type, what it means with its unit, whether it may be null, and the limits or
    choices of its values.
    """

    dtype: Any
    note: str = ""
    nullable: bool = False
    above: float | None = None
    at_least: float | None = None
    one_of: tuple[str, ...] = ()
    added: bool = False  # lakes existed before it: their files lack it, and it is null there


@dataclass(frozen=True)
class Table:
    """One table: `key` is unique and is the order in which rows are stored.

    `known_by` names the column that says when a row was learned. Such a table only grows, and its
    past is told row by row; of any other table the lake keeps whole earlier versions of a
    partition.
    """

    name: str
    note: str
    partitioned_by: PeriodKind
    key: tuple[str, ...]
    columns: dict[str, Column] = field(default_factory=dict)
    known_by: str | None = None
    unique_key: bool = True  # false where only the order is by key: rows as they came
    conditions: tuple[str, ...] = ()  # in SQL; every row meets them
    # what further columns mean, where files may hold some that are not declared
    more_columns: str = ""
    # false: numbers whose digits hardly repeat; compression would make files an eighth smaller and
    # twice as slow to write
    compressible: bool = True

    @property
    def dtypes(self) -> dict[str, Any]:
        """Polars type of every column, in order."""
        return {name: column.dtype for name, column in self.columns.items()}

    @property
    def added(self) -> dict[str, Any]:
        """Polars type of the columns that files of an older lake lack."""
        return {name: column.dtype for name, column in self.columns.items() if column.added}

    def empty(self) -> pl.DataFrame:
        """The table with no rows."""
        return self._no_rows.clone()

    @cached_property
    def _no_rows(self) -> pl.DataFrame:
        return pl.DataFrame(schema=self.dtypes)

    def conform(self, frame: pl.DataFrame, *, in_order: bool = False) -> pl.DataFrame:
        """`frame` with exactly these columns in order, cast, missing nullable ones filled with
        null, sorted by key. `in_order` says that the rows are sorted already, by construction.

        Raises ValueError for a missing column, and for a number that the column's type would cut:
        1.9 is no whole number.
        """
        if frame.columns == list(self.columns) and frame.dtypes == list(self.dtypes.values()):
            return frame if in_order else sort_rows(frame, self.key)
        missing = [
            name
            for name, column in self.columns.items()
            if name not in frame.columns and not column.nullable
        ]
        if missing:
            raise ValueError(
                f"table {self.name} lacks the column(s) {', '.join(missing)}; it has"
                f" {', '.join(frame.columns)}"
            )
        self._refuse_fractions(frame)
        present = [
            (
                pl.col(name).cast(column.dtype)
                if name in frame.columns
                else pl.lit(None, dtype=column.dtype).alias(name)
            )
            for name, column in self.columns.items()
        ]
        conformed = frame.select(present)
        return conformed if in_order else sort_rows(conformed, self.key)

    def _refuse_fractions(self, frame: pl.DataFrame) -> None:
        schema = frame.schema
        for name, column in self.columns.items():
            if not (column.dtype.is_integer() and name in schema and schema[name].is_float()):
                continue
            cut = frame.filter(pl.col(name) != pl.col(name).floor())
            if cut.height:
                found = f"{name} is {cut[name][0]}, expected a whole number"
                raise ValueError(f"table {self.name}: {found} ({cut.height} rows)")


STAMP = {"timestamp": Column(TIME, "start of the bar, UTC")}
