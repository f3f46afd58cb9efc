"""The order manager of one session: a state machine without I/O.

`step(event, now)` takes one event and returns the actions that follow, in the order in which they
are to be performed. `session/order_gateway.py` performs them and hands each answer back as the next
event. After a crash the same `step` is fed from the ledger (`session/event_replay.py`).

- An order leaves only after `IntentsKept` confirmed that its intent is on disk, under its own
  client order id: no crash and no repetition makes two orders of one intent.
- The gate (`session/order_gate.py`) decides whether an order may leave. It is asked when the order
  is decided, and again when it is sent, because it may have waited, or the books may have come into
  dispute since.
- An order waits for those that stand in its way at the broker (`session/crossing_orders.py`), one
  for a closing auction for its day and hours (`session/closing_orders.py`).
- A position whose bracket ended without a fill is closed (`session/bracket_orders.py`).
- A broker's fact passes `execution/lifecycle.py` before it changes anything. A fact that the
  lifecycle does not allow is a dispute, and a dispute halts the session.
- A fact is booked at once, in memory, and its `Write` is the first action of its step: nothing that
  follows from it leaves before it is on disk.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from harmony_pipeline.errors import BrokerContradiction
from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.closing_auction import Answer, ClosingAuction
from harmony_pipeline.execution.events import AnyOrderFact, CancelOrder, OrderTerms, SubmitOrder
from harmony_pipeline.execution.lifecycle import Order, Status, apply, start
from harmony_pipeline.instants import micros
from harmony_pipeline.portfolio.kernel_types import CANCELED, REFUSED, ROLE_NAMES
from harmony_pipeline.session.bracket_orders import (
    Consequence,
    is_leg,
    legs_of,
    of_canceled_leg,
)
from harmony_pipeline.session.closing_orders import ClosingOrders
from harmony_pipeline.session.crossing_orders import (
    crossing_orders,
    is_blocked,
    waits_here,
)
from harmony_pipeline.session.event_replay import OWN_FACTS
from harmony_pipeline.session.ledger_rows import execution_of
from harmony_pipeline.session.live_portfolio import LivePortfolio
from harmony_pipeline.session.order_events import (
    Action,
    BooksCompared,
    Cancel,
    CancelAll,
    CancelOne,
    CancelUnanswered,
    CashDoubted,
    Entry,
    Flattening,
    IntentsKept,
    JournalBroken,
    LookUp,
    NewsEnded,
    OrderEvent,
    OrderLookedUp,
    OrderReported,
    Restarted,
    SettleDue,
    StrategyEnded,
    StreamsJudged,
    Submit,
    SymbolHalted,
    Write,
    fact_head,
)
from harmony_pipeline.session.order_gate import OrderGate
from harmony_pipeline.session.order_requests import OrderRequest
from harmony_pipeline.session.past_orders import PastOrders
from harmony_pipeline.session.single_stops import kept_here, take_of


class OrderManager:
    """Orders of one session. `in_process`: the exchange lives in this process and is driven by
    bars. `takes_brackets` False: of a bracket the stop leaves alone (`session/single_stops.py`).
    `auction`: of the session's day; None: no order for a closing auction leaves.
    """

    def __init__(
        self,
        portfolio: LivePortfolio,
        *,
        in_process: bool,
        stale_after: timedelta,
        takes_brackets: bool = True,
        auction: ClosingAuction | None = None,
    ) -> None:
        self._closing = ClosingOrders(auction, portfolio)
        self._takes_brackets = takes_brackets
        self._portfolio = portfolio
        self._in_process = in_process
        self._stale_after = stale_after
        self.orders: dict[str, Order] = {}  # open, or ended since the last snapshot
        self.carried: dict[str, Order] = {}  # worked when the session opened, as they now stand
        self.waiting: list[str] = []  # on disk, and kept back until another order is done
        self.cancel_again: list[str] = []  # asked to be canceled, without an answer
        self.gate = OrderGate()
        self._unconfirmed: set[str] = set()  # their intents are not known to be on disk
        self._late: dict[str, tuple[OrderTerms, ...]] = {}  # looked up before they are sent
        self._past = PastOrders()
        self._now = datetime.max.replace(tzinfo=UTC)
        self._is_streaming = True
        self._actions: list[Action] = []

    def step(self, event: OrderEvent, now: datetime, is_streaming: bool = True) -> list[Action]:
        """Take one event; return what is to be done, in order."""
        self._now, self._is_streaming, self._actions = now, is_streaming, []
        match event:
            case OrderRequest():
                self._request(event)
            case IntentsKept(orders):
                self._send_or_wait(orders)
            case OrderReported(fact, known):
                self._take(fact, known)
            case OrderLookedUp():
                self._resolve(event)
            case CancelUnanswered(name):
                self.cancel_again.append(name)
            case NewsEnded():
                self._release()
            case SettleDue():
                self._settle()
            case CancelAll(reason):
                self._cancel_all(reason)
            case StrategyEnded(strategy, reason):
                self._end_strategy(strategy, reason)
            case CancelOne(name, reason):
                if name in self.orders and self.orders[name].is_open:
                    self._cancel(self.orders[name], reason)
            case _:
                self._note(event)
        return self._actions

    def _note(
        self,
        event: StreamsJudged
        | Flattening
        | BooksCompared
        | Restarted
        | JournalBroken
        | SymbolHalted
        | CashDoubted,
    ) -> None:
        """Take an event that is about no single order."""
        match event:
            case StreamsJudged(state, reason):
                self.gate.streams, self.gate.streams_reason = state, reason
            case Flattening(on):
                self.gate.closing = on
            case BooksCompared(differences):
                self.gate.differences.extend(differences)
                self._write_differences(f"reconciled:{micros(self._now)}", differences)
            case Restarted(past):
                self._past.remember(past)
            case JournalBroken():
                self._believe(event)
            case SymbolHalted(symbol, reason):
                self.gate.halted_symbols.setdefault(symbol, reason)
            case CashDoubted(doubted):
                self.gate.cash_doubted = doubted

    # --- the gate ---------------------------------------------------------------------------------

    def _gate(self, terms: OrderTerms) -> str | None:
        return self.gate.refusal(terms.role, terms.symbol, terms.strategy, self._is_streaming)

    def _dispute(self, sentence: str) -> None:
        """Halt until a person or a later comparison settles the books."""
        differences = self.gate.differences
        if sentence not in differences:
            differences.append(sentence)
            self._write_differences(f"dispute:{len(differences)}:{micros(self._now)}", (sentence,))

    def _write_differences(self, key: str, differences: tuple[str, ...]) -> None:
        now = self._now
        fact = ev.BooksReconciled(happened_at=now, known_at=now, differences=differences)
        self._actions.append(Write((Entry(key, fact, now, now),)))

    # --- requests of the portfolio ----------------------------------------------------------------

    def _request(self, request: OrderRequest) -> None:
        if request.terms is None or request.kind == CANCELED:
            for order in list(self.orders.values()):
                if order.is_open and (order.terms.slot, order.terms.role) == (
                    request.slot,
                    request.role,
                ):
                    self._cancel(order, request.reason)
        elif request.kind == REFUSED:
            self._refuse(request.terms, request.terms.reason or "", tell=False)
        else:
            self._intend((request.terms, request.other) if request.other else (request.terms,))

    def _intend(self, both: tuple[OrderTerms, ...]) -> None:
        """Write the intent, both legs of a bracket at once; `IntentsKept` lets it go on."""
        reason = self._verdict(both[0])
        if reason is not None:
            for terms in both:
                self._refuse(terms, reason, tell=True)
            return
        entries = []
        for terms in both:
            name, decided = terms.client_order_id, terms.decided_at
            fact = ev.OrderIntended(
                happened_at=decided,
                known_at=self._now,
                client_order_id=name,
                symbol=terms.symbol,
                order=terms,
            )
            self.orders[name] = start(fact)
            self._unconfirmed.add(name)
            entries.append(Entry(f"intent:{name}", fact, decided, self._now, self.orders[name]))
        self._actions.append(Write(tuple(entries), both))

    def _verdict(self, terms: OrderTerms) -> str | None:
        """Why the order is refused: as the gate said before a restart, else as it says now."""
        name = terms.client_order_id
        refused = self._past.refusal(name)
        if refused is not None or self._past.was_intended(name):
            return refused
        return self._gate(terms)

    def _refuse(self, terms: OrderTerms, reason: str, tell: bool) -> None:
        """Write an order that our own limits stopped. `tell`: the portfolio counts on it."""
        named = msgspec.structs.replace(terms, reason=reason)
        name, decided = terms.client_order_id, terms.decided_at
        fact = ev.OrderRefused(
            happened_at=decided,
            known_at=self._now,
            client_order_id=name,
            symbol=terms.symbol,
            order=named,
            reason=reason,
        )
        after = start(fact)
        self._actions.append(Write((Entry(f"refused:{name}", fact, decided, self._now, after),)))
        if tell:
            self._answer(fact, Order(named), after)

    # --- sending ----------------------------------------------------------------------------------

    def _send_or_wait(self, both: tuple[OrderTerms, ...]) -> None:
        self._unconfirmed -= {terms.client_order_id for terms in both}
        if not self._takes_brackets:
            kept = kept_here(both)
            self.waiting.extend(terms.client_order_id for terms in kept)
            both = tuple(terms for terms in both if terms not in kept)
        if not self._in_process and self._is_blocked(both[0]):
            self.waiting.append(both[0].client_order_id)
            self._clear_way(both[0])
        else:
            self._send(both)

    def _send(self, both: tuple[OrderTerms, ...]) -> None:
        """Send orders whose intents are on disk, unless they may not leave any more."""
        answered = self._past.answered(both)
        if answered:  # the journal has the answer, and the gateway takes it from there
            self._submit(answered)
            both = tuple(terms for terms in both if terms not in answered)
        if not both:
            return
        reason, hour = self._gate(both[0]), self._hour_of(both[0])
        if reason is not None:
            self._end_unsent(both, reason)
        elif hour == "late":
            # Decided before a crash or an outage: sent only if the broker has it already.
            self._late[both[0].client_order_id] = both
            self._actions.append(LookUp(both[0].client_order_id))
        elif hour == "early":
            self.waiting.append(both[0].client_order_id)
        else:
            self._submit(both)

    def _submit(self, both: Iterable[OrderTerms]) -> None:
        self._actions.append(Submit(SubmitOrder(*both)))

    def _end_unsent(self, both: Iterable[OrderTerms], reason: str) -> None:
        for terms in both:
            self._take(ev.OrderCanceled(**fact_head(terms, self._now), reason=reason))

    def _hour_of(self, terms: OrderTerms) -> Answer:
        """Whether an order's moment has not come, is there, or has passed."""
        if self._in_process:
            return "open"
        if terms.is_at_close:
            return self._closing.answer(terms, self._now)
        is_late = self._now - self._portfolio.day.leaves_at(terms) > self._stale_after
        return "late" if is_late else "open"

    def _is_blocked(self, terms: OrderTerms) -> bool:
        if not self._takes_brackets and kept_here((terms,)):
            return True
        if terms.is_at_close and not self._past.has_answer(terms.client_order_id):
            answer = self._closing.answer(terms, self._now)
            if answer == "late":
                return False  # nothing that it waits for can help it
            if answer == "early" or not self._is_streaming:
                return True
        return is_blocked(terms, self.orders.values(), self.waiting, self._now)

    def _clear_way(self, terms: OrderTerms) -> None:
        """Take back the entries that an exit waits for."""
        if terms.role == "exit":
            for order in crossing_orders(terms, self.orders.values(), self.waiting):
                if order.status is not Status.CANCEL_REQUESTED:
                    self._cancel(order, f"an exit of {terms.strategy} would cross it")

    def _release(self) -> None:
        """Send what waited and is free to go; end what has lost its purpose."""
        for name in list(self.waiting):
            order = self.orders[name]
            if order.is_open and self._is_blocked(order.terms):
                continue
            self.waiting.remove(name)
            if not order.is_open:
                continue
            held = self._portfolio.held_in(order.terms.slot)
            if order.terms.role == "exit" and abs(held) < order.terms.quantity:
                self._end_unsent([order.terms], "the position was closed by its bracket first")
            elif order.terms.after_exit and held != 0.0:
                self._end_unsent([order.terms], "the old position could not be closed")
            else:  # what it waited for is done
                self._send_waited(order)

    def _send_waited(self, order: Order) -> None:
        """Send what has waited; what waited for its day, in the shares of that day."""
        terms, quantity = order.terms, order.quantity
        if terms.is_at_close:
            reason = self._closing.refusal(terms)
            if reason is not None:
                self._end_unsent([terms], reason)
                return
            if order.adjusted_quantity is None:
                quantity = self._portfolio.in_shares_of_today(terms)
            if quantity != order.quantity:
                self._take(ev.OrderAdjusted(**fact_head(terms, self._now), quantity=quantity))
        self._send((msgspec.structs.replace(terms, after_exit=False, quantity=quantity),))

    def _settle(self) -> None:
        for order in self.orders.values():
            if order.status is Status.UNKNOWN and self._gate(order.terms) is None:
                self._actions.append(LookUp(order.client_order_id))
        again, self.cancel_again = self.cancel_again, []
        for name in again:
            if name in self.orders and self.orders[name].is_open:
                self._actions.append(Cancel(CancelOrder(name), repeated=True))

    def _resolve(self, answer: OrderLookedUp) -> None:
        """Go on with an order that was looked up because it is late, or because its outcome is
        unknown.
        """
        name = answer.client_order_id
        late = self._late.pop(name, None)
        terms = self.orders[name].terms
        if late is not None and answer.error is not None:
            for each in late:
                self._take(
                    ev.OrderOutcomeUnknown(**fact_head(each, self._now), reason=answer.error)
                )
        elif late is not None and answer.found is None:
            self._decide_late(late)
        elif late is not None:  # the broker has it: it is not sent again
            for each in late:
                self._take(ev.OrderSubmitted(**fact_head(each, self._now)))
        elif answer.error is not None:
            return
        elif answer.found is None:  # in today's shares, as it was sent
            self._send((msgspec.structs.replace(terms, quantity=self.orders[name].quantity),))
        else:
            head = fact_head(terms, self._now)
            self._take(ev.OrderSubmitted(**head, broker_order_id=answer.found.broker_order_id))

    def _decide_late(self, both: tuple[OrderTerms, ...]) -> None:
        """An order that never left and is late. What protects a position has no moment: an entry
        may have filled long after it was decided.
        """
        is_needed = is_leg(both[0]) and self._portfolio.is_protected_by(both[0])
        reason = self._gate(both[0]) if is_needed else "its moment has passed"
        if both[0].is_at_close:
            reason = self._closing.too_late(both[0])
        if reason is None:
            self._submit(both)
        else:
            self._end_unsent(both, reason)

    # --- canceling --------------------------------------------------------------------------------

    def _cancel(self, order: Order, reason: str | None) -> None:
        """Take an order back; one that never left is ended."""
        if order.client_order_id in self.waiting:
            self.waiting.remove(order.client_order_id)
            self._end_unsent([order.terms], reason or "canceled before it was sent")
            return
        self._take(ev.OrderCancelRequested(**fact_head(order.terms, self._now), reason=reason))
        self._actions.append(Cancel(CancelOrder(order.client_order_id, reason)))

    def _end_strategy(self, strategy: str, reason: str) -> None:
        self.gate.ended_strategies.setdefault(strategy, reason)
        for order in self.working():
            if (order.terms.strategy, order.terms.role) == (strategy, "entry"):
                self._cancel(order, f"{strategy} is stopped: {reason}")

    def _cancel_all(self, reason: str) -> None:
        """Positions whose bracket is taken away are closed at the next decision, today or in the
        next session.
        """
        for order in self.working():
            self._cancel(order, reason)
            if is_leg(order.terms):
                self._portfolio.distrust(order.terms.slot)

    # --- facts ------------------------------------------------------------------------------------

    def _take(self, fact: AnyOrderFact, known: Order | None = None) -> None:
        """Check a fact against the order's lifecycle, ask for its `Write`, and book it; what the
        portfolio wants then comes after that `Write`.
        """
        name = fact.client_order_id
        before = self.orders.get(name) or known
        if before is None:
            self._dispute(
                f"the broker reports order {name} ({fact.symbol}), which was never placed here"
            )
            return
        try:
            after = apply(before, fact)
        except BrokerContradiction as error:
            self._dispute(str(error))
            return
        if after is before:
            return
        execution = execution_of(fact, after) if isinstance(fact, ev.OrderPartiallyFilled) else None
        entry = Entry(_key(fact), fact, fact.happened_at, fact.known_at, after, execution)
        self._actions.append(Write((entry,)))
        self.orders[name] = after
        if name in self.waiting and after.is_open and after.status is not Status.INTENDED:
            self.waiting.remove(name)  # a process that died had sent it
        self._answer(fact, before, after)
        protects = is_leg(after.terms) and after.terms.symbol not in self._portfolio.in_transit
        if isinstance(fact, ev.OrderCanceled) and protects:
            self._leg_canceled(fact, before)
        if not self._takes_brackets and after.terms.role == "stop" and not after.is_open:
            self._end_kept_take(after.terms)

    def _end_kept_take(self, stop: OrderTerms) -> None:
        """A take-profit that is kept here ends with its stop."""
        take = take_of(stop, [self.orders[name] for name in self.waiting if name in self.orders])
        if take is not None:
            self._cancel(take, "its stop has ended")

    def _leg_canceled(self, fact: ev.OrderCanceled, before: Order) -> None:
        consequence = of_canceled_leg(
            fact, before, self.orders.values(), self._portfolio, self._past.canceled
        )
        if consequence is Consequence.NONE:
            return
        self._portfolio.distrust(before.terms.slot)
        if consequence is Consequence.CLOSE_AND_CANCEL:
            for order in legs_of(before.terms.slot, self.working()):
                self._cancel(order, "the other leg of its bracket ended at the broker")

    def _answer(self, fact: AnyOrderFact, before: Order, after: Order) -> None:
        requests = self._portfolio.apply_fact(
            fact, before, after, self._closing.auction, is_outside=not self._in_process
        )
        for request in requests:
            self._request(request)

    # --- restart ----------------------------------------------------------------------------------

    def _believe(self, broken: JournalBroken) -> None:
        """Keep every order that was made, believe every fact, and stop trading."""
        self._past.forget()
        self._dispute(broken.sentence)
        for old in broken.rest:
            if isinstance(old, ev.OrderIntended):
                self.orders.setdefault(old.client_order_id, start(old))
            elif isinstance(old, OWN_FACTS[2:]) and old.client_order_id in self.orders:
                self.orders[old.client_order_id] = apply(self.orders[old.client_order_id], old)
            elif isinstance(old, ev.OrderFact) and not isinstance(old, OWN_FACTS):
                self._take(old)
        for name, order in list(self.orders.items()):
            # Perhaps sent: it is looked up once trading goes on.
            if order.status is Status.INTENDED and name not in {*self.waiting, *self._unconfirmed}:
                reason = "it is not known whether it was sent before the restart"
                self._take(
                    ev.OrderOutcomeUnknown(**fact_head(order.terms, self._now), reason=reason)
                )

    # --- what is kept -----------------------------------------------------------------------------

    def adopt(self, orders: Iterable[Order]) -> None:
        """Take over orders that worked before the session began."""
        for order in orders:
            name = order.client_order_id
            self.orders[name] = self.carried[name] = order
            is_kept = not self._takes_brackets and bool(kept_here((order.terms,)))
            if is_kept or (not self._in_process and waits_here(order)):
                self.waiting.append(name)

    def working(self) -> list[Order]:
        """Orders that may still trade, by symbol and role."""
        working = (order for order in self.orders.values() if order.is_open)
        return sorted(
            working, key=lambda order: (order.terms.slot, ROLE_NAMES.index(order.terms.role))
        )

    def forget_ended(self) -> None:
        """Drop orders that can never trade again; the ledger has them."""
        self.carried.update(
            {name: self.orders[name] for name in self.carried if name in self.orders}
        )
        self.orders = {name: order for name, order in self.orders.items() if order.is_open}

    def checkpoint(self) -> dict[str, Any]:
        """What a snapshot keeps."""
        return {
            "orders": [msgspec.to_builtins(order) for order in self.orders.values()],
            "carried": [msgspec.to_builtins(order) for order in self.carried.values()],
            "waiting": list(self.waiting),
            "cancel_again": list(self.cancel_again),
            **self.gate.checkpoint(),
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """The inverse of `checkpoint`."""
        self.orders = {
            order.client_order_id: order for order in msgspec.convert(saved["orders"], list[Order])
        }
        self.carried = {
            order.client_order_id: order for order in msgspec.convert(saved["carried"], list[Order])
        }
        self.waiting, self.cancel_again = list(saved["waiting"]), list(saved["cancel_again"])
        self.gate.restore(saved)


def _key(fact: AnyOrderFact) -> str:
    """Name of a fact within its session: the same fact reported twice has the same."""
    if isinstance(fact, ev.OrderPartiallyFilled):
        return f"execution:{fact.execution_id}"
    return f"{ev.kind_of(fact)}:{fact.client_order_id}:{micros(fact.happened_at)}"
