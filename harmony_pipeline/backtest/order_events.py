"""The life of every order of a backtest as one table, made from the logs of its run.

A row is a transition, in the words of execution/lifecycle.py. Beside them the risk engine's answer
to an entry (`approved`, `resized`, `queued`) and `triggered` (a stop was reached) have rows, which
leave the status as it is. An order leaves when it is decided, a queued one at its release, and the
legs of a bracket in the bar of their entry's fill. The simulated exchange takes what reaches it in
the same moment.

What happens at a bar's open is known then; what its range and its close did is known at its end. An
order that worked when the run began has only the events of this run.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from harmony_pipeline import schemas
from harmony_pipeline.arrays import BoolArray, FloatArray, IntArray
from harmony_pipeline.backtest.input_arrays import SessionColumns
from harmony_pipeline.backtest.log_columns import joined
from harmony_pipeline.backtest.round_trip_log import order_rows
from harmony_pipeline.execution.id_columns import IdParts
from harmony_pipeline.execution.lifecycle import Status
from harmony_pipeline.kernel import kernel
from harmony_pipeline.market.text_columns import name_column
from harmony_pipeline.portfolio.kernel_types import (
    ADJUST,
    APPROVE,
    CANCEL,
    EXPIRE,
    NO_REASON,
    QUEUE,
    REASON_NAMES,
    REFUSED,
    REJECT,
    RESIZE,
    ROLE_NAMES,
    STOP,
    TAKE,
    Records,
)

# Events, in the order in which those of one order and moment stand, and the status that each leads
# to; -1: it stays.
EVENTS = (
    "intent", "refused", "approved", "resized", "queued", "submitted", "accepted", "adjusted",
    "triggered", "partially_filled", "filled", "canceled", "expired", "rejected",
)  # fmt: skip
(
    INTENT, REFUSAL, APPROVED, RESIZED, QUEUED, SUBMITTED, ACCEPTED, ADJUSTED, TRIGGERED,
    PARTIALLY_FILLED, FILLED, CANCELED, EXPIRED, REJECTED,
) = range(len(EVENTS))  # fmt: skip
_STATUSES = tuple(
    str(status)
    for status in (
    Status.INTENDED, Status.REFUSED, Status.SUBMITTED, Status.ACCEPTED, Status.PARTIALLY_FILLED,
    Status.FILLED, Status.CANCELED, Status.EXPIRED, Status.REJECTED,
    )
)  # fmt: skip
_UNKNOWN = -1  # of an order before its first row
_LEADS_TO = np.array([0, 1, -1, -1, -1, 2, 3, -1, -1, 4, 5, 6, 7, 8])
_VERDICTS = {APPROVE: APPROVED, RESIZE: RESIZED, QUEUE: QUEUED}
_ENDS = {CANCEL: CANCELED, EXPIRE: EXPIRED, REJECT: REJECTED, ADJUST: ADJUSTED}
_FIELDS = ("order", "event", "at", "known_at", "quantity", "price", "reason")


@dataclass(frozen=True)
class OrderHistory:
    """The logs of a run that tell of its orders; the first `carried` of `orders` worked when it
    began.
    """

    orders: Records
    fills: Records
    events: Records
    trips: Records
    carried: int
    sessions: SessionColumns
    symbols: tuple[str, ...]
    """As ids have them."""
    backtest_id: str
    book: str
    shown: tuple[str, ...] | None = None
    """As the column has them, where that is something else."""

    def table(self) -> pl.DataFrame:
        """schemas.ORDER_EVENTS."""
        return self._with_trips_as_orders()._table() if len(self.trips) else self._table()

    def _with_trips_as_orders(self) -> "OrderHistory":
        orders, fills, events = order_rows(self.trips, len(self.orders))
        return replace(
            self,
            orders=joined(self.orders, orders),
            fills=joined(self.fills, fills),
            events=joined(self.events, events),
        )

    def _table(self) -> pl.DataFrame:
        log = self.orders
        ids = IdParts(
            self.book, self.symbols, log["symbol"], log["decided_at"], ROLE_NAMES, log["role"]
        ).column()
        columns = self._sorted(self._rows(), ids)
        order, event, quantity = columns["order"], columns["event"], columns["quantity"]
        total, filled, status = self._at_start()
        sequence, before, after = _follow(order, event, quantity, total, filled, status)
        table = pl.DataFrame(
            {
                "order_id": ids.gather(order),
                "symbol": name_column(log["symbol"][order], self.shown or self.symbols),
                "sequence": sequence,
                "timestamp": pl.Series(columns["at"]).cast(schemas.TIME),
                "known_at": pl.Series(columns["known_at"]).cast(schemas.TIME),
                "event": name_column(event, EVENTS),
                "from_status": name_column(before, _STATUSES),
                "to_status": name_column(after, _STATUSES),
                "quantity": quantity,
                "price": pl.Series(columns["price"], nan_to_null=True),
                "reason": name_column(columns["reason"], REASON_NAMES),
            }
        ).with_columns(backtest_id=pl.lit(self.backtest_id))
        return schemas.ORDER_EVENTS.conform(table)

    def _at_start(self) -> tuple[FloatArray, FloatArray, IntArray]:
        """Of each order, as the run finds it: what it is for, what is filled of it, its status."""
        total, filled = self.orders["quantity"].copy(), np.zeros(len(self.orders))
        status = np.full(len(self.orders), _UNKNOWN)
        carried, first = self.orders[: self.carried], slice(self.carried)
        # `fills` of the log counts those of this run, too
        of_run = np.bincount(self.fills["ticket"], minlength=len(self.orders))[first]
        done = carried["fills"] > of_run
        filled[first] = np.where(done, carried["quantity"] - carried["remaining"], 0.0)
        total[first] = filled[first] + carried["remaining"]
        status[first] = np.where(done, _LEADS_TO[PARTIALLY_FILLED], _LEADS_TO[ACCEPTED])
        return total, filled, status

    # --- rows -------------------------------------------------------------------------------------

    def _rows(self) -> list[dict[str, Any]]:
        """The events in groups, each with the columns `_FIELDS`."""
        return [*self._decisions(), *self._ends(), *self._fills()]

    def _decisions(self) -> list[dict[str, Any]]:
        """What happens to an order before the exchange has it: columns of each event."""
        log, row = self.orders, np.arange(len(self.orders))
        here = row >= self.carried
        # a leg is decided with its entry, and placed once that is filled
        at = np.maximum(log["decided_at"], log["since"])
        leaves = np.maximum(at, log["release_at"])
        refused = log["status"] == REFUSED
        ended_at, rejected = self._endings()
        sent = here & ~refused & (ended_at >= leaves)
        wanted = np.where(log["wanted"] > 0.0, log["wanted"], log["quantity"])
        is_leg = (log["role"] == STOP) | (log["role"] == TAKE)
        level = np.where(is_leg, log["level"], np.nan)
        # the legs of an entry at a close are placed with it, and that is known at the bar's end
        late = is_leg & (log["at_close"] == 1) & (at == log["since"])

        def event(which: BoolArray, code: int, moment: IntArray, size: FloatArray, why: Any) -> Any:
            known = moment.copy()
            known[late] = self._ends_of_bars(moment[late])
            one = (row, np.full(len(row), code), moment, known, size, level, why)
            return {name: values[which] for name, values in zip(_FIELDS, one, strict=True)}

        nothing = np.full(len(row), NO_REASON)
        verdicts = [
            event(here & (log["verdict"] == answer), code, at, log["quantity"], log["limit"])
            for answer, code in _VERDICTS.items()
        ]
        return [
            event(here, INTENT, at, wanted, nothing),
            event(here & refused, REFUSAL, at, wanted, log["limit"]),
            *verdicts,
            event(sent, SUBMITTED, leaves, log["quantity"], nothing),
            event(sent & ~rejected, ACCEPTED, leaves, log["quantity"], nothing),
        ]

    def _endings(self) -> tuple[IntArray, BoolArray]:
        """When each order ended other than by a fill (late, where it did not), and whether it was
        rejected.
        """
        ended_at = np.full(len(self.orders), np.iinfo(np.int64).max)
        rejected = np.zeros(len(self.orders), np.bool_)
        ends = self.events[self.events["kind"] != ADJUST]
        ended_at[ends["ticket"]] = ends["at"]
        rejected[ends["ticket"]] = ends["kind"] == REJECT
        return ended_at, rejected

    def _ends(self) -> list[dict[str, Any]]:
        """Ends without a fill and splits; a stop that expires was reached before."""
        log = self.events
        codes = np.zeros(5, np.int64)
        for kind, code in _ENDS.items():
            codes[kind] = code
        level = np.full(len(log), np.nan)
        columns = (
            log["ticket"], codes[log["kind"]], log["at"], log["known_at"], log["remaining"], level,
            log["reason"],
        )  # fmt: skip
        found = dict(zip(_FIELDS, columns, strict=True))
        touched = (log["kind"] == EXPIRE) & (self.orders["role"][log["ticket"]] == STOP)
        # where something of it was filled, the fill has the row of the trigger
        touched &= ~np.isin(log["ticket"], self.fills["ticket"])
        reached = {name: values[touched] for name, values in found.items()}
        reached["event"] = np.full(int(touched.sum()), TRIGGERED)
        reached["reason"] = np.full(int(touched.sum()), NO_REASON)
        return [found, reached]

    def _fills(self) -> list[dict[str, Any]]:
        """Executions, and the triggers of stops that were filled."""
        log = self.fills
        stop = log["role"] == STOP
        is_late = stop | (log["role"] == TAKE) | (self.orders["at_close"][log["ticket"]] == 1)
        known_at = np.where(is_late, self._ends_of_bars(log["at"]), log["at"])
        event = np.where(log["closed"] == 1, FILLED, PARTIALLY_FILLED)
        nothing = np.full(len(log), NO_REASON)
        columns = (
            log["ticket"], event, log["at"], known_at, log["quantity"], log["price"], nothing
        )  # fmt: skip
        found = dict(zip(_FIELDS, columns, strict=True))
        reached = {name: values[stop] for name, values in found.items()}
        reached["event"] = np.full(int(stop.sum()), TRIGGERED)
        reached["price"] = log["reference"][stop]
        return [found, reached]

    def _ends_of_bars(self, at: IntArray) -> IntArray:
        sessions = self.sessions
        place = np.searchsorted(sessions.until, at, side="right")
        end = np.minimum(at + sessions.length, sessions.close[place])
        paused = np.minimum(end, sessions.pause[place])
        return np.where(at < sessions.pause[place], paused, end)

    def _sorted(self, groups: list[dict[str, Any]], ids: pl.Series) -> dict[str, Any]:
        """The rows of each order together, in the order in which they happened; orders by id, as
        the table is sorted.
        """
        rows = {name: np.concatenate([group[name] for group in groups]) for name in _FIELDS}
        rank = np.empty(len(ids), np.int64)
        rank[ids.arg_sort().to_numpy()] = np.arange(len(ids))
        order = np.lexsort((rows["event"], rows["at"], rank[rows["order"]]))
        return {name: values[order] for name, values in rows.items()}


@kernel
def _follow(
    order: IntArray,
    event: IntArray,
    quantity: FloatArray,
    total: FloatArray,
    filled: FloatArray,
    status: IntArray,
) -> tuple[IntArray, IntArray, IntArray]:
    """The number of each row within its order, and the status before and after it. A split writes
    the order's new total into `quantity`, and an end or a trigger what is not filled; `total`,
    `filled` and `status` of the orders go along.
    """
    sequence = np.empty(len(order), np.int64)
    before, after = np.empty(len(order), np.int64), np.empty(len(order), np.int64)
    for row in range(len(order)):
        one, kind = order[row], event[row]
        sequence[row] = sequence[row - 1] + 1 if row > 0 and order[row - 1] == one else 1
        before[row] = status[one]
        if _LEADS_TO[kind] >= 0:
            status[one] = _LEADS_TO[kind]
        after[row] = status[one]
        if kind in (PARTIALLY_FILLED, FILLED):
            filled[one] += quantity[row]
        elif kind == ADJUSTED:
            total[one] = quantity[row] = filled[one] + quantity[row]
        elif kind in (CANCELED, EXPIRED, REJECTED, TRIGGERED):
            quantity[row] = max(total[one] - filled[one], 0.0)
    return sequence, before, after
