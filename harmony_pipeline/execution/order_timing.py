"""What time does to orders: submission, acceptance, cancels, replacements and expiry, and when it
will next do something.
"""

import numpy as np

from harmony_pipeline.execution.order_groups import end, release, settle
from harmony_pipeline.execution.order_types import CLS, OPG, TRAILING_STOP
from harmony_pipeline.execution.random_draws import REJECTED_DRAW, uniform
from harmony_pipeline.execution.working_orders import (
    ACCEPTED,
    BEFORE,
    CANCEL_REQUESTED,
    CANCELED,
    E_ACCEPTED,
    E_ADJUSTED,
    E_CANCEL_REQUESTED,
    E_HELD,
    E_INTENT,
    E_REPLACE_REJECTED,
    E_REPLACE_REQUESTED,
    E_REPLACED,
    E_SUBMITTED,
    EXPIRED,
    FILLED,
    HELD,
    INTENDED,
    NEVER,
    NO_REASON,
    NO_ROW,
    PARTIALLY_FILLED,
    R_AUCTION,
    R_CHANCE,
    R_HALTED,
    R_LATE,
    R_OCO,
    R_REPLACED,
    R_REQUESTED,
    R_TIME_IN_FORCE,
    REJECTED,
    REPLACE_REQUESTED,
    REPLACED,
    SUBMITTED,
    UNBORN,
    SymbolOrders,
    is_limit,
    is_stop,
    record,
    stop_level,
    works,
)
from harmony_pipeline.kernel import kernel_without_allocation
from harmony_pipeline.portfolio.kernel_types import Record


@kernel_without_allocation
def next_moment(order: Record) -> int:
    """When time alone will change an active order."""
    if order["status"] == SUBMITTED:
        return int(order["active_from"])
    if order["status"] >= FILLED:
        return NEVER
    asked = NEVER if order["status"] == CANCEL_REQUESTED else order["cancel_asked_at"]
    return int(min(order["expires_at"], asked, order["cancel_at"]))


@kernel_without_allocation
def advance(group: SymbolOrders, until: int) -> None:
    """Everything that time does up to and including `until`, in order of time: submissions,
    acceptance, cancels, replacements, expiry. At one moment, orders in order of arrival, new ones
    last.
    """
    state = group.state[0]
    if until < state["next_time"]:
        return
    now = 0
    while True:
        earliest, found = NEVER, NO_ROW
        for k in range(state["active_count"]):
            moment = next_moment(group.orders[group.active[k]])
            if moment < earliest:
                earliest, found = moment, group.active[k]
        if state["pending_at"] < len(group.pending):
            row = group.pending[state["pending_at"]]
            if group.orders[row]["submitted_at"] < earliest:
                earliest, found = group.orders[row]["submitted_at"], row
        if earliest > until:
            break
        now = max(now, earliest)
        _act(group, found, now)
        settle(group, now, now, BEFORE, 0.0)
    refresh(group)


@kernel_without_allocation
def _act(group: SymbolOrders, row: int, now: int) -> None:
    order, state = group.orders[row], group.state[0]
    if order["status"] == UNBORN:
        state["pending_at"] += 1
        group.active[state["active_count"]] = row
        state["active_count"] += 1
        _submit(group, row, now)
    elif order["status"] == SUBMITTED:
        _accept(group, row, now)
    elif order["expires_at"] <= now:
        auction = order["time_in_force"] in (OPG, CLS)
        # an OPG order ends a microsecond late, so that it meets a bar that starts with its auction
        at = now - 1 if order["time_in_force"] == OPG else now
        end(group, row, at, now, EXPIRED, R_AUCTION if auction else R_TIME_IN_FORCE)
    elif order["cancel_asked_at"] <= now and order["status"] != CANCEL_REQUESTED:
        record(
            group, row, now, now, E_CANCEL_REQUESTED, CANCEL_REQUESTED, order["remaining"],
            np.nan, R_REQUESTED,
        )  # fmt: skip
    else:
        end(group, row, now, now, CANCELED, R_REQUESTED)


@kernel_without_allocation
def _submit(group: SymbolOrders, row: int, now: int) -> None:
    order = group.orders[row]
    price = order["limit_price"] if order["limit_price"] > 0.0 else order["stop_price"]
    price = price if price > 0.0 else np.nan
    record(group, row, now, now, E_INTENT, INTENDED, order["quantity"], price, NO_REASON)
    record(group, row, now, now, E_SUBMITTED, SUBMITTED, order["quantity"], price, NO_REASON)
    if order["cancel_asked_at"] == -1:
        end(group, row, now, now, CANCELED, R_OCO)
        return
    old = order["replaces"]
    if old != NO_ROW and HELD <= group.orders[old]["status"] < CANCEL_REQUESTED:
        status, left = REPLACE_REQUESTED, group.orders[old]["remaining"]
        record(group, old, now, now, E_REPLACE_REQUESTED, status, left, np.nan, R_REPLACED)


@kernel_without_allocation
def _accept(group: SymbolOrders, row: int, now: int) -> None:
    """The exchange has the order: it works, is held for its parent, or is rejected."""
    order, rules = group.orders[row], group.rules[0]
    if order["replaces"] != NO_ROW and not _take_place(group, row, now):
        return
    chance = rules["reject_probability"]
    if (
        chance > 0.0
        and order["parent"] == NO_ROW
        and order["replaces"] == NO_ROW
        and uniform(
            rules["seed"], group.key[0], order["submitted_at"], order["number"], REJECTED_DRAW
        )
        < chance
    ):
        end(group, row, now, now, REJECTED, R_CHANCE)
        return
    if group.state[0]["halted"] == 1 and group.state[0]["refuse_halted"] == 1:
        end(group, row, now, now, REJECTED, R_HALTED)
        return
    if order["expires_at"] <= now:
        end(group, row, now, now, REJECTED, R_LATE)
        return
    parent = order["parent"]
    while parent != NO_ROW and group.orders[parent]["status"] == REPLACED:
        parent = group.orders[parent]["replaced_by"]
    if parent != NO_ROW and group.orders[parent]["status"] < FILLED:
        order["held"] = 1
        record(group, row, now, now, E_HELD, HELD, order["quantity"], np.nan, NO_REASON)
    elif parent != NO_ROW:
        release(group, row, parent, now, now, BEFORE, 0.0)
    else:
        record(group, row, now, now, E_ACCEPTED, ACCEPTED, order["quantity"], np.nan, NO_REASON)


@kernel_without_allocation
def _take_place(group: SymbolOrders, row: int, now: int) -> bool:
    """A replacement takes the place of its order in all groups, for what is not yet filled; false
    when that one has ended meanwhile.
    """
    order, old_row = group.orders[row], group.orders[row]["replaces"]
    old = group.orders[old_row]
    left = order["quantity"] - old["filled"]
    if old["status"] != REPLACE_REQUESTED or left <= 0.0:
        if HELD <= old["status"] < FILLED:
            status = old["status"]
            if status == REPLACE_REQUESTED:
                status = PARTIALLY_FILLED if old["filled"] > 0.0 else ACCEPTED
            record(group, old_row, now, now, E_REPLACE_REJECTED, status, np.nan, np.nan, R_LATE)
        end(group, row, now, now, REJECTED, R_LATE)
        return False
    if left != order["quantity"]:
        order["quantity"] = order["remaining"] = left
        record(group, row, now, now, E_ADJUSTED, order["status"], left, np.nan, R_REPLACED)
    order["filled_before"] = old["filled"] + old["filled_before"]
    order["watermark"], order["reduce_only"] = old["watermark"], old["reduce_only"]
    order["parent"], order["first_child"] = old["parent"], old["first_child"]
    order["when_filled"] = old["when_filled"]
    old["replaced_by"] = row
    child = order["first_child"]
    while child != NO_ROW:
        group.orders[child]["parent"] = row
        child = group.orders[child]["next_child"]
    if old["next_in_oco"] != NO_ROW:
        previous = old_row
        while group.orders[previous]["next_in_oco"] != old_row:
            previous = group.orders[previous]["next_in_oco"]
        order["next_in_oco"] = old["next_in_oco"]
        group.orders[previous]["next_in_oco"] = row
        old["next_in_oco"] = NO_ROW
    record(group, old_row, now, now, E_REPLACED, REPLACED, old["remaining"], np.nan, R_REPLACED)
    return True


@kernel_without_allocation
def refresh(group: SymbolOrders) -> None:
    """Drop what has ended from the active rows, and find out which bars need not be looked at."""
    state, rules = group.state[0], group.rules[0]
    kept = 0
    lower, upper, moment = -np.inf, np.inf, NEVER
    for k in range(state["active_count"]):
        row = group.active[k]
        order = group.orders[row]
        if order["status"] >= FILLED:
            continue
        group.active[kept] = row
        kept += 1
        moment = min(moment, next_moment(order))
        if not works(order):
            continue
        if order["rested"] == 0:
            lower = np.inf
        elif order["time_in_force"] in (OPG, CLS):
            continue  # its moment is `expires_at`
        elif is_limit(order):
            if order["side"] > 0:
                lower = max(lower, order["limit_price"])
            else:
                upper = min(upper, order["limit_price"])
        elif is_stop(order):
            level = stop_level(rules, order)
            mark = order["watermark"] if order["kind"] == TRAILING_STOP else level
            if order["side"] > 0:
                upper = min(upper, level)
                lower = max(lower, mark if order["kind"] == TRAILING_STOP else -np.inf)
            else:
                lower = max(lower, level)
                upper = min(upper, mark if order["kind"] == TRAILING_STOP else np.inf)
        else:
            lower = np.inf  # a market order, or a stop that was triggered: the next open
    state["active_count"] = kept
    if state["pending_at"] < len(group.pending):
        moment = min(moment, group.orders[group.pending[state["pending_at"]]]["submitted_at"])
    state["lower"], state["upper"], state["next_time"] = lower, upper, moment


@kernel_without_allocation
def room_needed(group: SymbolOrders, until: int) -> int:
    """Rows of the log that one bar which ends at `until` may write, generously."""
    state = group.state[0]
    count = int(state["active_count"])
    k = state["pending_at"]
    while k < len(group.pending) and group.orders[group.pending[k]]["submitted_at"] <= until:
        count += 1
        k += 1
    return 24 * count + 24
