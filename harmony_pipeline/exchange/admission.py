"""Whether the account may send an order: funds, shares, shorts, hours, opposite orders; and the
figures that these rules need.
"""

from bisect import bisect_right
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

from harmony_pipeline.exchange import coin_rules
from harmony_pipeline.exchange.order_requests import OrderRequest
from harmony_pipeline.exchange.orders import VenueOrder, exact, plain
from harmony_pipeline.exchange.refusals import denied, invalid
from harmony_pipeline.exchange.venue_state import VenueState
from harmony_pipeline.execution.brokers.alpaca.orders import CLOSING_HOURS
from harmony_pipeline.execution.coins import is_pair
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.portfolio.kernel_types import MONEY

_NEW_YORK = ZoneInfo("America/New_York")
_NINE = Decimal("1e-9")
_CENT = Decimal("0.01")
_SHORT_MARGIN = Decimal("1.03")


# --- hours ----------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def _hours(calendar: Calendar, year: int) -> tuple[list[datetime], list[datetime]]:
    schedule = calendar.schedule(date(year - 1, 12, 20), date(year + 1, 1, 12))
    return schedule["open"].to_list(), schedule["close"].to_list()


def in_session(calendar: Calendar, now: datetime) -> bool:
    """Whether `open <= now < close` of some regular session."""
    opens, closes = _hours(calendar, now.year)
    place = bisect_right(opens, now) - 1
    return place >= 0 and now < closes[place]


def last_close(calendar: Calendar, now: datetime) -> datetime | None:
    """The latest close that is not after `now`."""
    _, closes = _hours(calendar, now.year)
    place = bisect_right(closes, now) - 1
    return closes[place] if place >= 0 else None


# --- figures --------------------------------------------------------------------------------------


def dollars(money: int) -> Decimal:
    """Whole money units in dollars."""
    return Decimal(money) / int(MONEY)


def market_value(venue: VenueState, symbol: str) -> Decimal:
    """Signed value of what is held, at the last price."""
    return venue.books.shares(symbol) * exact(venue.marks.get(symbol, 0.0))


def equity(venue: VenueState) -> Decimal:
    """Cash and positions at their last prices."""
    held = sum((market_value(venue, name) for name, _ in venue.books.holdings()), Decimal(0))
    return dollars(venue.books.cash) + held


def reserved(venue: VenueState, order: VenueOrder) -> Decimal:
    """What an open order that opens a position may need."""
    if order.reduces:
        return Decimal(0)
    price = order.limit_price or order.stop_price or exact(venue.marks.get(order.symbol, 0.0))
    margin = _SHORT_MARGIN if order.side == "sell" else Decimal(1)
    return order.remaining * price * margin


def buying_power(venue: VenueState) -> Decimal:
    """Equity times the multiplier, less positions and open orders; never below zero."""
    if venue.market.is_crypto:  # nothing is lent on coins
        return coin_rules.spendable(venue)
    used = sum((abs(market_value(venue, name)) for name, _ in venue.books.holdings()), Decimal(0))
    waiting = sum(
        (reserved(venue, order) for name in venue.market.symbols for order in venue.working(name)),
        Decimal(0),
    )
    return max(equity(venue) * venue.multiplier - used - waiting, Decimal(0))


def held_for_orders(venue: VenueState, symbol: str) -> Decimal:
    """Shares that open exits hold; two that cancel each other hold them once, and exits that wait
    for their entry hold none.
    """
    total = Decimal(0)
    for order in venue.working(symbol):
        parent = venue.orders.get(order.parent or "")
        waits = parent is not None and parent.is_open and parent.order_class in {"bracket", "oto"}
        second = bool(order.siblings) and order.type != "limit"
        if order.reduces and not waits and not second:
            total += order.remaining
    return total


def reduces(venue: VenueState, symbol: str, side: str) -> bool:
    """Whether an order of this side makes the position smaller."""
    held = venue.books.shares(symbol) if symbol in venue.market.symbols else Decimal(0)
    return held != 0 and (held > 0) == (side == "sell")


def quantity_of(venue: VenueState, request: OrderRequest) -> Decimal:
    """Shares, of a notional order those that its money buys at the last price."""
    if request.qty is not None:
        return request.qty
    assert request.notional is not None
    price = request.limit_price or exact(venue.marks[request.symbol])
    return (request.notional / price).quantize(_NINE, ROUND_DOWN)


def set_entry(
    venue: VenueState, order: VenueOrder, held: Decimal, signed: Decimal, price: Decimal
) -> None:
    """Average entry price after an execution: it moves with purchases of the same direction only;
    a position that turns has that of the turn.
    """
    symbol, after = order.symbol, held + signed
    if after == 0:
        venue.entry_prices.pop(symbol, None)
        venue.entry_volatility.pop(symbol, None)
    elif held == 0 or (held > 0) != (after > 0):
        venue.entry_prices[symbol] = price
        venue.entry_volatility[symbol] = order.volatility
    elif abs(after) > abs(held):
        before = venue.entry_prices[symbol]
        venue.entry_prices[symbol] = (before * held + price * signed) / after


# --- rules ----------------------------------------------------------------------------------------


def check(
    venue: VenueState, request: OrderRequest, coin_terms: Callable[[str], coin_rules.CoinTerms]
) -> None:
    """Raises Refused when the account may not send the order."""
    if venue.blocked:
        raise denied("account is not authorized to trade")
    if venue.configurations["suspend_trade"]:
        raise denied("new orders are rejected by user request")
    if request.symbol not in venue.market.symbols:
        raise invalid(f'asset "{request.symbol}" not found')
    if request.notional is not None and request.symbol not in venue.marks:
        raise denied(f"{request.symbol} has no price yet")
    quantity = quantity_of(venue, request)
    if is_pair(request.symbol):
        coin_rules.check_words(request)
        _check_opposite(venue, request, reduces(venue, request.symbol, request.side))
        coin_rules.check(venue, request, quantity, coin_terms(request.symbol))
        return
    _check_auction(venue, request)
    closes = reduces(venue, request.symbol, request.side)
    _check_opposite(venue, request, closes)
    if closes or request.order_class == "oco":
        _check_shares(venue, request, quantity)
    else:
        _check_opening(venue, request, quantity)
    if request.order_class in {"bracket", "oto"}:
        _check_bracket(venue, request)


def _check_auction(venue: VenueState, request: OrderRequest) -> None:
    local = venue.now.astimezone(_NEW_YORK)
    clock = timedelta(hours=local.hour, minutes=local.minute, seconds=local.second)
    evening = timedelta(hours=19)
    if request.time_in_force == "opg" and timedelta(hours=9, minutes=28) <= clock < evening:
        raise denied("opg orders must be submitted after 7:00pm and before 9:28am")
    if request.time_in_force != "cls":
        return
    if request.type not in {"market", "limit"}:
        raise invalid("cls orders must be market or limit orders")
    calendar, day = venue.market.calendar, local.date()
    if calendar.is_session(day):
        # 3:50pm, earlier on a shortened day
        until = calendar.session_close(day) - CLOSING_HOURS.cutoff
        if until <= venue.now and clock < evening:
            last = until.astimezone(_NEW_YORK)
            hour = f"{last.hour % 12 or 12}:{last:%M}{'am' if last.hour < 12 else 'pm'}"
            raise denied(f"cls orders must be submitted after 7:00pm and before {hour}")


def _check_opposite(venue: VenueState, request: OrderRequest, closes: bool) -> None:
    for order in venue.working(request.symbol):
        if order.side == request.side or order.siblings or order.parent is not None:
            continue
        if not closes and not order.reduces:
            now, then = (
                ("long buy", "short sell") if request.side == "buy" else ("short sell", "long buy")
            )
            raise denied(f"cannot open a {now} while a {then} order is open")
        if _crosses(order, request):
            raise denied(
                "potential wash trade detected. use complex orders",
                existing_order_id=order.id,
                reject_reason=f"opposite side {order.type} order exists",
            )


def _crosses(order: VenueOrder, request: OrderRequest) -> bool:
    if order.type != "limit" or request.type != "limit":
        return True
    assert order.limit_price is not None
    assert request.limit_price is not None
    bid, ask = (
        (request.limit_price, order.limit_price)
        if request.side == "buy"
        else (order.limit_price, request.limit_price)
    )
    return bid >= ask


def _check_shares(venue: VenueState, request: OrderRequest, quantity: Decimal) -> None:
    """An order that reduces may not ask for more than is held and not promised already."""
    held = abs(venue.books.shares(request.symbol))
    promised = held_for_orders(venue, request.symbol)
    available = max(held - promised, Decimal(0))
    fits = reduces(venue, request.symbol, request.side) and quantity <= available
    if not fits:
        raise denied(
            f"insufficient qty available for order (requested: {plain(quantity)}, available:"
            f" {plain(available)})",
            available=plain(available),
            existing_qty=plain(held),
            held_for_orders=plain(promised),
            symbol=request.symbol,
            related_orders=[each.id for each in venue.working(request.symbol) if each.reduces],
        )


def _check_opening(venue: VenueState, request: OrderRequest, quantity: Decimal) -> None:
    whole = quantity == quantity.to_integral_value()
    if request.side == "sell":
        if not whole:
            raise invalid("fractional orders cannot be sold short")
        if venue.configurations["no_shorting"]:
            raise denied("account is not allowed to short")
    price = request.limit_price or request.stop_price
    if price is None and request.symbol in venue.marks:
        price = exact(venue.marks[request.symbol])
    if price is None:
        return
    cost = quantity * price * (_SHORT_MARGIN if request.side == "sell" else Decimal(1))
    power = buying_power(venue)
    if cost > power:
        raise denied(
            "insufficient buying power",
            buying_power=plain(power.quantize(_CENT)),
            cost_basis=plain(cost.quantize(_CENT)),
        )


def _check_bracket(venue: VenueState, request: OrderRequest) -> None:
    base = request.limit_price
    if base is None and request.symbol in venue.marks:
        base = exact(venue.marks[request.symbol])
    if base is None:
        return
    sign = 1 if request.side == "buy" else -1
    for name, price, way in (
        ("take_profit.limit_price", request.take_profit, sign),
        ("stop_loss.stop_price", request.stop_loss, -sign),
    ):
        if price is not None and (price - base) * way < _CENT:
            bound = ">= base_price + 0.01" if way > 0 else "<= base_price - 0.01"
            raise invalid(f"{name} must be {bound}", base_price=plain(base))
