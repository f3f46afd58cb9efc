"""The requests to a source that would fill the gaps.

Every absent bar is requested with its symbol. A symbol without a gap is not in the request. A
request extends at most one block beyond its runs. Each request costs time, whatever its size. So
nearby runs of a symbol are one request, and so are symbols whose runs lie in the same blocks of
time.
"""

from collections.abc import Sequence
from datetime import date, timedelta

import polars as pl

from harmony_pipeline.market.sources.base import Request

BLOCK_BARS = 60  # runs nearer than this share a request: 60 bars cost no more than two


def repair_requests(
    gaps: pl.DataFrame, bar: timedelta, sessions: Sequence[date] = ()
) -> list[Request]:
    """Requests that cover every run of `gaps` (schemas.GAPS), oldest first.

    Whole sessions that adjoin in `sessions` are one range.
    """
    if gaps.is_empty():
        return []
    block = BLOCK_BARS * bar
    ordinal = (
        pl.DataFrame({"date": list(sessions)}, schema={"date": pl.Date()})
        .unique()
        .sort("date")
        .with_row_index("session")
    )
    runs = gaps.join(ordinal, on="date", how="left").sort("symbol", "first_missing")
    whole = pl.col("bars") == pl.col("session_bars")
    near = pl.col("first_missing") - pl.col("last_missing").shift() <= block
    adjoining = (
        whole
        & whole.shift()
        & (pl.col("session").cast(pl.Int64) - pl.col("session").shift().cast(pl.Int64) == 1)
    )
    same = (pl.col("symbol") == pl.col("symbol").shift()) & (
        near | adjoining.fill_null(value=False)
    )
    runs = runs.with_columns(stretch=(~same.fill_null(value=False)).cast(pl.Int64).cum_sum())
    ranges = runs.group_by("stretch", maintain_order=True).agg(
        pl.col("symbol").first(),
        start=pl.col("first_missing").first(),
        end=pl.col("last_missing").last() + bar,
    )
    length = int(block.total_seconds() * 1e6)
    from_block, to_block = (
        moment.dt.epoch("us") // length for moment in (pl.col("start"), pl.col("end") - bar)
    )
    blocks = ranges.with_columns(from_block=from_block, to_block=to_block).group_by(
        "from_block", "to_block"
    )
    table = blocks.agg(
        pl.col("symbol").unique().sort(), pl.col("start").min(), pl.col("end").max()
    ).sort("start", "end")
    return [
        Request(tuple(symbols), start, end)
        for symbols, start, end in table.select("symbol", "start", "end").iter_rows()
    ]
