"""The loss that a strategy planned for: what its stops would have cost.

A record without a single stop hit says nothing about what one costs; the distance of the stops
does.
"""

import polars as pl


def loss_at_stop(
    orders: pl.DataFrame, fills: pl.DataFrame, equity: pl.DataFrame, initial_cash: float
) -> float | None:
    """The largest loss that the stop of one entry would have brought, as a fraction of the equity
    before it; None without stops.

    orders, equity: rows of schemas.ORDERS and EQUITY. fills: rows of schemas.FILLS with the column
    multiplier (market/multipliers.py). A stop is a leg of the entry's order; gaps beyond it are not
    included.
    """
    stops = orders.filter(pl.col("parent_id").is_not_null() & pl.col("stop_price").is_not_null())
    entries = fills.join(
        stops.select("backtest_id", order_id="parent_id", stop="stop_price"),
        on=["backtest_id", "order_id"],
    ).sort("timestamp")
    if entries.is_empty():
        return None
    known = equity.select("timestamp", "equity").sort("timestamp")
    before = entries.join_asof(known, on="timestamp", allow_exact_matches=False).with_columns(
        pl.col("equity").fill_null(initial_cash)
    )
    distance = (pl.col("price") - pl.col("stop")).abs()
    losses = before.filter(pl.col("equity") > 0.0).select(
        loss=distance * pl.col("quantity").abs() * pl.col("multiplier") / pl.col("equity")
    )
    return float(losses["loss"].max()) if losses.height else None  # type: ignore[arg-type]
