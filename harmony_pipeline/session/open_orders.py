"""Orders that already work when a session opens: those of the session before, or of a state that
came from elsewhere.

An order keeps its client order id for life. What the ledger knows goes on under the name it was
placed with; only an order that no ledger knows (of a backtest's state) gets a name in this session.
"""

import msgspec

from harmony_pipeline.execution.lifecycle import Order, Status
from harmony_pipeline.instants import micros
from harmony_pipeline.portfolio.kernel_types import ORDER_OPEN, ROLE_NAMES, Record
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.order_requests import order_terms
from harmony_pipeline.session.plan import SessionPlan


def carried_orders(
    plan: SessionPlan, ledger: Ledger, *, in_process: bool
) -> dict[tuple[str, str], Order]:
    """The orders of the plan's opening state that work: (slot, role) -> order, under the name that
    the ledger knows or, if it knows none, a new one. Orders at a broker outside of this process are
    not part of that state: they are those that the ledger has open.
    """
    known: dict[tuple[str, str], Order] = {
        (order.terms.slot, order.terms.role): order for order in ledger.open_orders(plan.account)
    }
    if not in_process:
        return {key: order for key, order in known.items() if key[0] in plan.slot_names}
    carried: dict[tuple[str, str], Order] = {}
    for index, place in enumerate(plan.slot_names):
        for role, name in enumerate(ROLE_NAMES):
            slot = plan.opening.exchange.orders[index, role]
            if slot["status"] == ORDER_OPEN:
                found = known.get((place, name))
                fits = found is not None and micros(found.terms.decided_at) == slot["decided_at"]
                carried[place, name] = found if found is not None and fits else _adopted(plan, slot)
    return carried


def _adopted(plan: SessionPlan, slot: Record) -> Order:
    """A working order of an opening state that came from elsewhere (a backtest), named in this
    session.
    """
    filled = float(slot["quantity"] - slot["remaining"]) if slot["fills"] else 0.0
    terms = order_terms(
        slot,
        filled + float(slot["remaining"]),
        plan.opening.portfolio.models,
        plan,
    )
    status = Status.PARTIALLY_FILLED if filled else Status.ACCEPTED
    return msgspec.structs.replace(
        Order(terms, status),
        filled_quantity=filled,
        seen_quantity=filled,
        executions=tuple(f"earlier-{n}" for n in range(int(slot["fills"]))),
    )
