"""Mean reversion by Bollinger's bands (Bollinger on Bollinger Bands, 2001): a price outside the
band reverts.
"""

import polars as pl
from pydantic import Field

from harmony_pipeline.settings_base import FrozenSettings
from harmony_pipeline.strategies.base import warm_signals


class BollingerReversion(FrozenSettings):
    """Long below the lower band, short above the upper one. The barriers make the exit."""

    window: int = Field(default=20, ge=2, description="bars of mean and deviation")
    entry_z: float = Field(default=2.0, gt=0.0, description="deviations from the mean")

    def required_features(self) -> tuple[str, ...]:
        """The close's distance from its mean, in deviations."""
        return (f"bollinger_z_{self.window}",)

    def signals(self, features: pl.DataFrame) -> pl.DataFrame:
        """1 where z < -entry_z, -1 where z > entry_z, else 0."""
        (z,) = self.required_features()
        return warm_signals(
            features,
            (z,),
            pl.when(pl.col(z) < -self.entry_z)
            .then(1)
            .when(pl.col(z) > self.entry_z)
            .then(-1)
            .otherwise(0),
        )
