"""What a split or a dividend does to the working orders of its symbol."""

import numpy as np

from harmony_pipeline.execution.order_groups import end, settle
from harmony_pipeline.execution.order_timing import refresh
from harmony_pipeline.execution.working_orders import (
    BEFORE,
    CANCELED,
    E_ADJUSTED,
    FILLED,
    R_DIVIDEND,
    R_SPLIT,
    SymbolOrders,
    record,
)
from harmony_pipeline.kernel import kernel_without_allocation
from harmony_pipeline.market.price_grid import (
    floor_to_lot,
    least_price,
    round_to_tick,
    tick_down,
    whole_unit,
)
from harmony_pipeline.portfolio.kernel_types import Record


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
def lower_orders(group: SymbolOrders, value: float, at: int) -> None:
    """A dividend of `value` a share: limits of purchases and stops of sales are lowered by it, to
    the tick below, so that the fall of the price alone does not fill them; other orders stay (FINRA
    Rule 5330, orders that are not marked "do not reduce").
    """
    state, rules = group.state[0], group.rules[0]
    for k in range(state["active_count"]):
        row = group.active[k]
        order = group.orders[row]
        if order["status"] >= FILLED:
            continue
        buys, before = order["side"] > 0, order["limit_price"] + order["stop_price"]
        if buys and order["limit_price"] > 0.0 and order["stop_price"] == 0.0:
            order["limit_price"] = _lowered(rules, order["limit_price"], value)
        elif not buys and order["stop_price"] > 0.0:
            order["stop_price"] = _lowered(rules, order["stop_price"], value)
            if order["limit_price"] > 0.0:
                order["limit_price"] = _lowered(rules, order["limit_price"], value)
        if order["limit_price"] + order["stop_price"] != before:
            status, price = order["status"], max(order["limit_price"], order["stop_price"])
            record(group, row, at, at, E_ADJUSTED, status, order["quantity"], price, R_DIVIDEND)
    refresh(group)


@kernel_without_allocation
def _lowered(rules: Record, price: float, value: float) -> float:
    return max(tick_down(rules, price - value), least_price(rules))


@kernel_without_allocation
def _split_price(rules: Record, price: float, ratio: float) -> float:
    if price <= 0.0:
        return 0.0
    return max(round_to_tick(rules, price / ratio), least_price(rules))
