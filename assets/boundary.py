"""The boundary around every asset and check: a failure becomes one line in the UI, and the log file in the state folder has the rest."""

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg

from harmony_pipeline.failure_log import record_failure
from harmony_pipeline.failures import is_failure
from harmony_pipeline.stages.workspace import Workspace


def boundary(name: str, work: Workspace) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let the decorated function raise nothing but `dg.Failure` with one line; it keeps its signature, which Dagster reads."""

    def guard(function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def guarded(*arguments: Any, **named: Any) -> Any:
                with _boundary(name, work):
                    yield from function(*arguments, **named)

        else:

            @functools.wraps(function)
            def guarded(*arguments: Any, **named: Any) -> Any:
                with _boundary(name, work):
                    return function(*arguments, **named)

        guarded.inside_boundary = True  # type: ignore[attr-defined]
        return guarded

    return guard


@contextmanager
def _boundary(name: str, work: Workspace) -> Iterator[None]:
    try:
        yield
    except (dg.DagsterError, dg.Failure, dg.RetryRequested):
        raise
    except BaseException as error:
        if not is_failure(error):
            raise
        line, log = record_failure(error, work.settings.present_state_root, {"asset": name})
        # `from None`: the event log keeps what is raised here, and a library's text may hold a secret
        raise dg.Failure(line, {"log": str(log)} if log else None) from None
