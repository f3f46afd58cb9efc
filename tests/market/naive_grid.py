"""Prices on the tick of US equities in decimal arithmetic, without a line of the library's."""

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

CENT, HUNDREDTH, ONE = Decimal("0.01"), Decimal("0.0001"), Decimal(1)


def step(price):
    return CENT if price >= ONE else HUNDREDTH


def valid(price, rounding):
    """The next valid price in one direction; at 1.00 both steps agree."""
    return (price / step(price)).to_integral_value(rounding) * step(price)


def nearest(price):
    """Halves up, in the float arithmetic that a tie needs."""
    return (
        math.floor(price * 100 + 0.5) / 100
        if price >= 1
        else math.floor(price * 10000 + 0.5) / 10000
    )


def barriers(entry, up, down):
    """(upper, lower): the nearest valid prices to `up` and `down`, but each at least one tick from
    the entry; lower 0 where there is none.
    """
    exact = Decimal(repr(entry))
    above = valid(valid(exact, ROUND_CEILING) + step(exact), ROUND_CEILING)
    below = valid(exact, ROUND_FLOOR) - step(exact)
    if exact >= ONE > below:
        below = min(ONE, (exact / HUNDREDTH).to_integral_value(ROUND_FLOOR) * HUNDREDTH - HUNDREDTH)
    lower = min(max(nearest(down), 0.0001), float(below))
    return max(nearest(up), float(above)), lower if lower >= 0.0001 else 0.0
