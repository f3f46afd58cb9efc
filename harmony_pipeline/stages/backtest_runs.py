"""One run of a strategy or portfolio through the simulator, over the lake.

One path for all: the strategy's primary signals, filtered by out-of-sample probabilities where it
uses a model, through the portfolio simulator. A state machine with `on_fill` goes through the same
books event by event (backtest/event_driver.py), and one that acts on quotes tick by tick
(backtest/quote_driver.py). A grid point is the same path with other parameters. A portfolio runs
the signals of several strategies on one account (shared_accounts.py).
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any, TypedDict

import polars as pl

from harmony_pipeline.backtest.event_driver import run_machine_backtest
from harmony_pipeline.backtest.input_arrays import SIGNAL_DTYPES
from harmony_pipeline.backtest.runs import Market
from harmony_pipeline.backtest.shared_account import Member
from harmony_pipeline.backtest.shared_machines import MachineInputs
from harmony_pipeline.backtest.simulator import BacktestResult, run_backtest
from harmony_pipeline.backtest.table_columns import RunLabel
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.frames import sort_rows
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.stages.backtest_inputs import backtest_id
from harmony_pipeline.stages.backtest_readiness import first_prediction, nothing_to_trade
from harmony_pipeline.stages.backtest_remarks import remarks
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.lives import last_day, lives_of
from harmony_pipeline.stages.quote_runs import run_over_ticks
from harmony_pipeline.stages.shared_accounts import Account, account_parameters, account_weights
from harmony_pipeline.stages.sizing_policies import learns, with_learned
from harmony_pipeline.stages.strategy_signals import SignalInputs, strategy_signals
from harmony_pipeline.stages.trading_rules import given_rules, members_of, trading_rules
from harmony_pipeline.strategies.base import Learner, Stepwise
from harmony_pipeline.strategies.registry import build_strategy
from harmony_pipeline.strategies.settings import acts_on_quotes


def simulated(
    pipeline: PipelineContext,
    strategy: str,
    overrides: Mapping[str, Any] | None = None,
    bars: pl.DataFrame | None = None,
    *,
    in_lake: bool = True,
) -> BacktestResult:
    """Run one strategy over the lake, with its own parameters or other ones. in_lake: whether the
    lake has its signals. A state machine with `on_fill` is given the fills of its orders. The
    result's notes begin with what is to be said of one that hardly traded.
    """
    result = _simulated(pipeline, strategy, overrides, bars, in_lake=in_lake)
    labels = map(pipeline.settings.labels_of, members_of(pipeline, strategy))
    said = remarks(result, max(one.minimum_barrier_bps for one in labels))
    return replace(result, notes=[*said, *result.notes])


def _simulated(
    pipeline: PipelineContext,
    strategy: str,
    overrides: Mapping[str, Any] | None,
    bars: pl.DataFrame | None,
    *,
    in_lake: bool,
) -> BacktestResult:
    if strategy in pipeline.settings.portfolios:
        return _simulated_account(pipeline, strategy, overrides or {}, bars)
    chosen = pipeline.strategy_settings(strategy)
    if acts_on_quotes(chosen):
        own_id = backtest_id(pipeline, strategy, {**chosen.parameters, **(overrides or {})})
        rules = given_rules(pipeline, strategy)
        return run_over_ticks(
            pipeline, strategy, chosen, overrides or {}, rules, backtest_id=own_id
        ).result()
    inputs = SignalInputs(pipeline, strategy, (overrides or {},), in_lake)
    if hears_fills(pipeline, strategy):
        return _simulated_events(pipeline, strategy, inputs, overrides or {})
    signals = inputs.signals(overrides)
    regular = tradable_bars(pipeline, strategy, regular_bars(pipeline) if bars is None else bars)
    described = _described(pipeline, strategy, {**chosen.parameters, **(overrides or {})})

    def run(rules: TradingRules) -> BacktestResult:
        return run_backtest(
            regular, signals, pipeline.lake.read("corporate_actions"),
            rules, pipeline.calendar, pipeline.timeframe, **described,
        )  # fmt: skip

    rules = given_rules(pipeline, strategy)
    if learns(rules.risk):
        rules = with_learned(pipeline, strategy, rules, signals, run, keep=not overrides)
    return run(rules)


def _simulated_account(
    pipeline: PipelineContext,
    name: str,
    overrides: Mapping[str, Any],
    bars: pl.DataFrame | None,
) -> BacktestResult:
    if overrides:
        raise ConfigError(
            f"portfolio {name} has no parameter {', '.join(sorted(overrides))}: change those of its"
            f" strategies under [strategies], or its own under [portfolios.{name}]"
        )
    regular = regular_bars(pipeline) if bars is None else bars
    parameters = account_parameters(
        pipeline.settings.portfolios[name], pipeline.settings.strategies
    )
    own_id = backtest_id(pipeline, name, parameters)
    return shared_account(pipeline, name, regular).run(RunLabel(own_id, own_id, name, parameters))


def shared_account(
    pipeline: PipelineContext, name: str, bars: pl.DataFrame, next_session: date | None = None
) -> Account:
    """A portfolio over `regular_bars`. A strategy of it that has nothing to trade yet says
    nothing. next_session: one after the bars that has weights, too.
    """
    settings = pipeline.settings.portfolios[name]
    members: dict[str, Member] = {}
    markets: dict[str, Market] = {}
    for member, chosen in members_of(pipeline, name).items():
        rules, nothing = trading_rules(pipeline, member), pl.DataFrame(schema=SIGNAL_DTYPES)
        built = build_strategy(chosen)
        if nothing_to_trade(pipeline, member):
            members[member] = Member(nothing, rules)
        elif hears_fills(pipeline, member) and isinstance(built, Stepwise):
            heard = SignalInputs(pipeline, member).events()
            members[member] = Member(nothing, rules, MachineInputs(built.machine, *heard))
        else:
            members[member] = Member(strategy_signals(pipeline, member), rules)
        markets[member] = traded_market(pipeline, member, bars)
    # the account begins when its first strategy does
    market = min(markets.values(), key=lambda one: (one.first is None, one.first or date.max))
    weights = account_weights(settings, market, members, markets, next_session)
    return Account(market, members, weights)


def hears_fills(pipeline: PipelineContext, strategy: str) -> bool:
    """Whether a strategy is a state machine with `on_fill`, or on quotes, so that signals do not
    tell all that it does. Raises ConfigError where it uses a model, which judges signals.
    """
    if strategy in pipeline.settings.portfolios:
        return any(hears_fills(pipeline, one) for one in members_of(pipeline, strategy))
    chosen = pipeline.strategy_settings(strategy)
    if acts_on_quotes(chosen):
        return True
    built = build_strategy(chosen)
    if not (isinstance(built, Stepwise) and built.hears_fills):
        return False
    if learns(pipeline.settings.risk_of(strategy)):
        raise ConfigError(
            f'strategies.{strategy}: {chosen.use} has on_fill, and risk.sizing = "bandit" learns'
            " from signals that are made before any fill: choose another sizing"
        )
    if chosen.uses_model:
        raise ConfigError(
            f"strategies.{strategy}: {chosen.use} has on_fill, and a model judges signals that are"
            " made before any fill: set uses_model = false, or take on_fill away"
        )
    return True


def _simulated_events(
    pipeline: PipelineContext,
    strategy: str,
    inputs: SignalInputs,
    overrides: Mapping[str, Any],
) -> BacktestResult:
    chosen = pipeline.strategy_settings(strategy)
    built = build_strategy(chosen, overrides)
    assert isinstance(built, Stepwise)
    bars, features = inputs.events(overrides)
    return run_machine_backtest(
        built.machine(), bars, features, pipeline.lake.read("corporate_actions"),
        trading_rules(pipeline, strategy), pipeline.calendar, pipeline.timeframe,
        **_described(pipeline, strategy, {**chosen.parameters, **overrides}),
    )  # fmt: skip


class _Described(TypedDict):
    """What the drivers over bars are told of a run beside its inputs and rules."""

    backtest_id: str
    strategy: str
    parameters: Mapping[str, Any]
    lives: pl.DataFrame
    until: date | None


def _described(
    pipeline: PipelineContext, strategy: str, parameters: Mapping[str, Any]
) -> _Described:
    return {
        "backtest_id": backtest_id(pipeline, strategy, parameters),
        "strategy": strategy,
        "parameters": parameters,
        "lives": lives_of(pipeline),
        "until": last_day(pipeline),
    }


def traded_market(pipeline: PipelineContext, strategy: str, bars: pl.DataFrame) -> Market:
    """The market of a strategy, ready for any number of runs with other parameters."""
    return Market.of(
        tradable_bars(pipeline, strategy, bars),
        pipeline.lake.read("corporate_actions"),
        pipeline.calendar,
        pipeline.timeframe,
        lives=lives_of(pipeline),
        until=last_day(pipeline),
    )


def tradable_bars(pipeline: PipelineContext, strategy: str, bars: pl.DataFrame) -> pl.DataFrame:
    """Those of `bars` that the strategy may trade on: a model strategy begins with its model, one
    that learns from earlier periods with the first that it has learned enough for.
    """
    chosen = pipeline.strategy_settings(strategy)
    built = build_strategy(chosen)
    if isinstance(built, Learner):
        dates = bars["timestamp"].dt.date()
        first = built.first_day(dates.unique().sort())
        bars = bars.filter(dates >= first) if first else bars.clear()
    if not chosen.uses_model:
        return bars
    return bars.filter(pl.col("timestamp") >= first_prediction(pipeline))


def regular_bars(pipeline: PipelineContext) -> pl.DataFrame:
    """Bars that can be traded on, sorted by symbol and time."""
    bars = pipeline.lake.scan("bars").filter(pl.col("session") == "regular")
    return sort_rows(bars.collect(engine="in-memory"), ("symbol", "timestamp"))
