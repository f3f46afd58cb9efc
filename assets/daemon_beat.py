"""The heart beat of the daemon: a file that is touched while Dagster's own liveness check passes.

A health check looks at the time of the file: to start Dagster for it, every half minute, takes two
seconds of the processor each time.
"""

import os
import time
from pathlib import Path
from threading import Thread

import dagster as dg

# private: what `dagster-daemon liveness-check` asks
from dagster._daemon.controller import (
    DEFAULT_DAEMON_HEARTBEAT_TOLERANCE_SECONDS,
    all_daemons_live,
)

from harmony_pipeline.errors import HarmonyError

_SECONDS = 2.0  # the interval of the heart beats of Celery's workers, too


def beat_while_live(path: Path) -> None:
    """Touch `path` again and again while each daemon of the instance was heard of lately, from a
    thread that ends with the process. Raises HarmonyError where it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # of an earlier daemon
    except OSError as error:
        raise HarmonyError(f"the file of WORKER_BEAT cannot be written: {error}") from None
    Thread(target=_beat, args=(path,), name="beat", daemon=True).start()


def _beat(path: Path) -> None:
    tolerance = os.environ.get("DAGSTER_DAEMON_HEARTBEAT_TOLERANCE")
    seconds = float(tolerance or DEFAULT_DAEMON_HEARTBEAT_TOLERANCE_SECONDS)
    with dg.DagsterInstance.get() as instance:
        while True:
            touch_if_live(instance, path, seconds)
            time.sleep(_SECONDS)


def touch_if_live(instance: dg.DagsterInstance, path: Path, seconds: float) -> None:
    """Touch `path` where each daemon that the instance needs was heard of within `seconds`. Where
    the database does not answer, it is not known.
    """
    try:
        if all_daemons_live(instance, heartbeat_tolerance_seconds=seconds):
            path.touch()
    except Exception:  # the file grows old, and that is what is asked
        return
