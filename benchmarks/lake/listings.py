"""Recorded data in the lake: how many files, how large, and how long usual questions take.

Each data set is imported into a lake of its own by the stages (import, validation, summary), then
asked by `read_bars` and by SQL. DATA is the folder of recorded market data; a data set that is not
there is left out.
"""

import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from pathlib import Path

import polars as pl

from harmony_pipeline.config import load_settings
from harmony_pipeline.lake import sql
from harmony_pipeline.lake.bar_reader import read_bars
from harmony_pipeline.stages import ingest
from harmony_pipeline.stages import market as stages
from harmony_pipeline.stages.context import PipelineContext

_TABLES = ("raw_bars", "bars", "quarantine", "daily_summary")
_TOML = """
[paths]
lake = "lake"
state = "state"
[market]
source = "files"
timeframe = "{timeframe}"
start = {start}
end = {end}
[market.partitions]
trading_period = "{period}"
[market.files]
paths = ["{paths}"]
{more}
"""


@dataclass(frozen=True)
class DataSet:
    """What to import, how time is cut, and one day and symbol to ask for."""

    title: str
    files: str
    timeframe: str
    period: str
    start: date
    end: date
    symbol: str
    day: date
    more: str = ""


SETS = (
    DataSet(
        "25 years x 7 hourly symbols",
        "us_equity_hourly/*.csv",
        "1Hour",
        "year",
        date(1998, 1, 1),
        date(2021, 4, 1),
        "AAPL",
        date(2020, 3, 16),
        'corporate_actions = "{data}/us_equity_hourly/corporate_actions.csv"',
    ),
    DataSet(
        "25 sessions x 99 minute symbols",
        "us_equity_minute/extended_2025/*.parquet",
        "1Min",
        "month",
        date(2025, 1, 1),
        date(2025, 2, 8),
        "NVDA",
        date(2025, 1, 27),
    ),
    DataSet(
        "6 days x 7,100 tickers, closes",
        "us_equity_universe/*.csv",
        "1Day",
        "year",
        date(2014, 3, 24),
        date(2014, 4, 1),
        "AAPL",
        date(2014, 3, 26),
        '[market.files.columns]\nsymbol = "security_id"\nopen = "close"\nhigh = "close"\nlow ='
        ' "close"',
    ),
)


def listings(data: Path, folder: Path) -> str:
    """Every data set that lies below `data`, as Markdown; lakes are made anew below `folder`."""
    parts = []
    for number, one in enumerate(SETS):
        if list(data.glob(one.files)):
            print(f"  {one.title} ...", flush=True)
            parts.append(listing(one, data.resolve(), folder / f"recorded-{number}"))
    return "\n\n".join(parts) or f"no data set lies below {data}"


def listing(one: DataSet, data: Path, folder: Path) -> str:
    """Import one data set and ask it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    more = one.more.format(data=data)
    text = _TOML.format(
        timeframe=one.timeframe,
        start=one.start,
        end=one.end,
        period=one.period,
        paths=data / one.files,
        more=more,
    )
    (folder / "harmony.toml").write_text(text)
    pipeline = PipelineContext(load_settings(folder / "harmony.toml", environment={}))
    periods = pipeline.trading_periods()
    spent = {}
    for name, stage in (
        ("import", ingest.raw_bars),
        ("validation", stages.bars),
        ("daily_summary", stages.daily_summary),
    ):
        if name == "import":
            stages.corporate_actions(pipeline)
        begun = time.perf_counter()
        stage(pipeline, periods)
        spent[name] = time.perf_counter() - begun
    heading = f"### {one.title}\n\n" + ", ".join(
        f"{name} {seconds:.1f} s" for name, seconds in spent.items()
    )
    return f"{heading}\n\n{_files(pipeline)}\n\n{_questions(pipeline, one)}"


def _files(pipeline: PipelineContext) -> str:
    rows = ["| table | files | rows | MB | bytes a row |", "|---|---:|---:|---:|---:|"]
    for table in _TABLES:
        files = [pipeline.lake.path(table, key) for key in pipeline.lake.partitions(table)]
        size = sum(file.stat().st_size for file in files)
        count = int(pipeline.lake.scan(table).select(pl.len()).collect().item())
        rows.append(
            f"| {table} | {len(files)} | {count:,} | {size / 1e6:.2f} |"
            f" {size / max(count, 1):.1f} |"
        )
    return "\n".join(rows)


def _questions(pipeline: PipelineContext, one: DataSet) -> str:
    day = pipeline.calendar.schedule(one.day, date.max).row(0, named=True)
    begin, end = (
        (
            datetime.combine(one.day, clock(), UTC),
            datetime.combine(one.day + timedelta(days=1), clock(), UTC),
        )
        if one.timeframe == "1Day"
        else (day["pre_open"], day["post_close"])
    )
    [symbol] = (
        pipeline.lake.scan("bars")
        .filter(pl.col("symbol").str.starts_with(one.symbol))
        .select(pl.col("symbol").min())
        .collect()["symbol"]
    )
    questions: dict[str, Callable[[], pl.DataFrame]] = {
        f"read_bars, {one.symbol}, all of it": lambda: read_bars(pipeline.lake, [symbol]),
        f"read_bars, every symbol, {one.day}": lambda: read_bars(pipeline.lake, None, begin, end),
        "read_bars, everything, symbol, timestamp, close": lambda: read_bars(
            pipeline.lake, None, None, None, ["symbol", "timestamp", "close"]
        ),
        "SQL: bars and volume by symbol": lambda: sql.query(
            pipeline.lake,
            "select symbol, count(*), sum(volume) from bars group by symbol order by symbol",
        ),
        "SQL: the ten largest daily moves": lambda: sql.query(
            pipeline.lake,
            "select date, symbol, close / open - 1 as move from daily_summary where open is not"
            " null order by abs(close / open - 1) desc limit 10",
        ),
    }
    rows = ["| question | rows | milliseconds |", "|---|---:|---:|"]
    for question, ask in questions.items():
        seconds, count = [], 0
        for _ in range(6):
            begun = time.perf_counter()
            count = ask().height
            seconds.append(time.perf_counter() - begun)
        rows.append(f"| {question} | {count:,} | {statistics.median(seconds[1:]) * 1e3:.1f} |")
    return "\n".join(rows)
