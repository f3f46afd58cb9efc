"""What the exchange asks of orders in coins, and what they pay, as Alpaca does of pairs.

- Types market, limit and stop_limit, until canceled or immediate; no classes, no extended hours.
- Quantities and prices in the steps of the pair, a quantity of at least its smallest order, unless
  all that is held is sold.
- Nothing is sold that is not held, and nothing is bought on margin.
- The fee is in basis points of what is received: coins of a purchase, currency of a sale.

Sources: Alpaca's pages on crypto orders, fees and assets; the sentences as public projects recorded
them. Steps and fees are those of the replay's rules (`portfolio/parameters.py`).
"""

from decimal import Decimal
from typing import NamedTuple

from harmony_pipeline.exchange.order_requests import OrderRequest
from harmony_pipeline.exchange.orders import VenueOrder, exact, plain
from harmony_pipeline.exchange.refusals import denied, invalid
from harmony_pipeline.exchange.venue_state import VenueState
from harmony_pipeline.execution.coins import base_of, quote_of, withheld
from harmony_pipeline.execution.costs import fee
from harmony_pipeline.portfolio.kernel_types import MONEY, Record

TYPES = ("market", "limit", "stop_limit")
TIMES = ("gtc", "ioc")
_CENT = Decimal("0.01")


class CoinTerms(NamedTuple):
    """Smallest order, and the steps of quantity and price, of a pair."""

    minimum: Decimal
    quantity_step: Decimal
    price_step: Decimal

    @staticmethod
    def of(rules: Record) -> "CoinTerms":
        """Of a RULES record."""
        step = exact(rules["lot_size"])
        tick = Decimal(int(rules["tick_numerator"])) / int(rules["tick_denominator"])
        return CoinTerms(max(exact(rules["minimum_quantity"]), step), step, tick)


def check_words(request: OrderRequest) -> None:
    """Raises Refused for what no order in coins can be."""
    if request.order_class:
        raise invalid(f"crypto orders not allowed for advanced order_class: {request.order_class}")
    if request.type not in TYPES:
        raise invalid("invalid order type for crypto order")
    if request.time_in_force not in TIMES:
        raise invalid("invalid crypto time_in_force")
    if request.extended_hours:
        raise invalid("extended hours are not available for crypto orders")


def check(venue: VenueState, request: OrderRequest, quantity: Decimal, terms: CoinTerms) -> None:
    """Raises Refused when the account may not send the order."""
    held = venue.books.shares(request.symbol)
    if request.qty is not None and quantity % terms.quantity_step != 0:
        raise invalid(f"qty must be in increments of {plain(terms.quantity_step)}")
    for name in ("limit_price", "stop_price"):
        price = getattr(request, name)
        if price is not None and price % terms.price_step != 0:
            raise invalid(f"invalid {name} {price}: increments are {plain(terms.price_step)}")
    sells_all = request.side == "sell" and quantity == held
    if quantity < terms.minimum and not sells_all:
        raise denied(f"qty must be >= minimal qty of order {plain(terms.minimum)}")
    if request.side == "sell":
        available = max(held - _promised(venue, request.symbol), Decimal(0))
        if quantity > available:
            raise _insufficient(base_of(request.symbol), quantity, available)
        return
    price = request.limit_price
    if price is None and request.symbol in venue.marks:
        price = exact(venue.marks[request.symbol])
    if price is not None:
        available = spendable(venue)
        if quantity * price > available:
            raise _insufficient(
                quote_of(request.symbol), (quantity * price).quantize(_CENT), available
            )


def spendable(venue: VenueState) -> Decimal:
    """Cash that no open purchase of coins may need."""
    reserved = sum(
        (
            order.remaining * (order.limit_price or exact(venue.marks.get(order.symbol, 0.0)))
            for symbol in venue.market.symbols
            for order in venue.working(symbol)
            if order.side == "buy"
        ),
        Decimal(0),
    )
    cash = Decimal(venue.books.cash) / int(MONEY)
    return max(cash - reserved, Decimal(0)).quantize(_CENT)


def fees_of(
    rules: Record, order: VenueOrder, quantity: Decimal, price: Decimal
) -> tuple[int, Decimal]:
    """(fee in money units, coins withheld) of an execution; a limit order is a maker's."""
    rested = order.type == "limit"
    if order.sign < 0:
        return int(fee(rules, -1, float(price), float(quantity), rested)), Decimal(0)
    bps = float(rules["maker_fee_bps" if rested else "fee_bps"])
    return 0, withheld(quantity, bps, exact(rules["lot_size"]))


def _promised(venue: VenueState, symbol: str) -> Decimal:
    """Coins that open sales hold."""
    orders = venue.working(symbol)
    return sum((each.remaining for each in orders if each.side == "sell"), Decimal(0))


def _insufficient(what: str, requested: Decimal, available: Decimal) -> Exception:
    return denied(
        f"insufficient balance for {what} (requested: {plain(requested)}, available:"
        f" {plain(available)})"
    )
