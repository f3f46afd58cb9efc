"""The order desk: every order leaves through here, and every word of the broker comes in through here.

Laws. The intent is in the ledger before the broker hears of it, and it is sent under its own client order id, so no crash and no repetition can make
two orders of one intent. Nothing leaves while the risk state forbids it: `gate` is the only door. A fact is first judged by the lifecycle, then
written down, then booked; facts are taken in the order in which they were told.

Restart. With an exchange in this process (`BarDriven`) the snapshot holds the exchange too, and everything after it simply happens again. A real
broker has gone on meanwhile: what we lived through with it comes back from the journal (session/event_replay.py).
"""

from collections import deque
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import msgspec

from harmony_pipeline.errors import BrokerContradiction, BrokerRejected, BrokerUnavailable
from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.brokers.base import BarDriven, Broker
from harmony_pipeline.execution.events import AnyOrderFact, CancelOrder, Event, OrderTerms, RiskState, SubmitOrder, micros
from harmony_pipeline.execution.lifecycle import Order, Status, apply, start
from harmony_pipeline.portfolio.kernel_types import CANCELED, REFUSED, ROLE_NAMES
from harmony_pipeline.session.clock import Clock
from harmony_pipeline.session.event_replay import OURS, REPEATED, Journal, about
from harmony_pipeline.session.freshness import stricter
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.ledger_rows import Execution
from harmony_pipeline.session.live_portfolio import Book, OrderRequest, money

_LEGS = ("stop", "take")


class Desk:
    """Orders of one session. One thread."""

    def __init__(self, session_id: str, ledger: Ledger, broker: Broker, book: Book, *, clock: Clock, stale_after: timedelta) -> None:
        self._session_id = session_id
        self._ledger = ledger
        self._broker = broker
        self._book = book
        self._clock = clock
        self._stale_after = stale_after
        self._in_process = isinstance(broker, BarDriven)
        self._inbox: deque[AnyOrderFact] = deque()
        self._hearing = False
        self.journal = Journal()
        self.moment: datetime | None = None  # end of the batch in hand: the only time that an exchange driven by bars knows
        self.orders: dict[str, Order] = {}  # those that may still trade, and those that ended since the last snapshot
        self.carried: dict[str, Order] = {}  # those that worked when the session opened, as they now stand
        self.waiting: list[str] = []  # written down, and kept back until another order is done
        self.cancel_again: list[str] = []  # asked to be canceled, without an answer
        self.fresh: RiskState = "ACTIVE"  # what streams and kill switch allow
        self.fresh_reason = ""
        self.closing = False  # flattening: nothing is entered any more
        self.differences: list[str] = []

    # --- risk state ---------------------------------------------------------------------------------------------------

    @property
    def risk_state(self) -> RiskState:
        """The strictest of what streams, books and broker allow."""
        halted = self.differences or not self._broker.is_streaming()
        return stricter(self.fresh, "REDUCING" if self.closing else "ACTIVE", "HALTED" if halted else "ACTIVE")

    def gate(self, role: str) -> str | None:
        """Why an order of that role may not leave now, or None."""
        state = self.risk_state
        if state == "HALTED":
            return f"halted: {self._why()}"
        if state == "REDUCING" and role == "entry":
            return "flatten" if self.closing else f"reducing: {self._why()}"
        return None

    def _why(self) -> str:
        if self.differences:
            return "the books are not reconciled"
        return "the order stream is down" if not self._broker.is_streaming() else self.fresh_reason

    def reconciled(self, differences: tuple[str, ...]) -> None:
        """Note a comparison of the books; any difference halts."""
        self.differences.extend(differences)
        now = self._now()
        self._ledger.record(self._session_id, f"reconciled:{micros(now)}", ev.BooksReconciled(happened_at=now, known_at=now, differences=differences), now, now)

    def _dispute(self, sentence: str) -> None:
        """The books are not reconciled: nothing new leaves until a person or a later comparison settles it."""
        if sentence not in self.differences:
            self.differences.append(sentence)
            now = self._now()
            fact = ev.BooksReconciled(happened_at=now, known_at=now, differences=(sentence,))
            self._ledger.record(self._session_id, f"dispute:{len(self.differences)}:{micros(now)}", fact, now, now)

    # --- sending ------------------------------------------------------------------------------------------------------

    def send(self, wishes: Iterable[OrderRequest]) -> None:
        """Carry out what the portfolio wants, one after the other; what the broker answers is heard after each."""
        queue = deque(wishes)
        while queue:
            wish = queue.popleft()
            if wish.terms is None or wish.kind == CANCELED:
                self._cancel_role(wish.symbol, wish.role, wish.reason)
            elif wish.kind == REFUSED:
                self._refuse(wish.terms, wish.terms.reason or "", book=False)
            elif wish.role == "stop" and queue and queue[0].role == "take" and queue[0].symbol == wish.symbol:
                self._place(wish.terms, queue.popleft().terms)
            else:
                self._place(wish.terms)
            self.hear()

    def _place(self, terms: OrderTerms, other: OrderTerms | None = None) -> None:
        """Write the intent down, then send it; both legs of a bracket at once."""
        both = [terms, other] if other else [terms]
        reason = self._refused_before(terms) if self.journal else self.gate(terms.role)
        if reason is not None:
            for each in both:
                self._refuse(each, reason, book=True)
            return
        now = self._now()
        with self._ledger.transaction():
            for each in both:
                fact = ev.OrderIntended(happened_at=each.decided_at, known_at=now, client_order_id=each.client_order_id, symbol=each.symbol, order=each)
                self.record(f"intent:{each.client_order_id}", fact, each.decided_at, now)
                self.orders[each.client_order_id] = start(fact)
                self._ledger.put_order(self._session_id, self.orders[each.client_order_id])
        if not self._in_process and self._blocked(terms):
            self.waiting.append(terms.client_order_id)
        else:
            self._submit(terms, other)

    def _refuse(self, terms: OrderTerms, reason: str, book: bool) -> None:
        """Record an order that our own limits stopped. `book`: the portfolio believes that it works and must be told."""
        now = self._now()
        named = msgspec.structs.replace(terms, reason=reason)
        fact = ev.OrderRefused(
            happened_at=terms.decided_at, known_at=now, client_order_id=terms.client_order_id, symbol=terms.symbol, order=named, reason=reason
        )
        before, after = Order(named), start(fact)
        with self._ledger.transaction():
            self.record(f"refused:{terms.client_order_id}", fact, terms.decided_at, now)
            self._ledger.put_order(self._session_id, after)
        if book:
            self.send(self._book.hear(fact, before, after))

    def _submit(self, terms: OrderTerms, other: OrderTerms | None = None) -> None:
        """Send an order whose intent is on disk."""
        both = [terms, other] if other else [terms]
        if self.journal:
            self._submitted_before(both)
            return
        now = self._now()
        reason = self.gate(terms.role)  # once more at the very door: it may have been kept back, or the books may have come into dispute since
        try:
            late = not self._in_process and now - terms.decided_at > self._stale_after  # decided before a crash or an outage
            if reason is None and late and self._broker.order(terms.client_order_id) is None:
                reason = "its moment has passed"
            if reason is not None:
                self._end_unsent(both, reason)
                return
            self._broker.submit(SubmitOrder(terms, other))
        except BrokerRejected as error:
            for each in both:
                self._take(ev.OrderRejected(**_head(each, now), reason=str(error)))
        except BrokerUnavailable as error:
            for each in both:
                self._ours(ev.OrderOutcomeUnknown(**_head(each, now), reason=str(error)))
        else:
            for each in both:
                self._ours(ev.OrderSubmitted(**_head(each, now)))

    def _end_unsent(self, both: list[OrderTerms], reason: str) -> None:
        for terms in both:
            self._take(ev.OrderCanceled(**_head(terms, self._now()), reason=reason))

    def _blocked(self, terms: OrderTerms) -> bool:
        """A real broker lets legs hold their shares until their cancel is confirmed, and knows nothing of reversals."""
        ahead = _LEGS if terms.role == "exit" else ("exit",) if terms.after_exit else ()
        return any(order.is_open and order.terms.symbol == terms.symbol and order.terms.role in ahead for order in self.orders.values())

    def _release(self) -> bool:
        """Send what was kept back and is free to go; end what has lost its purpose. Whether there was any."""
        released = False
        for name in list(self.waiting):
            order = self.orders[name]
            if order.is_open and self._blocked(order.terms):
                continue
            self.waiting.remove(name)
            if not order.is_open:
                continue
            released = True
            held = self._book.shares().get(order.terms.symbol, 0.0)
            if order.terms.role == "exit" and abs(held) < order.terms.quantity:
                self._end_unsent([order.terms], "the position was closed by its bracket first")
            elif order.terms.after_exit and held != 0.0:
                self._end_unsent([order.terms], "the old position could not be closed")
            else:
                self._submit(msgspec.structs.replace(order.terms, after_exit=False))  # what it waited for is done
        return released

    # --- canceling ----------------------------------------------------------------------------------------------------

    def cancel(self, order: Order, reason: str | None) -> None:
        """Take an order back; one that never left is simply ended."""
        if order.client_order_id in self.waiting:
            self.waiting.remove(order.client_order_id)
            self._end_unsent([order.terms], reason or "canceled before it was sent")
            return
        self._ours(ev.OrderCancelRequested(**_head(order.terms, self._now()), reason=reason))
        if not self.journal:
            self._ask_to_cancel(order, reason)

    def _ask_to_cancel(self, order: Order, reason: str | None) -> None:
        try:
            self._broker.cancel(CancelOrder(order.client_order_id, reason))
        except BrokerUnavailable:
            self.cancel_again.append(order.client_order_id)  # heard or not: `settle` asks again
        except BrokerRejected as error:
            self._take(ev.OrderCancelRejected(**_head(order.terms, self._now()), reason=str(error)))

    def _cancel_role(self, symbol: str, role: str, reason: str | None) -> None:
        for order in list(self.orders.values()):
            if order.is_open and order.terms.symbol == symbol and order.terms.role == role:
                self.cancel(order, reason)

    def cancel_all(self, reason: str) -> None:
        """Cancel every working order; positions whose bracket goes with it are closed at the next decision, today or in the next session."""
        for order in self.working():
            self.cancel(order, reason)
            if order.terms.role in _LEGS:
                self._book.distrust(self._book.index[order.terms.symbol])
        self.hear()

    # --- hearing ------------------------------------------------------------------------------------------------------

    def hear(self) -> None:
        """Take in everything that the broker has to say, in the order in which it says it; then send what that sets free."""
        if self._hearing:
            return  # what an answer to a fact brings about waits its turn
        self._hearing = True
        try:
            while True:
                self._inbox.extend(self.journal.news() if self.journal else self._broker.updates())
                if self._inbox:
                    self._take(self._inbox.popleft())
                elif not self._release():
                    return
        finally:
            self._hearing = False

    def _take(self, fact: AnyOrderFact) -> None:
        """Judge, write down, book: in this order."""
        before = self.orders.get(fact.client_order_id) or self._ledger.order(fact.client_order_id)
        if before is None:
            self._dispute(f"the broker reports order {fact.client_order_id} ({fact.symbol}), which was never placed here")
            return
        try:
            after = apply(before, fact)
        except BrokerContradiction as error:
            self._dispute(str(error))
            return
        if after is before:
            return
        with self._ledger.transaction():
            self._ledger.record(self._session_id, _key(fact), fact, fact.happened_at, fact.known_at)
            self._ledger.put_order(self._session_id, after)
            if isinstance(fact, ev.OrderPartiallyFilled):
                self._ledger.record_fill(self._session_id, _execution(fact, after))
        self.orders[fact.client_order_id] = after
        self.send(self._book.hear(fact, before, after))

    def _ours(self, fact: ev.OrderSubmitted | ev.OrderOutcomeUnknown | ev.OrderCancelRequested) -> None:
        """Write down what we did with an order."""
        after = apply(self.orders[fact.client_order_id], fact)
        with self._ledger.transaction():
            self.record(_key(fact), fact, fact.happened_at, fact.known_at)
            self._ledger.put_order(self._session_id, after)
        self.orders[fact.client_order_id] = after

    def record(self, key: str, event: Event, happened_at: datetime, known_at: datetime) -> None:
        """Write an event of our own, unless it was written before a restart."""
        if self.journal and isinstance(event, REPEATED):
            if self.journal.expects(event):
                return
            self._break_journal(event)
        self._ledger.record(self._session_id, key, event, happened_at, known_at)

    def settle(self) -> None:
        """Look up what is unclear, and ask again for what never arrived. Call it between moments."""
        for order in [order for order in self.orders.values() if order.status is Status.UNKNOWN and self.gate(order.terms.role) is None]:
            try:
                found = self._broker.order(order.client_order_id)
            except BrokerUnavailable:
                continue
            if found is None:
                self._submit(order.terms)
            else:
                self._ours(ev.OrderSubmitted(**_head(order.terms, self._now()), broker_order_id=found.broker_order_id))
        again, self.cancel_again = self.cancel_again, []
        for name in again:
            if name in self.orders and self.orders[name].is_open:
                self._ask_to_cancel(self.orders[name], None)
        self.hear()

    # --- restart ------------------------------------------------------------------------------------------------------

    def _refused_before(self, terms: OrderTerms) -> str | None:
        """Why the gate was closed for this order the first time, or None."""
        head = self.journal.about_order(terms.client_order_id)
        return head.reason if isinstance(head, ev.OrderRefused) else None

    def _submitted_before(self, both: list[OrderTerms]) -> None:
        """What the journal says about sending these orders; whatever it does not say is done now."""
        for number, terms in enumerate(both):
            if not self.journal:
                self._submit(terms, *both[number + 1 :])
                return
            head = self.journal.about_order(terms.client_order_id)
            if isinstance(head, ev.OrderSubmitted | ev.OrderOutcomeUnknown):
                self._ours(head)
            elif isinstance(head, ev.OrderRejected | ev.OrderCanceled):
                self.journal.drop()
                self._take(head)

    def _break_journal(self, event: Event) -> None:
        """This process decides differently than the one before it did: keep every order that it made, believe every fact, and stop trading."""
        rest = self.journal.abandon()
        self._dispute(
            f"after the restart '{ev.kind_of(event)}' of {about(event)} came where '{ev.kind_of(rest[0])}' of {about(rest[0])} had been: "
            "were bars or settings changed?"
        )
        for old in rest:
            if isinstance(old, ev.OrderIntended):
                self.orders.setdefault(old.client_order_id, start(old))
            elif isinstance(old, OURS[2:]) and old.client_order_id in self.orders:
                self.orders[old.client_order_id] = apply(self.orders[old.client_order_id], old)
            elif isinstance(old, ev.OrderFact) and not isinstance(old, OURS):
                self._take(old)
        for name, order in list(self.orders.items()):
            if order.status is Status.INTENDED and name not in self.waiting:  # perhaps sent: `settle` looks it up once trading goes on
                reason = "it is not known whether it was sent before the restart"
                self._ours(ev.OrderOutcomeUnknown(**_head(order.terms, self._now()), reason=reason))

    def forget_ended(self) -> None:
        """Drop orders that can never trade again; the ledger has them."""
        self.carried.update({name: self.orders[name] for name in self.carried if name in self.orders})
        self.orders = {name: order for name, order in self.orders.items() if order.is_open}

    def checkpoint(self) -> dict[str, Any]:
        """What a snapshot keeps of the desk."""
        kept = ("waiting", "cancel_again", "differences", "closing")
        orders = {"orders": self.orders, "carried": self.carried}
        return {name: getattr(self, name) for name in kept} | {name: [msgspec.to_builtins(order) for order in table.values()] for name, table in orders.items()}

    def restore(self, saved: dict[str, Any]) -> None:
        """The inverse of `checkpoint`."""
        for name in ("orders", "carried"):
            orders = [msgspec.convert(order, Order) for order in saved[name]]
            setattr(self, name, {order.client_order_id: order for order in orders})
        self.waiting, self.cancel_again, self.differences = list(saved["waiting"]), list(saved["cancel_again"]), list(saved["differences"])
        self.closing = bool(saved["closing"])

    def working(self) -> list[Order]:
        """Orders that may still trade, by symbol and role."""
        working = (order for order in self.orders.values() if order.is_open)
        return sorted(working, key=lambda order: (order.terms.symbol, ROLE_NAMES.index(order.terms.role)))

    def _now(self) -> datetime:
        return self.moment if self._in_process and self.moment is not None else self._clock.now()


def _head(terms: OrderTerms, now: datetime) -> dict[str, Any]:
    return {"happened_at": now, "known_at": now, "client_order_id": terms.client_order_id, "symbol": terms.symbol}


def _key(fact: AnyOrderFact) -> str:
    """Name of a fact within its session: the same fact told twice has the same."""
    if isinstance(fact, ev.OrderPartiallyFilled):
        return f"execution:{fact.execution_id}"
    return f"{ev.kind_of(fact)}:{fact.client_order_id}:{micros(fact.happened_at)}"


def _execution(fact: ev.OrderPartiallyFilled, order: Order) -> Execution:
    return Execution(
        execution_id=fact.execution_id,
        fill_id=f"{order.terms.order_id}-{len(order.executions)}",
        order_id=order.terms.order_id,
        client_order_id=fact.client_order_id,
        symbol=fact.symbol,
        timestamp=fact.happened_at,
        side=fact.side,
        quantity=fact.quantity,
        price=fact.price,
        reference_price=fact.price if fact.reference_price is None else fact.reference_price,
        fee=money(fact.fee),
        slippage=fact.slippage,
        liquidity=fact.liquidity,
    )
