"""How the graph is cut: trading periods, retraining periods, trading days, strategies.

Keys are those of `market/periods.py`, so a partition key, a folder of the lake and a `Period`
always agree. A market without an end keeps its running period: it is materialised again each day
and grows.
"""

from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta

import dagster as dg

from assets.groups import Partitioning
from harmony_pipeline.market.periods import KEY_FORMATS, Period
from harmony_pipeline.stages.context import PipelineContext

# tags of a run over several partitions
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
_CRON = {
    "hour": "0 * * * *",
    "day": "0 0 * * *",
    "week": "0 0 * * 1",
    "month": "0 0 1 * *",
    "quarter": "0 0 1 1,4,7,10 *",
    "year": "0 0 1 1 *",
}


Partitions = Mapping[Partitioning, dg.PartitionsDefinition | None]


def build_partitions(pipeline: PipelineContext) -> Partitions:
    """Partitions of one market, by the ways in which assets are cut."""
    market = pipeline.settings.market
    open_ended = market.end is None
    return {
        "none": None,
        "trading": _windows(
            pipeline.trading_periods(), market.partitions.trading_period, open_ended=open_ended
        ),
        "retraining": _hours(pipeline.retraining_periods())
        if pipeline.retrains_hourly
        else _windows(
            pipeline.retraining_periods(),
            market.partitions.retraining_period,
            open_ended=open_ended,
        ),
        "days": _days(pipeline, open_ended=open_ended),
        "strategies": dg.StaticPartitionsDefinition(list(pipeline.settings.backtest_names)),
    }


def _windows(
    periods: list[Period], size: str, *, open_ended: bool
) -> dg.TimeWindowPartitionsDefinition:
    return dg.TimeWindowPartitionsDefinition(
        start=_midnight(periods[0].first_date),
        end=None if open_ended else _midnight(periods[-1].end_date),
        end_offset=1 if open_ended else 0,
        fmt=KEY_FORMATS[size],
        cron_schedule=_CRON[size],
    )


def _hours(periods: list[Period]) -> dg.TimeWindowPartitionsDefinition:
    """Hours in which the market is open; no others, and none that is still to come."""
    keys = [datetime.strptime(period.key, KEY_FORMATS["hour"]) for period in periods]  # noqa: DTZ007 - a key
    end, open_hours = keys[-1] + timedelta(hours=1), set(keys)
    span = (keys[0] + timedelta(hours=at) for at in range((end - keys[0]) // timedelta(hours=1)))
    return dg.TimeWindowPartitionsDefinition(
        start=keys[0],
        end=end,
        fmt=KEY_FORMATS["hour"],
        cron_schedule=_CRON["hour"],
        exclusions=[hour for hour in span if hour not in open_hours] or None,
    )


def _days(pipeline: PipelineContext, *, open_ended: bool) -> dg.TimeWindowPartitionsDefinition:
    """Sessions only: weekends and holidays are excluded by the calendar."""
    start, end = pipeline.settings.market.start, pipeline.end_date
    trading = set(pipeline.calendar.sessions(start, date(end.year + 1, 1, 1)))
    span = (
        date.fromordinal(day)
        for day in range(start.toordinal(), date(end.year + 1, 1, 1).toordinal())
    )
    closed = [_midnight(day) for day in span if day not in trading]
    return dg.TimeWindowPartitionsDefinition(
        start=_midnight(start),
        end=None if open_ended else _midnight(end),
        end_offset=1 if open_ended else 0,
        fmt="%Y-%m-%d",
        cron_schedule=_CRON["day"],
        exclusions=closed or None,
    )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time())


def partition_keys(context: dg.AssetExecutionContext) -> list[str]:
    """Keys of the partitions that this run makes, oldest first; none where the assets have no
    partitions.
    """
    return [] if context.assets_def.partitions_def is None else list(context.partition_keys)


def checked_periods(
    context: dg.AssetCheckExecutionContext, pipeline: PipelineContext, kind: Partitioning
) -> list[Period]:
    """The trading or retraining periods that a check judges, oldest first."""
    period = period_of(pipeline, kind)
    return [period(key) for key in context.op_execution_context.partition_keys]


def period_of(pipeline: PipelineContext, kind: Partitioning) -> Callable[[str], Period]:
    """How the trading or retraining period of a key is found."""
    return pipeline.retraining_period if kind == "retraining" else pipeline.trading_period
