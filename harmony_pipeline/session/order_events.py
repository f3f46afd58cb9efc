"""What the order manager of a session is told, and what it asks for.

`OrderManager.step` takes one `OrderEvent` and returns `Action`s, in the order in which they are to
be performed (`session/order_gateway.py`).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from harmony_pipeline.execution.brokers.base import BrokerOrder
from harmony_pipeline.execution.events import (
    AnyOrderFact,
    CancelOrder,
    Event,
    OrderTerms,
    RiskState,
    SubmitOrder,
)
from harmony_pipeline.execution.lifecycle import Order
from harmony_pipeline.session.ledger_rows import Execution
from harmony_pipeline.session.order_requests import OrderRequest

ENDED_AT_BROKER = "ended at the broker"
"""Why an order is canceled that nobody told us of: reconciliation found it."""

# --- events: what the machine is told -------------------------------------------------------------


@dataclass(frozen=True)
class IntentsKept:
    """The intents of these orders are on disk."""

    orders: tuple[OrderTerms, ...]


@dataclass(frozen=True)
class OrderReported:
    """A fact about an order; `known` is the ledger's order where the machine no longer holds it."""

    fact: AnyOrderFact
    known: Order | None = None


@dataclass(frozen=True)
class OrderLookedUp:
    """The broker's answer to `LookUp`: the order, None (unknown there), or why it cannot say."""

    client_order_id: str
    found: BrokerOrder | None
    error: str | None = None


@dataclass(frozen=True)
class CancelUnanswered:
    """A cancel may or may not have arrived."""

    client_order_id: str


@dataclass(frozen=True)
class NewsEnded:
    """The broker has nothing more to report: orders that waited may be free to go."""


@dataclass(frozen=True)
class SettleDue:
    """A timer: look up what is unclear, repeat what had no answer."""


@dataclass(frozen=True)
class CancelOne:
    """Take this order back."""

    client_order_id: str
    reason: str


@dataclass(frozen=True)
class SymbolHalted:
    """No entry into the symbol for the rest of the session."""

    symbol: str
    reason: str


@dataclass(frozen=True)
class CashDoubted:
    """Whether the broker's cash differs from ours: no entry leaves while it does."""

    doubted: bool


@dataclass(frozen=True)
class StrategyEnded:
    """A strategy of a portfolio enters nothing any more in this session: its entries are taken
    back.
    """

    strategy: str
    reason: str


@dataclass(frozen=True)
class CancelAll:
    """Take every working order back."""

    reason: str


@dataclass(frozen=True)
class StreamsJudged:
    """What the streams, or the kill switch, allow from now on."""

    state: RiskState
    reason: str


@dataclass(frozen=True)
class Flattening:
    """Whether every position is being closed, so that nothing is entered any more."""

    on: bool


@dataclass(frozen=True)
class BooksCompared:
    """Sentences about what ledger and broker disagree on; any of them halts."""

    differences: tuple[str, ...]


@dataclass(frozen=True)
class Restarted:
    """What was written after the snapshot that the machine was restored from."""

    past: tuple[Event, ...]


@dataclass(frozen=True)
class JournalBroken:
    """After a restart this process decides differently than the one before; `rest` was not met."""

    sentence: str
    rest: tuple[Event, ...]


OrderEvent = (
    OrderRequest
    | IntentsKept
    | OrderReported
    | OrderLookedUp
    | CancelUnanswered
    | NewsEnded
    | SettleDue
    | CancelAll
    | CancelOne
    | StrategyEnded
    | SymbolHalted
    | CashDoubted
    | StreamsJudged
    | Flattening
    | BooksCompared
    | Restarted
    | JournalBroken
)

# --- actions: what the machine asks for -----------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """One event for the ledger, with the order as it then stands and, of a fill, its execution."""

    key: str
    event: Event
    happened_at: datetime
    known_at: datetime
    order: Order | None = None
    execution: Execution | None = None


@dataclass(frozen=True)
class Write:
    """Write these entries in one transaction. `intents` are confirmed by `IntentsKept`."""

    entries: tuple[Entry, ...]
    intents: tuple[OrderTerms, ...] = ()


@dataclass(frozen=True)
class Submit:
    """Send an order, or both legs of a bracket. The answer is a fact about each."""

    command: SubmitOrder

    @property
    def orders(self) -> list[OrderTerms]:
        """The orders of the command."""
        return [order for order in (self.command.order, self.command.other) if order is not None]


@dataclass(frozen=True)
class Cancel:
    """Ask the broker to take an order back. `repeated`: it was asked before, without an answer."""

    command: CancelOrder
    repeated: bool = False


@dataclass(frozen=True)
class LookUp:
    """Ask the broker what it knows of an order; the answer is `OrderLookedUp`."""

    client_order_id: str


Action = Write | Submit | Cancel | LookUp


def fact_head(terms: OrderTerms, now: datetime) -> dict[str, Any]:
    """The fields that every fact about an order has."""
    return {
        "happened_at": now,
        "known_at": now,
        "client_order_id": terms.client_order_id,
        "symbol": terms.symbol,
    }
