"""One test for each trap of Alpaca and alpaca-py that docs/alpaca.md names."""

import logging
import threading
import time
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from exchange.alpaca_world import HeardBroker, at_exchange, broker_at, settings, wait_until
from exchange.exchange_world import KEYS, bars, server
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from harmony_pipeline.errors import (
    BrokerContradiction,
    BrokerRejected,
    BrokerUnavailable,
    ConfigError,
)
from harmony_pipeline.exchange.control import commit
from harmony_pipeline.exchange.local_server import Fault, LocalServer
from harmony_pipeline.exchange.server import ExchangeServer
from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.brokers.alpaca import orders as requests
from harmony_pipeline.execution.brokers.alpaca.broker import AlpacaBroker
from harmony_pipeline.execution.brokers.alpaca.client import TradingRest
from harmony_pipeline.execution.brokers.alpaca.facts import FactBook, moment_of
from harmony_pipeline.execution.brokers.alpaca.keys import Keys, read_keys
from harmony_pipeline.execution.brokers.alpaca.settings import LIVE, AlpacaSettings
from harmony_pipeline.execution.brokers.alpaca.stream import Refused, UpdateStream
from harmony_pipeline.execution.events import (
    AnyOrderFact,
    CancelOrder,
    OrderTerms,
    ReplaceOrder,
    SubmitOrder,
)
from harmony_pipeline.execution.lifecycle import Order, Status, apply

POST = {"path": "/v2/orders", "method": "POST"}
REFUSED = Fault(status=422, body={"code": 42210000, "message": "invalid query"})


def terms(name: str = "c-1", **changes: Any) -> OrderTerms:
    at = datetime(2024, 3, 5, 14, 30, tzinfo=UTC)
    usual: dict[str, Any] = {
        "client_order_id": name, "order_id": name, "symbol": "AAPL", "role": "entry",
        "side": "buy", "quantity": 10.0, "decided_at": at, "time_in_force": "day",
    }  # fmt: skip
    return OrderTerms(**{**usual, **changes})


def legs(quantity: float = 10.0) -> SubmitOrder:
    shared: dict[str, Any] = {"side": "sell", "quantity": quantity, "time_in_force": "gtc"}
    return SubmitOrder(
        terms("c-stop", role="stop", kind="stop", stop_price=98.0, **shared),
        terms("c-take", role="take", kind="limit", limit_price=102.0, **shared),
    )


def fault(exchange: ExchangeServer, kind: str, **fields: Any) -> None:
    exchange.call(commit(exchange, {"kind": kind, **fields}))


def posts(exchange: ExchangeServer) -> int:
    return sum(each.method == "POST" for each in exchange.asked("/v2/orders"))


def kinds(facts: list[AnyOrderFact], name: str = "c-1") -> list[str]:
    return [ev.kind_of(fact) for fact in facts if fact.client_order_id == name]


def final(facts: list[AnyOrderFact], placed: OrderTerms) -> Order:
    order = Order(placed)
    for fact in facts:
        if fact.client_order_id == placed.client_order_id:
            order = apply(order, fact)
    return order


@pytest.mark.parametrize("status", [504, 500, 503])
def test_01_an_accepted_order_that_is_answered_with_an_error_is_sent_once(status: int) -> None:
    with at_exchange() as (exchange, broker):
        fault(exchange, "status", status=status, performed=True, **POST)
        placed = broker.submit(SubmitOrder(terms()))
        assert posts(exchange) == 1
        assert len(exchange.venue.orders) == 1
        assert placed.status in {Status.ACCEPTED, Status.SUBMITTED}


def test_01_the_answer_that_an_id_is_taken_means_that_the_order_is_there() -> None:
    with at_exchange() as (exchange, broker):
        broker.submit(SubmitOrder(terms()))
        other = broker_at(exchange)
        assert other.submit(SubmitOrder(terms())).client_order_id == "c-1"
        assert len(exchange.venue.orders) == 1
        other.close()


def test_02_a_server_that_does_not_answer_is_given_up_and_one_order_results() -> None:
    answer = threading.Event()
    with at_exchange(timeout_seconds=0.5) as (exchange, broker):
        exchange.faults.add(Fault(held_until=answer), **POST)
        with pytest.raises(BrokerUnavailable, match="unknown"):
            broker.submit(SubmitOrder(terms()))
        assert posts(exchange) == 1
        assert not exchange.venue.orders
        answer.set()
        wait_until(lambda: exchange.venue.orders)  # it was on its way after all
        broker.submit(SubmitOrder(terms()))
        assert len(exchange.venue.orders) == 1


@pytest.mark.parametrize("command", [SubmitOrder(terms()), legs()], ids=["single", "bracket"])
def test_03_a_lost_answer_is_looked_up(command: SubmitOrder) -> None:
    with at_exchange() as (exchange, broker):
        if command.other is not None:
            exchange.venue.trade_by_hand("AAPL", "buy", Decimal(10))
        fault(exchange, "lost_answer", **POST)
        broker.submit(command)
        assert posts(exchange) == 1
        for each in (command.order, command.other):
            found = None if each is None else broker.order(each.client_order_id)
            assert each is None or (found is not None and found.quantity == 10.0)


def test_03_a_request_that_never_arrived_is_unknown_and_can_be_sent_again() -> None:
    with at_exchange() as (exchange, broker):
        fault(exchange, "reset", **POST)
        with pytest.raises(BrokerUnavailable):
            broker.submit(SubmitOrder(terms()))
        assert broker.order("c-1") is None
        broker.submit(SubmitOrder(terms()))
        assert len(exchange.venue.orders) == 1


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"status": 502, "body": "<html>Bad Gateway</html>"}, BrokerUnavailable),
        ({"status": 422, "body": {"message": "no code here"}}, BrokerRejected),
        ({"status": 422, "body": "not json at all"}, BrokerRejected),
        ({"status": 400, "body": "[1, 2]"}, BrokerRejected),
        ({"status": 401, "body": {"message": "unauthorized."}}, ConfigError),
    ],
)
def test_04_any_error_body_becomes_one_error_of_ours(
    answer: dict[str, Any], error: type[Exception]
) -> None:
    with at_exchange() as (exchange, broker):
        fault(exchange, "status", **answer, **POST)
        with pytest.raises(error) as raised:
            broker.submit(SubmitOrder(terms()))
        assert KEYS[1] not in str(raised.value)


def test_05_what_happened_while_the_stream_was_cut_is_read_by_rest_once() -> None:
    with at_exchange(reconnect_seconds=0.2) as (exchange, broker):
        broker.submit(SubmitOrder(terms()))
        facts = broker.updates()
        fault(exchange, "drop", stream="trades")
        wait_until(lambda: not broker.stream.is_up)
        assert not broker.is_streaming()
        exchange.step(2)
        wait_until(lambda: broker.stream.is_up)
        assert not broker.is_streaming()  # not before it has read what it missed
        facts += broker.updates()
        assert broker.is_streaming()
        assert kinds(facts) == ["accepted", "filled"]
        assert not broker.updates()


def test_06_wrong_keys_end_at_once() -> None:
    with server() as exchange:
        began = time.monotonic()
        with pytest.raises(ConfigError, match="ALPACA_API_KEY"):
            AlpacaBroker(settings(exchange), Keys("PKWRONG", "wrong"))
        assert time.monotonic() - began < 1.0


def test_06_keys_that_the_stream_refuses_later_end_it() -> None:
    with at_exchange() as (exchange, broker):
        fault(exchange, "refuse_keys")
        fault(exchange, "drop", stream="trades")
        wait_until(lambda: not broker.stream._thread.is_alive())
        assert not broker.is_streaming()
        with pytest.raises(ConfigError, match="refuses the keys"):
            broker.updates()


def test_08_a_stream_that_stands_and_says_nothing_is_noticed_and_opened_anew() -> None:
    with at_exchange(poll_seconds=0.001) as (exchange, broker):
        broker.submit(SubmitOrder(terms()))
        broker.updates()
        fault(exchange, "freeze")
        exchange.step(2)
        assert kinds(broker.updates()) == ["filled"]
        time.sleep(0.002)
        broker.updates()  # the stream has told nothing of it since
        wait_until(lambda: broker.stream.connections == 2)


def test_08_a_bracket_is_placed_and_the_stream_is_not_taken_for_mute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That its stop is held no update tells; a reading finds it."""
    with at_exchange(poll_seconds=0.001) as (exchange, broker):
        restarts: list[int] = []
        monkeypatch.setattr(broker.stream, "restart", lambda: restarts.append(1))
        broker.submit(SubmitOrder(terms()))
        exchange.step(2)
        wait_until(lambda: broker.stream.heard == 2)  # new, fill
        broker.updates()
        broker.submit(legs())
        wait_until(lambda: broker.stream.heard == 3)
        found = []
        for _ in range(4):
            time.sleep(0.002)
            found += kinds(broker.updates(), "c-stop")
        assert "held" in found
        assert restarts == []


def test_08_an_update_that_comes_while_orders_are_read_is_none_too_few(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with at_exchange(poll_seconds=0.001) as (exchange, broker):
        broker.submit(SubmitOrder(terms()))
        wait_until(lambda: broker.stream.heard == 1)
        broker.updates()
        time.sleep(0.002)
        restarts: list[int] = []
        monkeypatch.setattr(broker.stream, "restart", lambda: restarts.append(1))
        read = broker._read

        def late_read() -> None:
            heard = broker.stream.heard
            exchange.step(2)
            wait_until(lambda: broker.stream.heard > heard)
            read()

        monkeypatch.setattr(broker, "_read", late_read)
        assert kinds(broker.updates()) == ["filled"]
        monkeypatch.setattr(broker, "_read", read)
        for _ in range(3):
            time.sleep(0.002)
            broker.updates()
        assert restarts == []


@pytest.mark.parametrize("path", ["/v2/orders", "/v2/account/activities/FILL"])
def test_08_a_reading_that_is_refused_is_made_again(path: str) -> None:
    with at_exchange(poll_seconds=0.001) as (exchange, broker):
        broker.submit(SubmitOrder(terms()))
        broker.updates()
        fault(exchange, "freeze")
        exchange.step(2)
        exchange.faults.add(REFUSED, path=path, method="GET")
        time.sleep(0.002)
        assert broker.updates() == []
        assert exchange.faults.left == 0
        time.sleep(0.002)
        assert kinds(broker.updates()) == ["filled"]


def test_08_while_every_reading_is_refused_no_order_may_leave() -> None:
    with at_exchange() as (exchange, broker):
        exchange.faults.add(*[REFUSED] * 2, path="/v2/orders", method="GET")
        for _ in range(2):
            assert broker.updates() == []
            assert not broker.is_streaming()
        broker.updates()
        assert broker.is_streaming()


def test_08_what_is_told_of_orders_that_nobody_shows_is_read_later() -> None:
    """Those of another process, one of them with a name of Alpaca's."""
    with at_exchange() as (exchange, broker), closing(broker_at(exchange)) as other:
        broker.updates()
        exchange.venue.trade_by_hand("AAPL", "buy", Decimal(10))
        other.submit(legs())
        exchange.faults.add(*[REFUSED] * 2, path="/v2/orders", method="GET")
        other.cancel(CancelOrder("c-stop"))
        facts = [*broker.updates(), *broker.updates(), *broker.updates()]
        assert exchange.faults.left == 0
        assert kinds(facts, "c-stop")[-1] == kinds(facts, "c-take")[-1] == "canceled"


def test_09_a_message_that_cannot_be_read_costs_no_other_one() -> None:
    with at_exchange() as (exchange, broker):
        broker.submit(SubmitOrder(terms()))
        exchange.call(exchange.trade_stream.publish([{"event": "new"}, {}]))
        exchange.step(2)
        assert kinds(broker.updates()) == ["accepted", "filled"]


def test_10_the_stream_ends_at_once_even_while_it_cannot_connect() -> None:
    with at_exchange(longest_reconnect_seconds=60.0, reconnect_seconds=60.0) as (exchange, broker):
        fault(exchange, "drop", stream="trades")
        wait_until(lambda: not broker.stream.is_up)
        began = time.monotonic()
        broker.close()
        assert time.monotonic() - began < 1.0
        assert not broker.stream._thread.is_alive()


@pytest.mark.parametrize("kind", ["lose", "duplicate", "reorder", "delay_update"])
def test_11_lost_repeated_late_and_swapped_updates_make_the_same_order(kind: str) -> None:
    with at_exchange([100.0] * 8) as (exchange, broker):
        placed = terms(quantity=80_000.0)  # 5 % of a minute's volume is 50,000
        exchange.venue.books.post(0, "cash", "equity", "money", Decimal(10**12))
        fault(exchange, kind, times=2)
        broker.submit(SubmitOrder(placed))
        exchange.step(4)
        exchange.trade_stream.faults.script.clear()
        exchange.call(exchange.trade_stream.publish_late())
        broker._has_gap = True
        order = final([*broker.updates(), *broker.updates()], placed)
        assert (order.status, order.filled_quantity, len(order.executions)) == (
            Status.FILLED, 80_000.0, 2,
        )  # fmt: skip
        assert order.seen_quantity == 80_000.0


def test_12_amounts_are_sent_with_their_exact_digits() -> None:
    body = requests.body_of(
        SubmitOrder(terms(kind="limit", limit_price=290.12, quantity=7.0)), is_open=True
    )
    assert (body["limit_price"], body["qty"]) == ("290.12", "7")
    assert requests.text_of(1e-7) == "0.0000001"


@pytest.mark.parametrize(
    ("price", "fits"),
    [(0.1 + 0.2, False), (290.123, False), (290.12, True), (0.1234, True), (0.12345, False)],
)
def test_12_a_price_finer_than_the_tick_is_refused_before_it_is_sent(
    price: float, fits: bool
) -> None:
    command = SubmitOrder(terms(kind="limit", limit_price=price))
    if fits:
        requests.body_of(command, is_open=True)
        return
    with pytest.raises(BrokerRejected, match="round it to the tick"):
        requests.body_of(command, is_open=True)


def test_12_quantities_are_compared_as_numbers() -> None:
    book = FactBook()
    order = _order_json(qty="10", filled_qty="9", status="partially_filled")
    update = {"event": "partial_fill", "qty": 9.0, "price": 1.5, "order": order}
    assert [ev.kind_of(fact) for fact in book.of_update(update, "c-1", None)] == [
        "accepted", "partially_filled",
    ]  # fmt: skip


def test_13_a_status_and_an_event_that_nobody_knows_lose_nothing() -> None:
    with at_exchange() as (exchange, broker):
        broker.submit(SubmitOrder(terms()))
        order = next(iter(exchange.venue.updates))["order"] | {"status": "frozen_by_regulator"}
        odd = {"event": "frozen_by_regulator", "execution_id": "x", "order": order}
        exchange.call(exchange.trade_stream.publish([odd]))
        exchange.step(2)
        assert kinds(broker.updates()) == ["accepted", "filled"]


def test_14_times_have_nine_digits_or_an_offset() -> None:
    assert moment_of("2024-03-05T14:30:00.123456789Z") == datetime(
        2024, 3, 5, 14, 30, 0, 123456, UTC
    )
    assert moment_of("2024-03-05T09:30:00.5-05:00") == datetime(2024, 3, 5, 14, 30, 0, 500000, UTC)
    assert moment_of(None) is None


def test_15_fractions_are_day_orders_and_never_short_nor_in_a_bracket() -> None:
    body = requests.body_of(SubmitOrder(terms(quantity=0.5, time_in_force="gtc")), is_open=True)
    assert body["time_in_force"] == "day"
    short = SubmitOrder(terms(quantity=0.5, side="sell"))
    with pytest.raises(BrokerRejected, match="whole shares"):
        requests.body_of(short, is_open=True, is_short=True)
    with pytest.raises(BrokerRejected, match="whole shares"):
        requests.body_of(legs(0.5), is_open=True)
    with pytest.raises(BrokerRejected, match="whole shares"):
        requests.replacement_of(ReplaceOrder("c-1", "c-2", quantity=1.5))


def test_16_only_limit_orders_trade_outside_of_the_session() -> None:
    assert "use a limit" in (
        requests.extended_hours_fault(terms(kind="stop", stop_price=1.0)) or ""
    )
    assert "ioc" in (requests.extended_hours_fault(terms(kind="limit", time_in_force="ioc")) or "")
    assert requests.extended_hours_fault(terms(kind="limit", limit_price=9.0)) is None


def test_16_an_order_for_now_waits_for_the_open_while_the_market_is_closed() -> None:
    with at_exchange() as (exchange, broker):
        exchange.step(100)
        exchange.venue._time += 8 * 3600 * 1_000_000
        broker.submit(SubmitOrder(terms(time_in_force="ioc")))
        assert exchange.venue.named("c-1").time_in_force == "day"
        assert exchange.venue.named("c-1").status == "accepted"


def test_17_exits_are_good_until_canceled_and_one_cancels_the_other() -> None:
    with at_exchange() as (exchange, broker):
        exchange.venue.trade_by_hand("AAPL", "buy", Decimal(10))
        broker.submit(legs())
        assert {order.time_in_force for order in exchange.venue.working("AAPL")} == {"gtc"}
        shown = {order.client_order_id: order.status for order in broker.orders()}
        assert shown["c-stop"] is Status.HELD
        assert shown["c-take"] in {Status.SUBMITTED, Status.ACCEPTED}
        broker.cancel(CancelOrder("c-stop"))
        facts = broker.updates()
        assert kinds(facts, "c-stop")[-1] == kinds(facts, "c-take")[-1] == "canceled"
        broker.cancel(CancelOrder("c-take"))
        assert list(broker.orders()) == []


def test_17_both_exits_are_known_by_their_names_in_a_new_process() -> None:
    with at_exchange() as (exchange, broker):
        exchange.venue.trade_by_hand("AAPL", "buy", Decimal(10))
        broker.submit(legs())
        other = broker_at(exchange)
        assert [order.client_order_id for order in other.orders()] == ["c-stop", "c-take"]
        found = other.order("c-stop")
        assert found is not None
        assert found.side == "sell"
        other.close()


def test_17_an_exit_that_is_filled_in_part_makes_the_other_smaller() -> None:
    book = FactBook()
    stop = _order_json(client_order_id="c-stop", side="sell", type="stop", qty="10",
                       filled_qty="0", status="held")  # fmt: skip
    book.of_order(stop, "c-stop")
    book.begun(stop, "c-stop")
    done = stop | {"qty": "6", "filled_qty": "6", "status": "filled"}
    update = {"event": "fill", "qty": "6", "price": "98", "order": done}
    facts = book.of_update(update, "c-stop", None)
    placed = terms("c-stop", role="stop", kind="stop", stop_price=98.0, side="sell")
    order = final(facts, placed)
    assert (order.status, order.filled_quantity, order.quantity) == (Status.FILLED, 6.0, 6.0)


def test_18_a_cancel_that_comes_too_late_is_no_error_and_the_fill_is_told() -> None:
    with at_exchange() as (exchange, broker):
        placed = terms()
        broker.submit(SubmitOrder(placed))
        exchange.step(2)
        broker.cancel(CancelOrder("c-1"))
        assert final(broker.updates(), placed).status is Status.FILLED


def test_18_a_replaced_order_is_followed_to_its_new_name() -> None:
    with at_exchange() as (_exchange, broker):
        broker.submit(SubmitOrder(terms(kind="limit", limit_price=90.0)))
        broker.replace(ReplaceOrder("c-1", "c-2", limit_price=91.0))
        replaced = [fact for fact in broker.updates() if isinstance(fact, ev.OrderReplaced)]
        assert [(fact.client_order_id, fact.replaced_by) for fact in replaced] == [("c-1", "c-2")]
        assert [order.client_order_id for order in broker.orders()] == ["c-2"]


def test_19_a_part_that_is_filled_and_then_canceled_is_told_as_both() -> None:
    with at_exchange() as (exchange, broker):
        placed = terms()
        fault(exchange, "partial_then_cancel")
        broker.submit(SubmitOrder(placed))
        order = final(broker.updates(), placed)
        assert (order.status, order.filled_quantity) == (Status.CANCELED, 5.0)


def test_20_an_account_without_the_day_trading_fields_is_read() -> None:
    with at_exchange() as (exchange, broker):
        shown = broker.rest.get("/account")
        assert not {"pattern_day_trader", "daytrade_count", "daytrading_buying_power"} & set(shown)
        assert broker.account().cash == 100_000.0
        assert broker.trading_blocked() is None
        fault(exchange, "block")
        assert "trading_blocked" in (broker.trading_blocked() or "") + "trading_blocked"
        with pytest.raises(BrokerRejected, match="not authorized"):
            broker.submit(SubmitOrder(terms()))


def test_21_open_orders_take_buying_power_and_opposite_openings_are_refused() -> None:
    with at_exchange() as (_exchange, broker):
        broker.submit(SubmitOrder(terms(quantity=3_900.0)))
        with pytest.raises(BrokerRejected, match="insufficient buying power"):
            broker.submit(SubmitOrder(terms("c-2", quantity=200.0)))
        with pytest.raises(BrokerRejected, match="while a long buy order is open"):
            broker.submit(SubmitOrder(terms("c-3", side="sell", quantity=1.0)))


def test_22_every_page_of_orders_is_read() -> None:
    with at_exchange() as (exchange, broker):
        for number in range(620):
            exchange.venue.submit(
                {"symbol": "AAPL", "qty": "1", "side": "buy", "type": "limit",
                 "limit_price": "1", "time_in_force": "gtc", "client_order_id": f"o-{number}"}
            )  # fmt: skip
        assert len(broker.orders()) == 620


def test_22_a_used_up_limit_is_waited_for_as_long_as_the_answer_says() -> None:
    with server() as exchange:
        slept: list[float] = []
        broker = AlpacaBroker(settings(exchange), Keys(*KEYS), sleep=slept.append)
        broker.rest._sleep = slept.append
        fault(exchange, "status", status=429, retry_after=7, times=2, **POST)
        exchange.step(1)
        broker.submit(SubmitOrder(terms()))
        assert slept == [7.0, 7.0]
        assert len(exchange.venue.orders) == 1
        broker.close()


def test_22_no_more_requests_leave_in_a_minute_than_the_settings_allow() -> None:
    with at_exchange(requests_per_minute=8) as (_exchange, broker):
        slept: list[float] = []
        broker.rest._limiter._sleep = slept.append
        for _ in range(10):
            broker.account()
        assert slept
        assert max(slept) <= 60.0


def test_24_time_is_that_of_the_exchange() -> None:
    with at_exchange() as (exchange, broker):
        exchange.step(7)
        broker.clock.read()
        assert broker.clock.now() == exchange.venue.now
        before = broker.clock.now()
        broker.clock.hear(datetime(2020, 1, 1, tzinfo=UTC))
        assert broker.clock.now() == before


def test_25_what_somebody_else_trades_is_told_and_shown() -> None:
    with at_exchange() as (exchange, broker):
        broker.updates()
        fault(exchange, "trade_by_hand", symbol="AAPL", side="buy", quantity=3)
        facts = broker.updates()
        assert [ev.kind_of(fact) for fact in facts] == ["accepted", "filled"]
        assert facts[0].client_order_id not in {"c-1", ""}
        assert [(each.symbol, each.quantity) for each in broker.positions()] == [("AAPL", 3.0)]


def test_25_what_somebody_else_traded_before_we_came_is_left_alone() -> None:
    with at_exchange() as (exchange, broker):
        exchange.venue.trade_by_hand("AAPL", "buy", Decimal(3))
        broker.submit(SubmitOrder(terms("c-1", kind="limit", limit_price=50.0)))
        made = {"is_ours": lambda name: name.startswith("2024-")}
        other = AlpacaBroker(settings(exchange), Keys(*KEYS), **made)
        wait_until(lambda: other.stream.is_up)
        assert {fact.client_order_id for fact in other.updates()} == {"c-1"}  # it still works
        other.close()


def test_26_an_order_that_was_taken_may_be_rejected_later() -> None:
    with at_exchange() as (exchange, broker):
        placed = terms()
        fault(exchange, "reject")
        broker.submit(SubmitOrder(placed))
        assert final(broker.updates(), placed).status is Status.REJECTED


def test_another_order_than_was_meant_is_a_contradiction() -> None:
    with at_exchange() as (_exchange, broker):
        body = requests.body_of(SubmitOrder(terms()), is_open=True)
        order = broker._send(body)
        requests.check_accepted(body, order)
        with pytest.raises(BrokerContradiction, match="qty"):
            requests.check_accepted({**body, "qty": "11"}, order)


def test_live_money_needs_two_settings() -> None:
    for wrong in ({}, {"live": True}, {"live_account": "1"}):
        with pytest.raises(ValueError, match="real money"):
            AlpacaSettings(trading_url=LIVE, **wrong)
    AlpacaSettings(trading_url=LIVE, live=True, live_account="123456789")


def test_a_live_account_behind_another_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from harmony_pipeline.exchange import account_views

    true = account_views.account_json
    monkeypatch.setattr(
        account_views, "account_json", lambda venue: {**true(venue), "account_number": "123456789"}
    )
    with server() as exchange, pytest.raises(ConfigError, match="real money"):
        AlpacaBroker(settings(exchange), Keys(*KEYS))


def test_keys_come_from_the_environment_or_a_file_and_show_nowhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigError, match="ALPACA_SECRET_KEY"):
        read_keys({"ALPACA_API_KEY": "only"}, (tmp_path,))
    (tmp_path / ".env").write_text(f"ALPACA_API_KEY={KEYS[0]}\nALPACA_SECRET_KEY='{KEYS[1]}'\n")
    keys = read_keys({}, (tmp_path,))
    assert (keys.key, keys.secret) == KEYS
    assert KEYS[1] not in repr(keys)
    assert read_keys({"ALPACA_API_KEY": "a", "ALPACA_SECRET_KEY": "b"}, (tmp_path,)).key == "a"
    with caplog.at_level(logging.DEBUG), at_exchange() as (exchange, broker):
        fault(exchange, "drop")
        fault(exchange, "status", status=500, body={"message": KEYS[1]}, **POST)
        with pytest.raises(BrokerUnavailable) as raised:
            broker.submit(SubmitOrder(terms()))
        assert KEYS[1] not in caplog.text + str(raised.value)


def _order_json(**changes: Any) -> dict[str, Any]:
    stamp = "2024-03-05T14:30:00Z"
    usual = {
        "id": "v-1", "client_order_id": "c-1", "symbol": "AAPL", "side": "buy", "type": "market",
        "submitted_at": stamp, "updated_at": stamp, "order_class": "",
    }  # fmt: skip
    return {**usual, **changes}


def test_the_broker_waits_for_nothing_that_was_not_sent() -> None:
    with at_exchange() as (exchange, broker):
        assert isinstance(broker, HeardBroker)
        assert broker.stream.heard == exchange.trade_stream.sent
        assert len(bars()) == 60


def test_requests_go_through_the_proxy_that_the_environment_named_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("NO_PROXY", "no_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    answer = Fault(status=200, body={"id": "me"})
    with LocalServer([]) as proxy:
        proxy.faults.add(answer, answer, path="http://paper.invalid/")
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        rest = TradingRest(AlpacaSettings(trading_url="http://paper.invalid"), Keys(*KEYS))
        monkeypatch.delenv("HTTP_PROXY")
        for _ in range(2):
            assert rest.get("/account") == {"id": "me"}
        assert [seen.path for seen in proxy.seen] == ["http://paper.invalid/v2/account"] * 2


def test_22_a_clock_that_is_set_back_keeps_no_request_waiting() -> None:
    with server() as exchange:
        slept: list[float] = []
        late = 0.0
        rest = TradingRest(
            settings(exchange, requests_per_minute=8), Keys(*KEYS),
            clock=lambda: time.time() - late, sleep=slept.append,
        )  # fmt: skip
        for late in (0.0, 3600.0):  # noqa: B007  the clock above looks at it
            for _ in range(10):
                rest.get("/account")
        assert slept
        assert max(slept) <= 60.0


def test_22_when_a_limit_is_over_is_told_by_alpacas_clock() -> None:
    with server() as exchange:
        slept: list[float] = []
        behind = TradingRest(
            settings(exchange), Keys(*KEYS), clock=lambda: 1_600_000_000.0, sleep=slept.append
        )
        exchange.clock = lambda: 1_900_000_000.0
        head = {"X-RateLimit-Reset": "1900000021"}
        exchange.faults.add(Fault(status=429, headers=head), path="/v2/account")
        assert behind.get("/account")["status"] == "ACTIVE"
        assert slept == [21.0]


def test_4_a_page_before_alpaca_that_refuses_is_no_word_about_the_keys() -> None:
    """403 with HTML, as firewalls answer: asked again, and an order is looked up."""
    with at_exchange() as (exchange, broker):
        page = Fault(status=403, body="<html><head><title>403 Forbidden</title></head></html>")
        exchange.faults.add(page, path="/v2/account")
        assert broker.account().cash is not None
        exchange.step(1)
        exchange.faults.add(
            Fault(status=403, body=page.body, performed=True), path="/v2/orders", method="POST"
        )
        assert broker.submit(SubmitOrder(terms())).client_order_id == terms().client_order_id
        assert len(exchange.venue.orders) == 1


def test_6_an_answer_that_is_no_json_is_no_refusal_of_the_keys() -> None:
    """As of a proxy in between: the connection is opened again and again, and none is given up."""
    greeted: list[str] = []

    async def answer(socket: WebSocket) -> None:
        await socket.accept()
        greeted.append(await socket.receive_text())
        await socket.send_text("<html>502</html>" if len(greeted) < 6 else '{"data": {}}')
        await socket.close()

    with LocalServer([WebSocketRoute("/stream", answer)]) as proxy:
        chosen = AlpacaSettings(
            trading_stream_url=f"{proxy.ws_url}/stream", reconnect_seconds=0.01,
            longest_reconnect_seconds=0.02,
        )  # fmt: skip
        stream = UpdateStream(chosen, Keys(*KEYS))
        try:
            wait_until(lambda: len(greeted) >= 6)
            assert not any(isinstance(item, Refused) for item in stream.take())
            # what says that it does not let us in is believed at the third time
            wait_until(lambda: any(isinstance(item, Refused) for item in stream.take()))
        finally:
            stream.close()
