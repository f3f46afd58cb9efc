"""Bars for absent minutes, for studies that need a grid without holes. It is off unless
`market.gaps.fill` enables it.

All four prices of a filled bar are the last close before it, its volume is 0 and `filled` is true.
Only the past is used, never the bar that ends the gap. Filled bars are made on demand and never
written into the lake. Backtests and sessions read `bars`, so that no trade is made at a price
without an offer.
"""

from typing import Literal

import numpy as np
import polars as pl

from harmony_pipeline.market.expected_bars import Slots
from harmony_pipeline.schemas import TIME

Fill = Literal["none", "previous_close"]


def fill_forward(bars: pl.DataFrame, gaps: pl.DataFrame, slots: Slots, fill: Fill) -> pl.DataFrame:
    """`bars` (schemas.BARS) with the column `filled`, and a bar for each absent one of `gaps`
    (schemas.GAPS).

    An absent bar without a bar before it stays absent. `slots` are those with which `gaps` were
    found. The adjustment factor and the close come from the same bar, so that the adjusted price
    does not move.
    """
    real = bars.with_columns(filled=pl.lit(value=False))
    if fill == "none" or gaps.is_empty():
        return real.sort("symbol", "timestamp")
    first, last = (
        np.searchsorted(slots.stamp, gaps[name].dt.epoch("us").to_numpy())
        for name in ("first_missing", "last_missing")
    )
    lengths = last - first + 1
    place = np.repeat(np.arange(gaps.height), lengths)
    slot = (
        np.arange(len(place))
        - np.repeat(np.cumsum(lengths) - lengths, lengths)
        + np.repeat(first, lengths)
    )
    absent = pl.DataFrame(
        {
            "symbol": gaps["symbol"].gather(place),
            "timestamp": pl.Series(slots.stamp[slot]).cast(TIME),
        }
    )
    absent = absent.join(
        bars.select("symbol", "timestamp"), on=["symbol", "timestamp"], how="anti"
    ).sort("symbol", "timestamp")
    known = bars.select("symbol", "timestamp", "timeframe", "close", "adjustment_factor").sort(
        "symbol", "timestamp"
    )
    made = absent.join_asof(
        known,
        on="timestamp",
        by="symbol",
        strategy="backward",
        allow_exact_matches=False,
        check_sortedness=False,
    ).drop_nulls("close")
    price = [pl.col("close").alias(name) for name in ("open", "high", "low", "close")]
    zero, unknown = pl.lit(0.0), pl.lit(None, pl.Float64())
    made = made.with_columns(
        *price,
        session=pl.lit("regular"),
        volume=zero,
        trade_count=zero,
        vwap=unknown,
        filled=pl.lit(value=True),
    )
    return pl.concat([real, made.select(real.columns)]).sort("symbol", "timestamp")
