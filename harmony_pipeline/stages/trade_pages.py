"""The page of a strategy's trades on their candles, from the tables of its latest backtest."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from harmony_pipeline.backtest.simulator import BacktestResult
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.reports.trade_page import trade_page
from harmony_pipeline.reports.trade_views import TradeView, chosen_trades, trade_view
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.trading_rules import given_rules, members_of

# of bars read around a trade: more than are shown, also of weekly bars
_AROUND = timedelta(days=120)


def page_path(pipeline: PipelineContext, strategy: str) -> Path:
    """Where the page of a strategy lies, beside its tear sheet."""
    return pipeline.settings.state_root / "reports" / f"{strategy}-trades.html"


def trade_page_of(pipeline: PipelineContext, strategy: str, backtest_id: str) -> str:
    """The page of the backtest of a strategy or portfolio."""
    views = trade_views(pipeline, strategy)
    return trade_page(strategy, backtest_id, views, f"{strategy}.html")


def trade_views(pipeline: PipelineContext, strategy: str) -> list[TradeView]:
    """The chosen trades of the strategy's backtest."""
    orders, fills = (
        pipeline.lake.read("orders", [strategy]),
        pipeline.lake.read("fills", [strategy]),
    )
    rules = _rules_of(pipeline, strategy)
    found = (
        _view(pipeline, trade, why, orders, fills, rules)
        for trade, why in chosen_trades(pipeline.lake.read("trades", [strategy]))
    )
    return [view for view in found if view is not None]


def _rules_of(pipeline: PipelineContext, strategy: str) -> dict[str | None, TradingRules]:
    """The rules that a trade is left by, by the strategy that it names; none in tables of before
    there were portfolios.
    """
    names = members_of(pipeline, strategy)
    rules: dict[str | None, TradingRules] = {name: given_rules(pipeline, name) for name in names}
    return rules | {None: rules[strategy]} if strategy in rules else rules


def latest_closed(
    pipeline: PipelineContext, strategy: str, result: BacktestResult
) -> TradeView | None:
    """The trade that was closed last, for the picture of a backtest."""
    closed = result.trades.drop_nulls("exit_timestamp").sort("exit_timestamp", "trade_id")
    return (
        _view(
            pipeline,
            closed.row(-1, named=True),
            ("closed last",),
            result.orders,
            result.fills,
            _rules_of(pipeline, strategy),
        )
        if closed.height
        else None
    )


def _view(
    pipeline: PipelineContext,
    trade: Mapping[str, Any],
    why: tuple[str, ...],
    orders: pl.DataFrame,
    fills: pl.DataFrame,
    rules: Mapping[str | None, TradingRules],
) -> TradeView | None:
    entry: datetime = trade["entry_timestamp"]
    first, last = entry - _AROUND, (trade["exit_timestamp"] or entry + 20 * _AROUND) + _AROUND
    held_under = _symbols(trade, orders)
    bars = (
        pipeline.lake.scan("bars", pipeline.overlapping(first, last))
        .filter(pl.col("symbol").is_in(held_under) & pl.col("timestamp").is_between(first, last))
        .collect(engine="in-memory")
    )
    instrument = pipeline.instruments.at(trade["symbol"], entry.date())
    own = rules.get(trade["strategy"])
    horizon, sessions = (None, 0) if own is None else (own.horizon, own.vertical_sessions)
    return trade_view(
        trade, why, bars, orders, fills, instrument, pipeline.calendar, pipeline.timeframe,
        horizon, sessions,
    )  # fmt: skip


def _symbols(trade: Mapping[str, Any], orders: pl.DataFrame) -> list[str]:
    """The symbols under which the position was held: a change of symbol carries it on."""
    legs = orders.filter(pl.col("parent_id") == f"{trade['trade_id']}-entry")["symbol"]
    return sorted({trade["symbol"], *legs.to_list()})
