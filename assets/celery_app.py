"""What Celery's workers load: `celery -A assets.celery_app worker`, which `harmony service worker`
and `harmony service session` start.

The worker imports what its steps need before it forks its processes, and each reads settings and
graph anew for every step: a step costs no start, and knows what a process that has just started
would know. A worker of sessions imports the graph alone: a session works in a process of its own.
"""

import contextlib
import importlib
import os
import signal
import socket
import warnings
from pathlib import Path
from typing import Any

import dagster as dg
from celery import Celery
from celery.signals import heartbeat_sent, task_prerun, worker_init, worker_shutting_down
from dagster._core.definitions.reconstruct import ReconstructableJob  # private: its caches
from dagster_celery.executor import CeleryExecutor
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_task
from kombu import Queue

from assets.executors import broker_url, celery_configuration, session_queue
from harmony_pipeline.config import load_settings
from harmony_pipeline.session.process_control import is_running, read_lock

SESSION_VARIABLE, BEAT_VARIABLE = "WORKER_OF_SESSIONS", "WORKER_BEAT"


def build_app(*, session: bool) -> Celery:
    """The application of a worker: one queue, one kind of task."""
    chosen = load_settings().dagster
    configuration = celery_configuration(chosen, session=session)
    executor = CeleryExecutor.for_cli(
        broker=broker_url(chosen), backend=broker_url(chosen), config_source=dict(configuration)
    )
    made = make_app(executor.app_args())
    made.conf.task_queues = [Queue(session_queue(chosen) if session else chosen.queue)]
    return made


@worker_init.connect  # type: ignore[untyped-decorator]
@heartbeat_sent.connect  # type: ignore[untyped-decorator]
def _beat(**_facts: Any) -> None:
    """Touch the file by which a health check sees that the worker's loop turns."""
    if path := os.environ.get(BEAT_VARIABLE):
        Path(path).touch()


@task_prerun.connect  # type: ignore[untyped-decorator]
def _forget_graph(**_facts: Any) -> None:
    """Dagster would keep the graph of the step before, with its settings and what it had read."""
    ReconstructableJob.get_definition.cache_clear()
    ReconstructableJob.get_repository_definition.cache_clear()


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _end_session(**_facts: Any) -> None:
    """A worker that is asked to end waits for its step, which would last until the close: ask the
    session on this machine to end in order.
    """
    if not os.environ.get(SESSION_VARIABLE):
        return
    state = load_settings().present_state_root
    holder = read_lock(state) or {}
    if is_running(state) and holder.get("host") == socket.gethostname():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(holder["pid"]), signal.SIGTERM)


warnings.simplefilter("ignore", dg.BetaWarning)
warnings.simplefilter("ignore", dg.PreviewWarning)
_is_of_sessions = bool(os.environ.get(SESSION_VARIABLE))
importlib.import_module("assets.definitions" if _is_of_sessions else "assets.preload")
app = build_app(session=_is_of_sessions)
execute_plan = create_task(app)
