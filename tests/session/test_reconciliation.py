"""Hands at the broker: each difference is found, named and settled by its rule, and no order that it
makes wrong is sent.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from session.crashes import Fuse, RemoteBroker, RemoteExchange
from session.days import DAYS, fresh_ledger, market, plan_of, rules

from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.events import AnyOrderFact, CancelOrder, SubmitOrder
from harmony_pipeline.execution.lifecycle import Status
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.ledger_rebuild import books_from_events, differing_rows
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.session.reconcile import reconcile
from harmony_pipeline.session.replay import day_bars, simulated_broker
from harmony_pipeline.session.result import SessionResult
from harmony_pipeline.session.runner import run_session
from harmony_pipeline.session.session_replay import replay_session
from harmony_pipeline.session.stream import Batch, Quiet, ReplayStream

BARS = market()
CHOSEN = {name: rules(name) for name in ("barriers", "signal")}
DAY = DAYS[0]
SUBJECTS = {
    "cancel": "order",
    "trade": "position",
    "lose": "fill",
    "cash": "cash",
    "order": "unknown",
}


class HandBroker(RemoteBroker):
    """The broker of a session in whose account somebody else works; messages can be lost."""

    def __init__(self, exchange: RemoteExchange) -> None:
        super().__init__(exchange, Fuse())
        self.losing = False
        self._lost: list[AnyOrderFact] = []
        self.halted: set[str] = set()
        self.wrong: list[str] = []

    @property
    def books(self) -> Any:
        return self._exchange.broker

    def submit(self, command: SubmitOrder) -> Any:
        terms = command.order
        held = {each.symbol: each.quantity for each in self.books.positions()}.get(
            terms.symbol, 0.0
        )
        side = 1.0 if terms.side == "buy" else -1.0
        if terms.role == "exit" and (held * side >= 0.0 or terms.quantity > abs(held) + 1e-9):
            self.wrong.append(f"{terms.client_order_id} of {held}")
        if terms.role == "entry" and terms.symbol in self.halted:
            self.wrong.append(f"{terms.client_order_id} of a halted symbol")
        return super().submit(command)

    def updates(self) -> list[AnyOrderFact]:
        told = super().updates()
        if not self.losing:
            return told
        self._lost += [fact for fact in told if isinstance(fact, ev.OrderPartiallyFilled)]
        return [fact for fact in told if not isinstance(fact, ev.OrderPartiallyFilled)]

    def reread(self) -> None:
        self._exchange.mail.extend(self._lost)
        self._lost, self.losing = [], False


class Hands:
    """Moments of the day, with what a hand does at the broker before some of them."""

    def __init__(
        self, frame: Any, exchange: RemoteExchange, broker: HandBroker, acts: list[tuple[int, str]]
    ) -> None:
        self._frame, self._exchange, self._broker = frame, exchange, broker
        self._acts = sorted(acts)
        self.done: list[str] = []

    def moments(self) -> Iterator[Batch | Quiet]:
        inner = ReplayStream(self._frame, self._exchange.clock)
        for number, batch in enumerate(inner.moments()):
            due = [act for at, act in self._acts if at == number]
            for act in due:
                if act == "lose":
                    self._broker.losing = True
            self._exchange.see(batch)
            for act in due:
                if self._do(act):
                    self.done.append(act)
            yield Quiet(batch.end)
            self._broker.losing = False
            yield batch
            yield Quiet(batch.end)

    def _do(self, act: str) -> bool:
        broker = self._broker.books
        working = broker.orders(open_only=True)
        if act == "cancel":
            if not working:
                return False
            broker.cancel(CancelOrder(working[0].client_order_id))
            broker.updates()  # nobody says so
            self._broker.halted.add(working[0].symbol)
        elif act == "trade":
            change = 7.0 if len(self.done) % 2 == 0 else -5.0
            broker._shares[broker._index["BBB"]] += change
            broker._cash -= round(change * 40.0 * 10_000)
            self._broker.halted.add("BBB")
        elif act == "cash":
            broker._cash -= 200
        elif act == "order":
            terms = ev.OrderTerms(
                client_order_id=f"by-hand-{len(self.done)}", order_id=f"by-hand-{len(self.done)}",
                symbol="CCC", role="take", side="buy", quantity=3.0, kind="limit", limit_price=0.01,
                time_in_force="gtc", decided_at=self._exchange.clock.now(),
            )  # fmt: skip
            slot = broker.exchange.orders[broker._index["CCC"]]
            if any(row["status"] == 1 for row in slot):
                return False
            try:
                broker.submit(SubmitOrder(terms))
            except Exception:  # the simulated exchange has no place for it now
                return False
            broker.updates()
            self._broker.halted.add("CCC")
        else:
            return bool(self._broker.losing)
        return True


def trade(
    ledger: Ledger, chosen: str, acts: list[tuple[int, str]]
) -> tuple[SessionPlan, SessionResult, HandBroker, Hands]:
    plan = plan_of(DAY, ledger, BARS, CHOSEN[chosen])
    exchange = RemoteExchange(simulated_broker(plan, ledger), plan)
    broker = HandBroker(exchange)
    hands = Hands(day_bars(plan, BARS), exchange, broker, acts)
    return plan, run_session(plan, ledger, broker, hands, exchange.clock), broker, hands


def differences(ledger: Ledger, session_id: str) -> list[ev.BooksDiffered]:
    return [event for _, event in ledger.events(session_id) if isinstance(event, ev.BooksDiffered)]


@pytest.mark.parametrize("chosen", ["barriers", "signal"])
def test_a_day_without_hands_has_no_difference(chosen: str, tmp_path: Path) -> None:
    with fresh_ledger(tmp_path) as ledger:
        _, result, _, _ = trade(ledger, chosen, [])
        assert result.fills.height > 5
        assert differences(ledger, result.session_id) == []


@pytest.mark.parametrize("act", sorted(SUBJECTS))
def test_each_difference_is_found_named_and_settled(act: str, tmp_path: Path) -> None:
    with fresh_ledger(tmp_path) as ledger:
        plan, _, broker, hands = trade(ledger, "barriers", [(at, act) for at in range(4, 9)])
        found = differences(ledger, plan.session_id)
        assert act in hands.done or act == "lose"
        assert SUBJECTS[act] in {each.subject for each in found}
        assert all(each.sentence for each in found)
        assert broker.wrong == []
        left = [each.kind for each in reconcile(ledger, plan.session_id, broker).differences]
        assert set(left) <= ({"cash"} if act in ("cash", "trade") else set()), left
        if act == "cash":
            orders = [
                event
                for _, event in ledger.events(plan.session_id)
                if isinstance(event, ev.OrderIntended | ev.BooksDiffered)
            ]
            first = next(n for n, event in enumerate(orders) if isinstance(event, ev.BooksDiffered))
            later = [event for event in orders[first:] if isinstance(event, ev.OrderIntended)]
            assert not any(event.order.role == "entry" for event in later)


class SlowBroker(HandBroker):
    """Tells nothing, from a moment on, of orders that it takes then: they are on their way."""

    def __init__(self, exchange: RemoteExchange) -> None:
        super().__init__(exchange)
        self.slow = False
        self._on_their_way: set[str] = set()

    def submit(self, command: SubmitOrder) -> Any:
        placed = (command.order, command.other)
        if self.slow:
            self._on_their_way |= {each.client_order_id for each in placed if each is not None}
        return super().submit(command)

    def updates(self) -> list[AnyOrderFact]:
        told = super().updates()
        return [fact for fact in told if fact.client_order_id not in self._on_their_way]


class SlowHands(Hands):
    """The act `slow`: the broker is slow from then on."""

    def _do(self, act: str) -> bool:
        assert isinstance(self._broker, SlowBroker)
        self._broker.slow |= act == "slow"
        return act == "slow" or super()._do(act)


@pytest.mark.parametrize(
    ("chosen", "number"), [("barriers", 2), ("barriers", 6), ("signal", 5), ("signal", 7)]
)
def test_a_doubt_about_cash_stands_while_an_order_is_on_its_way(
    chosen: str, number: int, tmp_path: Path
) -> None:
    """Cash is not compared meanwhile."""
    with fresh_ledger(tmp_path) as ledger:
        plan = plan_of(DAY, ledger, BARS, CHOSEN[chosen])
        exchange = RemoteExchange(simulated_broker(plan, ledger), plan)
        broker = SlowBroker(exchange)
        acts = [(number, "cash"), (number + 1, "slow")]
        hands = SlowHands(day_bars(plan, BARS), exchange, broker, acts)
        result = run_session(plan, ledger, broker, hands, exchange.clock)
        told = [event for _, event in ledger.events(plan.session_id)]
        doubted = next(
            n
            for n, each in enumerate(told)
            if isinstance(each, ev.BooksDiffered) and each.subject == "cash"
        )
        later = [each.order for each in told[doubted:] if isinstance(each, ev.OrderIntended)]
        assert Status.SUBMITTED in {each.status for each in result.working}
        assert [order for order in later if order.role == "entry"] == []
        kept = ledger.snapshot(plan.session_id)
        assert kept is not None
        assert kept.body["desk"]["cash_doubted"]


@settings(max_examples=6, deadline=None)
@given(
    acts=st.lists(st.tuples(st.integers(2, 13), st.sampled_from(sorted(SUBJECTS))), max_size=6),
    chosen=st.sampled_from(["barriers", "signal"]),
)
def test_random_hands_leave_equal_books_and_no_wrong_order(
    acts: list[tuple[int, str]], chosen: str
) -> None:
    with tempfile.TemporaryDirectory() as folder, fresh_ledger(Path(folder) / "a") as ledger:
        plan, result, broker, hands = trade(ledger, chosen, acts)
        assert result.state == "completed"
        found = {each.subject for each in differences(ledger, plan.session_id)}
        assert {SUBJECTS[act] for act in hands.done if act in ("trade", "order")} <= found
        assert broker.wrong == []
        left = reconcile(ledger, plan.session_id, broker).differences
        assert [each for each in left if each.kind != "cash"] == []
        assert "cash" in hands.done or "trade" in hands.done or not left
        assert set(differing_rows(ledger, books_from_events(ledger)).values()) == {0}
        again = replay_session(plan, BARS, ledger, Path(folder) / "scratch.sqlite")
        assert again.equal, again.summary()
