"""The simulated broker keeps the contract, and adds nothing to what the compiled exchange does."""

from datetime import timedelta
from typing import Any

import pytest

from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.brokers.base import BarDriven, Broker
from harmony_pipeline.execution.brokers.simulated import SimulatedBroker
from harmony_pipeline.execution.events import SubmitOrder
from harmony_pipeline.execution.exchange import ExchangeState
from harmony_pipeline.execution.lifecycle import Status
from harmony_pipeline.execution.settings import CostSettings, ExecutionNoiseSettings
from harmony_pipeline.instants import micros
from harmony_pipeline.labels.settings import LabelSettings
from harmony_pipeline.portfolio.kernel_types import BAR, Record, records
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.portfolio.settings import BacktestSettings
from harmony_pipeline.risk.settings import RiskSettings
from harmony_pipeline.strategies.settings import StrategySettings
from harmony_pipeline.testing.broker_contract import DECIDED, BrokerContract


def rules(**luck: Any) -> TradingRules:
    return TradingRules.of(
        RiskSettings(),
        CostSettings(),
        ExecutionNoiseSettings(**luck),
        LabelSettings(),
        StrategySettings(use="none:None"),
        BacktestSettings(),
    )


def broker(**luck: Any) -> SimulatedBroker:
    return SimulatedBroker(
        ExchangeState.empty(["AAPL"]), rules(**luck).records(["AAPL"]), cash=100_000_000
    )


def bar(number: int, price: float, volume: float = 1e6, spread: float = 0.0) -> Record:
    """The `number`-th half hour after the decision, flat at `price` but for `spread`."""
    row = records(1, BAR)[0]
    start = DECIDED + timedelta(minutes=30 * number)
    row["at"], row["end"], row["volume"], row["factor"] = (
        micros(start),
        micros(start + timedelta(minutes=30)),
        volume,
        1.0,
    )
    row["open"], row["close"] = price, price
    row["high"], row["low"] = price + spread, price - spread
    return row


class TestSimulatedBroker(BrokerContract):
    """The exchange is shown one more flat bar whenever the market is to trade."""

    def make(self) -> Broker:
        self.bars = 0
        return broker()

    def let_trade(self, broker: Broker, price: float) -> None:
        assert isinstance(broker, BarDriven)
        row = bar(self.bars, price)
        broker.match_open(row)
        broker.match_range(row)
        self.bars += 1


MAKE = TestSimulatedBroker()


def test_chance_rejects_by_key_and_the_fact_comes_after_the_acceptance() -> None:
    unlucky = broker(reject_probability=1.0)
    unlucky.submit(SubmitOrder(MAKE.terms()))
    assert [ev.kind_of(fact) for fact in unlucky.updates()] == ["accepted", "rejected"]
    found = unlucky.order("c-1")
    assert found is not None
    assert found.status is Status.REJECTED


def test_more_than_the_bar_can_fill_expires_for_an_entry_and_stays_for_an_exit() -> None:
    made = broker()
    made.submit(SubmitOrder(MAKE.terms(quantity=100.0)))
    made.match_open(bar(0, 50.0, volume=200.0))  # 5 % of it: ten shares
    assert [ev.kind_of(fact) for fact in made.updates()] == [
        "accepted",
        "partially_filled",
        "expired",
    ]
    made.submit(SubmitOrder(MAKE.terms("c-2", role="exit", side="sell", quantity=10.0)))
    made.match_open(bar(1, 50.0, volume=100.0))
    assert [ev.kind_of(fact) for fact in made.updates()] == ["accepted", "partially_filled"]
    made.match_open(bar(2, 50.0, volume=1e6))
    assert [ev.kind_of(fact) for fact in made.updates()] == ["filled"]
    assert made.positions() == []


def test_an_order_meets_no_bar_before_its_decision() -> None:
    made = broker()
    made.submit(SubmitOrder(MAKE.terms(decided_at=DECIDED + timedelta(minutes=30))))
    made.match_open(bar(0, 50.0))
    assert made.positions() == []
    made.match_open(bar(1, 50.0))
    assert made.positions()[0].quantity == 10.0


def test_a_split_changes_shares_orders_and_nothing_else() -> None:
    made = broker()
    made.submit(SubmitOrder(MAKE.terms()))
    made.match_open(bar(0, 50.0))
    made.submit(SubmitOrder(*MAKE.legs()))
    made.updates()
    cash = made.account().cash
    made.split(1.55, bar(1, 32.0))
    assert made.positions()[0].quantity == 15.0  # half a share is paid out
    assert made.account().cash == pytest.approx((cash or 0.0) + 0.5 * 32.0)
    assert [(fact.client_order_id, ev.kind_of(fact)) for fact in made.updates()] == [
        ("c-stop", "adjusted"),
        ("c-take", "adjusted"),
    ]
    assert [order.quantity for order in made.orders()] == [15.0, 15.0]


def test_the_nights_are_in_its_cash() -> None:
    made = broker()
    before = made.account().cash
    made.finance(-12_345)
    made.finance(45)
    assert made.account().cash == pytest.approx(before - 1.23)


def test_dividends_are_paid_to_long_and_by_short_positions() -> None:
    for side, sign in (("buy", 1), ("sell", -1)):
        made = broker()
        made.submit(SubmitOrder(MAKE.terms(side=side)))
        made.match_open(bar(0, 50.0))
        cash = made.account().cash or 0.0
        made.dividend(0, 0.25)
        assert (made.account().cash or 0.0) - cash == pytest.approx(sign * 2.5)


@pytest.mark.parametrize("moment", range(5))
def test_a_restored_broker_goes_on_as_if_nothing_had_happened(moment: int) -> None:
    def act(made: SimulatedBroker, step: int) -> None:
        if step == 0:
            made.submit(SubmitOrder(MAKE.terms(quantity=40.0)))
        elif step == 2:
            made.submit(SubmitOrder(*MAKE.legs()))
        else:
            row = bar(step, 100.0 - step, volume=4000.0, spread=0.5)
            made.match_open(row)
            made.match_range(row)

    whole = broker(partial_fill_probability=0.5)
    told: list[ev.AnyOrderFact] = []
    for step in range(6):
        act(whole, step)
        told += whole.updates()
    cut = broker(partial_fill_probability=0.5)
    heard: list[ev.AnyOrderFact] = []
    for step in range(6):
        act(cut, step)
        if step == moment:  # the news of this step is still unfetched
            saved = cut.checkpoint()
            cut = broker(partial_fill_probability=0.5)
            cut.restore(saved)
        heard += cut.updates()
    assert heard == told
    assert cut.checkpoint() == whole.checkpoint()
    assert cut.exchange.to_dict() == whole.exchange.to_dict()
