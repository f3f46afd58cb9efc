"""The scan of a day, for people; `harmony scan` imports nothing beyond it."""

import polars as pl
from rich.console import Console
from rich.table import Table as RichTable

from harmony_pipeline.cli.invocation import command_line
from harmony_pipeline.reports.number_format import price_text
from harmony_pipeline.stages.context import PipelineContext

_WIDTH = 128


def report_console() -> Console:
    """Where reports are printed: a fixed width, so that a pipe gets what a terminal shows."""
    return Console(width=_WIDTH, highlight=False)


def number_text(value: float | None) -> str:
    """Two decimals."""
    return "not measured" if value is None else f"{value:.2f}"


def print_scan(pipeline: PipelineContext, day: str) -> None:
    """The picks of a day and why the others were not."""
    console = report_console()
    print_scan_table(pipeline, console, day)
    console.print(
        f'look: {command_line("sql")} "select symbol, gap, rejected_by from scan_candidates where'
        f" date = '{day}' order by absolute_gap desc\"",
        style="cyan",
        soft_wrap=True,
    )


def print_scan_table(pipeline: PipelineContext, console: Console, day: str | None = None) -> None:
    """The picks of a day, by default the latest, as a table, and what stopped the others."""
    days = pipeline.lake.partitions("scan_candidates")
    if not days:
        return
    day = day or days[-1]
    candidates = pipeline.lake.read("scan_candidates", [day])
    picks = pipeline.lake.read("scan_selections", [day]).join(
        candidates.drop("date", "as_of", "score"), on="symbol", how="left", maintain_order="left"
    )
    table = RichTable(
        title=(
            f"scanner, {day}: {picks.height} of {candidates.height} symbols, known at"
            f" {candidates['as_of'][0]:%H:%M} UTC"
            if candidates.height
            else f"scanner, {day}"
        ),
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    for name in ("rank", "symbol", "price", "gap", "premarket volume", "relative volume"):
        table.add_column(name, justify="right" if name != "symbol" else "left")
    instruments = pipeline.instruments
    for row in picks.iter_rows(named=True):
        table.add_row(
            f"{row['rank']}",
            row["symbol"],
            price_text(instruments.at(row["symbol"]), row["price"]) or "not measured",
            "-" if row["gap"] is None else f"{row['gap']:+.1%}",
            f"{row['premarket_volume'] or 0:,.0f}",
            number_text(row["relative_volume"]),
        )
    console.print(table)
    reasons = (
        candidates.filter(~pl.col("passed"))
        .explode("rejected_by")
        .group_by("rejected_by")
        .len()
        .sort("len", descending=True)
    )
    if reasons.height:
        console.print(
            "  not picked: " + ", ".join(f"{rule} {count}" for rule, count in reasons.iter_rows()),
            style="dim",
        )
