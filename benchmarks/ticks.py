"""Bars of trades: the kernels and the whole way from frame to frame, next to Polars; one live
trade; the ASOF join in Polars and in DuckDB.

    python benchmarks/ticks.py [--trades 10000000] [--symbols 10]

Polars' rivals do less: they know no sale conditions and no sessions, cannot continue from
yesterday, and its dollar bars (a running sum, cut at multiples of the threshold) are not the same
bars, since a running sum does not start anew at each bar. Harmony uses one core;
POLARS_MAX_THREADS=1 holds Polars to one as well. Every time is the best of three.
"""

import argparse
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import duckdb
import numpy as np
import polars as pl

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.ticks import kernels
from harmony_pipeline.market.ticks.asof import with_quotes
from harmony_pipeline.market.ticks.bars import BarKind, LiveTradeBars, trade_bars

XNYS = Calendar.of("XNYS")
KINDS = ("1Min", "1000Tick", "100000Volume", "10000000Dollar")


def tape(count: int, symbols: int) -> pl.DataFrame:
    """Trades of a random walk in regular hours, the same number for every symbol, spread over a
    month.
    """
    rng = np.random.default_rng(1)
    sessions = XNYS.schedule(date(2024, 1, 2), date(2024, 2, 1))
    opens, each = sessions["open"].dt.epoch("us").to_numpy(), count // symbols
    frames = []
    for number in range(symbols):
        stamps = np.sort(
            opens[rng.integers(0, len(opens), each)] + rng.integers(0, 23_400_000_000, each)
        )
        price = np.round(100.0 * np.exp(np.cumsum(rng.normal(0.0, 2e-5, each))), 2)
        frames.append(
            pl.DataFrame(
                {
                    "timestamp": stamps,
                    "price": price,
                    "size": rng.integers(1, 500, each).astype(float),
                }
            ).with_columns(symbol=pl.lit(f"S{number:03}"))
        )
    table = pl.concat(frames).with_columns(
        pl.col("timestamp").cast(pl.Datetime("us", "UTC")), suspicious=pl.lit(False)
    )
    return table.with_columns(conditions=pl.lit("@"))


def kernel_alone(trades: pl.DataFrame, kind: BarKind) -> Callable[[], None]:
    """The fold over ready arrays, in blocks of a million trades."""
    parts = []
    for symbol in trades.partition_by("symbol", maintain_order=True):
        stamps = symbol["timestamp"].dt.epoch("us").to_numpy()
        group = stamps - stamps % (60_000_000 if kind.kind == "time" else 86_400_000_000)
        parts.append(
            (
                group,
                stamps,
                symbol["price"].to_numpy(),
                symbol["size"].to_numpy(),
                np.full(len(stamps), 7, np.uint8),
            )
        )
    number = {"time": 0, "tick": 1, "volume": 2, "dollar": 3}[kind.kind]
    threshold = np.inf if kind.kind == "time" else kind.size
    out = np.empty((max(len(part[0]) for part in parts) + 1, kernels.BAR_SIZE))

    def run() -> None:
        for part in parts:
            kernels.fold_trades(kernels.empty_state(), *part, number, threshold, out)

    return run


def in_polars(trades: pl.DataFrame, kind: BarKind) -> Callable[[], pl.DataFrame]:
    """The usual way: group_by_dynamic for minutes, a running measure cut into stretches for the
    others.
    """
    price, size = pl.col("price"), pl.col("size")
    bar = [
        price.first().alias("open"),
        price.max().alias("high"),
        price.min().alias("low"),
        price.last().alias("close"),
        size.sum().alias("volume"),
        pl.len().alias("trade_count"),
        ((price * size).sum() / size.sum()).alias("vwap"),
    ]
    if kind.kind == "time":
        return lambda: trades.group_by_dynamic(
            "timestamp", every=f"{kind.seconds}s", group_by="symbol"
        ).agg(bar)
    measure = {"tick": pl.lit(1.0), "volume": size, "dollar": price * size}[kind.kind]
    stretch = (
        measure.cum_sum().over("symbol")
        if kind.kind != "tick"
        else pl.int_range(pl.len()).over("symbol")
    ) // kind.size
    return lambda: (
        trades.with_columns(stretch.alias("bar"))
        .group_by("symbol", "bar", maintain_order=True)
        .agg(pl.col("timestamp").first(), *bar)
    )


def live_trades(count: int = 20_000) -> Callable[[], None]:
    """Trade after trade of one symbol, as a session gets them."""
    live, start = LiveTradeBars(BarKind.of("1Min"), XNYS), datetime(2024, 1, 2, 15, tzinfo=UTC)
    stamps = iter([start + timedelta(milliseconds=50 * number) for number in range(4 * count)])

    def run() -> None:
        for _ in range(count):
            live.update("A", next(stamps), 100.0, 10.0, "@")

    return run


def joins(trades: pl.DataFrame) -> dict[str, Callable[[], object]]:
    """Each trade with the quote before it; as many quotes as trades."""
    rng = np.random.default_rng(2)
    moved = pl.col("timestamp") - pl.Series(rng.integers(1, 1_000_000, trades.height)).cast(
        pl.Duration("us")
    )
    quotes = trades.select(
        "symbol",
        moved,
        bid=pl.col("price") - 0.01,
        bid_size="size",
        ask=pl.col("price") + 0.01,
        ask_size="size",
    )
    quotes = quotes.sort("symbol", "timestamp")
    with_duckdb = duckdb.connect()
    with_duckdb.register("trades", trades.to_arrow())
    with_duckdb.register("quotes", quotes.to_arrow())
    text = (
        "select t.*, q.bid, q.ask from trades t asof left join quotes q on t.symbol = q.symbol and"
        " t.timestamp > q.timestamp"
    )
    return {
        "Harmony: with_quotes (Polars join_asof)": (
            lambda: with_quotes(trades.lazy(), quotes.lazy()).collect(engine="in-memory")
        ),
        "DuckDB: asof join": lambda: with_duckdb.sql(text).to_arrow_table(),
    }


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
    parser.add_argument("--trades", type=int, default=10_000_000)
    parser.add_argument("--symbols", type=int, default=10)
    chosen = parser.parse_args()
    trades = tape(chosen.trades, chosen.symbols)
    print(
        f"{trades.height:,} trades of {chosen.symbols} symbols; Polars with {pl.thread_pool_size()}"
        " thread(s)"
    )
    print(f"{'work':<58}{'seconds':>9}{'M ticks/s':>11}")
    rows: list[tuple[str, Callable[[], object]]] = []
    for text in KINDS:
        kind = BarKind.of(text)
        rows += [
            (f"{text}: Harmony, the kernel alone", kernel_alone(trades, kind)),
            (f"{text}: Harmony, frame to frame", lambda kind=kind: trade_bars(trades, kind, XNYS)),
            (f"{text}: Polars", in_polars(trades, kind)),
        ]
    rows += [(f"{name}", work) for name, work in joins(trades[: trades.height // 4]).items()]
    for name, work in rows:
        seconds = best(work)
        count = trades.height // 4 if "asof" in name else trades.height
        print(f"{name:<58}{seconds:>9.3f}{count / seconds / 1e6:>11.1f}")
    print(f"{'Harmony: one live trade':<58}{best(live_trades()) / 20_000 * 1e6:>9.1f} microseconds")


if __name__ == "__main__":
    main()
