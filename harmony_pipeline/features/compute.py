"""Features of the bars of any number of symbols: one column a feature.

The features of a bar depend only on that bar and on earlier bars of the same symbol. A cut of the
bars anywhere, with the states carried over, gives the same bits. Bars of all sessions count,
extended hours included. Prices are adjusted by `adjustment_factor`, volume by its inverse.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.errors import DataError
from harmony_pipeline.features.catalog import CUSUM_EVENT, FeatureSet
from harmony_pipeline.features.kernel_inputs import (
    CLOSE,
    HIGH,
    LOW,
    OPEN,
    REGULAR,
    ROWS,
    SESSION_DAY,
    VOLUME,
)
from harmony_pipeline.features.state import State, States, state_frame, states_by_symbol
from harmony_pipeline.frames import symbol_ranges
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.settings import LONG_TIMEFRAMES

REGULAR_SESSION = "regular"
# bars folded at once, so that a block fits the processor's cache; a cut changes no bit
BLOCK_BARS = 8_192
_MINUTE = "%Y-%m-%d %H:%M"
_PRICES = {OPEN: "open", HIGH: "high", LOW: "low", CLOSE: "close"}


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
    bars would count twice and are refused. Symbols without bars keep their state. Raises DataError
    for other frames.
    """
    known = states_by_symbol(states, feature_set)
    _check(bars)
    columns = _Columns.of(bars, calendar, timeframe)
    values = np.empty((len(feature_set.names), bars.height))
    hidden = np.empty((len(feature_set.hidden), BLOCK_BARS))
    for symbol, (start, end) in symbol_ranges(bars["symbol"]).items():
        vector = _vector_before(known.get(symbol), symbol, bars["timestamp"][start], feature_set)
        for block in range(start, end, BLOCK_BARS):
            stop = min(block + BLOCK_BARS, end)
            feature_set.fold_into(
                vector,
                columns.matrix(block, stop),
                values[:, block:stop],
                hidden[:, : stop - block],
            )
        known[symbol] = State(bars["timestamp"][end - 1], vector)
    series = (
        pl.Series(name, row, nan_to_null=True)
        for name, row in zip(feature_set.names, values, strict=True)
    )
    return FeatureResult(
        bars.select("symbol", "timestamp").with_columns(series), state_frame(known, feature_set)
    )


def _vector_before(
    state: State | None, symbol: str, first: datetime, feature_set: FeatureSet
) -> FloatArray:
    if state is None:
        return feature_set.initial_state()
    if first <= state.timestamp:
        raise DataError(
            f"{symbol}: bar {first:{_MINUTE}} is not after the saved feature state of"
            f" {state.timestamp:{_MINUTE}}: pass later bars only"
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


@dataclass(frozen=True)
class _Columns:
    """The columns of many symbols, from which each symbol's matrix is cut."""

    prices: dict[int, FloatArray]
    volume: FloatArray
    factor: FloatArray
    day: Any
    regular: Any

    @staticmethod
    def of(bars: pl.DataFrame, calendar: Calendar, timeframe: str) -> "_Columns":
        return _Columns(
            {row: bars[name].to_numpy() for row, name in _PRICES.items()},
            bars["volume"].to_numpy(),
            bars["adjustment_factor"].to_numpy(),
            session_days(bars["timestamp"], calendar, timeframe).to_numpy(),
            (bars["session"] == REGULAR_SESSION).to_numpy(),
        )

    def matrix(self, start: int, end: int) -> FloatArray:
        """Adjusted bars `start` to `end` as kernels read them."""
        matrix, factor = np.empty((ROWS, end - start)), self.factor[start:end]
        for row, price in self.prices.items():
            np.multiply(price[start:end], factor, out=matrix[row])
        np.divide(self.volume[start:end], factor, out=matrix[VOLUME])
        matrix[SESSION_DAY], matrix[REGULAR] = self.day[start:end], self.regular[start:end]
        return matrix


def _check(bars: pl.DataFrame) -> None:
    """Raise DataError unless bars are sorted, unique and complete, with prices above zero. Kernels
    rely on it.
    """
    needed = ("symbol", "timestamp", "session", *_PRICES.values(), "volume", "adjustment_factor")
    missing = [name for name in needed if name not in bars.columns]
    if missing:
        raise DataError(
            f"bars lack the column(s) {', '.join(missing)}: features are computed from the table"
            " `bars`"
        )
    symbol, timestamp = pl.col("symbol"), pl.col("timestamp")
    ordered = (symbol > symbol.shift()) | (
        (symbol == symbol.shift()) & (timestamp > timestamp.shift())
    )
    positive = pl.col(*_PRICES.values(), "adjustment_factor").is_between(
        0.0, float("inf"), closed="none"
    )
    sound = pl.all_horizontal(
        positive, pl.col("volume").is_between(0.0, float("inf"), closed="left")
    )
    first = bars.lazy().select(
        disorder=(~ordered).arg_true().first(), fault=(~sound.fill_null(False)).arg_true().first()
    )
    disorder, fault = first.collect(engine="in-memory").row(0)
    if disorder is not None:
        raise DataError(
            f"bars row {disorder} ({_name(bars, disorder)}) is not after the row before it: sort by"
            " symbol and timestamp, one bar each"
        )
    if fault is not None:
        raise DataError(
            f"bars row {fault} ({_name(bars, fault)}) has a price or factor that is not above 0, or"
            " a volume below 0: quarantine it first"
        )


def _name(bars: pl.DataFrame, row: int) -> str:
    return f"{bars['symbol'][row]} {bars['timestamp'][row]:{_MINUTE}}"
