"""Commands of trained models: list, show, compare, verify, and decide in spite of the gate."""

from typing import Annotated

import typer

from harmony_pipeline.cli.command_context import pipeline_of

models_app = typer.Typer(
    invoke_without_command=True,
    help="Every trained model, its period and evidence, and the gate's latest decision.",
)
ModelId = Annotated[str, typer.Argument(help="id of a model, as `harmony models` lists them")]


@models_app.callback()
def models(context: typer.Context) -> None:
    """Every trained model, its period and evidence, and the gate's latest decision."""
    from harmony_pipeline.cli.model_report import print_models

    if context.invoked_subcommand is None:
        print_models(pipeline_of(context.obj))


@models_app.command("list")
def models_list(context: typer.Context) -> None:
    """The same as `harmony models`."""
    from harmony_pipeline.cli.model_report import print_models

    print_models(pipeline_of(context.obj))


@models_app.command("show")
def models_show(context: typer.Context, model: ModelId) -> None:
    """Where a model came from, what it measured, and every decision about it."""
    from harmony_pipeline.cli.models import show

    show(pipeline_of(context.obj), model)


@models_app.command("diff")
def models_diff(context: typer.Context, first: ModelId, second: ModelId) -> None:
    """What two models do not have in common."""
    from harmony_pipeline.cli.models import diff

    diff(pipeline_of(context.obj), first, second)


@models_app.command("verify")
def models_verify(
    context: typer.Context,
    model: Annotated[
        str | None, typer.Argument(help="id of a model; without it every model of the lake")
    ] = None,
) -> None:
    """Train models again from the lake and compare id and bytes; exit code 1 when one differs."""
    from harmony_pipeline.cli.models import verify

    if not verify(pipeline_of(context.obj), model):
        raise typer.Exit(1)


@models_app.command("promote")
def models_promote(
    context: typer.Context,
    model: ModelId,
    reason: Annotated[
        str, typer.Option("--force-reason", help="why, in spite of the gate; kept for ever")
    ],
) -> None:
    """Let a model trade from the next session on, in spite of the gate. It raises no limit."""
    from harmony_pipeline.cli.models import promote

    promote(pipeline_of(context.obj), model, reason)


@models_app.command("rollback")
def models_rollback(
    context: typer.Context,
    reason: Annotated[str, typer.Option("--reason", help="why; kept for ever")],
) -> None:
    """Let the model trade again that traded before the present one."""
    from harmony_pipeline.cli.models import rollback

    rollback(pipeline_of(context.obj), reason)
