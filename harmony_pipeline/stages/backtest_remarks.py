"""What is to be said of a backtest that hardly traded: that no order filled, or that entries were
too small to be sent, how many and why.
"""

import polars as pl

from harmony_pipeline.backtest.simulator import BacktestResult

_TOO_SMALL = ("lot_size", "minimum_order_value", "minimum_quantity", "minimum_notional")
_MANY = 0.5  # of the entries


def remarks(result: BacktestResult, minimum_barrier_bps: float) -> list[str]:
    """Sentences about a backtest in which nothing was traded, or in which half of the entries or
    more were too small; none about any other. `minimum_barrier_bps`: that of its bracket.
    """
    orders = result.orders
    if not orders.height:
        return ["no trade: no signal became an order"] if result.trades.is_empty() else []
    entries = orders.filter(pl.col("parent_id").is_null())
    small = entries.filter((pl.col("status") == "refused") & pl.col("reason").is_in(_TOO_SMALL))
    many = small.height >= _MANY * entries.height and small.height > 0
    hint = _hint(minimum_barrier_bps) if many else ""
    if result.trades.is_empty():
        return [
            f"no trade: of {orders.height} orders none filled: {', '.join(outcomes(orders))}{hint}"
        ]
    if many:
        counted = f"{small.height} of {entries.height} entries were too small to be sent"
        return [f"{counted}: {', '.join(outcomes(small))}{hint}"]
    return []


def outcomes(orders: pl.DataFrame, noun: str = "") -> list[str]:
    """How many orders ended how and why, the most frequent first: `3 refused (lot_size)`, or with a
    noun `3 orders refused (lot_size)`.
    """
    counts = (
        orders.group_by("status", "reason")
        .len()
        .sort("len", "status", "reason", descending=[True, False, False])
    )
    return [
        f"{count} {noun}{status}" + (f" ({reason})" if reason else "")
        for status, reason, count in counts.iter_rows()
    ]


def _hint(minimum_barrier_bps: float) -> str:
    if minimum_barrier_bps < 1e4:
        return ""
    return (
        f"; no barrier is nearer than minimum_barrier_bps = {minimum_barrier_bps:,.0f}, the whole"
        " price and more, by which the size may go: name a smaller one"
    )
