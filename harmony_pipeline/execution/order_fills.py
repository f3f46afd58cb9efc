"""How much of an order fills, at which price, and what a fill changes: the order, the position and
the other orders of its OCO group.
"""

import numpy as np

from harmony_pipeline.execution.costs import against_us, fee, participation_binds, taker_price
from harmony_pipeline.execution.order_types import FOK
from harmony_pipeline.execution.random_draws import FRACTION_DRAW, PARTIAL_DRAW, uniform
from harmony_pipeline.execution.working_orders import (
    E_ADJUSTED,
    E_FILLED,
    E_PARTIALLY_FILLED,
    FILLED,
    NO_REASON,
    NO_ROW,
    PARTIALLY_FILLED,
    R_CHANCE,
    R_FOK,
    R_MAX_PARTICIPATION,
    R_NO_VOLUME,
    R_OCO,
    R_REDUCE_ONLY,
    SUBMITTED,
    SymbolOrders,
    is_limit,
    record,
)
from harmony_pipeline.kernel import kernel_without_allocation
from harmony_pipeline.market.price_grid import floor_to_lot, snap_to_lot
from harmony_pipeline.portfolio.kernel_types import Record


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
def participation(rules: Record, volume: float) -> tuple[float, bool]:
    """(shares of a bar that one side may take, whether that binds)."""
    volume = volume if volume > 0.0 else 0.0
    return float(rules["max_participation"] * volume), participation_binds(rules, volume)


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
def exact_price(group: SymbolOrders, row: int, reference: float) -> float:
    """The price of a maker or of an auction: the reference, on the tick against us."""
    return float(against_us(group.rules[0], group.orders[row]["side"], reference))


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
