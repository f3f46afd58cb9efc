"""Labels of events by the method that the settings name: from frames to the table.

`triple_barrier` (labels/resolution.py), `horizon` (the same without barriers) and `trend_scanning`
(labels/trend_scanning.py). Symbols are labelled side by side where there are two threads.

Every value of a row, its weight included, is known at the row's own `end_timestamp`, and later bars
cannot change it. Only regular bars count, each symbol by its own. An event on an extended-hours bar
never becomes a trade, so it has no label.

>>> labelled = label_events(bars, events, settings, Calendar.of("XNYS"), "15Min")
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.kernel import kernel_without_allocation
from harmony_pipeline.labels.label_table import TOUCHED, Labelled, label_table
from harmony_pipeline.labels.market_arrays import (
    BarEnds,
    EventArrays,
    Grids,
    MarketArrays,
    end_of_bar,
    place_events,
    session_near,
)
from harmony_pipeline.labels.resolution import (
    AT_ONCE,
    GLANCE,
    Barriers,
    Outcomes,
    Ranges,
    SessionStarts,
    adjusted_ranges,
    empty_ranges,
    resolve_events,
    room_for,
    session_starts,
)
from harmony_pipeline.labels.settings import LabelSettings
from harmony_pipeline.labels.trend_scanning import scan_trends
from harmony_pipeline.labels.weights import average_uniqueness
from harmony_pipeline.lent_memory import ArrayRoom
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.instruments import Instruments
from harmony_pipeline.market.text_columns import Views, fill_views, name_views

_SHARED_EVENTS = 50_000  # fewer are done before a second thread has begun


def label_events(
    bars: pl.DataFrame,
    events: pl.DataFrame,
    settings: LabelSettings,
    calendar: Calendar,
    timeframe: str,
    *,
    keep_from: datetime | None = None,
    keep_until: datetime | None = None,
    instruments: Instruments | None = None,
    securities_begin: pl.DataFrame | None = None,
) -> Labelled:
    """One label an event and horizon.

    `bars` has the columns of schemas.BARS and may extend beyond the last event, so that outcomes
    resolve. `events` has symbol, timestamp (of a bar in `bars`), side (-1 or 1) and volatility
    (sample deviation of one bar's log return).

    Period by period: a weight depends on every label that was alive during a label's life. So pass,
    for one period, the events *and* bars from `largest horizon + 2` regular bars of each symbol
    before it to as many after it (as far as they exist), and cut the result by `keep_from <=
    timestamp < keep_until`. The rows are then bit for bit those of one run over the whole history.
    Where horizons count sessions, `largest horizon + 2` counts sessions, too.

    Barriers are on the tick of the symbol's instrument on the session date of the entry (default:
    US equities).

    `securities_begin` (symbol, date) has the days from which a symbol is another security, or none.
    No outcome crosses such a day: a label that a delisting, a change of symbol or a new owner of
    the symbol cuts short stays unresolved.

    Without barriers their columns are null, and `touched` is `vertical`. By trend scanning `label`
    is 1 where the trend has the event's side, `return` is that up to the trend's end, and `weight`
    the absolute t-value.

    Unresolved: end_timestamp, touched, return, label and weight are null. Without an entry bar the
    entry columns are null too. Raises DataError for an event without a bar, a repeated key, or an
    unusable side or volatility.
    """
    market = MarketArrays.of(bars, calendar, timeframe, securities_begin)
    table, arrays = place_events(events, market, bars)
    barriers = barriers_of(settings, calendar, timeframe)
    grids = market.grids(Instruments() if instruments is None else instruments)
    work = _Work.of(market, arrays, barriers, grids, settings.shortest_trend_bars)
    work.run(trends=settings.method == "trend_scanning")
    found = work.found
    rows = label_table(
        table, barriers.horizons, found, (found.entry, found.end), work.labels, work.weights,
        work.touched_views,
        (keep_from, keep_until), barriers.watched,
    )  # fmt: skip
    return Labelled(rows, events.height - table.height)


@dataclass(frozen=True)
class _Work:
    """What the kernels read and write; `run` writes `found`, `labels` and `weights`, the last two
    by [horizon, event]. After it `found` has moments in place of positions.
    """

    market: MarketArrays
    events: EventArrays
    barriers: Barriers
    grids: Grids
    sessions: SessionStarts
    ranges: Ranges
    found: Outcomes
    labels: NDArray[np.int8]
    weights: FloatArray
    touched_views: Views
    shortest: int

    @staticmethod
    def of(
        market: MarketArrays, events: EventArrays, barriers: Barriers, grids: Grids, shortest: int
    ) -> "_Work":
        shape = len(barriers.horizons), len(events.position)
        sessions = SessionStarts(np.empty(0, np.int32), np.empty(0, np.int64))
        if barriers.sessions:
            sessions = session_starts(market.session, market.starts)
        room = _room(len(market.at), *shape)
        return _Work(
            market, events, barriers, grids, sessions, empty_ranges(room, len(market.at)),
            room_for(room, *shape), room.empty(shape, np.int8), room.empty(shape, np.float64),
            room.empty((*shape, 2), np.uint64), shortest,
        )  # fmt: skip

    def run(self, *, trends: bool) -> None:
        halves, bars = split_events(self.market, self.events), len(self.market.at)
        if self.barriers.watched:
            half = bars // 2 if len(halves) > 1 else bars
            run_side_by_side(self._ranges, [(0, half), (half, bars)][: len(halves)])
        run_side_by_side(self._scan if trends else self._resolve, halves)

    def _ranges(self, first: int, stop: int) -> None:
        adjusted_ranges(self.market.prices, first, stop, self.barriers.closes, self.ranges)

    def _scan(self, first: int, stop: int) -> None:
        market, barriers = self.market, self.barriers
        scan_trends(
            self.events, first, stop, market.cuts, market.prices, barriers.horizons,
            barriers.sessions, self.sessions, self.shortest, barriers.late, self.found,
            self.labels, self.weights,
        )  # fmt: skip
        self._tell(first, stop)

    def _resolve(self, first: int, stop: int) -> None:
        market, found = self.market, self.found
        resolve_events(
            self.events, first, stop, market.cuts, market.starts, market.at, market.ends,
            market.prices, self.ranges, self.grids, self.barriers, self.sessions, found,
            np.empty(AT_ONCE, np.int64),
        )  # fmt: skip
        born = found.entry
        if self.barriers.late:
            born = np.full(len(found.entry), -1)
            born[first:stop] = first_bars_of_lives(market, found.entry[first:stop])
        weigh_events(market, self.events, first, stop, born, found.end, self.weights)
        judge_returns(found.gain, self.labels, first, stop)
        self._tell(first, stop)

    def _tell(self, first: int, stop: int) -> None:
        """Write moments in place of positions, and names of what was touched."""
        _tell_moments(self.market.at, self.market.ends, self.found, first, stop)
        views, _ = name_views(TOUCHED)
        for touched, column in zip(self.found.touched, self.touched_views, strict=True):
            fill_views(touched[first:stop], views, column[first:stop])


def _room(bars: int, horizons: int, events: int) -> ArrayRoom:
    """Room for ranges, outcomes, labels, weights and names."""
    of_a_label = 4 * 8 + 1 + 1 + 8 + 16
    return ArrayRoom(events * (horizons * of_a_label + 16) + 8 * (bars + GLANCE))


def barriers_of(settings: LabelSettings, calendar: Calendar, timeframe: str) -> Barriers:
    """The barriers of every horizon, the shortest first."""
    horizons = sorted(set(settings.horizons_bars))
    a_session = calendar.bars_per_session(timeframe) if settings.vertical == "sessions" else 1
    return Barriers(
        np.array(horizons, np.int64),
        np.array([settings.scale_bars(one, a_session) for one in horizons], np.int64),
        settings.vertical == "sessions",
        settings.touch == "close",
        settings.method == "triple_barrier",
        settings.entry == "close",
        settings.profit_take,
        settings.stop_loss,
        settings.minimum_barrier_bps,
    )


def split_events(market: MarketArrays, events: EventArrays) -> list[tuple[int, int]]:
    """The events in one part, or in two of about equal size that share no symbol."""
    count = len(events.position)
    if count < _SHARED_EVENTS or pl.thread_pool_size() < 2:
        return [(0, count)]
    row = int(np.searchsorted(market.starts, events.position[count // 2], side="right")) - 1
    cut = int(np.searchsorted(events.position, np.int32(market.starts[row])))
    return [part for part in ((0, cut), (cut, count)) if part[1] > part[0]]


def run_side_by_side(work: Callable[[int, int], None], parts: list[tuple[int, int]]) -> None:
    """`work` on each part; the kernels let two threads run at once."""
    if len(parts) == 1:
        work(*parts[0])
        return
    with ThreadPoolExecutor(len(parts)) as pool:
        for _ in pool.map(lambda part: work(*part), parts):
            pass


def first_bars_of_lives(market: MarketArrays, entry: IntArray) -> IntArray:
    """The bars after those at whose closes the events were entered, -1 where there is none: a life
    that has not begun shares no bar.
    """
    after = entry + 1
    return np.where((entry < 0) | np.isin(after, market.cuts), -1, after)


def weigh_events(
    market: MarketArrays,
    events: EventArrays,
    first: int,
    stop: int,
    entry: IntArray,
    end: IntArray,
    weights: FloatArray,
) -> None:
    """Write the average uniqueness of the events `first` to `stop`, which share no symbol with
    others, for each row of `end`; each lives from the bar `entry` on.
    """
    if first == stop:
        return
    places = np.searchsorted(market.starts, events.position[[first, stop - 1]], side="right")
    begin, after = market.starts[places[0] - 1], market.starts[places[1]]
    shares = np.empty(after - begin + 1, np.int64)
    for row in range(len(end)):
        average_uniqueness(
            entry[first:stop], end[row, first:stop], market.cuts, begin, after, shares,
            weights[row, first:stop],
        )  # fmt: skip


@kernel_without_allocation
def judge_returns(gain: FloatArray, labels: NDArray[np.int8], first: int, stop: int) -> None:
    """Write 1 where the return is positive, else 0."""
    for row in range(gain.shape[0]):
        gains, own = gain[row, first:stop], labels[row, first:stop]
        for event in range(own.size):
            own[event] = gains[event] > 0.0


@kernel_without_allocation
def _tell_moments(at: IntArray, ends: BarEnds, found: Outcomes, first: int, stop: int) -> None:
    """Write, in place of the positions of entries and ends, their moments."""
    here = 0
    for row in range(found.end.shape[0]):
        for event in range(first, stop):
            bar = found.end[row, event]
            if bar >= 0:
                here = session_near(ends, here, at[bar])
                found.end[row, event] = end_of_bar(ends, here, at[bar])
    for event in range(first, stop):
        if found.entry[event] >= 0:
            found.entry[event] = at[found.entry[event]]
