"""The exchange as alpaca-py's own clients see it: refusals, streams, limits, restarts, faults."""

import asyncio
import contextlib
import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alpaca.common.exceptions import APIError
from alpaca.data.historical.stock import StockHistoricalDataClient
from alpaca.data.live.stock import StockDataStream
from alpaca.data.requests import StockBarsRequest, StockLatestQuoteRequest
from alpaca.data.timeframe import TimeFrame
from alpaca.trading.client import TradingClient
from alpaca.trading.requests import (
    ClosePositionRequest,
    GetCalendarRequest,
    GetOrdersRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    ReplaceOrderRequest,
    StopLossRequest,
    TakeProfitRequest,
)
from exchange.alpaca_world import broker_at, wait_until
from exchange.exchange_world import KEYS, OPEN, bars, server
from exchange.test_alpaca_traps import terms

from harmony_pipeline.exchange.market import ENDS, OPENS, Event
from harmony_pipeline.exchange.server import ExchangeServer, passed_at_once
from harmony_pipeline.execution.events import SubmitOrder

HOUR = timedelta(hours=1)
Sent = list[tuple[str, str, str]]


def client_of(exchange: ExchangeServer, **options: Any) -> Any:
    made = TradingClient(*KEYS, paper=True, url_override=exchange.url, **options)
    made._retry, made._retry_codes = 0, []
    return made


@contextmanager
def open_exchange(prices: Any = (100.0,) * 12, **options: Any) -> Iterator[tuple[Any, Any]]:
    with server(bars(prices), **options) as exchange:
        exchange.step(2)
        yield exchange, client_of(exchange)


def order(**changes: Any) -> dict[str, Any]:
    usual = {"symbol": "AAPL", "qty": "10", "side": "buy", "type": "market",
             "time_in_force": "day"}  # fmt: skip
    return {name: value for name, value in {**usual, **changes}.items() if value is not None}


REFUSALS: list[tuple[dict[str, Any], int, int | None, str]] = [
    (order(qty="0"), 422, 40010001, "qty must be > 0"),
    (order(qty=None), 422, 40010001, "qty or notional is required"),
    (order(type="limit"), 422, 40010001, "limit orders require a limit price"),
    (order(symbol="NOPE"), 422, 42210000, 'asset "NOPE" not found'),
    (order(type="limit", limit_price="290.123"), 422, 42210000, "sub-penny increment"),
    (order(qty="0.5", time_in_force="gtc"), 422, 42210000, "fractional orders must be DAY"),
    (order(qty="0.5", side="sell"), 422, 42210000, "cannot be sold short"),
    (order(notional="5", qty=None, time_in_force="gtc"), 422, 42210000, "must be DAY orders"),
    (order(notional="0.5", qty=None), 403, 40310000, "minimal amount of order 1"),
    (order(extended_hours=True), 422, 42210000, "extended hours order must be DAY"),
    (order(qty="100000"), 403, 40310000, "insufficient buying power"),
    (order(time_in_force="opg"), 403, 40310000, "opg orders must be submitted after 7:00pm"),
    (order(order_class="oco", type="limit", side="sell", take_profit={"limit_price": "101"},
           stop_loss={"stop_price": "99"}), 403, 40310000, "insufficient qty available"),
    (order(order_class="bracket", take_profit={"limit_price": "99"},
           stop_loss={"stop_price": "95"}), 422, 42210000, "take_profit.limit_price must be"),
    (order(order_class="bracket", take_profit={"limit_price": "101"}), 422, 42210000,
     "require stop_loss"),
    (order(client_order_id="x" * 129), 422, 40010001, "no more than 128"),
    (order(qty="many"), 400, 40010000, "request body format is invalid"),
]  # fmt: skip


def test_every_refusal_has_alpacas_status_code_and_sentence() -> None:
    with open_exchange() as (exchange, client):
        for body, status, code, words in REFUSALS:
            with pytest.raises(APIError) as raised:
                client.post("/orders", body)
            answer = json.loads(str(raised.value))
            assert (raised.value.status_code, answer.get("code")) == (status, code), body
            assert words in answer["message"], body
        assert exchange.venue.orders == {}
        assert exchange.venue.updates == []


def test_what_is_not_there_is_404_and_what_is_over_cannot_be_changed() -> None:
    with open_exchange() as (exchange, client):
        for ask in (
            lambda: client.get_order_by_client_id("nobody"),
            lambda: client.get_order_by_id("00000000-0000-4000-8000-000000000000"),
            lambda: client.get_open_position("AAPL"),
            lambda: client.get_asset("NOPE"),
        ):
            with pytest.raises(APIError) as raised:
                ask()
            assert (raised.value.status_code, raised.value.code) == (404, 40410000)
        client.post("/orders", order(client_order_id="one"))
        with pytest.raises(APIError, match="client_order_id must be unique"):
            client.post("/orders", order(client_order_id="one"))
        exchange.step(2)
        done = client.get_order_by_client_id("one")
        with pytest.raises(APIError, match="filled"):
            client.cancel_order_by_id(done.id)
        with pytest.raises(APIError, match="order is not open"):
            client.replace_order_by_id(done.id, ReplaceOrderRequest(qty=5))


@pytest.mark.parametrize("keys", [("PKWRONG", "x"), (KEYS[0], "x")])
def test_other_keys_are_refused(keys: tuple[str, str]) -> None:
    with open_exchange() as (exchange, _client):
        wrong = TradingClient(*keys, url_override=exchange.url)
        with pytest.raises(APIError) as raised:
            wrong.get_account()
        assert raised.value.status_code == 401


def test_the_201st_request_of_a_minute_is_one_too_many() -> None:
    with open_exchange(requests_per_minute=5) as (exchange, client):
        for _ in range(5):
            client.get_clock()
        with pytest.raises(APIError) as raised:
            client.post("/orders", order())
        headers = raised.value.response.headers
        assert raised.value.status_code == 429
        assert (headers["X-RateLimit-Limit"], headers["X-RateLimit-Remaining"]) == ("5", "0")
        assert float(headers["X-RateLimit-Reset"]) > time.time()
        assert exchange.venue.orders == {}


def test_when_the_limit_is_over_is_told_by_the_clock_of_the_answers() -> None:
    with open_exchange(requests_per_minute=1) as (exchange, client):
        exchange.clock = lambda: 1_900_000_000.0
        client.get_clock()
        with pytest.raises(APIError) as raised:
            client.get_clock()
        headers = raised.value.response.headers
        assert headers["Date"] == "Sun, 17 Mar 2030 17:46:40 GMT"
        assert 0.0 < float(headers["X-RateLimit-Reset"]) - 1_900_000_000.0 <= 60.0


def told(exchange: ExchangeServer, since: int = 0) -> Sent:
    return [
        (each["event"], each["order"]["type"], each["order"]["status"])
        for each in exchange.venue.updates[since:]
    ]


def test_a_bracket_lives_as_alpacas_does() -> None:
    with open_exchange([100.0, 100.0, 100.0, 100.0, 103.0, 103.0]) as (exchange, client):
        placed = client.submit_order(
            MarketOrderRequest(
                symbol="AAPL", qty=10, side="buy", time_in_force="gtc", order_class="bracket",
                take_profit=TakeProfitRequest(limit_price=102.0),
                stop_loss=StopLossRequest(stop_price=98.0),
            )
        )  # fmt: skip
        assert [leg.status.value for leg in placed.legs] == ["held", "held"]
        exchange.step(2)
        assert told(exchange) == [
            ("new", "market", "new"), ("fill", "market", "filled"), ("new", "limit", "new"),
        ]  # fmt: skip
        legs = {leg.type.value: leg.status.value for leg in client.get_orders()}
        assert legs == {"limit": "new", "stop": "held"}
        assert client.get_open_position("AAPL").qty_available == "0"
        exchange.step(6)
        assert told(exchange, 3) == [("fill", "limit", "filled"), ("canceled", "stop", "canceled")]
        assert client.get_all_positions() == []


def test_an_entry_that_is_canceled_takes_its_exits_along() -> None:
    with open_exchange() as (_exchange, client):
        client.submit_order(
            LimitOrderRequest(
                symbol="AAPL", qty=10, side="buy", time_in_force="gtc", limit_price=90.0,
                order_class="bracket", take_profit=TakeProfitRequest(limit_price=102.0),
                stop_loss=StopLossRequest(stop_price=88.0),
            )
        )  # fmt: skip
        nested = client.get_orders(GetOrdersRequest(status="open", nested=True))
        assert [len(each.legs) for each in nested] == [2]
        answers = client.cancel_orders()
        assert {answer.status for answer in answers} == {200}
        assert client.get_orders() == []
        closed = client.get_orders(GetOrdersRequest(status="closed"))
        assert {each.status.value for each in closed} == {"canceled"}


def test_positions_are_closed_whole_in_part_and_all() -> None:
    with open_exchange() as (exchange, client):
        for symbol in ("AAPL", "BBB"):
            client.post("/orders", order(symbol=symbol))
        exchange.step(2)
        client.close_position("AAPL", ClosePositionRequest(percentage="50"))
        exchange.step(2)
        assert client.get_open_position("AAPL").qty == "5"
        answers = client.close_all_positions(cancel_orders=True)
        assert [answer.status for answer in answers] == [200, 200]
        exchange.step(2)
        assert client.get_all_positions() == []
        assert exchange.venue.books.is_balanced()


def test_the_calendar_has_half_days_and_the_clock_is_the_exchanges() -> None:
    with open_exchange() as (exchange, client):
        days = client.get_calendar(GetCalendarRequest(start="2024-07-03", end="2024-07-05"))
        assert [(day.date.day, day.close.hour) for day in days] == [(3, 13), (5, 16)]
        clock = client.get_clock()
        assert clock.timestamp == exchange.venue.now
        assert clock.is_open


def test_market_data_by_rest() -> None:
    with open_exchange([100.0 + n for n in range(12)]) as (exchange, _client):
        data = StockHistoricalDataClient(*KEYS, url_override=exchange.url)
        exchange.step(8)
        for frame, closes in (
            (TimeFrame.Minute, [100.0, 101.0, 102.0, 103.0, 104.0]), (TimeFrame.Hour, [104.0]),
        ):  # fmt: skip
            asked = StockBarsRequest(symbol_or_symbols=["AAPL"], timeframe=frame, start=OPEN - HOUR)
            found = data.get_stock_bars(asked).data["AAPL"]
            assert [bar.close for bar in found] == closes
            assert found[0].timestamp == (OPEN if frame is TimeFrame.Minute else found[0].timestamp)
        quote = data.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols="AAPL"))
        assert quote["AAPL"].ask_price == 104.0


@contextmanager
def data_stream(exchange: ExchangeServer) -> Iterator[list[Any]]:
    """What alpaca-py hears of the bars of AAPL and the trades of BBB."""
    stream = StockDataStream(*KEYS, url_override=f"{exchange.ws_url}/v2/iex")
    heard: list[Any] = []

    async def keep(message: Any) -> None:
        heard.append(message)

    stream.subscribe_bars(keep, "AAPL")
    stream.subscribe_trades(keep, "BBB")

    def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(stream._run_forever())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    wait_until(lambda: exchange.hub.listeners and exchange.hub.listeners[0].wanted["trades"])
    yield heard
    stream._should_run = False
    until = time.monotonic() + 5
    while thread.is_alive() and time.monotonic() < until:  # `stop` waits for a message
        with contextlib.suppress(RuntimeError):
            for task in asyncio.all_tasks(stream._loop):
                stream._loop.call_soon_threadsafe(task.cancel)
        thread.join(0.05)
    assert not thread.is_alive()


def test_bars_and_trades_come_on_the_data_stream() -> None:
    with open_exchange() as (exchange, _client), data_stream(exchange) as heard:
        exchange.step(2)
        wait_until(lambda: len(heard) == 3)
        shown = {(type(each).__name__, each.symbol) for each in heard}
        assert shown == {("Bar", "AAPL"), ("Trade", "BBB")}


def test_bars_that_are_held_come_with_the_next_step_each_once() -> None:
    with open_exchange() as (exchange, client), data_stream(exchange) as heard:

        def minutes() -> list[int]:
            return [each.timestamp.minute for each in heard if type(each).__name__ == "Bar"]

        client.post("/orders", order(type="limit", limit_price="100.00", client_order_id="x"))
        with control(exchange, "/control/step", {"events": 2, "hold_bars": True}) as status:
            at, told = status["next_event"], status["updates_sent"]
            assert status["executions"] == 1
        wait_until(lambda: heard)  # the trade at the open, which was sent before
        assert minutes() == []
        with control(exchange, "/control/step", {"events": 0}) as status:
            assert (status["next_event"], status["updates_sent"]) == (at, told)
        wait_until(lambda: minutes() == [31])
        with control(exchange, "/control/step", {"events": 4, "hold_bars": True}):
            pass
        wait_until(lambda: minutes() == [31, 32])
        exchange.step(1)
        wait_until(lambda: minutes() == [31, 32, 33])


@pytest.mark.parametrize("cut", [1, 3, 5])
def test_a_restarted_exchange_goes_on_where_it_stood(cut: int, tmp_path: Path) -> None:
    def course(exchange: ExchangeServer, first: int, last: int) -> None:
        for number in range(first, last):
            if number % 2 == 0:
                client_of(exchange).post("/orders", order(client_order_id=f"o-{number}"))
            exchange.step(1)

    with server(bars([100.0] * 6)) as whole:
        course(whole, 0, 8)
    file = tmp_path / "exchange.sqlite"
    with server(bars([100.0] * 6), file) as before:
        course(before, 0, cut)
    with server(bars([100.0] * 6), file) as after:
        course(after, cut, 8)
    assert after.venue.updates == whole.venue.updates
    assert after.venue.books.to_dict() == whole.venue.books.to_dict()
    assert after.venue.orders == whole.venue.orders


def test_a_broker_lives_through_a_restart_of_the_exchange(tmp_path: Path) -> None:
    file = tmp_path / "exchange.sqlite"
    with server(bars(), file) as before:
        before.step(1)
        broker = broker_at(before)
        broker.submit(SubmitOrder(terms()))
        port = int(before.url.rsplit(":", 1)[1])
    with server(bars(), file, port=port) as after:
        broker.exchange, broker.started = after, -10_000
        after.step(4)
        wait_until(lambda: broker.stream.is_up)
        broker.started = 0
        facts = super(type(broker), broker).updates()
        assert [type(fact).__name__ for fact in facts][-1] == "OrderFilled"
        assert len(after.venue.orders) == 1
        assert [(each.symbol, each.quantity) for each in broker.positions()] == [("AAPL", 10.0)]
        broker.close()


def test_it_replays_by_itself_and_waits_for_decisions() -> None:
    with server(bars([100.0] * 6), speed=3000.0, decision_seconds=0.01) as exchange:
        wait_until(lambda: exchange.venue.is_over)
        assert exchange.venue.now >= OPEN


def test_a_night_is_passed_at_once_and_a_long_bar_is_not() -> None:
    hour = 3_600_000_000
    assert passed_at_once(Event(2, OPENS, 17 * hour), now=hour)
    assert not passed_at_once(Event(3, ENDS, 17 * hour), now=hour)
    assert not passed_at_once(Event(2, OPENS, hour + 60_000_000), now=hour)


@contextmanager
def control(
    exchange: ExchangeServer, path: str, body: Any = None, method: str = ""
) -> Iterator[Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{exchange.url}{path}", data, method=method or None)
    with urllib.request.urlopen(request) as answer:
        yield json.load(answer)


def test_it_is_controlled_over_http() -> None:
    with open_exchange() as (exchange, client):
        with control(exchange, "/control/faults", {"kind": "halt", "symbol": "AAPL"}):
            client.post("/orders", order(client_order_id="x"))
        with control(exchange, "/control/step", {"events": 4}) as status:
            assert status["next_event"] == 6
        assert client.get_order_by_client_id("x").status.value == "new"
        with control(exchange, "/control/faults", method="DELETE"):
            pass
        with control(exchange, "/control/step", {"events": 2}):
            assert client.get_order_by_client_id("x").status.value == "filled"
        with control(exchange, "/control/ledger") as ledger:
            assert ledger["positions"] == {"AAPL": "10"}
            assert ledger["balanced"] is True
            assert float(ledger["cash"]) == pytest.approx(float(client.get_account().cash))
        with (
            pytest.raises(urllib.error.HTTPError) as raised,
            control(exchange, "/control/faults", {"kind": "earthquake"}),
        ):
            pass
        assert raised.value.code == 422
        raised.value.close()
