"""Stamps as vendors write them: read in every certain form, else the row is quoted and the file
stays.
"""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from market.files.writing import ALWAYS, FOREVER, HEADER, read, source, write
from market.raw_rows import utc

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.market.sources.cell_parsing import clock_form, possible_orders


def stamps(folder: Path, cells: list[str], **settings: object) -> list[tuple[datetime, bool]]:
    """Every row's timestamp, and whether its cell was read."""
    write(folder / "AAA.csv", HEADER, *(f"{cell},10,11,9,10,1" for cell in cells))
    frame = read(folder, **settings).sort("row")
    return list(zip(frame["timestamp"], frame["defect"].is_null(), strict=True))


def readable(folder: Path, cells: list[str], **settings: object) -> list[datetime | None]:
    return [stamp if known else None for stamp, known in stamps(folder, cells, **settings)]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("20170703093500000", utc(2017, 7, 3, 1, 35)),
        ("20170703093500", utc(2017, 7, 3, 1, 35)),
        ("20170703093500.250", utc(2017, 7, 3, 1, 35).replace(microsecond=250_000)),
        ("201707030935", utc(2017, 7, 3, 1, 35)),
        ("2017070309", utc(2017, 7, 3, 1)),
        ("20170703", utc(2017, 7, 2, 16)),
        ("2017.07.03 09:35", utc(2017, 7, 3, 1, 35)),
        ("20170703 093500", utc(2017, 7, 3, 1, 35)),
        ("20170703 093500123", utc(2017, 7, 3, 1, 35).replace(microsecond=123_000)),
        ("7/13/2017 9:35:00 AM", utc(2017, 7, 13, 1, 35)),
        ("13.07.2017 09:35", utc(2017, 7, 13, 1, 35)),
        ("Jul 13, 2017", utc(2017, 7, 12, 16)),
    ],
)
def test_compact_and_local_forms_are_read_on_the_settings_clock(
    tmp_path: Path, cell: str, expected: datetime
) -> None:
    write(tmp_path / "AAA.csv", HEADER, f'"{cell}",10,11,9,10,1')
    assert read(tmp_path, timezone="Asia/Shanghai")["timestamp"].to_list() == [expected]


@pytest.mark.parametrize("rows", [2, 7, 80])
@pytest.mark.parametrize("form", ["%Y%m%d%H", "%Y%m%d%H%M", "%Y%m%d%H%M%S", "%Y%m%d%H%M%S000"])
def test_an_impossible_compact_stamp_costs_its_own_row(
    tmp_path: Path, form: str, rows: int
) -> None:
    expected = [utc(2017, 7, 3, 9) + timedelta(hours=hour) for hour in range(rows)]
    cells = [moment.strftime(form) for moment in expected]
    at = rows // 2
    cells[at] = cells[at].replace("201707", "201713", 1).replace("201707", "201713", 1)
    assert readable(tmp_path, cells) == [
        None if row == at else moment for row, moment in enumerate(expected)
    ]


@pytest.mark.parametrize(
    "cell",
    [
        "20170231093500000", "17990703093500000", "99999999999999999", "2611-01-01 00:00:00",
        "0024-01-02 09:30:00", "20245-01-02", "1970-01-01 00:00:00",
        "2024-01-02T09:30:00+99:00", "2024-01-02T09:30:00+24:00", "2024-01-02T09:30:00-14:30",
        "2024-01-02T09:30:00+05:75", "2024-02-30 09:30:00",
        "2024-01-02 25:00:00", "17042058000", "9999-12-31",
    ],
)  # fmt: skip
def test_an_implausible_stamp_is_quoted_and_its_neighbours_stay(tmp_path: Path, cell: str) -> None:
    cells = ["2024-01-02 14:30:00", cell, "2024-01-02 14:32:00"]
    assert readable(tmp_path, cells) == [utc(2024, 1, 2, 14, 30), None, utc(2024, 1, 2, 14, 32)]
    assert f"timestamp is '{cell}', expected a time" in read(tmp_path).sort("row")["defect"][1]


def test_offsets_up_to_fourteen_hours_are_true(tmp_path: Path) -> None:
    cells = ["2024-01-03T04:30:00+14:00", "2024-01-02T02:31:00-12:00", "2024-01-02T20:17:00+05:45"]
    assert readable(tmp_path, cells) == [utc(2024, 1, 2, 14, minute) for minute in (30, 31, 32)]
    spelled = readable(
        tmp_path,
        ["2024-01-02T14:30:00+0000", "2024-01-02T14:30:00+2400"],
        timestamp_format="%Y-%m-%dT%H:%M:%S%z",
    )
    assert spelled == [utc(2024, 1, 2, 14, 30), None]


def test_the_end_of_time_moves_with_the_clock(tmp_path: Path) -> None:
    write(
        tmp_path / "AAA.csv",
        HEADER,
        "2024-01-02 14:30:00,1,1,1,1,1",
        "2025-06-01 14:30:00,1,1,1,1,1",
    )
    files = source(tmp_path)
    for now, known in ((utc(2024, 1, 3), [True, False]), (utc(2024, 7, 1), [True, True])):
        files = source(tmp_path)
        files._now = now
        assert (
            files.bars(None, ALWAYS, FOREVER, "1Min").sort("row")["defect"].is_null().to_list()
            == known
        )


@pytest.mark.parametrize(
    "dtype",
    [
        pl.Datetime("ms"),
        pl.Datetime("us"),
        pl.Datetime("ns"),
        pl.Datetime("ms", "UTC"),
        pl.Int64(),
        pl.Date(),
    ],
)
def test_typed_times_out_of_range_are_unreadable(tmp_path: Path, dtype: pl.DataType) -> None:
    unit = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}.get(
        getattr(dtype, "time_unit", "us"), 1_000_000
    )
    good = 19_724 if dtype == pl.Date else 1_704_205_800 * unit
    worst = 2**31 - 1 if dtype == pl.Date else 2**63 - 1
    physical = pl.Series(
        "timestamp",
        [good, worst, -worst, 0, good],
        dtype=pl.Int32 if dtype == pl.Date else pl.Int64,
    )
    frame = pl.DataFrame(
        {
            "timestamp": physical.cast(dtype),
            **dict.fromkeys(("open", "high", "low", "close", "volume"), pl.Series([1.0] * 5)),
        }
    )
    frame.write_parquet(tmp_path / "AAA.parquet")
    found = read(tmp_path).sort("row")
    assert found["defect"].is_null().to_list() == [True, False, False, False, True]
    assert found["timestamp"].dt.date().unique().to_list() == [date(2024, 1, 2)]


# --- dates with a stroke --------------------------------------------------------------------------


@pytest.mark.parametrize("bad", ["2/31/2024", "4/31/2024", "13/45/2024", "0/5/2024"])
@pytest.mark.parametrize("separator", ["/", "-", "."])
def test_one_impossible_date_among_good_ones_goes_alone(
    tmp_path: Path, bad: str, separator: str
) -> None:
    days = [date(2024, 1, 2) + timedelta(days=at) for at in range(38)]
    cells = [f"{day.month}/{day.day}/{day.year}" for day in days]
    cells[20] = bad
    found = readable(tmp_path, [cell.replace("/", separator) for cell in cells])
    assert found == [
        None if at == 20 else utc(day.year, day.month, day.day) for at, day in enumerate(days)
    ]


def test_an_impossible_date_tells_the_order_where_nothing_else_does(tmp_path: Path) -> None:
    assert readable(tmp_path, ["1/2/2024", "2/31/2024", "1/4/2024"]) == [
        utc(2024, 1, 2),
        None,
        utc(2024, 1, 4),
    ]
    assert readable(tmp_path, ["2/1/2024", "31/2/2024", "4/1/2024"]) == [
        utc(2024, 1, 2),
        None,
        utc(2024, 1, 4),
    ]


def test_full_stops_go_with_the_day_first(tmp_path: Path) -> None:
    assert readable(tmp_path, ["02.01.2024", "03.01.2024"]) == [utc(2024, 1, 2), utc(2024, 1, 3)]


def test_one_date_of_the_other_order_in_forty_goes_alone_and_one_in_two_refuses(
    tmp_path: Path,
) -> None:
    cells = [f"1/{day}/2024" for day in range(13, 31)] + [f"3/{day}/2024" for day in range(13, 31)]
    found = readable(tmp_path, [*cells, "14/1/2024"])
    assert found[-1] is None
    assert None not in found[:-1]
    with pytest.raises(DataError, match="holds no readable time"):
        readable(tmp_path, ["1/13/2024", "14/1/2024"])


# --- times of day ---------------------------------------------------------------------------------


def clocks(
    folder: Path, times: list[str], header: str = "date,time", **settings: object
) -> list[str | None]:
    write(
        folder / "BTCUSD.csv",
        f"{header},open,high,low,close,volume",
        *(f"20240102,{time},10,11,9,10,1" for time in times),
    )
    frame = read(folder, **settings).sort("row")
    return [
        f"{stamp:%H:%M:%S}" if known else None
        for stamp, known in zip(frame["timestamp"], frame["defect"].is_null(), strict=True)
    ]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (["10000", "20000"], ["01:00:00", "02:00:00"]),
        (["0", "10000", "235900"], ["00:00:00", "01:00:00", "23:59:00"]),
        (["93000", "93100", "160000"], ["09:30:00", "09:31:00", "16:00:00"]),
        (["093000", "93100"], ["09:30:00", "09:31:00"]),
        (["930", "1600"], ["09:30:00", "16:00:00"]),
        (["0930", "0931"], ["09:30:00", "09:31:00"]),
        (["000000", "000000"], ["00:00:00", "00:00:00"]),
        (["93000000", "160000500"], ["09:30:00", "16:00:00"]),
        (["9:30", "16:00"], ["09:30:00", "16:00:00"]),
        (["93000", "96000", "160000"], ["09:30:00", None, "16:00:00"]),
        (["93000", "250000", "160000"], ["09:30:00", None, "16:00:00"]),
    ],
)
def test_a_clock_that_lost_its_zeros_is_padded_as_its_column_proves(
    tmp_path: Path, times: list[str], expected: list[str | None]
) -> None:
    assert clocks(tmp_path, times) == expected


@pytest.mark.parametrize(
    "times",
    [
        ["34200", "34260"],
        ["30000", "33000"],
        ["570", "600"],
        ["34200000", "34260000"],
        ["5", "10"],
        ["900", "905"],
    ],
)
def test_a_number_that_may_count_since_midnight_is_not_guessed_at(
    tmp_path: Path, times: list[str]
) -> None:
    with pytest.raises(
        DataError,
        match=(
            r"holds no readable time \(its first value is '20240102"
            rf" {times[0]}'\).*timestamp_format"
        ),
    ):
        clocks(tmp_path, times)


def test_a_format_settles_how_wide_a_clock_is(tmp_path: Path) -> None:
    assert clocks(tmp_path, ["30000", "33000"], timestamp_format="%Y%m%d %H%M%S") == [
        "03:00:00",
        "03:30:00",
    ]
    assert clocks(tmp_path, ["900", "905"], timestamp_format="%Y%m%d %H%M") == [
        "09:00:00",
        "09:05:00",
    ]


@pytest.mark.parametrize(
    "header",
    [
        "date,time",
        "date,ToD",
        "<DTYYYYMMDD>,<TIME>",
        "Date,Time of Day",
        "Trade Date,Trade Time",
        "date,clock",
        "day,Bar Time",
    ],
)
def test_a_date_and_a_time_of_day_make_one_stamp_under_their_usual_names(
    tmp_path: Path, header: str
) -> None:
    assert clocks(tmp_path, ["09:30:00", "09:31:00"], header) == ["09:30:00", "09:31:00"]


def test_a_time_of_day_of_any_name_is_settable(tmp_path: Path) -> None:
    chosen = {"clock": "hhmm"}
    assert clocks(tmp_path, ["09:30", "09:31"], "date,hhmm", columns=chosen) == [
        "09:30:00",
        "09:31:00",
    ]
    assert clocks(
        tmp_path, ["09:30", "09:31"], "when,hhmm", columns={"timestamp": "when", **chosen}
    ) == ["09:30:00", "09:31:00"]
    assert clocks(tmp_path, ["09:30", "09:31"], "date,time", columns={"timestamp": "date"}) == [
        "09:30:00",
        "09:31:00",
    ]
    with pytest.raises(DataError, match="maps clock to 'hhmm', which the file does not have"):
        clocks(tmp_path, ["09:30"], "date,time", columns=chosen)
    with pytest.raises(ConfigError, match=r"names 'tod', which is no column of bars: use .*clock"):
        clocks(tmp_path, ["09:30"], "date,time", columns={"tod": "time"})


def test_typed_dates_and_times_of_day_make_one_stamp(tmp_path: Path) -> None:
    prices = dict.fromkeys(("open", "high", "low", "close", "volume"), pl.Series([1.0, 1.0]))
    dates = pl.Series([datetime(2024, 1, 2), datetime(2024, 1, 2)])  # noqa: DTZ001  pandas writes dates so
    for time in (
        pl.Series([93000, 160000]),
        pl.Series(["09:30", "16:00"]),
        (pl.Series([34_200, 57_600]) * 1_000_000_000).cast(pl.Time),
    ):
        pl.DataFrame({"date": dates, "time": time, **prices}).write_parquet(
            tmp_path / "AAA.parquet"
        )
        assert read(tmp_path)["timestamp"].to_list() == [
            utc(2024, 1, 2, 9, 30),
            datetime(2024, 1, 2, 16, tzinfo=UTC),
        ]


def test_dates_beside_an_unknown_column_of_times_are_refused_with_the_setting(
    tmp_path: Path,
) -> None:
    write(
        tmp_path / "AAA.csv",
        "date,when,open,high,low,close,volume",
        "2024-01-02,09:30,1,1,1,1,5",
        "2024-01-02,9:31:00,1,1,1,1,5",
    )
    with pytest.raises(
        DataError,
        match=(
            r"only dates in 'date' and times of day in 'when': set under \[market\.files\.columns\]"
            r" clock = \"when\""
        ),
    ):
        read(tmp_path)
    assert read(tmp_path, columns={"clock": "when"})["timestamp"].to_list() == [
        utc(2024, 1, 2, 9, 30),
        utc(2024, 1, 2, 9, 31),
    ]
    assert read(tmp_path, timeframe="1Day").height == 2


@pytest.mark.parametrize(
    ("shown", "clock"),
    [
        ("3/4/2024", ""),
        ("3/4/2024 14:30", " %H:%M"),
        ("3/4/2024 14:30:05", " %H:%M:%S"),
        ("02.01.2024 14h00", " %Hh%M"),
        ("3/4/2024 14.30", " %H.%M"),
        ("3/4/2024 2:30 PM", " %I:%M %p"),
        ("3/4/2024 2:30:05pm", " %I:%M:%S%p"),
    ],
)
def test_the_format_that_is_advised_reads_the_time_that_it_is_advised_for(
    shown: str, clock: str
) -> None:
    assert clock_form(shown) == clock
    _, day_first = possible_orders(shown)
    assert pl.Series([shown]).str.to_datetime(day_first + clock).null_count() == 0
