"""The multiplier that a learned policy gives a trade: what it looks at, and its answer.

Five signals describe a trade at its decision, each of a size about 1: a constant; the edge that the
model sees; how far the price usually moves in the trade; how much the account has moved of late;
how far it is below its peak. The learner (`bandit.py`) and the trade take them from the same
kernels. A policy is one weight for each signal and multiplier; the multiplier with the largest
weighted sum is taken, of equal ones the smallest.
"""

import math

from harmony_pipeline.kernel import kernel_without_allocation
from harmony_pipeline.portfolio.kernel_types import MONEY, Record
from harmony_pipeline.risk.bandit import POLICY_SIGNALS

SIGNAL_NAMES = ("constant", "edge", "move", "unrest", "drawdown")
_EDGE = 0.1  # probability above break-even that counts as one
_MOVE = 0.02  # of the price: a trade's deviation whose logarithm is 0
_MOST = 3.0


@kernel_without_allocation
def edge_signal(probability: float, profit_take: float, stop_loss: float) -> float:
    """The probability of profit above that at which the barriers pay nothing, in tenths, within
    +-3; 0 where no model speaks.
    """
    if math.isnan(probability):
        return 0.0
    fair = stop_loss / (stop_loss + profit_take)
    return min(max((probability - fair) / _EDGE, -_MOST), _MOST)


@kernel_without_allocation
def move_signal(volatility: float, horizon: int) -> float:
    """Ln of the deviation over the horizon in units of 2 %, within +-3."""
    return min(max(math.log(volatility * math.sqrt(horizon) / _MOVE), -_MOST), _MOST)


@kernel_without_allocation
def unrest_signal(variance: float, target_session_volatility: float) -> float:
    """The account's recent session volatility over its target, at most 3."""
    return min(math.sqrt(variance) / target_session_volatility, _MOST)


@kernel_without_allocation
def drawdown_signal(equity: float, peak: float, max_drawdown: float) -> float:
    """The way from the highest equity ever to the drawdown limit: 0 at the peak, 1 at the limit and
    beyond.
    """
    return min(max((1.0 - equity / peak) / max_drawdown, 0.0), 1.0)


@kernel_without_allocation
def policy_multiplier(
    rules: Record, account: Record, volatility: float, probability: float
) -> float:
    """The multiplier for one entry; 1 where nothing was learned yet."""
    if rules["policy_arms"] == 0:
        return 1.0
    edge = edge_signal(probability, rules["profit_take"], rules["stop_loss"])
    move = move_signal(volatility, rules["horizon"])
    unrest = unrest_signal(account["variance"], rules["target_session_volatility"])
    drawdown = drawdown_signal(
        account["equity"] / MONEY, account["peak"] / MONEY, rules["max_drawdown"]
    )
    chosen, best = 1.0, -math.inf
    for arm in range(rules["policy_arms"]):
        first = arm * POLICY_SIGNALS
        weights = rules["policy_weights"]
        worth = (
            weights[first]
            + weights[first + 1] * edge
            + weights[first + 2] * move
            + weights[first + 3] * unrest
            + weights[first + 4] * drawdown
        )
        if worth > best:
            chosen, best = rules["policy_multipliers"][arm], worth
    return chosen
