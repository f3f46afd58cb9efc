"""Backtests of machines on quotes over chosen ticks of the lake, for a script.

They write no table and count as no trial: a few days of ticks say nothing of a Sharpe ratio. The
asset `backtest` runs a strategy of the settings over all ticks, writes the tables and counts it
(stages/backtests.py).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from harmony_pipeline.backtest.quote_driver import QuoteBacktest
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.execution.matching_engine import EngineSettings
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.preparation import settings_of_class, with_strategy
from harmony_pipeline.stages.quote_runs import TickSpan, run_over_ticks
from harmony_pipeline.stages.trading_rules import trading_rules
from harmony_pipeline.strategies.registry import refuse_misspelt
from harmony_pipeline.suggestions import unknown_name


def quote_backtest(
    pipeline: PipelineContext,
    strategy: str | type,
    parameters: Mapping[str, Any],
    *,
    symbols: Sequence[str] | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    venue: EngineSettings | None = None,
) -> QuoteBacktest:
    """A machine on quotes over the ticks of the lake with `start <= timestamp < end`.

    strategy: a name of `[strategies]`, active or not, or a class. Raises ConfigError for what is no
    machine on quotes, and NotReady where the lake has no such quotes.
    """
    if isinstance(strategy, str):
        known = pipeline.settings.strategies
        if strategy not in known:
            raise ConfigError(unknown_name("strategy", strategy, list(known)))
        name, chosen = strategy, known[strategy]
    else:
        name, chosen = settings_of_class(strategy)
    refuse_misspelt(chosen.use, parameters, ("symbols", "start", "end", "venue"))
    rules = trading_rules(with_strategy(pipeline, name, chosen), name)
    span = TickSpan(symbols, start, end)
    return run_over_ticks(pipeline, name, chosen, parameters, rules, span=span, venue=venue)
