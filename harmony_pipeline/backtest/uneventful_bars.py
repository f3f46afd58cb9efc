"""Bars of a single symbol at which nothing can be filled, decided or booked, passed in one go.

The loop looks at a bar through records in memory, since anything may happen at it. Most bars of a
run on one symbol only move the price: no position is held, or a position whose bracket the bar does
not reach. These kernels keep what such bars change in registers, and write the records once at the
end. What they leave behind is, bit for bit, what the loop would have left; a bar at which anything
else could happen is left to the loop.
"""

import math
from typing import NamedTuple

from harmony_pipeline.arrays import IntArray
from harmony_pipeline.backtest.books import Books
from harmony_pipeline.backtest.curve_spans import note_span
from harmony_pipeline.backtest.input_arrays import MarketBars, SignalColumns
from harmony_pipeline.backtest.logs import DAYS, Curve
from harmony_pipeline.execution.costs import notional
from harmony_pipeline.kernel import inlined_kernel
from harmony_pipeline.portfolio.exit_rules import NOTHING, exit_at_close, level_now
from harmony_pipeline.portfolio.kernel_types import (
    ENTRY,
    EXIT,
    NO_REASON,
    NO_SIGNAL,
    ORDER_OPEN,
    STOP,
    TAKE,
    Record,
    Records,
)


class BarRange(NamedTuple):
    """Bars that may be passed: those from `row` on that start before `until`, of the session
    `date`. No signal before the row `signal` is of these bars.
    """

    row: int
    signal: int
    date: int
    until: int


@inlined_kernel
def pass_idle_bars(books: Books, bars: MarketBars, signals: SignalColumns, span: BarRange) -> int:
    """Pass bars with neither a position nor an order, up to a signal to enter. Returns the first
    row that was not passed. No bar is looked at.
    """
    account, position, row = books.account[0], books.positions[0], span.row
    stop = _next_entry(signals, span.signal, bars.at[row], span.until)
    last = first_row_from(bars.at, row, bars.end[0], stop)
    if books.keeps_logs:
        note_span(
            books.span_log, books.at, row, last - row, account["cash"], 0.0, 1.0, account["peak"]
        )
    if last > row:
        position["last_price"] = bars.close[last - 1]
        position["last_date"] = span.date
    return last


@inlined_kernel
def _next_entry(signals: SignalColumns, signal: int, since: int, until: int) -> int:
    """The moment of the next signal to enter from `since` on, but no later than `until`."""
    while signal < signals.end[0] and signals.at[signal] < until:
        if signals.at[signal] >= since and signals.side[signal] in (-1, 1):
            return int(signals.at[signal])
        signal += 1
    return until


@inlined_kernel
def first_row_from(at: IntArray, low: int, high: int, moment: int) -> int:
    """The first of the rows `low` to `high` that is not before `moment`; `high`: there is none.

    It is mostly near, so it is looked for in steps that double, and then between the last two.
    """
    step, near = 1, low
    while near < high and at[near] < moment:
        low = near + 1
        near += step
        step *= 2
    high = min(high, near)
    while low < high:
        middle = (low + high) // 2
        if at[middle] < moment:
            low = middle + 1
        else:
            high = middle
    return low


@inlined_kernel
def only_follows_price(position: Record, orders: Records) -> bool:
    """Whether a position of the only symbol just follows its price, but for its bracket: no market
    order works, no exit is due, and its factor and that of its bracket are known.
    """
    return bool(
        orders[0, EXIT]["status"] != ORDER_OPEN
        and orders[0, ENTRY]["status"] != ORDER_OPEN
        and position["exit_working"] == 0
        and position["entry_working"] == 0
        and position["exit_reason"] == NO_REASON
        and position["entry_factor"] != 0.0
        and (orders[0, STOP]["status"] != ORDER_OPEN or orders[0, STOP]["factor"] != 0.0)
    )


@inlined_kernel
def pass_held_bars(
    books: Books, bars: MarketBars, signals: SignalColumns, span: BarRange, curve: Curve
) -> int:
    """Pass bars with a position that only follows its price, up to a bar that reaches its bracket,
    closes beyond a barrier, ends its horizon, bears a signal to leave or trips a breaker. Returns
    the first row that was not passed.

    What each bar does is `hold` (portfolio/moments.py) and `check_breakers` (risk/breakers.py).
    """
    account, position, rules = books.account[0], books.positions[0], books.rules[0]
    row, signal, end = span.row, span.signal, bars.end[0]
    follows = rules["barriers"] != 1
    if not follows and rules["vertical_sessions"] == 0:
        end = min(end, row + rules["horizon"] - 1 - position["bars_held"])
    stop, take = books.orders[0, STOP], books.orders[0, TAKE]
    bound, long = stop["status"] == ORDER_OPEN, stop["side"] < 0
    quantity, multiplier = position["quantity"], rules["multiplier"]
    base = account["cash"] + account["net_value"] - position["value"]
    before, peak, value = account["peak"], account["peak"], position["value"]
    least, share = least_equity(account, rules), 1.0 - rules["max_drawdown"]
    factor, above, below = math.nan, math.inf, -math.inf
    while row < end and bars.at[row] < span.until:
        if bound:
            if bars.factor[row] != factor:
                factor = bars.factor[row]
                above = level_now(stop["level"], stop["factor"], factor)
                below = level_now(take["level"], take["factor"], factor)
                if long:
                    above, below = below, above
            if not (bars.low[row] > below and bars.high[row] < above):
                break
        if _close_touches(position, rules, bars.close[row], bars.factor[row]):
            break
        if follows:
            signal = _signal_from(signals, signal, bars.at[row])
            if _ends(signals, signal, bars.at[row], position["side"]):
                break
        worth = notional(bars.close[row] * multiplier, quantity)
        equity = base + worth
        top = max(peak, equity)
        if equity < least or equity < top * share:
            break
        value, peak = worth, top
        row += 1
    count = row - span.row
    if count > 0:
        if books.keeps_logs:
            note_span(books.span_log, books.at, span.row, count, base, quantity, multiplier, before)
        account["peak"] = peak
        _write_position(position, account, value, span.date, count, bars.close[row - 1])
        position["last_factor"] = bars.factor[row - 1]
        curve.day_equity[books.at[DAYS] - 1] = account["equity"]
    return row


@inlined_kernel
def _close_touches(position: Record, rules: Record, close: float, factor: float) -> bool:
    """Whether a close reaches a barrier of the position, where closes touch them."""
    if rules["close_touch"] == 0 or rules["barriers"] == 0:
        return False
    if position["stop_level"] == 0.0 and position["take_level"] == 0.0:
        return False
    entry = position["entry_factor"]
    stop = level_now(position["stop_level"], entry, factor)
    take = level_now(position["take_level"], entry, factor)
    return exit_at_close(position["side"], close, stop, take) != NOTHING


@inlined_kernel
def _signal_from(signals: SignalColumns, signal: int, moment: int) -> int:
    """The first row from `signal` on that is not before `moment`."""
    while signal < signals.end[0] and signals.at[signal] < moment:
        signal += 1
    return signal


@inlined_kernel
def _ends(signals: SignalColumns, signal: int, moment: int, side: int) -> bool:
    """Whether the row `signal` is of the bar at `moment` and ends a position of `side`."""
    return bool(
        signal < signals.end[0]
        and signals.at[signal] == moment
        and signals.side[signal] not in (NO_SIGNAL, side)
    )


@inlined_kernel
def least_equity(account: Record, rules: Record) -> float:
    """Equity below which the loss of the day or of the week stops entries; what has stopped them
    already stops them no more.
    """
    least = -math.inf
    if account["entries_stopped"] == 0:
        least = account["day_equity"] * (1.0 - rules["max_daily_loss"])
    if rules["max_weekly_loss"] > 0.0 and account["week_stopped"] == 0:
        least = max(least, account["week_equity"] * (1.0 - rules["max_weekly_loss"]))
    return least


@inlined_kernel
def _write_position(
    position: Record, account: Record, value: int, date: int, count: int, close: float
) -> None:
    """The records as `count` bars of a held position leave them, the last of which made it worth
    `value`.
    """
    account["net_value"] += value - position["value"]
    account["gross_value"] += abs(value) - abs(position["value"])
    account["lowest"] += value - position["lowest"]
    account["highest"] += value - position["highest"]
    account["gross"] += abs(value) - position["gross"]
    account["counted"] += 1 - position["counted"]
    position["value"] = position["lowest"] = position["highest"] = value
    position["gross"] = abs(value)
    position["counted"] = 1
    position["last_price"] = close
    position["last_date"] = date
    position["bars_held"] += count
    position["silent"] = 0
    account["equity"] = account["cash"] + account["net_value"]
