"""Our orders in Alpaca's words: request bodies, names, and the rules that are known before sending.

Amounts are texts with their exact digits: alpaca-py's request models turn them into floats. Both
legs of a bracket are one OCO order at Alpaca, whose stop gets a name of its own there. So the OCO
is sent under one name that holds both of ours (`joined`), and whoever reads it back knows them.
Orders in coins are single ones (`session/single_stops.py`).
"""

import math
from datetime import time, timedelta
from decimal import Decimal
from typing import Any

from harmony_pipeline.errors import BrokerContradiction, BrokerRejected
from harmony_pipeline.execution.closing_auction import ClosingHours
from harmony_pipeline.execution.coins import is_pair
from harmony_pipeline.execution.events import OrderTerms, ReplaceOrder, SubmitOrder

Json = dict[str, Any]
LONGEST_NAME = 128
CLOSING_HOURS = ClosingHours(cutoff=timedelta(minutes=10), evening=time(19))
"""Alpaca takes `cls` orders until 15:50 in New York, refuses them until 19:00, and keeps those that
come later for the next day's auction (https://docs.alpaca.markets/docs/orders-at-alpaca). It names
no other hour for a shortened day; there the exchanges' own deadline is as long before the close,
12:50 for one at 13:00, and nothing is said to be taken before 19:00 either.
"""
_COIN_DIGITS = 9
_MARK = "~"
_ONE, _CENT, _SUB = Decimal(1), Decimal("0.01"), Decimal("0.0001")


def text_of(value: float) -> str:
    """A quantity or a price with the digits that it has: 10, 0.1, 290.12."""
    text = format(Decimal(repr(float(value))), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


# --- names ----------------------------------------------------------------------------------------


def joined(take: str, stop: str) -> str:
    """One name for two orders: what both begin with, then the rest of each."""
    shared = 0
    for ours, theirs in zip(take, stop, strict=False):
        if ours != theirs:
            break
        shared += 1
    return f"{take[:shared]}{_MARK}{take[shared:]}{_MARK}{stop[shared:]}"


def parted(name: str) -> tuple[str, str] | None:
    """The inverse of `joined`: (take, stop), or None for any other name."""
    parts = name.split(_MARK)
    if len(parts) != 3:
        return None
    shared, take, stop = parts
    return shared + take, shared + stop


# --- requests -------------------------------------------------------------------------------------


def body_of(command: SubmitOrder, *, is_open: bool, is_short: bool = False) -> Json:
    """The body of POST /v2/orders. `is_open`: the regular session is under way; `is_short`: the
    order would sell what is not held. Raises BrokerRejected with a sentence for what Alpaca would
    refuse.
    """
    if is_pair(command.order.symbol):
        return _of_pair(command, is_short=is_short)
    if command.other is None:
        return _simple(command.order, is_open=is_open, is_short=is_short)
    legs = {terms.kind: terms for terms in (command.order, command.other)}
    if set(legs) != {"stop", "limit"}:
        raise _refusal(command.order, "a bracket has a stop and a limit order")
    return _oco(legs["limit"], legs["stop"])


def _simple(terms: OrderTerms, *, is_open: bool, is_short: bool) -> Json:
    check(terms)
    whole = float(terms.quantity).is_integer()
    if not whole and is_short:
        raise _refusal(terms, "a fraction of a share cannot be sold short: use whole shares")
    if terms.is_at_close:
        _check_closing(terms, whole=whole)
    body = {
        "symbol": terms.symbol,
        "qty": text_of(terms.quantity),
        "side": terms.side,
        "type": terms.kind,
        "time_in_force": _time_in_force(terms, whole=whole, is_open=is_open),
        "client_order_id": terms.client_order_id,
    }
    if terms.kind == "limit":
        body["limit_price"] = text_of(_price(terms, "limit_price"))
    if terms.kind == "stop":
        body["stop_price"] = text_of(_price(terms, "stop_price"))
    return body


def _check_closing(terms: OrderTerms, *, whole: bool) -> None:
    """Raises BrokerRejected for what Alpaca has no closing order for. Nothing is sent in its place:
    a fraction would otherwise become a day order, which trades at once.
    """
    if not whole:
        raise _refusal(terms, "closing auctions take whole shares: set costs.lot_size = 1")
    if terms.kind not in {"market", "limit"}:
        raise _refusal(terms, f"closing auctions take market and limit orders, not a {terms.kind}")


def _of_pair(command: SubmitOrder, *, is_short: bool) -> Json:
    """An order in coins: market, limit or stop-limit, in fractions, around the clock."""
    terms = command.order
    if command.other is not None:
        raise _refusal(terms, "Alpaca takes no two coin orders of which one cancels the other")
    if is_short:
        raise _refusal(terms, "coins cannot be sold short: set risk.allow_short = false")
    check(terms)
    if terms.kind == "stop" or terms.time_in_force not in {"gtc", "ioc"}:
        what = f"{terms.kind} {terms.time_in_force}"
        raise _refusal(
            terms, f"coins trade by market, limit and stop_limit, gtc or ioc: not {what}"
        )
    body = {
        "symbol": terms.symbol,
        "qty": text_of(round(terms.quantity, _COIN_DIGITS)),
        "side": terms.side,
        "type": terms.kind,
        "time_in_force": terms.time_in_force,
        "client_order_id": terms.client_order_id,
    }
    if terms.kind in {"limit", "stop_limit"}:
        body["limit_price"] = text_of(_price(terms, "limit_price"))
    if terms.kind == "stop_limit":
        body["stop_price"] = text_of(_price(terms, "stop_price"))
    return body


def _oco(take: OrderTerms, stop: OrderTerms) -> Json:
    for terms in (take, stop):
        check(terms)
        if not float(terms.quantity).is_integer():
            raise _refusal(terms, "legs of a bracket are whole shares: fractions cannot have one")
    if (take.symbol, take.side, take.quantity) != (stop.symbol, stop.side, stop.quantity):
        raise _refusal(take, "both legs of a bracket have one symbol, side and quantity")
    profit, loss = _price(take, "limit_price"), _price(stop, "stop_price")
    if (profit - loss) * (1 if take.side == "sell" else -1) <= 0.0:
        raise _refusal(take, f"the profit at {profit} lies on the wrong side of the stop at {loss}")
    name = joined(take.client_order_id, stop.client_order_id)
    if len(name) > LONGEST_NAME:
        raise _refusal(take, f"the name of both legs is longer than {LONGEST_NAME} characters")
    return {
        "symbol": take.symbol,
        "qty": text_of(take.quantity),
        "side": take.side,
        "type": "limit",
        "time_in_force": "gtc",  # a day order's exits would leave the position bare over night
        "order_class": "oco",
        "client_order_id": name,
        "take_profit": {"limit_price": text_of(profit)},
        "stop_loss": {"stop_price": text_of(loss)},
    }


def replacement_of(command: ReplaceOrder) -> Json:
    """The body of PATCH /v2/orders/{id}. Raises BrokerRejected."""
    name = command.client_order_id
    if command.quantity is not None and not (
        command.quantity > 0.0 and float(command.quantity).is_integer()
    ):
        raise BrokerRejected(
            f"order {name}: a replacement has whole shares > 0, found {command.quantity}"
        )
    for price in (command.limit_price, command.stop_price):
        _check_increment(name, price)
    amounts = {
        "qty": command.quantity,
        "limit_price": command.limit_price,
        "stop_price": command.stop_price,
    }
    body: Json = {key: text_of(value) for key, value in amounts.items() if value is not None}
    return {**body, "client_order_id": command.new_client_order_id}


def extended_hours_fault(terms: OrderTerms) -> str | None:
    """Why an order cannot trade before 9:30 or after 16:00, or None: Alpaca takes limit orders
    alone, for the day or until canceled.
    """
    if terms.kind != "limit":
        return f"a {terms.kind} order does not work outside of the regular session: use a limit"
    if terms.time_in_force not in {"day", "gtc"}:
        return f"time in force {terms.time_in_force} is not taken outside of the regular session"
    return None


# --- rules ----------------------------------------------------------------------------------------


def check(terms: OrderTerms) -> None:
    """Raises BrokerRejected for what no order can be."""
    if not 0.0 < terms.quantity < math.inf:
        raise _refusal(terms, f"quantity must be > 0, found {terms.quantity}")
    if len(terms.client_order_id) > LONGEST_NAME or _MARK in terms.client_order_id:
        raise _refusal(terms, f"its name is longer than {LONGEST_NAME} characters or has a {_MARK}")
    if terms.kind in {"limit", "stop_limit"}:
        _price(terms, "limit_price")
    if terms.kind in {"stop", "stop_limit"}:
        _price(terms, "stop_price")


def _price(terms: OrderTerms, name: str) -> float:
    price = getattr(terms, name)
    if price is None or not 0.0 < price < math.inf:
        raise _refusal(terms, f"a {terms.kind} order needs a {name} > 0, found {price}")
    if not is_pair(terms.symbol):  # a pair has a step of its own, on which its prices are
        _check_increment(terms.client_order_id, price)
    return float(price)


def _check_increment(name: str, price: float | None) -> None:
    if price is None:
        return
    exact = Decimal(repr(float(price)))
    step = _CENT if exact >= _ONE else _SUB
    if exact % step != 0:
        raise BrokerRejected(
            f"order {name}: price {price} is finer than {step}, the smallest step that Alpaca takes"
            " at that price: round it to the tick"
        )


def _time_in_force(terms: OrderTerms, *, whole: bool, is_open: bool) -> str:
    """Fractions are day orders; what takes at once waits for the open where the market is closed
    (Alpaca refuses ioc then).
    """
    if not whole or (terms.time_in_force == "ioc" and not is_open):
        return "day"
    return terms.time_in_force


def _refusal(terms: OrderTerms, why: str) -> BrokerRejected:
    return BrokerRejected(f"order {terms.client_order_id} ({terms.symbol}): {why}")


def check_accepted(body: Json, order: Json) -> None:
    """Raises BrokerContradiction when Alpaca made another order than was meant."""
    expected = {name: body[name] for name in ("symbol", "side", "type", "client_order_id")}
    if "order_class" in body:
        expected["order_class"] = body["order_class"]
    if body["time_in_force"] == "cls":  # any other would trade before the auction
        expected["time_in_force"] = "cls"
    wrong = [name for name, value in expected.items() if order.get(name) != value]
    amounts = {
        "qty": body["qty"],
        "limit_price": body.get("limit_price") or body.get("take_profit", {}).get("limit_price"),
        "stop_price": body.get("stop_price"),
    }
    for name, value in amounts.items():
        found = order.get(name)
        if value is not None and (found is None or Decimal(str(found)) != Decimal(value)):
            wrong.append(name)
    if wrong:
        raise BrokerContradiction(
            f"Alpaca made another order of {body['client_order_id']} than was asked for:"
            f" {', '.join(f'{name} {order.get(name)}' for name in wrong)}"
        )
