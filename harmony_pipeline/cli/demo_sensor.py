"""`harmony demo --through-sensor`: Dagster's sensor is evaluated, asks for the run of the day, and
that run starts the session's process and supervises it, as on a trading day.

The sensor asks only when a model is promoted. Where none is, a small one of made-up samples stands
in: the demo's strategy does not ask it.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Protocol

import typer

from harmony_pipeline.config import Settings
from harmony_pipeline.errors import HarmonyError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.periods import period_from_key
from harmony_pipeline.models.settings import ModelSettings
from harmony_pipeline.models.walk_forward import train_period
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.result import StageResult
from harmony_pipeline.testing.forecaster_contract import planted_samples

_SENSOR, _JOB = "paper_session_sensor", "paper_session"
_ROWS, _PER_DAY, _HORIZON = 600, 8, 8
_PERIOD = "2023-02"  # follows the made-up samples


class SensorRunner(Protocol):
    """What starts runs: `assets.runner.Runner`."""

    @property
    def results(self) -> dict[str, StageResult]:
        """What each asset that was made had to show last."""

    def sense(self, sensor: str) -> tuple[list[str], str]:
        """Partition keys of the runs that the sensor asks for, and why it asks for none."""

    def run_job(self, name: str, first: str | None = None, last: str | None = None) -> None:
        """Run a job for a partition."""


def session_by_sensor(
    runner_of: Callable[[Settings], SensorRunner], pipeline: PipelineContext, day: date
) -> StageResult:
    """The session of the day, started by the sensor. Raises HarmonyError when it asks for another
    day, or for none.
    """
    if pipeline.registry.promoted() is None:
        _promote_stand_in(pipeline, day)
    runner = runner_of(pipeline.settings)
    asked, why = runner.sense(_SENSOR)
    if asked != [day.isoformat()]:
        found = f"asks for {', '.join(asked)}" if asked else f"starts nothing: {why}"
        raise HarmonyError(
            f"{_SENSOR} {found}; it takes the latest day that was scanned, in a market with an end"
            f" or while the session is under way: leave --date {day} out, or --through-sensor"
        )
    typer.echo(f"sensor:   {_SENSOR} asks for the run of {asked[0]}, which starts the session")
    runner.run_job(_JOB, asked[0], asked[0])
    return runner.results[_JOB]


def _promote_stand_in(pipeline: PipelineContext, day: date) -> None:
    settings = ModelSettings(
        forecaster="harmony_pipeline.models.logistic:Logistic", minimum_train_rows=60
    )
    samples = planted_samples(_ROWS, 1.0, per_day=_PER_DAY)
    period = period_from_key(_PERIOD, "month", "America/New_York")
    model = train_period(
        samples, period, _HORIZON, Calendar.of("24/7"), "1Min", settings, "features"
    ).model
    assert model is not None
    pipeline.registry.save(model)
    before = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(days=1)
    pipeline.registry.promote(model.model_id, before)
    typer.echo("model:    none is promoted, so one of made-up samples stands in; nothing asks it")
