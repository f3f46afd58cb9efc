"""The logs of a run as the public tables: indices become names, keys become ids.

An id is a pure function of what happened and of the book that it happened in
(execution/order_ids.py): `book` is the backtest's id, or the account of the session that a backtest
is compared with. A trade keeps its id, and its entry, when its symbol changes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from harmony_pipeline import schemas
from harmony_pipeline.arrays import BoolArray, FloatArray, IntArray, NumberArray
from harmony_pipeline.backtest.log_columns import (
    fill_columns,
    order_columns,
    trade_columns,
)
from harmony_pipeline.backtest.logs import Curve
from harmony_pipeline.execution.id_columns import IdParts
from harmony_pipeline.lent_memory import ArrayRoom
from harmony_pipeline.market.text_columns import name_column
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


@dataclass(frozen=True)
class RunLabel:
    """What a run is called in its tables. `book` is what ids begin with."""

    backtest_id: str
    book: str
    strategy: str
    parameters: Mapping[str, Any]

    @property
    def in_all_rows(self) -> dict[str, str | None]:
        """The columns that say whose a row is."""
        return {"backtest_id": self.backtest_id, "strategy": self.strategy or None}


def orders_table(
    log: Records, trips: Records, state: TradingState, label: RunLabel
) -> pl.DataFrame:
    """schemas.ORDERS. A leg bears its entry's decision time, an exit its own; both name their entry
    as parent.
    """
    # the key is (symbol, timestamp, order_id), and ids of one moment differ by their role
    symbols, models = state.symbols, state.portfolio.models
    room = ArrayRoom(_ORDER_BYTES * (len(log) + 3 * len(trips)))
    columns = order_columns(log, trips, len(symbols), room)
    role = columns.role
    ids = IdParts(
        label.book, symbols, columns.symbol, columns.decided_at, ROLE_NAMES, role, room=room
    )
    order_ids, parent_ids = ids.with_parents(columns.entry_symbol, columns.entry_at)
    return _frame(
        schemas.ORDERS,
        {
            "order_id": order_ids,
            "parent_id": parent_ids,
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
            **label.in_all_rows,
        },
    )


def fills_table(log: Records, trips: Records, state: TradingState, label: RunLabel) -> pl.DataFrame:
    """schemas.FILLS."""
    # the key is (symbol, timestamp, fill_id)
    symbols = state.symbols
    room = ArrayRoom(_FILL_BYTES * (len(log) + 2 * len(trips)))
    columns = fill_columns(log, trips, len(symbols), room)
    ids = IdParts(
        label.book, symbols, columns.symbol, columns.decided_at, ROLE_NAMES, columns.role,
        columns.number, room,
    )  # fmt: skip
    fill_ids, order_ids = ids.with_and_without_number()
    return _frame(
        schemas.FILLS,
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
            **label.in_all_rows,
        },
    )


def trades_table(
    log: Records,
    trips: Records,
    state: TradingState,
    label: RunLabel,
    *,
    numbered: bool = False,
) -> pl.DataFrame:
    """schemas.TRADES: closed round trips, and those that are still open with a null exit. An id
    says when the entry was decided; `numbered`: it is the number of the symbol's trade, where many
    may be decided in one second.
    """
    symbols, models = state.symbols, state.portfolio.models
    still_open = _open_trades(state)
    room = ArrayRoom(_TRADE_BYTES * (len(log) + len(trips)))
    columns = trade_columns(log, trips, still_open, len(symbols), room)
    ids = IdParts(label.book, symbols, columns.entry_symbol, columns.entry_at, room=room)
    closed, entries = columns.closed, columns.entry_bar
    table = _frame(
        schemas.TRADES,
        {
            "trade_id": _numbered(label.book, columns.symbol, symbols)
            if numbered
            else ids.column(),
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
            **label.in_all_rows,
        },
    )
    alike = (entries[1:] == entries[:-1]) & (columns.symbol[1:] == columns.symbol[:-1])
    return schemas.TRADES.conform(table, in_order=not alike.any())


def _numbered(book: str, numbers: NumberArray, symbols: Sequence[str]) -> pl.Series:
    """The ids of trades that are numbered by symbol, in the order of the rows."""
    symbol = name_column(numbers, symbols)
    number = pl.int_range(1, pl.len() + 1).over("symbol").cast(pl.String()).str.zfill(6)
    return (
        pl.DataFrame({"symbol": symbol})
        .select(pl.concat_str(pl.lit(f"{book}-"), "symbol", pl.lit("-trade-"), number))
        .to_series()
    )


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


def equity_table(curve: Curve, label: RunLabel) -> pl.DataFrame:
    """schemas.EQUITY, over the loop's own memory: it walks in order of time."""
    columns = {
        "timestamp": _times(curve.at),
        "equity": _in_place(curve.equity),
        "cash": _in_place(curve.cash),
        "gross_exposure": _in_place(curve.gross),
        "net_exposure": _in_place(curve.net),
        "drawdown": _in_place(curve.drawdown),
    }
    backtest_id = pl.lit(label.backtest_id).alias("backtest_id")
    return pl.DataFrame(columns).select(backtest_id, *columns)


def position_actions_table(log: Records, state: TradingState, label: RunLabel) -> pl.DataFrame:
    """schemas.POSITION_ACTIONS."""
    if not len(log):
        return schemas.POSITION_ACTIONS.empty()
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
    ).with_columns(**{name: pl.lit(one, pl.String) for name, one in label.in_all_rows.items()})
    return schemas.POSITION_ACTIONS.conform(table)


def _frame(table: schemas.Table, columns: Mapping[str, pl.Series | str | None]) -> pl.DataFrame:
    """A frame of the table's columns: series, and texts that are the same in every row.

    No expression makes them: Polars hands each to its own threads, which the tables that are made
    on the other core would wait for.
    """
    rows = next(len(one) for one in columns.values() if isinstance(one, pl.Series))
    return pl.DataFrame(
        [
            one.alias(name)
            if isinstance(one, pl.Series)
            else pl.Series(name, [one], pl.String).new_from_index(0, rows)
            for name, one in ((name, columns[name]) for name in table.columns)
        ]
    )


def _names(numbers: NumberArray, names: Sequence[str], room: ArrayRoom) -> pl.Series | str | None:
    """names[number] in each row, null for -1; a single symbol, or no model, is the same in all."""
    if not names:
        return None
    if len(names) == 1 and len(numbers) and numbers.min() == 0:
        return names[0]
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
