"""Questions that the broker refuses in the middle of a session: none ends it, and it trades the day
that it would have traded.
"""

from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import pytest
from exchange.alpaca_world import at_exchange
from session.days import fresh_ledger

from harmony_pipeline.errors import BrokerUnavailable
from harmony_pipeline.exchange.control import commit
from harmony_pipeline.exchange.local_server import LOST_ANSWER, Fault
from harmony_pipeline.execution.brokers.alpaca.broker import AlpacaBroker
from harmony_pipeline.execution.brokers.alpaca.keys import Keys
from harmony_pipeline.execution.events import (
    BooksDiffered,
    OrderTerms,
    PositionAdopted,
    SubmitOrder,
)
from harmony_pipeline.session.reconcile import reconcile
from harmony_pipeline.session.result import SessionResult
from harmony_pipeline.testing.stepped_day import KEYS, OPEN, SYMBOLS, SteppedWorld

READINGS = ("/v2/orders", "/v2/positions", "/v2/account", "/v2/clock", "/v2/account/activities")
REFUSED = Fault(status=422, body={"code": 42210000, "message": "invalid query"})
SEED = 7


class RefusingWorld(SteppedWorld):
    """At which, before a minute's bars are heard, a hand trades and questions are refused."""

    bought_by_hand: ClassVar[dict[int, tuple[str, str]]] = {}  # minute -> symbol, shares
    refusals: ClassVar[dict[int, int]] = {}  # minute -> how many of the next questions
    path: ClassVar[str] = ""

    def happen(self, minute: int, moment: int) -> None:
        if moment == 2 and minute in self.bought_by_hand:
            symbol, shares = self.bought_by_hand.pop(minute)
            bought = {"symbol": symbol, "side": "buy", "quantity": shares}
            self.exchange.call(commit(self.exchange, {"kind": "trade_by_hand", **bought}))
        if moment == 2:
            times = self.refusals.pop(minute, 0)
            self.exchange.faults.add(*[REFUSED] * times, path=self.path, method="GET")
        super().happen(minute, moment)


def traded(
    folder: Path, path: str, refusals: dict[int, int], by_hand: dict[int, tuple[str, str]]
) -> tuple[SessionResult, list[Any]]:
    """A day, and what differed in it; its books are those of the exchange."""
    folder.mkdir()
    ledger = fresh_ledger(folder)
    with RefusingWorld(SEED, folder) as world:
        world.path, world.refusals, world.bought_by_hand = path, refusals, by_hand  # type: ignore[misc]
        result = world.session(ledger, clock_seconds=0.001)
        assert world.exchange.faults.left == 0
        assert not world.refusals
        assert world.differences(result) == []
        with closing(AlpacaBroker(world.settings(), Keys(*KEYS))) as broker:
            assert reconcile(ledger, result.session_id, broker).agrees
    kinds = (BooksDiffered, PositionAdopted)
    return result, [each for _, each in ledger.events(result.session_id) if isinstance(each, kinds)]


@pytest.mark.parametrize("path", READINGS[:4])
def test_a_question_that_is_refused_changes_nothing_of_a_day(path: str, tmp_path: Path) -> None:
    expected, _ = traded(tmp_path / "undisturbed", path, {}, {})
    found, differed = traded(tmp_path / "refused", path, dict.fromkeys((5, 9, 14, 20), 1), {})
    assert found.state == "completed"
    assert differed == []
    assert found.fills.drop("session_id").equals(expected.fills.drop("session_id"))


@pytest.mark.parametrize("path", READINGS)
def test_shares_from_a_hand_are_adopted_when_the_questions_about_them_were_refused(
    path: str, tmp_path: Path
) -> None:
    result, differed = traded(tmp_path / "day", path, {8: 5}, {8: (SYMBOLS[0], "5")})
    assert result.state == "completed"
    adopted = [each for each in differed if isinstance(each, PositionAdopted)]
    assert [(each.symbol, each.quantity_after - each.quantity_before) for each in adopted] == [
        (SYMBOLS[0], 5.0)
    ]


def test_an_order_whose_answer_was_lost_is_not_rejected_when_nobody_may_look_it_up() -> None:
    terms = OrderTerms(
        client_order_id="c-1", order_id="c-1", symbol="AAPL", role="entry", side="buy",
        quantity=10.0, decided_at=OPEN, time_in_force="day",
    )  # fmt: skip
    with at_exchange() as (exchange, broker):
        exchange.faults.add(LOST_ANSWER, path="/v2/orders", method="POST")
        exchange.faults.add(REFUSED, path="/v2/orders:", method="GET")
        with pytest.raises(BrokerUnavailable, match="what became of order c-1 is unknown"):
            broker.submit(SubmitOrder(terms))
        assert len(exchange.venue.orders) == 1
        assert broker.submit(SubmitOrder(terms)).client_order_id == "c-1"
        assert len(exchange.venue.orders) == 1
