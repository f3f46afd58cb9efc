"""What the fuzz command found: the smallest input of each kind, and the right outcome."""

from pathlib import Path

import polars as pl
import pytest
from market.files.writing import HEADER, ROWS, read, write

from harmony_pipeline.errors import HarmonyError
from harmony_pipeline.testing.fuzzing.memory import forget_peak, peak_above

TEXT = "\n".join([HEADER, *ROWS]) + "\n"


def refusal(folder: Path, **settings: object) -> str:
    with pytest.raises(HarmonyError) as error:
        read(folder, **settings)
    return str(error.value)


@pytest.mark.parametrize("pattern", ["%H", "%Q%Q", "%", "%Y-%m-%d %H", "%I %p", "%s%H"])
def test_a_pattern_that_cannot_be_used_is_one_line(tmp_path, pattern):
    write(tmp_path / "AAA.csv", *TEXT.splitlines())
    assert "\n" not in (text := refusal(tmp_path, timestamp_format=pattern))
    assert "timestamp_format" in text


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("columns", [{"open": "close"}, {"open": "close", "high": "close", "low": "close"}, {"volume": "close"}, {"vwap": "close"}])
def test_one_column_of_a_file_may_serve_as_several_of_ours(tmp_path, kind, columns):
    write(tmp_path / "AAA.csv", *TEXT.splitlines())
    if kind == "parquet":
        pl.read_csv(tmp_path / "AAA.csv").with_columns(pl.col("open", "high", "low", "close", "volume").cast(pl.Int64)).write_parquet(tmp_path / "AAA.parquet")
        (tmp_path / "AAA.csv").unlink()
    found = read(tmp_path, columns=columns)
    for ours in columns:
        assert found[ours].to_list() == found["close"].to_list()


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("blank", [1, 1_000_000])
def test_blank_lines_at_the_end_of_a_file_are_no_rows_and_cost_no_memory(tmp_path, ends, blank):
    (tmp_path / "AAA.csv").write_bytes((TEXT.replace("\n", ends) + ends * blank).encode())
    read(tmp_path)
    before = forget_peak()
    assert read(tmp_path).sort("row")["row"].to_list() == [2, 3, 4]
    assert peak_above(before) < 40 << 20  # each blank line as a row took a hundred bytes
