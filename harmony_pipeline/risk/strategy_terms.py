"""What `[strategies.NAME.risk]` makes of `[risk]`: the size of one strategy, and its own limits.

A strategy chooses how big its trades want to be, and may have tighter limits than the account. It
cannot loosen one: such a setting is refused when settings are read.
"""

from collections.abc import Iterator

from harmony_pipeline.risk.settings import RiskSettings, micros
from harmony_pipeline.strategies.own_rules import StrategyRiskSettings

SIZING_KEYS = (
    "sizing", "target_trade_volatility", "kelly_fraction", "size_fraction", "size_shares",
    "size_value", "risk_per_trade", "assumed_probability", "risk_aversion", "ruin_wealth",
    "ruin_probability", "target_wealth", "target_trades", "assumed_sharpe", "trades_per_year",
    "target_session_volatility",
)  # fmt: skip
"""Settings of `[risk]` that a strategy may have of its own; no limit is among them."""

# the larger, the looser
_MOST = (
    "allow_short", "max_position", "max_gross_exposure", "max_net_exposure", "max_open_positions",
    "max_daily_loss",
)  # fmt: skip


def sized_by(risk: RiskSettings, own: StrategyRiskSettings) -> RiskSettings:
    """The account's `risk` with the size of one strategy. Raises ValueError where that rule of size
    lacks what it needs.
    """
    chosen = own.model_dump(include=set(SIZING_KEYS), exclude_none=True)
    if not chosen:
        return risk
    sized = risk.model_copy(update=chosen)
    if sized.sizing == "target_utility" and sized.target_wealth is None:
        raise ValueError(
            "sizing: target_utility needs the equity to be reached: set target_wealth beside it"
        )
    return sized


def of_the_account(risk: RiskSettings) -> RiskSettings:
    """`risk` without what a strategy may have of its own: the same for all of an account."""
    fields = RiskSettings.model_fields
    return risk.model_copy(update={name: fields[name].default for name in SIZING_KEYS})


def looser_limits(risk: RiskSettings, own: StrategyRiskSettings) -> Iterator[str]:
    """`key: sentence` of each limit of the strategy that is looser than the account's."""
    limits, account = own.model_dump(), risk.model_dump()
    for name in _MOST:
        if limits[name] is not None and limits[name] > account[name]:
            yield _sentence(name, limits[name], account[name])
    name = "symbol_cooldown_minutes"
    if (own.symbol_cooldown_minutes or 1e300) < (risk.symbol_cooldown_minutes or 0.0):
        yield _sentence(name, limits[name], account[name])


def _sentence(name: str, own: object, account: object) -> str:
    shown, limit = (f"{value}".lower() for value in (own, account))
    return (
        f"{name}: {shown} is looser than risk.{name} {limit}, which holds for the whole account:"
        " choose a tighter one, or take it out"
    )


def limit_values(own: StrategyRiskSettings) -> dict[str, float]:
    """The fields of the RULES record that a strategy's own limits are; 0 where it has none."""
    exposure = {
        "own_max_position": own.max_position or 0.0,
        "own_max_gross_exposure": own.max_gross_exposure or 0.0,
        "own_max_net_exposure": own.max_net_exposure or 0.0,
    }
    shorts = {"allow_short": 0.0} if own.allow_short is False else {}
    return {
        **exposure,
        **shorts,
        "own_limits": float(any(exposure.values())),
        "own_max_open_positions": own.max_open_positions or 0,
        "own_max_daily_loss": own.max_daily_loss or 0.0,
        "own_symbol_pause": micros(own.symbol_cooldown_minutes),
        "watches_strategies": float(own.max_daily_loss is not None),
    }
