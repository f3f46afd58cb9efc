"""What came out, for people: the end of `harmony run` and of the shorter commands."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table as RichTable
from rich.text import Text

from harmony_pipeline.cli.invocation import as_typed, command_line
from harmony_pipeline.cli.scan_report import number_text, print_scan_table, report_console
from harmony_pipeline.lake import sql
from harmony_pipeline.stages import backtests, live
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.market import latest_period_with_bars
from harmony_pipeline.stages.market_warnings import market_warnings
from harmony_pipeline.stages.models import why_no_model
from harmony_pipeline.stages.result import StageResult
from harmony_pipeline.text import message

_KEYS_SHOWN = 3
# their empty parts are told even when others had something
_TOLD_BY_PART = ("backtest", "monte_carlo", "paper_session")


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
            Group(_market(pipeline), Text(), _research(pipeline), Text(), _evidence(pipeline)),
            title=title,
            title_align="left",
        )
    )
    print_market_warnings(pipeline, console)
    for table in (_comparison(pipeline), _gate(pipeline), _monte_carlo(pipeline)):
        if table is not None:
            console.print(table)
    print_scan_table(pipeline, console)
    _session_table(pipeline, console, [day.isoformat() for day in live.replayed_days(pipeline)])
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


def print_stages(results: Mapping[str, StageResult], console: Console | None = None) -> None:
    """One line a reason for which stages had nothing to make, and one for what was left as it
    was.
    """
    console = console or report_console()
    for why, makers in _reasons(results).items():
        console.print(
            as_typed(f"nothing made: {', '.join(makers)}: {why}"), soft_wrap=True, markup=False
        )
    unchanged = [
        asset
        for asset, result in results.items()
        if result.unchanged_since is not None and not result.nothing
    ]
    if unchanged:
        console.print(
            f"unchanged since the last run, so not made again: {', '.join(unchanged)}",
            style="dim",
            soft_wrap=True,
            markup=False,
        )


def _reasons(results: Mapping[str, StageResult]) -> dict[str, list[str]]:
    """Each reason with the assets that had nothing to make by it; of some, also single strategies
    and days.
    """
    reasons: dict[str, list[str]] = {}
    for asset, result in results.items():
        if result.nothing and result.nothing not in (
            part.nothing for part in result.parts.values()
        ):
            reasons.setdefault(result.nothing, []).append(asset)
            continue
        by_part: dict[str, list[str]] = {}
        for key, part in result.parts.items():
            if part.nothing and (result.nothing or asset in _TOLD_BY_PART):
                by_part.setdefault(part.nothing, []).append(key)
        for why, keys in by_part.items():
            named = (
                ", ".join(keys)
                if len(keys) <= _KEYS_SHOWN
                else f"{keys[0]} to {keys[-1]} ({len(keys)})"
            )
            reasons.setdefault(why, []).append(
                asset if len(keys) == len(result.parts) else f"{asset} of {named}"
            )
    return reasons


def print_market_warnings(
    pipeline: PipelineContext,
    console: Console | None = None,
    partitions: Sequence[str] | None = None,
) -> None:
    """Warnings about whole series, in words: at the end of an ingest and of a run."""
    for warning in market_warnings(pipeline, partitions):
        (console or report_console()).print(
            as_typed(warning.sentence()), style="yellow", soft_wrap=True, markup=False
        )


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
    by_horizon = "; ".join(
        f"{n:,} at {horizon} bars ({settled:,} settled, {hit or 0:.1%} right before costs)"
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


def _evidence(pipeline: PipelineContext) -> Text:
    strategy = pipeline.settings.session.strategy
    run = backtests.found_backtest(pipeline, strategy)
    if run is None:
        return Text(
            as_typed(f"result    none: {backtests.no_backtest(pipeline, strategy)}"), style="bold"
        )
    if not run["trades"]:
        return Text(
            f"result    {strategy} closed no trade from {_dates(pipeline, run)}:"
            f" {_orders_in_words(pipeline, strategy)}",
            style="bold",
        )
    sharpe, low, high = backtests.sharpe_of(pipeline, strategy)
    interval = f"{number_text(sharpe)}  (95 % interval {number_text(low)} to {number_text(high)})"
    return Text(
        f"result    {strategy}: out-of-sample Sharpe ratio {interval}, total return"
        f" {_percent(run['total_return'])} after costs, deepest drawdown"
        f" {_percent(run['max_drawdown'])}, {int(run['trades']):,} trades",
        style="bold",
    )


def _orders_in_words(pipeline: PipelineContext, strategy: str) -> str:
    orders = pipeline.lake.read("orders", [strategy])
    if orders.is_empty():
        return "no signal became an order"
    counted = (
        orders.group_by("status", "reason")
        .len()
        .sort("len", "status", "reason", descending=[True, False, False])
    )
    return ", ".join(
        f"{count} orders {status}" + (f" ({reason})" if reason else "")
        for status, reason, count in counted.head(4).iter_rows()
    )


def _percent(value: float | None) -> str:
    return "not measured" if value is None else f"{value:+.1%}"


def _comparison(pipeline: PipelineContext) -> RichTable | None:
    """A row a strategy that traded; None when none did."""
    table = RichTable(
        title="strategies, after costs", title_justify="left", box=None, pad_edge=False
    )
    for name in (
        "strategy",
        "Sharpe",
        "95 % interval",
        "annual return",
        "volatility",
        "max drawdown",
        "trades",
        "win rate",
        "PSR",
        "DSR",
        "PBO",
    ):
        table.add_column(name, justify="left" if name == "strategy" else "right")
    for name in pipeline.settings.backtest_names:
        run = backtests.found_backtest(pipeline, name)
        if run is None or not run["trades"]:
            continue
        sharpe, low, high = backtests.sharpe_of(pipeline, name)
        odds = pipeline.lake.read("overfitting", [name])
        row = odds.row(0, named=True) if odds.height else {}
        table.add_row(
            name, number_text(sharpe), f"{number_text(low)} .. {number_text(high)}",
            _percent(run["annual_return"]), _percent(run["annual_volatility"]).lstrip("+"),
            _percent(run["max_drawdown"]),
            f"{int(run['trades'])}", f"{run['win_rate'] or 0:.0%}",
            *(number_text(row.get(key)) for key in ("psr", "dsr", "pbo")),
        )  # fmt: skip
    return table if table.row_count else None


def _gate(pipeline: PipelineContext) -> Panel:
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
    for name in ("", "rule", "measured", "threshold"):
        table.add_column(name, justify="right" if name in ("measured", "threshold") else "left")
    for row in rules.iter_rows(named=True):
        table.add_row(
            "[green]passed[/green]" if row["passed"] else "[red]broken[/red]",
            row["rule"],
            "not measured" if row["measure"] is None else f"{row['measure']:.4g}",
            f"{row['threshold']:.4g}",
        )
    verdict = (
        "[bold green]promoted[/bold green]" if promoted else "[bold red]not promoted[/bold red]"
    )
    return Panel(
        table, title=f"promotion gate: {rules['model_id'][0]} {verdict}", title_align="left"
    )


def _monte_carlo(pipeline: PipelineContext) -> RichTable | None:
    """Quantiles of every scenario; None when there were no trades to shake."""
    strategy = pipeline.settings.session.strategy
    paths = pipeline.lake.read("monte_carlo", [strategy])
    run = backtests.found_backtest(pipeline, strategy)
    if run is None or paths.is_empty():
        return None
    table = RichTable(
        title=f"Monte Carlo of {strategy}: final return by quantile, worst-drawdown quantile",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    for name in ("scenario", "paths", "5 %", "25 %", "50 %", "75 %", "95 %", "drawdown, worst 5 %"):
        table.add_column(name, justify="left" if name == "scenario" else "right")
    for (scenario,), part in paths.group_by("scenario", maintain_order=True):
        final = part["final_equity"] / run["initial_cash"] - 1.0
        cells = [
            _percent(final.quantile(level, "linear")) for level in (0.05, 0.25, 0.5, 0.75, 0.95)
        ]
        table.add_row(
            str(scenario),
            f"{part.height}",
            *cells,
            _percent(part["max_drawdown"].quantile(0.05, "linear")),
        )
    return table


def _session_table(pipeline: PipelineContext, console: Console, days: list[str]) -> None:
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


def _some_order(pipeline: PipelineContext) -> str:
    found = sql.query(
        pipeline.lake,
        "select order_id from session_fills union all select order_id from fills limit 1",
    )
    return str(found["order_id"][0]) if found.height else "ORDER_ID"


def print_ingest(raw: Mapping[str, Any], bars: Mapping[str, Any]) -> None:
    """What an ingest received and what became of it, and what both stages remarked on; given what
    `raw_bars` and `bars` had to show.
    """
    console = report_console()
    console.print(_received(raw))
    kept, refused = bars.get("rows in bars", 0), bars.get("rows in quarantine", 0)
    console.print(
        f"{raw.get('rows in raw_bars', 0):,} raw rows in these periods: {kept:,} bars, {refused:,}"
        f" in quarantine, {bars.get('rows in warnings', 0):,} warnings"
    )
    for note in (*str(raw.get("notes", "")).splitlines(), *str(bars.get("notes", "")).splitlines()):
        console.print(message(note), soft_wrap=True, markup=False)


def print_news(news: Mapping[str, Any]) -> None:
    """What the reading of headlines brought, given what `news` had to show; nothing where it was
    not made.
    """
    if "rows received" not in news:
        return
    console = report_console()
    console.print(
        f"{news['rows received']:,} rows of news received: {news['new headlines']:,} new headlines,"
        f" {news['repeats and rows known before']:,} repeated or known before,"
        f" {news['quarantined']:,} in quarantine"
    )
    for note in str(news.get("notes", "")).splitlines():
        console.print(message(note), soft_wrap=True, markup=False)


def _received(raw: Mapping[str, Any]) -> str:
    """Where every received row went, and what was not received; only what there is is named."""
    count = {name: raw.get(name) or 0 for name in _RECEIVED}
    parts = [f"{count['new rows']:,} new"]
    if count["of these corrections"]:
        parts[0] += f" ({count['of these corrections']:,} of them corrections)"
    parts += [f"{count[name]:,} {told}" for name, told in _RECEIVED.items() if told and count[name]]
    text = f"{count['rows received']:,} rows received: {', '.join(parts)}"
    if count["rows withdrawn"]:
        text += f"; {count['rows withdrawn']:,} that were given before withdrawn"
    if count["rows outside the range"]:
        text += f"; {count['rows outside the range']:,} more rows lie outside the market's range"
    return text


_RECEIVED = {
    "rows received": "",
    "new rows": "",
    "of these corrections": "",
    "rows given twice": "given twice",
    "rows known before": "known before",
    "rows withdrawn": "",
    "rows outside the range": "",
}


def _dates(pipeline: PipelineContext, run: Mapping[str, Any]) -> str:
    """From when to when a backtest ran, in dates of the exchange: the last quote of a New York
    evening is of the next day in UTC.
    """
    zone = ZoneInfo(pipeline.calendar.zone)
    start, end = (run[edge].astimezone(zone) for edge in ("start", "end"))
    return f"{start:%Y-%m-%d} to {end:%Y-%m-%d}"


def print_backtest(pipeline: PipelineContext, strategy: str) -> None:
    """One strategy's metrics beside the others'."""
    console = report_console()
    run = backtests.latest_backtest(pipeline, strategy)
    console.print(
        f"[bold]{run['backtest_id']}[/bold] {_dates(pipeline, run)}, parameters {run['parameters']}"
    )
    table = RichTable(box=None, pad_edge=False, show_header=False)
    if not run["trades"]:
        console.print(
            f"{strategy} closed no trade: {_orders_in_words(pipeline, strategy)}",
            soft_wrap=True,
            markup=False,
        )
    for name, value in run.items():
        if isinstance(value, float) and run["trades"]:
            table.add_row(name, f"{value:,.4f}")
    console.print(table)
    console.print(f"look: {command_line('report')} {strategy}", style="cyan")


def print_sessions(pipeline: PipelineContext, days: list[str]) -> None:
    """Sessions of some days."""
    console = report_console()
    _session_table(pipeline, console, days)
    looks = (
        'look: harmony sql "select * from session_orders"; harmony sql "select * from divergence'
        ' where not equal"'
    )
    console.print(as_typed(looks), style="cyan", soft_wrap=True)


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
        console.print(_gate(pipeline))
