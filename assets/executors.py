"""Which executor makes the steps of a run, by the one setting `dagster.executor`.

    in_process     every step in the process of the run, one after the other
    multiprocess   a process a step, forked from one that has imported everything
    celery         Celery's workers (`harmony service worker`), on this machine or others
    module:name    an executor definition of your own, such as one of Kubernetes

Steps are the same functions in all of them, and write the same tables bit for bit. What is read
where the step runs (settings, lake, state folder, secrets) must be the same everywhere; a step
refuses to run under other settings than those of whoever asked for it (`assets/step_context.py`).
"""

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import dagster as dg

from harmony_pipeline.dagster_settings import EXECUTORS, DagsterSettings
from harmony_pipeline.errors import ConfigError, NotReady
from harmony_pipeline.import_paths import import_object
from harmony_pipeline.text import one_line

QUEUE_TAG = "dagster-celery/queue"
_PASSWORD = "REDIS_PASSWORD"  # noqa: S105  the name of the variable
_CONNECT_SECONDS = 5.0
_STEPS_PER_PROCESS = 20
_TICK_SECONDS = 0.1


def build_executor(settings: DagsterSettings) -> dg.ExecutorDefinition:
    """The executor that the settings name. Raises ConfigError where its package is absent."""
    if settings.executor == "in_process":
        return dg.in_process_executor
    if settings.executor == "multiprocess":
        return dg.multiprocess_executor.configured(
            {
                "max_concurrent": settings.processes or os.cpu_count() or 1,
                "start_method": {"forkserver": {"preload_modules": ["assets.preload"]}},
            }
        )
    if settings.executor == "celery":
        return _celery(settings)
    found = import_object(settings.executor, "dagster.executor", EXECUTORS)
    if not isinstance(found, dg.ExecutorDefinition):
        raise ConfigError(
            f"dagster.executor = '{settings.executor}' is no executor definition of Dagster"
        )
    return found


def _celery(settings: DagsterSettings) -> dg.ExecutorDefinition:
    require_celery()
    from dagster_celery import celery_executor, core_execution_loop

    # a constant of dagster-celery without a setting: at 1, a step that ends waits half a second on
    # average until the next one is given out, and a run takes a second longer than its steps
    core_execution_loop.TICK_SECONDS = _TICK_SECONDS

    # given here and not in a run's configuration, which Dagster stores and shows
    configuration = {
        "broker": broker_url(settings),
        "backend": broker_url(settings),
        "config_source": dict(celery_configuration(settings)),
    }
    executor: dg.ExecutorDefinition = celery_executor.configured(configuration)
    return executor


def require_celery() -> None:
    """Raises ConfigError where Celery is not installed."""
    try:
        import celery  # noqa: F401
        import dagster_celery  # noqa: F401
        import redis  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"dagster.executor = 'celery' needs {error.name}: pip install 'harmony-pipeline[scale]'"
        ) from None


def broker_url(settings: DagsterSettings) -> str:
    """The broker with the password of the environment, where there is one."""
    password = os.environ.get(_PASSWORD)
    if not password:
        return settings.broker
    parts = urlsplit(settings.broker)
    user, at, host = parts.netloc.rpartition("@")
    netloc = f"{user if at else ''}:{quote(password, safe='')}@{host}"
    return urlunsplit(parts._replace(netloc=netloc))


def require_broker(settings: DagsterSettings) -> None:
    """Raises NotReady where no Redis answers at the broker's address: Celery would ask again and
    again, with a traceback each.
    """
    require_celery()
    import redis

    try:
        with redis.Redis.from_url(
            broker_url(settings),
            socket_connect_timeout=_CONNECT_SECONDS,
            socket_timeout=_CONNECT_SECONDS,
        ) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        reason = one_line(str(error)).strip().rstrip(".")
        raise NotReady(
            f"no Redis answers at {settings.broker} ({reason}), and steps reach workers through"
            f" it: start Redis there, or correct dagster.broker or {_PASSWORD}"
        ) from None


def session_queue(settings: DagsterSettings) -> str:
    """The queue of the steps of a session: they last a day, and stay with their worker."""
    return f"{settings.queue}-session"


def celery_configuration(settings: DagsterSettings, *, session: bool = False) -> Mapping[str, Any]:
    """Celery's own settings, for whoever gives steps and for the workers.

    A step is acknowledged when it has ended, and a worker takes none ahead. So the step of a worker
    that was killed is given to another one: at once when only its process died, after
    `redeliver_seconds` when the whole worker did. A step that runs twice does no harm: partitions
    are written whole, under their locks. A session is not run twice: its step is acknowledged when
    it begins. A worker's process is replaced after some steps, which gives its memory back.
    """
    transport = {
        "visibility_timeout": settings.redeliver_seconds,
        "socket_connect_timeout": _CONNECT_SECONDS,
    }
    return {
        "task_default_queue": settings.queue,
        "task_acks_late": not session,
        "task_reject_on_worker_lost": not session,
        "worker_prefetch_multiplier": 1,
        "worker_max_tasks_per_child": _STEPS_PER_PROCESS,
        "worker_send_task_events": False,
        "broker_connection_retry_on_startup": True,
        "broker_transport_options": transport,
        "result_backend_transport_options": transport,
        "result_expires": 86_400,
    }
