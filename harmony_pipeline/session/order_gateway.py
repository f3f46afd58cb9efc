"""Performs the actions of the order manager, in order: what the manager took in is written, then
what follows from it goes to the broker.

The manager books a fact in memory before it is written here. Nobody sees the books in between:
snapshots and Redis have them as they stand after a moment. A write that fails ends the process, and
the books in memory with it; the next process hears the fact from the broker again.

Every answer goes back into the manager as its next event before the next action is performed. While
the journal of an interrupted session lasts, answers come from it instead: nothing is written or
sent that the process before this one wrote or sent (`session/event_replay.py`).
"""

from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime

from harmony_pipeline.errors import BrokerRejected, BrokerUnavailable
from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.brokers.base import BarDriven, Broker, CountsRequests
from harmony_pipeline.execution.events import (
    AnyOrderFact,
    Event,
    OrderTerms,
    RiskState,
    SessionFact,
)
from harmony_pipeline.execution.lifecycle import Order
from harmony_pipeline.session.clock import Clock
from harmony_pipeline.session.event_replay import REPEATED, Journal, subject
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.order_events import (
    Action,
    Cancel,
    CancelAll,
    CancelOne,
    CancelUnanswered,
    Entry,
    IntentsKept,
    JournalBroken,
    LookUp,
    NewsEnded,
    OrderEvent,
    OrderLookedUp,
    OrderReported,
    Restarted,
    SettleDue,
    Submit,
    Write,
    fact_head,
)
from harmony_pipeline.session.order_manager import OrderManager
from harmony_pipeline.session.order_requests import OrderRequest
from harmony_pipeline.session.telemetry import OFF, Span, Telemetry


class OrderGateway:
    """The one place where orders leave a session and where the broker's news comes in. One
    thread.
    """

    def __init__(
        self,
        session_id: str,
        ledger: Ledger,
        broker: Broker,
        manager: OrderManager,
        clock: Clock,
        telemetry: Telemetry = OFF,
    ) -> None:
        self._session_id = session_id
        self._ledger = ledger
        self._broker = broker
        self._clock = clock
        self._telemetry = telemetry
        self._sent = broker.requests_sent if isinstance(broker, CountsRequests) else None
        self._in_process = isinstance(broker, BarDriven)
        self._journal = Journal()
        self._news: deque[AnyOrderFact] = deque()
        self.manager = manager
        self.executions = 0  # that this process has taken into the ledger
        # end of the batch in hand: the time of an exchange driven by bars
        self.moment: datetime | None = None

    @property
    def risk_state(self) -> RiskState:
        """What may leave now."""
        return self.manager.gate.risk_state(self._broker.is_streaming())

    @property
    def journal_left(self) -> int:
        """How many events of the process before this one were not met again yet."""
        return len(self._journal.events)

    @property
    def journal_head(self) -> Event | None:
        """The next of them."""
        events = self._journal.events
        return events[0] if events else None

    def recover(self, past: Iterable[Event], also: tuple[type[Event], ...] = ()) -> None:
        """Continue a session whose process ended after it had written these events; `also`: see
        `Journal`.
        """
        self._journal = Journal(past, also)
        # before anything is decided again: a broker whose news is unread keeps its gate closed
        self._hear()
        self.handle(Restarted(self._journal.events))
        self.receive_reports()

    def send(self, requests: Iterable[OrderRequest]) -> None:
        """Carry out what the portfolio decided; what the broker answers is heard after each
        request.
        """
        for request in requests:
            self.handle(request)
            self.receive_reports()

    def settle(self) -> None:
        """Look up what is unclear and repeat what had no answer. Call it between moments."""
        self.handle(SettleDue())
        self.receive_reports()

    def cancel(self, order: Order, reason: str) -> None:
        """Cancel one working order."""
        self.handle(CancelOne(order.client_order_id, reason))
        self.receive_reports()

    def cancel_all(self, reason: str) -> None:
        """Cancel every working order."""
        self.handle(CancelAll(reason))
        self.receive_reports()

    def receive_reports(self) -> None:
        """Take in all that the broker reports, in its order; then send what that sets free."""
        while True:
            if not self._journal:
                self._hear()
            fact = self._journal.report()
            if fact is None and self._news and not self._journal:
                fact = self._news.popleft()
            if fact is not None:
                known = (
                    None
                    if fact.client_order_id in self.manager.orders
                    else self._ledger.order(fact.client_order_id)
                )
                self.handle(OrderReported(fact, known))
                self._journal.skip(fact)
            elif not self.handle(NewsEnded()):
                return

    def _hear(self) -> None:
        with self._telemetry.updates(self._sent):
            self._news.extend(self._broker.updates())

    def handle(self, event: OrderEvent) -> bool:
        """Step the manager and perform its actions, each answer before the next action. Whether
        there were any.
        """
        actions = self.manager.step(event, self.now(), self._broker.is_streaming())
        for action in actions:
            for answer in self._perform(action):
                self.handle(answer)
        return bool(actions)

    def record(self, key: str, fact: SessionFact, known_at: datetime) -> None:
        """Write a fact of the session that is about no single order."""
        self._write(Entry(key, fact, fact.happened_at, known_at))

    def asking(self, kind: str, orders: Sequence[OrderTerms] = ()) -> Span:
        """The span of one request to the broker, which is made inside; see `Telemetry.request`."""
        return self._telemetry.request(kind, self._sent, orders)

    def now(self) -> datetime:
        """The present, as the exchange knows it."""
        return self.moment if self._in_process and self.moment is not None else self._clock.now()

    # --- actions ----------------------------------------------------------------------------------

    def _perform(self, action: Action) -> list[OrderEvent]:
        match action:
            case Write(entries, intents):
                with self._ledger.transaction():
                    for entry in entries:
                        self._write(entry)
                return [IntentsKept(intents)] if intents else []
            case Submit():
                facts = (
                    self._journal.answers(action.orders) if self._journal else self._submit(action)
                )
                return [OrderReported(fact) for fact in facts]
            case Cancel():
                return [] if self._journal and not action.repeated else self._cancel(action)
            case LookUp(name):
                return [self._look_up(name)]

    def _write(self, entry: Entry) -> None:
        """Write one entry, unless it was written before a restart."""
        if self._journal and isinstance(entry.event, REPEATED):
            if self._journal.expects(entry.event):
                return
            self._break_journal(entry.event)
        self._keep(entry)

    def _keep(self, entry: Entry) -> None:
        self._ledger.record(
            self._session_id, entry.key, entry.event, entry.happened_at, entry.known_at
        )
        if entry.order is not None:
            self._ledger.put_order(self._session_id, entry.order)
        if entry.execution is not None:
            self._ledger.record_fill(self._session_id, entry.execution)
            self.executions += 1
        self._telemetry.wrote(entry.event, entry.order)

    def _submit(self, action: Submit) -> list[AnyOrderFact]:
        now = self.now()
        try:
            with self.asking("submit", action.orders):
                self._broker.submit(action.command)
        except BrokerRejected as error:
            return [
                ev.OrderRejected(**fact_head(terms, now), reason=str(error))
                for terms in action.orders
            ]
        except BrokerUnavailable as error:
            return [
                ev.OrderOutcomeUnknown(**fact_head(terms, now), reason=str(error))
                for terms in action.orders
            ]
        return [ev.OrderSubmitted(**fact_head(terms, now)) for terms in action.orders]

    def _cancel(self, action: Cancel) -> list[OrderEvent]:
        name = action.command.client_order_id
        order = self.manager.orders.get(name)
        try:
            with self.asking("cancel", () if order is None else (order.terms,)):
                self._broker.cancel(action.command)
        except BrokerUnavailable:
            return [CancelUnanswered(name)]
        except BrokerRejected as error:
            terms = self.manager.orders[name].terms
            return [
                OrderReported(
                    ev.OrderCancelRejected(**fact_head(terms, self.now()), reason=str(error))
                )
            ]
        return []

    def _look_up(self, name: str) -> OrderLookedUp:
        try:
            with self.asking("order"):
                return OrderLookedUp(name, self._broker.order(name))
        except (BrokerUnavailable, BrokerRejected) as error:
            return OrderLookedUp(name, None, str(error))

    def _break_journal(self, event: Event) -> None:
        rest = self._journal.abandon()
        sentence = (
            f"after the restart '{ev.kind_of(event)}' of {subject(event)} came where"
            f" '{ev.kind_of(rest[0])}' of {subject(rest[0])} had been: were bars or settings"
            " changed?"
        )
        self.handle(JournalBroken(sentence, tuple(rest)))
