"""The verbs of the `harmony` command. Each says what it made and what to look at next; `boundary`
tells what went wrong.

    harmony run                                   the whole chain, then a summary
    harmony sql "select * from trades limit 5"    every public table is a view
    harmony --config examples/us_equity_hourly.toml run

Heavy libraries are imported inside the verbs that need them, so `--help` answers at once.
"""

import gc
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from click.core import ParameterSource

from harmony_pipeline.cli.invocation import (
    as_typed,
    command_line,
    remember_options,
    remember_state,
)
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
        return _pipeline_of(_read_settings(config, as_of)).lake
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


@app.command("init")
def init_command(
    data: Annotated[
        Path, typer.Argument(help="a folder or file of bars: .csv, .csv.gz, .zip or .parquet")
    ],
    output: Annotated[
        Path, typer.Option("--output", help="settings file to write; one that exists is left alone")
    ] = Path("harmony.toml"),
    timeframe: Annotated[
        str | None,
        typer.Option("--timeframe", help="length of a bar, like 1Min, 1Hour or 1Day; else guessed"),
    ] = None,
    timestamp_format: Annotated[
        str | None,
        typer.Option(
            "--timestamp-format",
            help="how times are written, like '%m/%d/%Y %H:%M', where they can be read in two ways",
        ),
    ] = None,
) -> None:
    """Read your own bars, guess their market, and write a settings file that runs."""
    from harmony_pipeline.cli.init import Known, init

    written = init(data, output, Known(timeframe, timestamp_format))
    for sentence in written.sentences:
        typer.echo(sentence)
    typer.echo(f"wrote {written.file}: look at its guesses\nnext: {written.following}")


alerts_app = typer.Typer(
    no_args_is_help=True, help="Alerts by webhook and e-mail: what a person should know at once."
)
app.add_typer(alerts_app, name="alerts")


@alerts_app.command("test")
def alerts_test(context: typer.Context) -> None:
    """Send a test message through every channel of [alerts] and say what became of it."""
    from harmony_pipeline.cli.alerts import try_channels

    raise typer.Exit(0 if try_channels(context.obj) else 1)


ledger_app = typer.Typer(
    no_args_is_help=True,
    help="The books of all sessions, held against the events they follow from.",
)
app.add_typer(ledger_app, name="ledger")


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


new_app = typer.Typer(
    no_args_is_help=True,
    help="Write a strategy, feature or scanner of your own, with its test and page, that runs.",
)
app.add_typer(new_app, name="new")
NewName = Annotated[
    str, typer.Argument(help="of the module and the setting, like my_rule", metavar="NAME")
]


@new_app.command("strategy")
def new_strategy(
    context: typer.Context,
    name: NewName,
    machine: Annotated[
        bool, typer.Option("--machine", help="one that receives a bar at a time")
    ] = False,
) -> None:
    """Write a strategy beside the settings file: features in, side and strength out."""
    _scaffold(context, "machine" if machine else "strategy", name, tuple(context.obj.strategies))


@new_app.command("feature")
def new_feature(context: typer.Context, name: NewName) -> None:
    """Write an indicator beside the settings file: one compiled kernel, one column a parameter."""
    _scaffold(context, "feature", name)


@new_app.command("scanner")
def new_scanner(context: typer.Context, name: NewName) -> None:
    """Write a scanner beside the settings file: it scores symbols and gives reasons."""
    _scaffold(context, "scanner", name)


def _scaffold(context: typer.Context, what: str, name: str, taken: tuple[str, ...] = ()) -> None:
    from harmony_pipeline.cli.scaffold import scaffold

    settings = context.obj
    written = scaffold(what, name, settings.folder, taken, settings.features.names)
    for file in written.files:
        typer.echo(f"wrote {file}")
    following = [as_typed(text) for text in written.following]
    typer.echo(f"\nadd to {settings.file}:\n\n{written.lines}\n\nnext:")
    for text in (f"python -m pytest {written.files[1]}", *following):
        typer.echo(f"  {text}")


@app.command()
def run(context: typer.Context, again: Again = False) -> None:
    """Run the main job: bars, features, labels, walk-forward models, backtests, gate, scanner,
    replayed sessions.
    """
    _say_which_market(context)
    with _runner(context, again=again) as runner:
        runner.chain(runner.pipeline.progress.stage)
    from harmony_pipeline.cli.run_report import print_summary

    print_summary(runner.pipeline, command_line(), runner.results)


@app.command()
def ingest(
    context: typer.Context,
    first: From = None,
    last: To = None,
    again: Annotated[
        bool,
        typer.Option(
            "--again",
            help="ask the source even for what was fetched before, to learn of late corrections",
        ),
    ] = False,
) -> None:
    """Fetch what is missing up to the last closed bar, validate it, keep the daily summary up to
    date; read and score headlines where [news] names a source.
    """
    from harmony_pipeline.cli.quality import print_findings
    from harmony_pipeline.cli.run_report import print_ingest, print_market_warnings, print_news
    from harmony_pipeline.stages.context import refuse_the_past
    from harmony_pipeline.stages.news import is_on

    with _runner(context) as runner:
        refuse_the_past(runner.pipeline)
        chosen = runner.chosen("bars", first, last)
        runner.run_job("ingest", chosen[0], chosen[-1], {"raw_bars": {"again": again}})
        if is_on(runner.pipeline):
            runner.run_job("news", chosen[0], chosen[-1])
    print_ingest(runner.facts_of("raw_bars"), runner.facts_of("bars"))
    print_news(runner.facts_of("news"))
    print_market_warnings(runner.pipeline, partitions=chosen)
    print_findings(runner.pipeline, chosen)
    _made(
        "bars, quarantine, daily_summary",
        chosen,
        'sql "select rule, count(*) from quarantine group by rule"',
    )


@app.command()
def ticks(
    context: typer.Context,
    first: Annotated[
        str | None,
        typer.Option("--from", help="first trading day; default: the last day of the market"),
    ] = None,
    last: Annotated[
        str | None, typer.Option("--to", help="last trading day; default: the same as --from")
    ] = None,
) -> None:
    """Fetch quotes and trades of trading days, validate them, and account for every row."""
    from harmony_pipeline.stages.ticks import offered

    with _runner(context) as runner:
        tables = offered(runner.pipeline)
        start = first or last or runner.partition_keys(tables[0])[-1]
        chosen = runner.chosen(tables[0], start, last or start)
        runner.materialize(tables, chosen[0], chosen[-1])
    _made(", ".join(tables), chosen, 'sql "select * from tick_counts"')


@app.command()
def backfill(
    context: typer.Context,
    asset: Annotated[
        str, typer.Argument(help="an asset, or a job: research, retrain, evaluate, daily_scan")
    ],
    first: From = None,
    last: To = None,
    again: Again = False,
) -> None:
    """Materialise an asset over a range of partitions, as one run."""
    from harmony_pipeline.cli.run_report import print_stages

    with _runner(context, again=again) as runner:
        assets, keys = runner.backfill(asset, first, last)
        made = runner.made(assets)
    print_stages(runner.results)
    _made(", ".join(made), keys, f'sql "select * from {runner.view_of(made[0])} limit 10"')


@app.command()
def scan(context: typer.Context, date: Day = None) -> None:
    """Scan one trading day before its open: what to watch, and why nothing else."""
    from harmony_pipeline.cli.argument_checks import day_of
    from harmony_pipeline.cli.scan_alone import scan_alone
    from harmony_pipeline.cli.scan_report import print_scan

    with _writing(context):
        pipeline = _pipeline(context)
        day = day_of(pipeline, date)
        scan_alone(pipeline, day)
    print_scan(pipeline, day)


@app.command()
def backtest(
    context: typer.Context,
    strategy: Annotated[str, typer.Argument(help="a strategy of harmony.toml, e.g. meta_labelled")],
) -> None:
    """Backtest a strategy over every bar in the lake and shake the result."""
    from harmony_pipeline.cli.run_report import print_backtest

    with _runner(context) as runner:
        runner.run_job("evaluate", runner.pipeline.strategy(strategy))
        runner.refuse_nothing("backtest")
    print_backtest(runner.pipeline, strategy)


@app.command()
def trade(context: typer.Context, date: Day = None) -> None:
    """Run the paper session of a day with the promoted model, supervised: lock, heartbeat, kill
    switch.
    """
    from harmony_pipeline.cli.argument_checks import day_of
    from harmony_pipeline.cli.run_report import print_sessions
    from harmony_pipeline.stages.context import refuse_the_past

    with _runner(context, alone=False) as runner:
        refuse_the_past(runner.pipeline)
        day = day_of(runner.pipeline, date)
        runner.trade(day)
        runner.refuse_nothing("paper_session")
    print_sessions(runner.pipeline, [day])


@app.command()
def replay(
    context: typer.Context,
    date: Day = None,
    last: To = None,
    session: Annotated[
        str | None,
        typer.Option(
            "--session", help="run this recorded session again, event by event, and compare"
        ),
    ] = None,
) -> None:
    """Replay a historical day through the session and the simulated exchange, and compare it with
    the backtest; or run a recorded session again and say where it differs.
    """
    if session is not None:
        _replay_recorded(context, session, alone=date is None and last is None)
        return
    from harmony_pipeline.cli.argument_checks import day_of, session_range
    from harmony_pipeline.cli.run_report import print_sessions, print_stages

    with _runner(context) as runner:
        day, end = session_range(runner.pipeline, day_of(runner.pipeline, date), last)
        runner.replay(day, end)
        runner.refuse_nothing("paper_session")
    days = [key for key in runner.partition_keys("paper_session") if day <= key <= end]
    print_sessions(
        runner.pipeline,
        [key for key in days if not runner.results["paper_session"].part(key).nothing],
    )
    print_stages(runner.results)


def _replay_recorded(context: typer.Context, session: str, *, alone: bool) -> None:
    from harmony_pipeline.errors import ConfigError
    from harmony_pipeline.stages.recorded_sessions import replay_recorded

    if not alone:
        raise ConfigError("--session names a day already: leave --date and --to out")
    found = replay_recorded(_pipeline(context), session)
    typer.echo(found.summary())
    if not found.equal:
        raise typer.Exit(1)


models_app = typer.Typer(
    invoke_without_command=True,
    help="Every trained model, its period and evidence, and the gate's latest decision.",
)
app.add_typer(models_app, name="models")
ModelId = Annotated[str, typer.Argument(help="id of a model, as `harmony models` lists them")]


@models_app.callback()
def models(context: typer.Context) -> None:
    """Every trained model, its period and evidence, and the gate's latest decision."""
    from harmony_pipeline.cli.run_report import print_models

    if context.invoked_subcommand is None:
        print_models(_pipeline(context))


@models_app.command("list")
def models_list(context: typer.Context) -> None:
    """The same as `harmony models`."""
    from harmony_pipeline.cli.run_report import print_models

    print_models(_pipeline(context))


@models_app.command("show")
def models_show(context: typer.Context, model: ModelId) -> None:
    """Where a model came from, what it measured, and every decision about it."""
    from harmony_pipeline.cli.models import show

    show(_pipeline(context), model)


@models_app.command("diff")
def models_diff(context: typer.Context, first: ModelId, second: ModelId) -> None:
    """What two models do not have in common."""
    from harmony_pipeline.cli.models import diff

    diff(_pipeline(context), first, second)


@models_app.command("verify")
def models_verify(
    context: typer.Context,
    model: Annotated[
        str | None, typer.Argument(help="id of a model; without it every model of the lake")
    ] = None,
) -> None:
    """Train models again from the lake and compare id and bytes; exit code 1 when one differs."""
    from harmony_pipeline.cli.models import verify

    if not verify(_pipeline(context), model):
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

    promote(_pipeline(context), model, reason)


@models_app.command("rollback")
def models_rollback(
    context: typer.Context,
    reason: Annotated[str, typer.Option("--reason", help="why; kept for ever")],
) -> None:
    """Let the model trade again that traded before the present one."""
    from harmony_pipeline.cli.models import rollback

    rollback(_pipeline(context), reason)


@app.command()
def sql(
    context: typer.Context,
    query: Annotated[
        str | None,
        typer.Argument(
            help=(
                "SQL over the views, or the name of a file in sql/queries; without it those are"
                " listed"
            )
        ),
    ] = None,
    variables: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE, read in the query as getvariable('NAME')"),
    ] = None,
    format: Annotated[str, typer.Option("--format", help="table, csv, json or parquet")] = "table",  # noqa: A002 - the flag's name
    output: Annotated[
        Path | None, typer.Option("--output", help="write to this file instead of the screen")
    ] = None,
    views: Annotated[
        bool,
        typer.Option(
            "--views", help="print the script that creates the views, for any DuckDB client"
        ),
    ] = False,
) -> None:
    """Ask the lake. Every public table is a view: bars, features, labels, trades, promotions,
    session_fills, ...
    """
    from harmony_pipeline.cli import tables
    from harmony_pipeline.cli.argument_checks import choice

    choice("--format", format, tables.FORMATS)
    if views or query is None:
        tables.write_answer(
            tables.views(context.obj) if views else tables.listing(), format, output
        )
        return
    tables.write_answer(tables.answer(context.obj, query, variables or ()), format, output)


@app.command()
def lineage(
    context: typer.Context,
    order_id: Annotated[str, typer.Argument(help="an order of a backtest or a session")],
) -> None:
    """Walk from an order's fills to its signal, prediction, model, features, bars and the raw rows
    behind them.
    """
    from harmony_pipeline.cli.lineage import print_lineage

    print_lineage(_pipeline(context), order_id)


@app.command()
def report(
    context: typer.Context,
    strategy: Annotated[
        str | None, typer.Argument(help="a strategy; default: the one that sessions trade")
    ] = None,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="every strategy that has a backtest, beside each other"),
    ] = False,
) -> None:
    """Write the pages of a strategy: the tear sheet, an interactive page, and some trades on their
    candles; with --compare one page of all strategies. Each needs nothing but itself.
    """
    from harmony_pipeline.cli.argument_checks import refuse_strategy_to_compare

    refuse_strategy_to_compare(strategy, compare=compare)
    pipeline = _pipeline(context)
    written = _comparison_pages(pipeline) if compare else _strategy_pages(pipeline, strategy)
    for path in written:
        typer.echo(f"wrote {path}")
    typer.echo("look: open them in a browser; they need no network")


def _strategy_pages(pipeline: Any, strategy: str | None) -> list[Path]:
    from harmony_pipeline.errors import NotReady
    from harmony_pipeline.stages.backtests import backtested, no_backtest
    from harmony_pipeline.stages.interactive_reports import interactive_path
    from harmony_pipeline.stages.tear_sheets import write_tear_sheet
    from harmony_pipeline.stages.trade_pages import page_path

    chosen = pipeline.strategy(strategy or pipeline.settings.session.strategy)
    if strategy is None and (other := backtested(pipeline)) not in (None, chosen):
        raise NotReady(
            f"{no_backtest(pipeline, chosen)}; another strategy has one: harmony report {other}"
        )
    sheet = write_tear_sheet(pipeline, chosen)
    return [sheet, page_path(pipeline, chosen), interactive_path(pipeline, chosen)]


def _comparison_pages(pipeline: Any) -> list[Path]:
    from harmony_pipeline.stages.interactive_reports import write_comparison

    return write_comparison(pipeline)


@app.command()
def ui(
    context: typer.Context, port: Annotated[int, typer.Option(help="port on 127.0.0.1")] = 3333
) -> Any:
    """Serve the Dagster UI over this market's graph, lake and runs."""
    from harmony_pipeline.cli.serve import serve

    return serve(context.obj, port)


@app.command()
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


@app.command()
def exchange(
    context: typer.Context,
    date: Day = None,
    last: To = None,
    speed: Annotated[
        float | None,
        typer.Option("--speed", min=0.0, help="1: real time; 0: only by POST /control/step"),
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="on 127.0.0.1; 0: any")
    ] = None,
    new: Annotated[
        bool, typer.Option("--new", help="forget the orders of an earlier run over these days")
    ] = False,
) -> None:
    """Serve a simulated exchange over the lake's bars of a day, in Alpaca's protocols."""
    from harmony_pipeline.cli.argument_checks import day_of, session_range
    from harmony_pipeline.cli.exchange import serve_exchange
    from harmony_pipeline.stages.context import PipelineContext

    pipeline = PipelineContext(context.obj)
    first, end = session_range(pipeline, day_of(pipeline, date), last)
    days = [day for day in pipeline.sessions() if first <= day.isoformat() <= end]
    serve_exchange(context.obj, days, speed=speed, port=port, new=new)


@app.command()
def monitor(
    context: typer.Context,
    session: Annotated[
        str | None,
        typer.Option("--session", help="id or date of a session; default: the newest, followed"),
    ] = None,
    replay: Annotated[
        str | None,
        typer.Option("--replay", help="id or date of a past session, shown as it went"),
    ] = None,
    speed: Annotated[
        float, typer.Option("--speed", min=0.01, help="of --replay; 60: an hour a minute")
    ] = 60.0,
    host: Annotated[
        str, typer.Option("--host", help="address to listen on; only this machine by default")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any")] = 3334,
) -> None:
    """Serve a page about the session that runs, or replay one that has ended."""
    from harmony_pipeline.cli.monitor import serve_monitor

    serve_monitor(
        context.obj,
        session=replay or session,
        replay_speed=speed if replay else None,
        host=host,
        port=port,
    )


@app.command()
def demo(
    context: typer.Context,
    date: Day = None,
    speed: Annotated[
        float | None,
        typer.Option("--speed", min=1.0, help="at most so many times real time"),
    ] = None,
    symbols: Annotated[int, typer.Option("--symbols", min=1, help="at most so many")] = 20,
    monitor: Annotated[
        bool, typer.Option("--monitor/--no-monitor", help="serve the page about the session, too")
    ] = True,
    through_sensor: Annotated[
        bool,
        typer.Option("--through-sensor", help="Dagster's sensor starts the session, by its run"),
    ] = False,
) -> None:
    """Paper-trade a day offline: a simulated exchange, a session with alpaca-py, both books
    compared.
    """
    from harmony_pipeline.cli.demo import demo as run_demo
    from harmony_pipeline.cli.demo import session_process

    start = session_process
    if through_sensor:
        from assets.runner import Runner
        from harmony_pipeline.cli.demo_sensor import session_by_sensor

        start = partial(session_by_sensor, Runner.of)
    agrees = run_demo(
        context.obj, date, speed=speed, symbols=symbols, with_monitor=monitor, start=start
    )
    if not agrees:
        raise typer.Exit(1)


@app.command()
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

        verdicts.waive(_pipeline(context), waive, partition, why)
        typer.echo(f"waived: {waive} of {partition}")
    elif settings:
        print_settings(context.obj)
    elif repair:
        mend(context.obj, first, last)
    else:
        raise typer.Exit(0 if examine(context.obj) else 1)


def _pipeline(context: typer.Context) -> Any:
    return _pipeline_of(context.obj)


def _pipeline_of(settings: Any) -> Any:
    from harmony_pipeline.stages.context import PipelineContext

    return PipelineContext(settings)


@contextmanager
def _runner(context: typer.Context, *, again: bool = False, alone: bool = True) -> Iterator[Any]:
    """A runner with a progress display around it; no other command writes this market meanwhile,
    unless it need not be `alone`.
    """
    from harmony_pipeline.cli.progress import Progress

    with _writing(context, alone=alone), Progress() as progress:
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
def _writing(context: typer.Context, *, alone: bool = True) -> Iterator[None]:
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


def _say_which_market(context: typer.Context) -> None:
    """A run without a settings file is of the simulated market: nobody should take it for one of
    their own bars.
    """
    settings = context.obj
    if not settings.file.exists():
        typer.echo(
            f"there is no {settings.file} here, so this runs the embedded simulated market; for"
            " your own bars write one first: harmony init FOLDER",
            err=True,
        )


def _made(what: str, keys: list[str], look: str) -> None:
    span = f" for {keys[0]} to {keys[-1]} ({len(keys)} partitions, one run)" if keys else ""
    typer.echo(f"made {what}{span}\nlook: {command_line()} {look}")
