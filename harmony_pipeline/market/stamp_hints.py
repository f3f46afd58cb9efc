"""Does a file tell its time in the wrong zone? The shift that would put its bars into regular hours says so.

Only a hint for people: nothing is moved. Extended hours hide such mistakes (New York's 09:30 read as UTC is 05:30 there, a time at which
stocks do trade), so every origin with few regular bars is looked at, not only those with bars outside the session.
"""

from datetime import timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.rules.placing import REGULAR
from harmony_pipeline.market.rules.runs import count_in_runs, run_starts

_SUSPICIOUS_BELOW, _CONVINCING, _MUCH_BETTER = 0.5, 0.9, 0.3  # fractions of an origin's bars in regular hours
_FEWEST_ROWS, _SAMPLED_ROWS, _MOST_ORIGINS = 3, 200, 50
_SHIFTS = sorted(range(-14, 15), key=lambda hours: (abs(hours), hours))


def zone_hints(rows: pl.DataFrame, part: npt.NDArray[np.uint8], calendar: Calendar, timeframe: str) -> dict[str, str]:
    """By origin, what to say of a suspected time zone. `rows` has origin and timestamp, sorted by symbol and time; `part` says where each row stands."""
    if timeframe == "1Day" or (part == REGULAR).all():
        return {}
    origin = rows["origin"] if not rows["origin"].null_count() else rows["origin"].fill_null("")
    starts = run_starts(origin)  # a file's rows mostly lie together, so that runs are few
    runs = pl.DataFrame({"origin": origin.gather(starts[:-1]), "rows": np.diff(starts), "regular": count_in_runs(starts, part, REGULAR)})
    origins = runs.group_by("origin").agg(pl.col("rows").sum(), now=pl.col("regular").sum() / pl.col("rows").sum())
    poor = origins.filter((pl.col("now") < _SUSPICIOUS_BELOW) & (pl.col("rows") >= _FEWEST_ROWS)).sort("origin").head(_MOST_ORIGINS)
    if not poor.height:
        return {}
    sample = (
        rows.select(pl.col("origin").fill_null(""), "timestamp")
        .join(poor, on="origin", how="inner", maintain_order="left")
        .filter(pl.int_range(pl.len()).over("origin") % (pl.col("rows") // _SAMPLED_ROWS + 1) == 0)
    )
    as_wall = pl.col("timestamp").dt.replace_time_zone(None).dt.replace_time_zone(calendar.zone, ambiguous="earliest", non_existent="null")
    scores = [_score(sample.with_columns(as_wall.dt.convert_time_zone("UTC").alias("timestamp")).drop_nulls("timestamp"), calendar, timeframe, None)]
    scores += [_score(sample.with_columns(pl.col("timestamp") + timedelta(hours=hours)), calendar, timeframe, hours) for hours in _SHIFTS]
    best = (
        pl.concat(scores)
        .with_row_index("rank")
        .sort(["origin", "score", "rank"], descending=[False, True, False])
        .unique("origin", keep="first", maintain_order=True)
    )
    convincing = best.filter((pl.col("score") >= _CONVINCING) & (pl.col("score") >= pl.col("now") + _MUCH_BETTER))
    return {row["origin"]: _sentence(row["origin"], row["now"], row["score"], row["hours"], calendar.zone) for row in convincing.to_dicts()}


def _score(sample: pl.DataFrame, calendar: Calendar, timeframe: str, hours: int | None) -> pl.DataFrame:
    """Fraction of each origin's sample in regular hours; `hours` None stands for reading the stamps on the exchange's clock."""
    placed = calendar.with_session(sample, timeframe)
    regular = (pl.col("session") == "regular").fill_null(False)
    return placed.group_by("origin", maintain_order=True).agg(pl.col("now").first(), regular.mean().alias("score"), pl.lit(hours, pl.Int64).alias("hours"))


def _sentence(origin: str, now: float, score: float, hours: int | None, zone: str) -> str:
    if hours is None:
        found, cure = f"read as {zone} time {score:.0%} would", f'set market.files.timezone = "{zone}"'
    else:
        found, cure = f"shifted by {hours:+d} hours {score:.0%} would", "set market.files.timezone to the zone that the file was written in"
    return f"only {now:.0%} of the rows of {origin or 'this source'} lie in regular hours; {found}: if they should, {cure}"
