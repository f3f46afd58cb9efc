"""A small day through the exchange, alpaca-py and the session: what the replayed session of the
same day does, and what the exchange's own ledger says, order by order.
"""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from exchange.alpaca_world import HeardBroker, broker_at, settings, wait_until
from exchange.exchange_world import CALENDAR, DAY, KEYS, OPEN, rules, server, walk
from session.days import Contrarian, fresh_ledger

from harmony_pipeline.exchange.control import commit
from harmony_pipeline.exchange.server import ExchangeServer
from harmony_pipeline.execution.brokers.alpaca.keys import Keys
from harmony_pipeline.execution.events import BooksReconciled
from harmony_pipeline.features.catalog import FeatureSet
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.portfolio.kernel_types import MONEY
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.schemas import CORPORATE_ACTIONS
from harmony_pipeline.session.alpaca_bars import alpaca_bars, fees_of, quote_before
from harmony_pipeline.session.day_plan import plan_day
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.live_bars import LiveBars
from harmony_pipeline.session.opening import opening_of
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.session.reconcile import reconcile
from harmony_pipeline.session.replay import replay_day
from harmony_pipeline.session.result import SessionResult
from harmony_pipeline.session.runner import run_session
from harmony_pipeline.session.session_replay import replay_session
from harmony_pipeline.session.stream import Batch, Quiet

SYMBOLS = ("AAA", "BBB", "CCC")
MINUTES = 52
FEATURES = FeatureSet.of(("volatility_20", "momentum_2", "log_return"))


def day_of(seed: int) -> pl.DataFrame:
    """BARS of the first minutes of a day."""
    bars = walk(seed, MINUTES, SYMBOLS).with_columns(
        timeframe=pl.lit("1Min"), adjustment_factor=pl.lit(1.0)
    )
    return CALENDAR.with_session(bars, "1Min").sort("symbol", "timestamp")


def plan_of(ledger: Ledger, chosen: TradingRules) -> SessionPlan:
    opening = opening_of(ledger, "paper", DAY, chosen.initial_cash)
    return plan_day(
        DAY, opening, SYMBOLS, strategy_name="contrarian", strategy=Contrarian(0.003),
        rules=chosen, feature_set=FEATURES, feature_states={}, calendar=CALENDAR,
        timeframe="1Min", actions=CORPORATE_ACTIONS.empty(),
    )  # fmt: skip


class SteppedBars:
    """The live bars of a stepped exchange: each minute opens, is traded on, and ends."""

    def __init__(self, exchange: ExchangeServer, live: LiveBars, faults: dict[int, Any]) -> None:
        self._exchange, self._live, self._faults = exchange, live, faults

    def moments(self) -> Iterator[Batch | Quiet]:
        """Every minute, with a silence after its open."""
        heard = self._live.moments()
        number = 0
        while not self._exchange.venue.is_over:
            self._exchange.step(1)
            yield Quiet(self._exchange.venue.now)
            for fault in self._faults.get(number, ()):
                self._exchange.call(commit(self._exchange, fault))
            self._exchange.step(1)
            yield next(item for item in heard if isinstance(item, Batch))
            number += 1
        heard.close()  # type: ignore[attr-defined]


def trade_at(
    exchange: ExchangeServer, plan: SessionPlan, ledger: Ledger, faults: dict[int, Any]
) -> tuple[SessionResult, HeardBroker]:
    """The session at the exchange, over real connections."""
    reference = quote_before(settings(exchange), Keys(*KEYS))
    broker = broker_at(
        exchange, fees=fees_of(plan), reference=reference, poll_seconds=0.2 if faults else 60.0
    )
    live = alpaca_bars(
        settings(exchange, gather_seconds=0.02), Keys(*KEYS), MarketSettings(), plan,
        broker.clock, until=OPEN + timedelta(minutes=MINUTES),
    )  # fmt: skip
    live._quiet = 0.05
    result = run_session(plan, ledger, broker, SteppedBars(exchange, live, faults), broker.clock)
    return result, broker


def fills_of(result: SessionResult) -> list[tuple[Any, ...]]:
    columns = ("order_id", "timestamp", "side", "quantity", "price", "fee", "liquidity",
               "reference_price")  # fmt: skip
    return sorted(result.fills.select(columns).rows())


def test_a_day_at_the_exchange_is_the_replayed_day_and_the_exchanges_ledger(
    tmp_path: Path,
) -> None:
    chosen, bars = rules(half_spread_bps=3.0), day_of(5)
    here, there = fresh_ledger(tmp_path / "a"), fresh_ledger(tmp_path / "b")
    replayed = replay_day(plan_of(here, chosen), bars, here)
    plan = plan_of(there, chosen)
    exchange = server(bars, tmp_path / "exchange.sqlite", {"rules": chosen})
    with exchange:
        result, _ = trade_at(exchange, plan, there, {})
        venue = exchange.venue
        assert result.state == "completed"
        assert fills_of(result) == fills_of(replayed)
        assert result.fills.height > 6
        assert {"maker", "taker"} == set(result.fills["liquidity"])
        same = ("order_id", "client_order_id", "side", "quantity", "status")
        assert sorted(result.orders.select(same).rows()) == sorted(
            replayed.orders.select(same).rows()
        )
        for theirs, ours in zip(replayed.equity.rows(), result.equity.rows(), strict=True):
            assert ours == theirs
        # the exchange's own ledger, order by order, to the cent
        cash = int(result.closing.portfolio.account[0]["cash"])
        assert cash == venue.books.cash
        assert venue.books.is_balanced()
        broker = broker_at(exchange)
        assert reconcile(there, result.session_id, broker).differences == ()
        assert_same_orders(result, broker, venue)
        broker.close()
    again = replay_session(plan, bars, there, tmp_path / "again.sqlite")
    assert again.equal, again.summary()


def assert_same_orders(result: SessionResult, broker: HeardBroker, venue: Any) -> None:
    """Each order of the session that has fills has the exchange's quantity and average price."""
    bought: dict[str, float] = {}
    for name, quantity in result.fills.select("order_id", "quantity").rows():
        bought[name] = bought.get(name, 0.0) + quantity
    sent = result.orders.filter(pl.col("status") != "refused")
    shown = {order.client_order_id: order for order in broker.orders(open_only=False)}
    assert set(sent["client_order_id"]) <= set(shown)
    assert len(shown) == len(venue.orders)  # none twice
    for order_id, name in sent.select("order_id", "client_order_id").rows():
        assert shown[name].filled_quantity == pytest.approx(bought.get(order_id, 0.0))


FAULTS: dict[int, list[dict[str, Any]]] = {
    22: [{"kind": "lost_answer", "method": "POST", "path": "/v2/orders", "times": 2}],
    26: [{"kind": "status", "status": 503, "times": 2}],
    30: [{"kind": "duplicate", "times": 3}],
    34: [{"kind": "status", "status": 504, "performed": True, "method": "POST",
          "path": "/v2/orders"}],
    40: [{"kind": "status", "status": 429, "retry_after": 0, "times": 2}],
    46: [{"kind": "duplicate", "times": 2}, {"kind": "reorder", "times": 1}],
}  # fmt: skip


def test_a_day_of_faults_leaves_the_same_books(tmp_path: Path) -> None:
    chosen, bars = rules(), day_of(6)
    ledger = fresh_ledger(tmp_path)
    plan = plan_of(ledger, chosen)
    with server(bars, venue_options={"rules": chosen}) as exchange:
        result, _ = trade_at(exchange, plan, ledger, FAULTS)
        assert result.fills.height > 5
        broker = broker_at(exchange)
        wait_until(lambda: broker.stream.is_up)
        assert reconcile(ledger, result.session_id, broker).differences == ()
        assert_same_orders(result, broker, exchange.venue)
        assert int(result.closing.portfolio.account[0]["cash"]) == exchange.venue.books.cash
        disputes = [
            event
            for _, event in ledger.events(result.session_id)
            if isinstance(event, BooksReconciled) and event.differences
        ]
        assert disputes == []
        assert exchange.venue.books.cash != chosen.initial_cash * MONEY
        broker.close()
    again = replay_session(plan, bars, ledger, tmp_path / "again.sqlite")
    assert again.equal, again.summary()
