"""Prices on an instrument's tick, and quantities on its lot.

The one place where either is rounded.

A tick is a fraction of whole numbers (0.00001 is 1/100000, 2.5 is 5/2), so a price on the tick is k
* numerator / denominator with a whole k: the double nearest to the decimal number that the venue
quotes, for ticks from 1e-8 to 100 and prices from 1e-7 to 1e6. Below `small_tick_below` a smaller
tick may hold (US equities below 1.00: SEC Rule 612); 0 there means one tick at all prices.

Ticks and lots are counted in doubles: a bar of a coin below a cent may hold 10^21 lots of 1e-8,
more than 64-bit integers do (`math.floor` compiled gives one).

`rules` is any record with the fields of TICK_FIELDS: a TICK record, or the RULES record of a
symbol.
"""

import math
from typing import Any

import numpy as np

from harmony_pipeline.kernel import kernel_without_allocation

TICK_FIELDS = [
    ("tick_numerator", "f8"), ("tick_denominator", "f8"), ("small_tick_numerator", "f8"),
    ("small_tick_denominator", "f8"), ("small_tick_below", "f8"),
]  # fmt: skip
TICK = np.dtype(TICK_FIELDS, align=True)
"""How the prices of one instrument are rounded. Without a smaller tick, the small fields repeat the
tick.
"""

Record = Any  # one element of a structured array: a view that kernels read by field name
_ON_GRID = 1e-6  # of a tick: 10.07 * 100 is 1007.0000000000001, which is on the tick all the same
_LOT_ERROR = 1e-9  # of a lot: what sums of floats may have lost
# relative, after two or three operations; it matters from 10^9 ticks or 10^6 lots on
_DOUBLE_ERROR = 4e-16


@kernel_without_allocation
def tick_at(rules: Record, price: float) -> tuple[float, float]:
    """(numerator, denominator) of the tick that holds at `price`."""
    if price >= rules["small_tick_below"]:
        return rules["tick_numerator"], rules["tick_denominator"]
    return rules["small_tick_numerator"], rules["small_tick_denominator"]


@kernel_without_allocation
def least_price(rules: Record) -> float:
    """The lowest price that exists: one tick."""
    return float(rules["small_tick_numerator"] / rules["small_tick_denominator"])


@kernel_without_allocation
def is_near(rules: Record, distance: float) -> bool:
    """Whether a distance of prices is less than four ticks, at high prices or at low ones."""
    return bool(
        distance * rules["tick_denominator"] < 4.0 * rules["tick_numerator"]
        or distance * rules["small_tick_denominator"] < 4.0 * rules["small_tick_numerator"]
    )


@kernel_without_allocation
def round_to_tick(rules: Record, price: float) -> float:
    """The nearest price on the tick, halves up."""
    numerator, denominator = tick_at(rules, price)
    if numerator == 1.0:  # the same bits without two of three divisions
        return float(np.floor(price * denominator + 0.5) / denominator)
    return float(np.floor(price * denominator / numerator + 0.5) * numerator / denominator)


@kernel_without_allocation
def tick_up(rules: Record, price: float) -> float:
    """The lowest price on the tick that is not below `price`: what a buyer pays."""
    numerator, denominator = tick_at(rules, price)
    ticks = price * denominator / numerator
    whole = np.ceil(ticks - max(_ON_GRID, ticks * _DOUBLE_ERROR)) + 0.0  # no zero with a sign
    return float(whole * numerator / denominator)


@kernel_without_allocation
def tick_down(rules: Record, price: float) -> float:
    """The highest price on the tick that is not above `price`: what a seller gets.

    0 below one tick.
    """
    numerator, denominator = tick_at(rules, price)
    ticks = price * denominator / numerator
    return float(np.floor(ticks + max(_ON_GRID, ticks * _DOUBLE_ERROR)) * numerator / denominator)


@kernel_without_allocation
def one_tick_above(rules: Record, price: float) -> float:
    """The lowest price on the tick that is at least one tick above `price`."""
    numerator, denominator = tick_at(rules, price)
    above = tick_up(rules, price) * denominator / numerator + 1.0
    return tick_up(rules, np.rint(above) * numerator / denominator)


@kernel_without_allocation
def one_tick_below(rules: Record, price: float) -> float:
    """The highest price on the tick that is at least one tick below `price`.

    0 or less where there is none.
    """
    border = rules["small_tick_below"]
    numerator, denominator = tick_at(rules, price)
    below = (
        np.rint(tick_down(rules, price) * denominator / numerator - 1.0) * numerator / denominator
    )
    if below >= border or price < border:
        return float(below)
    # The step crosses into the range of the smaller tick: it is the smaller one, but not above the
    # border.
    numerator, denominator = rules["small_tick_numerator"], rules["small_tick_denominator"]
    ticks = price * denominator / numerator
    return float(
        min(
            border,
            (np.floor(ticks + max(_ON_GRID, ticks * _DOUBLE_ERROR)) - 1.0)
            * numerator
            / denominator,
        )
    )


@kernel_without_allocation
def lots_to_quantity(lots: float, lot_size: float) -> float:
    """The quantity of so many lots: the double nearest to the decimal number, for decimal lots."""
    if lot_size < 1.0:
        lots_a_unit = np.rint(1.0 / lot_size)
        if lots_a_unit * lot_size == 1.0:
            return float(lots / lots_a_unit)
    return lots * lot_size


@kernel_without_allocation
def floor_to_lot(quantity: float, lot_size: float) -> float:
    """The largest whole number of lots in `quantity`, with a tolerance for float error."""
    lots = quantity / lot_size
    return float(lots_to_quantity(np.floor(lots + max(_LOT_ERROR, lots * _DOUBLE_ERROR)), lot_size))


@kernel_without_allocation
def whole_unit(lot_size: float) -> float:
    """The unit that stays whole in a split: a share, also in lots of 100, or the lot of a divisible
    unit.
    """
    return float(min(lot_size, 1.0))


@kernel_without_allocation
def snap_to_lot(quantity: float, lot_size: float) -> float:
    """`quantity` without float error if it is a whole number of lots.

    Otherwise it stays as it is (held since the lot was smaller).
    """
    lots = quantity / lot_size
    whole = np.rint(lots)
    if math.fabs(lots - whole) > max(1e-6, math.fabs(lots) * _DOUBLE_ERROR):
        return quantity
    return float(lots_to_quantity(whole, lot_size))
