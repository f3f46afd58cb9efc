"""How working orders meet one bar, and a fast walk over the bars that touch none.

A bar tells four prices and not their order. It is read as a path:

    open -> worst extreme -> other extreme -> close

The worst extreme is the low for a long position and the high for a short one, so that a stop comes
before a profit. Without a position it is the one against the bar: the low of a bar that closes at
or above its open, else the high (`BAR_DIRECTION` takes that one always).

At the open, market orders fill first, then stops that lie behind it, then limits: each at the open.
On the way, orders are met in the order of their prices, each at its own price. What begins to work
at the open (the bracket of an entry that filled there) meets the range but not the open, as on the
entry bar of `portfolio/exit_rules.py`. What begins to work inside the bar can be told nothing
certain: its stops meet the whole range, its limits the close alone. Market orders fill at opens.

A stop that is reached is a market order; what the bar cannot fill of it goes on at the next opens.
Costs, participation and chance are those of `costs.py` and `matching.py`; makers and auctions pay
their exact price.
"""

import numpy as np

from harmony_pipeline.execution.bar_columns import Bar, BarColumns
from harmony_pipeline.execution.order_fills import (
    exact_price,
    fill,
    participation,
    permitted_quantity,
    price_of_taker,
)
from harmony_pipeline.execution.order_groups import end, settle
from harmony_pipeline.execution.order_timing import advance, refresh, room_needed
from harmony_pipeline.execution.order_types import (
    CLS,
    FOK,
    IOC,
    MARKET,
    OPG,
    STOP_LIMIT,
    TRAILING_STOP,
)
from harmony_pipeline.execution.working_orders import (
    AFTER,
    AT_OPEN,
    BEFORE,
    CANCELED,
    E_TRIGGERED,
    EXPIRED,
    INSIDE,
    NO_REASON,
    NO_ROW,
    R_AUCTION,
    R_FOK,
    R_HALTED,
    R_IOC,
    R_LIMIT_BAND,
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
from harmony_pipeline.kernel import kernel_without_allocation
from harmony_pipeline.portfolio.kernel_types import Record

PESSIMISTIC, BAR_DIRECTION = 0, 1  # how the first extreme is chosen
TOUCH, THROUGH = 0, 1  # whether a resting limit fills at its price, or only when it is passed


@kernel_without_allocation
def bar_at(bars: BarColumns, i: int) -> Bar:
    """Bar number `i` of the columns."""
    return Bar(
        bars.at[i], bars.end[i], bars.open[i], bars.high[i], bars.low[i], bars.close[i],
        bars.volume[i], bars.regular[i], bars.halted[i], bars.lower_band[i], bars.upper_band[i],
    )  # fmt: skip


@kernel_without_allocation
def run_bars(
    group: SymbolOrders, bars: BarColumns, first: int, stop: int, path: int, resting: int
) -> int:
    """Match bars `first` to `stop` (not included); the next bar to match: less than `stop` when the
    log is nearly full. A bar that touches no order costs three comparisons.
    """
    state = group.state[0]
    lower, upper, moment = state["lower"], state["upper"], state["next_time"]
    for i in range(first, stop):
        if bars.high[i] < upper and bars.low[i] > lower and bars.end[i] < moment:
            continue
        if i > 0:
            state["halted"] = bars.halted[i - 1]
        if len(group.log) - state["log_rows"] < room_needed(group, bars.end[i]):
            return i
        match_bar(group, bar_at(bars, i), path, resting)
        lower, upper, moment = state["lower"], state["upper"], state["next_time"]
    return stop


@kernel_without_allocation
def match_bar(group: SymbolOrders, bar: Bar, path: int, resting: int) -> None:
    """One bar: what time did before it, the open, the path, the close, what time does by its
    end.
    """
    state = group.state[0]
    advance(group, bar.at)
    state["halted"] = bar.halted
    state["bought"] = state["sold"] = 0.0
    if bar.halted == 1:
        _give_up_immediate(group, bar, R_HALTED)
    else:
        _match_open(group, bar, resting)
        if _low_first(group, bar, path):
            _match_leg(group, bar, bar.open, bar.low, True, resting)
            _match_leg(group, bar, bar.low, bar.high, False, resting)
            _match_leg(group, bar, bar.high, bar.close, True, resting)
        else:
            _match_leg(group, bar, bar.open, bar.high, False, resting)
            _match_leg(group, bar, bar.high, bar.low, True, resting)
            _match_leg(group, bar, bar.low, bar.close, False, resting)
        _match_close(group, bar, resting)
        for k in range(state["active_count"]):
            order = group.orders[group.active[k]]
            if works(order) and _in_session(order, bar):
                order["rested"] = 1
    settle(group, bar.at, bar.end, AFTER, bar.close)
    advance(group, bar.end)
    refresh(group)


@kernel_without_allocation
def _low_first(group: SymbolOrders, bar: Bar, path: int) -> bool:
    position = group.state[0]["position"]
    if path == PESSIMISTIC and position != 0.0:
        return bool(position > 0.0)
    return bool(bar.close >= bar.open)


@kernel_without_allocation
def _in_session(order: Record, bar: Bar) -> bool:
    return bool(order["active_from"] <= bar.at and (bar.regular == 1 or order["extended"] == 1))


@kernel_without_allocation
def _eligible(order: Record, bar: Bar) -> bool:
    """Whether the order may meet this bar outside auctions."""
    return bool(
        works(order)
        and order["spent_at"] != bar.at
        and order["time_in_force"] != OPG
        and order["time_in_force"] != CLS
        and _in_session(order, bar)
    )


@kernel_without_allocation
def _activation(order: Record, at: int) -> int:
    return int(order["activation"] if order["activated_at"] == at else BEFORE)


@kernel_without_allocation
def _is_auction(order: Record, bar: Bar) -> bool:
    """Whether the order's auction opens (OPG) or closes (CLS) this bar."""
    if not (works(order) and bar.regular == 1 and order["active_from"] <= bar.at):
        return False
    if order["time_in_force"] == OPG:
        return bool(bar.at <= order["auction_at"] < bar.end)
    return bool(bar.at < order["auction_at"] <= bar.end)


@kernel_without_allocation
def _reaches(side: int, limit: float, price: float, passed: bool) -> bool:
    """Whether a limit order of `side` can trade at `price`; strictly better if it must be
    passed.
    """
    if side > 0:
        return price < limit if passed else price <= limit
    return price > limit if passed else price >= limit


# --- the open -------------------------------------------------------------------------------------


@kernel_without_allocation
def _match_open(group: SymbolOrders, bar: Bar, resting: int) -> None:
    at, price = bar.at, bar.open
    count = group.state[0]["active_count"]
    for k in range(count):  # market orders, and stops that were reached before
        row = group.active[k]
        order = group.orders[row]
        opening = order["time_in_force"] == OPG and _is_auction(order, bar)
        market = not is_stop(order) and not is_limit(order)
        if market and (opening or _eligible(order, bar)) and _activation(order, at) == BEFORE:
            _execute(group, bar, row, price, opening, AT_OPEN)
    for k in range(count):  # stops behind the open
        row = group.active[k]
        order = group.orders[row]
        if is_stop(order) and _eligible(order, bar) and _activation(order, at) == BEFORE:
            if order["watermark"] == 0.0:
                follow(order, price)
            level = stop_level(group.rules[0], order)
            if (price - level) * order["side"] >= 0.0:
                _trigger(group, bar, row, price, AT_OPEN)
            else:
                follow(order, price)
    for k in range(count):  # limits that the open reaches
        row = group.active[k]
        order = group.orders[row]
        opening = order["time_in_force"] == OPG and _is_auction(order, bar)
        maker = order["rested"] == 1 or opening
        passed = order["rested"] == 1 and resting == THROUGH
        takes = order["rested"] == 0 and order["post_only"] == 1
        if (
            is_limit(order)
            and (opening or _eligible(order, bar))
            and _activation(order, at) == BEFORE
            and _reaches(order["side"], order["limit_price"], price, passed)
        ):
            if takes:
                end(group, row, at, at, REJECTED, R_POST_ONLY)
            else:
                _execute(group, bar, row, price, maker, AT_OPEN)
    _give_up_immediate(group, bar, NO_REASON)


@kernel_without_allocation
def _give_up_immediate(group: SymbolOrders, bar: Bar, reason: int) -> None:
    """After the open, or in a halted bar: IOC and FOK orders that met it lose their rest, and OPG
    orders after their auction.
    """
    for k in range(group.state[0]["active_count"]):
        row = group.active[k]
        order = group.orders[row]
        if not works(order):
            continue
        force = order["time_in_force"]
        if force in (IOC, FOK) and _in_session(order, bar):
            why = reason if reason != NO_REASON else order["obstacle"]
            if why == NO_REASON:
                why = R_FOK if force == FOK else R_IOC
            end(group, row, bar.at, bar.at, CANCELED, why)
        elif force == OPG and _is_auction(order, bar):
            why = reason if reason != NO_REASON else R_AUCTION
            end(group, row, bar.at, bar.at, EXPIRED, why)
    settle(group, bar.at, bar.at, AT_OPEN, bar.open)


# --- the path -------------------------------------------------------------------------------------


@kernel_without_allocation
def _match_leg(
    group: SymbolOrders,
    bar: Bar,
    start: float,
    target: float,
    down: bool,
    resting: int,
) -> None:
    """Orders that the way from `start` to `target` reaches, the nearest first; at one price stops
    before limits, then in order of arrival.
    """
    while True:
        best, best_price, best_is_stop = NO_ROW, 0.0, False
        for k in range(group.state[0]["active_count"]):
            order = group.orders[group.active[k]]
            if not _eligible(order, bar) or _activation(order, bar.at) >= INSIDE:
                continue
            price = _price_on_leg(group, bar, group.active[k], start, target, down, resting)
            if np.isnan(price):
                continue
            stop = is_stop(order)
            nearer = price > best_price if down else price < best_price
            if best == NO_ROW or nearer or (price == best_price and stop and not best_is_stop):
                best, best_price, best_is_stop = group.active[k], price, stop
        if best == NO_ROW:
            break
        if best_is_stop:
            _trigger(group, bar, best, best_price, INSIDE)
        else:
            _execute(group, bar, best, best_price, True, INSIDE)
        _match_new_stops(group, bar)
    for k in range(group.state[0]["active_count"]):
        order = group.orders[group.active[k]]
        if _eligible(order, bar) and _activation(order, bar.at) < INSIDE:
            follow(order, target)


@kernel_without_allocation
def _price_on_leg(
    group: SymbolOrders,
    bar: Bar,
    row: int,
    start: float,
    target: float,
    down: bool,
    resting: int,
) -> float:
    """The price at which the order is met on a leg; NaN when it is not. A level on the wrong side
    of the open (a bracket placed by hand) is met at the open, not at a price that nobody quoted.
    """
    order = group.orders[row]
    side = order["side"]
    if is_stop(order):
        if (side < 0) != down:
            return np.nan
        level = stop_level(group.rules[0], order)
        if (target - level) * side < 0.0:
            return np.nan
        bound = start if order["kind"] == TRAILING_STOP else bar.open
        return float(min(level, bound) if down else max(level, bound))
    if not is_limit(order) or (side > 0) != down:
        return np.nan
    limit = order["limit_price"]
    if not _reaches(side, limit, target, resting == THROUGH):
        return np.nan
    return float(min(limit, bar.open) if down else max(limit, bar.open))


@kernel_without_allocation
def _match_new_stops(group: SymbolOrders, bar: Bar) -> None:
    """Stops that began to work inside the bar meet its whole range: the extreme may have come
    after.
    """
    at = bar.at
    again = True
    while again:
        again = False
        for k in range(group.state[0]["active_count"]):
            row = group.active[k]
            order = group.orders[row]
            if not _eligible(order, bar) or not is_stop(order) or _activation(order, at) != INSIDE:
                continue
            level = stop_level(group.rules[0], order)
            begun = order["activation_price"]
            if order["side"] < 0 and bar.low <= level:
                _trigger(group, bar, row, min(level, begun), INSIDE)
                again = True
            elif order["side"] > 0 and bar.high >= level:
                _trigger(group, bar, row, max(level, begun), INSIDE)
                again = True


@kernel_without_allocation
def _match_close(group: SymbolOrders, bar: Bar, resting: int) -> None:
    """Limits that began to work inside the bar meet its close, then the closing auction."""
    at, price = bar.at, bar.close
    count = group.state[0]["active_count"]
    for k in range(count):
        row = group.active[k]
        order = group.orders[row]
        if not _eligible(order, bar) or _activation(order, at) != INSIDE:
            continue
        follow(order, price)
        limit = order["limit_price"]
        if is_limit(order) and _reaches(order["side"], limit, price, resting == THROUGH):
            _execute(group, bar, row, limit, True, AFTER)
    for k in range(count):
        row = group.active[k]
        order = group.orders[row]
        if order["time_in_force"] != CLS or not _is_auction(order, bar):
            continue
        if order["kind"] == MARKET or _reaches(order["side"], order["limit_price"], price, False):
            _execute(group, bar, row, price, True, AFTER)
        if works(order):
            end(group, row, order["auction_at"], bar.end, EXPIRED, R_AUCTION)
            settle(group, bar.at, bar.end, AFTER, price)


# --- one order ------------------------------------------------------------------------------------


@kernel_without_allocation
def _trigger(group: SymbolOrders, bar: Bar, row: int, price: float, activation: int) -> None:
    """A stop is reached at `price`: a market order there, or a limit order from there on."""
    order = group.orders[row]
    at = bar.at
    order["triggered"], order["rested"] = 1, 0
    known_at = at if activation == AT_OPEN else bar.end
    record(
        group, row, at, known_at, E_TRIGGERED, order["status"], order["remaining"], price,
        NO_REASON,
    )  # fmt: skip
    if order["kind"] == STOP_LIMIT and not _reaches(
        order["side"], order["limit_price"], price, False
    ):
        order["activated_at"], order["activation"] = at, activation
        order["activation_price"] = price
        return
    _execute(group, bar, row, price, False, activation)


@kernel_without_allocation
def _execute(
    group: SymbolOrders,
    bar: Bar,
    row: int,
    reference: float,
    exact: bool,
    activation: int,
) -> None:
    """Fill what the bar allows of an order at `reference`: exactly there, or as a taker with its
    costs. The order can do no more in this bar.
    """
    order, state, rules = group.orders[row], group.state[0], group.rules[0]
    side, at = order["side"], bar.at
    order["spent_at"] = at
    if (side > 0 and reference >= bar.upper_band) or (side < 0 and reference <= bar.lower_band):
        order["obstacle"] = R_LIMIT_BAND
        return
    volume, binds = participation(rules, bar.volume)
    taken = state["bought"] if side > 0 else state["sold"]
    quantity = permitted_quantity(group, row, at, volume, taken, binds)
    known_at = at if activation == AT_OPEN else bar.end
    if quantity > 0.0:
        price = (
            exact_price(group, row, reference)
            if exact
            else price_of_taker(group, row, reference, quantity, bar.volume)
        )
        price = min(price, bar.upper_band) if side > 0 else max(price, bar.lower_band)
        if side > 0:
            state["bought"] += quantity
        else:
            state["sold"] += quantity
        maker = exact and order["time_in_force"] < OPG
        fill(group, row, quantity, price, reference, maker, at, known_at)
    elif order["obstacle"] == R_REDUCE_ONLY:
        end(group, row, at, known_at, CANCELED, R_REDUCE_ONLY)
    settle(group, at, known_at, activation, reference)
