"""What commands share: their usual options, the pipeline of the settings that were read, and a
runner of the graph under the market's lock.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Annotated, Any

import typer

From = Annotated[
    str | None,
    typer.Option(
        "--from", help="first partition, or a date inside it; default: the first there is"
    ),
]
To = Annotated[
    str | None,
    typer.Option("--to", help="last partition, or a date inside it; default: the last there is"),
]
Again = Annotated[
    bool, typer.Option("--again", help="make also what is unchanged since it was made last")
]
Day = Annotated[
    str | None,
    typer.Option("--date", help="trading day, like 2024-06-28; default: the latest with bars"),
]


def pipeline_of(settings: Any) -> Any:
    """The pipeline of settings that were read; imported here, since it takes a while."""
    from harmony_pipeline.stages.context import PipelineContext

    return PipelineContext(settings)


@contextmanager
def graph_runner(
    context: typer.Context, *, again: bool = False, alone: bool = True
) -> Iterator[Any]:
    """A runner with a progress display around it; no other command writes this market meanwhile,
    unless it need not be `alone`.
    """
    from harmony_pipeline.cli.progress import Progress

    with writing(context, alone=alone), Progress() as progress:
        with _loading():
            from assets.runner import Runner  # takes a second to import

            runner = Runner.of(context.obj, progress, again=again)
        yield runner


@contextmanager
def _loading() -> Iterator[None]:
    """What is made inside, a million objects of libraries and of the graph, stays until the process
    ends: Python's collector need not walk over it again and again.
    """
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():  # the process is a command's: nobody froze its own objects
            gc.freeze()
        gc.enable()


@contextmanager
def writing(context: typer.Context, *, alone: bool = True) -> Iterator[None]:
    """A command that writes the market, in the log, and under the lock where it works `alone`."""
    from harmony_pipeline.log import log, log_context
    from harmony_pipeline.run_lock import run_lock

    settings = context.obj
    with run_lock(settings, str(context.info_name)) if alone else nullcontext():
        state = settings.present_state_root
        with log_context(command=context.info_name):
            log(state, "command started")
            yield
            log(state, "command ended")
