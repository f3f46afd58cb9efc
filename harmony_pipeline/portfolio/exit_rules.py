"""The scalar rules that decide when a trade ends and at which price: labels, backtest and session
share these functions.

A barrier is set once, at the entry, on the tick; from the entry bar on every regular bar asks
`exit_at_bar`. What the label says happened is then, bit for bit, what the simulator and the live
brackets do. Inside a bar only the order "the open comes first" is known, so when both barriers lie
inside one bar the stop wins: the assumption that flatters least.

Prices are raw. A level set at the entry moves with splits and dividends by `level_now`, whose
arithmetic, level * (entry_factor / factor), is the exact one everywhere: between equal factors it
is the level itself, to the last bit.

Triple barriers: Lopez de Prado, Advances in Financial Machine Learning (2018), ch. 3.4.
"""

import math

import numpy as np
from numpy.typing import NDArray

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.kernel import inlined_kernel, kernel_without_allocation
from harmony_pipeline.market.price_grid import (
    Record,
    is_near,
    least_price,
    one_tick_above,
    one_tick_below,
    round_to_tick,
)

NOTHING, STOP, TAKE = 0, 1, 2  # kinds of `exit_at_bar`


@kernel_without_allocation
def barrier_distance(
    volatility: float, horizon: int, multiple: float, minimum_barrier_bps: float
) -> float:
    """Distance of a barrier as a fraction of the entry price: multiple * volatility *
    sqrt(horizon), with a floor.

    `volatility` is the sample deviation of one bar's log return, known at the signal; `horizon`
    counts bars.
    """
    return max(multiple * volatility * math.sqrt(horizon), minimum_barrier_bps / 1e4)


@kernel_without_allocation
def barrier_levels(
    rules: Record,
    side: int,
    entry_price: float,
    volatility: float,
    horizon: int,
    profit_take: float,
    stop_loss: float,
    minimum_barrier_bps: float,
) -> tuple[float, float]:
    """(upper, lower) raw prices on the tick around a raw entry price, before costs. Long: upper is
    the profit; short: lower is.

    Each is at least one tick from the entry, and lower is never under the lowest price there is,
    one tick: a barrier far below zero is watched there. Only an entry below two ticks has no price
    a tick below it; lower is then 0, which nothing reaches.
    """
    profit = barrier_distance(volatility, horizon, profit_take, minimum_barrier_bps)
    loss = barrier_distance(volatility, horizon, stop_loss, minimum_barrier_bps)
    above, below = (profit, loss) if side > 0 else (loss, profit)
    # The nearest price beyond the entry, and the lowest price of all, are less than two ticks away:
    # mostly they need not be known.
    upper = round_to_tick(rules, entry_price * (1.0 + above))
    if is_near(rules, upper - entry_price):
        upper = max(upper, one_tick_above(rules, entry_price))
    lower = entry_price * (1.0 - below)
    if not is_near(rules, lower):
        lower = round_to_tick(rules, lower)
        if is_near(rules, entry_price - lower):
            lower = min(lower, one_tick_below(rules, entry_price))
        if not is_near(rules, lower):
            return upper, lower
    else:
        lower = round_to_tick(rules, max(lower, least_price(rules)))
        lower = min(lower, one_tick_below(rules, entry_price))
    return upper, lower if lower >= least_price(rules) else 0.0


@kernel_without_allocation
def barrier_levels_of_many(
    rules: Record,
    sides: NDArray[np.int8],
    entry_prices: FloatArray,
    volatilities: FloatArray,
    horizon: int,
    profit_take: float,
    stop_loss: float,
    minimum_barrier_bps: float,
    upper: FloatArray,
    lower: FloatArray,
) -> None:
    """Write `barrier_levels` of several trades of one instrument, to the last bit; nan where the
    entry price is.

    The same sums without a branch, which the compiler does for eight trades at once. They hold
    where no level is near another one or near the border of a smaller tick; where one of the
    trades has such a level, all are done one by one.
    """
    numerator, denominator = rules["tick_numerator"], rules["tick_denominator"]
    small, small_denominator = rules["small_tick_numerator"], rules["small_tick_denominator"]
    border = rules["small_tick_below"]
    root, least = math.sqrt(horizon), minimum_barrier_bps / 1e4
    unusual = 0
    for trade in range(sides.size):
        price, volatility = entry_prices[trade], volatilities[trade]
        profit = max(profit_take * volatility * root, least)
        loss = max(stop_loss * volatility * root, least)
        above, below = (profit, loss) if sides[trade] > 0 else (loss, profit)
        over, under = price * (1.0 + above), price * (1.0 - below)
        high = np.floor(over * denominator + 0.5) / denominator
        low = np.floor(under * denominator + 0.5) / denominator
        upper[trade], lower[trade] = high, low
        gap = min(high - price, price - low, under, low)
        near = (gap * denominator < 4.0 * numerator) | (gap * small_denominator < 4.0 * small)
        unusual += near | (under < border)
    if unusual > 0 or numerator != 1.0:
        for trade in range(sides.size):
            if not np.isnan(entry_prices[trade]):
                upper[trade], lower[trade] = barrier_levels(
                    rules, sides[trade], entry_prices[trade], volatilities[trade], horizon,
                    profit_take, stop_loss, minimum_barrier_bps,
                )  # fmt: skip


@kernel_without_allocation
def level_now(level: float, entry_factor: float, factor: float) -> float:
    """A raw price level of the entry bar in the raw prices of a later bar; factors are forward
    cumulative.
    """
    return level if factor == entry_factor else level * (entry_factor / factor)


@kernel_without_allocation
def exit_at_bar(
    side: int,
    open_price: float,
    high: float,
    low: float,
    stop_now: float,
    take_now: float,
    is_entry_bar: bool,
) -> tuple[int, float]:
    """(kind, reference price) of what one bar does to a position; kind is NOTHING, STOP or TAKE.

    In this order: the open beyond the stop (filled at the open), the open beyond the profit (at the
    open), the stop inside the bar (at the stop), the profit inside the bar (at the profit). On the
    entry bar the open *is* the entry and settles nothing; a level on the wrong side of it (a
    bracket placed by hand) fills at that open, not at a price nobody quoted.
    """
    if side > 0:
        if not is_entry_bar:
            if open_price <= stop_now:
                return STOP, open_price
            if open_price >= take_now:
                return TAKE, open_price
        if low <= stop_now:
            return STOP, min(stop_now, open_price)
        if high >= take_now:
            return TAKE, max(take_now, open_price)
    else:
        if not is_entry_bar:
            if open_price >= stop_now:
                return STOP, open_price
            if open_price <= take_now:
                return TAKE, open_price
        if high >= stop_now:
            return STOP, max(stop_now, open_price)
        if low <= take_now:
            return TAKE, min(take_now, open_price)
    return NOTHING, 0.0


@inlined_kernel
def exit_by_choice(
    side: int,
    open_price: float,
    high: float,
    low: float,
    stop_now: float,
    take_now: float,
    is_entry_bar: bool,
) -> tuple[int, float]:
    """`exit_at_bar`, to the last bit, without a branch: for many trades one after the other, whose
    exits cannot be foreseen. A short is a long in negative prices.
    """
    long = side > 0
    opened, stop, take = (
        (open_price, stop_now, take_now) if long else (-open_price, -stop_now, -take_now)
    )
    bottom, top = (low, high) if long else (-high, -low)
    gaps = not is_entry_bar
    stopped = gaps & (opened <= stop)
    taken = gaps & (opened >= take) & (not stopped)
    stopped |= (bottom <= stop) & (not taken)
    taken |= (top >= take) & (not stopped)
    price = min(stop, opened) if stopped else max(take, opened)
    price = price if long else -price
    return (STOP if stopped else TAKE if taken else NOTHING), price if stopped | taken else 0.0


@kernel_without_allocation
def exit_at_close(side: int, close: float, stop_now: float, take_now: float) -> int:
    """What the close of a bar does to a position whose barriers only closes touch: NOTHING, STOP or
    TAKE. The exit fills at the next open.
    """
    if side > 0:
        if close <= stop_now:
            return STOP
        return TAKE if close >= take_now else NOTHING
    if close >= stop_now:
        return STOP
    return TAKE if close <= take_now else NOTHING


@kernel_without_allocation
def trade_return(
    side: int, entry_price: float, entry_factor: float, exit_price: float, exit_factor: float
) -> float:
    """Return of a round trip in the direction of `side`, before costs, dividends reinvested: raw
    prices made comparable by their factors.
    """
    return side * (exit_price * exit_factor / (entry_price * entry_factor) - 1.0)
