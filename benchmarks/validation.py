"""How fast raw rows are judged: `validate`, by symbol batches out of a lake, against a bare Polars scan and collect of the same columns.

    python benchmarks/validation.py [--rows 10000000] [--symbols 1000] [--rounds 3]

The rows are regular minutes of a seeded random walk, written once as a zstd partition by the lake. Both works are repeated in turn, in one process,
so that a noisy machine disturbs both; the ratio of the best times and the median of the rounds' ratios are shown. `validate` gives bars
with session and factor, quarantine, warnings and memory; that they are right is the tests' business, that they are whole is asserted.
"""

import argparse
import resource
import statistics
import tempfile
import time
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl

from harmony_pipeline.lake import Lake
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.quality import validate
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.schemas import BAR_STATE, CORPORATE_ACTIONS, RAW_BARS

XNYS = Calendar.named("XNYS")
PARTITION = "2024"
BATCH = 1_000_000


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
        .with_columns(ingested_at=pl.lit(datetime(2024, 6, 1, tzinfo=UTC)), defect=pl.lit(None, pl.String))
        .select(list(RAW_BARS.columns))
    )


def written(root: Path, rows: int, symbols: int) -> Lake:
    """A lake with one partition of `rows` raw rows."""
    lake, random = Lake(root).open(), np.random.default_rng(5)
    opens = XNYS.schedule(date(2024, 1, 2), date(2024, 12, 31))["open"].dt.epoch("us").to_numpy()
    stamps = (opens[:, None] + np.arange(390) * 60_000_000).ravel()[: rows // symbols]
    with lake.writing("raw_bars", PARTITION) as out:
        for number in range(symbols):
            out.append(minutes(f"S{number:05d}", stamps, random))
    return lake


def scan(lake: Lake) -> int:
    """Every column of the partition, decoded into memory at once."""
    return lake.scan("raw_bars", [PARTITION]).collect(engine="streaming").height


def judge(lake: Lake) -> tuple[int, dict[str, int]]:
    """The partition read and judged by batches of whole symbols."""
    settings, before, bars, rules = MarketSettings(timeframe="1Min"), BAR_STATE.empty(), 0, {}
    for raw in lake.batches("raw_bars", PARTITION, BATCH):
        result = validate(raw, before, CORPORATE_ACTIONS.empty(), XNYS, "1Min", settings)
        before, bars = result.after, bars + result.bars.height
        for rule, number in (result.counts["rules"] | result.counts["warnings"]).items():
            rules[rule] = rules.get(rule, 0) + number
    return bars, rules


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--symbols", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lake = written(Path(folder), chosen.rows, chosen.symbols)
        judge_small = validate(
            next(lake.batches("raw_bars", PARTITION, 1)), BAR_STATE.empty(), CORPORATE_ACTIONS.empty(), XNYS, "1Min", MarketSettings(timeframe="1Min")
        )
        assert judge_small.bars.height
        # Validation comes first, so that the peak is its own and not that of the scan, which holds every row.
        scans, judgings, found, peak = [], [], (0, {}), 0.0
        for _ in range(chosen.rounds):
            begun = time.perf_counter()
            found = judge(lake)
            judgings.append(time.perf_counter() - begun)
            peak = peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            begun = time.perf_counter()
            rows = scan(lake)
            scans.append(time.perf_counter() - begun)
    assert rows == chosen.rows // chosen.symbols * chosen.symbols
    ratios = sorted(judging / scanning for judging, scanning in zip(judgings, scans, strict=True))
    print(f"{rows:,} raw rows of {chosen.symbols:,} symbols, {found[0]:,} bars, {found[1]}")
    print(f"bare scan and collect  {min(scans):6.2f} s   {rows / min(scans) / 1e6:5.1f} M rows/s")
    print(f"read and validate      {min(judgings):6.2f} s   {rows / min(judgings) / 1e6:5.1f} M rows/s   peak {peak:,.0f} MiB")
    print(f"ratio                  {min(judgings) / min(scans):6.2f}     median of rounds {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
