"""What the fuzz command found: the smallest input of each kind, and the right outcome."""

from pathlib import Path

import polars as pl
import pytest
from market.files.writing import HEADER, ROWS, read, write

import harmony_pipeline
from harmony_pipeline.errors import HarmonyError
from harmony_pipeline.frames import format_columns
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
@pytest.mark.parametrize(
    "columns",
    [
        {"open": "close"},
        {"open": "close", "high": "close", "low": "close"},
        {"volume": "close"},
        {"vwap": "close"},
    ],
)
def test_one_column_of_a_file_may_serve_as_several_of_ours(tmp_path, kind, columns):
    write(tmp_path / "AAA.csv", *TEXT.splitlines())
    if kind == "parquet":
        pl.read_csv(tmp_path / "AAA.csv").with_columns(
            pl.col("open", "high", "low", "close", "volume").cast(pl.Int64)
        ).write_parquet(tmp_path / "AAA.parquet")
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


@pytest.mark.parametrize("blank", [2, 3_000_000])
def test_rows_behind_many_blank_lines_are_told(tmp_path, blank):
    """However many lines are taken out, the sentence about a later row is whole."""
    (tmp_path / "AAA.csv").write_text(
        "\n".join([HEADER, ROWS[0], "\n" * blank, ROWS[1], "yesterday,1,1,1,1,1"])
    )
    found = read(tmp_path).sort("row")
    assert found["row"].to_list() == [2, blank + 4, blank + 5]
    assert (
        found["defect"]
        .drop_nulls()
        .to_list()[0]
        .startswith("timestamp is 'yesterday', expected a time")
    )


@pytest.mark.parametrize(
    "keep", [[False, False, True, True], [True, False, True, False], [True] * 4, [False] * 4]
)
@pytest.mark.parametrize(
    ("template", "parts"),
    [
        ("{}", ("a",)),
        ("{} is {}!", ("a", pl.col("b") + 1)),
        ("x{}", (pl.col("b"),)),
        ("{}{}", (pl.lit("q"), "a")),
    ],
)
def test_sentences_over_empty_chunks_are_those_of_polars_over_whole_ones(keep, template, parts):
    halves = [
        pl.DataFrame({"a": ["p", None], "b": [1.5, 2.0]}),
        pl.DataFrame({"a": ["r", "s"], "b": [float("nan"), 1e20]}),
    ]
    frame = pl.concat(halves, rechunk=False).filter(pl.Series(keep))
    expected = frame.rechunk().select(pl.format(template, *parts))
    assert frame.select(format_columns(template, *parts)).equals(expected)


def test_nothing_uses_the_format_of_polars():
    package = Path(harmony_pipeline.__file__).parent
    users = [
        path.name
        for path in package.rglob("*.py")
        if "pl.format(" in path.read_text(encoding="utf-8")
    ]
    assert users == []
