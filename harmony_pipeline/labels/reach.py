"""Which bars the labels of a period depend on."""

from datetime import datetime

import polars as pl

from harmony_pipeline.frames import moment_literal
from harmony_pipeline.labels.settings import LabelSettings


def bars_in_reach(
    bars: pl.DataFrame, settings: LabelSettings, keep_from: datetime, keep_until: datetime
) -> tuple[datetime, datetime]:
    """The first and the last moment (both included) of the bars on which the labels of events at
    `keep_from <= timestamp < keep_until` depend.

    A weight depends on every label that was alive during a label's life, and no label lives longer
    than the largest horizon. So the span has `largest horizon + 2` regular bars of each symbol
    before the period and as many after it, as far as they are there (`label_events`). `bars` has
    symbol, timestamp and session, each symbol in order of time. Where horizons count sessions, all
    bars are in reach.
    """
    count, stamp = max(settings.horizons_bars) + 2, pl.col("timestamp")
    if settings.vertical == "sessions":
        found = bars.select(first=stamp.min(), last=stamp.max())
    else:
        regular = bars.lazy().filter(pl.col("session") == "regular")
        early = regular.filter(stamp < moment_literal(keep_from))
        late = regular.filter(stamp >= moment_literal(keep_until))
        before = early.group_by("symbol").agg(stamp.tail(count).first()).select(first=stamp.min())
        after = late.group_by("symbol").agg(stamp.head(count).last()).select(last=stamp.max())
        found = pl.concat([before, after], how="horizontal").collect(engine="in-memory")
    first, last = found.row(0)
    return min(first or keep_from, keep_from), max(last or keep_until, keep_until)
