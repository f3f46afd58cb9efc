"""The orders of one symbol as the kernels hold them, and the log of their transitions.

Bars (`bar_matching.py`) and quotes (`quote_matching.py`) decide what is touched and at which price.
What follows from it is the same for both: fills (`order_fills.py`), ends and groups
(`order_groups.py`), time (`order_timing.py`) and splits (`order_splits.py`). Each transition writes
one row into the log, which becomes the lifecycle table; statuses and events are those of
`lifecycle.py`.

Times are microseconds UTC. Rows of `orders` are never moved: an order is its row number.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harmony_pipeline.arrays import IntArray
from harmony_pipeline.execution.lifecycle import Status
from harmony_pipeline.execution.order_types import (
    LIMIT,
    STOP_LIMIT,
    TRAILING_STOP,
)
from harmony_pipeline.kernel import kernel_without_allocation
from harmony_pipeline.market.price_grid import (
    round_to_tick,
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
    "replaced", "late", "post_only", "dividend",
)  # fmt: skip
(
    NO_REASON, R_REQUESTED, R_OCO, R_PARENT, R_REDUCE_ONLY, R_IOC, R_FOK, R_NO_VOLUME,
    R_MAX_PARTICIPATION, R_HALTED, R_LIMIT_BAND, R_CHANCE, R_TIME_IN_FORCE, R_AUCTION, R_SPLIT,
    R_REPLACED, R_LATE, R_POST_ONLY, R_DIVIDEND,
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
