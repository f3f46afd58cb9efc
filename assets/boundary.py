"""The boundary around every asset and check: a failure becomes one line in the UI, and the log file
in the state folder has the rest.
"""

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import dagster as dg

from harmony_pipeline.error_messages import is_failure
from harmony_pipeline.log import log_context, record_failure
from harmony_pipeline.stages.context import PipelineContext


def boundary(
    name: str, pipeline: PipelineContext
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let the decorated function raise nothing but `dg.Failure` with one line; it keeps its
    signature, which Dagster reads.
    """

    def guard(function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def guarded(*arguments: Any, **named: Any) -> Any:
                with _logged(name, arguments), _boundary(name, pipeline):
                    yield from function(*arguments, **named)

        else:

            @functools.wraps(function)
            def guarded(*arguments: Any, **named: Any) -> Any:
                with _logged(name, arguments), _boundary(name, pipeline):
                    return function(*arguments, **named)

        guarded.inside_boundary = True  # type: ignore[attr-defined]
        return guarded

    return guard


def _logged(name: str, arguments: tuple[Any, ...]) -> AbstractContextManager[None]:
    """Every line that is logged inside names the asset and the run, and counts its seconds from
    here.
    """
    kinds = dg.OpExecutionContext | dg.AssetExecutionContext | dg.AssetCheckExecutionContext
    run = next((one.run.run_id for one in arguments if isinstance(one, kinds)), None)
    return log_context(asset=name, run=run)


@contextmanager
def _boundary(name: str, pipeline: PipelineContext) -> Iterator[None]:
    try:
        yield
    except (dg.DagsterError, dg.Failure, dg.RetryRequested):
        raise
    except BaseException as error:
        if not is_failure(error):
            raise
        line, log = record_failure(error, pipeline.settings.present_state_root, {"asset": name})
        # `from None`: the event log keeps what is raised here, and a library's text may hold a
        # secret
        raise dg.Failure(line, {"log": str(log)} if log else None) from None
