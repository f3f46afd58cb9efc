"""The compiled loop of the backtest: the protocol of portfolio/decisions.py, with a log of what
happened.

The loop holds no rule of its own: each step is a kernel that the live session calls, too. It walks
the columns of all symbols side by side and looks only at those with a bar at the moment. A symbol
without a position, a working order, a signal or a corporate action costs a few stores, since
nothing can happen to it.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harmony_pipeline.arrays import BoolArray, FloatArray, IntArray
from harmony_pipeline.backtest.columns import NEVER, BarColumns, SessionColumns, SignalColumns
from harmony_pipeline.execution.exchange import (
    MAX_REPORTS,
    dividend_orders,
    match_open,
    match_range,
    split_orders,
    status_after,
    submit,
)
from harmony_pipeline.kernel import inlined_kernel, kernel
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
    INTENTS_A_DECISION,
    INTENTS_A_REPORT,
    apply_report,
    decide,
    dividend_share,
    mark,
    may_decide,
    watches_every_bar,
)
from harmony_pipeline.portfolio.kernel_types import (
    BAR,
    ENDING,
    ENTRY,
    EXIT,
    FILL,
    NO_MODEL,
    NO_REASON,
    NO_SIGNAL,
    ORDER,
    ORDER_OPEN,
    REFUSED,
    REPORT,
    ROLES,
    SPLIT,
    STOP,
    Record,
    Records,
    records,
)
from harmony_pipeline.risk.breakers import check_breakers, open_session

# Where the loop stands: rows used in the order, fill, trade, action, equity and day logs, the next
# event of lives, the session of the latest bar, the moments of the first and the latest bar and
# the end of the latest.
(
    ORDERS,
    FILLS,
    TRADES,
    APPLICATIONS,
    EQUITIES,
    DAYS,
    NEXT_LIFE,
    SESSION,
    FIRST_BAR,
    LAST_BAR,
    LAST_END,
) = range(11)
PLACES = 11
LOG_ROWS_A_SYMBOL = 8  # most rows that one symbol can add to any log at one timestamp
LOG_ROWS_AN_EVENT = 8  # and one event of lives or one action


class Books(NamedTuple):
    """What the loop changes: both halves of the state and the logs.

    `next_action[s]` points at the first action of symbol s that is not behind. `busy[s]` is false
    while symbol s has neither a position nor a working order. `lives` is in order. `intents` and
    `reports` are room for one timestamp. `at` holds the places named above.
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
    order_log: Records
    fill_log: Records
    trade_log: Records
    applied_log: Records
    busy: BoolArray
    at: IntArray


class Curve(NamedTuple):
    """The account at the end of each timestamp, in money units; and its equity at the end of each
    session.
    """

    at: IntArray
    equity: IntArray
    cash: IntArray
    gross: IntArray
    net: IntArray
    drawdown: FloatArray
    day: IntArray
    day_equity: IntArray


class Cursor(NamedTuple):
    """For each symbol, its next bar, the moment of it (NEVER: none is left) and its next signal;
    `moment` is room for the bars of one timestamp.
    """

    bar: IntArray
    at: IntArray
    signal: IntArray
    moment: Records


def empty_curve(rows: int, days: int) -> Curve:
    """Room for that many timestamps and sessions; what is not written costs nothing."""
    return Curve(
        at=np.empty(rows, np.int64),
        equity=np.empty(rows, np.int64),
        cash=np.empty(rows, np.int64),
        gross=np.empty(rows, np.int64),
        net=np.empty(rows, np.int64),
        drawdown=np.empty(rows),
        day=np.empty(days, np.int64),
        day_equity=np.empty(days, np.int64),
    )


def cut_curve(curve: Curve, rows: int, days: int) -> Curve:
    """The rows that were written."""
    return Curve(
        at=curve.at[:rows],
        equity=curve.equity[:rows],
        cash=curve.cash[:rows],
        gross=curve.gross[:rows],
        net=curve.net[:rows],
        drawdown=curve.drawdown[:rows],
        day=curve.day[:days],
        day_equity=curve.day_equity[:days],
    )


def scratch(symbols: int) -> tuple[Records, Records]:
    """Room for the intents and the reports of one timestamp."""
    intents = records(INTENTS_A_DECISION * symbols + INTENTS_A_REPORT, ORDER)
    return intents, records(MAX_REPORTS, REPORT)


def cursor_at_start(bars: BarColumns, signals: SignalColumns) -> Cursor:
    """Before the first bar of every symbol."""
    at = np.full(len(bars.begin), NEVER)
    some = bars.begin < bars.end
    at[some] = bars.at[bars.begin[some]]
    room = records(max(1, len(at)), BAR)
    return Cursor(bars.begin.copy(), at, signals.begin.copy(), room)


@kernel
def spare_rows(symbols: int, lives: int, actions: int) -> int:
    """Rows that a log must have left for one timestamp, whatever happens at it."""
    return LOG_ROWS_A_SYMBOL * symbols + LOG_ROWS_AN_EVENT * (lives + actions)


@kernel
def run(
    books: Books,
    bars: BarColumns,
    signals: SignalColumns,
    sessions: SessionColumns,
    cursor: Cursor,
    curve: Curve,
    until: int,
) -> bool:
    """Run from where the cursor stands to the last moment before `until`, or until a log is nearly
    full: then the answer is false, and the driver makes room and calls again.

    Arrays that every bar needs have a name of their own here. Taken from a tuple inside the loop,
    each would count its references up and down, which costs more than the bar.
    """
    first: Any = np.int64(0)  # a plain 0 would be a type of its own to numba, and compile twice
    account_, at, busy, positions = books.account, books.at, books.busy, books.positions
    account, orders, keys, rules, reports = (
        account_[0],
        books.orders,
        books.keys,
        books.rules,
        books.reports,
    )
    upcoming, rows, heads, moment = cursor.at, cursor.bar, cursor.signal, cursor.moment
    bar_at, bar_end, opened, high, low = bars.at, bars.end, bars.open, bars.high, bars.low
    close, volume, factor = bars.close, bars.volume, bars.factor
    signal_at, signal_end, sides, strength = signals.at, signals.end, signals.side, signals.strength
    volatility, probability, model = signals.volatility, signals.probability, signals.model
    next_action, actions = books.next_action, books.actions
    session_until, session_date = sessions.until, sessions.date
    session_close, session_pause, length = sessions.close, sessions.pause, sessions.length
    curve_at, equity, cash, gross, net = curve.at, curve.equity, curve.cash, curve.gross, curve.net
    drawdown, day, day_equity = curve.drawdown, curve.day, curve.day_equity
    intents, order_log, fill_log = books.intents, books.order_log, books.fill_log
    trade_log, applied_log = books.trade_log, books.applied_log
    room = spare_rows(len(positions), len(books.lives), len(actions))
    most_orders, most_fills = len(order_log) - room, len(fill_log) - room
    most_trades, most_applied = len(trade_log) - room, len(applied_log) - room
    watched = watches_every_bar(rules[0])
    now = upcoming.min()
    while now < until:
        if (
            at[ORDERS] > most_orders
            or at[FILLS] > most_fills
            or at[TRADES] > most_trades
            or at[APPLICATIONS] > most_applied
        ):
            return False
        while session_until[at[SESSION]] <= now:
            at[SESSION] += 1
        date = session_date[at[SESSION]]
        end = min(now + length, session_close[at[SESSION]])
        if now < session_pause[at[SESSION]]:
            end = min(end, session_pause[at[SESSION]])
        begins = date > account["date"]
        if begins:
            begin_session(books, date, now, True)
        count, following, asks = 0, NEVER, False
        for symbol in range(len(upcoming)):
            if upcoming[symbol] == now:
                row, signal = rows[symbol], heads[symbol]
                rows[symbol] = row + 1
                upcoming[symbol] = bar_at[row + 1] if row + 1 < bar_end[symbol] else NEVER
                while signal < signal_end[symbol] and signal_at[signal] < now:
                    signal += 1
                heads[symbol] = signal
                spoken = signal < signal_end[symbol] and signal_at[signal] == now
                side = int(sides[signal]) if spoken else NO_SIGNAL
                due = next_action[symbol]
                acts = (
                    due < len(actions)
                    and actions[due]["symbol"] == symbol
                    and actions[due]["date"] <= date
                )
                if not (busy[symbol] or acts or side in (-1, 1) or watched):
                    positions[symbol]["last_price"] = close[row]
                    positions[symbol]["last_date"] = date
                else:
                    bar = moment[count]
                    count += 1
                    bar["at"], bar["end"], bar["date"], bar["symbol"] = now, end, date, symbol
                    bar["open"], bar["high"], bar["low"] = opened[row], high[row], low[row]
                    bar["close"], bar["volume"], bar["factor"] = (
                        close[row],
                        volume[row],
                        factor[row],
                    )
                    bar["signal"] = side
                    bar["strength"] = bar["volatility"] = bar["probability"] = math.nan
                    bar["model"] = NO_MODEL
                    if spoken:
                        bar["strength"], bar["volatility"] = strength[signal], volatility[signal]
                        if len(probability) > 0:
                            bar["probability"] = probability[signal]
                        if len(model) > 0:
                            bar["model"] = model[signal]
                    if acts:
                        _act(books, bar)
                    if (
                        orders[symbol, EXIT]["status"] == ORDER_OPEN
                        or orders[symbol, ENTRY]["status"] == ORDER_OPEN
                    ):
                        heard = match_open(orders, keys, rules[symbol], bar, reports, first)
                        _hear(
                            positions,
                            account,
                            orders,
                            keys,
                            rules,
                            intents,
                            reports,
                            heard,
                            order_log,
                            fill_log,
                            trade_log,
                            at,
                        )
                    if orders[symbol, STOP]["status"] == ORDER_OPEN:
                        heard = match_range(orders, keys, rules[symbol], bar, reports, first)
                        if heard > 0:
                            _hear(
                                positions,
                                account,
                                orders,
                                keys,
                                rules,
                                intents,
                                reports,
                                heard,
                                order_log,
                                fill_log,
                                trade_log,
                                at,
                            )
                    mark(positions[symbol], account, rules[symbol], bar)
                    busy[symbol] = positions[symbol]["quantity"] != 0.0 or is_working(
                        orders, symbol
                    )
                    asks |= may_decide(positions[symbol], rules[symbol], side)
            following = min(following, upcoming[symbol])
        changed = count > 0 or begins
        if changed:
            check_breakers(rules[0], account)
        row = at[EQUITIES]
        at[EQUITIES] = row + 1
        curve_at[row] = now
        if changed or row == 0:
            equity[row], cash[row] = account["equity"], account["cash"]
            gross[row], net[row] = account["gross_value"], account["net_value"]
            drawdown[row] = account["equity"] / account["peak"] - 1.0
        else:
            equity[row], cash[row], gross[row] = equity[row - 1], cash[row - 1], gross[row - 1]
            net[row], drawdown[row] = net[row - 1], drawdown[row - 1]
        if at[DAYS] == 0 or day[at[DAYS] - 1] != date:
            day[at[DAYS]] = date
            at[DAYS] += 1
        day_equity[at[DAYS] - 1] = account["equity"]
        asks |= watched or account["tripped"] == 1
        if asks or (account["halted"] == 1 and account["counted"] > 0):
            moment[0]["end"] = end
            count = decide(positions, account, rules, moment, first, count, intents, first)
            if count > 0:
                _send(
                    positions,
                    account,
                    orders,
                    keys,
                    rules,
                    intents,
                    reports,
                    count,
                    order_log,
                    fill_log,
                    trade_log,
                    busy,
                    at,
                )
        if at[FIRST_BAR] == NEVER:
            at[FIRST_BAR] = now
        at[LAST_BAR], at[LAST_END] = now, end
        now = following
    return True


@inlined_kernel
def is_working(orders: Records, symbol: int) -> bool:
    """Whether an order of the symbol works."""
    working = False
    for role in range(ROLES):
        working |= orders[symbol, role]["status"] == ORDER_OPEN
    return working


@kernel
def log_equity(account_: Records, now: int, date: int, curve: Curve, at: IntArray) -> None:
    """The account at the end of the timestamp `now`, of the session `date`."""
    row, account = at[EQUITIES], account_[0]
    curve.at[row] = now
    curve.equity[row], curve.cash[row] = account["equity"], account["cash"]
    curve.gross[row], curve.net[row] = account["gross_value"], account["net_value"]
    curve.drawdown[row] = account["equity"] / account["peak"] - 1.0
    at[EQUITIES] = row + 1
    if at[DAYS] == 0 or curve.day[at[DAYS] - 1] != date:
        curve.day[at[DAYS]] = date
        at[DAYS] += 1
    curve.day_equity[at[DAYS] - 1] = account["equity"]


@kernel
def begin_session(books: Books, date: int, now: int, has_bars: bool) -> None:
    """The first timestamp of a session: securities that ended since the last one, then symbols that
    have been silent too long.

    Without `has_bars` it is no session of the market, so nobody's silence grows (the days after the
    last bar).
    """
    account, at = books.account[0], books.at
    endings = np.zeros(2, ENDING)
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


@kernel
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
        _send(
            books.positions,
            books.account[0],
            books.orders,
            books.keys,
            books.rules,
            books.intents,
            books.reports,
            count,
            books.order_log,
            books.fill_log,
            books.trade_log,
            books.busy,
            at,
        )
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
        _send(
            books.positions,
            books.account[0],
            books.orders,
            books.keys,
            books.rules,
            books.intents,
            books.reports,
            count,
            books.order_log,
            books.fill_log,
            books.trade_log,
            books.busy,
            at,
        )


@kernel
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
            _hear(
                books.positions,
                books.account[0],
                books.orders,
                books.keys,
                books.rules,
                books.intents,
                books.reports,
                count,
                books.order_log,
                books.fill_log,
                books.trade_log,
                at,
            )
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


@kernel
def _hear(
    positions: Records,
    account: Record,
    orders: Records,
    keys: NDArray[np.uint64],
    rules: Records,
    intents: Records,
    reports: Records,
    count: int,
    order_log: Records,
    fill_log: Records,
    trade_log: Records,
    at: IntArray,
) -> None:
    """Log each report, give it to the portfolio, and submit what it answers (the legs of a filled
    entry, which are accepted in silence).
    """
    first: Any = np.int64(0)
    for k in range(count):
        report = reports[k]
        order = order_log[report["ticket"]]
        order["fills"] = report["number"]
        order["status"] = status_after(report["number"], report["kind"], report["closed"])
        if report["reason"] != NO_REASON:
            order["reason"] = report["reason"]
        if report["kind"] == FILL:
            fill_log[at[FILLS]] = report
            at[FILLS] += 1
        answers, at[TRADES] = apply_report(
            positions,
            account,
            rules[report["symbol"]],
            report,
            intents,
            first,
            trade_log,
            at[TRADES],
        )
        for j in range(answers):
            intent = intents[j]
            _log_order(intent, order_log, at)
            submit(orders, keys, rules[intent["symbol"]], intent, reports, count)


@kernel
def _send(
    positions: Records,
    account: Record,
    orders: Records,
    keys: NDArray[np.uint64],
    rules: Records,
    intents: Records,
    reports: Records,
    count: int,
    order_log: Records,
    fill_log: Records,
    trade_log: Records,
    busy: BoolArray,
    at: IntArray,
) -> None:
    """Log and submit each intent of a decision in order; what the exchange answers is heard at
    once.
    """
    first: Any = np.int64(0)
    for k in range(count):
        intent = intents[k]
        if intent["status"] == ORDER_OPEN or intent["status"] == REFUSED:
            _log_order(intent, order_log, at)
        busy[intent["symbol"]] |= intent["status"] == ORDER_OPEN
        answers = submit(orders, keys, rules[intent["symbol"]], intent, reports, first)
        # An answer to a submission is a rejection or a cancellation: it never calls for a new
        # intent, so `intents` may be shared.
        if answers > 0:
            _hear(
                positions,
                account,
                orders,
                keys,
                rules,
                intents,
                reports,
                answers,
                order_log,
                fill_log,
                trade_log,
                at,
            )


@inlined_kernel
def _log_order(intent: Record, order_log: Records, at: IntArray) -> None:
    intent["ticket"] = at[ORDERS]
    order_log[at[ORDERS]] = intent
    at[ORDERS] += 1
