"""How fast features are: Harmony's fold against Polars and TA-Lib doing the same columns, against
an earlier build, kernel by kernel, and one live bar. Ends with a line for each target, and with
exit code 1 where one is missed.

    python benchmarks/features.py [--rows 10000000] [--symbols 10] [--before CHECKOUT]

The rivals compute the same 14 standard columns: TA-Lib where it has the indicator, Polars
expressions for the rest, both over symbols one after the other. Neither has the CUSUM event filter,
which Harmony's time includes; neither can continue from yesterday. `--before` names a checkout of
an earlier Harmony, which is run in turns with this one. Both use as many threads as Polars has:
POLARS_MAX_THREADS=1 holds all to one. Wall time and the processor's time are the best of five: on
a machine that others use, the processor's time is what can be compared.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from harmony_pipeline.features.catalog import FeatureSet
from harmony_pipeline.features.compute import compute_features
from harmony_pipeline.features.kernel_inputs import bar_matrix
from harmony_pipeline.features.live import LiveFeatures
from harmony_pipeline.features.settings import STANDARD_FEATURES
from harmony_pipeline.market.calendars import Calendar

XNYS = Calendar.of("XNYS")
FILE_ROWS = 2_000_000
PRICES = ("open", "high", "low", "close", "volume")
ROLLING = (
    "sma", "bollinger_z", "volatility", "volume_z", "volume_ratio", "range_position",
    "signed_volume", "momentum", "roc",
)  # fmt: skip
SET = FeatureSet.of((*STANDARD_FEATURES, "cusum_event"))


class Cost(NamedTuple):
    """Seconds of wall time and of the processor."""

    wall: float
    cpu: float


def best(
    work: Callable[[], object], times: int = 5, before: Callable[[], object] = lambda: None
) -> Cost:
    """The fastest of several runs, each after `before`; the first may compile."""
    found = []
    for _ in range(times):
        before()
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        found.append(Cost(time.perf_counter() - wall, time.process_time() - cpu))
    return Cost(min(one.wall for one in found), min(one.cpu for one in found))


def minute_bars(rows: int, symbols: int) -> pl.DataFrame:
    """Regular minute bars of a random walk, the same days for every symbol."""
    opens = XNYS.schedule(date(2010, 1, 1), date(2025, 1, 1))["open"].dt.epoch("us").to_numpy()
    stamps = (opens[:, None] + np.arange(390) * 60_000_000).ravel()[: rows // symbols]
    total, rng = stamps.size * symbols, np.random.default_rng(1)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 1e-4, total)))
    opening = np.concatenate([close[:1], close[:-1]])
    return pl.DataFrame(
        {
            "symbol": np.repeat([f"S{i:03}" for i in range(symbols)], stamps.size),
            "timestamp": np.tile(stamps, symbols),
            "session": pl.repeat("regular", total, eager=True),
            "open": opening,
            "high": np.maximum(opening, close) * (1.0 + 1e-4 * rng.random(total)),
            "low": np.minimum(opening, close) * (1.0 - 1e-4 * rng.random(total)),
            "close": close,
            "volume": rng.integers(1, 10_000, total).astype(float),
            "adjustment_factor": np.ones(total),
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
    """The fold over ready matrices, one symbol after the other, in blocks: what the arithmetic of
    one symbol costs. `compute_features` folds the recursions of four together.
    """
    from harmony_pipeline.features.catalog import compiled_calls  # an earlier build has none

    block, count = 8_192, bars.height // symbols
    given = [bars[name].to_numpy() for name in PRICES] + [
        bars["timestamp"].dt.epoch("d").to_numpy(),
        np.ones(bars.height),
        bars["timestamp"].to_physical().to_numpy(),
    ]
    matrices = [
        [
            bar_matrix([a[s * count :][i : min(i + block, count)] for a in given])
            for i in range(0, count, block)
        ]
        for s in range(symbols)
    ]
    values, hidden = np.empty((len(SET.names), block)), np.empty((len(SET.hidden), block))
    kernels = compiled_calls(SET)

    def run() -> None:
        for blocks in matrices:
            state = SET.initial_state()
            for matrix in blocks:
                count = matrix.shape[1]
                calls = SET.calls(state, matrix, values[:, :count], hidden[:, :count])
                for kernel, (_, arguments) in zip(kernels, calls, strict=True):
                    kernel(*arguments)

    return run


def between_files(bars: pl.DataFrame, folder: Path) -> tuple[Cost, Cost, Cost]:
    """The cost from a Parquet file of bars to one of features: Harmony's stage with its lake, and
    the rivals, by Polars' own encoding (zstd) and by that of the lake's features (LZ4). The rivals'
    files have no manifest, no content hash and no state to go on from, and need not be on the disk.
    Everybody writes a new file: what a run made is removed before the next one, untimed.
    """
    from harmony_pipeline.features.incremental import update_features
    from harmony_pipeline.lake.lake import Lake
    from harmony_pipeline.schemas import features_table

    whole = bars.with_columns(
        timeframe=pl.lit("1Min"),
        trade_count=pl.lit(None, pl.Float64),
        vwap=pl.lit(None, pl.Float64),
    )
    lake = Lake(folder / "lake", {"features": features_table(SET.names)}).open()
    lake.write("bars", "all", whole)
    given, made = folder / "bars.parquet", folder / "features.parquet"
    whole.write_parquet(given)

    rounds = count()

    def remove() -> None:
        shutil.rmtree(folder / "lake" / "features", ignore_errors=True)
        made.unlink(missing_ok=True)

    def ours() -> None:
        found = update_features(lake, "all", ["all"], SET, XNYS, "1Min", again=True)
        key = f"round{next(rounds)}"  # a partition that has the same rows is not written again
        lake.write("features", key, found.table, found.made_from, in_order=True)
        lake.write("feature_state", key, found.states, found.made_from)

    def theirs() -> None:
        with_polars_and_talib(pl.read_parquet(given)).write_parquet(made)

    def theirs_by_lz4() -> None:
        with_polars_and_talib(pl.read_parquet(given)).write_parquet(made, compression="lz4")

    return best(ours, 3, remove), best(theirs, 3, remove), best(theirs_by_lz4, 3, remove)


def live_bar(bars: int = 20_000) -> Callable[[], None]:
    """One symbol, bar after bar."""
    live, start, day = LiveFeatures(SET), datetime(2024, 1, 2, 14, 30, tzinfo=UTC), date(2024, 1, 2)
    stamps = [start + i * timedelta(minutes=1) for i in range(4 * bars)]
    position = iter(stamps)

    def run() -> None:
        for _ in range(bars):
            live.update("A", next(position), 100.0, 101.0, 99.0, 100.5, 1_000.0, day, regular=True)

    return run


def in_turns(checkouts: Sequence[Path], rows: int, symbols: int, turns: int = 3) -> list[Cost]:
    """The cost of the whole fold in each checkout, each in processes of its own, in turns."""
    found: list[list[Cost]] = [[] for _ in checkouts]
    for _ in range(turns):
        for place, checkout in enumerate(checkouts):
            environment = os.environ | {"PYTHONPATH": str(checkout)}
            command = [sys.executable, __file__, "--whole-only", "--rows", str(rows), "--symbols",
                       str(symbols)]  # fmt: skip
            said = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=True
            )
            found[place].append(Cost(*map(float, said.stdout.split())))
    return [Cost(min(c.wall for c in costs), min(c.cpu for c in costs)) for costs in found]


def slowest_window(bars: pl.DataFrame) -> tuple[str, float]:
    """The rolling column that costs most at windows of 5 to 1,000, and its ns a bar."""
    names = [f"{kind}_{length}" for kind in ROLLING for length in (5, 20, 100, 1_000)]
    chosen, block = FeatureSet.of(names), bars.head(8_192)
    matrix = bar_matrix(
        [block[name].to_numpy() for name in PRICES]
        + [
            block["timestamp"].dt.epoch("d").to_numpy(),
            np.ones(block.height),
            block["timestamp"].to_physical().to_numpy(),
        ]
    )
    values = np.empty((len(chosen.names), block.height))
    state, hidden = chosen.initial_state(), np.empty((len(chosen.hidden), block.height))
    (log_returns, given), *calls = chosen.calls(state, matrix, values, hidden)
    log_returns(*given)  # several of the columns read them
    costs = {
        column.name: best(lambda kernel=kernel, given=given: kernel(*given), 50).wall  # type: ignore[misc]
        for column, (kernel, given) in zip(chosen.computed, calls, strict=True)
    }
    name = max(costs, key=costs.__getitem__)
    return name, costs[name] / block.height * 1e9


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--symbols", type=int, default=10)
    parser.add_argument("--before", type=Path, help="a checkout of an earlier Harmony")
    parser.add_argument("--whole-only", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    bars = minute_bars(chosen.rows, chosen.symbols)
    whole = best(lambda: compute_features(bars, SET, None, XNYS, "1Min"))
    if chosen.whole_only:
        print(*whole)
        return 0
    kernels = best(kernels_alone(bars, chosen.symbols))
    rival = best(lambda: with_polars_and_talib(bars), 3)
    rows = [
        (f"Harmony: bars frame to feature frame, {len(SET.names)} columns", whole),
        (f"Harmony: the kernels alone, {len(SET.names)} columns", kernels),
        (f"Polars + TA-Lib, 14 columns, {pl.thread_pool_size()} thread(s)", rival),
        ("TA-Lib: rsi, adx, atr, macd alone", best(lambda: with_talib(bars), 3)),
    ]
    part = bars.head(min(bars.height, FILE_ROWS))
    with tempfile.TemporaryDirectory() as folder:
        lake, files, lz4_files = between_files(part, Path(folder))
    print(f"{bars.height:,} bars of {chosen.symbols} symbols; ns a bar")
    print(f"{'work':<58}{'wall':>9}{'cpu':>9}")
    for name, cost in rows:
        print(
            f"{name:<58}{cost.wall / bars.height * 1e9:>9.1f}{cost.cpu / bars.height * 1e9:>9.1f}"
        )
    for name, cost in (
        ("Harmony: Parquet to Parquet", lake),
        ("Polars + TA-Lib: the same", files),
        ("Polars + TA-Lib: the same, written as LZ4", lz4_files),
    ):
        print(
            f"{name:<58}{cost.wall / part.height * 1e9:>9.1f}{cost.cpu / part.height * 1e9:>9.1f}"
        )
    name, window = slowest_window(bars)
    live = best(live_bar(), 4).wall / 20_000 * 1e6
    targets = [
        ("times faster than Polars + TA-Lib, wall", rival.wall / whole.wall, 8.0, True),
        ("times faster from Parquet to Parquet, wall", files.wall / lake.wall, 4.0, True),
        ("the same, the rivals' files as LZ4", lz4_files.wall / lake.wall, 4.0, True),
        ("kernels alone, ns a bar on one core", kernels.cpu / bars.height * 1e9, 45.0, False),
        (f"dearest rolling kernel ({name}), ns a bar", window, 6.0, False),
        ("one live bar, all columns, microseconds", live, 5.0, False),
    ]
    if chosen.before:
        here = Path(__file__).resolve().parent.parent
        now, before = in_turns((here, chosen.before.resolve()), chosen.rows, chosen.symbols)
        ratio = before.wall / now.wall
        print(f"processor's time, before / now: {before.cpu / now.cpu:.1f}")
        targets.insert(0, ("times faster than the build before, wall", ratio, 5.0, True))
    return judged(targets)


def judged(targets: Sequence[tuple[str, float, float, bool]]) -> int:
    """Print measured, wanted and the verdict of each target; 1 where one is missed."""
    missed = 0
    for name, measured, wanted, at_least in targets:
        met = measured >= wanted if at_least else measured <= wanted
        missed += not met
        bound = "at least" if at_least else "at most"
        print(f"{name:<58}{measured:>9.1f}  {bound} {wanted:g}: {'met' if met else 'MISSED'}")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
