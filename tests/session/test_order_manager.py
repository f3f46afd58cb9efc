"""The order manager as a state machine: what holds for every sequence of events, and for every
crash.
"""

from collections import Counter, defaultdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from session.crashes import Crash, CrashingLedger, Fuse, RemoteBroker, RemoteExchange
from session.days import DAYS, market, plan_of, rules

from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.brokers.alpaca.orders import CLOSING_HOURS
from harmony_pipeline.execution.brokers.base import BrokerOrder
from harmony_pipeline.execution.closing_auction import ClosingAuction
from harmony_pipeline.execution.events import OrderTerms
from harmony_pipeline.execution.lifecycle import Order, Status
from harmony_pipeline.instants import micros
from harmony_pipeline.session.clock import ReplayClock
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.live_portfolio import LivePortfolio
from harmony_pipeline.session.order_events import (
    Action,
    BooksCompared,
    Cancel,
    CancelAll,
    CancelUnanswered,
    CashDoubted,
    Flattening,
    IntentsKept,
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
from harmony_pipeline.session.order_gateway import OrderGateway
from harmony_pipeline.session.order_manager import OrderManager
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.session.replay import day_bars, simulated_broker
from harmony_pipeline.session.stream import Batch, ReplayStream

BARS = market()
DAY = DAYS[5]  # a half-day


def plan_with(exits: str, **changes: Any) -> SessionPlan:
    ledger = Ledger(Path(":memory:"))
    try:
        return plan_of(DAY, ledger, BARS, rules(exits, **changes))
    finally:
        ledger.close()


PLANS = {
    "signal": plan_with("signal", reject_probability=0.1, partial_fill_probability=0.2),
    "barriers": plan_with("barriers", reject_probability=0.1, partial_fill_probability=0.2),
    "queue": plan_with("barriers", max_orders_per_minute=1),
    "closes": plan_with("barriers", entry="close", partial_fill_probability=0.2),
}
AUCTION = ClosingAuction.of(PLANS["closes"].calendar, DAY, CLOSING_HOURS)


def batches(plan: SessionPlan, clock: ReplayClock) -> list[Batch]:
    stream = ReplayStream(day_bars(plan, BARS), clock)
    return [batch for batch in stream.moments() if batch.bars[0].session == "regular"]


BATCHES = batches(PLANS["signal"], ReplayClock(PLANS["signal"].calendar.session_open(DAY)))
SIDES = st.lists(st.sampled_from([None, -1, 0, 1]), min_size=3, max_size=3)


def decided(portfolio: LivePortfolio, batch: Batch, sides: list[int | None]) -> Any:
    """What the portfolio wants at the end of a batch when the strategy takes these sides."""
    portfolio.see_factors(batch.bars)
    rows = portfolio.bar_records(batch.bars)
    portfolio.open_session(int(rows[0]["date"]))
    wanted = {"strength": 1.0, "volatility": 0.01, "probability": None, "model_id": None}
    signals = {
        symbol: wanted | {"side": side}
        for symbol, side in zip(portfolio.slots, sides, strict=True)
        if side is not None
    }
    portfolio.put_signals(rows, signals)
    portfolio.mark(rows, 0, len(rows))
    return portfolio.decide(rows)


class Orders(RuleBasedStateMachine):
    """The manager between a portfolio that trades all the time and a broker that does what it
    may.
    """

    plan = PLANS["barriers"]

    def __init__(self) -> None:
        super().__init__()
        self.portfolio = LivePortfolio(self.plan, self.plan.opening.portfolio)
        self.manager = self.make_manager()
        self.batches = iter(BATCHES)
        self.now = self.plan.calendar.session_open(DAY)
        self.streaming = True
        self.answer = "taken"
        self.kept: set[str] = set()
        self.written: dict[str, Order] = {}
        self.executed: defaultdict[str, float] = defaultdict(float)
        self.seen: set[str] = set()
        self.terms: dict[str, OrderTerms] = {}  # at the broker
        self.filled: Counter[str] = Counter()
        self.ended: dict[str, str] = {}
        self.facts: list[Any] = []

    # --- the world --------------------------------------------------------------------------------

    def make_manager(self) -> OrderManager:
        return OrderManager(
            self.portfolio, in_process=False, stale_after=self.plan.bar, auction=AUCTION
        )

    def feed(self, event: OrderEvent) -> bool:
        actions = self.manager.step(event, self.now, self.streaming)
        if isinstance(event, OrderReported) and actions:
            # what follows from a fact does not leave before the fact is on disk
            assert isinstance(actions[0], Write)
        for action in actions:
            self.perform(action)
        return bool(actions)

    def perform(self, action: Action) -> None:
        if isinstance(action, Write):
            for entry in action.entries:
                self.write(entry)
            if action.intents:
                self.kept |= {terms.client_order_id for terms in action.intents}
                self.feed(IntentsKept(action.intents))
        elif isinstance(action, Submit):
            self.submit(action)
        elif isinstance(action, Cancel):
            self.cancel(action)
        else:
            self.look_up(action)

    def write(self, entry: Any) -> None:
        order = entry.order
        if order is None:
            return
        before = self.written.get(order.client_order_id)
        assert before is None or before.is_open or not order.is_open, (
            "an order that had ended became open"
        )
        assert order.filled_quantity <= order.quantity + 1e-9
        self.written[order.client_order_id] = order
        if entry.execution is not None and entry.execution.execution_id not in self.seen:
            self.seen.add(entry.execution.execution_id)
            sign = 1.0 if entry.execution.side == "buy" else -1.0
            self.executed[order.terms.symbol] += sign * entry.execution.quantity

    def submit(self, action: Submit) -> None:
        for terms in action.orders:
            name = terms.client_order_id
            assert name in self.kept, "an order left before its intent was on disk"
            assert name not in self.terms, "an order was submitted twice"
            assert self.written[name].is_open
            assert terms.release_at is None or self.now >= terms.release_at, "it left the queue"
            if terms.time_in_force == "cls":
                assert AUCTION.answer(terms.decided_at, self.now) == "open", "no auction takes it"
                assert self.streaming
            assert self.manager.gate.risk_state(self.streaming) != "HALTED"
            assert self.manager.gate.risk_state(self.streaming) == "ACTIVE" or terms.role != "entry"
        heads = [fact_head(terms, self.now) for terms in action.orders]
        if self.answer in ("taken", "answer lost"):
            self.terms |= {terms.client_order_id: terms for terms in action.orders}
        for head in heads:
            if self.answer == "taken":
                self.feed(OrderReported(ev.OrderSubmitted(**head)))
            elif self.answer == "rejected":
                self.feed(OrderReported(ev.OrderRejected(**head, reason="no")))
            else:
                self.feed(OrderReported(ev.OrderOutcomeUnknown(**head, reason="no answer")))

    def cancel(self, action: Cancel) -> None:
        name = action.command.client_order_id
        if self.answer in ("answer lost", "request lost"):
            self.feed(CancelUnanswered(name))
        elif name not in self.terms:
            self.feed(
                OrderReported(ev.OrderCancelRejected(**self.head(name), reason="no such order"))
            )
        elif name not in self.ended:
            self.end(name, ev.OrderCanceled(**self.head(name)))

    def look_up(self, action: LookUp) -> None:
        name = action.client_order_id
        if self.answer == "request lost":
            self.feed(OrderLookedUp(name, None, "no answer"))
        elif name not in self.terms:
            self.feed(OrderLookedUp(name, None))
        else:
            terms = self.terms[name]
            found = BrokerOrder(
                name,
                terms.symbol,
                terms.side,
                terms.quantity,
                self.filled[name],
                Status.ACCEPTED,
                "b-1",
            )
            self.feed(OrderLookedUp(name, found))

    def head(self, name: str) -> dict[str, Any]:
        return fact_head(self.manager.orders[name].terms, self.now)

    def report(self, fact: Any) -> None:
        self.facts.append(fact)
        self.feed(OrderReported(fact, self.written.get(fact.client_order_id)))

    def end(self, name: str, fact: Any) -> None:
        self.ended[name] = type(fact).__name__
        self.report(fact)

    def receive_reports(self) -> None:
        while self.feed(NewsEnded()):
            pass

    def at_work(self) -> list[str]:
        return sorted(set(self.terms) - set(self.ended))

    # --- rules ------------------------------------------------------------------------------------

    @rule(sides=SIDES, minutes=st.sampled_from([0, 0, 45]))
    def decide(self, sides: list[int | None], minutes: int) -> None:
        batch = next(self.batches, None)
        if batch is not None:
            self.now = max(self.now, batch.end)
            for request in decided(self.portfolio, batch, sides):
                self.now += timedelta(minutes=minutes)  # an outage: what comes now is late
                self.feed(request)
                self.receive_reports()

    @rule(answer=st.sampled_from(["taken", "taken", "rejected", "answer lost", "request lost"]))
    def change_the_broker(self, answer: str) -> None:
        self.answer = answer

    @precondition(lambda self: self.at_work())
    @rule(data=st.data(), part=st.sampled_from([0.5, 1.0, 1.0]))
    def execute(self, data: Any, part: float) -> None:
        name = data.draw(st.sampled_from(self.at_work()))
        terms, left = self.terms[name], self.terms[name].quantity - self.filled[name]
        held = self.portfolio.shares().get(terms.symbol, 0.0)
        if terms.role != "entry" and abs(held) < left:
            return  # a broker does not sell what is not there
        quantity = left if part == 1.0 else float(int(left * part))
        if quantity <= 0.0:
            return
        self.filled[name] += quantity  # type: ignore[assignment]
        whole = self.filled[name] >= terms.quantity
        kind = ev.OrderFilled if whole else ev.OrderPartiallyFilled
        fact = kind(
            **self.head(name), execution_id=f"{name}#{self.filled[name]}", side=terms.side,
            quantity=quantity,
            price=30.0, cumulative_quantity=float(self.filled[name]),
        )  # fmt: skip
        if whole:
            self.ended[name] = "filled"
        self.report(fact)
        for other, leg in list(self.terms.items()):  # one leg of a bracket cancels the other
            if (
                whole
                and {terms.role, leg.role} == {"stop", "take"}
                and leg.symbol == terms.symbol
                and other not in self.ended
            ):
                self.end(other, ev.OrderCanceled(**self.head(other)))
        self.receive_reports()

    @precondition(lambda self: self.at_work())
    @rule(
        data=st.data(), kind=st.sampled_from([ev.OrderCanceled, ev.OrderExpired, ev.OrderRejected])
    )
    def end_one(self, data: Any, kind: Any) -> None:
        name = data.draw(st.sampled_from(self.at_work()))
        if kind is ev.OrderRejected and self.filled[name]:
            return
        self.end(name, kind(**self.head(name), reason="the broker's"))
        self.receive_reports()

    @precondition(lambda self: self.facts)
    @rule(data=st.data())
    def repeat(self, data: Any) -> None:
        """A broker tells again what it told before."""
        fact = data.draw(st.sampled_from(self.facts))
        self.feed(OrderReported(fact, self.written[fact.client_order_id]))
        self.receive_reports()

    @rule()
    def settle(self) -> None:
        self.feed(SettleDue())
        self.receive_reports()

    @rule()
    def cancel_all(self) -> None:
        self.feed(CancelAll("kill switch"))
        self.receive_reports()

    @rule(
        state=st.sampled_from(["ACTIVE", "ACTIVE", "REDUCING", "HALTED"]),
        streaming=st.sampled_from([True, True, False]),
    )
    def judge(self, state: Any, streaming: bool) -> None:
        self.streaming = streaming
        self.feed(StreamsJudged(state, "as the test has it"))

    @rule(on=st.booleans())
    def flatten(self, on: bool) -> None:
        self.feed(Flattening(on))

    @rule()
    def snapshot(self) -> None:
        """A manager restored from its checkpoint goes on as the one that was saved."""
        self.manager.forget_ended()
        saved = self.manager.checkpoint()
        fresh = self.make_manager()
        fresh.restore(saved)
        assert fresh.checkpoint() == saved
        fresh.step(
            StreamsJudged(self.manager.gate.streams, self.manager.gate.streams_reason), self.now
        )
        self.manager = fresh

    # --- what always holds ------------------------------------------------------------------------

    @invariant()
    def shares_are_the_executions(self) -> None:
        assert self.portfolio.shares() == {
            symbol: held for symbol, held in self.executed.items() if held
        }

    @invariant()
    def what_waits_has_not_left(self) -> None:
        assert not set(self.manager.waiting) & set(self.terms)

    @invariant()
    def the_ledger_has_what_the_manager_knows(self) -> None:
        assert all(self.written[name] == order for name, order in self.manager.orders.items())

    @invariant()
    def what_is_held_is_protected_or_on_its_way_out(self) -> None:
        working = {(o.terms.symbol, o.terms.role) for o in self.manager.working()}
        for symbol, held in self.portfolio.shares().items():
            position = self.portfolio.positions[self.portfolio.index[symbol]]
            leaves = position["exit_reason"] != 0 or (symbol, "exit") in working
            enters = (symbol, "entry") in working  # its bracket comes when it is done
            both = {(symbol, "stop"), (symbol, "take")} <= working
            assert not held or leaves or enters or both, f"{symbol} is held without a bracket"

    @invariant()
    def an_honest_broker_is_never_disputed(self) -> None:
        assert self.manager.gate.differences == []


class QueuedOrders(Orders):
    """The same where one entry a minute may leave."""

    plan = PLANS["queue"]

    @rule(seconds=st.sampled_from([20, 60]))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        self.receive_reports()


class ClosingOrders(Orders):
    """The same with entries for the closing auction of the day: each waits for the others of its
    slot, and leaves before the cutoff or never.
    """

    plan = PLANS["closes"]

    @rule(minutes=st.sampled_from([5, 30]))
    def wait(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)
        self.receive_reports()

    @invariant()
    def what_is_late_has_ended(self) -> None:
        if self.streaming and self.now >= AUCTION.cutoff:
            self.receive_reports()
        for name in self.manager.waiting:
            order = self.manager.orders[name]
            if order.is_open and AUCTION.is_for(order.terms.decided_at) and self.streaming:
                assert order.terms.time_in_force != "cls" or self.now < AUCTION.cutoff


TestClosingOrders = ClosingOrders.TestCase
TestClosingOrders.settings = settings(max_examples=20, stateful_step_count=40, deadline=None)
TestOrders = Orders.TestCase
TestOrders.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
TestQueuedOrders = QueuedOrders.TestCase
TestQueuedOrders.settings = settings(max_examples=15, stateful_step_count=40, deadline=None)


def test_a_queued_entry_leaves_in_its_minute() -> None:
    world = QueuedOrders()
    batch = next(world.batches)
    world.now = batch.end
    for request in decided(world.portfolio, batch, [1, 1, 1]):
        world.feed(request)
        world.receive_reports()
    left = [sorted(terms.symbol for terms in world.terms.values())]
    for _ in range(4):
        world.now += timedelta(seconds=30)
        world.receive_reports()
        left.append(sorted(terms.symbol for terms in world.terms.values()))
    names = left[-1]
    assert [len(symbols) for symbols in left] == [1, 1, 2, 2, 3]
    verdicts = {terms.symbol: terms.verdict for terms in world.terms.values()}
    assert [verdicts[symbol] for symbol in names][1:] == ["queue"] * 2
    assert verdicts[names[0]] in ("approve", "resize")


def test_news_of_an_order_that_was_never_placed_halts() -> None:
    plan = PLANS["signal"]
    manager = OrderManager(
        LivePortfolio(plan, plan.opening.portfolio), in_process=False, stale_after=plan.bar
    )
    now = plan.calendar.session_open(DAY)
    fact = ev.OrderCanceled(
        happened_at=now, known_at=now, client_order_id="dashboard-1", symbol="AAA"
    )
    (written,) = manager.step(OrderReported(fact), now)
    assert isinstance(written, Write)
    assert isinstance(written.entries[0].event, ev.BooksReconciled)
    assert manager.gate.risk_state(is_streaming=True) == "HALTED"
    assert (
        manager.gate.refusal("exit", "", None, is_streaming=True)
        == "halted: the books are not reconciled"
    )


# --- crashes --------------------------------------------------------------------------------------


class Process:
    """One life of a session's process: a portfolio, a manager and a gateway of its own."""

    def __init__(
        self, plan: SessionPlan, ledger: Ledger, exchange: RemoteExchange, broker: RemoteBroker
    ) -> None:
        self.exchange, self.portfolio = exchange, LivePortfolio(plan, plan.opening.portfolio)
        manager = OrderManager(self.portfolio, in_process=False, stale_after=plan.bar)
        self.gateway = OrderGateway(plan.session_id, ledger, broker, manager, exchange.clock)

    def trade(self, script: list[list[int | None]]) -> None:
        for batch, sides in zip(BATCHES, script, strict=False):
            self.exchange.clock.advance(batch.end)
            self.exchange.see(batch)
            # between moments; the moment's own entry in the journal comes after its news
            self.gateway.receive_reports()
            bars = ev.BarsReceived(
                happened_at=batch.start,
                known_at=batch.end,
                bars=len(batch.bars),
                regular_bars=len(batch.bars),
            )
            self.gateway.record(f"bars:{micros(batch.start)}", bars, batch.end)
            self.gateway.send(decided(self.portfolio, batch, sides))

    def state(self) -> tuple[Any, Any]:
        return self.gateway.manager.checkpoint(), self.portfolio.portfolio.to_dict()


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    exits=st.sampled_from(["signal", "barriers"]),
    script=st.lists(SIDES, min_size=3, max_size=len(BATCHES)),
    crashes=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=3),
)
def test_a_prefix_of_the_journal_and_the_rest_give_the_state_without_the_crash(
    exits: str, script: list[list[int | None]], crashes: list[float]
) -> None:
    plan, whole = PLANS[exits], Fuse()
    with CrashingLedger(Path(":memory:"), Fuse()) as ledger:
        ledger.open_session(plan.row())
        ledger.fuse = whole
        exchange = RemoteExchange(simulated_broker(plan, ledger), plan)
        expected = Process(plan, ledger, exchange, RemoteBroker(exchange, whole))
        expected.trade(script)
        written = ledger.events(plan.session_id)
    with CrashingLedger(Path(":memory:"), Fuse()) as ledger:
        ledger.open_session(plan.row())
        exchange = RemoteExchange(simulated_broker(plan, ledger), plan)
        for share in crashes:
            ledger.fuse = Fuse(1 + int(share * (whole.steps - 1)))
            with pytest.raises(Crash):
                restarted(plan, ledger, exchange, RemoteBroker(exchange, ledger.fuse)).trade(script)
                raise Crash  # it came through: a journal that is complete is replayed as well
        ledger.fuse = Fuse()
        found = restarted(plan, ledger, exchange, RemoteBroker(exchange, ledger.fuse))
        found.trade(script)
        assert found.state() == expected.state()
        assert ledger.events(plan.session_id) == written
    placed = Counter(order.client_order_id for order in exchange.broker.orders(open_only=False))
    assert set(placed.values()) <= {1}


def restarted(
    plan: SessionPlan, ledger: Ledger, exchange: RemoteExchange, broker: RemoteBroker
) -> Process:
    """A new process that continues what the ledger says."""
    process = Process(plan, ledger, exchange, broker)
    process.gateway.recover(event for _, event in ledger.events(plan.session_id))
    return process


class AskedNothing(RemoteBroker):
    """A broker that only reports."""

    def submit(self, command: Any) -> Any:
        raise AssertionError(command)

    def cancel(self, command: Any) -> Any:
        raise AssertionError(command)

    def order(self, client_order_id: str) -> Any:
        raise AssertionError(client_order_id)


@pytest.mark.parametrize("exits", ["signal", "barriers"])
def test_a_complete_journal_is_replayed_without_a_request_to_the_broker(exits: str) -> None:
    plan, script = PLANS[exits], [[1, -1, 1], [-1, 1, 0], [0, 1, 1], [1, -1, -1]] * 2
    with Ledger(Path(":memory:")) as ledger:
        ledger.open_session(plan.row())
        exchange = RemoteExchange(simulated_broker(plan, ledger), plan)
        expected = Process(plan, ledger, exchange, RemoteBroker(exchange, Fuse()))
        expected.trade(script)
        written = ledger.events(plan.session_id)
        kinds = Counter(ev.kind_of(event) for _, event in written)
        assert kinds["filled"] + kinds["partially_filled"] >= 4, kinds
        assert kinds["submitted"] >= 6, kinds
        assert kinds["cancel_requested"] + kinds["rejected"] >= 1, kinds
        found = restarted(plan, ledger, exchange, AskedNothing(exchange, Fuse()))
        found.trade(script)
        assert found.state() == expected.state()
        assert ledger.events(plan.session_id) == written


@pytest.mark.parametrize(
    ("error", "known", "written"),
    [
        (None, True, [ev.OrderSubmitted]),
        (None, False, [ev.OrderCanceled]),
        ("no answer", False, [ev.OrderOutcomeUnknown]),
    ],
)
def test_a_late_order_is_looked_up_and_never_sent_again(
    error: str | None, known: bool, written: list[type]
) -> None:
    plan = PLANS["signal"]
    portfolio = LivePortfolio(plan, plan.opening.portfolio)
    manager = OrderManager(portfolio, in_process=False, stale_after=plan.bar)
    request = decided(portfolio, BATCHES[0], [1, None, None])[0]
    (kept,) = manager.step(request, BATCHES[0].end)
    assert isinstance(kept, Write)
    (asked,) = manager.step(IntentsKept(kept.intents), BATCHES[0].end + 2 * plan.bar)
    assert isinstance(asked, LookUp)
    terms = request.terms
    seen = BrokerOrder(
        terms.client_order_id, terms.symbol, terms.side, terms.quantity, 0.0, Status.ACCEPTED
    )
    found = OrderLookedUp(asked.client_order_id, seen if known else None, error)
    actions = manager.step(found, BATCHES[0].end + 2 * plan.bar)
    assert [
        type(entry.event) for action in actions for entry in getattr(action, "entries", ())
    ] == written
    assert not any(isinstance(action, Submit) for action in actions)


@pytest.mark.parametrize("state", ["ACTIVE", "HALTED"])
def test_an_entry_that_fills_late_is_protected_or_closed(state: Any) -> None:
    """A symbol without a bar for minutes: the bracket is wanted long after the entry was decided.
    Where no order may leave, the position is closed at the next decision.
    """
    world = Orders()
    batch = next(world.batches)
    world.now = batch.end
    for request in decided(world.portfolio, batch, [1, None, None]):
        world.feed(request)
    [entry] = world.terms.values()
    world.now = batch.end + 3 * world.plan.bar
    world.feed(StreamsJudged(state, "as the test has it"))
    filled = ev.OrderFilled(
        **world.head(entry.client_order_id), execution_id="1", side="buy",
        quantity=entry.quantity, price=30.0, cumulative_quantity=entry.quantity,
    )  # fmt: skip
    world.report(filled)
    sent = {terms.role for terms in world.terms.values()} - {"entry"}
    assert sent == ({"stop", "take"} if state == "ACTIVE" else set())
    world.feed(StreamsJudged("ACTIVE", ""))
    later = next(world.batches)
    world.now = later.end + 3 * world.plan.bar
    roles = [each.role for each in decided(world.portfolio, later, [None, None, None])]
    assert roles == ([] if state == "ACTIVE" else ["exit"])


def test_a_bracket_that_somebody_else_takes_away_closes_the_position() -> None:
    world = Orders()
    batch = next(world.batches)
    world.now = batch.end
    for request in decided(world.portfolio, batch, [1, None, None]):
        world.feed(request)
    [entry] = world.terms.values()
    filled = ev.OrderFilled(
        **world.head(entry.client_order_id), execution_id="1", side="buy",
        quantity=entry.quantity, price=30.0, cumulative_quantity=entry.quantity,
    )  # fmt: skip
    world.report(filled)
    [stop] = [name for name, terms in world.terms.items() if terms.role == "stop"]
    world.end(stop, ev.OrderCanceled(**world.head(stop)))
    assert not [order for order in world.manager.working() if order.terms.role == "take"]
    later = next(world.batches)
    world.now = later.end
    roles = [each.role for each in decided(world.portfolio, later, [None, None, None])]
    assert roles == ["exit"]


# --- the closing auction --------------------------------------------------------------------------

MORNING = AUCTION.opens + timedelta(hours=12)


def waiting_for_its_auction() -> tuple[OrderManager, OrderTerms]:
    """A manager that took an entry at a close over from the evening before."""
    plan = PLANS["closes"]
    portfolio = LivePortfolio(plan, plan.opening.portfolio)
    manager = OrderManager(portfolio, in_process=False, stale_after=plan.bar, auction=AUCTION)
    terms = decided(portfolio, BATCHES[0], [1, None, None])[0].terms
    terms = msgspec.structs.replace(terms, decided_at=AUCTION.previous_close)
    manager.adopt([Order(terms)])
    assert manager.waiting == [terms.client_order_id]
    return manager, terms


def sent(actions: list[Action]) -> list[str]:
    return [
        terms.client_order_id
        for action in actions
        if isinstance(action, Submit)
        for terms in action.orders
    ]


def test_an_order_for_the_auction_waits_for_its_hour_and_for_the_order_stream() -> None:
    manager, terms = waiting_for_its_auction()
    assert manager.step(NewsEnded(), AUCTION.opens - timedelta(microseconds=1)) == []
    assert manager.step(NewsEnded(), MORNING, is_streaming=False) == []
    assert sent(manager.step(NewsEnded(), AUCTION.opens)) == [terms.client_order_id]
    assert manager.waiting == []
    assert manager.step(NewsEnded(), MORNING) == []


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (StreamsJudged("HALTED", "no bars"), "halted: no bars"),
        (StreamsJudged("REDUCING", "no bars"), "reducing: no bars"),
        (SymbolHalted("AAA", "its books"), "AAA is halted: its books"),
        (BooksCompared(("AAA: 1, 2",)), "halted: the books are not reconciled"),
        (CashDoubted(doubted=True), "reducing: the broker's cash differs from the ledger's"),
        (StrategyEnded("other", "it raised"), None),
        (CancelAll("kill switch"), "kill switch"),
    ],
)
def test_what_the_gate_says_in_the_morning_holds(event: OrderEvent, reason: str | None) -> None:
    manager, terms = waiting_for_its_auction()
    told = manager.step(event, MORNING)
    actions = [*told, *manager.step(NewsEnded(), MORNING)]
    assert sent(actions) == ([] if reason else [terms.client_order_id])
    ended = [
        entry.event
        for action in actions
        if isinstance(action, Write)
        for entry in action.entries
        if isinstance(entry.event, ev.OrderCanceled)
    ]
    assert [fact.reason for fact in ended] == ([reason] if reason else [])
    entry_working = manager._portfolio.positions[0]["entry_working"]
    assert entry_working == (reason is None)


def test_one_that_the_broker_tells_of_has_left_and_is_not_sent_again() -> None:
    """A process that died had sent it: it is no longer one that waits, and none to be canceled."""
    manager, terms = waiting_for_its_auction()
    manager.step(OrderReported(ev.OrderAccepted(**fact_head(terms, MORNING))), MORNING)
    assert manager.waiting == []
    assert sent(manager.step(NewsEnded(), MORNING)) == []
    assert [order.status for order in manager.working()] == [Status.ACCEPTED]


def test_what_the_journal_has_answered_does_not_wait_for_the_stream_again() -> None:
    manager, terms = waiting_for_its_auction()
    answered = ev.OrderSubmitted(**fact_head(terms, MORNING))
    manager.step(Restarted((answered,)), MORNING)
    assert sent(manager.step(NewsEnded(), MORNING, is_streaming=False)) == [terms.client_order_id]


def test_without_an_auction_none_leaves() -> None:
    plan = PLANS["closes"]
    portfolio = LivePortfolio(plan, plan.opening.portfolio)
    manager = OrderManager(portfolio, in_process=False, stale_after=plan.bar)
    (kept,) = manager.step(decided(portfolio, BATCHES[0], [1, None, None])[0], BATCHES[0].end)
    assert isinstance(kept, Write)
    (asked,) = manager.step(IntentsKept(kept.intents), BATCHES[0].end)
    assert isinstance(asked, LookUp)
    actions = manager.step(OrderLookedUp(asked.client_order_id, None), BATCHES[0].end)
    assert not sent(actions)
    assert not manager.working()
