"""The end of `harmony run`: the whole chain on one screen, and where to look next."""

from collections.abc import Mapping

import polars as pl
from rich.console import Console, Group
from rich.panel import Panel
from rich.text import Text

from harmony_pipeline.cli.backtest_report import comparison, evidence, monte_carlo
from harmony_pipeline.cli.invocation import as_typed
from harmony_pipeline.cli.model_report import gate_panel
from harmony_pipeline.cli.scan_report import print_scan_table, report_console
from harmony_pipeline.cli.session_report import print_session_table
from harmony_pipeline.cli.stage_report import print_market_warnings, print_stages
from harmony_pipeline.lake import sql
from harmony_pipeline.stages import backtests, live
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.market import latest_period_with_bars
from harmony_pipeline.stages.result import StageResult


def print_summary(
    pipeline: PipelineContext, command: str, results: Mapping[str, StageResult] | None = None
) -> None:
    """The whole chain on one screen, and where to look next; what had nothing to make says why, in
    one line each.
    """
    console = report_console()
    title = f"{pipeline.settings.market.source} market, {pipeline.timeframe} bars"
    if latest_period_with_bars(pipeline) is None:
        console.print(
            Panel(
                Text(as_typed(f"bars      none: {_why_no_bars(results or {})}")),
                title=title,
                title_align="left",
            )
        )
        print_stages(results or {}, console)
        _print_looks(console, {f"{command} doctor": "what was received, quarantine, health"})
        return
    console.print(
        Panel(
            Group(_market(pipeline), Text(), _research(pipeline), Text(), evidence(pipeline)),
            title=title,
            title_align="left",
        )
    )
    print_market_warnings(pipeline, console)
    for table in (comparison(pipeline), gate_panel(pipeline), monte_carlo(pipeline)):
        if table is not None:
            console.print(table)
    print_scan_table(pipeline, console)
    print_session_table(
        pipeline, console, [day.isoformat() for day in live.replayed_days(pipeline)]
    )
    print_stages(results or {}, console)
    looks = {
        f"{command} ui": "the graph, runs and pictures in a browser",
        f"{command} report": "the tear sheet, one page",
        f"{command} sql \"select * from trades where exit_reason = 'stop' limit 5\"": (
            "every public table is a view"
        ),
        f"{command} lineage {_some_order(pipeline)}": "from an order back to its raw bars",
        f"{command} doctor": "gaps, quarantine, health",
    }
    shown = backtests.backtested(pipeline)
    if shown is None:
        looks = {
            look: why
            for look, why in looks.items()
            if not look.startswith((f"{command} report", f"{command} lineage", f"{command} sql"))
        }
    elif shown != pipeline.settings.session.strategy:
        looks = {
            f"{look} {shown}" if look == f"{command} report" else look: why
            for look, why in looks.items()
        }
    _print_looks(console, looks)


def _print_looks(console: Console, looks: Mapping[str, str]) -> None:
    console.print("[bold]look at[/bold]")
    for look, why in looks.items():
        console.print(f"  {look}", style="cyan", soft_wrap=True)
        console.print(f"      {why}", style="dim")


def _why_no_bars(results: Mapping[str, StageResult]) -> str:
    """What the ingest noted, when no bar came of it."""
    notes = [
        note for asset in ("raw_bars", "bars") if asset in results for note in results[asset].notes
    ]
    received = results["raw_bars"].rows.get("raw_bars", 0) if "raw_bars" in results else 0
    why = (
        f"{received:,} raw rows lie in market.start to market.end, and none became a bar"
        if received
        else "the source has no row in market.start to market.end"
    )
    return "; ".join([why, *notes[:3]])


def _count(pipeline: PipelineContext, table: str, where: str = "true") -> int:
    return int(sql.query(pipeline.lake, f"select count(*) as n from {table} where {where}")["n"][0])


def _market(pipeline: PipelineContext) -> Text:
    span = (
        pipeline.lake.scan("bars")
        .select(
            pl.col("timestamp").min().alias("first"),
            pl.col("timestamp").max().alias("last"),
            pl.col("symbol").n_unique().alias("symbols"),
        )
        .collect()
        .row(0, named=True)
    )
    raw, bars, quarantine = (
        _count(pipeline, "raw_bars"),
        _count(pipeline, "bars"),
        _count(pipeline, "quarantine", "timeframe not in ('quote', 'trade')"),
    )
    first, last = (f"{span[key]:%Y-%m-%d}" if span[key] else "-" for key in ("first", "last"))
    closes = (
        "the accounting closes" if raw == bars + quarantine else "THE ACCOUNTING DOES NOT CLOSE"
    )
    lines = [
        (
            f"bars      {bars:,} of {span['symbols']} symbols, {first} to {last}; {raw:,} raw ="
            f" {bars:,} + {quarantine:,} quarantined ({closes})"
        )
    ]
    if quarantine:
        rules = sql.query(pipeline.lake, sql.named_query("quarantine_by_rule"))
        lines.append(
            "          "
            + ", ".join(f"{rule} {rows}" for rule, rows, *_ in rules.head(6).iter_rows())
        )
    if pipeline.settings.market.source == "simulated":
        simulated = pipeline.settings.market.simulated
        edge = (
            f"planted with strength {simulated.edge_strength}"
            if simulated.edge == "planted"
            else "none: nothing can be predicted"
        )
        lines.append(f"          a simulated market, seed {simulated.seed}; its edge is {edge}")
    return Text("\n".join(lines))


def _research(pipeline: PipelineContext) -> Text:
    labelled = sql.query(
        pipeline.lake,
        "select horizon, count(*) as n, count(label) as settled, avg(label) as hit from labels"
        " group by horizon order by horizon",
    )
    unit = pipeline.settings.event_labels.vertical
    by_horizon = "; ".join(
        f"{n:,} at {horizon} {unit} ({settled:,} settled, {hit or 0:.1%} right before costs)"
        for horizon, n, settled, hit in labelled.iter_rows()
    )
    folds = sql.query(
        pipeline.lake,
        "select count(*) as n, count(model_id) as models, min(test_start) filter (model_id is not"
        " null) as first, max(test_end) as last from folds where horizon = ?",
        [pipeline.settings.trade_horizon],
    )
    n, models, first, last = folds.row(0)
    span = f", out of sample from {first:%Y-%m-%d} to {last:%Y-%m-%d}" if first else ""
    return Text(
        f"features  {_count(pipeline, 'features'):,} rows of {len(pipeline.feature_set.names)}"
        f" columns\nlabels    {by_horizon or 'none'}\nfolds     {n} walk-forward periods, {models}"
        f" with a model{span}; {_count(pipeline, 'predictions'):,} predictions"
    )


def _some_order(pipeline: PipelineContext) -> str:
    found = sql.query(
        pipeline.lake,
        "select order_id from session_fills union all select order_id from fills limit 1",
    )
    return str(found["order_id"][0]) if found.height else "ORDER_ID"
