"""Orders for the closing auction (`cls`): at the exchange, and through alpaca-py."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from exchange.alpaca_world import at_exchange
from exchange.exchange_world import bars, rules, venue
from exchange.test_alpaca_traps import final, posts, terms

from harmony_pipeline.errors import BrokerContradiction, BrokerRejected
from harmony_pipeline.exchange.refusals import Refused
from harmony_pipeline.exchange.venue import Venue
from harmony_pipeline.execution.brokers.alpaca import orders as requests
from harmony_pipeline.execution.events import CancelOrder, OrderFilled, SubmitOrder
from harmony_pipeline.execution.lifecycle import Status
from harmony_pipeline.market.calendars import Calendar

NEW_YORK = Calendar.of("XNYS")
DAY, HALF_DAY = date(2024, 3, 5), date(2024, 7, 3)
MINUTE, DAYS = timedelta(minutes=1), timedelta(days=1)
ORDER = {"symbol": "AAPL", "qty": "10", "side": "buy", "type": "market", "time_in_force": "cls"}


def last_minutes(
    prices: tuple[float, ...], day: date = DAY, behind: timedelta = timedelta(), **options: Any
) -> pl.DataFrame:
    """Minutes at these prices, the last of which ends `behind` the close."""
    start = NEW_YORK.session_close(day) + behind - len(prices) * MINUTE
    return bars(prices, start=start, **options)


def at_last_minutes(prices: tuple[float, ...], **options: Any) -> Venue:
    frame = last_minutes(prices, **options)
    return venue(frame, rules=rules(max_participation=1.0))


def ends(made: Venue) -> list[tuple[str, str]]:
    """(event, time) of what the stream told of orders that ended."""
    told = [(each["event"], each["timestamp"][:16]) for each in made.updates]
    return [each for each in told if each[0] in {"fill", "partial_fill", "canceled", "expired"}]


def finish(made: Venue) -> None:
    while not made.is_over:
        made.advance()


# --- the exchange ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "clock", "until"),
    [
        (DAY, "2024-03-05 20:49:59", None),
        (DAY, "2024-03-05 20:50:00", "3:50pm"),
        (DAY, "2024-03-05 23:59:59", "3:50pm"),
        (DAY, "2024-03-06 00:00:00", None),  # 19:00 in New York
        (HALF_DAY, "2024-07-03 16:49:59", None),
        (HALF_DAY, "2024-07-03 16:50:00", "12:50pm"),
        (HALF_DAY, "2024-07-03 22:59:59", "12:50pm"),
        (HALF_DAY, "2024-07-03 23:00:00", None),
    ],
)
def test_orders_are_taken_until_the_cutoff_and_from_the_evening_on(
    day: date, clock: str, until: str | None
) -> None:
    frame = pl.concat(
        [bars((100.0,), start=NEW_YORK.session_open(each)) for each in (day, day + 7 * DAYS)]
    )
    made = venue(frame)
    made.advance()
    made.advance()
    made.set_time(int(datetime.fromisoformat(clock).replace(tzinfo=UTC).timestamp() * 1e6))
    if until is None:
        assert made.submit(ORDER)["time_in_force"] == "cls"
        return
    with pytest.raises(Refused, match=f"submitted after 7:00pm and before {until}") as refused:
        made.submit(ORDER)
    assert refused.value.status == 403
    assert not made.orders


def test_it_trades_in_the_auction_and_at_no_bar_before() -> None:
    made = at_last_minutes((101.0, 102.0, *(100.0,) * 15, 99.0, 98.5))
    made.advance()
    made.submit(ORDER)
    finish(made)
    [filled] = made.orders.values()
    assert (filled.status, filled.filled_value) == ("filled", Decimal(985))
    assert ends(made) == [("fill", "2024-03-05T21:00")]


@pytest.mark.parametrize(
    ("side", "limit", "status"),
    [
        ("buy", "98.5", "filled"),
        ("buy", "99.2", "filled"),
        ("buy", "98.49", "canceled"),
        ("sell", "98.5", "filled"),
        ("sell", "97", "filled"),
        ("sell", "98.51", "canceled"),
    ],
)
def test_a_limit_takes_part_where_the_auction_reaches_it(
    side: str, limit: str, status: str
) -> None:
    made = at_last_minutes((*(95.0,) * 12, 103.0, 98.5))  # the day's range went beyond each limit
    made.advance()
    made.submit(ORDER | {"side": side, "type": "limit", "limit_price": limit})
    finish(made)
    [order] = made.orders.values()
    assert order.status == status
    assert order.filled_value == (Decimal(985) if status == "filled" else 0)
    assert [at for _, at in ends(made)] == ["2024-03-05T21:00"]


def test_market_orders_come_before_limits_and_the_rest_is_canceled() -> None:
    made = venue(last_minutes((100.0,) * 14, volume=12.0), rules=rules(max_participation=1.0))
    made.advance()
    first = made.submit(ORDER | {"type": "limit", "limit_price": "101"})
    second = made.submit(ORDER)
    finish(made)
    found = {
        each["id"]: (made.orders[each["id"]].status, int(made.orders[each["id"]].filled_qty))
        for each in (first, second)
    }
    assert found == {second["id"]: ("filled", 10), first["id"]: ("canceled", 2)}


@pytest.mark.parametrize("case", ["halted", "no last minute", "nothing at the close"])
def test_without_an_auction_it_is_canceled_when_the_day_ends(case: str) -> None:
    """The next day's bars, and its auction, are no concern of it."""
    tomorrow = last_minutes((100.0,), DAY + DAYS)  # its only bar has the auction
    today = last_minutes((100.0,) * 14, behind=timedelta() if case == "halted" else -2 * MINUTE)
    if case == "no last minute":  # others had it
        today = pl.concat([today, last_minutes((100.0,) * 2, symbols=("BBB",))])
    made = venue(pl.concat([today, tomorrow]), rules=rules(max_participation=1.0))
    made.advance()
    made.submit(ORDER)
    made.submit(ORDER | {"time_in_force": "day", "type": "limit", "limit_price": "5"})
    if case == "halted":
        made.halt("AAPL", halted=True)
    finish(made)
    assert {order.time_in_force: order.status for order in made.orders.values()} == {
        "cls": "canceled",
        "day": "expired",
    }
    assert not made.books.shares("AAPL")


def test_it_is_canceled_on_request_before_its_auction() -> None:
    made = at_last_minutes((100.0,) * 14)
    made.advance()
    made.cancel(made.submit(ORDER)["id"])
    finish(made)
    assert [event for event, _ in ends(made)] == ["canceled"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"qty": "0.5"}, "fractional orders must be DAY"),
        ({"type": "stop", "stop_price": "99"}, "cls orders must be market or limit"),
        (
            {
                "order_class": "bracket",
                "take_profit": {"limit_price": "120"},
                "stop_loss": {"stop_price": "80"},
            },
            "bracket orders must be",
        ),
        (
            {"type": "limit", "limit_price": "99", "extended_hours": True},
            "extended hours order must be DAY",
        ),
    ],
)
def test_what_no_closing_order_can_be_is_refused(changes: dict[str, Any], said: str) -> None:
    made = at_last_minutes((100.0,) * 14)
    made.advance()
    with pytest.raises(Refused, match=said):
        made.submit(ORDER | changes)


def test_open_ones_take_buying_power() -> None:
    made = at_last_minutes((100.0,) * 14)
    made.advance()
    made.submit(ORDER | {"qty": "3900"})
    with pytest.raises(Refused, match="insufficient buying power"):
        made.submit(ORDER | {"qty": "200"})


# --- through alpaca-py ----------------------------------------------------------------------------


def test_the_broker_sends_it_as_it_is_and_tells_the_auctions_price() -> None:
    asked: list[str] = []

    def quote(symbol: str, moment: datetime) -> float:
        del moment
        asked.append(symbol)
        return 55.0

    start = NEW_YORK.session_close(DAY) - 13 * MINUTE
    with at_exchange_from(start, (101.0,) * 12 + (98.5,), reference=quote) as (exchange, broker):
        order = terms(time_in_force="cls")
        broker.submit(SubmitOrder(order))
        assert exchange.venue.named("c-1").time_in_force == "cls"
        facts = broker.updates()
        while exchange.step(1):
            facts += broker.updates()
        facts += broker.updates()
        done = final(facts, order)
        assert (done.status, done.average_price) == (Status.FILLED, 98.5)
        [fill] = [fact for fact in facts if isinstance(fact, OrderFilled)]
        assert fill.happened_at == NEW_YORK.session_close(DAY)
        # its barriers lie around the auction's price, as the backtest's around the close
        assert fill.reference_price is None
        assert not asked
        assert broker.closing_hours() == requests.CLOSING_HOURS


def test_the_broker_takes_one_back() -> None:
    start = NEW_YORK.session_close(DAY) - 13 * MINUTE
    with at_exchange_from(start, (100.0,) * 13) as (exchange, broker):
        order = terms(time_in_force="cls")
        broker.submit(SubmitOrder(order))
        broker.cancel(CancelOrder("c-1"))
        while exchange.step(1):
            pass
        assert final(broker.updates(), order).status is Status.CANCELED


def test_what_is_late_is_rejected_by_alpaca_too_and_nothing_takes_its_place() -> None:
    start = NEW_YORK.session_close(DAY) - 9 * MINUTE
    with at_exchange_from(start, (100.0,) * 9) as (exchange, broker):
        with pytest.raises(BrokerRejected, match="before 3:50pm"):
            broker.submit(SubmitOrder(terms(time_in_force="cls")))
        assert posts(exchange) == 1
        assert not exchange.venue.orders


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"quantity": 0.5}, "closing auctions take whole shares"),
        ({"kind": "stop", "stop_price": 99.0}, "not a stop"),
        ({"symbol": "BTC/USD"}, "not market cls"),
    ],
)
def test_what_alpaca_has_no_closing_order_for_is_not_sent(
    changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(BrokerRejected, match=said):
        requests.body_of(SubmitOrder(terms(**({"time_in_force": "cls"} | changes))), is_open=True)


def test_a_limit_on_close_and_a_short_sale_have_their_words() -> None:
    limit = terms(time_in_force="cls", kind="limit", limit_price=99.0, side="sell")
    body = requests.body_of(SubmitOrder(limit), is_open=False, is_short=True)
    names = ("type", "time_in_force", "limit_price", "side")
    assert [body[name] for name in names] == ["limit", "cls", "99", "sell"]


def test_an_order_of_another_kind_than_the_one_for_the_close_is_a_contradiction() -> None:
    body = requests.body_of(SubmitOrder(terms(time_in_force="cls")), is_open=True)
    requests.check_accepted(body, body)
    with pytest.raises(BrokerContradiction, match="time_in_force day"):
        requests.check_accepted(body, body | {"time_in_force": "day"})


def at_exchange_from(start: datetime, prices: tuple[float, ...], **options: Any) -> Any:
    """As `at_exchange`, from another minute on."""
    return at_exchange(None, frame=bars(prices, start=start), **options)
