"""The rows that go into the ledger, and the public face of an order."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import msgspec

from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.lifecycle import Order, Status
from harmony_pipeline.instants import micros
from harmony_pipeline.portfolio.kernel_types import (
    DELISTED,
    MAX_PARTICIPATION,
    MONEY,
    NO_VOLUME,
    REASON_NAMES,
    RENAMED,
)

ENDED_REASONS = frozenset(REASON_NAMES[reason] for reason in (DELISTED, RENAMED))
UNFILLED_REASONS = frozenset(REASON_NAMES[reason] for reason in (NO_VOLUME, MAX_PARTICIPATION))
RUNNING, COMPLETED, STOPPED, KILLED = "running", "completed", "stopped", "killed"


@dataclass(frozen=True)
class SessionRow:
    """One session as the ledger knows it; `account` is the book it trades, which chains sessions
    from day to day.
    """

    session_id: str
    date: date
    account: str
    strategy: str
    model_id: str | None
    plan_hash: str
    state: str = RUNNING
    reason: str | None = None
    previous_session_id: str | None = None


def session_row(values: Sequence[Any]) -> SessionRow:
    """The row whose fields came from a ledger, in their order."""
    fields = dict(zip(SessionRow.__dataclass_fields__, values, strict=True))
    return SessionRow(**{**fields, "date": date.fromisoformat(fields["date"])})


@dataclass(frozen=True)
class Snapshot:
    """Everything a restart needs, as of the end of one processed moment: `at` (bar start),
    `sequence` (last event that it includes).
    """

    session_id: str
    at: datetime | None
    sequence: int
    body: dict[str, Any]


@dataclass(frozen=True)
class Execution:
    """One fill with what it cost; fee in 1/10000 of the currency. `execution_id` is unique over all
    sessions.
    """

    execution_id: str
    fill_id: str
    order_id: str
    client_order_id: str
    symbol: str
    timestamp: datetime
    side: str
    quantity: float
    price: float
    reference_price: float
    fee: int
    slippage: float
    liquidity: str
    strategy: str | None = None


def position_columns(held: ev.HeldPosition) -> dict[str, Any]:
    """A position as the columns of the ledger's `positions`, but for the session."""
    return {**msgspec.structs.asdict(held), "strategy": held.strategy or ""}


def order_columns(order: Order) -> dict[str, Any]:
    """An order as the columns of the ledger's `orders`, but for the session; `state` is all of
    it.
    """
    terms = order.terms
    return {
        "client_order_id": order.client_order_id,
        "order_id": terms.order_id,
        "parent_id": terms.parent_id,
        "symbol": terms.symbol,
        "signal_timestamp": micros(terms.signal_timestamp) if terms.signal_timestamp else None,
        "timestamp": micros(terms.decided_at),
        "side": terms.side,
        "quantity": terms.quantity,
        "kind": terms.kind,
        "limit_price": terms.limit_price,
        "stop_price": terms.stop_price,
        "time_in_force": terms.time_in_force,
        "status": public_status(order),
        "closing_status": public_status(order),
        "reason": public_reason(order),
        "verdict": terms.verdict,
        "risk_limit": terms.limit,
        "wanted_quantity": terms.wanted_quantity,
        "model_id": terms.model_id,
        "open": int(order.is_open),
        "state": msgspec.json.encode(order).decode(),
        "strategy": terms.strategy,
    }


def public_reason(order: Order) -> str | None:
    """Why the order was placed; where nothing of it could fill, why not; where its symbol ended,
    that.
    """
    if order.status is Status.CANCELED and order.reason in ENDED_REASONS:
        return order.reason
    if (
        order.status is Status.EXPIRED
        and order.filled_quantity == 0
        and order.reason in UNFILLED_REASONS
    ):
        return order.reason
    return order.terms.reason if order.terms.reason is not None else order.reason


def public_status(order: Order) -> str:
    """The status in the words of the `orders` table: open, filled, partially_filled, canceled,
    rejected, refused.
    """
    if order.is_open:
        return "partially_filled" if order.filled_quantity > 0 else "open"
    if order.status in (Status.CANCELED, Status.EXPIRED, Status.REPLACED):
        return "partially_filled" if order.filled_quantity > 0 else "canceled"
    return str(order.status)


def money(amount: float) -> int:
    """Currency as whole money units; exact for amounts that were whole before."""
    return round(amount * MONEY)


def execution_of(fact: ev.OrderPartiallyFilled, order: Order) -> Execution:
    """The row of an execution; `order` as it stands after it."""
    return Execution(
        execution_id=fact.execution_id,
        fill_id=f"{order.terms.order_id}-{len(order.executions)}",
        order_id=order.terms.order_id,
        client_order_id=fact.client_order_id,
        symbol=fact.symbol,
        timestamp=fact.happened_at,
        side=fact.side,
        quantity=fact.quantity,
        price=fact.price,
        reference_price=fact.price if fact.reference_price is None else fact.reference_price,
        fee=money(fact.fee),
        slippage=fact.slippage,
        liquidity=fact.liquidity,
        strategy=order.terms.strategy,
    )
