"""Files are read again when one of them changed, and only then."""

import os

import pytest

from harmony_pipeline.config import load_settings
from harmony_pipeline.stages import ingest
from harmony_pipeline.stages.context import PipelineContext

HEADER = "timestamp,open,high,low,close,volume\n"


def row(day: int, close: float) -> str:
    return f"2024-01-{day:02d},{close},{close},{close},{close},100\n"


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "bars").mkdir()
    (tmp_path / "bars" / "AAA.csv").write_text(HEADER + row(2, 10.0) + row(3, 11.0))
    file = tmp_path / "harmony.toml"
    file.write_text(
        '[paths]\nlake = "lake"\nstate = "state"\n[market]\nsource = "files"\ntimeframe ='
        ' "1Day"\nstart = 2024-01-02\nend = 2024-03-01\n[market.files]\npaths = ["bars"]\n'
    )
    return file


def ingested(settings):
    pipeline = PipelineContext(load_settings(settings, {}))
    return pipeline, ingest.raw_bars(pipeline, pipeline.trading_periods())


def test_unchanged_files_are_not_read_again(settings):
    pipeline, first = ingested(settings)
    _, second = ingested(settings)
    assert (first.facts["rows received"], second.facts["rows received"]) == (2, 0)
    assert first.rows == second.rows
    assert any("no file has changed" in note for note in second.notes)
    assert pipeline.lake.read("raw_bars").height == 2


def test_a_file_that_was_written_again_or_came_is_read(settings, tmp_path):
    ingested(settings)
    (tmp_path / "bars" / "AAA.csv").write_text(HEADER + row(2, 10.0) + row(3, 12.0))
    pipeline, told = ingested(settings)
    assert (told.facts["new rows"], told.facts["of these corrections"]) == (1, 1)
    (tmp_path / "bars" / "BBB.csv").write_text(HEADER + row(2, 20.0))
    pipeline, told = ingested(settings)
    assert told.facts["new rows"] == 1
    assert pipeline.lake.read("raw_bars")["symbol"].n_unique() == 2


def test_a_touched_file_is_read_and_says_nothing_new(settings, tmp_path):
    ingested(settings)
    os.utime(tmp_path / "bars" / "AAA.csv", (1, 1))
    _, told = ingested(settings)
    assert (told.facts["rows received"], told.facts["new rows"]) == (2, 0)


def test_a_lake_that_was_taken_away_is_filled_again(settings, tmp_path):
    ingested(settings)
    (tmp_path / "lake").rename(tmp_path / "elsewhere")
    pipeline, told = ingested(settings)
    assert told.facts["new rows"] == 2
    assert pipeline.lake.read("raw_bars").height == 2


def test_lost_marks_cost_one_more_reading(settings, tmp_path):
    ingested(settings)
    (tmp_path / "state" / "ingest" / "read.json").write_text("{")
    _, told = ingested(settings)
    assert (told.facts["rows received"], told.facts["new rows"]) == (2, 0)
    assert ingested(settings)[1].facts["rows received"] == 0
