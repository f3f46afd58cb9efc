"""Brackets at a broker that takes none, such as Alpaca for coins: how a position is protected.

The rule:

- The stop of the bracket rests at the broker by itself, as a stop-limit order until canceled. Its
  limit lies `stop_limit_bps` behind it, on the tick. It outlives this process.
- The take-profit is an order of ours that is kept here: what it would sell is held by the stop. It
  ends with its stop.
- When a bar reaches the take-profit, or closes beyond the limit of a stop that still works (the
  price has passed it by), the position is closed with the decision of that bar: the stop is taken
  back, and when that is confirmed the exit leaves at the market.

So a profit is taken one bar later than by a bracket, at that bar's open. Nothing is known of the
inside of a bar: where the stop was filled in it, the position is gone, and nothing follows.
"""

from collections.abc import Iterable

import msgspec

from harmony_pipeline.execution.events import OrderTerms
from harmony_pipeline.execution.lifecycle import Order, Status
from harmony_pipeline.market.price_grid import least_price, tick_down, tick_up
from harmony_pipeline.portfolio.exit_rules import level_now
from harmony_pipeline.portfolio.kernel_types import BY_STOP, BY_TAKE, NO_REASON, Record


def limit_behind(rules: Record, side: int, stop: float, bps: float) -> float:
    """The limit of a stop that protects a position of `side` (+1 long), on the tick."""
    if side > 0:
        return max(float(tick_down(rules, stop * (1.0 - bps / 1e4))), float(least_price(rules)))
    return float(tick_up(rules, stop * (1.0 + bps / 1e4)))


def as_stop_limit(terms: OrderTerms, rules: Record, bps: float) -> OrderTerms:
    """The stop of a bracket as the stop-limit order that rests in its place."""
    assert terms.stop_price is not None
    side = 1 if terms.side == "sell" else -1
    limit = limit_behind(rules, side, terms.stop_price, bps)
    return msgspec.structs.replace(terms, kind="stop_limit", limit_price=limit)


def reason_to_leave(position: Record, bar: Record, rules: Record, bps: float) -> int:
    """Why the position is closed after this bar: BY_TAKE, BY_STOP, or NO_REASON."""
    if (
        position["quantity"] == 0.0
        or position["exit_reason"] != NO_REASON
        or position["legs_working"] == 0
    ):
        return NO_REASON
    side = int(position["side"])
    stop, take = (
        float(level_now(position[name], position["entry_factor"], bar["factor"]))
        for name in ("stop_level", "take_level")
    )
    limit = limit_behind(rules, side, stop, bps)
    if (bar["close"] - limit) * side < 0.0:
        return BY_STOP
    best = bar["high"] if side > 0 else bar["low"]
    return BY_TAKE if (best - take) * side >= 0.0 else NO_REASON


def kept_here(orders: Iterable[OrderTerms]) -> tuple[OrderTerms, ...]:
    """Those of a bracket's legs that do not leave."""
    return tuple(terms for terms in orders if terms.role == "take")


def is_kept(order: Order) -> bool:
    """Whether an order is a take-profit that has not left, so that no broker knows of it."""
    return order.terms.role == "take" and order.status is Status.INTENDED


def take_of(stop: OrderTerms, waiting: Iterable[Order]) -> Order | None:
    """The take-profit that is kept beside this stop, while it is."""
    for order in waiting:
        terms = order.terms
        is_twin = (terms.slot, terms.decided_at) == (stop.slot, stop.decided_at)
        if is_twin and is_kept(order):
            return order
    return None
