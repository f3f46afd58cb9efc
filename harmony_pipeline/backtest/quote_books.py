"""The books of a backtest on quotes, and what one event does to them: the kernels of the portfolio
and of the risk engine, in the order of portfolio/decisions.py, for one quote, order or fill at a
time. No rule is written here.

A symbol may have several orders at work, on both sides. A fill that makes its position smaller is
reported to the portfolio as that of an exit, one that opens or adds as that of an entry, and one
that turns it as both. So a round trip goes from flat to flat, or to the other side.
"""

from typing import Any, NamedTuple

import numpy as np

from harmony_pipeline.arrays import IntArray
from harmony_pipeline.backtest.logs import APPLICATIONS, EQUITIES, PLACES, TRADES, Curve
from harmony_pipeline.backtest.loop import log_equity
from harmony_pipeline.kernel import inlined_kernel, kernel_without_allocation
from harmony_pipeline.market.price_grid import floor_to_lot, snap_to_lot
from harmony_pipeline.portfolio.corporate_actions import apply_unseen_action, next_due
from harmony_pipeline.portfolio.kernel_types import (
    ACTIVE,
    APPLIED,
    BAR,
    DUPLICATE_INTENT,
    ENTRY,
    EXIT,
    FILL,
    HALTED,
    NO_MODEL,
    NO_REASON,
    ORDER,
    QUEUE,
    REFUSE,
    REPORT,
    RESIZE,
    TRADE,
    Record,
    Records,
    records,
)
from harmony_pipeline.portfolio.margin_calls import margin_call
from harmony_pipeline.portfolio.moments import begin_moment, mark
from harmony_pipeline.portfolio.position_accounting import apply_report, restate_orders, revalue
from harmony_pipeline.risk.breakers import check_breakers
from harmony_pipeline.risk.data_state import judge_data
from harmony_pipeline.risk.limits import Verdict, judge_entry, judge_order

# What an event asks of the driver.
CANCEL_ENTRIES, CLOSE_ALL = 1, 2
MINUTE = 60_000_000  # microseconds of a row of the equity table
_FIRST_TRADES, _FIRST_ACTIONS = 1024, 64


class QuoteBooks(NamedTuple):
    """What the kernels change. `orders[s]`: money units that the purchases and the sales at work of
    symbol s may move. `bars`, `reports`, `intents`: room for one event. `at`: the places that
    backtest/logs.py names.
    """

    positions: Records
    accounts: Records
    rules: Records
    orders: IntArray
    bars: Records
    reports: Records
    intents: Records
    trade_log: Records
    applied_log: Records
    curve: Curve
    at: IntArray


def quote_books(positions: Records, accounts: Records, rules: Records, curve: Curve) -> QuoteBooks:
    """The books at the start; `curve` is room for a row a minute and one a session."""
    count = len(positions)
    return QuoteBooks(
        positions,
        accounts,
        rules,
        np.zeros((count, 2), np.int64),
        records(1, BAR),
        records(1, REPORT),
        records(4 * count + 1, ORDER),
        records(_FIRST_TRADES, TRADE),
        records(_FIRST_ACTIONS, APPLIED),
        curve,
        np.zeros(PLACES, np.int64),
    )


@kernel_without_allocation
def begin_session(books: QuoteBooks, date: int) -> None:
    """What comes first in a session: the cost of the nights before, what settles, the bases of the
    limits of loss.
    """
    begin_moment(books.positions, books.accounts, books.rules, date)


@kernel_without_allocation
def next_action(
    books: QuoteBooks, actions: Records, place: IntArray, symbol: int, date: int
) -> int:
    """Index of the symbol's next action up to the session `date`, -1 where there is none."""
    return next_due(actions, place, books.positions[symbol], symbol, date)


@kernel_without_allocation
def take_action(books: QuoteBooks, actions: Records, k: int, symbol: int, at: int) -> bool:
    """Apply an action before the session's first tick, at the last price; whether anything was
    held.
    """
    books.at[TRADES] = apply_unseen_action(
        books.positions[symbol], books.accounts[0], books.rules[symbol], actions[k], at,
        books.applied_log[books.at[APPLICATIONS]], books.trade_log, books.at[TRADES],
    )  # fmt: skip
    restate(books, symbol)
    if books.applied_log[books.at[APPLICATIONS]]["before"] == 0.0:
        return False
    books.at[APPLICATIONS] += 1
    return True


@kernel_without_allocation
def call_margin(books: QuoteBooks, at: int) -> int:
    """The positions that the margin of the last marks does not carry, as intents; their number."""
    account = books.accounts[0]
    account["equity"] = account["cash"] + account["net_value"]
    return margin_call(books.positions, account, books.rules, at, books.intents, 0)


@kernel_without_allocation
def restate(books: QuoteBooks, symbol: int) -> None:
    """The exposure of a symbol, after its orders or its position have changed."""
    bought, sold = books.orders[symbol, 0], books.orders[symbol, 1]
    restate_orders(books.positions[symbol], books.accounts[0], bought, sold)


@kernel_without_allocation
def take_quote(books: QuoteBooks, symbol: int, price: float, at: int, date: int) -> int:
    """Value a symbol at the middle of its quote, and judge the account: CANCEL_ENTRIES, CLOSE_ALL,
    or both, as bits.
    """
    bar = books.bars[0]
    bar["symbol"], bar["at"], bar["end"], bar["date"] = symbol, at, at, date
    bar["open"] = bar["high"] = bar["low"] = bar["close"] = price
    bar["factor"] = 1.0
    position = books.positions[symbol]
    mark(position, books.accounts[0], books.rules[symbol], bar)
    if position["quantity"] != 0.0:
        restate(books, symbol)
    return _judge_moment(books, at, date)


@inlined_kernel
def _judge_moment(books: QuoteBooks, at: int, date: int) -> int:
    """Breakers and the state of the data, after prices or cash have changed; then the row of the
    minute.
    """
    account, rules = books.accounts[0], books.rules[0]
    account["equity"] = account["cash"] + account["net_value"]
    check_breakers(rules, account)
    if rules["stale_after"] > 0:
        judge_data(books.positions, account, rules, at, at)
    elif account["data_state"] != ACTIVE:
        account["data_state"] = ACTIVE
    minute, curve = at - at % MINUTE, books.curve
    row = books.at[EQUITIES]
    if row > 0 and curve.at[row - 1] == minute:
        books.at[EQUITIES] = row - 1
    log_equity(account, minute, date, curve, books.at)
    stopped = account["tripped"] == 1
    stopped |= rules["trading_state"] == HALTED or account["data_state"] == HALTED
    account["tripped"] = 0
    answer = CANCEL_ENTRIES if stopped else 0
    if account["halted"] == 1 and account["counted"] > 0:
        answer |= CLOSE_ALL
    return answer


@kernel_without_allocation
def take_fill(
    books: QuoteBooks,
    symbol: int,
    side: int,
    quantity: float,
    price: float,
    reference: float,
    fee: int,
    maker: bool,
    number: int,
    at: int,
    date: int,
    decided_at: int,
    reason: int,
) -> int:
    """Book a fill, the `number`-th of an order that was decided at `decided_at`; `reason` is that
    of the exit, as far as it is one. The answer is that of `take_quote`. The symbol's orders are
    those after the fill.
    """
    position, report = books.positions[symbol], books.reports[0]
    held = position["quantity"]
    closing = min(quantity, abs(held)) if held * side < 0.0 else 0.0
    opening = snap_to_lot(quantity - closing, books.rules[symbol]["lot_size"])
    report["kind"], report["symbol"], report["side"], report["at"] = FILL, symbol, side, at
    report["decided_at"], report["price"], report["reference"] = decided_at, price, reference
    report["slippage"], report["maker"] = abs(price - reference), 1 if maker else 0
    report["factor"], report["closed"] = 1.0, 0
    closing_fee = fee
    if closing > 0.0:
        if opening > 0.0:
            closing_fee = int(np.rint(fee * (closing / quantity)))
        position["exit_reason"] = reason
        _report(books, report, EXIT, closing, closing_fee, number)
    if opening > 0.0:
        position["pending_at"], position["pending_signal_at"] = decided_at, decided_at
        position["pending_model"] = NO_MODEL
        opening_fee = fee - closing_fee if closing > 0.0 else fee
        _report(books, report, ENTRY, opening, opening_fee, 2 if closing > 0.0 else number)
    if position["last_date"] == date:
        if position["quantity"] != 0.0:  # a fill far from the market is no price of what is held
            revalue(position, books.accounts[0], books.rules[symbol], position["last_price"])
    else:
        position["last_price"], position["last_date"] = price, date
    restate(books, symbol)
    return _judge_moment(books, at, date)


@inlined_kernel
def _report(
    books: QuoteBooks, report: Record, role: int, quantity: float, fee: int, number: int
) -> None:
    first: Any = np.int64(0)
    report["role"], report["quantity"], report["fee"] = role, quantity, fee
    report["number"] = number
    _, books.at[TRADES] = apply_report(
        books.positions, books.accounts[0], books.rules[report["symbol"]], report, books.intents,
        first, books.trade_log, books.at[TRADES],
    )  # fmt: skip


@kernel_without_allocation
def judge(
    books: QuoteBooks,
    symbol: int,
    side: int,
    price: float,
    middle: float,
    quantity: float,
    working: float,
    working_value: int,
    strength: float,
    volatility: float,
    rests: bool,
    at: int,
    date: int,
) -> Verdict:
    """What the risk engine answers to a limit order at `price` that `rests`, of `quantity` shares
    (0: as many as the rule of size wants) beside `working` shares of its side; or to an entry at
    the market, of which `working` shares are on their way already. `middle` is that of the quote.
    """
    bar, account = books.bars[0], books.accounts[0]
    bar["symbol"], bar["signal"], bar["at"], bar["end"], bar["date"] = symbol, side, at, at, date
    bar["open"], bar["close"] = middle, price
    bar["strength"], bar["volatility"], bar["probability"] = strength, volatility, np.nan
    position, rules = books.positions[symbol], books.rules[symbol]
    if position["gone"] != NO_REASON:
        return Verdict(REFUSE, 0.0, position["gone"], 0, 0.0)
    if rules["stale_after"] > 0:
        judge_data(books.positions, account, books.rules[0], at, at)
    if rests:
        verdict = judge_order(
            books.positions, account, books.rules, bar, quantity, working, working_value, at
        )
    else:
        verdict = judge_entry(books.positions, account, books.rules, bar, at)
        if working > 0.0 and verdict.quantity > 0.0:
            verdict = _less(verdict, working, rules["lot_size"])
    adds = not rests or side * position["quantity"] + working + verdict.quantity > 0.0
    if verdict.quantity > 0.0 and adds and rules["duplicate_window"] > 0:
        position["intent_side"] = side
        position["intent_until"] = at + rules["duplicate_window"]
    return verdict


@inlined_kernel
def _less(verdict: Verdict, working: float, lot_size: float) -> Verdict:
    """An entry without the shares that are on their way."""
    quantity = max(0.0, floor_to_lot(verdict.quantity - working, lot_size))
    if quantity == 0.0:
        return Verdict(REFUSE, 0.0, DUPLICATE_INTENT, 0, verdict.wanted)
    answer = QUEUE if verdict.answer == QUEUE else RESIZE
    reason = DUPLICATE_INTENT if verdict.reason == NO_REASON else verdict.reason
    return Verdict(answer, quantity, reason, verdict.release_at, verdict.wanted)
