"""Whole round trips of a single symbol, made in one go.

The loop gives every step of a trade to the kernel whose rule it is, through records of some hundred
bytes. Most trades of a run on one symbol need little of that: an entry fills whole at the next
open, its bracket or its horizon ends it, and no breaker trips. These kernels make such a trade by
the same rules (the risk engine's answer, prices, fees, levels), and keep what it changes in
registers. Sessions begin on the way where that is no more than `open_session`. A trade of which
anything else may be true is left to the loop, from the bar of its signal on. What is left behind
is, bit for bit, what the loop would have left.
"""

import math
from typing import NamedTuple

from harmony_pipeline.arrays import IntArray
from harmony_pipeline.backtest.books import (
    Books,
    has_room,
    is_due,
    read_bar,
    read_signal,
    spare_rows,
)
from harmony_pipeline.backtest.curve_spans import note_span
from harmony_pipeline.backtest.input_arrays import (
    MarketBars,
    SessionColumns,
    SignalColumns,
    end_of_bar,
)
from harmony_pipeline.backtest.logs import DAYS, NEXT_LIFE, SESSION, TRIPS, Curve
from harmony_pipeline.backtest.round_trip_log import Entry, Leave, log_refusal, log_trip
from harmony_pipeline.backtest.uneventful_bars import BarRange, first_row_from, least_equity
from harmony_pipeline.execution.costs import against_us, fee, notional, taker_price
from harmony_pipeline.execution.matching import fills_whole
from harmony_pipeline.fetched_lines import fetch_ahead
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
from harmony_pipeline.portfolio.position_accounting import count_trade, forget_trade
from harmony_pipeline.risk.breakers import open_session
from harmony_pipeline.risk.limits import Verdict, judge_entry

_LINE_BARS, _MOST_LINES = 8, 8  # bars of a line of memory, and lines that are fetched at once
_REMEMBERED = 8  # trades, or so
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
        and rules["own_symbol_pause"] == 0
        and rules["stale_after"] == 0
    )
    own = rules["account_kind"] == UNRESTRICTED and rules["sleeve_symbols"] == 0
    bracket = (
        rules["barriers"] == 1
        and rules["close_touch"] == 0
        and rules["vertical_sessions"] == 0
        and rules["entry_at_close"] == 0
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
    curve: Curve,
    bar: Record,
) -> int:
    """Pass bars without a position and whole round trips, up to the bar of a signal that is not for
    here, to a session that is not, or until a log is nearly full. Returns the first row that was
    not passed. `bar` is room for the bar of a signal.
    """
    account, position, rules, at = books.account[0], books.positions[0], books.rules[0], books.at
    row, signal, until = span.row, span.signal, span.until
    crosses = _sessions_are_plain(books)
    end = _end_of_session(bars, sessions, at[SESSION], row, until)
    room = spare_rows(1, len(books.lives), len(books.actions))
    # the first row that no span tells of; the bars of a trade, of late
    noted, begun, held = row, at[TRIPS], 0
    while has_room(books, room):
        signal, row = _next_entry(bars, signals, sessions.length, signal, row, end)
        if row == end:
            if not crosses:
                break
            following = _begin(books, bars, sessions, curve, row, until, account["cash"])
            if following < 0:
                break
            end = following
            continue
        now = bars.at[row]
        _fetch_bars(bars, signals, sessions.length, signal + 1, row, held)
        read_bar(bar, bars, row, 0, now, end_of_bar(sessions, at[SESSION], now), account["date"])
        read_signal(bar, signals, signal, int(signals.side[signal]))
        verdict = judge_entry(books.positions, account, books.rules, bar, bar["end"])
        if verdict.quantity <= 0.0:
            if books.keeps_logs:
                log_refusal(books, bar, verdict)
            row += 1
            continue
        entry = _entered(bars, rules, bar, verdict, row + 1, end)
        if entry.row < 0:
            break
        before = _standing(account, at)
        leave = _left(books, bars, sessions, curve, entry, bar, end, until, crosses)
        if leave.reason == NO_REASON:
            _restore(account, at, before)
            break
        _book(books, bars, bar, verdict, entry, leave, noted)
        held += (leave.row - entry.row - held) // _REMEMBERED
        row, noted, end = leave.row, leave.row, leave.end
    if books.keeps_logs:
        cash, peak = account["cash"], account["peak"]
        note_span(books.span_log, at, noted, row - noted, cash, 0.0, rules["multiplier"], peak)
        if at[TRIPS] > begun:
            forget_trade(position)
    if row > span.row:
        position["last_price"], position["last_date"] = bars.close[row - 1], account["date"]
        curve.day_equity[at[DAYS] - 1] = account["equity"]
    return row


# --- sessions -------------------------------------------------------------------------------------


class Standing(NamedTuple):
    """What the beginning of a session changes (risk/breakers.py, `open_session`)."""

    session: int
    days: int
    date: int
    equity: int
    day_equity: int
    entries_stopped: int
    week: int
    week_equity: int
    week_stopped: int
    variance: float


@inlined_kernel
def _standing(account: Record, at: IntArray) -> Standing:
    return Standing(
        at[SESSION],
        at[DAYS],
        account["date"],
        account["equity"],
        account["day_equity"],
        account["entries_stopped"],
        account["week"],
        account["week_equity"],
        account["week_stopped"],
        account["variance"],
    )


@inlined_kernel
def _restore(account: Record, at: IntArray, before: Standing) -> None:
    at[SESSION], at[DAYS], account["date"] = before.session, before.days, before.date
    account["equity"], account["day_equity"] = before.equity, before.day_equity
    account["entries_stopped"], account["week"] = before.entries_stopped, before.week
    account["week_equity"], account["week_stopped"] = before.week_equity, before.week_stopped
    account["variance"] = before.variance


@inlined_kernel
def _sessions_are_plain(books: Books) -> bool:
    """Whether the beginning of a session does no more than `open_session`: no night costs or brings
    anything, and nothing becomes of securities.
    """
    rules = books.rules[0]
    return bool(
        rules["borrow_rate"] == 0.0
        and rules["interest_rate"] == 0.0
        and rules["debit_rate"] == 0.0
        and books.at[NEXT_LIFE] >= len(books.lives)
    )


@inlined_kernel
def _begin(
    books: Books,
    bars: MarketBars,
    sessions: SessionColumns,
    curve: Curve,
    row: int,
    until: int,
    equity: int,
) -> int:
    """Begin the session of the bar `row` with an account of `equity`. Returns the first row that is
    not of it; -1: it is not for here.
    """
    account, at = books.account[0], books.at
    if row >= bars.end[0] or bars.at[row] >= until:
        return -1
    session = at[SESSION]
    while sessions.until[session] <= bars.at[row]:
        session += 1
    date = sessions.date[session]
    if is_due(books, 0, date) or date <= account["date"]:
        return -1
    at[SESSION], account["equity"] = session, equity
    curve.day_equity[at[DAYS] - 1] = equity
    open_session(account, date)
    curve.day[at[DAYS]], curve.day_equity[at[DAYS]] = date, equity
    at[DAYS] += 1
    return _end_of_session(bars, sessions, session, row, until)


@inlined_kernel
def _end_of_session(
    bars: MarketBars, sessions: SessionColumns, session: int, row: int, until: int
) -> int:
    """The first row from `row` on that is not of the session, or not before `until`."""
    return first_row_from(bars.at, row, bars.end[0], min(until, sessions.until[session]))


# --- trades ---------------------------------------------------------------------------------------


@inlined_kernel
def _next_entry(
    bars: MarketBars, signals: SignalColumns, length: int, signal: int, row: int, end: int
) -> tuple[int, int]:
    """The next signal to enter that has one of the bars `row` to `end`, and the row of that bar;
    `end`: there is none.
    """
    if row >= end:
        return signal, end
    last = bars.at[end - 1]
    while signal < signals.end[0] and signals.at[signal] <= last:
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
def _fetch_bars(
    bars: MarketBars, signals: SignalColumns, length: int, signal: int, row: int, held: int
) -> None:
    """Begin to fetch the bar of the row `signal`, and those that a trade of `held` bars reads after
    it, while the trade of the bar `row` is made. Bars of trades lie too far apart for a processor
    to foresee them.
    """
    if signal >= signals.end[0]:
        return
    first = row + (signals.at[signal] - bars.at[row]) // length  # where no bar is missing
    for line in range(min(_MOST_LINES, 2 + held // _LINE_BARS)):
        place = first + line * _LINE_BARS
        fetch_ahead(bars.at, place)
        fetch_ahead(bars.open, place)
        fetch_ahead(bars.high, place)
        fetch_ahead(bars.low, place)
        fetch_ahead(bars.close, place)
        fetch_ahead(bars.volume, place)
        fetch_ahead(bars.factor, place)


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
        or not bar["at"] < bar["end"] <= bars.at[row]
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
    books: Books,
    bars: MarketBars,
    sessions: SessionColumns,
    curve: Curve,
    entry: Entry,
    bar: Record,
    end: int,
    until: int,
    crosses: bool,
) -> Leave:
    """How the position ends: by its bracket, or at the open after its last bar. Sessions begin on
    the way, the first of which ends at the row `end`.
    """
    account, rules = books.account[0], books.rules[0]
    cash = account["cash"] - entry.side * entry.value - entry.fee
    row, peak, ends = entry.row, account["peak"], entry.row + rules["horizon"]
    while True:
        begun, last = row, min(ends, end)
        row, lowest, highest = _follow(bars, entry, row, last)
        peak = _peak_after(bars, account, rules, entry, cash, peak, begun, row, lowest, highest)
        if peak < 0 or row < last or last == ends or not crosses:
            break
        value = notional(bars.close[row - 1] * rules["multiplier"], entry.quantity)
        end = _begin(books, bars, sessions, curve, row, until, cash + value)
        if end < 0:
            break
    return _leave_at(books, bars, sessions, entry, bar, row, end, cash, peak)


@inlined_kernel
def _leave_at(
    books: Books,
    bars: MarketBars,
    sessions: SessionColumns,
    entry: Entry,
    bar: Record,
    row: int,
    end: int,
    cash: int,
    peak: int,
) -> Leave:
    """How a position ends that just followed its price up to the bar `row`, if that is before the
    row `end`. `peak` is the highest equity before (-1: a breaker has tripped), `cash` that of the
    account while it is held.
    """
    account, rules, session = books.account[0], books.rules[0], books.at[SESSION]
    side, quantity = entry.side, math.fabs(entry.quantity)
    unknown = Leave(NO_REASON, row, end, 0, 0.0, 0.0, 0, 0, 0)
    if peak < 0 or row >= end:
        return unknown
    is_over, now = row == entry.row + rules["horizon"], bars.at[row]
    ended = end_of_bar(sessions, session, bars.at[row - 1 if is_over else row])
    reason, reference, is_taker = BY_VERTICAL, bars.open[row], True
    if (is_over and ended > now) or end_of_bar(sessions, session, now) <= now:
        return unknown
    if not is_over:
        touched, reference = exit_at_bar(
            side, bars.open[row], bars.high[row], bars.low[row],
            entry.stop, entry.take, row == entry.row,
        )  # fmt: skip
        if touched == NOTHING or bars.factor[row] != bars.factor[entry.row]:
            return unknown
        is_taker = touched == STOP_TOUCHED
        reason = BY_STOP if is_taker else BY_TAKE
    volume, volatility = bars.volume[row], bar["volatility"]
    if not fills_whole(rules, quantity, volume):
        return unknown
    if is_taker:
        price = taker_price(rules, -side, reference, volatility, quantity, volume, 0.0)
    else:
        price = against_us(rules, -side, reference)
    if not 0.0 < price < math.inf:
        return unknown
    value = notional(price * rules["multiplier"], quantity)
    paid = fee(rules, -side, price, quantity, not is_taker)
    equity = cash + side * value - paid
    top = max(peak, equity)
    if equity < least_equity(account, rules) or equity < top * (1.0 - rules["max_drawdown"]):
        return unknown
    return Leave(reason, row, end, ended, reference, price, value, paid, top)


@inlined_kernel
def _follow(bars: MarketBars, entry: Entry, row: int, last: int) -> tuple[int, float, float]:
    """The first of the rows `row` to `last` (not included) at which the position does not just
    follow its price, and the lowest and the highest close before it.
    """
    above, below = (entry.take, entry.stop) if entry.side > 0 else (entry.stop, entry.take)
    factor, lowest, highest = bars.factor[entry.row], math.inf, -math.inf
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
    bars: MarketBars,
    account: Record,
    rules: Record,
    entry: Entry,
    cash: int,
    peak: int,
    begun: int,
    row: int,
    lowest: float,
    highest: float,
) -> int:
    """The highest equity after the bars `begun` to `row` (not included) of a session, at whose
    closes the position was valued; -1: a breaker trips at one of them.
    """
    if row == begun:
        return peak
    unit, share = rules["multiplier"], 1.0 - rules["max_drawdown"]
    size = math.fabs(entry.quantity * unit) * MONEY
    if not max(math.fabs(lowest), math.fabs(highest)) * size < _MOST:
        return -1
    at_lowest, at_highest = (
        notional(lowest * unit, entry.quantity),
        notional(highest * unit, entry.quantity),
    )
    low, top = cash + min(at_lowest, at_highest), max(peak, cash + max(at_lowest, at_highest))
    if low < least_equity(account, rules):
        return -1
    if low < top * share:  # was it before the top?
        for place in range(begun, row):
            equity = cash + notional(bars.close[place] * unit, entry.quantity)
            peak = max(peak, equity)
            if equity < peak * share:
                return -1
    return int(top)


@inlined_kernel
def _note_trip(books: Books, noted: int, entry: Entry, leave: Leave) -> None:
    """The spans of the bars from `noted` on before a trade, and of those of the trade."""
    account, unit = books.account[0], books.rules[0]["multiplier"]
    cash, peak = account["cash"], account["peak"]
    note_span(books.span_log, books.at, noted, entry.row - noted, cash, 0.0, unit, peak)
    cash -= entry.side * entry.value + entry.fee
    held = leave.row - entry.row
    note_span(books.span_log, books.at, entry.row, held, cash, entry.quantity, unit, peak)


@inlined_kernel
def _book(
    books: Books,
    bars: MarketBars,
    bar: Record,
    verdict: Verdict,
    entry: Entry,
    leave: Leave,
    noted: int,
) -> None:
    """Take a round trip into the account, and into the logs where they are kept. `noted` is the
    first row that no span tells of.
    """
    if books.keeps_logs:
        _note_trip(books, noted, entry, leave)
    account, position = books.account[0], books.positions[0]
    made = entry.side * (leave.value - entry.value) - entry.fee - leave.fee
    position["pending_at"], position["pending_signal_at"] = bar["end"], bar["at"]
    position["pending_volatility"] = bar["volatility"]
    if books.keeps_logs:
        log_trip(books, bars, bar, verdict, entry, leave, made)
    count_trade(account, made, bars.at[leave.row])
    account["cash"] += made
    account["equity"], account["peak"] = account["cash"], leave.peak
