"""The routes of Alpaca's trading interface: method, path, and what answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from harmony_pipeline.exchange import account_views as views
from harmony_pipeline.exchange.orders import Json, VenueOrder, nanoseconds_of, order_json
from harmony_pipeline.exchange.refusals import invalid, malformed, missing
from harmony_pipeline.exchange.venue import Venue

_USUAL_ORDERS, _MOST_ORDERS = 50, 500


@dataclass(frozen=True)
class Answer:
    """A body with a status other than 200."""

    body: Any
    status: int


def _account(venue: Venue, _request: Request, _body: Any) -> Json:
    return views.account_json(venue)


def _configurations(venue: Venue, _request: Request, _body: Any) -> Json:
    return dict(venue.configurations)


def _configure(venue: Venue, _request: Request, body: Any) -> Json:
    if not isinstance(body, Mapping):
        raise malformed()
    known = {name: value for name, value in body.items() if value is not None}
    unknown = sorted(set(known) - set(venue.configurations))
    if unknown:
        raise invalid(f"unknown configuration: {', '.join(unknown)}")
    venue.configurations.update(known)
    venue.commit()
    return dict(venue.configurations)


def _activities(venue: Venue, request: Request, _body: Any) -> list[Json]:
    kind = request.path_params.get("kind")
    kinds = {kind} if kind else set(filter(None, _query(request, "activity_types").split(",")))
    return views.activities_json(venue, kinds, request.query_params)


def _submit(venue: Venue, _request: Request, body: Any) -> Json:
    return venue.submit(body)


def _orders(venue: Venue, request: Request, _body: Any) -> list[Json]:
    query = request.query_params
    status = query.get("status", "open")
    if status not in {"open", "closed", "all"}:
        raise invalid(f"invalid status: {status}")
    nested = _query(request, "nested").lower() == "true"
    limit = min(int(query.get("limit", _USUAL_ORDERS)), _MOST_ORDERS)
    symbols = set(filter(None, _query(request, "symbols").split(",")))
    found = [
        order
        for order in venue.orders.values()
        if _is_wanted(venue, order, status, nested=nested)
        and (not symbols or order.symbol in symbols)
        and query.get("side", order.side) == order.side
    ]
    if query.get("after"):
        after = nanoseconds_of(query["after"])
        found = [order for order in found if order.created_at > after]
    if query.get("until"):
        until = nanoseconds_of(query["until"])
        found = [order for order in found if order.created_at < until]
    found.sort(key=lambda order: order.created_at, reverse=query.get("direction", "desc") == "desc")
    legs: dict[str, list[VenueOrder]] = {}
    if nested:
        for order in venue.orders.values():
            if order.parent is not None:
                legs.setdefault(order.parent, []).append(order)
    return [order_json(order, legs.get(order.id)) for order in found[:limit]]


def _is_wanted(venue: Venue, order: VenueOrder, status: str, *, nested: bool) -> bool:
    """Legs are shown under their orders when nested; then an order is open with its last leg."""
    if nested and order.parent is not None:
        return False
    is_open = order.is_open
    if nested and not is_open:
        is_open = any(leg.is_open for leg in venue.legs(order))
    return status == "all" or is_open == (status == "open")


def _by_client_id(venue: Venue, request: Request, _body: Any) -> Json:
    name = _query(request, "client_order_id")
    if not name:
        raise missing("client_order_id is missing")
    order = venue.named(name)
    return order_json(order, venue.legs(order))


def _order(venue: Venue, request: Request, _body: Any) -> Json:
    order = venue.find(request.path_params["order_id"])
    nested = _query(request, "nested").lower() == "true"
    return order_json(order, venue.legs(order) if nested else None)


def _replace(venue: Venue, request: Request, body: Any) -> Json:
    return venue.replace(request.path_params["order_id"], body)


def _cancel(venue: Venue, request: Request, _body: Any) -> Answer:
    venue.cancel(request.path_params["order_id"])
    return Answer(None, 204)


def _cancel_all(venue: Venue, _request: Request, _body: Any) -> Answer:
    return Answer(venue.cancel_all(), 207)


def _positions(venue: Venue, _request: Request, _body: Any) -> list[Json]:
    return views.positions_json(venue)


def _position(venue: Venue, request: Request, _body: Any) -> Json:
    return views.position_json(venue, request.path_params["symbol"])


def _close(venue: Venue, request: Request, _body: Any) -> Json:
    return views.close_position(venue, request.path_params["symbol"], request.query_params)


def _close_all(venue: Venue, request: Request, _body: Any) -> Answer:
    cancel = _query(request, "cancel_orders").lower() == "true"
    return Answer(views.close_all_positions(venue, cancel_orders=cancel), 207)


def _clock(venue: Venue, _request: Request, _body: Any) -> Json:
    return views.clock_json(venue)


def _calendar(venue: Venue, request: Request, _body: Any) -> list[Json]:
    return views.calendar_json(venue, request.query_params)


def _assets(venue: Venue, request: Request, _body: Any) -> list[Json]:
    wanted = {
        name: request.query_params[name]
        for name in ("status", "exchange")
        if name in request.query_params
    }
    return [
        row
        for row in views.assets_json(venue)
        if all(row[name] == value for name, value in wanted.items())
        and request.query_params.get("asset_class", row["class"]) == row["class"]
    ]


def _asset(venue: Venue, request: Request, _body: Any) -> Json:
    return views.asset_json(venue, request.path_params["symbol"])


def _query(request: Request, name: str) -> str:
    return str(request.query_params.get(name, ""))


ROUTES: tuple[tuple[str, str, Callable[[Venue, Request, Any], Any]], ...] = (
    ("GET", "/v2/account", _account),
    ("GET", "/v2/account/configurations", _configurations),
    ("PATCH", "/v2/account/configurations", _configure),
    ("GET", "/v2/account/activities", _activities),
    ("GET", "/v2/account/activities/{kind}", _activities),
    ("POST", "/v2/orders", _submit),
    ("GET", "/v2/orders", _orders),
    ("DELETE", "/v2/orders", _cancel_all),
    ("GET", "/v2/orders:by_client_order_id", _by_client_id),
    ("GET", "/v2/orders/{order_id}", _order),
    ("PATCH", "/v2/orders/{order_id}", _replace),
    ("DELETE", "/v2/orders/{order_id}", _cancel),
    ("GET", "/v2/positions", _positions),
    ("DELETE", "/v2/positions", _close_all),
    ("GET", "/v2/positions/{symbol:path}", _position),
    ("DELETE", "/v2/positions/{symbol:path}", _close),
    ("GET", "/v2/clock", _clock),
    ("GET", "/v2/calendar", _calendar),
    ("GET", "/v2/assets", _assets),
    ("GET", "/v2/assets/{symbol:path}", _asset),
)
