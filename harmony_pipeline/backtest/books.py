"""What the compiled loop reads and changes: the books of a run, and where it stands in its bars."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harmony_pipeline.arrays import BoolArray, IntArray
from harmony_pipeline.backtest.input_arrays import NEVER, MarketBars, SignalColumns
from harmony_pipeline.backtest.logs import (
    APPLICATIONS,
    EVENTS,
    FILLS,
    ORDERS,
    SPANS,
    TRADES,
    TRIPS,
)
from harmony_pipeline.execution.exchange import MAX_REPORTS
from harmony_pipeline.kernel import inlined_kernel, kernel_without_allocation
from harmony_pipeline.portfolio.decisions import INTENTS_A_DECISION
from harmony_pipeline.portfolio.kernel_types import (
    BAR,
    NO_MODEL,
    ORDER,
    REPORT,
    Record,
    Records,
    records,
)
from harmony_pipeline.portfolio.position_accounting import INTENTS_A_REPORT

LOG_ROWS_A_SYMBOL = 8  # most rows that one symbol can add to any log at one timestamp
LOG_ROWS_AN_EVENT = 8  # and one event of lives or one action


class Books(NamedTuple):
    """What the loop changes: both halves of the state and the logs.

    `next_action[s]` points at the first action of symbol s that is not behind. `busy[s]` is false
    while symbol s has neither a position nor a working order. `lives` is in order. `intents` and
    `reports` are room for one timestamp. `at` holds the places that backtest/logs.py names. Of a
    round trip in `trip_log` the other logs say nothing. Without `keeps_logs` no order, fill, span
    and round trip is logged, and the other logs start over when they are full.
    """

    positions: Records
    account: Records
    orders: Records
    keys: NDArray[np.uint64]
    rules: Records
    actions: Records
    next_action: IntArray
    lives: Records
    intents: Records
    reports: Records
    endings: Records
    order_log: Records
    fill_log: Records
    trade_log: Records
    applied_log: Records
    event_log: Records
    span_log: Records
    trip_log: Records
    busy: BoolArray
    at: IntArray
    keeps_logs: bool


class Cursor(NamedTuple):
    """For each symbol, its next bar, the moment of it (NEVER: none is left) and its next signal;
    `moment` is room for the bars of one timestamp.
    """

    bar: IntArray
    at: IntArray
    signal: IntArray
    moment: Records


def scratch(symbols: int) -> tuple[Records, Records]:
    """Room for the intents and the reports of one timestamp."""
    intents = records(INTENTS_A_DECISION * symbols + INTENTS_A_REPORT, ORDER)
    return intents, records(MAX_REPORTS, REPORT)


def cursor_at_start(bars: MarketBars, signals: SignalColumns) -> Cursor:
    """Before the first bar of every symbol."""
    at = np.full(len(bars.begin), NEVER)
    some = bars.begin < bars.end
    at[some] = bars.at[bars.begin[some]]
    room = records(max(1, len(at)), BAR)
    return Cursor(bars.begin.copy(), at, signals.begin.copy(), room)


@kernel_without_allocation
def spare_rows(symbols: int, lives: int, actions: int) -> int:
    """Rows that a log must have left for one timestamp, whatever happens at it."""
    return LOG_ROWS_A_SYMBOL * symbols + LOG_ROWS_AN_EVENT * (lives + actions)


@inlined_kernel
def has_room(books: Books, room: int) -> bool:
    """Whether every log has room for one more timestamp."""
    at = books.at
    found = (
        len(books.trade_log) - at[TRADES] >= room
        and len(books.applied_log) - at[APPLICATIONS] >= room
    )
    if books.keeps_logs:
        found &= len(books.order_log) - at[ORDERS] >= room
        found &= len(books.fill_log) - at[FILLS] >= room
        found &= len(books.event_log) - at[EVENTS] >= room
        found &= len(books.span_log) - at[SPANS] >= room
        found &= len(books.trip_log) - at[TRIPS] >= room
    return bool(found)


@inlined_kernel
def read_bar(
    bar: Record, bars: MarketBars, row: int, symbol: int, now: int, end: int, date: int
) -> None:
    """Copy a bar into the record `bar`."""
    bar["at"], bar["end"], bar["date"], bar["symbol"] = now, end, date, symbol
    bar["open"], bar["high"], bar["low"] = bars.open[row], bars.high[row], bars.low[row]
    bar["close"], bar["volume"], bar["factor"] = bars.close[row], bars.volume[row], bars.factor[row]


@inlined_kernel
def read_signal(bar: Record, signals: SignalColumns, row: int, side: int) -> None:
    """Add the signal of its row, of the side `side`; row -1: there is none."""
    bar["signal"] = side
    bar["strength"] = bar["volatility"] = bar["probability"] = math.nan
    bar["model"] = NO_MODEL
    if row >= 0:
        bar["strength"], bar["volatility"] = signals.strength[row], signals.volatility[row]
        if len(signals.probability) > 0:
            bar["probability"] = signals.probability[row]
        if len(signals.model) > 0:
            bar["model"] = signals.model[row]


@inlined_kernel
def is_due(books: Books, symbol: int, date: int) -> bool:
    """Whether a corporate action of the symbol is due by `date`."""
    due = books.next_action[symbol]
    if due >= len(books.actions):
        return False
    action = books.actions[due]
    return bool(action["symbol"] == symbol and action["date"] <= date)
