"""The trials of every strategy: each configuration that was ever backtested is kept and counted.

A configuration is everything that shapes the returns and that somebody chose: market and dates,
features, labels, model and training, costs, risk, execution, strategy and its code. It is not the
data: on a lake that grows the same configuration has a longer record, and its latest returns are
kept. What cannot reach a strategy's returns (the model, where it uses none) is left out, so that it
does not count there.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl

from harmony_pipeline.backtest.metrics import daily_returns
from harmony_pipeline.backtest.simulator import BacktestResult
from harmony_pipeline.portfolio.settings import SharedAccountSettings
from harmony_pipeline.robustness.sensitivity import Trial, TrialRows, merge_trials, trial_rows
from harmony_pipeline.stages.code_identity import source_of
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.strategies.settings import StrategySettings


def daily_returns_of_equity(pipeline: PipelineContext, equity: pl.DataFrame) -> pl.DataFrame:
    """Timestamp and return of every session of a backtest."""
    return daily_returns(
        equity, pipeline.calendar, pipeline.settings.backtest.initial_cash, pipeline.timeframe
    )


def count_trial(pipeline: PipelineContext, strategy: str, result: BacktestResult) -> None:
    """A backtest with the strategy's own parameters is a trial."""
    parameters = json.loads(result.row["parameters"][0])
    returns = daily_returns_of_equity(pipeline, result.equity)
    keep_trials(pipeline, strategy, [Trial(strategy, parameters, returns, datetime.now(UTC))])


def keep_trials(
    pipeline: PipelineContext, strategy: str, trials: Sequence[Trial], grid: str | None = None
) -> pl.DataFrame:
    """Add trials to those ever made; a repeated configuration is the same trial. `grid` names an
    evaluated grid with all its inputs.
    """
    before = TrialRows(
        pipeline.lake.read("trials", [strategy]), pipeline.lake.read("trial_returns", [strategy])
    )
    year = pipeline.calendar.for_timeframe(pipeline.timeframe).sessions_per_year
    chosen = configuration(pipeline, strategy)
    merged = merge_trials(before, trial_rows(trials, chosen, year), year)
    made_from = {
        "bars": pipeline.fingerprint(pipeline.lake.content_hashes("bars")),
        "grid": evaluated_grid(pipeline, strategy) if grid is None else grid,
    }
    pipeline.lake.write("trials", strategy, merged.trials, made_from)
    pipeline.lake.write("trial_returns", strategy, merged.returns, made_from)
    return merged.trials


def configuration(pipeline: PipelineContext, strategy: str) -> str:
    """A hash of every setting behind the returns of a strategy or portfolio, but for the
    parameters of the strategy, which each trial names.
    """
    settings = pipeline.settings
    account = settings.portfolios.get(strategy)
    names = (strategy,) if account is None else account.strategies
    members = {name: settings.strategies[name] for name in names}
    market = settings.market.model_dump(mode="json")
    parts = [
        {name: market[name] for name in (*_MARKET, market["source"]) if name in market},
        pipeline.calendar.grid.text,
        settings.labels, settings.risk, settings.costs, settings.execution_noise,
        settings.backtest, settings.features.cusum_threshold,
        source_of(*(one.use for one in members.values()), *settings.features.own),
        {name: _without(one, ("grid", "enabled", *_own_parameters(account)))
         for name, one in members.items()},
        account,
    ]  # fmt: skip
    if any(one.uses_model for one in members.values()):
        parts += [
            settings.model, settings.features, settings.regimes, settings.session.strategy,
            source_of(settings.model.forecaster), market["partitions"]["retraining_period"],
        ]  # fmt: skip
    if any(one.watch == "scanner" for one in members.values()):
        parts.append(settings.scanner)
    if pipeline.feature_set.reads_news:
        parts.append(settings.news)
    if pipeline.feature_set.reads_sectors:
        parts.append("sectors as known")
    parts += filter_rule(pipeline, members.values())
    return pipeline.fingerprint(*parts)


def filter_rule(
    pipeline: PipelineContext, members: Iterable[StrategySettings]
) -> tuple[float, ...]:
    """The setting of the gate that decides in which periods forecasts filter the trades of these
    strategies; empty where none asks for it.
    """
    asks = any(one.uses_model and one.model_filter == "when_useful" for one in members)
    return (pipeline.settings.gate.maximum_forecast_pvalue,) if asks else ()


# what decides which bars there are; the settings of the source in use are added
_MARKET = (
    "calendar", "timeframe", "symbols", "benchmark", "start", "end", "extended_hours", "source",
    "quality", "ticks", "instruments",
)  # fmt: skip


def _own_parameters(account: SharedAccountSettings | None) -> tuple[str, ...]:
    """A strategy's trials name its parameters; those of a portfolio's members belong to its
    configuration.
    """
    return ("parameters",) if account is None else ()


def _without(part: StrategySettings, names: tuple[str, ...]) -> dict[str, Any]:
    values = part.model_dump(mode="json")
    return {name: value for name, value in values.items() if name not in names}


def configured_trials(pipeline: PipelineContext, strategy: str) -> pl.DataFrame:
    """The trials of a strategy under the settings of today; where there are none, those under the
    settings that were tried last.
    """
    trials = pipeline.lake.read("trials", [strategy]).sort("evaluated_at")
    own = trials.filter(pl.col("configuration") == configuration(pipeline, strategy))
    if own.height or trials.is_empty():
        return own
    return trials.filter(pl.col("configuration").eq_missing(trials["configuration"][-1]))


def evaluated_grid(pipeline: PipelineContext, strategy: str) -> str:
    """Which grid was evaluated last, with all its inputs; empty when none was."""
    return str(
        (pipeline.lake.manifest("trials", strategy) or {}).get("made_from", {}).get("grid", "")
    )
