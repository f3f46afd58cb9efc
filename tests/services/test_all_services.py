"""Every service of a deployment as a process of its own: PostgreSQL, Redis, the code server, the UI,
the daemon, two Celery workers, the worker of sessions and the monitor.

One test, since the services take longer to start than to work.
"""

import json
import os
import subprocess
import sys
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
)
from dagster._core.workspace.load import location_origins_from_yaml_paths
from services.evaluated_market import DAY, MARKET, Markets, same_tables
from services.service_processes import (
    PATIENCE,
    Services,
    answers,
    free_port,
    is_listening,
    postgres,
    redis,
    wait_until,
)

from assets.groups import ASSETS
from assets.instance import open_instance
from harmony_pipeline.cli.demo_sensor import _promote_stand_in
from harmony_pipeline.config import load_settings
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.session_plans import PAPER, open_ledger

pytestmark = pytest.mark.slow
HEALTH = Path(__file__).resolve().parents[2] / "deploy" / "health.py"


def test_a_deployment_works_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, markets: Markets
) -> None:
    with postgres("dagster", "ledger") as url_of, redis(tmp_path) as broker:
        file, ports = settings_file(tmp_path, url_of, broker), {"code": free_port()}
        ports |= {"web": free_port(), "monitor": free_port()}
        workspace = tmp_path / "workspace.yaml"
        workspace.write_text(
            f"load_from:\n  - grpc_server: {{host: 127.0.0.1, port: {ports['code']},"
            " location_name: harmony}\n"
        )
        monkeypatch.setenv("HARMONY_WORKSPACE", str(workspace))
        markets.copy_researched(tmp_path)
        pipeline = prepared(file)
        instance = open_instance(pipeline.settings)  # once, before everybody does
        with Services(file) as services:
            services.start("code", "service", "code", "--port", str(ports["code"]))
            for name in ("worker-1", "worker-2", "session"):
                services.start(name, "service", name.split("-")[0])
            switch_schedule_on(instance, workspace)
            wait_until("the code server", lambda: is_listening(ports["code"]))
            beat = tmp_path / "daemon.beat"
            services.start("daemon", "service", "daemon", WORKER_BEAT=str(beat))
            services.start("web", "service", "web", "--port", str(ports["web"]))
            services.start("monitor", "monitor", "--port", str(ports["monitor"]))
            a_schedule_ticks_and_its_run_goes_through_celery(instance)
            a_killed_worker_loses_nothing(services, pipeline, markets.evaluated)
            web = f"http://127.0.0.1:{ports['web']}"
            wait_until("the UI", lambda: answers(f"{web}/server_info"))
            the_session_of_a_day_runs_and_reconciles(pipeline, web)
            all_are_healthy(ports, beat)


def all_are_healthy(ports: dict[str, int], beat: Path) -> None:
    """What the containers are asked (deploy/health.py)."""
    asked_of = {
        **{name: {"PORT": str(port)} for name, port in ports.items()},
        "daemon": {"WORKER_BEAT": str(beat)},
    }
    for name, own in asked_of.items():
        environment = {**os.environ, **own, "SERVICE": name}
        found = subprocess.run([sys.executable, HEALTH], env=environment, check=False)
        assert found.returncode == 0, name


def settings_file(folder: Path, url_of: Any, broker: str) -> Path:
    file = folder / "market.toml"
    file.write_text(
        MARKET.format(lake="lake", state="state")
        + f'ledger = "{url_of("ledger")}"\n[dagster]\nexecutor = "celery"\nprocesses = 1\n'
        f'concurrent_runs = 2\nredeliver_seconds = 600\nbroker = "{broker}"\n'
        f'storage = "{url_of("dagster")}"\n'
    )
    return file


def prepared(file: Path) -> PipelineContext:
    """A scanned day of the researched market, and a model that is promoted."""
    pipeline = PipelineContext(load_settings(file, {}))
    ASSETS["scan_candidates"].make(pipeline, [DAY])
    _promote_stand_in(pipeline, datetime(2024, 2, 28, tzinfo=UTC).date())
    return pipeline


def a_killed_worker_loses_nothing(
    services: Services, pipeline: PipelineContext, evaluated: Path
) -> None:
    """A backfill over two workers, one of which is killed in the middle of a step, makes the tables
    of a run in one process, bit for bit. (A whole worker: benchmarks/executors.py, as Redis waits
    two minutes.)
    """
    services.start("backfill", "backfill", "evaluate")

    def is_in_a_step() -> bool:
        said = services.said("worker-1")
        return said.count("] received") > said.count("] succeeded")

    wait_until("a step of worker-1", is_in_a_step)
    services.kill_step_of("worker-1")
    assert services.processes["backfill"].wait(PATIENCE) == 0, services.said("backfill")
    assert "made backtest, parameter_sensitivity, monte_carlo" in services.said("backfill")
    same_tables(pipeline.settings.file.parent / "lake", evaluated)
    assert "signal 9 (SIGKILL)" in services.said("worker-1")


def switch_schedule_on(instance: dg.DagsterInstance, workspace: Path) -> None:
    """As the UI does, but eight days ago: a Saturday was missed, and the daemon makes up for it."""
    (location,) = location_origins_from_yaml_paths([str(workspace)])
    repository = RemoteRepositoryOrigin(location, SINGLETON_REPOSITORY_NAME)
    since = (datetime.now(UTC) - timedelta(days=8)).timestamp()
    instance.add_instigator_state(
        InstigatorState(
            repository.get_instigator_origin("weekly_upkeep"),
            InstigatorType.SCHEDULE,
            InstigatorStatus.RUNNING,
            ScheduleInstigatorData("0 4 * * 6", since),
        )
    )


def a_schedule_ticks_and_its_run_goes_through_celery(instance: dg.DagsterInstance) -> None:
    record = wait_until("the run of the schedule", lambda: ended(instance, "upkeep"))
    assert record.status == dg.DagsterRunStatus.SUCCESS
    assert record.tags["dagster/schedule_name"] == "weekly_upkeep"
    assert workers_of(instance, record.run_id, "lake_upkeep") == {"worker"}


def the_session_of_a_day_runs_and_reconciles(pipeline: PipelineContext, web: str) -> None:
    sensor = {
        "repositoryLocationName": "harmony",
        "repositoryName": SINGLETON_REPOSITORY_NAME,
        "sensorName": "paper_session_sensor",
    }
    query = (
        "mutation($sensor: SensorSelector!) { startSensor(sensorSelector: $sensor) { __typename } }"
    )
    answer = asked(f"{web}/graphql", {"query": query, "variables": {"sensor": sensor}})
    assert answer["data"]["startSensor"]["__typename"] == "Sensor", answer
    instance = open_instance(pipeline.settings)
    record = wait_until("the session's run", lambda: ended(instance, "paper_session"))
    assert record.status == dg.DagsterRunStatus.SUCCESS
    assert record.tags["dagster/partition"] == DAY
    assert workers_of(instance, record.run_id, "paper_session") == {"session"}
    with open_ledger(pipeline) as ledger:
        assert ledger.place.startswith("postgresql://")
        (row,) = ledger.sessions(PAPER, datetime.fromisoformat(DAY).date())
        assert row.state == "completed"
        assert ledger.table("session_orders", session_id=row.session_id).height
    shown = instance.get_latest_materialization_event(dg.AssetKey("reconciliation"))
    assert shown is not None
    assert shown.asset_materialization is not None
    assert shown.asset_materialization.metadata["books agree"].value is True
    divergence = pipeline.lake.read("divergence", [DAY])
    assert divergence.height
    assert divergence["equal"].all()


def ended(instance: dg.DagsterInstance, job: str) -> dg.DagsterRun | None:
    """The newest run of a job, once it has ended."""
    found = instance.get_runs(dg.RunsFilter(job_name=job), limit=1)
    return found[0] if found and found[0].is_finished else None


def workers_of(instance: dg.DagsterInstance, run_id: str, asset: str) -> set[str]:
    """Which services' workers executed the step of an asset."""
    names = set()
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
        assert entry.dagster_event is not None
        told = entry.dagster_event.engine_event_data.metadata.get("Celery worker")
        if told and entry.step_key in (asset, f"run_{asset}"):
            names.add(str(told.value).split("-")[0])
    return names


def asked(url: str, question: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        url, json.dumps(question).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return dict(json.load(response))
