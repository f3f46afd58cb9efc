"""Settings of the triple barriers."""

from typing import Annotated

from pydantic import Field

from harmony_pipeline.settings_base import FrozenSettings


class LabelSettings(FrozenSettings):
    """Barriers around the entry price; the same numbers drive the simulator's and the session's
    brackets.
    """

    horizons_bars: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(8, 32),
        min_length=1,
        description="short and medium horizon, in regular-session bars",
    )
    profit_take: float = Field(
        default=2.0, gt=0.0, description="upper barrier, in volatility_20 * sqrt(horizon)"
    )
    stop_loss: float = Field(default=1.0, gt=0.0, description="lower barrier, in the same unit")
    minimum_barrier_bps: float = Field(
        default=15.0, ge=0.0, description="no barrier is nearer than this"
    )
