"""Quotes and trades of the lake as the columns that `quote_matching.py` takes."""

import numpy as np
import numpy.typing as npt
import polars as pl

from harmony_pipeline.arrays import read_only
from harmony_pipeline.errors import DataError
from harmony_pipeline.execution.queue_position import QuoteColumns, find_hit_sides
from harmony_pipeline.execution.quote_matching import (
    CLOSING,
    NO_AUCTION,
    OPENING,
    QUOTE,
    TRADE,
    TickColumns,
)
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.ticks.conditions import HIGH_LOW, LAST, eligibility
from harmony_pipeline.schemas import TIME

# The tapes' letters of the prints of an auction (CTA and UTP specifications, sale conditions).
_OPENING_PRINT, _CLOSING_PRINT = "O", "6"


def tick_columns(
    quotes: pl.DataFrame, trades: pl.DataFrame, calendar: Calendar, codes: str
) -> TickColumns:
    """Quotes and trades of one symbol (QUOTE_TICKS, TRADE_TICKS), each in the order of the tape. Of
    one moment the trades come first. `codes` is the form of the trades' conditions
    (market/ticks/conditions.py); the tapes' own tell the prints of auctions. A column `auction`
    ("open", "close" or null) goes before them; `halted` may be there. Raises DataError for ticks
    that are out of order.
    """
    for name, frame in (("quotes", quotes), ("trades", trades)):
        if not frame["timestamp"].is_sorted():
            raise DataError(f"{name} are not in order of time: sort them by timestamp")
    both = pl.concat(
        [_of_trades(quotes, trades, calendar, codes), _of_quotes(quotes)], how="diagonal"
    ).sort("at", "order", maintain_order=True)
    parts = calendar.parts(both["at"])
    ends = parts["part_end"].cast(TIME).dt.epoch("us").fill_null(-1)
    names = ("bid", "bid_size", "ask", "ask_size", "price", "size")
    bid, bid_size, ask, ask_size, price, size = (
        read_only(both[name].fill_null(np.nan).to_numpy()) for name in names
    )
    return TickColumns(
        read_only(both["at"].dt.epoch("us").to_numpy()),
        read_only(both["kind"].to_numpy()),
        bid,
        bid_size,
        ask,
        ask_size,
        price,
        size,
        read_only(both["hit"].fill_null(0).to_numpy()),
        read_only(both["sets"].fill_null(0).to_numpy()),
        read_only(both["auction"].fill_null(NO_AUCTION).to_numpy()),
        read_only(ends.to_numpy()),
        read_only((parts["session"] == "regular").fill_null(value=False).cast(pl.UInt8).to_numpy()),
        read_only(both["halted"].fill_null(value=False).cast(pl.UInt8).to_numpy()),
    )


def _of_quotes(quotes: pl.DataFrame) -> pl.DataFrame:
    return quotes.select(
        pl.col("timestamp").cast(TIME).alias("at"),
        pl.lit(QUOTE, pl.UInt8).alias("kind"),
        pl.lit(1, pl.UInt8).alias("order"),
        *(pl.col(name).cast(pl.Float64) for name in ("bid", "ask")),
        *(pl.col(name).cast(pl.Float64).fill_null(0.0) for name in ("bid_size", "ask_size")),
        _halted(quotes),
    )


def _of_trades(
    quotes: pl.DataFrame, trades: pl.DataFrame, calendar: Calendar, codes: str
) -> pl.DataFrame:
    rows = trades.with_columns(calendar.parts(trades["timestamp"])["session"])
    full = HIGH_LOW | LAST
    sets = (eligibility(rows, codes) & full == full) & (rows["price"] > 0.0) & (rows["size"] > 0.0)
    return rows.select(
        pl.col("timestamp").cast(TIME).alias("at"),
        pl.lit(TRADE, pl.UInt8).alias("kind"),
        pl.lit(0, pl.UInt8).alias("order"),
        pl.col("price", "size").cast(pl.Float64),
        pl.Series("hit", _hits(quotes, trades)),
        sets.fill_null(value=False).cast(pl.UInt8).alias("sets"),
        _auction(trades, codes),
        _halted(trades),
    )


def _hits(quotes: pl.DataFrame, trades: pl.DataFrame) -> npt.NDArray[np.int8]:
    """Which side each trade hit."""
    hit = np.zeros(trades.height, np.int8)
    sides = (
        read_only(quotes[name].cast(pl.Float64).fill_null(np.nan).to_numpy())
        for name in ("bid", "bid_size", "ask", "ask_size")
    )
    stamps, traded = (
        read_only(frame["timestamp"].cast(TIME).dt.epoch("us").to_numpy())
        for frame in (quotes, trades)
    )
    prices = read_only(trades["price"].cast(pl.Float64).fill_null(np.nan).to_numpy())
    find_hit_sides(QuoteColumns(stamps, *sides), traded, prices, hit)
    return hit


def _auction(trades: pl.DataFrame, codes: str) -> pl.Expr:
    if "auction" in trades.columns:
        opening, closing = pl.col("auction") == "open", pl.col("auction") == "close"
    elif codes == "sip":
        opening = pl.col("conditions").str.contains(_OPENING_PRINT, literal=True)
        closing = pl.col("conditions").str.contains(_CLOSING_PRINT, literal=True)
    else:
        opening = closing = pl.lit(value=False)
    return (
        pl.when(opening)
        .then(pl.lit(OPENING, pl.UInt8))
        .when(closing)
        .then(pl.lit(CLOSING, pl.UInt8))
        .otherwise(pl.lit(NO_AUCTION, pl.UInt8))
        .alias("auction")
    )


def _halted(frame: pl.DataFrame) -> pl.Expr:
    return pl.col("halted") if "halted" in frame.columns else pl.lit(value=False).alias("halted")
