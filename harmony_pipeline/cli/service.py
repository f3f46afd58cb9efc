"""`harmony service NAME`: this process becomes one service of a deployment (docs/deployment.md)."""

import os
from pathlib import Path

import typer

from assets.executors import require_broker
from assets.instance import open_instance
from harmony_pipeline.cli.program import Program
from harmony_pipeline.config import Settings
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.project_paths import HOUSE, let_children_import_graph, workspace_file

SERVICES = {
    "code": "the graph, for web and daemon; the runs that they start live here",
    "web": "the Dagster UI",
    "daemon": "schedules, sensors, the queue of runs",
    "worker": "makes steps, with dagster.executor = celery",
    "session": "the same for the steps of sessions; it alone needs the broker's keys",
}
_PORTS = {"code": 4000, "web": 3333}


def become(settings: Settings, service: str, host: str, port: int | None) -> Program:
    """The program of the service, over the same settings file. This process becomes it."""
    if service in ("worker", "session") and settings.dagster.executor != "celery":
        raise ConfigError(
            f"the service {service} makes steps that come through Celery, and dagster.executor is"
            f" '{settings.dagster.executor}': set it to 'celery', or leave {service} out"
        )
    if service in ("worker", "session"):
        require_broker(settings.dagster)
    open_instance(settings).dispose()
    let_children_import_graph()
    if settings.file.exists():
        os.environ["HARMONY_CONFIG"] = str(settings.file.resolve())
    # without a file, paths count from here
    os.chdir(HOUSE if settings.file.exists() else settings.folder)
    typer.echo(f"{service}: {SERVICES[service]}")
    return _program(settings, service, host, port or _PORTS.get(service, 0))


def _program(settings: Settings, service: str, host: str, port: int) -> Program:
    match service:
        case "code":
            graph = ("-m", "assets.definitions", "-d", str(HOUSE), "--location-name", "harmony")
            place = ("-h", host, "-p", str(port))
            return Program("dagster", ("code-server", "start", *graph, *place))
        case "web":
            place = ("-h", host, "-p", str(port))
            return Program("dagster_webserver", ("-w", str(workspace_file()), *place))
        case "daemon":
            if path := os.environ.get("WORKER_BEAT"):
                from assets.daemon_beat import beat_while_live

                beat_while_live(Path(path))
            return Program("dagster._daemon", ("run", "-w", str(workspace_file())))
    return _worker(settings, service)


def _worker(settings: Settings, service: str) -> Program:
    chosen = settings.dagster
    is_session = service == "session"
    if is_session:
        os.environ["WORKER_OF_SESSIONS"] = "1"
    queue = f"{chosen.queue}-session" if is_session else chosen.queue
    # a session and what follows it are one after the other
    processes = 1 if is_session else chosen.processes or os.cpu_count() or 1
    arguments = (
        "-A", "assets.celery_app", "worker", "-Q", queue, "-c", str(processes),
        "-n", f"{service}-{os.getpid()}@%h", "--loglevel", "INFO", "--without-gossip",
        "--without-mingle",
    )  # fmt: skip
    return Program("celery", arguments)
