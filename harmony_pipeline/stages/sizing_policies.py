"""The learned policy of size (`risk.sizing = "bandit"`) of each retraining period: learned from the
trades of the same strategy at the whole volatility target that were settled before the period.

It is part of a strategy's recipe like any other setting: a backtest with it is a trial of its own,
and nothing here promotes anything.
"""

from collections.abc import Callable
from dataclasses import replace

import polars as pl

from harmony_pipeline.backtest.policy_lessons import lessons_of
from harmony_pipeline.backtest.simulator import BacktestResult
from harmony_pipeline.errors import NotReady
from harmony_pipeline.instants import micros
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.risk.bandit import LearnedPolicy, learn_policies
from harmony_pipeline.risk.policies import SizingPolicies
from harmony_pipeline.risk.policy_kernels import SIGNAL_NAMES
from harmony_pipeline.risk.settings import RiskSettings
from harmony_pipeline.schemas import SIZING_POLICIES
from harmony_pipeline.stages.context import PipelineContext


def learns(risk: RiskSettings) -> bool:
    """Whether the size of a trade is learned."""
    return risk.sizing == "bandit"


def with_policies(pipeline: PipelineContext, strategy: str, rules: TradingRules) -> TradingRules:
    """The rules with the policies that the lake has of the strategy. Raises NotReady before there
    are any.
    """
    if not pipeline.lake.has("sizing_policies", strategy):
        raise NotReady(
            f"there is no learned size of {strategy} yet; learn it with: harmony backtest"
            f" {strategy}"
        )
    table = pipeline.lake.read("sizing_policies", [strategy])
    return replace(rules, policies=SizingPolicies.of_table(table))


def with_learned(
    pipeline: PipelineContext,
    strategy: str,
    rules: TradingRules,
    signals: pl.DataFrame,
    run: Callable[[TradingRules], BacktestResult],
    *,
    keep: bool,
) -> TradingRules:
    """The rules with the policies of a strategy. `keep`: it runs as it stands in the settings, so
    they are learned anew and kept in the lake; else those in the lake hold for its other parameters
    too, and without any they are learned for this run alone.
    """
    if not keep and pipeline.lake.has("sizing_policies", strategy):
        return with_policies(pipeline, strategy, rules)
    learned = learned_table(pipeline, rules, signals, run)
    if keep and not pipeline.lake.read("sizing_policies", [strategy]).equals(learned):
        made_from = {"rules": pipeline.fingerprint(rules.risk)}
        pipeline.lake.write("sizing_policies", strategy, learned, made_from)
    return replace(rules, policies=SizingPolicies.of_table(learned))


def learned_table(
    pipeline: PipelineContext,
    rules: TradingRules,
    signals: pl.DataFrame,
    run: Callable[[TradingRules], BacktestResult],
) -> pl.DataFrame:
    """SIZING_POLICIES of one strategy. `run` backtests it by the rules that it is given."""
    risk = rules.risk
    whole = replace(rules, risk=risk.model_copy(update={"sizing": "volatility_target"}))
    lessons = lessons_of(run(whole), signals, whole, pipeline.calendar, pipeline.timeframe)
    periods = pipeline.retraining_periods()
    starts = [micros(period.start) for period in periods]
    learned = learn_policies(lessons, risk.bandit, starts)
    rows = [
        row
        for period, policy in zip(periods, learned, strict=True)
        for row in _rows(period.key, policy, risk.bandit_multipliers, period.first_date)
    ]
    return SIZING_POLICIES.conform(pl.DataFrame(rows, infer_schema_length=None))


def _rows(
    key: str, policy: LearnedPolicy, multipliers: tuple[float, ...], since: object
) -> list[dict[str, object]]:
    return [
        {
            "period": key,
            "since": since,
            "multiplier": multiplier,
            "trades": policy.trades,
            **{
                name: None if policy.weights is None else float(policy.weights[place, column])
                for column, name in enumerate(SIGNAL_NAMES)
            },
        }
        for place, multiplier in enumerate(multipliers)
    ]
