"""Two-sided market making with inventory control, as a state machine on quotes.

Avellaneda and Stoikov, "High-frequency trading in a limit order book", Quantitative Finance 8,
2008, eq. 29 and 30. With mid price s, inventory q, risk aversion gamma, variance of the price per
second sigma^2, time left tau and order intensity A * exp(-kappa * distance):

    reservation price  r     = s - q * gamma * sigma^2 * tau
    spread             2 * d = gamma * sigma^2 * tau + (2 / gamma) * ln(1 + gamma / kappa)
    bid = r - d, ask = r + d

Long inventory lowers both prices, so that it is sold rather than added to. q is counted in orders
of `quantity`. Prices are rounded away from r to the tick, and never reach the other side of the
market (they only make liquidity). A side that would carry the inventory beyond `maximum_inventory`
is withdrawn; both are while the market is locked, crossed or without a price. At `flatten_at` all
is withdrawn and the inventory left.

Orders rest for `refresh_seconds` at least, and until a price is more than `refresh_ticks` away from
the one that the formula gives now. One that follows every quote keeps its distance from the market
and is hardly ever reached, and loses its place in the queue each time. A fill moves both at once.

It emits Post and Withdraw, so it runs over quotes and trades (backtest/quote_driver.py).
"""

import math
from collections.abc import Sequence
from datetime import datetime, time, timedelta
from functools import cached_property
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec
from pydantic import Field, PrivateAttr

from harmony_pipeline.settings_base import FrozenSettings
from harmony_pipeline.strategies.events import (
    Adjusted,
    Bar,
    Fill,
    Intent,
    Leave,
    Post,
    Quote,
    SetTimer,
    Timer,
    Withdraw,
)
from harmony_pipeline.strategies.exchange_clock import ZoneName
from harmony_pipeline.strategies.indicators import VarianceRate

SIDES: tuple[Literal[-1, 1], ...] = (1, -1)


class Market(msgspec.Struct):
    """What is known of one symbol: the last quote, its variance, the inventory and what rests."""

    variance: VarianceRate
    quote: Quote | None = None
    inventory: float = 0.0
    resting: dict[int, Post] = msgspec.field(default_factory=dict)
    refreshed: datetime | None = None  # when the orders that rest were posted last
    ends: datetime | None = None  # flatten_at of the day
    tomorrow: datetime | None = None
    closed: bool = False


class MarketMaker(FrozenSettings):
    """Bid and ask around the reservation price, one order a side."""

    risk_aversion: float = Field(
        default=0.05, gt=0.0, description="gamma, per unit of currency and order"
    )
    intensity: float = Field(
        default=50.0, gt=0.0, description="kappa: decay of fills per unit of currency of distance"
    )
    horizon_seconds: float = Field(
        default=600.0, gt=0.0, description="tau, shortened as flatten_at comes near"
    )
    quantity: float = Field(default=100.0, gt=0.0, description="shares of an order")
    maximum_inventory: float = Field(default=500.0, gt=0.0, description="shares, long or short")
    tick: float = Field(default=0.01, gt=0.0)
    refresh_seconds: float = Field(
        default=10.0, ge=0.0, description="orders rest so long before they follow the market"
    )
    refresh_ticks: float = Field(
        default=1.0, ge=0.0, description="and follow it where a price moved by more ticks than this"
    )
    variance_quotes: int = Field(default=100, ge=2, description="quotes of the variance's memory")
    flatten_at: time = Field(default=time(15, 50), description="exchange time")
    zone: ZoneName = Field(default="America/New_York", description="the exchange's clock")
    _markets: dict[str, Market] = PrivateAttr(default_factory=dict)

    def required_features(self) -> tuple[str, ...]:
        """None: it reads only quotes."""
        return ()

    def inventory(self, symbol: str) -> float:
        """Shares held, by the fills so far."""
        market = self._markets.get(symbol)
        return 0.0 if market is None else market.inventory

    def on_bar(self, bar: Bar) -> Sequence[Intent]:
        """Bars tell it nothing."""
        return ()

    def on_quote(self, quote: Quote) -> Sequence[Intent]:
        """Follow the market with both orders."""
        market = self._market(quote.symbol)
        market.quote = quote
        intents: list[Intent] = []
        if market.tomorrow is None or quote.timestamp >= market.tomorrow:
            intents += self._begin_day(market, quote.timestamp)
        if not 0.0 < quote.bid < quote.ask < math.inf:
            return (*intents, *self._withdraw(quote.symbol, market, "no market"))
        middle = (quote.bid + quote.ask) / 2.0
        market.variance.update((quote.timestamp.timestamp(), middle))
        return (*intents, *self._follow(market, quote, quote.timestamp))

    def on_fill(self, fill: Fill) -> Sequence[Intent]:
        """Count the inventory and lean the orders against it at once."""
        market = self._market(fill.symbol)
        market.inventory += fill.side * fill.quantity
        rests = market.resting.get(fill.side)
        if rests is not None:
            left = (rests.quantity or 0.0) - fill.quantity
            if left > 0.0:
                market.resting[fill.side] = msgspec.structs.replace(rests, quantity=left)
            else:
                del market.resting[fill.side]
        market.refreshed = None
        quote = market.quote
        if quote is None or not 0.0 < quote.bid < quote.ask < math.inf:
            return ()
        return self._follow(market, quote, fill.timestamp)

    def on_adjusted(self, adjusted: Adjusted) -> Sequence[Intent]:
        """Take over what is held after a split or a change of symbol; the next quote is answered
        with new orders.
        """
        market = self._market(adjusted.symbol)
        market.resting.clear()
        market.inventory = adjusted.position
        if adjusted.successor is not None:
            market.inventory = 0.0
            self._market(adjusted.successor).inventory = adjusted.position
        return ()

    def on_timer(self, timer: Timer) -> Sequence[Intent]:
        """`flatten_at` has come."""
        intents: list[Intent] = []
        for symbol, market in self._markets.items():
            market.closed = True
            intents += self._withdraw(symbol, market, "end of day")
            if market.inventory:
                intents.append(Leave(symbol, "end of day"))
        return intents

    def prices(
        self, quote: Quote, inventory: float, variance: float, tau: float
    ) -> tuple[float, float]:
        """(bid, ask) on the tick, for an inventory in shares and a variance per second."""
        gamma, middle = self.risk_aversion, (quote.bid + quote.ask) / 2.0
        risk = gamma * variance * tau
        reservation = middle - inventory / self.quantity * risk
        half = risk / 2.0 + math.log1p(gamma / self.intensity) / gamma
        bid = min(reservation - half, quote.ask - self.tick)
        ask = max(reservation + half, quote.bid + self.tick)
        down, up = math.floor(bid / self.tick + 1e-9), math.ceil(ask / self.tick - 1e-9)
        up = max(up, down + 1)
        return round(down * self.tick, 10), round(up * self.tick, 10)

    def _begin_day(self, market: Market, now: datetime) -> list[Intent]:
        """A new variance, and the timer that ends the day."""
        clock = now.astimezone(self._zone_info)
        day = clock.date()
        ends = datetime.combine(day, self.flatten_at, self._zone_info).astimezone(now.tzinfo)
        following = datetime.combine(day + timedelta(days=1), time(), self._zone_info)
        market.ends, market.closed = ends, now >= ends
        market.tomorrow = following.astimezone(now.tzinfo)
        market.variance = VarianceRate(self.variance_quotes)
        return [] if market.closed else [SetTimer(ends, f"flatten {day}")]

    def _follow(self, market: Market, quote: Quote, now: datetime) -> list[Intent]:
        """Orders that differ from those that rest, where it is time for them."""
        variance = market.variance.value
        if market.closed or market.ends is None or not math.isfinite(variance):  # NaN: not warm
            return []
        left = (market.ends - quote.timestamp).total_seconds()
        tau = min(self.horizon_seconds, max(left, 0.0))
        bid, ask = self.prices(quote, market.inventory, variance, tau)
        intents: list[Intent] = []
        wanted: dict[int, Post] = {}
        for side, price in zip(SIDES, (bid, ask), strict=True):
            quantity = min(self.quantity, self.maximum_inventory - side * market.inventory)
            if quantity > 0.0 and price > 0.0:
                wanted[side] = Post(quote.symbol, side, price, quantity)
            elif market.resting.pop(side, None) is not None:
                intents.append(Withdraw(quote.symbol, side, "inventory limit"))
        if not self._is_due(market, wanted, now):
            return intents
        market.refreshed = now
        posts = [one for side, one in wanted.items() if market.resting.get(side) != one]
        market.resting |= wanted
        return [*intents, *posts]

    def _is_due(self, market: Market, wanted: dict[int, Post], now: datetime) -> bool:
        """Whether the orders that rest are to be replaced by those that are wanted: both sides at
        once, so that they are always of one market.
        """
        if market.refreshed is None or market.resting.keys() != wanted.keys():
            return True
        if (now - market.refreshed).total_seconds() < self.refresh_seconds:
            return False
        most = (self.refresh_ticks + 1e-6) * self.tick
        return any(
            abs(market.resting[side].price - one.price) > most for side, one in wanted.items()
        )

    def _withdraw(self, symbol: str, market: Market, reason: str) -> list[Intent]:
        sides = [side for side in SIDES if side in market.resting]
        market.resting.clear()
        return [Withdraw(symbol, side, reason) for side in sides]

    def _market(self, symbol: str) -> Market:
        market = self._markets.get(symbol)
        if market is None:
            market = self._markets[symbol] = Market(VarianceRate(self.variance_quotes))
        return market

    @cached_property
    def _zone_info(self) -> ZoneInfo:
        return ZoneInfo(self.zone)
