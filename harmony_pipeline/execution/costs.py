"""What a trade costs: half the spread, market impact, fees; on the tick and to the cent.

The law: a price we take is never better than its reference, and money is exact: cash is int64 in 1/10000 of the currency, so that sums of any order
agree. Impact follows the square-root law, impact_coefficient * bar volatility * sqrt(quantity / bar volume) (Almgren, Thum, Hauptmann
and Li, "Direct estimation of equity market impact", Risk 2005; Grinold and Kahn, Active Portfolio Management, ch. 16). A resting order
that is reached (take-profit) pays neither spread nor impact.
"""

import math

import numpy as np

from harmony_pipeline.execution.records import MONEY, Record
from harmony_pipeline.kernel import kernel
from harmony_pipeline.market.trading_rules import round_to_tick as round_to_tick  # noqa: PLC0414 - one rounding for labels and trades, found here too

LEAST_PRICE = 0.0001  # the smallest tick: nothing is sold for nothing
_ON_TICK = 1e-6  # of a tick: 10.07 * 100 is 1007.0000000000001, which is on the tick all the same


@kernel
def tick_up(price: float) -> float:
    """The lowest valid price that is not below `price`: what a buyer pays."""
    scale = 100.0 if price >= 1.0 else 10000.0
    return math.ceil(price * scale - _ON_TICK) / scale


@kernel
def tick_down(price: float) -> float:
    """The highest valid price that is not above `price`: what a seller gets."""
    scale = 100.0 if price >= 1.0 else 10000.0
    return math.floor(price * scale + _ON_TICK) / scale


@kernel
def taker_price(rules: Record, side: int, reference: float, volatility: float, quantity: float, volume: float) -> float:
    """The price of an order that takes liquidity: `reference` moved against us by half the spread and the impact, then to the tick against us."""
    impact = rules["impact_coefficient"] * volatility * math.sqrt(quantity / volume)
    move = rules["half_spread_bps"] / 1e4 + impact
    if side > 0:
        return tick_up(reference * (1.0 + move))
    return max(tick_down(reference * max(1.0 - move, 0.0)), LEAST_PRICE)


@kernel
def notional(price: float, quantity: float) -> int:
    """Value of a fill or a position in money units, price * quantity half to even; signed as `quantity` is."""
    return int(np.rint(price * quantity * MONEY))


@kernel
def fee(rules: Record, side: int, price: float, quantity: float) -> int:
    """Fees of one fill in money units: by value, by share, and on sales; half up to the cent."""
    value = price * quantity
    bps = rules["fee_bps"] + (rules["sell_fee_bps"] if side < 0 else 0.0)
    total: float = value * bps / 1e4 + rules["fee_per_share"] * quantity
    return math.floor(total * 100.0 + 0.5) * 100


@kernel
def floor_to_lot(quantity: float, lot_size: float) -> float:
    """The largest whole number of lots in `quantity` (a billionth of a lot of float error is forgiven)."""
    return math.floor(quantity / lot_size + 1e-9) * lot_size


@kernel
def to_lot(quantity: float, lot_size: float) -> float:
    """`quantity`, which is a whole number of lots but for float error, without the error."""
    return float(np.rint(quantity / lot_size) * lot_size)
