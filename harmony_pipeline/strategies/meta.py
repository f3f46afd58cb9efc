"""Meta-labelling: a simple rule proposes the side, a model decides whether to take it.

The primary signal exists on CUSUM events only: bars on which the price has moved enough. The model
learns from labels the probability that such a trade ends well. A low probability means *no trade*.
It never means the opposite trade, which the model does not predict (Lopez de Prado, Advances in
Financial Machine Learning, 2018, ch. 2.5.2 and 3.6).

`MetaLabelled` brings its own simple rule. `MetaOver` puts the model over any other strategy.
"""

from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.settings_base import FrozenSettings
from harmony_pipeline.strategies.base import (
    BAR_COLUMNS,
    Strategy,
    checked_signals,
    remembers_the_market,
    rowwise_signals,
    uses_bars,
    warm_signals,
)
from harmony_pipeline.strategies.registry import build_strategy
from harmony_pipeline.strategies.settings import StrategySettings

EVENT = "cusum_event"
# without it an event has no barriers, so it could be neither labelled nor traded
SCALE = "volatility_20"


class MetaLabelled(FrozenSettings):
    """Candidates on CUSUM events, filtered by `filter_by_model`.

    Direction "event" takes the side of the move that caused the event, and the model separates
    continuation from exhaustion. Direction "trend" takes the side of the moving averages, whatever
    the event's side. The averages are required in both, since the model reads them.
    """

    fast: int = Field(default=5, ge=2, description="bars of the fast average")
    slow: int = Field(default=20, ge=3, description="bars of the slow average")
    threshold: float | None = Field(
        default=None,
        ge=0.0,
        le=1.0,
        description="probability below which no trade is taken; none means model.threshold",
    )
    direction: Literal["event", "trend"] = Field(
        default="event", description="which side a candidate takes"
    )

    @model_validator(mode="after")
    def _check_windows(self) -> Self:
        if self.fast >= self.slow:
            raise ValueError(f"fast ({self.fast}) must be shorter than slow ({self.slow})")
        return self

    def required_features(self) -> tuple[str, ...]:
        """The event, the trend and the scale of the barriers."""
        return (f"sma_ratio_{self.fast}_{self.slow}", SCALE, EVENT)

    def signals(self, features: pl.DataFrame) -> pl.DataFrame:
        """A side on event bars, 0 on all others."""
        return rowwise_signals(self, features)

    def sides(self, *features: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The same of arrays, at full strength."""
        ratio, _scale, event = features
        side = event if self.direction == "event" else np.where(event != 0.0, ratio, 0.0)
        return np.sign(side), np.ones(side.size)


class MetaOver(FrozenSettings):
    """The sides of another strategy, on its candidates only, filtered by `filter_by_model`.

    Candidates "events": bars with a CUSUM event on which it holds a side. Candidates "entries": the
    bars on which its side changes to long or short.
    """

    primary: str = Field(description="import path module:Class of the strategy that proposes")
    primary_parameters: dict[str, Any] = Field(default={})
    candidates: Literal["events", "entries"] = "events"
    threshold: float | None = Field(
        default=None,
        ge=0.0,
        le=1.0,
        description="probability below which no trade is taken; none means model.threshold",
    )

    @cached_property
    def _primary(self) -> Strategy:
        return build_strategy(
            StrategySettings(use=self.primary, parameters=self.primary_parameters)
        )

    @property
    def reads_bars(self) -> bool:
        """As the primary strategy."""
        return uses_bars(self._primary)

    @property
    def memory(self) -> Literal["day", "market"]:
        """A change of side is seen against the bar before, which may be of another day."""
        remembers = self.candidates == "entries" or remembers_the_market(self._primary)
        return "market" if remembers else "day"

    def required_features(self) -> tuple[str, ...]:
        """Those of the primary strategy, the scale of the barriers and the event."""
        return tuple(dict.fromkeys((*self._primary.required_features(), SCALE, EVENT)))

    def signals(self, features: pl.DataFrame) -> pl.DataFrame:
        """The primary's side and strength on candidates, 0 on all other bars."""
        keys = ["symbol", "timestamp"]
        bars = [name for name in BAR_COLUMNS if self.reads_bars]
        given = features.select(*keys, *bars, *self._primary.required_features())
        primary = checked_signals(self._primary, given, self.primary)
        if self.candidates == "entries":
            before = pl.col("side").shift().over("symbol").fill_null(0)
            entering = pl.col("side") != before
            primary = primary.sort(keys).with_columns(
                side=pl.when(entering).then("side").otherwise(pl.lit(0, pl.Int8))
            )
        # a bar on which the primary is not warm has no row of its own
        event = pl.lit(1.0) if self.candidates == "entries" else pl.col(EVENT)
        warm = warm_signals(features, self.required_features(), (event != 0.0).cast(pl.Int8))
        return (
            warm.join(primary, on=keys, how="inner", suffix="_primary")
            .select(
                *keys,
                side=pl.when(pl.col("side") != 0)
                .then("side_primary")
                .otherwise(pl.lit(0, pl.Int8))
                .cast(pl.Int8),
                strength=pl.col("strength_primary"),
            )
            .sort(keys)
        )
