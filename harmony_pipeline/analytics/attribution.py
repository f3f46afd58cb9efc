"""Where the result came from: by cause, and summed by symbol, strategy or side.

The result of a closed trade is split as in Perold, "The Implementation Shortfall: Paper versus
Reality", 1988. `signal` is what a portfolio on paper would have earned that traded every order at
the price of its decision: the close of the last bar before it, or for a stop or limit leg its
level, adjusted where a split or dividend lies between the decision and the fill. `timing` is what
the price moved from there to the price before costs at which it filled: the next open (or close,
`labels.entry`), a gap through a stop. `cost` is slippage and fees, and positive only by rebates.
`other` is the rest of the result: dividends, cash for fractions of a split, a payment at a
delisting. So

    pnl = signal + timing + cost + other.
"""

from collections.abc import Sequence

import polars as pl

from harmony_pipeline.market.multipliers import with_multiplier
from harmony_pipeline.schemas import REAL

CAUSES = ("signal", "timing", "cost", "other")


def trade_causes(
    trades: pl.DataFrame,
    orders: pl.DataFrame,
    fills: pl.DataFrame,
    bars: pl.DataFrame,
    multipliers: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """The closed trades with the columns of CAUSES, in currency.

    bars: symbol, timestamp, close, adjustment_factor of the regular bars. A fill whose decision
    precedes every bar counts as decided at its reference price: its timing is zero.
    """
    parts = _fill_parts(orders, fills, bars, multipliers)
    sums = parts.group_by("trade_key").agg(pl.col("signal", "timing", "cost").sum())
    closed = trades.drop_nulls("pnl").with_columns(trade_key=pl.col("trade_id") + "-entry")
    return (
        closed.join(sums, on="trade_key", how="left", maintain_order="left")
        .with_columns(pl.col("signal", "timing", "cost").fill_null(0.0))
        .with_columns(
            other=pl.col("pnl") - pl.col("signal") - pl.col("timing") - pl.col("cost")
        )
        .drop("trade_key")
    )  # fmt: skip


def attribution(causes: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Closed trades (with CAUSES) summed by columns such as symbol, side or strategy, the largest
    result first: trades, win_rate, profit_factor, average_return, fees, slippage, the causes, pnl
    and share (of the sum of all pnl; null where that is zero).
    """
    pnl = pl.col("pnl")
    lost = -pnl.filter(pnl < 0.0).sum()
    table = causes.group_by(*by, maintain_order=True).agg(
        trades=pl.len().cast(pl.Int64),
        win_rate=(pnl > 0.0).mean(),
        profit_factor=pl.when(lost > 0.0).then(pnl.filter(pnl > 0.0).sum() / lost),
        average_return=pl.col("return").mean(),
        fees=pl.col("fees").sum(),
        slippage=pl.col("slippage").sum(),
        **{name: pl.col(name).sum() for name in CAUSES},
        pnl=pnl.sum(),
    )
    total = pl.col("pnl").sum()
    return table.with_columns(share=pl.when(total != 0.0).then(pl.col("pnl") / total)).sort(
        ["pnl", *by], descending=[True, *[False] * len(by)]
    )


def _fill_parts(
    orders: pl.DataFrame,
    fills: pl.DataFrame,
    bars: pl.DataFrame,
    multipliers: pl.DataFrame | None,
) -> pl.DataFrame:
    """trade_key, signal, timing, cost of every fill: cash on paper is -quantity * price."""
    placed = orders.select(
        "order_id",
        "parent_id",
        "kind",
        decided="timestamp",
        level=pl.coalesce("stop_price", "limit_price"),
    )
    filled = (
        with_multiplier(fills, multipliers)
        .join(placed, on="order_id", how="inner")
        .with_columns(trade_key=pl.coalesce("parent_id", "order_id"))
    )
    entry_bar = pl.col("timestamp").filter(pl.col("parent_id").is_null()).min().over("trade_key")
    known = bars.select(
        "symbol", bar="timestamp", close="close", factor="adjustment_factor"
    ).sort("symbol", "bar")  # fmt: skip
    decided = _last_close_before(filled.with_columns(entry_bar=entry_bar), known, "decided")
    now = _factor_at(_factor_at(decided, known, "entry_bar"), known, "timestamp")
    level_now = pl.col("level") * (pl.col("factor_entry_bar") / pl.col("factor_timestamp"))
    close_now = pl.col("close") * pl.coalesce(pl.col("factor") / pl.col("factor_timestamp"), 1.0)
    leg = pl.col("parent_id").is_not_null() & (pl.col("kind") != "market")
    paper = pl.coalesce(
        pl.when(leg).then(pl.coalesce(level_now, "level")).otherwise(close_now),
        "reference_price",
    )
    signed = pl.when(pl.col("side") == "buy").then(-1.0).otherwise(1.0) * (
        pl.col("quantity") * pl.col("multiplier")
    )
    return now.select(
        "trade_key",
        signal=(signed * paper).cast(REAL),
        timing=signed * (pl.col("reference_price") - paper),
        cost=signed * (pl.col("price") - pl.col("reference_price")) - pl.col("fee"),
    )


def _last_close_before(frame: pl.DataFrame, bars: pl.DataFrame, moment: str) -> pl.DataFrame:
    """`frame` with the close of the last bar that starts before `moment`, and its factor."""
    return frame.sort("symbol", moment).join_asof(
        bars,
        left_on=moment,
        right_on="bar",
        by="symbol",
        allow_exact_matches=False,
        check_sortedness=False,
    )


def _factor_at(frame: pl.DataFrame, bars: pl.DataFrame, moment: str) -> pl.DataFrame:
    """`frame` with factor_MOMENT: the adjustment factor of the bar that starts at it."""
    known = bars.select(
        "symbol", pl.col("bar").alias(moment), pl.col("factor").alias(f"factor_{moment}")
    )
    return frame.join(known, on=["symbol", moment], how="left", maintain_order="left")
