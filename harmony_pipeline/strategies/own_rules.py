"""What a strategy may have of its own beside its parameters: the bracket that it is left by, its
size, and limits within those of the account.

Whatever is left out ("none") is that of `[labels]` and `[risk]`. Costs are the venue's, and the
same for all.
"""

from typing import ClassVar, Literal

from pydantic import Field

from harmony_pipeline.settings_base import FrozenSettings

Sizing = Literal[
    "volatility_target", "fixed_fraction", "fixed_shares", "fixed_value", "kelly", "kelly_ruin",
    "log_utility", "target_utility", "sharpe_kelly", "stop_distance", "regime_adaptive",
    "performance_adaptive", "bandit",
]  # fmt: skip


class BracketSettings(FrozenSettings):
    """`[strategies.NAME.bracket]`: barriers of the strategy's own; the horizon is its
    `horizon_bars`. What they mean: docs/labels.md.
    """

    LATER: ClassVar[frozenset[str]] = frozenset(
        {"profit_take", "stop_loss", "minimum_barrier_bps", "vertical", "touch", "entry"}
    )

    profit_take: float | None = Field(default=None, gt=0.0)
    stop_loss: float | None = Field(default=None, gt=0.0)
    minimum_barrier_bps: float | None = Field(default=None, ge=0.0)
    vertical: Literal["bars", "sessions"] | None = Field(
        default=None, description="what `horizon_bars` counts"
    )
    touch: Literal["high_low", "close"] | None = None
    entry: Literal["open", "close"] | None = Field(
        default=None, description="where its entries fill, whatever they are left by"
    )


class StrategyRiskSettings(FrozenSettings):
    """`[strategies.NAME.risk]`: how big its trades want to be, and limits that are tighter than the
    account's, as fractions of its share of the equity. What they mean: docs/risk.md.
    """

    LATER: ClassVar[frozenset[str]] = frozenset(
        {
            *("sizing", "target_trade_volatility", "kelly_fraction", "size_fraction"),
            *("size_shares", "size_value", "risk_per_trade", "assumed_probability"),
            *("risk_aversion", "ruin_wealth", "ruin_probability", "target_wealth"),
            *("target_trades", "assumed_sharpe", "trades_per_year", "target_session_volatility"),
            *("allow_short", "max_position", "max_gross_exposure", "max_net_exposure"),
            *("max_open_positions", "max_daily_loss", "symbol_cooldown_minutes"),
        }
    )

    # --- size: the bounds are those of RiskSettings -----------------------------------------------
    sizing: Sizing | None = None
    target_trade_volatility: float | None = Field(default=None, gt=0.0)
    kelly_fraction: float | None = Field(default=None, gt=0.0, le=1.0)
    size_fraction: float | None = Field(default=None, gt=0.0)
    size_shares: float | None = Field(default=None, gt=0.0)
    size_value: float | None = Field(default=None, gt=0.0)
    risk_per_trade: float | None = Field(default=None, gt=0.0, le=1.0)
    assumed_probability: float | None = Field(default=None, gt=0.0, lt=1.0)
    risk_aversion: float | None = Field(default=None, ge=1.0)
    ruin_wealth: float | None = Field(default=None, gt=0.0, lt=1.0)
    ruin_probability: float | None = Field(default=None, gt=0.0, lt=1.0)
    target_wealth: float | None = Field(default=None, gt=0.0)
    target_trades: int | None = Field(default=None, ge=1, le=1_000_000_000)
    assumed_sharpe: float | None = Field(default=None, gt=0.0)
    trades_per_year: float | None = Field(default=None, gt=0.0)
    target_session_volatility: float | None = Field(default=None, gt=0.0)

    # --- limits: no looser than those of the account ----------------------------------------------
    allow_short: bool | None = None
    max_position: float | None = Field(
        default=None, gt=0.0, description="what the strategy holds of one symbol"
    )
    max_gross_exposure: float | None = Field(default=None, gt=0.0)
    max_net_exposure: float | None = Field(default=None, gt=0.0)
    max_open_positions: int | None = Field(default=None, ge=1)
    max_daily_loss: float | None = Field(
        default=None,
        gt=0.0,
        le=1.0,
        description="of what the strategy's own trades make in a session; beyond it the strategy"
        " enters nothing until the next",
    )
    symbol_cooldown_minutes: float | None = Field(
        default=None,
        gt=0.0,
        description="the strategy enters no symbol so long after a losing trade of its own in it",
    )
