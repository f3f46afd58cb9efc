"""The table of labels, made of the memory that the kernels wrote."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harmony_pipeline.arrays import ByteArray, FloatArray, IntArray
from harmony_pipeline.frames import moment_literal
from harmony_pipeline.kernel import kernel
from harmony_pipeline.labels.resolution import NO_ENTRY, Outcomes
from harmony_pipeline.market.text_columns import Views, name_views
from harmony_pipeline.schemas import LABELS, TIME

if TYPE_CHECKING:
    import pyarrow as pa

TOUCHED = ("upper", "lower", "vertical")  # by the codes of labels/resolution.py


@dataclass(frozen=True)
class Labelled:
    """`table` has the columns of schemas.LABELS, sorted by horizon, symbol, timestamp.

    `extended_events` counts events on bars outside regular hours.
    """

    table: pl.DataFrame
    extended_events: int

    def summary(self) -> dict[str, int | float]:
        """Counts and rates for each horizon, flat: `h8_upper`, `h8_unresolved`, `h8_positive_rate`,
        ...
        """
        counts: dict[str, int | float] = {
            "rows": self.table.height,
            "extended_events": self.extended_events,
        }
        for (horizon,), rows in self.table.group_by("horizon", maintain_order=True):
            settled = rows.filter(pl.col("end_timestamp").is_not_null())
            counts |= {
                f"h{horizon}_{side}": settled.filter(pl.col("touched") == side).height
                for side in TOUCHED
            }
            counts[f"h{horizon}_unresolved"] = rows.height - settled.height
            if settled.height:
                means = settled.select(
                    pl.col("label").cast(pl.Float64).mean(),
                    pl.col("return").mean(),
                    pl.col("weight").mean(),
                ).row(0)
                names = ("positive_rate", "mean_return", "mean_weight")
                counts |= {
                    f"h{horizon}_{name}": mean for name, mean in zip(names, means, strict=True)
                }
        return counts


def label_table(
    events: pl.DataFrame,
    horizons: IntArray,
    found: Outcomes,
    times: tuple[IntArray, IntArray],
    labels: NDArray[np.int8],
    weights: FloatArray,
    touched_views: Views,
    keep: tuple[datetime | None, datetime | None],
    has_barriers: bool,
) -> pl.DataFrame:
    """The rows of `found`; `times` are those of the entries, by event, and of the ends. `labels`
    and `weights` are by [horizon, event], `touched_views` (array_columns.py) by [horizon, event,
    2]. Rows are kept by `keep[0] <= timestamp < keep[1]`.
    Without barriers their columns are null.
    """
    parts, nothing = [], pl.lit(None, pl.Float64)
    for row, horizon in enumerate(horizons):
        touched = found.touched[row]
        settled, entered = _bits(touched, 0), _bits(touched, NO_ENTRY + 1)
        columns: dict[str, pl.Series | pl.Expr] = {
            "horizon": pl.lit(int(horizon), pl.Int64),
            "entry_timestamp": _times(times[0], entered),
            "entry_price": _column(found.entry_price, entered),
            "upper_barrier": _column(found.upper[row], entered) if has_barriers else nothing,
            "lower_barrier": _column(found.lower[row], entered) if has_barriers else nothing,
            "end_timestamp": _times(times[1][row], settled),
            "touched": _text(touched_views[row], settled),
            "return": _column(found.gain[row], settled),
            "label": _column(labels[row], settled),
            "weight": _column(weights[row], settled),
        }
        parts.append(events.select("symbol", "timestamp", "side").with_columns(**columns))
    table = pl.concat(parts, rechunk=False).select(
        pl.col(name).cast(dtype) for name, dtype in LABELS.dtypes.items()
    )
    start, end = keep
    if start is not None:
        table = table.filter(pl.col("timestamp") >= moment_literal(start))
    if end is not None:
        table = table.filter(pl.col("timestamp") < moment_literal(end))
    return table


_Bits = tuple["pa.Buffer | None", int]


def _bits(touched: NDArray[np.int8], least: int) -> _Bits:
    """A bit a row, 0 where `touched` is below `least`; and how many are."""
    import pyarrow as pa

    count = _count_below(touched, least)
    if not count:
        return None, 0
    bits = np.full((touched.size + 7) // 8, 255, np.uint8)
    _clear_below(touched, least, bits)
    return pa.py_buffer(bits), count


@kernel
def _count_below(touched: NDArray[np.int8], least: int) -> int:
    count = 0
    for row in range(touched.size):
        count += touched[row] < least
    return count


@kernel
def _clear_below(touched: NDArray[np.int8], least: int, bits: ByteArray) -> None:
    for row in range(touched.size):
        if touched[row] < least:
            bits[row >> 3] &= 255 ^ (1 << (row & 7))


def _column(values: NDArray[Any], valid: _Bits) -> pl.Series:
    """A column that keeps the memory of `values`, which nobody may write to afterwards."""
    import pyarrow as pa

    kind = pa.from_numpy_dtype(values.dtype)
    buffers = [valid[0], pa.py_buffer(values)]
    series = pl.from_arrow(pa.Array.from_buffers(kind, values.size, buffers, valid[1]))
    assert isinstance(series, pl.Series)
    return series


def _text(views: Views, valid: _Bits) -> pl.Series:
    """The same of names' views."""
    import pyarrow as pa

    buffers = [valid[0], pa.py_buffer(views), *name_views(TOUCHED)[1]]
    series = pl.from_arrow(pa.Array.from_buffers(pa.string_view(), len(views), buffers, valid[1]))
    assert isinstance(series, pl.Series)
    return series


def _times(stamps: IntArray, valid: _Bits) -> pl.Series:
    return _column(stamps, valid).cast(pl.Datetime("us")).dt.replace_time_zone("UTC").cast(TIME)
