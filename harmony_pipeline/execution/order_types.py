"""What an order is: kinds, times in force, groups, and the checks that it must pass.

An `OrderTicket` is one order as it is handed to the matching engine (`matching_engine.py`). A
group is made of tickets that name each other:

    OTO      the child names its parent (`parent_id`), is held, and works once the parent is done
    OCO      tickets of one `oco_id`: what one fills, the others lose; one ends, the others end
    bracket  an entry with two children of one `oco_id`: a profit target and a stop

Tickets can be made with any content, since they come from strategies. `check_order` and
`check_groups` judge them: nothing, or a `Refusal` with a short reason and a sentence. Which kinds
go with which times in force is the venue's rule (`VenueRules`; Alpaca's documentation of orders).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from harmony_pipeline.market.price_grid import Record, round_to_tick, snap_to_lot

KINDS = ("market", "limit", "stop", "stop_limit", "trailing_stop")
MARKET, LIMIT, STOP, STOP_LIMIT, TRAILING_STOP = range(5)
TIMES_IN_FORCE = ("day", "gtc", "ioc", "fok", "opg", "cls")
DAY, GTC, IOC, FOK, OPG, CLS = range(6)
MAX_OCO = 8  # orders of one OCO group

_NEEDS_LIMIT = ("limit", "stop_limit")
_NEEDS_STOP = ("stop", "stop_limit")
_TICK_ERROR = 1e-6  # of a price, relative: what decimal text loses as a double


class OrderTicket(msgspec.Struct, frozen=True, kw_only=True):
    """One order. `side` +1 buys, -1 sells; quantity in shares; prices raw, on the tick.

    A trailing stop has either `trail_amount` (price) or `trail_percent` (0 to 100). `reduce_only`:
    it never opens nor turns a position. `after_parent`: `done` lets a child work once its parent
    has ended with fills, for no more than these; `filled` only once it is filled completely.
    `volatility` of one bar, known at the decision, is what market impact is estimated from. A
    `post_only` limit may only rest: where it would trade on arrival, the exchange rejects it.
    """

    order_id: str
    symbol: str
    side: int
    quantity: float
    submitted_at: datetime
    kind: str = "market"
    time_in_force: str = "day"
    limit_price: float | None = None
    stop_price: float | None = None
    trail_amount: float | None = None
    trail_percent: float | None = None
    reduce_only: bool = False
    extended_hours: bool = False
    parent_id: str | None = None
    after_parent: str = "done"
    oco_id: str | None = None
    volatility: float = 0.0
    post_only: bool = False


class Refusal(NamedTuple):
    """Why an order is not taken: a word for tables and a sentence for people."""

    reason: str
    message: str


@dataclass(frozen=True)
class VenueRules:
    """What a venue takes. `opening_cutoff`: OPG orders this close to the open are refused;
    `closing_cutoff`: CLS orders this close to the close. `auction_pause`: after the cutoff, until
    this long after the close, OPG and CLS are refused (none: they wait for the next auction).
    """

    kinds: tuple[str, ...] = KINDS
    times_in_force: tuple[str, ...] = TIMES_IN_FORCE
    extended_hours: bool = True
    opening_cutoff: timedelta = timedelta()
    closing_cutoff: timedelta = timedelta()
    auction_pause: timedelta | None = None


US_EQUITIES = VenueRules()
ALPACA = VenueRules(
    opening_cutoff=timedelta(minutes=2),
    closing_cutoff=timedelta(minutes=10),
    auction_pause=timedelta(hours=3),
)
CRYPTO = VenueRules(("market", "limit", "stop_limit"), ("gtc", "ioc"), extended_hours=False)


def check_order(ticket: OrderTicket, rules: Record | None, venue: VenueRules) -> Refusal | None:
    """Why `ticket` is no order that can work, or None. `rules` is the RULES record of its symbol,
    None for a symbol that nobody knows.
    """
    if rules is None:
        return Refusal(
            "unknown_symbol",
            f"{ticket.symbol!r} is no symbol of this engine: name it when the engine is made",
        )
    return (
        _check_words(ticket, venue)
        or _check_quantity(ticket, rules)
        or _check_prices(ticket, rules)
        or _check_trail(ticket)
        or _check_post_only(ticket)
        or _check_extended_hours(ticket, venue)
    )


def check_groups(tickets: Sequence[OrderTicket]) -> dict[str, Refusal]:
    """By order_id, why tickets that were handed over together do not fit each other.

    Each has an id of its own. Orders of one OCO group have one symbol, quantity and parent, and
    there are 2 to MAX_OCO of them. A child has its parent's symbol.
    """
    found: dict[str, Refusal] = {}
    by_id: dict[str, OrderTicket] = {}
    groups: dict[str, list[OrderTicket]] = {}
    for ticket in tickets:
        if ticket.order_id in by_id:
            found[ticket.order_id] = Refusal("duplicate_order", "two tickets have this order_id")
        by_id[ticket.order_id] = ticket
        if ticket.oco_id is not None:
            groups.setdefault(ticket.oco_id, []).append(ticket)
    for ticket in tickets:
        parent = None if ticket.parent_id is None else by_id.get(ticket.parent_id)
        if parent is not None and parent.symbol != ticket.symbol:
            message = f"{ticket.order_id} trades {ticket.symbol}, its parent {parent.symbol}"
            found[ticket.order_id] = Refusal("parent", message)
    for name, group in groups.items():
        message = ""
        if not 2 <= len(group) <= MAX_OCO:
            message = f"OCO group {name} has {len(group)} orders, not 2 to {MAX_OCO}"
        elif len({(each.symbol, each.quantity, each.parent_id) for each in group}) > 1:
            message = f"orders of OCO group {name} differ in symbol, size or parent"
        if message:
            found |= {each.order_id: Refusal("oco", message) for each in group}
    return found


def bracket(
    entry: OrderTicket,
    take_profit: float,
    stop_loss: float,
    stop_limit: float | None = None,
    time_in_force: str = "gtc",
) -> tuple[OrderTicket, OrderTicket, OrderTicket]:
    """An entry, its profit target (limit) and its stop: (entry, take, stop), named `ID-take` and
    `ID-stop`. The two children only reduce the position.
    """
    take = _child(entry, "take", "limit", time_in_force, limit_price=take_profit)
    kind = "stop" if stop_limit is None else "stop_limit"
    stop = _child(entry, "stop", kind, time_in_force, stop_price=stop_loss, limit_price=stop_limit)
    group = f"{entry.order_id}-exit"
    take, stop = one_cancels_other(group, take, stop)
    return entry, take, stop


def one_cancels_other(name: str, *tickets: OrderTicket) -> tuple[OrderTicket, ...]:
    """The tickets as one OCO group."""
    return tuple(msgspec.structs.replace(ticket, oco_id=name) for ticket in tickets)


def one_triggers_other(
    parent: OrderTicket, *children: OrderTicket, after_parent: str = "done"
) -> tuple[OrderTicket, ...]:
    """The parent, and the children that wait for it."""
    held = (
        msgspec.structs.replace(child, parent_id=parent.order_id, after_parent=after_parent)
        for child in children
    )
    return parent, *held


def _child(entry: OrderTicket, role: str, kind: str, force: str, **prices: Any) -> OrderTicket:
    return OrderTicket(
        order_id=f"{entry.order_id}-{role}",
        symbol=entry.symbol,
        side=-entry.side,
        quantity=entry.quantity,
        submitted_at=entry.submitted_at,
        kind=kind,
        time_in_force=force,
        reduce_only=True,
        parent_id=entry.order_id,
        volatility=entry.volatility,
        **prices,
    )


# --- checks ---------------------------------------------------------------------------------------


def _check_words(ticket: OrderTicket, venue: VenueRules) -> Refusal | None:
    if ticket.side not in (-1, 1):
        return Refusal("side", f"side is {ticket.side!r}: +1 buys, -1 sells")
    if ticket.kind not in venue.kinds:
        return Refusal("kind", f"kind is {ticket.kind!r}: one of {', '.join(venue.kinds)}")
    force = ticket.time_in_force
    if force not in venue.times_in_force:
        allowed = ", ".join(venue.times_in_force)
        return Refusal("time_in_force", f"time_in_force is {force!r}: one of {allowed}")
    if force not in ("day", "gtc") and ticket.kind not in ("market", "limit"):
        return Refusal(
            "time_in_force", f"a {ticket.kind} order is day or gtc, not {force}: it must wait"
        )
    if force not in ("day", "gtc") and ticket.parent_id is not None:
        return Refusal("time_in_force", f"an order that waits for its parent cannot be {force}")
    if ticket.after_parent not in ("done", "filled"):
        return Refusal("parent", f"after_parent is {ticket.after_parent!r}: one of done, filled")
    return None


def _check_quantity(ticket: OrderTicket, rules: Record) -> Refusal | None:
    quantity = ticket.quantity
    if not (_is_number(quantity) and quantity > 0.0):
        return Refusal("quantity", f"quantity is {quantity!r}: a number of shares above zero")
    lot = float(rules["lot_size"])
    whole = round(quantity / lot) * lot
    if abs(float(snap_to_lot(float(quantity), lot)) - whole) > 1e-6 * lot:
        return Refusal("lot_size", f"quantity {quantity} is no whole number of lots of {lot:g}")
    if quantity < float(rules["minimum_quantity"]):
        least = float(rules["minimum_quantity"])
        return Refusal("minimum_quantity", f"quantity {quantity} is below the least, {least:g}")
    if not (_is_number(ticket.volatility) and ticket.volatility >= 0.0):
        return Refusal("volatility", f"volatility is {ticket.volatility!r}: at least zero")
    return None


def _check_prices(ticket: OrderTicket, rules: Record) -> Refusal | None:
    for name, price, needed in (
        ("limit_price", ticket.limit_price, ticket.kind in _NEEDS_LIMIT),
        ("stop_price", ticket.stop_price, ticket.kind in _NEEDS_STOP),
    ):
        if price is None and not needed:
            continue
        if price is None:
            return Refusal(name, f"a {ticket.kind} order needs a {name}")
        if not needed:
            return Refusal(name, f"a {ticket.kind} order has no {name}: leave {price!r} out")
        if not (_is_number(price) and price > 0.0):
            return Refusal(name, f"{name} is {price!r}: a price above zero")
        nearest = float(round_to_tick(rules, float(price)))
        if abs(nearest - price) > _TICK_ERROR * price:
            return Refusal("tick_size", f"{name} {price} is off the tick: {nearest} is on it")
    return None


def _check_trail(ticket: OrderTicket) -> Refusal | None:
    given = [value for value in (ticket.trail_amount, ticket.trail_percent) if value is not None]
    if ticket.kind != "trailing_stop":
        return Refusal("trail", f"a {ticket.kind} order has no trail") if given else None
    if len(given) != 1:
        return Refusal("trail", "a trailing stop has either trail_amount or trail_percent")
    if not (_is_number(given[0]) and given[0] > 0.0):
        return Refusal("trail", f"the trail is {given[0]!r}: a number above zero")
    if ticket.trail_percent is not None and ticket.trail_percent >= 100.0:
        return Refusal("trail", f"trail_percent is {ticket.trail_percent}: below 100")
    return None


def _check_post_only(ticket: OrderTicket) -> Refusal | None:
    if ticket.post_only and (ticket.kind != "limit" or ticket.time_in_force not in ("day", "gtc")):
        return Refusal(
            "post_only",
            f"only a limit order that is day or gtc can be post-only; this is {ticket.kind},"
            f" {ticket.time_in_force}",
        )
    return None


def _check_extended_hours(ticket: OrderTicket, venue: VenueRules) -> Refusal | None:
    if not ticket.extended_hours:
        return None
    if not venue.extended_hours:
        return Refusal("extended_hours", "this venue has no extended hours")
    if ticket.kind != "limit" or ticket.time_in_force not in ("day", "gtc"):
        return Refusal(
            "extended_hours",
            f"extended hours take limit orders, day or gtc; this is {ticket.kind},"
            f" {ticket.time_in_force}",
        )
    if ticket.parent_id is not None or ticket.oco_id is not None:
        return Refusal("extended_hours", "extended hours take single orders, no brackets nor OCO")
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
