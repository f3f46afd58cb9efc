"""How big a trade wants to be, before any limit.

Volatility target: one standard deviation of the price over the horizon may cost
`target_trade_volatility` of equity (Carver, Systematic Trading, ch. 9), scaled by the signal's
strength. With a model's probability p of the profit barrier being reached first, the size is also
capped by a fraction of the Kelly bet (Kelly 1956; Thorp, "The Kelly criterion in blackjack, sports
betting and the stock market", 2006): for a bet that wins b = profit_take / stop_loss times what it
can lose, f* = p - (1 - p) / b of equity is put at risk, and what is at risk is the distance to the
stop.

More volatility never means more size, and a bet without edge has size zero.
"""

import math

from harmony_pipeline.kernel import kernel
from harmony_pipeline.portfolio.kernel_types import Record


@kernel
def volatility_target_size(
    equity: float, volatility: float, horizon: int, strength: float, target_trade_volatility: float
) -> float:
    """Currency value of a position; `volatility` is the deviation of one bar's log return,
    `horizon` in bars.
    """
    return equity * target_trade_volatility / (volatility * math.sqrt(horizon)) * strength


@kernel
def kelly_size(
    equity: float,
    volatility: float,
    horizon: int,
    probability: float,
    kelly_fraction: float,
    profit_take: float,
    stop_loss: float,
) -> float:
    """Largest currency value by fractional Kelly; 0 without edge. Barriers in units of volatility *
    sqrt(horizon).
    """
    edge = max(0.0, probability - (1.0 - probability) * stop_loss / profit_take)
    return kelly_fraction * edge * equity / (stop_loss * volatility * math.sqrt(horizon))


@kernel
def wanted_size(
    rules: Record, equity: float, volatility: float, strength: float, probability: float
) -> float:
    """Currency value that the rules want for one entry; `probability` NaN means that no model
    speaks.
    """
    size = volatility_target_size(
        equity, volatility, rules["horizon"], strength, rules["target_trade_volatility"]
    )
    if math.isnan(probability):
        return size
    cap = kelly_size(
        equity,
        volatility,
        rules["horizon"],
        probability,
        rules["kelly_fraction"],
        rules["profit_take"],
        rules["stop_loss"],
    )
    return min(size, cap)
