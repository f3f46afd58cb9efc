"""Commands that ask: SQL over the lake, the way behind an order, the pages of a strategy."""

from pathlib import Path
from typing import Annotated, Any

import typer

from harmony_pipeline.cli.command_context import pipeline_of


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


def lineage(
    context: typer.Context,
    order_id: Annotated[str, typer.Argument(help="an order of a backtest or a session")],
) -> None:
    """Walk from an order's fills to its signal, prediction, model, features, bars and the raw rows
    behind them.
    """
    from harmony_pipeline.cli.lineage import print_lineage

    print_lineage(pipeline_of(context.obj), order_id)


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
    pipeline = pipeline_of(context.obj)
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
