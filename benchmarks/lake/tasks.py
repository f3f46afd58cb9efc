"""What is measured, one function each, run in a process of its own (`process.py`). A task returns
rows and what must hold of them.

`year` is the source, `pipeline` the market whose lake lies beside it. Work that is compared reads
the same files. A bare scan decodes every column of every file and keeps nothing: Polars file by
file, DuckDB by an aggregate that needs each value.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path

import polars as pl

from benchmarks.lake import scans
from benchmarks.lake.market import YEAR, SimulatedYear
from harmony_pipeline.config import load_settings
from harmony_pipeline.lake.bar_reader import read_bars
from harmony_pipeline.stages import ingest
from harmony_pipeline.stages import market as stages
from harmony_pipeline.stages.context import PipelineContext

DAY_SYMBOLS, YEAR_SYMBOLS = 100, 10
READ_DAY = date(YEAR, 6, 12)
NOTHING_BEFORE = pl.DataFrame(
    schema={
        "symbol": pl.String,
        "timestamp": pl.Datetime("us", "UTC"),
        "close": pl.Float64,
        "adjustment_factor": pl.Float64,
    }
)
_TOML = """
[paths]
lake = "lake"
state = "state"
[market]
source = "files"
timeframe = "1Min"
start = {first}
end = {end}
[market.files]
paths = ["{paths}"]
corporate_actions = "corporate_actions.csv"
"""


@dataclass(frozen=True)
class Bench:
    """One size: the simulated files and a lake beside them."""

    year: SimulatedYear

    @property
    def folder(self) -> Path:
        """Settings, lake and state."""
        return self.year.folder / "market"

    @cached_property
    def pipeline(self) -> PipelineContext:
        """The market of the files."""
        return PipelineContext(load_settings(self.folder / "harmony.toml", environment={}))

    def prepare(self) -> None:
        """Write the settings and the dividends of every tenth symbol."""
        self.folder.mkdir(parents=True, exist_ok=True)
        text = _TOML.format(
            first=date(YEAR, 1, 1), end=date(YEAR + 1, 1, 1), paths=self.year.folder / "*.parquet"
        )
        (self.folder / "harmony.toml").write_text(text)
        days = [date(YEAR, month, 15) for month in (2, 5, 8, 11)]
        actions = [(name, day, "dividend", 0.05) for name in self.year.names[::10] for day in days]
        pl.DataFrame(actions, schema=["symbol", "date", "kind", "value"], orient="row").write_csv(
            self.folder / "corporate_actions.csv"
        )

    def files(self, table: str) -> list[Path]:
        """The partitions of a table."""
        return [self.pipeline.lake.path(table, key) for key in self.pipeline.lake.partitions(table)]

    def chosen(self, count: int) -> list[str]:
        """`count` symbols spread over the alphabet: the worst case for files sorted by symbol."""
        return self.year.names[:: max(1, self.year.symbols // count)][:count]

    @property
    def day(self) -> tuple[datetime, datetime]:
        """The exchange day of the one-day read, UTC."""
        schedule = self.pipeline.calendar.schedule(READ_DAY, date.max)
        return schedule["pre_open"][0], schedule["post_close"][0]


@dataclass(frozen=True)
class Answer:
    """`rows` that the work went through; `facts` are shown and compared between rivals of one
    question.
    """

    rows: int
    facts: dict[str, object] = field(default_factory=dict)


def scan_with_polars(files: Sequence[Path]) -> Answer:
    """Every column of every file into memory, one file at a time."""
    return Answer(sum(pl.scan_parquet(file).select(pl.all()).collect().height for file in files))


def scan_with_duckdb(files: Sequence[Path]) -> Answer:
    """An aggregate over every column."""
    import duckdb

    with duckdb.connect() as connection:
        relation = connection.read_parquet([str(file) for file in files])
        parts = [
            f'max("{name}")' if kind != "DOUBLE" else f'sum("{name}")'
            for name, kind in zip(relation.columns, map(str, relation.types), strict=True)
        ]
        return Answer(int(relation.aggregate(f"count(*), {', '.join(parts)}").fetchall()[0][0]))


def bring_in(bench: Bench) -> Answer:
    """Source files to `raw_bars`, into an empty lake."""
    shutil.rmtree(bench.pipeline.settings.lake_root, ignore_errors=True)
    stages.corporate_actions(bench.pipeline)
    ingest.raw_bars(bench.pipeline, bench.pipeline.trading_periods())
    return Answer(rows_in(bench, "raw_bars"))


def validate_only(bench: Bench) -> Answer:
    """Read `raw_bars` in batches of whole symbols, as the stage does, and judge every row; nothing
    is written.
    """
    from harmony_pipeline.lake.row_groups import alphabet_ranges
    from harmony_pipeline.market.validation.validate import validate_each

    pipeline, rules, rows = bench.pipeline, Counter[str](), 0
    actions, known = pipeline.lake.read("corporate_actions"), NOTHING_BEFORE
    for period in pipeline.trading_periods():
        after = []
        batches = alphabet_ranges(stages.raw_batches(pipeline.lake, period.key))
        ranges = ((None, raw, known.filter(symbols)) for raw, symbols in batches)
        for _, result in validate_each(
            ranges, actions, pipeline.calendar, pipeline.timeframe, pipeline.settings.market
        ):
            after.append(result.after)
            rows += int(result.counts["rows_raw"])
            rules.update(result.counts["rules"])
        known = pl.concat(after)
    rules["duplicate"] += merged(bench, rows)
    return Answer(rows, {"rules": dict(rules)})


def merged(bench: Bench, raw_rows: int) -> int:
    """Rows of the source that said what another said: they are merged at import and never reach
    validation.
    """
    return (
        sum(
            int(pl.scan_parquet(file).select(pl.len()).collect().item())
            for file in bench.year.files
        )
        - raw_rows
    )


def make_bars(bench: Bench) -> Answer:
    """The stage: read `raw_bars`, judge, write `bars` and `quarantine`."""
    unmake(bench, "bars", "quarantine", "quality_warnings", "bar_state")
    result = stages.bars(bench.pipeline, bench.pipeline.trading_periods())
    return Answer(result.rows["raw_bars"], dict(result.rows))


def make_daily_summary(bench: Bench) -> Answer:
    """The stage: read `bars`, write `daily_summary`."""
    unmake(bench, "daily_summary")
    result = stages.daily_summary(bench.pipeline, bench.pipeline.trading_periods())
    return Answer(rows_in(bench, "bars"), dict(result.rows))


def unmake(bench: Bench, *tables: str) -> None:
    """Remove what an earlier round made: a stage leaves a period alone that was made of the
    same.
    """
    for table in tables:
        shutil.rmtree(bench.pipeline.settings.lake_root / table, ignore_errors=True)
    bench.pipeline.lake.open()


def rows_in(bench: Bench, table: str) -> int:
    """From the footers."""
    return sum(
        int(pl.scan_parquet(file).select(pl.len()).collect().item()) for file in bench.files(table)
    )


def warm(bench: Bench) -> None:
    """Load the compiled kernels and the calendar, so that no measurement pays for them."""
    from harmony_pipeline.market.daily_summary import summarise
    from harmony_pipeline.market.validation.validate import validate

    pipeline = bench.pipeline
    if not pipeline.lake.partitions("raw_bars"):
        return
    rows = pipeline.lake.scan("raw_bars").head(1_000).collect()
    result = validate(
        rows,
        NOTHING_BEFORE,
        pipeline.lake.tables["corporate_actions"].empty(),
        pipeline.calendar,
        pipeline.timeframe,
        pipeline.settings.market,
    )
    summarise(result.bars, pipeline.calendar, pipeline.timeframe, pipeline.settings.scanner.as_of)


def checked(frame: pl.DataFrame) -> Answer:
    """Rows, with a fingerprint that rivals must share."""
    from harmony_pipeline.lake.lake import content_hash

    return Answer(frame.height, {"answer": content_hash(frame)})


def day_by_harmony(bench: Bench) -> Answer:
    """`read_bars` of one day and 100 symbols."""
    return checked(read_bars(bench.pipeline.lake, bench.chosen(DAY_SYMBOLS), *bench.day))


def day_by_file(bench: Bench) -> Answer:
    """The whole partition file, read by Polars."""
    return Answer(pl.read_parquet(bench.pipeline.lake.path("bars", f"{READ_DAY:%Y-%m}")).height)


def day_by_duckdb(bench: Bench) -> Answer:
    """The same question in SQL on that partition file."""
    return checked(
        _duckdb_rows(
            [bench.pipeline.lake.path("bars", f"{READ_DAY:%Y-%m}")],
            bench.chosen(DAY_SYMBOLS),
            *bench.day,
        )
    )


def year_by_harmony(bench: Bench) -> Answer:
    """`read_bars` of the year of ten symbols."""
    return checked(
        read_bars(
            bench.pipeline.lake,
            bench.chosen(YEAR_SYMBOLS),
            datetime(YEAR, 1, 1, tzinfo=UTC),
            datetime(YEAR + 1, 1, 1, 5, tzinfo=UTC),
        )
    )


def year_by_polars(bench: Bench) -> Answer:
    """The same with a bare scan, filter and sort."""
    rows = pl.scan_parquet(bench.files("bars")).filter(
        pl.col("symbol").is_in(bench.chosen(YEAR_SYMBOLS))
    )
    return checked(rows.sort("symbol", "timestamp").collect())


def year_by_duckdb(bench: Bench) -> Answer:
    """The same question in SQL."""
    return checked(
        _duckdb_rows(
            bench.files("bars"),
            bench.chosen(YEAR_SYMBOLS),
            datetime(YEAR, 1, 1, tzinfo=UTC),
            datetime(YEAR + 1, 1, 1, 5, tzinfo=UTC),
        )
    )


def _duckdb_rows(
    files: Sequence[Path], symbols: Sequence[str], start: datetime, end: datetime
) -> pl.DataFrame:
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        text = (
            "select * from read_parquet(?, hive_partitioning = false) where list_contains(?,"
            " symbol) and timestamp >= ? and timestamp < ? order by symbol, timestamp"
        )
        rows = connection.sql(
            text, params=[[str(file) for file in files], list(symbols), start, end]
        ).pl()
    return rows.with_columns(pl.col("timestamp").cast(pl.Datetime("us", "UTC")))


Work = Callable[[Bench], Answer]
GROUPS: dict[str, dict[str, Work]] = {
    "import": {
        "source files, bare Polars scan": lambda bench: scan_with_polars(bench.year.files),
        "source files, bare DuckDB scan": lambda bench: scan_with_duckdb(bench.year.files),
        "import into raw_bars": bring_in,
    },
    "validation": {
        "raw_bars, bare Polars scan": lambda bench: scan_with_polars(bench.files("raw_bars")),
        "raw_bars, bare DuckDB scan": lambda bench: scan_with_duckdb(bench.files("raw_bars")),
        "validate raw_bars": validate_only,
        "validate and write bars": make_bars,
    },
    "summary": {
        "bars, bare Polars scan": lambda bench: scan_with_polars(bench.files("bars")),
        "bars, bare DuckDB scan": lambda bench: scan_with_duckdb(bench.files("bars")),
        "make daily_summary": make_daily_summary,
    },
    "day": {
        "one day: whole partition file": day_by_file,
        "one day: DuckDB": day_by_duckdb,
        "one day: read_bars": day_by_harmony,
    },
    "year": {
        "one year: Polars": year_by_polars,
        "one year: DuckDB": year_by_duckdb,
        "one year: read_bars": year_by_harmony,
    },
    "scan": {
        "scans of a year: DuckDB on minute bars": lambda bench: checked(
            scans.by_minute_bars(bench.pipeline.lake, bench.pipeline.calendar)
        ),
        "scans of a year: SQL on daily_summary": lambda bench: checked(
            scans.by_daily_summary(bench.pipeline.lake)
        ),
        "scans of a year: scanner": lambda bench: checked(scans.by_scanner(bench.pipeline)),
    },
}
"""Work that is compared, in an order in which each group finds what it needs; within a group it is
run in turn, round after round.
"""
TASKS: dict[str, Work] = {name: work for group in GROUPS.values() for name, work in group.items()}
# repeated in a new process only
WRITES = ("import into raw_bars", "validate and write bars", "make daily_summary")
