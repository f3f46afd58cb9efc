"""Backtests of machines on quotes over the lake's quote and trade ticks.

They write no table and count as no trial: a few days of ticks say nothing of a Sharpe ratio.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from harmony_pipeline.backtest.quote_driver import QuoteBacktest, run_quote_backtest
from harmony_pipeline.errors import ConfigError, NotReady
from harmony_pipeline.execution.matching_engine import EngineSettings
from harmony_pipeline.stages.backtests import trading_rules
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.preparation import settings_of_class, with_strategy
from harmony_pipeline.strategies.registry import build_machine
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
    machine = build_machine(chosen, parameters)
    quotes, trades = (
        _ticks(pipeline, table, symbols, start, end) for table in ("quote_ticks", "trade_ticks")
    )
    if quotes.is_empty():
        raise NotReady(
            "the lake has no quotes of these symbols and days; bring some with: harmony ticks"
            " --from DAY"
        )
    return run_quote_backtest(
        machine, quotes, trades, trading_rules(with_strategy(pipeline, name, chosen), name),
        pipeline.exchange, venue,
        codes=pipeline.settings.market.ticks.condition_codes, strategy=name, book=name,
    )  # fmt: skip


def _ticks(
    pipeline: PipelineContext,
    table: str,
    symbols: Sequence[str] | None,
    start: datetime | None,
    end: datetime | None,
) -> pl.DataFrame:
    rows = pipeline.lake.scan(table)
    if symbols is not None:
        rows = rows.filter(pl.col("symbol").is_in(list(symbols)))
    if start is not None:
        rows = rows.filter(pl.col("timestamp") >= start)
    if end is not None:
        rows = rows.filter(pl.col("timestamp") < end)
    return rows.collect(engine="in-memory").sort("symbol", "timestamp", maintain_order=True)
