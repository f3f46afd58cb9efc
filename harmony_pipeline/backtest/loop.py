"""The compiled loop of the backtest: the protocol of portfolio/decisions.py, with a log of what
happened.

The loop holds no rule of its own: each step is a kernel that the live session calls, too. It walks
the columns of all symbols side by side and looks only at those with a bar at the moment. A symbol
without a position, a working order, a signal or a corporate action costs a few stores, since
nothing can happen to it.

One symbol with barriers and plain rules is the exception: `round_trips.py` fills, books and logs
its whole trades without orders and reports, by the same rules and to the same bits, and leaves
every other trade to the loop.
"""

from typing import Any

import numpy as np

from harmony_pipeline.arrays import IntArray
from harmony_pipeline.backtest.books import (
    Books,
    Cursor,
    has_room,
    is_due,
    read_bar,
    read_signal,
    spare_rows,
)
from harmony_pipeline.backtest.input_arrays import (
    NEVER,
    MarketBars,
    SessionColumns,
    SignalColumns,
    end_of_bar,
)
from harmony_pipeline.backtest.logs import (
    APPLICATIONS,
    DAYS,
    EQUITIES,
    FILLS,
    FIRST_BAR,
    LAST_END,
    MET,
    SESSION,
    TRADES,
    UNDECIDED,
    Curve,
)
from harmony_pipeline.backtest.order_handling import handle_reports, send_intents
from harmony_pipeline.backtest.round_trips import (
    makes_plain_trips,
    may_pass_round_trips,
    pass_round_trips,
)
from harmony_pipeline.backtest.session_events import apply_due_actions, begin_session
from harmony_pipeline.backtest.uneventful_bars import (
    BarRange,
    only_follows_price,
    pass_held_bars,
    pass_idle_bars,
)
from harmony_pipeline.execution.exchange import (
    match_close,
    match_open,
    match_range,
    rests,
)
from harmony_pipeline.kernel import inlined_kernel, kernel_without_allocation
from harmony_pipeline.portfolio.decisions import decide, may_decide, watches_every_bar
from harmony_pipeline.portfolio.kernel_types import (
    ENTRY,
    EXIT,
    MONEY,
    NO_SIGNAL,
    ORDER_OPEN,
    ROLES,
    STOP,
    Record,
    Records,
)
from harmony_pipeline.portfolio.moments import hold, mark, mark_entry
from harmony_pipeline.risk.breakers import check_breakers

# What `step` answers.
NO_ROOM, IDLE, BUSY, PASSED = range(4)


@kernel_without_allocation
def run(
    books: Books,
    bars: MarketBars,
    signals: SignalColumns,
    sessions: SessionColumns,
    cursor: Cursor,
    curve: Curve,
    until: int,
) -> bool:
    """Run from where the cursor stands to the last moment before `until`, or until a log is nearly
    full: then the answer is false, and the driver makes room and calls again.
    """
    account, at = books.account[0], books.at
    room = spare_rows(len(books.positions), len(books.lives), len(books.actions))
    watched, closes = watches_every_bar(books.rules[0]), _enters_at_closes(books)
    alone = len(cursor.at) == 1 and not watched
    plain = alone and makes_plain_trips(books.rules[0])
    now = _next_moment(cursor)
    while now < until:
        if not has_room(books, room):
            if books.keeps_logs:
                return False
            at[TRADES] = at[APPLICATIONS] = 0
        date, end, begins = _begin_moment(books, sessions, now)
        if (
            alone
            and not begins
            and _pass_uneventful_bars(books, bars, signals, sessions, cursor, curve, until, plain)
        ):
            now = cursor.at[0]
            continue
        count, changed, asks, following = _walk(
            books, bars, signals, cursor, now, end, date, watched
        )
        if closes:
            asks |= _meet_closes(books, cursor.moment, count)
        if changed or begins:
            check_breakers(books.rules[0], account)
        if changed or begins or len(curve.equity) > 0:
            log_equity(account, now, date, curve, at)
        if asks or account["tripped"] == 1 or (account["halted"] == 1 and account["counted"] > 0):
            _decide(books, cursor.moment, count, end)
        now = following
    return True


@inlined_kernel
def _pass_uneventful_bars(
    books: Books,
    bars: MarketBars,
    signals: SignalColumns,
    sessions: SessionColumns,
    cursor: Cursor,
    curve: Curve,
    until: int,
    plain: bool,
) -> bool:
    """Pass the next bars of the only symbol, within the session, as long as they do nothing but
    move its price; and whole round trips, over sessions, where the rules are `plain`. Whether there
    were any.
    """
    account, position, at = books.account[0], books.positions[0], books.at
    session, row = at[SESSION], cursor.bar[0]
    date, before = sessions.date[session], min(until, sessions.until[session])
    last, kept = row, len(curve.equity) > 0
    started = at[DAYS] > 0 and at[FIRST_BAR] != NEVER and (at[EQUITIES] > 0 or not kept)
    if account["tripped"] == 1 or not started or is_due(books, 0, date):
        return False
    span = BarRange(row, cursor.signal[0], date, before)
    if position["quantity"] == 0.0:
        if not books.busy[0]:
            if plain and may_pass_round_trips(position, account):
                span = BarRange(row, cursor.signal[0], date, until)
                last = pass_round_trips(
                    books, bars, signals, sessions, span, curve, cursor.moment[0]
                )
            else:
                last = pass_idle_bars(books, bars, signals, span)
    elif (
        account["halted"] == 0
        and account["rearmed_peak"] == 0
        and only_follows_price(position, books.orders)
    ):
        last = pass_held_bars(books, bars, signals, span, curve)
    if last == row:
        return False
    at[LAST_END] = end_of_bar(sessions, at[SESSION], bars.at[last - 1])
    cursor.bar[0] = last
    cursor.at[0] = bars.at[last] if last < bars.end[0] else NEVER
    return True


@kernel_without_allocation
def step(
    books: Books,
    bars: MarketBars,
    signals: SignalColumns,
    sessions: SessionColumns,
    cursor: Cursor,
    curve: Curve,
    until: int,
) -> int:
    """`run` for a driver whose signals depend on fills: decide at the moment that was met last, by
    the signals that stand now; then let what works meet the bars of the next moment, if that comes
    before `until`, and leave its decision to the next call.

    Answers NO_ROOM where a log is nearly full: make room and call again. BUSY or IDLE: a moment
    was met, and after it something, or nothing, is held or works. PASSED: no moment was left.
    """
    account, at, moment = books.account[0], books.at, cursor.moment
    room = spare_rows(len(books.positions), len(books.lives), len(books.actions))
    if not has_room(books, room):
        return NO_ROOM
    if at[UNDECIDED] >= 0:
        for k in range(at[UNDECIDED]):
            row = _signal_at(signals, cursor, moment[k]["symbol"], moment[k]["at"])
            side = NO_SIGNAL if row < 0 else int(signals.side[row])
            read_signal(moment[k], signals, row, side)
        _decide(books, moment, at[UNDECIDED], at[LAST_END])
        at[UNDECIDED] = -1
        if not has_room(books, room):
            return NO_ROOM
    now = _next_moment(cursor)
    if now >= until:
        return PASSED
    date, end, _ = _begin_moment(books, sessions, now)
    count, _, _, _ = _walk(books, bars, signals, cursor, now, end, date, True)
    _meet_closes(books, moment, count)
    check_breakers(books.rules[0], account)
    log_equity(account, now, date, curve, at)
    at[UNDECIDED], at[MET] = count, now
    for symbol in range(len(books.busy)):
        if books.busy[symbol]:
            return BUSY
    return IDLE


@inlined_kernel
def _begin_moment(books: Books, sessions: SessionColumns, now: int) -> tuple[int, int, bool]:
    """The session's date, the end of the bars that start at `now`, and whether a session begins
    with them; then what happens before they are met has happened.
    """
    at = books.at
    while sessions.until[at[SESSION]] <= now:
        at[SESSION] += 1
    date, end = sessions.date[at[SESSION]], end_of_bar(sessions, at[SESSION], now)
    begins = date > books.account[0]["date"]
    if begins:
        begin_session(books, date, now, True)
    if at[FIRST_BAR] == NEVER:
        at[FIRST_BAR] = now
    at[LAST_END] = end
    return date, end, begins


@inlined_kernel
def _decide(books: Books, moment: Records, count: int, end: int) -> None:
    """What follows from the first `count` bars of `moment`, sent at once."""
    first: Any = np.int64(0)  # a plain 0 would be a type of its own to numba, and compile twice
    moment[0]["end"] = end
    wanted = decide(
        books.positions, books.account[0], books.rules, moment, first, count, books.intents, first
    )
    if wanted > 0:
        send_intents(books, wanted)


@kernel_without_allocation
def _next_moment(cursor: Cursor) -> int:
    now = NEVER
    for symbol in range(len(cursor.at)):
        now = min(now, cursor.at[symbol])
    return int(now)


@inlined_kernel
def _walk(
    books: Books,
    bars: MarketBars,
    signals: SignalColumns,
    cursor: Cursor,
    now: int,
    end: int,
    date: int,
    watched: bool,
) -> tuple[int, bool, bool, int]:
    """Let the bars that start at `now` meet what works, in order of symbols.

    Returns how many of them `cursor.moment` holds since something may happen to their symbols,
    whether the account changed, whether there is something to decide, and the next moment.
    """
    count, changed, asks, following = 0, watched, watched, NEVER
    account = books.account[0]
    for symbol in range(len(cursor.at)):
        if cursor.at[symbol] == now:
            row = cursor.bar[symbol]
            cursor.bar[symbol] = row + 1
            cursor.at[symbol] = bars.at[row + 1] if row + 1 < bars.end[symbol] else NEVER
            signal = _signal_at(signals, cursor, symbol, now)
            side = NO_SIGNAL if signal < 0 else int(signals.side[signal])
            acts = is_due(books, symbol, date)
            position, rules, factor = books.positions[symbol], books.rules[symbol], bars.factor[row]
            held = position["quantity"] != 0.0 and not (acts or watched)
            if held and rests(books.orders, symbol, bars.high[row], bars.low[row], factor):
                hold(position, account, rules, bars.close[row], date, factor)
                changed = True
                if may_decide(position, rules, side):
                    bar = cursor.moment[count]
                    read_bar(bar, bars, row, symbol, now, end, date)
                    read_signal(bar, signals, signal, side)
                    asks, count = True, count + 1
            elif books.busy[symbol] or acts or side in (-1, 1) or watched:
                bar = cursor.moment[count]
                read_bar(bar, bars, row, symbol, now, end, date)
                read_signal(bar, signals, signal, side)
                _meet(books, bar, symbol, acts)
                asks |= may_decide(position, rules, side)
                changed, count = True, count + 1
            else:
                position["last_price"] = bars.close[row]
                position["last_date"] = date
        following = min(following, cursor.at[symbol])
    return count, changed, asks, following


@inlined_kernel
def _signal_at(signals: SignalColumns, cursor: Cursor, symbol: int, now: int) -> int:
    """Row of the symbol's signal of the moment `now`; -1: there is none."""
    row, end = cursor.signal[symbol], signals.end[symbol]
    while row < end and signals.at[row] < now:
        row += 1
    cursor.signal[symbol] = row
    return row if row < end and signals.at[row] == now else -1


@inlined_kernel
def _meet(books: Books, bar: Record, symbol: int, acts: bool) -> None:
    """One bar: corporate actions before it, its open, its range; then it is marked."""
    first: Any = np.int64(0)
    orders, position = books.orders, books.positions[symbol]
    if acts:
        apply_due_actions(books, bar)
    sleeve = books.rules[symbol]["sleeve_symbols"]
    if sleeve > 0:
        _count_others(books.fill_log, books.at[FILLS], bar, sleeve)
    leaving, entering = orders[symbol, EXIT]["status"], orders[symbol, ENTRY]["status"]
    if ORDER_OPEN in (leaving, entering):
        count = match_open(orders, books.keys, books.rules[symbol], bar, books.reports, first)
        handle_reports(books, count)
    if orders[symbol, STOP]["status"] == ORDER_OPEN:
        count = match_range(orders, books.keys, books.rules[symbol], bar, books.reports, first)
        if count > 0:
            handle_reports(books, count)
    mark(position, books.account[0], books.rules[symbol], bar)
    books.busy[symbol] = position["quantity"] != 0.0 or is_working(orders, symbol)


@kernel_without_allocation
def _enters_at_closes(books: Books) -> bool:
    """Whether an entry may wait for the close of a bar: by the rules, or since the run began."""
    for symbol in range(len(books.positions)):
        if books.rules[symbol]["entry_at_close"] == 1:
            return True
        if books.orders[symbol, ENTRY]["at_close"] == 1:
            return True
    return False


@kernel_without_allocation
def _meet_closes(books: Books, moment: Records, count: int) -> bool:
    """Entries that wait for the closes of the first `count` bars of `moment` meet them, after every
    open and range. Whether there were any.
    """
    first: Any = np.int64(0)
    any_met = False
    for k in range(count):
        bar, orders = moment[k], books.orders
        symbol = bar["symbol"]
        entry, rules = orders[symbol, ENTRY], books.rules[symbol]
        if entry["status"] != ORDER_OPEN or entry["at_close"] == 0:
            continue
        if rules["sleeve_symbols"] > 0:
            _count_others(books.fill_log, books.at[FILLS], bar, rules["sleeve_symbols"])
        reports = match_close(orders, books.keys, rules, bar, books.reports, first)
        if reports > 0:
            position = books.positions[symbol]
            handle_reports(books, reports)
            mark_entry(position, books.account[0], rules, bar)
            books.busy[symbol] = position["quantity"] != 0.0 or is_working(orders, symbol)
            any_met = True
    return any_met


@kernel_without_allocation
def _count_others(fill_log: Records, count: int, bar: Record, step: int) -> None:
    """Shares of the bar's symbol that other strategies of the account have traded at this bar: the
    last of `count` fills of the log. So a run with sleeves keeps its logs.
    """
    row, symbol = count - 1, bar["symbol"]
    bar["bought"] = bar["sold"] = 0.0
    while row >= 0 and fill_log[row]["at"] == bar["at"]:
        fill = fill_log[row]
        if fill["symbol"] % step == symbol % step and fill["symbol"] != symbol:
            if fill["side"] > 0:
                bar["bought"] += fill["quantity"]
            else:
                bar["sold"] += fill["quantity"]
        row -= 1


@inlined_kernel
def is_working(orders: Records, symbol: int) -> bool:
    """Whether an order of the symbol works."""
    working = False
    for role in range(ROLES):
        working |= orders[symbol, role]["status"] == ORDER_OPEN
    return working


@kernel_without_allocation
def log_equity(account: Record, now: int, date: int, curve: Curve, at: IntArray) -> None:
    """The account at the end of the timestamp `now`, of the session `date`."""
    row = at[EQUITIES]
    if row < len(curve.equity):
        if len(curve.at) > 0:
            curve.at[row] = now
        curve.equity[row], curve.cash[row] = account["equity"] / MONEY, account["cash"] / MONEY
        curve.gross[row] = account["gross_value"] / MONEY
        curve.net[row] = account["net_value"] / MONEY
        curve.drawdown[row] = account["equity"] / account["peak"] - 1.0
        at[EQUITIES] = row + 1
    if at[DAYS] == 0 or curve.day[at[DAYS] - 1] != date:
        curve.day[at[DAYS]] = date
        at[DAYS] += 1
    curve.day_equity[at[DAYS] - 1] = account["equity"]
