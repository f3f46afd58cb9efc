"""How an order ends, and what follows for the orders that are tied to it: OCO, OTO, reduce-only."""

import numpy as np

from harmony_pipeline.execution.working_orders import (
    ACCEPTED,
    CANCELED,
    E_ACCEPTED,
    E_ADJUSTED,
    E_CANCELED,
    E_EXPIRED,
    E_REJECTED,
    EXPIRED,
    FILLED,
    NO_REASON,
    NO_ROW,
    R_OCO,
    R_PARENT,
    R_REDUCE_ONLY,
    REJECTED,
    REPLACED,
    SUBMITTED,
    UNBORN,
    SymbolOrders,
    follow,
    record,
    works,
)
from harmony_pipeline.kernel import kernel_without_allocation


@kernel_without_allocation
def end(group: SymbolOrders, row: int, at: int, known_at: int, status: int, reason: int) -> None:
    """End an order without a fill; `settle` tells its group."""
    order = group.orders[row]
    event = E_CANCELED
    if status == EXPIRED:
        event = E_EXPIRED
    elif status == REJECTED:
        event = E_REJECTED
    record(group, row, at, known_at, event, status, order["remaining"], np.nan, reason)


@kernel_without_allocation
def settle(group: SymbolOrders, at: int, known_at: int, activation: int, price: float) -> None:
    """Tell groups what has ended, until nothing follows from it: OCO orders end with a sibling that
    was filled, canceled or rejected; children begin or end with their parent; orders that only
    reduce end with the position. Children begin at the point `activation` of a bar, at `price`.
    """
    state = group.state[0]
    again = True
    while again:
        again = False
        for k in range(state["active_count"]):
            row = group.active[k]
            order = group.orders[row]
            if order["status"] >= FILLED and order["settled"] == 0:
                order["settled"] = 1
                again = True
                if order["status"] in (FILLED, CANCELED, REJECTED):
                    _cancel_oco(group, row, at, known_at)
                if order["status"] != REPLACED:
                    _release_children(group, row, at, known_at, activation, price)
        if state["turned_flat"] == 1:
            state["turned_flat"] = 0
            for k in range(state["active_count"]):
                order = group.orders[group.active[k]]
                useless = -order["side"] * state["position"] <= 0.0
                if order["reduce_only"] == 1 and useless and works(order):
                    end(group, group.active[k], at, known_at, CANCELED, R_REDUCE_ONLY)
                    again = True


@kernel_without_allocation
def _cancel_oco(group: SymbolOrders, row: int, at: int, known_at: int) -> None:
    other = group.orders[row]["next_in_oco"]
    while other not in (NO_ROW, row):
        status = group.orders[other]["status"]
        if SUBMITTED <= status < FILLED:
            end(group, other, at, known_at, CANCELED, R_OCO)
        elif status == UNBORN:
            group.orders[other]["cancel_asked_at"] = -1  # ended as soon as it is submitted
        other = group.orders[other]["next_in_oco"]


@kernel_without_allocation
def _release_children(
    group: SymbolOrders, row: int, at: int, known_at: int, activation: int, price: float
) -> None:
    child = group.orders[row]["first_child"]
    while child != NO_ROW:
        if group.orders[child]["held"] == 1 and group.orders[child]["status"] < FILLED:
            release(group, child, row, at, known_at, activation, price)
        child = group.orders[child]["next_child"]


@kernel_without_allocation
def release(
    group: SymbolOrders,
    child: int,
    parent: int,
    at: int,
    known_at: int,
    activation: int,
    price: float,
) -> None:
    """Let a child work now that its parent has ended, for as much as that has filled, or end it."""
    order, before = group.orders[child], group.orders[parent]
    filled = before["filled"] + before["filled_before"]
    if filled <= 0.0 or (order["when_filled"] == 1 and before["status"] != FILLED):
        end(group, child, at, known_at, CANCELED, R_PARENT)
        return
    order["held"] = 0
    status = max(order["status"], ACCEPTED)  # a request to cancel or replace it still stands
    record(group, child, at, known_at, E_ACCEPTED, status, order["quantity"], np.nan, NO_REASON)
    if filled < order["quantity"]:
        order["quantity"] = order["remaining"] = filled
        record(group, child, at, known_at, E_ADJUSTED, status, filled, np.nan, R_PARENT)
    order["activated_at"], order["activation"] = at, activation
    order["activation_price"] = price
    if price > 0.0:
        follow(order, price)
