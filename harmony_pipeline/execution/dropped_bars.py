"""Bars that never reached us: what a strategy would have said on them is not said.

The exchange knows nothing of it. Orders that work there still meet the bar, and only our decision
at its end is missing. Chance is keyed by (seed, symbol, start of the bar), so a bar is dropped or
not whatever else is in the table.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harmony_pipeline.arrays import BoolArray, IntArray
from harmony_pipeline.execution.random_draws import (
    DROPPED_BAR_DRAW,
    OF_THE_BAR,
    symbol_keys,
    uniform,
)
from harmony_pipeline.kernel import kernel
from harmony_pipeline.market.text_columns import run_starts
from harmony_pipeline.schemas import TIME


def without_dropped_bars(rows: pl.DataFrame, seed: int, probability: float) -> pl.DataFrame:
    """`rows` (symbol, timestamp: start of the bar, anything else) without those whose bar was
    dropped.
    """
    if probability <= 0.0 or rows.is_empty():
        return rows
    starts = run_starts(rows["symbol"])
    keys = symbol_keys(rows["symbol"].gather(starts[:-1]).to_list())
    at = rows["timestamp"].cast(TIME).to_physical().to_numpy()
    arrived = np.empty(rows.height, np.bool_)
    _arrived(keys, starts, at, np.uint64(seed & (2**64 - 1)), probability, arrived)
    return rows.filter(pl.Series(arrived))


@kernel
def _arrived(
    keys: NDArray[np.uint64],
    starts: IntArray,
    at: IntArray,
    seed: np.uint64,
    probability: float,
    arrived: BoolArray,
) -> None:
    for run in range(keys.size):
        for row in range(starts[run], starts[run + 1]):
            drawn = uniform(seed, keys[run], at[row], OF_THE_BAR, DROPPED_BAR_DRAW)
            arrived[row] = drawn >= probability
