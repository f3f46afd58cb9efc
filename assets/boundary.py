"""The boundary around every asset and check: a failure becomes one line in the UI, and the log file in the state folder has the rest.

It is applied in one place, `assets/definitions.py`, so that no asset can be forgotten.
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import dagster as dg
from dagster._core.definitions.decorators.op_decorator import DecoratedOpFunction

from harmony_pipeline.failure_log import record_failure
from harmony_pipeline.failures import is_failure
from harmony_pipeline.stages.workspace import Workspace

Definition = TypeVar("Definition", bound=dg.AssetsDefinition)


def with_boundary(definitions: Sequence[Definition], work: Workspace) -> list[Definition]:
    """The same assets or checks, whose functions raise nothing but `dg.Failure` with one line."""
    for definition in definitions:
        # Dagster has no public way to wrap the function of a finished definition
        op: Any = definition.op
        function = op.compute_fn.decorated_fn
        if not hasattr(function, "inside_boundary"):
            op._compute_fn = DecoratedOpFunction(_guarded(function, work))
    return list(definitions)


def _guarded(function: Callable[..., Any], work: Workspace) -> Callable[..., Any]:
    """`function` inside the boundary; it keeps its signature, which Dagster reads."""
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def guarded(*arguments: Any, **named: Any) -> Any:
            with _boundary(function.__name__, work):
                yield from function(*arguments, **named)

    else:

        @functools.wraps(function)
        def guarded(*arguments: Any, **named: Any) -> Any:
            with _boundary(function.__name__, work):
                return function(*arguments, **named)

    guarded.inside_boundary = True  # type: ignore[attr-defined]
    return guarded


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
