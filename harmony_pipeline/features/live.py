"""The same fold, one bar at a time, for the live session.

A bar takes a few microseconds and gives the same bits as the daily run, because both call the same
kernels with the same adjusted numbers.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import partial
from struct import Struct
from typing import Any

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.errors import DataError
from harmony_pipeline.features.catalog import FeatureSet, compiled_calls
from harmony_pipeline.features.kernel_inputs import GIVEN, ROWS
from harmony_pipeline.features.state import State, States, states_by_symbol

_EPOCH, _FIRST = date(1970, 1, 1).toordinal(), datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 86_400_000_000  # microseconds
_PACK = Struct(f"{GIVEN}d").pack_into  # a quarter of the time of an assignment to the array


class LiveFeatures:
    """States of many symbols, updated bar by bar. One owner; not shared between threads.

    `states` are those of the daily run, as a FEATURE_STATE frame or by symbol. A symbol without a
    state starts from the initial one.

    >>> live = LiveFeatures(feature_set, saved_states)
    >>> values = live.update("AAPL", start, 189.1, 189.4, 189.0, 189.3, 51_200.0, day, regular=True)
    """

    def __init__(self, feature_set: FeatureSet, states: States = None) -> None:
        self.feature_set = feature_set
        self.names = feature_set.names
        self._kernels = compiled_calls(feature_set)
        self._folds = {
            symbol: _SymbolFold(feature_set, self._kernels, state)
            for symbol, state in states_by_symbol(states, feature_set).items()
        }

    def update(
        self,
        symbol: str,
        timestamp: datetime,
        open_price: float,
        high: float,
        low: float,
        close: float,
        volume: float,
        session_date: date,
        regular: bool,
        adjustment_factor: float = 1.0,
    ) -> FloatArray:
        """Values of the set's columns for one finished bar, NaN where not warm. Raw prices and
        volume, as in `bars`.

        `timestamp` is the bar's start, `session_date` its exchange session, `regular` whether it
        lies in regular hours, and `adjustment_factor` the symbol's forward factor of that day. Bars
        before the open and after the close are included. Raises DataError for a bar that is not
        after the symbol's last one, or that could not be in `bars`. The state is then unchanged.
        """
        fold = self._folds.get(symbol)
        if fold is None:
            fold = self._folds[symbol] = _SymbolFold(self.feature_set, self._kernels, None)
        if fold.timestamp is not None and timestamp <= fold.timestamp:
            raise DataError(
                f"{symbol}: bar {timestamp:%Y-%m-%d %H:%M} is not after"
                f" {fold.timestamp:%Y-%m-%d %H:%M}, the last one counted: drop it"
            )
        if not (
            0.0 < low <= high < np.inf
            and open_price > 0.0
            and close > 0.0
            and 0.0 <= volume < np.inf
            and adjustment_factor > 0.0
        ):
            raise DataError(
                f"{symbol}: bar {timestamp:%Y-%m-%d %H:%M} has an impossible price, volume or"
                f" factor ({open_price}, {high}, {low}, {close}, {volume}, {adjustment_factor}):"
                " quarantine it"
            )
        factor, since = adjustment_factor, timestamp - _FIRST
        return fold.update(
            timestamp,
            (
                open_price * factor,
                high * factor,
                low * factor,
                close * factor,
                volume / factor,
                session_date.toordinal() - _EPOCH,
                regular,
                since.days * _DAY + since.seconds * 1_000_000 + since.microseconds,
            ),
        )

    def snapshot(self) -> dict[str, State]:
        """A copy of every symbol's state."""
        return {
            symbol: State(fold.timestamp, fold.vector.copy())
            for symbol, fold in self._folds.items()
            if fold.timestamp is not None
        }


class _SymbolFold:
    """One symbol's state with every kernel bound to its slice, so that a bar costs
    only the calls.
    """

    def __init__(
        self, feature_set: FeatureSet, kernels: list[Callable[..., Any]], state: State | None
    ) -> None:
        self.timestamp = None if state is None else state.timestamp
        self.vector = feature_set.initial_state() if state is None else state.vector.copy()
        self._bar = np.empty((ROWS, 1))
        self._numbers = self._bar.data
        self._values = np.empty((len(feature_set.names), 1))
        hidden = np.empty((len(feature_set.hidden), 1))
        calls = feature_set.calls(self.vector, self._bar, self._values, hidden)
        self._calls: list[Callable[[], None]] = [
            partial(kernel, *arguments)
            for kernel, (_, arguments) in zip(kernels, calls, strict=True)
        ]

    def update(self, timestamp: datetime, numbers: tuple[float, ...]) -> FloatArray:
        _PACK(self._numbers, 0, *numbers)
        for call in self._calls:
            call()
        self.timestamp = timestamp
        return self._values.flatten()
