"""From the time cells of a file to bar starts: date and clock, zones, clock changes, sessions,
ends, and wrong lengths.

The stamps of a whole file are looked at together; single cells are read in `cell_parsing.py`. A row
whose time cannot be read takes that of the nearest readable row before it in the file (else after
it), so that it still lands in a period and is reported.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from zoneinfo import available_timezones

import polars as pl

from harmony_pipeline.errors import DataError
from harmony_pipeline.frames import format_columns
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.file_clock import UTC_CLOCK, file_clock
from harmony_pipeline.market.session_placement import session_midnights
from harmony_pipeline.market.source_settings import FileSourceSettings
from harmony_pipeline.market.sources.cell_parsing import (
    CLOCK_AND_OFFSET,
    cell_texts,
    clock_form,
    drop_overflowing,
    possible_orders,
    quote_column,
    read_stamps,
    short_year_formats,
)
from harmony_pipeline.market.sources.clock_numbers import clock_texts
from harmony_pipeline.market.sources.columns import CLOCK, plain
from harmony_pipeline.market.sources.record_types import Reading
from harmony_pipeline.market.sources.repeated_hour import settle_clock_changes
from harmony_pipeline.market.stamp_end import bar_starts_of_ends, end_evidence
from harmony_pipeline.market.timeframe_detection import (
    SAMPLE_ROWS,
    Spacing,
    other_timeframe,
    refusal_message,
)
from harmony_pipeline.market.timeframes import LONG_TIMEFRAMES, TIMEFRAME_SECONDS
from harmony_pipeline.schemas import TIME
from harmony_pipeline.text import NAME, excerpt

_ZONE_BEHIND = r"\d ([A-Z][A-Za-z]+(?:/[A-Za-z_+\-0-9]+)+)\s*$"
_ZONES_OF_NAMES = {"gmttime": "UTC", "time(utc)": "UTC", "time(eet)": "EET"}
_ONLY_DIGITS = r"^\s*-?\d{9,20}(?:\.\d+)?\s*$"


@dataclass(frozen=True)
class BarStarts:
    """`starts` are UTC, one a row; `defects` say of each row that had to borrow one what stood
    there.

    `refusal` says that the bars have another length than they should, so that none of them may be
    kept.
    """

    starts: pl.Series
    defects: pl.Series
    notes: tuple[str, ...]
    refusal: str | None


def read_bar_starts(
    cells: pl.DataFrame,
    matched: Mapping[str, str],
    symbols: pl.Series,
    reading: Reading,
    origin: str,
) -> BarStarts:
    """The starts of the bars of one file, or the instants of its ticks. Raises DataError when no
    time at all can be read.
    """
    settings, timeframe = reading.settings, reading.timeframe
    written = found = cells[matched["timestamp"]]
    if CLOCK in matched:
        found, written = _join_date_and_clock(
            found, cells[matched[CLOCK]], settings.timestamp_format or ""
        )
    zone, found = _stated_zone(found, by_name="timestamp" not in reading.chosen)
    clock = file_clock(settings.timezone if zone is None or settings.wall_clock else zone)
    read = read_stamps(found, clock.zone, settings.timestamp_format, reading.latest)
    instant, reasons, notes, other = read.instant, None, tuple[str, ...](), None
    # stamps may stand in an hour that a clock repeats or leaves out
    if settings.wall_clock or clock != UTC_CLOCK:
        local, wall = _written_locally(found, settings), read.written - clock.ahead
        if settings.wall_clock or clock.ahead:
            instant = _where(local, _on_clock_of(clock.zone, wall), instant)
        instant, reasons = settle_clock_changes(wall, instant, local, clock.zone, symbols)
    if timeframe in TIMEFRAME_SECONDS:
        other = _other_length(instant, symbols, reading.calendar, timeframe, origin)
    if timeframe in LONG_TIMEFRAMES:
        instant = session_midnights(instant, read.written, reading.calendar, timeframe)
    elif timeframe in TIMEFRAME_SECONDS:
        instant, notes = _put_at_start(instant, settings.stamp, reading.calendar, timeframe, origin)
    starts, defects = _borrow_absent(instant, written, reasons, settings, origin)
    return BarStarts(starts, defects, notes, other)


def _stated_zone(cells: pl.Series, *, by_name: bool) -> tuple[str | None, pl.Series]:
    """The zone that all cells name behind their time (`20250102 09:30:00 US/Eastern`), or, where
    `by_name`, that the name of the column states, and the cells without it; None where neither
    does.
    """
    if cells.dtype != pl.String:
        return None, cells
    in_name = _ZONES_OF_NAMES.get(plain(cells.name)) if by_name else None
    first = cells.drop_nulls().head(1).str.extract(_ZONE_BEHIND)
    zone = first.item() if len(first) else None
    if zone is None or zone not in available_timezones():
        return in_name, cells
    bare = cells.str.strip_suffix(zone).str.strip_chars()
    others = (bare == cells.str.strip_chars()).any()
    return (in_name, cells) if others else (zone, bare)


def _join_date_and_clock(
    date: pl.Series, clock: pl.Series, pattern: str
) -> tuple[pl.Series, pl.Series]:
    """Date and time of day in one text, as read and as written."""
    days = drop_overflowing(date).dt.date() if isinstance(date.dtype, pl.Datetime) else date
    read = clock if pattern else clock_texts(clock)
    for marks, digits in (("%H%M%S", 6), ("%H%M", 4)):
        if marks in pattern:
            read = clock.cast(pl.String).str.strip_chars().str.zfill(digits)
            break
    table = pl.DataFrame(
        {
            "date": days.cast(pl.String),
            "read": read.cast(pl.String),
            "written": clock.cast(pl.String),
        }
    )
    both = table.select(
        pl.concat_str("date", "read", separator=" "),
        written=pl.concat_str("date", "written", separator=" ", ignore_nulls=True),
    )
    return both["date"].alias(date.name), both["written"].alias(date.name)


def _borrow_absent(
    instant: pl.Series,
    written: pl.Series,
    reasons: pl.Series | None,
    settings: FileSourceSettings,
    origin: str,
) -> tuple[pl.Series, pl.Series]:
    """A time for every row, and the sentence about each one that had to borrow it."""
    if not instant.null_count():
        return instant.alias("timestamp"), pl.Series("defect", [None], pl.String).new_from_index(
            0, len(instant)
        )
    name, quoted = excerpt(written.name, NAME), cell_texts(written)
    cure = _stamp_cure(settings, str(quoted[0]))
    if instant.null_count() == len(instant):
        raise DataError(
            f"{origin} column '{name}' holds no readable time (its first value is"
            f" '{excerpt(quoted[0])}'): {cure}"
        )
    why = pl.lit(cure) if reasons is None else pl.lit(reasons).fill_null(cure)
    sentence = format_columns(
        "{} is {}, expected a time: {}", pl.lit(name), quote_column("found"), why
    )
    table = pl.DataFrame({"found": quoted, "instant": instant})
    defects = table.select(pl.when(pl.col("instant").is_null()).then(sentence.alias("defect")))[
        "defect"
    ]
    return (
        instant.fill_null(strategy="forward").fill_null(strategy="backward").alias("timestamp"),
        defects,
    )


def _stamp_cure(settings: FileSourceSettings, shown: str) -> str:
    if settings.timestamp_format:
        return (
            f"market.files.timestamp_format is '{settings.timestamp_format}'; correct the cell or"
            " the format"
        )
    zone = settings.timezone
    clock = clock_form(shown)
    if orders := possible_orders(shown):
        month_first, day_first = orders
        return (
            f"nothing tells its months from its days: set market.files.timestamp_format to"
            f" {month_first}{clock} where the month stands first, to {day_first}{clock} where the"
            " day does"
        )
    if short := short_year_formats(shown):
        formats = " or ".join(each + clock for each in short)
        return f"its year has two digits: set market.files.timestamp_format to {formats}"
    return (
        f"write it like 2024-01-31 14:30:00 (read in {zone}) or 2024-01-31T14:30:00Z, or set"
        f" market.files.timestamp_format, such as %m/%d/%Y{clock}"
    )


def _on_clock_of(zone: str, written: pl.Series) -> pl.Series:
    wall = written.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    return wall.dt.convert_time_zone("UTC").cast(TIME)


def _where(chosen: pl.Series, one: pl.Series, other: pl.Series) -> pl.Series:
    table = pl.DataFrame({"chosen": chosen, "one": one, "other": other})
    return table.select(pl.when("chosen").then("one").otherwise("other")).to_series()


def _written_locally(cells: pl.Series, settings: FileSourceSettings) -> pl.Series:
    """Whether each cell shows the clock of `timezone`, rather than an instant."""
    if settings.wall_clock:
        return pl.Series("local", [True]).new_from_index(0, len(cells))
    if isinstance(cells.dtype, pl.Datetime | pl.Date):
        typed = isinstance(cells.dtype, pl.Datetime) and cells.dtype.time_zone is not None
        return pl.Series("local", [not typed]).new_from_index(0, len(cells))
    if cells.dtype != pl.String:
        return pl.Series("local", [False]).new_from_index(0, len(cells))
    if "%z" in (settings.timestamp_format or ""):
        return pl.Series("local", [False]).new_from_index(0, len(cells))
    text = cells.str.strip_chars()
    stated = text.str.contains(CLOCK_AND_OFFSET) | text.str.contains(_ONLY_DIGITS)
    return ~stated.fill_null(value=True)


def _other_length(
    instant: pl.Series, groups: pl.Series, calendar: Calendar, timeframe: str, origin: str
) -> str | None:
    """What to say of a file whose bars are longer or shorter than `timeframe`."""
    sample, whose = instant.head(SAMPLE_ROWS), groups.head(SAMPLE_ROWS)
    found = other_timeframe(Spacing.of(sample, whose), calendar, timeframe)
    return None if found is None else refusal_message(origin, len(sample), found, timeframe)


def _put_at_start(
    instant: pl.Series, stamp: str, calendar: Calendar, timeframe: str, origin: str
) -> tuple[pl.Series, tuple[str, ...]]:
    """Starts as the setting says; `auto` moves only bars that cannot bear their start."""
    if stamp == "start":
        return instant, ()
    if stamp == "end":
        return bar_starts_of_ends(instant, calendar, timeframe), ()
    evidence = end_evidence(instant.head(SAMPLE_ROWS), calendar, timeframe)
    if evidence == "none":
        return instant, ()
    seen = f"{origin} has bars at the close and none at the open: its bars are stamped at their end"
    if evidence == "certain":
        cure = 'they were moved to their start (market.files.stamp = "end" says so for good)'
        return bar_starts_of_ends(instant, calendar, timeframe), (f"{seen}; {cure}",)
    cure = (
        'they were read as starts, one bar late; set market.files.stamp = "end" to move them, or'
        ' "start" if they are right'
    )
    return instant, (f"{seen.replace('its bars are', 'its bars seem to be')}; {cure}",)
