"""Where runs of this process belong in the UI: to a job of the code location that the workspace
file names.

Dagster gives a run that is executed in process no origin, and the timeline leaves out runs without
one. The origin is read from the same file that the web server reads, so both name the same place.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial

import dagster as dg

# Private, since dagster has no public way to give a run of this process the origin that its own web
# server gives.
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
from dagster._core.remote_origin import RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.workspace.load import location_origins_from_yaml_paths

from harmony_pipeline.project_paths import workspace_file


@contextmanager
def runs_belong_to(instance: dg.DagsterInstance, job: str) -> Iterator[None]:
    """Runs that are created inside stand under `job` in the UI."""
    create = partial(instance.create_run_for_job, remote_job_origin=job_origin(job))
    instance.create_run_for_job = create  # type: ignore[method-assign]
    try:
        yield
    finally:
        del instance.create_run_for_job  # the class's own method again


@cache
def job_origin(job: str) -> RemoteJobOrigin:
    """Where a job stands in the UI."""
    locations = location_origins_from_yaml_paths([str(workspace_file())])
    location = locations[0]
    return RemoteRepositoryOrigin(location, SINGLETON_REPOSITORY_NAME).get_job_origin(job)
