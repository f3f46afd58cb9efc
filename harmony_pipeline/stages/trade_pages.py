"""The page of a strategy's trades on their candles, from the tables of its latest backtest."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from harmony_pipeline.backtest.simulator import BacktestResult
from harmony_pipeline.reports.trade_page import trade_page
from harmony_pipeline.reports.trade_views import TradeView, chosen_trades, trade_view
from harmony_pipeline.stages.context import PipelineContext

# of bars read around a trade: more than are shown, also of weekly bars
_AROUND = timedelta(days=120)


def page_path(pipeline: PipelineContext, strategy: str) -> Path:
    """Where the page of a strategy lies, beside its tear sheet."""
    return pipeline.settings.state_root / "reports" / f"{strategy}-trades.html"


def trade_page_of(pipeline: PipelineContext, strategy: str, backtest_id: str, horizon: int) -> str:
    """The page of a backtest; `horizon` is that of the strategy's barriers."""
    views = trade_views(pipeline, strategy, horizon)
    return trade_page(strategy, backtest_id, views, f"{strategy}.html")


def trade_views(pipeline: PipelineContext, strategy: str, horizon: int) -> list[TradeView]:
    """The chosen trades of the strategy's backtest."""
    orders, fills = (
        pipeline.lake.read("orders", [strategy]),
        pipeline.lake.read("fills", [strategy]),
    )
    found = (
        _view(pipeline, trade, why, orders, fills, horizon)
        for trade, why in chosen_trades(pipeline.lake.read("trades", [strategy]))
    )
    return [view for view in found if view is not None]


def latest_closed(
    pipeline: PipelineContext, result: BacktestResult, horizon: int
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
            horizon,
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
    horizon: int,
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
    return trade_view(
        trade, why, bars, orders, fills, instrument, pipeline.calendar, pipeline.timeframe, horizon
    )


def _symbols(trade: Mapping[str, Any], orders: pl.DataFrame) -> list[str]:
    """The symbols under which the position was held: a change of symbol carries it on."""
    legs = orders.filter(pl.col("parent_id") == f"{trade['trade_id']}-entry")["symbol"]
    return sorted({trade["symbol"], *legs.to_list()})
