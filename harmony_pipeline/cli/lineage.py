"""From an order back to the raw rows behind it: fills, order, signal, prediction, model, features,
the row of the universe with its sector where features read it, bars, raw bars.
"""

import json
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
from rich.console import Console
from rich.markup import escape
from rich.tree import Tree

from harmony_pipeline.errors import DataError
from harmony_pipeline.features.compute import session_days
from harmony_pipeline.market.sectors import Sectors
from harmony_pipeline.schemas import TIME
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.text import clock_time, excerpt

BARS_SHOWN = 3


def lineage(pipeline: PipelineContext, order_id: str) -> dict[str, pl.DataFrame]:
    """Every row that led to an order, by table. Raises DataError when no backtest and no session
    knows it.

    What led to an exit is what led to its entry: signal, prediction and model are those of the
    entry, in the order's own backtest or account.
    """
    orders_table, order = _order(pipeline, order_id)
    entry = _entry_of(pipeline, orders_table, order)
    symbol, signal_time = entry["symbol"], entry["signal_timestamp"] or entry["timestamp"]
    model_id = entry["model_id"] or order["model_id"]
    at_signal = (pl.col("symbol") == symbol) & (pl.col("timestamp") == signal_time)
    window = (pl.col("symbol") == symbol) & pl.col("timestamp").is_between(
        signal_time - BARS_SHOWN * pipeline.bar - timedelta(days=4), signal_time
    )
    bars = _rows(pipeline, "bars", window, signal_time).tail(BARS_SHOWN)
    raw = _rows(
        pipeline,
        "raw_bars",
        (pl.col("symbol") == symbol) & pl.col("timestamp").is_in(bars["timestamp"].to_list()),
        signal_time,
    )
    shown = [order] if entry["order_id"] == order["order_id"] else [order, entry]
    return {
        "fills": _fills(pipeline, orders_table, order),
        orders_table: pl.DataFrame(shown, schema=pipeline.lake.tables[orders_table].dtypes),
        "signals": _rows(
            pipeline,
            "signals",
            at_signal & (pl.col("strategy") == _strategy_of(pipeline, orders_table, order)),
            signal_time,
        ),
        "predictions": (
            _rows(pipeline, "predictions", at_signal & (pl.col("model_id") == model_id))
            if model_id
            else pl.DataFrame()
        ),
        "models": (
            _rows(pipeline, "models", pl.col("model_id") == model_id).drop("metrics")
            if model_id
            else pl.DataFrame()
        ),
        "features": _rows(pipeline, "features", at_signal, signal_time),
        **_sector_of(pipeline, symbol, signal_time),
        "bars": bars,
        "raw_bars": raw,
    }


def _sector_of(pipeline: PipelineContext, symbol: str, moment: datetime) -> dict[str, pl.DataFrame]:
    """The row of the universe that stated the symbol's sector on the day of the bar at `moment`,
    where features compare within sectors as known then; none where no sector was known.
    """
    if not pipeline.feature_set.reads_sectors:
        return {}
    stamps = pl.Series([moment], dtype=TIME)
    day = int(session_days(stamps, pipeline.calendar, pipeline.timeframe)[0])
    known = (pl.col("symbol") == symbol) & (pl.col("date").to_physical() <= day)
    rows = _rows(pipeline, "universe", known).sort("date", maintain_order=True)
    had = [
        sector
        for *_, sector in Sectors.of_table(rows)
        .known_on(date(1970, 1, 1) + timedelta(days=day))
        .rows
    ]
    return {"universe": rows.filter(pl.col("sector").is_in(had)).tail(1)}


def _order(pipeline: PipelineContext, order_id: str) -> tuple[str, dict[str, Any]]:
    for table in ("session_orders", "orders"):
        found = _rows(pipeline, table, pl.col("order_id") == order_id)
        if found.height > 1:
            raise DataError(
                f"{found.height} rows of {table} are called '{excerpt(order_id)}': they were made"
                " before order ids were unique; make them again with: harmony backtest"
            )
        if found.height:
            return table, found.row(0, named=True)
    raise DataError(
        f"no order '{excerpt(order_id)}' in any session or backtest; list some with: harmony sql"
        " \"select order_id from orders where status = 'filled' limit 10\""
    )


def _entry_of(pipeline: PipelineContext, table: str, order: dict[str, Any]) -> dict[str, Any]:
    """The entry order behind an exit, which an earlier session may have placed; an entry stands for
    itself.
    """
    if order["parent_id"] is None:
        return order
    found = _rows(
        pipeline, table, (pl.col("order_id") == order["parent_id"]) & _same_book(table, order)
    )
    return found.row(0, named=True) if found.height else order


def _same_book(table: str, order: dict[str, Any]) -> pl.Expr:
    # an account's ids are unique over its sessions
    return (
        pl.col("backtest_id") == order["backtest_id"] if table == "orders" else pl.lit(value=True)
    )


def _fills(pipeline: PipelineContext, table: str, order: dict[str, Any]) -> pl.DataFrame:
    """The executions of an order; those of a session's order may be of a later session."""
    if table == "orders":
        return _rows(
            pipeline, "fills", (pl.col("order_id") == order["order_id"]) & _same_book(table, order)
        )
    return _rows(pipeline, "session_fills", pl.col("client_order_id") == order["client_order_id"])


def _strategy_of(pipeline: PipelineContext, table: str, order: dict[str, Any]) -> str:
    """Whose signals the order followed."""
    if table == "orders" and order.get("strategy"):
        return str(order["strategy"])
    if table == "orders":
        names = _rows(pipeline, "backtests", pl.col("backtest_id") == order["backtest_id"])[
            "strategy"
        ]
        return str(names[0]) if names.len() else ""
    started = _rows(
        pipeline,
        "session_events",
        (pl.col("session_id") == order["session_id"]) & (pl.col("kind") == "session_started"),
    )
    return str(json.loads(started["detail"][0])["strategy"]) if started.height else ""


def _rows(
    pipeline: PipelineContext, table: str, condition: pl.Expr, moment: datetime | None = None
) -> pl.DataFrame:
    keys = None
    if moment is not None and pipeline.lake.tables[table].partitioned_by == "trading":
        keys = pipeline.overlapping(moment - timedelta(days=7), moment + timedelta(days=1))
    return (
        pipeline.lake.scan(table, keys)
        .filter(condition)
        .collect(engine="in-memory")
        .sort(pipeline.lake.tables[table].key)
    )


def print_lineage(pipeline: PipelineContext, order_id: str) -> None:
    """The lineage as a tree on the screen."""
    tree = Tree(f"[bold]{escape(excerpt(order_id))}[/bold]")
    for table, rows in lineage(pipeline, order_id).items():
        branch = tree.add(f"[cyan]{table}[/cyan] ({rows.height} rows)")
        for row in rows.head(6).iter_rows(named=True):
            branch.add(
                ", ".join(
                    f"{name}={_shown(value)}" for name, value in row.items() if value is not None
                )
            )
    Console().print(tree)


def _shown(value: Any) -> str:
    if isinstance(value, datetime):
        return clock_time(value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
