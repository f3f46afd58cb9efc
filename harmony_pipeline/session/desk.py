"""The order desk: every order leaves through here and every word of the broker comes in through here.

Laws. The intent is in the ledger before the broker hears of it, and it is sent under its own client order id, so no crash and no repetition can make two orders of one
intent. Nothing leaves while the risk state forbids it: `gate` is the only door. A fact is first judged by the lifecycle, then written down, then booked.

Restart. With an exchange in this process (`BarDriven`) the snapshot holds the exchange too, and everything after it simply happens again; the ledger
takes no fact twice. A real broker has gone on meanwhile, so the events after the snapshot are the *journal*: they are handed out again at the very points at which they were
first met, what was sent is not sent again, and only when the journal is used up is the broker asked for more.
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
from harmony_pipeline.execution.records import CANCELED, REFUSED, ROLE_NAMES
from harmony_pipeline.session.book import Book, Wish, money
from harmony_pipeline.session.clock import Clock
from harmony_pipeline.session.freshness import stricter
from harmony_pipeline.session.ledger import Execution, Ledger

# What we write ourselves. Anything else in the journal came from the broker.
_OUR_FACTS = (ev.OrderIntended, ev.OrderRefused, ev.OrderSubmitted, ev.OrderOutcomeUnknown, ev.OrderCancelRequested)
_LEGS = ("stop", "take")


class Desk:
    """Orders of one session. One thread."""

    def __init__(self, session_id: str, ledger: Ledger, broker: Broker, book: Book, clock: Clock, stale_after: timedelta) -> None:
        self._session_id = session_id
        self._ledger = ledger
        self._broker = broker
        self._book = book
        self._clock = clock
        self._stale_after = stale_after
        self._in_process = isinstance(broker, BarDriven)
        self.moment: datetime | None = None  # end of the batch in hand: the only time that an exchange driven by bars knows
        self._journal: deque[tuple[int, Event]] = deque()
        self._inbox: deque[AnyOrderFact] = deque()
        self._hearing = False
        self.orders: dict[str, Order] = {}  # those that may still trade, and those of this session that ended since the last snapshot
        self.carried: dict[str, Order] = {}  # those that worked when the session opened, as they now stand
        self.waiting: list[str] = []  # written down, and kept back until another order is done
        self.fresh: RiskState = "ACTIVE"  # what the streams allow
        self.closing = False  # flattening: nothing is entered any more
        self.differences: list[str] = []

    # --- risk state -----------------------------------------------------------------------------------------------------

    @property
    def risk_state(self) -> RiskState:
        """The strictest of what streams, books and broker allow."""
        return stricter(self.fresh, "REDUCING" if self.closing else "ACTIVE", "HALTED" if self.differences or not self._broker.is_streaming() else "ACTIVE")

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
        return "the order stream is down" if not self._broker.is_streaming() else "data is stale"

    def _now(self) -> datetime:
        return self.moment if self._in_process and self.moment is not None else self._clock.now()

    # --- writing --------------------------------------------------------------------------------------------------------

    def record(self, key: str, event: Event, happened_at: datetime, known_at: datetime) -> bool:
        """Write an event of ours; False when it was there already."""
        if self._journal:
            if ev.kind_of(self._journal[0][1]) == ev.kind_of(event) and _name(self._journal[0][1]) == _name(event):
                self._journal.popleft()
                return False
            self._abandon_journal(event)
        return self._ledger.record(self._session_id, key, event, happened_at, known_at)

    def send(self, wishes: Iterable[Wish]) -> None:
        """Carry out what the portfolio wants, one after the other; what the broker answers is heard after each."""
        queue = deque(wishes)
        while queue:
            wish = queue.popleft()
            if wish.kind == CANCELED:
                self._cancel_role(wish.symbol, wish.role)
            elif wish.kind == REFUSED:
                assert wish.terms is not None
                self._refuse(wish.terms, wish.terms.reason or "", book=False)
            elif wish.role == "stop" and queue and queue[0].role == "take" and queue[0].symbol == wish.symbol:
                self._place(wish.terms, queue.popleft().terms)
            else:
                self._place(wish.terms)
            self.hear()

    def _refuse(self, terms: OrderTerms, reason: str, book: bool) -> None:
        """Record an order that our own limits stopped. `book`: the portfolio believes that it works and must be told."""
        now = self._now()
        named = msgspec.structs.replace(terms, reason=reason)
        fact = ev.OrderRefused(happened_at=terms.decided_at, known_at=now, client_order_id=terms.client_order_id, symbol=terms.symbol, order=named, reason=reason)
        before, after = Order(named), start(fact)
        with self._ledger.transaction():
            self.record(f"refused:{terms.client_order_id}", fact, terms.decided_at, now)
            self._ledger.put_order(self._session_id, after)
        if book:
            self.send(self._book.hear(fact, before, after))

    def _place(self, terms: OrderTerms | None, other: OrderTerms | None = None) -> None:
        assert terms is not None
        reason = self._refused_before(terms) if self._journal else self.gate(terms.role)
        both = [terms, other] if other else [terms]
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
            return
        self._submit(terms, other)

    def _blocked(self, terms: OrderTerms) -> bool:
        """A real broker lets legs hold their shares until their cancel is confirmed, and knows nothing of reversals."""
        ahead = _LEGS if terms.role == "exit" else ("exit",) if terms.after_exit else ()
        return any(order.is_open and order.terms.symbol == terms.symbol and order.terms.role in ahead for order in self.orders.values())

    def _submit(self, terms: OrderTerms, other: OrderTerms | None = None) -> None:
        """Send an order whose intent is on disk."""
        both = [terms, other] if other else [terms]
        if self._journal:
            self._submitted_before(both)
            return
        now = self._now()
        reason = self.gate(terms.role)  # once more at the very door: it may have been kept back, or the books may have come into dispute since
        if reason is not None:
            self._end_unsent(both, reason)
            return
        try:
            if not self._in_process and now - terms.decided_at > self._stale_after and self._broker.order(terms.client_order_id) is None:
                self._end_unsent(both, "its moment has passed")  # decided before a crash or an outage: too late to be what was meant
                return
            self._broker.submit(SubmitOrder(terms, other))
        except BrokerRejected as error:
            for each in both:
                self._take(ev.OrderRejected(**self._head(each, now), reason=str(error)))
            return
        except BrokerUnavailable as error:
            for each in both:
                self._ours(ev.OrderOutcomeUnknown(**self._head(each, now), reason=str(error)))
            return
        for each in both:
            self._ours(ev.OrderSubmitted(**self._head(each, now)))

    def _cancel_role(self, symbol: str, role: str) -> None:
        for order in list(self.orders.values()):
            if order.is_open and order.terms.symbol == symbol and order.terms.role == role:
                self.cancel(order, None)

    def cancel(self, order: Order, reason: str | None) -> None:
        """Take an order back; one that never left is simply ended."""
        if order.client_order_id in self.waiting:
            self.waiting.remove(order.client_order_id)
            self._end_unsent([order.terms], reason or "canceled before it was sent")
            return
        now = self._now()
        self._ours(ev.OrderCancelRequested(**self._head(order.terms, now), reason=reason))
        if self._journal:
            return
        try:
            self._broker.cancel(CancelOrder(order.client_order_id, reason))
        except BrokerUnavailable:
            return  # asked or not: `settle` sees it open and asks again
        except BrokerRejected as error:
            self._take(ev.OrderCancelRejected(**self._head(order.terms, now), reason=str(error)))

    def cancel_all(self, reason: str) -> None:
        """Cancel every working order; positions whose bracket goes with it are closed at the next decision, today or in the next session."""
        for order in list(self.orders.values()):
            if order.is_open:
                self.cancel(order, reason)
                if order.terms.role in _LEGS:
                    self._book.distrust(self._book.index[order.terms.symbol])
        self.hear()

    # --- hearing --------------------------------------------------------------------------------------------------------

    def hear(self) -> None:
        """Take in everything that the broker has to say, in the order in which it says it; then send what that sets free."""
        if self._hearing:
            return  # what an answer to a fact brings about waits its turn
        self._hearing = True
        try:
            while True:
                self._inbox.extend(self._facts())
                if self._inbox:
                    self._take(self._inbox.popleft())
                elif not self._release():
                    return
        finally:
            self._hearing = False

    def _facts(self) -> list[AnyOrderFact]:
        if not self._journal:
            return list(self._broker.updates())
        facts: list[AnyOrderFact] = []
        while self._journal and isinstance(self._journal[0][1], ev.OrderFact) and not isinstance(self._journal[0][1], _OUR_FACTS):
            facts.append(self._journal.popleft()[1])  # type: ignore[arg-type]
        return facts

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
        if fact.client_order_id in self.carried:
            self.carried[fact.client_order_id] = after
        self.send(self._book.hear(fact, before, after))

    def _ours(self, fact: ev.OrderSubmitted | ev.OrderOutcomeUnknown | ev.OrderCancelRequested) -> None:
        after = apply(self.orders[fact.client_order_id], fact)
        with self._ledger.transaction():
            self.record(_key(fact), fact, fact.happened_at, fact.known_at)
            self._ledger.put_order(self._session_id, after)
        self.orders[fact.client_order_id] = after

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

    def _end_unsent(self, both: list[OrderTerms], reason: str) -> None:
        for terms in both:
            self._take(ev.OrderCanceled(**self._head(terms, self._now()), reason=reason))

    def settle(self) -> None:
        """Look up orders whose outcome is unknown, and send those again that never arrived. Call it between moments."""
        for order in [order for order in self.orders.values() if order.status is Status.UNKNOWN]:
            if self.gate(order.terms.role) is not None:
                continue
            try:
                found = self._broker.order(order.client_order_id)
            except BrokerUnavailable:
                continue
            if found is None:
                self._submit(order.terms)
            else:
                self._ours(ev.OrderSubmitted(**self._head(order.terms, self._now()), broker_order_id=found.broker_order_id))
        self.hear()

    def _dispute(self, sentence: str) -> None:
        """The books are not reconciled: nothing new leaves until a person or a later comparison settles it."""
        if sentence not in self.differences:
            self.differences.append(sentence)
            now = self._now()
            self._ledger.record(self._session_id, f"dispute:{len(self.differences)}:{micros(now)}", ev.BooksReconciled(happened_at=now, known_at=now, differences=(sentence,)), now, now)

    # --- restart --------------------------------------------------------------------------------------------------------

    def replay(self, journal: Iterable[tuple[int, Event]]) -> None:
        """Events after the snapshot: handed out again before the broker is asked. Not for an exchange in this process."""
        self._journal = deque((number, event) for number, event in journal if not isinstance(event, ev.BooksReconciled))

    def _refused_before(self, terms: OrderTerms) -> str | None:
        """Why the gate was closed for this order the first time, or None."""
        head = self._journal[0][1]
        return head.reason if isinstance(head, ev.OrderRefused) and head.client_order_id == terms.client_order_id else None

    def _submitted_before(self, both: list[OrderTerms]) -> None:
        """What the journal says about sending these orders; whatever it does not say is done now."""
        for terms in both:
            head = self._journal[0][1] if self._journal else None
            if isinstance(head, ev.OrderSubmitted | ev.OrderOutcomeUnknown) and head.client_order_id == terms.client_order_id:
                self._ours(head)
            elif isinstance(head, ev.OrderRejected | ev.OrderCanceled) and head.client_order_id == terms.client_order_id:
                self._journal.popleft()
                self._take(head)
            elif head is None:
                self._submit(terms, both[1] if terms is both[0] and len(both) > 1 else None)
                return

    def _abandon_journal(self, event: Event) -> None:
        """This process decides differently than the one before it did: keep every order that it made, believe every fact, and stop trading."""
        rest, self._journal = list(self._journal), deque()
        self._dispute(f"after the restart '{ev.kind_of(event)}' of {_name(event)} came where '{ev.kind_of(rest[0][1])}' of {_name(rest[0][1])} had been: were bars or settings changed?")
        for _, old in rest:
            if isinstance(old, ev.OrderIntended):
                self.orders.setdefault(old.client_order_id, start(old))
            elif isinstance(old, _OUR_FACTS[2:]) and old.client_order_id in self.orders:
                self.orders[old.client_order_id] = apply(self.orders[old.client_order_id], old)
            elif isinstance(old, ev.OrderFact) and not isinstance(old, ev.OrderRefused):
                self._take(old)  # type: ignore[arg-type]
        for name, order in list(self.orders.items()):
            if order.status is Status.INTENDED and name not in self.waiting:  # perhaps sent: `settle` looks it up once trading goes on
                self._ours(ev.OrderOutcomeUnknown(**self._head(order.terms, self._now()), reason="it is not known whether it was sent before the restart"))

    def forget_ended(self) -> None:
        """Drop orders that can never trade again; the ledger has them."""
        self.carried.update({name: self.orders[name] for name in self.carried if name in self.orders})
        self.orders = {name: order for name, order in self.orders.items() if order.is_open}

    def checkpoint(self) -> dict[str, Any]:
        """What a snapshot keeps of the desk."""
        return {
            "orders": [msgspec.to_builtins(order) for order in self.orders.values() if order.is_open],
            "carried": [msgspec.to_builtins(order) for order in self.carried.values()],
            "waiting": list(self.waiting),
            "differences": list(self.differences),
            "closing": self.closing,
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """The inverse of `checkpoint`."""
        orders = [msgspec.convert(order, Order) for order in saved["orders"]]
        self.orders = {order.client_order_id: order for order in orders}
        self.carried = {order.client_order_id: order for order in (msgspec.convert(order, Order) for order in saved["carried"])}
        self.waiting, self.differences, self.closing = list(saved["waiting"]), list(saved["differences"]), bool(saved["closing"])

    def working(self) -> list[Order]:
        """Orders that may still trade, by symbol and role."""
        return sorted((order for order in self.orders.values() if order.is_open), key=lambda order: (order.terms.symbol, ROLE_NAMES.index(order.terms.role)))

    def _head(self, terms: OrderTerms, now: datetime) -> dict[str, Any]:
        return {"happened_at": now, "known_at": now, "client_order_id": terms.client_order_id, "symbol": terms.symbol}


def _key(fact: AnyOrderFact) -> str:
    """Name of a fact within its session: the same fact told twice has the same."""
    if isinstance(fact, ev.OrderPartiallyFilled):
        return f"execution:{fact.execution_id}"
    return f"{ev.kind_of(fact)}:{fact.client_order_id}:{micros(fact.happened_at)}"


def _name(event: Event) -> str:
    """What an event is about, for comparison with the journal."""
    about = getattr(event, "client_order_id", None)
    return str(about) if about is not None else f"moment {getattr(event, 'happened_at', '')}"


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
