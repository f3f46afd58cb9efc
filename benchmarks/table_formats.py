"""The lake's own table format next to Delta Lake (delta-rs), on a million minute bars by month.

    python benchmarks/table_formats.py [--rows 1m]

Delta Lake is no dependency of Harmony: without the package `deltalake` this says so and ends. Both
keep the same rows in the same order with the same compression. Times are the medians of five rounds
taken in turn, by the clock and in CPU seconds of all cores. The writers are real processes.
"""

import argparse
import importlib.util
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from itertools import count as count_from
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from benchmarks.lake.__main__ import count
from benchmarks.lake.market import SimulatedYear
from harmony_pipeline.lake import sql
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.schemas import BARS

ROUNDS, WRITERS, UPDATES = 5, 4, 10
MONTH, SYMBOL = "2024-06", "S00003"
DAY = (datetime(2024, 6, 12, tzinfo=UTC), datetime(2024, 6, 13, tzinfo=UTC))
ONE_DAY = (pl.col("symbol") == SYMBOL) & pl.col("timestamp").is_between(*DAY, closed="left")
SQL_DAY = f"symbol = '{SYMBOL}' and timestamp >= '{DAY[0]}' and timestamp < '{DAY[1]}'"

Rows = dict[str, pl.DataFrame]


def months(year: SimulatedYear) -> Rows:
    """Bars of each month, one row a symbol and minute."""
    found = {}
    for period, file in zip(year.months, year.files, strict=True):
        rows = (
            pl.read_parquet(file)
            .drop_nulls()
            .unique(["symbol", "timestamp"], keep="first")
            .sort("symbol", "timestamp")
        )
        found[period.key] = BARS.conform(
            rows.with_columns(
                timeframe=pl.lit("1Min"), session=pl.lit("regular"), adjustment_factor=pl.lit(1.0)
            )
        )
    return found


class Ours:
    """The lake of this repository."""

    name = "lake"

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lake = Lake(root).open()

    def write(self, key: str, rows: pl.DataFrame) -> None:
        self.lake.write("bars", key, rows)

    def scan(self, key: str | None = None, at: datetime | None = None) -> pl.LazyFrame:
        lake = self.lake if at is None else Lake(self.root, as_of=at)
        return lake.scan("bars", None if key is None else [key])

    def query(self, where: str, at: datetime | None = None) -> pl.DataFrame:
        source = "bars" if at is None else f"bars_as_of('{at.isoformat()}')"
        return sql.query(self.lake, f"select * from {source} where {where}")

    @staticmethod
    def add_one(root: str) -> int:
        """Add 1 to the volume of every row, as one of several writers; how often it had to begin
        again.
        """
        Lake(root).update("bars", MONTH, lambda rows: rows.with_columns(pl.col("volume") + 1.0))
        return 0


class Delta:
    """A Delta table of the same partitions."""

    name = "delta"

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, key: str, rows: pl.DataFrame) -> None:
        _replace_month(str(self.root), key, rows)

    def scan(self, key: str | None = None, at: datetime | None = None) -> pl.LazyFrame:
        rows = pl.scan_delta(str(self.root), version=at)
        return rows if key is None else rows.filter(pl.col("partition") == key)

    def query(self, where: str, at: datetime | None = None) -> pl.DataFrame:
        from deltalake import DeltaTable

        table = DeltaTable(self.root)
        if at is not None:
            table.load_as_version(at)
        bars = table.to_pyarrow_dataset()  # the way into DuckDB without its extension
        with duckdb.connect() as connection:
            connection.register("bars", bars)
            return connection.sql(f"select * from bars where {where}").pl()

    @staticmethod
    def add_one(root: str) -> int:
        from deltalake import DeltaTable
        from deltalake.exceptions import CommitFailedError

        for attempt in range(1_000):
            table = DeltaTable(root)
            rows = (
                pl.scan_delta(table)
                .filter(pl.col("partition") == MONTH)
                .collect(engine="in-memory")
            )
            try:
                _replace_month(
                    table, MONTH, rows.drop("partition").with_columns(pl.col("volume") + 1.0)
                )
            except CommitFailedError:
                continue
            return attempt
        raise AssertionError("1,000 conflicts in a row")


def _replace_month(table: Any, key: str, rows: pl.DataFrame) -> None:
    from deltalake import WriterProperties, write_deltalake

    write_deltalake(
        table,
        rows.with_columns(partition=pl.lit(key)).to_arrow(),
        partition_by=["partition"],
        mode="overwrite",
        predicate=f"partition = '{key}'",
        writer_properties=WriterProperties(
            compression="ZSTD", compression_level=1, max_row_group_size=32_768
        ),
    )


def compared(what: str, ours: Callable[[], Any], delta: Callable[[], Any]) -> None:
    """Print how long both take; their answers must have equally many rows."""
    times: dict[str, list[tuple[float, float]]] = {"lake": [], "delta": []}
    for _ in range(ROUNDS):
        answers = []
        for name, work in (("lake", ours), ("delta", delta)):
            clock, cores = time.perf_counter(), time.process_time()
            answers.append(work())
            times[name].append(
                (1e3 * (time.perf_counter() - clock), 1e3 * (time.process_time() - cores))
            )
        assert answers[0] == answers[1], (what, answers)
    cells = [
        f"{statistics.median(row[0] for row in times[name]):,.0f}"
        f" ({statistics.median(row[1] for row in times[name]):,.0f})"
        for name in times
    ]
    print(f"| {what} | {cells[0]} | {cells[1]} |")


def size(root: Path) -> str:
    """Files and MB below a folder; a hard link is counted once."""
    states = {
        (state := path.stat()).st_ino: state.st_size for path in root.rglob("*") if path.is_file()
    }
    return f"{len(states)}, {sum(states.values()) / 1e6:.1f}"


def outcome(work: Callable[[], Any]) -> str:
    """What a client sees: its answer, or its refusal."""
    try:
        return f"{work():,}"
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0][:90]}"


def raced(table: type[Ours] | type[Delta], root: Path, volume: Callable[[], float]) -> None:
    """Several processes change one partition at once; every change must be there afterwards."""
    program = (
        f"import sys; from benchmarks.table_formats import {table.__name__} as"
        f" Table\nprint(sum(Table.add_one(sys.argv[1]) for _ in range({UPDATES})))"
    )
    before, clock = volume(), time.perf_counter()
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(root)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(WRITERS)
    ]
    again = sum(int(one.communicate()[0] or 0) for one in running)
    took = time.perf_counter() - clock
    kept = volume() - before
    print(
        f"| {table.name}: {WRITERS} x {UPDATES} changes of one partition | {kept:.0f} of"
        f" {WRITERS * UPDATES} kept | {again} begun again | {took:.1f} s |"
    )


def plain_reads(
    root: Path, pattern: str, table: type[Ours] | type[Delta], proper: Callable[[], Any]
) -> None:
    """Reads while a writer never rests: by path with plain DuckDB, and by the format's own
    reader.
    """
    program = (
        f"import sys; from benchmarks.table_formats import {table.__name__} as Table\nwhile True:"
        " Table.add_one(sys.argv[1])"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(root)]) as writer:
        time.sleep(8.0)
        failed = {"plain": 0, "own": 0}
        for _ in range(30):
            for name, work in (
                (
                    "plain",
                    lambda: duckdb.sql(
                        f"select count(*), sum(volume) from read_parquet('{pattern}')"
                    ).fetchall(),
                ),
                ("own", proper),
            ):
                try:
                    work()
                except Exception:
                    failed[name] += 1
        writer.kill()
    print(
        f"| {table.name}: of 30 reads beside a writer that never rests | plain DuckDB by path"
        f" failed {failed['plain']} | own reader failed {failed['own']} |"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        "table_formats", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=count, default="1m")
    chosen = parser.parse_args()
    if importlib.util.find_spec("deltalake") is None:
        print("skipped: the package deltalake is not installed (it is no dependency of Harmony)")
        return
    year = SimulatedYear.of_rows(Path(tempfile.gettempdir()) / "harmony-bench-lake", chosen.rows)
    year.make()
    rows = months(year)
    total = sum(frame.height for frame in rows.values())
    root = Path(tempfile.mkdtemp(prefix="harmony-formats-"))
    try:
        compare(root, rows, total)
    finally:
        shutil.rmtree(root)


def compare(root: Path, rows: Rows, total: int) -> None:
    """Every comparison, in tables of Markdown."""
    import deltalake

    ours, delta = Ours(root / "lake"), Delta(root / "delta")
    print(
        f"{total:,} bars in {len(rows)} partitions; deltalake {deltalake.__version__}, polars"
        f" {pl.__version__}, duckdb {duckdb.__version__}\n"
    )
    print("| work | lake, ms (CPU ms) | Delta, ms (CPU ms) |\n|---|---|---|")
    for key, frame in rows.items():
        for table in (ours, delta):
            table.write(key, frame)
    sizes = [f"| written once: files, MB | {size(ours.root)} | {size(delta.root)} |"]
    moment = datetime.now(UTC)
    time.sleep(0.05)
    write_again(ours, delta, rows[MONTH], sizes)
    read(ours, delta, moment)
    print("\n".join(["\n| size | lake | Delta |\n|---|---|---|", *sizes]))
    plain_clients(f"{ours.root}/bars/**/*.parquet", delta.root, total)
    print("\n| writers and readers | | | |\n|---|---|---|---|")
    where = f"partition = '{MONTH}'"
    raced(Ours, ours.root, lambda: first_volume(ours))
    raced(Delta, delta.root, lambda: first_volume(delta))
    plain_reads(
        ours.root, f"{ours.root}/bars/partition=*/bars.parquet", Ours, lambda: ours.query(where)
    )
    plain_reads(delta.root, f"{delta.root}/**/*.parquet", Delta, lambda: delta.query(where))


def write_again(ours: Ours, delta: Delta, month: pl.DataFrame, sizes: list[str]) -> None:
    """Replace a partition by other rows, then by equal ones; note what lies on the disk
    afterwards.
    """
    turns = {"lake": count_from(1), "delta": count_from(1)}

    def changed(name: str) -> pl.DataFrame:
        return month.with_columns(pl.col("volume") + float(next(turns[name])))

    compared(
        "replace a partition",
        lambda: ours.write(MONTH, changed("lake")),
        lambda: delta.write(MONTH, changed("delta")),
    )
    sizes.append(
        f"| after {ROUNDS} replacements of a month | {size(ours.root)} | {size(delta.root)} |"
    )
    same = month.with_columns(pl.col("volume") + float(ROUNDS))
    compared(
        "write equal rows again", lambda: ours.write(MONTH, same), lambda: delta.write(MONTH, same)
    )
    sizes.append(
        f"| after {ROUNDS} writes of equal rows | {size(ours.root)} | {size(delta.root)} |"
    )


def read(ours: Ours, delta: Delta, moment: datetime) -> None:
    """Read everything, a day of a symbol, and a partition as it was at `moment`."""
    day, month = f"partition = '{MONTH}' and {SQL_DAY}", f"partition = '{MONTH}'"
    compared("read all, Polars", lambda: rows_of(ours.scan()), lambda: rows_of(delta.scan()))
    compared(
        "one symbol, one day, Polars",
        lambda: rows_of(ours.scan(MONTH).filter(ONE_DAY)),
        lambda: rows_of(delta.scan(MONTH).filter(ONE_DAY)),
    )
    compared(
        "read all, DuckDB", lambda: ours.query("true").height, lambda: delta.query("true").height
    )
    compared(
        "one symbol, one day, DuckDB",
        lambda: ours.query(day).height,
        lambda: delta.query(day).height,
    )
    compared(
        "a partition as of the past, Polars",
        lambda: first_volume(ours, moment),
        lambda: first_volume(delta, moment),
    )
    compared(
        "a partition as of the past, DuckDB",
        lambda: ours.query(month, moment).height,
        lambda: delta.query(month, moment).height,
    )


def rows_of(frame: pl.LazyFrame) -> int:
    """How many rows come when all are read."""
    return frame.collect(engine="in-memory").height


def first_volume(table: Ours | Delta, at: datetime | None = None) -> float:
    """Volume of the first bar of the month, which every writer changes."""
    return float(
        table.scan(MONTH, at).collect(engine="in-memory").sort("symbol", "timestamp")["volume"][0]
    )


def plain_clients(pattern: str, delta: Path, total: int) -> None:
    """What somebody sees who reads the files without the format's library."""

    def duck(path: str) -> int:
        return int(duckdb.sql(f"select count(*) from read_parquet('{path}')").fetchall()[0][0])

    def polars(path: str) -> int:
        return int(pl.scan_parquet(path).select(pl.len()).collect().item())

    def extension() -> int:
        return int(duckdb.sql(f"select count(*) from delta_scan('{delta}')").fetchall()[0][0])

    files = f"{delta}/**/*.parquet"
    print(f"\n| plain client, by path (true: {total:,} rows) | lake | Delta |\n|---|---|---|")
    print(f"| DuckDB | {outcome(partial(duck, pattern))} | {outcome(partial(duck, files))} |")
    print(f"| Polars | {outcome(partial(polars, pattern))} | {outcome(partial(polars, files))} |")
    print(f"| DuckDB with its extension `delta` | not needed | {outcome(extension)} |")


if __name__ == "__main__":
    main()
