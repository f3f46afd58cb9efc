"""From cells of a file to numbers and instants, losing nothing: a cell that cannot be read becomes
null, and the caller can quote it.

Stamps that name their offset are instants as they stand. Stamps without one are wall-clock time in
the zone of the settings; an hour that occurs twice (autumn) is read as the first one here and
settled by `repeated_hour.py`, an hour that does not exist (spring) cannot be read. `03/04/2024` is
not guessed at, since half the world reads it as March; a column with `10/13/2022` in it can only
mean the month first, and is read so throughout, and a date that this order cannot read costs its
own row. Whole numbers are epochs, whose size tells seconds, milliseconds, microseconds or
nanoseconds, unless they are dates such as 20240131, 20240131093000 or 20240131093000000. An instant
before 1900, on 1970-01-01 (a zero that became a date) or after `latest` cannot be read, and neither
can an offset beyond 14 hours.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.frames import format_columns
from harmony_pipeline.market.sources.clock_numbers import with_clock_texts
from harmony_pipeline.schemas import TIME
from harmony_pipeline.text import CELL, CONTROL, LINE, excerpt

WALL = pl.Datetime("us")
# how vendors and pandas write "no value"
_ABSENT = ("", "nan", "null", "none", "na", "n/a", "nat", "<na>")
_OFFSET = r"(?i)\s*(?:UTC|GMT)?(Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)$"
# 2024-01-31 ends like an offset, so a clock must stand before it
CLOCK_AND_OFFSET = r"(?i):\d\d(?:\.\d+)?\s*(?:UTC|GMT)?(Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)$"
_WHOLE = r"^-?\d{9,20}(?:\.\d+)?$"  # an epoch, or a date written without separators
_COMPACT = r"^((?:19|20)\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])([01]\d|2[0-3])"
_COMPACT_FORMS = (  # digits, pattern, what it says with separators
    (10, _COMPACT + "$", "${1}-${2}-${3} ${4}:00:00"),
    (12, _COMPACT + r"([0-5]\d)$", "${1}-${2}-${3} ${4}:${5}:00"),
    (14, _COMPACT + r"([0-5]\d)([0-5]\d)$", "${1}-${2}-${3} ${4}:${5}:${6}"),
    (14, _COMPACT + r"([0-5]\d)([0-5]\d)\.(\d{1,6})$", "${1}-${2}-${3} ${4}:${5}:${6}.${7}"),
    (17, _COMPACT + r"([0-5]\d)([0-5]\d)(\d{3})$", "${1}-${2}-${3} ${4}:${5}:${6}.${7}"),
)
_FORMATS = (
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
    "%Y/%m/%d %H:%M:%S%.f",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
    "%Y.%m.%d %H:%M:%S%.f",
    "%Y.%m.%d %H:%M",
    "%Y.%m.%d",
    "%Y%m%d %H:%M:%S%.f",
    "%Y%m%d %H:%M",
    "%Y%m%d",
    "%d-%b-%Y %H:%M:%S",
    "%d-%b-%Y %H:%M",
    "%d-%b-%Y",
    "%d %b %Y",
    "%b %d, %Y",
    "%Y-%m-%d %I:%M:%S %p",
    "%Y-%m-%d %I:%M %p",
)
_MONTHS = 12
_CLOCK_BEHIND = r" \d{1,2}([:.h])\d\d(?:([:.m])\d\d)?( ?[AaPp][Mm])?$"
_SLASHED = r"^(\d{1,2})([/.-])(\d{1,2})[/.-](\d{4})\b"
_CLOCKS = ("", " %H:%M:%S%.f", " %H:%M", " %I:%M:%S %p", " %I:%M %p")
_CLEAR_MAJORITY = 20  # dates of one order for each one that contradicts it
_FIRST_YEAR, _LAST_YEAR = 1900, 2100
_EARLIEST, _LATEST = (
    datetime(_FIRST_YEAR, 1, 1, tzinfo=UTC),
    datetime(_LAST_YEAR + 1, 1, 1, tzinfo=UTC),
)
_ZERO_DAY, _ZERO_DAY_END = (
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(1970, 1, 1, 23, 59, 59, 999_999, tzinfo=UTC),
)
_FIRST_DAY, _LAST_DAY = -100_000, 100_000  # days from 1970: microseconds hold these in any zone
_MOST_OFFSET_MINUTES = 14 * 60
_SECONDS_BELOW, _MILLIS_BELOW, _MICROS_BELOW = 10**11, 10**14, 10**17


@dataclass(frozen=True)
class Stamps:
    """Timestamps as read, one element a row: `instant` is UTC, `written` the wall clock that stood
    in the cell (for an epoch: UTC).
    """

    instant: pl.Series
    written: pl.Series


def strip_names(cells: pl.Series) -> pl.Series:
    """Names without the blanks around them; only an empty cell is none, since NA and NAN are
    symbols of listed companies.
    """
    text = cells.cast(pl.String).str.strip_chars()
    return (
        text.to_frame("text")
        .select(pl.when(pl.col("text") != "").then("text"))["text"]
        .alias(cells.name)
    )


def strip_texts(text: pl.Series) -> pl.Series:
    """Text without surrounding blanks; the usual words for "no value" become null."""
    table = text.str.strip_chars().alias("text").to_frame()
    return table.select(pl.when(~pl.col("text").str.to_lowercase().is_in(_ABSENT)).then("text"))[
        "text"
    ]


def quote_column(name: str) -> pl.Expr:
    """The text of a column in quotes, for a sentence: its beginning, with `?` for control
    characters.
    """
    text = pl.col(name).cast(pl.String)
    head = text.str.slice(0, CELL).str.replace_all(CONTROL, "?")
    length = text.str.len_chars()
    shown = (
        pl.when(length > CELL)
        .then(format_columns("'{}... ({} characters)'", head, length))
        .otherwise(format_columns("'{}'", head))
    )
    return pl.when(text.is_null()).then(pl.lit("empty")).otherwise(shown)


def read_flags(cells: pl.Series) -> pl.Series:
    """Cells as Boolean; null where they say neither yes nor no."""
    if cells.dtype == pl.Boolean:
        return cells
    words = {
        "true": True,
        "t": True,
        "yes": True,
        "y": True,
        "1": True,
        "false": False,
        "f": False,
        "no": False,
        "n": False,
        "0": False,
    }
    return (
        strip_texts(cells.cast(pl.String))
        .str.to_lowercase()
        .replace_strict(words, default=None, return_dtype=pl.Boolean)
    )


def read_texts(cells: pl.Series) -> pl.Series:
    """Cells as text; a list of codes is written with commas between."""
    return strip_texts(
        cells.cast(pl.List(pl.String)).list.join(",")
        if isinstance(cells.dtype, pl.List)
        else cells.cast(pl.String)
    )


def read_stamps(
    cells: pl.Series, zone: str, pattern: str | None, latest: datetime | None = None
) -> Stamps:
    """Cells of any usual type as instants; null where unreadable or after `latest`. `zone` is a
    known one. Raises ConfigError when the pattern cannot be used.
    """
    latest = latest or _LATEST
    return _believable(_read_stamps(cells, zone, pattern, latest), latest)


def _read_stamps(cells: pl.Series, zone: str, pattern: str | None, latest: datetime) -> Stamps:
    if isinstance(cells.dtype, pl.Datetime | pl.Date):
        cells = drop_overflowing(cells)
    if isinstance(cells.dtype, pl.Datetime) and cells.dtype.time_zone is not None:
        instant = cells.dt.convert_time_zone("UTC").cast(TIME)
        return Stamps(instant, cells.dt.replace_time_zone(None).cast(WALL))
    if isinstance(cells.dtype, pl.Datetime | pl.Date):
        return _from_wall(cells.cast(WALL), zone)
    if cells.dtype.is_float() and (cells.cast(pl.Int64, strict=False) == cells).all():
        cells = cells.cast(pl.Int64, strict=False)
    text = strip_texts(cells.cast(pl.String, strict=False))
    return _from_pattern(text, zone, pattern) if pattern else _from_text(text, zone, latest)


def cell_texts(cells: pl.Series) -> pl.Series:
    """Cells as text that can be quoted; a typed time beyond all calendars as its number."""
    if not isinstance(cells.dtype, pl.Datetime | pl.Date):
        return cells.cast(pl.String, strict=False)
    table = pl.DataFrame(
        {
            "text": drop_overflowing(cells).cast(pl.String),
            "number": cells.to_physical().cast(pl.String),
        }
    )
    return table.select(pl.coalesce("text", "number")).to_series().alias(cells.name)


def drop_overflowing(cells: pl.Series) -> pl.Series:
    """Typed times without those that would overflow in microseconds, whatever their unit."""
    unit = cells.dtype.time_unit if isinstance(cells.dtype, pl.Datetime) else "d"
    each_day = {"d": 1, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}[
        unit or "us"
    ]
    number = cells.to_physical()
    first, last = _FIRST_DAY * each_day, (_LAST_DAY + 1) * each_day - 1
    if (number.min() or 0) >= first and (number.max() or 0) <= last:  # type: ignore[operator]
        return cells
    table = pl.DataFrame({"cell": cells, "number": number})
    return table.select(pl.when(pl.col("number").is_between(first, last)).then("cell"))[
        "cell"
    ].alias(cells.name)


def _believable(stamps: Stamps, latest: datetime) -> Stamps:
    """`stamps` without those at which nothing can have traded."""
    first, last = stamps.instant.min(), stamps.instant.max()
    if first is None or (first > _ZERO_DAY_END and last <= latest):  # type: ignore[operator]
        return stamps
    instant = pl.col("instant")
    outside = ~instant.is_between(_EARLIEST, latest) | instant.is_between(_ZERO_DAY, _ZERO_DAY_END)
    table = pl.DataFrame({"instant": stamps.instant, "written": stamps.written})
    kept = table.select(
        pl.when(~outside).then("instant").alias("instant"),
        pl.when(~outside).then("written").alias("written"),
    )
    return Stamps(kept["instant"], kept["written"])


def _from_text(text: pl.Series, zone: str, latest: datetime) -> Stamps:
    is_whole = text.str.contains(_WHOLE).fill_null(False)
    if not is_whole.any():
        return _from_words(text, zone)
    text = _with_separators(text, int(latest.timestamp()))
    is_epoch = text.str.contains(_WHOLE).fill_null(False)
    if is_epoch.all():
        return _from_epoch(text)
    named = _from_words(text.set(is_epoch, None) if is_epoch.any() else text, zone)
    if not is_epoch.any():
        return named
    epoch = _from_epoch(text.set(~is_epoch, None))
    return Stamps(
        _first_known(named.instant, epoch.instant), _first_known(named.written, epoch.written)
    )


def _with_separators(text: pl.Series, latest_epoch: int) -> pl.Series:
    """Dates written without separators get them; epochs stay.

    Ten digits are an epoch of seconds where that is no later than `latest_epoch`. Twelve digits may
    be milliseconds of 1976 too: what most such cells of the column are is what all are, so that an
    impossible date never passes for an epoch.
    """
    digits = text.str.extract(r"^(\d+)", 1).str.len_bytes().fill_null(0)
    for length, pattern, replacement in _COMPACT_FORMS:
        here = digits == length
        if not here.any():
            continue
        if length == 10:
            seconds = text.str.extract(r"^(\d{10})", 1).cast(pl.Int64, strict=False)
            here &= (seconds > latest_epoch).fill_null(False)
        fits = here & text.str.contains(pattern).fill_null(False)
        if length == 12:
            alike = here & text.str.contains("^(?:19|20)")
            is_date = int(fits.sum()) * 2 >= int(alike.sum())
            fits = fits if is_date else fits & False
            text = text.set(alike & ~fits, "no such date") if is_date else text
        if fits.any():
            table = pl.DataFrame({"text": text, "fits": fits})
            replaced = pl.when("fits").then(pl.col("text").str.replace(pattern, replacement))
            text = table.select(replaced.otherwise("text").alias("text"))["text"]
    return text


def _from_words(text: pl.Series, zone: str) -> Stamps:
    """Dates and times in words and figures, with or without an offset."""
    offset = text.str.extract(CLOCK_AND_OFFSET).str.to_uppercase()
    if offset.is_null().all():
        return _from_wall(_wall_clock(text), zone)
    table = pl.DataFrame({"text": text, "offset": offset})
    body = table.select(
        pl.when(pl.col("offset").is_not_null())
        .then(pl.col("text").str.replace(_OFFSET, ""))
        .otherwise("text")
    )["text"]
    wall = _wall_clock(body)
    minutes = offset.replace_strict(
        {found: _offset_minutes(found) for found in offset.unique().to_list() if found is not None},
        return_dtype=pl.Int64,
    )
    by_offset = (wall - minutes.cast(pl.Duration("us")) * 60_000_000).dt.replace_time_zone("UTC")
    by_zone = _from_wall(wall, zone).instant if offset.null_count() else by_offset
    chosen = pl.DataFrame(
        {"stated": offset.is_not_null(), "offset": by_offset, "zone": by_zone}
    ).select(pl.when("stated").then("offset").otherwise("zone"))
    return Stamps(chosen.to_series(), wall)


def _wall_clock(text: pl.Series) -> pl.Series:
    body = with_clock_texts(text.str.replace(r"(?i)(\d)T(\d)", "${1} ${2}"))
    wall = pl.Series("wall", [None], dtype=WALL).new_from_index(0, len(body))
    for pattern in _FORMATS:
        left = body if wall.null_count() == len(wall) else body.set(wall.is_not_null(), None)
        if left.null_count() == len(left):
            break
        wall = _first_known(wall, left.str.to_datetime(pattern, strict=False, time_unit="us"))
    return _plausible(_first_known(wall, _slashed(body.set(wall.is_not_null(), None))))


def _slashed(body: pl.Series) -> pl.Series:
    """`10/3/2022`, `3.10.2022` or `10-3-2022` in the one order of month and day that the column
    proves; null where it proves neither, or both.

    Proof is a date that only one order can read. Only where there is none, an impossible date such
    as 2/31/2024 tells the order it was written in.
    """
    matched = pl.col("text").str.contains(_SLASHED)
    text = body.to_frame("text").select(pl.when(matched).then("text"))["text"]
    unread = pl.Series("wall", [None], dtype=WALL).new_from_index(0, len(text))
    if text.null_count() == len(text):
        return unread
    parts = text.str.extract_groups(_SLASHED).struct.unnest()
    one, two = (parts[name].cast(pl.Int64) for name in parts.columns[0::2][:2])
    slashes = text.str.replace(_SLASHED, "${1}/${3}/${4}")
    month_first, day_first = (_in_order(slashes, date, unread) for date in ("%m/%d/%Y", "%d/%m/%Y"))
    if month_first.equals(day_first, null_equal=True):
        return month_first
    month_proofs = int((month_first.is_not_null() & (two > 12)).sum())
    day_proofs = int((day_first.is_not_null() & (one > 12)).sum())
    if not month_proofs and not day_proofs:
        month_proofs = int(((one <= 12) & two.is_between(13, 31)).sum())
        day_proofs = int(((two <= 12) & one.is_between(13, 31)).sum())
    if not month_proofs and (parts[parts.columns[1]] == ".").all():
        return day_first  # nobody writes the month first with full stops
    if month_proofs > _CLEAR_MAJORITY * day_proofs:
        return month_first
    return day_first if day_proofs > _CLEAR_MAJORITY * month_proofs else unread


def possible_orders(shown: str) -> tuple[str, ...]:
    """The formats of a date such as `3/4/2024` that may begin with its day or its month; nothing
    for another text.
    """
    found = re.match(_SLASHED, shown)
    if found is None or max(int(found[1]), int(found[3])) > _MONTHS:
        return ()
    mark = found[2]
    return f"%m{mark}%d{mark}%Y", f"%d{mark}%m{mark}%Y"


def short_year_formats(shown: str) -> tuple[str, ...]:
    """The formats of a date whose year has two digits, such as `3/31/24` or `31-Mar-24`; nothing
    for another text. Such a year is read only where a format says so.
    """
    if re.match(r"^\d{1,2}-[A-Za-z]{3}-\d\d\b", shown):
        return ("%d-%b-%y",)
    found = re.match(r"^(\d{1,2})([/.-])(\d{1,2})\2\d\d(?!\d)", shown)
    if found is None:
        return ()
    mark = found[2]
    forms = (f"%m{mark}%d{mark}%y", f"%d{mark}%m{mark}%y")
    if int(found[1]) > _MONTHS:
        return forms[1:]
    return forms[:1] if int(found[3]) > _MONTHS else forms


def clock_form(shown: str) -> str:
    """The format of what stands behind the date of a time such as `3/4/2024 14h30`; of an unusual
    one that of its colons.
    """
    found = re.search(_CLOCK_BEHIND, shown)
    if found is None:
        return ("", " %H:%M", " %H:%M:%S")[min(shown.count(":"), 2)]
    minutes, seconds, half = found[1], found[2], found[3]
    form = f" %{'I' if half else 'H'}{minutes}%M"
    form += f"{seconds}%S" if seconds else ""
    return form + half.replace(half.strip(), "%p") if half else form


def _in_order(text: pl.Series, date: str, unread: pl.Series) -> pl.Series:
    wall = unread
    for clock in _CLOCKS:
        wall = _first_known(wall, text.str.to_datetime(date + clock, strict=False, time_unit="us"))
    return wall


def _from_pattern(text: pl.Series, zone: str, pattern: str) -> Stamps:
    try:
        if "%z" in pattern or "%#z" in pattern or "%:z" in pattern:
            offset = text.str.extract(CLOCK_AND_OFFSET).str.to_uppercase()
            impossible = [
                found for found in offset.unique().drop_nulls() if _offset_minutes(found) is None
            ]
            text = text.set(offset.is_in(impossible).fill_null(False), None) if impossible else text
            instant = text.str.to_datetime(pattern, strict=False, time_unit="us", time_zone="UTC")
            return Stamps(instant, instant.dt.replace_time_zone(None))
        whole_day = not any(
            mark in pattern for mark in ("%H", "%I", "%k", "%l", "%T", "%R", "%s", "%c", "%X")
        )
        wall = (
            text.str.to_date(pattern, strict=False).cast(WALL)
            if whole_day
            else text.str.to_datetime(pattern, strict=False, time_unit="us")
        )
    except pl.exceptions.PolarsError as error:
        reason = excerpt((str(error).splitlines() or [""])[0].rstrip("."), LINE)
        raise ConfigError(
            f"market.files.timestamp_format is '{excerpt(pattern)}', which cannot be used"
            f" ({reason}): write it like %Y-%m-%d %H:%M:%S"
        ) from None
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
    instant = pl.DataFrame({"whole": whole, "fraction": fraction}).select(
        micros.cast(TIME).alias("instant")
    )["instant"]
    return Stamps(instant, instant.dt.replace_time_zone(None))


def _from_wall(wall: pl.Series, zone: str) -> Stamps:
    return Stamps(
        wall.dt.replace_time_zone(
            zone, ambiguous="earliest", non_existent="null"
        ).dt.convert_time_zone("UTC"),
        wall,
    )


def _plausible(wall: pl.Series) -> pl.Series:
    """A year such as 20 or 20240 comes from a misread format: better unreadable than wrong."""
    table = wall.alias("wall").to_frame()
    return table.select(
        pl.when(pl.col("wall").dt.year().is_between(_FIRST_YEAR, _LAST_YEAR)).then("wall")
    )["wall"]


def _first_known(one: pl.Series, other: pl.Series) -> pl.Series:
    return pl.DataFrame({"one": one, "other": other}).select(pl.coalesce("one", "other"))["one"]


def _offset_minutes(found: str) -> int | None:
    """Minutes east of UTC; None for an offset that no place on earth has."""
    if found in {"Z", "UTC", "GMT"}:
        return 0
    figures = found[1:].replace(":", "")
    hours, minutes = int(figures[:2]), int(figures[2:] or 0)
    total = hours * 60 + minutes
    if minutes >= 60 or total > _MOST_OFFSET_MINUTES:
        return None
    return -total if found[0] == "-" else total
