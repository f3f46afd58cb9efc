"""Limit orders that rest through the quotes and trades of the lake, from frame to frame.

The rules are those of queue_position.py.
"""

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from harmony_pipeline.arrays import read_only
from harmony_pipeline.errors import DataError
from harmony_pipeline.execution.queue_position import (
    FILLED,
    MARKETABLE,
    NO_CANCELS,
    PARTLY_FILLED,
    PRO_RATA,
    QUEUE_FILL,
    QUOTED,
    UNFILLED,
    LimitOrders,
    QueueOutcomes,
    QuoteColumns,
    TradeColumns,
    find_hit_sides,
    rest_orders,
)
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.ticks.conditions import HIGH_LOW, LAST, eligibility
from harmony_pipeline.schemas import TIME

CancelRule = Literal["none", "quoted", "pro_rata"]
_RULES: dict[str, int] = {"none": NO_CANCELS, "quoted": QUOTED, "pro_rata": PRO_RATA}
_STATUS = {
    MARKETABLE: "marketable", UNFILLED: "unfilled", PARTLY_FILLED: "partly_filled",
    FILLED: "filled",
}  # fmt: skip
_NEVER = np.iinfo(np.int64).max
Array = npt.NDArray[Any]


class RestingResult(NamedTuple):
    """`orders`: as given, with status, ahead_at_arrival, ahead and filled_quantity. `fills`: one
    row a fill, with the trade that is its witness.
    """

    orders: pl.DataFrame
    fills: pl.DataFrame


def rest_limit_orders(
    orders: pl.DataFrame,
    quotes: pl.DataFrame,
    trades: pl.DataFrame,
    calendar: Calendar,
    *,
    cancels: CancelRule = "none",
    codes: str = "sip",
) -> RestingResult:
    """Which limit orders are filled, when and by which trades.

    `orders` has symbol, timestamp (when it is at the venue: add the latency), until (null: the end
    of the data), side (1 buy, -1 sell), limit_price and quantity. `quotes` and `trades` have the
    columns of quote_ticks and trade_ticks, each symbol in the order of the tape. Only trades that
    may set the high, the low and the last price count, by their conditions in the form of `codes`
    (market/ticks/conditions.py).

    `ahead_at_arrival` and `ahead` are null while the queue is unknown. `fills` has order (the row
    of `orders`), symbol, timestamp, side, quantity, price (the limit), trade_price, trade_size and
    through. Raises DataError for an order that cannot rest, and for ticks that are out of order.
    """
    if cancels not in _RULES:
        raise DataError(f"cancels is '{cancels}': use one of {', '.join(_RULES)}")
    numbered = _checked(orders)
    mine = _by_symbol(numbered)
    quoted, traded = (
        _by_symbol(ticks.filter(pl.col("symbol").is_in(list(mine))))
        for ticks in (quotes, _telling(trades, calendar, codes))
    )
    found = [
        _one_symbol(
            _RULES[cancels],
            rows,
            quoted.get(symbol, quotes.clear()),
            traded.get(symbol, trades.clear()),
        )
        for symbol, rows in (mine or {"": numbered}).items()
    ]
    rows = pl.concat([one.orders for one in found]).sort("order").drop("order")
    return RestingResult(rows, pl.concat([one.fills for one in found]).sort("timestamp", "order"))


def _checked(orders: pl.DataFrame) -> pl.DataFrame:
    """The orders with their row number, if each of them can rest."""
    known = orders.with_columns(
        pl.col("timestamp", "until").cast(TIME),
        pl.col("side").cast(pl.Int8),
        pl.col("limit_price", "quantity").cast(pl.Float64),
    ).with_row_index("order")
    price, quantity = pl.col("limit_price"), pl.col("quantity")
    rules = {
        "needs a symbol and a timestamp": pl.all_horizontal(
            pl.col("symbol", "timestamp").is_not_null()
        ),
        "needs side 1 (buy) or -1 (sell)": pl.col("side").abs() == 1,
        "needs a limit_price above 0": (price > 0) & price.is_finite(),
        "needs a quantity above 0": (quantity > 0) & quantity.is_finite(),
    }
    for rule, holds in rules.items():
        wrong = known.filter(~holds.fill_null(False))
        if wrong.height:
            row = wrong.row(0, named=True)
            raise DataError(f"order in row {row['order']} of {row['symbol']} {rule}: it has {row}")
    return known


def _by_symbol(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    parts = frame.partition_by("symbol", maintain_order=True, as_dict=True)
    return {str(symbol): rows for (symbol,), rows in parts.items()}


def _telling(trades: pl.DataFrame, calendar: Calendar, codes: str) -> pl.DataFrame:
    """The trades whose price says where the market was: they may set high, low and last."""
    ordered = trades.select("symbol", "timestamp", "price", "size", "conditions", "suspicious")
    rows = ordered.with_columns(calendar.parts(ordered["timestamp"])["session"])
    full = HIGH_LOW | LAST
    return rows.filter(eligibility(rows, codes) & full == full)


def _one_symbol(
    rule: int, orders: pl.DataFrame, quotes: pl.DataFrame, trades: pl.DataFrame
) -> RestingResult:
    quoted = QuoteColumns(
        _tape(quotes, "quotes"), *_reals(quotes, "bid", "bid_size", "ask", "ask_size")
    )
    stamps, (prices, sizes) = _tape(trades, "trades"), _reals(trades, "price", "size")
    hit = np.empty(trades.height, np.int8)
    find_hit_sides(quoted, stamps, prices, hit)
    traded = TradeColumns(stamps, prices, sizes, read_only(hit))
    until = read_only(orders["until"].dt.epoch("us").fill_null(_NEVER).to_numpy())
    asked = LimitOrders(
        _stamps(orders),
        until,
        read_only(orders["side"].to_numpy()),
        *_reals(orders, "limit_price", "quantity"),
    )
    outcomes = QueueOutcomes(
        np.empty(orders.height, np.int8), *(np.empty(orders.height) for _ in range(3))
    )
    fills = _rest_all(rule, asked, quoted, traded, outcomes)
    known = orders.with_columns(
        pl.Series("status", outcomes.status).replace_strict(_STATUS, return_dtype=pl.String),
        _finite("ahead_at_arrival", outcomes.ahead_at_arrival),
        _finite("ahead", outcomes.ahead),
        pl.Series("filled_quantity", outcomes.filled),
    )
    return RestingResult(known, _fills_frame(fills, orders, trades))


def _rest_all(
    rule: int, orders: LimitOrders, quotes: QuoteColumns, trades: TradeColumns, out: QueueOutcomes
) -> Array:
    """Every fill. The buffer grows where an order has no room."""
    parts: list[Array] = []
    done, room = 0, 4 * orders.side.size + 64
    while done < orders.side.size:
        fills = np.empty(room, QUEUE_FILL)
        done, written = rest_orders(rule, orders, quotes, trades, out, fills, done)
        parts.append(fills[:written])
        room *= 2
    return np.concatenate(parts) if parts else np.empty(0, QUEUE_FILL)


def _fills_frame(fills: Array, orders: pl.DataFrame, trades: pl.DataFrame) -> pl.DataFrame:
    order, witness = orders[fills["order"]], trades[fills["trade"]]
    return order.select("order", "symbol", "side", price="limit_price").with_columns(
        timestamp=pl.Series(fills["timestamp"]).cast(TIME),
        quantity=pl.Series(fills["quantity"]),
        trade_price=witness["price"].cast(pl.Float64),
        trade_size=witness["size"].cast(pl.Float64),
        through=pl.Series(fills["through"]),
    )


def _tape(frame: pl.DataFrame, kind: str) -> Array:
    if not frame["timestamp"].is_sorted():
        raise DataError(
            f"the {kind} of {frame['symbol'][0]} are not in the order of time: sort them by"
            " timestamp"
        )
    return _stamps(frame)


def _stamps(frame: pl.DataFrame) -> Array:
    return read_only(frame["timestamp"].cast(TIME).dt.epoch("us").to_numpy())


def _reals(frame: pl.DataFrame, *names: str) -> list[Array]:
    return [read_only(frame[name].cast(pl.Float64).fill_null(np.nan).to_numpy()) for name in names]


def _finite(name: str, values: Array) -> pl.Series:
    return pl.Series(name, np.where(np.isfinite(values), values, np.nan), nan_to_null=True)
