"""Wall-clock stamps in the hour that a change of clocks repeats, told first pass from second.

Only the order of the rows can tell. Within the rows of one symbol, as they stand in the file:

- time that runs back once (01:59, then 01:00) ends the first pass and begins the second;
- without such a step, a run that follows on the row before it is the first pass, one that the row
  after it follows on is the second;
- in a file sorted by the wall clock each stamp stands there twice: first pass, second pass.

In all other cases nobody can know, and the rows are left unread with a reason. A file that runs
from new to old is read backwards. Values are never looked at.
"""

import polars as pl

_LATE, _EARLY = 23, 4  # no zone repeats or skips an hour outside 23:00 to 04:00
_GONE = "there is no such hour in {}, where clocks went forward; correct it, or write its offset"
_TWICE = (
    "this time came twice in {}, where clocks went back, and the rows around it do not tell which"
    " it is; write its offset, or write the file in UTC"
)


def settle_clock_changes(
    written: pl.Series, instant: pl.Series, local: pl.Series, zone: str, groups: pl.Series
) -> tuple[pl.Series, pl.Series | None]:
    """Instants with the repeated hour settled, and for each row that cannot be read the reason.

    `written` is the wall clock of `zone` where `local` is true, and `instant` its first reading;
    `groups` tells whose each row is. No reasons where no clock changed.
    """
    hour = written.dt.hour()
    at_night = ((hour >= _LATE) | (hour < _EARLY)) & local
    if not at_night.any():
        return instant, None
    table = pl.DataFrame({"wall": written, "instant": instant, "local": local})
    table = table.with_columns(groups.alias("group")).with_row_index("place")
    night = table.filter(at_night.fill_null(value=False))
    late = pl.col("wall").dt.replace_time_zone(zone, ambiguous="latest", non_existent="null")
    night = night.with_columns(late=late.dt.convert_time_zone("UTC"))
    gone = night.filter(pl.col("late").is_null())
    twice = night.filter(pl.col("late") != pl.col("instant"))
    if not gone.height and not twice.height:
        return instant, None
    known = _settle(table, twice) if twice.height else _NOTHING_SETTLED
    return _explain(written, instant, zone, gone["place"], known)


_NOTHING_SETTLED = pl.DataFrame(
    schema={"place": pl.UInt32, "instant": pl.Datetime("us", "UTC"), "unknown": pl.Boolean}
)


def _settle(table: pl.DataFrame, twice: pl.DataFrame) -> pl.DataFrame:
    """place, instant and unknown of every row in a repeated hour."""
    late = twice.select("place", "late")
    rows = table.filter(pl.col("local") & pl.col("wall").is_not_null())
    rows = rows.join(late, on="place", how="left", maintain_order="left")
    # New to old: the last wall of the symbol is the earliest.
    backwards = (pl.col("wall").last() < pl.col("wall").first()).over("group")
    order = pl.when(backwards).then(-pl.col("place").cast(pl.Int64)).otherwise(pl.col("place"))
    rows = rows.with_columns(order=order).sort("group", "order")
    folded = pl.col("late").is_not_null()
    before, after = (pl.col("wall").shift(by).over("group") for by in (1, -1))
    rows = rows.with_columns(
        folded=folded, step=pl.col("wall") - before, next_step=after - pl.col("wall")
    )
    spacing = pl.col("step").filter(pl.col("step") > pl.duration()).min().over("group")
    day_changes = pl.col("wall").dt.date() != pl.col("wall").dt.date().shift()
    new_run = (
        (folded != folded.shift()) | (pl.col("group") != pl.col("group").shift()) | day_changes
    )
    rows = rows.with_columns(spacing=spacing, run=new_run.fill_null(value=True).cum_sum())
    rows = rows.filter("folded").with_columns(first=pl.int_range(pl.len()).over("run") == 0)
    back = ~pl.col("first") & (pl.col("step") <= pl.duration())
    near = pl.col("spacing").is_not_null()
    joins_before = near & (pl.col("step").first() <= pl.col("spacing").first())
    joins_before &= pl.col("step").first() > pl.duration()
    joins_after = near & (pl.col("next_step").last() <= pl.col("spacing").first())
    rows = rows.with_columns(
        steps=back.sum().over("run"),
        passed=back.cum_sum().over("run"),
        before=joins_before.first().over("run").fill_null(value=False),
        after=joins_after.last().over("run").fill_null(value=False),
        nth=pl.int_range(pl.len()).over("run", "wall"),
        pairs=(pl.len().over("run", "wall") == 2).all().over("run"),
    )
    second = (
        pl.when(pl.col("steps") == 1)
        .then(pl.col("passed") == 1)
        .when((pl.col("steps") == 0) & (pl.col("before") != pl.col("after")))
        .then("after")
        .when((pl.col("steps") > 1) & pl.col("pairs"))
        .then(pl.col("nth") == 1)
    )
    rows = rows.with_columns(second=second)
    instant = pl.when(pl.col("second")).then("late").otherwise("instant")
    return rows.select("place", instant=instant, unknown=pl.col("second").is_null())


def _explain(
    written: pl.Series, instant: pl.Series, zone: str, gone: pl.Series, known: pl.DataFrame
) -> tuple[pl.Series, pl.Series]:
    """The settled instants, and a sentence for every row that has none."""
    rows = pl.DataFrame({"wall": written, "was": instant}).with_row_index("place")
    rows = rows.join(known, on="place", how="left", maintain_order="left")
    unknown = pl.col("unknown").fill_null(value=False)
    absent = pl.col("place").is_in(gone.to_list())
    reason = (
        pl.when(absent)
        .then(pl.lit(_GONE.format(zone)))
        .when(unknown)
        .then(pl.lit(_TWICE.format(zone)))
    )
    settled = pl.when(unknown).then(None).otherwise(pl.coalesce("instant", "was"))
    found = rows.select(settled=settled, reason=reason)
    return found["settled"], found["reason"]
