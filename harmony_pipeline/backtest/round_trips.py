"""Whole round trips of a single symbol within one session, made in one go.

The loop gives every step of a trade to the kernel whose rule it is, through records of some hundred
bytes. Most trades of a run on one symbol need little of that: an entry fills whole at the next
open, its bracket or its horizon ends it in the same session, and no breaker trips. These kernels
make such a trade by the same rules (the risk engine's answer, prices, fees, levels), and keep what
it changes in registers. A trade of which anything else may be true is left to the loop, from the
bar of its signal on. What is left behind is, bit for bit, what the loop would have left.
"""

import math

from harmony_pipeline.backtest.books import Books, has_room, read_bar, read_signal, spare_rows
from harmony_pipeline.backtest.curve_spans import note_span
from harmony_pipeline.backtest.input_arrays import (
    MarketBars,
    SessionColumns,
    SignalColumns,
    end_of_bar,
)
from harmony_pipeline.backtest.logs import ORDERS
from harmony_pipeline.backtest.round_trip_logs import Entry, Leave, log_refusal, log_trip
from harmony_pipeline.backtest.uneventful_bars import BarRange, first_row_from, least_equity
from harmony_pipeline.execution.costs import against_us, fee, notional, taker_price
from harmony_pipeline.execution.matching import fills_whole
from harmony_pipeline.kernel import inlined_kernel, kernel_without_allocation
from harmony_pipeline.market.price_grid import snap_to_lot
from harmony_pipeline.portfolio.exit_rules import NOTHING, barrier_levels, exit_at_bar
from harmony_pipeline.portfolio.exit_rules import STOP as STOP_TOUCHED
from harmony_pipeline.portfolio.kernel_types import (
    ACTIVE,
    BY_STOP,
    BY_TAKE,
    BY_VERTICAL,
    MONEY,
    NO_REASON,
    UNRESTRICTED,
    Record,
)
from harmony_pipeline.portfolio.position_accounting import count_trade
from harmony_pipeline.risk.limits import Verdict, judge_entry

_MOST = 4e18  # money units: what integers hold, with room for a sum


@kernel_without_allocation
def makes_plain_trips(rules: Record) -> bool:
    """Whether the rules leave no chance, delay, pause or limit of an account to a trade, so that
    its bracket and its horizon in bars alone end it.
    """
    certain = (
        rules["latency_us"] == 0
        and rules["latency_bars"] == 0
        and rules["late_bar_probability"] == 0.0
        and rules["reject_probability"] == 0.0
        and rules["partial_fill_probability"] == 0.0
    )
    unpaused = (
        rules["max_orders_per_minute"] == 0
        and rules["duplicate_window"] == 0
        and rules["symbol_pause"] == 0
        and rules["stale_after"] == 0
    )
    own = rules["account_kind"] == UNRESTRICTED and rules["sleeve_symbols"] == 0
    bracket = (
        rules["barriers"] == 1 and rules["close_touch"] == 0 and rules["vertical_sessions"] == 0
    )
    return bool(certain and unpaused and own and bracket)


@inlined_kernel
def may_pass_round_trips(position: Record, account: Record) -> bool:
    """Whether nothing of the past keeps the account from plain trades."""
    return bool(
        position["quantity"] == 0.0
        and position["gone"] == NO_REASON
        and account["halted"] == 0
        and account["rearmed_peak"] == 0
        and account["data_state"] == ACTIVE
    )


@kernel_without_allocation
def pass_round_trips(
    books: Books,
    bars: MarketBars,
    signals: SignalColumns,
    sessions: SessionColumns,
    span: BarRange,
    session: int,
    bar: Record,
) -> int:
    """Pass bars without a position and whole round trips, up to the bar of a signal that is not for
    here, or until a log is nearly full. Returns the first row that was not passed. `bar` is room
    for the bar of a signal.
    """
    account, position, rules = books.account[0], books.positions[0], books.rules[0]
    row, signal = span.row, span.signal
    end = first_row_from(bars.at, row, bars.end[0], span.until)
    least = least_equity(account, rules)
    room = spare_rows(1, len(books.lives), len(books.actions))
    noted = row  # the first row that no span tells of
    while has_room(books, room):
        signal, row = _next_entry(bars, signals, sessions.length, signal, row, end)
        if row == end:
            break
        read_bar(bar, bars, row, 0, bars.at[row], end_of_bar(sessions, session, bars.at[row]), 0)
        read_signal(bar, signals, signal, int(signals.side[signal]))
        verdict = judge_entry(books.positions, account, books.rules, bar, bar["end"])
        if verdict.quantity <= 0.0:
            if books.keeps_logs:
                log_refusal(books, bar, verdict)
            books.at[ORDERS] += 1
            row += 1
            continue
        entry = _entered(bars, rules, bar, verdict, row + 1, end)
        if entry.row < 0:
            break
        leave = _left(bars, rules, sessions, session, entry, bar, end)
        peak = _peak_after(bars, account, rules, entry, leave, least)
        if peak < 0:
            break
        if books.keeps_logs:
            cash, unit = account["cash"], rules["multiplier"]
            note_span(
                books.span_log, books.at, noted, entry.row - noted, cash, 0.0, unit, account["peak"]
            )
            cash -= entry.side * entry.value + entry.fee
            held = leave.row - entry.row
            note_span(
                books.span_log,
                books.at,
                entry.row,
                held,
                cash,
                entry.quantity,
                unit,
                account["peak"],
            )
        _book(books, bars, bar, verdict, entry, leave)
        account["peak"] = peak
        row = noted = leave.row
    if books.keeps_logs:
        cash = account["cash"]
        note_span(
            books.span_log,
            books.at,
            noted,
            row - noted,
            cash,
            0.0,
            rules["multiplier"],
            account["peak"],
        )
    if row > span.row:
        position["last_price"], position["last_date"] = bars.close[row - 1], span.date
    return row


@inlined_kernel
def _next_entry(
    bars: MarketBars, signals: SignalColumns, length: int, signal: int, row: int, end: int
) -> tuple[int, int]:
    """The next signal to enter that has one of the bars `row` to `end`, and the row of that bar;
    `end`: there is none.
    """
    if row >= end:
        return signal, end
    while signal < signals.end[0]:
        moment = signals.at[signal]
        if signals.side[signal] in (-1, 1) and moment >= bars.at[row]:
            found = row + (moment - bars.at[row]) // length  # where no bar is missing
            if found >= end or bars.at[found] != moment:
                found = first_row_from(bars.at, row, end, moment)
            if found == end or bars.at[found] == moment:
                return signal, found
        signal += 1
    return signal, end


@inlined_kernel
def _entered(
    bars: MarketBars, rules: Record, bar: Record, verdict: Verdict, row: int, end: int
) -> Entry:
    """The entry that is decided at the end of `bar`, filled at the open of the bar `row`."""
    quantity, side = verdict.quantity, int(bar["signal"])
    nothing = Entry(-1, side, 0.0, 0.0, 0.0, 0.0, 0, 0, 0.0, 0.0)
    if (
        row >= end
        or verdict.release_at > 0
        or bar["end"] > bars.at[row]
        or not fills_whole(rules, quantity, bars.volume[row])
    ):
        return nothing
    reference, volume = bars.open[row], bars.volume[row]
    price = taker_price(rules, side, reference, bar["volatility"], quantity, volume, 0.0)
    if not 0.0 < price < math.inf:
        return nothing
    upper, lower = barrier_levels(
        rules, side, reference, bar["volatility"], rules["horizon"],
        rules["profit_take"], rules["stop_loss"], rules["minimum_barrier_bps"],
    )  # fmt: skip
    stop, take = (lower, upper) if side > 0 else (upper, lower)
    return Entry(
        row,
        side,
        quantity,
        snap_to_lot(0.0 + side * quantity, rules["lot_size"]),
        reference,
        price,
        notional(price * rules["multiplier"], quantity),
        fee(rules, side, price, quantity, False),
        stop,
        take,
    )


@inlined_kernel
def _left(
    bars: MarketBars,
    rules: Record,
    sessions: SessionColumns,
    session: int,
    entry: Entry,
    bar: Record,
    end: int,
) -> Leave:
    """How the position ends before the row `end`: by its bracket, or at the open after its last
    bar.
    """
    side, quantity = entry.side, math.fabs(entry.quantity)
    last = min(entry.row + rules["horizon"], end)
    row, lowest, highest = _follow(bars, entry, last)
    unknown = Leave(NO_REASON, row, 0, 0.0, 0.0, 0, 0, lowest, highest)
    reason, reference, is_taker = BY_VERTICAL, 0.0, True
    ended = end_of_bar(sessions, session, bars.at[min(row, last - 1)])
    if row < last:
        touched, reference = exit_at_bar(
            side, bars.open[row], bars.high[row], bars.low[row],
            entry.stop, entry.take, row == entry.row,
        )  # fmt: skip
        if touched == NOTHING or bars.factor[row] != bars.factor[entry.row]:
            return unknown
        is_taker = touched == STOP_TOUCHED
        reason = BY_STOP if is_taker else BY_TAKE
    else:
        if row >= end or ended > bars.at[row]:
            return unknown
        reference = bars.open[row]
    volume, volatility = bars.volume[row], bar["volatility"]
    if not fills_whole(rules, quantity, volume):
        return unknown
    if is_taker:
        price = taker_price(rules, -side, reference, volatility, quantity, volume, 0.0)
    else:
        price = against_us(rules, -side, reference)
    if not 0.0 < price < math.inf:
        return unknown
    return Leave(
        reason,
        row,
        ended,
        reference,
        price,
        notional(price * rules["multiplier"], quantity),
        fee(rules, -side, price, quantity, not is_taker),
        lowest,
        highest,
    )


@inlined_kernel
def _follow(bars: MarketBars, entry: Entry, last: int) -> tuple[int, float, float]:
    """The first of the rows from the entry to `last` (not included) at which the position does not
    just follow its price, and the lowest and the highest close before it.
    """
    above, below = (entry.take, entry.stop) if entry.side > 0 else (entry.stop, entry.take)
    factor, lowest, highest = bars.factor[entry.row], math.inf, -math.inf
    row = entry.row
    while row < last:
        close = bars.close[row]
        if not (
            (bars.low[row] > below)
            & (bars.high[row] < above)
            & (bars.factor[row] == factor)
            & (close == close)  # noqa: PLR0124  (a number)
        ):
            break
        lowest = close if close < lowest else lowest
        highest = close if close > highest else highest
        row += 1
    return row, lowest, highest


@inlined_kernel
def _peak_after(
    bars: MarketBars, account: Record, rules: Record, entry: Entry, leave: Leave, least: float
) -> int:
    """The highest equity after the trade; -1 where it does not end here, or a breaker trips."""
    if leave.reason == NO_REASON:
        return -1
    peak, share, unit = account["peak"], 1.0 - rules["max_drawdown"], rules["multiplier"]
    cash = account["cash"] - entry.side * entry.value - entry.fee
    if leave.row > entry.row:
        size = math.fabs(entry.quantity * unit) * MONEY
        if not max(math.fabs(leave.lowest), math.fabs(leave.highest)) * size < _MOST:
            return -1
        at_lowest = notional(leave.lowest * unit, entry.quantity)
        at_highest = notional(leave.highest * unit, entry.quantity)
        low, top = cash + min(at_lowest, at_highest), max(peak, cash + max(at_lowest, at_highest))
        if low < least:
            return -1
        if low < top * share:  # was it before the top?
            for row in range(entry.row, leave.row):
                equity = cash + notional(bars.close[row] * unit, entry.quantity)
                peak = max(peak, equity)
                if equity < peak * share:
                    return -1
        peak = top
    equity = cash + entry.side * leave.value - leave.fee
    peak = max(peak, equity)
    return -1 if equity < least or equity < peak * share else int(peak)


@inlined_kernel
def _book(
    books: Books, bars: MarketBars, bar: Record, verdict: Verdict, entry: Entry, leave: Leave
) -> None:
    """Take a round trip into the account, and into the logs where they are kept."""
    account, position, at = books.account[0], books.positions[0], books.at
    made = entry.side * (leave.value - entry.value) - entry.fee - leave.fee
    position["pending_at"], position["pending_signal_at"] = bar["end"], bar["at"]
    position["pending_volatility"] = bar["volatility"]
    if books.keeps_logs:
        log_trip(books, bars, bar, verdict, entry, leave, made)
    else:
        count_trade(account, made, bars.at[leave.row])
    at[ORDERS] += 4 if leave.reason == BY_VERTICAL else 3
    account["cash"] += made
    account["equity"] = account["cash"]
