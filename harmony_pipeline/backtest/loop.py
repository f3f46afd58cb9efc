"""The compiled loop of the backtest: the protocol of backtest/portfolio.py, timestamp by timestamp, with a log of everything that happened.

The law: this loop holds no rule of its own. Each step is a kernel that the live session calls too.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harmony_pipeline.backtest.portfolio import INTENTS_A_DECISION, INTENTS_A_REPORT, apply_dividend, apply_report, apply_split, decide, mark
from harmony_pipeline.execution.exchange import MAX_REPORTS, match_open, match_range, split_orders, status_after, submit
from harmony_pipeline.execution.records import ENTRY, EXIT, FILL, NO_REASON, OPEN, ORDER, REFUSED, REPORT, SPLIT, STOP, Record, Records, records
from harmony_pipeline.kernel import kernel
from harmony_pipeline.risk.breakers import check_breakers, open_session

ACTION = np.dtype([("symbol", "i8"), ("date", "i8"), ("kind", "i8"), ("value", "f8")], align=True)
"""A corporate action; an array of them is sorted by symbol, date, and dividends (per old share) before splits."""
EQUITY = np.dtype([("at", "i8"), ("equity", "i8"), ("cash", "i8"), ("gross", "i8"), ("net", "i8"), ("drawdown", "f8")], align=True)
"""The account at the end of one timestamp, money units."""

# Where the loop stands: next bar, and rows used in the order, fill, trade and equity logs.
NEXT_BAR, ORDERS, FILLS, TRADES, EQUITIES = range(5)
LOG_ROWS_A_SYMBOL = 8  # most rows that one symbol can add to any log at one timestamp


def scratch(symbols: int) -> tuple[Records, Records]:
    """Room for the intents and the reports of one timestamp."""
    return records(INTENTS_A_DECISION * symbols + INTENTS_A_REPORT, ORDER), records(MAX_REPORTS, REPORT)


@kernel
def run(
    positions: Records,
    account_: Records,
    orders: Records,
    keys: NDArray[np.uint64],
    rules: Records,
    bars: Records,
    actions: Records,
    next_action: NDArray[np.int64],
    intents: Records,
    reports: Records,
    order_log: Records,
    fill_log: Records,
    trade_log: Records,
    equity_log: Records,
    at: NDArray[np.int64],
) -> None:
    """Run from bar `at[NEXT_BAR]` until the bars end or a log is nearly full; `at` is moved on, so the driver makes room and calls again.

    `bars` is sorted by (at, symbol). `next_action[s]` points at the first action of symbol s that is not behind; it is moved on too.
    `rules[s]` are the rules of symbol s.
    """
    account = account_[0]
    first: Any = np.int64(0)  # a plain 0 would be a type of its own to numba, and compile everything below twice
    room = LOG_ROWS_A_SYMBOL * len(positions)
    i = at[NEXT_BAR]
    while i < len(bars):
        if len(order_log) - at[ORDERS] < room or len(fill_log) - at[FILLS] < room or len(trade_log) - at[TRADES] < room or at[EQUITIES] == len(equity_log):
            break
        stop = i + 1
        while stop < len(bars) and bars[stop]["at"] == bars[i]["at"]:
            stop += 1
        open_session(account, bars[i]["date"])
        for k in range(i, stop):
            bar = bars[k]
            symbol = bar["symbol"]
            position = positions[symbol]
            due = next_action[symbol]
            # Most bars bring nothing. Asking first spares calls with many arguments, which cost more than the bar itself.
            if due < len(actions) and actions[due]["symbol"] == symbol and actions[due]["date"] <= bar["date"]:
                _act(positions, account, orders, keys, rules, bar, actions, next_action, intents, reports, order_log, fill_log, trade_log, at)
            if orders[symbol, EXIT]["status"] == OPEN or orders[symbol, ENTRY]["status"] == OPEN:
                n = match_open(orders, keys, rules[symbol], bar, reports, first)
                _hear(positions, account, orders, keys, rules, intents, reports, n, order_log, fill_log, trade_log, at)
            if orders[symbol, STOP]["status"] == OPEN:
                n = match_range(orders, keys, rules[symbol], bar, reports, first)
                if n > 0:
                    _hear(positions, account, orders, keys, rules, intents, reports, n, order_log, fill_log, trade_log, at)
            mark(position, account, rules[symbol], bar)
        check_breakers(rules[0], account)
        row = equity_log[at[EQUITIES]]
        row["at"] = bars[i]["at"]
        row["equity"] = account["equity"]
        row["cash"] = account["cash"]
        row["gross"] = account["gross_value"]
        row["net"] = account["net_value"]
        row["drawdown"] = account["equity"] / account["peak"] - 1.0
        at[EQUITIES] += 1
        count = decide(positions, account, rules, bars, i, stop, intents, first)
        if count > 0:
            _send(positions, account, orders, keys, rules, intents, count, reports, order_log, fill_log, trade_log, at)
        i = stop
        at[NEXT_BAR] = i


@kernel
def _act(
    positions: Records,
    account: Record,
    orders: Records,
    keys: NDArray[np.uint64],
    rules: Records,
    bar: Record,
    actions: Records,
    next_action: NDArray[np.int64],
    intents: Records,
    reports: Records,
    order_log: Records,
    fill_log: Records,
    trade_log: Records,
    at: NDArray[np.int64],
) -> None:
    """Corporate actions of the bar's symbol that have come due since its last bar; those of dates already traded are behind."""
    first: Any = np.int64(0)
    symbol = bar["symbol"]
    k = next_action[symbol]
    while k < len(actions) and actions[k]["symbol"] == symbol and actions[k]["date"] <= bar["date"]:
        if actions[k]["date"] > positions[symbol]["last_date"]:
            if actions[k]["kind"] == SPLIT:
                n = split_orders(orders, rules[symbol], symbol, actions[k]["value"], bar["at"], reports, first)
                _hear(positions, account, orders, keys, rules, intents, reports, n, order_log, fill_log, trade_log, at)
                at[TRADES] = apply_split(positions[symbol], account, rules[symbol], actions[k]["value"], bar, trade_log, at[TRADES])
            else:
                apply_dividend(positions[symbol], account, rules[symbol], actions[k]["value"])
        k += 1
    next_action[symbol] = k


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
    at: NDArray[np.int64],
) -> None:
    """Log each report, give it to the portfolio, and submit what it answers (the legs of a filled entry, which are accepted in silence)."""
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
        count, at[TRADES] = apply_report(positions, account, rules[report["symbol"]], report, intents, first, trade_log, at[TRADES])
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
    at: NDArray[np.int64],
) -> None:
    """Log and submit each intent of a decision in order; what the exchange answers is heard at once."""
    first: Any = np.int64(0)
    for k in range(count):
        if intents[k]["status"] == OPEN or intents[k]["status"] == REFUSED:
            _log_order(intents[k], order_log, at)
        n = submit(orders, keys, rules[intents[k]["symbol"]], intents[k], reports, first)
        # An answer to a submission is a rejection or a cancellation: it never calls for a new intent, so `intents` may be shared.
        if n > 0:
            _hear(positions, account, orders, keys, rules, intents, reports, n, order_log, fill_log, trade_log, at)


@kernel
def _log_order(intent: Record, order_log: Records, at: NDArray[np.int64]) -> None:
    intent["ticket"] = at[ORDERS]
    order_log[at[ORDERS]] = intent
    at[ORDERS] += 1
