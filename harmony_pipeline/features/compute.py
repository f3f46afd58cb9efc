"""Features of the bars of any number of symbols: one column a feature.

The features of a bar depend only on that bar and on earlier bars of the same symbol. A cut of the
bars anywhere, with the states carried over, gives the same bits. Bars of all sessions count,
extended hours included. Prices are adjusted by `adjustment_factor`, volume by its inverse.

Columns that compare symbols also depend on the bars of the others that start at the same moment.
They are computed after the folds that they read, over the frame in order of time (`Moments`).

Columns of news also depend on the headlines of the symbol that were known before the bar's end
(`news_columns.py`), columns of a sector on the sectors that were known on the day of the bar's
session (`market/sectors.py`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import TypeVar

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.errors import DataError
from harmony_pipeline.features.bar_columns import (
    REGULAR_SESSION,
    BarColumns,
    matrix_of,
    price_fault,
)
from harmony_pipeline.features.catalog import CUSUM_EVENT, FeatureSet, compiled_calls
from harmony_pipeline.features.four_symbols import SYMBOLS
from harmony_pipeline.features.indicator import Kernel
from harmony_pipeline.features.moments import Moments, refuse_without_sectors
from harmony_pipeline.features.news_columns import TOTALS, NewsTotals, bar_ends
from harmony_pipeline.features.state import State, States, state_frame, states_by_symbol
from harmony_pipeline.features.symbol_fold import (
    Bars,
    Rows,
    Steps,
    can_be_steps,
    fold_symbols,
    room_for,
    steps_of,
)
from harmony_pipeline.features.value_columns import value_column
from harmony_pipeline.lent_memory import lend_floats
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.sectors import Sectors
from harmony_pipeline.market.timeframes import LONG_TIMEFRAMES
from harmony_pipeline.text import clock_time

K = TypeVar("K")
T = TypeVar("T")

__all__ = ["REGULAR_SESSION", "FeatureResult", "compute_features", "session_days"]

# bars folded at once, so that a block fits the processor's cache; a cut changes no bit. No power of
# two: rows of 2^n numbers would contend for the same places of the cache
BLOCK_BARS = 4_000
ROUND_BARS = 32_768  # the same in rounds, where threads wait for Python's lock between kernels
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
    bars: pl.DataFrame,
    feature_set: FeatureSet,
    states: States,
    calendar: Calendar,
    timeframe: str,
    news: NewsTotals | None = None,
    sectors: Sectors | None = None,
) -> FeatureResult:
    """Continue every symbol from its saved state (or from the initial one) over `bars`, a frame
    like BARS.

    `bars` is sorted by symbol and timestamp and holds only bars after each symbol's state. Earlier
    bars would count twice and are refused; of a set that compares symbols, bars that start before
    any symbol's state ends. Symbols without bars keep their state. Symbols are computed side by
    side, with as many threads as Polars has. `news` is needed where the set reads news, `sectors`
    where it reads sectors. Raises DataError for other frames.
    """
    refuse_without_sectors(feature_set, sectors)
    known = states_by_symbol(states, feature_set)
    columns = BarColumns.of(bars, calendar, timeframe)
    given = dict[str, FloatArray]()
    if feature_set.reads_news:
        given = _totals(bars, columns, bar_ends(bars, calendar, timeframe), news)
    fold = _Fold.of(bars, feature_set, columns, known, given)
    if feature_set.compares:
        _refuse_half_a_moment(bars, known)
    vectors, with_nan = _in_rounds(fold, sectors) if fold.by_rounds else _in_groups(fold)
    for place, vector in enumerate(vectors):
        last = bars["timestamp"][int(fold.columns.starts[place + 1]) - 1]
        known[fold.columns.symbols[place]] = State(last, vector)
    series = (
        value_column(name, row, stretches)
        for name, row, stretches in zip(feature_set.names, fold.values, with_nan, strict=True)
    )
    return FeatureResult(
        bars.select("symbol", "timestamp").with_columns(series), state_frame(known, feature_set)
    )


def _totals(
    bars: pl.DataFrame, columns: BarColumns, ends: IntArray, news: NewsTotals | None
) -> dict[str, FloatArray]:
    """The totals of news of every bar."""
    if news is None:
        raise DataError("this feature set reads news: give compute_features the totals of news")
    found = np.empty((len(TOTALS), bars.height))
    for place, symbol in enumerate(columns.symbols):
        rows = slice(int(columns.starts[place]), int(columns.starts[place + 1]))
        found[:, rows] = news.before(symbol, ends[rows])
    return dict(zip(TOTALS, found, strict=True))


_Stretch = tuple[int, int, int]  # first row, row after the last, number of NaN


def _in_groups(fold: "_Fold") -> tuple[list[FloatArray], list[list[_Stretch]]]:
    """The states after the last bars, and of each column where it has NaN."""
    chosen, starts = fold.feature_set, fold.columns.starts
    fold.fill_given()
    steps = steps_of(chosen, tuple(fold.given))
    vectors = [fold.vector_before(place) for place in range(starts.size - 1)]
    groups = groups_of(np.diff(starts), fold.workers)
    with_nan = [list[_Stretch]() for _ in chosen.names]
    results = fold.of_all(lambda group: fold.group(group, steps, vectors), groups)
    for group, (after, counts) in zip(groups, results, strict=True):
        for place, vector in zip(group, after, strict=True):
            vectors[place] = vector
        for k, block, row in zip(*np.nonzero(counts), strict=True):
            first = int(starts[group[k]]) + int(block) * BLOCK_BARS
            last = min(first + BLOCK_BARS, int(starts[group[k] + 1]))
            with_nan[row].append((first, last, int(counts[k, block, row])))
    return vectors, with_nan


def groups_of(lengths: IntArray, workers: int) -> list[list[int]]:
    """The places of symbols that are folded together, by fours, those with the most bars first; the
    last ones shared out among the workers.
    """
    order = [int(place) for place in np.argsort(-lengths, kind="stable")]
    fours = len(order) // (SYMBOLS * workers) * workers
    rest = order[fours * SYMBOLS :]
    return [
        *(order[i * SYMBOLS : (i + 1) * SYMBOLS] for i in range(fours)),
        *(rest[i::workers] for i in range(min(workers, len(rest)))),
    ]


def _in_rounds(
    fold: "_Fold", sectors: Sectors | None
) -> tuple[list[FloatArray], list[list[_Stretch]]]:
    """The same of a set that compares symbols: the folds of a round, then its comparisons."""
    chosen, columns = fold.feature_set, fold.columns
    begun = [fold.vector_before(place) for place in range(len(columns.symbols))]
    vectors = [vector.copy() for vector in begun]
    moments = Moments.of(columns, chosen.peers, sectors if chosen.reads_sectors else None)
    rows = dict(zip((*chosen.names, *chosen.hidden), (*fold.values, *fold.hidden), strict=True))
    fold.fill_given()
    for number, comparisons in enumerate(chosen.rounds):
        kernels = compiled_calls(chosen, number)

        def fold_round(place: int, number: int = number, kernels: list[Kernel] = kernels) -> None:
            previous = begun[place][:1].copy()
            for block, stop, matrix in fold.blocks(place):
                values, hidden = fold.values[:, block:stop], fold.hidden[:, block:stop]
                calls = chosen.calls(vectors[place], matrix, values, hidden, number, previous)
                for kernel, (_, arguments) in zip(kernels, calls, strict=True):
                    kernel(*arguments)
            if number == 0:
                vectors[place][:1] = previous

        fold.of_all(fold_round, range(len(vectors)))
        for column in comparisons:
            moments.compare(column, rows[column.reads[0]], rows[column.name])
    counts = (int(np.isnan(row).sum()) for row in fold.values)
    return vectors, [[(0, fold.bars.height, count)] if count else [] for count in counts]


def _refuse_half_a_moment(bars: pl.DataFrame, known: Mapping[str, State]) -> None:
    """A moment is compared once, with all its bars."""
    if bars.is_empty() or not known:
        return
    first = bars["timestamp"].min()
    latest = max(known, key=lambda each: known[each].timestamp)
    assert isinstance(first, datetime)
    if first <= known[latest].timestamp:
        raise DataError(
            f"bars begin at {clock_time(first)}, and the saved feature state of {latest} is of"
            f" {clock_time(known[latest].timestamp)}: columns that compare symbols continue all of"
            " them from one moment"
        )


@dataclass(frozen=True)
class _Fold:
    """The fold of many symbols into the rows of `values`. Symbols share nothing that is written."""

    bars: pl.DataFrame
    feature_set: FeatureSet
    columns: BarColumns
    known: Mapping[str, State]
    values: FloatArray
    hidden: FloatArray
    given: Mapping[str, FloatArray]
    by_rounds: bool
    """Whether kernels are called one by one: the set compares symbols, or is no `Steps`."""

    @staticmethod
    def of(
        bars: pl.DataFrame,
        feature_set: FeatureSet,
        columns: BarColumns,
        known: Mapping[str, State],
        given: Mapping[str, FloatArray],
    ) -> "_Fold":
        values = lend_floats(len(feature_set.names), bars.height)
        by_rounds = feature_set.compares or not can_be_steps(feature_set)
        # without rounds a block of hidden columns is enough
        hidden = np.empty((len(feature_set.hidden), bars.height if by_rounds else 0))
        return _Fold(bars, feature_set, columns, known, values, hidden, given, by_rounds)

    def fill_given(self) -> None:
        """What comes with the bars."""
        chosen = self.feature_set
        for name, row in self.given.items():
            if name in chosen.names:
                self.values[chosen.names.index(name)] = row
            elif name in chosen.hidden and self.by_rounds:
                self.hidden[chosen.hidden.index(name)] = row

    @property
    def workers(self) -> int:
        """Threads that compute."""
        return pl.thread_pool_size() if self.bars.height >= SHARED_ROWS else 1

    def of_all(self, work: Callable[[K], T], parts: Sequence[K]) -> list[T]:
        """`work` of every part, in order."""
        if min(self.workers, len(parts)) > 1:
            with ThreadPoolExecutor(self.workers) as pool:
                return list(pool.map(work, parts))
        return [work(part) for part in parts]

    def vector_before(self, place: int) -> FloatArray:
        """The state before the symbol's first bar here."""
        symbol = self.columns.symbols[place]
        first = self.bars["timestamp"][int(self.columns.starts[place])]
        return _vector_before(self.known.get(symbol), symbol, first, self.feature_set)

    def blocks(self, place: int) -> Iterator[tuple[int, int, FloatArray]]:
        """First row, row after the last, and adjusted bars of each block of the symbol."""
        start, end = int(self.columns.starts[place]), int(self.columns.starts[place + 1])
        room = min(ROUND_BARS, end - start)
        matrix = matrix_of(room)
        for block in range(start, end, ROUND_BARS):
            stop = min(block + ROUND_BARS, end)
            if stop - block < room:  # rows of a matrix lie one behind the other
                matrix = matrix_of(stop - block)
            fault = self.columns.fill(block, matrix)
            if fault >= 0:
                raise price_fault(self.bars, fault)
            yield block, stop, matrix

    def group(
        self, places: Sequence[int], steps: Steps, vectors: Sequence[FloatArray]
    ) -> tuple[FloatArray, IntArray]:
        """The states of some symbols after their last bars, and the number of NaN by symbol, block
        and column. None of them has more bars than the first.
        """
        columns, names = self.columns, self.feature_set.names
        bounds = np.stack([columns.starts[places], columns.starts[np.add(places, 1)]], axis=1)
        states = np.stack([vectors[place] for place in places])
        most = int(bounds[0, 1] - bounds[0, 0])
        block = min(most, BLOCK_BARS)
        room = room_for(self.feature_set, block)
        hidden = len(self.feature_set.hidden) - sum(
            name in self.given for name in self.feature_set.hidden
        )
        given = np.array(list(self.given.values())) if self.given else np.empty((0, 0))
        rows = Rows(self.values, given, np.empty((SYMBOLS, hidden, block)))
        forgetful = [not column.indicator.stays_known for column in self.feature_set.columns]
        nans = np.zeros((len(places), -(-most // BLOCK_BARS), len(names)), np.int64)
        bars = Bars(columns.reals, columns.stamps, columns.sessions)
        if not fold_symbols(
            steps, bars, bounds, states, rows, room, np.array(forgetful, np.bool_), nans
        ):
            raise self._first_fault()
        return states, nans

    def _first_fault(self) -> DataError:
        """The refusal of the first row that kernels cannot read."""
        faults = (
            self.columns.fill(start, matrix_of(stop - start))
            for start, stop in pairwise(self.columns.starts.tolist())
        )
        return price_fault(self.bars, next(fault for fault in faults if fault >= 0))


def _vector_before(
    state: State | None, symbol: str, first: datetime, feature_set: FeatureSet
) -> FloatArray:
    if state is None:
        return feature_set.initial_state()
    if first <= state.timestamp:
        raise DataError(
            f"{symbol}: bar {clock_time(first)} is not after the saved feature state of"
            f" {clock_time(state.timestamp)}: pass later bars only"
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
