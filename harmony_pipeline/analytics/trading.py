"""Figures of trades, orders and fills: what a trade earns, how orders fill, what it costs, and how
much money the strategy could carry.
"""

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.market.multipliers import with_multiplier

CAPACITY_PARTICIPATION = 0.01  # of a bar's volume: what a fill may take of it at capacity
_BUSIEST = 0.95  # quantile of participation that capacity looks at
_BPS = 1e4


def trade_figures(trades: pl.DataFrame) -> dict[str, float | None]:
    """Of closed trades: expectancy, average_win, average_loss, payoff_ratio, best_trade,
    worst_trade, longest_losing_streak, average_holding_hours and long_share.
    """
    names = (
        "expectancy", "average_win", "average_loss", "payoff_ratio", "best_trade", "worst_trade",
        "longest_losing_streak", "average_holding_hours", "long_share",
    )  # fmt: skip
    closed = trades.drop_nulls("pnl").sort("exit_timestamp", "trade_id")
    if closed.is_empty():
        return dict.fromkeys(names)
    pnl, returns = closed["pnl"].to_numpy(), closed["return"].to_numpy()
    won, lost = _mean(pnl[pnl > 0.0]), _mean(pnl[pnl < 0.0])
    held = (closed["exit_timestamp"] - closed["entry_timestamp"]).to_numpy()
    return {
        "expectancy": float(pnl.mean()),
        "average_win": won,
        "average_loss": lost,
        "payoff_ratio": won / -lost if won is not None and lost is not None else None,
        "best_trade": float(returns.max()),
        "worst_trade": float(returns.min()),
        "longest_losing_streak": float(_longest_run(pnl < 0.0)),
        "average_holding_hours": float(held.mean() / np.timedelta64(1, "h")),
        "long_share": float(np.mean((closed["side"] == "long").to_numpy())),
    }


def execution_figures(
    orders: pl.DataFrame, fills: pl.DataFrame, multipliers: pl.DataFrame | None = None
) -> dict[str, float | None]:
    """fill_rate and refused_share of entry orders, slippage_bps, fees_bps and maker_share of the
    value traded.

    multipliers: what a unit of a contract is worth (market/multipliers.py).
    """
    entries = orders.filter(pl.col("parent_id").is_null())
    placed = entries.filter(pl.col("status") != "refused")
    filled = fills.filter(pl.col("order_id").is_in(placed["order_id"].to_list()))
    wanted = float(placed["quantity"].sum())
    worth = with_multiplier(fills, multipliers)
    value = (worth["reference_price"] * worth["quantity"] * worth["multiplier"]).to_numpy()
    slipped = (worth["slippage"] * worth["quantity"] * worth["multiplier"]).to_numpy()
    traded = float(value.sum())
    made = value[(worth["liquidity"] == "maker").to_numpy()]
    return {
        "fill_rate": float(filled["quantity"].sum()) / wanted if wanted > 0.0 else None,
        "refused_share": 1.0 - placed.height / entries.height if entries.height else None,
        "slippage_bps": float(slipped.sum()) / traded * _BPS if traded > 0.0 else None,
        "fees_bps": float(worth["fee"].sum()) / traded * _BPS if traded > 0.0 else None,
        "maker_share": float(made.sum()) / traded if traded > 0.0 else None,
    }


def exposure_figures(equity: pl.DataFrame) -> dict[str, float | None]:
    """max_gross_exposure, mean_net_exposure: over equity, at bar closes."""
    held = equity.filter(pl.col("equity") > 0.0)
    if held.is_empty():
        return {"max_gross_exposure": None, "mean_net_exposure": None}
    level = held["equity"].to_numpy()
    return {
        "max_gross_exposure": float(np.max(held["gross_exposure"].to_numpy() / level)),
        "mean_net_exposure": float(np.mean(held["net_exposure"].to_numpy() / level)),
    }


def capacity_figures(
    fills: pl.DataFrame,
    bars: pl.DataFrame,
    mean_equity: float,
    participation: float = CAPACITY_PARTICIPATION,
) -> dict[str, float | None]:
    """participation_95 and capacity.

    bars: symbol, timestamp, volume. The fills of one order or several in the same bar count
    together. Bars without volume tell nothing and are left out.
    """
    taken = (
        fills.group_by("symbol", "timestamp")
        .agg(pl.col("quantity").sum())
        .join(bars.select("symbol", "timestamp", "volume"), on=["symbol", "timestamp"])
        .filter(pl.col("volume") > 0.0)
        .select(pl.col("quantity") / pl.col("volume"))
        .to_series()
        .to_numpy()
    )
    if not len(taken):
        return {"participation_95": None, "capacity": None}
    busiest = float(np.quantile(taken, _BUSIEST))
    return {"participation_95": busiest, "capacity": mean_equity * participation / busiest}


def _mean(values: FloatArray) -> float | None:
    return float(values.mean()) if len(values) else None


def _longest_run(flags: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> int:
    """Length of the longest stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max(initial=0))
