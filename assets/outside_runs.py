"""Runs whose steps leave this process: multiprocess, Celery, or an executor of your own.

One run is driven from here. Several are driven by a process each, forked from one that has imported
everything, as Dagster's own launcher would start them. Whatever stops the command stops its runs:
Dagster then takes back the steps that no worker has begun and ends the processes of the others.
"""

import contextlib
import multiprocessing
import os
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from queue import SimpleQueue
from threading import Thread
from typing import Any

import dagster as dg

# private, since dagster has no public way to make a run and execute it elsewhere
from dagster._cli.api import _execute_run_command_body
from dagster._core.definitions.reconstruct import ReconstructableJob, ReconstructableRepository
from dagster._core.execution.api import create_execution_plan, execute_run
from dagster._core.snap import snapshot_from_execution_plan

from assets.executors import broker_url, celery_configuration, require_broker, session_queue
from assets.fan_out import Part
from assets.groups import SESSION
from assets.run_origin import job_origin
from harmony_pipeline.config import Settings
from harmony_pipeline.dagster_settings import DagsterSettings
from harmony_pipeline.errors import NotReady
from harmony_pipeline.process_variables import variables_restored
from harmony_pipeline.project_paths import HOUSE, let_children_import_graph

_ANSWER_SECONDS = (0.25, 2.0)  # a worker that has nothing else to do answers in a few milliseconds


@dataclass(frozen=True)
class OutsideRun:
    """A run that was created and not yet executed."""

    run: dg.DagsterRun
    job: ReconstructableJob


@contextlib.contextmanager
def settings_for_children(settings: Settings) -> Iterator[None]:
    """Processes that are started inside read the same settings file, and find the graph."""
    with variables_restored(("HARMONY_CONFIG", "PYTHONPATH")):
        let_children_import_graph()
        if settings.file.exists():
            os.environ["HARMONY_CONFIG"] = str(settings.file.resolve())
        else:
            os.environ.pop("HARMONY_CONFIG", None)
        yield


def create(
    instance: dg.DagsterInstance,
    job_name: str,
    part: Part,
    checks: frozenset[dg.AssetCheckKey] | None,
    run_config: Mapping[str, Any],
    tags: Mapping[str, str],
) -> OutsideRun:
    """A run of a job over a part; `checks` None: every check of its assets."""
    repository = ReconstructableRepository.for_module(
        "assets.definitions", "defs", working_directory=str(HOUSE)
    )
    job = repository.get_reconstructable_job(job_name).get_subset(
        asset_selection=frozenset(dg.AssetKey(name) for name in part.assets),
        asset_check_selection=checks,
    )
    definition = job.get_definition()
    plan = create_execution_plan(
        definition, run_config=run_config, instance_ref=instance.get_ref(), tags=tags
    )
    snapshot = definition.get_job_snapshot()
    run = instance.create_run(
        job_name=job_name,
        run_id=str(uuid.uuid4()),
        run_config=run_config,
        status=None,
        tags={**definition.run_tags, **tags},
        root_run_id=None,
        parent_run_id=None,
        step_keys_to_execute=plan.step_keys_to_execute,
        execution_plan_snapshot=snapshot_from_execution_plan(
            plan, definition.get_job_snapshot_id()
        ),
        job_snapshot=snapshot,
        parent_job_snapshot=definition.get_parent_job_snapshot(),
        asset_selection=job.asset_selection,
        asset_check_selection=job.asset_check_selection,
        resolved_op_selection=None,
        op_selection=None,
        remote_job_origin=job_origin(job_name),
        job_code_origin=job.get_python_origin(),
        asset_graph=definition.asset_layer.asset_graph,
    )
    return OutsideRun(run, job)


def drive(instance: dg.DagsterInstance, runs: Sequence[OutsideRun], *, makes_steps: bool) -> None:
    """Execute the runs to their ends, side by side. How they ended is in the instance.
    `makes_steps`: their steps are processes of this machine.
    """
    if len(runs) == 1:
        with _without_known_warnings():
            execute_run(runs[0].job, runs[0].run, instance, raise_on_error=False)
        return
    context = _forked(makes_steps=makes_steps)
    started = [
        context.Process(target=_drive_one, args=(each.run.run_id,), name=each.run.run_id)
        for each in runs
    ]
    try:
        for process in started:
            process.start()
        _wait_for(started)
    finally:
        _stop(started)


def start_fork_server(*, makes_steps: bool) -> None:
    """Start the process from which those of several runs are forked. It imports what they need
    while this one prepares the runs.
    """
    _forked(makes_steps=makes_steps)
    forkserver.ensure_running()


def _forked(*, makes_steps: bool) -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    # with multiprocess, steps are forked from the same server
    context.set_forkserver_preload(["assets.preload" if makes_steps else "assets.outside_runs"])
    return context


def _wait_for(started: Sequence[BaseProcess]) -> None:
    alive = {process.sentinel for process in started}
    while alive:
        alive -= set(wait(list(alive)))  # type: ignore[arg-type]


def _stop(started: Sequence[BaseProcess]) -> None:
    """Ask what still works to end, as Dagster's launcher does, and wait for it."""
    for process in started:
        if process.pid is not None and process.is_alive():
            process.terminate()
    for process in started:
        if process.pid is not None:
            process.join()
            process.close()


def _fork_from_the_same_server() -> None:
    """Let the processes of steps be forked from the server that this process was forked from.

    Python's `ensure_running` says that it does so, but starts another server, which imports
    everything again: a child knows the address of its server, and not its process id.
    """
    server: Any = vars(forkserver)["_forkserver"]
    if server._forkserver_pid is None and server._forkserver_address is not None:
        server.ensure_running = resource_tracker.ensure_running


def _drive_one(run_id: str) -> None:
    """What the process of one run does."""
    _fork_from_the_same_server()
    with _without_known_warnings(), dg.DagsterInstance.get() as instance:
        _execute_run_command_body(
            run_id=run_id,
            instance=instance,
            write_stream_fn=_unheard,
            set_exit_code_on_failure=False,
        )


@contextlib.contextmanager
def _without_known_warnings() -> Iterator[None]:
    """Without what Dagster's Celery executor does to itself: it registers its task at each step."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Task name 'execute_plan' is already registered")
        yield


def _unheard(_event: Any) -> None:
    """Its events are in the instance."""


def require_workers(settings: Settings, assets: Sequence[str]) -> None:
    """Raises NotReady when Celery makes the steps and no worker would take one of them: the run
    would wait for ever.
    """
    chosen = settings.dagster
    if chosen.executor != "celery":
        return
    require_broker(chosen)
    own = {asset.name for asset in SESSION.own}
    needed = {
        session_queue(chosen) if name in own else chosen.queue: "session"
        if name in own
        else "worker"
        for name in assets
    }
    heard = _queues_heard(chosen, needed.keys())
    for queue, service in needed.items():
        if queue not in heard:
            raise NotReady(
                f"no worker listens to the queue {queue} at {chosen.broker}: start one with:"
                f" harmony service {service}"
            )


def _queues_heard(chosen: DagsterSettings, needed: AbstractSet[str]) -> AbstractSet[str]:
    """The queues that workers listen to; asked a second time, with more patience, where one that is
    needed is not among them. A thread asks, since it takes a second to close its channel.
    """
    from celery import Celery

    told = SimpleQueue[AbstractSet[str] | Exception]()

    def ask() -> None:
        app = Celery(broker=broker_url(chosen), config_source=dict(celery_configuration(chosen)))
        try:
            with contextlib.closing(app), app.connection_for_write() as connection:
                for seconds in _ANSWER_SECONDS:
                    asked = app.control.inspect(timeout=seconds, connection=connection)
                    answers = asked.active_queues() or {}
                    found = {queue["name"] for queues in answers.values() for queue in queues}
                    told.put(found)
                    if needed <= found:
                        break
        except Exception as error:
            told.put(error)

    Thread(target=ask, name="queues", daemon=True).start()
    heard: AbstractSet[str] = frozenset()
    for _ in _ANSWER_SECONDS:
        answer = told.get()
        if isinstance(answer, Exception):
            raise NotReady(f"the broker {chosen.broker} does not answer: {answer}") from None
        heard = answer
        if needed <= heard:
            break
    return heard
