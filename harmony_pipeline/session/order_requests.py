"""What a session's portfolio asks of its order manager, and the names that its orders get.

An intent of the kernels is a record of numbers; `order_terms` gives it the names that the ledger
and the broker know it by.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from harmony_pipeline.execution.events import OrderTerms
from harmony_pipeline.execution.order_ids import intent_name, order_id
from harmony_pipeline.instants import moment
from harmony_pipeline.portfolio.kernel_types import (
    AT_CLOSE,
    ENTRY,
    NO_MODEL,
    ORDER_KINDS,
    REASON_NAMES,
    ROLE_NAMES,
    STOP,
    TAKE,
    TIMES_IN_FORCE,
    VERDICT_NAMES,
    Record,
)
from harmony_pipeline.session.plan import SessionPlan, client_order_id


@dataclass(frozen=True)
class OrderRequest:
    """One request of the portfolio: place an order, record one as refused, or cancel the working
    order of a role.
    """

    kind: int  # OPEN, REFUSED or CANCELED of portfolio/kernel_types.py
    slot: str
    role: str
    terms: OrderTerms | None  # None for a cancel
    reason: str | None = None  # of a cancel: why the symbol has ended
    other: OrderTerms | None = None  # the second leg of a bracket, placed together with the first


def order_terms(
    order: Record, quantity: float, models: Sequence[str], plan: SessionPlan
) -> OrderTerms:
    """An ORDER record (an intent, or an order at work) under its names in the plan's session."""
    role, slot = int(order["role"]), plan.slot_names[order["symbol"]]
    opened_as = plan.slot_names[order["entry_symbol"]]
    symbol, entry_symbol = (
        plan.symbols[order[name] % len(plan.symbols)] for name in ("symbol", "entry_symbol")
    )
    role_name, is_leg = ROLE_NAMES[role], role in (STOP, TAKE)
    decided_at, entry_at = moment(order["decided_at"]), moment(order["entry_at"])
    name = intent_name(slot, decided_at, role_name)
    force = AT_CLOSE if role == ENTRY and order["at_close"] == 1 else role
    return OrderTerms(
        client_order_id=client_order_id(plan.session_id, name),
        order_id=order_id(plan.account, name),
        symbol=symbol,
        role=role_name,  # type: ignore[arg-type]
        side="buy" if order["side"] > 0 else "sell",
        quantity=quantity,
        kind=ORDER_KINDS[role],  # type: ignore[arg-type]
        limit_price=float(order["level"]) if role == TAKE else None,
        stop_price=float(order["level"]) if role == STOP else None,
        time_in_force=TIMES_IN_FORCE[force],  # type: ignore[arg-type]
        parent_id=(
            None
            if role == ENTRY
            else order_id(plan.account, intent_name(opened_as, entry_at, "entry"))
        ),
        signal_timestamp=moment(order["signal_at"]),
        decided_at=decided_at,
        reason=REASON_NAMES[order["reason"]] or None,
        model_id=None if order["model"] == NO_MODEL else models[order["model"]],
        after_exit=bool(order["after_exit"]),
        volatility=float(order["volatility"]),
        entry_decided_at=entry_at,
        entry_bar=moment(order["since"]) if is_leg else None,
        entry_factor=float(order["factor"]) if is_leg else 1.0,
        entry_symbol=entry_symbol if entry_symbol != symbol else None,
        strategy=plan.strategy_of(int(order["symbol"])),
        verdict=VERDICT_NAMES[order["verdict"]] or None,
        limit=REASON_NAMES[order["limit"]] or None,
        wanted_quantity=float(order["wanted"]) or None,
        release_at=moment(order["release_at"]) if order["release_at"] else None,
    )
