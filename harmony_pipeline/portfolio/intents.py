"""What the portfolio asks of the exchange: entries, exits, legs of a bracket, cancellations.

Each is an ORDER record whose status is the wish (portfolio/kernel_types.py).
"""

import math

from harmony_pipeline.kernel import inlined_kernel, kernel_without_allocation
from harmony_pipeline.portfolio.kernel_types import (
    BY_SIGNAL,
    BY_STOP,
    BY_TAKE,
    CANCELED,
    ENTRY,
    EXIT,
    NO_MODEL,
    NO_REASON,
    ORDER_OPEN,
    REFUSED,
    STOP,
    TAKE,
    Record,
    Records,
)
from harmony_pipeline.portfolio.position_accounting import restate
from harmony_pipeline.risk.limits import Verdict


@kernel_without_allocation
def close_position(
    position: Record,
    account: Record,
    symbol: int,
    reason: int,
    signal_at: int,
    end: int,
    intents: Records,
    n: int,
) -> int:
    """Intents that close a position at the next open: cancel the legs, then a market exit of all of
    it.
    """
    if position["legs_working"] == 1:
        n = cancel_order(symbol, STOP, NO_REASON, end, intents, n)
        n = cancel_order(symbol, TAKE, NO_REASON, end, intents, n)
    position["exit_reason"] = reason
    position["exit_working"] = 1
    position["exit_at"] = end
    intent = intents[n]
    _blank(intent, symbol, EXIT, -position["side"], ORDER_OPEN, end)
    intent["quantity"] = math.fabs(position["quantity"])
    intent["remaining"] = intent["quantity"]
    intent["volatility"] = position["volatility"]
    intent["signal_at"] = signal_at
    intent["entry_at"] = position["entry_at"]
    intent["entry_symbol"] = position["entry_symbol"]
    intent["model"] = position["model"]
    intent["reason"] = reason
    restate(position, account)
    return n + 1


@inlined_kernel
def write_entry(
    intent: Record, rules: Record, bar: Record, verdict: Verdict, after_exit: int
) -> None:
    """The intent to enter on the side of the bar's signal, as the risk engine answered: refused, or
    to be sent.
    """
    enters = verdict.quantity > 0.0
    status = ORDER_OPEN if enters else REFUSED
    _blank(intent, bar["symbol"], ENTRY, bar["signal"], status, bar["end"])
    intent["quantity"] = intent["remaining"] = verdict.quantity
    intent["volatility"] = bar["volatility"]
    intent["signal_at"] = bar["at"]
    intent["entry_at"] = bar["end"]
    intent["after_exit"] = after_exit
    intent["at_close"] = rules["entry_at_close"]
    intent["model"] = bar["model"]
    intent["reason"] = BY_SIGNAL if enters else verdict.reason
    intent["verdict"] = verdict.answer
    intent["limit"] = verdict.reason
    intent["release_at"] = verdict.release_at
    intent["wanted"] = verdict.wanted


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
    _blank(intent, symbol, role, -position["side"], ORDER_OPEN, decided_at)
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
    _blank(intents[n], symbol, role, 0, CANCELED, end)
    intents[n]["reason"] = reason
    return n + 1


@kernel_without_allocation
def _blank(intent: Record, symbol: int, role: int, side: int, status: int, decided_at: int) -> None:
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
