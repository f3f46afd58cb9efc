"""Commands that make tables: the whole chain, or a part of it."""

from typing import Annotated

import typer

from harmony_pipeline.cli.command_context import (
    Again,
    Day,
    From,
    To,
    graph_runner,
    pipeline_of,
    writing,
)
from harmony_pipeline.cli.invocation import command_line


def run(context: typer.Context, again: Again = False) -> None:
    """Run the main job: bars, features, labels, walk-forward models, backtests, gate, scanner,
    replayed sessions.
    """
    _say_which_market(context)
    with graph_runner(context, again=again) as runner:
        runner.chain(runner.pipeline.progress.stage)
    from harmony_pipeline.cli.run_report import print_summary

    print_summary(runner.pipeline, command_line(), runner.results)


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
    from harmony_pipeline.cli.ingest_report import print_ingest, print_news
    from harmony_pipeline.cli.quality import print_findings
    from harmony_pipeline.cli.stage_report import (
        print_market_warnings,
        print_unchanged,
        tell_made,
    )
    from harmony_pipeline.stages.context import refuse_the_past
    from harmony_pipeline.stages.news import is_on

    with graph_runner(context) as runner:
        refuse_the_past(runner.pipeline)
        chosen = runner.chosen("bars", first, last)
        runner.run_job("ingest", chosen[0], chosen[-1], {"raw_bars": {"again": again}})
        if is_on(runner.pipeline):
            runner.run_job("news", chosen[0], chosen[-1])
    print_ingest(runner.facts_of("raw_bars"), runner.facts_of("bars"))
    print_news(runner.facts_of("news"))
    print_market_warnings(runner.pipeline, partitions=chosen)
    print_findings(runner.pipeline, chosen)
    made = {name: runner.results[name] for name in ("bars", "quarantine", "daily_summary")}
    print_unchanged(made)
    tell_made(
        made,
        list(made),
        chosen,
        'sql "select rule, count(*) from quarantine group by rule"',
    )


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
    from harmony_pipeline.cli.stage_report import tell_made
    from harmony_pipeline.stages.ticks import offered

    with graph_runner(context) as runner:
        tables = offered(runner.pipeline)
        start = first or last or runner.partition_keys(tables[0])[-1]
        chosen = runner.chosen(tables[0], start, last or start)
        runner.materialize(tables, chosen[0], chosen[-1])
    tell_made(runner.results, tables, chosen, 'sql "select * from tick_counts"')


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
    from harmony_pipeline.cli.stage_report import print_stages, tell_made

    with graph_runner(context, again=again) as runner:
        assets, keys = runner.backfill(asset, first, last)
        made = runner.made(assets)
    print_stages(runner.results)
    look = f'sql "select * from {runner.view_of(made[0])} limit 10"'
    tell_made(runner.results, made, keys, look)


def scan(context: typer.Context, date: Day = None) -> None:
    """Scan one trading day before its open: what to watch, and why nothing else."""
    from harmony_pipeline.cli.argument_checks import day_of
    from harmony_pipeline.cli.scan_alone import scan_alone
    from harmony_pipeline.cli.scan_report import print_scan

    with writing(context):
        pipeline = pipeline_of(context.obj)
        day = day_of(pipeline, date)
        scan_alone(pipeline, day)
    print_scan(pipeline, day)


def backtest(
    context: typer.Context,
    strategy: Annotated[str, typer.Argument(help="a strategy of harmony.toml, e.g. meta_labelled")],
) -> None:
    """Backtest a strategy over every bar in the lake and shake the result."""
    from harmony_pipeline.cli.backtest_report import print_backtest

    with graph_runner(context) as runner:
        runner.run_job("evaluate", runner.pipeline.strategy(strategy))
        runner.refuse_nothing("backtest")
    print_backtest(runner.pipeline, strategy)


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
