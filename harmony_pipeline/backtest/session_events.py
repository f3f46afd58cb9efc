"""What happens to the books before bars are met: a session begins, securities end, and corporate
actions come due.
"""

from typing import Any

import numpy as np

from harmony_pipeline.backtest.books import Books
from harmony_pipeline.backtest.logs import APPLICATIONS, NEXT_LIFE, TRADES
from harmony_pipeline.backtest.order_handling import handle_reports, log_event, send_intents
from harmony_pipeline.execution.exchange import dividend_orders, split_orders
from harmony_pipeline.kernel import kernel_without_allocation
from harmony_pipeline.portfolio.corporate_actions import (
    apply_action,
    apply_unseen_action,
    cancel_working,
    endings_of,
    next_due,
    presumed_ending,
    settle_ending,
)
from harmony_pipeline.portfolio.kernel_types import (
    ADJUST,
    NO_REASON,
    ORDER_OPEN,
    ROLES,
    SPLIT,
    UNRESTRICTED,
    Record,
)
from harmony_pipeline.portfolio.margin_calls import margin_call
from harmony_pipeline.portfolio.moments import begin_moment
from harmony_pipeline.portfolio.position_accounting import dividend_share


@kernel_without_allocation
def begin_session(books: Books, date: int, now: int, has_bars: bool) -> None:
    """The first timestamp of a session: securities that ended since the last one, then symbols that
    have been silent too long.

    Without `has_bars` it is no session of the market, so nobody's silence grows (the days after the
    last bar).
    """
    account, at = books.account[0], books.at
    endings = books.endings
    begin_moment(books.positions, books.account, books.rules, date)
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
        send_intents(
            books, margin_call(books.positions, account, books.rules, now, books.intents, first)
        )


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
        send_intents(books, count)
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
        send_intents(books, count)


@kernel_without_allocation
def apply_due_actions(books: Books, bar: Record) -> None:
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
            handle_reports(books, count)
            for role in range(ROLES):
                order = books.orders[symbol, role]
                if books.keeps_logs and order["status"] == ORDER_OPEN:
                    remaining, moment = order["remaining"], bar["at"]
                    log_event(books, order["ticket"], ADJUST, moment, moment, remaining, NO_REASON)
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
