"""Triple-barrier labels: an event on every one of a million bars, against NumPy passes over lags.

The frame-to-frame time includes everything a caller pays for: filtering sessions, matching events
to bars, weights, the table.
"""

import time
from collections.abc import Callable, Mapping
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harmony_pipeline.labels.labelling import label_events
from harmony_pipeline.labels.market_arrays import Prices
from harmony_pipeline.labels.settings import LabelSettings
from harmony_pipeline.market.calendars import Calendar

BARS, SYMBOLS, HORIZON, VOLATILITY = 1_000_000, 25, 32, 0.002
PER_SYMBOL, QUARTER = BARS // SYMBOLS, 900_000_000


def market(calendar: Calendar) -> pl.DataFrame:
    """15Min bars of a random walk, with a split in the middle of every symbol."""
    generator = np.random.default_rng(0)
    schedule = calendar.schedule(date(2015, 1, 2), date(2024, 1, 1))
    days = zip(schedule["open"].to_physical(), schedule["close"].to_physical(), strict=True)
    stamps = np.concatenate([np.arange(opens, closes, QUARTER) for opens, closes in days])[
        :PER_SYMBOL
    ]
    frames = []
    for number in range(SYMBOLS):
        close = 100.0 * np.exp(np.cumsum(generator.normal(0.0, VOLATILITY, PER_SYMBOL)))
        opened = np.r_[100.0, close[:-1]]
        wick = close * VOLATILITY / 4.0
        split = np.where(np.arange(PER_SYMBOL) < PER_SYMBOL // 2, 1.0, 2.0)
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


def best_of(work: Mapping[str, Callable[[], object]], rounds: int = 7) -> dict[str, float]:
    """Shortest of some rounds in seconds, the works side by side, after one that compiles."""
    for do in work.values():
        do()
    seconds = dict.fromkeys(work, float("inf"))
    for _ in range(rounds):
        for name, do in work.items():
            begun = time.perf_counter()
            do()
            seconds[name] = min(seconds[name], time.perf_counter() - begun)
    return seconds


def main() -> None:
    calendar = Calendar.of("XNYS")
    bars = market(calendar)
    events = bars.select("symbol", "timestamp").with_columns(
        side=pl.Series(np.ones(BARS, np.int8)), volatility=pl.Series(np.full(BARS, VOLATILITY))
    )
    names = ("open", "high", "low", "close", "adjustment_factor")
    prices = Prices(*(np.array(bars[name].to_numpy()) for name in names))
    last_bar = (np.arange(BARS) // PER_SYMBOL + 1) * PER_SYMBOL - 1

    def labelled(*horizons: int) -> Callable[[], object]:
        settings = LabelSettings(horizons_bars=horizons)
        return lambda: label_events(bars, events, settings, calendar, "15Min")

    work = {
        "frames to table with weights": labelled(HORIZON),
        "the same, horizons 8, 16 and 32": labelled(8, 16, HORIZON),
        "NumPy passes over lags": lambda: lag_passes(prices, last_bar),
    }
    print(f"{BARS:,} events on {BARS:,} bars of {SYMBOLS} symbols, horizon {HORIZON}")
    seconds = best_of(work)
    for name, taken in seconds.items():
        print(f"{name:34s}{taken:8.3f} s {BARS / taken:14,.0f} events/s")
    ours, three, peer = seconds.values()
    report("NumPy over lags / frames to table", peer / ours, ">= 10", peer / ours >= 10.0)
    report("three horizons / one", three / ours, "<= 3", three / ours <= 3.0)


def report(what: str, ratio: float, wanted: str, met: bool) -> None:
    """One line of the verdict."""
    print(f"{what}: {ratio:.1f} (wanted {wanted}): {'met' if met else 'MISSED'}")


if __name__ == "__main__":
    main()
