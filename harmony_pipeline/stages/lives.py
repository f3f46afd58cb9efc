"""Which delistings, changes of symbol and new listings this market knows: one answer for labels,
backtests and sessions.
"""

from datetime import date, timedelta

import polars as pl

from harmony_pipeline.market.lives import life_events
from harmony_pipeline.stages.context import PipelineContext


def last_day(pipeline: PipelineContext) -> date:
    """The last day of this market so far."""
    return pipeline.end_date - timedelta(days=1)


def lives_of(pipeline: PipelineContext) -> pl.DataFrame:
    """Events of market/lives.py until the market's last day, in order."""
    events = pipeline.while_unchanged(
        "lives", ["listings"], lambda: life_events(pipeline.lake.read("listings"))
    )
    return events.filter(pl.col("date") <= last_day(pipeline))
