"""The orders of a machine on quotes: from its intents past the risk engine to the matching engine.

    Post      one resting limit order a side and symbol (post-only, day): the order before is
              canceled, and the new one joins the queue at its price. Without a quantity the rule of
              size (`risk.sizing`) says how many shares
    Withdraw  cancels it
    Enter     a market order (day) of the size that the rule of size wants, where the symbol is not
              held on that side; both sides are canceled, and what is held on the other one is left.
              Where it is, an order that leaves it is canceled
    Leave     cancels both sides and sends a market order for what is held; what it could not fill
              (a reject, the close) is sent again at the symbol's next quote

Every order that may add to a position passes the gate of risk/limits.py. An order that it makes
smaller is sent for the rest, one that is queued is submitted later, and one that is refused stands
in the tables with its reason. Orders at work count as if they were filled, also one whose cancel is
still on its way (a latency).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from harmony_pipeline.backtest.quote_account import QuoteAccount
from harmony_pipeline.execution.matching_engine import Execution, MatchingEngine
from harmony_pipeline.execution.order_types import OrderTicket, Refusal
from harmony_pipeline.instants import micros
from harmony_pipeline.portfolio.kernel_types import (
    BY_DRAWDOWN,
    BY_SIGNAL,
    MONEY,
    NO_REASON,
    REASON_NAMES,
    Records,
)
from harmony_pipeline.risk.limits import Verdict
from harmony_pipeline.strategies.events import Enter, Post

SIDES = (1, -1)
_SIDE_NAMES = {1: "buy", -1: "sell"}
_UNJUDGED = Verdict(0, 0.0, NO_REASON, 0, 0.0)


@dataclass(slots=True, eq=False)
class SentOrder:
    """An order, as the tables show it, and what may still be filled of it: `remaining` shares of
    `value` money units at `price`. `reason` is why it was placed; `parent` the order that opened
    what it closes.
    """

    ticket: OrderTicket
    row: int
    verdict: Verdict
    reason: int
    decided_at: datetime
    price: float
    remaining: float
    value: int = 0
    closes: bool = False
    parent: str | None = None
    fills: int = 0
    ended_for: int = NO_REASON


class QuoteOrders:
    """What a machine has at work. One owner."""

    def __init__(self, engine: MatchingEngine, account: QuoteAccount, book: str) -> None:
        self._engine, self._account, self._book = engine, account, book
        self.sent: dict[str, SentOrder] = {}
        count = len(account.symbols)
        self._working: list[list[SentOrder]] = [[] for _ in range(count)]
        self._resting: dict[tuple[str, int], SentOrder] = {}
        self._entering: dict[str, SentOrder] = {}
        self._leaving: list[SentOrder | None] = [None] * count
        self._openers: list[str | None] = [None] * count  # orders that opened what is held
        self._heard = [0] * count  # rows of each symbol's log
        self._delayed = [engine.latency(name) > timedelta() for name in account.symbols]
        self.must_leave: dict[str, int] = {}  # reasons, until nothing is held
        self.touched: set[str] = set()  # symbols whose next moment may be another one

    # --- intents ----------------------------------------------------------------------------------

    def post(self, intent: Post, now: datetime, at: int) -> None:
        """Have one resting limit order on the side. `at` is `now` in microseconds UTC."""
        symbol, side = intent.symbol, intent.side
        self.withdraw(symbol, side, now)
        self.must_leave.pop(symbol, None)
        row = self._account.row[symbol]
        asked = intent.quantity or 0.0
        verdict = self._account.judge(
            row, side, intent.price, asked, self._under_way(row, side), 1.0, at, rests=True
        )
        ticket = OrderTicket(
            order_id=self._next_id(symbol, side), symbol=symbol, side=side,
            quantity=verdict.quantity or asked or verdict.wanted, kind="limit",
            submitted_at=_later(now, at, verdict.release_at), limit_price=intent.price,
            post_only=True,
        )  # fmt: skip
        order = self._send(ticket, row, verdict, now, intent.price)
        if order is not None:
            self._resting[symbol, side] = order

    def withdraw(self, symbol: str, side: int, now: datetime) -> None:
        """Have no resting order on the side."""
        order = self._resting.pop((symbol, side), None)
        if order is not None:
            self._cancel(order, now)

    def leave(self, symbol: str, now: datetime, reason: int = BY_SIGNAL) -> None:
        """Cancel everything and close what is held."""
        for side in SIDES:
            self.withdraw(symbol, side, now)
        entering = self._entering.pop(symbol, None)
        if entering is not None:
            self._cancel(entering, now)
        row = self._account.row[symbol]
        held = self._engine.position(symbol)
        if held == 0.0 or self._leaving[row] is not None:
            return
        self.must_leave[symbol] = reason
        side = -1 if held > 0.0 else 1
        ticket = OrderTicket(
            order_id=self._next_id(symbol, side), symbol=symbol, side=side, quantity=abs(held),
            submitted_at=now, reduce_only=True,
        )  # fmt: skip
        order = SentOrder(
            ticket, row, _UNJUDGED, reason, now, np.nan, abs(held), closes=True,
            parent=self._openers[row],
        )  # fmt: skip
        self.sent[ticket.order_id] = order
        self.touched.add(symbol)
        if self._engine.submit(ticket)[ticket.order_id] is None:
            self._leaving[row] = order
            self._restate(row)

    def enter(self, intent: Enter, now: datetime, at: int) -> None:
        """Hold the side, at the size that the rule of size wants."""
        symbol, side = intent.symbol, intent.side
        row = self._account.row[symbol]
        entering = self._entering.get(symbol)
        if entering is not None:
            if entering.ticket.side == side:
                return
            del self._entering[symbol]
            self._cancel(entering, now)
        held, leaving = self._account.held(row), self._leaving[row]
        if held != 0.0 and leaving is not None and leaving.reason != BY_SIGNAL:
            return  # the account closes it
        if held * side > 0.0:
            self.must_leave.pop(symbol, None)
            if leaving is not None:
                self._cancel(leaving, now)
            return
        if held != 0.0:
            self.leave(symbol, now)
        for one in SIDES:
            self.withdraw(symbol, one, now)
        self.must_leave.pop(symbol, None)
        price = self._account.middles[row]
        under_way = sum(one.remaining for one in self._working[row] if one.ticket.side == side)
        verdict = self._account.judge(
            row, side, price, 0.0, (under_way, 0), intent.strength, at, rests=False
        )
        ticket = OrderTicket(
            order_id=self._next_id(symbol, side), symbol=symbol, side=side,
            quantity=verdict.quantity or verdict.wanted,
            submitted_at=_later(now, at, verdict.release_at),
        )  # fmt: skip
        order = self._send(ticket, row, verdict, now, price)
        if order is not None:
            self._entering[symbol] = order

    # --- what the account asks for ----------------------------------------------------------------

    def cancel_entries(self, now: datetime) -> None:
        """Cancel every order that could add to a position."""
        for row, orders in enumerate(self._working):
            held = self._account.held(row)
            for order in [*orders]:
                against = order.ticket.side * held < 0.0
                if not (against and order.remaining <= abs(held)):
                    self._drop(order, now)

    def close_all(self, now: datetime) -> None:
        """Cancel everything and close every position."""
        for symbol, held in self._account.positions.items():
            if held or self._working[self._account.row[symbol]]:
                self.leave(symbol, now, BY_DRAWDOWN)

    def leave_again(self, symbol: str, now: datetime) -> None:
        """Close what is held of a symbol and should not be any more, where no order does."""
        reason = self.must_leave.get(symbol)
        if reason is not None and self._leaving[self._account.row[symbol]] is None:
            self.leave(symbol, now, reason)

    def cancel_all(self, symbol: str, now: datetime, reason: int) -> bool:
        """End every order of a symbol, for this reason; whether one of them was to close what is
        held.
        """
        row = self._account.row[symbol]
        self.must_leave.pop(symbol, None)
        for order in [*self._working[row]]:
            self._drop(order, now)
            self._forget(order)
            order.ended_for = reason
        leaving = self._leaving[row]
        if leaving is None:
            return False
        self._cancel(leaving, now)
        self._leaving[row], leaving.ended_for = None, reason
        self._restate(row)
        return True

    def close_intents(self, intents: Records, now: datetime) -> None:
        """Carry out intents of the portfolio (a margin call): entries that work are canceled, then
        positions closed.
        """
        symbols = self._account.symbols
        for intent in intents:
            if intent["quantity"] > 0.0:
                self.leave(symbols[intent["symbol"]], now, int(intent["reason"]))
        if len(intents):
            self.cancel_entries(now)

    def adjusted(self, symbol: str) -> None:
        """A split or a dividend has changed the symbol's orders."""
        row = self._account.row[symbol]
        for order in (*self._working[row], self._leaving[row]):
            if order is not None:
                order.remaining = self._engine.remaining(order.ticket.order_id)
                limit = self._engine.limit_price(order.ticket.order_id)
                if limit is not None:
                    order.price = limit
                    order.value = self._account.value(row, limit, order.remaining)
        self.touched.add(symbol)
        self._restate(row)

    def move(self, symbol: str, successor: str) -> None:
        """What was held of one symbol is held under another one from now on."""
        before, after = self._account.row[symbol], self._account.row[successor]
        self._openers[after], self._openers[before] = self._openers[before], None

    # --- what the market did ----------------------------------------------------------------------

    def news(self, symbol: str) -> tuple[list[Execution], list[str]]:
        """What was filled of the symbol's orders since the last call, in order, and which of them
        have ended: book the fills, then `forget` the orders.
        """
        row = self._account.row[symbol]
        fills, ended, self._heard[row] = self._engine.progress(symbol, self._heard[row])
        return fills, ended

    def forget(self, order_ids: Sequence[str]) -> None:
        """Count orders no more that have ended, filled or not."""
        for order_id in order_ids:
            order = self.sent[order_id]
            if self._forget(order):
                self._restate(order.row)

    def fill(self, one: Execution, at: datetime) -> int:
        """Book an execution; what the account asks for then."""
        order = self.sent[one.order_id]
        row, ticket = order.row, order.ticket
        order.fills += 1
        order.remaining = max(0.0, order.remaining - one.quantity)
        if not order.closes:
            order.value = self._account.value(row, order.price, order.remaining)
            if order.remaining == 0.0:
                self._forget(order)
        elif order.remaining == 0.0:
            self._leaving[row] = None
        before = self._account.held(row)
        self._restate(row)
        answer = self._account.book(
            row, one, order.fills, micros(order.decided_at), order.reason, at
        )
        held = self._account.held(row)
        if held * before <= 0.0 and held != 0.0:
            self._openers[row] = ticket.order_id
        elif held == 0.0:
            self._openers[row] = None
            self.must_leave.pop(ticket.symbol, None)
        return answer

    # --- inside -----------------------------------------------------------------------------------

    def _send(
        self, ticket: OrderTicket, row: int, verdict: Verdict, now: datetime, price: float
    ) -> SentOrder | None:
        """Send what the risk engine has answered; None where it does not leave."""
        refused = verdict.quantity == 0.0
        why = verdict.reason if refused else BY_SIGNAL
        order = SentOrder(
            ticket, row, verdict, why, now, price, 0.0 if refused else ticket.quantity
        )
        self.sent[ticket.order_id] = order
        if refused:
            self._engine.refuse(ticket, _refusal(verdict, self._account.equity))
            return None
        self.touched.add(ticket.symbol)
        if self._engine.submit(ticket)[ticket.order_id] is not None:
            return None
        order.value = self._account.value(row, price, ticket.quantity)
        self._working[row].append(order)
        self._restate(row)
        return order

    def _drop(self, order: SentOrder, now: datetime) -> None:
        """Cancel an order, whichever it is."""
        symbol = order.ticket.symbol
        if self._entering.get(symbol) is order:
            del self._entering[symbol]
        if self._resting.get((symbol, order.ticket.side)) is order:
            del self._resting[symbol, order.ticket.side]
        self._cancel(order, now)

    def _cancel(self, order: SentOrder, now: datetime) -> None:
        queued = order.ticket.submitted_at > now
        at = order.ticket.submitted_at if queued else now
        refusal = self._engine.cancel(order.ticket.order_id, at)  # it may have ended
        self.touched.add(order.ticket.symbol)
        if (refusal is not None or queued or not self._delayed[order.row]) and self._forget(order):
            self._restate(order.row)

    def _forget(self, order: SentOrder) -> bool:
        """Count an order no more; whether it was counted."""
        symbol, side = order.ticket.symbol, order.ticket.side
        if order.closes:
            found = self._leaving[order.row] is order
            if found:
                self._leaving[order.row] = None
            return found
        if self._entering.get(symbol) is order:
            del self._entering[symbol]
        if self._resting.get((symbol, side)) is order:
            del self._resting[symbol, side]
        working = self._working[order.row]
        if order not in working:
            return False
        working.remove(order)
        return True

    def _restate(self, row: int) -> None:
        bought = sold = 0
        for order in self._working[row]:
            if order.ticket.side > 0:
                bought += order.value
            else:
                sold += order.value
        leaves = self._leaving[row] is not None
        self._account.set_orders(row, bought, sold, leaving=leaves)

    def _under_way(self, row: int, side: int) -> tuple[float, int]:
        """Shares, and money units, of the side's orders that may be filled yet, one that closes the
        position included.
        """
        shares, value = 0.0, 0
        leaving = self._leaving[row]
        if leaving is not None and leaving.ticket.side == side:
            shares, middle = leaving.remaining, self._account.middles[row]
            value = 0 if np.isnan(middle) else self._account.value(row, middle, shares)
        for order in self._working[row]:
            if order.ticket.side == side:
                shares, value = shares + order.remaining, value + order.value
        return shares, value

    def _next_id(self, symbol: str, side: int) -> str:
        return f"{self._book}-{symbol}-{_SIDE_NAMES[side]}-{len(self.sent) + 1}"


def _later(now: datetime, at: int, release_at: int) -> datetime:
    """When an order leaves: at once, or when the risk engine releases it."""
    return now if release_at == 0 else now + timedelta(microseconds=release_at - at)


def _refusal(verdict: Verdict, equity: int) -> Refusal:
    name = REASON_NAMES[verdict.reason]
    return Refusal(
        name, f"{name} lets nothing of it through, with {equity / MONEY:.2f} in the account"
    )
