"""How big a trade wants to be, before any limit: the rule that `risk.sizing` names.

Volatility target, the default: one standard deviation of the price over the horizon may cost
`target_trade_volatility` of equity (Carver, Systematic Trading, ch. 9), scaled by the signal's
strength. With a model's probability p of the profit barrier being reached first, the size is also
capped by a fraction of the Kelly bet (Kelly 1956; Thorp, "The Kelly criterion in blackjack, sports
betting and the stock market", 2006): for a bet that wins b = profit_take / stop_loss times what it
can lose, f* = p - (1 - p) / b of equity is put at risk, and what is at risk is the distance to the
stop. More volatility never means more size there, and a bet without edge has size zero.

The others, each with formula and source: docs/risk.md, and risk/kelly.py for the bets on barriers.
The fixed sizes are fixed: strength and probability do not change them. Everything passes the limits
afterwards, so no rule of size can go beyond one.
"""

import math

from harmony_pipeline.kernel import kernel_without_allocation
from harmony_pipeline.portfolio.exit_rules import barrier_distance
from harmony_pipeline.portfolio.kernel_types import MONEY, Record
from harmony_pipeline.risk.kelly import kelly_bet, ruin_bounded_bet, target_bet, utility_bet
from harmony_pipeline.risk.policy_kernels import policy_multiplier
from harmony_pipeline.risk.settings import SIZINGS

(
    VOLATILITY_TARGET,
    FIXED_FRACTION,
    FIXED_SHARES,
    FIXED_VALUE,
    KELLY,
    KELLY_RUIN,
    LOG_UTILITY,
    TARGET_UTILITY,
    SHARPE_KELLY,
    STOP_DISTANCE,
    REGIME_ADAPTIVE,
    PERFORMANCE_ADAPTIVE,
    BANDIT,
) = range(len(SIZINGS))


@kernel_without_allocation
def volatility_target_size(
    equity: float, volatility: float, horizon: int, strength: float, target_trade_volatility: float
) -> float:
    """Currency value of a position; `volatility` is the deviation of one bar's log return,
    `horizon` in bars.
    """
    return equity * target_trade_volatility / (volatility * math.sqrt(horizon)) * strength


@kernel_without_allocation
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


@kernel_without_allocation
def stop_distance_size(equity: float, risk_per_trade: float, distance: float) -> float:
    """Currency value of a position that loses `risk_per_trade` of equity where its stop, at
    `distance` of the price, is hit (Tharp, Trade Your Way to Financial Freedom, ch. 14).
    """
    return equity * risk_per_trade / distance


@kernel_without_allocation
def sharpe_kelly_size(
    equity: float,
    kelly_fraction: float,
    annual_sharpe: float,
    trades_per_year: float,
    deviation: float,
) -> float:
    """Fractional Kelly of normal returns with a mean and a `deviation` a trade: mean / deviation^2
    of equity (Thorp 2006, section 7), and mean = deviation * annual_sharpe / sqrt(trades_per_year).
    """
    return equity * kelly_fraction * annual_sharpe / math.sqrt(trades_per_year) / deviation


@kernel_without_allocation
def regime_multiplier(variance: float, target_session_volatility: float) -> float:
    """Target over recent volatility, at most 1 (Moreira, Muir, "Volatility-managed portfolios",
    Journal of Finance 72, 2017, who scale by 1 / variance where the size knows nothing of it yet).
    """
    recent = math.sqrt(variance)
    return 1.0 if recent <= target_session_volatility else target_session_volatility / recent


@kernel_without_allocation
def performance_multiplier(equity: float, peak: float, max_drawdown: float) -> float:
    """What is left of the way to the drawdown limit, as a part of equity and of that at the peak:
    (1 - (1 - d) peak / equity) / d (Grossman, Zhou, "Optimal investment strategies for controlling
    drawdowns", Mathematical Finance 3, 1993). 1 at the peak, 0 at the limit.
    """
    return max(0.0, (1.0 - (1.0 - max_drawdown) * peak / equity) / max_drawdown)


@kernel_without_allocation
def wanted_size(
    rules: Record,
    account: Record,
    price: float,
    volatility: float,
    strength: float,
    probability: float,
) -> float:
    """Currency value that the rules want for one entry at `price`; `probability` NaN means that no
    model speaks.
    """
    equity, method = account["equity"] / MONEY, rules["sizing"]
    if method == FIXED_FRACTION:
        return float(equity * rules["size_fraction"])
    if method == FIXED_SHARES:
        return float(rules["size_shares"] * price * rules["multiplier"])
    if method == FIXED_VALUE:
        return float(rules["size_value"])
    if method == STOP_DISTANCE:
        distance = barrier_distance(
            volatility, rules["horizon"], rules["stop_loss"], rules["minimum_barrier_bps"]
        )
        return stop_distance_size(equity, rules["risk_per_trade"], distance) * strength
    if method in (SHARPE_KELLY, TARGET_UTILITY):
        return _of_normal_returns(rules, equity, volatility) * strength
    if method in (KELLY, KELLY_RUIN, LOG_UTILITY):
        return float(equity * _of_barriers(rules, price, volatility, probability))
    size = _of_volatility(rules, equity, volatility, strength, probability)
    if method == BANDIT:
        return size * policy_multiplier(rules, account, volatility, probability)
    if method == REGIME_ADAPTIVE:
        return size * regime_multiplier(account["variance"], rules["target_session_volatility"])
    if method == PERFORMANCE_ADAPTIVE:
        return size * performance_multiplier(
            equity, drawdown_peak(account) / MONEY, rules["max_drawdown"]
        )
    return size


@kernel_without_allocation
def drawdown_peak(account: Record) -> int:
    """Money units from which the drawdown breaker counts: the peak since it was last re-armed."""
    rearmed: int = account["rearmed_peak"]
    peak: int = account["peak"]
    return rearmed if rearmed > 0 else peak


@kernel_without_allocation
def _of_volatility(
    rules: Record, equity: float, volatility: float, strength: float, probability: float
) -> float:
    """The volatility target, capped by fractional Kelly where a model speaks."""
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


@kernel_without_allocation
def _of_normal_returns(rules: Record, equity: float, volatility: float) -> float:
    """Sizes that see a trade as a normal return over its horizon."""
    deviation = volatility * math.sqrt(rules["horizon"])
    if rules["sizing"] == SHARPE_KELLY:
        return sharpe_kelly_size(
            equity,
            rules["kelly_fraction"],
            rules["assumed_sharpe"],
            rules["trades_per_year"],
            deviation,
        )
    return equity * target_bet(equity / rules["target_wealth"], deviation, rules["target_trades"])


@kernel_without_allocation
def _of_barriers(rules: Record, price: float, volatility: float, probability: float) -> float:
    """Sizes that see a trade as a bet on its barriers, as a multiple of equity."""
    p = rules["assumed_probability"] if math.isnan(probability) else probability
    gain, loss = (
        barrier_distance(
            volatility, rules["horizon"], rules["profit_take"], rules["minimum_barrier_bps"]
        ),
        barrier_distance(
            volatility, rules["horizon"], rules["stop_loss"], rules["minimum_barrier_bps"]
        ),
    )
    if rules["sizing"] == LOG_UTILITY:
        cost = _round_trip_cost(rules, price)
        return utility_bet(p, gain, loss, cost, rules["risk_aversion"])
    bet: float = rules["kelly_fraction"] * kelly_bet(p, gain, loss)
    if rules["sizing"] == KELLY:
        return bet
    return min(
        bet, ruin_bounded_bet(p, gain, loss, rules["ruin_wealth"], rules["ruin_probability"])
    )


@kernel_without_allocation
def _round_trip_cost(rules: Record, price: float) -> float:
    """Half spreads and fees of getting in and out again, as a fraction of the value."""
    bps: float = 2.0 * (rules["half_spread_bps"] + rules["fee_bps"]) + rules["sell_fee_bps"]
    unit: float = price * rules["multiplier"]
    apiece: float = rules["half_spread_price"] / price + rules["fee_per_share"] / unit
    return bps / 1e4 + 2.0 * apiece
