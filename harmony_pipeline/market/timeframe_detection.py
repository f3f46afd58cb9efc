"""The length of bars, by their spacing: a guess where nothing is said, and whether they have the
length that the settings say.

A guess (`guess_timeframe`) forgives a few strays, since a person corrects it. A contradiction
(`other_timeframe`) refuses a file, so it must be certain.

Finer: most steps from one stamp of a symbol to its next are clearly shorter than a bar. Coarser: no
step is shorter than a longer bar, and every stamp lies on that bar's grid. There must be so many
stamps that a thin stock, which trades once an hour at any minute, would do it less than once in a
thousand times. Daily bars have one row a date at the same one or two times of day, weekly bars one
row a week. Bars of a month or longer have no size here, and are refused whatever is said.

Rows of all symbols of a file are examined together. A sample is enough, since a file has one size.
"""

from dataclasses import dataclass

import polars as pl

from harmony_pipeline.errors import DataError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.timeframes import LONG_TIMEFRAMES, TIMEFRAME_SECONDS

SAMPLE_ROWS = 20_000
_CLEARLY = 0.75  # of a bar's length: weeks lose a day to a holiday, days an hour to the clock
_MOST, _REPEATED = 0.5, 1.5
_FEW_STEPS, _FAR_SHORTER = 3, 0.25
_CHANCE = 1e-3
_DAY = 86_400.0
_DAYS_APART, _WEEK_APART = 0.8 * _DAY, 3.5 * _DAY
_USUALLY_DAYS_APART, _MULTIPLES = 72_000.0, 0.95
_FEWEST_DAYS, _FEWEST_WEEKS, _TIMES_OF_DAY = 3, 4, 2
MONTHS = "months"
"""Bars of a month, a quarter or a year, which Harmony lacks."""
_LONGER_THAN_WEEKS = 10 * _DAY
_MONTH_DAYS = ((25, 36), (84, 98), (358, 374))  # first or last business days included
_FEWEST_MONTHS, _REGULAR = 4, 0.9
_WORDS = {"1Day": "daily bars", "1Week": "weekly bars", "1Hour": "hourly bars"}


@dataclass(frozen=True)
class Spacing:
    """Steps between neighbouring stamps of a symbol, in seconds, and the stamps themselves."""

    steps: pl.Series
    stamps: pl.Series

    @staticmethod
    def of(stamps: pl.Series, groups: pl.Series) -> "Spacing":
        """The spacing of rows in any order."""
        given = pl.DataFrame({"at": stamps, "group": groups}).drop_nulls("at")
        rows = given.unique().sort("group", "at")
        # several rows a stamp: its other half was not read
        if given.height > _REPEATED * rows.height:
            rows = rows.clear()
        step = (
            (pl.col("at") - pl.col("at").shift().over("group")).dt.total_seconds().cast(pl.Float64)
        )
        return Spacing(rows.select(step.alias("step"))["step"].drop_nulls(), rows["at"])


def guess_timeframe(spacing: Spacing, reasons: list[str]) -> str:
    """The longest bar size that (almost) all steps are multiples of; an assumption is added to
    `reasons`.

    Raises DataError when the bars have a length that Harmony lacks.
    """
    steps = spacing.steps
    if steps.is_empty():
        reasons.append(
            "one bar a symbol says nothing of its size: taken for daily bars; name another size"
            " with --timeframe, such as 1Hour"
        )
        return "1Day"
    usual = steps.mode().min()
    assert isinstance(usual, float)
    if usual >= _USUALLY_DAYS_APART:
        apart = float(steps.median() or 0.0)  # type: ignore[arg-type]
        if apart > _LONGER_THAN_WEEKS:
            raise DataError(_too_long(apart))
        return "1Week" if apart >= 5 * _DAY else "1Day"
    shorter = sorted(
        (seconds, name) for name, seconds in TIMEFRAME_SECONDS.items() if seconds < _DAY
    )
    fitting = [
        (seconds, name)
        for seconds, name in shorter
        if float((steps % seconds == 0).mean() or 0.0) >= _MULTIPLES  # type: ignore[arg-type]
    ]
    if not fitting or not (steps == fitting[-1][0]).any():
        raise DataError(_too_long(usual))
    return fitting[-1][1]


def _too_long(apart: float) -> str:
    """What to say of bars of a length that Harmony lacks."""
    longer = apart > _LONGER_THAN_WEEKS
    cure = "fetch bars of one of these" if longer else "resample them to one of these first"
    return (
        f"the bars are mostly {_length(apart)} apart, and Harmony knows"
        f" {', '.join(TIMEFRAME_SECONDS)}: {cure}"
    )


def other_timeframe(spacing: Spacing, calendar: Calendar, timeframe: str) -> str | None:
    """The true size of the bars, MONTHS for those of a month, a quarter or a year; None if nothing
    contradicts `timeframe`.
    """
    if not len(spacing.steps):
        return None
    if _are_months(spacing):
        return MONTHS
    return _finer(spacing, timeframe) or _coarser(spacing, calendar, timeframe)


def refusal_message(origin: str, rows: int, found: str, timeframe: str) -> str:
    """The message for a file with bars of another size."""
    if found == MONTHS:
        return (
            f"{origin} holds bars of a month or longer ({rows} rows were looked at), and Harmony"
            f" knows {', '.join(TIMEFRAME_SECONDS)}: fetch bars of one of these, or take the file"
            " out"
        )
    words = _WORDS.get(found, f"bars of {_length(TIMEFRAME_SECONDS[found])}")
    return (
        f"{origin} holds {words} ({found}; {rows} rows were looked at), and market.timeframe is "
        f'"{timeframe}": set [market] timeframe = "{found}", or take the file out'
    )


def _length(seconds: float) -> str:
    if seconds > _LONGER_THAN_WEEKS:
        return f"{seconds / _DAY:.0f} days"
    return f"{seconds / 60:g} minutes" if seconds >= 60 else f"{seconds:g} seconds"


def _finer(spacing: Spacing, timeframe: str) -> str | None:
    length = TIMEFRAME_SECONDS[timeframe]
    shorter = spacing.steps < _CLEARLY * length
    usual = spacing.steps.filter(shorter).median()
    if not isinstance(usual, float) or float(shorter.mean() or 0.0) <= _MOST:  # type: ignore[arg-type]
        return None
    if len(spacing.steps) < _FEW_STEPS and usual > _FAR_SHORTER * length:
        return None
    known = [name for name, seconds in TIMEFRAME_SECONDS.items() if seconds <= usual < length]
    long = _WEEK_APART > usual >= _DAYS_APART and timeframe == "1Week"
    return "1Day" if long else (known[-1] if known else None)


def _coarser(spacing: Spacing, calendar: Calendar, timeframe: str) -> str | None:
    least = float(spacing.steps.min() or 0.0)  # type: ignore[arg-type]
    if timeframe != "1Week" and least >= _WEEK_APART and _are_weeks(spacing, calendar):
        return "1Week"
    if timeframe in LONG_TIMEFRAMES:
        return None
    if least >= _DAYS_APART and _are_days(spacing, calendar):
        return "1Day"
    longer = [name for name, seconds in TIMEFRAME_SECONDS.items() if seconds < _DAY]
    for name in reversed(longer):
        length, own = TIMEFRAME_SECONDS[name], TIMEFRAME_SECONDS[timeframe]
        if length <= own or least < length:
            continue
        if (own / length) ** (spacing.stamps.n_unique() - 1) < _CHANCE and _share_a_grid(
            spacing.stamps, calendar, length
        ):
            return name
    return None


def _are_days(spacing: Spacing, calendar: Calendar) -> bool:
    """Whether there is one row a date, always at the same time of day on the exchange's clock or in
    UTC.
    """
    times = [_times_of_day(spacing.stamps, zone) for zone in (calendar.zone, "UTC")]
    if min(times) > _TIMES_OF_DAY:
        return False
    return spacing.stamps.n_unique() >= _FEWEST_DAYS


def _are_weeks(spacing: Spacing, calendar: Calendar) -> bool:
    """Whether rows have one time of day, on one weekday except for holidays."""
    local = spacing.stamps.dt.convert_time_zone(calendar.zone)
    if min(_times_of_day(spacing.stamps, zone) for zone in (calendar.zone, "UTC")) > _TIMES_OF_DAY:
        return False
    usual = local.dt.weekday().value_counts()["count"].max()
    often = isinstance(usual, int) and usual >= 0.75 * len(local)
    return often and spacing.stamps.n_unique() >= _FEWEST_WEEKS


def _are_months(spacing: Spacing) -> bool:
    """Whether rows are a month, a quarter or a year apart: all but some are, and none is closer
    than a month. A thin stock's trades are not so regular.
    """
    days = spacing.steps / _DAY
    if len(days) < _FEWEST_MONTHS or float(days.min() or 0.0) < _MONTH_DAYS[0][0]:  # type: ignore[arg-type]
        return False
    regular = (float(days.is_between(*each).mean() or 0.0) for each in _MONTH_DAYS)  # type: ignore[arg-type]
    return max(regular) >= _REGULAR


def _times_of_day(stamps: pl.Series, zone: str) -> int:
    return stamps.dt.convert_time_zone(zone).dt.time().n_unique()


def _share_a_grid(stamps: pl.Series, calendar: Calendar, length: int) -> bool:
    """Whether all stamps lie on one grid of this length: the clock's, shifted or not, or the
    session's.
    """
    micros = length * 1_000_000
    wall = stamps.dt.convert_time_zone(calendar.zone).dt.replace_time_zone(None).dt.epoch("us")
    if (wall % micros).n_unique() == 1:
        return True
    parts = calendar.parts(stamps)
    since = (stamps - parts["stretch_start"]).dt.total_microseconds().drop_nulls()
    return bool(len(since)) and (since % micros).n_unique() == 1
