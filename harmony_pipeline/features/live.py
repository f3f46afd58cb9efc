"""The same fold, one bar at a time, for the live session.

A bar takes a few microseconds and gives the same bits as the daily run, because both call the same
kernels with the same adjusted numbers. The bars of one moment are given together where columns
compare symbols.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from struct import Struct
from typing import Any

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.errors import DataError
from harmony_pipeline.features.bar_fold import Binding, bar_fold
from harmony_pipeline.features.catalog import FeatureSet
from harmony_pipeline.features.kernel_inputs import GIVEN, ROWS
from harmony_pipeline.features.moments import (
    peer_arrays,
    refuse_without_sectors,
    sectors_of_bars,
)
from harmony_pipeline.features.news_columns import TOTALS, NewsTotals, end_of
from harmony_pipeline.features.state import State, States, states_by_symbol
from harmony_pipeline.market.sectors import Sectors
from harmony_pipeline.text import clock_time

_EPOCH, _FIRST = date(1970, 1, 1).toordinal(), datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 86_400_000_000  # microseconds
_SESSION_DATE = 7  # its place among the arguments of `update`
_PACK = Struct(f"{GIVEN}d").pack_into  # a quarter of the time of an assignment to the array


class LiveFeatures:
    """States of many symbols, updated bar by bar. One owner; not shared between threads.

    `states` are those of the daily run, as a FEATURE_STATE frame or by symbol. A symbol without a
    state starts from the initial one. `sectors`, needed where the set reads them, may know more
    than the day of a bar: each bar is compared by what was known on its own day.

    >>> live = LiveFeatures(feature_set, saved_states)
    >>> values = live.update("AAPL", start, 189.1, 189.4, 189.0, 189.3, 51_200.0, day, regular=True)
    """

    def __init__(
        self,
        feature_set: FeatureSet,
        states: States = None,
        news: NewsTotals | None = None,
        sectors: Sectors | None = None,
    ) -> None:
        if feature_set.reads_news and news is None:
            raise DataError("this feature set reads news: give the totals of news")
        refuse_without_sectors(feature_set, sectors)
        self.feature_set = feature_set
        self._news = news if feature_set.reads_news else None
        self._sectors = sectors if feature_set.reads_sectors else None
        self.names = feature_set.names
        self._together = feature_set.compares
        self._rounds = [bar_fold(feature_set, n) for n in range(len(feature_set.rounds))]
        self._folds = {
            symbol: _SymbolFold(feature_set, self._rounds, state)
            for symbol, state in states_by_symbol(states, feature_set).items()
        }
        begun = (fold.timestamp for fold in self._folds.values() if fold.timestamp is not None)
        self._moment = max(begun, default=None)

    def update(  # noqa: PLR0913  a bar, as it is
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
        end: datetime | None = None,
    ) -> FloatArray:
        """Values of the set's columns for one finished bar, NaN where not warm. Raw prices and
        volume, as in `bars`.

        `timestamp` is the bar's start, `session_date` its exchange session, `regular` whether it
        lies in regular hours, and `adjustment_factor` the symbol's forward factor of that day. Bars
        before the open and after the close are included. `end`, when the bar became known, is
        needed where the set reads news. Raises DataError for a bar that is not after the symbol's
        last one, or that could not be in `bars`. The state is then unchanged.
        """
        if self._together:
            raise DataError(
                f"{symbol}: this feature set compares symbols: give the bars of one moment together"
                " (update_moment)"
            )
        fold, numbers = self._prepare(
            symbol, timestamp, open_price, high, low, close, volume, session_date, regular,
            adjustment_factor, end,
        )  # fmt: skip
        return fold.update(timestamp, numbers)

    def update_moment(self, bars: Sequence[tuple[Any, ...]]) -> FloatArray:
        """Values [bars, columns] of all bars of one moment, each with the arguments of `update` in
        order. Any feature set will do.

        Raises DataError as `update` does, and where the bars are not of one moment or a symbol has
        two. No state is then changed.
        """
        values = np.empty((len(bars), len(self.names)))
        if len({bar[1] for bar in bars}) > 1 or len({bar[0] for bar in bars}) < len(bars):
            raise DataError(
                f"the bars of {', '.join(f'{bar[0]} {clock_time(bar[1])}' for bar in bars)} are"
                " not one bar each of one moment: columns that compare symbols need them together"
            )
        if bars and self._moment is not None and bars[0][1] <= self._moment:
            raise DataError(
                f"{bars[0][0]}: bar {clock_time(bars[0][1])} is not after"
                f" {clock_time(self._moment)}, the last moment counted: drop it"
            )
        prepared = [self._prepare(*bar) for bar in bars]
        for (fold, numbers), bar in zip(prepared, bars, strict=True):
            fold.update(bar[1], numbers)
            self._moment = bar[1]
        folds = {bar[0]: fold for (fold, _), bar in zip(prepared, bars, strict=True)}
        if self._together:
            self._compare(folds, {bar[0]: bar[_SESSION_DATE] for bar in bars})
        for row, bar in enumerate(bars):
            values[row] = folds[bar[0]].values()
        return values

    def _compare(self, folds: dict[str, "_SymbolFold"], days: dict[str, date]) -> None:
        """The comparisons of these symbols, and the folds that read them."""
        symbols = sorted(folds)  # as research adds them up
        moment = np.array([0, len(symbols)] if symbols else [0], np.int64)
        sectors, in_market = peer_arrays(symbols, self.feature_set.peers)
        if self._sectors is not None:
            sectors = sectors_of_bars(symbols, [days[each] for each in symbols], self._sectors)
        for number, comparisons in enumerate(self.feature_set.rounds):
            if number:
                for symbol in symbols:
                    folds[symbol].update_round(number)
            for column in comparisons:
                x = np.array([folds[symbol].rows[column.reads[0]][0] for symbol in symbols])
                found = np.empty(len(symbols))
                column.kernel(moment, sectors, in_market, x, found)
                for symbol, value in zip(symbols, found, strict=True):
                    folds[symbol].rows[column.name][0] = value

    def _prepare(  # noqa: PLR0913
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
        end: datetime | None = None,
    ) -> tuple["_SymbolFold", tuple[float, ...]]:
        """The symbol's fold and its next bar as kernels read it. Changes no state."""
        fold = self._folds.get(symbol)
        if fold is None:
            fold = self._folds[symbol] = _SymbolFold(self.feature_set, self._rounds, None)
        if fold.timestamp is not None and timestamp <= fold.timestamp:
            raise DataError(
                f"{symbol}: bar {clock_time(timestamp)} is not after"
                f" {clock_time(fold.timestamp)}, the last one counted: drop it"
            )
        if not (
            0.0 < low <= high < np.inf
            and open_price > 0.0
            and close > 0.0
            and 0.0 <= volume < np.inf
            and adjustment_factor > 0.0
        ):
            raise DataError(
                f"{symbol}: bar {clock_time(timestamp)} has an impossible price, volume or"
                f" factor ({open_price}, {high}, {low}, {close}, {volume}, {adjustment_factor}):"
                " quarantine it"
            )
        if self._news is not None:
            fold.fill_given(self._news.at(symbol, end_of(end, symbol)))
        factor, since = adjustment_factor, timestamp - _FIRST
        return fold, (
            open_price * factor,
            high * factor,
            low * factor,
            close * factor,
            volume / factor,
            session_date.toordinal() - _EPOCH,
            regular,
            since.days * _DAY + since.seconds * 1_000_000 + since.microseconds,
        )

    def snapshot(self) -> dict[str, State]:
        """A copy of every symbol's state."""
        return {
            symbol: State(fold.timestamp, fold.vector.copy())
            for symbol, fold in self._folds.items()
            if fold.timestamp is not None
        }


class _SymbolFold:
    """One symbol's state with the folds of every round bound to it, so that a bar costs only the
    calls.
    """

    def __init__(
        self, feature_set: FeatureSet, rounds: Sequence[Binding], state: State | None
    ) -> None:
        self.timestamp = None if state is None else state.timestamp
        self.vector = feature_set.initial_state() if state is None else state.vector.copy()
        bar, names = np.empty((ROWS, 1)), (*feature_set.names, *feature_set.hidden)
        columns = np.empty((len(names), 1))
        self.rows = dict(zip(names, columns, strict=True))
        self._numbers = bar.data
        self._values = columns[: len(feature_set.names), 0]
        self._fold, *self._later = (bound(bar, columns, self.vector) for bound in rounds)

    def update(self, timestamp: datetime, numbers: tuple[float, ...]) -> FloatArray:
        _PACK(self._numbers, 0, *numbers)
        self._fold()
        self.timestamp = timestamp
        return self._values.copy()

    def fill_given(self, totals: tuple[float, float]) -> None:
        """What comes with the next bar."""
        for name, total in zip(TOTALS, totals, strict=True):
            if name in self.rows:
                self.rows[name][0] = total

    def update_round(self, number: int) -> None:
        """The folds of a later round, on the bar of the last update."""
        self._later[number - 1]()

    def values(self) -> FloatArray:
        """The columns of the last bar."""
        return self._values.copy()
