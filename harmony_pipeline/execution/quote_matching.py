"""How working orders meet quotes and trades.

An order that takes liquidity meets the quote that stands when it arrives, at the other side's price
and for no more than its size; what the quote cannot fill waits for the next one. The spread is paid
as it was quoted, so no modelled spread nor impact is added.

A limit that does not cross rests in the queue at its price (`queue_position.py`). Trades fill it,
quotes never do: a trade at a worse price went through it, a trade at its price fills what exceeds
the shares ahead of it. It pays its own price.

Stops are reached by trades, and trailing stops follow them; then they take like market orders.
Auction prints fill OPG and CLS orders at their price, for their part of the print
(`max_participation`). Trades that may not set the last price (`sets` 0) do nothing.

Of a quote and a trade at one moment the trade comes first. An order that arrives at that moment
sees neither.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from harmony_pipeline.arrays import ByteArray, FloatArray, IntArray
from harmony_pipeline.execution.order_fills import exact_price, fill, permitted_quantity
from harmony_pipeline.execution.order_groups import end, settle
from harmony_pipeline.execution.order_timing import advance, refresh, room_needed
from harmony_pipeline.execution.order_types import CLS, FOK, IOC, MARKET, OPG, STOP_LIMIT
from harmony_pipeline.execution.queue_position import (
    QueueState,
    queue_after_quote,
    queue_after_trade,
    queue_at_arrival,
)
from harmony_pipeline.execution.working_orders import (
    AFTER,
    CANCELED,
    E_FILLED,
    E_PARTIALLY_FILLED,
    E_TRIGGERED,
    NO_REASON,
    R_FOK,
    R_HALTED,
    R_IOC,
    R_POST_ONLY,
    R_REDUCE_ONLY,
    REJECTED,
    SymbolOrders,
    follow,
    is_limit,
    is_stop,
    record,
    stop_level,
    works,
)
from harmony_pipeline.kernel import inlined_kernel, kernel_without_allocation
from harmony_pipeline.portfolio.kernel_types import Record

QUOTE, TRADE = 0, 1
NO_AUCTION, OPENING, CLOSING = 0, 1, 2


class TickColumns(NamedTuple):
    """Quotes and trades of one symbol in order of time. `kind` QUOTE: `bid` to `ask_size` (NaN and
    0 where a side is missing); TRADE: `price`, `size`, `hit` (1 the bid, -1 the offer, 0 unknown),
    `sets` 1 where it may set the last price, `auction`. `until` is the end of the hours in which
    the tick lies, `regular` 1 where these are regular; `halted` 1: nothing trades.
    """

    at: IntArray
    kind: ByteArray
    bid: FloatArray
    bid_size: FloatArray
    ask: FloatArray
    ask_size: FloatArray
    price: FloatArray
    size: FloatArray
    hit: npt.NDArray[np.int8]
    sets: ByteArray
    auction: ByteArray
    until: IntArray
    regular: ByteArray
    halted: ByteArray


@kernel_without_allocation
def run_ticks(
    group: SymbolOrders,
    ticks: TickColumns,
    first: int,
    stop: int,
    cancels: int,
    until_fill: bool = False,
) -> int:
    """Match ticks `first` to `stop` (not included); the next tick to match: less than `stop` when
    the log is nearly full. A tick that touches no order costs a few comparisons. `cancels`: how
    canceled orders ahead of us count (a rule of `queue_position.py`). `until_fill`: the run ends
    with the first moment at which an order is filled, too.
    """
    state = group.state[0]
    quote, trade = -1, -1  # the last ones that were passed over
    for i in range(first, stop):
        if ticks.at[i] < state["next_time"] and _is_untouched(state, ticks, i):
            if ticks.kind[i] == QUOTE:
                quote = i
            elif ticks.sets[i] == 1:
                trade = i
            continue
        _remember(group, ticks, quote, trade)
        quote, trade = -1, -1
        if len(group.log) - state["log_rows"] < room_needed(group, ticks.at[i]):
            return i
        rows = state["log_rows"]
        pass_time(group, ticks.at[i])
        if until_fill and _has_fill(group, rows):
            return i
        state["tick_at"] = ticks.at[i]
        state["halted"] = ticks.halted[i]
        if ticks.kind[i] == QUOTE:
            _match_quote(group, ticks, i, cancels)
        else:
            _match_trade(group, ticks, i)
        _arrivals(group, ticks.at[i])
        refresh(group)
        state["at_best"] = _is_at_best(group)
        if until_fill and _has_fill(group, rows):
            return i + 1
    _remember(group, ticks, quote, trade)
    return stop


@kernel_without_allocation
def _has_fill(group: SymbolOrders, first: int) -> bool:
    """Whether the log has an execution from row `first` on."""
    for row in range(first, group.state[0]["log_rows"]):
        if group.log[row]["event"] in (E_FILLED, E_PARTIALLY_FILLED):
            return True
    return False


@inlined_kernel
def _is_untouched(state: Record, ticks: TickColumns, i: int) -> bool:
    """Whether a tick changes nothing but the market: no order is there, or it lies between all
    levels and none of ours is at the best price.
    """
    if state["active_count"] == 0:
        return True
    if state["at_best"] == 1 or ticks.halted[i] != 0 or state["halted"] != 0:
        return False
    if ticks.kind[i] == QUOTE:
        return bool(ticks.bid[i] > state["lower"] and ticks.ask[i] < state["upper"])
    if ticks.auction[i] != NO_AUCTION:
        return False
    return bool(ticks.sets[i] == 0 or state["lower"] < ticks.price[i] < state["upper"])


@kernel_without_allocation
def _is_at_best(group: SymbolOrders) -> bool:
    """Whether a limit of ours was at the best price, so that every quote moves its queue."""
    for k in range(group.state[0]["active_count"]):
        order = group.orders[group.active[k]]
        if works(order) and is_limit(order) and not np.isnan(order["queue_quoted"]):
            return True
    return False


@kernel_without_allocation
def pass_time(group: SymbolOrders, until: int) -> None:
    """What time does up to and including `until`, one moment after the other: orders that arrive
    meet the quote that stands.
    """
    state = group.state[0]
    while state["next_time"] <= until:
        moment = state["next_time"]
        advance(group, moment)
        _arrivals(group, moment)
        refresh(group)
        state["at_best"] = _is_at_best(group)


@kernel_without_allocation
def forget_quote(group: SymbolOrders) -> None:
    """No quote stands any more: bars follow, which know no quotes."""
    state = group.state[0]
    state["bid"] = state["ask"] = state["last"] = np.nan


@kernel_without_allocation
def _remember(group: SymbolOrders, ticks: TickColumns, quote: int, trade: int) -> None:
    """The market after a quote and a trade that were passed over (-1: none)."""
    state = group.state[0]
    if quote >= 0:
        _set_quote(state, ticks, quote)
    if trade >= 0:
        state["last"] = ticks.price[trade]
    last = max(quote, trade)
    if last >= 0:
        state["tick_at"] = ticks.at[last]
        state["halted"] = ticks.halted[last]


@kernel_without_allocation
def _set_quote(state: Record, ticks: TickColumns, i: int) -> None:
    bid, ask = ticks.bid[i], ticks.ask[i]
    state["bid"] = bid if bid > 0.0 else np.nan
    state["ask"] = ask if ask > 0.0 else np.nan
    state["bid_size"], state["ask_size"] = ticks.bid_size[i], ticks.ask_size[i]
    state["regular"], state["until"] = ticks.regular[i], ticks.until[i]


@kernel_without_allocation
def _offered(state: Record, side: int) -> float:
    """The price at which an order of `side` could trade at once. NaN: nobody is there, or the quote
    is crossed and tells nothing.
    """
    if state["bid"] > state["ask"]:
        return np.nan
    return float(state["ask"] if side > 0 else state["bid"])


@kernel_without_allocation
def _working_since(order: Record) -> int:
    """When the order began to work, as a child with the end of its parent."""
    return int(max(order["active_from"], order["activated_at"]))


@kernel_without_allocation
def _in_hours(order: Record, state: Record, now: int) -> bool:
    """Whether the order may trade at `now` with the last quote: in the hours of that quote."""
    return bool(now < state["until"] and (state["regular"] == 1 or order["extended"] == 1))


# --- taking ---------------------------------------------------------------------------------------


@kernel_without_allocation
def _arrivals(group: SymbolOrders, until: int) -> None:
    """Orders that began to work up to `until` meet the quote that stands."""
    state = group.state[0]
    again = True
    while again:
        again = False
        for k in range(state["active_count"]):
            row = group.active[k]
            order = group.orders[row]
            now = max(_working_since(order), state["tick_at"])
            if not works(order) or order["rested"] == 1 or now > until:
                continue
            if order["time_in_force"] in (OPG, CLS):
                order["rested"] = 1
                continue
            if not _in_hours(order, state, now):
                continue
            if state["halted"] == 1:
                if order["time_in_force"] in (IOC, FOK):
                    end(group, row, now, now, CANCELED, R_HALTED)
                    settle(group, now, now, AFTER, 0.0)
                continue
            if np.isnan(_offered(state, order["side"])):
                continue
            order["rested"] = 1
            again = True
            _arrive(group, row, now)


@kernel_without_allocation
def _arrive(group: SymbolOrders, row: int, now: int) -> None:
    order, state = group.orders[row], group.state[0]
    if is_stop(order):
        price = state["last"]
        if np.isnan(price):
            price = _offered(state, order["side"])
        follow(order, price)
        if (price - stop_level(group.rules[0], order)) * order["side"] >= 0.0:
            _trigger(group, row, now, price)
    elif order["post_only"] == 1 and _crosses(order, state):
        end(group, row, now, now, REJECTED, R_POST_ONLY)
        settle(group, now, now, AFTER, 0.0)
    else:
        _take(group, row, now)
        _join_queue(order, state)
    if works(order) and order["time_in_force"] in (IOC, FOK):
        why = order["obstacle"]
        if why == NO_REASON:
            why = R_FOK if order["time_in_force"] == FOK else R_IOC
        end(group, row, now, now, CANCELED, why)
        settle(group, now, now, AFTER, 0.0)


@kernel_without_allocation
def _crosses(order: Record, state: Record) -> bool:
    """Whether a limit would trade at once with the quote that stands."""
    price = _offered(state, order["side"])
    return bool(order["side"] * price <= order["side"] * order["limit_price"])


@kernel_without_allocation
def _join_queue(order: Record, state: Record) -> None:
    """What remains of a limit joins the queue at its price."""
    if not works(order) or not is_limit(order):
        return
    side = order["side"]
    best = state["bid"] if side > 0 else state["ask"]
    size = state["bid_size"] if side > 0 else state["ask_size"]
    place = queue_at_arrival(side, order["limit_price"], order["remaining"], best, size)
    order["queue_ahead"], order["queue_quoted"] = place.ahead, place.quoted


@kernel_without_allocation
def _take(group: SymbolOrders, row: int, now: int) -> None:
    """Fill what the quote allows of an order that crosses it."""
    order, state = group.orders[row], group.state[0]
    if not _in_hours(order, state, now):
        return
    side = order["side"]
    price = _offered(state, side)
    size = state["ask_size"] if side > 0 else state["bid_size"]
    if np.isnan(price) or (is_limit(order) and side * price > side * order["limit_price"]):
        return
    quantity = permitted_quantity(group, row, now, size, 0.0, True)
    if quantity > 0.0:
        if side > 0:
            state["ask_size"] -= quantity
        else:
            state["bid_size"] -= quantity
        fill(group, row, quantity, exact_price(group, row, price), price, False, now, now)
    elif order["obstacle"] == R_REDUCE_ONLY:
        end(group, row, now, now, CANCELED, R_REDUCE_ONLY)
    settle(group, now, now, AFTER, price)


@kernel_without_allocation
def _trigger(group: SymbolOrders, row: int, now: int, price: float) -> None:
    order, state = group.orders[row], group.state[0]
    order["triggered"] = 1
    left, status = order["remaining"], order["status"]
    record(group, row, now, now, E_TRIGGERED, status, left, price, NO_REASON)
    _take(group, row, now)
    if order["kind"] == STOP_LIMIT:
        _join_queue(order, state)


# --- ticks ----------------------------------------------------------------------------------------


@kernel_without_allocation
def _match_quote(group: SymbolOrders, ticks: TickColumns, i: int, cancels: int) -> None:
    """A new quote: rests of market orders take from it, limits move in their queues."""
    state, now = group.state[0], ticks.at[i]
    _set_quote(state, ticks, i)
    if state["halted"] == 1:
        return
    for k in range(state["active_count"]):
        row = group.active[k]
        order = group.orders[row]
        if not works(order) or order["rested"] == 0 or order["time_in_force"] in (OPG, CLS):
            continue
        if not _in_hours(order, state, now) or is_stop(order):
            continue
        if not is_limit(order):
            _take(group, row, now)
            continue
        side = order["side"]
        best = state["bid"] if side > 0 else state["ask"]
        size = state["bid_size"] if side > 0 else state["ask_size"]
        place = QueueState(order["queue_ahead"], order["remaining"], order["queue_quoted"])
        place = queue_after_quote(cancels, place, side, order["limit_price"], best, size)
        order["queue_ahead"], order["queue_quoted"] = place.ahead, place.quoted


@kernel_without_allocation
def _match_trade(group: SymbolOrders, ticks: TickColumns, i: int) -> None:
    """A trade: it fills limits by their place in the queue, then reaches stops. Ours share its
    size.
    """
    state, now = group.state[0], ticks.at[i]
    if ticks.auction[i] != NO_AUCTION and state["halted"] == 0:
        _match_auction(group, ticks, i)
    if ticks.sets[i] == 0 or state["halted"] == 1:
        return
    price, size = ticks.price[i], ticks.size[i]
    state["last"] = price
    state["bought"] = state["sold"] = 0.0
    count = state["active_count"]
    for k in range(count):
        row = group.active[k]
        order = group.orders[row]
        if (
            works(order)
            and is_limit(order)
            and order["rested"] == 1
            and order["time_in_force"] not in (OPG, CLS)
            and _working_since(order) < now
            and (ticks.regular[i] == 1 or order["extended"] == 1)
        ):
            _fill_in_queue(group, row, now, price, size, ticks.hit[i])
    for k in range(count):
        row = group.active[k]
        order = group.orders[row]
        if (
            works(order)
            and is_stop(order)
            and order["rested"] == 1
            and _working_since(order) < now
            and (ticks.regular[i] == 1 or order["extended"] == 1)
        ):
            if (price - stop_level(group.rules[0], order)) * order["side"] >= 0.0:
                _trigger(group, row, now, price)
            else:
                follow(order, price)


@kernel_without_allocation
def _fill_in_queue(
    group: SymbolOrders, row: int, now: int, price: float, size: float, hit: int
) -> None:
    order, state = group.orders[row], group.state[0]
    side, limit = order["side"], order["limit_price"]
    place = QueueState(order["queue_ahead"], order["remaining"], order["queue_quoted"])
    place, filled = queue_after_trade(place, side, limit, price, size, hit)
    order["queue_ahead"], order["queue_quoted"] = place.ahead, place.quoted
    if filled <= 0.0:
        return
    taken = state["bought"] if side > 0 else state["sold"]
    quantity = permitted_quantity(group, row, now, min(filled, size - taken), 0.0, True)
    if quantity > 0.0:
        if side > 0:
            state["bought"] += quantity
        else:
            state["sold"] += quantity
        fill(group, row, quantity, exact_price(group, row, limit), limit, True, now, now)
    elif order["obstacle"] == R_REDUCE_ONLY:
        end(group, row, now, now, CANCELED, R_REDUCE_ONLY)
    settle(group, now, now, AFTER, limit)


@kernel_without_allocation
def _match_auction(group: SymbolOrders, ticks: TickColumns, i: int) -> None:
    """An opening or closing print fills the orders that wait for it, at its price."""
    state, rules, now, price = group.state[0], group.rules[0], ticks.at[i], ticks.price[i]
    force = OPG if ticks.auction[i] == OPENING else CLS
    room = rules["max_participation"] * ticks.size[i]
    state["bought"] = state["sold"] = 0.0
    for k in range(state["active_count"]):
        row = group.active[k]
        order = group.orders[row]
        side = order["side"]
        if (
            not works(order)
            or order["time_in_force"] != force
            or order["active_from"] >= now
            or now < order["auction_at"]
            or (order["kind"] != MARKET and side * price > side * order["limit_price"])
        ):
            continue
        taken = state["bought"] if side > 0 else state["sold"]
        quantity = permitted_quantity(group, row, now, room, taken, True)
        if quantity > 0.0:
            if side > 0:
                state["bought"] += quantity
            else:
                state["sold"] += quantity
            fill(group, row, quantity, exact_price(group, row, price), price, False, now, now)
        settle(group, now, now, AFTER, price)
