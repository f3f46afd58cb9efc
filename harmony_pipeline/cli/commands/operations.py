"""Commands that keep an installation going: doctor, alerts, the books, the UI and its services."""

from typing import Annotated, Any

import typer

from harmony_pipeline.cli.command_context import pipeline_of

alerts_app = typer.Typer(
    no_args_is_help=True, help="Alerts by webhook and e-mail: what a person should know at once."
)


@alerts_app.command("test")
def alerts_test(context: typer.Context) -> None:
    """Send a test message through every channel of [alerts] and say what became of it."""
    from harmony_pipeline.cli.alerts import try_channels

    raise typer.Exit(0 if try_channels(context.obj) else 1)


ledger_app = typer.Typer(
    no_args_is_help=True,
    help="The books of all sessions, held against the events they follow from.",
)


@ledger_app.command("check")
def ledger_check(context: typer.Context) -> None:
    """Make every book from the events alone and compare; exit code 1 where a row differs."""
    from harmony_pipeline.cli.ledger import check_books

    raise typer.Exit(0 if check_books(context.obj) else 1)


@ledger_app.command("rebuild")
def ledger_rebuild(context: typer.Context) -> None:
    """Write every book anew from the events, all or nothing."""
    from harmony_pipeline.cli.ledger import rebuild_books

    rebuild_books(context.obj)


def ui(
    context: typer.Context, port: Annotated[int, typer.Option(help="port on 127.0.0.1")] = 3333
) -> Any:
    """Serve the Dagster UI over this market's graph, lake and runs."""
    from harmony_pipeline.cli.serve import serve

    return serve(context.obj, port)


def service(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="code, web, daemon, worker or session")],
    host: Annotated[
        str, typer.Option("--host", help="of code and web; only this machine by default")
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option("--port", help="of code (4000) and web (3333)")
    ] = None,
) -> Any:
    """Become one service of a deployment: the code server, the UI, the daemon, a Celery worker."""
    from harmony_pipeline.cli.argument_checks import choice
    from harmony_pipeline.cli.service import SERVICES, become

    choice("NAME", name, tuple(SERVICES))
    return become(context.obj, name, host, port)


def doctor(
    context: typer.Context,
    settings: Annotated[
        bool, typer.Option("--settings", help="list every setting with its meaning")
    ] = False,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help=(
                "fetch absent bars again, rebuild their periods, say what the source does not have"
                " either"
            ),
        ),
    ] = False,
    first: Annotated[
        str | None, typer.Option("--from", help="with --repair: first session, like 2024-06-03")
    ] = None,
    last: Annotated[str | None, typer.Option("--to", help="with --repair: last session")] = None,
    waive: Annotated[
        str | None,
        typer.Option(
            "--waive",
            help="let a failed blocking check stop nobody: its name, with --partition and --why",
        ),
    ] = None,
    partition: Annotated[
        str | None,
        typer.Option("--partition", help="with --waive: the partition that failed, like 2024-01"),
    ] = None,
    why: Annotated[
        str | None,
        typer.Option("--why", help="with --waive: the reason, kept in the table verdicts"),
    ] = None,
) -> None:
    """Check the machine, the settings, the lake and the state folder, and say what to mend."""
    from harmony_pipeline.cli.argument_checks import refuse_lone_options
    from harmony_pipeline.cli.doctor import examine, mend, print_settings

    refuse_lone_options(
        repair=repair, dates=bool(first or last), waive=waive, partition=partition, why=why
    )
    if waive and partition and why:
        from harmony_pipeline.stages import verdicts

        verdicts.waive(pipeline_of(context.obj), waive, partition, why)
        typer.echo(f"waived: {waive} of {partition}")
    elif settings:
        print_settings(context.obj)
    elif repair:
        mend(context.obj, first, last)
    else:
        raise typer.Exit(0 if examine(context.obj) else 1)
