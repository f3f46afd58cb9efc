"""The logs of a run as the public tables: indices become names, keys become ids.

An id is a pure function of what happened and of the book that it happened in
(execution/order_ids.py): `book` is the backtest's id, or the account of the session that a backtest
is compared with. A trade keeps its id, and its entry, when its symbol changes.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
import pyarrow as pa

from harmony_pipeline import schemas
from harmony_pipeline.arrays import ArrayRoom, BoolArray, FloatArray, IntArray
from harmony_pipeline.backtest.log_columns import (
    Numbers,
    fill_columns,
    order_columns,
    trade_columns,
)
from harmony_pipeline.backtest.logs import Curve
from harmony_pipeline.execution.id_columns import IdParts
from harmony_pipeline.market.array_columns import name_column
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
    VERDICT_NAMES,
    Records,
)
from harmony_pipeline.portfolio.state import TradingState

# of a table, a row or so
_ORDER_BYTES, _FILL_BYTES, _TRADE_BYTES = 400, 260, 260


def orders_table(
    log: Records, trips: Records, state: TradingState, backtest_id: str, book: str
) -> pl.DataFrame:
    """schemas.ORDERS. A leg bears its entry's decision time, an exit its own; both name their entry
    as parent.
    """
    # the key is (symbol, timestamp, order_id), and ids of one moment differ by their role
    symbols, models = state.symbols, state.portfolio.models
    room = ArrayRoom(_ORDER_BYTES * (len(log) + 3 * len(trips)))
    columns = order_columns(log, trips, len(symbols), room)
    role, is_entry = columns.role, columns.role == ENTRY
    ids = IdParts(book, symbols, columns.symbol, columns.decided_at, ROLE_NAMES, role, room=room)
    parents = IdParts(
        book, symbols, columns.entry_symbol, columns.entry_at, ROLE_NAMES,
        np.full(len(role), ENTRY, np.int8), room=room,
    )  # fmt: skip
    table = _frame(
        {
            "order_id": ids.column(),
            "parent_id": parents.column(~is_entry),
            "symbol": _names(columns.symbol, symbols, room),
            "role": name_column(role, ROLE_NAMES, room),
            "timestamp": _times(columns.decided_at),
            "signal_timestamp": _times(columns.signal_at),
            "side": name_column(columns.buys, ("sell", "buy"), room),
            "quantity": _in_place(columns.quantity),
            "kind": name_column(role, ORDER_KINDS, room),
            "time_in_force": name_column(role, TIMES_IN_FORCE, room),
            "status": name_column(columns.status, STATUS_NAMES, room),
            "reason": name_column(columns.reason, REASON_NAMES, room),
            "verdict": name_column(columns.verdict, VERDICT_NAMES, room),
            "risk_limit": name_column(columns.limit, REASON_NAMES, room),
            "wanted_quantity": _in_place(columns.wanted, columns.wanted > 0.0),
            "model_id": _names(columns.model, models, room),
            "limit_price": _in_place(columns.level, role == TAKE),
            "stop_price": _in_place(columns.level, role == STOP),
            "backtest_id": pl.lit(backtest_id),
        }
    )
    return schemas.ORDERS.conform(table, in_order=True)


def fills_table(
    log: Records, trips: Records, state: TradingState, backtest_id: str, book: str
) -> pl.DataFrame:
    """schemas.FILLS."""
    # the key is (symbol, timestamp, fill_id)
    symbols = state.symbols
    room = ArrayRoom(_FILL_BYTES * (len(log) + 2 * len(trips)))
    columns = fill_columns(log, trips, len(symbols), room)
    ids = IdParts(
        book, symbols, columns.symbol, columns.decided_at, ROLE_NAMES, columns.role,
        columns.number, room,
    )  # fmt: skip
    fill_ids, order_ids = ids.with_and_without_number()
    table = _frame(
        {
            "fill_id": fill_ids,
            "order_id": order_ids,
            "symbol": _names(columns.symbol, symbols, room),
            "timestamp": _times(columns.at),
            "side": name_column(columns.buys, ("sell", "buy"), room),
            "quantity": _in_place(columns.quantity),
            "price": _in_place(columns.price),
            "reference_price": _in_place(columns.reference),
            "fee": _in_place(columns.fee),
            "slippage": _in_place(columns.slippage),
            "liquidity": name_column(columns.maker, ("taker", "maker"), room),
            "backtest_id": pl.lit(backtest_id),
        }
    )
    return schemas.FILLS.conform(table, in_order=True)


def trades_table(
    log: Records, trips: Records, state: TradingState, backtest_id: str, book: str
) -> pl.DataFrame:
    """schemas.TRADES: closed round trips, and those that are still open with a null exit."""
    symbols, models = state.symbols, state.portfolio.models
    still_open = _open_trades(state)
    room = ArrayRoom(_TRADE_BYTES * (len(log) + len(trips)))
    columns = trade_columns(log, trips, still_open, len(symbols), room)
    ids = IdParts(book, symbols, columns.entry_symbol, columns.entry_at, room=room)
    closed, entries = columns.closed, columns.entry_bar
    table = _frame(
        {
            "trade_id": ids.column(),
            "symbol": _names(columns.symbol, symbols, room),
            "side": name_column(columns.is_long, ("short", "long"), room),
            "quantity": _in_place(columns.quantity),
            "entry_timestamp": _times(entries),
            "entry_price": _in_place(columns.entry_price),
            "exit_timestamp": _times(columns.exit_bar, closed),
            "exit_price": _in_place(columns.exit_price, closed),
            "exit_reason": name_column(columns.reason, REASON_NAMES, room),
            "fees": _in_place(columns.fees),
            "slippage": _in_place(columns.slippage),
            "pnl": _in_place(columns.pnl, closed),
            "return": _in_place(columns.part, closed),
            "model_id": _names(columns.model, models, room),
            "backtest_id": pl.lit(backtest_id),
        }
    )
    alike = (entries[1:] == entries[:-1]) & (columns.symbol[1:] == columns.symbol[:-1])
    return schemas.TRADES.conform(table, in_order=not alike.any())


def _open_trades(state: TradingState) -> Records:
    """TRADE records of the round trips that are still open."""
    positions = state.portfolio.positions
    still_open = np.flatnonzero(positions["side"])
    rows = np.zeros(len(still_open), TRADE)
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
        rows[name] = positions[name][still_open]
    rows["symbol"] = still_open
    rows["quantity"] = positions["entry_quantity"][still_open]
    return rows


def equity_table(curve: Curve, backtest_id: str) -> pl.DataFrame:
    """schemas.EQUITY, over the loop's own memory."""
    table = pl.DataFrame(
        {
            "timestamp": _times(curve.at),
            "equity": _in_place(curve.equity),
            "cash": _in_place(curve.cash),
            "gross_exposure": _in_place(curve.gross),
            "net_exposure": _in_place(curve.net),
            "drawdown": _in_place(curve.drawdown),
        }
    ).with_columns(backtest_id=pl.lit(backtest_id))
    return schemas.EQUITY.conform(table, in_order=True)  # the loop walks in order of time


def position_actions_table(log: Records, state: TradingState, backtest_id: str) -> pl.DataFrame:
    """schemas.POSITION_ACTIONS."""
    changed = log["kind"] == CHANGE
    table = pl.DataFrame(
        {
            "sequence": np.arange(1, len(log) + 1),
            "symbol": name_column(np.ascontiguousarray(log["symbol"]), state.symbols),
            "timestamp": _times(np.ascontiguousarray(log["at"])),
            "date": (
                pl.Series(np.ascontiguousarray(log["date"]), dtype=pl.Int64)
                .cast(pl.Int32)
                .cast(pl.Date)
            ),
            "kind": name_column(np.ascontiguousarray(log["kind"]), APPLIED_NAMES),
            "value": pl.Series(np.ascontiguousarray(log["value"]), nan_to_null=True),
            "successor": name_column(np.where(changed, log["successor"], -1), state.symbols),
            "quantity_before": np.ascontiguousarray(log["before"]),
            "quantity_after": np.ascontiguousarray(log["after"]),
            "cash": log["cash"] / MONEY,
        }
    ).with_columns(backtest_id=pl.lit(backtest_id))
    return schemas.POSITION_ACTIONS.conform(table)


def _frame(columns: Mapping[str, pl.Series | pl.Expr]) -> pl.DataFrame:
    """A frame of series, and of expressions that are the same in every row."""
    series = {name: one for name, one in columns.items() if isinstance(one, pl.Series)}
    same = {name: one for name, one in columns.items() if isinstance(one, pl.Expr)}
    return pl.DataFrame(series).with_columns(**same)


def _names(numbers: Numbers, names: Sequence[str], room: ArrayRoom) -> pl.Series | pl.Expr:
    """names[number] in each row, null for -1. A single symbol, and no model, take no memory."""
    if not names:
        return pl.lit(None, pl.String)
    if len(names) == 1 and len(numbers) and numbers.min() == 0:
        return pl.lit(names[0])
    return name_column(numbers, names, room)


def _in_place(values: FloatArray | IntArray, valid: BoolArray | None = None) -> pl.Series:
    """A series over the array's memory, without a copy; null where not `valid`."""
    bits = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    kind = pa.from_numpy_dtype(values.dtype)
    series = pl.from_arrow(pa.Array.from_buffers(kind, len(values), [bits, pa.py_buffer(values)]))
    assert isinstance(series, pl.Series)
    return series


def _times(values: IntArray, valid: BoolArray | None = None) -> pl.Series:
    return _in_place(values, valid).cast(schemas.TIME)
