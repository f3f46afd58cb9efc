"""How the working orders of one symbol meet one bar of the replay.

Quantities, prices, fees and chance are those of the backtest: every fill is made by the compiled
functions of execution/matching.py and portfolio/exit_rules.py. Market orders meet the open, those
that reduce the position first. A pair of exits (one cancels the other) meets the bar as a bracket
of the backtest does: the stop wins inside one bar, and what the bar cannot fill of the leg that
was reached ends with it. Other orders:

    limit           at its price, or at the open if that is better and the order was there
    stop            at its price, or at the open behind it; then goes on at the next opens
    stop_limit      like the stop, never beyond its limit; then rests as a limit
    trailing_stop   a stop behind the best price of the bars before
    opg             at the next open
    cls             at the close of the session's last bar, market orders first; a symbol without
                    that bar had no auction

An order that came while the bar was under way did not see its open, and a limit of that kind
trades if the bar closes at or beyond it.
"""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple

from harmony_pipeline.exchange.coin_rules import CoinTerms
from harmony_pipeline.exchange.coin_rules import fees_of as coin_fees_of
from harmony_pipeline.exchange.market import MarketBar
from harmony_pipeline.exchange.orders import VenueOrder, exact
from harmony_pipeline.execution.coins import is_pair
from harmony_pipeline.execution.costs import fee
from harmony_pipeline.execution.matching import fillable, has_arrived, is_rejected, write_fill
from harmony_pipeline.execution.random_draws import symbol_keys
from harmony_pipeline.portfolio.exit_rules import NOTHING, exit_at_bar
from harmony_pipeline.portfolio.exit_rules import STOP as STOP_TOUCHED
from harmony_pipeline.portfolio.kernel_types import (
    BAR,
    ENTRY,
    EXIT,
    ORDER,
    REPORT,
    STOP,
    TAKE,
    Record,
    Records,
    records,
)

_IMMEDIATE = frozenset({"ioc", "fok"})
_AUCTIONS = frozenset({"opg", "cls"})
_COIN_DIGITS = 9


class Fill(NamedTuple):
    """One execution; fee in money units, or in coins that are withheld."""

    order: VenueOrder
    quantity: Decimal
    price: Decimal
    fee: int
    withheld: Decimal = Decimal(0)


class End(NamedTuple):
    """What is left of an order ends."""

    order: VenueOrder
    status: str


Outcome = Fill | End


class BarMatcher:
    """The rules of each symbol, and one record of each kind that the compiled functions share."""

    def __init__(self, symbols: Sequence[str], rules: Records) -> None:
        self._rules = {symbol: rules[row] for row, symbol in enumerate(symbols)}
        self._keys = dict(zip(symbols, symbol_keys(symbols), strict=True))
        self._order, self._report = records(1, ORDER)[0], records(1, REPORT)[0]
        self._bar = records(1, BAR)[0]
        self._taken = {"buy": 0.0, "sell": 0.0}

    def lot_size(self, symbol: str) -> float:
        """The smallest quantity of whole orders."""
        return float(self._rules[symbol]["lot_size"])

    def coin_terms(self, symbol: str) -> CoinTerms:
        """What orders in a pair keep to."""
        return CoinTerms.of(self._rules[symbol])

    def is_rejected_by_chance(self, order: VenueOrder) -> bool:
        """Whether the market turns the order down as it arrives."""
        record = self._record(order)
        return record["role"] in (ENTRY, EXIT) and bool(
            is_rejected(self._rules[order.symbol], self._keys[order.symbol], record)
        )

    def at_open(self, bar: MarketBar, orders: Iterable[VenueOrder]) -> Iterator[Outcome]:
        """Market orders meet the open; give each outcome to the books before the next is asked
        for.
        """
        self._begin(bar)
        waiting = [order for order in orders if order.works and _at_open(order, bar)]
        for order in sorted(waiting, key=lambda each: (not each.reduces, each.created_at)):
            if not order.is_open:
                continue
            if order.type == "market" and not order.triggered and not self._has_arrived(order):
                continue
            yield from self._take(order, bar.open, bar)

    def in_range(
        self, bar: MarketBar, orders: Iterable[VenueOrder], moment: int
    ) -> Iterator[Outcome]:
        """Everything else meets the bar; `moment` numbers it, for orders that came in it."""
        self._begin(bar)
        open_orders = {order.id: order for order in orders if order.is_open}
        done: set[str] = set()
        for order in sorted(open_orders.values(), key=_turn):
            pair = _pair(order, open_orders)
            if pair is not None:
                if pair[0].id not in done:
                    done |= {pair[0].id, pair[1].id}
                    yield from self._bracket(*pair, bar, moment)
            elif order.works and order.is_open:
                yield from self._alone(order, bar, moment)

    # --- brackets ---------------------------------------------------------------------------------

    def _bracket(
        self, stop: VenueOrder, take: VenueOrder, bar: MarketBar, moment: int
    ) -> Iterator[Outcome]:
        if not bar.regular:
            return
        assert stop.stop_price is not None
        assert take.limit_price is not None
        touched, reference = exit_at_bar(
            -stop.sign, bar.open, bar.high, bar.low, float(stop.stop_price),
            float(take.limit_price), moment in (stop.since, take.since),
        )  # fmt: skip
        if touched == NOTHING:
            return
        leg = stop if touched == STOP_TOUCHED else take
        quantity = self._fillable(leg)
        if quantity > 0.0:
            yield self._fill(leg, quantity, reference, maker=leg is take)
        if leg.is_open:
            yield End(leg, "expired")

    # --- single orders ----------------------------------------------------------------------------

    def _alone(self, order: VenueOrder, bar: MarketBar, moment: int) -> Iterator[Outcome]:
        if order.time_in_force == "cls":
            if bar.closes and _meets_auction(order, bar.close):
                yield from self._take(order, bar.close, bar)
            return
        if order.type == "market" or (order.triggered and order.type != "stop_limit"):
            return
        if not bar.regular and not (order.extended_hours and order.type == "limit"):
            return
        saw_open = order.since != moment
        if order.type == "limit" or order.triggered:
            yield from self._limit(order, bar, saw_open)
            return
        if order.type == "trailing_stop":
            level = _trail(order, bar.open)
        else:
            assert order.stop_price is not None
            level = float(order.stop_price)
        reached = bar.high >= level if order.sign > 0 else bar.low <= level
        if reached:
            worse = max if order.sign > 0 else min
            order.triggered = True
            yield from self._stopped(order, worse(level, bar.open) if saw_open else level)
        if order.type == "trailing_stop" and not order.triggered:
            mark = float(order.hwm or 0)
            order.hwm = exact(min(mark, bar.low) if order.sign > 0 else max(mark, bar.high))

    def _stopped(self, order: VenueOrder, reference: float) -> Iterator[Outcome]:
        limit = reference if order.limit_price is None else float(order.limit_price)
        if (limit - reference) * order.sign < 0:
            return  # beyond its limit: it rests there from now on
        quantity = self._fillable(order)
        if quantity > 0.0:
            yield self._fill(order, quantity, reference, maker=False)

    def _limit(self, order: VenueOrder, bar: MarketBar, saw_open: bool) -> Iterator[Outcome]:
        assert order.limit_price is not None
        limit = float(order.limit_price)
        buys = order.sign > 0
        if saw_open:
            reached = bar.low <= limit if buys else bar.high >= limit
            reference = min(limit, bar.open) if buys else max(limit, bar.open)
        else:
            reached = bar.close <= limit if buys else bar.close >= limit
            reference = limit
        quantity = self._fillable(order) if reached else 0.0
        if order.time_in_force == "fok" and quantity < float(order.remaining):
            quantity = 0.0
        if quantity > 0.0:
            yield self._fill(order, quantity, reference, maker=True)
        if order.is_open and order.time_in_force in _IMMEDIATE:
            yield End(order, "canceled")

    def _take(self, order: VenueOrder, reference: float, bar: MarketBar) -> Iterator[Outcome]:
        quantity = self._fillable(order)
        if order.time_in_force == "fok" and quantity < float(order.remaining):
            quantity = 0.0
        if quantity > 0.0:
            yield self._fill(order, quantity, reference, maker=False)
        if order.is_open and order.time_in_force in _IMMEDIATE | _AUCTIONS:
            yield End(order, "canceled")

    # --- the compiled functions -------------------------------------------------------------------

    def _begin(self, bar: MarketBar) -> None:
        self._taken = {"buy": 0.0, "sell": 0.0}
        record = self._bar
        record["at"], record["end"], record["volume"] = bar.at, bar.end, bar.volume
        record["open"], record["high"], record["low"] = bar.open, bar.high, bar.low
        record["close"], record["factor"] = bar.close, bar.factor

    def _has_arrived(self, order: VenueOrder) -> bool:
        record = self._record(order)
        arrived = has_arrived(
            self._rules[order.symbol], self._keys[order.symbol], record, self._bar
        )
        order.waited = int(record["waited"])
        return bool(arrived)

    def _fillable(self, order: VenueOrder) -> float:
        return float(
            fillable(
                self._rules[order.symbol], self._keys[order.symbol], self._record(order),
                self._bar, self._taken[order.side],
            )
        )  # fmt: skip

    def _fill(self, order: VenueOrder, quantity: float, reference: float, *, maker: bool) -> Fill:
        report = self._report
        rules = self._rules[order.symbol]
        write_fill(rules, self._record(order), self._bar, quantity, reference, maker, report)
        self._taken[order.side] += quantity
        price = float(report["price"])
        if order.limit_price is not None and not maker:
            limit = float(order.limit_price)
            price = min(price, limit) if order.sign > 0 else max(price, limit)
        if is_pair(order.symbol):
            return self._of_coins(order, exact(round(quantity, _COIN_DIGITS)), exact(price))
        return Fill(order, exact(quantity), exact(price), int(report["fee"]))

    def _of_coins(self, order: VenueOrder, quantity: Decimal, price: Decimal) -> Fill:
        owed, held_back = coin_fees_of(self._rules[order.symbol], order, quantity, price)
        return Fill(order, quantity, price, owed, held_back)

    def at_last(self, order: VenueOrder, quantity: Decimal, price: float) -> Fill:
        """A fill outside of the bars, at a price that was said; its fee is that of any other."""
        if is_pair(order.symbol):
            return self._of_coins(order, quantity, exact(price))
        owed = fee(self._rules[order.symbol], order.sign, price, float(quantity))
        return Fill(order, quantity, exact(price), int(owed))

    def _record(self, order: VenueOrder) -> Record:
        record = self._order
        record["role"] = _role(order)
        record["side"] = order.sign
        record["quantity"], record["remaining"] = float(order.qty), float(order.remaining)
        record["volatility"] = order.volatility
        record["decided_at"] = order.created_at // 1000
        record["release_at"] = 0
        record["waited"], record["fills"] = order.waited, order.fills
        return record


def _role(order: VenueOrder) -> int:
    if order.siblings:
        return int(TAKE if order.type == "limit" else STOP)
    return int(EXIT if order.reduces else ENTRY)


def _turn(order: VenueOrder) -> tuple[bool, bool, int]:
    """Whose turn it is in a bar: the close comes last, and there limits do."""
    at_close = order.time_in_force == "cls"
    return at_close, at_close and order.limit_price is not None, order.created_at


def _meets_auction(order: VenueOrder, price: float) -> bool:
    """Whether an order takes part in an auction that ends at this price."""
    if order.limit_price is None:
        return True
    return (float(order.limit_price) - price) * order.sign >= 0.0


def _at_open(order: VenueOrder, bar: MarketBar) -> bool:
    """Whether an order is one that takes the open of this bar, whatever it is."""
    is_market = order.type == "market" or (order.triggered and order.type != "stop_limit")
    return is_market and bar.regular and order.time_in_force != "cls"


def _pair(
    order: VenueOrder, open_orders: dict[str, VenueOrder]
) -> tuple[VenueOrder, VenueOrder] | None:
    """(stop, take) of an order that is one of two open exits that cancel each other."""
    if len(order.siblings) != 1 or order.siblings[0] not in open_orders:
        return None
    both = {each.type: each for each in (order, open_orders[order.siblings[0]])}
    if set(both) != {"stop", "limit"} or both["stop"].triggered:
        return None
    if not any(each.works for each in both.values()):  # their entry is not filled yet
        return None
    return both["stop"], both["limit"]


def _trail(order: VenueOrder, price: float) -> float:
    """The stop price of a trailing stop, from its watermark (the first price it meets)."""
    if order.hwm is None:
        order.hwm = exact(price)
    mark = float(order.hwm)
    distance = (
        float(order.trail_price)
        if order.trail_price is not None
        else mark * float(order.trail_percent or 0) / 100
    )
    order.stop_price = exact(round(mark + order.sign * distance, 2))
    return float(order.stop_price)
