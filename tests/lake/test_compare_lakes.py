"""The command that says whether two lakes hold the same values."""

from pathlib import Path

import polars as pl
import pytest
from lake.lake_rows import START, raw_rows

from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.testing.compare_lakes import main

KEY = "2024-01"


def rows_of_three() -> pl.DataFrame:
    return raw_rows({("AAA", 0): 1.0, ("AAA", 1): 2.0, ("BBB", 0): 3.0}, START)


def lake_of(folder: Path, rows: pl.DataFrame) -> Path:
    Lake(folder).open().write("raw_bars", KEY, rows)
    return folder


def test_equal_values_are_equal_whenever_they_were_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = rows_of_three()
    later = rows.with_columns(pl.col("ingested_at") + pl.duration(days=1))
    one, other = lake_of(tmp_path / "one", rows), lake_of(tmp_path / "other", later)
    assert main([str(one), str(other)]) == 0
    assert "all equal" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda rows: rows.with_columns(close=pl.col("close").shift(1, fill_value=1.0)),
            ", close: ",
        ),
        (lambda rows: rows.head(rows.height - 1), "rows against"),
    ],
)
def test_a_difference_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change, said: str
) -> None:
    rows = rows_of_three()
    one, other = lake_of(tmp_path / "one", rows), lake_of(tmp_path / "other", change(rows))
    assert main([str(one), str(other), "--table", "raw_bars"]) == 1
    assert f"raw_bars {KEY}: " in (out := capsys.readouterr().out)
    assert said in out


def test_a_partition_that_one_lake_lacks_and_empty_lakes_are_no_equality(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, empty = lake_of(tmp_path / "one", rows_of_three()), tmp_path / "empty"
    Lake(empty).open()
    assert main([str(one), str(empty)]) == 1
    assert f"raw_bars {KEY} is not in the second lake" in capsys.readouterr().out
    assert main([str(empty), str(empty)]) == 1
