"""Reading some bars is reading them all and filtering, whatever was skipped on the way."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from harmony_pipeline.lake.bar_reader import overlapping_keys, read_bars
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.market.periods import KEY_FORMATS, periods_between
from harmony_pipeline.schemas import BARS

NAMES = [f"S{number:02}" for number in range(12)]
FIRST = datetime(2024, 1, 2, 9, tzinfo=UTC)
HOURS = 24 * 120


def bars() -> pl.DataFrame:
    rows = pl.DataFrame({"symbol": NAMES}).join(
        pl.datetime_range(FIRST, FIRST + timedelta(hours=HOURS), "11h", time_unit="us", eager=True)
        .alias("timestamp")
        .to_frame(),
        how="cross",
    )
    price = pl.int_range(1, pl.len() + 1).cast(pl.Float64)
    constant = {
        "timeframe": pl.lit("1Hour"),
        "session": pl.lit("regular"),
        "adjustment_factor": 1.0,
        "volume": 1.0,
    }
    return BARS.conform(
        rows.with_columns(open=price, high=price, low=price, close=price, **constant)
    )


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake, rows = Lake(Path(tmp_path_factory.mktemp("lake"))).open(), bars()
    for month in periods_between(date(2024, 1, 1), date(2024, 6, 1), "month", "America/New_York"):
        lake.write(
            "bars",
            month.key,
            rows.filter(pl.col("timestamp").is_between(month.start, month.end, closed="left")),
        )
    return lake


moments = st.integers(-48, HOURS + 48).map(lambda hours: FIRST + timedelta(hours=hours))
days = moments.map(lambda start: (start, start + timedelta(days=1)))


@settings(deadline=None, max_examples=30)
@given(
    symbols=st.none() | st.lists(st.sampled_from([*NAMES, "ZZZ", "A"]), max_size=12),
    span=st.tuples(st.none() | moments, st.none() | moments) | days,
)
def test_a_read_is_the_whole_table_filtered(
    lake: Lake, symbols: list[str] | None, span: tuple[datetime | None, datetime | None]
) -> None:
    start, end = span
    whole = lake.read("bars")
    if symbols is not None:
        whole = whole.filter(pl.col("symbol").is_in(symbols))
    if start is not None:
        whole = whole.filter(pl.col("timestamp") >= start)
    if end is not None:
        whole = whole.filter(pl.col("timestamp") < end)
    assert_frame_equal(read_bars(lake, symbols, start, end), whole)
    assert_frame_equal(
        read_bars(lake, symbols, start, end, ["close", "symbol"]), whole.select("close", "symbol")
    )


def test_a_day_opens_one_file(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, scan = [], lake.scan
    monkeypatch.setattr(lake, "scan", lambda table, keys: opened.extend(keys) or scan(table, keys))
    assert read_bars(
        lake, ["S01"], datetime(2024, 3, 12, 9, tzinfo=UTC), datetime(2024, 3, 13, 1, tzinfo=UTC)
    ).height
    assert opened == ["2024-03"]


@given(
    # bars are cut into days and longer
    size=st.sampled_from([size for size in KEY_FORMATS if size != "hour"]),
    zone=st.sampled_from(["America/New_York", "Asia/Tokyo", "UTC", "Pacific/Auckland"]),
    begin=st.dates(date(1999, 1, 1), date(2030, 1, 1)),
    days=st.integers(1, 400),
    hour=st.integers(0, 400 * 24),
    length=st.integers(1, 2_000),
)
def test_no_partition_that_overlaps_is_skipped_and_hardly_one_too_many_is_taken(
    size: str, zone: str, begin: date, days: int, hour: int, length: int
) -> None:
    periods = periods_between(begin, begin + timedelta(days=days), size, zone)
    start = periods[0].start + timedelta(hours=hour)
    end = start + timedelta(hours=length)
    must = [period.key for period in periods if period.start < end and period.end > start]
    taken = overlapping_keys([period.key for period in periods], start, end)
    assert set(must) <= set(taken)
    near = timedelta(days=3)
    might = {
        period.key for period in periods if period.start < end + near and period.end > start - near
    }
    assert set(taken) <= might | {periods[-1].key}  # nothing tells where the last period ends


def test_an_empty_lake_gives_no_rows(tmp_path: Path) -> None:
    found = read_bars(Lake(tmp_path).open(), ["S01"], FIRST, FIRST + timedelta(days=1))
    assert found.height == 0
    assert dict(found.schema) == BARS.dtypes
