"""Momentum by Wilder's relative strength index (New Concepts in Technical Trading
Systems, 1978).
"""

from typing import Self

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.settings_base import FrozenSettings
from harmony_pipeline.strategies.base import rowwise_signals


class RsiMomentum(FrozenSettings):
    """Long above `upper`, short below `lower`: it follows strength."""

    window: int = Field(default=14, ge=2, description="bars of Wilder's smoothing")
    upper: float = Field(default=60.0, ge=0.0, le=100.0)
    lower: float = Field(default=40.0, ge=0.0, le=100.0)

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        if self.lower > self.upper:
            raise ValueError(f"lower ({self.lower}) must not be above upper ({self.upper})")
        return self

    def required_features(self) -> tuple[str, ...]:
        """The index itself."""
        return (f"rsi_{self.window}",)

    def signals(self, features: pl.DataFrame) -> pl.DataFrame:
        """1 above `upper`, -1 below `lower`, 0 between and on the limits."""
        return rowwise_signals(self, features)

    def sides(self, *features: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The same of arrays, at full strength."""
        (index,) = features
        side = np.where(index > self.upper, 1.0, np.where(index < self.lower, -1.0, 0.0))
        return side, np.ones(index.size)
