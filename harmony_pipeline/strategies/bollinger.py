"""Mean reversion by Bollinger's bands (Bollinger on Bollinger Bands, 2001): a price outside the
band reverts.
"""

import numpy as np
import polars as pl
from pydantic import Field

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.settings_base import FrozenSettings
from harmony_pipeline.strategies.base import rowwise_signals


class BollingerReversion(FrozenSettings):
    """Long below the lower band, short above the upper one. The barriers make the exit."""

    window: int = Field(default=20, ge=2, description="bars of mean and deviation")
    entry_z: float = Field(default=2.0, gt=0.0, description="deviations from the mean")

    def required_features(self) -> tuple[str, ...]:
        """The close's distance from its mean, in deviations."""
        return (f"bollinger_z_{self.window}",)

    def signals(self, features: pl.DataFrame) -> pl.DataFrame:
        """1 where z < -entry_z, -1 where z > entry_z, else 0."""
        return rowwise_signals(self, features)

    def sides(self, *features: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The same of arrays, at full strength."""
        (z,) = features
        side = np.where(z < -self.entry_z, 1.0, np.where(z > self.entry_z, -1.0, 0.0))
        return side, np.ones(z.size)
