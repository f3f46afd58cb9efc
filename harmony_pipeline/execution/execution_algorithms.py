"""A parent order in slices: TWAP, VWAP by an expected volume profile, and iceberg.

Each function turns a parent ticket into child tickets for the matching engine, which knows nothing
of the parent: the children are orders like others. They are named `PARENT-1`, `PARENT-2`, ... and
have the parent's kind, limit and time in force.

    twap      the same quantity at equal distances in time
    vwap      quantities as the volume of the day is expected to come (`volume_profile`)
    iceberg   one child shows at a time; the next one joins the queue when it is filled

Quantities are whole lots: what is due by the end of a slice is rounded down, so that no slice is
ahead of its schedule by a lot, and the last one completes the parent. (Kissell, The Science of
Algorithmic Trading and Portfolio Management, 2013, ch. 1; Johnson, Algorithmic Trading & DMA, 2010,
ch. 5.)

What children leave at the end is taken by one more order: `cancel_children`, and when the cancels
have arrived `rest_of`.
"""

import math
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

import msgspec
import polars as pl

from harmony_pipeline.errors import DataError
from harmony_pipeline.execution.matching_engine import MatchingEngine
from harmony_pipeline.execution.order_types import OrderTicket, one_triggers_other
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.price_grid import floor_to_lot


class Execution(NamedTuple):
    """How a parent fared. `shortfall`: its average price against the arrival price, as a fraction,
    positive when it cost us; `against_vwap` the same against the market's volume-weighted price.
    """

    filled: float
    average_price: float
    fees: float
    shortfall: float
    against_vwap: float


def twap(
    parent: OrderTicket, end: datetime, slices: int, lot_size: float = 1.0
) -> tuple[OrderTicket, ...]:
    """`slices` children of one size from the parent's submission on, the last one a slice before
    `end`. Raises DataError where there is no time or no slice.
    """
    span = end - parent.submitted_at
    if slices < 1 or span <= timedelta():
        raise DataError(f"{slices} slices until {end}: at least one, and an end after the start")
    moments = [parent.submitted_at + span * number / slices for number in range(slices)]
    return _children(parent, moments, [1.0] * slices, lot_size)


def vwap(
    parent: OrderTicket,
    end: datetime,
    profile: pl.DataFrame,
    session_open: datetime,
    lot_size: float = 1.0,
) -> tuple[OrderTicket, ...]:
    """Children at the slices of `profile` (`volume_profile`: offset from the open, share) between
    the parent's submission and `end`, sized by their shares. Raises DataError where no volume is
    expected in that time.
    """
    rows = [
        (session_open + offset, share)
        for offset, share in profile.select("offset", "share").sort("offset").rows()
        if parent.submitted_at <= session_open + offset < end
    ]
    shares = [share for _, share in rows]
    if not all(math.isfinite(share) and share >= 0.0 for share in shares) or not sum(shares) > 0.0:
        raise DataError(
            f"the profile expects no volume between {parent.submitted_at} and {end}: choose a"
            " longer time, or a profile of shares that are not negative"
        )
    return _children(parent, [moment for moment, _ in rows], shares, lot_size)


def volume_profile(
    bars: pl.DataFrame, calendar: Calendar, timeframe: str, before: date, sessions: int = 20
) -> pl.DataFrame:
    """How the volume of a day comes, from the `sessions` sessions of one symbol before `before`:
    offset (from the open), share (mean part of the regular session's volume; they add to 1).

    Each session counts alike, whatever its volume; half-days and days without volume do not count.
    Nothing of `before` or later is looked at. Raises DataError when there is no such session.
    """
    placed = calendar.with_session(bars.select("timestamp", "volume"), timeframe).filter(
        (pl.col("session") == "regular") & (pl.col("session_date") < before)
    )
    hours = calendar.table.select("date", "open", length=pl.col("close") - pl.col("open"))
    days = placed.join(
        hours, left_on="session_date", right_on="date", how="left", maintain_order="left"
    )
    full = days.group_by("session_date").agg(
        pl.col("volume").sum().alias("total"), pl.col("length").first()
    )
    chosen = (
        full.filter((pl.col("total") > 0.0) & (pl.col("length") == pl.col("length").max()))
        .sort("session_date")
        .tail(sessions)
    )
    if chosen.is_empty():
        raise DataError(f"no full session with volume before {before}: read more bars")
    shares = days.join(chosen.select("session_date", "total"), on="session_date").select(
        offset=pl.col("timestamp") - pl.col("open"), share=pl.col("volume") / pl.col("total")
    )
    return (
        shares.sort("offset")
        .group_by("offset", maintain_order=True)
        .agg(pl.col("share").sum() / chosen.height)
    )


def iceberg(parent: OrderTicket, display: float, lot_size: float = 1.0) -> tuple[OrderTicket, ...]:
    """Children of at most `display` shares, each held until the one before it is filled. Raises
    DataError for a display below a lot.
    """
    shown = float(floor_to_lot(display, lot_size))
    _check_quantity(parent)
    if not shown > 0.0:
        raise DataError(f"an iceberg shows {display} shares: at least a lot of {lot_size:g}")
    count = math.ceil(parent.quantity / shown - 1e-9)
    sizes = [shown] * (count - 1) + [parent.quantity - shown * (count - 1)]
    tickets = [
        _child(parent, number, size, parent.submitted_at)
        for number, size in enumerate(sizes, start=1)
    ]
    for number in range(1, count):
        _, tickets[number] = one_triggers_other(
            tickets[number - 1], tickets[number], after_parent="filled"
        )
    return tuple(tickets)


# --- the end --------------------------------------------------------------------------------------


def cancel_children(
    engine: MatchingEngine, children: Iterable[OrderTicket], at: datetime
) -> list[str]:
    """Ask for the end of every child that works at `at`; those that were asked."""
    return [
        child.order_id
        for child in children
        if child.submitted_at <= at and engine.cancel(child.order_id, at) is None
    ]


def rest_of(
    engine: MatchingEngine, parent: OrderTicket, children: Sequence[OrderTicket], at: datetime
) -> OrderTicket | None:
    """A market order for what the children have left of the parent, None when that is nothing.

    Raises DataError while a child may still fill: two orders would then be after the same shares.
    """
    working = set(engine.open_orders(parent.symbol)) & {child.order_id for child in children}
    if working:
        raise DataError(
            f"{', '.join(sorted(working))} may still fill: cancel the children of"
            f" {parent.order_id}, and wait until the cancels have arrived"
        )
    left = parent.quantity - sum(engine.filled(child.order_id) for child in children)
    if left <= 1e-9:
        return None
    return msgspec.structs.replace(
        parent, order_id=f"{parent.order_id}-rest", quantity=left, submitted_at=at,
        kind="market", limit_price=None, extended_hours=False,
    )  # fmt: skip


def execution_of(
    parent: OrderTicket, fills: pl.DataFrame, arrival_price: float, market_vwap: float
) -> Execution:
    """How the parent fared, from the engine's fills (children by their names), the price when it
    was decided, and the market's volume-weighted price over its time (NaN: not known).
    """
    mine = fills.filter(pl.col("order_id").str.starts_with(f"{parent.order_id}-"))
    filled = float(mine["quantity"].sum())
    if filled <= 0.0:
        return Execution(0.0, math.nan, 0.0, math.nan, math.nan)
    average = float((mine["quantity"] * mine["price"]).sum()) / filled
    return Execution(
        filled,
        average,
        float(mine["fee"].sum()),
        parent.side * (average / arrival_price - 1.0),
        parent.side * (average / market_vwap - 1.0),
    )


# --- inside ---------------------------------------------------------------------------------------


def _children(
    parent: OrderTicket, moments: Sequence[datetime], weights: Sequence[float], lot_size: float
) -> tuple[OrderTicket, ...]:
    """A child at each moment whose due quantity is a lot or more."""
    _check_quantity(parent)
    total, done, due = sum(weights), 0.0, 0.0
    tickets: list[OrderTicket] = []
    for number, (moment, weight) in enumerate(zip(moments, weights, strict=True), start=1):
        due += weight
        last = number == len(moments)
        wanted = (
            parent.quantity
            if last
            else float(floor_to_lot(parent.quantity * min(due / total, 1.0), lot_size))
        )
        if wanted - done > 1e-9:
            tickets.append(_child(parent, len(tickets) + 1, wanted - done, moment))
            done = wanted
    return tuple(tickets)


def _child(parent: OrderTicket, number: int, quantity: float, at: datetime) -> OrderTicket:
    return msgspec.structs.replace(
        parent, order_id=f"{parent.order_id}-{number}", quantity=quantity, submitted_at=at
    )


def _check_quantity(parent: OrderTicket) -> None:
    if not (math.isfinite(parent.quantity) and parent.quantity > 0.0):
        raise DataError(
            f"{parent.order_id} is for {parent.quantity} shares: a number above zero can be sliced"
        )
