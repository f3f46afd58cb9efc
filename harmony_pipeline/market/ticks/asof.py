"""Trades (or bars, or orders) with the quote before them.

A row has the latest quote of its symbol *strictly before* its own time, so never one from the same
event. With `at_same_time` a quote of the same time counts too, for tapes whose clock is too coarse
to order the two. Of several quotes at one time the last in the order of the tape counts.

Measures (Lee and Ready 1991; Huang and Stoll 1996), in currency per share, null where a side of the
quote is missing: quoted spread = ask - bid; effective spread = 2 * |price - mid|; sign = +1 above
the mid (bought), -1 below (sold), and at the mid the tick test: the sign of the last change of
price before it, 0 when there was none. (Lee and Ready delayed quotes by five seconds, since quotes
were reported faster than trades in 1988. A feed with one clock needs no delay.)
"""

import polars as pl

QUOTE_COLUMNS = ("bid", "bid_size", "ask", "ask_size")


def with_quotes(
    rows: pl.LazyFrame, quotes: pl.LazyFrame, *, at_same_time: bool = False
) -> pl.LazyFrame:
    """`rows` (symbol, timestamp, anything else) with their quote; rows keep their order.

    New columns: bid, bid_size, ask, ask_size and quote_timestamp. `quotes` is in the order of the
    tape (schemas.QUOTE_TICKS).
    """
    known = quotes.select("symbol", *QUOTE_COLUMNS, quote_timestamp="timestamp").sort(
        "symbol", "quote_timestamp", maintain_order=True
    )
    ordered = rows.with_row_index("_place").sort("symbol", "timestamp", "_place")
    joined = ordered.join_asof(
        known,
        left_on="timestamp",
        right_on="quote_timestamp",
        by="symbol",
        strategy="backward",
        allow_exact_matches=at_same_time,
        check_sortedness=False,
        coalesce=False,
    )
    return joined.sort("_place").drop("_place")


def with_spreads(
    trades: pl.LazyFrame, quotes: pl.LazyFrame, *, at_same_time: bool = False
) -> pl.LazyFrame:
    """Trades (each symbol in the order of the tape) with their quote and its measures.

    New columns: quoted_spread, effective_spread, inside (the price is neither above the ask nor
    below the bid) and sign (Int8).
    """
    price, bid, ask = pl.col("price"), pl.col("bid"), pl.col("ask")
    mid = (bid + ask) / 2.0
    change = (price - price.shift().over("symbol")).sign()
    moved = pl.when(change != 0.0).then(change).forward_fill().over("symbol").fill_null(0.0)
    sign = (
        pl.when(price > mid)
        .then(1.0)
        .when(price < mid)
        .then(-1.0)
        .when(mid.is_not_null())
        .then(moved)
    )
    return with_quotes(trades, quotes, at_same_time=at_same_time).with_columns(
        quoted_spread=ask - bid,
        effective_spread=2.0 * (price - mid).abs(),
        inside=(price >= bid) & (price <= ask),
        sign=sign.cast(pl.Int8),
    )
