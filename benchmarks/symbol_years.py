"""What a year of minute bars of one symbol costs, stage by stage: core-seconds, bytes in the lake,
memory. The plan past one machine (docs/scale.md) multiplies these.

    python -m benchmarks.symbol_years --symbols 10

The market is that of benchmarks/lake: about 99,600 bars a symbol and year, some of them faulty. The
stages are those of `harmony backfill research` and `retrain`, and one backtest of each of the four
strategies, without Dagster, in one process, a month at a time.
"""

import argparse
import resource
import sys
import time
from pathlib import Path

from benchmarks.lake.market import SimulatedYear
from benchmarks.lake.tasks import Bench

SYMBOLS, YEARS = 8_000, 20
WORKERS = (1, 16, 64, 256)


def cpu_seconds() -> float:
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, kinds))


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--symbols", type=int, default=10)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/harmony-lake-bench"))
    chosen = parser.parse_args()
    from assets.chain import chain
    from assets.groups import EVALUATE, made_together

    year = SimulatedYear(chosen.folder, chosen.symbols)
    year.make()
    bench = Bench(year)
    bench.prepare()
    pipeline = bench.pipeline
    total = 0.0
    print(f"{chosen.symbols} symbols, one year of minutes")
    print(f"{'stage':24s} {'core-s a symbol-year':>22s} {'peak MiB so far':>16s}")
    for step in chain(pipeline):
        for assets in made_together(step.job.own):
            begun = cpu_seconds()
            assets[0].make(pipeline, step.keys)
            used = (cpu_seconds() - begun) / chosen.symbols
            total += used
            if used >= 0.005:
                print(f"{assets[0].name:24s} {used:22.3f} {peak_mib():16,.0f}", flush=True)
            if step.job is EVALUATE:  # what shakes a backtest is another number of backtests
                break
        if step.job is EVALUATE:
            break
    print(f"{'together':24s} {total:22.3f}")
    told = sizes(pipeline.lake, chosen.symbols)
    everything = SYMBOLS * YEARS
    print(f"\n{SYMBOLS:,} symbols x {YEARS} years = {everything:,} symbol-years:")
    print(f"  lake {told * everything / 1e12:.2f} TB, {total * everything / 3600:,.0f} core-hours")
    for workers in WORKERS:
        hours = total * everything / 3600 / workers
        print(f"  {workers:4d} workers of one core: {hours:,.1f} h, if nothing were in one piece")
    return 0


def sizes(lake: object, symbols: int) -> float:
    """Bytes a symbol-year; prints those of each table that has more than a few."""
    total = 0.0
    print(f"\n{'table':24s} {'KiB a symbol-year':>20s} {'rows':>12s}")
    for table in sorted(lake.tables):  # type: ignore[attr-defined]
        keys = lake.partitions(table)  # type: ignore[attr-defined]
        files = [lake.path(table, key) for key in keys]  # type: ignore[attr-defined]
        size = sum(file.stat().st_size for file in files) / symbols
        total += size
        if size > 2_048:
            rows = sum(int(lake.manifest(table, key)["rows"]) for key in keys)  # type: ignore[attr-defined]
            print(f"{table:24s} {size / 1024:20,.0f} {rows / symbols:12,.0f}")
    print(f"{'together':24s} {total / 1024:20,.0f}")
    return total


if __name__ == "__main__":
    started = time.monotonic()
    code = main()
    print(f"{time.monotonic() - started:.0f} s by the clock")
    sys.exit(code)
