"""Orders that already work when a session opens: those of the session before, or of a state that came from elsewhere.

The law: an order keeps its client order id for life. What the ledger knows goes on under the name it was placed with; only an order that no ledger knows (of
a backtest's state) gets a name in this session.
"""

import msgspec

from harmony_pipeline.execution.events import OrderTerms, micros, moment
from harmony_pipeline.execution.lifecycle import Order, Status
from harmony_pipeline.execution.order_ids import intent_name, order_id
from harmony_pipeline.portfolio.kernel_types import NO_MODEL, ORDER_OPEN, REASON_NAMES, ROLE_NAMES, STOP, TAKE, Record
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.plan import SessionPlan, client_order_id


def carried_orders(plan: SessionPlan, ledger: Ledger) -> dict[tuple[str, str], Order]:
    """The orders of the plan's opening state that work: (symbol, role) -> order, under the name that the ledger knows or, if it knows none, a new one."""
    known: dict[tuple[str, str], Order] = {(order.terms.symbol, order.terms.role): order for order in ledger.open_orders(plan.account)}
    carried: dict[tuple[str, str], Order] = {}
    for index, symbol in enumerate(plan.opening.symbols):
        for role, name in enumerate(ROLE_NAMES):
            slot = plan.opening.exchange.orders[index, role]
            if slot["status"] == ORDER_OPEN:
                found = known.get((symbol, name))
                fits = found is not None and micros(found.terms.decided_at) == slot["decided_at"]
                carried[symbol, name] = found if found is not None and fits else _adopted(plan, symbol, name, slot)
    return carried


def _adopted(plan: SessionPlan, symbol: str, role: str, slot: Record) -> Order:
    """A working order of an opening state that came from elsewhere (a backtest): named and put into this session's books."""
    decided_at, opened_as = moment(slot["decided_at"]), plan.opening.symbols[slot["entry_symbol"]]
    name = intent_name(symbol, decided_at, role)
    is_leg = ROLE_NAMES.index(role) in (STOP, TAKE)
    filled = float(slot["quantity"] - slot["remaining"]) if slot["fills"] else 0.0
    terms = OrderTerms(
        client_order_id=client_order_id(plan.session_id, name),
        order_id=order_id(plan.account, name),
        symbol=symbol,
        role=role,  # type: ignore[arg-type]
        side="buy" if slot["side"] > 0 else "sell",
        quantity=filled + float(slot["remaining"]),
        kind={"stop": "stop", "take": "limit"}.get(role, "market"),  # type: ignore[arg-type]
        limit_price=float(slot["level"]) if role == "take" else None,
        stop_price=float(slot["level"]) if role == "stop" else None,
        time_in_force="ioc" if role == "entry" else "gtc",
        parent_id=None if role == "entry" else order_id(plan.account, intent_name(opened_as, moment(slot["entry_at"]), "entry")),
        signal_timestamp=moment(slot["signal_at"]),
        decided_at=decided_at,
        reason=REASON_NAMES[slot["reason"]] or None,
        model_id=None if slot["model"] == NO_MODEL else plan.opening.portfolio.models[slot["model"]],
        after_exit=bool(slot["after_exit"]),
        volatility=float(slot["volatility"]),
        entry_decided_at=moment(slot["entry_at"]),
        entry_bar=moment(slot["since"]) if is_leg else None,
        entry_factor=float(slot["factor"]) if is_leg else 1.0,
        entry_symbol=opened_as if opened_as != symbol else None,
    )
    status = Status.PARTIALLY_FILLED if filled else Status.ACCEPTED
    return msgspec.structs.replace(
        Order(terms, status), filled_quantity=filled, seen_quantity=filled, executions=tuple(f"earlier-{n}" for n in range(int(slot["fills"])))
    )
