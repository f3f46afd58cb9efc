"""Columns of each bar from the quotes and trades within it, for lakes that have them.

A column of a bar is made of what happened before the bar's end, so it is known when the bar is. A
bar without a quote, or without a trade whose side is known, has null. They are for research: a
session folds bars and hears no tape of trades, so no feature set has these columns.

Measures:
- `relative_spread`: mean of (ask - bid) / mid, by the time that each quote stood within the bar;
- `quote_imbalance`: mean of (bid size - ask size) / (bid size + ask size), by the same time, -1 to
  1 (Cont, Kukanov and Stoikov, Journal of Financial Econometrics 12, 2014, of the state of the
  book);
- `trade_imbalance`: bought - sold / bought + sold volume, -1 to 1, by the sign of Lee and Ready
  (`market/ticks/asof.py`);
- `signed_trades`: bought - sold volume, in shares adjusted for splits;
- `tick_kyle_lambda_N`: slope of the log returns of N bars on their signed volume, times their mean
  volume of signed trades (Kyle, Econometrica 53, 1985); 0 where the volume does not move. Unlike
  `kyle_lambda_N` it knows the side of each trade, not of the bar.
"""

import math

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.errors import ConfigError, NotReady
from harmony_pipeline.features.kernel_inputs import pairs_state_size, sums_state_size
from harmony_pipeline.features.returns import log_ratio
from harmony_pipeline.features.rolling_pairs import (
    comoments,
    has_pairs,
    load_pairs,
    push_pair,
    save_pairs,
)
from harmony_pipeline.features.rolling_sums import add, load_sum, rolling_sum, save_sum
from harmony_pipeline.kernel import kernel
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.text_columns import run_starts
from harmony_pipeline.market.ticks.asof import with_spreads

_KEYS = ("symbol", "timestamp")
_SPREAD, _IMBALANCE, _QUOTED = 0, 1, 2


def tick_columns(
    bars: pl.DataFrame,
    quotes: pl.DataFrame,
    trades: pl.DataFrame,
    calendar: Calendar,
    timeframe: str,
    *,
    kyle_bars: int = 20,
    at_same_time: bool = False,
) -> pl.DataFrame:
    """symbol, timestamp and the columns above for every row of `bars`, which is sorted by both.

    `quotes` and `trades` are in the order of the tape (QUOTE_TICKS, TRADE_TICKS). A quote stands
    until the next of its symbol, and no longer than its session. `at_same_time` lets a trade see
    the quote of its own time (`with_quotes`). Raises NotReady where there are bars and no ticks,
    and ConfigError for a window below 2.
    """
    if kyle_bars < 2:
        raise ConfigError(f"kyle_bars is {kyle_bars}: a slope needs at least 2 bars")
    if bars.height and quotes.is_empty() and trades.is_empty():
        raise NotReady(
            "there are no quotes and no trades of these bars: fetch them with: harmony ticks --from"
            f" {bars['timestamp'].dt.date().min()!s}, from a source that has them"
        )
    days = calendar.table.select("pre_open", session_date="date")
    dated = calendar.with_session(bars, timeframe).join(
        days, on="session_date", how="left", maintain_order="left"
    )
    whole = dated.select(
        *_KEYS,
        pl.col("bar_end").fill_null(pl.col("timestamp")),
        # outside every session there is no time for a quote to stand
        opened=pl.col("pre_open").fill_null(pl.col("timestamp")),
        close=pl.col("close") * pl.col("adjustment_factor"),
        factor="adjustment_factor",
    )
    table = whole.hstack(_quoted(whole, quotes)).hstack(
        _traded(whole, trades, quotes, at_same_time=at_same_time)
    )
    signed = pl.col("signed_trades") / pl.col("factor")
    table = table.with_columns(
        trade_imbalance=pl.col("signed_trades") / pl.col("volume"), signed_trades=signed
    )
    slope = _kyle(table, pl.col("volume") / pl.col("factor"), kyle_bars)
    return table.select(
        *_KEYS, "relative_spread", "quote_imbalance", "trade_imbalance", "signed_trades", slope
    )


def _quoted(bars: pl.DataFrame, quotes: pl.DataFrame) -> pl.DataFrame:
    """relative_spread and quote_imbalance of each bar."""
    known = quotes.sort("symbol", "timestamp", maintain_order=True)
    starts = run_starts(known["symbol"])
    place = {
        symbol: (int(begin), int(end))
        for symbol, begin, end in zip(
            known["symbol"].gather(starts[:-1]), starts[:-1], starts[1:], strict=True
        )
    }
    bid, ask = known["bid"], known["ask"]
    sizes = known["bid_size"] + known["ask_size"]
    numbers = np.empty((2, known.height))
    numbers[_SPREAD] = ((ask - bid) / ((ask + bid) / 2.0)).fill_null(np.nan).to_numpy()
    imbalance = (known["bid_size"] - known["ask_size"]) / sizes
    numbers[_IMBALANCE] = imbalance.fill_null(np.nan).to_numpy()
    # a quote of an earlier session does not stand any more
    opened = _micros(bars["opened"])
    stamps, begins, ends = (
        _micros(each) for each in (known["timestamp"], bars["timestamp"], bars["bar_end"])
    )
    found = np.full((2, bars.height), np.nan)
    runs = run_starts(bars["symbol"])
    for first, last in zip(runs[:-1].tolist(), runs[1:].tolist(), strict=True):
        begin, end = place.get(bars["symbol"][first], (0, 0))
        rows = slice(first, last)
        _mean_by_time(
            stamps[begin:end],
            np.ascontiguousarray(numbers[:, begin:end]),
            begins[rows],
            ends[rows],
            opened[rows],
            found[:, rows],
        )
    return pl.DataFrame(
        [
            pl.Series("relative_spread", found[_SPREAD], nan_to_null=True),
            pl.Series("quote_imbalance", found[_IMBALANCE], nan_to_null=True),
        ]
    )


def _micros(stamps: pl.Series) -> IntArray:
    return np.array(stamps.dt.cast_time_unit("us").to_physical().to_numpy(), np.int64)


@kernel
def _mean_by_time(
    stamps: IntArray,
    numbers: FloatArray,
    begins: IntArray,
    ends: IntArray,
    opened: IntArray,
    found: FloatArray,
) -> None:
    """Means of both rows of `numbers` over [begin, end) of each bar, by the time that a quote
    stands. A quote from before `opened`, the first bar of the session, does not count; NaN counts
    for no time.
    """
    standing = -1  # the last quote at or before the present moment
    for bar in range(begins.size):
        while standing + 1 < stamps.size and stamps[standing + 1] <= begins[bar]:
            standing += 1
        at = begins[bar]
        totals, times = np.zeros(2), np.zeros(2)
        while at < ends[bar]:
            until = ends[bar]
            if standing + 1 < stamps.size and stamps[standing + 1] < ends[bar]:
                until = stamps[standing + 1]
            if standing >= 0 and stamps[standing] >= opened[bar]:
                for row in range(2):
                    if not math.isnan(numbers[row, standing]):
                        totals[row] += numbers[row, standing] * (until - at)
                        times[row] += until - at
            at = until
            if at < ends[bar]:
                while standing + 1 < stamps.size and stamps[standing + 1] <= at:
                    standing += 1
        for row in range(2):
            found[row, bar] = totals[row] / times[row] if times[row] > 0.0 else np.nan


def _traded(
    bars: pl.DataFrame, trades: pl.DataFrame, quotes: pl.DataFrame, *, at_same_time: bool
) -> pl.DataFrame:
    """signed_trades and volume, in raw shares, of each bar's trades whose side is known."""
    signed = with_spreads(trades.lazy(), quotes.lazy(), at_same_time=at_same_time)
    usable = signed.filter(
        pl.col("sign").is_not_null()
        & (pl.col("sign") != 0)
        & (pl.col("size") > 0.0)
        & ~pl.col("suspicious").fill_null(value=False)
    ).select("symbol", "sign", "size", moment="timestamp")
    slots = bars.lazy().select("symbol", "bar_end", start="timestamp").sort("symbol", "start")
    inside = usable.sort("symbol", "moment", maintain_order=True).join_asof(
        slots,
        left_on="moment",
        right_on="start",
        by="symbol",
        strategy="backward",
        check_sortedness=False,
        coalesce=False,
    )
    sums = (
        inside.filter(pl.col("moment") < pl.col("bar_end"))
        .group_by("symbol", "start", maintain_order=True)
        .agg(
            signed_trades=(pl.col("sign") * pl.col("size")).sum(),
            volume=pl.col("size").sum(),
        )
    )
    return (
        bars.lazy()
        .select(*_KEYS)
        .join(sums, left_on=_KEYS, right_on=["symbol", "start"], how="left", maintain_order="left")
        .select("signed_trades", "volume")
        .collect(engine="in-memory")
    )


def _kyle(table: pl.DataFrame, volume: pl.Expr, length: int) -> pl.Series:
    close = table["close"].to_numpy()
    signed, traded = (
        np.array(each.fill_null(np.nan).to_numpy(), np.float64)
        for each in (table["signed_trades"], table.select(volume)["volume"])
    )
    values = np.empty(table.height)
    starts = run_starts(table["symbol"])
    for first, last in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        rows = slice(first, last)
        _slopes(
            np.array(close[rows], np.float64),
            signed[rows],
            traded[rows],
            np.zeros(pairs_state_size(length)),
            np.zeros(sums_state_size(length)),
            values[rows],
        )
    return pl.Series(f"tick_kyle_lambda_{length}", values, nan_to_null=True)


@kernel
def _slopes(
    close: FloatArray,
    signed: FloatArray,
    traded: FloatArray,
    pairs: FloatArray,
    volumes: FloatArray,
    values: FloatArray,
) -> None:
    """Slope of log returns on signed volume over the last bars that have one, times their mean
    volume. A bar without signed trades takes no place in the window and has no value.
    """
    cursor, total = load_pairs(pairs), load_sum(volumes)
    for i in range(values.size):
        values[i] = np.nan
        if i == 0 or math.isnan(signed[i]):
            continue
        cursor = push_pair(pairs, cursor, log_ratio(close[i], close[i - 1]), signed[i])
        total = add(volumes, total, traded[i])
        if has_pairs(cursor):
            found, usual = comoments(pairs, cursor), rolling_sum(volumes, total) / total.length
            values[i] = found.xy / found.yy * usual if found.yy > 0.0 else 0.0
    save_pairs(pairs, cursor)
    save_sum(volumes, total)
