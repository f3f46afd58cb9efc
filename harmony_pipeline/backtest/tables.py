"""The logs of a run as the public tables: indices become names, keys become ids.

An id is a pure function of what happened and of the book that it happened in
(execution/order_ids.py): `book` is the backtest's id, or the account of the session that a backtest
is compared with. A trade keeps its id, and its entry, when its symbol changes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from harmony_pipeline import schemas
from harmony_pipeline.arrays import NumberArray
from harmony_pipeline.backtest.log_columns import TradeColumns, fill_columns, trade_columns
from harmony_pipeline.backtest.logs import Curve
from harmony_pipeline.backtest.table_columns import (
    Column,
    RunLabel,
    arrays_frame,
    frame_of,
    in_place,
    names_of,
    times_of,
)
from harmony_pipeline.execution.id_columns import IdParts
from harmony_pipeline.lent_memory import ArrayRoom
from harmony_pipeline.market.text_columns import name_array, name_column
from harmony_pipeline.portfolio.kernel_types import (
    APPLIED_NAMES,
    CHANGE,
    MONEY,
    REASON_NAMES,
    ROLE_NAMES,
    TRADE,
    Records,
)
from harmony_pipeline.portfolio.state import TradingState

# of a table, a row or so
_FILL_BYTES, _TRADE_BYTES = 260, 260


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
    return frame_of(
        schemas.FILLS,
        {
            "fill_id": fill_ids,
            "order_id": order_ids,
            "symbol": names_of(columns.symbol, symbols, room),
            "timestamp": times_of(columns.at),
            "side": name_array(columns.buys, ("sell", "buy"), room),
            "quantity": in_place(columns.quantity),
            "price": in_place(columns.price),
            "reference_price": in_place(columns.reference),
            "fee": in_place(columns.fee),
            "slippage": in_place(columns.slippage),
            "liquidity": name_array(columns.maker, ("taker", "maker"), room),
            **label.in_all_rows,
        },
    )


@dataclass(frozen=True)
class TradeRows:
    """The rows of schemas.TRADES, written: of `table` nothing is left but to make a frame of them.
    So kernels can write them on one core while the other one makes frames.
    """

    columns: TradeColumns
    ids: pl.Series
    names: Mapping[str, Column]
    label: RunLabel

    def table(self) -> pl.DataFrame:
        """schemas.TRADES."""
        columns, closed, entries = self.columns, self.columns.closed, self.columns.entry_bar
        table = frame_of(
            schemas.TRADES,
            {
                "trade_id": self.ids,
                **self.names,
                "quantity": in_place(columns.quantity),
                "entry_timestamp": times_of(entries),
                "entry_price": in_place(columns.entry_price),
                "exit_timestamp": times_of(columns.exit_bar, closed),
                "exit_price": in_place(columns.exit_price, closed),
                "fees": in_place(columns.fees),
                "slippage": in_place(columns.slippage),
                "pnl": in_place(columns.pnl, closed),
                "return": in_place(columns.part, closed),
                **self.label.in_all_rows,
            },
        )
        alike = (entries[1:] == entries[:-1]) & (columns.symbol[1:] == columns.symbol[:-1])
        return schemas.TRADES.conform(table, in_order=not alike.any())


def trade_rows(
    log: Records,
    trips: Records,
    state: TradingState,
    label: RunLabel,
    *,
    numbered: bool = False,
) -> TradeRows:
    """Closed round trips, and those that are still open with a null exit. An id says when the entry
    was decided; `numbered`: it is the number of the symbol's trade, where many may be decided in
    one second.
    """
    symbols, models = state.symbols, state.portfolio.models
    still_open = _open_trades(state)
    room = ArrayRoom(_TRADE_BYTES * (len(log) + len(trips)))
    columns = trade_columns(log, trips, still_open, len(symbols), room)
    if numbered:
        ids = _numbered(label.book, columns.symbol, symbols)
    else:
        ids = IdParts(
            label.book, symbols, columns.entry_symbol, columns.entry_at, room=room
        ).column()
    names = {
        "symbol": names_of(columns.symbol, symbols, room),
        "side": name_array(columns.is_long, ("short", "long"), room),
        "exit_reason": name_array(columns.reason, REASON_NAMES, room),
        "model_id": names_of(columns.model, models, room),
    }
    return TradeRows(columns, ids, names, label)


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
        "timestamp": times_of(curve.at),
        "equity": in_place(curve.equity),
        "cash": in_place(curve.cash),
        "gross_exposure": in_place(curve.gross),
        "net_exposure": in_place(curve.net),
        "drawdown": in_place(curve.drawdown),
    }
    backtest_id = pl.lit(label.backtest_id).alias("backtest_id")  # one text, however many rows
    return arrays_frame(columns).select(backtest_id, *columns)


def position_actions_table(log: Records, state: TradingState, label: RunLabel) -> pl.DataFrame:
    """schemas.POSITION_ACTIONS."""
    if not len(log):
        return schemas.POSITION_ACTIONS.empty()
    changed = log["kind"] == CHANGE
    table = pl.DataFrame(
        {
            "sequence": np.arange(1, len(log) + 1),
            "symbol": name_column(np.ascontiguousarray(log["symbol"]), state.symbols),
            "timestamp": pl.Series(np.ascontiguousarray(log["at"])).cast(schemas.TIME),
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
