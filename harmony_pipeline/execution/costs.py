"""What a trade costs: half the spread, market impact, fees; on the instrument's tick and in whole
fee units.

A price we take is never better than its reference, and money is exact: cash is int64 in 1/10000 of
the currency, so that sums of any order agree. Impact follows the square-root law,
impact_coefficient * bar volatility * sqrt(quantity / bar volume) (Almgren, Thum, Hauptmann and Li,
"Direct estimation of equity market impact", Risk 2005; Grinold and Kahn, Active Portfolio
Management, ch. 16). A resting order that is reached (take-profit) pays neither spread nor impact.
Where volume does not bind (a market without common volume such as FX, a bar without volume that
fills by `zero_volume`), impact is that of an order of max_participation: the most that any order
may be of a bar elsewhere. The spread is in basis points of the reference (`half_spread_bps`), or in
currency (`half_spread_price`) where it is quoted in pips.
"""

import math

import numpy as np

from harmony_pipeline.kernel import kernel_without_allocation
from harmony_pipeline.market.price_grid import least_price, tick_down, tick_up
from harmony_pipeline.portfolio.kernel_types import MONEY, Record


@kernel_without_allocation
def against_us(rules: Record, side: int, price: float) -> float:
    """`price` on the tick: up for a buyer, down for a seller; nothing is sold for nothing."""
    return tick_up(rules, price) if side > 0 else max(tick_down(rules, price), least_price(rules))


@kernel_without_allocation
def participation_binds(rules: Record, volume: float) -> bool:
    """Whether an order is limited by, and moves the price by, its part of the bar's volume."""
    if volume > 0.0:
        return bool(rules["volume_binds"] == 1)
    return bool(rules["zero_volume_fills"] == 0)


@kernel_without_allocation
def taker_price(
    rules: Record,
    side: int,
    reference: float,
    volatility: float,
    quantity: float,
    volume: float,
    half_spread_bps: float = 0.0,
) -> float:
    """The price of an order that takes liquidity: `reference` moved against us by half the spread
    and the impact, then to the tick against us. A `half_spread_bps` above 0 is in place of the
    rules'.
    """
    participation = (
        quantity / volume if participation_binds(rules, volume) else rules["max_participation"]
    )
    impact = rules["impact_coefficient"] * volatility * math.sqrt(participation)
    half, offset = rules["half_spread_bps"], rules["half_spread_price"]
    if half_spread_bps > 0.0:
        half, offset = half_spread_bps, 0.0
    move = half / 1e4 + impact
    if side > 0:
        return against_us(rules, side, reference * (1.0 + move) + offset)
    return against_us(rules, side, max(reference * max(1.0 - move, 0.0) - offset, 0.0))


@kernel_without_allocation
def notional(price: float, quantity: float) -> int:
    """Value of a fill or a position in money units, price * quantity half to even; signed as
    `quantity` is. `price` is that of one unit: the quoted price times the multiplier.
    """
    return int(np.rint(price * quantity * MONEY))


@kernel_without_allocation
def fee(rules: Record, side: int, price: float, quantity: float, maker: bool = False) -> int:
    """Fees of one fill in money units: by value (of a maker or a taker), by share or contract, and
    on sales, half up to the instrument's fee unit; and what the regulators take. Less than 0 where
    a maker's rebate is more than the rest.
    """
    value = price * rules["multiplier"] * quantity
    bps = rules["maker_fee_bps"] if maker else rules["fee_bps"]
    bps += rules["sell_fee_bps"] if side < 0 else 0.0
    total: float = value * bps / 1e4 + rules["fee_per_share"] * quantity
    own = int(np.floor(total * (MONEY / rules["fee_unit"]) + 0.5) * rules["fee_unit"])
    return own + regulatory_fee(rules, side, value, quantity)


@kernel_without_allocation
def regulatory_fee(rules: Record, side: int, value: float, quantity: float) -> int:
    """SEC fee on the proceeds `value` of a sale, TAF by the share sold up to its cap, CAT fee by
    the share on both sides: each up to the next whole fee unit, in money units.

    Brokers round once a day or once a trade; rounding every fill up is the dearest of the ways.
    """
    total = _up(rules, rules["cat_per_share"] * quantity)
    if side < 0:
        total += _up(rules, value * rules["sec_fee_per_million"] / 1e6)
        total += min(_up(rules, rules["taf_per_share"] * quantity), rules["taf_cap"])
    return total


@kernel_without_allocation
def _up(rules: Record, amount: float) -> int:
    """`amount` of currency in money units, up to the fee unit. A millionth of a unit is taken for
    float error.
    """
    return int(np.ceil(amount * (MONEY / rules["fee_unit"]) - 1e-6) * rules["fee_unit"])
