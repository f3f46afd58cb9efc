"""Tick, volume and dollar bars that lie on a grid of time: what the chain from features to the gate
can use.

A bar of trades (ticks/bars.py) ends with the trade that reaches its threshold, at any microsecond.
Everything behind `bars` knows a bar by its start and takes it as known one bar's length later, so
these bars are made of short bars of time, as a rule seconds, and never split one: a bar ends with
the short bar that reaches the threshold, and bears the stamp of that *last* short bar. It is known
at the end of it, no sooner than its last trade and at most one short bar later. The open of the
next bar is the first trade after that, which an order can still get.

The excess over the threshold is not carried. The last bar of each part of a session (before the
open, regular, after the close) ends with the part, whatever it measures, and is stamped with the
part's last slot.

>>> threshold_bars(trade_bars(trades, BarKind.of("1Sec"), calendar), BarKind.of("500000Dollar"),
...                calendar)
"""

import numpy as np
import polars as pl

from harmony_pipeline.arrays import BoolArray, FloatArray, IntArray
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.frames import symbol_ranges
from harmony_pipeline.kernel import kernel
from harmony_pipeline.market.bar_time import slots
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.ticks.bars import BarKind
from harmony_pipeline.schemas import TIME

_MEASURES = {
    "tick": pl.col("trade_count"),
    "volume": pl.col("volume"),
    "dollar": pl.col("vwap") * pl.col("volume"),
}


def threshold_bars(short: pl.DataFrame, kind: BarKind, calendar: Calendar) -> pl.DataFrame:
    """`short` (columns of TRADE_BAR_DTYPES, of one length of time, whole sessions, with prices) as
    bars of `kind`: the same columns and `timeframe`, sorted by symbol and time.

    `end_timestamp` is the end of the last short bar; `complete` is false where the part of the
    session ended before the threshold was reached. Raises ConfigError for a kind of time.
    """
    if kind.kind == "time":
        raise ConfigError(f"{kind.name} bars are made of trades alone: use a threshold")
    rows = short.sort("symbol", "timestamp", maintain_order=True)
    if rows.is_empty():
        return rows
    parts = calendar.parts(rows["timestamp"])
    part = parts["part_start"].to_physical().to_numpy()
    measure = rows.select(_MEASURES[kind.kind].fill_null(0.0)).to_series().to_numpy()
    bar, reached = np.empty(rows.height, np.int64), np.zeros(rows.height, np.bool_)
    number = 0
    for begin, end in symbol_ranges(rows["symbol"]).values():
        mine = slice(begin, end)
        number = group_bars(part[mine], measure[mine], kind.size, number, bar[mine], reached[mine])
    seconds = BarKind.of(str(rows["timeframe"][0])).seconds
    last = slots(parts["part_end"].dt.offset_by("-1us"), seconds, calendar)["slot"].cast(TIME)
    placed = rows.with_columns(
        _bar=pl.Series(bar), _reached=pl.Series(reached), _last=last, _end=parts["part_end"]
    )
    made = placed.group_by("_bar", maintain_order=True).agg(
        pl.col("symbol", "timeframe", "session", "open").first(),
        timestamp=pl.when(pl.col("_reached").last())
        .then(pl.col("timestamp").last())
        .otherwise(pl.col("_last").last()),
        end_timestamp=pl.when(pl.col("_reached").last())
        .then(pl.col("end_timestamp").last())
        .otherwise(pl.col("_end").last()),
        high=pl.col("high").max(),
        low=pl.col("low").min(),
        close=pl.col("close").last(),
        volume=pl.col("volume").sum(),
        trade_count=pl.col("trade_count").sum(),
        vwap=(pl.col("vwap") * pl.col("volume")).sum() / pl.col("volume").sum(),
        complete=pl.col("_reached").last(),
    )
    return made.with_columns(vwap=pl.col("vwap").fill_nan(None).clip("low", "high")).select(
        short.columns
    )


@kernel
def group_bars(
    part: IntArray,
    measure: FloatArray,
    threshold: float,
    first: int,
    bar: IntArray,
    reached: BoolArray,
) -> int:
    """Number the bars of one symbol from `first` on into `bar`, one value a short bar, and mark in
    `reached` the short bars that reach the threshold; returns the number after the last.

    A bar ends with the short bar that brings its measure to the threshold, and before one of
    another `part`.
    """
    number, total, opened = first, 0.0, False
    for row in range(len(part)):
        if opened and part[row] != part[row - 1]:
            number, total = number + 1, 0.0
        opened = True
        bar[row] = number
        total += measure[row]
        if total >= threshold:
            reached[row], opened = True, False
            number, total = number + 1, 0.0
    return number + 1 if opened else number
