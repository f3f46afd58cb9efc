"""Every row of a file is accounted for: received by a period, or told to lie outside the market's
range.
"""

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from harmony_pipeline.cli import app
from harmony_pipeline.config import load_settings
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.lake import sql
from harmony_pipeline.stages import ingest, market
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.result import StageResult

HEADER = "timestamp,open,high,low,close,volume"
DAYS = [
    "2023-11-15",
    "2023-12-28",
    "2024-01-02",
    "2024-01-03",
    "2024-02-05",
    "2024-02-29",
    "2024-03-01",
    "2024-07-01",
]
RANGE = "the range that is read for market.start .. market.end (2024-01-01 to 2024-03-01)"


def settings(folder: Path, more: str = "") -> Path:
    file = folder / "harmony.toml"
    file.write_text(
        '[paths]\nlake = "lake"\nstate = "state"\n[market]\nsource = "files"\ntimeframe ='
        ' "1Day"\nstart = 2024-01-02\nend = 2024-03-01\n[market.files]\npaths ='
        f' ["bars"]\n{more}[market.partitions]\ntrading_period = "month"\n'
    )
    return file


def put(folder: Path, name: str, days: Sequence[str]) -> None:
    path = folder / "bars" / name
    path.parent.mkdir(exist_ok=True)
    lines = [f"{day},10,11,9,{10 + at / 100},{1000 + at}" for at, day in enumerate(days)]
    if name.endswith(".parquet"):
        rows = pl.read_csv("\n".join([HEADER, *lines]).encode()).with_columns(
            pl.col("timestamp").str.to_datetime(time_zone="UTC")
        )
        rows.with_columns(symbol=pl.lit(path.stem)).write_parquet(path)
    else:
        path.write_text("\n".join([HEADER, *lines]) + "\n")


def ingested(folder: Path, periods: slice = slice(None)) -> tuple[PipelineContext, StageResult]:
    pipeline = PipelineContext(load_settings(settings(folder), {}))
    told = ingest.raw_bars(pipeline, pipeline.trading_periods()[periods])
    market.corporate_actions(pipeline)
    market.bars(pipeline, pipeline.trading_periods()[periods])
    for name in ("files_are_accounted_for", "accounting_closes"):
        assert sql.query(
            pipeline.lake, (sql.SQL_FOLDER / "checks" / f"{name}.sql").read_text()
        ).is_empty(), name
    count = told.facts
    assert (
        count["rows received"]
        == count["new rows"] + count["rows given twice"] + count["rows known before"]
    )
    return pipeline, told


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("days", [DAYS, DAYS[:3], DAYS[3:], DAYS[2:6]])
def test_rows_outside_the_range_are_counted_and_told_by_file(tmp_path, days, kind):
    put(tmp_path, f"ABC.{kind}", days)
    inside = [day for day in days if "2024-01-01" <= day < "2024-03-01"]
    pipeline, told = ingested(tmp_path)
    outside = len(days) - len(inside)
    assert (told.facts["rows received"], told.facts["rows outside the range"]) == (
        len(inside),
        outside,
    )
    assert pipeline.lake.read("bars").height == len(inside)
    notes = [note for note in told.notes if "market.start" in note]
    words = (
        f"ABC.{kind} holds {len(days)} rows from {days[0]} to {days[-1]}; {outside} of them lie"
        f" outside {RANGE}"
    )
    assert notes == ([words] if outside else [])
    again = ingested(tmp_path)[1]
    assert again.facts["rows outside the range"] == outside
    assert [note for note in again.notes if "market.start" in note] == notes


def test_a_file_of_which_no_row_lies_in_the_range_is_named(tmp_path):
    put(tmp_path, "OLD.csv", DAYS[:2])
    _, told = ingested(tmp_path)
    assert (
        f"OLD.csv holds 2 rows from 2023-11-15 to 2023-12-28; none lies in {RANGE}: widen the"
        " range, or take the file out" in told.notes
    )
    put(tmp_path, "NEW.parquet", DAYS)
    _, told = ingested(tmp_path)
    assert told.facts["rows outside the range"] == 6
    assert len([note for note in told.notes if "market.start" in note]) == 2


def test_a_row_that_cannot_be_read_and_one_given_twice_are_in_the_account_too(tmp_path):
    put(tmp_path, "ABC.csv", [*DAYS[:4], "2024-13-45", DAYS[3]])
    pipeline, told = ingested(tmp_path)
    assert (told.facts["rows received"], told.facts["rows outside the range"]) == (4, 2)
    accounts = pipeline.lake.read("file_accounts")
    assert accounts.group_by("origin").agg(pl.col("rows").max(), pl.col("received").sum()).row(
        0
    ) == ("ABC.csv", 6, 4)
    assert pipeline.lake.read("quarantine").height == 2


def test_nothing_is_said_of_rows_outside_before_every_period_was_read(tmp_path):
    put(tmp_path, "ABC.csv", DAYS)
    _, told = ingested(tmp_path, slice(1))
    assert "rows outside the range" not in told.facts
    _, told = ingested(tmp_path, slice(1, None))
    assert told.facts["rows outside the range"] == 4


def test_a_change_of_the_files_begins_the_account_anew(tmp_path):
    put(tmp_path, "ABC.csv", DAYS)
    ingested(tmp_path)
    put(tmp_path, "ABC.csv", DAYS[2:])
    put(tmp_path, "XYZ.csv", DAYS[:3])
    _, told = ingested(tmp_path)
    assert told.facts["rows outside the range"] == 4
    assert told.facts["rows withdrawn"] == 0


def test_periods_of_another_size_are_refused_before_a_row_stands_twice(tmp_path):
    put(tmp_path, "ABC.csv", DAYS)
    before = ingested(tmp_path)[0].lake.read("raw_bars")
    file = tmp_path / "harmony.toml"
    file.write_text(file.read_text().replace('"month"', '"year"'))
    pipeline = PipelineContext(load_settings(file, {}))
    with pytest.raises(
        ConfigError,
        match=(
            r"holds the period '2024-01', which is no year.*set it back, or name a new folder in"
            r" paths\.lake"
        ),
    ):
        ingest.raw_bars(pipeline, pipeline.trading_periods())
    assert pipeline.lake.read("raw_bars").equals(before)


def test_many_files_are_told_by_their_number(tmp_path):
    for at in range(13):
        put(tmp_path, f"S{chr(65 + at)}.csv", DAYS[:3])
    _, told = ingested(tmp_path)
    outside = [note for note in told.notes if "lie outside" in note]
    assert len(outside) == 11
    assert outside[-1] == "6 rows of 3 more files lie outside it, too"


def test_the_command_prints_the_account(tmp_path, monkeypatch):
    monkeypatch.setenv("HARMONY_CONFIG", "")
    put(tmp_path, "ABC.csv", DAYS)
    shown = CliRunner().invoke(app, ["--config", str(settings(tmp_path)), "ingest"]).output
    assert "4 rows received: 4 new; 4 more rows lie outside the market's range" in shown
    assert "known before" not in shown
    assert "market.start .. market.end (2024-01-01 to 2024-03-01)" in shown
