"""Every figure and table of one backtest, from its tables and the bars it ran on.

>>> found = analyse(tables, calendar, "15Min", bars=bars, benchmark=buy_and_hold(bars, ...))
>>> found.figures["sharpe"], found.drawdowns, found.by_symbol
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from harmony_pipeline.analytics.attribution import CAUSES, attribution, trade_causes
from harmony_pipeline.analytics.benchmark import (
    FIGURES,
    benchmark_figures,
    rolling_figures,
)
from harmony_pipeline.analytics.definitions import DEFINITIONS
from harmony_pipeline.analytics.drawdowns import drawdown_figures, drawdown_table, underwater
from harmony_pipeline.analytics.months import month_figures, monthly_table
from harmony_pipeline.analytics.returns import return_figures
from harmony_pipeline.analytics.trading import (
    capacity_figures,
    execution_figures,
    exposure_figures,
    trade_figures,
)
from harmony_pipeline.backtest.metrics import backtest_metrics, daily_returns, sharpe_interval
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.robustness.regimes import UNKNOWN, regime_stability

_REGIME_FIGURES = ("profitable_regimes", "worst_regime_sharpe", "regime_spread")


@dataclass(frozen=True)
class BacktestTables:
    """The tables of one backtest, as in schemas/, and what it started from."""

    strategy: str
    initial_cash: float
    equity: pl.DataFrame
    trades: pl.DataFrame
    orders: pl.DataFrame
    fills: pl.DataFrame


@dataclass(frozen=True)
class Analysis:
    """What is known of one backtest.

    figures: every name of DEFINITIONS; None where it cannot be measured. daily: timestamp (midnight
    UTC of the session date), return, underwater. drawdowns: drawdowns.COLUMNS. months: one row a
    year. rolling: timestamp, sharpe, volatility, beta over `window` sessions. trades: the closed
    trades with their causes. by_symbol, by_side, by_exit, by_strategy: attribution.
    causes: currency by cause, `open` is the result of positions that are still open; they sum to
    the change of equity. regimes: schemas.REGIME_STABILITY. benchmark: timestamp, return.
    """

    strategy: str
    figures: dict[str, float | None]
    sharpe_interval: tuple[float | None, float | None]
    daily: pl.DataFrame
    drawdowns: pl.DataFrame
    months: pl.DataFrame
    rolling: pl.DataFrame
    window: int
    trades: pl.DataFrame
    by_symbol: pl.DataFrame
    by_side: pl.DataFrame
    by_exit: pl.DataFrame
    by_strategy: pl.DataFrame
    causes: dict[str, float]
    regimes: pl.DataFrame | None = None
    benchmark: pl.DataFrame | None = None
    benchmark_name: str = "market"


def analyse(
    run: BacktestTables,
    calendar: Calendar,
    timeframe: str,
    bars: pl.DataFrame,
    *,
    benchmark: pl.DataFrame | None = None,
    benchmark_name: str = "market",
    regimes: pl.DataFrame | None = None,
    multipliers: pl.DataFrame | None = None,
    window: int | None = None,
) -> Analysis:
    """All of it. bars: the regular bars that it traded (schemas.BARS). benchmark: timestamp, return
    by session date. regimes: schemas.REGIMES. multipliers: as market/multipliers.py gives them.
    window: sessions of the rolling figures, by default a year for a run of five years or more, else
    a quarter, and no more than a quarter of the run.
    """
    year = calendar.for_timeframe(timeframe).sessions_per_year
    daily = daily_returns(run.equity, calendar, run.initial_cash, timeframe)
    if window is None:
        window = _default_window(daily.height, year)
    daily = daily.with_columns(underwater=pl.Series(underwater(daily["return"].to_numpy())))
    known = None if regimes is None else regime_stability(daily, regimes, run.strategy, year)
    trades = trade_causes(run.trades, run.orders, run.fills, bars, multipliers)
    start = run.initial_cash
    metrics = backtest_metrics(
        run.equity, run.fills, run.trades, calendar, start, timeframe, multipliers
    )
    found = {
        **metrics,
        **_run_figures(run, daily, bars, multipliers),
        **(
            dict.fromkeys(FIGURES)
            if benchmark is None
            else benchmark_figures(daily, benchmark, year)
        ),
        **_regime_figures(known),
    }
    return Analysis(
        strategy=run.strategy,
        figures={definition.name: found[definition.name] for definition in DEFINITIONS},
        sharpe_interval=sharpe_interval(daily["return"], sessions_per_year=year),
        daily=daily,
        drawdowns=drawdown_table(daily),
        months=monthly_table(daily),
        rolling=rolling_figures(daily, window, year, benchmark),
        window=window,
        trades=trades,
        by_symbol=attribution(trades, ["symbol"]),
        by_side=attribution(trades, ["side"]),
        by_exit=attribution(trades, ["exit_reason"]),
        by_strategy=_by_strategy(trades, run.strategy),
        causes=_account_causes(trades, run),
        regimes=known,
        benchmark=benchmark,
        benchmark_name=benchmark_name,
    )


def _run_figures(
    run: BacktestTables, daily: pl.DataFrame, bars: pl.DataFrame, multipliers: pl.DataFrame | None
) -> dict[str, float | None]:
    """The figures of the run by itself, without benchmark and regimes."""
    mean_equity = float(np.mean(run.equity["equity"].to_numpy())) if run.equity.height else 0.0
    return {
        **return_figures(daily["return"].to_numpy()),
        **month_figures(daily),
        **drawdown_figures(daily),
        **trade_figures(run.trades),
        **exposure_figures(run.equity),
        **execution_figures(run.orders, run.fills, multipliers),
        **capacity_figures(run.fills, bars, mean_equity),
    }


def _by_strategy(trades: pl.DataFrame, name: str) -> pl.DataFrame:
    """The closed trades of one backtest, summed by the strategies of its account; a trade that
    names none is that of the backtest itself.
    """
    known = pl.col("strategy") if "strategy" in trades.columns else pl.lit(None, pl.String)
    whose = pl.coalesce(known, pl.lit(name)).alias("strategy")
    return attribution(trades.with_columns(whose), ["strategy"])


def by_strategy(analyses: Mapping[str, Analysis]) -> pl.DataFrame:
    """The closed trades of several backtests, summed by strategy."""
    return attribution(
        pl.concat(
            found.trades.with_columns(strategy=pl.lit(name)) for name, found in analyses.items()
        ),
        ["strategy"],
    )


def _default_window(sessions: int, year: int) -> int:
    """Sessions that rolling figures look back."""
    if sessions >= 5 * year:
        return max(2, year)
    return max(2, min(year // 4, sessions // 4))


def _account_causes(trades: pl.DataFrame, run: BacktestTables) -> dict[str, float]:
    """Currency by cause; what no closed trade explains belongs to positions still open."""
    causes = {name: float(trades[name].sum()) for name in CAUSES}
    change = float(run.equity["equity"][-1]) - run.initial_cash if run.equity.height else 0.0
    return causes | {"open": change - float(trades["pnl"].sum())}


def _regime_figures(regimes: pl.DataFrame | None) -> dict[str, float | None]:
    found: dict[str, float | None] = dict.fromkeys(_REGIME_FIGURES)
    if regimes is None:
        return found
    met = regimes.filter((pl.col("trend") != UNKNOWN) & (pl.col("volatility") != UNKNOWN))
    if met.height:
        found["profitable_regimes"] = float(np.mean(met["total_return"].to_numpy() > 0.0))
    sharpes = met["sharpe"].drop_nulls().to_numpy()
    if len(sharpes):
        found["worst_regime_sharpe"] = float(sharpes.min())
        found["regime_spread"] = float(np.ptp(sharpes))
    return found
