"""Sessions on the terminal: a row a day, with its divergence from the backtest of the day."""

from rich.console import Console
from rich.table import Table as RichTable

from harmony_pipeline.cli.invocation import as_typed
from harmony_pipeline.cli.scan_report import report_console
from harmony_pipeline.stages import live
from harmony_pipeline.stages.context import PipelineContext


def print_session_table(pipeline: PipelineContext, console: Console, days: list[str]) -> None:
    """A row a day; nothing without days."""
    if not days:
        return
    broker = pipeline.settings.session.broker
    table = RichTable(
        title="sessions replayed through the simulated exchange"
        if broker == "simulated"
        else f"sessions of the broker {broker}",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    for name in (
        "day",
        "model",
        "watched",
        "orders",
        "fills",
        "refused",
        "equity",
        "divergence from the backtest of the day",
    ):
        table.add_column(
            name,
            justify=(
                "left"
                if name in ("day", "model", "divergence from the backtest of the day")
                else "right"
            ),
        )
    for day in days:
        row = live.session_row(pipeline, day)
        table.add_row(
            day,
            row["model"],
            row["watched"],
            row["orders"],
            row["fills"],
            row["refused"],
            row["equity"],
            row["divergence"],
        )
    console.print(table)


def print_sessions(pipeline: PipelineContext, days: list[str]) -> None:
    """Sessions of some days."""
    console = report_console()
    print_session_table(pipeline, console, days)
    looks = (
        'look: harmony sql "select * from session_orders"; harmony sql "select * from divergence'
        ' where not equal"'
    )
    console.print(as_typed(looks), style="cyan", soft_wrap=True)
