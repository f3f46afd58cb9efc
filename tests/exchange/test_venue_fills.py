"""The exchange fills as the backtest does, and its books are exact."""

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from exchange.exchange_world import CALENDAR, SYMBOLS, rules, venue, walk

from harmony_pipeline.exchange.market import ENDS, MarketBar
from harmony_pipeline.exchange.orders import Json
from harmony_pipeline.exchange.refusals import Refused
from harmony_pipeline.exchange.venue import Venue
from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.brokers.simulated import SimulatedBroker
from harmony_pipeline.execution.events import OrderTerms, SubmitOrder
from harmony_pipeline.execution.exchange import ExchangeState
from harmony_pipeline.instants import moment
from harmony_pipeline.portfolio.kernel_types import BAR, Record, records

NOISE: dict[str, dict[str, Any]] = {
    "no noise": {},
    "thin": {"max_participation": 0.001},
    "partial fills": {"partial_fill_probability": 0.4, "seed": 7},
    "late": {"latency_bars": 1, "latency_milliseconds": 250.0},
    "costs": {"half_spread_bps": 3.0, "impact_coefficient": 0.7},
}


class Pair:
    """The exchange and the simulated broker, given the same orders and bars."""

    def __init__(self, world: int, noise: dict[str, Any]) -> None:
        chosen = rules(**noise)
        self.venue: Venue = venue(walk(world, 60), rules=chosen)
        self.broker = SimulatedBroker(
            ExchangeState.empty(SYMBOLS), chosen.records(SYMBOLS), cash=1_000_000_000
        )
        self.facts: list[ev.AnyOrderFact] = []
        self.random = np.random.default_rng(world)
        self.protected: set[str] = set()

    def run(self) -> None:
        """Every event of the market, with orders at the end of each minute."""
        while not self.venue.is_over:
            event = self.venue.market.event(self.venue.next_event)
            assert event is not None
            bars = list(self.venue.market.bars_of(event.number))
            self.venue.advance()
            for bar in bars:
                record = _record(bar)
                if event.kind == ENDS:
                    self.broker.match_range(record)
                else:
                    self.broker.match_open(record)
            self.facts += self.broker.updates()
            if event.kind == ENDS:
                self.decide()
            else:
                self.protect(event.time)

    def decide(self) -> None:
        """Enter with chance where nothing is held and nothing works."""
        for symbol in SYMBOLS:
            if self.venue.books.shares(symbol) or self.venue.working(symbol):
                continue
            side = self.random.choice(["buy", "sell"])
            quantity = float(self.random.integers(1, 90))
            if self.random.random() < 0.5:
                self.enter(symbol, str(side), quantity)

    def enter(self, symbol: str, side: str, quantity: float) -> None:
        name = f"{symbol}-{self.venue.next_event}"
        self.venue.submit(_body(symbol, side, quantity, name, time_in_force="ioc"))
        self.broker.submit(SubmitOrder(self.terms(name, symbol, side, quantity)))
        self.facts += self.broker.updates()

    def protect(self, at: int) -> None:
        """Both exits of what was just entered, as soon as its rest is gone."""
        for symbol in SYMBOLS:
            held = self.venue.books.shares(symbol)
            if not held or self.venue.working(symbol):
                continue
            sign, price = (1 if held > 0 else -1), self.venue.marks[symbol]
            side, quantity = ("sell" if held > 0 else "buy"), abs(float(held))
            take, stop = round(price + 0.12 * sign, 2), round(price - 0.08 * sign, 2)
            name = f"{symbol}-{self.venue.next_event}"
            self.venue.submit(
                _body(
                    symbol, side, quantity, name, type="limit", order_class="oco",
                    time_in_force="gtc", take_profit={"limit_price": take},
                    stop_loss={"stop_price": stop},
                )
            )  # fmt: skip
            shared = {"entry_bar": moment(at), "time_in_force": "gtc"}
            self.broker.submit(
                SubmitOrder(
                    self.terms(f"{name}-s", symbol, side, quantity, role="stop", kind="stop",
                               stop_price=stop, **shared),
                    self.terms(f"{name}-t", symbol, side, quantity, role="take", kind="limit",
                               limit_price=take, **shared),
                )
            )  # fmt: skip

    def terms(self, name: str, symbol: str, side: str, quantity: float, **of: Any) -> OrderTerms:
        at = self.venue.now
        usual: dict[str, Any] = {"role": "entry", "decided_at": at, "entry_decided_at": at}
        return OrderTerms(
            client_order_id=name, order_id=name, symbol=symbol, side=side, quantity=quantity,
            **{**usual, **of},
        )  # fmt: skip


def _record(bar: MarketBar) -> Record:
    record = records(1, BAR)[0]
    for name in ("at", "end", "open", "high", "low", "close", "volume", "factor"):
        record[name] = getattr(bar, name)
    record["symbol"] = SYMBOLS.index(bar.symbol)
    return record


def _body(symbol: str, side: str, quantity: float, name: str, **more: Any) -> Json:
    return {
        "symbol": symbol, "side": side, "qty": str(quantity), "type": "market",
        "client_order_id": name, **more,
    }  # fmt: skip


def _executions(updates: list[Json]) -> list[tuple[Any, ...]]:
    return [
        (
            each["order"]["symbol"], each["order"]["side"], float(each["qty"]),
            float(each["price"]), each["timestamp"][:19],
        )
        for each in updates
        if each["event"] in {"fill", "partial_fill"}
    ]  # fmt: skip


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("seed", range(3))
def test_fills_and_cash_are_those_of_the_simulated_broker(noise: str, seed: int) -> None:
    pair = Pair(seed, NOISE[noise])
    pair.run()
    theirs = [
        (fact.symbol, fact.side, fact.quantity, fact.price, fact.happened_at.isoformat()[:19])
        for fact in pair.facts
        if isinstance(fact, ev.OrderPartiallyFilled)
    ]
    assert len(theirs) > (4 if noise != "thin" else 2)
    assert sorted(_executions(pair.venue.updates)) == sorted(theirs)
    spent = 1_000_000_000 - pair.broker.account().cash * 10_000  # type: ignore[operator]
    assert 1_000_000_000 - pair.venue.books.cash == pytest.approx(spent, abs=0.5)
    assert pair.venue.books.is_balanced()
    for position in pair.broker.positions():
        assert float(pair.venue.books.shares(position.symbol)) == position.quantity


@pytest.mark.parametrize("seed", range(4))
def test_books_balance_and_add_up_to_the_fills_whatever_is_asked(seed: int) -> None:
    made, random = venue(walk(seed, 40)), np.random.default_rng(seed)
    kinds = ("market", "limit", "stop", "stop_limit", "trailing_stop")
    while not made.is_over:
        made.advance()
        for _ in range(3):
            symbol, price = str(random.choice(SYMBOLS)), 50.0
            price = round(made.marks.get(symbol, price) + float(random.normal(0, 0.1)), 2)
            body = _body(
                symbol, str(random.choice(["buy", "sell"])), int(random.integers(1, 50)), None,  # type: ignore[arg-type]
                time_in_force=str(random.choice(["day", "gtc", "ioc", "fok"])),
            )  # fmt: skip
            body["type"] = kind = str(random.choice(kinds))
            body |= {"limit_price": price} if "limit" in kind else {}
            body |= {"stop_price": price} if kind in {"stop", "stop_limit"} else {}
            body |= {"trail_price": "0.05"} if kind == "trailing_stop" else {}
            try:
                answer = made.submit(body)
                if random.random() < 0.2:
                    made.cancel(answer["id"])
            except Refused as refused:
                assert refused.status in {403, 422}
    assert made.books.is_balanced()
    for symbol in SYMBOLS:
        total = sum(
            (order.sign * order.filled_qty for order in made.orders.values()
             if order.symbol == symbol),
            Decimal(0),
        )  # fmt: skip
        assert made.books.shares(symbol) == total
    value = sum(round(order.sign * order.filled_value * 10_000) for order in made.orders.values())
    fees = int(made.books.balance("fees", "money"))
    assert made.books.cash == 1_000_000_000 - value - fees
    assert any(order.type == "trailing_stop" and order.filled_qty for order in made.orders.values())
    for order in made.orders.values():
        assert 0 <= order.filled_qty <= order.qty


def test_the_same_seed_gives_the_same_ids_and_another_one_others() -> None:
    def ids(seed: int) -> list[str]:
        made = venue(walk(0, 5), seed=seed)
        made.submit(_body("AAPL", "buy", 1, "x", time_in_force="day"))
        while not made.is_over:
            made.advance()
        return [*made.orders, *(each["execution_id"] for each in made.updates)]

    assert ids(3) == ids(3)
    assert not set(ids(3)) & set(ids(4))


def test_the_calendar_knows_the_session_of_the_world() -> None:
    made = venue()
    assert made.is_open()
    assert made.now == CALENDAR.session_open(made.now.date())
