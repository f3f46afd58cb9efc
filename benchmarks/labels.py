"""Triple-barrier labels: an event on every one of a million bars, against NumPy passes over lags.

The frame-to-frame time includes everything a caller pays for: filtering sessions, matching events
to bars, weights, the table.
"""

import time
from collections.abc import Callable
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harmony_pipeline.labels.barriers import triple_barrier
from harmony_pipeline.labels.resolution import Prices, block_extremes, resolve_events
from harmony_pipeline.labels.settings import LabelSettings
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.instruments import Instruments

BARS, SYMBOLS, HORIZON, VOLATILITY = 1_000_000, 25, 32, 0.002
QUARTER = 900_000_000


def market(calendar: Calendar) -> pl.DataFrame:
    """15Min bars of a random walk, with a split in the middle of every symbol."""
    generator = np.random.default_rng(0)
    per_symbol = BARS // SYMBOLS
    schedule = calendar.schedule(date(2015, 1, 2), date(2024, 1, 1))
    days = zip(schedule["open"].to_physical(), schedule["close"].to_physical(), strict=True)
    stamps = np.concatenate([np.arange(opens, closes, QUARTER) for opens, closes in days])[
        :per_symbol
    ]
    frames = []
    for number in range(SYMBOLS):
        close = 100.0 * np.exp(np.cumsum(generator.normal(0.0, VOLATILITY, per_symbol)))
        opened = np.r_[100.0, close[:-1]]
        wick = close * VOLATILITY / 4.0
        split = np.where(np.arange(per_symbol) < per_symbol // 2, 1.0, 2.0)
        prices = {
            "open": opened,
            "high": np.maximum(opened, close) + wick,
            "low": np.minimum(opened, close) - wick,
            "close": close,
        }
        columns = {
            "symbol": f"S{number:02}",
            "timestamp": stamps,
            "session": "regular",
            **{k: v / split for k, v in prices.items()},
            "adjustment_factor": split,
        }
        frames.append(pl.DataFrame(columns))
    return (
        pl.concat(frames).with_columns(pl.col("timestamp").cast(pl.Datetime("us", "UTC"))).rechunk()
    )


def lag_passes(bars: Prices, last_bar: NDArray[np.int64]) -> NDArray[np.int64]:
    """Long events on every bar, one vectorised pass a lag: the bar that settles each, -1 for
    none.
    """
    high, low, opened = (values * bars.factor for values in (bars.high, bars.low, bars.open))
    rows = np.arange(opened.size)
    entry = np.minimum(rows + 1, opened.size - 1)
    above = opened[entry] * (1.0 + 2.0 * VOLATILITY * np.sqrt(HORIZON))
    below = opened[entry] * (1.0 - VOLATILITY * np.sqrt(HORIZON))
    end = np.full(opened.size, -1)
    for lag in range(1, HORIZON + 1):
        at = rows + lag
        open_rows = np.flatnonzero((end < 0) & (at <= last_bar))
        bar = at[open_rows]
        hit = (high[bar] >= above[open_rows]) | (low[bar] <= below[open_rows])
        end[open_rows[hit]] = bar[hit]
    vertical = (end < 0) & (rows + HORIZON + 1 <= last_bar)
    end[vertical] = rows[vertical] + HORIZON + 1
    return end


def best(work: Callable[[], object], rounds: int = 5) -> float:
    """Shortest of some rounds in seconds, after one that compiles."""
    work()
    seconds = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def main() -> None:
    calendar = Calendar.of("XNYS")
    bars = market(calendar)
    events = bars.select(
        "symbol", "timestamp", side=pl.lit(1, pl.Int8), volatility=pl.lit(VOLATILITY)
    )
    settings = LabelSettings(horizons_bars=(HORIZON,))
    prices = Prices(
        *(np.array(bars[name].to_numpy()) for name in ("open", "high", "low", "adjustment_factor"))
    )
    position, side, volatility = np.arange(BARS), np.ones(BARS, np.int64), np.full(BARS, VOLATILITY)
    symbol_of = position // (BARS // SYMBOLS)
    last_bar = (symbol_of + 1) * (BARS // SYMBOLS) - 1
    grids = Instruments().grids(bars["symbol"].unique().sort().to_list(), date(2024, 1, 2))
    work: dict[str, Callable[[], object]] = {
        "kernel": lambda: resolve_events(
            position,
            side,
            volatility,
            last_bar,
            prices,
            block_extremes(prices),
            grids,
            symbol_of,
            HORIZON,
            2.0,
            1.0,
            15.0,
        ),
        "frames to table with weights": lambda: triple_barrier(
            bars, events, settings, calendar, "15Min"
        ),
        "NumPy passes over lags": lambda: lag_passes(prices, last_bar),
    }
    print(f"{BARS:,} events on {BARS:,} bars of {SYMBOLS} symbols, horizon {HORIZON}")
    for name, do in work.items():
        seconds = best(do)
        print(f"{name:30s}{seconds:8.3f} s {BARS / seconds:14,.0f} events/s")


if __name__ == "__main__":
    main()
