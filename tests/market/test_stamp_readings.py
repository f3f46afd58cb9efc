"""Files of another bar length are refused by name; bars stamped at their end and wrong zones are
noticed, and the advice works.
"""

import re
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from market.raw_rows import utc
from market.vendor_markets import every, ingested, iso, write

from harmony_pipeline.config import load_settings
from harmony_pipeline.errors import DataError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.source_settings import FileSourceSettings
from harmony_pipeline.market.sources.files import FileSource
from harmony_pipeline.market.stamp_end import bar_starts_of_ends, end_evidence
from harmony_pipeline.market.timeframe_detection import Spacing, other_timeframe
from harmony_pipeline.schemas import TIME
from harmony_pipeline.stages.context import PipelineContext

NYSE = Calendar.of("XNYS")
NEW_YORK = "America/New_York"
DAYS = NYSE.sessions(date(2024, 3, 1), date(2024, 3, 29))


def sessions_of(
    first: str, last: str, minutes: int, days: int, zone: str = NEW_YORK
) -> list[datetime]:
    return [stamp for day in DAYS[:days] for stamp in every(zone, day, first, last, minutes)]


def daily(count: int) -> list[datetime]:
    return [
        datetime(day.year, day.month, day.day, tzinfo=utc(2024, 1, 1).tzinfo)
        for day in NYSE.sessions(date(2023, 6, 1), date(2024, 6, 1))[:count]
    ]


def files(folder: Path, timeframe: str) -> FileSource:
    return FileSource(FileSourceSettings(paths=("data",)), NYSE, folder, timeframe)


# --- another length -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stamps", "timeframe", "found"),
    [
        (daily(3), "1Hour", "1Day"),
        (daily(80), "1Min", "1Day"),
        (daily(80), "15Min", "1Day"),
        (daily(10), "1Week", "1Day"),
        (sessions_of("00:00", "00:00", 60, 5), "1Hour", "1Day"),  # midnight in New York
        (sessions_of("16:00", "16:00", 60, 5), "1Hour", "1Day"),
        (sessions_of("09:30", "15:30", 60, 1), "1Min", "1Hour"),
        (sessions_of("09:00", "15:00", 60, 2), "15Min", "1Hour"),
        (sessions_of("09:30", "15:55", 5, 1), "1Min", "5Min"),
        (sessions_of("09:30", "15:30", 30, 1), "15Min", "30Min"),
        (sessions_of("09:30", "15:55", 5, 1), "1Hour", "5Min"),
        (sessions_of("09:30", "15:59", 1, 1), "1Hour", "1Min"),
        (sessions_of("09:30", "15:30", 60, 2), "1Day", "1Hour"),
        (sessions_of("09:30", "09:33", 1, 1), "1Day", "1Min"),
        (
            [stamp + timedelta(weeks=week) for week in range(8) for stamp in daily(1)],
            "1Day",
            "1Week",
        ),
    ],
)
def test_bars_of_another_length_are_refused_by_name(
    tmp_path: Path, stamps: list[datetime], timeframe: str, found: str
) -> None:
    write(tmp_path / "data" / "ABC.csv", iso(stamps))
    source = files(tmp_path, timeframe)
    answer = source.read_bars(None, utc(2020, 1, 1), utc(2030, 1, 1), timeframe)
    assert answer.rows.height == len(stamps)  # the rows are handed on, for whoever wants to look
    assert re.search(
        rf'ABC.csv holds .*\({found};.*market.timeframe is "{timeframe}": set \[market\] timeframe'
        rf' = "{found}"',
        answer.refusals[0],
    )


@pytest.mark.parametrize(
    ("stamps", "timeframe"),
    [
        (daily(80), "1Day"),
        (daily(2), "1Min"),  # too few to tell
        (sessions_of("09:30", "15:30", 60, 20), "1Hour"),
        (sessions_of("09:30", "15:59", 1, 2)[::7], "1Min"),
        ([stamp + timedelta(weeks=week) for week in range(8) for stamp in daily(1)], "1Week"),
        ([daily(1)[0], daily(10)[5], daily(30)[25]], "1Day"),  # a stock that hardly trades
    ],
)
def test_bars_of_the_length_that_was_said_pass(
    tmp_path: Path, stamps: list[datetime], timeframe: str
) -> None:
    write(tmp_path / "data" / "ABC.csv", iso(stamps))
    source = files(tmp_path, timeframe)
    answer = source.read_bars(None, utc(2020, 1, 1), utc(2030, 1, 1), timeframe)
    assert answer.rows.height == len(stamps)
    assert not answer.refusals


@given(st.integers(0, 10_000), st.integers(2, 60), st.sampled_from(["1Min", "5Min", "15Min"]))
def test_a_thin_stock_is_not_taken_for_longer_bars(seed: int, trades: int, timeframe: str) -> None:
    minutes = {"1Min": 1, "5Min": 5, "15Min": 15}[timeframe]
    slots = np.array(sessions_of("09:30", "15:45", minutes, 20))
    chosen = sorted(np.random.default_rng(seed).choice(slots, size=trades, replace=False))
    stamps = pl.Series("at", chosen, dtype=TIME)
    assert (
        other_timeframe(
            Spacing.of(stamps, pl.Series([0]).new_from_index(0, trades)), NYSE, timeframe
        )
        is None
    )


def test_a_refused_file_leaves_the_lake_clean_and_the_corrected_settings_work(
    tmp_path: Path,
) -> None:
    write(tmp_path / "data" / "ABC.csv", [f"{stamp:%Y-%m-%d}" for stamp in daily(40)])
    market = 'calendar = "XNYS"\nstart = 2023-01-01\nend = 2025-01-01\ntimeframe = '
    with pytest.raises(DataError, match="holds daily bars"):
        ingested(tmp_path, market + '"1Hour"')
    assert (
        PipelineContext(load_settings(tmp_path / "harmony.toml", {})).lake.partitions("raw_bars")
        == []
    )
    after = ingested(tmp_path, market + '"1Day"')
    assert (after.bars.height, after.refused.height) == (40, 0)


# --- stamped at the end ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stamps", "calendar", "timeframe", "evidence"),
    [
        (sessions_of("09:31", "16:00", 1, 1), "XNYS", "1Min", "likely"),
        (sessions_of("09:35", "16:00", 5, 3), "XNYS", "5Min", "likely"),
        (sessions_of("10:00", "16:00", 60, 2), "XNYS", "1Hour", "likely"),
        (sessions_of("09:30", "15:59", 1, 1), "XNYS", "1Min", "none"),
        # the closing auction has a row of its own
        (sessions_of("09:30", "16:00", 1, 1), "XNYS", "1Min", "none"),
        (sessions_of("04:01", "20:00", 1, 1), "XNYS", "1Min", "none"),  # extended hours hide it
        (sessions_of("09:20", "15:30", 5, 2, "Asia/Kolkata"), "XBOM", "5Min", "certain"),
        (every("UTC", date(2024, 1, 1), "01:00", "23:00", 60), "24/7", "1Hour", "none"),
    ],
)
def test_a_bar_at_the_close_and_none_at_the_open_are_ends(
    stamps: list[datetime], calendar: str, timeframe: str, evidence: str
) -> None:
    assert end_evidence(pl.Series(stamps, dtype=TIME), Calendar.of(calendar), timeframe) == evidence


def test_the_hint_names_the_setting_and_the_setting_moves_the_bars(tmp_path: Path) -> None:
    write(tmp_path / "data" / "ABC.csv", iso(sessions_of("09:31", "16:00", 1, 2)))
    market = 'calendar = "XNYS"\ntimeframe = "1Min"\nstart = 2024-03-01\nend = 2024-04-01'
    first = ingested(tmp_path, market)
    assert any('set market.files.stamp = "end"' in note for note in first.notes)
    # read as starts, which is late and so safe
    assert first.bars["timestamp"][0] == sessions_of("09:31", "09:31", 1, 1)[0]
    other = tmp_path / "other"
    write(other / "data" / "ABC.csv", iso(sessions_of("09:31", "16:00", 1, 2)))
    moved = ingested(other, market, files='stamp = "end"')
    assert moved.bars["timestamp"].to_list() == sessions_of("09:30", "15:59", 1, 2)
    assert moved.bars["session"].unique().to_list() == ["regular"]
    assert not any("stamp" in note for note in moved.notes)


def test_bars_that_cannot_be_starts_are_moved_and_it_is_said(tmp_path: Path) -> None:
    stamps = [
        stamp
        for day in (2, 3, 4)
        for stamp in (
            *every("Asia/Shanghai", date(2024, 1, day), "09:35", "11:30", 5),
            *every("Asia/Shanghai", date(2024, 1, day), "13:05", "15:00", 5),
        )
    ]
    write(tmp_path / "data" / "600000.csv", iso(stamps))
    market = ingested(
        tmp_path,
        'calendar = "XSHG"\ntimeframe = "5Min"\nstart = 2024-01-01\nend = 2024-02-01',
        files="symbol_from_filename = '^(\\d+)'",
    )
    assert (market.bars.height, market.refused.height) == (144, 0)
    assert market.rows(
        "select distinct regular_bars, expected_regular_bars from daily_summary"
    ) == [(48, 48)]
    assert any("they were moved to their start" in note for note in market.notes)


@pytest.mark.parametrize(
    ("ends", "starts"),
    [
        # Yahoo's short last hour
        ("10:30 11:30 12:30 13:30 14:30 15:30 16:00", "09:30 10:30 11:30 12:30 13:30 14:30 15:30"),
        ("10:00 11:00 12:00 13:00 14:00 15:00 16:00", "09:00 10:00 11:00 12:00 13:00 14:00 15:00"),
    ],
)
def test_hours_are_put_at_their_start_on_their_own_grid(ends: str, starts: str) -> None:
    moments = pl.Series(
        [
            stamp
            for clock in ends.split()
            for stamp in every(NEW_YORK, date(2024, 3, 12), clock, clock, 60)
        ],
        dtype=TIME,
    )
    found = bar_starts_of_ends(moments, NYSE, "1Hour")
    assert found.dt.convert_time_zone(NEW_YORK).dt.strftime("%H:%M").to_list() == starts.split()


# --- wrong zones ----------------------------------------------------------------------------------

HALF_HOURS = 'calendar = "XNYS"\ntimeframe = "30Min"\nstart = 2024-03-01\nend = 2024-04-01'


def extended(days: int) -> tuple[list[datetime], list[float]]:
    """Half hours from 09:30 to 19:30 New York: busy until the close, quiet after it."""
    stamps = sessions_of("09:30", "19:30", 30, days)
    return stamps, [50_000.0 if at % 21 < 13 else 900.0 for at in range(len(stamps))]


@pytest.mark.parametrize("days", [1, 4])
def test_extended_hours_do_not_hide_a_wrong_zone_and_the_advice_works(
    tmp_path: Path, days: int
) -> None:
    stamps, volumes = extended(days)
    walls = (
        pl.Series(stamps, dtype=TIME)
        .dt.convert_time_zone(NEW_YORK)
        .dt.strftime("%Y-%m-%d %H:%M:%S")
        .to_list()
    )
    write(tmp_path / "data" / "ABC.csv", walls, volumes)
    market = ingested(tmp_path, HALF_HOURS)
    assert market.rows("select count(*) from quality_warnings where rule = 'wrong_time_zone'") == [
        (1,)
    ]
    assert any('set market.files.timezone = "America/New_York"' in note for note in market.notes)
    mended = ingested(tmp_path, HALF_HOURS, files=f'timezone = "{NEW_YORK}"')  # in the same lake
    assert mended.bars["timestamp"].to_list() == stamps
    assert mended.rows("select count(*) from quality_warnings") == [(0,)]
    assert not any("regular hours" in note for note in mended.notes)


@pytest.mark.parametrize("form", ["typed", "offset"])
def test_stamps_that_wrongly_name_utc_are_read_as_wall_clock_on_request(
    tmp_path: Path, form: str
) -> None:
    stamps, volumes = extended(3)
    walls = (
        pl.Series("timestamp", stamps, dtype=TIME)
        .dt.convert_time_zone(NEW_YORK)
        .dt.replace_time_zone(None)
    )
    if form == "typed":
        price = {
            name: pl.lit(10.0 + at) for at, name in enumerate(("low", "open", "close", "high"))
        }
        (tmp_path / "data").mkdir()
        pl.DataFrame({"timestamp": walls.dt.replace_time_zone("UTC")}).with_columns(
            **price, volume=pl.Series(volumes)
        ).write_parquet(tmp_path / "data" / "ABC.parquet")
    else:
        write(
            tmp_path / "data" / "ABC.csv",
            walls.dt.strftime("%Y-%m-%dT%H:%M:%SZ").to_list(),
            volumes,
        )
    first = ingested(tmp_path, HALF_HOURS)
    assert any(
        "market.files.wall_clock = true where the stamps name a zone themselves" in note
        for note in first.notes
    )
    # the zone alone changes nothing
    half = ingested(_beside(tmp_path), HALF_HOURS, files=f'timezone = "{NEW_YORK}"')
    assert any(
        "set market.files.wall_clock = true, since the stamps name another zone" in note
        for note in half.notes
    )
    whole = ingested(
        _beside(tmp_path / "beside"),
        HALF_HOURS,
        files=f'timezone = "{NEW_YORK}"\nwall_clock = true',
    )
    assert whole.bars["timestamp"].to_list() == stamps
    assert whole.rows("select count(*) from quality_warnings where rule = 'wrong_time_zone'") == [
        (0,)
    ]


@pytest.mark.parametrize("zone", ["Europe/Athens", "Asia/Tokyo", "Europe/London"])
def test_the_zone_of_a_broker_is_named(tmp_path: Path, zone: str) -> None:
    stamps = sessions_of("09:30", "15:30", 30, 4)
    walls = (
        pl.Series(stamps, dtype=TIME)
        .dt.convert_time_zone(zone)
        .dt.strftime("%Y-%m-%d %H:%M:%S")
        .to_list()
    )
    write(tmp_path / "data" / "ABC.csv", walls)
    notes = ingested(tmp_path, HALF_HOURS).notes
    if zone == "Europe/London":  # in winter London reads as UTC does: nothing is wrong
        assert not any("regular hours" in note for note in notes)
        return
    assert any(f'set market.files.timezone = "{zone}"' in note for note in notes)
    mended = ingested(_beside(tmp_path), HALF_HOURS, files=f'timezone = "{zone}"')
    assert mended.bars["timestamp"].to_list() == stamps


def _beside(folder: Path) -> Path:
    """A second market over the same files."""
    other = folder / "beside"
    other.mkdir()
    (other / "data").symlink_to(folder / "data", target_is_directory=True)
    return other
