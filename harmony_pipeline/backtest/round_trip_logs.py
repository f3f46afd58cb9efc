"""What a round trip that was made in one go (backtest/round_trips.py) leaves in the logs: the rows
that the loop writes of the same orders, fills, events and trade.
"""

import math
from typing import NamedTuple

from harmony_pipeline.backtest.books import Books
from harmony_pipeline.backtest.input_arrays import MarketBars
from harmony_pipeline.backtest.logs import EVENTS, FILLS, ORDERS, TRADES
from harmony_pipeline.kernel import inlined_kernel
from harmony_pipeline.portfolio.decisions import close_position, place_legs, write_entry
from harmony_pipeline.portfolio.kernel_types import (
    BY_STOP,
    BY_TAKE,
    BY_VERTICAL,
    CANCEL,
    CANCELED,
    FILL,
    FILLED,
    NO_REASON,
    Record,
)
from harmony_pipeline.portfolio.position_accounting import close_trade
from harmony_pipeline.risk.limits import Verdict


class Entry(NamedTuple):
    """An entry of `size` that is filled at the open of the bar `row`; -1: it is not. `quantity` is
    what is held then, signed; `value` and `fee` are money units.
    """

    row: int
    side: int
    size: float
    quantity: float
    reference: float
    price: float
    value: int
    fee: int
    stop: float
    take: float


class Leave(NamedTuple):
    """How a position is left at the bar `row`; `reason` NO_REASON: in a way that is not known here.

    It is known at `ended`, the end of that bar, or of the bar before it where the horizon ends the
    trade. `end` is the first row that is not of the bar's session; `peak` the highest equity after
    it.
    """

    reason: int
    row: int
    end: int
    ended: int
    reference: float
    price: float
    value: int
    fee: int
    peak: int


@inlined_kernel
def log_refusal(books: Books, bar: Record, verdict: Verdict) -> None:
    """The order row of an entry that was refused."""
    ticket = books.at[ORDERS]
    write_entry(books.order_log[ticket], bar, verdict, 0)
    books.order_log[ticket]["ticket"] = ticket


@inlined_kernel
def log_trip(
    books: Books,
    bars: MarketBars,
    bar: Record,
    verdict: Verdict,
    entry: Entry,
    leave: Leave,
    made: int,
) -> None:
    """The rows of a round trip that was decided at the end of `bar` and made `made` money units.
    The position is as it was before when they are written.
    """
    account, position, at = books.account[0], books.positions[0], books.at
    ticket, decided = at[ORDERS], bar["end"]
    write_entry(books.order_log[ticket], bar, verdict, 0)
    _open(position, bars, bar, entry)
    place_legs(position, 0, decided, books.order_log, ticket + 1)
    for leg in range(3):
        books.order_log[ticket + leg]["ticket"] = ticket + leg
    _log_fill(books, ticket, bars.at[entry.row], bars.factor[entry.row], entry.price,
              entry.reference, entry.fee, False)  # fmt: skip
    filled = ticket + 1 if leave.reason == BY_STOP else ticket + 2
    position["legs_working"] = 0
    if leave.reason == BY_VERTICAL:
        _log_cancel(books, ticket + 1, leave.ended, leave.ended)
        _log_cancel(books, ticket + 2, leave.ended, leave.ended)
        filled = ticket + 3
        close_position(
            position, account, 0, BY_VERTICAL, bar["at"], leave.ended, books.order_log, filled
        )
        books.order_log[filled]["ticket"] = filled
        position["exit_working"] = 0
    moment, maker = bars.at[leave.row], leave.reason == BY_TAKE
    _log_fill(books, filled, moment, bars.factor[leave.row], leave.price,
              leave.reference, leave.fee, maker)  # fmt: skip
    if leave.reason != BY_VERTICAL:
        other = 2 * ticket + 3 - filled
        _log_cancel(books, other, moment, max(moment, leave.ended))
    _close(books, position, entry, leave, made)
    at[TRADES] = close_trade(position, account, 0, moment, books.trade_log, at[TRADES])


@inlined_kernel
def _open(position: Record, bars: MarketBars, bar: Record, entry: Entry) -> None:
    """What the legs, the exit and the trade take from a position that was entered."""
    position["side"], position["quantity"] = entry.side, entry.quantity
    position["entry_symbol"] = 0
    position["entry_at"], position["entry_bar"] = bar["end"], bars.at[entry.row]
    position["entry_signal_at"], position["model"] = bar["at"], bar["model"]
    position["entry_factor"], position["volatility"] = bars.factor[entry.row], bar["volatility"]
    position["stop_level"], position["take_level"] = entry.stop, entry.take


@inlined_kernel
def _close(books: Books, position: Record, entry: Entry, leave: Leave, made: int) -> None:
    """What the trade takes from a position that was left."""
    unit, size = books.rules[0]["multiplier"], math.fabs(entry.quantity)
    position["entry_price"], position["exit_price"] = entry.price, leave.price
    position["entry_quantity"], position["entry_value"] = entry.size, entry.value
    position["exit_reason"] = leave.reason
    position["fees"], position["cash_flow"] = entry.fee + leave.fee, made
    position["slippage"] = math.fabs(entry.price - entry.reference) * unit * entry.size
    position["slippage"] += math.fabs(leave.price - leave.reference) * unit * size


@inlined_kernel
def _log_fill(
    books: Books,
    ticket: int,
    moment: int,
    factor: float,
    price: float,
    reference: float,
    fee: int,
    maker: bool,
) -> None:
    """The only fill of an order, which is done by it."""
    order, fill = books.order_log[ticket], books.fill_log[books.at[FILLS]]
    order["fills"], order["status"] = 1, FILLED
    fill["kind"], fill["symbol"], fill["role"], fill["side"] = FILL, 0, order["role"], order["side"]
    fill["at"], fill["decided_at"] = moment, order["decided_at"]
    fill["quantity"], fill["price"], fill["reference"] = order["quantity"], price, reference
    fill["factor"], fill["slippage"] = factor, math.fabs(price - reference)
    fill["fee"], fill["maker"] = fee, 1 if maker else 0
    fill["number"], fill["closed"], fill["ticket"] = 1, 1, ticket
    fill["reason"] = NO_REASON
    books.at[FILLS] += 1


@inlined_kernel
def _log_cancel(books: Books, ticket: int, moment: int, known_at: int) -> None:
    """A leg that is canceled without a fill."""
    books.order_log[ticket]["status"] = CANCELED
    event = books.event_log[books.at[EVENTS]]
    event["ticket"], event["kind"], event["at"], event["known_at"] = (
        ticket, CANCEL, moment, known_at,
    )  # fmt: skip
    event["remaining"], event["reason"] = 0.0, NO_REASON
    books.at[EVENTS] += 1
