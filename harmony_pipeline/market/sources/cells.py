"""From cells of a file to numbers and instants, losing nothing: a cell that cannot be read becomes null, and the caller can quote it.

Stamps that name their offset are instants as they stand. Stamps without one are wall-clock time in the zone of the settings; an hour
that occurs twice (autumn) is taken as the first one, an hour that does not exist (spring) cannot be read. `03/04/2024` is not
guessed at, since half the world reads it as March; a column with `10/13/2022` in it can only mean the month first, and is read so throughout. Whole numbers are epochs, whose size tells seconds, milliseconds, microseconds or
nanoseconds, unless they are dates such as 20240131 or 20240131093000.
"""

from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.schemas import TIME

WALL = pl.Datetime("us")
_ABSENT = ("", "nan", "null", "none", "na", "n/a", "nat", "<na>")  # how vendors and pandas write "no value"
_OFFSET = r"(?i)\s*(Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)$"
_CLOCK_AND_OFFSET = r"(?i):\d\d(?:\.\d+)?\s*(Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)$"  # 2024-01-31 ends like an offset, so a clock must stand before it
_COMPACT = r"^((?:19|20)\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])([01]\d|2[0-3])([0-5]\d)([0-5]\d)?$"
_EPOCH = r"^-?\d{9,20}(?:\.\d+)?$"
_FORMATS = (
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
    "%Y/%m/%d %H:%M:%S%.f",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
    "%Y%m%d %H:%M:%S%.f",
    "%Y%m%d %H:%M",
    "%Y%m%d %H%M%S",
    "%Y%m%d %H%M",
    "%Y%m%d",
    "%d-%b-%Y %H:%M:%S",
    "%d-%b-%Y",
)
_SLASHED = r"^\d{1,2}/\d{1,2}/\d{4}\b"
_CLOCKS = ("", " %H:%M:%S%.f", " %H:%M")
_FIRST_YEAR, _LAST_YEAR = 1900, 2100
_SECONDS_BELOW, _MILLIS_BELOW, _MICROS_BELOW = 10**11, 10**14, 10**17


@dataclass(frozen=True)
class Stamps:
    """Timestamps as read, one element a row: `instant` is UTC, `written` the wall clock that stood in the cell (for an epoch: UTC)."""

    instant: pl.Series
    written: pl.Series

    def session_midnight(self, exchange_zone: str) -> pl.Series:
        """Daily bars: midnight UTC of the session date, whatever hour the vendor stamps them with.

        A stamp at midnight UTC, or written as midnight, means the date that it shows; any other is an instant whose date on the
        exchange's clock counts (05:00Z is midnight in New York).
        """
        instant, written = pl.col("instant"), pl.col("written")
        day = (
            pl.when(instant.dt.time() == pl.time(0))
            .then(instant.dt.date())
            .when(written.dt.time() == pl.time(0))
            .then(written.dt.date())
            .otherwise(instant.dt.convert_time_zone(exchange_zone).dt.date())
        )
        table = pl.DataFrame({"instant": self.instant, "written": self.written})
        return table.select(pl.when(instant.is_not_null()).then(day.cast(WALL).dt.replace_time_zone("UTC")).alias("instant"))["instant"]


def named(cells: pl.Series) -> pl.Series:
    """Names without the blanks around them; only an empty cell is none, since NA and NAN are symbols of listed companies."""
    text = cells.cast(pl.String).str.strip_chars()
    return text.to_frame("text").select(pl.when(pl.col("text") != "").then("text"))["text"].alias(cells.name)


def stripped(text: pl.Series) -> pl.Series:
    """Text without surrounding blanks; the usual words for "no value" become null."""
    table = text.str.strip_chars().alias("text").to_frame()
    return table.select(pl.when(~pl.col("text").str.to_lowercase().is_in(_ABSENT)).then("text"))["text"]


def read_numbers(cells: pl.Series) -> pl.Series:
    """Cells as Float64; null where there is no value, where it is no number, and where it is not finite."""
    text = stripped(cells) if cells.dtype == pl.String else cells
    table = text.cast(pl.Float64, strict=False).alias("value").to_frame()
    return table.select(pl.when(pl.col("value").is_finite()).then("value"))["value"]


def read_flags(cells: pl.Series) -> pl.Series:
    """Cells as Boolean; null where they say neither yes nor no."""
    if cells.dtype == pl.Boolean:
        return cells
    words = {"true": True, "t": True, "yes": True, "y": True, "1": True, "false": False, "f": False, "no": False, "n": False, "0": False}
    return stripped(cells.cast(pl.String)).str.to_lowercase().replace_strict(words, default=None, return_dtype=pl.Boolean)


def read_texts(cells: pl.Series) -> pl.Series:
    """Cells as text; a list of codes is written with commas between."""
    return stripped(cells.cast(pl.List(pl.String)).list.join(",") if isinstance(cells.dtype, pl.List) else cells.cast(pl.String))


def read_stamps(cells: pl.Series, zone: str, pattern: str | None) -> Stamps:
    """Cells of any usual type as instants; null where unreadable. Raises ConfigError when the zone or the pattern cannot be used."""
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise ConfigError(f"market.files.timezone is '{zone}', which is no time zone: write it like America/New_York or UTC") from None
    if isinstance(cells.dtype, pl.Datetime) and cells.dtype.time_zone is not None:
        instant = cells.dt.convert_time_zone("UTC").cast(TIME)
        return Stamps(instant, cells.dt.replace_time_zone(None).cast(WALL))
    if isinstance(cells.dtype, pl.Datetime | pl.Date):
        return _from_wall(cells.cast(WALL), zone)
    if cells.dtype.is_float() and (cells.cast(pl.Int64, strict=False) == cells).all():
        cells = cells.cast(pl.Int64, strict=False)
    text = stripped(cells.cast(pl.String))
    return _from_pattern(text, zone, pattern) if pattern else _from_text(text, zone)


def _from_text(text: pl.Series, zone: str) -> Stamps:
    text = text.str.replace(_COMPACT, "${1}-${2}-${3} ${4}:${5}:${6}").str.strip_chars_end(":")
    is_epoch = text.str.contains(_EPOCH).fill_null(False)
    if is_epoch.all() and len(text):
        return _from_epoch(text)
    named = _from_named(text.set(is_epoch, None) if is_epoch.any() else text, zone)
    if not is_epoch.any():
        return named
    epoch = _from_epoch(text.set(~is_epoch, None))
    return Stamps(_first_known(named.instant, epoch.instant), _first_known(named.written, epoch.written))


def _from_named(text: pl.Series, zone: str) -> Stamps:
    """Dates and times in words and figures, with or without an offset."""
    offset = text.str.extract(_CLOCK_AND_OFFSET).str.to_uppercase()
    if offset.is_null().all():
        return _from_wall(_wall_clock(text), zone)
    table = pl.DataFrame({"text": text, "offset": offset})
    body = table.select(pl.when(pl.col("offset").is_not_null()).then(pl.col("text").str.replace(_OFFSET, "")).otherwise("text"))["text"]
    wall = _wall_clock(body)
    minutes = offset.replace_strict({found: _offset_minutes(found) for found in offset.unique().to_list() if found is not None}, return_dtype=pl.Int64)
    by_offset = (wall - minutes.cast(pl.Duration("us")) * 60_000_000).dt.replace_time_zone("UTC")
    by_zone = _from_wall(wall, zone).instant if offset.null_count() else by_offset
    chosen = pl.DataFrame({"known": minutes.is_not_null(), "offset": by_offset, "zone": by_zone}).select(pl.when("known").then("offset").otherwise("zone"))
    return Stamps(chosen.to_series(), wall)


def _wall_clock(text: pl.Series) -> pl.Series:
    body = text.str.replace(r"(?i)(\d)T(\d)", "${1} ${2}")
    wall = pl.Series("wall", [None], dtype=WALL).new_from_index(0, len(body))
    for pattern in _FORMATS:
        left = body if wall.null_count() == len(wall) else body.set(wall.is_not_null(), None)
        if left.null_count() == len(left):
            break
        wall = _first_known(wall, left.str.to_datetime(pattern, strict=False, time_unit="us"))
    return _plausible(_first_known(wall, _slashed(body.set(wall.is_not_null(), None))))


def _slashed(body: pl.Series) -> pl.Series:
    """`10/3/2022`, in whichever order of month and day reads every such cell; null where both orders do, or neither."""
    text = body.to_frame("text").select(pl.when(pl.col("text").str.contains(_SLASHED)).then("text"))["text"]
    unread = pl.Series("wall", [None], dtype=WALL).new_from_index(0, len(text))
    if text.null_count() == len(text):
        return unread
    found = []
    for date in ("%m/%d/%Y", "%d/%m/%Y"):
        wall = unread
        for clock in _CLOCKS:
            wall = _first_known(wall, text.str.to_datetime(date + clock, strict=False, time_unit="us"))
        if wall.null_count() == text.null_count():
            found.append(wall)
    return found[0] if len(found) == 1 else unread


def _from_pattern(text: pl.Series, zone: str, pattern: str) -> Stamps:
    try:
        if "%z" in pattern or "%#z" in pattern or "%:z" in pattern:
            instant = text.str.to_datetime(pattern, strict=False, time_unit="us", time_zone="UTC")
            return Stamps(instant, instant.dt.replace_time_zone(None))
        whole_day = not any(mark in pattern for mark in ("%H", "%I", "%k", "%l", "%T", "%R", "%s", "%c", "%X"))
        wall = text.str.to_date(pattern, strict=False).cast(WALL) if whole_day else text.str.to_datetime(pattern, strict=False, time_unit="us")
    except pl.exceptions.PolarsError as error:
        raise ConfigError(f"market.files.timestamp_format is '{pattern}', which cannot be used ({error}): write it like %Y-%m-%d %H:%M:%S") from None
    return _from_wall(_plausible(wall), zone)


def _from_epoch(text: pl.Series) -> Stamps:
    whole = text.str.extract(r"^(-?\d+)", 1).cast(pl.Int64, strict=False)
    fraction = text.str.extract(r"(\.\d+)$", 1).cast(pl.Float64, strict=False).fill_null(0.0)
    size = pl.col("whole").abs()
    micros = (
        pl.when(size < _SECONDS_BELOW)
        .then(pl.col("whole") * 1_000_000 + (pl.col("fraction") * 1e6).round().cast(pl.Int64))
        .when(size < _MILLIS_BELOW)
        .then(pl.col("whole") * 1_000 + (pl.col("fraction") * 1e3).round().cast(pl.Int64))
        .when(size < _MICROS_BELOW)
        .then(pl.col("whole"))
        .otherwise(pl.col("whole") // 1_000)
    )
    instant = pl.DataFrame({"whole": whole, "fraction": fraction}).select(micros.cast(TIME).alias("instant"))["instant"]
    return Stamps(instant, instant.dt.replace_time_zone(None))


def _from_wall(wall: pl.Series, zone: str) -> Stamps:
    return Stamps(wall.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").dt.convert_time_zone("UTC"), wall)


def _plausible(wall: pl.Series) -> pl.Series:
    """A year such as 20 or 20240 comes from a misread format: better unreadable than wrong."""
    table = wall.alias("wall").to_frame()
    return table.select(pl.when(pl.col("wall").dt.year().is_between(_FIRST_YEAR, _LAST_YEAR)).then("wall"))["wall"]


def _first_known(one: pl.Series, other: pl.Series) -> pl.Series:
    return pl.DataFrame({"one": one, "other": other}).select(pl.coalesce("one", "other"))["one"]


def _offset_minutes(found: str) -> int:
    if found in {"Z", "UTC", "GMT"}:
        return 0
    figures = found[1:].replace(":", "")
    minutes = int(figures[:2]) * 60 + int(figures[2:] or 0)
    return -minutes if found[0] == "-" else minutes
