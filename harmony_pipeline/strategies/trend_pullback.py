"""Buy weakness in an uptrend, sell strength in a downtrend, with the model as gatekeeper.

Three opinions are aggregated into one decision:

- regime, 0 to 1: how established the trend of the symbol is, ADX between `adx_low` and `adx_high`;
- signal, 0 to 1: how deep the pullback against it is, RSI from `pullback` to 0 (mirrored for
  shorts);
- probability: the model's, that a trade from here reaches its profit first. It has read the
  market's regime too (models/samples.py).

score = (w_r * regime + w_s * signal + w_p * probability) / (w_r + w_s + w_p). A trade is taken
where the probability reaches the model's threshold *and* the score reaches `minimum_score`; the
score is its strength. Without a model the first two are aggregated alone.

Trend and short pullback: Connors and Alvarez, Short Term Trading Strategies That Work, 2009. A
model that vetoes a rule's side: Lopez de Prado, Advances in Financial Machine Learning, 2018, ch.
3.6. The weighted mean is ours.
"""

from typing import Self

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.settings_base import FrozenSettings
from harmony_pipeline.strategies.base import rowwise_signals

SCALE = "volatility_20"  # without it an event has no barriers


class TrendPullback(FrozenSettings):
    """A side where a trend is established and the price has moved against it. The barriers make the
    exit.
    """

    fast: int = Field(default=35, ge=2, description="bars of the fast average")
    slow: int = Field(default=140, ge=3, description="bars of the slow average")
    adx_window: int = Field(default=14, ge=2)
    adx_low: float = Field(default=15.0, ge=0.0, description="no trend at or below")
    adx_high: float = Field(default=35.0, le=100.0, description="full regime score from here")
    rsi_window: int = Field(default=5, ge=2)
    pullback: float = Field(
        default=35.0, gt=0.0, lt=50.0, description="RSI below which an uptrend is bought"
    )
    regime_weight: float = Field(default=1.0, ge=0.0)
    signal_weight: float = Field(default=1.0, ge=0.0)
    probability_weight: float = Field(default=2.0, ge=0.0)
    minimum_score: float = Field(default=0.3, ge=0.0, le=1.0)
    threshold: float | None = Field(
        default=None,
        ge=0.0,
        le=1.0,
        description="probability below which no trade is taken; none means model.threshold",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.fast >= self.slow:
            raise ValueError(f"fast ({self.fast}) must be shorter than slow ({self.slow})")
        if self.adx_low >= self.adx_high:
            raise ValueError(f"adx_low ({self.adx_low}) must be below adx_high ({self.adx_high})")
        if self.regime_weight + self.signal_weight == 0.0:
            raise ValueError("regime_weight and signal_weight must not both be 0")
        return self

    def required_features(self) -> tuple[str, ...]:
        """Trend, its strength, the pullback, and the scale of the barriers."""
        return (
            f"sma_ratio_{self.fast}_{self.slow}",
            f"adx_{self.adx_window}",
            f"rsi_{self.rsi_window}",
            SCALE,
        )

    def signals(self, features: pl.DataFrame) -> pl.DataFrame:
        """The trend's side where regime and signal both speak for it; their weighted mean is the
        strength.
        """
        return rowwise_signals(self, features)

    def sides(self, *features: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The same of arrays."""
        trend, adx, rsi, _scale = features
        direction = np.sign(trend)
        regime = np.clip((adx - self.adx_low) / (self.adx_high - self.adx_low), 0.0, 1.0)
        against = np.where(direction > 0.0, rsi, 100.0 - rsi)
        signal = np.clip((self.pullback - against) / self.pullback, 0.0, 1.0)
        both = (regime > 0.0) & (signal > 0.0)
        mean = (self.regime_weight * regime + self.signal_weight * signal) / (
            self.regime_weight + self.signal_weight
        )
        return np.where(both, direction, 0.0), np.where(both, mean, 0.0)

    def decide(self, signals: pl.DataFrame) -> pl.DataFrame:
        """`signals` with a probability, as one decision: the side is kept where the score reaches
        `minimum_score`, and the score becomes the strength.
        """
        rules = self.regime_weight + self.signal_weight
        score = (rules * pl.col("strength") + self.probability_weight * pl.col("probability")) / (
            rules + self.probability_weight
        )
        taken = (pl.col("side") != 0) & (score >= self.minimum_score).fill_null(value=False)
        return signals.with_columns(
            side=pl.when(taken).then("side").otherwise(pl.lit(0, pl.Int8)).cast(pl.Int8),
            strength=pl.when(taken).then(score).otherwise("strength"),
        )
