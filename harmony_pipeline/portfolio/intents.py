"""What the portfolio asks of the exchange: an ORDER record whose status is the wish
(portfolio/kernel_types.py). Here are the legs of a bracket and cancellations; entries and exits are
written where they are decided (portfolio/decisions.py).
"""

import math

from harmony_pipeline.kernel import kernel_without_allocation
from harmony_pipeline.portfolio.kernel_types import (
    BY_STOP,
    BY_TAKE,
    CANCELED,
    NO_MODEL,
    ORDER_OPEN,
    STOP,
    TAKE,
    Record,
    Records,
)


@kernel_without_allocation
def place_legs(position: Record, symbol: int, decided_at: int, intents: Records, n: int) -> int:
    """Intents of the two legs at the position's levels."""
    position["legs_working"] = 1
    n = _leg(position, symbol, STOP, position["stop_level"], BY_STOP, decided_at, intents, n)
    return _leg(position, symbol, TAKE, position["take_level"], BY_TAKE, decided_at, intents, n)


@kernel_without_allocation
def _leg(
    position: Record,
    symbol: int,
    role: int,
    level: float,
    reason: int,
    decided_at: int,
    intents: Records,
    n: int,
) -> int:
    intent = intents[n]
    blank_order(intent, symbol, role, -position["side"], ORDER_OPEN, decided_at)
    intent["entry_symbol"] = position["entry_symbol"]
    intent["quantity"] = math.fabs(position["quantity"])
    intent["remaining"] = intent["quantity"]
    intent["level"] = level
    intent["factor"] = position["entry_factor"]
    intent["volatility"] = position["volatility"]
    intent["signal_at"] = position["entry_signal_at"]
    intent["entry_at"] = position["entry_at"]
    intent["since"] = position["entry_bar"]
    intent["model"] = position["model"]
    intent["reason"] = reason
    return n + 1


@kernel_without_allocation
def cancel_order(symbol: int, role: int, reason: int, end: int, intents: Records, n: int) -> int:
    """An intent to cancel the working order of a role; its `reason`, where it has one, becomes the
    order's.
    """
    blank_order(intents[n], symbol, role, 0, CANCELED, end)
    intents[n]["reason"] = reason
    return n + 1


@kernel_without_allocation
def blank_order(
    intent: Record, symbol: int, role: int, side: int, status: int, decided_at: int
) -> None:
    """An intent of this role and status, and nothing else in it."""
    intent["symbol"] = intent["entry_symbol"] = symbol
    intent["role"] = role
    intent["side"] = side
    intent["status"] = status
    intent["decided_at"] = decided_at
    intent["quantity"] = intent["remaining"] = intent["level"] = intent["factor"] = intent[
        "volatility"
    ] = intent["wanted"] = 0.0
    intent["signal_at"] = intent["entry_at"] = intent["since"] = intent["after_exit"] = intent[
        "reason"
    ] = intent["fills"] = intent["ticket"] = intent["waited"] = 0
    intent["verdict"] = intent["limit"] = intent["release_at"] = intent["at_close"] = 0
    intent["model"] = NO_MODEL
