"""A run of the graph that fails is told through the channels of [alerts]."""

from pathlib import Path

import dagster as dg
import pytest
from alerts.receivers import hook

from assets.automation import build_automation
from harmony_pipeline.config import Settings
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.testing.tiny import tiny_settings


def test_a_run_that_failed_sends_an_alert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tiny_settings(tmp_path)
    alerts = {"channels": ["webhook"], "wait_seconds": 0.01}
    values = settings.model_dump() | {"alerts": alerts, "file": settings.file}
    pipeline = PipelineContext(Settings.model_validate(values))

    @dg.op
    def breaks() -> None:
        raise RuntimeError("the disk is full")

    @dg.job
    def ingest() -> None:
        breaks()

    sensors = {each.name: each for each in build_automation(pipeline).sensors}
    with hook() as server, dg.DagsterInstance.ephemeral() as instance:
        monkeypatch.setenv("HARMONY_ALERT_WEBHOOK", server.url)
        run = ingest.execute_in_process(instance=instance, raise_on_error=False)
        context = dg.build_run_status_sensor_context(
            sensor_name="alert_on_failure", dagster_instance=instance, dagster_run=run.dagster_run,
            dagster_event=run.get_run_failure_event(),
        ).for_run_failure()  # fmt: skip
        sensors["alert_on_failure"](context)
        _, body = server.got[0]
    assert (body["kind"], body["subject"]) == ("run_failed", "ingest")
    assert body["text"].startswith(f"run {run.run_id[:8]} of ingest failed")
