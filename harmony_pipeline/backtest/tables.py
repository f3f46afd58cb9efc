"""The logs of a run as the public tables: indices become names, keys become ids.

An id is a pure function of what happened and of the book that it happened in
(execution/order_ids.py): `book` is the backtest's id, or the account of the session that a backtest
is compared with. A trade keeps its id, and its entry, when its symbol changes.
"""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harmony_pipeline import schemas
from harmony_pipeline.arrays import IntArray
from harmony_pipeline.execution.order_ids import STAMP
from harmony_pipeline.portfolio.kernel_types import (
    APPLIED_NAMES,
    CHANGE,
    ENTRY,
    MONEY,
    ORDER_KINDS,
    REASON_NAMES,
    ROLE_NAMES,
    STATUS_NAMES,
    STOP,
    TAKE,
    TIMES_IN_FORCE,
    TRADE,
    Records,
)
from harmony_pipeline.portfolio.state import TradingState


def orders_table(log: Records, state: TradingState, backtest_id: str, book: str) -> pl.DataFrame:
    """schemas.ORDERS. A leg bears its entry's decision time, an exit its own; both name their entry
    as parent.
    """
    role = pl.col("role")
    table = pl.DataFrame(
        {
            "symbol": _names(log["symbol"], state.symbols),
            "entry_symbol": _names(log["entry_symbol"], state.symbols),
            "role": _names(log["role"], ROLE_NAMES),
            "timestamp": _times(log["decided_at"]),
            "entry_at": _times(log["entry_at"]),
            "signal_timestamp": _times(log["signal_at"]),
            "side": _names((log["side"] > 0).astype(np.int64), ("sell", "buy")),
            "quantity": np.ascontiguousarray(log["quantity"]),
            "level": np.ascontiguousarray(log["level"]),
            "kind": _names(log["role"], ORDER_KINDS),
            "time_in_force": _names(log["role"], TIMES_IN_FORCE),
            "status": _names(log["status"], STATUS_NAMES),
            "reason": _names(log["reason"], REASON_NAMES),
            "model_id": _names(log["model"], state.portfolio.models),
        }
    ).with_columns(
        order_id=_key(book, "symbol", "timestamp", role),
        parent_id=pl.when(role != ROLE_NAMES[ENTRY]).then(
            _key(book, "entry_symbol", "entry_at", pl.lit(ROLE_NAMES[ENTRY]))
        ),
        limit_price=pl.when(role == ROLE_NAMES[TAKE]).then("level"),
        stop_price=pl.when(role == ROLE_NAMES[STOP]).then("level"),
        backtest_id=pl.lit(backtest_id),
    )
    return schemas.ORDERS.conform(table)


def fills_table(
    log: Records, orders: Records, state: TradingState, backtest_id: str, book: str
) -> pl.DataFrame:
    """schemas.FILLS; `orders` is the order log that the fills' tickets point into."""
    placed = orders[log["ticket"]]
    table = (
        pl.DataFrame(
            {
                "symbol": _names(log["symbol"], state.symbols),
                "role": _names(log["role"], ROLE_NAMES),
                "decided_at": _times(placed["decided_at"]),
                "number": np.ascontiguousarray(log["number"]),
                "timestamp": _times(log["at"]),
                "side": _names((log["side"] > 0).astype(np.int64), ("sell", "buy")),
                "quantity": np.ascontiguousarray(log["quantity"]),
                "price": np.ascontiguousarray(log["price"]),
                "reference_price": np.ascontiguousarray(log["reference"]),
                "fee": log["fee"] / MONEY,
                "slippage": np.ascontiguousarray(log["slippage"]),
                "liquidity": _names(log["maker"], ("taker", "maker")),
            }
        )
        .with_columns(
            order_id=_key(book, "symbol", "decided_at", pl.col("role")),
            backtest_id=pl.lit(backtest_id),
        )
        .with_columns(fill_id=pl.col("order_id") + "-" + pl.col("number").cast(pl.String))
    )
    return schemas.FILLS.conform(table)


def trades_table(log: Records, state: TradingState, backtest_id: str, book: str) -> pl.DataFrame:
    """schemas.TRADES: closed round trips, and those that are still open with a null exit."""
    positions = state.portfolio.positions
    still_open = np.flatnonzero(positions["side"])
    open_rows = np.zeros(len(still_open), TRADE)
    for name in (
        "side",
        "entry_at",
        "entry_bar",
        "entry_price",
        "fees",
        "slippage",
        "entry_value",
        "model",
        "entry_symbol",
    ):
        open_rows[name] = positions[name][still_open]
    open_rows["symbol"] = still_open
    open_rows["quantity"] = positions["entry_quantity"][still_open]
    rows = np.concatenate([log, open_rows])
    closed = np.arange(len(rows)) < len(log)
    table = pl.DataFrame(
        {
            "symbol": _names(rows["symbol"], state.symbols),
            "entry_symbol": _names(rows["entry_symbol"], state.symbols),
            "side": _names((rows["side"] > 0).astype(np.int64), ("short", "long")),
            "quantity": np.ascontiguousarray(rows["quantity"]),
            "entry_at": _times(rows["entry_at"]),
            "entry_timestamp": _times(rows["entry_bar"]),
            "entry_price": np.ascontiguousarray(rows["entry_price"]),
            "exit_timestamp": _times(rows["exit_bar"]),
            "exit_price": np.ascontiguousarray(rows["exit_price"]),
            "exit_reason": _names(rows["exit_reason"], REASON_NAMES),
            "fees": rows["fees"] / MONEY,
            "slippage": np.ascontiguousarray(rows["slippage"]),
            "pnl": rows["pnl"] / MONEY,
            "return": rows["pnl"] / np.maximum(rows["entry_value"], 1),
            "model_id": _names(rows["model"], state.portfolio.models),
            "closed": closed,
        }
    ).with_columns(
        *(
            pl.when("closed").then(name).alias(name)
            for name in ("exit_timestamp", "exit_price", "exit_reason", "pnl", "return")
        ),
        trade_id=pl.lit(f"{book}-")
        + pl.col("entry_symbol")
        + "-"
        + pl.col("entry_at").dt.strftime(STAMP),
        backtest_id=pl.lit(backtest_id),
    )
    return schemas.TRADES.conform(table)


def equity_table(log: Records, backtest_id: str) -> pl.DataFrame:
    """schemas.EQUITY."""
    table = pl.DataFrame(
        {
            "timestamp": _times(log["at"]),
            "equity": log["equity"] / MONEY,
            "cash": log["cash"] / MONEY,
            "gross_exposure": log["gross"] / MONEY,
            "net_exposure": log["net"] / MONEY,
            "drawdown": np.ascontiguousarray(log["drawdown"]),
        }
    ).with_columns(backtest_id=pl.lit(backtest_id))
    return schemas.EQUITY.conform(table)


def position_actions_table(log: Records, state: TradingState, backtest_id: str) -> pl.DataFrame:
    """schemas.POSITION_ACTIONS."""
    changed = log["kind"] == CHANGE
    table = pl.DataFrame(
        {
            "sequence": np.arange(1, len(log) + 1),
            "symbol": _names(log["symbol"], state.symbols),
            "timestamp": _times(log["at"]),
            "date": (
                pl.Series(np.ascontiguousarray(log["date"]), dtype=pl.Int64)
                .cast(pl.Int32)
                .cast(pl.Date)
            ),
            "kind": _names(log["kind"], APPLIED_NAMES),
            "value": pl.Series(np.ascontiguousarray(log["value"]), nan_to_null=True),
            "successor": _names(np.where(changed, log["successor"], -1), state.symbols),
            "quantity_before": np.ascontiguousarray(log["before"]),
            "quantity_after": np.ascontiguousarray(log["after"]),
            "cash": log["cash"] / MONEY,
        }
    ).with_columns(backtest_id=pl.lit(backtest_id))
    return schemas.POSITION_ACTIONS.conform(table)


def _key(book: str, symbol: str, time: str, role: pl.Expr) -> pl.Expr:
    return pl.lit(f"{book}-") + pl.col(symbol) + "-" + pl.col(time).dt.strftime(STAMP) + "-" + role


def _times(values: IntArray) -> pl.Series:
    return pl.Series(np.ascontiguousarray(values)).cast(schemas.TIME)


def _names(values: NDArray[Any], names: tuple[str, ...]) -> pl.Series:
    """names[values]; an index of -1, or an empty name, is null."""
    lookup = pl.Series([name or None for name in names] + [None], dtype=pl.String)
    return lookup.gather(pl.Series(np.where(values < 0, len(names), values).astype(np.uint32)))
