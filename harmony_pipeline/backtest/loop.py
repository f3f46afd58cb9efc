"""The compiled loop of the backtest: the protocol of portfolio/decisions.py, timestamp by
timestamp, with a log of everything that happened.

The loop holds no rule of its own: each step is a kernel that the live session calls, too.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harmony_pipeline.arrays import IntArray
from harmony_pipeline.execution.exchange import (
    MAX_REPORTS,
    dividend_orders,
    match_open,
    match_range,
    split_orders,
    status_after,
    submit,
)
from harmony_pipeline.kernel import kernel
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
)
from harmony_pipeline.portfolio.kernel_types import (
    ENDING,
    ENTRY,
    EXIT,
    FILL,
    NO_REASON,
    ORDER,
    ORDER_OPEN,
    REFUSED,
    REPORT,
    SPLIT,
    STOP,
    Record,
    Records,
    records,
)
from harmony_pipeline.risk.breakers import check_breakers, open_session

EQUITY = np.dtype(
    [
        ("at", "i8"),
        ("equity", "i8"),
        ("cash", "i8"),
        ("gross", "i8"),
        ("net", "i8"),
        ("drawdown", "f8"),
    ],
    align=True,
)
"""The account at the end of one timestamp, money units."""

# Where the loop stands: next bar, rows used in the order, fill, trade and equity logs, next event
# of lives, rows used in the log of what was applied.
NEXT_BAR, ORDERS, FILLS, TRADES, EQUITIES, NEXT_LIFE, APPLICATIONS = range(7)
LOG_ROWS_A_SYMBOL = 8  # most rows that one symbol can add to any log at one timestamp
LOG_ROWS_AN_EVENT = 8  # and one event of lives or one action


def scratch(symbols: int) -> tuple[Records, Records]:
    """Room for the intents and the reports of one timestamp."""
    return records(INTENTS_A_DECISION * symbols + INTENTS_A_REPORT, ORDER), records(
        MAX_REPORTS, REPORT
    )


@kernel
def spare_rows(symbols: int, lives: int, actions: int) -> int:
    """Rows that a log must have left for one timestamp, whatever happens at it."""
    return LOG_ROWS_A_SYMBOL * symbols + LOG_ROWS_AN_EVENT * (lives + actions)


@kernel
def run(
    positions: Records,
    account_: Records,
    orders: Records,
    keys: NDArray[np.uint64],
    rules: Records,
    bars: Records,
    actions: Records,
    next_action: IntArray,
    intents: Records,
    reports: Records,
    order_log: Records,
    fill_log: Records,
    trade_log: Records,
    equity_log: Records,
    lives: Records,
    applied_log: Records,
    at: IntArray,
) -> None:
    """Run from bar `at[NEXT_BAR]` until the bars end or a log is nearly full; `at` is moved on, so
    the driver makes room and calls again.

    `bars` is sorted by (at, symbol). `next_action[s]` points at the first action of symbol s that
    is not behind; it is moved on too. `rules[s]` are the rules of symbol s. `lives` is in order;
    `at[NEXT_LIFE]` points at the first event that is not behind.
    """
    account = account_[0]
    # a plain 0 would be a type of its own to numba, and compile everything below twice
    first: Any = np.int64(0)
    room = spare_rows(len(positions), len(lives), len(actions))
    i = at[NEXT_BAR]
    while i < len(bars):
        if (
            len(order_log) - at[ORDERS] < room
            or len(fill_log) - at[FILLS] < room
            or len(trade_log) - at[TRADES] < room
            or at[EQUITIES] == len(equity_log)
        ):
            break
        if len(applied_log) - at[APPLICATIONS] < room:
            break
        stop = i + 1
        while stop < len(bars) and bars[stop]["at"] == bars[i]["at"]:
            stop += 1
        if bars[i]["date"] > account["date"]:
            begin_session(
                positions, account_, orders, keys, rules, bars[i]["date"], bars[i]["at"], 1,
                actions, next_action, intents, reports,
                order_log, fill_log, trade_log, lives, applied_log, at,
            )  # fmt: skip
        for k in range(i, stop):
            bar = bars[k]
            symbol = bar["symbol"]
            position = positions[symbol]
            due = next_action[symbol]
            # Most bars bring nothing. Asking first spares calls with many arguments, which cost
            # more than the bar itself.
            if (
                due < len(actions)
                and actions[due]["symbol"] == symbol
                and actions[due]["date"] <= bar["date"]
            ):
                _act(
                    positions,
                    account,
                    orders,
                    keys,
                    rules,
                    bar,
                    actions,
                    next_action,
                    intents,
                    reports,
                    order_log,
                    fill_log,
                    trade_log,
                    applied_log,
                    at,
                )
            if (
                orders[symbol, EXIT]["status"] == ORDER_OPEN
                or orders[symbol, ENTRY]["status"] == ORDER_OPEN
            ):
                n = match_open(orders, keys, rules[symbol], bar, reports, first)
                _hear(
                    positions,
                    account,
                    orders,
                    keys,
                    rules,
                    intents,
                    reports,
                    n,
                    order_log,
                    fill_log,
                    trade_log,
                    at,
                )
            if orders[symbol, STOP]["status"] == ORDER_OPEN:
                n = match_range(orders, keys, rules[symbol], bar, reports, first)
                if n > 0:
                    _hear(
                        positions,
                        account,
                        orders,
                        keys,
                        rules,
                        intents,
                        reports,
                        n,
                        order_log,
                        fill_log,
                        trade_log,
                        at,
                    )
            mark(position, account, rules[symbol], bar)
        check_breakers(rules[0], account)
        log_equity(account_, bars[i]["at"], equity_log, at)
        count = decide(positions, account, rules, bars, i, stop, intents, first)
        if count > 0:
            _send(
                positions,
                account,
                orders,
                keys,
                rules,
                intents,
                count,
                reports,
                order_log,
                fill_log,
                trade_log,
                at,
            )
        i = stop
        at[NEXT_BAR] = i


@kernel
def log_equity(account_: Records, now: int, equity_log: Records, at: IntArray) -> None:
    """The account at the end of the timestamp `now`."""
    account, row = account_[0], equity_log[at[EQUITIES]]
    row["at"] = now
    row["equity"] = account["equity"]
    row["cash"] = account["cash"]
    row["gross"] = account["gross_value"]
    row["net"] = account["net_value"]
    row["drawdown"] = account["equity"] / account["peak"] - 1.0
    at[EQUITIES] += 1


@kernel
def begin_session(
    positions: Records,
    account_: Records,
    orders: Records,
    keys: NDArray[np.uint64],
    rules: Records,
    date: int,
    now: int,
    counts: int,
    actions: Records,
    next_action: IntArray,
    intents: Records,
    reports: Records,
    order_log: Records,
    fill_log: Records,
    trade_log: Records,
    lives: Records,
    applied_log: Records,
    at: IntArray,
) -> None:
    """The first timestamp of a session: securities that ended since the last one, then symbols that
    have been silent too long.

    `counts` 0: no session of the market, so nobody's silence grows (the days after the last bar).
    """
    account = account_[0]
    endings = np.zeros(2, ENDING)
    open_session(account, date)
    while at[NEXT_LIFE] < len(lives) and lives[at[NEXT_LIFE]]["date"] <= date:
        count = endings_of(positions, lives[at[NEXT_LIFE]], endings)
        at[NEXT_LIFE] += 1
        for k in range(count):
            _end(
                positions, account, orders, keys, rules, endings[k], now, actions, next_action,
                intents, reports, order_log, fill_log, trade_log,
                applied_log, at,
            )  # fmt: skip
    if counts == 1:
        for symbol in range(len(positions)):
            if presumed_ending(positions[symbol], rules[symbol], symbol, date, endings[0]):
                _end(
                    positions, account, orders, keys, rules, endings[0], now, actions, next_action,
                    intents, reports, order_log, fill_log, trade_log,
                    applied_log, at,
                )  # fmt: skip
    account["equity"] = account["cash"] + account["net_value"]


@kernel
def _end(
    positions: Records,
    account: Record,
    orders: Records,
    keys: NDArray[np.uint64],
    rules: Records,
    ending: Record,
    now: int,
    actions: Records,
    next_action: IntArray,
    intents: Records,
    reports: Records,
    order_log: Records,
    fill_log: Records,
    trade_log: Records,
    applied_log: Records,
    at: IntArray,
) -> None:
    """Cancel what works for the ending's symbol; then the actions that no bar has shown; then
    settle what is held.
    """
    first: Any = np.int64(0)
    symbol = ending["symbol"]
    position = positions[symbol]
    exit_worked, legs_worked = position["exit_working"], position["legs_working"]
    count = cancel_working(position, symbol, ending["canceled"], now, intents, first)
    if count > 0:
        _send(
            positions,
            account,
            orders,
            keys,
            rules,
            intents,
            count,
            reports,
            order_log,
            fill_log,
            trade_log,
            at,
        )
    if position["quantity"] == 0.0:
        return
    k = next_due(actions, next_action, position, symbol, ending["until"])
    while k >= 0:
        applied = applied_log[at[APPLICATIONS]]
        at[TRADES] = apply_unseen_action(
            position, account, rules[symbol], actions[k], now, applied, trade_log, at[TRADES]
        )
        if applied["before"] != 0.0:
            at[APPLICATIONS] += 1
        k = next_due(actions, next_action, position, symbol, ending["until"])
    if position["quantity"] != 0.0:
        applied = applied_log[at[APPLICATIONS]]
        count, at[TRADES] = settle_ending(
            positions,
            account,
            rules,
            ending,
            now,
            exit_worked,
            legs_worked,
            applied,
            intents,
            first,
            trade_log,
            at[TRADES],
        )
        at[APPLICATIONS] += 1
        _send(
            positions,
            account,
            orders,
            keys,
            rules,
            intents,
            count,
            reports,
            order_log,
            fill_log,
            trade_log,
            at,
        )


@kernel
def _act(
    positions: Records,
    account: Record,
    orders: Records,
    keys: NDArray[np.uint64],
    rules: Records,
    bar: Record,
    actions: Records,
    next_action: IntArray,
    intents: Records,
    reports: Records,
    order_log: Records,
    fill_log: Records,
    trade_log: Records,
    applied_log: Records,
    at: IntArray,
) -> None:
    """Corporate actions of the bar's symbol that have come due since its last bar; those of dates
    already traded are behind.
    """
    first: Any = np.int64(0)
    symbol = bar["symbol"]
    position = positions[symbol]
    k = next_due(actions, next_action, position, symbol, bar["date"])
    while k >= 0:
        if actions[k]["kind"] == SPLIT:
            n = split_orders(
                orders, rules[symbol], symbol, actions[k]["value"], bar["at"], reports, first
            )
            _hear(
                positions,
                account,
                orders,
                keys,
                rules,
                intents,
                reports,
                n,
                order_log,
                fill_log,
                trade_log,
                at,
            )
        else:
            dividend_orders(orders, symbol, dividend_share(position, actions[k]["value"]))
        applied = applied_log[at[APPLICATIONS]]
        at[TRADES] = apply_action(
            position,
            account,
            rules[symbol],
            actions[k],
            bar["open"],
            bar["at"],
            applied,
            trade_log,
            at[TRADES],
        )
        if applied["before"] != 0.0:
            at[APPLICATIONS] += 1
        k = next_due(actions, next_action, position, symbol, bar["date"])


@kernel
def _hear(
    positions: Records,
    account: Record,
    orders: Records,
    keys: NDArray[np.uint64],
    rules: Records,
    intents: Records,
    reports: Records,
    n: int,
    order_log: Records,
    fill_log: Records,
    trade_log: Records,
    at: IntArray,
) -> None:
    """Log each report, give it to the portfolio, and submit what it answers (the legs of a filled
    entry, which are accepted in silence).
    """
    first: Any = np.int64(0)
    for k in range(n):
        report = reports[k]
        order = order_log[report["ticket"]]
        order["fills"] = report["number"]
        order["status"] = status_after(report["number"], report["kind"], report["closed"])
        if report["reason"] != NO_REASON:
            order["reason"] = report["reason"]
        if report["kind"] == FILL:
            fill_log[at[FILLS]] = report
            at[FILLS] += 1
        count, at[TRADES] = apply_report(
            positions,
            account,
            rules[report["symbol"]],
            report,
            intents,
            first,
            trade_log,
            at[TRADES],
        )
        for j in range(count):
            _log_order(intents[j], order_log, at)
            submit(orders, keys, rules[intents[j]["symbol"]], intents[j], reports, n)


@kernel
def _send(
    positions: Records,
    account: Record,
    orders: Records,
    keys: NDArray[np.uint64],
    rules: Records,
    intents: Records,
    count: int,
    reports: Records,
    order_log: Records,
    fill_log: Records,
    trade_log: Records,
    at: IntArray,
) -> None:
    """Log and submit each intent of a decision in order; what the exchange answers is heard at
    once.
    """
    first: Any = np.int64(0)
    for k in range(count):
        if intents[k]["status"] == ORDER_OPEN or intents[k]["status"] == REFUSED:
            _log_order(intents[k], order_log, at)
        n = submit(orders, keys, rules[intents[k]["symbol"]], intents[k], reports, first)
        # An answer to a submission is a rejection or a cancellation: it never calls for a new
        # intent, so `intents` may be shared.
        if n > 0:
            _hear(
                positions,
                account,
                orders,
                keys,
                rules,
                intents,
                reports,
                n,
                order_log,
                fill_log,
                trade_log,
                at,
            )


@kernel
def _log_order(intent: Record, order_log: Records, at: IntArray) -> None:
    intent["ticket"] = at[ORDERS]
    order_log[at[ORDERS]] = intent
    at[ORDERS] += 1
