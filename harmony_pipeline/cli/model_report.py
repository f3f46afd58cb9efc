"""Models on the terminal: every one with its period, and what the gate decided last."""

import json
from typing import Any

import polars as pl
from rich.panel import Panel
from rich.table import Table as RichTable
from rich.text import Text

from harmony_pipeline.cli.invocation import as_typed
from harmony_pipeline.cli.scan_report import number_text, report_console
from harmony_pipeline.models.gate import rule_meaning, threshold_text
from harmony_pipeline.stages import backtests
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.models import why_no_model


def gate_panel(pipeline: PipelineContext) -> Panel:
    """Each rule of the gate's latest decision with what was measured, or why there is none."""
    rules = pipeline.lake.read("promotions")
    if rules.is_empty():
        why = why_no_model(pipeline) or backtests.no_backtest(
            pipeline, pipeline.settings.session.strategy
        )
        return Panel(
            Text(as_typed(f"no model reached the gate: {why}")),
            title="promotion gate",
            title_align="left",
        )
    rules = rules.filter(pl.col("decided_at") == pl.col("decided_at").max())
    promoted = bool(rules["promoted"][0])
    table = RichTable(box=None, pad_edge=False)
    for name in ("", "rule", "measured", "threshold", "what is measured"):
        table.add_column(name, justify="right" if name in ("measured", "threshold") else "left")
    for row in rules.iter_rows(named=True):
        table.add_row(
            "[green]passed[/green]" if row["passed"] else "[red]broken[/red]",
            row["rule"],
            "not measured" if row["measure"] is None else f"{row['measure']:.4g}",
            threshold_text(row["rule"], row["threshold"]),
            rule_meaning(row["rule"]),
        )
    verdict = (
        "[bold green]promoted[/bold green]" if promoted else "[bold red]not promoted[/bold red]"
    )
    return Panel(
        table, title=f"promotion gate: {rules['model_id'][0]} {verdict}", title_align="left"
    )


def print_models(pipeline: PipelineContext) -> None:
    """Every model with its period, or why there is none, then the gate."""
    console = report_console()
    promoted = pipeline.registry.promoted()
    table = RichTable(box=None, pad_edge=False)
    for name in ("", "model", "period", "horizon", "training rows", "base rate", "created"):
        table.add_column(name)
    for row in pipeline.lake.read("models").sort("horizon", "period").iter_rows(named=True):
        metrics: dict[str, Any] = json.loads(row["metrics"])
        base = metrics.get("base_rate")
        table.add_row(
            "[green]promoted[/green]" if row["model_id"] == promoted else "",
            row["model_id"],
            row["period"],
            str(row["horizon"]),
            str(metrics.get("train_rows", "")),
            number_text(base),
            f"{row['created_at']:%Y-%m-%d %H:%M}",
        )
    if table.row_count:
        console.print(table)
    why = why_no_model(pipeline)
    if why:
        console.print(as_typed(f"no model: {why}"), soft_wrap=True, markup=False)
    else:
        console.print(gate_panel(pipeline))
