"""How fast raw rows are judged: read from a lake and validated, against a bare Polars scan and
collect of the same columns.

    python benchmarks/validation.py [--rows 10000000] [--symbols 250] [--rounds 5]

The rows are regular minutes of a seeded random walk, written once by the lake, a zstd partition a
month, and judged as the stage does: batches of whole symbols, two at a time. Both works are
repeated in turn, in one process, so that a noisy machine disturbs both; the ratio of the best times
and the median of the rounds' ratios are shown. `validate` gives bars with session and factor,
quarantine, warnings and memory; that they are right is the tests' business, that they are whole is
asserted. Ends with one line for the target, the median of the rounds' ratios by the clock at 10
million rows, and exits 1 on a miss.
"""

import argparse
import resource
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl

from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.lake.row_groups import alphabet_ranges
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.validation.validate import validate, validate_each
from harmony_pipeline.schemas import BAR_STATE, CORPORATE_ACTIONS, RAW_BARS
from harmony_pipeline.stages.market import raw_batches

T = TypeVar("T")
WANTED = 2.5  # of the time of a bare scan
XNYS = Calendar.of("XNYS")


def minutes(symbol: str, stamps: np.ndarray, random: np.random.Generator) -> pl.DataFrame:
    """Regular minutes of one symbol; one row in two hundred thousand is a fault."""
    count = stamps.size
    close = np.round(100.0 * np.exp(np.cumsum(random.normal(0.0, 2e-4, count))), 2)
    opening = np.concatenate([close[:1], close[:-1]])
    reach = np.round(np.abs(random.normal(0.0, 0.02, (2, count))), 2)
    low = np.minimum(opening, close) - reach[1]
    low[random.random(count) < 5e-6] *= -1.0
    return (
        pl.DataFrame(
            {
                "symbol": symbol,
                "timeframe": "1Min",
                "timestamp": pl.Series(stamps).cast(pl.Datetime("us", "UTC")),
                "open": opening,
                "high": np.maximum(opening, close) + reach[0],
                "low": low,
                "close": close,
                "volume": random.integers(100, 20_000, count).astype(float),
                "trade_count": random.integers(1, 200, count).astype(float),
                "vwap": np.round((opening + close) / 2, 4),
                "source": "files",
                "origin": f"minutes/2024/{symbol}.csv.gz",
                "row": np.arange(2, count + 2),
            }
        )
        .with_columns(
            ingested_at=pl.lit(datetime(2024, 6, 1, tzinfo=UTC)), defect=pl.lit(None, pl.String)
        )
        .select(list(RAW_BARS.columns))
    )


def written(root: Path, rows: int, symbols: int) -> Lake:
    """A lake with `rows` raw rows, a partition a month."""
    lake, random = Lake(root).open(), np.random.default_rng(5)
    left = rows // symbols
    for month in range(1, 13):
        opens = (
            XNYS.schedule(date(2024, month, 1), date(2024 + month // 12, month % 12 + 1, 1))["open"]
            .dt.epoch("us")
            .to_numpy()
        )
        stamps = (opens[:, None] + np.arange(390) * 60_000_000).ravel()[:left]
        left -= stamps.size
        if stamps.size:
            with lake.writing("raw_bars", f"2024-{month:02d}") as out:
                for number in range(symbols):
                    out.append(minutes(f"S{number:05d}", stamps, random))
    return lake


def scan(lake: Lake) -> int:
    """Every column of every partition, decoded into memory, a partition at a time."""
    return sum(
        lake.scan("raw_bars", [key]).collect(engine="in-memory").height
        for key in lake.partitions("raw_bars")
    )


def judge(lake: Lake) -> tuple[int, dict[str, int]]:
    """Every partition read and judged, by batches of whole symbols as the stage does."""
    settings, known, bars, rules = (
        MarketSettings(timeframe="1Min"),
        BAR_STATE.empty(),
        0,
        Counter[str](),
    )
    for key in lake.partitions("raw_bars"):
        after = []
        batches = (
            (None, raw, known.filter(symbols))
            for raw, symbols in alphabet_ranges(raw_batches(lake, key))
        )
        for _, result in validate_each(batches, CORPORATE_ACTIONS.empty(), XNYS, "1Min", settings):
            after.append(result.after)
            bars += result.bars.height
            rules.update(result.counts["rules"] | result.counts["warnings"])
        known = pl.concat(after)
    return bars, dict(rules)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--symbols", type=int, default=250)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lake = written(Path(folder), chosen.rows, chosen.symbols)
        few = lake.scan("raw_bars").head(100).collect()
        # compiles
        assert validate(
            few,
            BAR_STATE.empty(),
            CORPORATE_ACTIONS.empty(),
            XNYS,
            "1Min",
            MarketSettings(timeframe="1Min"),
        ).bars.height
        # Validation comes first, so that the peak is its own.
        scans, judgings, found, peak = [], [], (0, {}), 0.0
        for _ in range(chosen.rounds):
            seconds, found = timed(lambda: judge(lake))
            judgings.append(seconds)
            peak = peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            seconds, rows = timed(lambda: scan(lake))
            scans.append(seconds)
    assert rows == chosen.rows // chosen.symbols * chosen.symbols
    print(
        f"{rows:,} raw rows of {chosen.symbols:,} symbols, {found[0]:,} bars, {found[1]}; peak"
        f" {peak:,.0f} MiB"
    )
    ratios = {}
    for name, which in (("by the clock", 0), ("of cores", 1)):
        scanned, judged = [one[which] for one in scans], [one[which] for one in judgings]
        ratio = ratios[name] = statistics.median(
            judging / scanning for judging, scanning in zip(judged, scanned, strict=True)
        )
        print(
            f"{name:13s} bare scan {min(scanned):6.2f} s   read and validate {min(judged):6.2f} s  "
            f" best {min(judged) / min(scanned):5.2f}   median of rounds {ratio:5.2f}"
        )
    measured = ratios["by the clock"]
    print(
        f"validation against a bare Polars scan: measured {measured:.2f}, wanted at most {WANTED}:"
        f" {'met' if measured <= WANTED else 'MISSED'}"
    )
    sys.exit(0 if measured <= WANTED else 1)


def timed(work: Callable[[], T]) -> tuple[tuple[float, float], T]:
    """Seconds by the clock and of all cores together, which tells more on a busy machine; and what
    the work gave.
    """
    clock, cores = time.perf_counter(), time.process_time()
    answer = work()
    return (time.perf_counter() - clock, time.process_time() - cores), answer


if __name__ == "__main__":
    main()
