"""Size and limits. Fractions are of current equity."""

from pydantic import Field

from harmony_pipeline.settings_base import FrozenSettings


class RiskSettings(FrozenSettings):
    """No strategy or model can go around these."""

    allow_short: bool = True
    target_trade_volatility: float = Field(
        0.004,
        gt=0.0,
        description="equity fraction that one standard deviation over the horizon may cost",
    )
    kelly_fraction: float = Field(
        0.25, gt=0.0, le=1.0, description="of the full Kelly bet, an upper cap of the size"
    )
    max_position: float = Field(0.15, gt=0.0, description="fraction of equity in one symbol")
    max_gross_exposure: float = Field(1.0, gt=0.0)
    max_net_exposure: float = Field(0.6, gt=0.0)
    max_open_positions: int = Field(20, ge=1)
    max_daily_loss: float = Field(
        0.02, gt=0.0, le=1.0, description="below this no new positions until the next session"
    )
    max_drawdown: float = Field(
        0.25, gt=0.0, le=1.0, description="beyond this everything is closed and trading stops"
    )
    minimum_order_value: float = Field(200.0, ge=0.0)
