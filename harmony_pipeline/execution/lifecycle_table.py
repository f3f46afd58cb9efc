"""The lifecycle of all orders as one frame, and the fills among it."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harmony_pipeline.execution.order_store import OrderStore
from harmony_pipeline.execution.order_types import OrderTicket, Refusal
from harmony_pipeline.execution.working_orders import (
    E_FILLED,
    E_PARTIALLY_FILLED,
    EVENTS,
    REASONS,
    STATUSES,
)
from harmony_pipeline.portfolio.kernel_types import MONEY
from harmony_pipeline.schemas import REAL, TEXT, TIME, WHOLE

LIFECYCLE = {
    "order_id": TEXT,
    "symbol": TEXT,
    "sequence": WHOLE,
    "timestamp": TIME,
    "known_at": TIME,
    "from_status": TEXT,
    "to_status": TEXT,
    "event": TEXT,
    "quantity": REAL,
    "price": REAL,
    "reason": TEXT,
    "reference_price": REAL,
    "fee": REAL,
    "liquidity": TEXT,
}
"""One row a transition. `timestamp` is the start of the bar in which it happened, or the moment
itself; `known_at` when it could be known. `from_status` is null for an order's first row. quantity:
of an execution its shares, of an adjustment the order's new total, else the order's or what remains
of it. price: of an execution, or the level of the order. `sequence` orders the rows of a symbol.
"""


class Refused(NamedTuple):
    """A ticket that no exchange saw."""

    ticket: OrderTicket
    refusal: Refusal


def lifecycle_frame(stores: Iterable[OrderStore], refused: Sequence[Refused]) -> pl.DataFrame:
    """All transitions in the columns of LIFECYCLE, in order of time; of one moment by symbol, and
    of one symbol in the order in which they happened.
    """
    frames = [_of_store(store) for store in stores if len(store.log)]
    frames += [_of_refused(refused)] if refused else []
    if not frames:
        return pl.DataFrame(schema=LIFECYCLE)
    return pl.concat(frames).sort("timestamp", "symbol", "sequence", maintain_order=True)


def fills_of(lifecycle: pl.DataFrame, sides: pl.DataFrame) -> pl.DataFrame:
    """The executions among a lifecycle, in the words of the table `fills`; `sides` has order_id and
    side (1, -1).
    """
    found = lifecycle.filter(pl.col("event").is_in(["filled", "partially_filled"]))
    number = pl.int_range(1, pl.len() + 1, dtype=WHOLE).over("order_id").cast(TEXT)
    return found.join(sides, on="order_id", how="left", maintain_order="left").select(
        fill_id=pl.col("order_id") + "-" + number,
        order_id="order_id",
        symbol="symbol",
        timestamp="timestamp",
        side=pl.when(pl.col("side") > 0).then(pl.lit("buy")).otherwise(pl.lit("sell")),
        quantity="quantity",
        price="price",
        reference_price="reference_price",
        fee="fee",
        slippage=(pl.col("price") - pl.col("reference_price")).abs(),
        liquidity="liquidity",
    )


def _of_store(store: OrderStore) -> pl.DataFrame:
    log = store.log
    ids = [ticket.order_id for ticket in store.tickets]
    executed = np.isin(log["event"], [E_FILLED, E_PARTIALLY_FILLED])
    makers = np.where(executed, log["maker"], 2)
    columns = [
        _words("order_id", ids, log["row"]),
        pl.Series("symbol", [store.symbol]).new_from_index(0, len(log)),
        pl.Series("sequence", np.arange(len(log))),
        pl.Series("timestamp", log["at"].copy()).cast(TIME),
        pl.Series("known_at", log["known_at"].copy()).cast(TIME),
        _words("from_status", STATUSES, log["from_status"]),
        _words("to_status", STATUSES, log["to_status"]),
        _words("event", EVENTS, log["event"]),
        pl.Series("quantity", log["quantity"].copy(), nan_to_null=True),
        pl.Series("price", log["price"].copy(), nan_to_null=True),
        _words("reason", REASONS, log["reason"]),
        pl.Series("reference_price", log["reference"].copy(), nan_to_null=True),
        pl.Series("fee", np.where(executed, log["fee"] / MONEY, np.nan), nan_to_null=True),
        _words("liquidity", ["taker", "maker", ""], makers),
    ]
    return pl.DataFrame(columns)


def _words(name: str, words: Sequence[str], codes: NDArray[np.int64]) -> pl.Series:
    """The word of each code; the empty word is null."""
    return pl.Series(name, [str(word) or None for word in words], TEXT).gather(codes.copy())


def _of_refused(refused: Sequence[Refused]) -> pl.DataFrame:
    """Two rows a ticket: the intent, and our own no."""
    rows = []
    for number, (ticket, refusal) in enumerate(refused):
        for event, before, after in (
            ("intent", None, "intended"),
            ("refused", "intended", "refused"),
        ):
            rows.append(
                {
                    "order_id": str(ticket.order_id),
                    "symbol": str(ticket.symbol),
                    "sequence": -1 - len(refused) + number,
                    "timestamp": _moment(ticket),
                    "known_at": _moment(ticket),
                    "from_status": before,
                    "to_status": after,
                    "event": event,
                    "quantity": _number(ticket.quantity),
                    "price": _number(ticket.limit_price or ticket.stop_price),
                    "reason": refusal.reason if event == "refused" else None,
                }
            )
    return pl.DataFrame(rows, schema=LIFECYCLE, strict=False)


def _moment(ticket: OrderTicket) -> datetime | None:
    at = ticket.submitted_at
    return at if isinstance(at, datetime) and at.tzinfo is not None else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and np.isfinite(value) else None
