"""Half the spread of every bar, in basis points: measured from quotes, or modelled from bars.

| model | formula | source |
|---|---|---|
| `measured` | mean of (ask - bid) / (ask + bid), weighted by the time each quote stood, by symbol and time of day | |
| `corwin_schultz` | b = ln(H1/L1)^2 + ln(H2/L2)^2, g = ln(max H / min L)^2, k = 3 - 2 sqrt 2, a = (sqrt(2b) - sqrt b)/k - sqrt(g/k), S = 2 (e^a - 1)/(e^a + 1) of two bars, below 0 as 0; mean over the window. A bar that opened a gap is moved back by it | Corwin and Schultz, "A simple way to estimate bid-ask spreads from daily high and low prices", Journal of Finance 67 (2012) |
| `abdi_ranaldo` | S^2 = 4 mean((c1 - m1)(c1 - m2)), c the log close, m the log mid of high and low, of two bars; below 0 as 0 | Abdi and Ranaldo, "A simple estimation of bid-ask spreads from daily close, high and low prices", Review of Financial Studies 30 (2017) |
| `volatility` | S = 1.58 * sigma / sqrt(trades a bar): proportional to the volatility of one trade | Wyart, Bouchaud, Kockelkoren, Potters and Vettorazzo, "Relation between bid-ask spread, impact and volatility in order-driven markets", Quantitative Finance 8 (2008) |

Corwin-Schultz and Abdi-Ranaldo were made for days. They hold for any bars in which prices bounce
between bid and ask; where a tick is wide and the price rarely moves within a bar, both see little.
No spread is less than a tick, so half a tick is the least that `half_spreads` gives.

A bar's estimate uses that bar and earlier ones. `half_spreads` moves it on by one bar of the
symbol, so that a fill in a bar is charged by what was known before it.
"""  # noqa: E501 - a row of a table is a line

import math
from typing import Literal

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.errors import DataError
from harmony_pipeline.kernel import kernel
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.instruments import Instruments
from harmony_pipeline.market.text_columns import run_starts

Model = Literal["measured", "corwin_schultz", "abdi_ranaldo", "volatility"]
WYART = 1.58  # of the paper's shares; the order of magnitude elsewhere
_K = 3.0 - 2.0 * math.sqrt(2.0)
_BPS = 1e4
_BUCKET_MINUTES = 30  # of the time of day


def half_spreads(
    bars: pl.DataFrame,
    model: Model,
    *,
    window: int = 30,
    instruments: Instruments | None = None,
    measured: pl.DataFrame | None = None,
    calendar: Calendar | None = None,
    timeframe: str = "1Min",
    shares_per_trade: float = 100.0,
) -> pl.Series:
    """`half_spread_bps` of each of `bars` (symbol, timestamp, high, low, close, volume,
    adjustment_factor; symbols together, each in order of time), as known before the bar.

    measured: the table of `measured_half_spreads` of other days than those of the bars, with their
    `calendar` and `timeframe`; needed by the model `measured` alone. Null where nothing is known
    yet. `shares_per_trade` tells the number of trades of a bar that has no trade_count (the model
    `volatility`). Raises DataError when the measured table is missing.
    """
    if model == "measured":
        if measured is None or calendar is None:
            raise DataError(
                "half_spreads: the model 'measured' needs the table of measured_half_spreads and a"
                " calendar: give both, or choose another model"
            )
        return _looked_up(bars, measured, calendar, timeframe)
    begin = run_starts(bars["symbol"])
    high, low, close = (
        (bars[name] * bars["adjustment_factor"]).to_numpy() for name in ("high", "low", "close")
    )
    found = np.full(bars.height, np.nan)
    if model == "corwin_schultz":
        corwin_schultz(high, low, close, begin, window, found)
    elif model == "abdi_ranaldo":
        abdi_ranaldo(high, low, close, begin, window, found)
    else:
        volatility_per_trade(close, _trades(bars, shares_per_trade), begin, window, WYART, found)
    least = _half_a_tick(bars, instruments or Instruments())
    column = pl.Series("half_spread_bps", _BPS / 2.0 * found, nan_to_null=True)
    known = pl.DataFrame({"symbol": bars["symbol"], "now": column, "least": least})
    return known.select(
        half_spread_bps=pl.max_horizontal("now", pl.col("least") + 0.0 * pl.col("now"))
        .shift()
        .over("symbol")
    )["half_spread_bps"]


@kernel
def corwin_schultz(
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    begin: IntArray,
    window: int,
    spread: FloatArray,
) -> None:
    """Write the whole spread, a fraction of the price, of each bar: the mean over the `window`
    pairs of bars that end with it. NaN before the first whole window; rows `begin[s]` to
    `begin[s + 1]` are one symbol's.
    """
    pairs = np.full(high.size, np.nan)
    for s in range(begin.size - 1):
        for i in range(begin[s] + 1, begin[s + 1]):
            before = close[i - 1]
            # a gap is no part of the spread: move the bar back to where the last one ended
            gap = low[i] - before if low[i] > before else min(high[i] - before, 0.0)
            top, bottom = high[i] - gap, low[i] - gap
            pairs[i] = max(_two_bars(high[i - 1], low[i - 1], top, bottom), 0.0)
        _rolling_mean(pairs, begin[s] + 1, begin[s + 1], window, spread)


@kernel
def _two_bars(high: float, low: float, next_high: float, next_low: float) -> float:
    first, second = math.log(high / low), math.log(next_high / next_low)
    both = math.log(max(high, next_high) / min(low, next_low))
    beta = first * first + second * second
    alpha = (math.sqrt(2.0 * beta) - math.sqrt(beta)) / _K - math.sqrt(both * both / _K)
    return 2.0 * (math.exp(alpha) - 1.0) / (1.0 + math.exp(alpha))


@kernel
def abdi_ranaldo(
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    begin: IntArray,
    window: int,
    spread: FloatArray,
) -> None:
    """As `corwin_schultz`: the root of four times the mean product over `window` pairs."""
    pairs = np.full(high.size, np.nan)
    for s in range(begin.size - 1):
        for i in range(begin[s] + 1, begin[s + 1]):
            last = math.log(close[i - 1])
            middle = (math.log(high[i - 1]) + math.log(low[i - 1])) / 2.0
            following = (math.log(high[i]) + math.log(low[i])) / 2.0
            pairs[i] = 4.0 * (last - middle) * (last - following)
        _rolling_mean(pairs, begin[s] + 1, begin[s + 1], window, spread)
    for i in range(spread.size):
        spread[i] = math.sqrt(max(spread[i], 0.0)) if spread[i] == spread[i] else spread[i]


@kernel
def volatility_per_trade(
    close: FloatArray,
    trades: FloatArray,
    begin: IntArray,
    window: int,
    coefficient: float,
    spread: FloatArray,
) -> None:
    """As `corwin_schultz`: coefficient * sqrt(mean squared log return / mean number of trades). NaN
    where the window saw no trade.
    """
    squares = np.full(close.size, np.nan)
    variance, activity = np.full(close.size, np.nan), np.full(close.size, np.nan)
    for s in range(begin.size - 1):
        for i in range(begin[s] + 1, begin[s + 1]):
            move = math.log(close[i] / close[i - 1])
            squares[i] = move * move
        _rolling_mean(squares, begin[s] + 1, begin[s + 1], window, variance)
        _rolling_mean(trades, begin[s] + 1, begin[s + 1], window, activity)
    for i in range(close.size):
        if activity[i] > 0.0:
            spread[i] = coefficient * math.sqrt(variance[i] / activity[i])


@kernel
def _rolling_mean(values: FloatArray, first: int, end: int, window: int, means: FloatArray) -> None:
    """The mean of `window` values up to each of values[first:end]; the sum is made anew every
    `window` values, so that no error piles up.
    """
    total = 0.0
    for i in range(first + window - 1, end):
        if (i - first + 1) % window == 0:
            total = 0.0
            for k in range(i - window + 1, i + 1):
                total += values[k]
        else:
            total += values[i] - values[i - window]
        means[i] = total / window


def _trades(bars: pl.DataFrame, shares_per_trade: float) -> FloatArray:
    """Trades in each bar: as counted, else by its volume."""
    trades = pl.col("volume").cast(pl.Float64) / shares_per_trade
    if "trade_count" in bars.columns:
        trades = pl.coalesce(pl.col("trade_count").cast(pl.Float64), trades)
    return bars.select(trades=trades.fill_null(0.0))["trades"].to_numpy()


def _half_a_tick(bars: pl.DataFrame, instruments: Instruments) -> pl.Series:
    """Half a tick in basis points of the close, by the terms of the last bar's day."""
    if bars.is_empty():
        return pl.Series("least", [], dtype=pl.Float64)
    day = bars["timestamp"].max().date()  # type: ignore[union-attr]
    rows = []
    for symbol in bars["symbol"].unique().to_list():
        grid = instruments.at(symbol, day).grid()
        rows.append(
            {
                "symbol": symbol,
                "tick": grid["tick_numerator"] / grid["tick_denominator"],
                "small": grid["small_tick_numerator"] / grid["small_tick_denominator"],
                "below": grid["small_tick_below"],
            }
        )
    ticks = bars.select("symbol", "close").join(
        pl.DataFrame(rows), on="symbol", how="left", maintain_order="left"
    )
    return ticks.select(
        least=_BPS
        / 2.0
        * pl.when(pl.col("close") >= pl.col("below")).then("tick").otherwise("small")
        / pl.col("close")
    )["least"]


# --- measured from quotes -------------------------------------------------------------------------


def measured_half_spreads(quotes: pl.DataFrame, calendar: Calendar) -> pl.DataFrame:
    """Time-weighted half spread of the regular session by symbol, session and time of day.

    quotes: symbol, timestamp, bid, ask (schemas.QUOTE_TICKS), in the order of the tape. A quote
    stands until the next one of its symbol or the session's close. One-sided, crossed and empty
    quotes count for no time. A session in which no quote began is left out.

    Returns symbol, session_date, bucket (minutes from the open to the start of the bucket),
    half_spread_bps, seconds (of valid quotes) and quotes (that began in the bucket).
    """
    parts = []
    ordered = quotes.select("symbol", "timestamp", "bid", "ask").sort(
        "symbol", "timestamp", maintain_order=True
    )
    stamped = ordered.with_columns(session_date=calendar.session_dates(ordered["timestamp"]))
    for (symbol, day), rows in stamped.drop_nulls("session_date").group_by(
        "symbol", "session_date", maintain_order=True
    ):
        opens, closes = (
            round(moment.timestamp() * 1e6)
            for moment in (calendar.session_open(day), calendar.session_close(day))  # type: ignore[arg-type]
        )
        width = _BUCKET_MINUTES * 60_000_000
        count = -(-(closes - opens) // width)
        weighted, lasted, begun = np.zeros(count), np.zeros(count), np.zeros(count, np.int64)
        time_weighted(
            rows["timestamp"].to_physical().to_numpy(),
            rows["bid"].fill_null(float("nan")).to_numpy(),
            rows["ask"].fill_null(float("nan")).to_numpy(),
            opens, closes, width, weighted, lasted, begun,
        )  # fmt: skip
        if not begun.any():  # quotes of an evening before, which nobody renewed
            continue
        parts.append(
            pl.DataFrame(
                {
                    "symbol": [symbol] * count,
                    "session_date": [day] * count,
                    "bucket": np.arange(count) * _BUCKET_MINUTES,
                    "half_spread_bps": _BPS * weighted / np.where(lasted > 0.0, lasted, np.nan),
                    "seconds": lasted / 1e6,
                    "quotes": begun,
                }
            )
        )
    found = pl.concat([_MEASURED.clear(), *parts])
    return found.with_columns(pl.col("half_spread_bps").fill_nan(None))


_MEASURED = pl.DataFrame(
    schema={
        "symbol": pl.String,
        "session_date": pl.Date,
        "bucket": pl.Int64,
        "half_spread_bps": pl.Float64,
        "seconds": pl.Float64,
        "quotes": pl.Int64,
    }
)


@kernel
def time_weighted(
    at: IntArray,
    bid: FloatArray,
    ask: FloatArray,
    opens: int,
    closes: int,
    width: int,
    weighted: FloatArray,
    lasted: FloatArray,
    begun: IntArray,
) -> None:
    """Add up (ask - bid) / (ask + bid) times the microseconds that each quote stood between `opens`
    and `closes`, and those microseconds, by bucket of `width`. Times rise.
    """
    for i in range(at.size):
        start = max(at[i], opens)
        end = min(at[i + 1] if i + 1 < at.size else closes, closes)
        if at[i] >= opens and at[i] < closes:
            begun[(at[i] - opens) // width] += 1
        if not (bid[i] > 0.0 and ask[i] >= bid[i]):
            continue
        half = (ask[i] - bid[i]) / (ask[i] + bid[i])
        while start < end:
            bucket = (start - opens) // width
            stop = min(end, opens + (bucket + 1) * width)
            weighted[bucket] += half * (stop - start)
            lasted[bucket] += stop - start
            start = stop


def by_time_of_day(measured: pl.DataFrame) -> pl.DataFrame:
    """The mean over sessions, weighted by time: symbol, bucket, half_spread_bps."""
    seconds, half = pl.col("seconds"), pl.col("half_spread_bps")
    return (
        measured.drop_nulls("half_spread_bps")
        .sort("symbol", "bucket", "session_date")
        .group_by("symbol", "bucket", maintain_order=True)
        .agg(half_spread_bps=(half * seconds).sum() / seconds.sum())
    )


def _looked_up(
    bars: pl.DataFrame, measured: pl.DataFrame, calendar: Calendar, timeframe: str
) -> pl.Series:
    """By symbol and the time of day at which the bar starts; the symbol's mean where no quote was
    seen at that time.
    """
    table = by_time_of_day(measured)
    buckets = table["bucket"].unique().sort()
    width = int(buckets.diff().drop_nulls().min() or 24 * 60)  # type: ignore[arg-type]
    mean = table.group_by("symbol").agg(otherwise=pl.col("half_spread_bps").mean())
    stamped = calendar.with_session(bars.select("symbol", "timestamp"), timeframe)
    opens = calendar.table.select(session_date="date", opens="open")
    placed = stamped.join(opens, on="session_date", how="left", maintain_order="left").select(
        "symbol",
        bucket=(pl.col("timestamp") - pl.col("opens")).dt.total_minutes() // width * width,
    )
    return (
        placed.join(table, on=["symbol", "bucket"], how="left", maintain_order="left")
        .join(mean, on="symbol", how="left", maintain_order="left")
        .select(half_spread_bps=pl.coalesce("half_spread_bps", "otherwise"))["half_spread_bps"]
    )
