"""schemas.ORDERS, at once or while the loop runs.

A leg bears its entry's decision time, an exit its own; both name their entry as parent. The key is
(symbol, timestamp, order_id), and ids of one moment differ by their role.

Of a run on one symbol, all that was logged before a round trip that was made in one go is done with
when it is made, and stands before its own rows. So the rows of such trips, and of all before them,
can be written while the loop makes the next ones.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from harmony_pipeline import schemas
from harmony_pipeline.backtest.log_columns import (
    OrderColumns,
    count_of_orders,
    order_columns,
    write_order_columns,
)
from harmony_pipeline.backtest.table_columns import (
    Column,
    RunLabel,
    frame_of,
    in_place,
    names_of,
    times_of,
)
from harmony_pipeline.execution.id_columns import MOST_ROWS, IdParts, IdRows, IdTexts
from harmony_pipeline.lent_memory import ArrayRoom
from harmony_pipeline.market.text_columns import WHOLE_ROWS, NameColumn, write_name_columns
from harmony_pipeline.portfolio.kernel_types import (
    ORDER_KINDS,
    REASON_NAMES,
    ROLE_NAMES,
    STATUS_NAMES,
    STOP,
    TAKE,
    TIMES_IN_FORCE,
    VERDICT_NAMES,
    Records,
)

_ROW_BYTES = 400  # or so
_MARGIN, _MORE_ROWS = 2, 1 << 12  # times what is expected, and rows beside it


class _Done(NamedTuple):
    """Orders of the log and trips that have their rows, rows, and rows that have their texts."""

    orders: int
    trips: int
    rows: int
    texts: int


class OrdersTable:
    """The table of a run that knows `symbols` and `models`."""

    def __init__(self, symbols: Sequence[str], models: Sequence[str], label: RunLabel) -> None:
        self._symbols, self._models, self._label = symbols, models, label
        self._columns: OrderColumns | None = None
        self._is_full = False
        self._arrays: dict[str, Column] = {}

    def extend(self, log: Records, trips: Records, share: float) -> None:
        """Write the rows of `trips` and of what was logged before the last of them, of a run on one
        symbol that is over to the part `share`.
        """
        if self._is_full or not len(trips):
            return
        orders = int(trips["orders"][-1])
        if self._columns is None:
            expected = count_of_orders(orders, trips) / share
            self._open(int(_MARGIN * expected) + _MORE_ROWS)
        done = self._done
        rows = done.rows + count_of_orders(orders - done.orders, trips[done.trips :])
        self._is_full = rows > self._capacity
        if not self._is_full:
            self._write(log[:orders], trips)
            self._write_texts(self._done.rows // WHOLE_ROWS * WHOLE_ROWS)

    def finish(self, log: Records, trips: Records) -> None:
        """Write the rows that are left, of a run that is over."""
        if self._columns is not None:
            done = self._done
            rows = done.rows + count_of_orders(len(log) - done.orders, trips[done.trips :])
            self._is_full |= rows > self._capacity
        if self._columns is None or self._is_full:
            self._open(count_of_orders(len(log), trips))
        self._write(log, trips)
        self._write_texts(self._done.rows)
        self._arrays = self._columns_written()

    def table(self) -> pl.DataFrame:
        """The table of a run that is finished."""
        return frame_of(schemas.ORDERS, self._arrays)

    def _open(self, capacity: int) -> None:
        """Room for so many rows, and none of them written."""
        self._room = room = ArrayRoom(_ROW_BYTES * capacity)
        self._capacity, self._done = capacity, _Done(0, 0, 0, 0)
        self._columns = columns = order_columns(capacity, room)
        nothing = np.zeros(0, np.int64)
        rows = IdRows(
            columns.symbol, columns.decided_at, columns.role, nothing, np.zeros(0, np.bool_),
            columns.entry_symbol, columns.entry_at,
        )  # fmt: skip
        self._ids = None
        if capacity <= MOST_ROWS:
            self._ids = IdTexts(self._label.book, self._symbols, ROLE_NAMES, rows, room)
        of_columns = {
            "role": (columns.role, ROLE_NAMES),
            "side": (columns.buys, ("sell", "buy")),
            "kind": (columns.role, ORDER_KINDS),
            "time_in_force": (columns.force, TIMES_IN_FORCE),
            "status": (columns.status, STATUS_NAMES),
            "reason": (columns.reason, REASON_NAMES),
            "verdict": (columns.verdict, VERDICT_NAMES),
            "risk_limit": (columns.limit, REASON_NAMES),
        }
        self._names = {name: NameColumn(*parts, room) for name, parts in of_columns.items()}

    def _write(self, log: Records, trips: Records) -> None:
        """The numbers of what has no row yet."""
        assert self._columns is not None
        orders, first, rows, texts = self._done
        more = write_order_columns(
            log, orders, trips, first, len(self._symbols), self._columns, rows
        )
        self._done = _Done(len(log), len(trips), more, texts)

    def _write_texts(self, stop: int) -> None:
        """The texts of the rows before `stop` that have none."""
        first = self._done.texts
        if stop > first:
            write_name_columns(tuple(one.parts for one in self._names.values()), first, stop)
            if self._ids is not None:
                self._ids.write(first, stop)
            self._done = self._done._replace(texts=stop)

    def _columns_written(self) -> dict[str, Column]:
        assert self._columns is not None
        count = self._done.rows
        written: Any = [one[:count] for one in self._columns]
        columns = OrderColumns(*written)
        if self._ids is not None:
            order_ids, _, parent_ids = self._ids.columns(count)
        else:
            order_ids, parent_ids = IdParts(
                self._label.book, self._symbols, columns.symbol, columns.decided_at, ROLE_NAMES,
                columns.role, room=self._room,
            ).with_parents(columns.entry_symbol, columns.entry_at)  # fmt: skip
        role, room = columns.role, self._room
        return {
            "order_id": order_ids,
            "parent_id": parent_ids,
            "symbol": names_of(columns.symbol, self._symbols, room),
            "timestamp": times_of(columns.decided_at),
            "signal_timestamp": times_of(columns.signal_at),
            "quantity": in_place(columns.quantity),
            "wanted_quantity": in_place(columns.wanted, columns.wanted > 0.0),
            "model_id": names_of(columns.model, self._models, room),
            "limit_price": in_place(columns.level, role == TAKE),
            "stop_price": in_place(columns.level, role == STOP),
            **{name: one.array(count) for name, one in self._names.items()},
            **self._label.in_all_rows,
        }
