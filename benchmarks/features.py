"""How fast features are: Harmony's fold against TA-Lib and Polars doing the same columns, and one
live bar.

    python benchmarks/features.py [--rows 10000000] [--symbols 10]

The rivals compute the same 14 standard columns: TA-Lib where it has the indicator, Polars
expressions for the rest, both over symbols one after the other. Neither has the CUSUM event filter,
which Harmony's time includes; neither can continue from yesterday. Harmony uses one core;
POLARS_MAX_THREADS=1 holds Polars to one as well. Every time is the best of three.
"""

import argparse
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl

from harmony_pipeline.features.catalog import FeatureSet
from harmony_pipeline.features.compute import compute_features
from harmony_pipeline.features.kernel_inputs import bar_matrix
from harmony_pipeline.features.live import LiveFeatures
from harmony_pipeline.features.settings import STANDARD_FEATURES
from harmony_pipeline.market.calendars import Calendar

XNYS = Calendar.of("XNYS")
SET = FeatureSet.of((*STANDARD_FEATURES, "cusum_event"))


def minute_bars(rows: int, symbols: int) -> pl.DataFrame:
    """Regular minute bars of a random walk, the same days for every symbol."""
    opens = XNYS.schedule(date(2010, 1, 1), date(2025, 1, 1))["open"].dt.epoch("us").to_numpy()
    stamps = (opens[:, None] + np.arange(390) * 60_000_000).ravel()[: rows // symbols]
    count, rng = stamps.size * symbols, np.random.default_rng(1)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 1e-4, count)))
    opening = np.concatenate([close[:1], close[:-1]])
    return pl.DataFrame(
        {
            "symbol": np.repeat([f"S{i:03}" for i in range(symbols)], stamps.size),
            "timestamp": np.tile(stamps, symbols),
            "session": pl.repeat("regular", count, eager=True),
            "open": opening,
            "high": np.maximum(opening, close) * (1.0 + 1e-4 * rng.random(count)),
            "low": np.minimum(opening, close) * (1.0 - 1e-4 * rng.random(count)),
            "close": close,
            "volume": rng.integers(1, 10_000, count).astype(float),
            "adjustment_factor": np.ones(count),
        }
    ).with_columns(pl.col("timestamp").cast(pl.Datetime("us", "UTC")))


def with_talib(bars: pl.DataFrame) -> None:
    """The four indicators that TA-Lib has (rsi, adx, atr, macd), the fastest C there is."""
    import talib

    for symbol in bars.partition_by("symbol", maintain_order=True):
        high, low, close = (symbol[name].to_numpy() for name in ("high", "low", "close"))
        talib.RSI(close, 14)
        talib.ADX(high, low, close, 14)
        talib.ATR(high, low, close, 14)
        talib.MACD(close, 12, 26, 9)


def with_polars_and_talib(bars: pl.DataFrame) -> pl.DataFrame:
    """All 14 columns."""
    import talib

    close, volume, change = pl.col("close"), pl.col("volume"), pl.col("close").log().diff()
    typical = (pl.col("high") + pl.col("low") + close) / 3
    low, high = pl.col("low").rolling_min(20), pl.col("high").rolling_max(20)
    day = pl.col("timestamp").dt.convert_time_zone("America/New_York").dt.date()
    expressions = [
        change.alias("log_return"),
        change.rolling_std(20).alias("volatility_20"),
        ((close - close.rolling_mean(20)) / close.rolling_std(20)).alias("bollinger_z_20"),
        ((volume - volume.rolling_mean(20)) / volume.rolling_std(20)).alias("volume_z_20"),
        (
            close / ((typical * volume).cum_sum().over("day") / volume.cum_sum().over("day")) - 1
        ).alias("vwap_distance"),
        (close / close.shift(5)).log().alias("momentum_5"),
        (close / close.shift(20)).log().alias("momentum_20"),
        ((close - low) / (high - low)).alias("range_position_20"),
        ((change.sign() * volume).rolling_sum(20) / volume.rolling_sum(20)).alias(
            "signed_volume_20"
        ),
        (pl.col("open").first().over("day") / close.last().over("day").shift(1))
        .log()
        .first()
        .over("day")
        .alias("gap"),
    ]
    frames = []
    for symbol in bars.partition_by("symbol", maintain_order=True):
        high_, low_, close_ = (symbol[name].to_numpy() for name in ("high", "low", "close"))
        wilder = {
            "rsi_14": talib.RSI(close_, 14),
            "adx_14": talib.ADX(high_, low_, close_, 14),
            "atr_14": talib.ATR(high_, low_, close_, 14),
            "macd_12_26_9": talib.MACD(close_, 12, 26, 9)[2],
        }
        frames.append(
            symbol.with_columns(day=day).select(
                "symbol",
                "timestamp",
                *expressions,
                *(pl.Series(name, values) for name, values in wilder.items()),
            )
        )
    return pl.concat(frames)


def kernels_alone(bars: pl.DataFrame, symbols: int) -> Callable[[], None]:
    """The fold over ready matrices, in blocks as `compute_features` cuts them: what the arithmetic
    itself costs.
    """
    block, count = 8_192, bars.height // symbols
    names = ("open", "high", "low", "close", "volume")
    given = [bars[name].to_numpy() for name in names] + [
        bars["timestamp"].dt.epoch("d").to_numpy(),
        np.ones(bars.height),
    ]
    matrices = [
        [
            bar_matrix([a[s * count :][i : min(i + block, count)] for a in given])
            for i in range(0, count, block)
        ]
        for s in range(symbols)
    ]
    values = np.empty((len(SET.names), block))

    def run() -> None:
        for blocks in matrices:
            state = SET.initial_state()
            for matrix in blocks:
                SET.fold_into(state, matrix, values[:, : matrix.shape[1]])

    return run


def live_bar(bars: int = 20_000) -> Callable[[], None]:
    """One symbol, bar after bar."""
    live, start, day = LiveFeatures(SET), datetime(2024, 1, 2, 14, 30, tzinfo=UTC), date(2024, 1, 2)
    stamps = [start + i * timedelta(minutes=1) for i in range(4 * bars)]
    position = iter(stamps)

    def run() -> None:
        for _ in range(bars):
            live.update("A", next(position), 100.0, 101.0, 99.0, 100.5, 1_000.0, day, regular=True)

    return run


def best(work: Callable[[], object], times: int = 3) -> float:
    """Seconds of the fastest of several runs; the first may compile."""
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        found.append(time.perf_counter() - begun)
    return min(found)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--symbols", type=int, default=10)
    chosen = parser.parse_args()
    bars = minute_bars(chosen.rows, chosen.symbols)
    whole = best(lambda: compute_features(bars, SET, None, XNYS, "1Min"))
    rival = best(lambda: with_polars_and_talib(bars))
    rows = [
        (f"Harmony: bars frame to feature frame, {len(SET.names)} columns", whole),
        (
            f"Harmony: the kernels alone, {len(SET.names)} columns",
            best(kernels_alone(bars, chosen.symbols)),
        ),
        (f"Polars + TA-Lib, 14 columns, {pl.thread_pool_size()} thread(s)", rival),
        ("TA-Lib: rsi, adx, atr, macd alone", best(lambda: with_talib(bars))),
    ]
    print(f"{bars.height:,} bars of {chosen.symbols} symbols")
    print(f"{'work':<58}{'seconds':>9}{'ns/bar':>9}{'against Harmony':>17}")
    for name, seconds in rows:
        print(
            f"{name:<58}{seconds:>9.2f}{seconds / bars.height * 1e9:>9.1f}{seconds / whole:>16.2f}x"
        )
    one = best(live_bar()) / 20_000
    print(f"{'Harmony: one live bar, all columns':<58}{one * 1e6:>9.1f} microseconds")


if __name__ == "__main__":
    main()
