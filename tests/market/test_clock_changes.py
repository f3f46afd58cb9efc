"""Wall-clock stamps over both changes of the clock: order decides, else the row says why it cannot
be read.
"""

from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from market.raw_rows import utc
from market.vendor_markets import write

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.source_settings import FileSourceSettings
from harmony_pipeline.market.sources.files import FileSource

CLOCK = Calendar.of("24/7")
ZONE = "America/New_York"
AUTUMN = utc(2024, 11, 3, 4)  # midnight in New York; at 06:00Z the hour 01:00 begins again


def read(folder: Path, timeframe: str = "30Min", zone: str = ZONE) -> pl.DataFrame:
    settings = FileSourceSettings(paths=("data",), timezone=zone)
    return FileSource(settings, CLOCK, folder, timeframe).bars(
        None, utc(2024, 1, 1), utc(2025, 1, 1), timeframe
    )


def in_file_order(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.sort("origin", "row")


def wall(stamps: list[datetime], zone: str = ZONE) -> list[str]:
    series = pl.Series(stamps, dtype=pl.Datetime("us", "UTC")).dt.convert_time_zone(zone)
    return series.dt.strftime("%Y-%m-%d %H:%M:%S").to_list()


def steps(first: datetime, minutes: int, count: int) -> list[datetime]:
    return [first + timedelta(minutes=minutes * at) for at in range(count)]


@pytest.mark.parametrize("zone", [ZONE, "America/Chicago", "Europe/Berlin", "Australia/Sydney"])
@pytest.mark.parametrize("minutes", [15, 30, 60])
@given(begin=st.integers(-4, 30))
def test_a_whole_night_is_read_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, zone: str, minutes: int, begin: int
) -> None:
    folder = tmp_path_factory.mktemp("night")
    changes = {
        ZONE: AUTUMN,
        "America/Chicago": utc(2024, 11, 3, 5),
        "Europe/Berlin": utc(2024, 10, 26, 22),
        "Australia/Sydney": utc(2024, 4, 6, 13),
    }
    true = steps(
        changes[zone] - timedelta(hours=6) + begin * timedelta(minutes=minutes), minutes, 60
    )
    size = {15: "15Min", 30: "30Min", 60: "1Hour"}[minutes]
    write(folder / "data" / "BTC.csv", wall(true, zone))
    found = in_file_order(read(folder, size, zone))
    known = found.filter(pl.col("defect").is_null())
    assert known["timestamp"].to_list() == [true[row - 2] for row in known["row"]]
    # a file that begins inside the repeated hour may not be told
    assert known.height >= found.height - 60 // minutes


def test_new_to_old_is_read_backwards(tmp_path: Path) -> None:
    true = steps(AUTUMN, 30, 12)
    write(tmp_path / "data" / "BTC.csv", wall(true)[::-1])
    found = in_file_order(read(tmp_path))
    assert found["timestamp"].to_list() == true[::-1]
    assert found["defect"].null_count() == 12


def test_symbols_that_take_turns_are_told_apart(tmp_path: Path) -> None:
    true = steps(AUTUMN, 30, 10)
    stamps = [stamp for each in wall(true) for stamp in (each, each)]
    write(tmp_path / "data" / "both.csv", stamps)
    text = (tmp_path / "data" / "both.csv").read_text().splitlines()
    marked = [f"symbol,{text[0]}", *(f"{'AB'[at % 2]}A,{line}" for at, line in enumerate(text[1:]))]
    (tmp_path / "data" / "both.csv").write_text("\n".join(marked) + "\n")
    found = read(tmp_path)
    for symbol in ("AA", "BA"):
        assert found.filter(pl.col("symbol") == symbol)["timestamp"].to_list() == true


def test_a_file_sorted_by_the_wall_clock_has_each_stamp_twice(tmp_path: Path) -> None:
    true = steps(AUTUMN, 15, 16)
    write(tmp_path / "data" / "BTC.csv", sorted(wall(true)))
    found = read(tmp_path, "15Min")
    assert found["timestamp"].to_list() == true
    assert found["defect"].null_count() == 16


def test_larger_volume_never_chooses_the_pass(tmp_path: Path) -> None:
    true = steps(AUTUMN, 60, 6)
    for number, volumes in enumerate(([1, 9, 2, 3, 4, 5], [1, 2, 9, 3, 4, 5])):
        write(
            tmp_path / str(number) / "data" / "BTC.csv",
            wall(true),
            [float(each) for each in volumes],
        )
        found = read(tmp_path / str(number), "1Hour")
        assert found.select("timestamp", "volume").rows() == list(
            zip(true, [float(each) for each in volumes], strict=True)
        )


@pytest.mark.parametrize(
    ("clocks", "expected"),
    [
        # follows on the row before: the first pass
        (("00:00", "00:30", "01:00", "01:30"), (4.0, 4.5, 5.0, 5.5)),
        # the row after follows on it: the second
        (("01:00", "01:30", "02:00", "02:30"), (6.0, 6.5, 7.0, 7.5)),
        (("00:30", "01:00", "01:30", "02:00"), (4.5, None, None, 7.0)),  # either is possible
        (("01:00",), (None,)),
    ],
)
def test_neighbours_decide_where_the_hour_stands_once(
    tmp_path: Path, clocks: tuple[str, ...], expected: tuple[float | None, ...]
) -> None:
    write(
        tmp_path / "data" / "BTC.csv",
        [f"2024-11-03 {clock}" for clock in clocks] + ["2024-11-04 12:00", "2024-11-04 12:30"],
    )
    rows = in_file_order(read(tmp_path)).head(len(clocks)).to_dicts()
    for row, hours in zip(rows, expected, strict=True):
        if hours is None:
            assert "this time came twice in America/New_York" in row["defect"]
        else:
            assert (row["timestamp"], row["defect"]) == (
                utc(2024, 11, 3) + timedelta(hours=hours),
                None,
            )


def test_an_offset_settles_it(tmp_path: Path) -> None:
    write(tmp_path / "data" / "BTC.csv", ["2024-11-03 01:30:00-05:00", "2024-11-03 01:00:00-04:00"])
    assert in_file_order(read(tmp_path))["timestamp"].to_list() == [
        utc(2024, 11, 3, 6, 30),
        utc(2024, 11, 3, 5),
    ]


def test_the_missing_hour_says_so(tmp_path: Path) -> None:
    write(
        tmp_path / "data" / "BTC.csv", ["2024-03-10 01:30", "2024-03-10 02:30", "2024-03-10 03:00"]
    )
    found = in_file_order(read(tmp_path))
    assert (
        found["defect"]
        .to_list()[1]
        .startswith(
            "timestamp is '2024-03-10 02:30', expected a time: there is no such hour in"
            " America/New_York"
        )
    )
    assert found["timestamp"].to_list()[::2] == [utc(2024, 3, 10, 6, 30), utc(2024, 3, 10, 7)]


def test_typed_times_without_a_zone_are_settled_too(tmp_path: Path) -> None:
    true = steps(AUTUMN, 30, 8)
    walls = (
        pl.Series("timestamp", true, dtype=pl.Datetime("us", "UTC"))
        .dt.convert_time_zone(ZONE)
        .dt.replace_time_zone(None)
    )
    (tmp_path / "data").mkdir()
    price = dict.fromkeys(("open", "high", "low", "close"), 10.0)
    pl.DataFrame({"timestamp": walls}).with_columns(
        **{name: pl.lit(value) for name, value in price.items()}, volume=pl.lit(5.0)
    ).write_parquet(tmp_path / "data" / "BTC.parquet")
    assert in_file_order(read(tmp_path))["timestamp"].to_list() == true
