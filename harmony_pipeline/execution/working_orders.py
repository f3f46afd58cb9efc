"""The orders of one symbol as the kernels hold them, and every transition that they can make.

Bars (`bar_matching.py`) and quotes (`quote_matching.py`) decide what is touched and at which price.
What follows from it is the same for both and stands here: activation, fills, expiry, cancels,
replacements, OCO, OTO and reduce-only. Each transition writes one row into the log, which becomes
the lifecycle table; statuses and events are those of `lifecycle.py`.

Times are microseconds UTC. Rows of `orders` are never moved: an order is its row number.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harmony_pipeline.arrays import IntArray
from harmony_pipeline.execution.costs import against_us, fee, participation_binds, taker_price
from harmony_pipeline.execution.lifecycle import Status
from harmony_pipeline.execution.order_types import (
    CLS,
    FOK,
    LIMIT,
    OPG,
    STOP_LIMIT,
    TRAILING_STOP,
)
from harmony_pipeline.execution.random_draws import (
    FRACTION_DRAW,
    PARTIAL_DRAW,
    REJECTED_DRAW,
    uniform,
)
from harmony_pipeline.kernel import kernel_without_allocation
from harmony_pipeline.market.price_grid import (
    floor_to_lot,
    least_price,
    round_to_tick,
    snap_to_lot,
    whole_unit,
)
from harmony_pipeline.portfolio.kernel_types import Record, Records

NEVER = 2**62  # a time that does not come
NO_ROW = -1

# Statuses in the order of their codes; from FILLED on they are final. UNBORN: not yet submitted.
STATUSES = (
    "", Status.INTENDED, Status.SUBMITTED, Status.HELD, Status.ACCEPTED, Status.PARTIALLY_FILLED,
    Status.CANCEL_REQUESTED, Status.REPLACE_REQUESTED, Status.FILLED, Status.CANCELED,
    Status.EXPIRED, Status.REJECTED, Status.REFUSED, Status.REPLACED,
)  # fmt: skip
UNBORN, INTENDED, SUBMITTED, HELD, ACCEPTED, PARTIALLY_FILLED = range(6)
CANCEL_REQUESTED, REPLACE_REQUESTED, FILLED, CANCELED, EXPIRED = range(6, 11)
REJECTED, REFUSED, REPLACED = range(11, 14)

EVENTS = (
    "intent", "submitted", "accepted", "held", "triggered", "partially_filled", "filled",
    "adjusted", "cancel_requested", "canceled", "expired", "rejected", "refused",
    "replace_requested", "replaced", "replace_rejected",
)  # fmt: skip
"""The facts of events.py by their tags, and `triggered`: a stop was reached, the status stays."""
(
    E_INTENT, E_SUBMITTED, E_ACCEPTED, E_HELD, E_TRIGGERED, E_PARTIALLY_FILLED, E_FILLED,
    E_ADJUSTED, E_CANCEL_REQUESTED, E_CANCELED, E_EXPIRED, E_REJECTED, E_REFUSED,
    E_REPLACE_REQUESTED, E_REPLACED, E_REPLACE_REJECTED,
) = range(len(EVENTS))  # fmt: skip

REASONS = (
    "", "requested", "oco", "parent", "reduce_only", "ioc", "fok", "no_volume",
    "max_participation", "halted", "limit_band", "chance", "time_in_force", "auction", "split",
    "replaced", "late", "post_only",
)  # fmt: skip
(
    NO_REASON, R_REQUESTED, R_OCO, R_PARENT, R_REDUCE_ONLY, R_IOC, R_FOK, R_NO_VOLUME,
    R_MAX_PARTICIPATION, R_HALTED, R_LIMIT_BAND, R_CHANCE, R_TIME_IN_FORCE, R_AUCTION, R_SPLIT,
    R_REPLACED, R_LATE, R_POST_ONLY,
) = range(len(REASONS))  # fmt: skip

# At which point of the current bar an order began to work (`activation`, with `activated_at`).
# After the bar it is BEFORE again: it works from the open of the next one.
BEFORE, AT_OPEN, INSIDE, AFTER = 0, 1, 2, 3

WORKING_ORDER = np.dtype(
    [
        ("number", "i8"), ("side", "i8"), ("kind", "i8"), ("time_in_force", "i8"),
        ("status", "i8"), ("held", "i8"), ("quantity", "f8"), ("remaining", "f8"), ("filled", "f8"),
        ("limit_price", "f8"), ("stop_price", "f8"), ("trail_amount", "f8"),
        ("trail_fraction", "f8"), ("watermark", "f8"), ("volatility", "f8"), ("fills", "i8"),
        ("triggered", "i8"), ("rested", "i8"), ("reduce_only", "i8"), ("extended", "i8"),
        ("post_only", "i8"),
        # groups, as rows: a ring of OCO orders, a list of children
        ("parent", "i8"), ("first_child", "i8"), ("next_child", "i8"), ("when_filled", "i8"),
        ("next_in_oco", "i8"), ("replaces", "i8"), ("replaced_by", "i8"),
        ("filled_before", "f8"),
        # times
        ("submitted_at", "i8"), ("active_from", "i8"), ("expires_at", "i8"),
        ("auction_at", "i8"), ("cancel_asked_at", "i8"), ("cancel_at", "i8"),
        # of the current bar
        ("activated_at", "i8"), ("activation", "i8"), ("activation_price", "f8"),
        ("spent_at", "i8"), ("settled", "i8"), ("obstacle", "i8"),
        # in the queue at its price, from quotes and trades
        ("queue_ahead", "f8"), ("queue_quoted", "f8"),
    ],
    align=True,
)  # fmt: skip
"""One order. `number` keys its random draws. `rested` 1: it has been through a bar, so a limit is a
maker. `when_filled` 1: a child that waits for a complete fill. `filled_before`: shares that the
orders which it replaces had filled. `spent_at` is the start of the bar in which it can do no more,
`obstacle` the reason why it last filled nothing. `settled` 1: its end has been told to its group.
`queue_ahead` and `queue_quoted` are those of `queue_position.QueueState`.
"""

SYMBOL_STATE = np.dtype(
    [
        ("position", "f8"), ("lower", "f8"), ("upper", "f8"), ("next_time", "i8"),
        ("active_count", "i8"), ("pending_at", "i8"), ("log_rows", "i8"), ("lost_rows", "i8"),
        ("turned_flat", "i8"), ("bought", "f8"), ("sold", "f8"),
        ("halted", "i8"), ("refuse_halted", "i8"),
        # the last quote, less what was taken of it; the last trade; until when its hours last
        ("bid", "f8"), ("ask", "f8"), ("bid_size", "f8"), ("ask_size", "f8"), ("last", "f8"),
        ("regular", "i8"), ("until", "i8"), ("tick_at", "i8"), ("at_best", "i8"),
    ],
    align=True,
)  # fmt: skip
"""Where one symbol stands. No order is touched by a bar with `high` < upper and `low` > lower that
ends before `next_time`. `bought`, `sold`: shares that the current bar has given to each side.
`halted` 1: trading was halted in the last bar; `refuse_halted` 1: new orders are rejected then.
"""

TRANSITION = np.dtype(
    [
        ("row", "i8"), ("at", "i8"), ("known_at", "i8"), ("from_status", "i8"),
        ("to_status", "i8"), ("event", "i8"), ("quantity", "f8"), ("price", "f8"),
        ("reference", "f8"), ("fee", "i8"), ("maker", "i8"), ("reason", "i8"),
    ],
    align=True,
)  # fmt: skip
"""One row of the log. `at` is the start of the bar in which it happened, or the moment itself;
`known_at` when it could be known. `fee` in money units.
"""


class SymbolOrders(NamedTuple):
    """Everything about the orders of one symbol. `active` are rows that may still do something, in
    order of arrival (`active_count` of them); `pending` rows in order of submission, those from
    `pending_at` on are not yet submitted. `state`, `rules` and `key` have one element.
    """

    orders: Records
    active: IntArray
    pending: IntArray
    state: Records
    rules: Records
    key: NDArray[np.uint64]
    log: Records


@kernel_without_allocation
def works(order: Record) -> bool:
    """Whether it is at the exchange, so that it can fill."""
    return bool(ACCEPTED <= order["status"] < FILLED and order["held"] == 0)


@kernel_without_allocation
def is_stop(order: Record) -> bool:
    """Whether it waits for its stop."""
    return bool(order["kind"] > LIMIT and order["triggered"] == 0)


@kernel_without_allocation
def is_limit(order: Record) -> bool:
    """Whether it is a limit order now: made as one, or a stop-limit that was triggered."""
    return bool(order["kind"] == LIMIT or (order["kind"] == STOP_LIMIT and order["triggered"] == 1))


@kernel_without_allocation
def stop_level(rules: Record, order: Record) -> float:
    """The price at which a stop is triggered; that of a trailing stop follows its watermark."""
    if order["kind"] != TRAILING_STOP:
        return float(order["stop_price"])
    distance = order["trail_amount"] + order["watermark"] * order["trail_fraction"]
    return float(round_to_tick(rules, order["watermark"] + order["side"] * distance))


@kernel_without_allocation
def follow(order: Record, price: float) -> None:
    """Move the watermark of a trailing stop: up for one that sells, down for one that buys."""
    if order["kind"] != TRAILING_STOP or order["triggered"] == 1:
        return
    if (
        order["watermark"] == 0.0
        or (order["side"] < 0 and price > order["watermark"])
        or (order["side"] > 0 and price < order["watermark"])
    ):
        order["watermark"] = price


@kernel_without_allocation
def record(
    group: SymbolOrders,
    row: int,
    at: int,
    known_at: int,
    event: int,
    to_status: int,
    quantity: float,
    price: float,
    reason: int,
) -> None:
    """Change the status and write it down. A log without room counts what it lost."""
    order, state = group.orders[row], group.state[0]
    n = state["log_rows"]
    before = order["status"]
    order["status"] = to_status
    if n >= len(group.log):
        state["lost_rows"] += 1
        return
    line = group.log[n]
    line["row"], line["at"], line["known_at"], line["event"] = row, at, known_at, event
    line["from_status"], line["to_status"] = before, to_status
    line["quantity"], line["price"], line["reason"] = quantity, price, reason
    line["reference"], line["fee"], line["maker"] = np.nan, 0, 0
    state["log_rows"] = n + 1


# --- fills ----------------------------------------------------------------------------------------


@kernel_without_allocation
def permitted_quantity(
    group: SymbolOrders, row: int, at: int, volume: float, taken: float, binds: bool
) -> float:
    """Shares of an order that a bar or a quote of `volume` shares fills, of which its side has
    `taken` some already: what remains, clipped to the position if it only reduces, capped by
    `volume` where that binds, cut by chance. An order that fills nothing has the `obstacle`.
    """
    order, rules = group.orders[row], group.rules[0]
    quantity = float(order["remaining"])
    order["obstacle"] = NO_REASON
    if order["reduce_only"] == 1:
        quantity = min(quantity, max(-order["side"] * group.state[0]["position"], 0.0))
        if quantity <= 0.0:
            order["obstacle"] = R_REDUCE_ONLY
            return 0.0
    if binds:
        quantity = min(quantity, floor_to_lot(max(volume - taken, 0.0), rules["lot_size"]))
        if quantity <= 0.0:
            order["obstacle"] = R_MAX_PARTICIPATION if volume > 0.0 else R_NO_VOLUME
            return 0.0
    chance = rules["partial_fill_probability"]
    key, number = group.key[0], order["number"]
    if chance > 0.0 and uniform(rules["seed"], key, at, number, PARTIAL_DRAW) < chance:
        part = uniform(rules["seed"], key, at, number, FRACTION_DRAW)
        quantity = floor_to_lot(quantity * part, rules["lot_size"])
        order["obstacle"] = R_CHANCE
    if order["time_in_force"] == FOK and quantity < order["remaining"]:
        order["obstacle"] = R_FOK
        return 0.0
    return quantity


@kernel_without_allocation
def price_of_taker(
    group: SymbolOrders, row: int, reference: float, quantity: float, volume: float
) -> float:
    """What an order that takes liquidity pays: costs against us, never beyond its limit."""
    order, rules = group.orders[row], group.rules[0]
    price = taker_price(rules, order["side"], reference, order["volatility"], quantity, volume)
    if is_limit(order):
        limit = order["limit_price"]
        price = min(price, limit) if order["side"] > 0 else max(price, limit)
    return float(price)


@kernel_without_allocation
def fill(
    group: SymbolOrders,
    row: int,
    quantity: float,
    price: float,
    reference: float,
    maker: bool,
    at: int,
    known_at: int,
) -> None:
    """Book an execution: the order, the position, and what it takes from its OCO group."""
    order, state, rules = group.orders[row], group.state[0], group.rules[0]
    order["remaining"] = snap_to_lot(order["remaining"] - quantity, rules["lot_size"])
    order["filled"] = snap_to_lot(order["filled"] + quantity, rules["lot_size"])
    order["fills"] += 1
    before = state["position"]
    state["position"] = snap_to_lot(before + order["side"] * quantity, rules["lot_size"])
    if before * state["position"] <= 0.0 and before != 0.0:
        state["turned_flat"] = 1
    done = order["remaining"] <= 0.0
    status = FILLED if done else max(order["status"], PARTIALLY_FILLED)
    event = E_FILLED if done else E_PARTIALLY_FILLED
    record(group, row, at, known_at, event, status, quantity, price, NO_REASON)
    line = group.log[state["log_rows"] - 1]
    line["reference"], line["maker"] = reference, 1 if maker else 0
    line["fee"] = fee(rules, order["side"], price, quantity, maker)
    _reduce_oco(group, row, at, known_at)


@kernel_without_allocation
def _reduce_oco(group: SymbolOrders, row: int, at: int, known_at: int) -> None:
    """What one order of an OCO group has filled the others cannot fill any more."""
    left = group.orders[row]["remaining"]
    if left <= 0.0:
        return  # the others are canceled by `settle`
    other = group.orders[row]["next_in_oco"]
    while other not in (NO_ROW, row):
        order = group.orders[other]
        if order["status"] < FILLED and order["remaining"] > left:
            order["remaining"] = left
            order["quantity"] = order["filled"] + left
            if order["status"] >= SUBMITTED:
                record(
                    group, other, at, known_at, E_ADJUSTED, order["status"], order["quantity"],
                    np.nan, R_OCO,
                )  # fmt: skip
        other = order["next_in_oco"]


@kernel_without_allocation
def participation(rules: Record, volume: float) -> tuple[float, bool]:
    """(shares of a bar that one side may take, whether that binds)."""
    volume = volume if volume > 0.0 else 0.0
    return float(rules["max_participation"] * volume), participation_binds(rules, volume)


@kernel_without_allocation
def exact_price(group: SymbolOrders, row: int, reference: float) -> float:
    """The price of a maker or of an auction: the reference, on the tick against us."""
    return float(against_us(group.rules[0], group.orders[row]["side"], reference))


# --- ends and groups ------------------------------------------------------------------------------


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


# --- time -----------------------------------------------------------------------------------------


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
def split_orders(group: SymbolOrders, ratio: float, at: int) -> None:
    """A split of `ratio` new shares for one: the position and what remains of each order become
    whole new shares, prices move to the nearest tick; an order with nothing left is canceled.
    """
    state, rules = group.state[0], group.rules[0]
    unit = whole_unit(rules["lot_size"])
    position = floor_to_lot(abs(state["position"]) * ratio, unit)
    state["position"] = position if state["position"] > 0.0 else -position
    for k in range(state["active_count"]):
        row = group.active[k]
        order = group.orders[row]
        if order["status"] >= FILLED:
            continue
        order["remaining"] = floor_to_lot(order["remaining"] * ratio, unit)
        order["filled_before"] += order["filled"] * (ratio - 1.0)
        order["quantity"] = order["filled"] + order["remaining"]
        order["limit_price"] = _split_price(rules, order["limit_price"], ratio)
        order["stop_price"] = _split_price(rules, order["stop_price"], ratio)
        order["trail_amount"] /= ratio
        order["watermark"] /= ratio
        if order["remaining"] > 0.0:
            record(
                group, row, at, at, E_ADJUSTED, order["status"], order["quantity"], np.nan,
                R_SPLIT,
            )  # fmt: skip
        else:
            end(group, row, at, at, CANCELED, R_SPLIT)
    settle(group, at, at, BEFORE, 0.0)
    refresh(group)


@kernel_without_allocation
def _split_price(rules: Record, price: float, ratio: float) -> float:
    if price <= 0.0:
        return 0.0
    return max(round_to_tick(rules, price / ratio), least_price(rules))


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
