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
    EVENTS,
    FILLS,
    FIRST_BAR,
    LAST_END,
    MET,
    NEXT_LIFE,
    ORDERS,
    SESSION,
    TRADES,
    UNDECIDED,
    Curve,
)
from harmony_pipeline.backtest.round_trips import (
    makes_plain_trips,
    may_pass_round_trips,
    pass_round_trips,
)
from harmony_pipeline.backtest.uneventful_bars import (
    BarRange,
    only_follows_price,
    pass_held_bars,
    pass_idle_bars,
)
from harmony_pipeline.execution.exchange import (
    dividend_orders,
    match_close,
    match_open,
    match_range,
    rests,
    split_orders,
    status_after,
    submit,
)
from harmony_pipeline.kernel import inlined_kernel, kernel_without_allocation
from harmony_pipeline.portfolio.corporate_actions import (
    apply_action,
    apply_unseen_action,
    cancel_working,
    endings_of,
    next_due,
    presumed_ending,
    settle_ending,
)
from harmony_pipeline.portfolio.decisions import (
    apply_report,
    decide,
    dividend_share,
    hold,
    mark,
    mark_entry,
    may_decide,
    watches_every_bar,
)
from harmony_pipeline.portfolio.financing import accrue_financing
from harmony_pipeline.portfolio.kernel_types import (
    ADJUST,
    ENTRY,
    EXIT,
    FILL,
    MONEY,
    NO_REASON,
    NO_SIGNAL,
    ORDER_OPEN,
    REFUSED,
    ROLES,
    SPLIT,
    STOP,
    TAKE,
    UNRESTRICTED,
    Record,
    Records,
)
from harmony_pipeline.portfolio.margin_calls import margin_call
from harmony_pipeline.risk.account_rules import begin_account_session
from harmony_pipeline.risk.breakers import check_breakers, open_session
from harmony_pipeline.risk.strategy_limits import begin_strategies

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
        _send(books, wanted)


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
        _act(books, bar)
    sleeve = books.rules[symbol]["sleeve_symbols"]
    if sleeve > 0:
        _count_others(books.fill_log, books.at[FILLS], bar, sleeve)
    leaving, entering = orders[symbol, EXIT]["status"], orders[symbol, ENTRY]["status"]
    if ORDER_OPEN in (leaving, entering):
        count = match_open(orders, books.keys, books.rules[symbol], bar, books.reports, first)
        _handle_reports(books, count)
    if orders[symbol, STOP]["status"] == ORDER_OPEN:
        count = match_range(orders, books.keys, books.rules[symbol], bar, books.reports, first)
        if count > 0:
            _handle_reports(books, count)
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
            _handle_reports(books, reports)
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


@kernel_without_allocation
def begin_session(books: Books, date: int, now: int, has_bars: bool) -> None:
    """The first timestamp of a session: securities that ended since the last one, then symbols that
    have been silent too long.

    Without `has_bars` it is no session of the market, so nobody's silence grows (the days after the
    last bar).
    """
    account, at = books.account[0], books.at
    endings = books.endings
    begin_strategies(books.positions, account, books.rules[0], date)
    accrue_financing(books.positions, account, books.rules, date)
    begin_account_session(account, books.rules[0], date)
    open_session(account, date)
    while at[NEXT_LIFE] < len(books.lives) and books.lives[at[NEXT_LIFE]]["date"] <= date:
        count = endings_of(books.positions, books.lives[at[NEXT_LIFE]], endings)
        at[NEXT_LIFE] += 1
        for k in range(count):
            _end(books, endings[k], now)
    if has_bars:
        for symbol in range(len(books.positions)):
            if presumed_ending(
                books.positions[symbol], books.rules[symbol], symbol, date, endings[0]
            ):
                _end(books, endings[0], now)
    account["equity"] = account["cash"] + account["net_value"]
    if has_bars and books.rules[0]["account_kind"] != UNRESTRICTED:
        first: Any = np.int64(0)
        _send(books, margin_call(books.positions, account, books.rules, now, books.intents, first))


@kernel_without_allocation
def _end(books: Books, ending: Record, now: int) -> None:
    """Cancel what works for the ending's symbol; then the actions that no bar has shown; then
    settle what is held.
    """
    first: Any = np.int64(0)
    account, at, symbol = books.account[0], books.at, ending["symbol"]
    position = books.positions[symbol]
    exit_worked, legs_worked = position["exit_working"], position["legs_working"]
    count = cancel_working(position, symbol, ending["canceled"], now, books.intents, first)
    if count > 0:
        _send(books, count)
    if position["quantity"] == 0.0:
        return
    k = next_due(books.actions, books.next_action, position, symbol, ending["until"])
    while k >= 0:
        applied = books.applied_log[at[APPLICATIONS]]
        at[TRADES] = apply_unseen_action(
            position,
            account,
            books.rules[symbol],
            books.actions[k],
            now,
            applied,
            books.trade_log,
            at[TRADES],
        )
        if applied["before"] != 0.0:
            at[APPLICATIONS] += 1
        k = next_due(books.actions, books.next_action, position, symbol, ending["until"])
    if position["quantity"] != 0.0:
        count, at[TRADES] = settle_ending(
            books.positions,
            account,
            books.rules,
            ending,
            now,
            exit_worked,
            legs_worked,
            books.applied_log[at[APPLICATIONS]],
            books.intents,
            first,
            books.trade_log,
            at[TRADES],
        )
        at[APPLICATIONS] += 1
        books.busy[ending["successor"]] = True
        _send(books, count)


@kernel_without_allocation
def _act(books: Books, bar: Record) -> None:
    """Corporate actions of the bar's symbol that have come due since its last bar; those of dates
    already traded are behind.
    """
    first: Any = np.int64(0)
    symbol, at = bar["symbol"], books.at
    position, actions = books.positions[symbol], books.actions
    k = next_due(actions, books.next_action, position, symbol, bar["date"])
    while k >= 0:
        value = actions[k]["value"]
        if actions[k]["kind"] == SPLIT:
            count = split_orders(
                books.orders, books.rules[symbol], symbol, value, bar["at"], books.reports, first
            )
            _handle_reports(books, count)
            for role in range(ROLES):
                order = books.orders[symbol, role]
                if books.keeps_logs and order["status"] == ORDER_OPEN:
                    remaining, moment = order["remaining"], bar["at"]
                    _log_event(books, order["ticket"], ADJUST, moment, moment, remaining, NO_REASON)
        else:
            dividend_orders(books.orders, symbol, dividend_share(position, value))
        applied = books.applied_log[at[APPLICATIONS]]
        at[TRADES] = apply_action(
            position,
            books.account[0],
            books.rules[symbol],
            actions[k],
            bar["open"],
            bar["at"],
            applied,
            books.trade_log,
            at[TRADES],
        )
        if applied["before"] != 0.0:
            at[APPLICATIONS] += 1
        k = next_due(actions, books.next_action, position, symbol, bar["date"])


@kernel_without_allocation
def _handle_reports(books: Books, count: int) -> None:
    """Log each report, give it to the portfolio, and submit what it answers (the legs of a filled
    entry, which are accepted in silence).
    """
    first: Any = np.int64(0)
    at, intents = books.at, books.intents
    for k in range(count):
        report = books.reports[k]
        if books.keeps_logs:
            _log_report(books, report)
        answers, at[TRADES] = apply_report(
            books.positions,
            books.account[0],
            books.rules[report["symbol"]],
            report,
            intents,
            first,
            books.trade_log,
            at[TRADES],
        )
        for j in range(answers):
            intent, rules = intents[j], books.rules[intents[j]["symbol"]]
            _log_order(books, intent)
            submit(books.orders, books.keys, rules, intent, books.reports, count)


@kernel_without_allocation
def _send(books: Books, count: int) -> None:
    """Log and submit each intent of a decision in order; what the exchange answers is heard at
    once.
    """
    first: Any = np.int64(0)
    for k in range(count):
        intent = books.intents[k]
        if intent["status"] == ORDER_OPEN or intent["status"] == REFUSED:
            _log_order(books, intent)
        books.busy[intent["symbol"]] |= intent["status"] == ORDER_OPEN
        rules = books.rules[intent["symbol"]]
        answers = submit(books.orders, books.keys, rules, intent, books.reports, first)
        # An answer to a submission is a rejection or a cancellation: it never calls for a new
        # intent, so `intents` may be shared.
        if answers > 0:
            _handle_reports(books, answers)


@inlined_kernel
def _log_event(
    books: Books, ticket: int, kind: int, at: int, known_at: int, remaining: float, reason: int
) -> None:
    event = books.event_log[books.at[EVENTS]]
    event["ticket"], event["kind"], event["at"], event["known_at"] = ticket, kind, at, known_at
    event["remaining"], event["reason"] = remaining, reason
    books.at[EVENTS] += 1


@inlined_kernel
def _log_order(books: Books, intent: Record) -> None:
    intent["ticket"] = books.at[ORDERS]
    if books.keeps_logs:
        books.order_log[books.at[ORDERS]] = intent
    books.at[ORDERS] += 1


@inlined_kernel
def _log_report(books: Books, report: Record) -> None:
    at, order = books.at, books.order_log[report["ticket"]]
    order["fills"] = report["number"]
    order["status"] = status_after(report["number"], report["kind"], report["closed"])
    if report["reason"] != NO_REASON:
        order["reason"] = report["reason"]
    if report["kind"] == FILL:
        books.fill_log[at[FILLS]] = report
        at[FILLS] += 1
    else:
        # what the range of a bar and its close did is known at its end
        is_late = report["role"] == STOP or report["role"] == TAKE or order["at_close"] == 1
        known_at = max(report["at"], at[LAST_END]) if is_late else report["at"]
        kind, reason = report["kind"], report["reason"]
        _log_event(books, report["ticket"], kind, report["at"], known_at, 0.0, reason)
