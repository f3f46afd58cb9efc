"""An order as the simulated exchange keeps it, and as Alpaca's JSON writes it.

Quantities and prices are decimals, times are nanoseconds since 1970 UTC on the exchange's clock.
Every order that is made gets a stamp of its own, so that pages cut by time lose none.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

import msgspec

from harmony_pipeline.execution.coins import is_pair

Json = dict[str, Any]

OPEN_STATUSES = frozenset(
    {"new", "accepted", "pending_new", "partially_filled", "held", "pending_cancel",
     "pending_replace", "accepted_for_bidding", "stopped", "suspended", "calculated"}
)  # fmt: skip
FIRST_TIME = 0


class VenueOrder(msgspec.Struct, kw_only=True):
    """One order. `siblings` are the ids that its end cancels (one cancels the other), `children`
    those that its complete fill sets free, `parent` the order it is shown under as a leg.
    `foreign` orders were made by nobody with our keys. The last fields are for the matching rules
    (portfolio/kernel_types.py, ORDER).
    """

    id: str
    client_order_id: str
    symbol: str
    side: str
    type: str
    time_in_force: str
    qty: Decimal
    notional: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_price: Decimal | None = None
    trail_percent: Decimal | None = None
    hwm: Decimal | None = None
    extended_hours: bool = False
    order_class: str = ""
    status: str = "pending_new"
    filled_qty: Decimal = Decimal(0)
    filled_value: Decimal = Decimal(0)
    created_at: int = FIRST_TIME
    updated_at: int = FIRST_TIME
    filled_at: int | None = None
    expired_at: int | None = None
    canceled_at: int | None = None
    failed_at: int | None = None
    replaced_at: int | None = None
    replaced_by: str | None = None
    replaces: str | None = None
    parent: str | None = None
    siblings: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    foreign: bool = False
    reduces: bool = False
    triggered: bool = False
    volatility: float = 0.0
    since: int = 0
    waited: int = 0
    fills: int = 0

    @property
    def is_open(self) -> bool:
        """Whether anything may still happen to it."""
        return self.status in OPEN_STATUSES

    @property
    def works(self) -> bool:
        """Whether the market may meet it now."""
        return self.status in {"new", "accepted", "partially_filled", "pending_cancel"}

    @property
    def remaining(self) -> Decimal:
        """Shares that may still be filled."""
        return self.qty - self.filled_qty

    @property
    def sign(self) -> int:
        """+1 buys, -1 sells."""
        return 1 if self.side == "buy" else -1


def order_json(order: VenueOrder, legs: list[VenueOrder] | None = None) -> Json:
    """The order in Alpaca's fields; `legs` None: they are not shown."""
    average = None if not order.filled_qty else plain(order.filled_value / order.filled_qty)
    return {
        "id": order.id,
        "client_order_id": order.client_order_id,
        "created_at": stamp(order.created_at),
        "updated_at": stamp(order.updated_at),
        "submitted_at": stamp(order.created_at),
        "filled_at": stamp(order.filled_at),
        "expired_at": stamp(order.expired_at),
        "canceled_at": stamp(order.canceled_at),
        "failed_at": stamp(order.failed_at),
        "replaced_at": stamp(order.replaced_at),
        "replaced_by": order.replaced_by,
        "replaces": order.replaces,
        "asset_id": asset_id(order.symbol),
        "symbol": order.symbol,
        "asset_class": asset_class(order.symbol),
        "notional": None if order.notional is None else plain(order.notional),
        "qty": None if order.notional is not None else plain(order.qty),
        "filled_qty": plain(order.filled_qty),
        "filled_avg_price": average,
        "order_class": order.order_class,
        "order_type": order.type,
        "type": order.type,
        "side": order.side,
        "position_intent": _intent(order),
        "time_in_force": order.time_in_force,
        "limit_price": _price(order.limit_price),
        "stop_price": _price(order.stop_price),
        "status": order.status,
        "extended_hours": order.extended_hours,
        "legs": [order_json(leg) for leg in legs] if legs else None,
        "trail_percent": _price(order.trail_percent),
        "trail_price": _price(order.trail_price),
        "hwm": _price(order.hwm),
        "commission": None,
        "subtag": None,
        "source": None,
    }


def _intent(order: VenueOrder) -> str:
    return f"{order.side}_to_{'close' if order.reduces else 'open'}"


def _price(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)


def plain(value: Decimal) -> str:
    """A decimal without an exponent and without zeros at its end: `10`, `0.25`."""
    rounded = value.quantize(Decimal("1e-9")) if value.as_tuple().exponent < -9 else value  # type: ignore[operator]
    text = format(rounded, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def exact(value: float) -> Decimal:
    """The shortest decimal that is this float: 10.1, not 10.0999999999999996."""
    return Decimal(repr(float(value)))


def asset_id(symbol: str) -> str:
    """The id of a symbol's asset; the same in every run."""
    return str(uuid5(NAMESPACE_DNS, symbol))


def asset_class(symbol: str) -> str:
    """Alpaca's word for what a symbol is."""
    return "crypto" if is_pair(symbol) else "us_equity"


def stamp(nanoseconds: int | None) -> str | None:
    """RFC 3339 with nine digits and `Z`."""
    if nanoseconds is None:
        return None
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{rest:09d}Z"


def nanoseconds_of(text: str) -> int:
    """The inverse of `stamp`, for any RFC 3339 text or date. Raises ValueError."""
    digits = ""
    if "." in text:
        head, tail = text.split(".", 1)
        end = next((i for i, letter in enumerate(tail) if not letter.isdigit()), len(tail))
        digits, text = tail[:end][:9], head + tail[end:]
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * 1_000_000_000 + int(digits.ljust(9, "0") or 0)
