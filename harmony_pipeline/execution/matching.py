"""How one working order meets one bar: how much of it fills, at which price, at what cost; and the
report of it.

Never more than max_participation of the bar's volume on one side where volume binds, never a better
price than the bar offered, every price on the tick, and chance only by key. Market orders meet the
bar at its open; the legs of a bracket meet its open, high and low by
`portfolio.exit_rules.exit_at_bar`. A market order needs time to arrive, where the rules say so; the
legs wait at the exchange from the entry's fill on.
"""

import math

import numpy as np

from harmony_pipeline.execution.costs import against_us, fee, participation_binds, taker_price
from harmony_pipeline.execution.random_draws import (
    FRACTION_DRAW,
    LATE_BAR_DRAW,
    OF_THE_BAR,
    PARTIAL_DRAW,
    REJECTED_DRAW,
    uniform,
)
from harmony_pipeline.kernel import inlined_kernel, kernel_without_allocation
from harmony_pipeline.market.price_grid import floor_to_lot, snap_to_lot
from harmony_pipeline.portfolio.kernel_types import (
    FILL,
    MAX_PARTICIPATION,
    NO_REASON,
    NO_VOLUME,
    NONE,
    Record,
    Records,
)


@kernel_without_allocation
def is_rejected(rules: Record, key: np.uint64, order: Record) -> bool:
    """Whether chance rejects an order as it is submitted; drawn by the decision's time."""
    chance = rules["reject_probability"]
    return bool(
        chance > 0.0
        and uniform(rules["seed"], key, order["decided_at"], order["role"], REJECTED_DRAW) < chance
    )


@kernel_without_allocation
def has_arrived(rules: Record, key: np.uint64, order: Record, bar: Record) -> bool:
    """Whether a market order has reached the exchange by the open of `bar`; a bar that it misses is
    counted in its `waited`.

    It arrives `latency_us` after its decision, or its release from the queue, and then misses
    `latency_bars` bars. Where chance makes the bar late on which it was decided, it misses
    `late_bars` more; the draw is keyed by symbol and decision time alone, so that an exit and the
    entry of a reversal stay together.
    """
    if max(order["decided_at"], order["release_at"]) + rules["latency_us"] > bar["at"]:
        return False
    misses = rules["latency_bars"]
    chance = rules["late_bar_probability"]
    if (
        chance > 0.0
        and uniform(rules["seed"], key, order["decided_at"], OF_THE_BAR, LATE_BAR_DRAW) < chance
    ):
        misses += rules["late_bars"]
    if order["waited"] < misses:
        order["waited"] += 1
        return False
    return True


@kernel_without_allocation
def fillable(rules: Record, key: np.uint64, order: Record, bar: Record, taken: float) -> float:
    """Shares of `order` that `bar` fills: what remains, capped by participation, cut by chance
    (drawn by the bar's time); whole lots.

    `taken`: shares that other orders on the same side have taken from this bar already; all share
    one allowance.
    """
    lot = rules["lot_size"]
    quantity: float = (
        min(order["remaining"], _allowance(rules, bar["volume"], taken))
        if participation_binds(rules, bar["volume"])
        else order["remaining"]
    )
    chance = rules["partial_fill_probability"]
    if (
        chance > 0.0
        and uniform(rules["seed"], key, bar["at"], order["role"], PARTIAL_DRAW) < chance
    ):
        quantity = floor_to_lot(
            quantity * uniform(rules["seed"], key, bar["at"], order["role"], FRACTION_DRAW), lot
        )
    return quantity


@inlined_kernel
def taken_by_others(bar: Record, side: int) -> float:
    """Shares that other strategies of the account have taken from this side of the bar."""
    return float(bar["bought"] if side > 0 else bar["sold"])


@kernel_without_allocation
def _allowance(rules: Record, volume: float, taken: float) -> float:
    """What one side may take of a bar of `volume` in whole lots, beyond what it has taken."""
    traded = volume if volume > 0.0 else 0.0
    return floor_to_lot(max(rules["max_participation"] * traded - taken, 0.0), rules["lot_size"])


@inlined_kernel
def fills_whole(rules: Record, quantity: float, volume: float) -> bool:
    """Whether a bar of `volume` fills an order of `quantity` > 0 whole, where nobody else has taken
    from it and chance cuts nothing.
    """
    return not participation_binds(rules, volume) or quantity <= _allowance(rules, volume, 0.0)


@kernel_without_allocation
def why_unfilled(rules: Record, bar: Record, taken: float) -> int:
    """Why `bar` fills nothing of an order: it had no volume, or participation leaves less than a
    lot; NO_REASON when only chance can be to blame.
    """
    if not participation_binds(rules, bar["volume"]):
        return NO_REASON
    if not bar["volume"] > 0.0:
        return NO_VOLUME
    return MAX_PARTICIPATION if _allowance(rules, bar["volume"], taken) <= 0.0 else NO_REASON


@kernel_without_allocation
def fill_order(
    rules: Record,
    order: Record,
    bar: Record,
    quantity: float,
    reference: float,
    maker: bool,
    reports: Records,
    n: int,
) -> int:
    """`write_fill` of an order at work, which is done once nothing remains; returns the new n."""
    report = reports[n]
    write_fill(rules, order, bar, quantity, reference, maker, report)
    if order["remaining"] <= 0.0:
        order["status"] = NONE
    _address(report, order, bar["at"])
    return n + 1


@kernel_without_allocation
def write_fill(
    rules: Record,
    order: Record,
    bar: Record,
    quantity: float,
    reference: float,
    maker: bool,
    report: Record,
) -> None:
    """Fill `quantity` > 0 shares of `order` at `reference` before costs: write the report, reduce
    what remains. A taker pays the impact of what other strategies took before it, too.
    """
    if maker:  # a level that a dividend moved off the tick is filled at the next tick against us
        price = against_us(rules, order["side"], reference)
    else:
        price = taker_price(
            rules, order["side"], reference, order["volatility"],
            quantity + taken_by_others(bar, order["side"]), bar["volume"], bar["half_spread_bps"],
        )  # fmt: skip
    order["remaining"] = snap_to_lot(order["remaining"] - quantity, rules["lot_size"])
    order["fills"] += 1
    report["kind"] = FILL
    report["quantity"] = quantity
    report["price"] = price
    report["reference"] = reference
    report["slippage"] = math.fabs(price - reference)
    report["fee"] = fee(rules, order["side"], price, quantity, maker)
    report["maker"] = 1 if maker else 0
    report["factor"] = bar["factor"]
    report["number"] = order["fills"]
    report["reason"] = NO_REASON


@kernel_without_allocation
def close_order(order: Record, kind: int, at: int, reports: Records, n: int, reason: int) -> int:
    """Stop working an order and say so; nothing filled in this report. `reason` is kept when
    nothing of it ever filled.
    """
    order["status"] = NONE
    report = reports[n]
    report["kind"] = kind
    report["quantity"] = 0.0
    report["number"] = order["fills"]
    report["reason"] = reason if order["fills"] == 0 else NO_REASON
    _address(report, order, at)
    return n + 1


@kernel_without_allocation
def _address(report: Record, order: Record, at: int) -> None:
    report["symbol"] = order["symbol"]
    report["role"] = order["role"]
    report["side"] = order["side"]
    report["at"] = at
    report["decided_at"] = order["decided_at"]
    report["ticket"] = order["ticket"]
    report["closed"] = 1 if order["status"] == NONE else 0
