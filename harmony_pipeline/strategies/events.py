"""What a state machine receives and what it returns.

Received: a finished bar, a quote, a fill of one of its own orders, a timer that it set; over quotes
also what a corporate action did to its position. Returned: intents, which are wishes. Size, limits
and orders belong to risk and execution.
"""

from datetime import datetime
from typing import Literal

import msgspec


class Bar(msgspec.Struct, frozen=True, gc=False):
    """A finished bar, at its end. Prices are raw; `features` are in the order of the machine's
    required_features.
    """

    symbol: str
    timestamp: datetime  # start of the bar, UTC
    session: str
    open: float
    high: float
    low: float
    close: float
    volume: float
    adjustment_factor: float = 1.0
    features: tuple[float, ...] = ()


class Quote(msgspec.Struct, frozen=True, gc=False):
    """The best bid and offer of a symbol from `timestamp` on. Raw prices, sizes in shares."""

    symbol: str
    timestamp: datetime
    bid: float
    bid_size: float
    ask: float
    ask_size: float


class Fill(msgspec.Struct, frozen=True, gc=False):
    """An execution of an order of this machine. `quantity` is above 0, `side` 1 for a purchase."""

    symbol: str
    timestamp: datetime
    side: Literal[-1, 1]
    quantity: float
    price: float
    fee: float = 0.0


class Timer(msgspec.Struct, frozen=True, gc=False):
    """A moment that the machine asked for with SetTimer has come."""

    timestamp: datetime
    name: str


class Adjusted(msgspec.Struct, frozen=True, gc=False):
    """What a corporate action did to this machine's position before the session's first tick; its
    orders at rest have been adjusted or canceled with it.

    `kind` is split (`value` new shares for one), dividend (cash a share), delisting or
    presumed_delisted (paid a share), or symbol_change (held under `successor` now). `position`:
    signed shares after it.
    """

    symbol: str
    timestamp: datetime
    kind: str
    value: float
    position: float
    successor: str | None = None


class Enter(msgspec.Struct, frozen=True, tag="enter", tag_field="kind"):
    """Hold `side` in this symbol from the next possible moment on."""

    symbol: str
    side: Literal[-1, 1]
    strength: float = 1.0
    reason: str = ""


class Leave(msgspec.Struct, frozen=True, tag="leave", tag_field="kind"):
    """Hold nothing in this symbol."""

    symbol: str
    reason: str = ""


class Post(msgspec.Struct, frozen=True, tag="post", tag_field="kind"):
    """Have one resting limit order on this side of this symbol, in place of the one before.

    It may only make liquidity: where it would trade at once, the venue refuses it. Without a
    `quantity` the rule of size (`risk.sizing`) says how many shares.
    """

    symbol: str
    side: Literal[-1, 1]
    price: float
    quantity: float | None = None


class Withdraw(msgspec.Struct, frozen=True, tag="withdraw", tag_field="kind"):
    """Have no resting order on this side of this symbol."""

    symbol: str
    side: Literal[-1, 1]
    reason: str = ""


class SetTimer(msgspec.Struct, frozen=True, tag="set_timer", tag_field="kind"):
    """Call `on_timer` once at `at`. A timer of the same name is replaced."""

    at: datetime
    name: str


TradeIntent = Enter | Leave
Intent = Enter | Leave | Post | Withdraw | SetTimer
Event = Bar | Quote | Fill | Timer | Adjusted
