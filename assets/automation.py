"""Jobs, schedules and the sensor: when the graph runs by itself.

Times are exchange times and only sessions count: after the close the running period grows, before
the open the premarket bars come and then the scanner looks, on the first session of a retraining
period a model is trained, and a scanned day with a promoted model gets its session.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import dagster as dg

from assets.groups import JOBS, SESSION
from assets.partitions import RANGE_END, RANGE_START
from assets.reporting import report_made
from assets.step_context import SETTINGS_TAG, settings_hash
from harmony_pipeline.alerts.alert import Alert
from harmony_pipeline.stages import live
from harmony_pipeline.stages.alerts import send_alert
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.text import one_line

# what the ingest at scanner.as_of takes; the scan still knows nothing later than as_of
_SCAN_AFTER = timedelta(minutes=3)
# a session of coins lasts a day: the daemon's limit for runs is not for it
_LONG = {"dagster/max_runtime": str(26 * 3600)}


@dataclass(frozen=True)
class Automation:
    """Everything that starts runs."""

    jobs: list[Any]
    schedules: list[dg.ScheduleDefinition]
    sensors: list[dg.SensorDefinition]


def build_automation(pipeline: PipelineContext) -> Automation:
    """Jobs, schedules and sensors of one market."""
    settings = pipeline.settings
    leaves = settings.dagster.executor != "in_process"
    # a worker with other settings than the code server refuses the step
    of_settings = {SETTINGS_TAG: settings_hash(settings)} if leaves else {}
    jobs = {
        job.name: dg.define_asset_job(
            job.name,
            dg.AssetSelection.assets(*job.assets),
            description=job.description,
            tags={**of_settings, **(_LONG if job is SESSION else {})},
        )
        for job in JOBS.values()
    }
    weekly = dg.ScheduleDefinition(
        name="weekly_upkeep",
        job=jobs["upkeep"],
        cron_schedule="0 4 * * 6",
        execution_timezone=pipeline.calendar.zone,
        description="Saturday morning, when nobody trades: the lake's files are put in order.",
    )
    scan_time = time.fromisoformat(pipeline.settings.scanner.as_of)
    schedules = [
        _growing(
            pipeline,
            jobs["research"],
            "daily_ingest",
            time(20, 30),
            "After the close: the running period grows by a day.",
        ),
        _growing(
            pipeline,
            jobs["ingest"],
            "premarket_ingest",
            scan_time,
            "Just before the scan: the bars of this morning.",
        ),
        _daily_scan(pipeline, jobs["daily_scan"], scan_time),
        _retraining(pipeline, jobs["retrain"]),
        weekly,
    ]
    sensors = [
        _session_sensor(pipeline, jobs["paper_session"]),
        _failure_sensor(pipeline),
        _reporting_sensor(pipeline),
    ]
    return Automation(list(jobs.values()), schedules, sensors)


def _growing(
    pipeline: PipelineContext, job: Any, name: str, clock: time, description: str
) -> dg.ScheduleDefinition:
    """Every session at `clock`: the running period grows."""

    @dg.schedule(
        name=name,
        job=job,
        cron_schedule=f"{clock.minute} {clock.hour} * * *",
        execution_timezone=pipeline.calendar.zone,
        description=description,
    )
    def grow(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        day = _exchange_date(context, pipeline)
        if not pipeline.calendar.is_session(day):
            return dg.SkipReason(f"{day} is not a session of {pipeline.calendar.name}")
        return _growth(pipeline, day, f"{name}-{day}")

    return grow


def _growth(pipeline: PipelineContext, day: date, run_key: str) -> dg.RunRequest | dg.SkipReason:
    """A run over the period of `day` and those since the newest that was ingested: days on which
    nothing ran are made up for.
    """
    key = next(
        (
            period.key
            for period in pipeline.trading_periods()
            if period.first_date <= day < period.end_date
        ),
        None,
    )
    if key is None:
        return dg.SkipReason(f"{day} lies outside market.start and market.end")
    begun = [known for known in pipeline.lake.partitions("raw_bars") if known < key]
    if not begun or pipeline.lake.has("raw_bars", key):
        return dg.RunRequest(run_key=run_key, partition_key=key)
    return dg.RunRequest(run_key=run_key, tags={RANGE_START: begun[-1], RANGE_END: key})


def _daily_scan(pipeline: PipelineContext, job: Any, scan_time: time) -> dg.ScheduleDefinition:
    begins = datetime.combine(date.min, scan_time) + _SCAN_AFTER

    @dg.schedule(
        name="scan_before_open",
        job=job,
        cron_schedule=f"{begins.minute} {begins.hour} * * *",
        execution_timezone=pipeline.calendar.zone,
        description="Before the open: which symbols to watch today.",
    )
    def scan_before_open(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        day = _exchange_date(context, pipeline)
        if day not in pipeline.sessions():
            return dg.SkipReason(f"{day} is not a session of this market")
        return dg.RunRequest(run_key=f"scan-{day}", partition_key=day.isoformat())

    return scan_before_open


def _retraining(pipeline: PipelineContext, job: Any) -> dg.ScheduleDefinition:
    @dg.schedule(
        name="retraining",
        job=job,
        cron_schedule="0 2 * * *",
        execution_timezone=pipeline.calendar.zone,
        description="When a retraining period begins: train its model.",
    )
    def retraining(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        day = _exchange_date(context, pipeline)
        if pipeline.retrains_hourly:
            return dg.SkipReason("models of an hour are made by harmony run, not by the clock")
        period = next(
            (
                found
                for found in pipeline.retraining_periods()
                if found.first_date <= day < found.end_date
            ),
            None,
        )
        if period is None:
            return dg.SkipReason(f"{day} lies outside market.start and market.end")
        # one run a period, whatever the day
        return dg.RunRequest(run_key=f"retrain-{period.key}", partition_key=period.key)

    return retraining


def _session_sensor(pipeline: PipelineContext, job: Any) -> dg.SensorDefinition:
    @dg.sensor(
        name="paper_session_sensor",
        job=job,
        minimum_interval_seconds=30,
        description="Starts the session of a scanned trading day, once, when a model is promoted.",
    )
    def paper_session_sensor() -> Iterator[dg.RunRequest | dg.SkipReason]:
        due = live.session_due(pipeline, datetime.now(UTC))
        if isinstance(due, str):
            yield dg.SkipReason(due)
        else:
            yield dg.RunRequest(run_key=f"session-{due}", partition_key=due.isoformat())

    return paper_session_sensor


def _reporting_sensor(pipeline: PipelineContext) -> dg.SensorDefinition:
    @dg.sensor(
        name="report_commands",
        minimum_interval_seconds=15,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Reports what commands made without Dagster, like the scan of a day.",
    )
    def report_commands(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        count = report_made(context.instance, pipeline)
        return dg.SkipReason(f"{count} partitions were reported" if count else "nothing was made")

    return report_commands


def _failure_sensor(pipeline: PipelineContext) -> dg.SensorDefinition:
    @dg.run_failure_sensor(
        name="alert_on_failure",
        description="Sends an alert (settings [alerts]) about each run that failed.",
    )
    def alert_on_failure(context: dg.RunFailureSensorContext) -> None:
        run, said = context.dagster_run, context.failure_event.message or ""
        text = f"run {run.run_id[:8]} of {run.job_name} failed: {one_line(said)}"
        send_alert(pipeline.settings, Alert("run_failed", "bad", text, run.job_name))

    return alert_on_failure


def _exchange_date(context: dg.ScheduleEvaluationContext, pipeline: PipelineContext) -> date:
    from zoneinfo import ZoneInfo

    return context.scheduled_execution_time.astimezone(ZoneInfo(pipeline.calendar.zone)).date()
