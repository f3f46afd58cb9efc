"""Runs of machines on quotes over the lake: its ticks, what was known of volatility, corporate
actions and lives, under rules that are given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from harmony_pipeline.backtest.quote_driver import QuoteBacktest, run_quote_backtest
from harmony_pipeline.errors import ConfigError, NotReady
from harmony_pipeline.execution.matching_engine import EngineSettings
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.lives import lives_of
from harmony_pipeline.stages.reasons import NO_QUOTES
from harmony_pipeline.stages.sizing_policies import learns
from harmony_pipeline.strategies.registry import build_machine
from harmony_pipeline.strategies.settings import StrategySettings

TICK_TABLES = ("quote_ticks", "trade_ticks")
_VOLATILITY = "volatility_20"


@dataclass(frozen=True)
class TickSpan:
    """Which ticks a run is given: of these symbols, with `start <= timestamp < end`; None: all."""

    symbols: Sequence[str] | None = None
    start: datetime | None = None
    end: datetime | None = None

    def without_rows(self, rows: pl.DataFrame) -> str:
        """The symbols that were asked for and have none; empty where each has."""
        return ", ".join(sorted({*(self.symbols or ())} - {*rows["symbol"].unique()}))

    def of(self, rows: pl.LazyFrame) -> pl.DataFrame:
        """The rows within it, by symbol and time."""
        if self.symbols is not None:
            rows = rows.filter(pl.col("symbol").is_in(list(self.symbols)))
        if self.start is not None:
            rows = rows.filter(pl.col("timestamp") >= self.start)
        if self.end is not None:
            rows = rows.filter(pl.col("timestamp") < self.end)
        return rows.collect(engine="in-memory").sort("symbol", "timestamp", maintain_order=True)


def run_over_ticks(
    pipeline: PipelineContext,
    name: str,
    chosen: StrategySettings,
    overrides: Mapping[str, Any],
    rules: TradingRules,
    *,
    backtest_id: str | None = None,
    span: TickSpan | None = None,
    venue: EngineSettings | None = None,
) -> QuoteBacktest:
    """A machine on quotes over the ticks of the lake. Raises NotReady where there are none, and
    ConfigError for what is no such machine, or uses a model or a learned size, which judge bars.
    """
    if chosen.uses_model or learns(rules.risk):
        what = "uses_model = true" if chosen.uses_model else 'risk.sizing = "bandit"'
        raise ConfigError(
            f"strategies.{name}: {chosen.use} acts on quotes, and {what} judges signals of bars:"
            " choose otherwise"
        )
    machine, within = build_machine(chosen, overrides), span or TickSpan()
    quotes, trades = (within.of(pipeline.lake.scan(table)) for table in TICK_TABLES)
    if quotes.is_empty():
        raise NotReady(NO_QUOTES)
    if missing := within.without_rows(quotes):
        raise NotReady(f"{NO_QUOTES} (there are none of {missing})")
    return run_quote_backtest(
        machine, quotes, trades, rules, pipeline.exchange, venue,
        codes=pipeline.settings.market.ticks.condition_codes, strategy=name,
        book=backtest_id or name, backtest_id=backtest_id or name,
        parameters={**chosen.parameters, **overrides},
        actions=pipeline.lake.read("corporate_actions"), lives=lives_of(pipeline),
        volatilities=volatilities(pipeline, quotes["symbol"].unique().to_list()),
    )  # fmt: skip


def has_quotes(pipeline: PipelineContext) -> bool:
    """Whether the lake has any quote."""
    return not pipeline.lake.scan("quote_ticks").head(1).collect(engine="in-memory").is_empty()


def volatilities(pipeline: PipelineContext, symbols: Sequence[str]) -> pl.DataFrame | None:
    """What the features said of a bar's volatility, since the end of each bar; None: there are no
    features.
    """
    if not pipeline.lake.partitions("features"):
        return None
    known = pipeline.lake.scan("features")
    if _VOLATILITY not in known.collect_schema().names():
        return None
    rows = (
        known.filter(pl.col("symbol").is_in(list(symbols)) & pl.col(_VOLATILITY).is_not_null())
        .select("symbol", "timestamp", volatility=_VOLATILITY)
        .collect(engine="in-memory")
    )
    ended = pipeline.calendar.with_session(rows, pipeline.timeframe)
    return ended.select("symbol", known_at="bar_end", volatility="volatility")
