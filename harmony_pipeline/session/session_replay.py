"""A recorded session run again, event by event, to the same state: `harmony replay --session`.

The bars of the day go through the strategy manager and the pure `OrderManager.step` again. What the
broker answered is taken from the ledger, at the points at which it was first met; everything that
the session itself decided is decided anew and compared, field by field, with what was written. It
ends with the books: portfolio, closed trades and working orders must be those that the session
closed with. Nothing is written to the recorded ledger and no broker is asked.

What only real time decides (staleness of streams, heartbeats, the hour at which a request left) is
taken as it was written and not compared.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from harmony_pipeline.errors import BrokerUnavailable, NotReady
from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.brokers.alpaca.orders import CLOSING_HOURS
from harmony_pipeline.execution.brokers.base import BrokerAccount, BrokerOrder, BrokerPosition
from harmony_pipeline.execution.closing_auction import ClosingHours
from harmony_pipeline.execution.events import AnyOrderFact, CancelOrder, Event, SubmitOrder
from harmony_pipeline.execution.lifecycle import Status
from harmony_pipeline.session.clock import ReplayClock
from harmony_pipeline.session.event_replay import REPEATED
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.ledger_rebuild import copy_earlier
from harmony_pipeline.session.live_portfolio import LivePortfolio
from harmony_pipeline.session.open_orders import carried_orders
from harmony_pipeline.session.order_events import (
    Entry,
)
from harmony_pipeline.session.order_gateway import OrderGateway
from harmony_pipeline.session.order_manager import OrderManager
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.session.replay import day_bars, simulated_broker
from harmony_pipeline.session.stream import Batch, ReplayStream
from harmony_pipeline.session.trader import Trader

_COMPARED = (
    *REPEATED, ev.CandidateRefused, ev.SymbolsWatched, ev.StrategyStopped, ev.EquityMarked,
    ev.PositionAdopted,
)  # fmt: skip
_BY_THE_HOUR = ("known_at", "happened_at")
_STATES = ("trading", "trades", "orders")


@dataclass(frozen=True)
class Replayed:
    """How far a recorded session could be run again. `difference`: where it first differs, None
    when it does not.
    """

    session_id: str
    events: int
    compared: int
    difference: str | None

    @property
    def equal(self) -> bool:
        """Whether everything came out as it was written."""
        return self.difference is None

    def summary(self) -> str:
        """One line."""
        if self.difference is not None:
            return f"session {self.session_id} differs: {self.difference}"
        return (
            f"session {self.session_id} comes out as it was written: {self.compared} of"
            f" {self.events} events decided again, and the same portfolio, trades and working"
            " orders at the end"
        )


class _Differs(Exception):
    """The first difference."""


def replay_session(
    plan: SessionPlan, bars: pl.DataFrame, ledger: Ledger, scratch: Path
) -> Replayed:
    """Run the recorded session of `plan` again over its bars, with a ledger of its own at
    `scratch`. Raises NotReady when it was never begun.
    """
    saved = ledger.snapshot(plan.session_id)
    if saved is None:
        raise NotReady(f"session {plan.session_id} has not begun yet: there is nothing to replay")
    recorded = ledger.events(plan.session_id)
    compared = [
        (number, event)
        for number, event in recorded
        if isinstance(event, _COMPARED) and not isinstance(event, ev.BooksReconciled)
    ]
    with Ledger(scratch) as copy, copy.reproducible():
        copy_earlier(ledger, plan.session_id, copy)
        copy.open_session(plan.row())
        is_simulated = saved.body["exchange"] is not None
        replayer = (
            _SimulatedReplay(plan, copy, compared)
            if is_simulated
            else _BrokerReplay(plan, copy, compared)
        )
        try:
            replayer.run(bars, [event for _, event in recorded])
            difference = _state_difference(saved.body, replayer.trader)
        except _Differs as found:
            difference = str(found)
    return Replayed(plan.session_id, len(recorded), len(compared), difference)


class _Records:
    """What was written, in order; each new event is held against the next one."""

    def __init__(self, recorded: Sequence[tuple[int, Event]], *, by_the_hour: bool) -> None:
        self._recorded = list(recorded)
        self._next = 0
        self._left_out = _BY_THE_HOUR if by_the_hour else ()

    def take(self, event: Event) -> Event:
        """The written event in the place of `event`. Raises _Differs."""
        if self._next >= len(self._recorded):
            raise _Differs(f"{_name(event)} follows now, after the last event that was written")
        number, written = self._recorded[self._next]
        self._next += 1
        if ev.kind_of(written) != ev.kind_of(event) or _about(written) != _about(event):
            raise _Differs(f"event {number} is {_name(written)}, now it is {_name(event)}")
        here, there = _fields(written), _fields(event)
        for name in here:
            if here[name] != there[name] and name.rsplit(".", 1)[-1] not in self._left_out:
                raise _Differs(
                    f"event {number} ({_name(written)}), {name}: {here[name]!r} was written, now it"
                    f" is {there[name]!r}"
                )
        return written

    @property
    def left(self) -> list[Event]:
        """What has not come yet."""
        return [event for _, event in self._recorded[self._next :]]

    def end(self) -> None:
        """Raises _Differs when something that was written did not come."""
        if self._next < len(self._recorded):
            number, written = self._recorded[self._next]
            raise _Differs(f"event {number} is {_name(written)}, now nothing follows")


class _SimulatedReplay:
    """A session at the exchange in its own process: all of it is run again."""

    def __init__(
        self, plan: SessionPlan, copy: Ledger, recorded: Sequence[tuple[int, Event]]
    ) -> None:
        self._plan, self._copy, self._recorded = plan, copy, recorded
        self.trader: Trader

    def run(self, bars: pl.DataFrame, written: Sequence[Event]) -> None:
        """To the moment at which the recorded session ended. Raises _Differs."""
        frame = day_bars(self._plan, bars)
        clock = ReplayClock(_started(written).known_at)
        self.trader = Trader(
            self._plan, self._copy, simulated_broker(self._plan, self._copy), clock
        )
        self.trader.begin()
        self.trader.signals.expect_hung(written)
        for batch in _batches(frame, clock, written):
            self.trader.process(batch)
        _pull_switch(self.trader, written)
        records = _Records(self._recorded, by_the_hour=False)
        for _, event in self._copy.events(self._plan.session_id):
            if isinstance(event, _COMPARED) and not isinstance(event, ev.BooksReconciled):
                records.take(event)
        records.end()


class _BrokerReplay:
    """A session at a real broker: its answers come from what was written."""

    def __init__(
        self, plan: SessionPlan, copy: Ledger, recorded: Sequence[tuple[int, Event]]
    ) -> None:
        self._plan, self._copy = plan, copy
        self._records = _Records(recorded, by_the_hour=True)
        self.trader: Trader

    def run(self, bars: pl.DataFrame, written: Sequence[Event]) -> None:
        """To the moment at which the recorded session ended. Raises _Differs."""
        started = _started(written)
        frame, clock = day_bars(self._plan, bars), ReplayClock(started.known_at)
        # a session of earlier code did not write the hours, which were Alpaca's
        hours = started.closing_hours or CLOSING_HOURS
        broker = _WrittenBroker(self._plan, self._copy, hours)
        self.trader = _RecordedTrader(self._plan, self._copy, broker, clock, self._records)
        broker.portfolio = self.trader.portfolio
        self.trader.begin()
        self.trader.signals.expect_hung(written)
        gateway = self.trader.gateway
        broker.gateway = gateway
        # what was heard after a mark is not heard before it
        gateway.recover(self._records.left, also=(ev.EquityMarked, ev.PositionAdopted))
        for batch in _batches(frame, clock, written):
            self._hear(gateway)
            self.trader.process(batch)
        _pull_switch(self.trader, written)
        self._hear(gateway)
        self._records.end()

    def _hear(self, gateway: OrderGateway) -> None:
        """What the broker said between two moments, what was looked up then, and what
        reconciliation did.
        """
        left = -1
        while gateway.journal_left != left:
            left = gateway.journal_left
            gateway.receive_reports()
            gateway.settle()
            head = gateway.journal_head
            if isinstance(head, ev.QuoteActed):
                self.trader.quotes.decide_again(hear=True)
            elif isinstance(head, ev.PositionAdopted):
                self.trader.portfolio.adopt(head)
                gateway.record(f"adopted:{left}", head, head.known_at)
            elif isinstance(head, ev.OrderCancelRequested):
                order = self.trader.manager.orders.get(head.client_order_id)
                if order is not None and order.is_open:
                    gateway.cancel(order, head.reason or "")


class _RecordedTrader(Trader):
    """The strategy manager over a gateway that compares what it would write."""

    def __init__(
        self,
        plan: SessionPlan,
        ledger: Ledger,
        broker: "_WrittenBroker",
        clock: ReplayClock,
        records: _Records,
    ) -> None:
        self._records = records
        super().__init__(plan, ledger, broker, clock)

    def _mark_equity(self, batch: Batch) -> None:
        fact = ev.EquityMarked(
            happened_at=batch.start, known_at=batch.end, **_mark(self.portfolio.equity_row())
        )
        self.gateway.record("", fact, batch.end)

    def _gateway_over(self, manager: OrderManager) -> OrderGateway:
        return _ComparingGateway(
            self.session_id, self.ledger, self.broker, manager, self.clock, self._records
        )


class _ComparingGateway(OrderGateway):
    """Holds each event against the written one, and keeps it in the scratch ledger."""

    def __init__(self, *arguments: Any) -> None:
        *rest, self._records = arguments
        super().__init__(*rest)

    def _write(self, entry: Entry) -> None:
        if isinstance(entry.event, _COMPARED):
            self._journal.expects(entry.event)
            self._records.take(entry.event)
        if not isinstance(entry.event, ev.EquityMarked):
            self._keep(entry)


class _WrittenBroker:
    """A broker that says what was written: the opening books agreed, and an order that was looked
    up was found when that is what came next.
    """

    name = "recorded"

    def __init__(self, plan: SessionPlan, ledger: Ledger, hours: ClosingHours) -> None:
        self._plan, self._ledger, self._hours = plan, ledger, hours
        self.gateway: OrderGateway | None = None
        self.portfolio: LivePortfolio | None = None

    def submit(self, command: SubmitOrder) -> BrokerOrder:
        """Raises _Differs: what was sent has its answer in the ledger."""
        raise _Differs(
            f"order {command.order.client_order_id} is sent now, and no answer to it was written"
        )

    def cancel(self, command: CancelOrder) -> None:
        """What became of it follows in the ledger."""

    def replace(self, command: ev.ReplaceOrder) -> BrokerOrder:
        """Raises _Differs: sessions do not replace orders."""
        raise _Differs(f"order {command.client_order_id} is replaced now")

    def order(self, client_order_id: str) -> BrokerOrder | None:
        """Found, when its acceptance with the broker's own name came next."""
        head = self.gateway.journal_head if self.gateway is not None else None
        if not isinstance(head, ev.OrderSubmitted) or head.client_order_id != client_order_id:
            raise BrokerUnavailable("no answer was written here")
        if head.broker_order_id is None:
            return None  # unknown there: it was sent again
        return BrokerOrder(
            client_order_id, head.symbol, "buy", 0.0, 0.0, Status.ACCEPTED, head.broker_order_id
        )

    def orders(self, open_only: bool = True) -> list[BrokerOrder]:
        """Those that the session took over."""
        return [
            BrokerOrder(
                order.client_order_id, order.terms.symbol, order.terms.side, order.quantity,
                order.filled_quantity, order.status,
            )
            for order in carried_orders(self._plan, self._ledger, in_process=False).values()
        ]  # fmt: skip

    def positions(self) -> list[BrokerPosition]:
        """What the session holds."""
        assert self.portfolio is not None
        return [BrokerPosition(*held) for held in self.portfolio.shares().items()]

    def account(self) -> BrokerAccount:
        """Not known."""
        return BrokerAccount(None, None)

    def updates(self) -> list[AnyOrderFact]:
        """Nothing beside what was written."""
        return []

    def closing_hours(self) -> ClosingHours:
        """Those that were written."""
        return self._hours

    def is_streaming(self) -> bool:
        """The ledger is always there."""
        return True

    def close(self) -> None:
        """Nothing to give back."""


def _started(written: Sequence[Event]) -> ev.SessionStarted:
    for event in written:
        if isinstance(event, ev.SessionStarted):
            return event
    raise NotReady("the session has no start in the ledger: there is nothing to replay")


def _batches(frame: pl.DataFrame, clock: ReplayClock, written: Sequence[Event]) -> Iterator[Batch]:
    """Moments up to the last one that was recorded; the clock moves as they are taken."""
    heard = [event.happened_at for event in written if isinstance(event, ev.BarsReceived)]
    cut = frame.filter(pl.col("timestamp") <= heard[-1]) if heard else frame.clear()
    return ReplayStream(cut, clock).moments()


def _mark(row: Mapping[str, Any]) -> dict[str, Any]:
    """`equity_row` in the words of the event."""
    words = {"gross": "gross_exposure", "net": "net_exposure"}
    return {words.get(name, name): value for name, value in row.items()}


def _pull_switch(trader: Trader, written: Sequence[Event]) -> None:
    """The kill switch ends a session after its last moment."""
    for event in written:
        if isinstance(event, ev.KillSwitchPulled):
            trader.kill(event.reason)


def _state_difference(saved: dict[str, Any], trader: Trader) -> str | None:
    """The first difference between the books that the session closed with and those of now."""
    trader.manager.forget_ended()  # as every snapshot does, the one at the end among them
    now = {
        "trading": trader.trading_state().to_dict(),
        "trades": trader.portfolio.trades,
        "orders": trader.manager.checkpoint()["orders"],
    }
    then = {
        "trading": saved["trading"],
        "trades": saved["trades"],
        "orders": saved["desk"]["orders"],
    }
    for name in _STATES:
        # as the snapshot holds it: JSON
        here = _flat(then[name], name)
        there = _flat(msgspec.json.decode(msgspec.json.encode(now[name])), name)
        for key in sorted({*here, *there}):
            if here.get(key) != there.get(key):
                return (
                    f"at the end {key} was {here.get(key, 'absent')!r}, now it is"
                    f" {there.get(key, 'absent')!r}"
                )
    return None


def _fields(event: Event) -> dict[str, Any]:
    return _flat(msgspec.to_builtins(event), "")


def _flat(value: Any, name: str) -> dict[str, Any]:
    """Path -> plain value of nested dicts and lists."""
    if isinstance(value, dict):
        pairs = [(f"{name}.{key}" if name else str(key), each) for key, each in value.items()]
    elif isinstance(value, list | tuple):
        pairs = [(f"{name}[{number}]", each) for number, each in enumerate(value)]
    else:
        return {name: value}
    return {path: found for key, each in pairs for path, found in _flat(each, key).items()}


def _about(event: Event) -> str:
    return event.client_order_id if isinstance(event, ev.OrderFact) else ""


def _name(event: Event) -> str:
    about = _about(event)
    return f"{ev.kind_of(event)} of {about}" if about else ev.kind_of(event)
