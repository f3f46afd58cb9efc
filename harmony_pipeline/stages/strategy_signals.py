"""Signals of a strategy as the simulator and the session act on them, for any of its parameters.

What does not depend on the parameters (bars, volatility, predictions) is read once for all
combinations of a grid, and the features of all combinations are computed together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import polars as pl

from harmony_pipeline.backtest.input_arrays import SymbolRows, by_symbol_and_time, matching_rows
from harmony_pipeline.features.compute import compute_features
from harmony_pipeline.models.filter_use import inside, useful_periods
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.feature_sectors import feature_sectors
from harmony_pipeline.stages.news import news_totals
from harmony_pipeline.strategies.base import Strategy, signals_of
from harmony_pipeline.strategies.registry import build_strategy
from harmony_pipeline.strategies.traded_signals import (
    MODEL_THRESHOLD,
    gate,
    model_threshold,
    proposed_signals,
    unfiltered,
)

_SCALE = "volatility_20"


@dataclass(frozen=True)
class SignalInputs:
    """What the signals of one strategy are made from; `grid` are the overrides that will be asked
    for, so that their features are computed together.
    """

    pipeline: PipelineContext
    strategy: str
    grid: Sequence[Mapping[str, Any]] = ()
    in_lake: bool = True
    """Whether the lake has the strategy's signals; else they are made now."""

    def signals(self, overrides: Mapping[str, Any] | None = None) -> pl.DataFrame:
        """symbol, timestamp, side, strength, volatility, probability, model_id, by symbol and time.

        `overrides` are parameters of the strategy that differ from its own.
        """
        chosen = self.pipeline.strategy_settings(self.strategy)
        built = build_strategy(chosen, overrides)
        changed = set(overrides or {}) - {MODEL_THRESHOLD}
        primary = self._computed(built) if changed or not self.in_lake else self._kept
        if chosen.watch == "scanner":
            primary = _selected_only(self.pipeline, primary)
        primary = proposed_signals(primary, barriers=chosen.exits == "barriers")
        signals = self._with_volatility(by_symbol_and_time(primary))
        if not chosen.uses_model:
            return unfiltered(signals)
        threshold = model_threshold(built, self.pipeline.settings.model.threshold)
        if chosen.model_filter == "when_useful":
            filtered = inside(self._useful)
            taken = unfiltered(signals.filter(~filtered))
            judged = gate(built, signals.filter(filtered), self._predictions, threshold)
            both = pl.concat([taken, judged.select(taken.columns)])
            return both.sort("symbol", "timestamp")
        return gate(built, signals, self._predictions, threshold).sort("symbol", "timestamp")

    def events(
        self, overrides: Mapping[str, Any] | None = None
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """What a machine that hears its fills is given: every bar, and a frame of `symbol`,
        `timestamp`, its features, `volatility`, and `selected` where only the scanner's picks are
        traded.
        """
        chosen = self.pipeline.strategy_settings(self.strategy)
        names = build_strategy(chosen, overrides).required_features()
        keys = ["symbol", "timestamp"]
        rows = features_on_every_bar(self.pipeline, names).select(
            list(dict.fromkeys([*keys, *names]))
        )
        rows = rows.join(self._scale.rows, on=keys, how="left", maintain_order="left")
        if chosen.watch == "scanner":
            picks = _selected_only(self.pipeline, rows.with_columns(side=pl.lit(1, pl.Int8)))
            rows = rows.with_columns(selected=picks["side"] == 1)
        return self._bars, rows

    def _computed(self, built: Strategy) -> pl.DataFrame:
        names = built.required_features()
        known = self._features
        if not set(names) <= set(known.columns):
            known = features_on_every_bar(self.pipeline, names)
        return signals_of(built, known, lambda: self._bars)

    def _with_volatility(self, signals: SymbolRows) -> pl.DataFrame:
        """The rows whose bar has features, with its volatility."""
        at = pl.Series(matching_rows(signals, self._scale), dtype=pl.Int64)
        known = at >= 0
        rows, at = (
            (signals.rows, at) if known.all() else (signals.rows.filter(known), at.filter(known))
        )
        return rows.with_columns(self._scale.rows["volatility"].gather(at))

    @cached_property
    def _kept(self) -> pl.DataFrame:
        rows = self.pipeline.lake.scan("signals").filter(pl.col("strategy") == self.strategy)
        return rows.drop("strategy").collect(engine="in-memory")

    @cached_property
    def _bars(self) -> pl.DataFrame:
        return self.pipeline.lake.read("bars")

    @cached_property
    def _scale(self) -> SymbolRows:
        features = self.pipeline.lake.scan("features")
        rows = features.select("symbol", "timestamp", volatility=_SCALE)
        return by_symbol_and_time(rows.collect(engine="in-memory"))

    @cached_property
    def _features(self) -> pl.DataFrame:
        """Every feature that a combination of the grid needs."""
        chosen = self.pipeline.strategy_settings(self.strategy)
        needed = [
            name
            for overrides in self.grid
            for name in build_strategy(chosen, overrides).required_features()
        ]
        return features_on_every_bar(self.pipeline, list(dict.fromkeys(needed)), self._bars)

    @cached_property
    def _predictions(self) -> pl.DataFrame:
        return traded_predictions(self.pipeline)

    @cached_property
    def _useful(self) -> list[tuple[datetime, datetime]]:
        """The periods in which forecasts filter."""
        return filtered_periods(self.pipeline, self._predictions)


def traded_predictions(pipeline: PipelineContext) -> pl.DataFrame:
    """Out-of-sample predictions of the horizon that trades."""
    of_horizon = pl.col("horizon") == pipeline.settings.trade_horizon
    return pipeline.lake.scan("predictions").filter(of_horizon).collect(engine="in-memory")


def filtered_periods(
    pipeline: PipelineContext, predictions: pl.DataFrame
) -> list[tuple[datetime, datetime]]:
    """The periods in which a strategy with `model_filter = "when_useful"` asks the model."""
    of_horizon = pl.col("horizon") == pipeline.settings.trade_horizon
    return useful_periods(
        predictions,
        pipeline.lake.read("labels").filter(of_horizon),
        pipeline.lake.read("folds").filter(of_horizon & pl.col("model_id").is_not_null()),
        pipeline.zone,
        pipeline.settings.gate.maximum_forecast_pvalue,
    )


def filters_now(pipeline: PipelineContext, strategy: str, moment: datetime) -> bool:
    """Whether the model filters a strategy's trades at a moment: always where it is said so, else
    in periods whose forecasts have proved to be useful before.
    """
    chosen = pipeline.strategy_settings(strategy)
    if not chosen.uses_model or chosen.model_filter == "always":
        return chosen.uses_model
    periods = filtered_periods(pipeline, traded_predictions(pipeline))
    return any(start <= moment < end for start, end in periods)


def _selected_only(pipeline: PipelineContext, signals: pl.DataFrame) -> pl.DataFrame:
    """`signals` without a side where the scanner had not selected the symbol by the bar's end."""
    picks = pipeline.lake.read("scan_selections").select(
        "symbol", session_date="date", picked_at="as_of"
    )
    dated = pipeline.calendar.with_session(signals, pipeline.timeframe).join(
        picks, on=["symbol", "session_date"], how="left", maintain_order="left"
    )
    known = (pl.col("picked_at") <= pl.col("bar_end")).fill_null(value=False)
    return dated.select(
        pl.when(known).then("side").otherwise(pl.lit(0, pl.Int8)).alias("side")
        if name == "side"
        else name
        for name in signals.columns
    )


def strategy_signals(pipeline: PipelineContext, strategy: str) -> pl.DataFrame:
    """Signals of a strategy with its own parameters."""
    return SignalInputs(pipeline, strategy).signals()


def features_on_every_bar(
    pipeline: PipelineContext, names: Sequence[str], bars: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Those features on every bar: from the lake where it has them, else computed now."""
    if set(names) <= set(pipeline.feature_set.names):
        features = pipeline.lake.scan("features").select(
            "symbol", "timestamp", *dict.fromkeys(names)
        )
        return by_symbol_and_time(features.collect(engine="in-memory")).rows
    feature_set = pipeline.feature_set_of(tuple(dict.fromkeys((*names, _SCALE))))
    every = pipeline.lake.read("bars") if bars is None else bars
    return compute_features(
        every,
        feature_set,
        None,
        pipeline.calendar,
        pipeline.timeframe,
        news_totals(pipeline, feature_set),
        feature_sectors(pipeline, feature_set),
    ).table
