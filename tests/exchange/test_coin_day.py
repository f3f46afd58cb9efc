"""Coins at the exchange: alpaca-py's own clients of them, and sessions around the clock, whose books
are the exchange's, order by order, over midnight and over a crash.
"""

import queue
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from alpaca.data.historical.crypto import CryptoHistoricalDataClient
from alpaca.data.live.crypto import CryptoDataStream
from alpaca.data.requests import CryptoBarsRequest, CryptoLatestQuoteRequest
from alpaca.data.timeframe import TimeFrame
from alpaca.trading.client import TradingClient
from alpaca.trading.requests import MarketOrderRequest, StopLimitOrderRequest
from exchange.alpaca_world import wait_until
from session.days import fresh_ledger

from harmony_pipeline.errors import DataError
from harmony_pipeline.exchange.market import ReplayMarket
from harmony_pipeline.exchange.refusals import Refused
from harmony_pipeline.exchange.server import ExchangeServer
from harmony_pipeline.exchange.venue import Venue
from harmony_pipeline.execution.events import BooksDiffered, BooksReconciled
from harmony_pipeline.session.day_plan import states_before
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.session.result import SessionResult
from harmony_pipeline.session.session_replay import replay_session
from harmony_pipeline.testing.crashes import Crash, CrashingLedger, Fuse
from harmony_pipeline.testing.kills import books_of
from harmony_pipeline.testing.stepped_day import (
    AROUND_THE_CLOCK,
    FEATURES,
    KEYS,
    PAIRS,
    Happening,
    SteppedWorld,
    coin_plan_of,
    coin_rules,
    day_of,
)

EVENING = 26  # minutes of the first day
BEGIN = datetime(2024, 3, 9, 23, 60 - EVENING, tzinfo=UTC)  # a Saturday
DAYS = (date(2024, 3, 9), date(2024, 3, 10))
MINUTES = EVENING + 18
SEED = 1


def coin_market() -> pl.DataFrame:
    return day_of(SEED, MINUTES, PAIRS, AROUND_THE_CLOCK, BEGIN)


class CoinWorld(SteppedWorld):
    """Two days of coins, one session each."""

    def __init__(self, folder: Path, bars: pl.DataFrame | None = None) -> None:
        market = coin_market() if bars is None else bars
        super().__init__(SEED, folder, MINUTES, rules=coin_rules(), market=market)
        self.taken_away_at: int | None = None
        self.taken_away: list[str] = []

    def happen(self, minute: int, moment: int) -> None:
        """Somebody takes a stop away, once."""
        super().happen(minute, moment)
        if (minute, moment) == (self.taken_away_at, 1) and not self.taken_away:
            stop = next(each for each in self.exchange.venue.orders.values() if each.is_open)
            self.taken_away.append(stop.symbol)
            self.exchange.call(self._cancel(stop.id))

    async def _cancel(self, order_id: str) -> None:
        self.exchange.venue.cancel(order_id)
        await self.exchange.tell()

    def plan_on(self, day: date, ledger: Ledger) -> SessionPlan:
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        states = states_before(start, self.bars, FEATURES, None, AROUND_THE_CLOCK, "1Min")
        return coin_plan_of(ledger, self.rules, day, states)

    def live(self, day: date, ledger: Ledger, fuse: Fuse | None = None) -> SessionResult:
        self.plan = lambda book, _rules: self.plan_on(day, book)
        return self.session(ledger, fuse)

    def of_day(self, result: SessionResult) -> list[str]:
        """Differences, but for orders of the other day's session."""
        found = self.differences(result)
        return [each for each in found if result.date.isoformat() in each or "cash" in each]


def test_two_days_around_the_clock_have_the_exchanges_books(tmp_path: Path) -> None:
    ledger = fresh_ledger(tmp_path)
    with CoinWorld(tmp_path) as world:
        results = []
        for number, day in enumerate(DAYS):
            plan = world.plan_on(day, ledger)
            result = world.live(day, ledger)
            results.append(result)
            assert result.state == "completed"
            assert world.of_day(result) == []
            books = world.exchange.venue.books
            assert int(result.closing.portfolio.account[0]["cash"]) == books.cash
            assert result.shares == {name: float(held) for name, held in books.holdings()}
            assert books.is_balanced()
            bars = world.bars.filter(pl.col("session_date") == day)
            again = replay_session(plan, bars, ledger, tmp_path / f"again{number}.sqlite")
            assert again.equal, again.summary()
    first, second = results
    carried = {order.terms.role for order in second.carried}
    assert {"stop", "take"} <= carried  # over midnight: one rests at the exchange, one is kept
    assert first.shares
    exits = pl.concat([first.orders, second.orders]).filter(pl.col("status") == "filled")
    assert {"take", "stop", "vertical"} <= set(exits["reason"])
    assert not disputes(ledger, results)


def disputes(ledger: Ledger, results: list[SessionResult]) -> list[str]:
    """What ledger and exchange disagreed on, at the start and on the way."""
    events = [event for each in results for _, event in ledger.events(each.session_id)]
    found = [event.sentence for event in events if isinstance(event, BooksDiffered)]
    return found + [
        sentence
        for event in events
        if isinstance(event, BooksReconciled)
        for sentence in event.differences
    ]


def test_a_crash_anywhere_ends_in_the_same_books(tmp_path: Path) -> None:
    def days(name: str, points: tuple[int, ...]) -> tuple[Any, int]:
        folder = tmp_path / name
        folder.mkdir()
        path, fuse = folder / "ledger.sqlite", Fuse()
        with CoinWorld(folder) as world:
            with Ledger(path) as ledger:
                world.live(DAYS[0], ledger)
            for point in points:
                fuse = Fuse(point)
                with pytest.raises(Crash), CrashingLedger(path, fuse) as ledger:
                    world.live(DAYS[1], ledger, fuse)
            with CrashingLedger(path, fuse := Fuse()) as ledger:
                result = world.live(DAYS[1], ledger, fuse)
            assert world.of_day(result) == []
        return books_of(result), fuse.steps

    expected, steps = days("whole", ())
    for point in (steps // 2, steps - 9):
        assert days(str(point), (point,))[0] == expected, point


def test_a_price_that_passes_the_stop_by_is_left_at_the_market(tmp_path: Path) -> None:
    """The first bar after midnight opens beyond the limit of every stop, and stays there."""
    fallen = pl.col("timestamp") >= datetime(2024, 3, 10, 0, 1, tzinfo=UTC)
    prices = ("open", "high", "low", "close")
    bars = coin_market().with_columns(
        pl.when(fallen).then((pl.col(name) * 0.9).round(2)).otherwise(name).alias(name)
        for name in prices
    )
    ledger = fresh_ledger(tmp_path)
    with CoinWorld(tmp_path, bars=bars) as world:
        held = world.live(DAYS[0], ledger).shares
        result = world.live(DAYS[1], ledger)
        assert world.of_day(result) == []
        stops = [
            order
            for order in world.exchange.venue.orders.values()
            if order.type == "stop_limit" and order.triggered and not order.filled_qty
        ]
    assert {order.symbol for order in stops} == set(held)
    assert {order.status for order in stops} == {"canceled"}
    left = result.fills.filter(pl.col("timestamp") == datetime(2024, 3, 10, 0, 2, tzinfo=UTC))
    sold = result.orders.filter(pl.col("order_id").is_in(left["order_id"].to_list()))
    assert set(sold["reason"]) == {"stop"}
    assert set(sold["symbol"]) == set(held)


def test_a_stop_that_somebody_takes_away_closes_the_position(tmp_path: Path) -> None:
    ledger = fresh_ledger(tmp_path)
    with CoinWorld(tmp_path) as world:
        world.live(DAYS[0], ledger)
        world.taken_away_at = EVENING + 1  # by hand, in the second minute after midnight
        result = world.live(DAYS[1], ledger)
        assert world.of_day(result) == []
        [symbol] = world.taken_away
    told = {
        order.terms.role: order.status for order in result.carried if order.terms.symbol == symbol
    }
    assert told == {"stop": "canceled", "take": "canceled"}
    first = result.orders.filter(pl.col("symbol") == symbol).row(0, named=True)
    assert (first["reason"], first["status"]) == ("unprotected", "filled")


def test_a_day_heard_over_the_market_data_stream_is_the_same(tmp_path: Path) -> None:
    """By alpaca-py's stream of coins, cut once; what was missed is read by REST."""
    bars = day_of(SEED, 34, PAIRS, AROUND_THE_CLOCK)
    cut = [Happening(25, 1, {"kind": "drop", "stream": "data"})]
    fills = {}
    for hears_stream in (False, True):
        folder = tmp_path / str(hears_stream)
        folder.mkdir()
        with SteppedWorld(
            SEED, folder, 34, list(cut) if hears_stream else [], coin_rules(), hears_stream,
            coin_plan_of, bars,
        ) as world:  # fmt: skip
            result = world.session(fresh_ledger(folder))
            assert world.differences(result) == []
        columns = ("order_id", "timestamp", "side", "quantity", "price", "fee", "liquidity")
        fills[hears_stream] = sorted(result.fills.select(columns).rows())
    assert fills[True] == fills[False]
    assert len(fills[True]) > 4


# --- the exchange ---------------------------------------------------------------------------------


@pytest.fixture
def exchange() -> Iterator[ExchangeServer]:
    market = ReplayMarket(coin_market(), AROUND_THE_CLOCK)
    with ExchangeServer(Venue(market, coin_rules()), KEYS, requests_per_minute=10_000) as made:
        made.step(1)
        yield made


def test_alpacas_clients_trade_coins_here(exchange: ExchangeServer) -> None:
    client = TradingClient(*KEYS, paper=True, url_override=exchange.url)
    asset = client.get_asset("BTC/USD")
    assert (asset.asset_class, asset.fractionable, asset.shortable) == ("crypto", True, False)
    assert (asset.min_order_size, asset.min_trade_increment, asset.price_increment) == (
        0.001, 1e-9, 0.01,
    )  # fmt: skip
    bought = client.submit_order(
        MarketOrderRequest(symbol="BTCUSD", qty=1.123456789, side="buy", time_in_force="gtc")
    )
    assert (bought.symbol, bought.asset_class) == ("BTC/USD", "crypto")
    exchange.step(2)
    position = client.get_open_position("BTCUSD")
    # 25 basis points of 1.123456789 coins, up to the ninth digit, are not received
    assert Decimal(position.qty) == Decimal("1.123456789") - Decimal("0.002808642")
    assert position.symbol == "BTCUSD"
    stop = client.submit_order(
        StopLimitOrderRequest(
            symbol="BTC/USD", qty=float(position.qty), side="sell", time_in_force="gtc",
            stop_price=40.0, limit_price=39.6,
        )
    )  # fmt: skip
    assert stop.order_type == "stop_limit"
    assert client.get_open_position("BTC/USD").qty_available == "0"
    client.cancel_order_by_id(stop.id)
    client.close_position("BTCUSD")
    exchange.step(2)
    assert client.get_all_positions() == []
    fees = client.get("/account/activities/CFEE")
    assert [row["qty"] for row in fees] == ["-0.002808642"]
    assert exchange.venue.books.is_balanced()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"time_in_force": "day"}, "invalid crypto time_in_force"),
        ({"type": "stop", "stop_price": "60"}, "invalid order type for crypto order"),
        ({"qty": "0.0009"}, "minimal qty of order 0.001"),
        ({"qty": "1.0000000001"}, "increments of 0.000000001"),
        ({"type": "limit", "limit_price": "50.001"}, "increments are 0.01"),
        ({"side": "sell"}, r"insufficient balance for BTC \(requested: 1, available: 0\)"),
        ({"qty": "3000"}, "insufficient balance for USD"),
        ({"type": "limit", "limit_price": "50", "order_class": "oco",
           "take_profit": {"limit_price": "40"}, "stop_loss": {"stop_price": "60"}},
         "not allowed for advanced order_class: oco"),
        ({"extended_hours": True}, "extended hours"),
    ],
)  # fmt: skip
def test_what_coins_cannot_do_is_refused(
    exchange: ExchangeServer, changes: dict[str, Any], words: str
) -> None:
    order = {"symbol": "BTC/USD", "qty": "1", "side": "buy", "type": "market",
             "time_in_force": "gtc"}  # fmt: skip
    with pytest.raises(Refused, match=words):
        exchange.venue.submit(order | changes)
    assert exchange.venue.orders == {}


def test_alpacas_clients_read_and_hear_coins_here(exchange: ExchangeServer) -> None:
    exchange.step(5)
    history = CryptoHistoricalDataClient(url_override=exchange.url)  # without keys, as at Alpaca
    asked = CryptoBarsRequest(
        symbol_or_symbols=list(PAIRS), timeframe=TimeFrame.Minute, start=BEGIN
    )
    bars = history.get_crypto_bars(asked).data
    assert [len(bars[pair]) for pair in PAIRS] == [3, 3, 3]
    frame = exchange.venue.market.frame.filter(pl.col("symbol") == "ETH/USD")
    assert [bar.close for bar in bars["ETH/USD"]] == frame["close"].head(3).to_list()
    latest = history.get_crypto_latest_quote(CryptoLatestQuoteRequest(symbol_or_symbols="BTC/USD"))
    assert latest["BTC/USD"].ask_price == bars["BTC/USD"][-1].close
    heard: queue.SimpleQueue[Any] = queue.SimpleQueue()

    async def hear(item: Any) -> None:
        heard.put(item)

    stream = CryptoDataStream(*KEYS, url_override=exchange.data_stream_url)
    stream.subscribe_bars(hear, "BTC/USD")
    stream.subscribe_trades(hear, "ETH/USD")
    thread = threading.Thread(target=stream.run, daemon=True)
    thread.start()
    wait_until(lambda: exchange.hub.listeners and exchange.hub.listeners[0].wanted["trades"])
    exchange.step(2)
    found = [heard.get(timeout=5) for _ in range(3)]  # a trade at the open, one at the close
    threading.Thread(target=stream.stop, daemon=True).start()
    exchange.call(exchange.drop("data"))  # else it waits for its next frame
    thread.join(10)
    assert not thread.is_alive()
    *trades, bar = sorted(found, key=lambda each: hasattr(each, "close"))
    assert (bar.symbol, {trade.symbol for trade in trades}) == ("BTC/USD", {"ETH/USD"})
    row = exchange.venue.market.frame.filter(pl.col("symbol") == "BTC/USD").row(3, named=True)
    assert (bar.timestamp, bar.close, bar.volume) == (
        row["timestamp"], row["close"], row["volume"],
    )  # fmt: skip


def test_shares_and_coins_are_not_replayed_together() -> None:
    mixed = coin_market().with_columns(pl.col("symbol").replace({"SOL/USD": "SOLX"}))
    with pytest.raises(DataError, match="replay them apart"):
        ReplayMarket(mixed, AROUND_THE_CLOCK)
