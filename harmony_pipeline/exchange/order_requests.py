"""The body of POST and PATCH /v2/orders, read and judged by itself: what it lacks and what can
never be. What depends on the account and the market is judged by `venue.py`.
"""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from harmony_pipeline.exchange.refusals import Refused, invalid, malformed, missing
from harmony_pipeline.execution.coins import is_pair

TYPES = ("market", "limit", "stop", "stop_limit", "trailing_stop")
TIMES = ("day", "gtc", "opg", "cls", "ioc", "fok")
CLASSES = ("", "simple", "bracket", "oco", "oto")
_LONGEST_ID = 128
_ONE, _CENT, _SUB = Decimal(1), Decimal("0.01"), Decimal("0.0001")


class OrderRequest(msgspec.Struct, kw_only=True):
    """One request, checked: the entry, and the prices of its exits."""

    symbol: str
    side: str
    type: str
    time_in_force: str
    qty: Decimal | None
    notional: Decimal | None
    limit_price: Decimal | None
    stop_price: Decimal | None
    trail_price: Decimal | None
    trail_percent: Decimal | None
    extended_hours: bool
    client_order_id: str | None
    order_class: str
    take_profit: Decimal | None = None
    stop_loss: Decimal | None = None
    stop_loss_limit: Decimal | None = None


class Replacement(msgspec.Struct, kw_only=True):
    """What PATCH changes; None: stays."""

    qty: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail: Decimal | None = None
    time_in_force: str | None = None
    client_order_id: str | None = None


def read_order(body: Any) -> OrderRequest:
    """The order that a body asks for. Raises Refused."""
    if not isinstance(body, Mapping):
        raise malformed()
    order_class = body.get("order_class") or ""
    take, stop = _leg(body, "take_profit"), _leg(body, "stop_loss")
    request = OrderRequest(
        symbol=str(body.get("symbol") or ""),
        side=str(body.get("side") or ""),
        type=str(body.get("type") or ""),
        time_in_force=str(body.get("time_in_force") or ""),
        qty=number(body, "qty"),
        notional=number(body, "notional"),
        limit_price=number(body, "limit_price"),
        stop_price=number(body, "stop_price"),
        trail_price=number(body, "trail_price"),
        trail_percent=number(body, "trail_percent"),
        extended_hours=body.get("extended_hours") is True,
        client_order_id=body.get("client_order_id"),
        order_class="" if order_class == "simple" else order_class,
        take_profit=number(take, "limit_price"),
        stop_loss=number(stop, "stop_price"),
        stop_loss_limit=number(stop, "limit_price"),
    )
    if request.order_class == "oco" and request.limit_price is None:
        request.limit_price = request.take_profit
    _check_fields(request)
    _check_prices(request)
    _check_class(request)
    _check_quantity(request)
    return request


def read_replacement(body: Any) -> Replacement:
    """The changes that a body asks for. Raises Refused."""
    if not isinstance(body, Mapping):
        raise malformed()
    changes = Replacement(
        qty=number(body, "qty"),
        limit_price=number(body, "limit_price"),
        stop_price=number(body, "stop_price"),
        trail=number(body, "trail"),
        time_in_force=body.get("time_in_force"),
        client_order_id=body.get("client_order_id"),
    )
    if changes.qty is not None and changes.qty <= 0:
        raise missing("qty must be > 0")
    if changes.qty is not None and changes.qty != changes.qty.to_integral_value():
        raise invalid("qty must be integer")
    for name in ("limit_price", "stop_price"):
        check_increment(name, getattr(changes, name))
    return changes


def number(body: Mapping[str, Any], name: str) -> Decimal | None:
    """A field as a decimal; numbers and texts are both taken. Raises Refused."""
    value = body.get(name)
    if value is None or value == "":
        return None
    try:
        found = Decimal(repr(value) if isinstance(value, float) else str(value))
    except InvalidOperation:
        raise malformed() from None
    if not found.is_finite():
        raise malformed()
    return found


def check_increment(name: str, price: Decimal | None) -> None:
    """Two decimals from one dollar on, four below. Raises Refused."""
    if price is not None and price % (_CENT if abs(price) >= _ONE else _SUB) != 0:
        raise invalid(
            f"invalid {name} {price}. sub-penny increment does not fulfill minimum pricing criteria"
        )


def _leg(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    leg = body.get(name) or {}
    if not isinstance(leg, Mapping):
        raise malformed()
    return leg


def _check_fields(request: OrderRequest) -> None:
    if not request.symbol:
        raise missing("symbol is required")
    if request.side not in {"buy", "sell"}:
        raise missing("side must be buy or sell")
    if request.type not in TYPES:
        raise missing("invalid order type")
    if request.time_in_force not in TIMES:
        raise missing("invalid time_in_force")
    if request.order_class not in CLASSES:
        raise invalid(f"invalid order class: {request.order_class}")
    if request.client_order_id is not None and len(request.client_order_id) > _LONGEST_ID:
        raise missing(f"client_order_id must be no more than {_LONGEST_ID} characters")
    if request.qty is None and request.notional is None:
        raise missing("qty or notional is required")
    if request.qty is not None and request.notional is not None:
        raise missing("only one of qty or notional is accepted")
    if request.qty is not None and request.qty <= 0:
        raise missing("qty must be > 0")
    if request.notional is not None and request.notional < _ONE:
        raise Refused(403, 40310000, "cost basis must be >= minimal amount of order 1")


def _check_prices(request: OrderRequest) -> None:
    needs_limit = request.type in {"limit", "stop_limit"}
    needs_stop = request.type in {"stop", "stop_limit"}
    if needs_limit and request.limit_price is None:
        raise missing("limit orders require a limit price")
    if needs_stop and request.stop_price is None:
        raise missing("stop orders require a stop price")
    if request.type == "market" and request.limit_price is not None:
        raise missing("market orders must not have limit_price")
    if request.type == "trailing_stop" and (request.trail_price is None) == (
        request.trail_percent is None
    ):
        raise missing("trailing stop orders must specify one of trail_price or trail_percent")
    for name in ("limit_price", "stop_price", "take_profit", "stop_loss", "stop_loss_limit"):
        price = getattr(request, name)
        shown = {
            "take_profit": "take_profit.limit_price",
            "stop_loss": "stop_loss.stop_price",
            "stop_loss_limit": "stop_loss.limit_price",
        }.get(name, name)
        if price is not None and price <= 0:
            raise missing(f"{shown} must be > 0")
        if not is_pair(request.symbol):
            check_increment(shown, price)


def _check_class(request: OrderRequest) -> None:
    kind = request.order_class
    if kind in {"bracket", "oco"} and request.take_profit is None:
        raise invalid(f"{kind} orders require take_profit.limit_price")
    if kind in {"bracket", "oco"} and request.stop_loss is None:
        raise invalid(f"{kind} orders require stop_loss.stop_price")
    if kind == "oto" and (request.take_profit is None) == (request.stop_loss is None):
        raise invalid("oto orders require exactly one of take_profit or stop_loss")
    if kind == "oco" and request.type != "limit":
        raise invalid("oco orders must be limit orders")
    if kind and request.time_in_force not in {"day", "gtc"}:
        raise invalid(f"{kind} orders must be DAY or GTC orders")
    if kind and request.extended_hours:
        raise invalid(f"{kind} orders cannot be extended hours orders")
    if kind and request.type == "trailing_stop":
        raise invalid(f"{kind} orders cannot be trailing stop orders")
    if request.take_profit is not None and request.stop_loss is not None:
        upper, lower = request.take_profit, request.stop_loss
        selling = (request.side == "sell") == (kind == "oco")
        if (upper <= lower) if selling else (upper >= lower):
            word = ">=" if selling else "<="
            raise invalid(f"take_profit.limit_price must be {word} stop_loss.stop_price")


def _check_quantity(request: OrderRequest) -> None:
    if is_pair(request.symbol):  # coins come in fractions, see coin_rules.py
        return
    fractional = request.notional is not None or (
        request.qty is not None and request.qty != request.qty.to_integral_value()
    )
    if request.extended_hours and (
        request.type != "limit" or request.time_in_force not in {"day", "gtc"}
    ):
        raise invalid("extended hours order must be DAY or GTC limit orders")
    if not fractional:
        return
    if request.time_in_force != "day":
        raise invalid("fractional orders must be DAY orders")
    if request.order_class:
        raise invalid("fractional orders must be simple orders")
    if request.notional is not None and request.notional % _CENT != 0:
        raise invalid("notional value must be limited to 2 decimal places")
