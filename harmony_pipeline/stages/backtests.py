"""Backtests of every strategy and every portfolio of them, and their comparison.

Each is one run (backtest_runs.py) whose tables are written with what they were made from, and
counts as a trial. Everywhere here a portfolio's name may stand for a strategy's.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import polars as pl

from harmony_pipeline.backtest.metrics import sharpe_interval
from harmony_pipeline.errors import NotReady
from harmony_pipeline.reports import sketches
from harmony_pipeline.reports.drawings import Drawing
from harmony_pipeline.reports.figures import (
    equity_comparison,
    equity_curve,
    trade_on_candles,
    trade_return_histogram,
)
from harmony_pipeline.stages.backtest_inputs import backtest_inputs
from harmony_pipeline.stages.backtest_readiness import nothing_to_trade
from harmony_pipeline.stages.backtest_runs import regular_bars, simulated
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.result import Picture, StageResult
from harmony_pipeline.stages.trade_pages import latest_closed
from harmony_pipeline.stages.trials import count_trial, daily_returns_of_equity
from harmony_pipeline.stages.unchanged import unchanged_since

_DRAWN = ("timestamp", "equity")  # of the table equity
BACKTEST_TABLES = (
    "orders", "order_events", "fills", "trades", "position_actions", "equity", "backtests",
)  # fmt: skip


def backtest(pipeline: PipelineContext, strategies: Sequence[str]) -> StageResult:
    """Orders, fills, trades and equity of each strategy's whole portfolio, with costs and limits;
    its configuration counts as a trial.
    """
    parts: dict[str, StageResult] = {}
    bars: pl.DataFrame | None = None
    for number, name in enumerate(strategies, start=1):
        made_from = backtest_inputs(pipeline, name)
        since = unchanged_since(pipeline, BACKTEST_TABLES, name, made_from)
        why = nothing_to_trade(pipeline, name)
        if why:
            parts[name] = _without_backtest(pipeline, name, made_from, why)
        elif since is not None and pipeline.lake.has("trials", name):
            parts[name] = _backtest_made_before(pipeline, name, since)
        else:
            bars = regular_bars(pipeline) if bars is None else bars
            parts[name] = _backtested(pipeline, name, bars, made_from)
        pipeline.progress("backtest", number, len(strategies))
    previews = [part.preview for part in parts.values() if part.preview is not None]
    return StageResult.of(parts, preview=pl.concat(previews) if previews else None)


def _without_backtest(
    pipeline: PipelineContext, strategy: str, made_from: dict[str, str], why: str
) -> StageResult:
    """Empty tables, so that no result of other inputs stays behind; a strategy that never had any
    gets none.
    """
    for table in BACKTEST_TABLES:
        if pipeline.lake.has(table, strategy):
            pipeline.lake.write(table, strategy, pipeline.lake.tables[table].empty(), made_from)
    return StageResult(rows=dict.fromkeys(BACKTEST_TABLES[:-1], 0), nothing=why)


def _backtest_made_before(pipeline: PipelineContext, strategy: str, since: datetime) -> StageResult:
    manifests = {
        table: pipeline.lake.manifest(table, strategy) or {} for table in BACKTEST_TABLES[:-1]
    }
    row = pipeline.lake.read("backtests", [strategy]).drop("parameters")
    return StageResult(
        rows={table: int(made["rows"]) for table, made in manifests.items()},
        preview=row,
        unchanged_since=since,
    )


def _backtested(
    pipeline: PipelineContext, strategy: str, bars: pl.DataFrame, made_from: dict[str, str]
) -> StageResult:
    result = simulated(pipeline, strategy, bars=bars)
    frames = dict(
        zip(
            BACKTEST_TABLES,
            (
                result.orders,
                result.order_events,
                result.fills,
                result.trades,
                result.position_actions,
                result.equity,
                result.row,
            ),
            strict=True,
        )
    )
    for table, frame in frames.items():
        pipeline.lake.write(table, strategy, frame, made_from)
    count_trial(pipeline, strategy, result)
    returns = daily_returns_of_equity(pipeline, result.equity)["return"]
    return StageResult(
        rows={table: frame.height for table, frame in frames.items() if table != "backtests"},
        preview=result.row.drop("parameters"),
        pictures={
            "equity at a glance": sketches.line(returns.fill_null(0.0).cum_sum().to_list()),
            "equity": Drawing.of(
                equity_curve,
                result.equity.select(_DRAWN),
                f"{strategy}: equity after costs",
                None,
                float(result.row["initial_cash"][0]),
            ),
            "trades": Drawing.of(trade_return_histogram, result.trades.select("return")),
            "the trade closed last": Drawing(
                trade_on_candles,
                lambda: (latest_closed(pipeline, strategy, result),),
            ),
        },
        facts=dict(result.position_actions.group_by("kind").len().sort("kind").iter_rows()),
        notes=result.notes,
    )


def latest_backtest(pipeline: PipelineContext, strategy: str) -> dict[str, Any]:
    """The row of the strategy's backtest. Raises NotReady, with the reason, when there is none."""
    row = found_backtest(pipeline, strategy)
    if row is None:
        raise NotReady(no_backtest(pipeline, strategy))
    return row


def found_backtest(pipeline: PipelineContext, strategy: str) -> dict[str, Any] | None:
    """The row of the strategy's backtest; None when there is none."""
    rows = pipeline.lake.read("backtests", [strategy])
    return rows.row(0, named=True) if rows.height else None


def backtested(pipeline: PipelineContext) -> str | None:
    """A strategy with a backtest: the one that sessions trade, else the first other; None without
    any.
    """
    names = dict.fromkeys([pipeline.settings.session.strategy, *pipeline.settings.backtest_names])
    return next((name for name in names if found_backtest(pipeline, name) is not None), None)


def no_backtest(pipeline: PipelineContext, strategy: str) -> str:
    """Why there is no backtest of this strategy, with the command that helps."""
    why = nothing_to_trade(pipeline, strategy)
    return (
        f"no backtest of {strategy}: {why}"
        if why
        else f"no backtest of {strategy} yet; make one with: harmony backtest {strategy}"
    )


def daily_returns_of(pipeline: PipelineContext, strategy: str) -> pl.DataFrame:
    """timestamp, return: one row a session of the strategy's backtest."""
    return daily_returns_of_equity(pipeline, pipeline.lake.read("equity", [strategy]))


def strategy_comparison(pipeline: PipelineContext) -> StageResult:
    """Every strategy's metrics side by side, the Sharpe ratio with its interval."""
    rows, notes, reasons = [], [], []
    for name in pipeline.settings.backtest_names:
        run = found_backtest(pipeline, name)
        if run is None:
            notes.append(no_backtest(pipeline, name))
            reasons.append(nothing_to_trade(pipeline, name) or notes[-1])
            continue
        low, high = sharpe_of(pipeline, name)[1:]
        kept = (
            "annual_return",
            "annual_volatility",
            "sharpe",
            "max_drawdown",
            "trades",
            "win_rate",
            "profit_factor",
            "turnover",
            "fees",
            "slippage",
        )
        rows.append(
            {
                "strategy": name,
                **{key: run[key] for key in kept},
                "sharpe_low": low,
                "sharpe_high": high,
            }
        )
    if not rows:
        return StageResult(rows={"strategies": 0}, nothing="; ".join(dict.fromkeys(reasons)))
    table = pl.DataFrame(rows, infer_schema_length=None).sort(
        "sharpe", "strategy", descending=[True, False], nulls_last=True
    )
    curves = {
        row["strategy"]: pipeline.lake.read("equity", [row["strategy"]]).select(_DRAWN)
        for row in rows
    }
    pictures: dict[str, Picture] = {
        "Sharpe ratios in this order": sketches.bars(table["sharpe"].fill_null(0.0).to_list()),
        "strategies compared": Drawing.of(equity_comparison, curves),
    }
    return StageResult(
        rows={"strategies": table.height}, preview=table, pictures=pictures, notes=notes
    )


def sharpe_of(
    pipeline: PipelineContext, strategy: str
) -> tuple[float | None, float | None, float | None]:
    """Annualised Sharpe ratio of the backtest with its 95 % interval."""
    returns = daily_returns_of(pipeline, strategy)["return"].drop_nulls().to_numpy()
    interval = sharpe_interval(
        returns, 0.95, pipeline.calendar.for_timeframe(pipeline.timeframe).sessions_per_year
    )
    return latest_backtest(pipeline, strategy)["sharpe"], interval[0], interval[1]
