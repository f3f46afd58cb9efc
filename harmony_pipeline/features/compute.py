"""Features of the bars of any number of symbols: one column a feature.

The features of a bar depend only on that bar and on earlier bars of the same symbol. A cut of the
bars anywhere, with the states carried over, gives the same bits. Bars of all sessions count,
extended hours included. Prices are adjusted by `adjustment_factor`, volume by its inverse.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.errors import DataError
from harmony_pipeline.features.bar_columns import (
    MINUTE,
    REGULAR_SESSION,
    BarColumns,
    matrix_of,
    price_fault,
)
from harmony_pipeline.features.catalog import CUSUM_EVENT, FeatureSet, compiled_calls
from harmony_pipeline.features.indicators import Kernel
from harmony_pipeline.features.state import State, States, state_frame, states_by_symbol
from harmony_pipeline.features.value_columns import count_nan, value_column
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.settings import LONG_TIMEFRAMES

__all__ = ["REGULAR_SESSION", "FeatureResult", "compute_features", "session_days"]

# bars folded at once, so that a block fits the processor's cache; a cut changes no bit
BLOCK_BARS = 32_768
SHARED_ROWS = 50_000  # fewer are done before a second thread has begun


@dataclass(frozen=True)
class FeatureResult:
    """`table`: symbol, timestamp and the set's columns, null until warm. `states`: FEATURE_STATE of
    every symbol after its last bar.
    """

    table: pl.DataFrame
    states: pl.DataFrame

    def summary(self) -> dict[str, int | float | str]:
        """Row and symbol counts, CUSUM events, and the fraction of rows on which every column is
        known.
        """
        known = self.table.select(
            pl.all_horizontal(pl.exclude("symbol", "timestamp").is_not_null()).sum()
        ).item()
        has_events = CUSUM_EVENT in self.table.columns
        return {
            "rows": self.table.height,
            "symbols": self.table["symbol"].n_unique(),
            "features": self.table.width - 2,
            "cusum_events": int((self.table[CUSUM_EVENT] != 0.0).sum()) if has_events else 0,
            "warm_fraction": round(known / self.table.height, 6) if self.table.height else 0.0,
        }


def compute_features(
    bars: pl.DataFrame, feature_set: FeatureSet, states: States, calendar: Calendar, timeframe: str
) -> FeatureResult:
    """Continue every symbol from its saved state (or from the initial one) over `bars`, a frame
    like BARS.

    `bars` is sorted by symbol and timestamp and holds only bars after each symbol's state. Earlier
    bars would count twice and are refused. Symbols without bars keep their state. Symbols are
    computed side by side, with as many threads as Polars has. Raises DataError for other frames.
    """
    known = states_by_symbol(states, feature_set)
    fold = _Fold.of(bars, feature_set, BarColumns.of(bars, calendar, timeframe), known)
    symbols = range(len(fold.columns.symbols))
    workers = pl.thread_pool_size() if bars.height >= SHARED_ROWS else 1
    if min(workers, len(symbols)) > 1:
        with ThreadPoolExecutor(workers) as pool:
            folded = list(pool.map(fold.symbol, symbols))
    else:
        folded = [fold.symbol(place) for place in symbols]
    with_nan: list[list[tuple[int, int, int]]] = [[] for _ in feature_set.names]
    for place, (vector, stretches) in zip(symbols, folded, strict=True):
        last = bars["timestamp"][int(fold.columns.starts[place + 1]) - 1]
        known[fold.columns.symbols[place]] = State(last, vector)
        for start, stop, counts in stretches:
            for row in np.flatnonzero(counts):
                with_nan[row].append((start, stop, int(counts[row])))
    series = (
        value_column(name, row, stretches)
        for name, row, stretches in zip(feature_set.names, fold.values, with_nan, strict=True)
    )
    return FeatureResult(
        bars.select("symbol", "timestamp").with_columns(series), state_frame(known, feature_set)
    )


@dataclass(frozen=True)
class _Fold:
    """The fold of many symbols into the rows of `values`. Symbols share nothing that is written."""

    bars: pl.DataFrame
    feature_set: FeatureSet
    columns: BarColumns
    known: Mapping[str, State]
    values: FloatArray
    kernels: list[Kernel]

    @staticmethod
    def of(
        bars: pl.DataFrame, feature_set: FeatureSet, columns: BarColumns, known: Mapping[str, State]
    ) -> "_Fold":
        values = np.empty((len(feature_set.names), bars.height))
        return _Fold(bars, feature_set, columns, known, values, compiled_calls(feature_set))

    def symbol(self, place: int) -> tuple[FloatArray, list[tuple[int, int, IntArray]]]:
        """One symbol's state after its last bar, and the blocks that have NaN: first row, row after
        the last, number of NaN by column.
        """
        columns, chosen = self.columns, self.feature_set
        start, end = int(columns.starts[place]), int(columns.starts[place + 1])
        symbol = columns.symbols[place]
        first = self.bars["timestamp"][start]
        vector = _vector_before(self.known.get(symbol), symbol, first, chosen)
        room = min(BLOCK_BARS, end - start)
        matrix, hidden = matrix_of(room), np.empty((len(chosen.hidden), room))
        counts, with_nan = np.zeros(len(chosen.names), np.int64), []
        forgetful = np.array([not column.indicator.stays_known for column in chosen.columns], bool)
        watched = np.ones(len(chosen.names), bool)
        for block in range(start, end, BLOCK_BARS):
            stop = min(block + BLOCK_BARS, end)
            if stop - block < room:  # rows of a matrix lie one behind the other
                matrix, hidden = matrix_of(stop - block), hidden[:, : stop - block]
            fault = columns.fill(block, matrix)
            if fault >= 0:
                raise price_fault(self.bars, fault)
            values = self.values[:, block:stop]
            calls = chosen.calls(vector, matrix, values, hidden)
            for kernel, (_, arguments) in zip(self.kernels, calls, strict=True):
                kernel(*arguments)
            count_nan(values, watched, counts)
            if counts.any():
                with_nan.append((block, stop, counts.copy()))
            watched = forgetful | (counts > 0)
        return vector, with_nan


def _vector_before(
    state: State | None, symbol: str, first: datetime, feature_set: FeatureSet
) -> FloatArray:
    if state is None:
        return feature_set.initial_state()
    if first <= state.timestamp:
        raise DataError(
            f"{symbol}: bar {first:{MINUTE}} is not after the saved feature state of"
            f" {state.timestamp:{MINUTE}}: pass later bars only"
        )
    return state.vector.copy()


def session_days(timestamps: pl.Series, calendar: Calendar, timeframe: str) -> pl.Series:
    """Days since 1970-01-01 of each bar's session, its extended hours included.

    It equals `calendar.with_session(...)["session_date"]` for bars inside a session, and is faster.
    """
    if timeframe in LONG_TIMEFRAMES:
        return timestamps.dt.date().to_physical()
    session = calendar.table["post_close"].search_sorted(timestamps, side="right")
    if timestamps.len() and int(session.max()) >= calendar.table.height:  # type: ignore[arg-type]
        raise DataError(
            f"calendar {calendar.name} ends with {calendar.table['date'][-1]}, before the"
            " latest bar"
        )
    return calendar.table["date"].gather(session).to_physical()
