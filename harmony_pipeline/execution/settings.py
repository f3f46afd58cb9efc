"""What an order costs and how chance treats it."""

from typing import Literal

from pydantic import Field

from harmony_pipeline.settings_base import FrozenSettings


class CostSettings(FrozenSettings):
    """Half spread, square-root impact and fees; see `execution/costs.py`."""

    half_spread_bps: float = Field(1.0, ge=0.0)
    impact_coefficient: float = Field(
        0.5, ge=0.0, description="of bar volatility * sqrt(quantity / bar volume)"
    )
    fee_bps: float = Field(0.0, ge=0.0)
    fee_per_share: float = Field(0.0, ge=0.0)
    sell_fee_bps: float = Field(0.278, ge=0.0, description="regulatory fee on sales")
    max_participation: float = Field(
        0.05, gt=0.0, le=1.0, description="largest part of a bar's volume"
    )
    lot_size: float | None = Field(
        None,
        gt=0.0,
        description="of every instrument; none means each its own (market.instruments)",
    )
    zero_volume: Literal["auto", "fill", "refuse"] = Field(
        "auto",
        description=(
            "orders at a bar without volume: fill whole, refuse, or auto: fill where the market has"
            " no common volume (FX)"
        ),
    )


class ExecutionNoiseSettings(FrozenSettings):
    """Chance, drawn by key and never by call order; see `execution/random_draws.py`."""

    seed: int = 101
    reject_probability: float = Field(0.0, ge=0.0, le=1.0)
    partial_fill_probability: float = Field(0.0, ge=0.0, le=1.0)
