"""What a script asks of the stages in one call: everything that a backtest reads, and a backtest of
a strategy that need not be in the settings.
"""

import inspect
import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from harmony_pipeline.backtest.simulator import BacktestResult
from harmony_pipeline.errors import ConfigError, NotReady
from harmony_pipeline.settings_checks import check_own_rules, unused_bracket
from harmony_pipeline.settings_errors import Origin, error_line
from harmony_pipeline.stages import gaps, ingest, instruments, market, models, news, research
from harmony_pipeline.stages.backtest_readiness import nothing_to_trade
from harmony_pipeline.stages.backtest_runs import simulated
from harmony_pipeline.stages.context import PipelineContext, refuse_the_past
from harmony_pipeline.stages.trials import count_trial
from harmony_pipeline.strategies.registry import (
    fill_parameter,
    refuse_fill_price,
    refuse_misspelt,
)
from harmony_pipeline.strategies.settings import StrategySettings


def prepare(pipeline: PipelineContext, *, models_too: bool = False) -> None:
    """Bars, features, regimes and signals of every period, and with `models_too` labels, models and
    predictions; what is unchanged is left alone. Raises NotReady when the source has no bars.
    """
    refuse_the_past(pipeline)
    periods = pipeline.trading_periods()
    market.corporate_actions(pipeline)
    market.universe(pipeline)
    market.listings(pipeline)
    ingest.raw_bars(pipeline, periods)
    market.bars(pipeline, periods)
    market.daily_summary(pipeline, periods)
    instruments.instruments(pipeline)
    gaps.gaps(pipeline, periods)
    if market.latest_period_with_bars(pipeline) is None:
        raise NotReady("the source gave no bars: look with harmony doctor")
    if news.is_on(pipeline):
        news.news(pipeline, periods)
        news.news_scores(pipeline, periods)
    research.features(pipeline, periods)
    research.regimes(pipeline, periods)
    research.signals(pipeline, periods)
    if models_too:
        research.labels(pipeline, periods)
        retraining = pipeline.retraining_periods()
        models.model(pipeline, retraining)
        models.predictions(pipeline, retraining)


def backtested_now(
    pipeline: PipelineContext,
    strategy: str | type,
    parameters: Mapping[str, Any],
    *,
    exits: str | None = None,
    horizon_bars: int | None = None,
    bracket: Mapping[str, Any] | None = None,
    risk: Mapping[str, Any] | None = None,
) -> tuple[PipelineContext, str, BacktestResult]:
    """The backtest of an active strategy or portfolio, or of a class, as (context that knows it,
    name, result); it counts as a trial.

    Raises NotReady while the lake lacks what it reads, ConfigError for what is no strategy.
    """
    own = {"exits": exits, "horizon_bars": horizon_bars, "bracket": bracket, "risk": risk}
    changes = {name: value for name, value in own.items() if value is not None}
    if isinstance(strategy, str):
        name = pipeline.strategy(strategy)
        known, is_portfolio = pipeline, name in pipeline.settings.portfolios
        if not is_portfolio:
            known = _with_own(pipeline, name, pipeline.settings.strategies[name], changes)
        why = nothing_to_trade(pipeline, name)
        if why:
            raise NotReady(why)
        if is_portfolio:
            result = simulated(pipeline, name, {**parameters, **changes})
            count_trial(pipeline, name, result)
            return pipeline, name, result
    else:
        name, chosen = settings_of_class(strategy)
        if not pipeline.lake.partitions("features"):
            raise NotReady("there are no features yet; make them with: harmony backfill research")
        known = _with_own(pipeline, name, chosen, changes)
    chosen = known.strategy_settings(name)
    refuse_misspelt(chosen.use, parameters, tuple(own))
    refuse_fill_price(name, chosen.use, parameters)
    overrides = {
        key: value for key, value in parameters.items() if chosen.parameters.get(key) != value
    }
    in_lake = isinstance(strategy, str) and pipeline.strategy_settings(name) == chosen
    result = simulated(known, name, overrides, in_lake=in_lake)
    count_trial(known, name, result)
    return known, name, result


def _with_own(
    pipeline: PipelineContext, name: str, chosen: StrategySettings, changes: Mapping[str, Any]
) -> PipelineContext:
    """The context whose settings have the strategy with these changes. Raises ConfigError for what
    it cannot have, for a bracket that nothing goes by, and for trades of another bracket than the
    model of the lake forecasts.
    """
    settings = pipeline.settings
    known = with_strategy(pipeline, name, _changed(name, chosen, changes))
    try:
        check_own_rules(known.settings, name)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if "bracket" in changes and (unused := unused_bracket(known.settings, name)):
        raise ConfigError(unused)
    if chosen.uses_model and known.settings.labels_of(name) != settings.event_labels:
        raise ConfigError(
            f"strategies.{name}.bracket: {name} uses the model, and that of the lake forecasts"
            f" trades with the bracket of session.strategy '{settings.session.strategy}': give that"
            " one, or change the settings file and make the models again"
        )
    return known


def _changed(name: str, chosen: StrategySettings, changes: Mapping[str, Any]) -> StrategySettings:
    """The settings with these changes; of a section, the keys that are given. Raises ConfigError
    for a value that is none.
    """
    values = chosen.model_dump()
    for key, value in changes.items():
        values[key] = {**values[key], **value} if isinstance(value, Mapping) else value
    try:
        return StrategySettings.model_validate(values)
    except ValidationError as error:
        origin = Origin(StrategySettings, above=("strategies", name))
        raise ConfigError(error_line(error, origin)) from None


def settings_of_class(kind: type) -> tuple[str, StrategySettings]:
    """Name and settings of a strategy that is a class and not in the settings."""
    use, parameters = f"{kind.__module__}:{kind.__qualname__}", _defaults(kind)
    parameters.pop(fill_parameter(use) or "", None)
    # switched off: the features of the lake are those of the settings
    chosen = StrategySettings(use=use, enabled=False, parameters=parameters)
    return _words(kind.__name__), chosen


def with_strategy(
    pipeline: PipelineContext, name: str, chosen: StrategySettings
) -> PipelineContext:
    """The context whose settings have this strategy under this name."""
    strategies = {**pipeline.settings.strategies, name: chosen}
    if strategies == pipeline.settings.strategies:
        return pipeline
    return PipelineContext(pipeline.settings.model_copy(update={"strategies": strategies}))


def _defaults(kind: type) -> dict[str, Any]:
    """Parameters of a class that have plain defaults: a trial tells all that it ran with."""
    return {
        name: parameter.default
        for name, parameter in inspect.signature(kind).parameters.items()
        if isinstance(parameter.default, (bool, int, float, str))
    }


def _words(name: str) -> str:
    """MovingAverageCrossover as moving_average_crossover."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
