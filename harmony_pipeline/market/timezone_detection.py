"""Detection of a wrong time zone: another reading of a file's stamps fits regular hours better.

The result is only a hint for people. Nothing is moved. Extended hours hide such mistakes (New
York's 09:30 read as UTC is 05:30 there, a time at which stocks trade). So three things are measured
in every file that has bars outside regular hours: the share of its bars in regular hours, the share
of its volume there, and whether the first or the last regular hour is empty on every day.

A reading is a zone whose clock the stamps may show, or a shift by whole hours. The hint names
settings that make Harmony read the file so. If no setting does, there is no hint.
"""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from harmony_pipeline.arrays import BoolArray, ByteArray, FloatArray, IntArray
from harmony_pipeline.kernel import kernel
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.file_clock import file_clock
from harmony_pipeline.market.session_parts import REGULAR
from harmony_pipeline.market.session_position import NEAR_CLOSE, NEAR_OPEN, edges, sessions_of
from harmony_pipeline.market.source_settings import FileSourceSettings
from harmony_pipeline.market.text_columns import run_starts
from harmony_pipeline.market.timeframes import LONG_TIMEFRAMES
from harmony_pipeline.schemas import TIME

# fractions of an origin's bars, or volume, in regular hours
_SUSPICIOUS_BELOW, _CONVINCING, _MUCH_BETTER = 0.5, 0.9, 0.3
_FEWEST_ROWS, _SAMPLED_ROWS, _MOST_ORIGINS = 3, 200, 50
_PREVIEW_ROWS, _FEWEST_PREVIEWED = 20_000, 8
_BETTER_AT_AN_EDGE = 0.1
_ZONES = (  # clocks on which vendors and brokers write, tried after the exchange's own
    *(
        "UTC",
        "America/New_York",
        "America/Chicago",
        "Europe/London",
        "Europe/Berlin",
        "Europe/Athens",
    ),
    *("Asia/Kolkata", "Asia/Shanghai", "Asia/Tokyo", "Australia/Sydney"),
)
# those that a zone Etc/GMT stands for
_SHIFTS = sorted(range(-14, 13), key=lambda hours: (abs(hours), hours))


@dataclass(frozen=True)
class _Reading:
    """One meaning of the stamps: a wall clock in `written_in` with the time of `zone`, or instants
    `hours` late.
    """

    zone: str | None
    written_in: str
    hours: int = 0

    def instants(self) -> pl.Expr:
        """The stamps in this reading; null in an hour that does not exist."""
        if self.zone is None:
            return pl.col("timestamp") + timedelta(hours=self.hours)
        wall = pl.col("timestamp").dt.convert_time_zone(self.written_in).dt.replace_time_zone(None)
        return wall.dt.replace_time_zone(
            self.zone, ambiguous="earliest", non_existent="null"
        ).dt.convert_time_zone("UTC")


def zone_hints(
    rows: pl.DataFrame,
    part: ByteArray,
    calendar: Calendar,
    timeframe: str,
    files: FileSourceSettings | None = None,
) -> dict[str, str]:
    """By origin, the hint about a suspected time zone.

    `rows` has origin, timestamp and volume, sorted by symbol and time. `part` has the part of the
    day of each row. `files` has the settings with which it was read.
    """
    files = files or FileSourceSettings()
    # a clock that is ahead of a zone was named on purpose
    settled = bool(file_clock(files.timezone).ahead)
    if settled or timeframe in LONG_TIMEFRAMES or (part == REGULAR).all():
        return {}
    poor = _suspects(rows, part, calendar).head(_MOST_ORIGINS)
    if not poor.height:
        return {}
    sample = (
        rows.select(
            pl.col("origin").fill_null(""),
            "timestamp",
            pl.col("volume").fill_null(0.0).fill_nan(0.0),
        )
        .join(poor, on="origin", how="inner", maintain_order="left")
        .filter(
            pl.int_range(pl.len()).over("origin") % (pl.len().over("origin") // _SAMPLED_ROWS + 1)
            == 0
        )
    )
    readings = _readings(calendar, files)
    best = (
        _scores(sample, readings, calendar, timeframe)
        .sort(["origin", "score", "rank"], descending=[False, True, False])
        .unique("origin", keep="first", maintain_order=True)
    )
    at_edge = pl.col("now") >= _SUSPICIOUS_BELOW
    better = pl.col("now") + pl.when(at_edge).then(_BETTER_AT_AN_EDGE).otherwise(_MUCH_BETTER)
    convincing = best.filter(
        (pl.col("score") >= _CONVINCING)
        & (pl.col("score") >= better)
        & (pl.col("covers") | ~at_edge)
    )
    return {
        row["origin"]: _sentence(row, readings[row["rank"]], calendar, files)
        for row in convincing.to_dicts()
    }


def _suspects(rows: pl.DataFrame, part: ByteArray, calendar: Calendar) -> pl.DataFrame:
    """Origins with a suspicious share: origin, now (the share in regular hours), by (rows or
    volume; rows first).

    All rows are counted. Volume is summed over a regular sample of rows, since a mistake shows in
    any.
    """
    origin = rows["origin"] if not rows["origin"].null_count() else rows["origin"].fill_null("")
    starts = run_starts(origin)  # a file's rows mostly lie together, so that runs are few
    runs = pl.DataFrame({"origin": origin.gather(starts[:-1])}).with_columns(
        number=pl.col("origin").rank("dense") - 1
    )
    number = runs["number"].to_numpy().astype(np.int64)
    counted = np.bincount(number, np.diff(starts))
    regular = np.bincount(number, _count_in_runs(starts, part, REGULAR)) / counted
    by_rows = (regular < _SUSPICIOUS_BELOW) & (counted >= _FEWEST_ROWS)
    volume = _volume_shares(rows, part, calendar, number, starts, counted.size)
    by_volume = (volume.odd) & ~by_rows
    names = runs.unique("number").sort("number")["origin"]
    found = pl.DataFrame(
        {
            "origin": names,
            "now": np.where(by_rows, regular, volume.regular),
            "by": np.where(by_rows, "rows", "volume"),
        }
    )
    return found.filter(pl.Series(by_rows | by_volume))


@dataclass(frozen=True)
class _Shares:
    """By origin: the share of the volume in regular hours, and whether it is suspicious.

    It is suspicious if it is small, or if the first or the last regular hour has no volume.
    """

    regular: FloatArray
    odd: BoolArray


def _volume_shares(
    rows: pl.DataFrame,
    part: ByteArray,
    calendar: Calendar,
    number: IntArray,
    starts: IntArray,
    origins: int,
) -> _Shares:
    step = max(1, rows.height // _PREVIEW_ROWS)
    places = np.arange(0, rows.height, step)
    mine = number[np.searchsorted(starts, places, side="right") - 1]
    volume = np.nan_to_num(
        rows["volume"].gather_every(step).to_numpy(), nan=0.0, posinf=0.0, neginf=0.0
    )
    edge = edges(
        sessions_of(calendar), rows["timestamp"].gather_every(step).to_physical().to_numpy()
    )
    whole, regular = (
        np.bincount(mine, volume, origins),
        np.bincount(mine, volume * (part[::step] == REGULAR), origins),
    )
    share = np.divide(regular, whole, out=np.full(origins, np.nan), where=whole > 0.0)
    covers = (np.bincount(mine, edge == NEAR_OPEN, origins) > 0) & (
        np.bincount(mine, edge == NEAR_CLOSE, origins) > 0
    )
    odd = (share < _SUSPICIOUS_BELOW) | ((share <= _CONVINCING) & ~covers)
    return _Shares(share, odd & (np.bincount(mine, minlength=origins) >= _FEWEST_PREVIEWED))


def _session_edges(stamps: pl.Series, calendar: Calendar) -> pl.Series:
    """Which edge of the regular session each instant is near: NEAR_OPEN, NEAR_CLOSE, 0
    for neither.
    """
    return pl.Series(
        "edge", edges(sessions_of(calendar), stamps.cast(TIME).to_physical().to_numpy())
    )


def _has_both_edges() -> pl.Expr:
    """Whether there are rows near both edges."""
    return ((pl.col("edge") == NEAR_OPEN).any() & (pl.col("edge") == NEAR_CLOSE).any()).alias(
        "covers"
    )


def _readings(calendar: Calendar, files: FileSourceSettings) -> list[_Reading]:
    """Possible readings: first in the zone in which the stamps were read, then in UTC if they may
    have named a zone.
    """
    zones = dict.fromkeys((calendar.zone, *_ZONES))
    read_in = dict.fromkeys((files.timezone, *(() if files.wall_clock else ("UTC",))))
    named = [
        _Reading(zone, written_in) for written_in in read_in for zone in zones if zone != written_in
    ]
    # Whole hours are a zone of their own only where the clock that was read is UTC.
    return named + (
        [_Reading(None, "UTC", hours) for hours in _SHIFTS] if files.timezone == "UTC" else []
    )


def _scores(
    sample: pl.DataFrame, readings: list[_Reading], calendar: Calendar, timeframe: str
) -> pl.DataFrame:
    """The fraction of each origin's bars, or volume, in regular hours under each reading; `rank` is
    the reading's place in the list. All readings of the sample are placed at once.
    """
    stamps = sample.select(
        reading.instants().alias(str(rank)) for rank, reading in enumerate(readings)
    )
    ranks = np.repeat(np.arange(len(readings), dtype=np.int32), sample.height)
    moved = (
        pl.concat([sample] * len(readings), rechunk=True)
        .with_columns(
            pl.concat(stamps.get_columns(), rechunk=True).alias("timestamp"),
            pl.Series("rank", ranks),
        )
        .drop_nulls("timestamp")
    )
    placed = calendar.with_session(moved, timeframe)
    regular = (pl.col("session") == "regular").fill_null(False)
    weight = pl.when(pl.col("by") == "volume").then("volume").otherwise(1.0)
    share = (regular * weight).sum() / weight.sum()
    placed = placed.with_columns(_session_edges(placed["timestamp"], calendar))
    return placed.group_by("rank", "origin", maintain_order=True).agg(
        pl.col("now", "by").first(), share.fill_nan(0.0).alias("score"), _has_both_edges()
    )


def _sentence(
    row: dict[str, object], reading: _Reading, calendar: Calendar, files: FileSourceSettings
) -> str:
    what, lies, they = ("rows", "lie", "they") if row["by"] == "rows" else ("volume", "lies", "it")
    seen = (
        f"only {row['now']:.0%} of the {what} of {row['origin'] or 'this source'} {lies} in regular"
        " hours"
    )
    zone = reading.zone or f"Etc/GMT{reading.hours:+d}"
    found = f"read as {zone} time" if reading.zone else f"shifted by {reading.hours:+d} hours"
    if files.wall_clock or (reading.written_in == files.timezone != "UTC"):
        cure = f'set market.files.timezone = "{zone}"'
    elif zone == files.timezone:
        cure = (
            f"set market.files.wall_clock = true, since the stamps name another zone than {zone}"
            " themselves"
        )
    else:
        cure = (
            f'set market.files.timezone = "{zone}" (and market.files.wall_clock = true where the'
            " stamps name a zone themselves)"
        )
    return f"{seen}; {found} {row['score']:.0%} would: if {they} should, {cure}"


@kernel
def _count_in_runs(starts: IntArray, numbers: ByteArray, wanted: int) -> IntArray:
    """The number of times that `wanted` occurs in each run."""
    counts = np.zeros(starts.size - 1, np.int64)
    for run in range(counts.size):
        for row in range(starts[run], starts[run + 1]):
            counts[run] += numbers[row] == wanted
    return counts
