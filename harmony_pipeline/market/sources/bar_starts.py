"""From the time cells of a file to bar starts: clock changes, sessions, ends, and wrong lengths.

Everything here looks at the stamps of a whole file at once; single cells are read in `cells.py`.
"""

from dataclasses import dataclass

import polars as pl

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.session_placement import session_midnights
from harmony_pipeline.market.settings import LONG_TIMEFRAMES, TIMEFRAME_MINUTES, FileSourceSettings
from harmony_pipeline.market.sources.cell_parsing import Stamps
from harmony_pipeline.market.sources.repeated_hour import settle_clock_changes
from harmony_pipeline.market.stamp_end import bar_starts_of_ends, end_evidence
from harmony_pipeline.market.timeframe_detection import (
    SAMPLE_ROWS,
    Spacing,
    other_timeframe,
    refusal,
)
from harmony_pipeline.schemas import TIME

_WITH_OFFSET = r"(?i):\d\d(?:\.\d+)?\s*(Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)$"
_ONLY_DIGITS = r"^\s*-?\d{9,20}(?:\.\d+)?\s*$"


@dataclass(frozen=True)
class BarStarts:
    """`starts` are UTC, null where a cell cannot be read; `reasons` say why, where there is more to say.

    `refusal` says that the bars have another length than they should, so that none of them may be kept.
    """

    starts: pl.Series
    reasons: pl.Series | None
    notes: list[str]
    refusal: str | None = None


def bar_starts(
    cells: pl.Series,
    read: Stamps,
    groups: pl.Series,
    settings: FileSourceSettings,
    calendar: Calendar,
    timeframe: str,
    origin: str,
) -> BarStarts:
    """The starts of the bars of one file. `cells` are the time cells, `read` what they say, `groups` whose they
    are: of all rows where `shows_local_time`, else of the first SAMPLE_ROWS.
    """
    zone, reasons = settings.timezone, None
    instant = _on_clock_of(zone, read.written) if settings.wall_clock else read.instant
    if shows_local_time(settings):
        local = _written_locally(cells, settings)
        instant, reasons = settle_clock_changes(read.written, instant, local, zone, groups)
    if timeframe not in TIMEFRAME_MINUTES:  # quotes and trades
        return BarStarts(instant, reasons, [])
    other = _other_length(instant, groups, calendar, timeframe, origin)
    if timeframe in LONG_TIMEFRAMES:
        midnights = session_midnights(instant, read.written, calendar, timeframe)
        return BarStarts(midnights, reasons, [], other)
    starts, notes = _put_at_start(instant, settings.stamp, calendar, timeframe, origin)
    return BarStarts(starts, reasons, notes, other)


def shows_local_time(settings: FileSourceSettings) -> bool:
    """Whether stamps may stand in an hour that a clock repeats or leaves out."""
    return settings.wall_clock or settings.timezone != "UTC"


def _on_clock_of(zone: str, written: pl.Series) -> pl.Series:
    wall = written.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    return wall.dt.convert_time_zone("UTC").cast(TIME)


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
    stated = text.str.contains(_WITH_OFFSET) | text.str.contains(_ONLY_DIGITS)
    return ~stated.fill_null(value=True)


def _other_length(instant: pl.Series, groups: pl.Series, calendar: Calendar, timeframe: str, origin: str) -> str | None:
    """What to say of a file whose bars are longer or shorter than `timeframe`."""
    sample, whose = instant.head(SAMPLE_ROWS), groups.head(SAMPLE_ROWS)
    found = other_timeframe(Spacing.of(sample, whose), calendar, timeframe)
    return None if found is None else refusal(origin, len(sample), found, timeframe)


def _put_at_start(instant: pl.Series, stamp: str, calendar: Calendar, timeframe: str, origin: str) -> tuple[pl.Series, list[str]]:
    """Starts as the setting says; `auto` moves only bars that cannot bear their start."""
    if stamp == "start":
        return instant, []
    if stamp == "end":
        return bar_starts_of_ends(instant, calendar, timeframe), []
    evidence = end_evidence(instant.head(SAMPLE_ROWS), calendar, timeframe)
    if evidence == "none":
        return instant, []
    seen = f"{origin} has bars at the close and none at the open: its bars are stamped at their end"
    if evidence == "certain":
        cure = 'they were moved to their start (market.files.stamp = "end" says so for good)'
        return bar_starts_of_ends(instant, calendar, timeframe), [f"{seen}; {cure}"]
    cure = 'they were read as starts, one bar late; set market.files.stamp = "end" to move them, or "start" if they are right'
    return instant, [f"{seen.replace('its bars are', 'its bars seem to be')}; {cure}"]
