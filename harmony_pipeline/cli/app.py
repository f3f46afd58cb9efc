"""The `harmony` command: its options, and its verbs in the order of the help.

Each verb says what it made and what to look at next; `boundary` tells what went wrong.

    harmony run                                   the whole chain, then a summary
    harmony sql "select * from trades limit 5"    every public table is a view
    harmony --config examples/us_equity_hourly.toml run

Heavy libraries are imported inside the verbs that need them, so `--help` answers at once.
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from click.core import ParameterSource

from harmony_pipeline.cli.command_context import pipeline_of
from harmony_pipeline.cli.commands.graph import backfill, backtest, ingest, run, scan, ticks
from harmony_pipeline.cli.commands.models import models_app
from harmony_pipeline.cli.commands.operations import alerts_app, doctor, ledger_app, service, ui
from harmony_pipeline.cli.commands.project import init_command, new_app
from harmony_pipeline.cli.commands.questions import lineage, report, sql
from harmony_pipeline.cli.commands.sessions import demo, exchange, monitor, replay, trade
from harmony_pipeline.cli.invocation import remember_options, remember_state
from harmony_pipeline.project_paths import make_graph_importable

make_graph_importable()  # the verbs below import `assets`

_WITHOUT_SETTINGS = {"init"}
_LAKE_ALONE = {"sql"}

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    suggest_commands=False,  # Click suggests by itself; both would say it twice
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="From market bars to paper trades, one declared graph.",
)


def _show_version(value: bool) -> None:
    if value:
        from harmony_pipeline.version import __version__

        typer.echo(f"harmony {__version__}")
        raise typer.Exit


@app.callback()
def choose(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="settings file; switches market, lake and state together",
            envvar="HARMONY_CONFIG",
        ),
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of",
            help="show every table as it was known at this instant, like 2025-01-15T00:00Z",
        ),
    ] = None,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="print the version"),
    ] = False,
) -> None:
    """From market bars to paper trades, one declared graph."""
    os.environ.setdefault("POLARS_ENGINE_AFFINITY", "in-memory")
    typed = context.get_parameter_source("config") is ParameterSource.COMMANDLINE
    remember_options(str(config) if typed else None, as_of)
    if context.invoked_subcommand in _WITHOUT_SETTINGS or "--help" in sys.argv:
        return
    if context.invoked_subcommand in _LAKE_ALONE:
        context.obj = _find_lake(config, as_of)
    else:
        context.obj = _read_settings(config, as_of)


def _find_lake(config: Path | None, as_of: str | None) -> Any:
    """The lake, unopened; the settings are read only where they changed since the last command."""
    if as_of is not None:
        return pipeline_of(_read_settings(config, as_of)).lake
    from harmony_pipeline.cli.known_lakes import known_lake

    known = known_lake(config, lambda: _load_settings(config, as_of))
    _tell(Path(known.state), known.notes)
    return known.lake()


def _load_settings(config: Path | None, as_of: str | None) -> Any:
    from harmony_pipeline.config import load_settings, parse_moment

    return load_settings(config, as_of=None if as_of is None else parse_moment(as_of))


def _tell(state: Path, notes: Sequence[str]) -> None:
    """Remember the state folder, and show what whoever gave the settings should know."""
    remember_state(state)
    for note in notes:
        typer.secho(f"harmony: {note}", fg=typer.colors.YELLOW, err=True)


def _read_settings(config: Path | None, as_of: str | None) -> Any:
    settings = _load_settings(config, as_of)
    _tell(settings.present_state_root, settings.notes)
    if config is not None:
        # processes that Dagster starts read the same file
        os.environ["HARMONY_CONFIG"] = str(settings.file.resolve())
    return settings


def _add(*verbs: Callable[..., Any]) -> None:
    for verb in verbs:
        app.command()(verb)


app.command("init")(init_command)
app.add_typer(alerts_app, name="alerts")
app.add_typer(ledger_app, name="ledger")
app.add_typer(new_app, name="new")
_add(run, ingest, ticks, backfill, scan, backtest, trade, replay)
app.add_typer(models_app, name="models")
_add(sql, lineage, report, ui, service, exchange, monitor, demo, doctor)
