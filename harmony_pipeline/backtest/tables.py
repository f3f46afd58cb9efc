"""The logs of a run as the public tables: indices become names, keys become ids.

An id is a pure function of what happened and of the book that it happened in
(execution/order_ids.py): `book` is the backtest's id, or the account of the session that a backtest
is compared with. A trade keeps its id, and its entry, when its symbol changes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from harmony_pipeline import schemas
from harmony_pipeline.arrays import ArrayRoom, BoolArray, FloatArray, IntArray
from harmony_pipeline.backtest.logs import Curve
from harmony_pipeline.execution.id_columns import IdParts
from harmony_pipeline.kernel import kernel, kernel_without_allocation
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

_CACHED_ROWS = 64  # of a log, about half of a first-level cache
# of a table, a row or so
_ORDER_BYTES, _FILL_BYTES, _TRADE_BYTES = 400, 260, 260
# what the tables show of a record
_ORDER_FIELDS = (
    "symbol", "role", "side", "status", "quantity", "level", "signal_at", "decided_at", "entry_at",
    "model", "reason", "entry_symbol", "verdict", "limit", "wanted",
)  # fmt: skip
_FILL_FIELDS = (
    "symbol", "role", "side", "at", "decided_at", "quantity", "price", "reference", "slippage",
    "fee", "maker", "number",
)  # fmt: skip


def orders_table(log: Records, state: TradingState, backtest_id: str, book: str) -> pl.DataFrame:
    """schemas.ORDERS. A leg bears its entry's decision time, an exit its own; both name their entry
    as parent.
    """
    # the key is (symbol, timestamp, order_id), and ids of one moment differ by their role
    rows = _rows_by_symbol(log["symbol"], log["decided_at"], log["role"], len(state.symbols))
    room = ArrayRoom(_ORDER_BYTES * len(log))
    columns = _Columns(log, _ORDER_FIELDS, rows, room)
    role, level = columns["role"], columns["level"]
    entry = np.full(len(log), ENTRY)
    ids = IdParts(
        book, state.symbols, columns["symbol"], columns["decided_at"], ROLE_NAMES, role, room=room
    )
    parents = IdParts(
        book,
        state.symbols,
        columns["entry_symbol"],
        columns["entry_at"],
        ROLE_NAMES,
        entry,
        room=room,
    )
    table = pl.DataFrame(
        {
            "order_id": ids.column(),
            "parent_id": parents.column(role != ENTRY),
            "symbol": name_column(columns["symbol"], state.symbols, room),
            "role": name_column(role, ROLE_NAMES, room),
            "timestamp": _times(columns["decided_at"]),
            "signal_timestamp": _times(columns["signal_at"]),
            "side": name_column(_is_positive(columns["side"]), ("sell", "buy"), room),
            "quantity": columns["quantity"],
            "kind": name_column(role, ORDER_KINDS, room),
            "time_in_force": name_column(role, TIMES_IN_FORCE, room),
            "status": name_column(columns["status"], STATUS_NAMES, room),
            "reason": name_column(columns["reason"], REASON_NAMES, room),
            "verdict": name_column(columns["verdict"], VERDICT_NAMES, room),
            "risk_limit": name_column(columns["limit"], REASON_NAMES, room),
            "wanted_quantity": _where(columns["wanted"] > 0.0, columns["wanted"]),
            "model_id": name_column(columns["model"], state.portfolio.models, room),
            "limit_price": _where(role == TAKE, level),
            "stop_price": _where(role == STOP, level),
        }
    ).with_columns(backtest_id=pl.lit(backtest_id))
    return schemas.ORDERS.conform(table, in_order=True)


def fills_table(log: Records, state: TradingState, backtest_id: str, book: str) -> pl.DataFrame:
    """schemas.FILLS."""
    # the key is (symbol, timestamp, fill_id); an order is filled once at most in one bar
    decided = log["decided_at"] * len(ROLE_NAMES) + log["role"]
    rows = _rows_by_symbol(log["symbol"], log["at"], decided, len(state.symbols))
    room = ArrayRoom(_FILL_BYTES * len(log))
    columns = _Columns(log, _FILL_FIELDS, rows, room)
    ids = IdParts(
        book, state.symbols, columns["symbol"], columns["decided_at"], ROLE_NAMES,
        columns["role"], columns["number"], room,
    )  # fmt: skip
    fill_ids, order_ids = ids.with_and_without_number()
    table = pl.DataFrame(
        {
            "fill_id": fill_ids,
            "order_id": order_ids,
            "symbol": name_column(columns["symbol"], state.symbols, room),
            "timestamp": _times(columns["at"]),
            "side": name_column(_is_positive(columns["side"]), ("sell", "buy"), room),
            "quantity": columns["quantity"],
            "price": columns["price"],
            "reference_price": columns["reference"],
            "fee": columns["fee"] / MONEY,
            "slippage": columns["slippage"],
            "liquidity": name_column(columns["maker"], ("taker", "maker"), room),
        }
    ).with_columns(backtest_id=pl.lit(backtest_id))
    return schemas.FILLS.conform(table, in_order=True)


def trades_table(
    log: Records, state: TradingState, backtest_id: str, book: str, *, numbered: bool = False
) -> pl.DataFrame:
    """schemas.TRADES: closed round trips, and those that are still open with a null exit. An id
    says when the entry was decided; `numbered`: it is the number of the symbol's trade, where many
    may be decided in one second.
    """
    still_open = _open_trades(state)
    # as bytes: NumPy copies records field by field
    both = np.concatenate([log.view(np.uint8), still_open.view(np.uint8)]).view(TRADE)
    rows = _rows_by_symbol(both["symbol"], both["entry_bar"], both["entry_at"], len(state.symbols))
    closed = rows < len(log)
    room = ArrayRoom(_TRADE_BYTES * len(both))
    columns = _Columns(both, TRADE.names or (), rows, room)
    pnl = columns["pnl"]
    ids = IdParts(book, state.symbols, columns["entry_symbol"], columns["entry_at"], room=room)
    table = pl.DataFrame(
        {
            "trade_id": _numbered(book, state.symbols, columns) if numbered else ids.column(),
            "symbol": name_column(columns["symbol"], state.symbols, room),
            "side": name_column(_is_positive(columns["side"]), ("short", "long"), room),
            "quantity": columns["quantity"],
            "entry_timestamp": _times(columns["entry_bar"]),
            "entry_price": columns["entry_price"],
            "exit_timestamp": _times(columns["exit_bar"]),
            "exit_price": _where(closed, columns["exit_price"]),
            "exit_reason": name_column(
                np.where(closed, columns["exit_reason"], -1), REASON_NAMES, room
            ),
            "fees": columns["fees"] / MONEY,
            "slippage": columns["slippage"],
            "pnl": _where(closed, pnl / MONEY),
            "return": _where(closed, pnl / np.maximum(columns["entry_value"], 1)),
            "model_id": name_column(columns["model"], state.portfolio.models, room),
            "closed": closed,
        }
    ).with_columns(
        exit_timestamp=pl.when("closed").then("exit_timestamp"), backtest_id=pl.lit(backtest_id)
    )
    entries = columns["entry_bar"]
    alike = (entries[1:] == entries[:-1]) & (columns["symbol"][1:] == columns["symbol"][:-1])
    return schemas.TRADES.conform(table, in_order=not alike.any())


def _numbered(book: str, symbols: Sequence[str], columns: "_Columns") -> pl.Series:
    """The ids of trades that are numbered by symbol, in the order of the rows."""
    symbol = name_column(columns["symbol"], symbols)
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


def equity_table(curve: Curve, backtest_id: str) -> pl.DataFrame:
    """schemas.EQUITY, over the loop's own memory."""
    table = pl.DataFrame(
        {
            "timestamp": _in_place(curve.at).cast(schemas.TIME),
            "equity": _in_place(curve.equity),
            "cash": _in_place(curve.cash),
            "gross_exposure": _in_place(curve.gross),
            "net_exposure": _in_place(curve.net),
            "drawdown": _in_place(curve.drawdown),
        }
    ).with_columns(backtest_id=pl.lit(backtest_id))
    return schemas.EQUITY.conform(table, in_order=True)  # the loop walks in order of time


def _in_place(values: NDArray[Any]) -> pl.Series:
    """A series over the array's memory, without a copy."""
    series = pl.from_arrow(pa.array(values))
    assert isinstance(series, pl.Series)
    return series


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


class _Columns:
    """The fields `names` of a log as contiguous columns, its rows in the order `rows`.

    Every field is eight bytes wide, so the log is a matrix: one pass turns it around, instead of
    one through all of memory for every field.
    """

    def __init__(self, log: Records, names: Sequence[str], rows: IntArray, room: ArrayRoom) -> None:
        every = log.dtype.names or ()
        self._dtype = log.dtype
        self._row = {name: row for row, name in enumerate(names)}
        words = log.view(np.int64).reshape(len(log), len(every))
        self._matrix = room.empty((len(names), len(rows)), np.int64)
        fields = np.array([every.index(name) for name in names])
        _transpose(words, fields, rows, self._matrix)

    def __getitem__(self, name: str) -> NDArray[Any]:
        column: NDArray[Any] = self._matrix[self._row[name]].view(self._dtype[name])
        return column


@kernel_without_allocation
def _transpose(words: IntArray, fields: IntArray, rows: IntArray, turned: IntArray) -> None:
    for start in range(0, len(rows), _CACHED_ROWS):
        stop = min(start + _CACHED_ROWS, len(rows))
        for number in range(len(fields)):
            field = fields[number]
            for place in range(start, stop):
                turned[number, place] = words[rows[place], field]


@kernel
def _rows_by_symbol(symbol: IntArray, first: IntArray, second: IntArray, symbols: int) -> IntArray:
    """Rows in order of (symbol, first, second), where `first` and `second` mostly rise already."""
    place = np.zeros(symbols + 1, np.int64)
    for row in range(len(symbol)):
        place[symbol[row] + 1] += 1
    for number in range(symbols):
        place[number + 1] += place[number]
    begin = place.copy()
    found = np.empty(len(symbol), np.int64)
    for row in range(len(symbol)):
        k = place[symbol[row]]
        place[symbol[row]] = k + 1
        while k > begin[symbol[row]]:
            before = found[k - 1]
            if first[before] < first[row]:
                break
            if first[before] == first[row] and second[before] <= second[row]:
                break
            found[k] = before
            k -= 1
        found[k] = row
    return found


def _is_positive(values: IntArray) -> IntArray:
    return (values > 0).astype(np.int64)


def _where(valid: BoolArray, values: FloatArray) -> pl.Series:
    """`values`, null where not `valid`."""
    bits = pa.py_buffer(np.packbits(valid, bitorder="little"))
    array = pa.Array.from_buffers(pa.float64(), len(values), [bits, pa.py_buffer(values)])
    series = pl.from_arrow(array)
    assert isinstance(series, pl.Series)
    return series


def _times(values: IntArray) -> pl.Series:
    return pl.Series(values).cast(schemas.TIME)
