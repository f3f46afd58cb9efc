"""What a backtest teaches a policy of size: each settled trade with what was known at its decision.

The signals are those of `risk/policy_kernels.py`, from the same kernels that judge a trade. Equity,
peak and the variance of session returns are read off the backtest's own equity, as the account had
them at the end of the bar of the signal.
"""

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.backtest.simulator import BacktestResult
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.risk.bandit import POLICY_SIGNALS, Lessons
from harmony_pipeline.risk.breakers import DECAY
from harmony_pipeline.risk.policy_kernels import (
    drawdown_signal,
    edge_signal,
    move_signal,
    unrest_signal,
)

_ENTRY = "-entry"  # behind the id of a trade: that of the order that opened it


def lessons_of(
    result: BacktestResult,
    signals: pl.DataFrame,
    rules: TradingRules,
    calendar: Calendar,
    timeframe: str,
) -> Lessons:
    """The settled trades of a run in order of their decisions. `signals` are those that it traded:
    symbol, timestamp, volatility, probability.
    """
    trades = result.trades.filter(pl.col("exit_timestamp").is_not_null()).select(
        "symbol", "exit_timestamp", "pnl", order_id=pl.col("trade_id") + _ENTRY
    )
    entries = result.orders.select("order_id", "signal_timestamp", decided="timestamp")
    spoken = signals.select("symbol", "timestamp", "volatility", "probability")
    account = account_at_bars(result.equity, rules.initial_cash, calendar, timeframe)
    rows = (
        trades.join(entries, on="order_id", how="inner")
        .join(
            spoken, left_on=["symbol", "signal_timestamp"], right_on=["symbol", "timestamp"],
            how="inner",
        )
        .join(account, left_on="signal_timestamp", right_on="timestamp", how="inner")
        .sort("decided", "symbol")
    )  # fmt: skip
    ends = calendar.with_session(rows.select(timestamp="exit_timestamp"), timeframe)
    settled = ends.select(
        # a trade that was paid out where no bar was is known a day later
        pl.coalesce("bar_end", pl.col("timestamp").dt.offset_by("1d")).dt.epoch("us")
    )
    risk = rules.risk
    gains = rows["pnl"] / (rows["equity"] * risk.target_trade_volatility)
    return Lessons(
        rows["decided"].dt.epoch("us").to_numpy().astype(np.int64),
        settled.to_series().to_numpy().astype(np.int64),
        _signals(rows, rules),
        gains.to_numpy().astype(np.float64),
    )


def _signals(rows: pl.DataFrame, rules: TradingRules) -> FloatArray:
    risk = rules.risk
    found = np.ones((rows.height, POLICY_SIGNALS))
    columns = ("probability", "volatility", "variance", "equity", "peak")
    known = rows.select(pl.col(name).cast(pl.Float64).fill_null(np.nan) for name in columns)
    for row, (probability, volatility, variance, equity, peak) in enumerate(known.iter_rows()):
        found[row, 1:] = (
            edge_signal(probability, rules.profit_take, rules.stop_loss),
            move_signal(volatility, rules.horizon),
            unrest_signal(variance, risk.target_session_volatility),
            drawdown_signal(equity, peak, risk.max_drawdown),
        )
    return found


def account_at_bars(
    equity: pl.DataFrame, initial_cash: float, calendar: Calendar, timeframe: str
) -> pl.DataFrame:
    """timestamp, equity, peak and variance of the account at the end of each bar of an EQUITY
    frame; the variance is of the sessions before, as risk/breakers.py smooths it.
    """
    rows = calendar.with_session(
        equity.select("timestamp", "equity").sort("timestamp"), timeframe
    ).with_columns(peak=pl.max_horizontal(pl.col("equity").cum_max(), pl.lit(initial_cash)))
    ends = rows.group_by("session_date", maintain_order=True).agg(pl.col("equity").last())
    variance, before, seen = list[float](), initial_cash, 0.0
    for last in ends["equity"].to_list():
        variance.append(seen)
        made = last / before - 1.0
        seen = made * made if seen == 0.0 else DECAY * seen + (1.0 - DECAY) * made * made
        before = last
    of_session = ends.select("session_date").with_columns(variance=pl.Series(variance))
    return rows.join(of_session, on="session_date", how="left", nulls_equal=True).select(
        "timestamp", "equity", "peak", "variance"
    )
