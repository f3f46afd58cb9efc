"""Trend following by two moving averages: long while the fast one is above the slow one, short
while below.
"""

from typing import Self

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.settings_base import FrozenSettings
from harmony_pipeline.strategies.base import rowwise_signals


class MovingAverageCrossover(FrozenSettings):
    """Side = sign of sma_fast / sma_slow - 1, on adjusted closes."""

    fast: int = Field(default=10, ge=2, description="bars of the fast average")
    slow: int = Field(default=40, ge=3, description="bars of the slow average")

    @model_validator(mode="after")
    def _check_windows(self) -> Self:
        if self.fast >= self.slow:
            raise ValueError(f"fast ({self.fast}) must be shorter than slow ({self.slow})")
        return self

    def required_features(self) -> tuple[str, ...]:
        """The ratio of the two averages."""
        return (f"sma_ratio_{self.fast}_{self.slow}",)

    def signals(self, features: pl.DataFrame) -> pl.DataFrame:
        """A side on every warm bar; 0 only where the averages are equal."""
        return rowwise_signals(self, features)

    def sides(self, *features: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The sign of the ratio, at full strength."""
        (ratio,) = features
        return np.sign(ratio), np.ones(ratio.size)
