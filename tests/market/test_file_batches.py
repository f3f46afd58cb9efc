"""Reading files some symbols at a time gives the rows of reading them whole, each once, whatever
lies in them and in which order.
"""

import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.source_settings import FileSourceSettings
from harmony_pipeline.market.sources.file_discovery import Located
from harmony_pipeline.market.sources.files import FileSource
from harmony_pipeline.market.sources.number_parsing import NumberFormat
from harmony_pipeline.market.sources.parquet_index import CellCache, ParquetIndex, group_symbols

NYSE = Calendar.of("XNYS")
NAMES, VOLUMES = ["AAA", "BBB", " CCC ", "DDD", "", "nan", None], [100.0, float("inf"), None]
START, END = datetime(2024, 1, 3, tzinfo=UTC), datetime(2024, 1, 9, tzinfo=UTC)


def source(folder: Path) -> FileSource:
    return FileSource(FileSourceSettings(paths=(str(folder),)), NYSE, folder)


def vendor_rows(seed: int, rows: int, *, stamps_as_text: bool, sort: bool) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    begin = int(datetime(2024, 1, 2, tzinfo=UTC).timestamp()) * 1_000_000
    stamp = pl.Series(begin + rng.integers(0, 9 * 1440, rows) * 60_000_000).cast(
        pl.Datetime("us", "UTC")
    )
    frame = pl.DataFrame(
        {
            "timestamp": stamp,
            "symbol": [NAMES[at] for at in rng.integers(0, len(NAMES), rows)],
            **{name: rng.uniform(1.0, 9.0, rows) for name in ("open", "high", "low", "close")},
            "volume": [VOLUMES[at] for at in rng.integers(0, len(VOLUMES), rows)],
        },
        schema_overrides={"symbol": pl.String, "volume": pl.Float64},
    )
    if sort:
        frame = frame.sort("symbol", "timestamp")
    if stamps_as_text:
        text = pl.col("timestamp").dt.strftime("%Y-%m-%d %H:%M:%S")
        frame = frame.with_columns(
            timestamp=pl.when(pl.int_range(pl.len()) % 5 == 3)
            .then(pl.lit("no time"))
            .otherwise(text)
        )
    return frame


@settings(deadline=None, max_examples=20)
@given(
    files=st.lists(
        st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 60), st.booleans(), st.booleans()),
        min_size=1,
        max_size=3,
    ),
    rows=st.integers(1, 50),
)
def test_batches_are_the_whole_cut_between_symbols(
    files: list[tuple[int, int, bool, bool]], rows: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for number, (seed, height, as_text, sort) in enumerate(files):
            vendor_rows(
                seed, height, stamps_as_text=as_text and height > 5, sort=sort
            ).write_parquet(Path(folder) / f"{number}.parquet", row_group_size=16)
        whole = source(Path(folder)).bars(None, START, END, "1Min")
        asked = source(Path(folder))
        batches = [answer.rows for answer in asked.read_batches(START, END, "1Min", rows)]
        assert_frame_equal(pl.concat(batches), whole)
        # from what was remembered
        assert_frame_equal(
            pl.concat(answer.rows for answer in asked.read_batches(START, END, "1Min", rows)), whole
        )
    symbols = [set(batch["symbol"]) for batch in batches]
    assert sum(map(len, symbols)) == len(set().union(*symbols))
    assert all(batch.height >= rows for batch in batches[:-1])


def test_text_comes_as_one_batch(tmp_path: Path) -> None:
    vendor_rows(1, 50, stamps_as_text=False, sort=True).with_columns(
        pl.col("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    ).write_csv(tmp_path / "one.csv")
    batches = [answer.rows for answer in source(tmp_path).read_batches(START, END, "1Min", 5)]
    assert len(batches) == 1
    assert_frame_equal(batches[0], source(tmp_path).bars(None, START, END, "1Min"))


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    reader = source(tmp_path)
    for seed in (1, 2):
        vendor_rows(seed, 40 + seed, stamps_as_text=False, sort=False).write_parquet(
            tmp_path / "one.parquet"
        )
        assert_frame_equal(
            reader.bars(None, START, END, "1Min"), source(tmp_path).bars(None, START, END, "1Min")
        )


def test_days_of_a_file_sorted_by_symbol_are_those_of_a_file_sorted_by_time(tmp_path: Path) -> None:
    rows = vendor_rows(5, 3_000, stamps_as_text=False, sort=True)
    for name, keys in (("by_symbol", ("symbol", "timestamp")), ("by_time", ("timestamp",))):
        (tmp_path / name).mkdir()
        rows.sort(keys, maintain_order=True).write_parquet(tmp_path / name / "one.parquet")
    asked, other = source(tmp_path / "by_symbol"), source(tmp_path / "by_time")
    for day in range(8):
        start = START + timedelta(days=day)
        of_both = [
            one.bars(None, start, start + timedelta(days=1), "1Min").drop("origin", "row")
            for one in (asked, other)
        ]
        order = of_both[0].columns
        assert_frame_equal(*(one.sort(order) for one in of_both))


def test_a_small_file_whose_rows_are_wanted_all_over_it_is_decoded_once(tmp_path: Path) -> None:
    file = Located(tmp_path / "one.parquet", "one.parquet")
    frame = pl.DataFrame({"close": pl.arange(100, eager=True).cast(pl.Float64)})
    starts = pl.Series([START] * 100)
    index = ParquetIndex({"close": "close"}, starts, None, starts, ["A"], NumberFormat(), (), None)
    cells = CellCache()
    frame.write_parquet(file.path)
    assert_frame_equal(cells.read("first", file, index, 10, 49), frame[10:59])
    (frame + 1.0).write_parquet(file.path)
    # too few rows to keep the whole file for: read where they are asked for
    assert_frame_equal(cells.read("first", file, index, 10, 49), frame[10:59] + 1.0)
    assert_frame_equal(cells.read("first", file, index, 10, 50), frame[10:60] + 1.0)
    file.path.unlink()
    assert_frame_equal(cells.read("first", file, index, 0, 100), frame + 1.0)
    with pytest.raises(FileNotFoundError):
        cells.read("second", file, index, 0, 100)


def test_groups_hold_whole_names_in_order() -> None:
    assert group_symbols({"B": 3, "A": 1, "C": 5, "D": 1}, 4) == [["A", "B"], ["C"], ["D"]]
    assert group_symbols({}, 4) == [[]]


def test_files_of_other_times_are_not_opened_again(tmp_path: Path) -> None:
    for number in range(3):
        rows = vendor_rows(number, 40, stamps_as_text=False, sort=True).with_columns(
            pl.col("timestamp") + timedelta(days=30 * number)
        )
        rows.write_parquet(tmp_path / f"{number}.parquet")
    reader = source(tmp_path)
    first = [answer.rows for answer in reader.read_batches(START, END, "1Min", 5)]
    # the same size and time, so that only opening them would show that they are broken
    for number in (1, 2):
        path = tmp_path / f"{number}.parquet"
        before = path.stat()
        path.write_bytes(b"x" * before.st_size)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    again = [answer.rows for answer in reader.read_batches(START, END, "1Min", 5)]
    assert len(first) > 1
    assert_frame_equal(pl.concat(first), pl.concat(again))
